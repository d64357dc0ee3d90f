//! `motu new`: what it writes works.

use std::os::unix::fs::PermissionsExt as _;

use crate::{bundle, motu, motu_in};

#[test]
fn works() {
    let folder = tempfile::tempdir().unwrap();
    let ran = motu_in(folder.path(), &["new", "mine"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("motu run mine --event greet"), "{}", ran.out);

    let mine = folder.path().join("mine");
    let ran = motu_in(&mine, &["check", "."]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok: 2 files, handlers: count, greet\n"), "{}", ran.err);
    let ran = motu_in(&mine, &["run", ".", "--event", "greet", "--data", r#"{"name":"Ada"}"#]);
    assert!(ran.code == 0 && ran.out.starts_with("Hello, Ada!\n"), "{}{}", ran.out, ran.err);
    let ran = motu_in(&mine, &["test"]);
    assert!(ran.code == 0 && ran.out.contains("\n2 passed, in "), "{}{}", ran.out, ran.err);

    std::fs::write(mine.join("lib/greeting.luau"), "return { to = function(name) return name end }").unwrap();
    let ran = motu_in(&mine, &["test", "."]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("  lib/greeting.test.luau:11: expected \"Ada\" to be \"Hello, Ada!\"\n"), "{}", ran.out);
}

#[test]
fn never_writes_over_anything() {
    let folder = bundle(&[("init.luau", "return 1")]);
    let ran = motu(&["new", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("is not empty"), "{}", ran.err);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let file = folder.path().join("init.luau");
    assert_eq!(motu(&["new", file.to_str().unwrap()]).code, 2);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(motu(&["new", empty.path().to_str().unwrap()]).code, 0);
}

/// The types are where the aliases say, are no part of the bundle, and are written again over themselves.
#[test]
fn types_for_editors() {
    let folder = bundle(&[
        ("init.luau", "return { go = require('@motu/kv').get }"),
        (".luaurc", r#"{ "languageMode": "strict", "aliases": { "lib": "./lib" } }"#),
    ]);
    let path = folder.path().to_str().unwrap();
    for _ in 0..2 {
        let ran = motu(&["types", path]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    }
    let config = std::fs::read_to_string(folder.path().join(".luaurc")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["languageMode"], "strict");
    assert_eq!(
        (&config["aliases"]["lib"], &config["aliases"]["motu"]),
        (&"./lib".into(), &"./.motu/types/motu".into())
    );
    let types = std::fs::read_to_string(folder.path().join(".motu/types/motu/kv.luau")).unwrap();
    assert!(types.contains("The value of a key; nil if there is none."), "{types}");
    let types = std::fs::read_to_string(folder.path().join(".motu/types/motu/test.luau")).unwrap();
    assert!(types.contains("Declares a case."), "{types}");
    let ran = motu(&["check", path]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok: 1 file, handlers: go\nneeds:\n  motu:kv/store.get\n"));

    for wrong in
        ["{ // no end", "[]", r#"{ "aliases": { "motu": "./mine" } }"#, r#"{ "aliases": { "Motu": "./mine" } }"#]
    {
        std::fs::write(folder.path().join(".luaurc"), wrong).unwrap();
        let ran = motu(&["types", path]);
        assert_eq!(ran.code, 2, "{wrong}");
        assert!(
            ran.err.contains("nothing was written") && ran.err.contains("\"motu\": \"./.motu/types/motu\""),
            "{}",
            ran.err
        );
        assert_eq!(std::fs::read_to_string(folder.path().join(".luaurc")).unwrap(), wrong);
    }
    assert_eq!(motu(&["types", "nowhere"]).code, 2);
}

/// What Luau reads, `motu types` does; and it changes nothing but what is missing.
#[test]
fn c07_types_keeps_comments_and_trailing_commas() {
    let before = "// ours\n{\n  \"languageMode\": \"strict\", // all of it\n  \"aliases\": {\n    \"lib\": \"./lib\", // not the last\n  },\n}\n";
    let folder = bundle(&[
        ("init.luau", "return { go = require('@lib/a') }"),
        ("lib/a.luau", "return print"),
        (".luaurc", before),
    ]);
    let path = folder.path().to_str().unwrap();
    let config = folder.path().join(".luaurc");
    let ran = motu(&["types", path]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let after = before.replace("// not the last\n", "// not the last\n    \"motu\": \"./.motu/types/motu\",\n");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), after);
    assert_eq!(motu(&["run", path]).code, 0, "Luau reads it");
    assert_eq!(motu(&["check", path]).code, 0);

    // nothing is missing: the file is not even written
    let read_only = std::fs::Permissions::from_mode(0o444);
    std::fs::set_permissions(&config, read_only).unwrap();
    let written = std::fs::metadata(&config).unwrap().modified().unwrap();
    assert_eq!(motu(&["types", path]).code, 0);
    assert_eq!(std::fs::metadata(&config).unwrap().modified().unwrap(), written);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), after);
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();

    for (before, after) in [
        ("{}", "{\n  \"aliases\": {\n    \"motu\": \"./.motu/types/motu\"\n  }\n}"),
        ("{ \"aliases\": {} } // end\n", "{ \"aliases\": {\n    \"motu\": \"./.motu/types/motu\"\n  } } // end\n"),
    ] {
        std::fs::write(&config, before).unwrap();
        assert_eq!(motu(&["types", path]).code, 0, "{before}");
        assert_eq!(std::fs::read_to_string(&config).unwrap(), after);
    }
}

/// A `.luaurc` beside it would break the bundle.
#[test]
fn c07_types_leave_a_config_luau_alone() {
    let config = "return { luau = { aliases = { x = './one' } } }";
    let files = [("init.luau", "return require('@x/a')"), (".config.luau", config), ("one/a.luau", "return 1")];
    let folder = bundle(&files);
    let path = folder.path().to_str().unwrap();
    let ran = motu(&["types", path]);
    let added = format!("put their aliases into {path}/.config.luau, if it lacks them: motu = \"./.motu/types/motu\"");
    assert!(ran.code == 0 && ran.out.contains(&added), "{}{}", ran.out, ran.err);
    assert!(!folder.path().join(".luaurc").exists());
    assert_eq!(std::fs::read_to_string(folder.path().join(".config.luau")).unwrap(), config);
    assert_eq!(motu(&["run", path]).code, 0);
}
