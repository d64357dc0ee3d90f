//! What host functions cost: their calls are fuel like a script's own work, and those that compute make room for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use motu::{CallContext, Error, ErrorKind, HostModule, Limits, Motu, MotuBuilder, TenantRef, Value};

use super::tenant;
use crate::support::{builder, limits, run};

trials![
    r2_calls_cost_the_same_a_hundred_times,
    r2_events_with_calls_sum_to_the_tenants_total,
    r2_a_call_costs_by_what_crosses,
    r2_what_a_function_charges_is_the_events,
    r2_a_function_that_asks_for_too_much_ends_the_event_only,
    i1_no_call_is_for_nothing,
    i1_a_function_that_computes_gives_way,
    i1_json_gives_way,
    i4_a_function_that_gives_way_for_ever_ends_at_the_limits,
];

const WIT: &str = "package test:work; interface work {
    use motu:value/types.{value};
    nothing: func();
    echo: func(value: value) -> value;
    charge: func(fuel: u64);
    charge-later: func(fuel: u64);
    until-told: func() -> u32;
    tell: func();
    for-ever: func();
}";

const SOURCE: &str = "local work, json, kv, random = require('@test/work'), require('@motu/json'), require('@motu/kv'), require('@motu/random')
return {
    mixed = function(n)
        local list = table.create(n, { a = 'text', b = 1.5 })
        local text = json.encode(work.echo(list))
        kv.set('s', 'key', text)
        work.charge_later(12345)
        pcall(json.decode, text .. 'x')
        return { #json.decode(kv.get('s', 'key')), random.integer(1, 1000000) }
    end,
    echo = function(value) work.echo(value) end,
    echoes = function(n) local made = string.rep('x', n) for i = 1, 10 do work.echo(made) end end,
    charge = function(fuel) work.charge(fuel) end,
    later = function(fuel) work.charge_later(fuel) end,
    none = function() work.nothing() end,
    loop = function() while true do pcall(work.nothing) end end,
    heavy = function(fuel) while true do pcall(work.charge, fuel) end end,
    until_told = function() return work.until_told() end,
    tell = function() work.tell() end,
    for_ever = function() pcall(work.for_ever) return 'caught' end,
    decode = function(text) while true do pcall(json.decode, text) end end,
    quick = function() return 1 end,
}";

/// What functions of the module leave to be seen.
#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    told: AtomicBool,
    turns: AtomicUsize,
    live: AtomicUsize,
}

fn with_work(builder: MotuBuilder, seen: &Arc<Seen>) -> Motu {
    struct Live(Arc<Seen>);
    impl Drop for Live {
        fn drop(&mut self) {
            self.0.live.fetch_sub(1, Ordering::AcqRel);
        }
    }
    let (counted, charged, until, tell, turns) = (seen.clone(), seen.clone(), seen.clone(), seen.clone(), seen.clone());
    let module = HostModule::from_wit(WIT)
        .unwrap()
        .function("nothing", move |_, (): ()| {
            counted.calls.fetch_add(1, Ordering::AcqRel);
            async { Ok::<_, Error>(()) }
        })
        .function("echo", |_, value: Value| async { Ok::<_, Error>(value) })
        .function("charge", move |context: CallContext, fuel: u64| {
            charged.calls.fetch_add(1, Ordering::AcqRel);
            context.charge(fuel);
            async { Ok::<_, Error>(()) }
        })
        .function("charge-later", |context: CallContext, fuel: u64| async move {
            tokio::task::yield_now().await; // always pending at first, also when the worker isn't run for a millisecond
            tokio::time::sleep(Duration::from_millis(1)).await;
            context.charge(fuel);
            Ok::<_, Error>(())
        })
        .function("until-told", move |context: CallContext, (): ()| {
            let until = until.clone();
            async move {
                let mut turns = 0;
                while !until.told.load(Ordering::Acquire) {
                    context.charge(Limits::SLICE_FUEL);
                    context.give_way().await;
                    turns += 1;
                    until.turns.store(turns as usize, Ordering::Release);
                }
                Ok::<u32, Error>(turns)
            }
        })
        .function("tell", move |_, (): ()| {
            tell.told.store(true, Ordering::Release);
            async { Ok::<_, Error>(()) }
        })
        .function("for-ever", move |context: CallContext, (): ()| {
            turns.live.fetch_add(1, Ordering::AcqRel);
            let live = Live(turns.clone());
            async move {
                loop {
                    live.0.turns.fetch_add(1, Ordering::AcqRel);
                    context.charge(Limits::SLICE_FUEL);
                    context.give_way().await;
                }
                #[allow(unreachable_code, reason = "it says what the function returns")]
                Ok::<(), Error>(())
            }
        });
    builder.host_module(module).build().unwrap()
}

fn made(limits: Limits) -> (Motu, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    (with_work(builder(limits), &seen), seen)
}

fn granted(motu: &Motu, name: &str) -> TenantRef {
    tenant(motu, name, SOURCE, &["*"])
}

/// What an event came to, and its fuel.
pub(super) fn cost(tenant: &TenantRef, event: &str, payload: impl Into<Value>) -> (Result<Value, Error>, u64) {
    let payload = payload.into();
    let result = run(tenant.dispatch_value(event, &payload)).unwrap().remove(0).result;
    let fuel = result.as_ref().map_or_else(|error| error.usage().fuel, |outcome| outcome.usage.fuel);
    (result.map(|outcome| outcome.value), fuel)
}

fn fuel(tenant: &TenantRef, event: &str, payload: impl Into<Value>) -> u64 {
    let (result, fuel) = cost(tenant, event, payload);
    result.unwrap();
    fuel
}

/// With calls that are ready, that wait, that give way, and that fail; the same seed, so the same random numbers.
fn r2_calls_cost_the_same_a_hundred_times() {
    let (motu, _) = made(limits());
    let loaded = run(motu.load(&crate::support::bundle(&[("init.luau", SOURCE)]))).unwrap();
    let grants = motu::Grants::parse(["*"]).unwrap();
    let once = |n: usize| {
        let tenant = format!("r2:{n}").parse().unwrap();
        let instance = loaded.instance(tenant).with_seed(7).with_grants(grants.clone());
        let outcome = crate::support::send(&instance, "mixed", &Value::from(3000)).unwrap();
        (outcome.value, outcome.usage.fuel)
    };
    let first = once(0);
    assert!(first.0.to_string().contains("3000"), "{}", first.0);
    for n in 1..100 {
        assert_eq!(once(n), first, "run {n}");
    }
}

fn r2_events_with_calls_sum_to_the_tenants_total() {
    let (motu, _) = made(limits());
    let tenant = granted(&motu, "r2:sum");
    let before = tenant.fuel();
    let mut sum = 0;
    for n in 0..20 {
        for event in ["mixed", "later", "charge", "none"] {
            sum += cost(&tenant, event, n * 10).1;
        }
        sum += cost(&tenant, "charge", 1e12).1; // over the budget
    }
    assert_eq!(tenant.fuel() - before, sum);
}

fn r2_a_call_costs_by_what_crosses() {
    let (motu, _) = made(limits());
    let tenant = granted(&motu, "r2:crosses");
    fuel(&tenant, "quick", 0); // `start`s it
    let empty = fuel(&tenant, "quick", 0);
    assert!(fuel(&tenant, "none", 0) >= empty + 10_000, "a call has a price");
    let [small, large] = [100, 100_000].map(|n| fuel(&tenant, "echoes", n));
    // ten times there and back
    assert!(large - small >= 99_900 * 20 * 10, "bytes have a price: {small}, {large}");
    let [few, many] = [10, 10_000].map(|n| fuel(&tenant, "echo", Value::from_iter(0..n)));
    assert!(many - few >= 9_990 * 2 * 1_000, "values have a price: {few}, {many}");
}

fn r2_what_a_function_charges_is_the_events() {
    let (motu, _) = made(limits());
    let tenant = granted(&motu, "r2:charge");
    for event in ["charge", "later"] {
        fuel(&tenant, event, 0);
        let [nothing, some] = [1, 100_000_000].map(|n| fuel(&tenant, event, n));
        let more = some - nothing;
        // the number itself is a few bytes longer
        assert!((99_999_999..100_001_000).contains(&more), "{event}: {more}");
    }
}

fn r2_a_function_that_asks_for_too_much_ends_the_event_only() {
    for budget in [Some(50_000_000), None] {
        let (motu, _) = made(Limits { event_fuel: budget, restarts: None, ..limits() });
        let (tenant, neighbour) = (granted(&motu, "r2:greedy"), granted(&motu, "r2:neighbour"));
        for event in ["charge", "later"] {
            for most in [1e9, 1e18] {
                let (result, fuel) = cost(&tenant, event, most);
                match budget {
                    Some(budget) => {
                        assert_eq!(result.unwrap_err().kind(), ErrorKind::Fuel);
                        assert_eq!(fuel, budget, "all of it, and no more");
                    }
                    None => assert!(result.is_ok() && fuel >= 1_000_000_000),
                }
            }
        }
        fuel(&neighbour, "quick", 0);
        fuel(&tenant, "quick", 0);
    }
}

/// A loop of calls, caught or not, ends with the budget: after as many calls as that pays for.
fn i1_no_call_is_for_nothing() {
    let (motu, seen) = made(Limits { event_fuel: Some(100_000_000), restarts: None, ..limits() });
    let tenant = granted(&motu, "i1:loop");
    assert_eq!(cost(&tenant, "loop", 0).0.unwrap_err().kind(), ErrorKind::Fuel);
    let calls = seen.calls.swap(0, Ordering::AcqRel);
    assert!((1_000..=10_000).contains(&calls), "{calls} calls");
    assert_eq!(cost(&tenant, "heavy", 10_000_000).0.unwrap_err().kind(), ErrorKind::Fuel);
    // the tenth is made, and can't be paid for
    assert_eq!(seen.calls.load(Ordering::Acquire), 10);
}

/// On one worker, a function that goes on until another tenant's event ends it: without giving way, it never would.
fn i1_a_function_that_computes_gives_way() {
    let seen = Arc::new(Seen::default());
    let one = builder(Limits { event_fuel: Some(50_000_000_000), ..limits() }).placement(crate::pool::workers(1));
    let motu = with_work(one, &seen);
    let (tenant, neighbour) = (granted(&motu, "i1:computes"), granted(&motu, "i1:neighbour"));
    let turns = std::thread::scope(|scope| {
        let computes = scope.spawn(|| cost(&tenant, "until_told", 0).0.unwrap());
        while seen.turns.load(Ordering::Acquire) < 10 {
            std::thread::yield_now();
        }
        assert!(tenant.fuel() >= 9 * Limits::SLICE_FUEL, "it is charged as it goes");
        fuel(&neighbour, "tell", 0);
        computes.join().unwrap()
    });
    assert!(turns >= Value::from(10));
}

/// Between two turns of a tenant that has long texts read, its neighbour is answered: a text takes many turns.
fn i1_json_gives_way() {
    // twenty seconds or more, of which the neighbour's events take a few milliseconds; a machine may be busy
    let limits = Limits { event_fuel: Some(200_000_000_000), event_deadline: None, restarts: None, ..limits() };
    let motu = with_work(builder(limits).placement(crate::pool::workers(1)), &Arc::default());
    let (tenant, neighbour) = (granted(&motu, "i1:json"), granted(&motu, "i1:neighbour"));
    // not JSON, at its end: nothing of it crosses back
    let text = format!("[{}x", "[],".repeat(300_000));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let error = cost(&tenant, "decode", text.as_str()).0.unwrap_err();
            over.store(true, Ordering::Release);
            assert_eq!(error.kind(), ErrorKind::InstanceLost, "{error}");
        });
        while tenant.fuel() < 100_000_000 {
            std::thread::yield_now();
        }
        // each takes a turn of the text at most, and all of them must be done before the budget is used up
        for n in 0..20 {
            fuel(&neighbour, "quick", 0);
            assert!(!over.load(Ordering::Acquire), "it was over before the neighbour's event {n}");
        }
        tenant.kill();
    });
}

fn i4_a_function_that_gives_way_for_ever_ends_at_the_limits() {
    // at its budget
    let (motu, seen) = made(Limits { event_fuel: Some(100 * Limits::SLICE_FUEL), restarts: None, ..limits() });
    let (result, used) = cost(&granted(&motu, "i4:fuel"), "for_ever", 0);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Fuel);
    assert_eq!(used, 100 * Limits::SLICE_FUEL);
    assert_eq!(seen.turns.load(Ordering::Acquire), 100);
    assert_eq!(seen.live.load(Ordering::Acquire), 0, "it is dropped");

    // at its deadline
    let short = Some(Duration::from_millis(100));
    let (motu, seen) = made(Limits { event_fuel: None, event_deadline: short, restarts: None, ..limits() });
    let tenant = granted(&motu, "i4:deadline");
    assert_eq!(cost(&tenant, "for_ever", 0).0.unwrap_err().kind(), ErrorKind::Deadline);
    assert_eq!(seen.live.load(Ordering::Acquire), 0, "it is dropped");

    // when its instance is killed
    let (motu, seen) = made(Limits { event_fuel: None, restarts: None, ..limits() });
    let tenant = granted(&motu, "i4:kill");
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| cost(&tenant, "for_ever", 0).0.unwrap_err().kind());
        while seen.turns.load(Ordering::Acquire) < 10 {
            std::thread::yield_now();
        }
        tenant.kill();
        assert_eq!(killed.join().unwrap(), ErrorKind::InstanceLost);
    });
    assert_eq!(seen.live.load(Ordering::Acquire), 0, "it is dropped");
    fuel(&tenant, "quick", 0);
}
