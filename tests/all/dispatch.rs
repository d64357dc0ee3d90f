//! Events in, outcomes out: payloads, results, state, and what happens to a future that is dropped.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use motu::{ErrorKind, Limits, LogLevel, Tier, Value};
use serde::{Deserialize, Serialize};

use crate::support::{builder, bundle, event, instance, limits, load, run, send, tenant, try_load};

trials![
    serde_payload_and_result,
    result_of_another_type_is_named,
    values_cross_byte_for_byte,
    unknown_event_lists_what_is_handled,
    handlers_are_listed,
    entry_value,
    globals_stay_from_event_to_event,
    an_error_keeps_the_globals,
    dropped_future_then_fresh_instance,
    dropped_before_polling_costs_nothing,
    top_level_cannot_yield,
    a_handler_cannot_yield,
    print_at_load_is_logged_once,
    log_lines_name_the_tenant,
    random_differs_by_instance,
    random_repeats_with_a_seed,
    random_at_load_comes_from_the_digest,
    clocks_are_those_of_the_event,
    a_spinner_does_not_hold_up_its_neighbours,
    many_instances_interleave,
    instances_move_between_threads,
    usage_is_filled_in,
    memory_is_the_peak,
    tenants_are_checked,
];

const ECHO: &str = "return { echo = function(...) return ... end }";

fn serde_payload_and_result() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Order {
        name: String,
        lines: Vec<(u32, f64)>,
        note: Option<String>,
        tags: BTreeMap<String, bool>,
        shape: Shape,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    enum Shape {
        Point,
        Circle { radius: f64 },
    }
    let order = |note, shape| Order {
        name: "Ada".into(),
        lines: vec![(1, 0.5), (2, 1e300)],
        note,
        tags: [("a".to_owned(), true), ("b".to_owned(), false)].into(),
        shape,
    };
    let instance = instance(ECHO);
    for order in [order(None, Shape::Point), order(Some("x".into()), Shape::Circle { radius: -0.25 })] {
        let outcome = run(instance.dispatch::<Order>("echo", &order)).unwrap();
        assert_eq!(outcome.value, order);
        assert_eq!(outcome.tier, Tier::Interpreter);
        assert_eq!(outcome.tier.to_string(), "interpreter");
    }

    let source = "return { total = function(order) local sum = 0 for _, line in order.lines do sum += line[1] * line[2] end return sum end }";
    let instance = crate::support::instance(source);
    let order = Order { lines: vec![(2, 1.5), (3, 2.0)], ..order(None, Shape::Point) };
    assert_eq!(run(instance.dispatch::<f64>("total", &order)).unwrap().value, 9.0);
}

fn result_of_another_type_is_named() {
    let instance = instance("return { go = function() return { items = { 1, 'two' } } end }");
    #[derive(Deserialize, Debug)]
    #[allow(dead_code, reason = "only its type matters")]
    struct Wanted {
        items: Vec<u32>,
    }
    let error = run(instance.dispatch::<Wanted>("go", &())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().starts_with("the result of go is not of the type that was asked for: "), "{error}");
    assert!(error.message().contains("items[2]"), "{error}");
    assert_eq!(error.event(), Some("go"));
    assert!(error.usage().fuel > 0);
    assert!(instance.is_live(), "the script did nothing wrong");
}

fn values_cross_byte_for_byte() {
    let instance = instance(ECHO);
    let value = Value::Array(vec![
        Value::String(vec![0, 255, b'a', 0]),
        Value::Buffer((0..=255).collect()),
        Value::Vector([1.0, -0.0, f32::INFINITY]),
        Value::Integer(i64::MIN),
        Value::Number(-0.0),
        Value::from([(Value::Boolean(true), Value::Number(1.0)), (Value::Number(0.5), Value::string("x"))]),
    ]);
    assert_eq!(send(&instance, "echo", &value).unwrap().value, value);
}

fn unknown_event_lists_what_is_handled() {
    let instance = instance("return { b = function() end, a = function() end, number = 1 }");
    let error = event(&instance, "c").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.message(), "nothing handles the event \"c\"; the bundle handles a, b");
    assert_eq!(error.event(), Some("c"));
    assert_eq!(instance.starts(), 0, "nothing was started for it");

    let instance = crate::support::instance("return 1");
    let error = event(&instance, "c").unwrap_err();
    assert_eq!(error.message(), "nothing handles the event \"c\"; the bundle handles no events");
}

fn handlers_are_listed() {
    let loaded = load("return { zeta = function() end, alpha = function() end, ['with space'] = function() end }");
    assert_eq!(loaded.handlers(), ["alpha", "with space", "zeta"]);
    assert!(loaded.only_handlers());
    let loaded = load("return { go = function() end, version = 3, [1] = function() end }");
    assert_eq!(loaded.handlers(), ["go"]);
    assert!(!loaded.only_handlers());
    for source in ["return {}", "return 1", "return nil", "return", "", "return function() end"] {
        let loaded = load(source);
        assert!(loaded.handlers().is_empty(), "{source}");
        assert!(!loaded.only_handlers(), "{source}");
    }
    let loaded = load("return setmetatable({}, { __index = function() return function() end end })");
    assert!(loaded.handlers().is_empty(), "only what the table holds itself");
}

fn entry_value() {
    let value = |source: &str| run(load(source).instance(tenant()).value());
    assert_eq!(value("return { answer = 42 }").unwrap().value, Value::from([("answer", 42)]));
    assert_eq!(value("return 'text'").unwrap().value, Value::string("text"));
    assert_eq!(value("return nil").unwrap().value, Value::Nil);
    assert_eq!(value("").unwrap().value, Value::Nil);
    let error = value("return { a = { print } }").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script);
    assert_eq!(error.message(), "init.luau: value.a[1] is a function, which can't cross");
    assert_eq!(error.event(), None);
}

fn globals_stay_from_event_to_event() {
    let instance = instance(
        "local calls = 0\nreturn { go = function() calls += 1 total = (total or 10) + 1 return { calls, total } end }",
    );
    for n in 1..=100 {
        let value = run(instance.dispatch::<(u32, u32)>("go", &())).unwrap().value;
        assert_eq!(value, (n, n + 10));
    }
    assert_eq!(instance.starts(), 1);
}

fn an_error_keeps_the_globals() {
    let instance = instance("n = 0\nreturn { go = function() n += 1 if n == 2 then error('no') end return n end }");
    assert_eq!(event(&instance, "go").unwrap().value, Value::Number(1.0));
    assert_eq!(event(&instance, "go").unwrap_err().kind(), ErrorKind::Script);
    assert_eq!(event(&instance, "go").unwrap().value, Value::Number(3.0));
    assert_eq!(instance.starts(), 1);
}

/// Polls a future so often, then drops it. Whether it was done by then.
fn poll_and_drop<F: Future>(future: F, polls: usize) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    (0..polls).any(|_| matches!(future.as_mut().poll(&mut context), Poll::Ready(_)))
}

fn dropped_future_then_fresh_instance() {
    let source = "n = 0\nreturn { spin = function() n = 1 while true do end end, get = function() return n end }";
    let limits = Limits { event_fuel: None, ..limits() };
    let instance = try_load(limits, source).unwrap().instance(tenant());
    assert_eq!(event(&instance, "get").unwrap().value, Value::Number(0.0));
    for round in 0..4 {
        // what computes goes on when its caller is gone: it has a limit of its own, or is killed
        assert!(!poll_and_drop(instance.dispatch_value("spin", &Value::Nil), round + 1), "it spins for ever");
        instance.kill();
        assert_eq!(event(&instance, "get").unwrap().value, Value::Number(0.0));
        assert!(instance.starts() <= round as u64 + 2);
    }
}

fn dropped_before_polling_costs_nothing() {
    let instance = instance("n = 0\nreturn { go = function() n += 1 return n end }");
    assert_eq!(event(&instance, "go").unwrap().value, Value::Number(1.0));
    assert!(!poll_and_drop(instance.dispatch_value("go", &Value::Nil), 0));
    assert_eq!(event(&instance, "go").unwrap().value, Value::Number(2.0));
    assert_eq!(instance.starts(), 1);
}

fn top_level_cannot_yield() {
    for source in
        ["coroutine.yield()", "print(1)\ncoroutine.yield(1)\nreturn {}", "pcall(coroutine.yield)\ncoroutine.yield()"]
    {
        let error = try_load(limits(), source).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script, "{error}");
        assert!(error.message().contains("the top level of a bundle can't yield"), "{error}");
        assert!(error.message().starts_with("init.luau:"), "{error}");
    }
    // in coroutines of its own it may
    let source = "local f = coroutine.wrap(function() coroutine.yield(1) coroutine.yield(2) end)\nreturn { f(), f() }";
    let value = run(load(source).instance(tenant()).value()).unwrap().value;
    assert_eq!(value, Value::from_iter([1, 2]));
}

fn a_handler_cannot_yield() {
    let instance = instance("return { go = function() coroutine.yield() end, ok = function() return 1 end }");
    let error = event(&instance, "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script);
    assert_eq!(error.message(), "init.luau:1: the handler yielded, and nothing will resume it");
    assert_eq!(event(&instance, "ok").unwrap().value, Value::Number(1.0));
}

type Lines = Arc<Mutex<Vec<(Option<String>, String)>>>;

fn logging(limits: Limits) -> (motu::Motu, Lines) {
    let lines = Lines::default();
    let sink = lines.clone();
    let motu = builder(limits).on_log(move |line| {
        assert_eq!(line.level, LogLevel::Info);
        let tenant = line.tenant.as_ref().map(ToString::to_string);
        sink.lock().unwrap().push((tenant, line.text.clone()));
    });
    (motu.build().unwrap(), lines)
}

fn print_at_load_is_logged_once() {
    let (motu, lines) = logging(limits());
    let source = "print('loading', 1, nil, true)\nreturn { go = function() print('event') end }";
    let loaded = run(motu.load(&bundle(&[("init.luau", source)]))).unwrap();
    for n in 1..=5 {
        let instance = loaded.instance(format!("user:{n}").parse().unwrap());
        event(&instance, "go").unwrap();
        event(&instance, "go").unwrap();
    }
    let lines = lines.lock().unwrap();
    assert_eq!(lines.iter().filter(|(tenant, _)| tenant.is_none()).count(), 1);
    assert_eq!(lines[0], (None, "loading\t1\tnil\ttrue".to_owned()));
    assert_eq!(lines.len(), 11);
}

fn log_lines_name_the_tenant() {
    let (motu, lines) = logging(limits());
    let source = "return { go = function(text) print(text) end }";
    let loaded = run(motu.load(&bundle(&[("init.luau", source)]))).unwrap();
    for tenant in ["guild:1", "user:1"] {
        let instance = loaded.instance(tenant.parse().unwrap());
        send(&instance, "go", &Value::String(b"a\nb\xff".to_vec())).unwrap();
    }
    let text = "a\nb\u{fffd}".to_owned();
    assert_eq!(*lines.lock().unwrap(), [(Some("guild:1".to_owned()), text.clone()), (Some("user:1".to_owned()), text)]);
}

const RANDOM: &str = "local at_load = math.random(1, 2^30)\n\
    return { go = function() return { math.random(1, 2^30), math.random(1, 2^30) } end, load = function() return at_load end }";

fn random_differs_by_instance() {
    let loaded = load(RANDOM);
    let mut seen: Vec<Value> = (0..20).map(|_| event(&loaded.instance(tenant()), "go").unwrap().value).collect();
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 18, "of 20 instances, only {} drew different numbers", seen.len());
}

fn random_repeats_with_a_seed() {
    let loaded = load(RANDOM);
    let draw = |seed| {
        let instance = loaded.instance(tenant()).with_seed(seed);
        (event(&instance, "go").unwrap().value, event(&instance, "go").unwrap().value)
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    let (first, second) = draw(7);
    assert_ne!(first, second, "it is seeded once, not for each event");
}

fn random_at_load_comes_from_the_digest() {
    let at_load = |limits| event(&try_load(limits, RANDOM).unwrap().instance(tenant()), "load").unwrap().value;
    assert_eq!(at_load(limits()), at_load(limits()));
    assert_eq!(at_load(limits()), at_load(Limits { log_bytes: 1, ..limits() }), "in another Motu too");
}

fn clocks_are_those_of_the_event() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let source = "local loaded = os.clock()\n\
        return { time = function() return os.time() end, clock = function() return os.clock() end, since = function() return os.clock() - loaded end }";
    let loaded = load(source);
    let instance = loaded.instance(tenant());
    event(&instance, "clock").unwrap();
    let before = now().floor();
    let time = run(instance.dispatch::<f64>("time", &())).unwrap().value;
    assert!(before <= time && time <= now().ceil(), "{before} {time}");

    let clock = |instance: &motu::Instance| run(instance.dispatch::<f64>("clock", &())).unwrap().value;
    let first = clock(&instance);
    let work = std::time::Instant::now();
    while work.elapsed() < Duration::from_millis(5) {
        std::hint::spin_loop();
    }
    let second = clock(&instance);
    assert!(second - first >= 0.005, "os.clock stood still: {first} {second}");
    assert!(run(instance.dispatch::<f64>("since", &())).unwrap().value >= 0.005, "os.clock goes on from the load");
}

fn a_spinner_does_not_hold_up_its_neighbours() {
    let limits = Limits { event_fuel: None, event_deadline: Some(Duration::from_secs(3)), ..limits() };
    let source = "return { spin = function() while true do end end, quick = function() return 1 end }";
    let loaded = try_load(limits, source).unwrap();
    run(async {
        let spinner = loaded.instance("user:1".parse().unwrap());
        let other = loaded.instance("user:2".parse().unwrap());
        let mut spin = pin!(spinner.dispatch_value("spin", &Value::Nil));
        let quick = async {
            for _ in 0..50 {
                other.dispatch_value("quick", &Value::Nil).await.unwrap();
                tokio::task::yield_now().await; // each after a slice of the spinner's
            }
        };
        tokio::select! {
            biased;
            spun = &mut spin => panic!("the spinner ended first: {spun:?}"),
            () = quick => (),
        }
        let error = spin.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline);
    });
}

fn many_instances_interleave() {
    let source = "local id = 0\nreturn { set = function(n) id = n local sum = 0 for i = 1, 100000 do sum += i % 7 end return id + sum * 0 end,\n\
        get = function() return id end }";
    let loaded = load(source);
    run(async {
        let count = 200;
        let instances: Vec<_> = (0..count).map(|n| loaded.instance(format!("user:{n}").parse().unwrap())).collect();
        let numbers: Vec<usize> = (0..count).collect();
        let start = |(instance, n)| Box::pin(motu::Instance::dispatch::<usize>(instance, "set", n));
        let mut set: Vec<_> = instances.iter().zip(&numbers).map(start).collect();
        let mut done = vec![None; count];
        while done.iter().any(Option::is_none) {
            // all at once: each is in its mailbox before any is waited for
            for (n, future) in set.iter_mut().enumerate().filter(|(n, _)| done[*n].is_none()).collect::<Vec<_>>() {
                if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    done[n] = Some(result.unwrap().value);
                }
            }
            tokio::task::yield_now().await;
        }
        assert!(done.iter().enumerate().all(|(n, value)| *value == Some(n)));
        for (n, instance) in instances.iter().enumerate() {
            assert_eq!(instance.dispatch::<usize>("get", &()).await.unwrap().value, n);
        }
    });
}

fn instances_move_between_threads() {
    let loaded = load("n = 0\nreturn { go = function() n += 1 return n end }");
    let mut instance = loaded.instance(tenant());
    for n in 1..=8 {
        instance = std::thread::spawn(move || {
            assert_eq!(run(instance.dispatch::<u32>("go", &())).unwrap().value, n);
            instance
        })
        .join()
        .unwrap();
    }
}

fn usage_is_filled_in() {
    let loaded = load(
        "return { go = function() local n = 0 for i = 1, 100000 do n += i end return n end, no = function() error('x') end }",
    );
    assert!(loaded.usage().fuel > 0);
    assert!(loaded.usage().memory_bytes > 0);
    assert!(loaded.image_bytes() > 0);
    let instance = loaded.instance(tenant());
    let usage = event(&instance, "go").unwrap().usage;
    assert!(usage.fuel > 500_000, "{usage:?}");
    assert!(usage.memory_bytes > 1 << 20 && usage.memory_bytes < 8 << 20, "{usage:?}");
    assert!(usage.elapsed > Duration::ZERO);
    let failed = event(&instance, "no").unwrap_err();
    assert!(failed.usage().fuel > 0 && failed.usage().memory_bytes > 0, "{failed:?}");
}

fn memory_is_the_peak() {
    let instance =
        instance("return { big = function() return #string.rep('x', 10000000) end, small = function() return 1 end }");
    let small = event(&instance, "small").unwrap().usage.memory_bytes;
    let big = event(&instance, "big").unwrap().usage.memory_bytes;
    assert!(big >= small + 10_000_000 && big < small + 24_000_000, "{small} {big}");
}

fn tenants_are_checked() {
    for good in ["user:7", "guild:42", "any-kind_1:any id: at all"] {
        let tenant: motu::Tenant = good.parse().unwrap();
        assert_eq!(tenant.to_string(), good);
        assert_eq!(format!("{}:{}", tenant.kind(), tenant.id()), good);
    }
    let long = format!("user:{}", "x".repeat(motu::Tenant::BYTES_MAX));
    for bad in ["", "user", ":1", "user:", "User:1", "us er:1", "user:a\nb", long.as_str()] {
        let error = bad.parse::<motu::Tenant>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{bad}");
    }
    let longest = format!("user:{}", "x".repeat(motu::Tenant::BYTES_MAX - 5));
    longest.parse::<motu::Tenant>().unwrap();
    assert_eq!(instance("return {}").tenant().to_string(), "test:1");
}
