//! What `motu test` tells machines: JUnit's XML, as CI systems read it. A file is a test suite.
//!
//! Written by hand: it is six elements, and what needs care, the escaping of what XML can't hold, no XML library does.

use std::fmt::Write as _;
use std::time::Duration;

use super::outcome::{Counts, Finished, Outcome, Problem};
use super::problem::log;
use super::text::is_unseen;

/// The whole report of cases in their order, those of a file together.
pub(crate) fn junit(finished: &[Finished], elapsed: Duration) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"motu test\"{}>", numbers(finished, elapsed));
    for suite in finished.chunk_by(|a, b| a.case.file == b.case.file) {
        let file = suite.first().map(|first| attribute(&first.case.file)).unwrap_or_default();
        let elapsed = suite.iter().map(|finished| finished.elapsed).sum();
        let _ = writeln!(text, "  <testsuite name=\"{file}\"{}>", numbers(suite, elapsed));
        suite.iter().for_each(|finished| case(&mut text, finished));
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn numbers(finished: &[Finished], elapsed: Duration) -> String {
    let mut counts = Counts::default();
    finished.iter().for_each(|finished| counts.add(&finished.outcome));
    let Counts { failed, errored, skipped, .. } = counts;
    let tests = counts.total();
    let time = seconds(elapsed);
    format!(" tests=\"{tests}\" failures=\"{failed}\" errors=\"{errored}\" skipped=\"{skipped}\" time=\"{time}\"")
}

fn case(text: &mut String, finished: &Finished) {
    let case = &finished.case;
    let file = attribute(&case.file);
    let line = if case.line > 0 { format!(" line=\"{}\"", case.line) } else { String::new() };
    let (name, time) = (attribute(&case.title()), seconds(finished.elapsed));
    let _ = write!(text, "    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\"{line} time=\"{time}\"");
    let mut inner = String::new();
    match &finished.outcome {
        Outcome::Passed => {}
        Outcome::Skipped(why) => {
            let _ = writeln!(inner, "      <skipped message=\"{}\"/>", attribute(why.reason()));
        }
        Outcome::Wrong(problems) => wrong(&mut inner, finished, problems),
    }
    let log = log(finished);
    if !log.is_empty() {
        let _ = writeln!(inner, "      <system-out>{}</system-out>", content(&log));
    }
    if inner.is_empty() {
        text.push_str("/>\n");
    } else {
        let _ = writeln!(text, ">\n{inner}    </testcase>");
    }
}

/// One element, whatever happened: many readers know no more than one of a case.
fn wrong(text: &mut String, finished: &Finished, problems: &[Problem]) {
    let (element, kind, message) = match problems.first() {
        Some(Problem::Failed(failure)) => ("failure", "expectation", failure.message.as_str()),
        Some(Problem::Errored(raised)) => ("error", raised.kind.as_str(), raised.message.as_str()),
        None => ("error", "error", ""),
    };
    let mut all = String::new();
    for problem in problems {
        let _ = writeln!(all, "{}\n{}", problem.headline(&finished.case), problem.details());
    }
    let (kind, message, all) = (attribute(kind), attribute(message), content(all.trim_end()));
    let _ = writeln!(text, "      <{element} message=\"{message}\" type=\"{kind}\">{all}</{element}>");
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.6}", elapsed.as_secs_f64())
}

/// Text between tags.
fn content(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if is_no_xml(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Text between quotation marks, where a reader takes line breaks for spaces unless they are escaped.
fn attribute(text: &str) -> String {
    content(text).replace('\n', "&#10;").replace('\t', "&#9;")
}

/// What XML 1.0 can't hold even as a reference, what it would make something else of, and what would not be seen.
fn is_no_xml(c: char) -> bool {
    is_unseen(c) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
