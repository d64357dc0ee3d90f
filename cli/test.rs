//! `motu test`: runs the cases of test files, each in a fresh instance, and says what became of them. The library that test
//! files require, and the bundles that they are run in, are `motu::testing`'s.
//!
//! `discover` finds the files, `runner` runs them, `outcome` is what became of a case, `report` and `junit` tell it.

mod discover;
mod filter;
mod junit;
mod log;
mod outcome;
mod problem;
mod report;
mod runner;
#[cfg(test)]
mod sample;
mod text;

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use motu::testing::ENDING;

use crate::args::Test;
use crate::failure::Failure;
use crate::print;
use filter::Filter;
use report::{Report, Style};
use runner::Runner;
use text::one_line;

pub(crate) async fn test(test: &Test) -> ExitCode {
    match tested(test).await {
        Ok(code) => code,
        Err(failure) => failure.show(),
    }
}

async fn tested(test: &Test) -> Result<ExitCode, Failure> {
    let limits = test.limits().map_err(Failure::usage)?;
    let shown = test.path.display();
    let found = discover::find(&test.path).map_err(|error| Failure::usage(error.to_string()))?;
    if found.is_empty() {
        return Err(Failure::usage(format!("there is no test in {shown}: the name of a test ends with {ENDING}")));
    }
    // before anything runs: a report that can't be written is known at once, and no old one is taken for the new
    let junit = test.junit.as_ref().map(|path| {
        let unwritable = |error: io::Error| Failure::usage(format!("{} can't be written: {error}", path.display()));
        File::create(path).map(|file| (file, unwritable)).map_err(unwritable)
    });
    let junit = junit.transpose()?;
    let seed = test.seed.unwrap_or_else(any_seed);
    let filter = Filter::new(&test.filters);
    let runner = Runner::new(limits, test, seed, filter)?;
    if test.list {
        return list(test, &runner, &found).await;
    }

    let since = Instant::now();
    let mut report = Report::new(style());
    let mut screen = Screen { is_closed: false };
    runner.run(&found, test.jobs.into(), &mut report, |text| screen.write(text)).await?;
    let (elapsed, counts) = (since.elapsed(), report.counts());
    let written = junit.map_or(Ok(()), |(mut file, unwritable)| {
        file.write_all(junit::junit(report.finished(), elapsed).as_bytes()).map_err(unwritable)
    });
    if counts.total() == 0 {
        return written.and(Err(nothing(test)));
    }
    screen.write(&report.summary(elapsed))?;
    if counts.exit_status() != 0 && test.seed.is_none() {
        screen.write(&format!("to have the same random numbers again: --seed {seed}\n"))?;
    }
    if counts.exit_status() == 0 {
        return written.map(|()| ExitCode::SUCCESS);
    }
    if let Err(failure) = written {
        failure.show(); // what a case failed of is the news
    }
    Ok(ExitCode::from(counts.exit_status()))
}

/// No case is to be run.
fn nothing(test: &Test) -> Failure {
    let shown = test.path.display();
    Failure::usage(match test.filters.is_empty() {
        true => format!("no test in {shown} has a case"),
        false => format!("no case in {shown} has what --filter asks for; --list without it shows them all"),
    })
}

/// Names each case, as `--filter` takes it, and its place; then what couldn't be loaded, on stderr.
async fn list(test: &Test, runner: &Runner, found: &[discover::Found]) -> Result<ExitCode, Failure> {
    let (mut text, mut broken) = (String::new(), String::new());
    for found in found {
        match runner.cases(found).await {
            Ok(cases) => cases.iter().for_each(|case| {
                text.push_str(&format!("{}:{}: {}\n", one_line(&case.file), case.line, one_line(&case.title())));
            }),
            Err(finished) => {
                let mut report = Report::new(Style::Plain);
                report.expect(1);
                report.add(0, finished);
                broken.push_str(&report.wrongs());
            }
        }
    }
    if broken.is_empty() && text.is_empty() {
        return Err(nothing(test));
    }
    let code = if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    // Nothing can be done about a stderr that is closed.
    let _ = io::stderr().lock().write_all(broken.as_bytes());
    Ok(print(&text, code))
}

/// Where a report goes as it grows.
struct Screen {
    /// Whoever closed the pipe has seen enough; the exit status is still wanted.
    is_closed: bool,
}

impl Screen {
    fn write(&mut self, text: &str) -> Result<(), Failure> {
        if self.is_closed {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::host(format!("stdout can't be written: {error}"))),
        }
    }
}

fn style() -> Style {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_dumb = set("TERM").is_some_and(|term| term == "dumb");
    if io::stdout().is_terminal() && set("NO_COLOR").is_none() && !is_dumb { Style::Terminal } else { Style::Plain }
}

/// Short enough to be typed.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish() % 1_000_000
}
