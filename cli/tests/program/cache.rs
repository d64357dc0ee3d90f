//! c08: the first start compiles the VM, and says so.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Ran, bundle};

/// A start with these variables and no others, and the most memory that was seen, in MiB.
fn start(variables: &[(&str, &Path)]) -> (Ran, u64) {
    let folder = bundle(&[("init.luau", "return 'up'")]);
    let mut program = Command::new(env!("CARGO_BIN_EXE_motu"));
    program.env_clear().envs(variables.iter().copied()).arg("run").arg(folder.path());
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        most = most.max(peak.map_or(0, |kib| kib.parse::<u64>().unwrap() / 1024));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    (Ran::of(&child.wait_with_output().unwrap()), most)
}

#[test]
fn c08_the_first_start_says_that_it_compiles_and_takes_little() {
    let cache = tempfile::tempdir().unwrap();
    let (first, most) = start(&[("XDG_CACHE_HOME", cache.path())]);
    assert_eq!((first.code, first.out.lines().next()), (0, Some("up")), "{}", first.err);
    assert!(first.err.starts_with("note: the VM was compiled for this machine in "), "{}", first.err);
    let kept = format!(" ms, once: it is kept in {}/motu\n", cache.path().display());
    assert!(first.err.ends_with(&kept) && first.err.lines().count() == 1, "{}", first.err);
    assert!((30..300).contains(&most), "{most} MiB");
    let (second, _) = start(&[("XDG_CACHE_HOME", cache.path())]);
    assert_eq!((second.code, second.err.as_str()), (0, ""));
    // the same by HOME
    let home = tempfile::tempdir().unwrap();
    for (run, notes) in [("first", 1), ("second", 0)] {
        let (ran, _) = start(&[("HOME", home.path())]);
        assert_eq!((ran.code, ran.err.lines().count()), (0, notes), "{run}: {}", ran.err);
    }
    assert!(home.path().join(".cache/motu/compiled").is_dir());
}

#[test]
fn c08_without_a_cache_each_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("motu"), "in the way").unwrap();
    let in_the_way = format!("{}/motu can't be used as the compile cache: ", folder.path().display());
    let cases: [(&[(&str, &Path)], &str); 3] = [
        (&[], "neither XDG_CACHE_HOME nor HOME names a folder, from / on"),
        (&[("HOME", Path::new("relative"))], "neither XDG_CACHE_HOME nor HOME names a folder, from / on"),
        (&[("XDG_CACHE_HOME", folder.path())], &in_the_way),
    ];
    for (variables, why) in cases {
        let (ran, _) = start(variables);
        assert_eq!((ran.code, ran.out.lines().next()), (0, Some("up")), "{}", ran.err);
        assert!(ran.err.contains(" ms, and each start does so again: ") && ran.err.contains(why), "{}", ran.err);
        assert!(ran.err.ends_with("set XDG_CACHE_HOME to a folder that only this user can write to\n"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
}

/// As on a full disk, nothing that was compiled can be kept.
#[test]
fn c08_what_cannot_be_kept_is_told_each_time() {
    let cache = tempfile::tempdir().unwrap();
    start(&[("XDG_CACHE_HOME", cache.path())]);
    let modules = std::fs::read_dir(cache.path().join("motu/compiled/modules")).unwrap();
    let folder = modules.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let mut kept = 0;
    for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none() {
            std::fs::remove_file(&file).unwrap();
            std::fs::create_dir(&file).unwrap();
            kept += 1;
        }
    }
    assert_eq!(kept, 2);
    for _ in 0..2 {
        let (ran, _) = start(&[("XDG_CACHE_HOME", cache.path())]);
        assert_eq!((ran.code, ran.out.lines().next()), (0, Some("up")), "{}", ran.err);
        let said = "/motu can't be written to, or the disk is full; set XDG_CACHE_HOME";
        assert!(ran.err.contains(" ms, and each start does so again: ") && ran.err.contains(said), "{}", ran.err);
    }
}
