//! V2: errors say what happened, where, and what it cost. Every kind that a script can cause is golden here.

use std::time::Duration;

use motu::{Bundle, Error, ErrorKind, Fault, Limits, Value};

use crate::support::{event, hostile, instance, instance_with, limits, load_files, send, tenant, try_load};

trials![
    v2_compile,
    v2_script,
    v2_usage,
    v2_fuel,
    v2_deadline,
    v2_memory,
    v2_limit,
    v2_kinds_have_a_word_and_a_fault,
    v2_event_fuel_and_memory_are_filled_in,
    v2_errors_of_loading_have_no_event,
    traceback_names_each_frame,
    traceback_crosses_modules,
    traceback_of_each_way_to_fail,
    w05_what_fails_in_a_wrapped_coroutine_shows_its_frames,
    error_values_are_kept,
    error_values_have_a_message,
    error_levels,
    runtime_errors_of_each_kind,
    errors_that_were_caught_and_raised_again,
    errors_from_coroutines,
    long_messages_are_cut,
    messages_that_are_not_utf_8,
    errors_show_and_debug,
];

/// Kind, message, traceback, value.
fn golden(error: &Error, kind: ErrorKind, message: &str, traceback: &[&str]) {
    assert_eq!(error.message(), message);
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.traceback().lines().collect::<Vec<_>>(), traceback, "{error:?}");
    assert_eq!(error.to_string(), format!("{kind}: {message}"));
}

fn fail(source: &str) -> Error {
    let instance = instance(source);
    let error = match event(&instance, "go") {
        Ok(outcome) => panic!("{source}: returned {}", outcome.value),
        Err(error) => error,
    };
    assert_eq!(error.event(), Some("go"));
    error
}

/// A handler of one line, whose body is line 1.
fn body(body: &str) -> Error {
    fail(&format!("return {{ go = function(...) {body} end }}"))
}

fn v2_compile() {
    let error = try_load(limits(), "local x = 1\nlocal y = = 2\nreturn {}").unwrap_err();
    golden(&error, ErrorKind::Compile, "init.luau:2: Expected identifier when parsing expression, got '='", &[]);
    assert_eq!((error.fault(), error.event()), (Fault::Script, None));
    assert!(error.usage().fuel > 0);
}

fn v2_script() {
    let error =
        fail("local function inner(...)\n error('it broke')\nend\nreturn {\n go = function()\n  inner()\n end }");
    golden(
        &error,
        ErrorKind::Script,
        "init.luau:2: it broke",
        &["[C] error", "init.luau:2 function inner", "init.luau:6 function go"],
    );
    assert_eq!(error.fault(), Fault::Script);
    assert_eq!(error.value(), None);
}

fn v2_usage() {
    let instance = instance("return { go = print }");
    let error = event(&instance, "stop").unwrap_err();
    golden(&error, ErrorKind::Usage, "nothing handles the event \"stop\"; the bundle handles go", &[]);
    assert_eq!((error.fault(), error.event()), (Fault::Operator, Some("stop")));
    let error = Bundle::from_files([("main.luau", "")]).unwrap_err();
    golden(&error, ErrorKind::Usage, "the bundle has no init.luau, which is where it starts", &[]);
}

fn v2_fuel() {
    let limits = Limits { event_fuel: Some(5_000_000), ..limits() };
    let error = event(&instance_with(limits, &hostile("while true do end")), "go").unwrap_err();
    golden(
        &error,
        ErrorKind::Fuel,
        "init.luau:3: out of fuel: the budget of 5000000 is used up",
        &["init.luau:3 function go"],
    );
    assert_eq!((error.fault(), error.event(), error.usage().fuel), (Fault::Script, Some("go"), 5_000_000));
}

fn v2_deadline() {
    let limits = Limits { event_fuel: None, event_deadline: Some(Duration::from_millis(30)), ..limits() };
    let error = event(&instance_with(limits, &hostile("while true do end")), "go").unwrap_err();
    golden(
        &error,
        ErrorKind::Deadline,
        "init.luau:3: out of time: the deadline of 30 ms has passed",
        &["init.luau:3 function go"],
    );
    assert_eq!((error.fault(), error.event()), (Fault::Script, Some("go")));
    assert!(error.usage().fuel > 0);
}

fn v2_memory() {
    let limits = Limits { memory_bytes: 8 << 20, ..limits() };
    let error = event(&instance_with(limits, &hostile("buffer.create(2 ^ 29)")), "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory);
    let wanted = error
        .message()
        .strip_prefix("init.luau:3: out of memory: ")
        .and_then(|rest| rest.strip_suffix(" bytes were needed, and the limit memory_bytes is 8388608"));
    let wanted: u64 = wanted.unwrap_or_else(|| panic!("{error}")).parse().unwrap();
    assert!(wanted > 1 << 29, "what was asked for: {error}");
    assert_eq!((error.fault(), error.event()), (Fault::Script, Some("go")));
    assert_eq!(error.traceback(), "[C] create\ninit.luau:3 function go");
}

fn v2_limit() {
    let limits =
        Limits { log_bytes: 10, result_bytes: 100, result_depth: 1, payload_bytes: 10, payload_depth: 1, ..limits() };
    let of = |source: &str| event(&instance_with(limits.clone(), source), "go").unwrap_err();
    let message = "init.luau:3: over the limit log_bytes of 10: print of 12 bytes with 10 left";
    let traceback = ["[C] print", "init.luau:3 function go"];
    golden(&of(&hostile("print('hello world')")), ErrorKind::Limit, message, &traceback);
    let message = "init.luau:1: over the limit result_bytes of 100: over 100 bytes at result";
    let traceback = ["init.luau:1 function go"];
    golden(&of(&hostile("return string.rep('x', 101)")), ErrorKind::Limit, message, &traceback);
    let message = "init.luau:1: over the limit result_depth of 1: deeper than 1 tables at result[1]";
    golden(&of(&hostile("return {{}}")), ErrorKind::Limit, message, &traceback);
    let instance = instance_with(limits.clone(), &hostile(""));
    let error = send(&instance, "go", &Value::string("hello world")).unwrap_err();
    golden(&error, ErrorKind::Limit, "payload: over the limit payload_bytes of 10", &[]);
    let error = send(&instance, "go", &Value::Array(vec![Value::Array(vec![])])).unwrap_err();
    golden(&error, ErrorKind::Limit, "payload[1]: over the limit payload_depth of 1", &[]);
    let error = try_load(Limits { source_bytes: 5, ..limits }, "return {}").unwrap_err();
    golden(&error, ErrorKind::Limit, "over the limit source_bytes of 5: the files of the bundle have 9 bytes", &[]);
    assert_eq!(error.fault(), Fault::Script);
}

fn v2_kinds_have_a_word_and_a_fault() {
    use ErrorKind::{Compile, Deadline, Denied, Fuel, Host, Internal, Limit, Memory, Script, Usage};
    for (kind, word, fault) in [
        (Compile, "compile", Fault::Script),
        (Script, "script", Fault::Script),
        (Usage, "usage", Fault::Operator),
        (Fuel, "fuel", Fault::Script),
        (Deadline, "deadline", Fault::Script),
        (Memory, "memory", Fault::Script),
        (Limit, "limit", Fault::Script),
        (Denied, "denied", Fault::Operator),
        (Host, "host", Fault::Operator),
        (Internal, "internal", Fault::Motu),
    ] {
        assert_eq!((kind.as_str(), kind.to_string().as_str(), kind.fault()), (word, word, fault));
    }
}

fn v2_event_fuel_and_memory_are_filled_in() {
    let limits =
        Limits { event_fuel: Some(50_000_000), memory_bytes: 8 << 20, log_bytes: 100, result_depth: 3, ..limits() };
    for (text, kind) in [
        ("error('x')", ErrorKind::Script),
        ("return print", ErrorKind::Script),
        ("coroutine.yield()", ErrorKind::Script),
        ("while true do end", ErrorKind::Fuel),
        ("buffer.create(2 ^ 29)", ErrorKind::Memory),
        ("print(string.rep('x', 100))", ErrorKind::Limit),
        ("return {{{{}}}}", ErrorKind::Limit),
    ] {
        let error = event(&instance_with(limits.clone(), &hostile(text)), "go").unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error:?}");
        assert_eq!(error.event(), Some("go"), "{text}");
        let usage = error.usage();
        assert!(usage.fuel > 0 && usage.fuel <= 50_000_000, "{text}: {usage:?}");
        assert!(usage.memory_bytes > 1 << 20 && usage.memory_bytes <= 8 << 20, "{text}: {usage:?}");
        assert!(usage.elapsed > Duration::ZERO, "{text}: {usage:?}");
    }
}

fn v2_errors_of_loading_have_no_event() {
    let limits = Limits { load_fuel: Some(50_000_000), memory_bytes: 8 << 20, log_bytes: 100, ..limits() };
    for (source, kind) in [
        ("return =", ErrorKind::Compile),
        ("error('x')", ErrorKind::Script),
        ("while true do end", ErrorKind::Fuel),
        ("buffer.create(2 ^ 29)", ErrorKind::Memory),
        ("print(string.rep('x', 100))", ErrorKind::Limit),
    ] {
        let error = try_load(limits.clone(), source).unwrap_err();
        assert_eq!((error.kind(), error.event()), (kind, None), "{source}: {error:?}");
        assert!(error.usage().fuel > 0 && error.usage().memory_bytes > 1 << 20, "{source}: {error:?}");
    }
    let error = try_load(limits, "local function deep(...)\n error('x')\nend\ndeep()").unwrap_err();
    golden(&error, ErrorKind::Script, "init.luau:2: x", &["[C] error", "init.luau:2 function deep", "init.luau:4"]);
}

fn traceback_names_each_frame() {
    let error = fail(
        "local t = {}\n\
         function t.field() error('x') end\n\
         function t:method() self.field() end\n\
         local function named(...) t:method() end\n\
         return { go = function()\n\
           local anonymous = (function() return function() named() end end)()\n\
           pcall(anonymous)\n\
           table.sort({ 2, 1 }, function() anonymous() return true end)\n\
         end }",
    );
    let lines: Vec<&str> = error.traceback().lines().collect();
    assert_eq!(lines.first(), Some(&"[C] error"));
    for (line, start) in [
        (1, "init.luau:2 function field"),
        (2, "init.luau:3 function method"),
        (3, "init.luau:4 function named"),
        (4, "init.luau:6"),
        (5, "init.luau:8"),
        (6, "[C] sort"),
        (7, "init.luau:8 function go"),
    ] {
        assert!(lines.get(line).is_some_and(|line| line.starts_with(start)), "{start}: {lines:#?}");
    }
    assert_eq!(lines.len(), 8, "{lines:#?}");
}

fn traceback_crosses_modules() {
    let files = [
        ("init.luau", "local part = require('@self/lib/part')\nreturn { go = function()\n part.run()\nend }"),
        ("lib/part.luau", "local other = require('./other')\nreturn { run = function()\n\n other()\nend }"),
        ("lib/other.luau", "\n\n\n\nreturn function() error('far away') end"),
    ];
    let instance = load_files(limits(), &files).unwrap().instance(tenant());
    let error = event(&instance, "go").unwrap_err();
    assert_eq!(error.message(), "lib/other.luau:5: far away");
    let lines: Vec<&str> = error.traceback().lines().collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for (line, start) in
        [(0, "[C] error"), (1, "lib/other.luau:5"), (2, "lib/part.luau:4 function run"), (3, "init.luau:3 function go")]
    {
        assert!(lines[line].starts_with(start), "{lines:#?}");
    }
    // through require itself, at load
    let files = [
        ("init.luau", "\nreturn require('@self/a')"),
        ("a.luau", "\n\nreturn require('./b')"),
        ("b.luau", "\n\n\nerror('x')"),
    ];
    let error = load_files(limits(), &files).unwrap_err();
    assert_eq!(error.message(), "b.luau:4: x");
    for place in ["b.luau:4", "a.luau:3", "init.luau:2"] {
        assert!(error.traceback().contains(place), "{}", error.traceback());
    }
}

fn w05_what_fails_in_a_wrapped_coroutine_shows_its_frames() {
    let source = "local function deep(...) error('no') end\n\
        local function inner() coroutine.yield() deep() end\n\
        local function outer() local f = coroutine.wrap(inner) f() f() end\n\
        return {\n\
          once = function() inner2 = coroutine.wrap(deep) inner2() end,\n\
          twice = function() coroutine.wrap(outer)() end,\n\
          dead = function() local f = coroutine.wrap(deep) pcall(f) f() end,\n\
          live = function() local f = coroutine.wrap(deep) pcall(f) coroutine.wrap(function() f() end)() end,\n\
          says = function() coroutine.wrap(function() error('cannot resume dead coroutine: retry') end)() end,\n\
          table = function() coroutine.wrap(function() error({}) end)() end,\n\
          caught = function() pcall(coroutine.wrap(outer)) error('mine') end,\n\
          chain = function() local function next(n) if n == 0 then deep() end coroutine.wrap(next)(n - 1) end next(10) end,\n\
          long = function() local function next(n) if n == 0 then deep() end coroutine.wrap(next)(n - 1) end next(150) end,\n\
          each = function() local f, g f = coroutine.wrap(function() g() end) g = coroutine.wrap(function() f() end) f() end }";
    let frames = |name: &str| {
        let error = event(&instance(source), name).unwrap_err();
        error.traceback().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let deep = ["[C] error", "init.luau:1 function deep"];
    assert_eq!(frames("once"), [deep[0], deep[1], "init.luau:5 function once"]);
    let twice =
        [deep[0], deep[1], "init.luau:2 function inner", "init.luau:3 function outer", "init.luau:6 function twice"];
    assert_eq!(frames("twice"), twice);
    assert_eq!(frames("dead"), ["init.luau:7 function dead"], "it died of another error");
    assert_eq!(frames("live"), ["init.luau:8", "init.luau:8 function live"]);
    assert_eq!(frames("says"), ["[C] error", "init.luau:9", "init.luau:9 function says"]);
    assert_eq!(frames("table"), ["[C] error", "init.luau:10", "init.luau:10 function table"]);
    assert_eq!(frames("caught"), ["[C] error", "init.luau:11 function caught"]);
    let chain = [&deep[..], &["init.luau:12 function next"; 10], &["init.luau:12 function chain"]].concat();
    assert_eq!(frames("chain"), chain);
    assert_eq!(frames("each"), ["init.luau:14", "init.luau:14", "init.luau:14 function each"]);
    // the first 20 and the last 10 frames, every other one of which is a function of `coroutine.wrap`, and not shown
    let next = ["init.luau:13 function next"; 9];
    let long = [&deep[..], &next, &["... (273 frames)"], &next[..4], &["init.luau:13 function long"]].concat();
    assert_eq!(frames("long"), long);
}

fn traceback_of_each_way_to_fail() {
    for text in [
        "error('x')",
        "local t = nil; t.x = 1",
        "return 1 + {}",
        "string.rep()",
        "assert(false)",
        "error({})",
        "error()",
    ] {
        let error = body(text);
        assert!(
            error.traceback().lines().last().is_some_and(|line| line.starts_with("init.luau:1 function go")),
            "{text}: {error:?}"
        );
    }
}

fn error_values_are_kept() {
    for (text, value) in [
        ("error({ code = 7 })", Some(Value::from([("code", 7)]))),
        ("error({ 1, 2 })", Some(Value::from_iter([1, 2]))),
        ("error({})", Some(Value::Array(vec![]))),
        ("error(42)", None), // Luau puts the place before it, as with a string
        ("error(42, 0)", Some(Value::from(42))),
        ("error(true)", Some(Value::from(true))),
        ("error(vector.create(1, 2, 3))", Some(Value::Vector([1.0, 2.0, 3.0]))),
        ("error(buffer.fromstring('x'))", Some(Value::Buffer(b"x".to_vec()))),
        ("error('text')", None),
        ("error(print)", None),
        ("error({ print })", None),
        (
            "error(setmetatable({ code = 1 }, { __tostring = function() return 'shown' end }))",
            Some(Value::from([("code", 1)])),
        ),
        ("assert(nil, nil)", None),
    ] {
        assert_eq!(body(text).value(), value.as_ref(), "{text}");
    }
    // nil is a value that was thrown, too
    let nothing = body("error()");
    assert!(matches!(nothing.value(), None | Some(Value::Nil)), "{nothing:?}");
}

fn error_values_have_a_message() {
    for (text, message) in [
        ("error({ code = 7 })", "error value {code = 7}"),
        ("error({ message = 'in words' })", "in words"),
        ("error({ message = 5 })", "error value {message = 5}"),
        (
            "error(setmetatable({ message = 'not this' }, { __tostring = function() return 'in words' end }))",
            "in words",
        ),
        ("error(setmetatable({ message = 'then this' }, { __tostring = function() error('no') end }))", "then this"),
        ("error(setmetatable({}, { __tostring = function() return {} end }))", "error value {}"),
        ("error(42)", "init.luau:1: 42"),
        ("error(42, 0)", "42"),
        ("error(true)", "true"),
        ("error(print)", "error value of type function"),
        ("error()", "error value nil"),
        ("error(nil)", "error value nil"),
        ("error(coroutine.create(print))", "error value of type thread"),
        ("error(buffer.create(1))", "error value of type buffer"),
        ("error('')", "init.luau:1: "),
        ("error('', 0)", ""),
    ] {
        let error = body(text);
        assert_eq!(error.message(), message, "{text}: {error:?}");
    }
}

fn error_levels() {
    let raise = |level: u32| {
        format!("local function raise(...)\n error('x', {level})\nend\nreturn {{\n go = function()\n  raise()\n end }}")
    };
    for (level, message) in [(0, "x"), (1, "init.luau:2: x"), (2, "init.luau:6: x"), (3, "x"), (100, "x")] {
        assert_eq!(fail(&raise(level)).message(), message, "level {level}");
    }
}

fn runtime_errors_of_each_kind() {
    for (text, message) in [
        ("local t = nil return t.x", "attempt to index nil with 'x'"),
        ("local t = nil t.x = 1", "attempt to index nil with 'x'"),
        ("local t = nil return t[1]", "attempt to index nil with number"),
        ("return (1).x.y", "attempt to index number with 'x'"),
        ("return missing()", "attempt to call a nil value"),
        ("local t = {} t.x()", "attempt to call a nil value"),
        ("local t = {} t:x()", "attempt to call missing method 'x' of table"),
        ("return 1 + {}", "attempt to perform arithmetic (add) on number and table"),
        ("return -{}", "attempt to perform arithmetic (unm) on table"),
        ("return 'a' + 1", "attempt to perform arithmetic (add) on string and number"),
        ("return {} .. 'x'", "attempt to concatenate table with string"),
        ("return 1 < 'x'", "attempt to compare number < string"),
        ("return {} < {}", "attempt to compare table < table"),
        ("return #5", "attempt to get length of a number value"),
        ("for i = 1, 'x' do end", "invalid 'for' limit (number expected, got string)"),
        ("for _ in 5 do end", "attempt to iterate over a number value"),
        ("local t = {} t[nil] = 1", "table index is nil"),
        ("local t = {} t[0 / 0] = 1", "table index is NaN"),
        ("string.rep()", "missing argument #1 to 'rep' (string expected)"),
        ("string.rep({}, 1)", "invalid argument #1 to 'rep' (string expected, got table)"),
        ("string.format('%d', 'x')", "invalid argument #2 to 'format' (number expected, got string)"),
        ("setmetatable(1, {})", "invalid argument #1 to 'setmetatable' (table expected, got number)"),
        ("table.freeze({}).x = 1", "attempt to modify a readonly table"),
        ("string.x = 1", "attempt to modify a readonly table"),
        ("buffer.readu8(buffer.create(1), 1)", "buffer access out of bounds"),
        ("table.concat({ {} })", "invalid value (table) at index 1 in table for 'concat'"),
        ("local function f() return 1 + f() end f()", "stack overflow"),
    ] {
        let error = body(text);
        let (place, rest) = error.message().split_once(": ").unwrap_or_else(|| panic!("{text}: {error}"));
        assert_eq!(place, "init.luau:1", "{text}: {error}");
        assert!(rest.starts_with(message), "{text}: {error}");
        assert_eq!(error.kind(), ErrorKind::Script);
    }
}

fn errors_that_were_caught_and_raised_again() {
    let error = body("local ok, e = pcall(error, 'once') error(e, 0)");
    assert_eq!(error.message(), "once");
    let error = body("local ok, e = pcall(function() error({ code = 1 }) end) e.code += 1 error(e)");
    assert_eq!(error.value(), Some(&Value::from([("code", 2)])));
    let error =
        body("local ok, e = xpcall(function() error('a', 0) end, function(e) return e .. 'b' end) error(e .. 'c', 0)");
    assert_eq!(error.message(), "abc");
    let error = body("pcall(error, 'forgotten') error('told', 0)");
    assert_eq!(error.message(), "told");
}

fn errors_from_coroutines() {
    let error = body("coroutine.wrap(function() error('inside') end)()");
    assert_eq!(error.message(), "init.luau:1: init.luau:1: inside", "Luau's wrap puts its own place before it");
    let error = body("local ok, e = coroutine.resume(coroutine.create(function() error({ code = 3 }) end)) error(e)");
    assert_eq!(error.value(), Some(&Value::from([("code", 3)])));
    let error = body("coroutine.wrap(function() coroutine.wrap(function() error('twice', 0) end)() end)()");
    assert!(error.message().ends_with("twice"), "{error}");
    let error = body("local co = coroutine.wrap(function() end) co() co()");
    assert!(error.message().ends_with("cannot resume dead coroutine"), "{error}");
}

fn long_messages_are_cut() {
    for text in [
        "error(string.rep('x', 1000000), 0)",
        "error({ message = string.rep('x', 1000000) })",
        "error(string.rep('\\u{20ac}', 100000), 0)",
    ] {
        let error = body(text);
        assert!(error.message().len() <= 16 << 10, "{text}: {}", error.message().len());
        assert!(error.message().ends_with(" bytes cut)"), "{text}");
        assert!(!error.message().contains('\u{fffd}'), "{text}: no character is cut in two");
    }
    assert_eq!(body("error(string.rep('x', 16384), 0)").message().len(), 16384);
}

fn messages_that_are_not_utf_8() {
    assert_eq!(body("error('a\\255b', 0)").message(), "a\u{fffd}b");
    assert_eq!(body("error('a\\0b\\n', 0)").message(), "a\0b\n");
}

fn errors_show_and_debug() {
    let error = body("error({ code = 7 })");
    assert_eq!(error.to_string(), "script: error value {code = 7}");
    let debug = format!("{error:?}");
    for part in ["kind: Script", "message: ", "traceback: ", "code = 7", "event: Some(\"go\")", "fuel"] {
        assert!(debug.contains(part), "{part}: {debug}");
    }
    let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    assert!(error.source().is_none());
}
