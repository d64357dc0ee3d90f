//! What the modules cost whose data the store keeps: operations that are counted and priced by what they take (M8).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use motu::{ErrorKind, Limits, MockClock, TenantRef, Value};

use super::charge::cost;
use super::{ask, tenant};
use crate::support::{builder, limits, run};

trials![
    t02_rates_of_blobs_and_schedules,
    t09_an_append_costs_what_it_rewrites,
    t16_a_check_costs_what_it_compares,
    t18_a_neighbours_schedule_comes_beside_a_long_downtime,
    t19_two_hundred_increments_at_once_are_as_many_operations,
    t20_a_page_costs_what_it_reads,
    t23_one_tenants_events_wait_for_no_turn_each,
    t24_many_small_values_are_many_steps,
    t25_too_many_operations_are_refused_before_any_is_looked_at,
];

const ALL: &[&str] = &["motu:kv/*", "motu:blob/*", "motu:cron/*"];

/// The fuel of an event that succeeds.
fn fuel(tenant: &TenantRef, event: &str, payload: impl Into<Value>) -> u64 {
    let (result, fuel) = cost(tenant, event, payload);
    result.unwrap();
    fuel
}

fn noon() -> MockClock {
    MockClock::new(UNIX_EPOCH + Duration::from_secs(1_577_880_000))
}

fn t02_rates_of_blobs_and_schedules() {
    let low = Limits { blob_operations_per_second: Some(50), cron_operations_per_second: Some(20), ..limits() };
    let motu = builder(low).build().unwrap();
    let source = "local blob, cron = require('@motu/blob'), require('@motu/cron')\n\
        local function many(what) local n = 0 while true do local ok, why = pcall(what) if not ok then return { n, why } end n += 1 end end\n\
        return { blob = function() return many(function() blob.stat('s', 'b') end) end,\n\
        put = function() while true do blob.put('s', 'b', 'x') end end,\n\
        cron = function() return many(function() cron.get('c') end) end,\n\
        set = function() while true do cron.set('c', { expression = '0 0 1 1 *', event = 'tick' }) end end }";
    for (event, write, most, limit) in [
        ("blob", "put", 50.0, "blob_operations_per_second of 50"),
        ("cron", "set", 20.0, "cron_operations_per_second of 20"),
    ] {
        let (one, other) = (tenant(&motu, "t02:1", source, ALL), tenant(&motu, "t02:2", source, ALL));
        let Value::Array(got) = ask(&one, event, ()).unwrap() else { panic!() };
        assert!(got[0].as_f64().unwrap() >= most, "{got:?}");
        assert!(got[1].as_str().unwrap().contains(&format!("over the limit {limit}")), "{got:?}");
        // writes count too, and a refusal that nobody catches is the script's limit
        let error = ask(&one, write, ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        // another tenant has its own
        let Value::Array(got) = ask(&other, event, ()).unwrap() else { panic!() };
        assert!(got[0].as_f64().unwrap() >= most, "{got:?}");
    }
}

fn t09_an_append_costs_what_it_rewrites() {
    let motu = builder(limits()).build().unwrap();
    let source = "local blob = require('@motu/blob')\nreturn {\n\
        put = function(n) blob.put('s', 'b', string.rep('x', n)) end,\n\
        add = function(n) blob.append('s', 'b', 'y', n) end }";
    let tenant = tenant(&motu, "t09:1", source, ALL);
    let add = |size: u32| {
        ask(&tenant, "put", size).unwrap();
        fuel(&tenant, "add", size)
    };
    add(10); // the first of all has its instance started
    let (little, much) = (add(10), add(64_000));
    assert!(little > 100_000, "{little}");
    // the end of a chunk is written again, or the chunk
    assert!(much > little && much < little + 64_000 * 40, "{little} and {much}");
}

fn t16_a_check_costs_what_it_compares() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv = require('@motu/kv')\nlocal large, small = string.rep('x', 400000), 'x'\n\
        local function checks(value) local ops = {}\n\
            for i = 1, 2 do ops[i] = { tag = 'check', value = { key = 'k', expected = { tag = 'value', value = value } } } end\n\
            return not pcall(kv.apply, 's', ops) end\n\
        return { set = function() kv.set('s', 'k', large .. 'y') end,\n\
        large = function() return checks(large) end, small = function() return checks(small) end }";
    let tenant = tenant(&motu, "t16:1", source, ALL);
    ask(&tenant, "set", ()).unwrap();
    assert_eq!(ask(&tenant, "large", ()).unwrap(), Value::Boolean(true), "it is refused");
    let (large, small) = (fuel(&tenant, "large", ()), fuel(&tenant, "small", ()));
    assert!(large > small + 2 * 400_000 * 20, "a refusal is as much work: {large} and {small}");
}

/// After ten years each second of a schedule is counted in steps; a neighbour's event comes meanwhile.
fn t18_a_neighbours_schedule_comes_beside_a_long_downtime() {
    let clock = noon();
    let motu = builder(limits()).clock(clock.clone()).build().unwrap();
    let source = "local cron, kv = require('@motu/cron'), require('@motu/kv')\nreturn {\n\
        set = function(e) for i = 1, e.count do cron.set('c' .. i, { expression = e.expression, event = 'tick', missed = 'all' }) end end,\n\
        tick = function() kv.increment('s', 'ticks') end, ticks = function() return kv.get('s', 'ticks') or 0 end }";
    let (long, near) = (tenant(&motu, "t18:1", source, ALL), tenant(&motu, "t18:2", source, ALL));
    let set = |tenant: &TenantRef, count: u32, expression: &str| {
        let payload = Value::from([("count", Value::from(count)), ("expression", Value::string(expression))]);
        ask(tenant, "set", payload).unwrap();
    };
    set(&long, 10, "* * * * * *");
    set(&near, 1, "0 0 1 1 *");
    clock.advance(Duration::from_secs(10 * 366 * 86_400));
    motu.wake();
    let ticks = |tenant: &TenantRef| ask(tenant, "ticks", ()).unwrap().as_f64().unwrap();
    let since = Instant::now();
    while ticks(&near) < 10.0 || ticks(&long) < 1_000.0 {
        assert!(since.elapsed() < Duration::from_secs(60), "{} and {}", ticks(&near), ticks(&long));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ticks(&near), 10.0);
}

fn t19_two_hundred_increments_at_once_are_as_many_operations() {
    let motu = builder(Limits { kv_operations_per_second: Some(202), ..limits() }).build().unwrap();
    let source = "local kv = require('@motu/kv')\nreturn { go = function()\n\
        local ok, left, main = 0, 200, coroutine.running()\n\
        for i = 1, 200 do task.spawn(function() if pcall(kv.increment, 's', 'k') then ok += 1 end left -= 1 end) end\n\
        while left > 0 do task.wait(0.01) end\n\
        return { ok, kv.get('s', 'k') } end }";
    let tenant = tenant(&motu, "t19:1", source, ALL);
    assert_eq!(ask(&tenant, "go", ()).unwrap(), Value::from_iter([200, 200]));
}

fn t20_a_page_costs_what_it_reads() {
    let source = "local kv = require('@motu/kv')\nreturn {\n\
        fill = function(n) for i = 1, 500 do kv.set('s', 'k' .. i, i, { ttl = n }) end end,\n\
        list = function() return #kv.list('s', { values = false, limit = 1 }).entries end }";
    let clock = noon();
    let motu = builder(limits()).clock(clock.clone()).build().unwrap();
    let tenant = tenant(&motu, "t20:1", source, ALL);
    ask(&tenant, "list", ()).unwrap();
    let empty = fuel(&tenant, "list", ());
    ask(&tenant, "fill", 10).unwrap();
    clock.advance(Duration::from_secs(20));
    // 500 that expired are passed over, and nobody has claimed them
    let passing = fuel(&tenant, "list", ());
    assert!(passing >= empty + 500 * 4_000, "{empty} and {passing}");
}

/// 32 events of one tenant at once, which all add to one key on disk: each is told its own number, and none is refused or lost. How
/// many share a commit is counted beside the store.
fn t23_one_tenants_events_wait_for_no_turn_each() {
    let folder = tempfile::tempdir().unwrap();
    let motu = builder(limits()).state(folder.path()).build().unwrap();
    let source = "local kv = require('@motu/kv')\nreturn { go = function() return kv.increment('s', 'k') end }";
    let tenant = tenant(&motu, "t23:1", source, ALL);
    let asked = |callers: usize, each: usize| {
        let threads: Vec<_> = (0..callers)
            .map(|_| {
                let tenant = tenant.clone();
                std::thread::spawn(move || {
                    (0..each).map(|_| ask(&tenant, "go", ()).unwrap().as_f64().unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut sums: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        sums.sort_by(f64::total_cmp);
        sums
    };
    assert_eq!(asked(32, 32), (1..=1_024).map(f64::from).collect::<Vec<_>>());
    let _ = run(motu.drain(Duration::from_secs(1)));
}

/// Each of the values is less than one step: together they are as many steps as one value of that size.
fn t24_many_small_values_are_many_steps() {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let (burnt, record) = (steps.clone(), crate::steps::recorder());
    let recorded = move |step: motu::Step| {
        burnt.lock().unwrap().push(step.fuel);
        record(step);
    };
    let motu = builder(limits()).on_step(recorded).build().unwrap();
    let source = "local kv, cron = require('@motu/kv'), require('@motu/cron')\n\
        local function list(tag, part, n) local ops = {} local value = table.create(n, 1)\n\
            for i = 1, 100 do local expected = if part == 'expected' then { tag = 'value', value = value } else value\n\
                ops[i] = { tag = tag, value = { key = 'k' .. i, [part] = expected } } end\n\
            return (pcall(kv.apply, 's', ops)) end\n\
        return { sets = function(n) return list('set', 'value', n) end, checks = function(n) list('check', 'expected', n) return true end,\n\
        fill = function(n) for i = 1, 100 do kv.set('l', 'k' .. i, table.create(n, 1)) end return true end,\n\
        list = function(n) return #kv.list('l').entries == 100 end,\n\
        schedule = function(n) local payload = table.create(n, 1)\n\
            for i = 1, 100 do cron.set('c' .. i, { expression = '0 0 1 1 *', event = 'x', payload = payload }) end return true end,\n\
        crons = function(n) return #cron.list().entries == 100 end }";
    let tenant = tenant(&motu, "t24:1", source, ALL);
    for (before, event, tokens, price, at_once) in [
        ("sets", "sets", 1_990_u32, 500, 20),
        ("checks", "checks", 1_990, 500, 20),
        ("fill", "list", 4_900, 100, 30),
        ("schedule", "crons", 9_000, 100, 50),
    ] {
        ask(&tenant, before, tokens).unwrap(); // of a new instance
        steps.lock().unwrap().clear();
        let (result, fuel) = cost(&tenant, event, tokens);
        assert_eq!(result.unwrap(), Value::Boolean(true), "{event}");
        let paid = 100 * u64::from(tokens) * price;
        assert!(fuel >= paid, "{event}: {fuel} of {paid}");
        let burnt = std::mem::take(&mut *steps.lock().unwrap());
        let longest = burnt.iter().max().copied().unwrap_or_default();
        // what the writer does for a list is charged at once, and so is what crosses
        assert!(longest <= at_once * Limits::SLICE_FUEL, "{event}: {longest} at once");
        assert!(burnt.len() as u64 >= paid / (2 * Limits::SLICE_FUEL), "{event}: {} steps", burnt.len());
    }
}

/// It is refused by its number, and costs no more than to be read.
fn t25_too_many_operations_are_refused_before_any_is_looked_at() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv = require('@motu/kv')\nreturn { go = function(n) local ops = table.create(n, { tag = 'delete', value = 'k' })\n\
        local _, why = pcall(kv.apply, 's', ops) return tostring(why) end }";
    let tenant = tenant(&motu, "t25:1", source, ALL);
    let why = ask(&tenant, "go", 101).unwrap();
    assert!(why.as_str().unwrap().contains("operations in a list is 100, and this would make it 101"), "{why:?}");
    let (why, fuel) = cost(&tenant, "go", 9_000);
    assert!(why.unwrap().as_str().unwrap().contains("would make it 9000"));
    assert!(fuel < 9_000 * 100_000, "{fuel}");
}
