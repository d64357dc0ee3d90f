//! `motu run` used wrongly: a message that names what is wrong, exit 2, and nothing was run.

use std::path::Path;

use serde_json::json;

use crate::{bundle, motu, run};

/// A script that tells if it was run.
const LOUD: &str = "print('ran') return { e = function() end }";

fn refused(args: &[&str]) -> String {
    let ran = run(LOUD, args);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(!ran.err.contains("ran\n"), "{}", ran.err);

    let ran = run(LOUD, &[args, &["--json"]].concat());
    let json = ran.json();
    assert_eq!((ran.code, &json["kind"], &json["fuel"]), (2, &json!("usage"), &json!(0)));
    json["message"].as_str().unwrap().to_owned()
}

#[test]
fn bad_data() {
    assert_eq!(
        refused(&["--event", "e", "--data", "{name"]),
        "--data: not JSON: a key in double quotes is missing (line 1, column 2)"
    );
    assert_eq!(
        refused(&["--event", "e", "--data", r#"{"items":[1,{"$bytes":"%"}]}"#]),
        "--data: items[2].$bytes: not base64: byte 1 is none of its characters"
    );
    assert!(refused(&["--event", "e", "--data", "9007199254740993"]).contains("$integer"));
    let deep = "[".repeat(201) + &"]".repeat(201);
    assert!(refused(&["--event", "e", "--data", &deep]).ends_with("tables lie more than 200 deep in each other"));
}

#[test]
fn bad_options() {
    assert!(refused(&["--fuel", "lots"]).contains("--fuel"));
    assert!(refused(&["--memory-mib", "5000"]).contains("--memory-mib 5000: 4096 at most"));
    assert!(refused(&["--colour"]).contains("--colour"));
    assert!(refused(&["--data", "1"]).contains("--event"));
}

#[test]
fn an_event_that_nothing_handles() {
    let ran = run("return { greet = function() end }", &["--event", "great", "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, &json["kind"]), (2, &json!("usage")));
    let message = json["message"].as_str().unwrap();
    assert!(message.contains("great") && message.contains("greet"), "{message}");
}

#[test]
fn bad_paths() {
    let message = |path: &Path| {
        let ran = motu(&["run", path.to_str().unwrap(), "--json"]);
        assert_eq!((ran.code, &ran.json()["kind"]), (2, &json!("usage")));
        ran.json()["message"].as_str().unwrap().to_owned()
    };
    let folder = bundle(&[("other.luau", "return 1"), ("note.txt", "x")]);
    assert!(message(folder.path()).contains("init.luau"));
    let missing = folder.path().join("missing");
    assert!(message(&missing).contains(missing.to_str().unwrap()));
    assert!(message(&folder.path().join("note.txt")).contains("note.txt"));
}
