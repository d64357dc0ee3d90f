//! Time and rates: a clock that a test moves, how often modules may be called (R1), and timers that are on time (T1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant, UNIX_EPOCH};

use motu::{Error, ErrorKind, Grants, HostModule, Limits, MockClock, Motu, TenantRef, Value};

use crate::support::{builder, bundle, full, limits, run};

trials![
    r1_rates_are_exact_and_outlive_instances,
    r1_rates_are_by_module_and_named,
    t1_a_hundred_thousand_timers_are_on_time,
    the_time_stands_still_until_it_goes_on,
    sleepers_wake_in_the_order_of_their_times,
    what_is_kept_expires_by_the_clock,
];

const SOURCE: &str = "local rate, other, kv, cron, time = require('@test/rate'), require('@test/other'), require('@motu/kv'), require('@motu/cron'), require('@motu/time')
local all_sleep = false
return {
    hit = function() return (pcall(rate.hit)) end,
    thrown = function() rate.hit() end,
    other = function() other.hit() end,
    now = function() return { os.time(), time.now(), os.clock(), time.monotonic() } end,
    sleep = function(seconds) return task.wait(seconds) end,
    order = function(n)
        local woken, me, left = {}, coroutine.running(), n
        for i = n, 1, -1 do task.delay(i * 60, function() table.insert(woken, i) left -= 1 if left == 0 then coroutine.resume(me) end end) end
        all_sleep = true
        coroutine.yield() return woken end,
    all_sleep = function() return all_sleep end,
    set = function() kv.set('s', 'k', 1, { ttl = 3600 }) cron.set('daily', { expression = '0 0 * * *', event = 'daily' }) end,
    get = function() return kv.get('s', 'k') end,
    kv_expired = function(e) kv.set('s', 'expired', e.key) end,
    daily = function(e) kv.increment('s', 'days') kv.set('s', 'at', e.at) end,
    seen = function() return { kv.get('s', 'expired') or 0, kv.get('s', 'days') or 0, kv.get('s', 'at') or 0 } end,
    timers = function(e)
        local late, left, me = table.create(e.n, 0), e.n, coroutine.running()
        for i = 1, e.n do
            local seconds = 3 + (i * 7919 % e.n) / e.n * e.seconds -- by then all of them are under way
            local due = os.clock() + seconds
            task.delay(seconds, function() late[i] = os.clock() - due left -= 1 if left == 0 then task.defer(me) end end)
        end
        coroutine.yield()
        table.sort(late)
        return { late[1], late[math.floor(e.n * 0.99)], late[e.n] } end,
}";

fn module(name: &str) -> HostModule {
    let wit = format!("package test:{name}; interface {name} {{ hit: func(); }}");
    HostModule::from_wit(&wit).unwrap().function("hit", |_, (): ()| async { Ok::<_, Error>(()) })
}

fn made(clock: &MockClock, limits: Limits) -> Motu {
    let builder = builder(limits).host_module(module("rate")).host_module(module("other"));
    builder.clock(clock.clone()).build().unwrap()
}

fn tenant(motu: &Motu, name: &str) -> TenantRef {
    let tenant = motu.tenant(&name.parse().unwrap());
    run(tenant.deploy("main", &bundle(&[("init.luau", SOURCE)]))).unwrap();
    tenant.set_grants(Some(Grants::parse(["*"]).unwrap()));
    tenant
}

fn ask(tenant: &TenantRef, event: &str, payload: impl Into<Value>) -> Result<Value, Error> {
    let payload = payload.into();
    run(tenant.dispatch_value(event, &payload)).unwrap().remove(0).result.map(|outcome| outcome.value)
}

/// 2020-01-01, noon.
fn noon() -> MockClock {
    MockClock::new(UNIX_EPOCH + Duration::from_secs(1_577_880_000))
}

fn rated(rates: &[(&str, u32)]) -> Limits {
    let calls_per_second = rates.iter().map(|(package, rate)| ((*package).to_owned(), *rate)).collect();
    Limits { calls_per_second, restarts: None, ..limits() }
}

/// 3,000 calls at times by chance, of two tenants whose instances are killed on the way: each is allowed or refused as the
/// arithmetic of the rate has it, to the nanosecond.
fn r1_rates_are_exact_and_outlive_instances() {
    const RATE: u64 = 4;
    let clock = noon();
    let motu = made(&clock, rated(&[("test:rate", 4)]));
    let tenants = [tenant(&motu, "r1:1"), tenant(&motu, "r1:2")];
    let (mut now, mut next, mut seed) = (0_u64, [0_u64; 2], 1_u64);
    let mut chance = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    let each = 1_000_000_000 / RATE;
    let (mut allowed, mut refused) = (0, 0);
    for step in 0..3_000 {
        match chance(10) {
            0 => tenants[0].kill(),
            1..4 => {
                // to where the next is allowed, a nanosecond before it, or anywhere
                let exactly = next[0].saturating_sub((RATE - 1) * each).saturating_sub(now);
                let by = match chance(3) {
                    0 => exactly,
                    1 => exactly.saturating_sub(1),
                    _ => chance(600_000_000),
                };
                clock.advance(Duration::from_nanos(by));
                now += by;
            }
            _ => (),
        }
        let which = usize::from(chance(4) == 0);
        let may = next[which].saturating_sub((RATE - 1) * each) <= now;
        if may {
            next[which] = next[which].max(now) + each;
            allowed += 1;
        } else {
            refused += 1;
        }
        assert_eq!(ask(&tenants[which], "hit", ()).unwrap(), Value::Boolean(may), "step {step} at {now}");
    }
    assert!(allowed > 500 && refused > 500, "{allowed} allowed, {refused} refused");
}

fn r1_rates_are_by_module_and_named() {
    let clock = noon();
    let motu = made(&clock, rated(&[("test:rate", 2), ("test:other", 0)]));
    let (one, two) = (tenant(&motu, "r1:1"), tenant(&motu, "r1:2"));
    for tenant in [&one, &two] {
        for _ in 0..2 {
            ask(tenant, "thrown", ()).unwrap();
        }
        let error = ask(tenant, "thrown", ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        let text = "rate.hit: over the limit calls_per_second of 2 for test:rate: try again in 0.500 s";
        assert!(error.message().ends_with(text), "{error}");
    }
    clock.advance(Duration::from_millis(500));
    ask(&one, "thrown", ()).unwrap();
    assert!(ask(&one, "thrown", ()).is_err());
    assert!(ask(&one, "other", ()).unwrap_err().message().ends_with("none is allowed"));
    // a tenant's own rate, from the next call on; what it had taken before stays taken
    one.set_limits(Some(rated(&[("test:rate", 100)]))).unwrap();
    assert!(ask(&one, "thrown", ()).is_err());
    clock.advance(Duration::from_millis(10));
    ask(&one, "thrown", ()).unwrap();
    assert!(ask(&one, "thrown", ()).is_err());
    // to and fro: nobody has more of it by that
    for _ in 0..3 {
        two.set_limits(Some(rated(&[("test:rate", 100)]))).unwrap();
        two.set_limits(Some(rated(&[("test:rate", 2)]))).unwrap();
    }
    ask(&two, "thrown", ()).unwrap();
    assert!(ask(&two, "thrown", ()).is_err(), "half a second's worth, as before");

    assert_eq!(Limits::default().calls_per_second, BTreeMap::from([("motu:http".to_owned(), 20)]));
    for wrong in ["motu", "motu:", "motu:http/client", "*", "motu:http@1", "a:b:c"] {
        let error = builder(rated(&[(wrong, 1)])).build().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains(wrong), "{error}");
    }
}

/// None is early, and 99 of 100 are late by 10 ms at most. reduced: by 5 s beside other trials, which keep all processors busy.
/// `MOTU_FULL=1 cargo test --test all -- t1_` holds it to 10 ms; the best of three tries.
fn t1_a_hundred_thousand_timers_are_on_time() {
    let deep = Some(Duration::from_secs(600));
    let many = Limits {
        timers: 100_000,
        coroutines: 200_000,
        memory_bytes: 512 << 20,
        event_fuel: None,
        background_fuel: None,
        event_deadline: deep,
        ..limits()
    };
    let motu = builder(many).host_module(module("rate")).host_module(module("other")).build().unwrap();
    let tenant = tenant(&motu, "t1:1");
    let mut tries = Vec::new();
    let most = if full() { 0.010 } else { 5.0 };
    for _ in 0..3 {
        let payload = Value::from([("n", Value::from(100_000)), ("seconds", Value::from(10))]);
        let Value::Array(late) = ask(&tenant, "timers", payload).unwrap() else { panic!() };
        let [first, p99, last] = [0, 1, 2].map(|at| late[at].as_f64().unwrap());
        assert!(first >= -0.000_001, "one was early by {first} s");
        tries.push((p99, last));
        if p99 <= most {
            return println!("100,000 timers: late by {p99:.6} s at the 99th percentile, {last:.6} s at most");
        }
    }
    panic!("late by more than {most} s, p99 and most: {tries:?}");
}

fn the_time_stands_still_until_it_goes_on() {
    let clock = noon();
    let motu = made(&clock, limits());
    let tenant = tenant(&motu, "clock:1");
    let now = || match ask(&tenant, "now", ()).unwrap() {
        Value::Array(times) => times.iter().map(|time| time.as_f64().unwrap()).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    let before = now();
    assert_eq!(before, [1_577_880_000.0, 1_577_880_000.0, 0.0, 0.0]);
    assert_eq!(now(), before);
    clock.advance(Duration::from_millis(90_500));
    assert_eq!(now(), [1_577_880_090.0, 1_577_880_090.5, 90.5, 90.5]);
    assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_millis(1_577_880_090_500));

    // a sleep of an hour ends when that has passed, and not before
    std::thread::scope(|scope| {
        let since = Instant::now();
        let slept = scope.spawn(|| ask(&tenant, "sleep", 3600).unwrap());
        clock.advance(Duration::from_secs(1_800));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!slept.is_finished());
        while !slept.is_finished() {
            clock.advance(Duration::from_secs(600));
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(slept.join().unwrap().as_f64().unwrap() >= 3600.0);
        assert!(since.elapsed() < Duration::from_secs(60));
    });
}

fn sleepers_wake_in_the_order_of_their_times() {
    let clock = noon();
    let motu = made(&clock, limits());
    let tenant = tenant(&motu, "clock:1");
    std::thread::scope(|scope| {
        let woken = scope.spawn(|| ask(&tenant, "order", 100).unwrap());
        // one that falls asleep after the clock went on is later
        while ask(&tenant, "all_sleep", ()).unwrap() != Value::Boolean(true) {
            std::thread::sleep(Duration::from_millis(1));
        }
        while !woken.is_finished() {
            clock.advance(Duration::from_secs(6_000));
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(woken.join().unwrap(), Value::from_iter(1..=100));
    });
}

fn what_is_kept_expires_by_the_clock() {
    let clock = noon();
    let motu = made(&clock, limits());
    let tenant = tenant(&motu, "clock:1");
    motu.wake();
    ask(&tenant, "set", ()).unwrap();
    clock.advance(Duration::from_secs(3_599));
    assert_eq!(ask(&tenant, "get", ()).unwrap(), Value::from(1));
    clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&tenant, "get", ()).unwrap(), Value::Nil);
    let seen = |wanted: [Value; 3]| {
        let since = Instant::now();
        while ask(&tenant, "seen", ()).unwrap() != Value::Array(wanted.to_vec()) {
            assert!(since.elapsed() < Duration::from_secs(60), "{}", ask(&tenant, "seen", ()).unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    seen([Value::string("k"), Value::from(0), Value::from(0)]);
    // midnight
    clock.advance(Duration::from_secs(11 * 3_600));
    seen([Value::string("k"), Value::from(1), Value::from(1_577_923_200)]);
}
