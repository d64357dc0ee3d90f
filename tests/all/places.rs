//! w02: what ends a script that no script raises has its place too, and the frames of the coroutines that ran.
//!
//! Each trial has tenants of its own: a tenant has ten such places in a second.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use motu::{Bundle, Error, ErrorKind, Limits, Tenant};

use crate::support::{bundle, event, full, limits, load_files, motu, run, send, try_load, until};

trials![
    w02_loops_out_of_fuel,
    w02_loops_out_of_time,
    w02_memory,
    w02_waits_out_of_time,
    w02_tasks_and_other_events,
    w02_texts_of_error_values,
    w02_results_and_logs,
    w02_while_it_loads,
    w02_modules_mounts_and_opaque_files,
    w02_deep_and_nested,
    w02_long_names_and_paths,
    w02_a_traceback_is_that_of_an_error,
    w02_no_place_of_another_event,
    w02_the_handler_start_and_pauses,
    w02_between_coroutines,
    w02_tasks_that_were_never_entered,
    w02_deaths_at_any_fuel_have_their_place,
    w02_ten_places_a_second,
];

/// A tenant of one death's own.
fn anybody() -> Tenant {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("places:{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

fn small() -> Limits {
    Limits { event_fuel: Some(20_000_000), memory_bytes: 8 << 20, ..limits() }
}

fn die(limits: Limits, source: &str) -> Error {
    let instance = try_load(limits, source).unwrap().instance(anybody());
    match event(&instance, "go") {
        Ok(outcome) => panic!("{source}: returned {}", outcome.value),
        Err(error) => error,
    }
}

/// Message and traceback.
fn assert_at(error: &Error, kind: ErrorKind, message: &str, traceback: &[&str], what: &str) {
    assert_eq!(error.kind(), kind, "{what}: {error:?}");
    assert_eq!(error.message(), message, "{what}");
    assert_eq!(error.traceback().lines().collect::<Vec<_>>(), traceback, "{what}: {error:?}");
}

/// Scripts that never end: what they are, their source, the line they run in, and their tracebacks.
const LOOPS: &[(&str, &str, u32, &[&str])] = &[
    (
        "plain",
        "return { go = function()\n local n = 0\n while true do\n  n += 1\n end\nend }",
        3,
        &["init.luau:3 function go"],
    ),
    ("empty", "return { go = function()\n print(1)\n while true do end\nend }", 3, &["init.luau:3 function go"]),
    (
        "after a call",
        "local function f(...)\n return ...\nend\nreturn { go = function()\n f(1)\n local n = 0\n\n repeat\n  n = n + 1\n until n < 0\nend }",
        10,
        &["init.luau:10 function go"],
    ),
    (
        "numeric for",
        "return { go = function()\n print(1)\n for i = 1, 1e15 do\n end\nend }",
        3,
        &["init.luau:3 function go"],
    ),
    (
        "in pcall",
        "return { go = function()\n return pcall(function()\n  while true do\n  end\n end)\nend }",
        3,
        &["init.luau:3", "[C] pcall", "init.luau:2 function go"],
    ),
    (
        "in a coroutine",
        "local function spin()\n local n = 0\n while true do\n  n += 1\n end\nend\nreturn { go = function()\n local co = coroutine.create(spin)\n coroutine.resume(co)\nend }",
        3,
        &["init.luau:3 function spin", "[C] resume", "init.luau:9 function go"],
    ),
    (
        "in a wrapped coroutine in another",
        "local function spin()\n while true do\n end\nend\nreturn { go = function()\n coroutine.wrap(function()\n  coroutine.wrap(spin)()\n end)()\nend }",
        2,
        &["init.luau:2 function spin", "init.luau:7", "init.luau:8 function go"],
    ),
    (
        "after a coroutine has ended",
        "return { go = function()\n coroutine.wrap(function() end)()\n pcall(coroutine.wrap(function() error('x') end))\n while true do\n end\nend }",
        4,
        &["init.luau:4 function go"],
    ),
    (
        "in a task",
        "return { go = function()\n task.spawn(function()\n  while true do\n  end\n end)\nend }",
        3,
        &["init.luau:3", "[C] spawn", "init.luau:2 function go"],
    ),
    (
        "in a metamethod",
        "local t = setmetatable({}, { __index = function(_, k)\n while true do\n end\nend })\nreturn { go = function()\n return t.x\nend }",
        2,
        &["init.luau:2 function __index", "init.luau:6 function go"],
    ),
    (
        "in a comparison of sort",
        "return { go = function()\n table.sort({ 1, 2 }, function(a, b)\n  while true do\n  end\n end)\nend }",
        3,
        &["init.luau:3", "[C] sort", "init.luau:2 function go"],
    ),
    (
        "in an error handler",
        "return { go = function()\n xpcall(error, function()\n  while true do\n  end\n end)\nend }",
        3,
        &["init.luau:3", "[C] error", "[C] xpcall", "init.luau:2 function go"],
    ),
    (
        "in an iterator",
        "local t = setmetatable({}, { __iter = function()\n while true do\n end\nend })\nreturn { go = function()\n for _ in t do\n end\nend }",
        2,
        &["init.luau:2 function __iter", "init.luau:6 function go"],
    ),
    (
        "in the library",
        "return { go = function()\n local s = string.rep('a', 60)\n string.find(s, string.rep('a?', 60) .. string.rep('a', 60))\n return string.find(s .. s, string.rep('.-', 60) .. 'b')\nend }",
        3,
        &["[C] find", "init.luau:3 function go"],
    ),
];

fn w02_loops_out_of_fuel() {
    for (what, source, line, traceback) in LOOPS {
        let error = die(small(), source);
        let message = format!("init.luau:{line}: out of fuel: the budget of 20000000 is used up");
        assert_at(&error, ErrorKind::Fuel, &message, traceback, what);
        assert_eq!((error.usage().fuel, error.event()), (20_000_000, Some("go")), "{what}");
    }
}

fn w02_loops_out_of_time() {
    for (what, source, line, traceback) in LOOPS {
        let limits = Limits { event_fuel: None, event_deadline: Some(Duration::from_millis(100)), ..limits() };
        let mut error = die(limits.clone(), source);
        while error.usage().fuel == 0 {
            error = die(limits.clone(), source); // a busy machine: it was not started in time
        }
        let message = format!("init.luau:{line}: out of time: the deadline of 100 ms has passed");
        assert_at(&error, ErrorKind::Deadline, &message, traceback, what);
    }
}

fn w02_memory() {
    for (what, body, line) in [
        ("tables", "local t = {}\n while true do\n  t = { t }\n end", 4),
        ("a list", "local t = {}\n for i = 1, 1e9 do\n  t[i] = i\n end", 4),
        ("texts", "local s = 'x'\n while true do\n  s = s .. s\n end", 4),
        ("one text", "local s = 1\n return string.rep('x', 2 ^ 30)", 3),
        ("a buffer", "local s = 1\n return buffer.create(2 ^ 29)", 3),
        ("coroutines", "local t = {}\n while true do\n  t[#t + 1] = coroutine.create(print)\n end", 4),
        ("closures", "local t = {}\n for i = 1, 1e9 do\n  t[#t + 1] = function() return i end\n end", 4),
    ] {
        let source = format!("return {{ go = function()\n {body}\nend }}");
        let limits = Limits { event_fuel: None, coroutines: 1_000_000, ..small() };
        let error = die(limits, &source);
        assert_eq!(error.kind(), ErrorKind::Memory, "{what}: {error:?}");
        let place = format!("init.luau:{line}: out of memory: ");
        assert!(error.message().starts_with(&place), "{what}: {error:?}");
        let last = error.traceback().lines().last();
        assert_eq!(last, Some(format!("init.luau:{line} function go").as_str()), "{what}: {error:?}");
    }
}

fn w02_waits_out_of_time() {
    let limits = Limits { event_deadline: Some(Duration::from_millis(500)), ..limits() };
    let message = |line: u32| format!("init.luau:{line}: out of time: the deadline of 500 ms has passed");
    for (what, source, line, traceback) in [
        (
            "asleep",
            "local function rest(...)\n task.wait(100)\nend\nreturn { go = function()\n rest()\n return 1\nend }",
            2,
            &["[C] wait", "init.luau:2 function rest", "init.luau:5 function go"] as &[&str],
        ),
        (
            "in pcall",
            "return { go = function()\n pcall(task.wait, 100)\n return 1\nend }",
            2,
            &["[C] wait", "[C] pcall", "init.luau:2 function go"],
        ),
        (
            "for another coroutine",
            "return { go = function()\n local me = coroutine.running()\n task.delay(100, function() coroutine.resume(me) end)\n coroutine.yield()\n return 1\nend }",
            4,
            &["[C] yield", "init.luau:4 function go"],
        ),
    ] {
        let error = die(limits.clone(), source);
        assert_at(&error, ErrorKind::Deadline, &message(line), traceback, what);
    }
    // the VM goes on, with its globals
    let source = "return { go = function() n = (n or 0) + 1 task.wait(n < 3 and 100 or 0) return n end }";
    let instance = try_load(limits, source).unwrap().instance(anybody());
    for _ in 0..2 {
        assert_eq!(event(&instance, "go").unwrap_err().message(), message(1));
    }
    assert_eq!((event(&instance, "go").unwrap().value, instance.starts()), (3.into(), 1));
}

/// A task that an event left behind ends the instance: who is lost with it reads where.
fn w02_tasks_and_other_events() {
    let limits = Limits { background_fuel: Some(20_000_000), ..limits() };
    let source = "return { go = function()\n task.delay(0.02, function()\n  while true do\n  end\n end)\nend,\n\
                  rest = function()\n task.wait(100)\nend, none = function() end }";
    let instance = try_load(limits, source).unwrap().instance(anybody());
    assert_eq!(instance.status().last_end, None);
    let lost = run(async {
        let rest = instance.dispatch_value("rest", &motu::Value::Nil);
        let go = instance.dispatch_value("go", &motu::Value::Nil);
        tokio::join!(rest, go).0.unwrap_err()
    });
    assert_eq!(lost.kind(), ErrorKind::InstanceLost, "{lost:?}");
    let cause = "a task that the event \"go\" had left behind ended with fuel: init.luau:3: out of fuel: the budget of 20000000 is used up";
    assert!(lost.message().contains(cause), "{lost:?}");
    let end = "fuel: init.luau:3: out of fuel: the budget of 20000000 is used up";
    assert_eq!(instance.status().last_end.as_deref(), Some(end));
    instance.kill(); // no VM is there
    event(&instance, "none").unwrap();
    assert_eq!(instance.status().last_end.as_deref(), Some(end));
    instance.kill();
    until("it is gone", || !instance.is_live());
    assert_eq!(instance.status().last_end.as_deref(), Some("instance_lost: it was killed"));
}

fn w02_texts_of_error_values() {
    let thrown = "local thrown = setmetatable({}, { __tostring = function(...)\n while true do\n end\nend })\n";
    for (what, source, traceback) in [
        (
            "uncaught",
            "return { go = function()\n error(thrown)\nend }",
            &["init.luau:2 function __tostring", "[C] tostring"] as &[&str],
        ),
        (
            "of a task",
            "return { go = function()\n task.spawn(function()\n  error(thrown)\n end)\nend }",
            &["init.luau:2 function __tostring", "[C] tostring", "[C] spawn", "init.luau:6 function go"],
        ),
        (
            "asked for",
            "return { go = function()\n return tostring(thrown)\nend }",
            &["init.luau:2 function __tostring", "[C] tostring", "init.luau:6 function go"],
        ),
    ] {
        let error = die(small(), &format!("{thrown}{source}"));
        let message = "init.luau:2: out of fuel: the budget of 20000000 is used up";
        assert_at(&error, ErrorKind::Fuel, message, traceback, what);
    }
}

fn w02_results_and_logs() {
    let limits = Limits { log_bytes: 10, result_bytes: 100, result_depth: 1, ..small() };
    for (what, source, message, traceback) in [
        (
            "log",
            "return { go = function()\n local n = 1\n print('hello world')\nend }",
            "init.luau:3: over the limit log_bytes of 10: print of 12 bytes with 10 left",
            &["[C] print", "init.luau:3 function go"] as &[&str],
        ),
        (
            "bytes",
            "\nreturn { go = function()\n return string.rep('x', 101)\nend }",
            "init.luau:2: over the limit result_bytes of 100: over 100 bytes at result",
            &["init.luau:2 function go"],
        ),
        (
            "depth",
            "\nreturn { go = function()\n return {{}}\nend }",
            "init.luau:2: over the limit result_depth of 1: deeper than 1 tables at result[1]",
            &["init.luau:2 function go"],
        ),
        (
            "after a wait",
            "\nreturn { go = function()\n task.wait()\n return {{}}\nend }",
            "init.luau:2: over the limit result_depth of 1: deeper than 1 tables at result[1]",
            &["init.luau:2"],
        ),
    ] {
        assert_at(&die(limits.clone(), source), ErrorKind::Limit, message, traceback, what);
    }
}

fn w02_while_it_loads() {
    let limits = Limits { load_fuel: Some(50_000_000), memory_bytes: 8 << 20, ..limits() };
    let load = |files: &[(&str, &str)]| load_files(limits.clone(), files).map(|_| ()).unwrap_err();
    let message = |place: &str| format!("{place}: out of fuel: the budget of 50000000 is used up");
    let error = load(&[("init.luau", "local n = 0\nwhile true do\n n += 1\nend")]);
    assert_at(&error, ErrorKind::Fuel, &message("init.luau:2"), &["init.luau:2"], "the top level");
    let error =
        load(&[("init.luau", "local x = 1\nreturn require('@self/lib')"), ("lib.luau", "\n\nwhile true do\nend")]);
    let traceback = ["lib.luau:3", "[C] require", "init.luau:2"];
    assert_at(&error, ErrorKind::Fuel, &message("lib.luau:3"), &traceback, "a module's top level");
    let error = load(&[("init.luau", "local x = 1\nreturn buffer.create(2 ^ 29)")]);
    assert!(error.message().starts_with("init.luau:2: out of memory: "), "{error:?}");
    // what is compiled has no line yet
    let many = "local function f() return { 1, 2, 3 } end\n".repeat(20_000);
    let error = load(&[("init.luau", "return {}"), ("many.luau", &many)]);
    assert!(matches!(error.kind(), ErrorKind::Fuel | ErrorKind::Memory), "{error:?}");
    assert!(error.message().starts_with("many.luau: out of "), "{error:?}");
    assert_eq!(error.traceback(), "many.luau");
    let checked = run(motu(limits.clone()).check(&bundle(&[("init.luau", "return {}"), ("many.luau", &many)])));
    assert!(checked.unwrap_err().message().starts_with("many.luau: out of "));
    // out of time
    let limits = Limits { load_fuel: None, load_deadline: Some(Duration::from_millis(50)), ..limits };
    let error = load_files(limits, &[("init.luau", "\nwhile true do\nend")]).map(|_| ()).unwrap_err();
    let message = "init.luau:2: out of time: the deadline of 50 ms has passed";
    assert_at(&error, ErrorKind::Deadline, message, &["init.luau:2"], "out of time");
}

fn w02_modules_mounts_and_opaque_files() {
    let spin = "return { spin = function()\n while true do\n end\nend }";
    let message = |place: &str| format!("{place}: out of fuel: the budget of 20000000 is used up");
    let go = |lib: &str| format!("local lib = require('{lib}')\nreturn {{ go = function()\n lib.spin()\nend }}");
    let die = |bundle: &Bundle| {
        let instance = run(motu(small()).load(bundle)).unwrap().instance(anybody());
        event(&instance, "go").unwrap_err()
    };
    let error = die(&bundle(&[("init.luau", &go("@self/lib")), ("lib.luau", spin)]));
    let traceback = ["lib.luau:2 function spin", "init.luau:3 function go"];
    assert_at(&error, ErrorKind::Fuel, &message("lib.luau:2"), &traceback, "a module");
    let own = Bundle::from_files([("init.luau", go("@lib"))]).unwrap();
    let lib = Bundle::from_files([("init.luau", spin)]).unwrap();
    let error = die(&own.clone().mount("lib", lib.clone()).unwrap());
    let traceback = ["@lib/init.luau:2 function spin", "init.luau:3 function go"];
    assert_at(&error, ErrorKind::Fuel, &message("@lib/init.luau:2"), &traceback, "a mount");
    // no line and no name of what is opaque
    let error = die(&own.mount("lib", lib.opaque()).unwrap());
    let traceback = ["@lib/init.luau", "init.luau:3 function go"];
    assert_at(&error, ErrorKind::Fuel, &message("@lib/init.luau"), &traceback, "opaque");
}

/// The middle of a long trace is left out, and what is nested as deep as it can be has its place.
fn w02_deep_and_nested() {
    let deep = "local function f(n, ...)\n if n == 0 then\n  while true do\n  end\n end\n return (f(n - 1))\nend\n\
                return { go = function()\n f(DEPTH)\nend }";
    for (depth, left_out) in [(28, None), (29, Some(1)), (15_000, Some(14_972))] {
        let error = die(small(), &deep.replace("DEPTH", &depth.to_string()));
        assert!(error.message().starts_with("init.luau:3: out of fuel"), "{error:?}");
        let lines: Vec<&str> = error.traceback().lines().collect();
        assert_eq!((lines.first(), lines.last()), (Some(&"init.luau:3 function f"), Some(&"init.luau:9 function go")));
        let note = left_out.map(|frames| format!("... ({frames} frames)"));
        assert_eq!(lines.iter().find(|line| line.starts_with("...")).copied(), note.as_deref());
        assert_eq!(lines.len(), if note.is_some() { 31 } else { 30 }, "{error:?}");
        assert!(note.is_none() || lines.get(20).is_some_and(|line| line.starts_with("...")), "{error:?}");
    }
    // as many coroutines in each other as Luau allows, and one more
    let nested = "local deepest = 0\nlocal function f(n, ...)\n deepest = n\n local ok = pcall(coroutine.wrap(f), n + 1)\n if ok then return end\n\
                  while true do\n end\nend\nreturn { go = function()\n f(1)\nend }";
    let error = die(Limits { event_fuel: Some(50_000_000), ..small() }, nested);
    assert!(error.message().starts_with("init.luau:6: out of fuel"), "{error:?}");
    assert_eq!(error.traceback().lines().last(), Some("init.luau:10 function go"), "{error:?}");
}

/// Long names and paths are cut, and what is over 16 KiB is left out: the VM that only waits goes on.
fn w02_long_names_and_paths() {
    let path = format!("{}.luau", "p".repeat(500));
    for (name, shown) in [("f".repeat(100), "f".repeat(100) + "..."), ("f".repeat(20_000), "f".repeat(100) + "...")] {
        let body =
            "local function NAME(n, ...)\n if n == 0 then\n  BODY\n end\n return (NAME(n - 1))\nend\nreturn NAME";
        let source = format!(
            "local f = require('@self/{}')\nreturn {{ go = function()\n f(100)\nend, up = function() return 1 end }}",
            "p".repeat(500)
        );
        for (what, limits) in [
            ("while true do end", small()),
            ("task.wait(100)", Limits { event_deadline: Some(Duration::from_millis(500)), ..small() }),
        ] {
            let lib = body.replace("NAME", &name).replace("BODY", what);
            let loaded = load_files(limits, &[("init.luau", &source), (&path, &lib)]).unwrap();
            let instance = loaded.instance(anybody());
            let error = event(&instance, "go").unwrap_err();
            assert!(error.message().starts_with(&format!("{path}:3: out of ")), "{error:?}");
            let lines: Vec<&str> = error.traceback().lines().collect();
            assert!(lines.contains(&format!("{path}:3 function {shown}").as_str()), "{error:?}");
            assert_eq!(lines.last(), Some(&"... (the others are left out)"), "{error:?}");
            assert!((16 << 10..18 << 10).contains(&error.traceback().len()), "{}", error.traceback().len());
            assert_eq!(event(&instance, "up").unwrap().value, 1.into());
            assert_eq!(instance.starts(), if error.kind() == ErrorKind::Deadline { 1 } else { 2 });
        }
    }
}

/// A traceback reads the same, whatever ended the script; `error` is one frame more.
fn w02_a_traceback_is_that_of_an_error() {
    let source = "local function inner(how, ...)\n if how then error('x') end while true do end\nend\n\
                  local function deep(n, how, ...)\n if n == 0 then inner(how) end\n return (deep(n - 1, how))\nend\n\
                  return {\n short = function(how) table.sort({ 1, 2 }, function() inner(how) end) end,\n\
                  long = function(how) deep(100, how) end }";
    let instance = try_load(small(), source).unwrap().instance(anybody());
    for (name, left_out) in [("short", None), ("long", Some((74, 73)))] {
        let lines = |how: bool, kind: ErrorKind| -> Vec<String> {
            let error = send(&instance, name, &how.into()).unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            error.traceback().lines().map(str::to_owned).collect()
        };
        let (error, fuel) = (lines(true, ErrorKind::Script), lines(false, ErrorKind::Fuel));
        assert_eq!(error.first().map(String::as_str), Some("[C] error"));
        let note = |lines: &[String]| lines.iter().position(|line| line.starts_with("..."));
        let Some((by_error, by_fuel)) = left_out else {
            assert_eq!(error.get(1..), Some(&*fuel), "{name}");
            continue;
        };
        assert_eq!((note(&error), note(&fuel)), (Some(20), Some(20)));
        assert_eq!(error.get(20), Some(&format!("... ({by_error} frames)")));
        assert_eq!(fuel.get(20), Some(&format!("... ({by_fuel} frames)")));
        assert_eq!((error.get(1..20), error.get(21..)), (fuel.get(..19), fuel.get(21..)), "{name}");
    }
}

/// What is done for an event outside of its coroutine has the place of its own handler, whatever ended before.
fn w02_no_place_of_another_event() {
    let source = "return {\n first = function()\n  co = coroutine.running()\n  coroutine.yield()\n  return 1\n end,\n\
                  second = function()\n  coroutine.resume(co)\n  return {{}}\n end,\n third = function() return 1 end }";
    let limits = Limits { result_depth: 1, ..small() };
    let instance = try_load(limits.clone(), source).unwrap().instance(anybody());
    let second = run(async {
        let first = instance.dispatch_value("first", &motu::Value::Nil);
        let second = instance.dispatch_value("second", &motu::Value::Nil);
        tokio::join!(first, second).1.unwrap_err()
    });
    let message = "init.luau:7: over the limit result_depth of 1: deeper than 1 tables at result[1]";
    assert_at(&second, ErrorKind::Limit, message, &["init.luau:7 function second"], "after another has ended");
    let instance =
        try_load(limits, "local function f(...) return 1 end return { { f(1) } }").unwrap().instance(anybody());
    let error = run(instance.value()).unwrap_err();
    let message = "init.luau: over the limit result_depth of 1: deeper than 1 tables at value[1]";
    assert_at(&error, ErrorKind::Limit, message, &["init.luau"], "the entry's value");
}

/// A wait that is over, and its coroutine that has not been entered yet; what a task failed of, as it is written to the log; a place
/// that more C functions than are told lie upon.
fn w02_between_coroutines() {
    let source = "return { go = function()\n while true do\n  task.wait()\n end\nend }";
    let loaded = try_load(small(), source).unwrap();
    for number in 0..300 {
        let limits = Limits { event_fuel: Some(200_000 + 1_501 * number), ..small() };
        let error = event(&loaded.instance(anybody()).with_limits(limits).unwrap(), "go").unwrap_err();
        let is_placed =
            [2, 3].iter().any(|line| error.message().starts_with(&format!("init.luau:{line}: out of fuel")));
        assert!(is_placed, "{error:?}");
    }
    let source = "return { go = function()\n for i = 1, 10 do\n  task.defer(function()\n   error(string.rep('x', 16000))\n  end)\n end\n task.wait(1)\nend }";
    let error = die(small(), source);
    assert!(error.message().starts_with("init.luau:4: over the limit log_bytes"), "{error:?}");
    let calls = "pcall, ".repeat(19);
    let source = format!(
        "local function outer(n, ...)\n if n > 0 then\n  return (outer(n - 1))\n end\n return (inner())\nend\nfunction inner(...)\n return pcall({calls}string.rep, 'x', 2 ^ 30)\nend\nreturn {{ go = function()\n return outer(10)\nend }}"
    );
    let error = die(small(), &source);
    assert!(error.message().starts_with("init.luau:8: out of memory"), "{error:?}");
}

/// Tasks burn the fuel, and the handler only waits: its place is never given for theirs.
fn w02_tasks_that_were_never_entered() {
    let far = "\n\n\n\n\n task.wait(100)\nend }";
    for (what, tasks, last) in [
        ("deferred", "local function busy()\n task.defer(busy)\nend\nreturn { go = function()\n task.defer(busy)", 2),
        (
            "delayed",
            "local function busy()\n task.delay(0, busy)\nend\nreturn { go = function()\n task.delay(0, busy)",
            2,
        ),
        (
            "waits",
            "local function busy()\n while true do\n  task.wait()\n end\nend\nreturn { go = function()\n task.spawn(busy)",
            4,
        ),
        (
            "waits in pcall",
            "local function busy(...)\n pcall(task.wait)\n task.defer(busy)\nend\nreturn { go = function()\n task.defer(busy)",
            3,
        ),
    ] {
        let loaded = try_load(small(), format!("{tasks}{far}")).unwrap();
        for number in 0..100 {
            let limits = Limits { event_fuel: Some(200_000 + 1_507 * number), ..small() };
            let error = event(&loaded.instance(anybody()).with_limits(limits).unwrap(), "go").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fuel, "{what}: {error:?}");
            let line = error.message().strip_prefix("init.luau:").and_then(|rest| rest.split(':').next());
            let line: Option<u32> = line.and_then(|line| line.parse().ok());
            assert!(line.is_some_and(|line| (1..=last).contains(&line)), "{what}, {number}: {error:?}");
        }
    }
}

/// While it is started, and while it is paused.
fn w02_the_handler_start_and_pauses() {
    let limits = Limits { start_deadline: Some(Duration::from_millis(300)), ..limits() };
    for (body, traceback) in [
        ("while true do end", "init.luau:2 function start"),
        ("task.wait(100)", "[C] wait\ninit.luau:2 function start"),
    ] {
        let source = format!("return {{ start = function()\n {body}\nend, go = print }}");
        let limits = Limits { start_fuel: None, ..limits.clone() };
        let error = event(&try_load(limits, source).unwrap().instance(anybody()), "go").unwrap_err();
        assert_eq!(error.message(), "init.luau:2: out of time: the deadline of 300 ms has passed", "{error:?}");
        assert_eq!(error.traceback(), traceback);
    }
    // an event that waits for it
    let limits = Limits { event_deadline: Some(Duration::from_millis(100)), start_deadline: None, ..limits };
    for (body, place) in [("task.wait(100)", "init.luau:2: "), ("while true do end", "")] {
        let source = format!("return {{ start = function()\n {body}\nend, go = print }}");
        let limits = Limits { start_fuel: None, ..limits.clone() };
        let error = event(&try_load(limits, source).unwrap().instance(anybody()), "go").unwrap_err();
        let message = format!("{place}out of time: the deadline of 100 ms has passed while the handler start ran");
        assert_eq!(error.message(), message, "{error:?}");
    }
    let limits = Limits { event_deadline: Some(Duration::from_millis(500)), ..limits };
    let instance = try_load(limits, "return { go = function()\n task.wait(100)\nend }").unwrap().instance(anybody());
    let error = run(async {
        let going = instance.dispatch_value("go", &motu::Value::Nil);
        let pausing = async {
            tokio::task::yield_now().await;
            until("it waits", || instance.status().started == 1);
            instance.pause().unwrap();
        };
        tokio::join!(going, pausing).0.unwrap_err()
    });
    assert_eq!(error.message(), "init.luau:2: out of time: the deadline of 500 ms has passed");
}

/// Frames and stacks grow here, and coroutines come and go, all the time.
const DEEP: &str = "local function deep(n, ...)
 if n == 0 then return select('#', ...) end
 return (deep(n - 1, n, ...))
end
return deep";

const BUSY: &str = "local deep = require('@self/deep')
local function wide(co, n, ...)
 return coroutine.resume(co, table.unpack(table.create(n, 1)))
end
return { go = function()
 local n = 0
 while true do
  n = (n + 1) % 60
  deep(n)
  wide(coroutine.create(deep), n + 1)
  pcall(deep, 3, error)
  local s = `{n}` .. tostring(n)
 end
end }";

/// Each death is at another instruction, in the growth of frames and stacks too. It has a place in the file that runs, the outermost
/// frame is the handler's, and a second death at the same fuel has the same place.
fn w02_deaths_at_any_fuel_have_their_place() {
    let loaded = load_files(small(), &[("init.luau", BUSY), ("deep.luau", DEEP)]).unwrap();
    let die = |fuel: u64| {
        let limits = Limits { event_fuel: Some(fuel), ..small() };
        let instance = loaded.instance(anybody()).with_seed(1).with_limits(limits).unwrap();
        event(&instance, "go").unwrap_err()
    };
    let deaths = if full() { 20_000 } else { 1_028 };
    let mut places = BTreeSet::new();
    for number in 0..deaths {
        // the start of the handler, then dense where the stacks grow first, and all over what comes later
        let fuel = match number % 4 {
            0 => 1_500 + 5 * number,
            1 => 6_000 + 11 * number,
            _ => 40_000 + 2_711 * number,
        };
        let error = die(fuel);
        assert_eq!(error.kind(), ErrorKind::Fuel, "{fuel}: {error:?}");
        let place = error.message().split_once(": out of fuel: ").map(|(place, _)| place.split_once(':'));
        let Some(Some((file, line))) = place else { panic!("{fuel}: {error:?}") };
        let line: u32 = line.parse().unwrap();
        let is_right = match file {
            "init.luau" => (2..=13).contains(&line),
            "deep.luau" => (1..=3).contains(&line),
            _ => false,
        };
        assert!(is_right, "{fuel}: {error:?}");
        let outermost = error.traceback().lines().last().unwrap_or_default();
        assert!((5..=13).any(|line| outermost.starts_with(&format!("init.luau:{line}"))), "{fuel}: {error:?}");
        places.insert((file.to_owned(), line));
        let again = die(fuel);
        assert_eq!((again.message(), again.traceback()), (error.message(), error.traceback()), "{fuel}");
    }
    assert!(places.len() >= 8, "{places:?}");
}

/// Who dies more often than ten times a second has no place for the others; other tenants have theirs.
fn w02_ten_places_a_second() {
    let source = "return { go = function()\n while true do\n end\nend, fresh = print }";
    let limits = Limits { event_fuel: Some(100_000), restarts: None, ..limits() };
    let loaded = try_load(limits, source).unwrap();
    let (often, seldom) = (loaded.instance(anybody()), loaded.instance(anybody()));
    let began = Instant::now();
    let places = |deaths: usize| {
        (0..deaths)
            .filter(|_| {
                let error = event(&often, "go").unwrap_err();
                let has_place = error.message() == "init.luau:2: out of fuel: the budget of 100000 is used up";
                assert!(has_place || error.message() == "out of fuel: the budget of 100000 is used up", "{error:?}");
                assert_eq!(has_place, !error.traceback().is_empty(), "{error:?}");
                has_place
            })
            .count()
    };
    let found = places(200);
    let most = 11 + began.elapsed().as_millis() / 100;
    assert!(found >= 10 && found as u128 <= most, "{found} of {most}");
    assert_eq!(event(&seldom, "go").unwrap_err().traceback(), "init.luau:2 function go");
    until("there is room again", || places(1) == 1);
}
