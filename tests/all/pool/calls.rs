//! Host functions, timers and tasks on the workers: what waits holds nobody up, and what fails is told by its name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use motu::{CallContext, Error, ErrorKind, Grants, HostModule, Limits, MotuBuilder, TenantRef, Value};

use super::{deployed, on_both, workers};
use crate::support::{builder, limits, run, unplaced, until};

trials![
    i2_a_slow_call_stalls_nobody,
    i7_a_panic_loses_the_caller_alone,
    i8_timers_calls_and_coroutines_are_bounded,
    d1_a_handler_that_sleeps_for_ever_ends_at_its_deadline,
    calls_are_denied_by_default,
    calls_fail_by_name,
    a_call_that_blocks_is_named,
    calls_end_with_their_event,
    a_caller_that_goes_while_another_event_computes,
    i5_what_calls_hold_counts_as_memory,
    m4_what_calls_hold_counts_until_it_is_dropped,
    m4_a_vm_starts_when_the_calls_of_the_last_one_are_dropped,
    a_result_that_is_decoded_after_its_deadline_is_refused,
    one_account_for_an_events_whole_life,
    what_an_event_leaves_has_a_budget_of_its_own,
    start_runs_before_the_first_event,
    a_start_that_fails_is_the_events_error,
    u1_many_sleepers,
    log_lines_name_the_event,
];

const SOURCE: &str = "local fns = require('@test/fns')\nreturn {\n\
    call = function(name) return fns[name]('x', 7) end,\n\
    caught = function(name) local ok, why = pcall(fns[name]) return { ok, tostring(why) } end,\n\
    quick = function() return 1 end,\n\
    sleep = function(seconds) task.wait(seconds) return 'slept' end,\n\
    forever = function() pcall(task.wait, 1e6) pcall(task.wait, 1e6) return 'caught' end }";

/// With functions that are done at once, later, never, and not well. One blocks until `live` isn't 0.
fn with_functions(builder: MotuBuilder, live: &Arc<AtomicUsize>) -> MotuBuilder {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
    let (never, seen) = (live.clone(), live.clone());
    type Both = (Value, Value);
    let fns = HostModule::from_wit(WIT)
        .unwrap()
        .function("now", |_, (a, b): Both| async { Ok::<_, Error>(Value::from_iter([a, b])) })
        .function("later", |context: CallContext, _: Both| async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, Error>(Value::string(format!("{} of {}", context.event(), context.tenant())))
        })
        .function("never", move |_, _: Both| {
            never.fetch_add(1, Ordering::AcqRel);
            let counted = Counted(never.clone());
            async move {
                let _counted = counted;
                std::future::pending::<Result<Value, Error>>().await
            }
        })
        .function("fails", |_, _: Both| async { Err::<Value, _>(std::io::Error::other("the disk is on fire")) })
        .function("large", |_, _: Both| async { Ok::<_, Error>(Value::string("x".repeat(2 << 20))) })
        .function("panics", |_, _: Both| async { panic!("its own fault") as Result<Value, Error> })
        .function("panics-later", |_, _: Both| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            panic!("its own fault, later") as Result<Value, Error>
        })
        .function("blocks", move |_, _: Both| {
            let seen = seen.clone();
            async move {
                // asleep: a wait that looks often would be a long step
                for _ in 0..600 {
                    if seen.load(Ordering::Acquire) > 0 {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok::<_, Error>(Value::Nil)
            }
        });
    builder.host_module(fns)
}

const WIT: &str = "package test:fns;
interface fns {
  use motu:value/types.{value};
  now: func(a: value, b: value) -> value;
  later: func(a: value, b: value) -> value;
  never: func(a: value, b: value) -> value;
  fails: func(a: value, b: value) -> value;
  large: func(a: value, b: value) -> value;
  panics: func(a: value, b: value) -> value;
  panics-later: func(a: value, b: value) -> value;
  blocks: func(a: value, b: value) -> value;
}";

const ALL: [&str; 8] = ["now", "later", "never", "fails", "large", "panics", "panics_later", "blocks"];

fn grants(texts: &[&str]) -> Option<Grants> {
    Some(Grants::parse(texts).unwrap())
}

fn granted(motu: &motu::Motu, tenant: &str) -> TenantRef {
    let tenant = deployed(motu, tenant, SOURCE);
    tenant.set_grants(grants(&["test:fns/*"]));
    tenant
}

fn ask(tenant: &TenantRef, event: &str, payload: &Value) -> Result<Value, motu::Error> {
    run(tenant.dispatch_value(event, payload)).unwrap().remove(0).result.map(|outcome| outcome.value)
}

fn call(tenant: &TenantRef, name: &str) -> Result<Value, motu::Error> {
    ask(tenant, "call", &Value::string(name))
}

/// A waits for a call that never ends; B's thousand events on the same worker don't.
fn i2_a_slow_call_stalls_nobody() {
    on_both(&limits(), |builder| {
        let live = Arc::default();
        let motu = with_functions(builder.placement(workers(1)), &live).build().unwrap();
        let (slow, other) = (granted(&motu, "i2:a"), granted(&motu, "i2:b"));
        slow.post("call", "never").unwrap();
        while live.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        for _ in 0..1000 {
            assert_eq!(ask(&other, "quick", &Value::Nil).unwrap(), Value::from(1));
        }
        // nor its own next events
        assert_eq!(ask(&slow, "quick", &Value::Nil).unwrap(), Value::from(1));
        assert_eq!(slow.status()["main"].started, 1, "it still waits");
        slow.kill();
    });
}

fn i7_a_panic_loses_the_caller_alone() {
    on_both(&limits(), |builder| {
        let live = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let (tenant, neighbour) = (granted(&motu, "i7:1"), granted(&motu, "i7:2"));
        for (name, text) in [("panics", "its own fault"), ("panics_later", "its own fault, later")] {
            assert_eq!(ask(&tenant, "quick", &Value::Nil).unwrap(), Value::from(1));
            let starts = tenant.status()["main"].starts;
            neighbour.post("call", "never").unwrap();
            for (event, line) in [("call", 3), ("caught", 4)] {
                let error = ask(&tenant, event, &Value::string(name)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Host, "{error}");
                assert_eq!(
                    error.message(),
                    format!(
                        "init.luau:{line}: the host function test:fns/fns.{} panicked: {text}",
                        name.replace('_', "-")
                    )
                );
            }
            assert_eq!(ask(&tenant, "quick", &Value::Nil).unwrap(), Value::from(1));
            assert_eq!(tenant.status()["main"].starts, starts + 2);
            assert_eq!(ask(&neighbour, "quick", &Value::Nil).unwrap(), Value::from(1));
            assert_eq!(neighbour.status()["main"].starts, 1);
        }
    });
}

/// The n-th works, one more is refused by name, and the totals return to 0.
fn i8_timers_calls_and_coroutines_are_bounded() {
    let source = "local fns = require('@test/fns')\n\
        local function fill(make) local n = 0 while true do local ok, why = pcall(make) if not ok then return { n, why } end n += 1 end end\n\
        local kept = {}\n\
        local function clear() for _, thread in kept do task.cancel(thread) end table.clear(kept) end\n\
        return {\n\
        timers = function() local r = fill(function() table.insert(kept, task.delay(1e6, print)) end) clear() return r end,\n\
        calls = function() local r = fill(function() local why local thread = task.spawn(function() local ok ok, why = pcall(fns.never) end)\n\
            if why then error(why, 0) end table.insert(kept, thread) end) clear() return r end,\n\
        coroutines = function() local r = fill(function() table.insert(kept, coroutine.create(print)) end) clear() return r end }";
    let limits = Limits { timers: 50, calls_in_flight: 40, coroutines: 100, ..limits() };
    on_both(&limits, |builder| {
        let live: Arc<AtomicUsize> = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let tenant = deployed(&motu, "i8:1", source);
        tenant.set_grants(grants(&["test:fns/*"]));
        for round in 0..5 {
            for (event, limit, most) in
                [("timers", "timers", 50), ("calls", "calls_in_flight", 40), ("coroutines", "coroutines", 100)]
            {
                let Value::Array(result) = ask(&tenant, event, &Value::Nil).unwrap() else { panic!() };
                let why = result[1].as_str().unwrap_or_default().to_owned();
                assert_eq!(result[0], Value::from(most), "{event}, round {round}: {why}");
                assert!(why.contains(&format!("over the limit {limit} of {most}")), "{why}");
            }
            while live.load(Ordering::Acquire) > 0 {
                std::thread::yield_now(); // the futures of cancelled calls are dropped
            }
        }
        assert_eq!(tenant.status()["main"].starts, 1);
    });
}

fn d1_a_handler_that_sleeps_for_ever_ends_at_its_deadline() {
    on_both(&limits(), |builder| {
        let live = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let tenant = deployed(&motu, "d1:1", SOURCE);
        for _ in 0..3 {
            let since = Instant::now();
            let deadline = Some(Duration::from_millis(30));
            let error =
                run(tenant.dispatch_within::<()>("forever", &(), deadline)).unwrap().remove(0).result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
            assert!(since.elapsed() >= Duration::from_millis(30));
        }
        // ending one that waits ends nothing else
        assert_eq!(tenant.status()["main"].starts, 1);
        assert_eq!(tenant.status()["main"].started, 0);
        assert_eq!(ask(&tenant, "sleep", &Value::from(0.001)).unwrap(), Value::string("slept"));
    });
}

fn calls_are_denied_by_default() {
    on_both(&limits(), |builder| {
        let live = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let tenant = deployed(&motu, "p1:1", SOURCE);
        for name in ALL {
            let error = call(&tenant, name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert_eq!(error.message(), {
                let grant = format!("test:fns/fns.{}", name.replace('_', "-"));
                format!("init.luau:3: fns.{name} needs the grant {grant}, which p1:1 does not have")
            });
        }
        tenant.set_grants(grants(&["test:fns/fns.now"]));
        assert_eq!(call(&tenant, "now").unwrap(), Value::from_iter([Value::string("x"), Value::from(7)]));
        assert_eq!(call(&tenant, "later").unwrap_err().kind(), ErrorKind::Denied);
        tenant.set_grants(None);
        assert_eq!(call(&tenant, "now").unwrap_err().kind(), ErrorKind::Denied);
    });
}

fn calls_fail_by_name() {
    on_both(&limits(), |builder| {
        let live = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let tenant = granted(&motu, "p1:1");
        assert_eq!(call(&tenant, "later").unwrap(), Value::string("call of p1:1"));
        for (name, kind, text) in [
            ("fails", ErrorKind::Host, "init.luau:3: fns.fails: the disk is on fire"),
            ("large", ErrorKind::Limit, "init.luau:3: fns.large: result: over the limit payload_bytes of 1048576"),
        ] {
            let error = call(&tenant, name).unwrap_err();
            assert_eq!((error.kind(), error.message()), (kind, text));
            let caught = ask(&tenant, "caught", &Value::string(name)).unwrap();
            assert_eq!(caught, Value::from_iter([Value::Boolean(false), Value::string(text.replace(":3:", ":4:"))]));
        }
        assert_eq!(tenant.status()["main"].starts, 1);
    });
}

fn a_call_that_blocks_is_named() {
    let live = Arc::<AtomicUsize>::default();
    let motu = with_functions(builder(limits()).placement(workers(1)), &live).build().unwrap();
    let tenant = granted(&motu, "i2:1");
    assert!(motu.stats().blocked.is_empty());
    tenant.post("call", "blocks").unwrap();
    until("it is named", || motu.stats().blocked == ["test:fns/fns.blocks"]);
    live.store(1, Ordering::Release);
    assert_eq!(ask(&tenant, "quick", &Value::Nil).unwrap(), Value::from(1));
    until("it is named no more", || motu.stats().blocked.is_empty());
}

/// A deadline, a kill and a caller that goes all drop what the host was doing for the event.
fn calls_end_with_their_event() {
    on_both(&limits(), |builder| {
        let live: Arc<AtomicUsize> = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let tenant = granted(&motu, "d1:1");
        let until = |count: usize| {
            while live.load(Ordering::Acquire) != count {
                std::thread::yield_now();
            }
        };
        let never = Value::string("never");
        let within = Some(Duration::from_millis(20));
        let ended = run(tenant.dispatch_within::<()>("call", "never", within)).unwrap().remove(0).result.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::Deadline);
        until(0);
        {
            let mut dropped = Box::pin(tenant.dispatch_value("call", &never));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(dropped.as_mut().poll(&mut context).is_pending());
            until(1);
        }
        until(0);
        assert_eq!(ask(&tenant, "quick", &Value::Nil).unwrap(), Value::from(1));
        assert_eq!(tenant.status()["main"].starts, 1, "nothing else was ended");
        tenant.post("call", "never").unwrap();
        until(1);
        tenant.kill();
        until(0);
        assert_eq!(motu.stats().waiting_events, 0);
    });
}

/// The event that waits is closed all the same, when the one that computes gives way; that one is not touched.
fn a_caller_that_goes_while_another_event_computes() {
    let source = "local fns = require('@test/fns')\nreturn {\n\
        call = function() fns.never() end,\n\
        work = function() for i = 1, 3e6 do end return 1 end }";
    on_both(&limits(), |builder| {
        let live: Arc<AtomicUsize> = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let tenant = deployed(&motu, "d1:1", source);
        tenant.set_grants(grants(&["test:fns/*"]));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut waits = Box::pin(tenant.dispatch_value("call", &Value::Nil));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        while live.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        let works = std::thread::spawn({
            let tenant = tenant.clone();
            move || ask(&tenant, "work", &Value::Nil)
        });
        while tenant.status()["main"].started < 2 && !works.is_finished() {
            std::thread::yield_now();
        }
        drop(waits);
        assert_eq!(works.join().unwrap().unwrap(), Value::from(1));
        while live.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(tenant.status()["main"].starts, 1);
    });
}

/// M4: what the host holds for calls that are under way is the tenant's memory.
fn i5_what_calls_hold_counts_as_memory() {
    let source = "local fns = require('@test/fns')\nlocal text = string.rep('x', 100000)\n\
        return { go = function(n) for _ = 1, n do task.spawn(function() fns.never(text) end) end return n end }";
    on_both(&Limits { memory_bytes: 8 << 20, ..limits() }, |builder| {
        let live: Arc<AtomicUsize> = Arc::default();
        let motu = with_functions(builder, &live).build().unwrap();
        let tenant = deployed(&motu, "i5:1", source);
        tenant.set_grants(grants(&["test:fns/*"]));
        for _ in 0..3 {
            assert_eq!(ask(&tenant, "go", &Value::from(40)).unwrap(), Value::from(40));
            let error = ask(&tenant, "go", &Value::from(60)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Memory);
            assert!(error.message().contains("that the host holds for it"), "{error}");
            while live.load(Ordering::Acquire) > 0 {
                std::thread::yield_now();
            }
        }
    });
}

/// Calls that were given up on a runtime that is busy, or doesn't run at all: what they hold is memory of the instance as long as it is there.
fn m4_what_calls_hold_counts_until_it_is_dropped() {
    let source = "local fns = require('@test/fns')\nlocal text = string.rep('x', 100000)\n\
        return { go = function(n)\n\
            for _ = 1, n do task.cancel(task.spawn(function() fns.never(text) end)) end\n\
            return n\n\
        end }";
    on_both(&Limits { memory_bytes: 8 << 20, ..limits() }, |builder| {
        let live: Arc<AtomicUsize> = Arc::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let motu = with_functions(builder.runtime(runtime.handle().clone()), &live).build().unwrap();
        let tenant = deployed(&motu, "m4:1", source);
        tenant.set_grants(grants(&["test:fns/*"]));
        for _ in 0..2 {
            assert_eq!(ask(&tenant, "go", &Value::from(40)).unwrap(), Value::from(40));
            assert_eq!(live.load(Ordering::Acquire), 40);
            let error = ask(&tenant, "go", &Value::from(60)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Memory);
            assert!(error.message().contains("that the host holds for it"), "{error}");
            until("it is dropped", || {
                runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
                live.load(Ordering::Acquire) == 0
            });
        }
    });
}

/// A VM was killed with a call on a runtime that isn't driven: the next one starts once it is, and until then what the call holds is shown.
fn m4_a_vm_starts_when_the_calls_of_the_last_one_are_dropped() {
    on_both(&limits(), |builder| {
        let live: Arc<AtomicUsize> = Arc::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let motu = with_functions(builder.runtime(runtime.handle().clone()), &live).build().unwrap();
        let tenant = granted(&motu, "m4:1");
        let status = || tenant.status().remove("main").unwrap();
        for starts in 1..3 {
            tenant.post("call", "never").unwrap();
            until("it is called", || live.load(Ordering::Acquire) == 1);
            tenant.kill();
            until("it is gone", || !status().live);
            assert!(status().memory_bytes > 1_000, "{:?}", status());
            tenant.post("quick", &()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!((status().starts, status().waiting), (starts, 1));
            until("it is dropped", || {
                runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
                live.load(Ordering::Acquire) == 0
            });
            until("the next is there", || status().starts == starts + 1 && status().waiting == 0);
        }
        tenant.kill();
        until("nothing is held", || !status().live && status().memory_bytes == 0);
    });
}

/// The only thread that may block is busy until then.
fn a_result_that_is_decoded_after_its_deadline_is_refused() {
    let deadline = Duration::from_secs(1);
    on_both(&Limits { event_deadline: Some(deadline), ..limits() }, |builder| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).max_blocking_threads(1).enable_time().build().unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let _busy = runtime.spawn_blocking(move || wait.recv().is_err());
        let motu = builder.runtime(runtime.handle().clone()).build().unwrap();
        let tenant = deployed(&motu, "d2:1", "return { many = function(n) return table.create(n, true) end }");
        let before = motu.stats().answered;
        std::thread::scope(|scope| {
            let many = scope.spawn(|| ask(&tenant, "many", &Value::from(1_000)));
            until("it has ended", || motu.stats().answered > before);
            std::thread::sleep(2 * deadline); // who asks may be late to look: its time begins then
            drop(go);
            let error = many.join().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.event()), (ErrorKind::Deadline, Some("many")));
            assert!(error.usage().elapsed >= deadline);
        });
        assert!(ask(&tenant, "many", &Value::from(1_000)).is_ok());
    });
}

/// Waiting never refills an event's fuel.
fn one_account_for_an_events_whole_life() {
    let source = "return { go = function() while true do for i = 1, 10000 do end task.wait() end end,\n\
        spawned = function() for _ = 1, 10 do task.spawn(function() while true do for i = 1, 10000 do end task.wait() end end) end task.wait(1e6) end,\n\
        ok = function() return 1 end }";
    on_both(&Limits { event_fuel: Some(20_000_000), ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "u1:1", source);
        for event in ["go", "spawned"] {
            let error = ask(&tenant, event, &Value::Nil).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fuel);
            assert_eq!(unplaced(&error), "out of fuel: the budget of 20000000 is used up");
            assert_eq!(error.usage().fuel, 20_000_000);
            assert_eq!(ask(&tenant, "ok", &Value::Nil).unwrap(), Value::from(1));
        }
    });
}

fn what_an_event_leaves_has_a_budget_of_its_own() {
    let source = "n = 0\nreturn { leave = function() task.delay(0, function() while true do n += 1 end end) return 'left' end,\n\
        many = function() for _ = 1, 5 do task.delay(0, function() for i = 1, 10000 do n += 1 end end) end end,\n\
        get = function() return n end }";
    let limits = Limits { background_fuel: Some(5_000_000), event_fuel: Some(100_000_000), ..limits() };
    on_both(&limits, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "u1:1", source);
        ask(&tenant, "many", &Value::Nil).unwrap();
        while ask(&tenant, "get", &Value::Nil).unwrap() != Value::from(50_000) {
            std::thread::yield_now();
        }
        assert_eq!(tenant.status()["main"].starts, 1);
        assert_eq!(ask(&tenant, "leave", &Value::Nil).unwrap(), Value::string("left"));
        while tenant.status()["main"].live {
            std::thread::yield_now();
        }
        assert_eq!(ask(&tenant, "get", &Value::Nil).unwrap(), Value::from(0), "a fresh one");
    });
}

fn start_runs_before_the_first_event() {
    let source = "order = {}\nreturn { start = function() table.insert(order, 'start') task.wait(0.005) table.insert(order, 'started') end,\n\
        go = function(n) table.insert(order, n) return table.concat(order, ' ') end }";
    on_both(&limits(), |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "l2:1", source);
        let (one, two) =
            run(async { tokio::join!(tenant.dispatch::<String>("go", &1), tenant.dispatch::<String>("go", &2)) });
        assert_eq!(one.unwrap()[0].result.as_ref().unwrap().value, "start started 1");
        assert_eq!(two.unwrap()[0].result.as_ref().unwrap().value, "start started 1 2");
        tenant.kill();
        assert_eq!(ask(&tenant, "go", &Value::from(3)).unwrap(), Value::string("start started 3"));
        assert!(run(tenant.dispatch::<()>("start", &())).unwrap().is_empty(), "it is no event");
    });
}

fn a_start_that_fails_is_the_events_error() {
    let limits = Limits {
        start_fuel: Some(5_000_000),
        start_deadline: Some(Duration::from_millis(50)),
        restarts: Some(2),
        restart_window: Duration::from_secs(600),
        ..limits()
    };
    for (body, kind) in [
        ("error('no')", ErrorKind::Script),
        ("while true do end", ErrorKind::Fuel),
        ("task.wait(1e6)", ErrorKind::Deadline),
    ] {
        on_both(&limits, |builder| {
            let motu = builder.build().unwrap();
            let source = format!("return {{ start = function() {body} end, go = function() return 1 end }}");
            let tenant = deployed(&motu, "l2:1", &source);
            for _ in 0..3 {
                let error = ask(&tenant, "go", &Value::Nil).unwrap_err();
                assert_eq!((error.kind(), error.event()), (kind, Some("go")), "{error}");
            }
            let error = ask(&tenant, "go", &Value::Nil).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Quarantined, "it counts as a restart: {error}");
        });
    }
}

/// reduced: 200,000 of 1,000,000 sleepers over 100 tenants, for memory; MOTU_FULL=1 has them all.
fn u1_many_sleepers() {
    let each = if crate::support::full() { 10_000 } else { 2_000 };
    let source = "local awake = 0\nreturn { go = function(n) for i = 1, n do task.delay(0.5 + i / n / 10, function() awake += 1 end) end end,\n\
        awake = function() return awake end }";
    let motu = builder(Limits { coroutines: 30_000, timers: 30_000, ..limits() }).build().unwrap();
    let tenants: Vec<TenantRef> = (0..100).map(|n| deployed(&motu, &format!("u1:{n}"), source)).collect();
    for tenant in &tenants {
        ask(tenant, "go", &Value::from(each)).unwrap();
    }
    for tenant in &tenants {
        while ask(tenant, "awake", &Value::Nil).unwrap() != Value::from(each) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(tenant.status()["main"].starts, 1);
    }
}

fn log_lines_name_the_event() {
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = lines.clone();
    let motu = builder(limits())
        .on_log(move |line| {
            let event = line.event.as_deref().unwrap_or("none").to_owned();
            kept.lock().unwrap().push(format!("{event}: {}", line.text.lines().next().unwrap_or_default()));
        })
        .build()
        .unwrap();
    let source = "print('loading')\nreturn { go = function() print('going') task.delay(0, function() error('left behind') end) end, quick = function() end }";
    let tenant = deployed(&motu, "v1:1", source);
    ask(&tenant, "go", &Value::Nil).unwrap();
    while lines.lock().unwrap().len() < 3 {
        ask(&tenant, "quick", &Value::Nil).unwrap();
    }
    assert_eq!(*lines.lock().unwrap(), ["none: loading", "go: going", "go: init.luau:2: left behind"]);
}
