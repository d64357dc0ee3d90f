//! What loads came to, as a table for people or as one JSON object.

use std::fmt::Write;

use serde_json::{Value, json};

use super::drive::GroupResult;
use super::expect::{broken, p99_times};
use super::scenario::Scenario;
use crate::json::escaped;
use crate::report::one_line;

/// What a scenario came to.
pub(super) struct Report {
    file: String,
    about: String,
    /// Each with its p99 in times of the one that it is compared with.
    results: Vec<(GroupResult, Option<f64>)>,
    broken: Vec<String>,
}

impl Report {
    pub(super) fn new(file: &str, scenario: &Scenario, results: Vec<GroupResult>) -> Report {
        let broken = broken(scenario, &results);
        let times: Vec<_> = results.iter().map(|result| p99_times(scenario, &results, result)).collect();
        let results = results.into_iter().zip(times).collect();
        Report { file: file.to_owned(), about: scenario.about.clone(), results, broken }
    }

    /// Whether all that was expected holds.
    pub(super) fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    fn outcome(&self) -> &'static str {
        if self.holds() { "ok" } else { "not held" }
    }

    fn json(&self) -> Value {
        let results: Vec<_> = self
            .results
            .iter()
            .map(|(result, p99_times)| {
                json!({
                    "phase": result.phase, "group": result.group, "tenants": result.tenants,
                    "answered": result.answered, "failed": result.failed, "examples": result.examples,
                    "lost": result.lost,
                    "unsent": result.unsent,
                    "p50_us": result.p50_us, "p99_us": result.p99_us, "p999_us": result.p999_us, "max_us": result.max_us,
                    "p99_times": p99_times, "per_second": result.per_second, "fuel": result.fuel,
                    "fuel_per_second": result.fuel_per_second, "time_part": result.time_part, "rss_mib": result.rss_mib,
                })
            })
            .collect();
        json!({"outcome": self.outcome(), "about": self.about, "results": results, "broken": self.broken})
    }
}

/// One table for all scenarios. The column `p99 x` compares with the phase that an expectation names; `time`
/// is the part of the workers' time.
pub(super) fn table(reports: &[Report]) -> String {
    let mut text = String::new();
    let names = reports.iter().flat_map(|report| &report.results).map(|(result, _)| name(result).chars().count());
    let width = names.max().unwrap_or(0).clamp(28, 60);
    let head = [
        "p50 us", "p99 us", "p999 us", "max us", "p99 x", "events/s", "answered", "failed", "lost", "Mfuel/s", "time",
        "RSS MiB",
    ];
    let _ = write!(text, "{:width$}{:>8}", "phase, group", "tenants");
    for name in head {
        let _ = write!(text, "{name:>10}");
    }
    text.push('\n');
    for report in reports {
        if reports.len() > 1 {
            let _ = writeln!(text, "{}", one_line(&report.file));
        }
        for (result, p99_times) in &report.results {
            row(&mut text, width, result, *p99_times);
        }
    }
    for report in reports {
        for broken in &report.broken {
            let of = if reports.len() > 1 { format!("{}: ", one_line(&report.file)) } else { String::new() };
            let _ = writeln!(text, "not held: {of}{}", one_line(broken));
        }
    }
    if reports.iter().all(Report::holds) {
        text.push_str("ok\n");
    }
    text
}

fn name(result: &GroupResult) -> String {
    one_line(&format!("{}, {}", result.phase, result.group))
}

fn row(text: &mut String, width: usize, result: &GroupResult, p99_times: Option<f64>) {
    let failed: u64 = result.failed.values().sum();
    let times = |times: Option<f64>| times.map(|times| format!("{times:.2}")).unwrap_or_default();
    let _ = writeln!(
        text,
        "{:width$}{:>8}{:>10.0}{:>10.0}{:>10.0}{:>10.0}{:>10}{:>10.0}{:>10}{failed:>10}{:>10}{:>10.1}{:>10.3}{:>10.0}",
        name(result),
        result.tenants,
        result.p50_us,
        result.p99_us,
        result.p999_us,
        result.max_us,
        times(p99_times),
        result.per_second,
        result.answered,
        result.lost,
        result.fuel_per_second / 1e6,
        result.time_part,
        result.rss_mib,
    );
    for (kind, count) in &result.failed {
        let example = result.examples.get(kind).map(|message| format!(": {}", one_line(message))).unwrap_or_default();
        let _ = writeln!(text, "    {kind}: {count}{example}");
    }
}

/// The object of one scenario; of several, an object with a list of theirs, each with the name of its file.
pub(super) fn json(reports: &[Report]) -> String {
    let object = match reports {
        [report] => report.json(),
        reports => {
            let outcome = if reports.iter().all(Report::holds) { "ok" } else { "not held" };
            let scenarios = reports.iter().map(|report| {
                let mut object = report.json();
                if let Some(fields) = object.as_object_mut() {
                    fields.insert("file".to_owned(), report.file.clone().into());
                }
                object
            });
            json!({"outcome": outcome, "scenarios": scenarios.collect::<Vec<_>>()})
        }
    };
    escaped(&object.to_string()) + "\n"
}
