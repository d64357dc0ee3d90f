//! Reload, pause, kill, quarantine, eviction, drain.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use motu::{Error, ErrorKind, Grants, HostModule, Limits, Metering, TenantRef};

use super::{deployed, on_both};
use crate::support::{builder, bundle, limits, run, until};

trials![
    l1_reloads_under_load_lose_nothing,
    l1_a_broken_version_changes_nothing,
    l2_restarts_are_counted_then_quarantine,
    l6_a_paused_tenant_burns_nothing,
    l6_kill_ends_what_was_started_and_nothing_else,
    l6_kill_during_start_loses_nobody,
    l6_a_pause_a_kill_and_a_caller_who_goes_come_before_the_next_event,
    l7_a_drain_waits_and_names_the_rest,
    l7_a_drain_with_nothing_to_do_ends_at_once,
    i10_an_idle_instance_is_evicted,
    images_are_made_once_and_again_when_needed,
    removed_bundles_end_their_events,
    a_motu_that_is_dropped_is_gone,
];

fn value(tenant: &TenantRef, event: &str) -> Result<u32, ErrorKind> {
    let answer = run(tenant.dispatch::<u32>(event, &())).unwrap().remove(0);
    answer.result.map(|outcome| outcome.value).map_err(|error| error.kind())
}

/// 1,000 reloads: each event is handled by exactly one whole version.
fn l1_reloads_under_load_lose_nothing() {
    let reloads = 1000;
    on_both(&limits(), |builder| {
        let motu = builder.build().unwrap();
        let version = |n: u32| {
            let part = format!("return {n}");
            let entry = format!(
                "local part = require('@self/part')\nreturn {{ go = function() return {n} * 10000 + part end }}"
            );
            bundle(&[("init.luau", &entry), ("part.luau", &part)])
        };
        let tenant = motu.tenant(&"l1:1".parse().unwrap());
        run(tenant.deploy("main", &version(0))).unwrap();
        let seen: Arc<Mutex<HashMap<u32, u64>>> = Arc::default();
        std::thread::scope(|scope| {
            let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
            for _ in 0..2 {
                let (tenant, seen, done) = (tenant.clone(), seen.clone(), done.clone());
                scope.spawn(move || {
                    let mut last = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let answer = value(&tenant, "go").unwrap();
                        assert_eq!(answer / 10000, answer % 10000, "two versions at once");
                        assert!(answer >= last, "an older version after a newer one");
                        last = answer;
                        *seen.lock().unwrap().entry(answer / 10000).or_default() += 1;
                    }
                });
            }
            for n in 1..=reloads {
                run(tenant.deploy("main", &version(n))).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(value(&tenant, "go").unwrap() / 10000, reloads);
        assert!(seen.lock().unwrap().len() > 2, "events ran between the reloads");
    });
}

fn l1_a_broken_version_changes_nothing() {
    on_both(&Limits { load_fuel: Some(100_000_000), ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "l1:1", "n = 0\nreturn { go = function() n += 1 return n end }");
        assert_eq!(value(&tenant, "go"), Ok(1));
        for (broken, kind) in [
            ("return {", ErrorKind::Compile),
            ("error('no')", ErrorKind::Script),
            ("while true do end", ErrorKind::Fuel),
        ] {
            let error = run(tenant.deploy("main", &bundle(&[("init.luau", broken)]))).unwrap_err();
            assert_eq!(error.kind(), kind);
        }
        assert_eq!(value(&tenant, "go"), Ok(2), "the old one goes on, with its globals");
        assert_eq!(tenant.bundles(), ["main"]);
    });
}

fn l2_restarts_are_counted_then_quarantine() {
    let strict = Limits {
        event_fuel: Some(2_000_000),
        restarts: Some(3),
        restart_window: Duration::from_secs(600),
        quarantine: Duration::from_secs(600),
        ..limits()
    };
    on_both(&strict, |builder| {
        let motu = builder.build().unwrap();
        let source = "return { spin = function() while true do end end, go = function() return 1 end, no = function() error('no') end }";
        let (tenant, neighbour) = (deployed(&motu, "l2:1", source), deployed(&motu, "l2:2", source));
        for _ in 0..3 {
            assert_eq!(value(&tenant, "spin"), Err(ErrorKind::Fuel));
            assert_eq!(value(&tenant, "no"), Err(ErrorKind::Script), "an ordinary error ends nothing");
            assert_eq!(value(&tenant, "go"), Ok(1));
        }
        assert_eq!(value(&tenant, "spin"), Err(ErrorKind::Fuel));
        let refused = run(tenant.dispatch::<u32>("go", &())).unwrap().remove(0).result.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Quarantined);
        let reason = "the instance of l2:1 was ended 4 times within 600 s, the limits restarts and restart_window, and runs \
                      nothing for 600 s. The last time: fuel: init.luau:1: out of fuel: the budget of 2000000 is used up";
        assert_eq!(refused.message(), reason);
        assert_eq!(tenant.status()["main"].quarantine.as_deref(), Some(reason));
        assert_eq!(value(&neighbour, "go"), Ok(1));
        tenant.resume();
        assert_eq!(value(&tenant, "go"), Ok(1), "the operator lets it go on");
        assert_eq!(tenant.status()["main"].quarantine, None);
    });
    // and by itself, after its time
    let motu = builder(Limits { restarts: Some(0), quarantine: Duration::from_millis(50), ..strict }).build().unwrap();
    let tenant =
        deployed(&motu, "l2:1", "return { spin = function() while true do end end, go = function() return 1 end }");
    assert_eq!(value(&tenant, "spin"), Err(ErrorKind::Fuel));
    while value(&tenant, "go") == Err(ErrorKind::Quarantined) {
        std::thread::yield_now();
    }
    assert_eq!(value(&tenant, "go"), Ok(1));
}

/// What a tenant has burnt, when the slice that it was paused in is over.
fn settled(tenant: &TenantRef) -> u64 {
    loop {
        let before = tenant.fuel();
        std::thread::sleep(Duration::from_millis(50));
        if tenant.fuel() == before {
            return before;
        }
    }
}

/// reduced: a fifth of a second of 5 s, for time; MOTU_FULL=1 waits 5 s.
fn l6_a_paused_tenant_burns_nothing() {
    let pause = Duration::from_millis(if crate::support::full() { 5000 } else { 200 });
    on_both(&Limits { event_fuel: None, ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let source =
            "n = 0\nreturn { count = function() while true do n += 1 end end, go = function() n += 1 return n end }";
        let tenant = deployed(&motu, "l6:1", source);
        assert_eq!(value(&tenant, "go"), Ok(1));
        tenant.pause();
        assert!(tenant.post("go", &()).unwrap()[0].result.is_ok());
        let before = settled(&tenant);
        std::thread::sleep(pause);
        assert_eq!(tenant.fuel(), before);
        assert_eq!(tenant.status()["main"].waiting, 1);
        tenant.resume();
        assert_eq!(value(&tenant, "go"), Ok(3), "the same state, and what waited ran first");
        // in the middle of a handler too
        tenant.post("count", &()).unwrap();
        while tenant.status()["main"].started == 0 {
            std::thread::yield_now();
        }
        tenant.pause();
        let before = settled(&tenant);
        std::thread::sleep(pause);
        assert_eq!(tenant.fuel(), before);
        tenant.resume();
        while tenant.fuel() == before {
            std::thread::yield_now();
        }
        tenant.kill();
        // a tenant that is paused before it has an instance
        let other = deployed(&motu, "l6:2", source);
        other.pause();
        other.post("go", &()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(!other.status()["main"].live);
        other.resume();
        assert_eq!(value(&other, "go"), Ok(2));
    });
}

fn l6_kill_ends_what_was_started_and_nothing_else() {
    on_both(&Limits { event_fuel: None, ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let source =
            "n = 0\nreturn { spin = function() n = 100 while true do end end, go = function() n += 1 return n end }";
        let tenant = deployed(&motu, "l6:1", source);
        let (spun, went) = run(async {
            let spin = tenant.dispatch::<u32>("spin", &());
            let go = tenant.dispatch::<u32>("go", &());
            let kill = async {
                while tenant.status().get("main").is_none_or(|status| status.started == 0 || status.waiting == 0) {
                    tokio::task::yield_now().await;
                }
                tenant.kill();
            };
            let (spin, go, ()) = tokio::join!(spin, go, kill);
            (spin.unwrap().remove(0).result, go.unwrap().remove(0).result)
        });
        let error = spun.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InstanceLost, "the instance was lost: it was killed"));
        assert_eq!(error.event(), Some("spin"));
        assert!(error.usage().fuel > 0);
        assert_eq!(went.unwrap().value, 1, "what was not started goes to a fresh one");
        assert_eq!(tenant.status()["main"].starts, 2);
    });
}

fn l6_kill_during_start_loses_nobody() {
    on_both(&Limits { event_fuel: None, start_fuel: None, start_deadline: None, ..limits() }, |builder| {
        let starts = Arc::new(AtomicUsize::new(0));
        let count = starts.clone();
        let wit = "package test:first; interface first { is-first: func() -> bool; }";
        let is_first = HostModule::from_wit(wit).unwrap().function("is-first", move |_, (): ()| {
            let first = count.fetch_add(1, Ordering::AcqRel) == 0;
            async move { Ok::<_, Error>(first) }
        });
        let motu = builder.host_module(is_first).build().unwrap();
        let source = "local first = require('@test/first')\n\
                      return { start = function() if first.is_first() then while true do end end end,\n\
                      go = function(n) return n end }";
        let tenant = deployed(&motu, "l6:1", source);
        tenant.set_grants(Some(Grants::parse(["test:first/*"]).unwrap()));
        let answer = run(async {
            let kill = async {
                while starts.load(Ordering::Acquire) == 0 {
                    tokio::task::yield_now().await;
                }
                tenant.kill();
            };
            tokio::join!(tenant.dispatch::<u32>("go", &7), kill).0
        });
        assert_eq!(answer.unwrap().remove(0).result.unwrap().value, 7);
        assert_eq!((starts.load(Ordering::Acquire), tenant.status()["main"].starts), (2, 2));
    });
}

/// Eight events of a few microseconds each, and the first of them does it: by fuel, their slice would go on for many more.
fn l6_a_pause_a_kill_and_a_caller_who_goes_come_before_the_next_event() {
    type Going = Pin<Box<dyn Future<Output = ()> + Send>>;
    on_both(&limits(), |builder| {
        let (does, seen) = (Arc::new(Mutex::new("")), Arc::new(Mutex::new(Vec::new())));
        let (of, goes) = (Arc::new(OnceLock::<TenantRef>::new()), Arc::new(Mutex::new(None::<Going>)));
        let (what, count, own, caller) = (does.clone(), seen.clone(), of.clone(), goes.clone());
        let wit = "package test:first; interface first { seen: func(n: u32); }";
        let module = HostModule::from_wit(wit).unwrap().function("seen", move |_, n: u32| {
            count.lock().unwrap().push(n);
            match std::mem::take(&mut *what.lock().unwrap()) {
                "pause" => own.get().unwrap().pause(),
                "kill" => own.get().unwrap().kill(),
                "go" => drop(caller.lock().unwrap().take()),
                _ => (),
            }
            async { Ok::<_, Error>(()) }
        });
        let motu = builder.metering(Metering::Fuel).host_module(module).build().unwrap();
        let source = "local first, n = require('@test/first'), 0\nreturn { go = function() n += 1 first.seen(n) end }";
        let tenant = deployed(&motu, "l6:1", source);
        tenant.set_grants(Some(Grants::parse(["test:first/*"]).unwrap()));
        let _ = of.set(tenant.clone());
        let after = |word: &'static str, posts: usize| {
            tenant.pause();
            seen.lock().unwrap().clear();
            *does.lock().unwrap() = word;
            for _ in 0..posts {
                assert!(tenant.post("go", &()).unwrap()[0].result.is_ok());
            }
            tenant.resume();
        };
        after("pause", 8);
        until("the first is seen", || !seen.lock().unwrap().is_empty());
        settled(&tenant);
        assert_eq!(*seen.lock().unwrap(), [1], "a pause");
        tenant.resume();
        until("all are seen", || seen.lock().unwrap().len() == 8);
        after("kill", 8);
        until("all are seen", || seen.lock().unwrap().len() == 8);
        assert_eq!(*seen.lock().unwrap(), [9, 1, 2, 3, 4, 5, 6, 7], "a kill");
        // seven are sent, and then the one whose caller goes
        tenant.pause();
        seen.lock().unwrap().clear();
        for _ in 0..7 {
            assert!(tenant.post("go", &()).unwrap()[0].result.is_ok());
        }
        let caller = tenant.clone();
        let mut going: Going = Box::pin(async move { drop(caller.dispatch::<()>("go", &()).await) });
        assert!(going.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        *goes.lock().unwrap() = Some(going);
        *does.lock().unwrap() = "go";
        tenant.resume();
        until("all are seen", || tenant.status()["main"].waiting == 0 && tenant.status()["main"].started == 0);
        assert_eq!(seen.lock().unwrap().len(), 7, "a caller who goes");
    });
}

fn l7_a_drain_waits_and_names_the_rest() {
    on_both(&Limits { event_fuel: None, ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let source =
            "return { spin = function() while true do end end, work = function() for i = 1, 1e6 do end return 1 end }";
        let (spinner, worker) = (deployed(&motu, "l7:1", source), deployed(&motu, "l7:2", source));
        spinner.post("spin", &()).unwrap();
        spinner.post("work", &()).unwrap();
        let (worked, drained) = run(async {
            tokio::join!(worker.dispatch::<u32>("work", &()), async {
                tokio::task::yield_now().await;
                motu.drain(Duration::from_millis(1500)).await
            })
        });
        assert_eq!(worked.unwrap()[0].result.as_ref().unwrap().value, 1, "it was finished");
        let left: Vec<(String, Option<&str>)> =
            drained.unfinished.iter().map(|left| (left.tenant.to_string(), left.event.as_deref())).collect();
        assert_eq!(left, [("l7:1".to_owned(), Some("spin")), ("l7:1".to_owned(), Some("work"))]);
        assert_eq!(value(&worker, "work"), Err(ErrorKind::Stopped), "no more events are taken");
        while spinner.status()["main"].started + spinner.status()["main"].waiting as usize > 0 {
            std::thread::yield_now();
        }
    });
}

fn l7_a_drain_with_nothing_to_do_ends_at_once() {
    let motu = builder(limits()).build().unwrap();
    let tenant = deployed(&motu, "l7:1", "return { go = function() return 1 end }");
    assert_eq!(value(&tenant, "go"), Ok(1));
    let since = std::time::Instant::now();
    assert!(run(motu.drain(Duration::from_secs(600))).unfinished.is_empty());
    assert!(since.elapsed() < Duration::from_secs(60));
}

fn i10_an_idle_instance_is_evicted() {
    on_both(&Limits { idle_after: Some(Duration::from_millis(20)), ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "i10:1", "n = 0\nreturn { go = function() n += 1 return n end }");
        for starts in 1..=3 {
            assert_eq!(value(&tenant, "go"), Ok(1), "its globals went with it");
            while tenant.status()["main"].live {
                std::thread::yield_now();
            }
            let status = &tenant.status()["main"];
            assert_eq!((status.starts, status.memory_bytes), (starts, 0));
        }
    });
}

/// A thousand dispatches to a bundle without an image make it once; one that was dropped is made again.
fn images_are_made_once_and_again_when_needed() {
    let lines: Arc<Mutex<usize>> = Arc::default();
    let counted = lines.clone();
    let motu = builder(Limits { idle_after: Some(Duration::from_millis(1)), mailbox_events: 2000, ..limits() })
        .image_bytes(0)
        .on_log(move |_| *counted.lock().unwrap() += 1)
        .build()
        .unwrap();
    let source = "print('made')\nreturn { go = function() return 1 end }";
    let tenant = deployed(&motu, "i10:1", source);
    assert_eq!(*lines.lock().unwrap(), 1);
    // when nothing uses the image, and nothing is kept, it is gone
    assert_eq!(value(&tenant, "go"), Ok(1));
    while tenant.status()["main"].live {
        std::thread::yield_now();
    }
    let made = *lines.lock().unwrap();
    tenant.pause();
    for _ in 0..1000 {
        assert!(tenant.post("go", &()).unwrap()[0].result.is_ok());
    }
    tenant.resume();
    while tenant.status()["main"].waiting > 0 {
        std::thread::yield_now();
    }
    assert_eq!(*lines.lock().unwrap(), made + 1);
    assert_eq!(value(&tenant, "go"), Ok(1));
    // many tenants at once share one load, and what it costs
    let heavy = bundle(&[("init.luau", "for _ = 1, 1e6 do end return { go = function() return 1 end }")]);
    let fuel_of = |tenants: u32| {
        let motu = builder(limits()).on_log(|_| ()).build().unwrap();
        run(async {
            let mut deploys = tokio::task::JoinSet::new();
            for n in 0..tenants {
                let (tenant, heavy) = (motu.tenant(&format!("i10:{n}").parse().unwrap()), heavy.clone());
                deploys.spawn(async move { tenant.deploy("main", &heavy).await.unwrap() });
            }
            deploys.join_all().await;
        });
        motu.tenants().iter().map(|tenant| motu.tenant(tenant).fuel()).sum::<u64>()
    };
    assert_eq!(fuel_of(50), fuel_of(1));
}

fn removed_bundles_end_their_events() {
    on_both(&limits(), |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "l1:1", "return { go = function() for i = 1, 1e5 do end return 1 end }");
        let answers = run(async {
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let tenant = tenant.clone();
                calls.spawn(
                    async move { tenant.dispatch::<u32>("go", &()).await.unwrap().remove(0).result.unwrap().value },
                );
            }
            tokio::task::yield_now().await; // each has dispatched its event
            assert!(tenant.remove("main"));
            calls.join_all().await
        });
        assert_eq!(answers, [1; 20]);
        assert!(run(tenant.dispatch::<u32>("go", &())).unwrap().is_empty());
    });
}

/// With its images, threads and all: nothing keeps a Motu that nobody has.
fn a_motu_that_is_dropped_is_gone() {
    on_both(&limits(), |builder| {
        let held = Arc::new(());
        let sink = held.clone();
        let motu = builder.on_log(move |_| drop(sink.clone())).build().unwrap();
        let tenant =
            deployed(&motu, "life:1", "return { go = function() print('x') task.delay(1e6, print) return 1 end }");
        assert_eq!(value(&tenant, "go"), Ok(1));
        motu.wake();
        drop((motu, tenant));
        while Arc::strong_count(&held) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
