//! `motu test`: what it finds, runs and says, and how it ends.

mod hostile;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Ran, bundle, motu, motu_in};

/// Runs the tests of a bundle whose test file is `x.test.luau`.
fn test(source: &str, args: &[&str]) -> Ran {
    let source = format!("local test = require('@motu/test') local it, expect = test.it, test.expect {source}");
    let folder = bundle(&[("init.luau", "return {}"), ("x.test.luau", &source)]);
    motu_in(folder.path(), &[&["test"], args].concat())
}

#[test]
fn examples_pass_their_tests() {
    let ran = motu_in(concat!(env!("CARGO_MANIFEST_DIR"), "/..").as_ref(), &["test", "examples"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.starts_with("examples/counter/init.test.luau\n  ok   hit > counts in the tenant's"), "{}", ran.out);
    assert!(ran.out.contains("\n26 passed, in "), "{}", ran.out);
    assert!(!ran.out.contains('\x1b'), "no colours in a pipe");
}

/// What tells it from an empty list is nothing that a test is about.
#[test]
fn r06_an_empty_object_equals_an_empty_table() {
    let source = "local json = require('@motu/json')\n\
                  it('is equal', function() expect(json.decode('{\"a\":{}}')).to_equal({ a = {} }) end)\n\
                  it('is no other', function() expect(setmetatable({}, { __len = print })).to_equal({}) end)";
    let ran = test(source, &["--grant", "motu:json/*"]);
    assert!(ran.out.contains("ok   is equal") && ran.out.contains("FAIL is no other"), "{}{}", ran.out, ran.err);
}

/// A place to open, what was expected and what there was.
#[test]
fn a_failing_case_says_where_and_what() {
    let ran =
        test("\n\nit('adds', function()\n\texpect({ sum = 1 + 1 }).to_equal({ sum = 3 })\nend)", &["--seed", "1"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let golden = "
FAIL adds
  x.test.luau:4: expected { sum = 2 } to equal another
    expected: { sum = 3 }
    actual:   { sum = 2 }
    difference:
      value.sum: expected 3, got 2

0 passed, 1 failed, in ";
    assert!(ran.out.contains(golden), "{}", ran.out);
}

#[test]
fn an_error_of_the_files_under_test_has_its_place_and_traceback() {
    let folder = bundle(&[
        (
            "mine/init.luau",
            "local part = require('@self/lib/part')\nreturn { go = function(x)\n\tpart.run(x)\n\treturn 1\nend }",
        ),
        (
            "mine/lib/part.luau",
            "local part = {}\nfunction part.run(x)\n\tprint('at', x)\n\tif x ~= 1 then error(x.y.z) end\nend\nreturn part",
        ),
        (
            "mine/go.test.luau",
            "local test = require('@motu/test')\nlocal mine = require('./')\n\
             test.it('goes', function() mine.go(1) end)\ntest.it('breaks', function()\n\tmine.go({})\n\tprint('over')\nend)",
        ),
    ]);
    let ran = motu_in(folder.path(), &["test"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let golden = "
FAIL breaks
  mine/lib/part.luau:4: error[script]: attempt to index nil with 'z'
    traceback:
      mine/lib/part.luau:4 function run
      mine/init.luau:3 function go
      mine/go.test.luau:5
    log:
      [info] at\\t{}
";
    let without_address = |text: &str| {
        let Some((before, after)) = text.split_once("table: 0x") else { return text.to_owned() };
        format!("{before}{{}}{}", after.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
    };
    assert!(without_address(&ran.out).contains(golden), "{}", ran.out);
    assert!(!ran.out.contains("at\\t1"), "what a case that passes logs is not shown: {}", ran.out);
    assert!(ran.out.contains("to have the same random numbers again: --seed "), "{}", ran.out);
}

#[test]
fn a_file_that_does_not_load_is_an_error_and_the_others_run() {
    let good = "require('@motu/test').it('passes', function() end)";
    let folder = bundle(&[
        ("init.luau", "return {}"),
        ("a.test.luau", "return {\nreturn"),
        ("b.test.luau", "require('./nowhere')"),
        ("c.test.luau", good),
        ("d.test.luau", "print('before') error({ code = 1 })"),
        ("e.test.luau", "-- no case"),
    ]);
    let ran = motu_in(folder.path(), &["test", "."]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    for part in [
        "\nFAIL (the file itself)\n  a.test.luau:2: error[compile]: Expected",
        "\n  b.test.luau:1: error[script]: can't require \"./nowhere\"",
        "  ok   passes",
        "\n  d.test.luau:1: error[script]: error value {code = 1}",
        "      [info] before\n",
        "\n1 passed, 3 with errors, in ",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(!ran.out.contains("e.test.luau"), "{}", ran.out);
}

const THREE: &str = "test.describe('group', function() it('one', function() end)\n it('two', function() end) end)\n\
                     it('two more', function() end)";

#[test]
fn filters() {
    let names = |args: &[&str]| {
        let ran = test(THREE, args);
        let names =
            ran.out.lines().filter_map(|line| Some(line.strip_prefix("  ok   ")?.rsplit_once(" (")?.0.to_owned()));
        (ran.code, names.collect::<Vec<_>>())
    };
    let all = vec!["group > one".to_owned(), "group > two".to_owned(), "two more".to_owned()];
    assert_eq!(names(&[]), (0, all.clone()));
    assert_eq!(names(&["--filter", "two"]), (0, all[1..].to_vec()));
    assert_eq!(
        names(&["--filter", "group > one", "--filter", "x.test.luau:3"]),
        (0, vec![all[0].clone(), all[2].clone()])
    );
    assert_eq!(names(&["--filter", "x.test.luau > group"]), (0, all[..2].to_vec()));

    let ran = test(THREE, &["--list", "--filter", "two"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "x.test.luau:2: group > two\nx.test.luau:3: two more\n"));
    for args in [&["--list", "--filter", "none"][..], &["--filter", "none"]] {
        let ran = test(THREE, args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains("no case in . has what --filter asks for; --list without it"), "{}", ran.err);
    }
    let ran = test("", &["--list"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("no test in . has a case"), "{}", ran.err);
    let ran = test("expect(1).to_be(2)", &["--list"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("x.test.luau:1: expected 1 to be 2"), "{}", ran.err);
}

#[test]
fn nothing_to_run_is_wrong_usage() {
    let folder = bundle(&[("init.luau", "return {}"), ("a.luau", "return 1"), ("empty/x.test.luau", "")]);
    let refused = |path: &str, why: &str| {
        let ran = motu_in(folder.path(), &["test", path]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{path}");
        assert!(ran.err.contains(why), "{path}: {}", ran.err);
    };
    refused("nowhere", "nowhere can't be read");
    refused("a.luau", "a.luau is no test: the name of a test ends with .test.luau");
    refused("empty", "no test in empty has a case");
    fs::remove_file(folder.path().join("empty/x.test.luau")).unwrap();
    refused(".", "there is no test in .");
}

#[test]
fn bad_options() {
    for (args, why) in [
        (&["--grant", "motu:kv"][..], "column 8"),
        (&["--jobs", "0"], "--jobs"),
        (&["--memory-mib", "5000"], "4096 at most"),
        (&["--seed", "x"], "--seed"),
        (&["--junit", "no/such/folder.xml"], "no/such/folder.xml can't be written"),
    ] {
        let ran = test(THREE, args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.contains(why), "{args:?}: {}", ran.err);
    }
}

/// Read by a parser, and the numbers are right.
#[test]
fn junit() {
    let source = "it('passes', function() end) it('<fails> & \\27', function() print('logged') expect(1).to_be(2) end)\n\
                  it.skip('skipped', function() end) it('raises', function() error('no') end)";
    let source = format!("local test = require('@motu/test') local it, expect = test.it, test.expect {source}");
    let folder = bundle(&[("init.luau", "return {}"), ("x.test.luau", &source), ("y.test.luau", "error('at load')")]);
    let ran = motu_in(folder.path(), &["test", "--junit", "report.xml"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    let text = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    let mut reader = quick_xml::Reader::from_str(&text);
    reader.config_mut().check_end_names = true;
    let (mut names, mut suites) = (Vec::new(), String::new());
    loop {
        use quick_xml::events::Event;
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) => {
                let name = String::from_utf8(tag.name().as_ref().to_vec()).unwrap();
                let attribute = |wanted: &str| {
                    let found =
                        tag.attributes().map(Result::unwrap).find(|found| found.key.as_ref() == wanted.as_bytes());
                    found.map(|found| found.unescape_value().unwrap().into_owned()).unwrap_or_default()
                };
                if name == "testsuites" {
                    suites = ["tests", "failures", "errors", "skipped"].map(attribute).join(" ");
                }
                names.push(format!("{name} {}", attribute("name")).trim_end().to_owned());
            }
            _ => {}
        }
    }
    assert_eq!(suites, "5 1 2 1");
    let wanted = [
        "testsuites motu test",
        "testsuite x.test.luau",
        "testcase passes",
        "testcase <fails> & \\x1b",
        "failure",
        "system-out",
        "testcase skipped",
        "skipped",
        "testcase raises",
        "error",
        "testsuite y.test.luau",
        "testcase (the file itself)",
        "error",
    ];
    assert_eq!(names, wanted, "{text}");
    assert!(text.contains("x.test.luau:1: expected 1 to be 2\nexpected: 2\nactual:   1"), "{text}");
}

/// As `motu run` shows them.
#[test]
fn w04_a_task_that_fails_in_a_case_that_passes_is_shown() {
    let ran = test("it('passes', function() print('quiet') task.spawn(function() error({ code = 5 }) end) end)", &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("\n    log:\n      [error] error value {code = 5}"), "{}", ran.out);
    assert!(!ran.out.contains("quiet"), "{}", ran.out);
}

#[test]
fn thrown_tables_and_logged_fields_are_shown() {
    let thrown = "error({ code = { 1, reason = 'db down' } })";
    let source = "require('@motu/log').warn('careful', { user = 'x\\27[31m' })";
    let shown = "  thrown: {code = {[1] = 1, reason = \"db down\"}}\n";
    let fields = "[warn] careful {user = \"x\\u{1b}[31m\"}\n";
    let ran = test(&format!("it('raises', function() {source} {thrown} end)"), &[]);
    assert!(ran.out.contains(shown) && ran.out.contains(fields), "{}", ran.out);
    let folder = bundle(&[("init.luau", &format!("return {{ go = function() {source} {thrown} end }}"))]);
    let ran = motu_in(folder.path(), &["run", ".", "--event", "go", "--grant", "motu:log/*"]);
    assert!(ran.err.contains(shown) && ran.err.contains(fields), "{}", ran.err);
}

/// With the same words, place and frames, however they are seen.
#[test]
fn errors_of_the_host_are_those_of_production() {
    let source = "local kv = require('@motu/kv')\nlocal function inner()\n\tkv.get(1)\nend\nlocal function seen()\n\
        \tlocal _, direct = pcall(kv.get, 1)\n\tlocal _, called = pcall(inner)\n\
        \tlocal _, traced = xpcall(inner, debug.traceback)\n\
        \treturn table.concat({ direct, called, traced, debug.info(kv.get, 'sn') }, ' | ')\nend\n\
        return { go = function() return coroutine.wrap(seen)() end }";
    let folder = bundle(&[("init.luau", source)]);
    let ran = motu_in(folder.path(), &["run", ".", "--event", "go", "--json", "--grant", "motu:kv/*"]);
    let wanted = ran.json()["value"].as_str().unwrap().to_owned();
    assert!(wanted.contains("init.luau:3: kv.get: argument 1 (scope): "), "{wanted}");
    let test = format!(
        "local test = require('@motu/test') local go = require('./').go\n\
         test.it('is the same', function() test.expect(go()).to_be({wanted:?}) end)\n\
         test.it('is logged', function()\n\ttask.spawn(function() require('@motu/kv').get(1) end)\n\ttest.fail('no')\nend)"
    );
    fs::write(folder.path().join("x.test.luau"), test).unwrap();
    let ran = motu_in(folder.path(), &["test"]);
    assert!(ran.out.contains("  ok   is the same ("), "{}", ran.out);
    assert!(ran.out.contains("[error] x.test.luau:4: kv.get: argument 1 (scope): "), "{}", ran.out);
}

/// All is told that would be without it.
#[test]
fn a_report_that_cannot_be_written_in_the_end() {
    let run = |source: &str| test(source, &["--junit", "/dev/full"]);
    let ran = run("it('fails', function() expect(1).to_be(2) end)");
    assert_eq!(ran.code, 1);
    for part in ["expected 1 to be 2", "0 passed, 1 failed, in ", "to have the same random numbers again: --seed "] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.err.contains("error[usage]: /dev/full can't be written: "), "{}", ran.err);
    let ran = run("it('passes', function() end)");
    assert_eq!(ran.code, 2);
    assert!(ran.out.contains("\n1 passed, in "), "{}", ran.out);
    assert!(ran.err.contains("error[usage]: /dev/full can't be written: "), "{}", ran.err);
}

/// Without `--grant` all of the host may be called, for a tenant that has nothing; with it, only what is granted.
#[test]
fn grants() {
    let source = "local kv = require('@motu/kv')\n\
                  for _, name in { 'a', 'b' } do it(name, function() expect(kv.increment('s', 'k')).to_be(1) end) end\n\
                  it('mocked', function()\n test.mock('@motu/kv', { increment = function() return 7 end })\n\
                  expect(kv.increment('s', 'k')).to_be(7) end)";
    let ran = test(source, &[]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let ran = test(source, &["--grant", "motu:kv/store.get"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("  x.test.luau:2: error[denied]: "), "{}", ran.out);
    assert!(
        ran.out.contains("needs the grant motu:kv/store.increment") && ran.out.contains("  ok   mocked"),
        "{}",
        ran.out
    );
}

/// A module that only production has is mocked, and production's grants are given.
#[test]
fn c04_grants_of_modules_that_are_not_here_are_no_fault() {
    let folder = bundle(&[
        (".motu/types/acme/crm.luau", ""),
        ("init.luau", "local crm = require('@acme/crm') return { go = function() return crm.find('Ada') end }"),
        (
            "x.test.luau",
            "local test = require('@motu/test') local mine = require('./')\ntest.it('finds', function()\n\
             test.mock('@acme/crm', { find = function(name) return name end }) test.expect(mine.go()).to_be('Ada') end)",
        ),
    ]);
    let ran = motu_in(folder.path(), &["test", "--grant", "acme:crm/*", "--grant", "motu:kv/*"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let ran = motu_in(folder.path(), &["test", "--grant", "acme:crm/*", "--grant", "motu:kv/store.gett"]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("motu:kv/store.gett allows nothing"), "{}", ran.err);
    let ran = motu_in(folder.path(), &["run", ".", "--event", "go", "--grant", "acme:crm/*"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn a_seed_gives_the_same_numbers() {
    let source = "local random = require('@motu/random')\n\
                  it('draws', function() test.fail(`drew {math.random(1e9)} {random.integer(1, 1e9)}`) end)";
    let drawn = |args: &[&str]| {
        let ran = test(source, args);
        let line =
            ran.out.lines().find(|line| line.contains(": drew ")).unwrap_or_else(|| panic!("{}", ran.out)).to_owned();
        let seed = ran.out.lines().find_map(|line| line.strip_prefix("to have the same random numbers again: --seed "));
        (line, seed.map(str::to_owned))
    };
    let (line, seed) = drawn(&[]);
    assert_eq!(drawn(&["--seed", &seed.unwrap()]).0, line);
    assert_ne!(drawn(&["--seed", "1"]).0, drawn(&["--seed", "2"]).0);
}

/// However many run at once, they are told of in their order, and none sees another.
#[test]
fn the_order_is_that_of_the_file() {
    let source = "local seen = 0\nfor i = 1, 40 do it(`case {i}`, function()\n\
                  task.wait((i % 4) / 200) seen += 1 expect(seen).to_be(1) end) end";
    let names = |jobs: &str| {
        let ran = test(source, &["--jobs", jobs]);
        assert_eq!(ran.code, 0, "{}", ran.out);
        let names =
            ran.out.lines().filter_map(|line| Some(line.strip_prefix("  ok   ")?.rsplit_once(" (")?.0.to_owned()));
        names.collect::<Vec<_>>()
    };
    let wanted: Vec<String> = (1..=40).map(|number| format!("case {number}")).collect();
    assert_eq!(names("1"), wanted);
    assert_eq!(names("20"), wanted);
}

#[test]
fn tests_are_no_part_of_their_bundle() {
    let folder =
        bundle(&[("init.luau", "return { go = function() end }"), ("go.test.luau", "return require('@motu/test')")]);
    let ran = motu(&["check", folder.path().to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok: 1 file, handlers: go\n"), "{}", ran.err);
    let path = folder.path().join("go.test.luau");
    for command in ["run", "check"] {
        let ran = motu(&[command, path.to_str().unwrap()]);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("go.test.luau is a test: motu test "), "{}", ran.err);
    }
}

/// Ctrl-C ends a case that would never end.
#[test]
fn an_interrupt_ends_it() {
    let source = "local it = require('@motu/test').it it('passes', function() end) it('spins', function() while true do end end)";
    let folder = bundle(&[("init.luau", "return {}"), ("x.test.luau", source)]);
    // a program inherits that the signal is ignored, as where a shell started this suite in the background
    let mut child = Command::new("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_motu")])
        .args(["test", "--fuel", "unlimited", "--deadline-ms", "unlimited", "--jobs", "1"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "x.test.luau");
    assert!(lines.next().unwrap().unwrap().starts_with("  ok   passes"));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    for _ in 0..600 {
        if let Some(status) = child.try_wait().unwrap() {
            return assert_eq!(status.signal(), Some(2));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("it goes on half a minute after the signal");
}
