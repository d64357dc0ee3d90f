//! What scripts have printed, returned and raised, and how it is shown: nothing of it steers a terminal or hides what
//! follows.

use serde_json::json;

use crate::{bundle, motu, motu_in, run};

/// DEL, a C1 control, an escape, a carriage return, a change of direction, an isolate, line and paragraph separators, a
/// mark.
const UNSEEN: &str = "a\u{7f}\u{9b}\u{1b}\r\u{202e}\u{2066}\u{2028}\u{2029}\u{200f}z";
const ESCAPED: &str = r"a\u{7f}\u{9b}\u{1b}\r\u{202e}\u{2066}\u{2028}\u{2029}\u{200f}z";
const IN_JSON: &str = r"a\u007f\u009b\u001b\r\u202e\u2066\u2028\u2029\u200fz";

/// All that is printed but line breaks and tabs can be seen.
fn is_seen(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c != '\n' && c != '\t' && c.is_control() || "\u{200f}\u{2028}\u{2029}\u{202e}\u{2066}".contains(c))
}

#[test]
fn c10_results_are_escaped() {
    let echo = "return { echo = function(value) return value end }";
    let given = json!(UNSEEN).to_string();
    let ran = run(echo, &["--event", "echo", "--data", &given]);
    assert!(ran.out.starts_with(&format!("{ESCAPED}\nok: ")), "{:?}", ran.out);
    let table = json!({ UNSEEN: [UNSEEN] }).to_string();
    for (data, shown) in [(&given, format!("\"{IN_JSON}\"")), (&table, format!("{{\"{IN_JSON}\":[\"{IN_JSON}\"]}}"))] {
        let ran = run(echo, &["--event", "echo", "--json", "--data", data]);
        assert!(ran.out.contains(&format!("\"value\":{shown},")), "{:?}", ran.out);
        let read: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(ran.json()["value"], read, "it is the same JSON");
    }
    let ran = run(echo, &["--event", "echo", "--data", &table]);
    assert!(ran.out.contains(&format!("\"{IN_JSON}\": [\"{IN_JSON}\"]")), "{:?}", ran.out);
    // what is no text can't be shown as text
    let ran = run(echo, &["--event", "echo", "--data", r#"{"$bytes":"/5s="}"#]);
    assert!(ran.out.starts_with("{\"$bytes\": \"/5s=\"}\nok: "), "{:?}", ran.out);
}

#[test]
fn c10_errors_logs_and_names_are_escaped() {
    let source = format!(
        "print('{0}') local log = require('@motu/log')\nreturn {{ ['{0}'] = function() log.info('{0}', {{ ['{0}'] = '{0}' }}) error('{0}') end }}",
        "a\\127\\194\\155\\27\\13\\226\\128\\174\\226\\129\\166\\226\\128\\168\\226\\128\\169\\226\\128\\143z"
    );
    let ran = run(&source, &[]);
    assert!(ran.out.starts_with(&format!("handlers: {ESCAPED}\n")), "{:?}", ran.out);
    assert_eq!(ran.err, format!("[info] {ESCAPED}\n"));
    let ran = run(&source, &["--event", UNSEEN, "--grant", "*"]);
    assert!(ran.err.contains(&format!("error[script]: init.luau:2: {ESCAPED}\n")), "{:?}", ran.err);
    let ran = run(&source, &["--event", UNSEEN, "--grant", "*", "--json"]);
    assert!(is_seen(&ran.out) && is_seen(&ran.err), "{:?}{:?}", ran.out, ran.err);
    assert_eq!(ran.json()["message"], format!("init.luau:2: {UNSEEN}"));
    // arguments come back in messages
    for args in
        [&["run", UNSEEN][..], &["run", UNSEEN, "--json"], &[UNSEEN], &["test", UNSEEN], &["new", "/dev/null/\u{9b}"]]
    {
        let ran = motu(args);
        assert!(ran.code == 2 && is_seen(&ran.out) && is_seen(&ran.err), "{:?}{:?}", ran.out, ran.err);
    }
    let folder = bundle(&[("init.luau", &source)]);
    let ran = motu(&["check", folder.path().to_str().unwrap()]);
    assert!(is_seen(&ran.out) && ran.out.contains(&format!("handlers: {ESCAPED}\n")), "{:?}", ran.out);
}

#[test]
fn c10_tests_and_loads_are_escaped() {
    let source = format!(
        "local test = require('@motu/test')\ntest.it('{UNSEEN}', function() print('{UNSEEN}') error('{UNSEEN}') end)"
    )
    .replace('\r', "\\r");
    let scenario = format!(
        "about = {0}\n[bundle.script]\nsource = \"return {{ go = function(text) error(text) end }}\"\n[[phase]]\nname = {0}\n\
         [[phase.group]]\nname = {0}\nbundle = \"script\"\nevent = \"go\"\nevents = 2\npayload = {0}",
        "\"a\\u007f\\u009b\\u001b\\r\\u202e\\u2066\\u2028\\u2029\\u200fz\""
    );
    let folder = bundle(&[("init.luau", "return {}"), ("x.test.luau", &source), ("load.toml", &scenario)]);
    let ran = motu_in(folder.path(), &["test", "--junit", "report.xml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(is_seen(&ran.out) && ran.out.contains(&format!("error[script]: {ESCAPED}\n")), "{:?}", ran.out);
    let junit = std::fs::read_to_string(folder.path().join("report.xml")).unwrap();
    assert!(is_seen(&junit), "{junit:?}");
    for args in [&["load", "load.toml"][..], &["load", "load.toml", "--json"]] {
        let ran = motu_in(folder.path(), args);
        assert!(ran.code == 0 && is_seen(&ran.out) && is_seen(&ran.err), "{:?}{:?}", ran.out, ran.err);
    }
}

/// Each option that has a default shows it, and the library's at that.
#[test]
fn c11_help_shows_the_defaults() {
    for verb in ["run", "test"] {
        let help = motu(&[verb, "--help"]).out;
        for (option, default) in [
            ("--fuel", "[default: 5_000_000_000]"),
            ("--memory-mib", "4096 at most, or `unlimited` [default: 64]"),
            ("--deadline-ms", "[default: 5_000]"),
        ] {
            let line = help.lines().find(|line| line.contains(option)).unwrap();
            assert!(line.contains(default), "{verb}: {line}");
        }
    }
    assert!(motu(&["test", "--help"]).out.contains("The default is the number of processors [default: "));
    assert!(motu(&["run", "--help"]).out.contains("Without it, the payload is nil"));
    let types = motu(&["types", "--help"]).out;
    assert!(types.contains("The types go into the folder `.motu/types` there"), "{types}");
}

#[test]
fn c11_motus_own_log_goes_to_stderr() {
    let source = "return { e = function() return 1 end }";
    let quiet = run(source, &["--event", "e"]);
    assert_eq!(quiet.err, "");
    // a worker writes the line, and the program may have ended by then
    let tell = || run(source, &["--event", "e", "-vv", "--json"]);
    let told = (0..50).map(|_| tell()).find(|told| !told.err.is_empty()).unwrap();
    assert_eq!(told.json()["value"], 1);
    assert!(told.err.contains("DEBUG event{tenant=cli:local bundle=\"\" event=\"e\" outcome=\"ok\""), "{}", told.err);
    assert_eq!(run(source, &["--event", "e", "-v"]).err, "", "info has nothing of single events");
    let path = bundle(&[("init.luau", source)]);
    let first = motu(&["-vv", "run", path.path().to_str().unwrap(), "--event", "\u{9b}"]);
    assert!(first.code == 2 && is_seen(&first.err), "{:?}", first.err);
}

/// What a command cuts off, it says.
#[test]
fn c09_work_that_is_left_behind_is_noted() {
    let source = "return { two = function() for _ = 1, 2 do task.delay(100, print) end return 1 end,\n\
                  one = function() task.spawn(function() task.wait(100) end) end,\n\
                  none = function() task.cancel(task.delay(100, print)) task.wait(0) end }";
    for (event, said) in [
        ("two", "note: 2 sleeps or calls of tasks that the event left behind had not ended, and are given up"),
        ("one", "note: 1 sleep or call of tasks that the event left behind had not ended, and are given up"),
    ] {
        for more in [&[][..], &["--json"]] {
            let ran = run(source, &[&["--event", event], more].concat());
            assert!(ran.code == 0 && ran.err.starts_with(said) && ran.err.matches('\n').count() == 1, "{}", ran.err);
        }
    }
    assert_eq!(run(source, &["--event", "none"]).err, "");
}
