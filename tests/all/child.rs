//! Trials that measure the process run alone, in a process of their own: the test binary starts itself again.

use std::process::{Command, ExitCode};

pub(crate) const VARIABLE: &str = "MOTU_TEST_CHILD";

/// What a child runs, by the name that [`in_child`] asks for.
pub(crate) type Body = (&'static str, fn());

const BODIES: &[&[&[Body]]] = &[
    &[
        crate::limits::CHILDREN,
        crate::isolation::CHILDREN,
        crate::modules::CHILDREN,
        crate::modules::OF_PROVIDERS,
        crate::modules::OF_EDITORS,
    ],
    crate::pool::CHILDREN,
];

/// Runs the body that the parent asked for; none if this is the parent.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let name = std::env::var(VARIABLE).ok()?;
    let body = BODIES.iter().copied().flatten().copied().flatten().find(|(known, _)| *known == name);
    let (_, body) = body.unwrap_or_else(|| panic!("there is no child {name}"));
    body(); // a panic ends the process with its own status
    Some(ExitCode::SUCCESS)
}

/// Runs a body of the table above in a new process; fails with what it wrote.
pub(crate) fn in_child(name: &str) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).env(VARIABLE, name).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
}

/// How many bytes the process's resident memory rose above what it was, at its highest, during `work`.
pub(crate) fn peak_growth<T>(work: impl FnOnce() -> T) -> (T, u64) {
    std::fs::write("/proc/self/clear_refs", "5").unwrap(); // the peak starts anew
    let before = status("VmRSS:");
    let result = work();
    (result, status("VmHWM:").saturating_sub(before))
}

pub(crate) fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib << 10
}
