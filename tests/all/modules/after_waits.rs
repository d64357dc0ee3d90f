//! What a host function computes after it has waited: on a worker, in turns with everybody, at its event's cost. The functions
//! here wait and give way, as `CallContext::give_way` tells those that compute.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::Duration;

use motu::{CallContext, Error, ErrorKind, HostModule, Limits, Motu, MotuBuilder, TenantRef, Value};
use serde::{Deserialize, Serialize, Serializer};

use super::charge::cost;
use super::tenant;
use crate::pool::workers;
use crate::support::{builder, limits, until};

trials![
    i1_it_computes_on_a_worker,
    i1_its_result_is_written_on_a_worker,
    i1_neighbours_are_answered,
    i1_that_a_call_gave_way_is_forgotten_when_it_is_done,
    i4_it_ends_at_the_limits,
    i4_what_an_event_left_behind_ends_at_its_limit,
    i4_what_waits_again_and_again_ends_at_its_limit,
    i1_a_call_that_is_given_up_is_paid_for,
    r2_it_costs_the_same_each_time,
    m6_a_panic_ends_the_instance_only,
    calls_that_are_given_up_are_dropped_wherever_they_are,
];

const WIT: &str = "package test:late; interface late {
    rounds: func(rounds: u32, slices: u32) -> u32;
    for-ever: func();
    panics: func();
    written: func(waits: bool) -> u32;
    paid: func(fuel: u64);
    drips: func(fuel: u64);
    forgets: func();
    twice: func();
}";

const SOURCE: &str = "local late = require('@test/late')
return {
    rounds = function(given) return late.rounds(given[1], given[2]) end,
    for_ever = function() pcall(late.for_ever) return 'caught' end,
    sixteen = function() for _ = 1, 16 do task.spawn(late.for_ever) end task.wait(1000) end,
    leaves = function() task.spawn(late.for_ever) return 'left' end,
    panics = function() pcall(late.panics) return 'caught' end,
    gives_up = function(seconds)
        local calls = {}
        for n = 1, 8 do calls[n] = task.spawn(late.rounds, n, n % 3) end
        task.wait(seconds)
        for _, call in calls do pcall(task.cancel, call) end
    end,
    paid = function(n) for _ = 1, n do task.cancel(task.spawn(late.paid, 1000000)) end end,
    drips = function(fuel) pcall(late.drips, fuel) return 'caught' end,
    written = function(waits) return late.written(waits) end,
    quick = function() return 1 end,
    forgets = function() late.forgets() late.twice() end,
}";

#[derive(Default)]
struct Seen {
    /// Where it was polled: at first, and each time after it gave way.
    first: Mutex<Vec<ThreadId>>,
    computes: Mutex<Vec<ThreadId>>,
    turns: AtomicUsize,
    live: AtomicUsize,
}

/// A result that tells where it is written.
#[derive(Deserialize)]
#[serde(from = "u32")]
struct Written(Option<Arc<Seen>>);

impl From<u32> for Written {
    fn from(_: u32) -> Written {
        Written(None)
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Written(Some(seen)) = self {
            seen.computes.lock().unwrap().push(thread::current().id());
        }
        to.serialize_u32(1)
    }
}

/// Counts calls whose futures are there.
struct Live(Arc<Seen>);

impl Live {
    fn of(seen: &Arc<Seen>) -> Live {
        seen.live.fetch_add(1, Ordering::AcqRel);
        seen.first.lock().unwrap().push(thread::current().id());
        Live(seen.clone())
    }

    /// Waits for the outside, and goes on on a worker.
    async fn wait(&self, context: &CallContext) {
        tokio::task::yield_now().await; // always pending at first
        tokio::time::sleep(Duration::from_millis(1)).await;
        context.give_way().await;
        self.0.computes.lock().unwrap().push(thread::current().id());
    }

    /// Computes for a slice.
    async fn slice(&self, context: &CallContext) {
        self.0.turns.fetch_add(1, Ordering::AcqRel);
        context.charge(Limits::SLICE_FUEL);
        context.give_way().await;
        self.0.computes.lock().unwrap().push(thread::current().id());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
    }
}

fn made(builder: MotuBuilder) -> (Motu, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let [rounds, for_ever, panics, written, paid, drips, twice] = [(); 7].map(|()| seen.clone());
    let module = HostModule::from_wit(WIT)
        .unwrap()
        .function("rounds", move |context: CallContext, (rounds_, slices): (u32, u32)| {
            let live = Live::of(&rounds);
            async move {
                for _ in 0..rounds_ {
                    live.wait(&context).await;
                    for _ in 0..slices {
                        live.slice(&context).await;
                    }
                }
                Ok::<u32, Error>(rounds_ * slices)
            }
        })
        .function("for-ever", move |context: CallContext, (): ()| {
            let live = Live::of(&for_ever);
            async move {
                live.wait(&context).await;
                loop {
                    live.slice(&context).await;
                }
                #[allow(unreachable_code, reason = "it says what the function returns")]
                Ok::<(), Error>(())
            }
        })
        .function("panics", move |context: CallContext, (): ()| {
            let live = Live::of(&panics);
            async move {
                live.wait(&context).await;
                assert!(context.event().is_empty(), "it had enough");
                Ok::<(), Error>(())
            }
        })
        .function("paid", move |context: CallContext, fuel: u64| {
            let live = Live::of(&paid);
            async move {
                context.charge(fuel);
                std::future::pending::<()>().await;
                drop(live);
                Ok::<(), Error>(())
            }
        })
        .function("drips", move |context: CallContext, fuel: u64| {
            let live = Live::of(&drips);
            async move {
                loop {
                    live.wait(&context).await;
                    context.charge(fuel);
                }
                #[allow(unreachable_code, reason = "it says what the function returns")]
                Ok::<(), Error>(())
            }
        })
        .function("forgets", |context: CallContext, (): ()| async move {
            let mut way = pin!(context.give_way());
            assert!(poll_fn(|polled| Poll::Ready(way.as_mut().poll(polled).is_pending())).await);
            Ok::<(), Error>(())
        })
        .function("twice", move |_, (): ()| {
            let (twice, mut is_polled) = (twice.clone(), false);
            poll_fn(move |_| {
                twice.computes.lock().unwrap().push(thread::current().id());
                match std::mem::replace(&mut is_polled, true) {
                    true => Poll::Ready(Ok::<(), Error>(())),
                    false => Poll::Pending,
                }
            })
        })
        .function("written", move |_, waits: bool| {
            let live = Live::of(&written);
            async move {
                if waits {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok::<_, Error>(Written(Some(live.0.clone())))
            }
        });
    (builder.host_module(module).build().unwrap(), seen)
}

fn granted(motu: &Motu, name: &str) -> TenantRef {
    tenant(motu, name, SOURCE, &["*"])
}

/// Also when it waits and computes by turns, and when all of its computing is between two waits.
fn i1_it_computes_on_a_worker() {
    let (motu, seen) = made(builder(limits()).placement(workers(1)));
    let tenant = granted(&motu, "late:worker");
    for (rounds, slices) in [(1u32, 0), (1, 5), (5, 0), (5, 3), (20, 1)] {
        let (result, fuel) = cost(&tenant, "rounds", Value::from_iter([rounds, slices]));
        let sum = u64::from(rounds * slices);
        assert_eq!(result.unwrap(), Value::from(rounds * slices));
        assert!(fuel >= sum * Limits::SLICE_FUEL && fuel < (sum + 1) * Limits::SLICE_FUEL, "{fuel} for {sum} slices");
    }
    let worker = seen.first.lock().unwrap()[0];
    let computes = seen.computes.lock().unwrap();
    assert_eq!(computes.len(), 1 + 1 + 5 + 5 + 5 + 15 + 20 + 20);
    assert!(computes.iter().all(|thread| *thread == worker), "always on the one worker");
    assert_eq!(seen.live.load(Ordering::Acquire), 0);
}

/// However the function has waited: what it returns may be long.
fn i1_its_result_is_written_on_a_worker() {
    let (motu, seen) = made(builder(limits()).placement(workers(1)));
    let tenant = granted(&motu, "late:written");
    for waits in [false, true, true] {
        assert_eq!(cost(&tenant, "written", waits).0.unwrap(), Value::from(1));
    }
    let (first, written) = (seen.first.lock().unwrap(), seen.computes.lock().unwrap());
    // of those that waited, what they hold is counted before, where they waited
    assert_eq!((first.len(), written.len()), (3, 5));
    assert_eq!(written.iter().filter(|thread| **thread == first[0]).count(), 3);
}

/// A function that asks to give way, and returns all the same: the next one, which waits, does so on the runtime.
fn i1_that_a_call_gave_way_is_forgotten_when_it_is_done() {
    let (motu, seen) = made(builder(limits()).placement(workers(1)));
    let tenant = granted(&motu, "late:forgets");
    cost(&tenant, "rounds", Value::from_iter([0, 0])).0.unwrap();
    cost(&tenant, "forgets", Value::Nil).0.unwrap();
    let (worker, polled) = (seen.first.lock().unwrap()[0], seen.computes.lock().unwrap());
    assert_eq!(polled.iter().map(|thread| *thread == worker).collect::<Vec<_>>(), [true, false]);
}

/// Sixteen calls that never end, on one worker; the tenant is charged as they go.
fn i1_neighbours_are_answered() {
    let unlimited = Limits { event_fuel: None, event_deadline: None, restarts: None, ..limits() };
    let (motu, seen) = made(builder(unlimited).placement(workers(1)));
    let (tenant, neighbour) = (granted(&motu, "late:busy"), granted(&motu, "late:neighbour"));
    thread::scope(|scope| {
        let busy = scope.spawn(|| cost(&tenant, "sixteen", Value::Nil).0.unwrap_err().kind());
        until("it computes", || seen.turns.load(Ordering::Acquire) > 100);
        assert!(tenant.fuel() >= 99 * Limits::SLICE_FUEL, "it is charged as it goes: {}", tenant.fuel());
        for _ in 0..20 {
            cost(&neighbour, "rounds", Value::from_iter([2, 2])).0.unwrap();
        }
        tenant.kill();
        assert_eq!(busy.join().unwrap(), ErrorKind::InstanceLost);
    });
    until("all is dropped", || seen.live.load(Ordering::Acquire) == 0);
    cost(&tenant, "quick", Value::Nil).0.unwrap();
}

fn i4_it_ends_at_the_limits() {
    let budget = 100 * Limits::SLICE_FUEL;
    let (motu, seen) = made(builder(Limits { event_fuel: Some(budget), restarts: None, ..limits() }));
    let tenant = granted(&motu, "late:fuel");
    let (result, used) = cost(&tenant, "for_ever", Value::Nil);
    assert_eq!((result.unwrap_err().kind(), used), (ErrorKind::Fuel, budget));
    assert_eq!(seen.turns.load(Ordering::Acquire), 100, "the hundredth slice can't be paid for whole");
    assert_eq!(seen.live.load(Ordering::Acquire), 0, "it is dropped");
    cost(&tenant, "quick", Value::Nil).0.unwrap();

    let short = Some(Duration::from_millis(200));
    let (motu, seen) = made(builder(Limits { event_fuel: None, event_deadline: short, restarts: None, ..limits() }));
    let tenant = granted(&motu, "late:deadline");
    assert_eq!(cost(&tenant, "for_ever", Value::Nil).0.unwrap_err().kind(), ErrorKind::Deadline);
    until("it is dropped", || seen.live.load(Ordering::Acquire) == 0);
    cost(&tenant, "quick", Value::Nil).0.unwrap();
}

fn i4_what_an_event_left_behind_ends_at_its_limit() {
    let little = Some(50 * Limits::SLICE_FUEL);
    let (motu, seen) = made(builder(Limits { background_fuel: little, restarts: None, ..limits() }));
    let tenant = granted(&motu, "late:behind");
    assert_eq!(cost(&tenant, "leaves", Value::Nil).0.unwrap(), Value::from("left"));
    until("it ends", || seen.live.load(Ordering::Acquire) == 0);
    assert_eq!(seen.turns.load(Ordering::Acquire), 51, "fifty are paid for");
    cost(&tenant, "quick", Value::Nil).0.unwrap();
}

/// Each piece that it charges is small, and comes before a wait.
fn i4_what_waits_again_and_again_ends_at_its_limit() {
    let (budget, piece) = (20_000_000, 3_000_000);
    let (motu, seen) = made(builder(Limits { event_fuel: Some(budget), restarts: None, ..limits() }));
    let (result, used) = cost(&granted(&motu, "late:drips"), "drips", piece);
    assert_eq!((result.unwrap_err().kind(), used), (ErrorKind::Fuel, budget));
    until("it is dropped", || seen.live.load(Ordering::Acquire) == 0);
    assert_eq!(seen.computes.lock().unwrap().len(), 7, "six are paid for");
}

/// What was done before it waited has been done.
fn i1_a_call_that_is_given_up_is_paid_for() {
    let (motu, seen) = made(builder(Limits { restarts: None, ..limits() }));
    let tenant = granted(&motu, "late:given-up");
    let (few, many) = (cost(&tenant, "paid", 10).1, cost(&tenant, "paid", 110).1);
    assert!((100_000_000..110_000_000).contains(&(many - few)), "{few}, {many}");
    until("all are dropped", || seen.live.load(Ordering::Acquire) == 0);
}

fn r2_it_costs_the_same_each_time() {
    let (motu, _) = made(builder(limits()));
    let tenant = granted(&motu, "late:same");
    let once = || cost(&tenant, "rounds", Value::from_iter([3, 2])).1;
    once(); // starts it
    let before = tenant.fuel();
    let all: Vec<u64> = (0..10).map(|_| once()).collect();
    assert!(all.iter().all(|fuel| *fuel == all[0]), "{all:?}");
    assert_eq!(tenant.fuel() - before, all.iter().sum::<u64>(), "and is the tenant's");
}

fn m6_a_panic_ends_the_instance_only() {
    let (motu, seen) = made(builder(Limits { restarts: None, ..limits() }).placement(workers(1)));
    let (tenant, neighbour) = (granted(&motu, "late:panic"), granted(&motu, "late:neighbour"));
    for _ in 0..3 {
        let error = cost(&tenant, "panics", Value::Nil).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host);
        let text = error.to_string();
        assert!(text.contains("the host function test:late/late.panics panicked: it had enough"), "{text}");
        cost(&neighbour, "quick", Value::Nil).0.unwrap();
    }
    assert_eq!(seen.live.load(Ordering::Acquire), 0);
}

/// While they wait, on their way to a worker, and there; also with the VM.
fn calls_that_are_given_up_are_dropped_wherever_they_are() {
    let (motu, seen) = made(builder(Limits { restarts: None, ..limits() }));
    let tenant = granted(&motu, "late:given-up");
    for n in 0..200 {
        cost(&tenant, "gives_up", f64::from(n % 40) / 10_000.0).0.unwrap();
        if n % 10 == 9 {
            tenant.kill();
        }
    }
    until("all are dropped", || seen.live.load(Ordering::Acquire) == 0);
    assert_eq!(cost(&tenant, "rounds", Value::from_iter([2, 2])).0.unwrap(), Value::from(4));
}
