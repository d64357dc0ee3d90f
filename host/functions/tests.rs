//! What a call costs before the function sees it: counted in steps, texts found once, refusals told once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::calls::{Calls, Life};
use super::fair_queue::{FairQueue, REMEMBERED_MAX};
use super::lane::Lane;
use super::{Arguments, Aside, Bulky, Functions, Heavy, NARROWED_BYTES_MAX, Trying};
use crate::clock::Clock;
use crate::error::Error;
use crate::grant::{Decision, Grants, Narrowed};
use crate::guest::motu::guest::types::Answer;
use crate::metering::Pace;
use crate::module::HostModule;
use crate::share::Shares;
use crate::value::Value;

fn arguments(all: &[Value]) -> Arguments {
    Arguments::counted(Value::Array(all.to_vec()).encode().unwrap())
}

/// A module whose function is narrowed by what is found in its first argument; with how often that was looked for.
fn functions() -> (Functions, Arc<AtomicUsize>) {
    let found = Arc::new(AtomicUsize::new(0));
    let counted = found.clone();
    let wit = "package test:t; interface t { fetch: func(url: string, note: list<u8>); }";
    let module = HostModule::from_wit(wit)
        .unwrap()
        .function("fetch", |_, _: (String, serde_bytes::ByteBuf)| ready(Ok::<_, Error>(())))
        .narrowed_by("fetch", "host", "url", move |url| {
            counted.fetch_add(1, Ordering::AcqRel);
            Some(url.to_owned())
        });
    let shares = Arc::new(Shares::new(Pace::USUAL, true));
    (Functions::new(&[module], None, Clock::default(), shares).unwrap(), found)
}

fn narrowed(functions: &Functions, grants: impl IntoIterator<Item = String>) -> Narrowed {
    match Grants::parse(grants).unwrap().of(&functions.get(0).unwrap().name()) {
        Decision::Narrowed(narrowed) => narrowed,
        other => panic!("{other:?}"),
    }
}

/// Whether a grant fits, the fuel for it, and the steps.
fn tried(functions: &Functions, narrowed: &Narrowed, arguments: &Arguments) -> (bool, u64, usize) {
    let (mut trying, mut fuel, mut steps) = (Trying::new(0, arguments), 0, 0);
    loop {
        let (fits, cost) = trying.step(functions.get(0).unwrap(), narrowed);
        assert!(cost <= 2_000_000 + super::tariff::DERIVED_BYTE * NARROWED_BYTES_MAX as u64, "{cost}");
        fuel += cost;
        steps += 1;
        if let Some(fits) = fits {
            return (fits, fuel, steps);
        }
    }
}

#[test]
fn t01_what_a_grant_names_is_found_once_for_a_call_and_paid() {
    let (functions, found) = functions();
    let url = "x".repeat(1000);
    let mut costs = Vec::new();
    for count in [1, 20, 200] {
        found.store(0, Ordering::Release);
        let grants = narrowed(&functions, (0..count).map(|n| format!("test:t/t.fetch[host=h{n}]")));
        let (fits, fuel, _) = tried(&functions, &grants, &arguments(&[url.as_str().into()]));
        assert!(!fits);
        assert_eq!(found.load(Ordering::Acquire), 1, "{count} grants");
        costs.push(fuel);
    }
    assert!(costs[0] >= super::tariff::DERIVED_BYTE * 1000, "{costs:?}");
    let each = costs[1] - costs[0];
    assert!(each >= 19 * super::tariff::PATTERN_BYTE * 1000, "each pattern is paid by the text's length: {costs:?}");
}

#[test]
fn t02_texts_are_bounded_and_patterns_are_tried_in_steps() {
    let (functions, found) = functions();
    let grants = narrowed(&functions, (0..1000).map(|n| format!("test:t/t.fetch[note=a*b{n}*c]")));
    let note = |bytes: usize| arguments(&["u".into(), Value::string("a".repeat(bytes))]);
    let (fits, fuel, steps) = tried(&functions, &grants, &note(NARROWED_BYTES_MAX));
    assert!(!fits && steps > 100, "{steps} steps");
    assert!(fuel >= 1000 * super::tariff::PATTERN_BYTE * NARROWED_BYTES_MAX as u64, "{fuel}");
    // what is longer is looked at by nobody
    let (fits, fuel, _) = tried(&functions, &grants, &note(NARROWED_BYTES_MAX + 1));
    assert!(!fits && fuel < 1000 * 2 * super::tariff::PATTERN + super::tariff::TEXT + 1, "{fuel}");
    let all = narrowed(&functions, ["test:t/t.fetch[note=*]".to_owned(), "test:t/t.fetch[host=*]".to_owned()]);
    assert!(tried(&functions, &all, &note(NARROWED_BYTES_MAX)).0);
    let long = arguments(&[Value::string("u".repeat(NARROWED_BYTES_MAX + 1)), Value::string("n".repeat(1 << 20))]);
    assert!(!tried(&functions, &all, &long).0);
    assert_eq!(found.load(Ordering::Acquire), 0);
    // what isn't UTF-8 fits nothing
    assert!(!tried(&functions, &all, &arguments(&[Value::string(b"\xff".to_vec()), Value::Nil])).0);
}

#[test]
fn t07_values_are_counted_in_steps_and_an_argument_is_found_without_a_walk() {
    let many: Value = (0..1_000_000).map(|_| true).collect();
    let bytes = Value::Array(vec![many, "after".into()]).encode().unwrap();
    let (mut arguments, mut steps, mut fuel) = (Arguments::new(bytes), 0, 0);
    loop {
        let counted = arguments.count();
        assert!(counted.fuel <= 10_000_000, "{}", counted.fuel);
        steps += 1;
        fuel += counted.fuel;
        if counted.is_done {
            break;
        }
    }
    assert!(steps >= 100, "{steps}");
    assert_eq!(fuel, 1_000_003 * 1_000, "each value, and the list of them, as before");
    assert_eq!(arguments.get(0).unwrap().values, 1_000_001);
    assert_eq!(arguments.encoded(1).unwrap(), b"\xa5after");
    assert_eq!(arguments.get(2), None);
    // what was cut is no argument, and no handle is overlooked
    let cut = Arguments::counted(vec![0x92, 0x01, 0x92, 0x01]);
    assert!(cut.get(0).is_some() && cut.get(1).is_none());
    let handle = Arguments::counted(vec![0x92, 0x01, 0x91, 0xd6, 3, 0, 0, 0, 0]);
    assert!(!handle.get(0).unwrap().has_handles && handle.get(1).unwrap().has_handles);
}

/// Counts how often one of it was dropped.
struct Counted(Arc<AtomicUsize>);

/// Waits until it is so, which it is soon.
async fn soon(is_so: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it isn't so after 20 s");
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Calls that wait for their turn aside, or have it, and are given up: first, second and third in line. They hold nobody up, and what
/// they have is dropped in their turn.
#[tokio::test]
async fn t07_what_is_given_up_in_line_holds_nobody_up() {
    let shares = Arc::new(Shares::new(Pace::USUAL, true));
    let aside = Arc::new(Aside::new(&tokio::runtime::Handle::current(), &shares));
    let [one, other] = ["guild:1", "guild:2"].map(|name| name.parse::<crate::Tenant>().unwrap());
    let (dropped, gauge) = (Arc::new(AtomicUsize::new(0)), crate::vm::Gauge::default());
    for given_up in 0_usize..8 {
        dropped.store(0, Ordering::Release);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        // who has the place
        aside.begin(&one, move || {
            let _ = tell.send(()); // it is waited for
            let _ = wait.recv(); // until it is dropped
        });
        told.await.unwrap();
        let mut calls: Vec<Heavy> = (0..3)
            .map(|_| {
                let (line, tenant, counted) = (aside.clone(), one.clone(), Counted(dropped.clone()));
                let of_call = line.clone();
                let work = async move {
                    let done = of_call.run(&tenant, move || drop(counted)).await;
                    Answer::Value(vec![u8::from(done.is_some())])
                };
                Heavy::new(
                    Box::pin(work),
                    line.clone(),
                    one.clone(),
                    [gauge.hold_within(1, 10).unwrap(), gauge.held_of(0)],
                )
            })
            .collect();
        for call in &mut calls {
            // begun, and in line
            for _ in 0..2 {
                assert!(
                    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *call).poll(context))).await.is_pending()
                );
            }
        }
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (at, call) in calls.into_iter().enumerate() {
            if given_up >> at & 1 == 1 { gone.push(call) } else { kept.push(call) }
        }
        drop(gone);
        drop(go);
        let last = tokio::time::timeout(Duration::from_secs(20), aside.run(&other, || 7)).await;
        assert_eq!(last, Ok(Some(7)), "a neighbour's turn comes: {given_up:b}");
        for call in kept {
            let answer = tokio::time::timeout(Duration::from_secs(20), call).await.unwrap(); // the others are done
            assert!(matches!(answer, Answer::Value(bytes) if bytes == [1]));
        }
        // the last in line is after all that was given up
        aside.run(&one, || ()).await.unwrap();
        assert_eq!(dropped.load(Ordering::Acquire), 3, "{given_up:b}");
        assert_eq!(gauge.held(), 0, "{given_up:b}");
    }
}

fn tenants<const N: usize>() -> [crate::Tenant; N] {
    std::array::from_fn(|number| format!("guild:{number}").parse().unwrap())
}

/// Steps of four tenants that each have a hundred works of a hundred steps, and one of a neighbour which comes in between: it is done
/// before each of them has had another turn or two. What was whole, or had its turn by count, held it up for all that was before it.
#[tokio::test]
async fn m8_who_has_taken_least_goes_next_and_waits_for_a_step() {
    let shares = Arc::new(Shares::new(Pace::USUAL, true));
    let lane = Lane::new(tokio::runtime::Handle::current(), shares.clone());
    let [neighbour, hostile @ ..] = tenants::<5>();
    let limits = crate::Limits::default();
    let kept: Vec<_> = hostile.iter().chain([&neighbour]).map(|tenant| shares.of(tenant, &limits)).collect();
    let steps = Arc::new(AtomicUsize::new(0));
    let spin = || {
        let start = crate::metering::processor_nanos();
        while crate::metering::processor_nanos() - start < 100_000 {}
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for tenant in hostile.iter().flat_map(|tenant| std::iter::repeat_n(tenant, 100)) {
        let (steps, stopped, mut left) = (steps.clone(), stopped.clone(), 100);
        lane.put(tenant, move || {
            spin();
            steps.fetch_add(1, Ordering::AcqRel);
            left -= 1;
            left == 0 || *stopped.borrow()
        });
    }
    let mut late = Vec::new();
    for round in 0..20 {
        soon(|| steps.load(Ordering::Acquire) >= 10 * (round + 1)).await;
        let (tell, told) = tokio::sync::oneshot::channel();
        let (steps, mut tell) = (steps.clone(), Some(tell));
        let before = steps.load(Ordering::Acquire);
        lane.put(&neighbour, move || tell.take().unwrap().send(steps.load(Ordering::Acquire)).is_ok());
        let waited = told.await.unwrap() - before;
        if waited > 8 {
            late.push(waited); // more than two turns of each: this thread was kept waiting, as a busy machine does now and then
        }
    }
    assert!(late.len() <= 5, "so many steps of others before it: {late:?}");
    stop.send(true).unwrap();
    assert!(kept.iter().take(4).all(|share| share.at() > kept[4].at()), "it is charged");
}

/// A future that is ready at its so manyth poll.
async fn polls(count: usize, mut each: impl FnMut()) {
    for left in (0..count).rev() {
        each();
        if left > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Calls of ten tenants with 300 each, all of which have something to do again and again; and one of a neighbour's: it has its polls
/// after a turn of each of the others. With a task for each call it had one after 3,000 polls of others'.
#[test]
fn m8_a_call_waits_for_turns_of_others_and_not_for_all_their_calls() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).build().unwrap();
    let shares = Arc::new(Shares::new(Pace::USUAL, true));
    let calls = Calls::new(runtime.handle().clone(), shares.clone());
    let life = Life::default();
    let [neighbour, hostile @ ..] = tenants::<11>();
    let kept: Vec<_> = hostile.iter().map(|tenant| shares.of(tenant, &crate::Limits::default())).collect();
    let others = Arc::new(AtomicUsize::new(0));
    let spin = || {
        let start = crate::metering::processor_nanos();
        while crate::metering::processor_nanos() - start < 20_000 {}
    };
    let mut under_way = Vec::new();
    for tenant in hostile.iter().flat_map(|tenant| std::iter::repeat_n(tenant, 300)) {
        let others = others.clone();
        let call = polls(1_000, move || {
            spin();
            others.fetch_add(1, Ordering::AcqRel);
        });
        under_way.push(calls.add(tenant, &life, call));
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    let (seen, mut at) = (others.clone(), Vec::new());
    let mut tell = Some(tell);
    let call = polls(8, move || {
        at.push(seen.load(Ordering::Acquire));
        if at.len() == 8 {
            tell.take().unwrap().send(std::mem::take(&mut at)).unwrap();
        }
    });
    let neighbours = calls.add(&neighbour, &life, call);
    let before = others.load(Ordering::Acquire);
    let at = told.blocking_recv().unwrap();
    let first = at[0].saturating_sub(before);
    let worst = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    // a turn or two of others, of five polls each; the machine may be busy
    assert!(first <= 100 && worst <= 100, "{first} of others' before the first, and {at:?}");
    assert!(
        kept.iter().all(|share| share.time() >= Duration::from_micros(20)),
        "each has had turns, and is charged for them"
    );
    drop((under_way, neighbours));
    let own = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    own.block_on(soon(|| Arc::strong_count(&others) == 1)); // each call has one
}

/// A call that is given up is dropped soon, with what it has; that it panics then is nobody else's business.
#[tokio::test]
async fn m8_calls_that_are_given_up_are_dropped_and_hold_up_none() {
    struct Panics(Arc<AtomicUsize>);
    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::AcqRel);
            panic!("as it is dropped");
        }
    }
    let calls = Calls::new(tokio::runtime::Handle::current(), Arc::new(Shares::new(Pace::USUAL, true)));
    let life = Life::default();
    let [tenant] = tenants();
    let dropped = Arc::new(AtomicUsize::new(0));
    for round in 1..4 {
        let waits = |_| {
            let held = Panics(dropped.clone());
            calls.add(&tenant, &life, async move {
                let _held = held;
                std::future::pending::<()>().await;
            })
        };
        let (gone, more): (Vec<i32>, Vec<i32>) = (0..10).partition(|number| number % 2 == 0);
        let (gone, mut more): (Vec<_>, Vec<_>) =
            (gone.into_iter().map(waits).collect(), more.into_iter().map(waits).collect());
        let (tell, told) = tokio::sync::oneshot::channel();
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        more.push(calls.add(&tenant, &life, async move {
            let _ = wait.await;
            let _ = tell.send(7);
        }));
        more.push(calls.add(&tenant, &life, async { panic!("as it is polled") }));
        let thrown = Panics(Arc::default());
        more.push(calls.add(&tenant, &life, async move { std::panic::panic_any(thrown) }));
        tokio::task::yield_now().await;
        drop(gone);
        drop(go);
        assert_eq!(told.await, Ok(7), "the call beside them is done");
        soon(|| dropped.load(Ordering::Acquire) == round * 10 - 5).await;
        drop(more);
        soon(|| dropped.load(Ordering::Acquire) == round * 10).await;
    }
}

/// A call on a runtime that is no more is dropped, as is each after it.
#[test]
fn nothing_is_left_of_calls_on_a_runtime_that_is_no_more() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let calls = Calls::new(runtime.handle().clone(), Arc::new(Shares::new(Pace::USUAL, true)));
    let life = Life::default();
    let [tenant] = tenants();
    let dropped = Arc::new(AtomicUsize::new(0));
    let held = Counted(dropped.clone());
    let was_there = calls.add(&tenant, &life, async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    drop(runtime); // it waits for its thread
    drop(was_there);
    assert_eq!(dropped.load(Ordering::Acquire), 1);
    for count in 1..4 {
        let held = Counted(dropped.clone());
        let _call = calls.add(&tenant, &life, async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        assert_eq!(dropped.load(Ordering::Acquire), 1 + count);
    }
}

/// However many they are, and before the last of them is dropped: nothing that a VM began goes on behind its end.
#[tokio::test]
async fn m8_calls_of_a_vm_that_is_gone_are_polled_no_more() {
    let calls = Calls::new(tokio::runtime::Handle::current(), Arc::new(Shares::new(Pace::USUAL, true)));
    let [tenant] = tenants();
    let (life, others) = (Life::default(), Life::default());
    let (go, wait) = tokio::sync::watch::channel(false);
    let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let call = |life: &Life| {
        let (mut wait, begun, done) = (wait.clone(), begun.clone(), done.clone());
        calls.add(&tenant, life, async move {
            begun.fetch_add(1, Ordering::AcqRel);
            wait.wait_for(|go| *go).await.unwrap();
            done.fetch_add(1, Ordering::AcqRel);
        })
    };
    let kept: Vec<_> = (0..1_000).map(|_| call(&life)).collect();
    let other = call(&others);
    soon(|| begun.load(Ordering::Acquire) == 1_001).await;
    drop(life);
    go.send(true).unwrap();
    soon(|| Arc::strong_count(&begun) == 1).await; // each was dropped
    assert_eq!(done.load(Ordering::Acquire), 1);
    drop((kept, other));
}

/// A call that always wakes itself keeps none of the same tenant's from its polls, whatever the number of them is.
#[tokio::test]
async fn m8_each_call_of_a_tenant_has_its_polls() {
    let calls = Calls::new(tokio::runtime::Handle::current(), Arc::new(Shares::new(Pace::USUAL, true)));
    let life = Life::default();
    let [tenant] = tenants();
    let had: [Arc<AtomicUsize>; 4] = Default::default();
    let polls = |had: &Arc<AtomicUsize>| {
        let had = had.clone();
        calls.add(
            &tenant,
            &life,
            std::future::poll_fn(move |context| {
                had.fetch_add(1, Ordering::AcqRel);
                let start = std::time::Instant::now();
                while start.elapsed() < Duration::from_micros(150) {}
                context.waker().wake_by_ref();
                Poll::Pending
            }),
        )
    };
    let all: Vec<_> = had.iter().map(polls).collect();
    soon(|| had.iter().all(|had| had.load(Ordering::Acquire) >= 20)).await;
    let counts = had;
    let had: Vec<_> = counts.iter().map(|had| had.load(Ordering::Acquire)).collect();
    assert!(had.iter().max().unwrap() - had.iter().min().unwrap() <= 2, "{had:?}");
    drop(all);
    soon(|| counts.iter().all(|had| Arc::strong_count(had) == 1)).await;
}

/// The thread's time is had by weight, and whoever has had much of it in one piece waits until the others have had as much.
#[tokio::test]
async fn m8_turns_beside_the_workers_are_had_by_weight() {
    let shares = Arc::new(Shares::new(Pace::USUAL, true));
    let lane = Lane::new(tokio::runtime::Handle::current(), shares.clone());
    let [light, heavy] = tenants();
    let limits = |weight| crate::Limits { weight, ..crate::Limits::default() };
    let kept = [(&light, 1), (&heavy, 4)].map(|(tenant, weight)| shares.of(tenant, &limits(weight)));
    let had: [Arc<AtomicUsize>; 2] = Default::default();
    let (all, told) = tokio::sync::oneshot::channel();
    let mut all = Some(all);
    kept.iter().for_each(|share| share.took(1, 0)); // what it weighs is known by what runs
    let (go, wait) = std::sync::mpsc::channel::<()>();
    lane.put(&light, move || wait.recv().is_err()); // until both are in line
    for (tenant, had) in [(&light, &had[0]), (&heavy, &had[1])] {
        let (had, mut left) = (had.clone(), 300);
        lane.put(tenant, move || {
            let start = crate::metering::processor_nanos();
            while crate::metering::processor_nanos() - start < 100_000 {}
            had.fetch_add(1, Ordering::AcqRel);
            left -= 1;
            left == 0
        });
    }
    let of_heavy = had[1].clone();
    let other = had[0].clone();
    lane.put(&heavy, move || {
        all.take().unwrap().send((other.load(Ordering::Acquire), of_heavy.load(Ordering::Acquire))).is_ok()
    });
    drop(go);
    let (of_light, of_heavy) = told.await.unwrap();
    assert_eq!(of_heavy, 300);
    assert!((50..=110).contains(&of_light), "{of_light} beside 300, which is 75 by weight");
}

/// What is thrown may panic as it is dropped: the lane goes on with what others have in it.
#[tokio::test]
async fn m8_a_panic_beside_the_workers_is_nobody_elses() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as it is dropped");
        }
    }
    let lane = Lane::new(tokio::runtime::Handle::current(), Arc::new(Shares::new(Pace::USUAL, true)));
    let [one, other] = tenants();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    lane.put(&one, move || wait.recv().is_err());
    lane.put(&one, || std::panic::panic_any(Panics));
    let told = [&one, &other].map(|tenant| {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        lane.put(tenant, move || tell.take().unwrap().send(7).is_ok());
        told
    });
    drop(go);
    for told in told {
        let told = tokio::time::timeout(Duration::from_secs(20), told);
        assert_eq!(told.await.ok(), Some(Ok(7)), "the lane goes on");
    }
}

/// What was asked for when the runtime is no more is answered, and nothing waits for ever. So is what was in line.
#[test]
fn nothing_waits_for_a_runtime_that_is_no_more() {
    let own = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let (gone, here) = (own(), own());
    let aside = Aside::new(gone.handle(), &Arc::new(Shares::new(Pace::USUAL, true)));
    let [tenant] = tenants();
    gone.shutdown_background();
    let bytes = Value::from_iter(0..10_000).encode().unwrap();
    for _ in 0..2 {
        here.block_on(async {
            let soon = Duration::from_secs(20);
            assert_eq!(tokio::time::timeout(soon, aside.run(&tenant, || 7)).await, Ok(None));
            assert!(matches!(tokio::time::timeout(soon, aside.decode(&tenant, bytes.clone(), None)).await, Ok(None)));
        });
    }
}

/// Counts how often it is looked at: twice to see whether it is long, and once for each step.
struct Seen(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Seen {
    fn as_ref(&self) -> &[u8] {
        self.1.fetch_add(1, Ordering::AcqRel);
        &self.0
    }
}

/// A value that nobody waits for any more is decoded no further, and is on no gauge then.
#[tokio::test]
async fn m8_a_value_that_was_given_up_is_decoded_no_further() {
    let aside = Aside::new(&tokio::runtime::Handle::current(), &Arc::new(Shares::new(Pace::USUAL, true)));
    let [one, other] = tenants();
    let value = Value::from_iter(0..100_000);
    let (bytes, gauge) = (value.encode().unwrap(), crate::vm::Gauge::default());
    let seen = Arc::new(AtomicUsize::new(0));
    let decode = |tenant: &crate::Tenant| {
        let (tenant, held) = (tenant.clone(), gauge.hold_within(1, 100));
        let bytes = Seen(bytes.clone(), seen.clone());
        let aside = &aside;
        Box::pin(async move { aside.decode(&tenant, bytes, held).await })
    };
    let taken = |left: Option<Bulky<Result<Value, crate::wire::WireError>>>| left.unwrap().take().unwrap();
    let (decoded, held) = taken(decode(&one).await);
    assert!(decoded.unwrap() == value);
    assert_eq!(gauge.held(), 1, "it counts until it is dropped");
    drop(held);
    assert_eq!(seen.swap(0, Ordering::AcqRel), 2 + 100_000 / 8_192 + 1);
    aside.run(&one, || ()).await.unwrap(); // what the lane had of it is gone
    let (go, wait) = std::sync::mpsc::channel::<()>();
    aside.begin(&one, move || assert!(wait.recv().is_err())); // the others are behind it
    let mut given_up: Vec<_> = (0..10).map(|_| decode(&one)).collect();
    for decoding in &mut given_up {
        for _ in 0..2 {
            assert!(std::future::poll_fn(|context| Poll::Ready(decoding.as_mut().poll(context))).await.is_pending());
        }
    }
    drop(given_up);
    soon(|| gauge.held() == 1).await; // of a tenant's large values one is in line, and held
    drop(go);
    assert!(taken(decode(&one).await).0.unwrap() == value);
    assert!(taken(decode(&other).await).0.unwrap() == value);
    assert_eq!(seen.load(Ordering::Acquire), 10 * 2 + 2 * (2 + 100_000 / 8_192 + 1), "no step for nobody");
    // and what was decoded, and not looked at, is dropped in its turn
    drop(decode(&one).await.unwrap());
    aside.run(&one, || ()).await.unwrap();
    assert_eq!(gauge.held(), 0);
    let (wrong, _) = taken(aside.decode(&one, vec![0xc1], None).await);
    assert!(wrong.unwrap_err().is_malformed());
}

/// Of large values, four are decoded at once, and one of a tenant: what 150 tenants return at once isn't all in memory as values.
#[tokio::test]
async fn m8_few_large_values_are_decoded_at_once() {
    let shares = Arc::new(Shares::new(Pace::USUAL, true));
    let aside = Aside::new(&tokio::runtime::Handle::current(), &shares);
    let all: [crate::Tenant; 20] = tenants();
    let bytes = Value::from_iter(0..200_000).encode().unwrap();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    /// The bytes of a value: open from the first step to the end.
    struct Large(Vec<u8>, AtomicUsize, Arc<AtomicUsize>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Large {
        fn as_ref(&self) -> &[u8] {
            // how long it is was asked before
            if self.1.fetch_add(1, Ordering::AcqRel) == 2 {
                self.3.fetch_max(self.2.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
            }
            &self.0
        }
    }
    impl Drop for Large {
        fn drop(&mut self) {
            self.2.fetch_sub(1, Ordering::AcqRel);
        }
    }
    let decodings = all.iter().flat_map(|tenant| [tenant, tenant]).map(|tenant| {
        let bytes = Large(bytes.clone(), AtomicUsize::new(0), open.clone(), most.clone());
        async { aside.decode(tenant, bytes, None).await.and_then(Bulky::take).unwrap().0.unwrap() }
    });
    let mut decodings: Vec<_> = decodings.map(Box::pin).collect();
    let mut done = 0;
    std::future::poll_fn(|context| {
        decodings.retain_mut(|decoding| {
            decoding.as_mut().poll(context).is_pending() || {
                done += 1;
                false
            }
        });
        if decodings.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!((done, most.load(Ordering::Acquire)), (40, 4));
}

#[test]
fn t22_the_operator_is_told_of_a_refusal_once_for_a_tenant_and_a_function() {
    let (functions, _) = functions();
    let tenants: Vec<crate::Tenant> = (0..3).map(|n| format!("guild:{n}").parse().unwrap()).collect();
    let told = |number: u32| tenants.iter().filter(|tenant| functions.tells(tenant, number)).count();
    assert_eq!((told(0), told(1)), (3, 3));
    // whatever VMs come and go: they have no part in it
    assert_eq!((told(0), told(1)), (0, 0));
}

fn numbered(n: usize) -> crate::Tenant {
    format!("t:{n}").parse().unwrap()
}

#[test]
fn who_has_had_least_is_next_and_who_comes_has_no_credit() {
    let mut queue = FairQueue::default();
    (0..3).for_each(|work| queue.put(&numbered(0), work));
    queue.put(&numbered(1), 10);
    let (first, work) = queue.begin().unwrap();
    assert_eq!((first.clone(), work), (numbered(0), 0));
    queue.end(first, None, 100);
    let (second, work) = queue.begin().unwrap();
    assert_eq!((second.clone(), work), (numbered(1), 10));
    queue.end(second, Some(11), 30);
    // 11 was left of it, and goes on until it has had as much
    for had in [60, 90, 120] {
        let (next, work) = queue.begin().unwrap();
        assert_eq!((next.clone(), work), (numbered(1), 11), "{had}");
        queue.end(next, Some(11), 30);
    }
    let (next, _) = queue.begin().unwrap();
    assert_eq!(next, numbered(0));
    // one that comes is where the others are, not at 0
    queue.put(&numbered(2), 20);
    queue.end(next, None, 5);
    let order: Vec<_> = std::iter::from_fn(|| {
        let (tenant, work) = queue.begin()?;
        queue.end(tenant, None, 50);
        Some(work)
    })
    .collect();
    assert_eq!(order, [20, 2, 11]);
}

/// Tenants that come and go leave nothing, though one always has work.
#[test]
fn few_are_remembered() {
    let mut queue = FairQueue::default();
    queue.put(&numbered(0), ());
    let (busy, ()) = queue.begin().unwrap();
    for n in 1..10 * REMEMBERED_MAX {
        queue.put(&numbered(n), ());
        let (next, ()) = queue.begin().unwrap();
        queue.end(next, None, 1_000);
    }
    assert!(queue.remembered() <= 4 * REMEMBERED_MAX, "{}", queue.remembered());
    queue.end(busy, None, 1);
    assert!(queue.begin().is_none());
    assert_eq!(queue.remembered(), 0);
}
