//! What the `motu` program promises, seen from outside: stdout, stderr and the exit status.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod cache;
mod check;
mod files;
mod golden;
mod load;
mod new;
mod run;
mod run_wrong;
mod test;
mod texts;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

/// What a run of the program came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: &Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The one JSON object on stdout.
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.out.matches('\n').count(), 1, "one line: {}", self.out);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// Where the program of these tests keeps the compiled VM.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/program-cache");

/// The program, which finds the VM compiled.
fn program() -> Command {
    static WARM: Once = Once::new();
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_motu"));
        program.env("XDG_CACHE_HOME", CACHE);
        program
    };
    WARM.call_once(|| {
        let folder = bundle(&[("init.luau", "return 1")]);
        std::fs::create_dir_all(CACHE).unwrap();
        assert!(program().arg("run").arg(folder.path()).output().unwrap().status.success());
    });
    program()
}

fn motu(args: &[&str]) -> Ran {
    motu_in(Path::new("."), args)
}

fn motu_in(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(&program().args(args).current_dir(folder).output().unwrap())
}

/// Runs the program, and panics if it takes longer than a minute.
fn motu_soon(args: &[&str]) -> Ran {
    let mut child = program().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("{args:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ran::of(&child.wait_with_output().unwrap())
}

/// Runs the program with this on stdin.
fn motu_with(stdin: &[u8], args: &[&str]) -> Ran {
    let mut child =
        program().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The program may have seen enough before all of it is written.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    Ran::of(&child.wait_with_output().unwrap())
}

/// A bundle in a folder that is gone when this is dropped.
fn bundle(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
    folder
}

/// `motu run` on a bundle of one file.
fn run(source: &str, args: &[&str]) -> Ran {
    let folder = bundle(&[("init.luau", source)]);
    motu(&[&["run", folder.path().to_str().unwrap()], args].concat())
}

#[test]
fn help_and_version() {
    let ran = motu(&["--help"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("Usage: motu"), "{}", ran.out);
    let ran = motu(&["--version"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, concat!("motu ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = bundle(&[("init.luau", "return string.rep('x', 500000)")]);
    let mut child = program()
        .args(["run", folder.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
