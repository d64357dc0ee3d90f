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
    let ran = check(&[("init.luau", "return 1")]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok: 1 file, no handlers\n"));
}

#[test]
fn examples_are_good() {
    for (name, expected) in [
        ("greeter", "ok: 1 file, handlers: greet\n"),
        ("counter", "ok: 1 file, handlers: count, hit\nneeds:\n  motu:kv/store.get\n  motu:kv/store.increment\n"),
        ("inventory", "ok: 4 files, handlers: add, list, remove, tour\n"),
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
    assert!(ran.out.contains("init.luau:2: "), "{}", ran.out);
    assert!(ran.out.contains("unused.luau:3: "), "{}", ran.out);
}

#[test]
fn n07_what_is_not_shown_is_counted() {
    let broken: Vec<(String, &str)> = (0..300).map(|i| (format!("m{i:03}.luau"), "return {")).collect();
    let mut files: Vec<(&str, &str)> = broken.iter().map(|(path, source)| (path.as_str(), *source)).collect();
    files.push(("init.luau", "return {}"));
    let ran = check(&files);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!((ran.code, lines.len()), (1, 201), "{}{}", ran.out, ran.err);
    assert!(lines[199].starts_with("m199.luau:1: "), "{}", lines[199]);
    assert_eq!(lines[200], "and 100 more, in these files and in those after them");
    let ran = check(&files[100..]);
    assert_eq!((ran.code, ran.out.lines().count()), (1, 200), "{}", ran.out);
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
