//! What `motu test` tells people: each case as soon as its turn in the order has come, and in the end what went wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::outcome::{Counts, Finished, Outcome, Problem, Skip};
use super::problem::{indented, log};
use super::text::{one_line, time};

/// How it may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Words alone: for pipes, files and terminals without colours.
    Plain,
    /// Marks, colours, and a line that counts.
    Terminal,
}

/// The report of a run. Cases finish in any order, and are told in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Report {
    style: Style,
    total: usize,
    early: BTreeMap<usize, Finished>,
    done: Vec<Finished>,
    counts: Counts,
}

impl Report {
    /// Of no cases yet.
    pub(crate) fn new(style: Style) -> Report {
        Report { style, total: 0, early: BTreeMap::new(), done: Vec::new(), counts: Counts::default() }
    }

    /// So many more cases are to come.
    pub(crate) fn expect(&mut self, cases: usize) {
        self.total += cases;
    }

    /// Takes the case of this number, from 0, and returns what can be printed now.
    pub(crate) fn add(&mut self, number: usize, finished: Finished) -> String {
        self.early.insert(number, finished);
        let mut text = String::new();
        while let Some(finished) = self.early.remove(&self.done.len()) {
            if self.done.last().is_none_or(|last| last.case.file != finished.case.file) {
                let _ = writeln!(text, "{}", one_line(&finished.case.file));
            }
            self.line(&mut text, &finished);
            self.counts.add(&finished.outcome);
            self.done.push(finished);
        }
        if self.style == Style::Terminal {
            let seen = self.done.len() + self.early.len();
            let counter = if seen < self.total { format!("{seen}/{}", self.total) } else { String::new() };
            // back to the line's start, and away with what is there
            text = format!("\r\x1b[K{text}{counter}");
        }
        text
    }

    fn line(&self, text: &mut String, finished: &Finished) {
        let (plain, mark, colour) = match finished.outcome {
            Outcome::Passed => ("ok   ", "✓", "32"),
            Outcome::Wrong(_) => ("FAIL ", "✗", "31"),
            Outcome::Skipped(_) => ("skip ", "-", "33"),
        };
        let mark = match self.style {
            Style::Plain => plain.to_owned(),
            Style::Terminal => format!("\x1b[{colour}m{mark}\x1b[0m "),
        };
        let after = match finished.outcome {
            Outcome::Skipped(why) => why.reason().to_owned(),
            _ => time(finished.elapsed),
        };
        let _ = writeln!(text, "  {mark}{} ({after})", one_line(&finished.case.title()));
        if finished.outcome == Outcome::Passed {
            text.push_str(&indented(&log(finished), 4));
        }
    }

    /// What came to what, so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The cases that are done, in order.
    pub(crate) fn finished(&self) -> &[Finished] {
        &self.done
    }

    /// What went wrong, and a line that sums up.
    pub(crate) fn summary(&self, elapsed: Duration) -> String {
        format!("{}\n{}\n", self.wrongs(), self.total_line(elapsed))
    }

    /// What went wrong.
    pub(crate) fn wrongs(&self) -> String {
        let mut text = String::new();
        for finished in &self.done {
            if let Outcome::Wrong(problems) = &finished.outcome {
                self.wrong(&mut text, finished, problems);
            }
        }
        text
    }

    fn wrong(&self, text: &mut String, finished: &Finished, problems: &[Problem]) {
        let title = one_line(&finished.case.title());
        let heading = match self.style {
            Style::Plain => format!("FAIL {title}"),
            Style::Terminal => format!("\x1b[31m✗ {title}\x1b[0m"),
        };
        let _ = writeln!(text, "\n{heading}");
        for problem in problems {
            let _ = writeln!(text, "  {}", problem.headline(&finished.case));
            text.push_str(&indented(&problem.details(), 4));
        }
        text.push_str(&indented(&log(finished), 4));
    }

    fn total_line(&self, elapsed: Duration) -> String {
        let Counts { passed, failed, errored, skipped } = self.counts;
        if self.counts.total() == 0 {
            return "no tests were run".to_owned();
        }
        let mut parts = vec![format!("{passed} passed")];
        let others = [(failed, "failed"), (errored, "with errors"), (skipped, "skipped")];
        parts.extend(others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        let skips = |finished: &&Finished| finished.outcome == Outcome::Skipped(Skip::NotOnly);
        let only = match self.done.iter().filter(skips).count() {
            0 => String::new(),
            left => format!("; {left} left out by it.only"),
        };
        format!("{}{only}, in {}", parts.join(", "), time(elapsed))
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
