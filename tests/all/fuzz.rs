//! I3: any bytes as a script end in a value or a named error, at the same cost each time, and the host's memory stays
//! bounded. Replays the fuzzer's corpus, in a process of its own: the memory that is measured is the process's.

use std::path::Path;
use std::process::Command;

use crate::child::peak_growth;

#[path = "../../fuzz/body/script.rs"]
#[allow(unreachable_pub, reason = "the fuzz target uses it too")]
mod script;

trials![i3_any_bytes_end_in_a_named_outcome_within_bounded_memory];

/// Set in the process that replays.
const REPLAYS: &str = "MOTU_TEST_REPLAYS";

/// The most that any script of the corpus may add to the host's peak. One is alive at a time, of 16 MiB; while a bundle
/// loads, its image may be as large beside it.
const GROWTH_BYTES_MAX: u64 = 40 << 20;

fn i3_any_bytes_end_in_a_named_outcome_within_bounded_memory() {
    if std::env::var_os(REPLAYS).is_some() {
        replay();
        return;
    }
    let this = "fuzz::i3_any_bytes_end_in_a_named_outcome_within_bounded_memory";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([this, "--exact", "--nocapture", "--test-threads=1"])
        .env(REPLAYS, "1")
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")) // where the compiled VM is kept
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("\nreplayed "), "nothing was replayed:\n{out}");
}

fn replay() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/script");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "luau"));
    paths.sort();
    assert!(paths.len() >= 40, "{} has only {} scripts", folder.display(), paths.len());

    let motu = script::builder().on_step(crate::steps::recorder()).build().unwrap();
    script::run(&motu, b"return { warm = function() return 'up' end }");
    let ((), grown) = peak_growth(|| {
        for path in &paths {
            println!("{}", path.display()); // the last one is what broke the promise
            script::run(&motu, &std::fs::read(path).unwrap());
        }
    });
    println!("replayed {} scripts, grown by {} KiB", paths.len(), grown >> 10);
    assert!(grown <= GROWTH_BYTES_MAX, "the host's peak grew by {grown} bytes");
}
