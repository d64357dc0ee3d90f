//! `motu run`: values, handlers, numbers, errors of scripts, limits.

use serde_json::json;

use crate::{motu, run};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/");

#[test]
fn greeter() {
    let path = format!("{EXAMPLES}greeter");
    let ran = motu(&["run", &path, "--event", "greet", "--data", r#"{"name":"Ada"}"#]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(lines[0], "Hello, Ada!");
    assert!(lines[1].starts_with("ok: ") && lines[1].ends_with(", interpreter"), "{}", lines[1]);

    let json = motu(&["run", &path, "--event", "greet", "--data", r#"{"name":"Ada"}"#, "--json"]).json();
    assert_eq!(
        (&json["outcome"], &json["value"], &json["tier"]),
        (&json!("ok"), &json!("Hello, Ada!"), &json!("interpreter"))
    );
    for number in ["fuel", "memory_bytes", "elapsed_us"] {
        assert!(json[number].as_u64().is_some_and(|number| number > 0), "{number}");
    }
}

#[test]
fn providers() {
    let folder = tempfile::tempdir().unwrap();
    let (script, component) = (folder.path().join("a.luau"), folder.path().join("sums.wasm"));
    let text = r#"(component
        (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
        (core instance $i (instantiate $m))
        (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
        (instance $sums (export "add" (func $add)))
        (export "test:cli/sums@1.0.0" (instance $sums)))"#;
    std::fs::write(&component, wat::parse_str(text).unwrap()).unwrap();
    std::fs::write(&script, "return { go = function() return require('@test/cli').add(20, 22) end }").unwrap();
    let (script, component) = (script.to_str().unwrap(), component.to_str().unwrap());
    let granted = ["run", script, "--event", "go", "--provider", component, "--grant", "test:cli/sums.add", "--json"];
    assert_eq!(motu(&granted).json()["value"], json!(42));
    let checked = motu(&["check", script, "--provider", component]);
    assert_eq!(checked.code, 0, "{}", checked.err);
    assert!(checked.out.contains("needs:\n  test:cli/sums.add\n"), "{}", checked.out);
    assert_eq!(motu(&["check", script]).code, 1, "no such module");
    let editors = motu(&["types", folder.path().to_str().unwrap(), "--provider", component]);
    assert_eq!(editors.code, 0, "{}", editors.err);
    let types = std::fs::read_to_string(folder.path().join(".motu/types/test/cli.luau")).unwrap();
    assert!(types.contains(".add(a: number, b: number): number"), "{types}");
    let tests = folder.path().join("a.test.luau");
    std::fs::write(
        &tests,
        "local test = require('@motu/test')
test.it('adds', function() test.expect(require('@test/cli').add(1, 2)).to_be(3) end)",
    )
    .unwrap();
    let tested = motu(&["test", tests.to_str().unwrap(), "--provider", component]);
    assert_eq!(tested.code, 0, "{}{}", tested.out, tested.err);
    let denied = motu(&["run", script, "--event", "go", "--provider", component, "--json"]);
    assert_eq!((denied.code, &denied.json()["kind"]), (4, &json!("denied")));
    let wrong = motu(&["run", script, "--event", "go", "--provider", script]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("a.luau: this is no wasm component that can be a provider"), "{}", wrong.err);
}

#[test]
fn inventory() {
    let path = format!("{EXAMPLES}inventory");
    let json = motu(&["run", &path, "--event", "tour", "--json"]).json();
    let left = json!([{"item": "lamp", "count": 1}, {"item": "rope", "count": 1}]);
    assert_eq!(json["value"]["left"], left, "{json}");
    assert_eq!(json["value"]["refused"]["code"], "not_enough");

    let ran = motu(&["run", &path, "--event", "remove", "--data", r#"{"item":"rope","count":1}"#, "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, &json["kind"], &json["value"]["code"]), (1, &json!("script"), &json!("not_enough")));
}

/// What a handler itself waits for is no task that it left behind.
#[test]
fn no_note_of_a_handler_that_is_out_of_time() {
    let ran = run("return { go = function() task.wait(100) end }", &["--event", "go", "--deadline-ms", "50"]);
    assert!(ran.code == 3 && !ran.err.contains("note:"), "{}", ran.err);
}

#[test]
fn without_an_event() {
    let json = run("return { b = function() end, a = function() end }", &["--json"]).json();
    assert_eq!((&json["value"], &json["handlers"]), (&json!(null), &json!(["a", "b"])));
    let json = run("return 42", &["--json"]).json();
    assert_eq!((&json["value"], json.get("handlers")), (&json!(42), None));
    let json = run("return {}", &["--json"]).json();
    assert_eq!((&json["value"], &json["handlers"]), (&json!([]), &json!([])));
    let ran = run("return { 1, function() end }", &["--json"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (1, &json!("script")));

    let ran = run("return { hello = function() end }", &[]);
    assert!(ran.out.starts_with("handlers: hello\nok: "), "{}", ran.out);
    // beside what is no handler
    let ran = run("return { hello = function() end, version = 1 }", &[]);
    assert!(ran.out.starts_with("handlers: hello\nok: "), "{}", ran.out);
}

#[test]
fn every_value_crosses_both_ways() {
    let echo = "return { echo = function(value) return value end }";
    for data in [
        "null",
        "true",
        "-1.5",
        "-0.0",
        r#""text""#,
        r#"{"$bytes":"/wA="}"#,
        r#"{"$buffer":"AAEC"}"#,
        r#"{"$vector":[1,-2.5,0.1]}"#,
        r#"{"$number":"nan"}"#,
        r#"{"$number":"-inf"}"#,
        r#"{"$integer":"9007199254740993"}"#,
        r#"{"$integer":"1"}"#,
        "[]",
        "[1,[2,[3]]]",
        r#"{"a":{"b":[true]}}"#,
        r#"{"$map":[[0,"zero"],[1,"one"]]}"#,
        r#"{"$map":[[true,1],["$bytes","x"]]}"#,
    ] {
        let ran = run(echo, &["--event", "echo", "--json", "--data", data]);
        let expected = format!(r#"{{"outcome":"ok","value":{data},"tier":"interpreter","fuel":"#);
        assert!(ran.out.starts_with(&expected), "{data} came back as {}", ran.out);
    }
}

#[test]
fn logs_go_to_stderr_a_line_each() {
    let ran = run(
        "print('loading', 1) return { e = function() print('two\\nlines \\27[31m') return 1 end }",
        &["--event", "e", "--json"],
    );
    assert_eq!(ran.err, "[info] loading\t1\n[info] two\\nlines \\u{1b}[31m\n");
    assert_eq!(ran.json()["value"], json!(1));
}

#[test]
fn errors_of_scripts() {
    let ran = run(
        "local t = {} function t.f() error('boom') end\nreturn { e = function() t.f() end }",
        &["--event", "e", "--json"],
    );
    let json = ran.json();
    assert_eq!((ran.code, &json["outcome"], &json["kind"]), (1, &json!("error"), &json!("script")));
    assert_eq!(json["message"], "init.luau:1: boom");
    let traceback = json["traceback"].as_str().unwrap();
    assert!(traceback.contains("init.luau:1") && traceback.contains("init.luau:2"), "{traceback}");
    assert_eq!(json.get("value"), None);
    let keys: Vec<usize> = ["outcome", "kind", "message", "traceback", "fuel", "memory_bytes", "elapsed_us"]
        .iter()
        .map(|key| ran.out.find(&format!("\"{key}\":")).unwrap())
        .collect();
    assert!(keys.is_sorted(), "{}", ran.out);

    let json = run("return { e = function() error({ code = 7 }) end }", &["--event", "e", "--json"]).json();
    assert_eq!(json["value"], json!({"code": 7}));

    let ran = run("return { e = function() error('boom') end }", &["--event", "e"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("error[script]: init.luau:1: boom\n"), "{}", ran.err);

    let ran = run("return {", &["--json"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (1, &json!("compile")));
    let ran = run("error('at load')", &["--json"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (1, &json!("script")));
}

#[test]
fn limits() {
    let spin = "while true do pcall(function() while true do end end) end";
    let ran = run(spin, &["--json"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (3, &json!("fuel")), "{}", ran.out);
    let ran = run(spin, &["--json", "--deadline-ms", "200", "--fuel", "unlimited"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (3, &json!("deadline")), "{}", ran.out);
    let bomb = "local s = 'x' while true do pcall(function() s ..= s end) end";
    let ran = run(bomb, &["--json", "--memory-mib", "16"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (3, &json!("memory")), "{}", ran.out);
    let ran = run("return string.rep('x', 5000000)", &["--json"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (3, &json!("limit")), "{}", ran.out);
    let deep = "local kv = require('@motu/kv')\n\
                return { go = function() local t = 1 for _ = 1, 201 do t = { t } end kv.set('s', 'k', t) end }";
    let ran = run(deep, &["--json", "--event", "go"]);
    assert_eq!((ran.code, &ran.json()["kind"]), (3, &json!("limit")), "{}", ran.out);
}

/// What is given is the limit of loading and of the event alike, and messages have that number.
#[test]
fn w03_a_limit_is_the_number_that_was_given() {
    let spin = "for i = 1, 100000 do end return { e = function() while true do end end }";
    let ran = run(spin, &["--json", "--event", "e", "--fuel", "10000000"]);
    assert_eq!(ran.json()["message"], "init.luau:1: out of fuel: the budget of 10000000 is used up", "{}", ran.out);
    let ran = run(spin, &["--json", "--event", "e", "--fuel", "unlimited", "--deadline-ms", "100"]);
    assert!(ran.json()["message"].as_str().unwrap().contains("100 ms"), "{}", ran.out);
    let ran = run("while true do end", &["--json", "--fuel", "10000000"]);
    assert_eq!(ran.json()["message"], "init.luau:1: out of fuel: the budget of 10000000 is used up", "{}", ran.out);
}

/// Three times, each in a process of its own: what was counted is there again, and each tenant counts for itself.
#[test]
fn counter() {
    let path = format!("{EXAMPLES}counter");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let hit = |tenant: &str, more: &[&str]| {
        let mut args = vec!["run", &path, "--event", "hit", "--tenant", tenant, "--json"];
        args.extend(more);
        motu(&args)
    };
    let kept = ["--state", state.to_str().unwrap(), "--grant", "motu:kv/*"];
    for n in 1..=3 {
        let ran = hit("user:1", &kept);
        assert_eq!((ran.code, ran.err.as_str(), &ran.json()["value"]), (0, "", &json!(n)));
    }
    assert_eq!(hit("guild:1", &kept).json()["value"], 1);

    let denied = hit("user:1", &kept[..2]);
    assert_eq!((denied.code, &denied.json()["kind"]), (4, &json!("denied")));
    let message = denied.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("needs the grant motu:kv/store.increment, which user:1 does not have"), "{message}");

    let told = motu(&["run", &path, "--event", "hit"]);
    assert!(told.err.contains("\nhelp: `motu check` on the same path lists the grants that it needs"), "{}", told.err);

    let forgotten = hit("user:1", &kept[2..]);
    assert_eq!((forgotten.code, &forgotten.json()["value"]), (0, &json!(1)));
    assert!(
        forgotten.err.contains("what motu:kv keeps is in memory and gone when this command ends"),
        "{}",
        forgotten.err
    );

    let wrong = hit("user:1", &["--grant", "motu:kv"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.json()["message"].as_str().unwrap().contains("column 8"), "{}", wrong.out);
    assert_eq!(hit("nobody", &kept).code, 2);
}
