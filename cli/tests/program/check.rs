//! `motu check`: diagnostics with path and line, or the handlers.

use crate::{Ran, bundle, motu};

fn check(files: &[(&str, &str)]) -> Ran {
    let folder = bundle(files);
    motu(&["check", folder.path().to_str().unwrap()])
}

#[test]
fn good() {
    let ran = check(&[
        ("init.luau", "return { b = function() end, a = require('@self/a') }"),
        ("a.luau", "return function() end"),
    ]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "ok: 2 files, handlers: a, b\n", ""));
}

#[test]
fn c01_an_entry_without_handlers_is_told() {
    let table = "a table of functions by event, as in `return { greet = greet }`";
    for (source, said) in [
        ("local t = {}", format!("init.luau returns nothing, where events need {table}")),
        ("return 5", format!("init.luau returns a number, where events need {table}")),
        ("return integer.maxsigned", format!("init.luau returns an integer, where events need {table}")),
        ("return 'x'", format!("init.luau returns a string, where events need {table}")),
        ("return { greet = 5 }", format!("init.luau doesn't return {table}")),
        ("return {}", format!("init.luau doesn't return {table}")),
        (
            "return function() end",
            format!("init.luau returns a value that can't cross to the host, where events need {table}"),
        ),
    ] {
        let ran = check(&[("init.luau", source)]);
        assert_eq!((ran.code, ran.out), (0, format!("ok: 1 file, no handlers: {said}\n")), "{source}");
    }
}

/// Beside handlers, where it would be passed over.
#[test]
fn c01_a_handler_that_is_no_function_is_told() {
    let source = "return { go = print, greet = 5, start = 'x', quit = setmetatable({}, { __call = print }), [1] = 2 }";
    let ran = check(&[("init.luau", source)]);
    let warned = |what: &str| format!("init.luau: warning: {what}, and no function that handles an event\n");
    let all = ["greet is a number", "quit is a table", "start is a string"].map(warned).concat();
    assert_eq!((ran.code, ran.out), (0, format!("{all}ok: 1 file, handlers: go\n")), "{}", ran.err);
}

#[test]
fn c02_members_of_the_library_that_are_not_there_are_warned_of() {
    for (read, said) in [
        ("math.flor", ": did you mean math.floor?"),
        ("string.uper", ": did you mean string.upper?"),
        ("table.zzyzx", ""),
        ("os.getenv", ""),
    ] {
        let ran = check(&[("init.luau", &format!("return {{ go = function()\n\treturn {read}(1), {read} end }}"))]);
        let warned = format!("init.luau:2:9: warning: there is no {read} here, so it is nil{said}\n");
        let at = read.find('.').unwrap_or_default() + 1;
        let warned = warned.replace(":2:9:", &format!(":2:{}:", 9 + at));
        assert!(ran.out.starts_with(&warned), "{}{}", ran.out, ran.err);
        assert_eq!((ran.code, ran.out.matches("warning").count()), (0, 1), "{}", ran.out);
    }
    // what asks whether it's there, what is assigned (an error of its own), and tables of the bundle's own
    for source in [
        "local a = table.pack2 or function() end return { go = function() if string.trim then return not math.x end end, a = a }",
        "local a = if math.x then 1 else 2 local b = math.x == nil local c = math.x and 1 return { go = function() return a, b, c end }",
        "math = { flor = 1 } return { go = function() return math.flor, _G.flor, math['x'] end }",
        "local math = { flor = 1 } return { go = function() return math.flor end }",
        "return { go = function() function string.trim() end end }",
        "return { go = function() if string.trim then string.trim('x') end return string.trim and string.trim('x') end }",
        "if not string.trim then return {} end return { go = function() return string.trim('x') end }",
        "return { go = function() return type(string.trim) == 'function', pcall(math.tointeger, 5) end }",
        // globals
        "return { go = function() if game then game() end return jit and jit.version, type(script) == 'table', nil == setfenv end }",
        "_G['x'] = 1 return { go = function() return x end }",
        "rawset(_G, 'x', 1) return { go = function() return x end }",
        "local G = _G G.x = 1 return { go = function() return x end }",
        "for _, n in { 'x' } do _G[n] = 1 end return { go = function() return x, _G.y, _G['z'] end }",
    ] {
        let ran = check(&[("init.luau", source)]);
        assert!(!ran.out.contains("warning"), "{source}: {}", ran.out);
    }
}

#[test]
fn c02_a_module_that_is_not_required_is_told() {
    let ran = check(&[("init.luau", "return { go = function() return kv.get('s', 'k') end }")]);
    let said = "there is no global kv here, so it is nil: did you mean local kv = require(\"@motu/kv\")?\n";
    assert!(ran.out.contains(said), "{}{}", ran.out, ran.err);
}

#[test]
fn c02_globals_that_are_not_there_are_warned_of() {
    for (name, said) in [
        ("wait", ": did you mean task.wait?"),
        ("tick", ": did you mean os.clock, or os.time?"),
        ("game", ": Roblox has it, and Motu hasn't"),
        ("null", ": did you mean nil?"),
        ("prnit", ": did you mean print?"),
        ("tabel", ": did you mean table?"),
        ("playr", ": did you mean player?"),
        ("zzyzx", ""),
    ] {
        let source = format!("local player = 1\nreturn {{ go = function()\n\treturn {name}, player, {name} end }}");
        let ran = check(&[("init.luau", &source)]);
        let warned = format!(
            "init.luau:3:9: warning: there is no global {name} here, so it is nil{said}\n  \treturn {name}, player, {name} \
             end }}\n  \t       ^\nok: 1 file, handlers: go\n"
        );
        assert_eq!((ran.code, ran.out), (0, warned), "{}", ran.err);
    }
    // a misspelt one that is asked for is meant to be another
    let ran =
        check(&[("init.luau", "local player = 1 return { go = function() if playr then return player end end }")]);
    assert!(ran.out.contains("no global playr here, so it is nil: did you mean player?"), "{}", ran.out);
    // also where the top level fails, which they may be the reason of
    let ran = check(&[("init.luau", "local config = confg.load()\nreturn {}")]);
    assert!(ran.out.contains("warning: there is no global confg here"), "{}", ran.out);
    assert!(ran.err.contains("init.luau:1: attempt to index nil with 'load'"), "{}", ran.err);
    assert_eq!(ran.code, 1);
    // what some file assigns is there
    for files in [
        &[
            ("init.luau", "require('@self/a') return { go = function() return shared() end }"),
            ("a.luau", "function shared() end return 1"),
        ][..],
        &[("init.luau", "x, y = 1, 2 return { go = function() x += y end }")],
    ] {
        let ran = check(files);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert!(ran.out.starts_with("ok: ") && !ran.out.contains("warning"), "{}", ran.out);
    }
    // what runs in the type checker, which there is none of, has globals of its own; behind a NUL there may be more
    let ran = check(&[(
        "init.luau",
        "type function f(t) return types.singleton(require('none')) end return { go = function() end }",
    )]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok: 1 file, handlers: go\n"), "{}", ran.err);
    let ran = check(&[("init.luau", "a = 1\nb = 2 \0 shared = 3"), ("uses.luau", "return shared")]);
    let told = "init.luau:2:7: a NUL byte can't stand in Luau source\n  b = 2 \\u{0} shared = 3\n        ^\n";
    assert_eq!((ran.code, ran.out.as_str()), (1, told), "{}", ran.err);
    // warnings hide nothing that is wrong
    let unknown: String = (0..300).map(|i| format!("_ = unknown{i}\n")).collect();
    let ran = check(&[("a.luau", &unknown), ("init.luau", "return { go = ")]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let ran = check(&[("a.luau", &unknown), ("init.luau", "return require('@self/none')")]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.starts_with("init.luau:1:16: can't require"), "{}", ran.out);
    assert!(ran.out.contains("and 101 more"), "{}", ran.out);
}

#[test]
fn c03_a_syntax_error_is_told_once_with_its_place() {
    let ran = check(&[("init.luau", "local y = true\nlocal x = y ? 1 : 2\nreturn {}\n")]);
    let told = "init.luau:2:13: Expected identifier when parsing expression, got '?'\n  local x = y ? 1 : 2\n              ^\n";
    assert_eq!((ran.code, ran.out.as_str()), (1, told));
    let folder = bundle(&[("init.luau", "local x = y ? 1 : 2")]);
    let ran = motu(&["run", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(ran.err.matches("init.luau:1: ").count(), 1, "{}", ran.err);
    // of several lines, in their order; a long line isn't shown
    let long = format!("local t = = '{}'", "x".repeat(300));
    let ran = check(&[("init.luau", &format!("local a = =\n{long}\nlocal b = = 1\n"))]);
    let places: Vec<_> = ran.out.lines().filter(|line| line.starts_with("init.luau")).collect();
    assert_eq!(places.len(), 3, "{}", ran.out);
    assert!(places[0].starts_with("init.luau:1:11: ") && places[2].starts_with("init.luau:3:11: "), "{places:?}");
    assert!(!ran.out.contains("xxx"), "{}", ran.out);
}

#[test]
fn c03_a_mark_is_below_what_is_meant() {
    for (line, shown) in [
        ("local x = 'éü' ? 1", "local x = 'éü' ? 1"),
        ("\tlocal x = '\x1b[31m' ? 1", "\tlocal x = '\\u{1b}[31m' ? 1"),
        ("local x = '\u{202e}' ? 1", "local x = '\\u{202e}' ? 1"),
    ] {
        let ran = check(&[("init.luau", &format!("local y = 1\r\n{line}\r\nreturn {{}}\r\n"))]);
        let before: String =
            shown.split('?').next().unwrap().chars().map(|c| if c == '\t' { c } else { ' ' }).collect();
        let told: Vec<_> = ran.out.lines().skip(1).map(str::to_owned).collect();
        assert_eq!(told, [format!("  {shown}"), format!("  {before}^")], "{}", ran.out);
    }
    // Luau says the line alone
    let ran = check(&[("init.luau", "return {}"), (".luaurc", "{\n  \"aliases\": }\n")]);
    let (place, rest) = ran.out.split_once(": ").unwrap();
    assert_eq!((ran.code, place), (1, ".luaurc:2"), "{}", ran.out);
    assert!(rest.ends_with("\n    \"aliases\": }\n"), "{}", ran.out);
}

#[test]
fn examples_are_good() {
    for (name, expected) in [
        ("greeter", "ok: 1 file, handlers: greet\n"),
        ("counter", "ok: 1 file, handlers: count, hit\nneeds:\n  motu:kv/store.get\n  motu:kv/store.increment\n"),
        ("inventory", "ok: 4 files, handlers: add, list, remove, tour\n"),
        ("packages", "ok: 9 files, handlers: title\n"),
        (
            "report",
            "ok: 1 file, handlers: disable, enable, report\nneeds:\n  motu:blob/blobs.put\n  motu:blob/blobs.link\n  \
             motu:cron/schedules.set\n  motu:cron/schedules.delete\n  motu:http/client.fetch\n  motu:json/json.decode\n  \
             motu:time/time.add\n  motu:time/time.format\n",
        ),
    ] {
        let ran = motu(&["check", &format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"))]);
        assert_eq!((ran.code, ran.out.as_str()), (0, expected), "{}", ran.err);
    }
}

#[test]
fn every_file_is_looked_at() {
    let ran = check(&[
        ("init.luau", "local a = 1\nlocal b = require('@self/missing')\nreturn {}"),
        ("unused.luau", "return\n\n{"),
    ]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("init.luau:2:19: "), "{}", ran.out);
    assert!(ran.out.contains("unused.luau:3:"), "{}", ran.out);
}

#[test]
fn n07_what_is_not_shown_is_counted() {
    let broken: Vec<(String, &str)> = (0..300).map(|i| (format!("m{i:03}.luau"), "return {")).collect();
    let mut files: Vec<(&str, &str)> = broken.iter().map(|(path, source)| (path.as_str(), *source)).collect();
    files.push(("init.luau", "return {}"));
    let ran = check(&files);
    let lines: Vec<_> = ran.out.lines().filter(|line| !line.starts_with("  ")).collect();
    assert_eq!((ran.code, lines.len()), (1, 201), "{}{}", ran.out, ran.err);
    assert!(lines[199].starts_with("m199.luau:1:"), "{}", lines[199]);
    assert_eq!(lines[200], "and 100 more");
    let ran = check(&files[100..]);
    assert_eq!((ran.code, ran.out.lines().filter(|line| line.starts_with("m")).count()), (1, 200), "{}", ran.out);
    // what isn't shown is told apart by its place alone
    let none = "require('@self/none')";
    let source = format!("{}{}{none}\n{}{none}\n", format!("{none}\n").repeat(200), " ".repeat(40), " ".repeat(9));
    let ran = check(&[("init.luau", &source)]);
    assert!(ran.out.ends_with("and 2 more\n"), "{}", ran.out);
}

#[test]
fn what_only_loading_shows() {
    let ran = check(&[("init.luau", "error('no')")]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("error[script]: init.luau:1: no\n"), "{}", ran.err);
    let ran = check(&[("init.luau", "while true do end")]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(motu(&["check", "/nowhere"]).code, 2);
    assert_eq!(motu(&["check"]).code, 2);
}
