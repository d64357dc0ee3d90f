//! Deep recursion of any kind is an ordinary error of the script, with a traceback: Luau's own limits come long before the
//! end of the wasm stack.

use motu::{ErrorKind, Limits};

use crate::support::{assert_raises, event, hostile, instance_with, limits};

trials![
    recursion_is_an_ordinary_error,
    recursion_through_metamethods_is_an_ordinary_error,
    recursion_through_callbacks_is_an_ordinary_error,
    recursion_through_coroutines_is_an_ordinary_error,
    recursion_while_an_error_is_reported_is_an_ordinary_error,
    recursion_through_a_mix_is_an_ordinary_error,
    recursion_that_is_caught_goes_on,
    recursion_through_require_is_an_ordinary_error,
    long_tracebacks_are_cut,
];

fn roomy() -> Limits {
    Limits { memory_bytes: 256 << 20, event_fuel: Some(20_000_000_000), ..limits() }
}

fn all_raise(bodies: &[&str]) {
    for body in bodies {
        let error = assert_raises(&instance_with(roomy(), &hostile(body)), body);
        let overflow = ["stack overflow", "C stack overflow", "error in error handling"];
        assert!(overflow.iter().any(|text| error.message().contains(text)), "{body}: {error}");
        assert!(error.traceback().contains("init.luau:3"), "{body}: it says where: {error:?}");
        assert!(error.traceback().len() <= 16 << 10, "{body}: {}", error.traceback().len());
    }
}

fn recursion_is_an_ordinary_error() {
    all_raise(&[
        "local function f() return 1 + f() end f()",
        "local a, b function a() return 1 + b() end function b() return 1 + a() end a()",
        "local function f(a, b, c, d, e, g, h) local x = f(h, a, b, c, d, e, g) return x end f()",
        "local t = {} function t:m() local x = self:m() return x end t:m()",
        "local function f() local ok, e = pcall(f) error(e, 0) end f()",
        "local function f() local ok, e = xpcall(f, function(e) return e end) error(e, 0) end f()",
        "local function f() assert(select(2, pcall(function() f() end)) == nil, 'stack overflow') end f()",
    ]);
}

fn recursion_through_metamethods_is_an_ordinary_error() {
    let metamethod = |name: &str, using: &str| {
        format!(
            "local meta = {{}} local m, o = setmetatable({{}}, meta), setmetatable({{}}, meta) \
             meta.{name} = function(x) {using} return 1 end {using}"
        )
    };
    let bodies = [
        ("__index", "local _ = m.x"),
        ("__newindex", "m.x = 1"),
        ("__call", "m()"),
        ("__add", "local _ = m + 1"),
        ("__concat", "local _ = m .. 'x'"),
        ("__unm", "local _ = -m"),
        ("__eq", "local _ = m == o"),
        ("__lt", "local _ = m < o"),
        ("__le", "local _ = m <= o"),
        ("__len", "local _ = #m"),
        ("__tostring", "tostring(m)"),
        ("__tostring", "print(m)"),
        ("__tostring", "string.format('%*', m)"),
        ("__iter", "for _ in m do end"),
        ("__namecall", "m:x()"),
        ("__idiv", "local _ = m // 1"),
    ]
    .map(|(name, using)| metamethod(name, using).replace("m:x()", "m()").replace("__namecall", "__call"));
    all_raise(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
}

fn recursion_through_callbacks_is_an_ordinary_error() {
    all_raise(&[
        "local function f() string.gsub('x', 'x', f) end f()",
        "local function f() table.sort({ 2, 1 }, f) end f()",
        "local function f() table.foreach({ 1 }, f) end f()",
        "local function f() table.foreachi({ 1 }, f) end f()",
        "local function f() for _ in string.gmatch('x', 'x') do f() end end f()",
        "local function f() for _ in f do end end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function() return string.gsub('x', 'x', t) end local _ = t.x",
    ]);
}

fn recursion_through_coroutines_is_an_ordinary_error() {
    all_raise(&[
        "local function f() coroutine.wrap(f)() end f()",
        "local function f() local ok, e = coroutine.resume(coroutine.create(f)) error(e, 0) end f()",
        "local function f() coroutine.wrap(function() pcall(f) error('C stack overflow', 0) end)() end f()",
        "local function f() coroutine.wrap(function() string.gsub('x', 'x', f) end)() end f()",
        "local function f() local co = coroutine.create(function() coroutine.yield() f() end) coroutine.resume(co) local ok, e = coroutine.resume(co) error(e, 0) end f()",
    ]);
}

fn recursion_while_an_error_is_reported_is_an_ordinary_error() {
    // the text of the error can't be made; the error is still one of the script
    for body in [
        "local meta = {} local e = setmetatable({}, meta) meta.__tostring = function() return tostring(e) end error(e)",
        "local meta = {} local e = setmetatable({}, meta) meta.__tostring = function() error(e) end error(e)",
        "local meta = {} local e = setmetatable({}, meta) meta.__tostring = function() return coroutine.wrap(tostring)(e) end error(e)",
        "local e = setmetatable({}, { __tostring = function() return {} end }) error(e)",
        "local e = setmetatable({}, { __tostring = function() coroutine.yield() end }) error(e)",
        "local function handle() local function f() return 1 + f() end f() end local ok, e = xpcall(error, handle) error(e)",
    ] {
        assert_raises(&instance_with(roomy(), &hostile(body)), body);
    }
}

/// By way of all that calls back from C++, in any order: what one level takes of the stack differs.
fn recursion_through_a_mix_is_an_ordinary_error() {
    let body = r#"
        local meta, ways, chosen = {}, nil, nil
        local object = setmetatable({}, meta)
        local function down()
            return ways[chosen[math.random(#chosen)]]()
        end
        meta.__tostring = function() down() return "x" end
        meta.__index, meta.__call, meta.__add, meta.__eq, meta.__lt, meta.__len, meta.__concat = down, down, down, down, down, down, down
        meta.__iter = function() down() return next, {} end
        ways = {
            function() return (string.gsub("aaa", "(a)(.-)", down)) end,
            function() return (string.gsub("a", "a", object)) end,
            function() table.sort({ 3, 2, 1 }, down) end,
            function() return string.format("%d%*%s", 1, object, "x") end,
            function() return `{object}{object}` end,
            function() return tostring(object) end,
            function() return coroutine.wrap(down)() end,
            function() return select(2, assert(coroutine.resume(coroutine.create(down)))) end,
            function() local ok, e = pcall(down) if not ok then error(e, 0) end end,
            function() local ok, e = xpcall(down, function(e) return e end) if not ok then error(e, 0) end end,
            function() return object.x end,
            function() return object() end,
            function() return object + 1 end,
            function() return object == setmetatable({}, meta) end,
            function() return object < object end,
            function() return #object end,
            function() return object .. "x" end,
            function() for _ in object do end end,
            function() table.foreach({ 1 }, down) end,
            function() for word in string.gmatch("a b", "%a") do down() end end,
            function() return require("@self/deeper")(down) end,
            function() return (down()) end,
        }
        chosen = {}
        for i = 1, payload do chosen[i] = math.random(#ways) end
        return down()
    "#;
    let files = [("init.luau", hostile(body)), ("deeper.luau", "return function(down) return (down()) end".to_owned())];
    let bundle = crate::support::owned(motu::Bundle::from_files(files).unwrap());
    let loaded = crate::support::run(crate::support::motu(roomy()).load(&bundle)).unwrap();
    for seed in 0..200 {
        let instance = loaded.instance(crate::support::tenant()).with_seed(seed);
        let ways = [1, 2, 3, 30][seed as usize % 4];
        let error = match crate::support::send(&instance, "go", &motu::Value::from(ways)) {
            Ok(_) => continue, // a comparison in between made an end of it
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Script, "seed {seed}: {error:?}");
        event(&instance, "fresh").unwrap();
        assert_eq!(instance.starts(), 1, "seed {seed}");
    }
}

fn recursion_that_is_caught_goes_on() {
    let body = "local function f() return 1 + f() end\n\
        for _ = 1, 20 do local ok, e = pcall(f) assert(not ok and string.find(e, 'stack overflow'), e) end\n\
        local function g() coroutine.wrap(g)() end\n\
        for _ = 1, 20 do local ok, e = pcall(g) assert(not ok and string.find(e, 'stack overflow'), e) end\n\
        return 'on'";
    let instance = instance_with(roomy(), &hostile(body));
    assert_eq!(event(&instance, "go").unwrap().value, motu::Value::string("on"));
    assert_eq!(instance.starts(), 1);
}

fn recursion_through_require_is_an_ordinary_error() {
    // each module requires the next: as deep as a bundle has files
    let count = 1000;
    let mut files: Vec<(String, String)> =
        (0..count).map(|n| (format!("m{n}.luau"), format!("return require('./m{}')", n + 1))).collect();
    files.push((format!("m{count}.luau"), "return 'end'".into()));
    files.push(("init.luau".into(), "return require('@self/m0')".into()));
    let bundle = crate::support::owned(motu::Bundle::from_files(files).unwrap());
    let error = crate::support::run(crate::support::motu(roomy()).load(&bundle)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script, "{error:?}");
    assert!(error.message().contains("stack overflow"), "{error}");
    assert!(!error.traceback().is_empty() && error.traceback().len() <= 16 << 10);
}

fn long_tracebacks_are_cut() {
    let body = "local function deep(n) if n == 0 then error('bottom') end deep(n - 1) return 1 end deep(5000)";
    let error = assert_raises(&instance_with(roomy(), &hostile(body)), body);
    let lines: Vec<&str> = error.traceback().lines().collect();
    assert!(lines.len() < 50, "{}", lines.len());
    assert!(lines.iter().any(|line| line.starts_with("... (") && line.ends_with(" frames)")), "{lines:?}");
    assert_eq!(lines.first().copied(), Some("[C] error"), "{lines:?}");
    assert!(lines.last().unwrap().contains("function go"), "{lines:?}");
}
