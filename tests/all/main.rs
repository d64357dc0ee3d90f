//! Motu's integration tests: one binary, a module for each promise.
//!
//! A trial is an ordinary function that panics when the promise is broken; each module names its own with `trials!`. The
//! scripts of `tests/scripts` are trials too, without any Rust. A name that starts with `i3_` shows the row I3 of the
//! feature map.
//!
//! `MOTU_FULL=1` runs the few trials that are reduced by default at their full size.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

#[macro_use]
mod support;
mod child;

/// A pass of the guest's build, and what it needs.
#[path = "../../build/bulk.rs"]
mod bulk;
#[path = "../../build/module.rs"]
#[allow(dead_code, reason = "the build needs more of it")]
mod module;

/// What the guest is built with makes providers in C, too.
#[path = "../../build/files.rs"]
#[allow(dead_code, reason = "the build needs more of it")]
mod files;
#[cfg(feature = "providers")]
#[path = "../../build/zig.rs"]
#[allow(dead_code, reason = "the build needs more of it")]
mod zig;
/// What `zig` takes from the guest's recipe: flags for C++, which no provider here is in.
#[cfg(feature = "providers")]
mod recipe {
    pub(crate) const EXCEPTIONS: [&str; 0] = [];
}

mod bundle;
mod clock;
mod dispatch;
mod embedding;
mod errors;
mod fuel;
mod fuzz;
mod guest;
mod isolation;
mod json;
mod limits;
mod modules;
mod opaque;
mod packages;
mod pieces;
mod places;
mod pool;
mod require;
mod scripts;
mod steps;
mod task;
mod testing;
mod values;

fn main() -> std::process::ExitCode {
    if let Some(code) = child::run_if_asked() {
        return code;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    if !arguments.list {
        steps::warm_up();
    }
    let trials = [
        bundle::trials(),
        clock::trials(),
        dispatch::trials(),
        embedding::trials(),
        errors::trials(),
        fuel::trials(),
        fuzz::trials(),
        guest::trials(),
        isolation::trials(),
        limits::trials(),
        modules::trials(),
        opaque::trials(),
        packages::trials(),
        pieces::trials(),
        places::trials(),
        pool::trials(),
        require::trials(),
        scripts::trials(),
        task::trials(),
        testing::trials(),
        values::trials(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    if !arguments.list && !conclusion.has_failed() && !steps::check(conclusion.num_passed) {
        return std::process::ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
