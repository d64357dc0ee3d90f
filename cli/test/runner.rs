//! Runs the cases of test files: a file is loaded once, and each of its cases runs in an instance and for a tenant of its own,
//! some at a time. What this and the library say to each other is written down at `motu::testing`. The files are not trusted to
//! keep to it: whatever they answer, this comes to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use motu::{Error, ErrorKind, Grants, Instance, Limits, Loaded, Motu, Tenant, Value, testing};
use serde::Deserialize;
use tokio::task::{JoinError, JoinSet};

use super::discover::Found;
use super::filter::Filter;
use super::log::Logs;
use super::outcome::{Case, Failure as Failed, Finished, Outcome, Problem, Raised, Skip};
use super::report::Report;
use crate::args::Test;
use crate::failure::Failure;

/// The library's own limit of a file.
const CASES_MAX: usize = 10_000;
/// What may run after a case: hooks, and late failures.
const FINISH_MAX: usize = 10_000;
const PROBLEMS_MAX: usize = 20;
/// Of the names of a file's cases, all together.
const NAMES_BYTES_MAX: usize = 64 << 20;
/// Of each text of a failure. The library's own are shorter.
const TEXT_BYTES_MAX: usize = 16 << 10;

pub(super) struct Runner {
    motu: Motu,
    grants: Grants,
    seed: u64,
    filter: Filter,
    logs: Arc<Logs>,
}

/// A part of the list of cases, as the library has it.
#[derive(Deserialize)]
struct Page {
    total: usize,
    cases: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    names: Vec<String>,
    path: String,
    line: u32,
    skip: Option<String>,
}

/// A case that is to be told of.
struct Wanted {
    case: Case,
    skip: Option<Skip>,
    /// In its file, from 1.
    index: usize,
}

/// One case, on its way.
struct Run {
    motu: Motu,
    instance: Instance,
    found: Arc<Found>,
    case: Case,
    index: usize,
    logs: Arc<Logs>,
}

impl Runner {
    /// Without grants, everything is granted.
    pub(super) fn new(limits: Limits, test: &Test, seed: u64, filter: Filter) -> Result<Runner, Failure> {
        let mut grants: Grants = test.grants.iter().cloned().collect();
        if grants.is_empty() {
            grants = Grants::parse(["*"]).map_err(Error::from)?;
        }
        let logs = Arc::<Logs>::default();
        let kept = logs.clone();
        let builder = Motu::builder().limits(limits).on_log(move |line| kept.add(line));
        let motu = test.providers.add_to(builder)?.build()?;
        // a module that is not here may be mocked, whatever its functions are
        if let Some(vain) = motu.vain_grants(&grants).into_iter().find(|vain| vain.is_package_known) {
            return Err(Failure::usage(vain.to_string()));
        }
        Ok(Runner { motu, grants, seed, filter, logs })
    }

    /// Runs all that is wanted, `jobs` at a time, and tells the report. `show` is given what there is to see.
    pub(super) async fn run(
        &self,
        files: &[Found],
        jobs: usize,
        report: &mut Report,
        mut show: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut running = JoinSet::new();
        let mut number = 0;
        for found in files {
            let (loaded, cases) = match self.load(found).await {
                Ok(loaded) => loaded,
                Err(finished) => {
                    report.expect(1);
                    show(&report.add(number, finished))?;
                    number += 1;
                    continue;
                }
            };
            report.expect(cases.len());
            let found = Arc::new(found.clone());
            for Wanted { case, skip, index } in cases {
                if let Some(why) = skip {
                    let outcome = Outcome::Skipped(why);
                    let finished = Finished { case, outcome, elapsed: Duration::ZERO, log: Vec::new() };
                    show(&report.add(number, finished))?;
                } else {
                    while running.len() >= jobs {
                        told(running.join_next().await, report, &mut show)?;
                    }
                    let instance = self.instance(&loaded, number + 1)?;
                    let (motu, logs, found) = (self.motu.clone(), self.logs.clone(), found.clone());
                    let run = Run { motu, instance, found, case, index, logs };
                    running.spawn(async move { (number, run.run().await) });
                }
                number += 1;
            }
        }
        while !running.is_empty() {
            told(running.join_next().await, report, &mut show)?;
        }
        Ok(())
    }

    /// The cases of a file that the filter lets through, or what came of loading it.
    pub(super) async fn cases(&self, found: &Found) -> Result<Vec<Case>, Finished> {
        Ok(self.load(found).await?.1.into_iter().map(|wanted| wanted.case).collect())
    }

    async fn load(&self, found: &Found) -> Result<(Loaded, Vec<Wanted>), Finished> {
        let since = Instant::now();
        self.logs.open(None);
        let loaded = self.listed(found).await;
        let log = self.logs.close(&None);
        loaded.map_err(|problem| {
            let case = Case { file: found.shown(&found.test), names: Vec::new(), line: 0 };
            Finished { case, outcome: Outcome::Wrong(vec![problem]), elapsed: since.elapsed(), log }
        })
    }

    async fn listed(&self, found: &Found) -> Result<(Loaded, Vec<Wanted>), Problem> {
        let raised = |error: Error| problem(&error, found);
        let bundle = testing::bundle(&self.motu, &found.root, &found.test).map_err(raised)?;
        let loaded = self.motu.load(&bundle).await.map_err(raised)?;
        let instance = self.instance(&loaded, 0).map_err(raised)?;
        let file = found.shown(&found.test);
        let mut wanted = Vec::new();
        let (mut seen, mut bytes) = (0, 0);
        loop {
            let page = instance.dispatch::<Page>("list", &(seen + 1)).await.map_err(raised)?.value;
            let (listed, total) = (page.cases.len(), page.total);
            for Listed { names, path, line, skip } in page.cases {
                seen += 1;
                bytes += names.iter().map(String::len).sum::<usize>();
                // 0 for one that another file declared
                let line = if path == found.test { line } else { 0 };
                let case = Case { file: file.clone(), names, line };
                if self.filter.wants(&case) {
                    wanted.push(Wanted { case, skip: skip.as_deref().map(Skip::of_word), index: seen });
                }
            }
            if seen >= total.min(CASES_MAX) {
                return Ok((loaded, wanted));
            } else if listed == 0 || bytes > NAMES_BYTES_MAX {
                return Err(broken("its list of cases doesn't come to an end"));
            }
        }
    }

    /// For a tenant that no other case runs for, so that it finds nothing in motu:kv.
    fn instance(&self, loaded: &Loaded, number: usize) -> Result<Instance, Error> {
        let tenant: Tenant = format!("test:{number}").parse()?;
        Ok(loaded.instance(tenant).with_seed(self.seed).with_grants(self.grants.clone()))
    }
}

impl Run {
    async fn run(self) -> Finished {
        let tenant = self.instance.tenant().clone();
        self.logs.open(Some(tenant.clone()));
        let since = Instant::now();
        let problems = self.problems().await;
        let elapsed = since.elapsed();
        let Run { motu, instance, case, logs, .. } = self;
        drop(instance);
        // so that thousands of cases together keep no more than one of them may
        let deleted = motu.tenant(&tenant).delete_state().await;
        motu.forget(&tenant);
        let mut log = logs.close(&Some(tenant));
        log.extend(
            deleted.err().map(|error| format!("[error] what it set with motu:kv could not be deleted: {error}")),
        );
        if problems.is_empty() {
            log.retain(|line| line.starts_with("[error]")); // a task that failed spoils no case, but isn't silent
            return Finished { case, outcome: Outcome::Passed, elapsed, log };
        }
        Finished { case, outcome: Outcome::Wrong(problems), elapsed, log }
    }

    /// Runs the case and what comes after it.
    async fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let index = Value::from(i64::try_from(self.index).unwrap_or(i64::MAX));
        if let Err(error) = self.instance.dispatch_value("run", &index).await {
            problems.push(problem(&error, &self.found));
        }
        for _ in 0..FINISH_MAX {
            match self.instance.dispatch_value("finish", &Value::Nil).await {
                Ok(left) if left.value.as_f64() == Some(0.0) => {
                    if problems.is_empty() && self.instance.starts() > 1 {
                        problems.push(left_behind(self.instance.status().last_end, &self.found));
                    }
                    return problems;
                }
                Ok(_) => {}
                Err(error) => {
                    problems.push(problem(&error, &self.found));
                    let is_over =
                        matches!(error.kind(), ErrorKind::Internal | ErrorKind::Quarantined | ErrorKind::Stopped);
                    if is_over || problems.len() >= PROBLEMS_MAX {
                        return problems;
                    }
                }
            }
        }
        problems.push(broken("what runs after the case doesn't come to an end"));
        problems
    }
}

/// Tells of a case that is done.
fn told(
    done: Option<Result<(usize, Finished), JoinError>>,
    report: &mut Report,
    show: &mut impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match done {
        Some(Ok((number, finished))) => show(&report.add(number, finished)),
        Some(Err(error)) => Err(Failure::host(format!("a case was given up: {error}"))),
        None => Ok(()),
    }
}

/// What an error means, for people who open files from where the program runs.
fn problem(error: &Error, found: &Found) -> Problem {
    let show = |path: &str| found.shown(path);
    let field = |name: &str| error.value().and_then(|value| value.get(name));
    let cut = |text: &str| text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text).to_owned();
    let text = |name: &str| field(name).and_then(Value::as_str).map(cut);
    // a number that is no line is none
    let line = field("line").and_then(Value::as_f64).and_then(|line| line.to_string().parse().ok());
    match Failed::read(text, line, show) {
        Some(failed) => Problem::Failed(failed),
        None => {
            let raised = Raised::read(error.kind().as_str(), error.message(), error.traceback(), show);
            Problem::Errored(Raised { thrown: error.value().map(crate::report::value), ..raised })
        }
    }
}

/// A task that a case had left behind ended its instance, by this.
fn left_behind(end: Option<String>, found: &Found) -> Problem {
    let what = "a task that the case had left behind ended its instance";
    match end.as_deref().and_then(|end| end.split_once(": ")) {
        Some((kind, message)) => {
            let raised = Raised::read(kind, message, "", |path| found.shown(path));
            Problem::Errored(Raised { message: format!("{what}: {}", raised.message), ..raised })
        }
        None => broken(what),
    }
}

/// An error that the VM doesn't know of.
fn broken(message: &str) -> Problem {
    Problem::Errored(Raised { kind: ErrorKind::Script.to_string(), message: message.to_owned(), ..Raised::default() })
}
