//! Finished cases for the tests of both reports: one of each kind, with what is hard to write down.

use std::time::Duration;

use super::outcome::{Case, Failure, Finished, Outcome, Place, Problem, Raised, Skip};

fn finished(file: &str, names: &[&str], line: u32, outcome: Outcome) -> Finished {
    let case = Case { file: file.to_owned(), names: names.iter().map(|&name| name.to_owned()).collect(), line };
    Finished { case, outcome, elapsed: Duration::from_micros(300), log: Vec::new() }
}

fn place(path: &str, line: u32) -> Option<Place> {
    Some(Place { path: path.to_owned(), line })
}

pub(crate) fn cases() -> Vec<Finished> {
    let failure = Failure {
        message: "expected { a = 1 } to equal another".to_owned(),
        expected: Some("{\n  a = 2,\n}".to_owned()),
        actual: Some("{ a = 1 }".to_owned()),
        difference: Some("value.a: expected 2, got 1".to_owned()),
        place: place("a/lib/check.luau", 7),
    };
    let raised = Raised {
        kind: "script".to_owned(),
        message: "broken \"]]> & <b>\x1b[31m\n  second line\u{ffff}".to_owned(),
        traceback: "init.luau:3 function go\na.test.luau:9".to_owned(),
        place: place("a/init.luau", 3),
        thrown: Some("{code = 1}".to_owned()),
    };
    let limit = Raised { kind: "fuel".to_owned(), message: "out of fuel".to_owned(), ..Raised::default() };
    let mut cases = vec![
        finished("a/a.test.luau", &["group", "passes & \"quotes\""], 3, Outcome::Passed),
        finished("a/a.test.luau", &["group", "fails"], 5, Outcome::Wrong(vec![Problem::Failed(failure.clone())])),
        finished("a/a.test.luau", &["<raises>\r\n\t\0"], 8, Outcome::Wrong(vec![Problem::Errored(raised)])),
        finished("a/a.test.luau", &["skipped"], 12, Outcome::Skipped(Skip::Marked)),
        finished("b.test.luau", &["left out"], 4, Outcome::Skipped(Skip::NotOnly)),
        finished(
            "b.test.luau",
            &["twice wrong"],
            6,
            Outcome::Wrong(vec![
                Problem::Failed(Failure { message: "no place".to_owned(), ..Failure::default() }),
                Problem::Errored(limit.clone()),
            ]),
        ),
        finished("c.test.luau", &[], 0, Outcome::Wrong(vec![Problem::Errored(limit)])),
    ];
    if let Some(last) = cases.get_mut(5) {
        last.log = (1..=52).map(|line| format!("line {line}\x07\n")).collect();
    }
    cases
}
