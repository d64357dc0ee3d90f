//! Work that the host does for a script before and after a function runs is paid by who caused it, and done in steps: grants that
//! look at arguments (t01, t02), values that are thrown (t06), values that cross (t07), errors (t08).

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use motu::{Error, ErrorKind, HostModule, Limits, Motu, Value};
use serde::{Deserialize, Deserializer, Serialize};

use super::charge::cost;
use super::{ask, tenant};
use crate::support::{builder, limits, run, until};

trials![
    t01_an_argument_is_looked_at_once_after_the_rate_and_paid,
    t01_a_host_that_can_be_none_is_denied,
    t02_a_long_argument_fits_no_pattern,
    t06_a_thrown_value_is_kept_as_its_bytes,
    t07_many_values_are_read_and_written_beside_the_workers,
    t07_many_values_cost_the_same_each_time,
    t07_calls_with_many_values_that_are_given_up_hold_nobody_up,
    t07_many_values_of_a_result_are_read_aside,
    t08_a_refusal_is_paid,
];

const WIT: &str = "package test:paid; interface paid {
    fetch: func(url: string, note: list<u8>);
    booleans: func(all: list<bool>) -> list<bool>;
    plain: func(all: list<bool>) -> list<bool>;
}";

const SOURCE: &str = "local paid, json, time = require('@test/paid'), require('@motu/json'), require('@motu/time')
return {
    fetch = function(n) return (pcall(paid.fetch, string.rep('x', n), '')) end,
    note = function(n) return (pcall(paid.fetch, '', string.rep('x', n))) end,
    fetches = function(n) local done = 0 for i = 1, n do if pcall(paid.fetch, 'url', '') then done += 1 end end return done end,
    plain = function(n) return #paid.plain(table.create(n, true)) end,
    flags = function(n) return #paid.booleans(table.create(n, true)) end,
    throw = function(n) error(table.create(n, true)) end,
    encode = function(n) return #json.encode(table.create(n, true)) end,
    -- calls that wait for their turn aside, and are given up: by a script, by the end of the event, by the end of the VM
    cancels = function(n)
        local all = table.create(n, true)
        for seconds = 0, 3 do
            local calls = {}
            for i = 1, 3 do calls[i] = task.spawn(paid.plain, all) end
            task.wait(seconds / 1000)
            for _, call in calls do task.cancel(call) end
        end
    end,
    leaves = function(n) local all = table.create(n, true) for i = 1, 3 do task.spawn(paid.plain, all) end task.wait(60) end,
    dies = function(n)
        local all = table.create(n, true)
        for i = 1, 3 do task.spawn(paid.plain, all) end
        task.wait()
        while true do end
    end,
    result = function(n) task.wait(0.02) return table.create(n, true) end,
    texts = function(n) task.wait(0.02) return table.create(n, string.rep('y', 2000)) end,
    zone = function(name) return (pcall(time.format, 0, name)) end,
}";

/// A boolean that knows which thread has read or written it.
#[derive(Clone)]
struct Flag;

static THREADS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// One trial at a time has flags read.
static TURN: Mutex<()> = Mutex::new(());

/// Counts a flag for a thread of Motu's. Those that build one, to see whether the type fits, are none of them.
fn here() {
    let thread = std::thread::current();
    if let Some(name) = thread.name().filter(|name| name.starts_with("motu-")) {
        *THREADS.lock().unwrap().entry(name.to_owned()).or_default() += 1;
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Flag, D::Error> {
        here();
        bool::deserialize(from).map(|_| Flag)
    }
}

impl Serialize for Flag {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        here();
        true.serialize(to)
    }
}

fn made(limits: Limits) -> (Motu, Arc<AtomicUsize>) {
    let found = Arc::new(AtomicUsize::new(0));
    let counted = found.clone();
    let module = HostModule::from_wit(WIT)
        .unwrap()
        .function("fetch", |_, _: (String, serde_bytes::ByteBuf)| async { Ok::<_, Error>(()) })
        .narrowed_by("fetch", "host", "url", move |url| {
            counted.fetch_add(1, Ordering::AcqRel);
            Some(url.to_owned())
        })
        .function("plain", |_, all: Vec<bool>| async { Ok::<_, Error>(all) })
        .function("booleans", |_, all: Vec<Flag>| async { Ok::<_, Error>(all) });
    (builder(limits).host_module(module).build().unwrap(), found)
}

fn t01_an_argument_is_looked_at_once_after_the_rate_and_paid() {
    let rates = BTreeMap::from([("test:paid".to_owned(), 5)]);
    let (motu, found) = made(Limits { calls_per_second: rates, ..limits() });
    let twenty: Vec<String> = (0..20).map(|n| format!("test:paid/paid.fetch[host=h{n}*x]")).collect();
    let grants: Vec<&str> = twenty.iter().map(String::as_str).collect();
    let many = tenant(&motu, "t01:many", SOURCE, &grants);
    // each of the first five is looked at once, whatever grants there are; the others are not
    assert_eq!(ask(&many, "fetches", 100).unwrap(), Value::from(0));
    let looked = found.load(Ordering::Acquire);
    assert!((5..20).contains(&looked), "{looked} times");

    let one = tenant(&motu, "t01:one", SOURCE, &["test:paid/paid.fetch[host=h*x]"]);
    cost(&one, "fetch", 1).0.unwrap();
    let [short, long] = [10, 8_000].map(|n| cost(&one, "fetch", n).1);
    assert!(long - short >= 7_990 * 600, "a denied call pays for the look at its argument: {short}, {long}");
}

fn t01_a_host_that_can_be_none_is_denied() {
    let motu = builder(limits()).build().unwrap();
    let source = "local http = require('@motu/http')\nreturn { fetch = function(url) local _, e = pcall(http.fetch, url) return tostring(e) end }";
    let tenant = tenant(&motu, "t01:http", source, &["motu:http/client.fetch[host=api.example.com]"]);
    let label: String = (0..900).filter_map(|n| char::from_u32(0x4e00 + n)).collect();
    let error = ask(&tenant, "fetch", format!("http://{label}.{label}.{label}/")).unwrap();
    assert!(error.to_string().contains("needs the grant motu:http/client.fetch"), "{error}");
}

fn t02_a_long_argument_fits_no_pattern() {
    let (motu, found) = made(limits());
    let tenant = tenant(&motu, "t02:long", SOURCE, &["test:paid/paid.fetch[note=*]"]);
    assert_eq!(ask(&tenant, "note", 8_192).unwrap(), Value::from(true));
    assert_eq!(ask(&tenant, "note", 8_193).unwrap(), Value::from(false));
    assert_eq!(found.load(Ordering::Acquire), 0);
}

fn t06_a_thrown_value_is_kept_as_its_bytes() {
    let (motu, _) = made(limits());
    let tenant = tenant(&motu, "t06:error", SOURCE, &[]);
    let error = ask(&tenant, "throw", 1_040_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script);
    let Some(Value::Array(items)) = error.value() else { panic!("{error}") };
    assert_eq!(items.len(), 1_040_000);
    // and no more than a result may have
    let error = ask(&tenant, "throw", 1_060_000).unwrap_err();
    assert_eq!((error.kind(), error.value()), (ErrorKind::Script, None));
}

/// Workers are `motu-0`, `motu-1` and so on.
fn is_worker(thread: &str) -> bool {
    thread.strip_prefix("motu-").is_some_and(|number| number.parse::<u32>().is_ok())
}

fn t07_many_values_are_read_and_written_beside_the_workers() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (motu, _) = made(limits());
    let tenant = tenant(&motu, "t07:aside", SOURCE, &["*"]);
    let by = |n: usize| {
        THREADS.lock().unwrap().clear();
        assert_eq!(ask(&tenant, "flags", n as u32).unwrap(), Value::from(n as u32));
        std::mem::take(&mut *THREADS.lock().unwrap())
    };
    let few = by(1_000);
    assert_eq!(few.values().sum::<usize>(), 2_000, "{few:?}");
    assert!(few.keys().all(|name| is_worker(name)), "{few:?}");
    let many = by(100_000);
    let worked: usize = many.iter().filter(|(name, _)| is_worker(name)).map(|(_, count)| count).sum();
    assert!(worked <= 8_193, "no more than is written at once before it is known to be long: {many:?}");
    assert!(many.values().sum::<usize>() >= 200_000, "{many:?}");
}

fn t07_many_values_cost_the_same_each_time() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (motu, _) = made(limits());
    let [one, two] = ["t07:one", "t07:two"].map(|name| tenant(&motu, name, SOURCE, &["*"]));
    // what is thrown is written by the guest, and read by nobody
    for (event, n, price) in [("flags", 50_000, 1_000), ("encode", 100_000, 500), ("throw", 100_000, 100)] {
        // one after the other, since memory grows at the first of them
        let [first, second] = [&one, &two].map(|tenant| [(); 5].map(|()| cost(tenant, event, n).1));
        assert_eq!(first, second, "{event}");
        assert!(first[4] >= price * u64::from(i32::unsigned_abs(n)), "{event}: each value has a price, {first:?}");
    }
}

/// The first in line, and those behind it; then another tenant's call of the kind.
fn t07_calls_with_many_values_that_are_given_up_hold_nobody_up() {
    let (motu, _) = made(Limits { restarts: None, event_fuel: Some(2_000_000_000), ..limits() });
    let other = tenant(&motu, "t07:neighbour", SOURCE, &["*"]);
    let count = 60_000_u32;
    for (event, within) in [("cancels", None), ("leaves", Some(20)), ("leaves", Some(60)), ("dies", None)] {
        let hostile = tenant(&motu, "t07:gives-up", SOURCE, &["*"]);
        let within = within.map(Duration::from_millis);
        let ended = run(hostile.dispatch_within::<Option<u32>>(event, &count, within)).unwrap().remove(0).result;
        assert_eq!(ended.is_ok(), event == "cancels", "{event}: {ended:?}");
        assert_eq!(ask(&other, "plain", count).unwrap(), Value::from(count), "after {event}");
    }
    // all of it is let go of
    let id = "t07:gives-up".parse().unwrap();
    motu.tenant(&id).kill();
    until("nothing is held", || motu.tenant(&id).status()["main"].memory_bytes == 0);
}

/// What reads a result of many values, or of many bytes, isn't the thread that waits for it.
fn t07_many_values_of_a_result_are_read_aside() {
    let (motu, _) = made(limits());
    let tenant = tenant(&motu, "t07:result", SOURCE, &[]);
    let text = Value::from("y".repeat(2000));
    for (event, each, count, is_here) in [
        ("result", &Value::Boolean(true), 100_u32, true),
        ("result", &Value::Boolean(true), 100_000, false),
        ("texts", &text, 30, true),
        ("texts", &text, 500, false),
    ] {
        let (before, payload) = (motu.stats().answered, Value::from(count));
        let mut dispatching = pin!(tenant.dispatch_value(event, &payload));
        let mut context = Context::from_waker(Waker::noop());
        assert!(dispatching.as_mut().poll(&mut context).is_pending());
        until("it has ended", || motu.stats().answered > before);
        let mut polled = Poll::Pending;
        // its answer comes a moment later; what is read aside takes a poll more in any case
        until("its answer is there", || {
            std::thread::sleep(Duration::from_millis(20));
            polled = dispatching.as_mut().poll(&mut context);
            polled.is_ready() || !is_here
        });
        assert_eq!(polled.is_ready(), is_here, "{event} {count}");
        let mut answers = match polled {
            Poll::Ready(answers) => answers.unwrap(),
            Poll::Pending => run(dispatching).unwrap(),
        };
        let Value::Array(items) = answers.remove(0).result.unwrap().value else { panic!() };
        assert_eq!(items, vec![each.clone(); count as usize]);
    }
}

fn t08_a_refusal_is_paid() {
    let (motu, _) = made(limits());
    let (granted, other) =
        (tenant(&motu, "t08:granted", SOURCE, &["motu:time/*"]), tenant(&motu, "t08:none", SOURCE, &[]));
    for tenant in [&granted, &other] {
        cost(tenant, "zone", "UTC").0.unwrap();
    }
    let (ok, none, denied) =
        (cost(&granted, "zone", "UTC").1, cost(&granted, "zone", "Nowhere/Nothing").1, cost(&other, "zone", "UTC").1);
    assert!(none >= ok + 20_000, "{ok}, {none}");
    assert!(denied >= 30_000, "{denied}");
}
