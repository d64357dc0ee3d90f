//! T2: `motu:cron` as scripts have it. The table of zones and changes of clocks is beside its code, and the crashes beside the store's.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use motu::{ErrorKind, Limits, Motu, Value};

use super::{ask, tenant};
use crate::support::{builder, limits, run};

trials![
    t2_a_schedule_is_an_event,
    t2_once_across_a_restart,
    t2_a_schedule_has_one_run_at_a_time,
    t2_a_drain_loses_no_run,
    t2_a_quarantine_loses_no_run,
    t2_zones_from_a_table,
    t2_quotas_and_odd_schedules,
];

const SOURCE: &str = "local cron, kv = require('@motu/cron'), require('@motu/kv')\nreturn {\n\
    set = function(e) return cron.set(e.name, { expression = e.expression, zone = e.zone, event = e.event or 'tick', payload = { to = 'all' }, missed = e.missed }) end,\n\
    tick = function(e) assert(e.payload.to == 'all' and e.attempt >= 1) kv.increment('ticks', tostring(e.at)) end,\n\
    ticks = function() local seen = {} for _, e in kv.list('ticks', { limit = 1000 }).entries do table.insert(seen, e.value) end return seen end,\n\
    delete = function(name) cron.delete(name) return cron.get(name) end,\n\
    names = function() local names = {} for _, e in cron.list().entries do table.insert(names, e.name) end return names end,\n\
    next = function(e) return cron.next(e.expression, e.zone, e.after, 2) end,\n\
    fill = function() local n = 0 while true do local ok, why = pcall(cron.set, 'c' .. n, { expression = '0 0 1 1 *', event = 'tick' }) if not ok then return { n, why } end n += 1 end end }";

const ALL: &[&str] = &["motu:cron/*", "motu:kv/*", "motu:time/*"];

fn schedule(name: &str, expression: &str) -> Value {
    Value::from([("name", Value::string(name)), ("expression", Value::string(expression))])
}

fn ticks(tenant: &motu::TenantRef) -> Vec<Value> {
    match ask(tenant, "ticks", ()).unwrap() {
        Value::Array(ticks) => ticks,
        other => panic!("{other}"),
    }
}

fn on_disk(folder: &Path) -> Motu {
    builder(limits()).state(folder).build().unwrap()
}

/// Waits for so many.
fn wait_for(tenant: &motu::TenantRef, count: usize) {
    let since = Instant::now();
    while ticks(tenant).len() < count {
        assert!(since.elapsed() < Duration::from_secs(60), "{:?}", ticks(tenant));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn t2_a_schedule_is_an_event() {
    let motu = builder(limits()).build().unwrap();
    let one = tenant(&motu, "t2:1", SOURCE, ALL);
    let other = tenant(&motu, "t2:2", SOURCE, ALL);
    motu.wake();
    ask(&one, "set", schedule("each-second", "* * * * * *")).unwrap();
    wait_for(&one, 2);
    assert_eq!(ask(&one, "names", ()).unwrap(), Value::from_iter(["each-second"].map(Value::string)));
    assert_eq!(ask(&one, "delete", "each-second").unwrap(), Value::Nil);
    std::thread::sleep(Duration::from_millis(50)); // one that was on its way
    let seen = ticks(&one);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(ticks(&one), seen, "no more of them");
    assert!(seen.iter().all(|times| *times == Value::from(1)), "each once: {seen:?}");
    assert_eq!(ticks(&other), []);
}

fn t2_once_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let motu = on_disk(folder.path());
        let tenant = tenant(&motu, "t2:1", SOURCE, ALL);
        motu.wake();
        ask(&tenant, "set", schedule("each-second", "* * * * * *")).unwrap();
        wait_for(&tenant, 1);
    }
    std::thread::sleep(Duration::from_millis(2_100)); // two at least are missed: one is made for them
    let motu = on_disk(folder.path());
    let tenant = tenant(&motu, "t2:1", SOURCE, ALL);
    let before = ticks(&tenant).len();
    motu.wake();
    wait_for(&tenant, before + 2);
    ask(&tenant, "delete", "each-second").unwrap();
    assert!(ticks(&tenant).iter().all(|times| *times == Value::from(1)), "each once: {:?}", ticks(&tenant));
}

/// A handler that takes long: what comes meanwhile is one run, when it has ended.
fn t2_a_schedule_has_one_run_at_a_time() {
    let source = "local cron = require('@motu/cron')\nlocal begun, missed, may_end = 0, 0, false\nreturn {\n\
        set = function() cron.set('each-second', { expression = '* * * * * *', event = 'tick' }) end,\n\
        tick = function(e) begun += 1 missed = math.max(missed, e.missed) while not may_end do task.wait(0.01) end end,\n\
        go_on = function() may_end = true end, seen = function() return { begun, missed } end }";
    let motu = builder(limits()).build().unwrap();
    let tenant = tenant(&motu, "t2:1", source, ALL);
    let seen = || match ask(&tenant, "seen", ()).unwrap() {
        Value::Array(seen) => (seen[0].as_f64().unwrap(), seen[1].as_f64().unwrap()),
        other => panic!("{other}"),
    };
    motu.wake();
    ask(&tenant, "set", ()).unwrap();
    let wait_until = |is_so: fn((f64, f64)) -> bool| {
        let since = Instant::now();
        while !is_so(seen()) {
            assert!(since.elapsed() < Duration::from_secs(60), "{:?}", seen());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_until(|(begun, _)| begun >= 1.0);
    std::thread::sleep(Duration::from_millis(3_100)); // three more times are due
    assert_eq!(seen().0, 1.0);
    ask(&tenant, "go_on", ()).unwrap();
    wait_until(|(_, missed)| missed >= 2.0);
}

/// Notes each run, and each key that expired, with its attempt.
const NOTED: &str = "local cron, kv, time = require('@motu/cron'), require('@motu/kv'), require('@motu/time')\nreturn {\n\
    set = function(name) cron.set(name, { expression = '* * * * * *', event = 'tick' }) end,\n\
    key = function(seconds) kv.set('e', 'k', 1, { expires = time.now() + seconds }) end,\n\
    spin = function() while true do end end,\n\
    kv_expired = function(e) kv.set('noted', e.key, e.attempt) end,\n\
    tick = function(e) kv.set('noted', tostring(e.at), e.attempt) end,\n\
    noted = function() local seen = {} for _, e in kv.list('noted', { limit = 1000 }).entries do seen[e.key] = e.value end return seen end }";

/// The same, with a handler that doesn't come to its end.
const SLOW: &str = "local cron, kv, time = require('@motu/cron'), require('@motu/kv'), require('@motu/time')\nlocal at\nreturn {\n\
    set = function(name) cron.set(name, { expression = '* * * * * *', event = 'tick' }) end,\n\
    key = function(seconds) kv.set('e', 'k', 1, { expires = time.now() + seconds }) end,\n\
    tick = function(e) at = at or tostring(e.at) task.wait(3600) end, at = function() return at end }";

fn noted(tenant: &motu::TenantRef) -> HashMap<String, Value> {
    match ask(tenant, "noted", ()).unwrap() {
        Value::Map(noted) => {
            noted.into_iter().map(|(key, attempt)| (key.as_str().unwrap().to_owned(), attempt)).collect()
        }
        _ => HashMap::new(),
    }
}

fn wait_until_noted(tenant: &motu::TenantRef, key: &str) -> Value {
    let since = Instant::now();
    loop {
        if let Some(attempt) = noted(tenant).remove(key) {
            return attempt;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{key}: {:?}", noted(tenant));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A run that a drain ends comes again, and so does what falls due after it.
fn t2_a_drain_loses_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { event_deadline: Some(Duration::from_secs(3600)), ..limits() };
    let at = {
        let motu = builder(limits).state(folder.path()).build().unwrap();
        let tenant = tenant(&motu, "t2:1", SLOW, ALL);
        motu.wake();
        ask(&tenant, "set", "each-second").unwrap();
        let at = loop {
            match ask(&tenant, "at", ()).unwrap() {
                Value::Nil => std::thread::sleep(Duration::from_millis(10)),
                at => break at.as_str().unwrap().to_owned(),
            }
        };
        ask(&tenant, "key", 0.5).unwrap();
        assert!(!run(motu.drain(Duration::ZERO)).unfinished.is_empty());
        std::thread::sleep(Duration::from_secs(2)); // the key expires
        at
    };
    let motu = on_disk(folder.path());
    let tenant = tenant(&motu, "t2:1", NOTED, ALL);
    motu.wake();
    assert_eq!(wait_until_noted(&tenant, &at), Value::from(2));
    wait_until_noted(&tenant, "k");
}

fn t2_a_quarantine_loses_no_run() {
    let quarantine = Duration::from_secs(3600);
    let limits = Limits { restarts: Some(0), quarantine, event_fuel: Some(5_000_000), ..limits() };
    let motu = builder(limits).build().unwrap();
    let tenant = tenant(&motu, "t2:1", NOTED, ALL);
    ask(&tenant, "key", 0.0).unwrap();
    assert_eq!(ask(&tenant, "spin", ()).unwrap_err().kind(), ErrorKind::Fuel);
    while tenant.status()["main"].quarantine.is_none() {
        std::thread::yield_now();
    }
    motu.wake();
    std::thread::sleep(Duration::from_secs(1)); // it is tried
    tenant.resume();
    assert_eq!(wait_until_noted(&tenant, "k"), Value::from(1));
}

fn t2_zones_from_a_table() {
    let motu = builder(limits()).build().unwrap();
    let tenant = tenant(&motu, "t2:1", SOURCE, ALL);
    for (expression, zone, after, runs) in [
        // clocks go from 02:00 to 03:00, and back from 03:00 to 02:00
        ("30 2 * * *", "Europe/Berlin", 1_774_724_400, [1_774_746_000, 1_774_830_600]),
        ("30 2 * * *", "Europe/Berlin", 1_792_872_000, [1_792_888_200, 1_792_978_200]),
        ("0 9 * * MON", "Asia/Kolkata", 1_774_724_400, [1_774_841_400, 1_775_446_200]),
        ("0 0 29 2 *", "UTC", 1_774_724_400, [1_835_395_200, 1_961_625_600]),
    ] {
        let asked = Value::from([
            ("expression", Value::string(expression)),
            ("zone", Value::string(zone)),
            ("after", Value::from(after)),
        ]);
        assert_eq!(ask(&tenant, "next", asked).unwrap(), Value::from_iter(runs), "{expression} {zone}");
    }
}

fn t2_quotas_and_odd_schedules() {
    let motu = builder(Limits { schedules: 5, ..limits() }).build().unwrap();
    let tenant = tenant(&motu, "t2:1", SOURCE, ALL);
    let Value::Array(filled) = ask(&tenant, "fill", ()).unwrap() else { panic!() };
    assert_eq!(filled[0], Value::from(5), "the fifth works");
    assert!(filled[1].as_str().unwrap().contains("quota of schedules is 5"), "{}", filled[1]);
    for (field, value, part) in [
        ("expression", "0 0 30 2 *", "never"),
        ("expression", "61 * * * *", "61"),
        ("zone", "Mars/Olympus", "Mars/Olympus"),
        ("event", "kv_expired", "Motu's own"),
        ("event", "", "1 to 64 bytes"),
    ] {
        let mut fields = vec![("name", Value::string("c0")), ("expression", Value::string("0 0 1 1 *"))];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, Value::string(value)));
        let odd = Value::Map(fields.into_iter().map(|(name, value)| (Value::string(name), value)).collect());
        let error = ask(&tenant, "set", odd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script, "{error}");
        assert!(error.message().contains(part), "{value}: {error}");
    }
}
