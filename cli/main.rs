//! The `motu` program: runs, checks and starts Luau bundles from the command line.
//!
//! Exit statuses: 0 done; 1 the script is wrong (`compile`, `script`); 2 wrong usage; 3 a limit was reached; 4 denied;
//! 70 a fault of Motu's own, or of the machine. Results go to stdout, logs and errors to stderr; with `--json` stdout has
//! one JSON object and nothing else.

mod args;
mod bundle;
mod check;
mod failure;
mod file;
mod json;
mod load;
mod new;
mod providers;
mod report;
mod run;
mod test;
mod trace;
mod types;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use args::{Args, Command};
use failure::Failure;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return not_parsed(&error),
    };
    trace::start(args.verbose);
    more_files();
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::host(format!("no runtime could be made: {error}")).show(),
    };
    match args.command {
        Command::Run(run) => runtime.block_on(run::run(&run)),
        Command::Check(check) => runtime.block_on(check::check(&check)),
        Command::New(new) => new::new(&new),
        Command::Test(test) => runtime.block_on(test::test(&test)),
        Command::Types(types) => types::types(&types),
        Command::Load(load) => load::load(&load),
    }
}

/// Lets the process have as many files open as it may: each request of a script takes up to three.
fn more_files() {
    let limit = getrlimit(Resource::Nofile);
    // where that is refused, the number stays as it was, and requests are held to it
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Wrong usage, or `--help` and `--version`, which clap treats alike.
fn not_parsed(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return print(&error.render().to_string(), ExitCode::SUCCESS);
    }
    if std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json") {
        let text = error.render().to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        return report::json(&Err(Failure::usage(message)));
    }
    // Nothing can be done about a stderr that is closed.
    let _ = io::stderr().lock().write_all(report::plain(&error.render().to_string()).as_bytes());
    ExitCode::from(failure::EXIT_USAGE)
}

/// Writes to stdout, with characters that would not be seen [escaped](report::plain), and returns the exit status: `code`,
/// unless writing failed. Whoever closed the pipe has seen enough.
fn print(text: &str, code: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(report::plain(text).as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => Failure::host(format!("stdout can't be written: {error}")).show(),
    }
}
