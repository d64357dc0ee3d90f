//! A problem of a case in words: the same for people and for machines.

use std::fmt::Write as _;

use super::outcome::{Case, Failure, Finished, Place, Problem, Raised};
use super::text::{one_line, plain};

/// Lines of a case's log that are shown: the last ones, for what went wrong comes last.
const LOG_LINES_MAX: usize = 50;

impl Problem {
    /// `path:line: what happened`, on one line.
    pub(crate) fn headline(&self, case: &Case) -> String {
        let (place, message) = match self {
            Problem::Failed(failure) => (&failure.place, one_line(&failure.message)),
            Problem::Errored(raised) => (&raised.place, first_line(raised)),
        };
        match place {
            Some(Place { path, line }) => format!("{}:{line}: {message}", one_line(path)),
            None if case.line > 0 => format!("{}:{}: {message}", one_line(&case.file), case.line),
            None => format!("{}: {message}", one_line(&case.file)),
        }
    }

    /// What else is known, on lines of its own.
    pub(crate) fn details(&self) -> String {
        let mut text = String::new();
        match self {
            Problem::Failed(failure) => values(&mut text, failure),
            Problem::Errored(raised) => {
                let message = plain(&raised.message);
                for line in message.lines().skip(1) {
                    let _ = writeln!(text, "{line}");
                }
                if let Some(thrown) = &raised.thrown {
                    let _ = writeln!(text, "thrown: {}", one_line(thrown));
                }
                block(&mut text, "traceback", &raised.traceback);
            }
        }
        text
    }
}

fn first_line(raised: &Raised) -> String {
    let kind = if raised.kind.is_empty() { "error".to_owned() } else { format!("error[{}]", raised.kind) };
    format!("{kind}: {}", one_line(raised.message.lines().next().unwrap_or_default()))
}

fn values(text: &mut String, failure: &Failure) {
    let sides = [("expected: ", &failure.expected), ("actual:   ", &failure.actual)];
    for (name, value) in sides {
        match value {
            Some(value) if value.contains('\n') => block(text, name.trim_end_matches([' ', ':']), value),
            Some(value) => drop(writeln!(text, "{name}{}", plain(value))),
            None => {}
        }
    }
    if let Some(difference) = &failure.difference {
        block(text, "difference", difference);
    }
}

/// A name, and lines below it; nothing if there are none.
fn block(text: &mut String, name: &str, lines: &str) {
    if lines.trim().is_empty() {
        return;
    }
    let _ = writeln!(text, "{name}:");
    for line in plain(lines).lines() {
        let _ = writeln!(text, "  {}", line.trim_end());
    }
}

/// What a case logged, as far as that is shown.
pub(crate) fn log(finished: &Finished) -> String {
    let mut text = String::new();
    let cut = finished.log.len().saturating_sub(LOG_LINES_MAX);
    let mut lines: Vec<String> = finished.log.iter().skip(cut).map(|line| one_line(line)).collect();
    if cut > 0 {
        lines.insert(0, format!("... ({cut} lines)"));
    }
    block(&mut text, "log", &lines.join("\n"));
    text
}

/// Each line with spaces before it.
pub(crate) fn indented(text: &str, spaces: usize) -> String {
    text.lines().map(|line| format!("{:spaces$}{line}\n", "")).collect()
}
