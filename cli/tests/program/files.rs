//! Files that the program is pointed to: which kinds of them it reads, and how much.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{bundle, motu, motu_soon, motu_with};

const ECHO: &str = "return { echo = function(value) return value end }";

/// A pipe that nobody writes into.
fn fifo(path: &Path) -> PathBuf {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    path.to_owned()
}

/// A file of so many bytes, which take no room on the disk.
fn large(path: &Path, bytes: u64) -> PathBuf {
    File::create(path).unwrap().set_len(bytes).unwrap();
    path.to_owned()
}

#[test]
fn c09_only_plain_files_are_read() {
    let folder = bundle(&[("init.luau", ECHO)]);
    let path = folder.path().to_str().unwrap();
    let pipe = fifo(&folder.path().join("pipe"));
    for odd in [pipe.to_str().unwrap(), "/dev/zero", path] {
        for args in [
            &["load", odd][..],
            &["run", path, "--provider", odd],
            &["check", path, "--provider", odd],
            &["test", path, "--provider", odd],
            &["types", path, "--provider", odd],
        ] {
            // without a test there is nothing for which a provider would be read
            std::fs::write(folder.path().join("a.test.luau"), "").unwrap();
            let ran = motu_soon(args);
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
            assert!(ran.err.contains(odd) && ran.err.contains("it is no plain file"), "{args:?}: {}", ran.err);
        }
    }
    fifo(&folder.path().join(".luaurc"));
    let ran = motu_soon(&["types", path]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains(".luaurc can't be read (it is no plain file); nothing was written"), "{}", ran.err);
}

#[test]
fn c09_types_are_not_written_through_a_link() {
    let outside = bundle(&[]);
    let link = |to: &std::path::Path, at: &std::path::Path| std::os::unix::fs::symlink(to, at).unwrap();
    for (at, to) in [(".luaurc", "new.json"), (".motu", ""), (".luaurc", "nowhere/x")] {
        let folder = bundle(&[("init.luau", ECHO)]);
        link(&outside.path().join(to), &folder.path().join(at));
        let ran = motu_soon(&["types", folder.path().to_str().unwrap()]);
        assert_eq!(ran.code, 2, "{at}: {}{}", ran.out, ran.err);
        assert!(
            ran.err.contains(&format!("{at} is a link that leaves the folder; nothing was written")),
            "{}",
            ran.err
        );
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{at}");
    }
    // one that stays
    let folder = bundle(&[("init.luau", ECHO), ("config/luaurc.json", "{}")]);
    link("config/luaurc.json".as_ref(), &folder.path().join(".luaurc"));
    let ran = motu_soon(&["types", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn c09_messages_have_a_ceiling() {
    let folder = bundle(&[("long.toml", &"x".repeat(3_000_000))]);
    let ran = motu_soon(&["load", folder.path().join("long.toml").to_str().unwrap()]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.len() < 10_000 && ran.err.contains("bytes)"), "{}", ran.err.len());
}

#[test]
fn c09_no_file_is_read_beyond_its_ceiling() {
    let folder = bundle(&[("init.luau", ECHO)]);
    let path = folder.path().to_str().unwrap();
    let scenario = large(&folder.path().join("scenario.toml"), (16 << 20) + 1);
    let provider = large(&folder.path().join("provider.wasm"), (256 << 20) + 1);
    let other = bundle(&[]);
    large(&other.path().join(".luaurc"), (4 << 20) + 1);
    for (args, said) in [
        (&["load", scenario.to_str().unwrap()][..], "a scenario can have 16 MiB at most, and this has more"),
        (&["run", path, "--provider", provider.to_str().unwrap()], "a provider can have 256 MiB at most"),
        (&["types", other.path().to_str().unwrap()], "a .luaurc can have 4 MiB at most"),
        (&["run", path, "--event", "echo", "--data", "@/dev/zero"], "--data can have 16 MiB at most"),
    ] {
        let ran = motu_soon(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{args:?}: {}", ran.err);
    }
    let much = vec![b' '; (16 << 20) + 1];
    let ran = motu_with(&much, &["run", path, "--event", "echo", "--data", "-"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("--data - can't be read: --data can have 16 MiB at most"), "{}", ran.err);
}

#[test]
fn c11_data_comes_from_a_file_or_from_stdin() {
    let folder = bundle(&[("init.luau", ECHO), ("data.json", "{\"a\": [1, 2]}\n"), ("latin.json", "")]);
    let path = folder.path().to_str().unwrap();
    let echo = |data: &str| ["run", path, "--json", "--event", "echo", "--data", data].map(str::to_owned);
    let given = |stdin: &[u8], data: &str| motu_with(stdin, &echo(data).each_ref().map(String::as_str));
    let file = format!("@{path}/data.json");
    for (stdin, data) in [(&b""[..], file.as_str()), (b"{\"a\":[1,\n2]}", "-"), (b"{\"a\":[1,2]}", "@/dev/stdin")] {
        let ran = given(stdin, data);
        assert_eq!(ran.code, 0, "{data}: {}{}", ran.out, ran.err);
        assert_eq!(ran.json()["value"], serde_json::json!({ "a": [1, 2] }), "{data}");
    }
    std::fs::write(folder.path().join("latin.json"), b"\"caf\xe9\"").unwrap();
    let latin = format!("@{path}/latin.json");
    for (stdin, data, said) in [
        (&b""[..], "-", "--data: not JSON: a value is missing (line 1, column 1)"),
        (b"", "@nowhere.json", "--data @nowhere.json can't be read: No such file"),
        (b"", latin.as_str(), "can't be read: it is not UTF-8 after its first 4 bytes"),
    ] {
        let ran = given(stdin, data);
        assert_eq!(ran.code, 2, "{data}: {}", ran.out);
        assert!(ran.json()["message"].as_str().unwrap().contains(said), "{data}: {}", ran.out);
    }
}

/// A file where a folder belongs is a mistake of whoever types it, not the machine's.
#[test]
fn c09_state_in_a_file_is_wrong_usage() {
    let folder = bundle(&[("init.luau", ECHO), ("state.txt", "mine")]);
    let (path, state) = (folder.path().to_str().unwrap(), folder.path().join("state.txt"));
    let ran = motu(&["run", path, "--state", state.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("state.txt is no folder: name a folder for the key-value store"), "{}", ran.err);
    assert!(!ran.err.contains("help:"), "{}", ran.err);
    assert_eq!(std::fs::read(&state).unwrap(), b"mine");
}
