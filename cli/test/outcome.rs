//! What became of a case, and what that means for the program's exit status.
//!
//! | exit status | |
//! |---|---|
//! | 0 | at least one case was found, and none of those that ran went wrong; skipped ones don't count |
//! | 1 | a case failed or raised an error, or a test file couldn't be loaded |
//! | 2 | wrong usage; also no test file, or no case that the filter lets through: a typing error must not pass for success |

use std::time::Duration;

use motu::testing::{ENTRY, TREE};

/// A case, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// The test file, as it was found from where the program runs.
    pub(crate) file: String,
    /// Its groups' names and its own. Empty for what concerns the file as a whole, its loading say.
    pub(crate) names: Vec<String>,
    /// Where it is declared. 0 if that isn't known.
    pub(crate) line: u32,
}

impl Case {
    /// `counter > hit > counts`.
    pub(crate) fn title(&self) -> String {
        if self.names.is_empty() { "(the file itself)".to_owned() } else { self.names.join(" > ") }
    }

    /// `path > group > case`: what a filter looks into.
    pub(crate) fn full_name(&self) -> String {
        let parts: Vec<&str> = std::iter::once(&self.file).chain(&self.names).map(String::as_str).collect();
        parts.join(" > ")
    }
}

/// A line of a file that people can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// As it was found from where the program runs.
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: u32,
}

/// Something that went wrong in a case. One case may have several: its own, and those of what runs after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// An expectation failed.
    Failed(Failure),
    /// An error that is no expectation: of the script, or a limit that ended it.
    Errored(Raised),
}

/// A failed expectation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A sentence with both values, if they are short.
    pub(crate) message: String,
    /// What was wanted, as text.
    pub(crate) expected: Option<String>,
    /// What there was, as text.
    pub(crate) actual: Option<String>,
    /// Where both differ, a line for each place.
    pub(crate) difference: Option<String>,
    /// Where the expectation is.
    pub(crate) place: Option<Place>,
}

/// An error that nothing caught.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raised {
    /// The word for its kind: `script`, `fuel`, `denied`, ...
    pub(crate) kind: String,
    /// What happened.
    pub(crate) message: String,
    /// A frame a line, the innermost first.
    pub(crate) traceback: String,
    /// Where it was raised.
    pub(crate) place: Option<Place>,
    /// What was thrown, if that was not text.
    pub(crate) thrown: Option<String>,
}

/// Why a case wasn't run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    /// It is declared with `it.skip`.
    Marked,
    /// Another is declared with `it.only`.
    NotOnly,
}

impl Skip {
    /// From the word in the list of cases.
    pub(crate) fn of_word(word: &str) -> Skip {
        if word == "only" { Skip::NotOnly } else { Skip::Marked }
    }

    /// Why, for people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Skip::Marked => "it.skip",
            Skip::NotOnly => "another case has it.only",
        }
    }
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It raised nothing.
    Passed,
    /// It did, at least once.
    Wrong(Vec<Problem>),
    /// It wasn't run.
    Skipped(Skip),
}

/// A case that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Which.
    pub(crate) case: Case,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// How long it took, with what runs before and after it.
    pub(crate) elapsed: Duration,
    /// What it logged, a line each.
    pub(crate) log: Vec<String>,
}

impl Failure {
    /// From the fields of the table that a failed expectation raises. `text` and `line` read a field of it; `show` makes a
    /// path of the bundle one that people can open. None if it is another table.
    pub(crate) fn read(
        text: impl Fn(&str) -> Option<String>,
        line: Option<u32>,
        show: impl Fn(&str) -> String,
    ) -> Option<Failure> {
        if text("motu_test").as_deref() != Some("failure") {
            return None;
        }
        let place = text("path").zip(line).map(|(path, line)| Place { path: show(&path), line });
        Some(Failure {
            message: text("message").unwrap_or_default(),
            expected: text("expected"),
            actual: text("actual"),
            difference: text("difference"),
            place,
        })
    }
}

impl Raised {
    /// From an error's words: leaves out the library's own frames and places, and finds where the files under test were.
    /// `show` makes a path of the bundle one that people can open.
    pub(crate) fn read(kind: &str, message: &str, traceback: &str, show: impl Fn(&str) -> String) -> Raised {
        let lines = without_own_frames(traceback);
        let message = without_own_place(message);
        // what doesn't compile has no traceback
        let told = || message.lines().next()?.split_once(": ").and_then(|(start, _)| place_in(start));
        let place = lines.iter().find_map(|line| place_in(line)).or_else(|| told().filter(|_| lines.is_empty()));
        // said once is enough
        let told = place.map(|(path, line)| format!("{path}:{line}: ")).unwrap_or_default();
        Raised {
            kind: kind.to_owned(),
            message: message.strip_prefix(told.as_str()).unwrap_or(message).to_owned(),
            traceback: lines.iter().map(|line| opened(line, &show)).collect::<Vec<_>>().join("\n"),
            place: place.map(|(path, line)| Place { path: show(path), line }),
            thrown: None,
        }
    }
}

/// The lines of a traceback but for the library's frames, and for what those call of Luau's own library.
pub(crate) fn without_own_frames(traceback: &str) -> Vec<&str> {
    let frames: Vec<&str> = traceback.lines().collect();
    let callers = frames.iter().skip(1).map(Some).chain([None]);
    let by_own = |caller: Option<&&str>| caller.is_some_and(|caller| is_own(caller));
    let shown = frames.iter().zip(callers);
    let shown = shown.filter(|(frame, caller)| !(is_own(frame) || frame.starts_with("[C]") && by_own(*caller)));
    shown.map(|(frame, _)| *frame).collect()
}

fn is_own(frame: &str) -> bool {
    frame.starts_with(TREE) || frame.starts_with(ENTRY)
}

/// A frame with its path as people open it.
fn opened(frame: &str, show: impl Fn(&str) -> String) -> String {
    match place_in(frame) {
        Some((path, _)) => format!("{}{}", show(path), frame.get(path.len()..).unwrap_or_default()),
        None => frame.to_owned(),
    }
}

/// `path:line`, and perhaps more after a space.
fn place_in(frame: &str) -> Option<(&str, u32)> {
    // a path may have colons and spaces in it
    let end = frame.rfind(" function ").unwrap_or(frame.len());
    let (path, line) = frame.get(..end)?.rsplit_once(':')?;
    let line = line.parse().ok().filter(|line| *line > 0)?;
    Some((path, line))
}

/// What is raised while the library runs may begin with a place in it.
pub(crate) fn without_own_place(message: &str) -> &str {
    let cut = || {
        let rest = message.strip_prefix(TREE)?;
        let (place, rest) = rest.split_once(": ")?;
        let (_, line) = place.rsplit_once(".luau")?; // what is being compiled has no line
        line.bytes().all(|byte| byte.is_ascii_digit() || byte == b':').then_some(rest)
    };
    cut().unwrap_or(message)
}

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Cases that passed.
    pub(crate) passed: usize,
    /// Cases with a failed expectation first.
    pub(crate) failed: usize,
    /// Cases with another error first, and files that couldn't be loaded.
    pub(crate) errored: usize,
    /// Cases that weren't run, as their file says.
    pub(crate) skipped: usize,
}

impl Counts {
    /// Counts one more.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Wrong(problems) => match problems.first() {
                Some(Problem::Failed(_)) => self.failed += 1,
                _ => self.errored += 1,
            },
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }

    /// All of them.
    pub(crate) fn total(&self) -> usize {
        self.passed + self.failed + self.errored + self.skipped
    }

    /// The program's exit status.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            _ if self.total() == 0 => 2,
            Counts { failed: 0, errored: 0, .. } => 0,
            _ => 1,
        }
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
