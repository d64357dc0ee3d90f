//! `motu:kv` as scripts see it, with the store on disk. The store itself is tested beside its code, there with faults and
//! crashes at each of its steps.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use motu::{ErrorKind, Limits, Motu, TenantRef, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{ask, tenant};
use crate::support::{builder, bundle, limits, run};

trials![
    k1_lists_are_done_whole_or_not_at_all,
    k1_many_increments_each_count,
    k1_what_was_acknowledged_outlives_a_kill,
    k3_an_expired_key_is_an_event_once,
    k3_one_tenants_events_keep_no_other_waiting,
    k3_a_full_mailbox_has_no_other_bundle_do_it_again,
    k3_once_also_when_the_process_is_killed,
    k4_marked_keys_are_resumed_after_a_restart,
    k6_quotas_are_kept,
    k6_operations_a_second,
    k7_no_key_reaches_another_tenant,
    one_process_at_a_time,
    c13_limits_of_pages_go_from_1_to_1000,
    c15_numbers_that_are_no_times_are_said_briefly,
];

pub(crate) const CHILDREN: &[crate::child::Body] = &[("kv_counts", counts), ("kv_expires", expires)];

const ALL: &[&str] = &["motu:kv/*", "motu:time/*"];

/// Where a child keeps its state.
const FOLDER: &str = "MOTU_TEST_FOLDER";

fn on_disk(folder: &Path) -> Motu {
    builder(limits()).state(folder).build().unwrap()
}

fn k1_lists_are_done_whole_or_not_at_all() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv = require('@motu/kv')\nreturn {\n\
        go = function() kv.set('s', 'a', 1)\n\
            local ok, conflict = pcall(kv.apply, 's', {\n\
                { tag = 'set', value = { key = 'a', value = 2 } }, { tag = 'set', value = { key = 'b', value = 2 } },\n\
                { tag = 'check', value = { key = 'c', expected = { tag = 'value', value = 1 } } } })\n\
            return { ok, conflict.operation, kv.get('s', 'a'), kv.get('s', 'b') == nil } end,\n\
        all = function() local r = kv.apply('s', { { tag = 'delete', value = 'a' },\n\
                { tag = 'check', value = { key = 'a', expected = { tag = 'absent' } } },\n\
                { tag = 'set', value = { key = 'b', value = { deep = { 1, 2 } } } } })\n\
            return { #r, r[1], r[3] > 0, kv.lookup('s', 'b').revision == r[3], kv.lookup('s', 'a') == nil } end,\n\
        swap = function() return { kv.compare_and_set('s', 'b', { tag = 'value', value = { deep = { 1, 2 } } }, 3),\n\
            kv.compare_and_set('s', 'b', { tag = 'absent' }, 4), kv.get('s', 'b') } end,\n\
        list = function() for i = 1, 5 do kv.set('l', 'k' .. i, i) end kv.set('l', 'other', 0)\n\
            local page = kv.list('l', { prefix = 'k', limit = 3 }) local rest = kv.list('l', { prefix = 'k', after = page.more_after })\n\
            local seen = {} for _, p in { page, rest } do for _, e in p.entries do table.insert(seen, e.key .. '=' .. e.value) end end\n\
            return { table.concat(seen, ' '), rest.more_after == nil } end,\n\
        none = function() kv.set('s', 'a', nil) end }";
    let tenant = tenant(&motu, "k1:1", source, ALL);
    let yes = Value::Boolean(true);
    let refused = [Value::Boolean(false), Value::from(3), Value::from(1), yes.clone()];
    assert_eq!(ask(&tenant, "go", ()).unwrap(), Value::from_iter(refused));
    assert_eq!(
        ask(&tenant, "all", ()).unwrap(),
        Value::from_iter([Value::from(3), Value::from(0), yes.clone(), yes.clone(), yes.clone()])
    );
    assert_eq!(
        ask(&tenant, "swap", ()).unwrap(),
        Value::from_iter([yes.clone(), Value::Boolean(false), Value::from(3)])
    );
    let listed = Value::from_iter([Value::string("k1=1 k2=2 k3=3 k4=4 k5=5"), yes]);
    assert_eq!(ask(&tenant, "list", ()).unwrap(), listed);
    assert!(ask(&tenant, "none", ()).unwrap_err().message().contains("nil is no value of a key"));
}

fn k1_many_increments_each_count() {
    let folder = tempfile::tempdir().unwrap();
    let motu = on_disk(folder.path());
    let source = "local kv = require('@motu/kv')\nreturn { hit = function(n) for _ = 1, n do kv.increment('s', 'n') end return 1 end,\n\
        get = function() return kv.get('s', 'n') end }";
    let tenant = tenant(&motu, "k1:1", source, ALL);
    run(async {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let tenant = tenant.clone();
            set.spawn(async move { tenant.dispatch::<u32>("hit", &10).await.unwrap().remove(0).result.unwrap() });
        }
        set.join_all().await
    });
    assert_eq!(ask(&tenant, "get", ()).unwrap(), Value::from(200));
}

const COUNTER: &str = "local kv = require('@motu/kv')\nreturn { hit = function() return kv.increment('s', 'n') end,\n\
    get = function() return kv.get('s', 'n') or 0 end }";

/// Counts for ever, and says each number when it is acknowledged.
fn counts() {
    let motu = on_disk(Path::new(&std::env::var(FOLDER).unwrap()));
    let tenant = tenant(&motu, "k1:1", COUNTER, ALL);
    loop {
        println!("{}", ask(&tenant, "hit", ()).unwrap().as_f64().unwrap());
    }
}

fn child(name: &str, folder: &Path) -> std::process::Child {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.env(crate::child::VARIABLE, name).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn k1_what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0.0;
    for round in 1..=5 {
        let mut child = child("kv_counts", folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.take(round * 3) {
            last = line.unwrap().parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let motu = on_disk(folder.path());
        let tenant = tenant(&motu, "k1:1", COUNTER, ALL);
        let now = ask(&tenant, "get", ()).unwrap().as_f64().unwrap();
        assert!(now >= last, "{last} was acknowledged, and {now} is there");
        last = now;
    }
    assert!(last >= 45.0);
}

/// What expired is noted by key, with how often.
const EXPIRING: &str = "local kv, time = require('@motu/kv'), require('@motu/time')\nreturn {\n\
    set = function(n) for i = 1, n do local at = time.now() + 0.05 + i * 0.02 kv.set('e', 'k' .. i, at, { expires = at }) end return n end,\n\
    kv_expired = function(e) assert(e.scope == 'e') assert(kv.get('e', e.key) == nil)\n\
        kv.increment('fired', e.key) kv.set('times', e.key, { e.value, time.now() }) end,\n\
    times = function() local seen = {} for _, e in kv.list('times', { limit = 1000 }).entries do table.insert(seen, e.value) end return seen end,\n\
    fired = function() local seen = {} for _, e in kv.list('fired', { limit = 1000 }).entries do seen[e.key] = e.value end return seen end,\n\
    left = function() return #kv.list('e').entries end }";

fn k3_an_expired_key_is_an_event_once() {
    let motu = builder(limits()).build().unwrap();
    let one = tenant(&motu, "k3:1", EXPIRING, ALL);
    let other = tenant(&motu, "k3:2", EXPIRING, ALL);
    assert_eq!(ask(&one, "set", 10).unwrap(), Value::from(10));
    motu.wake();
    motu.wake();
    let all = Value::Map((1..=10).map(|i| (Value::string(format!("k{i}")), Value::from(1))).collect());
    while ask(&one, "fired", ()).unwrap() != all {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ask(&one, "left", ()).unwrap(), Value::from(0));
    std::thread::sleep(Duration::from_millis(100)); // no second time
    assert_eq!(ask(&one, "fired", ()).unwrap(), all);
    assert_eq!(ask(&other, "fired", ()).unwrap(), Value::Array(vec![]));
    assert!(lateness(&one, 0.0) < 1.0);
}

/// Its handlers never come to an end, and more of its keys have expired than events can be under way.
fn k3_one_tenants_events_keep_no_other_waiting() {
    let slow = "local kv, time = require('@motu/kv'), require('@motu/time')
        local begun = 0
        return { set = function(n) for i = 1, n do kv.set('e', 'k' .. i, i, { expires = time.now() }) end end,
            kv_expired = function() begun += 1 task.wait(3600) end,
            begun = function() return begun end }";
    let limits = Limits { event_deadline: Some(Duration::from_secs(3600)), ..limits() };
    let motu = builder(limits).build().unwrap();
    let slow: Vec<_> = (0..3).map(|n| tenant(&motu, &format!("k3-slow:{n}"), slow, ALL)).collect();
    slow.iter().for_each(|slow| assert!(ask(slow, "set", 300).is_ok()));
    motu.wake();
    // as many as each may have
    slow.iter().for_each(|slow| {
        while ask(slow, "begun", ()).unwrap() != Value::from(8) {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let modest = tenant(&motu, "k3-modest:1", EXPIRING, ALL);
    ask(&modest, "set", 5).unwrap();
    let since = Instant::now();
    let fired = || match ask(&modest, "fired", ()).unwrap() {
        Value::Map(pairs) => pairs.len(),
        _ => 0,
    };
    while fired() < 5 {
        assert!(since.elapsed() < Duration::from_secs(60), "they wait for others");
        std::thread::sleep(Duration::from_millis(5));
    }
    slow.iter().for_each(|slow| assert_eq!(ask(slow, "begun", ()).unwrap(), Value::from(8)));
}

/// Of two bundles that handle an event one has no room for it for a while.
fn k3_a_full_mailbox_has_no_other_bundle_do_it_again() {
    let motu = builder(Limits { mailbox_events: 2, event_fuel: None, ..limits() }).build().unwrap();
    let source = |name: &str| {
        format!(
            "local kv, time = require('@motu/kv'), require('@motu/time')\nreturn {{ kv_expired = function() kv.increment('did', '{name}') end,\n\
            spin_{name} = function() while true do end end, nothing_{name} = function() end,\n\
            did_{name} = function() return {{ kv.get('did', 'main') or 0, kv.get('did', 'other') or 0 }} end,\n\
            set_{name} = function() kv.set('e', 'k', 1, {{ expires = time.now() }}) end }}"
        )
    };
    let tenant = tenant(&motu, "k3-two:1", &source("main"), ALL);
    run(tenant.deploy("other", &bundle(&[("init.luau", &source("other"))]))).unwrap();
    ask(&tenant, "set_main", ()).unwrap();
    tenant.post("spin_other", &()).unwrap();
    while tenant.status()["other"].started == 0 {
        std::thread::yield_now();
    }
    (0..2).for_each(|_| assert!(tenant.post("nothing_other", &()).unwrap()[0].result.is_ok()));
    motu.wake();
    let did = |main: i32, other: i32| ask(&tenant, "did_main", ()).unwrap() == Value::from_iter([main, other]);
    while !did(1, 0) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_secs(1)); // it is tried some times more
    assert!(did(1, 0), "a run was done again");
    tenant.kill();
    while !did(1, 1) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How late the last event was that came after a time: after its key's own time, or that one. None comes early.
fn lateness(tenant: &TenantRef, since: f64) -> f64 {
    let Value::Array(times) = ask(tenant, "times", ()).unwrap() else { panic!() };
    let late = times.iter().map(|times| match times {
        Value::Array(times) => match times[..] {
            [Value::Number(at), Value::Number(came)] => {
                assert!(came >= at - 0.001, "{came} is before {at}");
                if came > since { came - at.max(since) } else { 0.0 }
            }
            _ => panic!("{times:?}"),
        },
        _ => panic!("{times:?}"),
    });
    late.fold(0.0, f64::max)
}

/// Sets keys that expire, and has their events come, until it is killed.
fn expires() {
    let motu = on_disk(Path::new(&std::env::var(FOLDER).unwrap()));
    let tenant = tenant(&motu, "k3:1", EXPIRING, ALL);
    motu.wake();
    ask(&tenant, "set", 30).unwrap();
    println!("set");
    loop {
        std::thread::park();
    }
}

/// The handler's one change ends the event too: however the process dies, each key has been noted once in the end.
fn k3_once_also_when_the_process_is_killed() {
    let mut late = Vec::new();
    for wait in [0, 60, 150, 300, 500] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = child("kv_expires", folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "set");
        std::thread::sleep(Duration::from_millis(wait)); // any time will do: it is killed somewhere in the middle
        child.kill().unwrap();
        child.wait().unwrap();
        let motu = on_disk(folder.path());
        let tenant = tenant(&motu, "k3:1", EXPIRING, ALL);
        motu.wake();
        let (since, woken) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64());
        let fired = || match ask(&tenant, "fired", ()).unwrap() {
            Value::Map(pairs) => pairs.into_iter().map(|(key, times)| (key.to_string(), times)).collect(),
            _ => HashMap::new(),
        };
        while fired().len() < 30 {
            assert!(since.elapsed() < Duration::from_secs(60), "{wait}: {:?}", fired());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(fired().values().all(|times| *times == Value::from(1)), "{wait}: {:?}", fired());
        late.push(lateness(&tenant, woken));
    }
    // a machine may be busy once
    late.sort_by(f64::total_cmp);
    assert!(late[2] < 1.0, "seconds after the time or the restart: {late:?}");
}

fn k4_marked_keys_are_resumed_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // a job of ten steps, each done with its checkpoint in one list; the process ends after some
    let source = "local kv = require('@motu/kv')\n\
        local function go(job, from, to) for step = from + 1, to do\n\
            kv.apply('jobs', { { tag = 'check', value = { key = 'did:' .. job .. ':' .. step, expected = { tag = 'absent' } } },\n\
                { tag = 'set', value = { key = 'did:' .. job .. ':' .. step, value = true } },\n\
                if step < 10 then { tag = 'set', value = { key = job, value = step, options = { resume = true } } } else { tag = 'delete', value = job } }) end end\n\
        return { begin = function(job) kv.set('jobs', job, 0, { resume = true }) go(job, 0, 4) end,\n\
            kv_resume = function(e) assert(e.scope == 'jobs') go(e.key, e.value, 10) end,\n\
            did = function() return #kv.list('jobs', { prefix = 'did:', limit = 1000 }).entries end }";
    {
        let motu = on_disk(folder.path());
        let tenant = tenant(&motu, "k4:1", source, ALL);
        motu.wake();
        for job in ["a", "b", "c"] {
            ask(&tenant, "begin", job).unwrap();
        }
        assert_eq!(ask(&tenant, "did", ()).unwrap(), Value::from(12), "nothing is resumed before a restart");
    }
    let motu = on_disk(folder.path());
    let tenant = tenant(&motu, "k4:1", source, ALL);
    motu.wake();
    while ask(&tenant, "did", ()).unwrap() != Value::from(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn k6_quotas_are_kept() {
    let few = Limits { kv_keys: 5, kv_bytes: 2000, kv_value_bytes: 1000, ..limits() };
    let motu = builder(few).build().unwrap();
    let source = "local kv = require('@motu/kv')\nreturn {\n\
        keys = function() local n = 0 while true do local ok, why = pcall(kv.set, 's', 'k' .. n, n) if not ok then return { n, why } end n += 1 end end,\n\
        free = function() kv.delete('s', 'k0') kv.set('s', 'again', 1) for i = 1, 4 do kv.delete('s', 'k' .. i) end kv.delete('s', 'again')\n\
            local u = kv.usage() return { u.keys, u.bytes, u.keys_max, u.bytes_max } end,\n\
        large = function(n) kv.set('s', 'large', string.rep('x', n)) end, two = function() kv.set('s', 'l2', string.rep('x', 950)) end,\n\
        uncaught = function() for i = 1, 6 do kv.set('u', 'k' .. i, i) end end,\n\
        rows = function() local list = {} for i = 1, 67 do local set = { key = 'k', value = i, options = { ttl = 60, resume = true } }\n\
            list[i] = { tag = 'set', value = set } end local ok, why = pcall(kv.apply, 's', list) return { ok, why } end }";
    let tenant = tenant(&motu, "k6:1", source, ALL);
    let Value::Array(rows) = ask(&tenant, "rows", ()).unwrap() else { panic!() };
    assert!(rows[1].as_str().unwrap().contains("is 200, and this would make it 201"), "{rows:?}");
    let Value::Array(keys) = ask(&tenant, "keys", ()).unwrap() else { panic!() };
    assert_eq!(keys[0], Value::from(5), "the fifth works");
    assert!(keys[1].as_str().unwrap().contains("quota of keys is 5"), "{:?}", keys[1]);
    assert_eq!(ask(&tenant, "free", ()).unwrap(), Value::from_iter([0, 0, 5, 2000]));
    let error = ask(&tenant, "large", 1001).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("bytes in a value"), "{error}");
    ask(&tenant, "large", 950).unwrap();
    let error = ask(&tenant, "two", ()).unwrap_err();
    assert!(error.message().contains("quota of bytes in all is 2000"), "{error}");
    ask(&tenant, "large", 1).unwrap();
    ask(&tenant, "two", ()).unwrap();
    assert_eq!(ask(&tenant, "uncaught", ()).unwrap_err().kind(), ErrorKind::Limit);
    run(tenant.delete_state()).unwrap();
    assert_eq!(ask(&tenant, "free", ()).unwrap(), Value::from_iter([0, 0, 5, 2000]));
}

fn k6_operations_a_second() {
    let motu = builder(Limits { kv_operations_per_second: Some(50), ..limits() }).build().unwrap();
    let source = "local kv = require('@motu/kv')\nreturn {\n\
        go = function() local n = 0 while true do local ok, why = pcall(kv.get, 's', 'k') if not ok then return { n, why } end n += 1 end end }";
    let (one, other) = (tenant(&motu, "k6:1", source, ALL), tenant(&motu, "k6:2", source, ALL));
    let since = Instant::now();
    let Value::Array(got) = ask(&one, "go", ()).unwrap() else { panic!() };
    let first = got[0].as_f64().unwrap();
    assert!(first >= 50.0, "{got:?}");
    assert!(got[1].as_str().unwrap().contains("over the limit kv_operations_per_second of 50"), "{got:?}");
    // an instance that starts anew has no new room; another tenant has its own
    one.kill();
    let Value::Array(got) = ask(&one, "go", ()).unwrap() else { panic!() };
    let (second, most) = (got[0].as_f64().unwrap(), 50.0 + since.elapsed().as_secs_f64() * 50.0);
    assert!(first + second <= most + 1.0, "{first} and {second}, and {most} are allowed");
    let Value::Array(got) = ask(&other, "go", ()).unwrap() else { panic!() };
    assert!(got[0].as_f64().unwrap() >= 50.0, "{got:?}");
}

/// Random keys and scopes, with all that might end or begin a name in them: each tenant sees what it has set, and no more.
fn k7_no_key_reaches_another_tenant() {
    let motu = builder(Limits { kv_operations_per_second: None, ..limits() }).build().unwrap();
    let source = "local kv = require('@motu/kv')\nreturn { set = function(a) kv.set(a.scope, a.key, a.value) end,\n\
        get = function(a) return kv.get(a.scope, a.key) end,\n\
        keys = function(scope) local n = 0 for _, e in kv.list(scope, { limit = 1000 }).entries do n += 1 end return n end }";
    let names = ["k7:1", "k7:11", "k7:1:s", "k71:1"];
    let tenants = names.map(|name| tenant(&motu, name, source, ALL));
    let part = || prop::sample::select(vec!["a", "1", ":", "/", "\u{0}", "s", "k7:1", "\u{ff}", "é", " "]);
    let text = |least: usize| prop::collection::vec(part(), least..4).prop_map(|parts| parts.concat());
    let seen = std::cell::RefCell::new(HashMap::<(usize, String, String), Value>::new());
    let number = std::cell::Cell::new(0);
    let check = |(who, scope, key): (usize, String, String)| {
        let scope: String = scope.chars().filter(|c| !c.is_control()).chain(['.']).collect();
        number.set(number.get() + 1);
        let at = |value: Value| {
            Value::from([
                ("scope", Value::string(scope.clone())),
                ("key", Value::string(key.clone())),
                ("value", value),
            ])
        };
        ask(&tenants[who], "set", at(Value::from(number.get()))).unwrap();
        seen.borrow_mut().insert((who, scope.clone(), key.clone()), Value::from(number.get()));
        for (n, tenant) in tenants.iter().enumerate() {
            let expected = seen.borrow().get(&(n, scope.clone(), key.clone())).cloned().unwrap_or_default();
            prop_assert_eq!(ask(tenant, "get", at(Value::Nil)).unwrap(), expected);
            let of = seen.borrow().keys().filter(|(who, of, _)| *who == n && *of == scope).count();
            prop_assert_eq!(ask(tenant, "keys", Value::string(scope.clone())).unwrap(), Value::from(of as f64));
        }
        Ok(())
    };
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&(0..4_usize, text(0), text(1)), check).unwrap();
}

fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let motu = on_disk(folder.path());
    let error = builder(limits()).state(folder.path()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("is in use by another process"), "{error}");
    drop(motu);
    let again = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        builder(limits()).state(folder.path()).build().is_ok()
    });
    assert!(again, "the last one lets go of it");
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("data.redb"), "something else").unwrap();
    let error = builder(limits()).state(other.path()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(std::fs::read(other.path().join("data.redb")).unwrap(), b"something else");
}

/// A page of nothing would say that there is nothing.
fn c13_limits_of_pages_go_from_1_to_1000() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv, blob, cron = require('@motu/kv'), require('@motu/blob'), require('@motu/cron')\nreturn {\n\
        kv = function(n) kv.set('s', 'k', 1) return #kv.list('s', { limit = n }).entries end,\n\
        blob = function(n) blob.put('s', 'b', 'x') return #blob.list('s', { limit = n }).blobs end,\n\
        cron = function(n) return #cron.next('* * * * *', 'UTC', 0, n) end }";
    let tenant = tenant(&motu, "c13:1", source, &["motu:kv/*", "motu:blob/*", "motu:cron/*"]);
    for (event, most, name) in [("kv", 1_000, "limit"), ("blob", 1_000, "limit"), ("cron", 100, "count")] {
        assert!(ask(&tenant, event, most).unwrap().as_f64() >= Some(1.0), "{event}");
        for wrong in [0, most + 1] {
            let error = ask(&tenant, event, wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Script, "{event}: {error}");
            let said = format!("{name} is {wrong}; it goes from 1 to {most}");
            assert!(error.message().ends_with(&said), "{event}: {error}");
        }
    }
}

fn c15_numbers_that_are_no_times_are_said_briefly() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv, blob, cron = require('@motu/kv'), require('@motu/blob'), require('@motu/cron')\nreturn {\n\
        ttl = function(n) kv.set('s', 'k', 1, { ttl = n }) end,\n\
        at = function(n) kv.set('s', 'k', 1, { expires = n }) end,\n\
        put = function(n) blob.put('s', 'b', 'x', { ttl = n }) end,\n\
        link = function(n) blob.put('s', 'b', 'x') blob.link('s', 'b', { seconds = n }) end,\n\
        cron = function(n) cron.next('* * * * *', 'UTC', n) end }";
    let tenant = tenant(&motu, "c15:1", source, &["motu:kv/*", "motu:blob/*", "motu:cron/*"]);
    for event in ["ttl", "put"] {
        for (ttl, shown) in
            [(-1.0, "-1"), (0.0, "0"), (f64::NAN, "NaN"), (-1e300, "-1e300"), (f64::NEG_INFINITY, "-inf")]
        {
            let error = ask(&tenant, event, ttl).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Script, "{error}");
            let said = format!("ttl is {shown}; it is a positive number of seconds");
            assert!(error.message().ends_with(&said), "{event}: {error}");
        }
    }
    for event in ["ttl", "at", "put", "link", "cron"] {
        let error = ask(&tenant, event, 1e300).unwrap_err();
        assert!(error.message().contains("1e300") && error.message().len() < 200, "{event}: {error}");
    }
}
