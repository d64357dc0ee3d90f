//! Test files that fight back: each ends with a report, and what stands beside it runs all the same.

use super::test;
use crate::{Ran, bundle, motu_in};

/// A case of this body, between two that pass.
fn case(body: &str, args: &[&str]) -> Ran {
    let source =
        format!("it('before', function() end)\nit('hostile', function() {body} end)\nit('after', function() end)");
    let ran = test(&source, args);
    assert!(ran.out.contains("\n  ok   before") && ran.out.contains("\n  ok   after"), "{}{}", ran.out, ran.err);
    ran
}

fn ends(body: &str, args: &[&str], wanted: &str) {
    let ran = case(body, args);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{body}: {}", ran.out);
    assert!(ran.out.contains(wanted), "{body}: {}", ran.out);
}

#[test]
fn cases_that_never_end() {
    let little = ["--fuel", "50_000_000"];
    ends("while true do end", &little, "\n  x.test.luau:2: error[fuel]: ");
    ends("while true do pcall(function() while true do end end) end", &little, "error[fuel]: ");
    let short = ["--deadline-ms", "300", "--fuel", "unlimited"];
    ends("task.wait(1e9)", &short, "\n  x.test.luau:2: error[deadline]: ");
    ends("while true do task.wait() end", &short, "error[deadline]: ");
    ends("coroutine.yield()", &short, "\n  x.test.luau:2: error[");
}

#[test]
fn cases_that_take_all_there_is() {
    ends("local s = 'x' while true do s ..= s end", &["--memory-mib", "16"], "\n  x.test.luau:2: error[memory]: ");
    ends("while true do print(string.rep('x', 1000)) end", &[], "error[limit]: ");
    ends("local function go() go() end go()", &[], "error[script]: stack overflow");
    ends("test.fail(string.rep('x\\27', 1e7))", &[], "\\x1b");
    ends("error(string.rep('x', 1e7))", &[], "error[script]: ");
}

/// The case itself passes; what it leaves behind ends its instance.
#[test]
fn a_case_that_loses_its_instance() {
    let wait = "test.after_each(function() task.wait(0.01) end)";
    let source = format!("{wait} it('leaves', function() task.delay(0, function() while true do end end) end)");
    let ran = test(&source, &[]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(
        ran.out.contains("error[instance_lost]: ") || ran.out.contains("left behind ended its instance"),
        "{}",
        ran.out
    );
}

#[test]
fn hooks_that_never_end() {
    let source = "test.after_each(function() while true do end end)\ntest.after_each(function() error('two') end)\n\
                  it('a', function() error('one') end)";
    let ran = test(source, &["--fuel", "50_000_000"]);
    assert_eq!(ran.code, 1);
    for part in ["error[script]: one", "error[script]: two", "error[fuel]: "] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    // a task that goes on failing for as long as it is asked
    let source = "it('a', function() task.spawn(function() while true do pcall(test.fail, 'again') task.wait() end end) end)\n\
                  test.after_each(function() task.wait(0.01) end)";
    let ran = test(source, &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains(": again\n"), "{}", ran.out);
}

#[test]
fn files_that_never_end() {
    let good = "require('@motu/test').it('passes', function() end)";
    for (bad, args, wanted) in [
        ("while true do end", ["--fuel", "50_000_000"], "error[fuel]: "),
        ("local s = 'x' while true do s ..= s end", ["--memory-mib", "16"], "error[memory]: "),
        ("task.wait(1)", ["--jobs", "1"], "error[script]: "),
        ("require('./x.test')", ["--jobs", "1"], "x.test.luau -> x.test.luau"),
    ] {
        let folder = bundle(&[("init.luau", "return {}"), ("x.test.luau", bad), ("y.test.luau", good)]);
        let ran = motu_in(folder.path(), &["test", args[0], args[1]]);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{bad}: {}", ran.out);
        assert!(ran.out.contains(wanted) && ran.out.contains("  ok   passes"), "{bad}: {}", ran.out);
        assert!(ran.out.contains("\n  x.test.luau"), "{bad}: {}", ran.out);
    }
}

#[test]
fn thousands_of_cases() {
    let ran = test("for i = 1, 2000 do it(`case {i}`, function() expect(i % 1000).never.to_be(0) end) end", &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("\n1998 passed, 2 failed, in "), "{}", ran.out);
    let ran = test("for i = 1, 10001 do it(`case {i}`, function() end) end", &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("a file can have 10000 cases at most"), "{}", ran.out);
}

#[test]
fn deep_groups_and_long_names() {
    let ran = test("local function go() test.describe('x', go) end go()", &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("describe lies in describe more than 32 times"), "{}", ran.out);
    let ran = test("it('\\27[31m' .. string.rep('é', 1e6), function() end)", &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.len() < 1000 && !ran.out.contains('\x1b'), "{}", ran.out);
}

/// A file that puts itself in the place of the library.
#[test]
fn a_library_that_lies() {
    let named = |list: &str| {
        test(&format!("local cases = require('@motu/test/cases') :: any cases.list = function() {list} end"), &[])
    };
    let ran = named("return { total = 1e9, cases = {} }");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("its list of cases doesn't come to an end"), "{}", ran.out);
    for list in ["return 5", "return { total = -1, cases = 5 }", "error('no')", "while true do end"] {
        assert_eq!(named(list).code, 1, "{list}");
    }
    let endless =
        "return { total = 1e15, cases = table.create(1000, { names = {}, path = '', line = 0, skip = 'skip' }) }";
    let ran = named(endless);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("0 passed, 10000 skipped"), "{}", ran.out);
    let names = "return { total = 1e4, cases = { { names = { string.rep('x', 1e6) }, path = '', line = 0 } } }";
    assert!(named(names).out.contains("its list of cases doesn't come to an end"));
    let source = "it('x', function() error({ motu_test = 'failure', message = string.rep('é', 4e5) }) end)";
    let ran = test(source, &[]);
    assert!(ran.code == 1 && ran.out.len() < 50_000, "{}", ran.out.len());
    let source = "local cases = require('@motu/test/cases') :: any cases.finish = function() return 'more' end it('x', function() end)";
    let ran = test(source, &[]);
    assert!(ran.code == 1 && ran.out.contains("what runs after the case doesn't come to an end"), "{}", ran.out);
    let source =
        "it('x', function() error({ motu_test = 'failure', line = -5, path = 'a\\nb', message = 'lie\\27' }) end)";
    let ran = test(source, &[]);
    assert!(ran.code == 1 && ran.out.contains("x.test.luau:1: lie\\u{1b}"), "{}", ran.out);
}
