//! Every limit by its name: n works, n + 1 is refused, and the message says which limit it was.

use std::time::Duration;

use motu::{Bundle, Error, ErrorKind, Limits, Value};

use crate::support::{
    assert_ends, builder, bundle, event, hostile, instance_with, limits, load_files, run, send, try_load, unplaced,
};

trials![
    load_fuel,
    event_fuel,
    load_deadline,
    event_deadline,
    deadline_of_zero,
    check_has_the_limits_of_loading,
    memory_bytes_at_load,
    memory_bytes_at_an_event,
    memory_bytes_are_those_asked_for,
    payload_bytes,
    payload_bytes_of_serde,
    payload_depth,
    result_bytes,
    result_depth,
    result_depth_of_arguments,
    entry_value_has_the_limits_of_a_result,
    handler_names_have_the_limit_of_a_result,
    error_value_over_the_result_limits_is_left_out,
    log_bytes,
    log_bytes_at_load,
    log_bytes_are_for_each_event,
    source_bytes,
    source_bytes_for_check,
    coroutines,
    timers,
    call_depth,
    limits_that_cannot_be_held_are_refused,
    defaults_are_as_documented,
];

fn assert_limit(error: &Error, name: &str) {
    assert_eq!(error.kind(), ErrorKind::Limit, "{error:?}");
    assert!(error.message().contains(name), "the message should name {name}: {error}");
}

const WORK: &str = "local n = 0 for i = 1, 200000 do n += i end";

fn load_fuel() {
    let source = format!("{WORK} return {{}}");
    let used = try_load(limits(), source.as_str()).unwrap().usage().fuel;
    try_load(Limits { load_fuel: Some(used), ..limits() }, source.as_str()).unwrap();
    let less = used - used / 10;
    let error = try_load(Limits { load_fuel: Some(less), ..limits() }, source.as_str()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fuel);
    assert_eq!(unplaced(&error), format!("out of fuel: the budget of {less} is used up"));
    assert_eq!(error.usage().fuel, less);
    try_load(Limits { load_fuel: None, ..limits() }, source.as_str()).unwrap();
}

fn event_fuel() {
    let source = hostile(WORK);
    let used = event(&instance_with(limits(), &source), "go").unwrap().usage.fuel;
    event(&instance_with(Limits { event_fuel: Some(used), ..limits() }, &source), "go").unwrap();
    let less = used - used / 10;
    let instance = instance_with(Limits { event_fuel: Some(less), ..limits() }, &source);
    let error = assert_ends(&instance, &[ErrorKind::Fuel], "less fuel");
    assert_eq!(unplaced(&error), format!("out of fuel: the budget of {less} is used up"));
    assert_eq!(error.usage().fuel, less);
    assert_eq!(error.event(), Some("go"));
}

const SHORT: Duration = Duration::from_millis(100);

/// Generous: the machine may be busy.
const LATE: Duration = Duration::from_secs(5);

fn load_deadline() {
    let limits = Limits { load_deadline: Some(SHORT), load_fuel: None, ..limits() };
    for source in ["while true do end", "while true do pcall(function() while true do end end) end"] {
        let error = try_load(limits.clone(), source).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline, "{error:?}");
        assert_eq!(unplaced(&error), "out of time: the deadline of 100 ms has passed");
        assert!(error.usage().elapsed >= SHORT && error.usage().elapsed < LATE, "{error:?}");
        assert!(error.usage().fuel > 0);
    }
}

fn event_deadline() {
    let limits = Limits { event_deadline: Some(SHORT), event_fuel: None, ..limits() };
    for body in ["while true do end", "while true do pcall(function() while true do end end) end"] {
        let instance = instance_with(limits.clone(), &hostile(body));
        let error = assert_ends(&instance, &[ErrorKind::Deadline], body);
        assert_eq!(unplaced(&error), "out of time: the deadline of 100 ms has passed");
        assert_eq!(error.event(), Some("go"));
        assert!(error.usage().elapsed >= SHORT && error.usage().elapsed < LATE, "{error:?}");
    }
}

fn deadline_of_zero() {
    let loaded =
        try_load(Limits { event_deadline: Some(Duration::ZERO), ..limits() }, "return { go = function() end }");
    let error = event(&loaded.unwrap().instance(crate::support::tenant()), "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    let error = try_load(Limits { load_deadline: Some(Duration::ZERO), ..limits() }, "return {}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
}

fn check_has_the_limits_of_loading() {
    let source = "local x = { 1, 2, 3, a = 'b' }\n".repeat(5_000);
    let check = |limits: Limits| {
        run(crate::support::motu(limits).check(&bundle(&[("other.luau", &source), ("init.luau", "")])))
    };
    assert_eq!(check(Limits { load_fuel: Some(10_000_000), ..limits() }).unwrap_err().kind(), ErrorKind::Fuel);
    let deadline = Some(Duration::from_millis(1));
    assert_eq!(check(Limits { load_deadline: deadline, ..limits() }).unwrap_err().kind(), ErrorKind::Deadline);
    assert_eq!(check(Limits { memory_bytes: 4 << 20, ..limits() }).unwrap_err().kind(), ErrorKind::Memory);
    let found = check(limits()).unwrap(); // 200 locals are the most that a function can have
    assert_eq!((found.diagnostics[0].path.as_str(), found.diagnostics[0].line), ("other.luau", 201));
}

fn memory_bytes_at_load() {
    let source =
        |bytes: u32| format!("local b = buffer.create({bytes}) return {{ go = function() return buffer.len(b) end }}");
    let used = try_load(limits(), source(5_000_000)).unwrap().usage().memory_bytes;
    let limits = Limits { memory_bytes: used, ..limits() };
    let loaded = try_load(limits.clone(), source(5_000_000)).unwrap();
    assert_eq!(event(&loaded.instance(crate::support::tenant()), "go").unwrap().value, Value::Number(5e6));
    let error = try_load(limits, source(11_000_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory, "{error:?}");
    assert!(error.message().contains(&format!("the limit memory_bytes is {used}")), "{error}");
    assert!(error.usage().memory_bytes <= used);
}

fn memory_bytes_at_an_event() {
    let source = |bytes: u32| hostile(&format!("return buffer.len(buffer.create({bytes}))"));
    let used = event(&instance_with(limits(), &source(5_000_000)), "go").unwrap().usage.memory_bytes;
    let limits = Limits { memory_bytes: used, ..limits() };
    event(&instance_with(limits.clone(), &source(5_000_000)), "go").unwrap();
    let error = assert_ends(&instance_with(limits, &source(11_000_000)), &[ErrorKind::Memory], "6 MB more");
    assert!(error.message().contains(&format!("the limit memory_bytes is {used}")), "{error}");
}

/// What is asked for is what counts: not twice as much, by an allocator that rounds up.
fn memory_bytes_are_those_asked_for() {
    let source = hostile("return buffer.len(buffer.create(payload))");
    let loaded = try_load(Limits { memory_bytes: 64 << 20, ..limits() }, source).unwrap();
    for mib in [1u32, 5, 9, 17, 33, 40, 57] {
        let instance = loaded.instance(crate::support::tenant());
        let outcome = send(&instance, "go", &Value::from(mib << 20));
        let usage = outcome.unwrap_or_else(|error| panic!("{mib} MiB: {error}")).usage;
        assert!(usage.memory_bytes < u64::from(mib << 20) + (4 << 20), "{mib} MiB: {usage:?}");
    }
}

const ECHO: &str = "return { echo = function(value) return value end, nothing = function() return nil end }";

fn payload_bytes() {
    let instance = instance_with(Limits { payload_bytes: 1000, ..limits() }, ECHO);
    let text = |bytes: usize| Value::String(vec![b'x'; bytes - 3]); // a head of three bytes
    assert_eq!(send(&instance, "echo", &text(1000)).unwrap().value, text(1000));
    let error = send(&instance, "echo", &text(1001)).unwrap_err();
    assert_limit(&error, "payload_bytes of 1000");
    assert_eq!(error.event(), Some("echo"));
    assert_eq!(error.usage().fuel, 0, "nothing ran");
    assert_eq!(instance.starts(), 1, "nothing was lost");
}

fn payload_bytes_of_serde() {
    let instance = instance_with(Limits { payload_bytes: 1000, ..limits() }, ECHO);
    let text = |bytes: usize| "x".repeat(bytes - 3);
    assert_eq!(run(instance.dispatch::<String>("echo", &text(1000))).unwrap().value, text(1000));
    assert_limit(&run(instance.dispatch::<String>("echo", &text(1001))).unwrap_err(), "payload_bytes of 1000");
    let list = vec![1u8; 998]; // each a byte, and a head of three at most
    assert_limit(
        &run(instance.dispatch::<Vec<u8>>("echo", &[list.as_slice(), &[1; 10]])).unwrap_err(),
        "payload_bytes of 1000",
    );
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Nil, |inner, _| Value::Array(vec![Value::Number(1.0), inner, Value::Number(2.0)]))
}

fn payload_depth() {
    for depth in [0, 1, 7, 64, 200] {
        let instance = instance_with(Limits { payload_depth: depth, ..limits() }, ECHO);
        send(&instance, "nothing", &nested(depth as usize)).unwrap();
        let error = send(&instance, "nothing", &nested(depth as usize + 1)).unwrap_err();
        assert_limit(&error, &format!("payload_depth of {depth}"));
        assert_eq!(instance.starts(), 1);
    }
    // by way of serde
    let instance = instance_with(Limits { payload_depth: 2, ..limits() }, ECHO);
    run(instance.dispatch::<()>("nothing", &[[1]])).unwrap();
    let error = run(instance.dispatch::<()>("nothing", &[[[1]]])).unwrap_err();
    assert_limit(&error, "payload_depth of 2");
    assert!(error.message().starts_with("payload[1][1]"), "it says where: {error}");
}

fn result_bytes() {
    let limits = Limits { result_bytes: 1000, ..limits() };
    let make = |bytes: usize| hostile(&format!("return string.rep('x', {})", bytes - 3));
    let instance = instance_with(limits.clone(), &make(1000));
    assert_eq!(event(&instance, "go").unwrap().value, Value::String(vec![b'x'; 997]));
    let error = assert_ends(&instance_with(limits.clone(), &make(1001)), &[ErrorKind::Limit], "1001 bytes");
    assert_limit(&error, "result_bytes of 1000");
    assert!(error.usage().fuel > 0);

    let body = "return { ok = 1, items = { 'short', string.rep('x', 2000) } }";
    let error = assert_ends(&instance_with(limits.clone(), &hostile(body)), &[ErrorKind::Limit], body);
    assert!(error.message().contains("result.items[2]"), "it says where: {error}");
    for body in [
        "return table.create(1000, 1)",
        "return buffer.create(1000)",
        "local t = {} for i = 1, 500 do t[i * 2] = i end return t",
    ] {
        assert_limit(
            &assert_ends(&instance_with(limits.clone(), &hostile(body)), &[ErrorKind::Limit], body),
            "result_bytes",
        );
    }
}

fn result_depth() {
    let nest = |depth: u32| hostile(&format!("local t = 1 for _ = 1, {depth} do t = {{ t }} end return t"));
    for depth in [0, 1, 7, 64, 200] {
        let limits = Limits { result_depth: depth, ..limits() };
        event(&instance_with(limits.clone(), &nest(depth)), "go").unwrap();
        let instance = instance_with(limits.clone(), &nest(depth + 1));
        let starts = instance.starts();
        let error = event(&instance, "go").unwrap_err();
        assert_limit(&error, &format!("result_depth of {depth}"));
        assert!(!instance.is_live() && starts == 0);
        assert_eq!(event(&instance, "fresh").unwrap().value, Value::Boolean(true));
    }
    // far over it, and as keys
    for body in [
        "local t = 1 for _ = 1, 200000 do t = { t } end return t",
        "local t = 1 for _ = 1, 200000 do t = { x = t } end return t",
        "local t = {} for _ = 1, 200000 do t = { [t] = 1 } end return t",
    ] {
        let instance = instance_with(Limits { result_depth: 200, ..limits() }, &hostile(body));
        assert_limit(&assert_ends(&instance, &[ErrorKind::Limit], body), "result_depth of 200");
    }
}

fn result_depth_of_arguments() {
    let source = "local send = require('@acme/crm').send\n\
        return { go = function() send(1, {{{}}}, 1) end,\n\
        caught = function() return select(2, pcall(send, 1, {{{}}}, 1)) end }";
    let instance = instance_with(Limits { result_depth: 2, ..limits() }, source);
    let error = event(&instance, "go").unwrap_err();
    assert_limit(&error, "over the limit result_depth of 2: deeper than 2 tables at argument 2 of crm.send");
    assert!(error.message().starts_with("init.luau:2: ") && error.traceback().contains("init.luau:2"), "{error:?}");
    let caught = event(&instance, "caught").unwrap().value;
    assert!(caught.as_str().unwrap().contains("result_depth of 2"), "{caught:?}");
    assert_eq!(instance.starts(), 1, "the instance goes on");
}

fn entry_value_has_the_limits_of_a_result() {
    let value = |limits, source| run(try_load(limits, source).unwrap().instance(crate::support::tenant()).value());
    let limits = Limits { result_bytes: 1000, result_depth: 2, ..limits() };
    value(limits.clone(), "return string.rep('x', 997)").unwrap();
    assert_limit(&value(limits.clone(), "return string.rep('x', 998)").unwrap_err(), "result_bytes of 1000");
    value(limits.clone(), "return {{}}").unwrap();
    assert_limit(&value(limits, "return {{{}}}").unwrap_err(), "result_depth of 2");
}

fn handler_names_have_the_limit_of_a_result() {
    let source = "local t = {} for i = 1, 1000 do t['name' .. i] = function() end end return t";
    try_load(limits(), source).unwrap();
    let error = try_load(Limits { result_bytes: 1000, ..limits() }, source).unwrap_err();
    assert_limit(&error, "result_bytes of 1000");
}

fn error_value_over_the_result_limits_is_left_out() {
    let limits = Limits { result_bytes: 1000, result_depth: 2, ..limits() };
    for (body, kept) in [
        ("error({ text = string.rep('x', 900) })", true),
        ("error({ text = string.rep('x', 1000) })", false),
        ("error({ { 1 } })", true),
        ("error({ { { 1 } } })", false),
        ("error({ print })", false),
    ] {
        let error = event(&instance_with(limits.clone(), &hostile(body)), "go").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script, "{body}: {error:?}");
        assert_eq!(error.value().is_some(), kept, "{body}: {error:?}");
        assert!(error.message().starts_with("error value {"), "{body}: the message shows it, cut short: {error}");
    }
}

fn log_bytes() {
    let limits = Limits { log_bytes: 100, ..limits() };
    let print = |bytes: usize| hostile(&format!("print(string.rep('x', {}))", bytes - 1)); // and the line's end
    event(&instance_with(limits.clone(), &print(100)), "go").unwrap();
    let error = assert_ends(&instance_with(limits.clone(), &print(101)), &[ErrorKind::Limit], "101 bytes");
    assert_limit(&error, "log_bytes of 100");
    for body in [
        "for _ = 1, 101 do print() end",
        "while true do pcall(print, 'x') end",
        "print(setmetatable({}, { __tostring = function() return string.rep('x', 200) end }))",
        "print(string.rep('x', 60), string.rep('x', 60))",
    ] {
        assert_limit(
            &assert_ends(&instance_with(limits.clone(), &hostile(body)), &[ErrorKind::Limit], body),
            "log_bytes of 100",
        );
    }
    event(&instance_with(limits, &hostile("for _ = 1, 100 do print() end")), "go").unwrap();
}

fn log_bytes_at_load() {
    let limits = Limits { log_bytes: 100, ..limits() };
    try_load(limits.clone(), "print(string.rep('x', 99))").unwrap();
    assert_limit(&try_load(limits, "pcall(print, string.rep('x', 100))").unwrap_err(), "log_bytes of 100");
}

fn log_bytes_are_for_each_event() {
    let source = hostile("print(string.rep('x', 89))");
    let instance = instance_with(Limits { log_bytes: 100, ..limits() }, &source);
    for _ in 0..5 {
        event(&instance, "go").unwrap();
    }
    assert_eq!(instance.starts(), 1);
}

fn source_bytes() {
    let limits = Limits { source_bytes: 1000, ..limits() };
    let other = "return 1";
    let entry = |bytes: usize| format!("return {{}} --{}", "x".repeat(bytes - other.len() - 12));
    let files = |entry: &str| load_files(limits.clone(), &[("init.luau", entry), ("other.luau", other)]);
    assert_eq!(entry(1000).len() + other.len(), 1000);
    files(&entry(1000)).unwrap();
    let error = files(&entry(1001)).unwrap_err();
    assert_limit(&error, "source_bytes of 1000");
    assert!(error.message().contains("1001 bytes"), "{error}");
    assert_eq!(error.usage().fuel, 0, "nothing is compiled");
    try_load(Limits { source_bytes: 0, ..limits }, "").unwrap();
}

fn source_bytes_for_check() {
    let motu = crate::support::motu(Limits { source_bytes: 10, ..limits() });
    assert_limit(&run(motu.check(&bundle(&[("init.luau", "return {} --")]))).unwrap_err(), "source_bytes of 10");
    assert!(run(motu.check(&bundle(&[("init.luau", "return {} ")]))).unwrap().diagnostics.is_empty());
}

/// The n-th works, one more is refused by an error like any other, and what goes makes room.
fn refused_and_there_again(limits: Limits, name: &str, make: &str, unmake: &str) {
    let source = format!(
        "local kept = {{}}\n\
         return {{\n\
           make = function(n) for _ = 1, n do table.insert(kept, {make}) end return #kept end,\n\
           unmake = function() for _, one in kept do {unmake} end kept = {{}} end,\n\
           safe = function() return (pcall(function() return {make} end)) end }}"
    );
    let instance = instance_with(limits, &source);
    for _ in 0..2 {
        assert_eq!(send(&instance, "make", &Value::from(100)).unwrap().value, Value::from(100));
        let error = send(&instance, "make", &Value::from(1)).unwrap_err();
        assert_limit(&error, &format!("over the limit {name} of 100"));
        assert!(error.message().starts_with("init.luau:3: "), "{error}");
        assert!(error.traceback().contains("init.luau:3 function make"), "{error:?}");
        assert_eq!(event(&instance, "safe").unwrap().value, Value::Boolean(false));
        event(&instance, "unmake").unwrap();
    }
    assert_eq!(instance.starts(), 1, "the instance goes on");
}

fn coroutines() {
    let limits = Limits { coroutines: 100, ..limits() };
    refused_and_there_again(limits.clone(), "coroutines", "coroutine.create(print)", "");
    refused_and_there_again(limits.clone(), "coroutines", "coroutine.wrap(print)", "");
    refused_and_there_again(limits.clone(), "coroutines", "task.spawn(coroutine.yield)", "");
    // those of the image count, and those of Motu itself don't: `n` more than 99 are one too many
    let source = "kept = { coroutine.create(print) }\n\
        return { go = function(n) for i = 1, n do kept[i + 1] = coroutine.create(print) end end }";
    send(&instance_with(limits.clone(), source), "go", &Value::from(99)).unwrap();
    assert_limit(
        &send(&instance_with(limits, source), "go", &Value::from(100)).unwrap_err(),
        "over the limit coroutines of 100",
    );
    let error = try_load(Limits { coroutines: 0, ..crate::support::limits() }, "coroutine.create(print)").unwrap_err();
    assert_limit(&error, "over the limit coroutines of 0");
}

fn timers() {
    let limits = Limits { timers: 100, ..limits() };
    refused_and_there_again(limits.clone(), "timers", "task.delay(3600, print)", "task.cancel(one)");
    refused_and_there_again(limits.clone(), "timers", "task.delay(3600, print)", "coroutine.close(one)");
    let source = "return { go = function() task.wait() end }";
    let instance = instance_with(Limits { timers: 0, ..limits }, source);
    assert_limit(&event(&instance, "go").unwrap_err(), "over the limit timers of 0");
}

fn call_depth() {
    // the handler itself is one of them
    let source = "local function down(n) if n == 0 then return 0 end return 1 + down(n - 1) end\n\
        return { go = function(n) return down(n) end, safe = function(n) return (pcall(down, n)) end }";
    let instance = instance_with(Limits { memory_bytes: 256 << 20, ..limits() }, source);
    let at = |n: u32| send(&instance, "go", &Value::from(n)).map(|outcome| outcome.value);
    let most = Limits::CALL_DEPTH;
    assert_eq!(at(most - 100).unwrap(), Value::from(most - 100));
    let error = at(most + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script, "{error}");
    assert!(error.message().contains("stack overflow"), "{error}");
    assert_eq!(send(&instance, "safe", &Value::from(most + 1)).unwrap().value, Value::Boolean(false));
    assert_eq!(instance.starts(), 1, "it is an error like any other");
}

fn limits_that_cannot_be_held_are_refused() {
    let at = |limits: Limits| builder(limits).build().map(drop);
    type Set = fn(&mut Limits, u64);
    let all: [(&str, u64, Set); 10] = [
        ("memory_bytes", Limits::MEMORY_BYTES_MAX, |limits, n| limits.memory_bytes = n),
        ("payload_bytes", Limits::BYTES_MAX.into(), |limits, n| limits.payload_bytes = n as u32),
        ("result_bytes", Limits::BYTES_MAX.into(), |limits, n| limits.result_bytes = n as u32),
        ("log_bytes", Limits::BYTES_MAX.into(), |limits, n| limits.log_bytes = n as u32),
        ("source_bytes", Limits::BYTES_MAX.into(), |limits, n| limits.source_bytes = n as u32),
        ("payload_depth", Limits::DEPTH_MAX.into(), |limits, n| limits.payload_depth = n as u32),
        ("result_depth", Limits::DEPTH_MAX.into(), |limits, n| limits.result_depth = n as u32),
        ("coroutines", 1_000_000, |limits, n| limits.coroutines = n as u32),
        ("timers", 1_000_000, |limits, n| limits.timers = n as u32),
        ("calls_in_flight", 100_000, |limits, n| limits.calls_in_flight = n as u32),
    ];
    for (name, most, set) in all {
        let mut limits = limits();
        set(&mut limits, most);
        at(limits.clone()).unwrap();
        set(&mut limits, most + 1);
        let error = at(limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.message(), format!("the limit {name} is {}, but can be {most} at most", most + 1));
    }
}

fn defaults_are_as_documented() {
    let limits = Limits::default();
    assert_eq!(limits.load_fuel, Some(5_000_000_000));
    assert_eq!(limits.event_fuel, Some(5_000_000_000));
    assert_eq!(limits.load_deadline, Some(Duration::from_secs(5)));
    assert_eq!(limits.event_deadline, Some(Duration::from_secs(5)));
    assert_eq!(limits.memory_bytes, 64 << 20);
    assert_eq!((limits.payload_bytes, limits.payload_depth), (1 << 20, 200));
    assert_eq!((limits.result_bytes, limits.result_depth), (1 << 20, 200));
    assert_eq!((limits.log_bytes, limits.source_bytes), (64 << 10, 8 << 20));
    assert_eq!((limits.coroutines, limits.timers, limits.calls_in_flight), (20_000, 20_000, 1_000));
    assert_eq!((Limits::CALL_DEPTH, Bundle::FILES_MAX), (20_000, 4096));
}
