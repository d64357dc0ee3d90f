//! Bad input is refused before anything runs, with a message that names the file. And the compile cache, which must never
//! cost more than time.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use motu::{Bundle, CompileCache, Error, ErrorKind, Value};
use tempfile::TempDir;

use crate::support::{bundle, event, limits, load_files, motu, run, tenant};

trials![
    a_folder_is_read,
    a_file_is_a_bundle,
    missing_paths,
    no_entry,
    names_that_are_not_utf_8,
    a_luaurc_that_is_not_utf_8,
    a_file_too_large,
    too_many_files,
    links_that_stay_inside_are_followed,
    links_that_leave_are_refused,
    links_in_a_circle_are_refused,
    what_is_no_plain_file_is_refused,
    unreadable_files,
    folders_too_deep,
    other_files_are_left_out,
    paths_in_memory_are_checked,
    sources_are_any_bytes,
    digests_name_the_content,
    mounts_are_checked,
    compile_cache_truncated,
    compile_cache_foreign,
    compile_cache_unwritable,
    compile_cache_is_private,
    compile_cache_leaves_other_files_alone,
    compile_cache_off,
];

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    crate::support::folder(files)
}

/// Of kind usage, and names the file.
fn refused(result: Result<Bundle, Error>, name: &str, why: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error:?}");
    assert!(error.message().contains(name), "it names {name}: {error}");
    assert!(error.message().contains(why), "it says {why:?}: {error}");
}

fn a_folder_is_read() {
    let folder = folder(&[
        ("init.luau", b"return { go = function() return require('@self/lib/part') end }"),
        ("lib/part.luau", b"return 42"),
        ("lib/.luaurc", b"{}"),
    ]);
    let from_dir = Bundle::from_dir(folder.path()).unwrap();
    assert_eq!(from_dir.paths().collect::<Vec<_>>(), ["init.luau", "lib/.luaurc", "lib/part.luau"]);
    assert_eq!(from_dir.entry(), "init.luau");
    let loaded = run(motu(limits()).load(&from_dir)).unwrap();
    assert_eq!(event(&loaded.instance(tenant()), "go").unwrap().value, Value::from(42));
}

fn a_file_is_a_bundle() {
    let folder = folder(&[("script.luau", b"return 'alone'"), ("other.luau", b"return 1")]);
    let alone = Bundle::from_file(folder.path().join("script.luau")).unwrap();
    assert_eq!(alone.paths().collect::<Vec<_>>(), ["script.luau"]);
    assert_eq!(alone.entry(), "script.luau");
    let loaded = run(motu(limits()).load(&alone)).unwrap();
    assert_eq!(run(loaded.instance(tenant()).value()).unwrap().value, Value::string("alone"));
}

fn missing_paths() {
    let folder = folder(&[(".config.luau", b""), ("script.txt", b"")]);
    let at = |name: &str| folder.path().join(name);
    refused(Bundle::from_dir(at("missing")), "missing", "can't be read");
    refused(Bundle::from_file(at("missing.luau")), "missing.luau", "can't be read");
    refused(Bundle::from_dir(at("script.txt")), "script.txt", "is not a folder");
    refused(Bundle::from_file(at("script.txt")), "script.txt", "is not a .luau or .lua file");
    refused(Bundle::from_file(at(".config.luau")), ".config.luau", "is not a .luau or .lua file");
    refused(Bundle::from_file(folder.path()), folder.path().to_str().unwrap(), "is neither a file nor");
    refused(Bundle::from_dir(""), "", "can't be read");
}

fn no_entry() {
    let folder = folder(&[("main.luau", b""), ("lib/init.luau", b"")]);
    refused(Bundle::from_dir(folder.path()), folder.path().to_str().unwrap(), "no init.luau");
    refused(Bundle::from_files([("main.luau", "")]), "init.luau", "no init.luau");
    refused(Bundle::from_files(Vec::<(String, Vec<u8>)>::new()), "init.luau", "no init.luau");
}

fn names_that_are_not_utf_8() {
    let name = std::ffi::OsStr::from_bytes(b"odd\xff.luau");
    let folder = folder(&[("init.luau", b"")]);
    fs::write(folder.path().join(name), "").unwrap();
    refused(Bundle::from_dir(folder.path()), "odd", "is not UTF-8");
    refused(Bundle::from_file(folder.path().join(name)), "odd", "is not UTF-8");
    fs::remove_file(folder.path().join(name)).unwrap();
    fs::create_dir(folder.path().join(std::ffi::OsStr::from_bytes(b"dir\xff"))).unwrap();
    refused(Bundle::from_dir(folder.path()), "dir", "is not UTF-8");
}

fn a_luaurc_that_is_not_utf_8() {
    let folder = folder(&[("init.luau", b""), ("lib/.luaurc", b"{}\xff")]);
    refused(Bundle::from_dir(folder.path()), "lib/.luaurc", "is not UTF-8");
    let files: [(&str, &[u8]); 2] = [("init.luau", b""), (".luaurc", b"\xff")];
    refused(Bundle::from_files(files), ".luaurc", "is not UTF-8");
}

fn a_file_too_large() {
    let most = Bundle::FILE_BYTES_MAX as usize;
    let large = vec![b' '; most + 1];
    let folder = folder(&[("init.luau", b""), ("large.luau", &large)]);
    refused(Bundle::from_dir(folder.path()), "large.luau", &format!("has {} bytes", most + 1));
    refused(Bundle::from_file(folder.path().join("large.luau")), "large.luau", &format!("{most} at most"));
    refused(Bundle::from_files([("init.luau", large.clone())]), "init.luau", &format!("{most} at most"));
    Bundle::from_files([("init.luau", large[..most].to_vec())]).unwrap();
    // one that never ends is not read to its end
    let endless = folder.path().join("endless.luau");
    symlink("/dev/zero", &endless).unwrap();
    refused(Bundle::from_file(&endless), "endless.luau", "is neither a file nor a folder");
}

fn too_many_files() {
    let files = |count: usize| (1..count).map(|n| (format!("{n}.luau"), "")).chain([("init.luau".to_owned(), "")]);
    Bundle::from_files(files(Bundle::FILES_MAX)).unwrap();
    let error = Bundle::from_files(files(Bundle::FILES_MAX + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.message(), "the bundle has 4097 files, but can have 4096 at most");
    let folder = folder(&[]);
    for (path, _) in files(Bundle::FILES_MAX + 1) {
        fs::write(folder.path().join(path), "").unwrap();
    }
    refused(Bundle::from_dir(folder.path()), folder.path().to_str().unwrap(), "4096");
}

fn links_that_stay_inside_are_followed() {
    let folder = folder(&[("init.luau", b"return require('@self/linked')"), ("lib/real.luau", b"return 'real'")]);
    symlink("lib/real.luau", folder.path().join("linked.luau")).unwrap();
    symlink("lib", folder.path().join("again")).unwrap();
    let followed = Bundle::from_dir(folder.path()).unwrap();
    let paths: Vec<&str> = followed.paths().collect();
    assert_eq!(paths, ["again/real.luau", "init.luau", "lib/real.luau", "linked.luau"]);
    let loaded = run(motu(limits()).load(&followed)).unwrap();
    assert_eq!(run(loaded.instance(tenant()).value()).unwrap().value, Value::string("real"));
    // and a bundle that is itself reached by a link
    let link = folder.path().join("lib").join("self");
    symlink(folder.path(), &link).unwrap();
    fs::remove_file(&link).unwrap();
}

fn links_that_leave_are_refused() {
    let outside = folder(&[("secret.luau", b"return 1"), ("lib/part.luau", b"")]);
    for target in [
        outside.path().join("secret.luau"),
        outside.path().join("lib"),
        Path::new("/etc/passwd").into(),
        Path::new("..").into(),
    ] {
        for name in ["link.luau", "lib/link.luau", "link"] {
            let folder = folder(&[("init.luau", b""), ("lib/x.luau", b"")]);
            symlink(&target, folder.path().join(name)).unwrap();
            if name == "lib/link.luau" && target == Path::new("..") {
                continue; // that is the bundle itself
            }
            if name == "link" && target.is_file() {
                let bundle = Bundle::from_dir(folder.path()).unwrap(); // by its name it is no part of it
                assert_eq!(bundle.paths().collect::<Vec<_>>(), ["init.luau", "lib/x.luau"]);
                continue;
            }
            refused(Bundle::from_dir(folder.path()), name, "leaves the bundle");
        }
    }
    let folder = folder(&[("init.luau", b"")]);
    symlink("nowhere.luau", folder.path().join("dangling.luau")).unwrap();
    refused(Bundle::from_dir(folder.path()), "dangling.luau", "can't be read");
}

fn links_in_a_circle_are_refused() {
    let first = folder(&[("init.luau", b"")]);
    symlink("b.luau", first.path().join("a.luau")).unwrap();
    symlink("a.luau", first.path().join("b.luau")).unwrap();
    refused(Bundle::from_dir(first.path()), ".luau", "can't be read");
    // two folders that are the bundle itself: 2 to the 32 paths, were they followed
    let many = folder(&[("init.luau", b"")]);
    for name in ["a", "b", "c"] {
        symlink(".", many.path().join(name)).unwrap();
    }
    refused(Bundle::from_dir(many.path()), many.path().to_str().unwrap(), "");
    // a folder in itself
    let second = folder(&[("init.luau", b""), ("lib/x.luau", b"")]);
    symlink("..", second.path().join("lib/up")).unwrap();
    refused(Bundle::from_dir(second.path()), "up", "");
}

fn what_is_no_plain_file_is_refused() {
    let folder = folder(&[("init.luau", b"")]);
    let pipe = folder.path().join("pipe.luau");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused(Bundle::from_dir(folder.path()), "pipe.luau", "is not a plain file");
    refused(Bundle::from_file(&pipe), "pipe.luau", "is neither a file nor a folder");
    fs::remove_file(&pipe).unwrap();
    let socket = folder.path().join("socket.luau");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    refused(Bundle::from_dir(folder.path()), "socket.luau", "is not a plain file");
}

fn unreadable_files() {
    let folder = folder(&[("init.luau", b""), ("closed.luau", b"")]);
    let closed = folder.path().join("closed.luau");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&closed).is_ok() {
        return; // root reads everything
    }
    refused(Bundle::from_dir(folder.path()), "closed.luau", "can't be read");
}

fn folders_too_deep() {
    let deep = |depth: usize| format!("{}x.luau", "d/".repeat(depth));
    Bundle::from_dir(folder(&[("init.luau", b""), (&deep(32), b"")]).path()).unwrap();
    refused(
        Bundle::from_dir(folder(&[("init.luau", b""), (&deep(33), b"")]).path()),
        "d/d/d",
        "more than 32 folders deep",
    );
}

fn other_files_are_left_out() {
    let folder = folder(&[
        ("init.luau", b"return {}"),
        ("README.md", b"\xff"),
        (".git/x.luau", b"not Luau"),
        (".hidden.luau", b"not Luau"),
        ("data/file.json", b"{"),
    ]);
    assert_eq!(Bundle::from_dir(folder.path()).unwrap().paths().collect::<Vec<_>>(), ["init.luau"]);
}

fn paths_in_memory_are_checked() {
    let at = |path: &str| Bundle::from_files([("init.luau", ""), (path, "")]);
    for (path, why) in [
        ("/a.luau", "starts with /"),
        ("@x/a.luau", "starts with / or @"),
        ("a//b.luau", "empty name"),
        ("", "empty name"),
        ("a/", "empty name"),
        ("./a.luau", "empty name, . or .."),
        ("a/../b.luau", "empty name, . or .."),
        ("..", "empty name, . or .."),
        ("a\\b.luau", "a \\ or a control character"),
        ("a\nb.luau", "control character"),
        ("a\0.luau", "control character"),
        ("init.luau", "twice"),
    ] {
        refused(at(path), &format!("{path:?}").replace("\"init.luau\"", "init.luau"), why);
    }
    let long = |bytes: usize| format!("{}.luau", "x".repeat(bytes - 5));
    at(&long(Bundle::PATH_BYTES_MAX)).unwrap();
    refused(at(&long(Bundle::PATH_BYTES_MAX + 1)), "xxx", "longer than 512 bytes");
    at("\u{e9}t\u{e9}/with space/a-b.c.luau").unwrap();
}

fn sources_are_any_bytes() {
    // not UTF-8 in a string and in a comment is fine; elsewhere it's a compile error, and none of it is a crash
    let load = |source: &[u8]| run(motu(limits()).load(&Bundle::from_files([("init.luau", source)]).unwrap()));
    let loaded = load(b"-- \xff\xfe\nreturn '\xff\x80'").unwrap();
    assert_eq!(run(loaded.instance(tenant()).value()).unwrap().value, Value::String(vec![0xff, 0x80]));
    for source in [
        &b"\xff"[..],
        b"\0",
        b"return 1 \0 2",
        b"return \x80",
        b"\x1bLua",
        b"\x05\x03\x01",
        b"\xef\xbb\xbf+",
        b"#!/bin/sh\n+",
    ] {
        let error = load(source).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Compile, "{source:?}: {error:?}");
        assert!(error.message().starts_with("init.luau:"), "{source:?}: {error}");
    }
    // bytecode is no source: a first byte as Luau's own format has it
    for version in 1..=12u8 {
        let source = [&[version], &b"\x02\x01\x01\x01\x01\x01"[..]].concat();
        assert_eq!(load(&source).unwrap_err().kind(), ErrorKind::Compile, "{version}");
    }
}

fn digests_name_the_content() {
    let digest = |files: &[(&str, &str)]| bundle(files).digest().to_string();
    let one = digest(&[("init.luau", "return 1"), ("a.luau", "x")]);
    assert_eq!(one.len(), 64);
    assert_eq!(one, digest(&[("a.luau", "x"), ("init.luau", "return 1")]), "in any order");
    let others = [
        digest(&[("init.luau", "return 2"), ("a.luau", "x")]),
        digest(&[("init.luau", "return 1"), ("b.luau", "x")]),
        digest(&[("init.luau", "return 1")]),
        digest(&[("init.luau", "return 1a.luaux")]),
        bundle(&[("init.luau", "return 1"), ("a.luau", "x")]).opaque().digest().to_string(),
    ];
    for (n, other) in others.iter().enumerate() {
        assert_ne!(*other, one, "{n}");
    }
}

fn mounts_are_checked() {
    let main = || bundle(&[("init.luau", "return require('@lib')")]);
    let lib = || bundle(&[("init.luau", "return 1")]);
    for alias in ["", "self", "Lib", "a b", "a/b", "@a", "a.b"] {
        refused(main().mount(alias, lib()), &format!("{alias:?}"), "alias");
    }
    let mounted = main().mount("lib", lib()).unwrap();
    assert_eq!(mounted.paths().collect::<Vec<_>>(), ["@lib/init.luau", "init.luau"]);
    refused(mounted.clone().mount("lib", lib()), "@lib", "already");
    refused(main().mount("other", mounted), "@other", "no bundle mounted in it");
    let folder = folder(&[("script.luau", b"return 1")]);
    let single = Bundle::from_file(folder.path().join("script.luau")).unwrap();
    refused(main().mount("single", single), "@single", "must start with init.luau");
}

/// A Motu with a cache there answers an event, whatever lies in the folder.
fn answers(cache: CompileCache) {
    let motu = motu::Motu::builder().compile_cache(cache).build().unwrap();
    let loaded = run(motu.load(&bundle(&[("init.luau", "return { go = function() return 'well' end }")]))).unwrap();
    assert_eq!(event(&loaded.instance(tenant()), "go").unwrap().value, Value::string("well"));
}

fn files_in(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_in(&path)) } else { files.push(path) }
    }
    files
}

/// Fills a cache of its own, and gives its folder once the files are there.
fn filled() -> TempDir {
    let folder = folder(&[]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    answers(CompileCache::Folder(folder.path().join("cache")));
    assert!(!files_in(&folder.path().join("cache")).is_empty(), "the cache is used");
    folder
}

fn compile_cache_truncated() {
    let folder = filled();
    let cache = folder.path().join("cache");
    for part in [2, 1000, u64::MAX] {
        for file in files_in(&cache) {
            let len = fs::metadata(&file).unwrap().len();
            fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(len / part).unwrap();
        }
        answers(CompileCache::Folder(cache.clone()));
    }
}

fn compile_cache_foreign() {
    let folder = filled();
    let cache = folder.path().join("cache");
    for file in files_in(&cache) {
        fs::write(&file, b"\x7fELF this is something else").unwrap();
    }
    answers(CompileCache::Folder(cache.clone()));
    for file in files_in(&cache) {
        fs::remove_file(&file).unwrap();
        let _ = fs::create_dir(&file); // the cache's own thread may be writing it again
    }
    answers(CompileCache::Folder(cache));
}

fn compile_cache_unwritable() {
    let folder = folder(&[("file", b"")]);
    answers(CompileCache::Folder(folder.path().join("file"))); // no folder
    answers(CompileCache::Folder(folder.path().join("file/below")));
    answers(CompileCache::Folder("/proc/motu-cache".into())); // nobody can make that
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    answers(CompileCache::Folder(closed.clone()));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

fn compile_cache_is_private() {
    let parent = folder(&[]);
    let cache = parent.path().join("a/cache");
    answers(CompileCache::Folder(cache.clone()));
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    // one that others can write to is not used: they could have put code there
    let open = parent.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    answers(CompileCache::Folder(open.clone()));
    assert!(files_in(&open).is_empty(), "nothing is written there");
}

fn compile_cache_leaves_other_files_alone() {
    let folder = folder(&[("mine.txt", b"kept"), ("mine/too.txt", b"kept")]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    answers(CompileCache::Folder(folder.path().to_owned()));
    assert_eq!(fs::read(folder.path().join("mine.txt")).unwrap(), b"kept");
    assert_eq!(fs::read(folder.path().join("mine/too.txt")).unwrap(), b"kept");
    let made: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(made.len(), 3, "one folder is made, and all else is in it: {made:?}");
}

fn compile_cache_off() {
    answers(CompileCache::Off);
    let loaded = load_files(limits(), &[("init.luau", "return {}")]).unwrap();
    assert!(loaded.image_bytes() > 0);
}
