//! I3: any bytes as a script end in a value or a named error, and cost the host bounded memory. Replays the fuzzer's corpus
//! in a process of its own, since the memory that is measured is the process's.

use std::path::Path;
use std::process::Command;

#[path = "../../fuzz/body/script.rs"]
#[allow(unreachable_pub, reason = "the fuzz target uses it too")]
mod script;

trials![i3_any_bytes_end_in_a_named_outcome_within_bounded_memory];

/// Set in the process that replays.
const REPLAYS: &str = "MOTU_TEST_REPLAYS";

/// The most that any script of the corpus may add to the host's peak. One is alive at a time, of 16 MiB; while a bundle
/// loads, its image may be as large beside it. The rest is warm memories and the allocator's.
const GROWTH_KIB_MAX: u64 = 64 << 10;

fn i3_any_bytes_end_in_a_named_outcome_within_bounded_memory() {
    if std::env::var_os(REPLAYS).is_some() {
        replay();
        return;
    }
    let this = "fuzz::i3_any_bytes_end_in_a_named_outcome_within_bounded_memory";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([this, "--exact", "--nocapture", "--test-threads=1"])
        .env(REPLAYS, "1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    let grown = out.lines().find_map(|line| line.strip_prefix("grown by ")?.strip_suffix(" KiB"));
    let grown: u64 = grown.unwrap_or_else(|| panic!("the replay printed no growth:\n{out}")).parse().unwrap();
    assert!(grown <= GROWTH_KIB_MAX, "the host's peak grew by {grown} KiB:\n{out}");
}

fn replay() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/script");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "luau"));
    paths.sort();
    assert!(paths.len() >= 40, "{} has only {} scripts", folder.display(), paths.len());

    script::run(b"return { warm = function() return 'up' end }");
    forget_peak();
    let before = status_kib("VmRSS:");
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy();
        // stays there when the script is what breaks the promise
        println!("replaying {name}");
        script::run(&std::fs::read(&path).unwrap());
        println!("{name}: peak {} KiB over", status_kib("VmHWM:").saturating_sub(before));
    }
    println!("grown by {} KiB", status_kib("VmHWM:").saturating_sub(before));
}

/// Makes the kernel count the peak from now on: what compiling the VM took is not the script's.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
