//! `motu new`: what it writes works.

use crate::{bundle, motu, motu_in};

#[test]
fn works() {
    let folder = tempfile::tempdir().unwrap();
    let ran = motu_in(folder.path(), &["new", "mine"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("motu run mine --event greet"), "{}", ran.out);

    let mine = folder.path().join("mine");
    let ran = motu_in(&mine, &["check", "."]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok: 3 files, handlers: count, greet, test\n"), "{}", ran.err);
    let ran = motu_in(&mine, &["run", ".", "--event", "greet", "--data", r#"{"name":"Ada"}"#]);
    assert!(ran.code == 0 && ran.out.starts_with("Hello, Ada!\n"), "{}{}", ran.out, ran.err);
    let ran = motu_in(&mine, &["run", ".", "--event", "test"]);
    assert!(ran.code == 0 && ran.out.starts_with("2 tests passed\n"), "{}{}", ran.out, ran.err);

    std::fs::write(mine.join("lib/greeting.luau"), "return { to = function(name) return name end }").unwrap();
    let ran = motu_in(&mine, &["run", ".", "--event", "test"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("greets by name: got Ada, wanted Hello, Ada!"), "{}", ran.err);
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
