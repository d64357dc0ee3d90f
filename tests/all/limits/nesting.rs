//! Source that is nested without end is a compile error, by the parser's own limits, never the end of the wasm stack.

use motu::{Bundle, ErrorKind, Limits};

use crate::support::{limits, motu, run, try_load};

trials![
    nested_source_is_a_compile_error,
    mixed_nesting_is_a_compile_error,
    moderate_nesting_compiles,
    l04_chains_as_long_as_native_luau_takes_compile,
    l04_what_nests_as_deep_as_native_luau_takes_compiles,
    nested_json_of_luaurc_is_an_error
];

/// What is nested: `n` times the opening, the middle, `n` times the closing.
const FORMS: &[(&str, &str, &str)] = &[
    ("return ", "1", ""),
    ("(", "1", ")"),
    ("{", "1", "}"),
    ("{a=", "1", "}"),
    ("{[", "1", "]=1}"),
    ("f(", "1", ")"),
    ("f{", "1", "}"),
    ("t[", "1", "]"),
    ("t.x(", "1", ")"),
    ("t:x(", "1", ")"),
    ("- ", "1", ""),
    ("not ", "1", ""),
    ("#", "t", ""),
    ("1 + ", "1", ""),
    ("1 .. ", "1", ""),
    ("2 ^ ", "1", ""),
    ("1 and ", "1", ""),
    ("1 < ", "1", ""),
    ("function() return ", "1", " end"),
    ("if x then 1 else ", "1", ""),
    ("if x then ", "1", " else 1"),
    ("`{", "1", "}`"),
    ("(1 :: typeof(", "1", "))"),
];

const STATEMENTS: &[(&str, &str, &str)] = &[
    ("if x then else if x then ", "", " end end"),
    ("do ", "", " end"),
    ("if x then ", "", " end"),
    ("while x do ", "", " end"),
    ("for i = 1, 2 do ", "", " end"),
    ("for k in t do ", "", " end"),
    ("repeat ", "", " until x"),
    ("function f() ", "", " end"),
    ("local function f() ", "", " end"),
    ("local f = function() ", "", " end"),
    ("x = function() ", "", " end"),
    ("f(function() ", "", " end)"),
];

const TYPES: &[(&str, &str, &str)] = &[
    ("(", "nil", ")"),
    ("{", "nil", "}"),
    ("{a: ", "nil", "}"),
    ("{[string]: ", "nil", "}"),
    ("T<", "nil", ">"),
    ("nil | ", "nil", ""),
    ("nil & ", "nil", ""),
    ("() -> ", "nil", ""),
    ("(", "", ") -> nil"),
    ("(x: ", "nil", ") -> nil"),
    ("typeof(function(): ", "nil", " end)"),
    ("(nil | ", "nil", ")?"),
];

/// Forms that go on by iteration: as long as the source may be.
const CHAINS: &[(&str, &str)] = &[
    ("return x", ".x"),
    ("return x", "[1]"),
    ("return x", "()"),
    ("return x", ":x()"),
    ("return 1", " + 1"),
    ("return 1", " .. 1"),
    ("return 1", " and 1"),
    ("return 1", " < 1"),
    ("return 1", " - -1"),
    ("local x: nil", " | nil"),
    ("local x: nil", " & nil"),
    ("local x: nil", "?"),
    ("return x", " :: any"),
    ("if x then", " elseif x then"),
    ("x = 1", " x = 1"),
    ("return 1", ", 1"),
    ("return f 'x'", " 'x'"),
    ("return f", "{}"),
];

/// Not quite what a file may have.
const FILE_BYTES: usize = 4_000_000;

fn all(depth: usize) -> Vec<String> {
    let nest = |before: &str, (open, middle, close): &(&str, &str, &str), after: &str| {
        let depth = depth.min(FILE_BYTES / (open.len() + close.len()));
        format!("{before}{}{middle}{}{after}", open.repeat(depth), close.repeat(depth))
    };
    let forms = FORMS.iter().map(|form| nest("local _ = ", form, ""));
    let statements = STATEMENTS.iter().map(|form| nest("", form, ""));
    let types = TYPES.iter().map(|form| nest("local x: ", form, " = nil"));
    let aliases = TYPES.iter().map(|form| nest("type A = ", form, ""));
    let chains = CHAINS.iter().map(|(head, more)| {
        let end = if head.starts_with("if") { " end" } else { "" };
        format!("{head}{}{end}", more.repeat(depth.min(FILE_BYTES / more.len())))
    });
    let mut all: Vec<String> = forms.chain(statements).chain(types).chain(aliases).chain(chains).collect();
    // the same, never closed
    all.extend(FORMS.iter().map(|form| nest("local _ = ", &(form.0, "", ""), "")));
    all.extend(STATEMENTS.iter().map(|form| nest("", &(form.0, "", ""), "")));
    all.extend(TYPES.iter().map(|form| nest("local x: ", &(form.0, "", ""), "")));
    all
}

fn nested_source_is_a_compile_error() {
    // the longest under a smaller memory: what takes too much is stopped by that
    for (depth, memory) in [(250, 64), (1_000, 64), (3_000, 64), (20_000, 64), (200_000, 64)] {
        let limits = Limits { memory_bytes: memory << 20, load_fuel: Some(3_000_000_000), ..limits() };
        for source in all(depth) {
            let head: String = source.chars().take(30).collect();
            let named = |kind| {
                use ErrorKind::{Compile, Fuel, Memory, Script};
                // what compiles after all fails when it runs, or is a lot of work
                assert!(matches!(kind, Compile | Script | Memory | Fuel), "{head:?} x {depth}: {kind}");
            };
            if let Err(error) = try_load(limits.clone(), source.as_str()) {
                named(error.kind());
                if error.kind() == ErrorKind::Compile {
                    assert!(error.message().starts_with("init.luau:"), "{head:?} x {depth}: {error}");
                }
            }
            let bundle = crate::support::owned(
                Bundle::from_files([("other.luau", source.as_str()), ("init.luau", "")]).unwrap(),
            );
            if let Err(error) = run(motu(limits.clone()).check(&bundle)) {
                named(error.kind());
            }
        }
    }
}

/// Expressions in expressions by any form: what one level takes of the stack differs from form to form.
fn mixed_nesting_is_a_compile_error() {
    let forms = [
        ("(", ")"),
        ("{ a = ", ", b = 1 }"),
        ("{ [1] = { ", " } }"),
        ("f(1, ", ", 2)"),
        ("t:m{ x = ", " }"),
        ("t[", "].y"),
        ("not ", ""),
        ("- ", ""),
        ("1 + 2 * ", " ^ 2"),
        ("'x' .. ", " .. 'y'"),
        ("x and y or ", ""),
        ("(function(a: number, ...): number? local b = ", " for i = 1, 2 do b += i end return b end)()"),
        ("function() if x then elseif y then while x do repeat local z = ", " until z end end end"),
        ("if x then 1 elseif ", " then 2 else 3"),
        ("`a{", "}b{1}`"),
        ("(", " :: typeof(x))"),
        ("select('#', pcall(function() return ", " end))"),
        ("setmetatable({}, { __index = function() return ", " end })"),
    ];
    let mut state = 7u64;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % most
    };
    let limits = Limits { load_fuel: Some(3_000_000_000), ..limits() };
    for round in 0..400 {
        let depth = [60, 120, 250, 500, 990, 3000][round % 6];
        // some by one form, some by two or three, some by all
        let some: Vec<usize> = (0..[1, 2, 3, 18][round % 4]).map(|_| below(forms.len())).collect();
        let picked: Vec<(&str, &str)> = (0..depth).map(|_| forms[some[below(some.len())]]).collect();
        let open: String = picked.iter().map(|form| form.0).collect();
        let close: String = picked.iter().rev().map(|form| form.1).collect();
        let source = format!("local f, t, x, y\nreturn function(...) local _ = {open}1{close} end");
        if let Err(error) = try_load(limits.clone(), source) {
            let kinds = [ErrorKind::Compile, ErrorKind::Memory, ErrorKind::Fuel];
            assert!(kinds.contains(&error.kind()), "round {round}: {picked:?}: {error}");
        }
    }
}

fn moderate_nesting_compiles() {
    let limits = limits();
    let depth = 40;
    for (open, middle, close) in FORMS.iter().filter(|form| form.0 != "return ") {
        let source = format!(
            "local f, t, x\nreturn function() local _ = {}{middle}{} end",
            open.repeat(depth),
            close.repeat(depth)
        );
        try_load(limits.clone(), source.as_str()).unwrap_or_else(|error| panic!("{open:?}: {error}"));
    }
    for (open, middle, close) in STATEMENTS {
        let source =
            format!("local t, x\nlocal function f() {}{middle}{} end", open.repeat(depth), close.repeat(depth));
        try_load(limits.clone(), source.as_str()).unwrap_or_else(|error| panic!("{open:?}: {error}"));
    }
}

/// Native Luau takes up to a thousand.
fn l04_chains_as_long_as_native_luau_takes_compile() {
    for (head, more, end) in [
        ("if x then", " elseif x then", " end"),
        ("return 'a'", " .. 'a'", ""),
        ("return x", " + x", ""),
        ("return x", " or x", ""),
        ("return x", " and x", ""),
    ] {
        let source = |times: usize| format!("local x = 1\n{head}{}{end}", more.repeat(times));
        for times in [490, 700, 980] {
            try_load(limits(), source(times)).unwrap_or_else(|error| panic!("{head}{more} x {times}: {error}"));
        }
    }
    let error = try_load(limits(), format!("return {}1{}", "(".repeat(1_100), ")".repeat(1_100))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compile, "{error}");
}

/// A level of these is one of Luau's 1,000; of others two, but for the next two.
const ONE_LEVEL: &[&str] =
    &["do ", "if x then ", "while x do ", "repeat ", "function f() ", "local function f() ", "T<", "nil | ", "nil & "];

const THREE_LEVELS: &[&str] = &["typeof(function(): ", "(nil | "];

/// The same of statements and types, each as deep as it may be. The check walks what the parser takes.
fn l04_what_nests_as_deep_as_native_luau_takes_compiles() {
    let nest = |before: &str, (open, middle, close): &(&str, &str, &str), after: &str, depth: usize| {
        format!("local t, x, f\n{before}{}{middle}{}{after}", open.repeat(depth), close.repeat(depth))
    };
    // a `for` takes three registers, of which a function has 255
    let statements =
        STATEMENTS.iter().filter(|form| !form.0.starts_with("for ")).map(|form| (form, "local function g() ", " end"));
    let types = TYPES.iter().map(|form| (form, "type T<A> = A local y: ", " = nil"));
    for (form, before, after) in statements.chain(types) {
        let (is_one, is_three) = (ONE_LEVEL.contains(&form.0), THREE_LEVELS.contains(&form.0));
        for (depth, compiles) in [(320, true), (490, !is_three), (980, is_one)] {
            let source = nest(before, form, after, depth);
            let loaded = try_load(limits(), source.as_str()).map(drop).map_err(|error| error.message().to_owned());
            let what = format!("{:?} x {depth}: {loaded:?}", form.0);
            assert_eq!(loaded.is_ok(), compiles, "{what}");
            assert!(loaded.err().is_none_or(|error| error.contains("Exceeded allowed recursion depth")), "{what}");
            let found = run(motu(limits()).check(&crate::support::bundle(&[("init.luau", &source)]))).unwrap();
            assert_eq!(found.diagnostics.iter().all(|found| found.warning), compiles, "{what}");
        }
    }
}

fn nested_json_of_luaurc_is_an_error() {
    for depth in [100, 5_000, 300_000] {
        for (open, close) in [("{\"aliases\":", "}"), ("[", "]"), ("{\"a\":[", "]}")] {
            let config = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let bundle = Bundle::from_files([
                (".luaurc", config.as_str()),
                ("a.luau", "return 1"),
                ("init.luau", "return require('@x/a')"),
            ]);
            let (motu, bundle) = (motu(limits()), bundle.unwrap());
            let error = run(motu.load(&bundle)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Script | ErrorKind::Fuel), "{open} x {depth}: {error:?}");
            assert!(error.message().contains(".luaurc") || error.message().contains("@x"), "{error}");
            run(motu.check(&bundle)).map(|found| assert!(!found.diagnostics.is_empty())).unwrap();
        }
    }
}
