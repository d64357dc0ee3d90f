//! What a load came to, as a table for people or as one JSON object.

use std::fmt::Write;

use serde_json::json;

use super::drive::GroupResult;
use super::scenario::Scenario;
use crate::report::plain;

pub(super) fn table(results: &[GroupResult], broken: &[String]) -> String {
    let mut text = String::new();
    let head = ["p50 us", "p99 us", "p999 us", "max us", "events/s", "answered", "failed", "lost", "RSS MiB"];
    let _ = write!(text, "{:28}{:>8}", "phase, group", "tenants");
    for name in head {
        let _ = write!(text, "{name:>10}");
    }
    text.push('\n');
    for result in results {
        let name = plain(&format!("{}, {}", result.phase, result.group));
        let failed: u64 = result.failed.values().sum();
        let _ = writeln!(
            text,
            "{name:28}{:>8}{:>10.0}{:>10.0}{:>10.0}{:>10.0}{:>10.0}{:>10}{failed:>10}{:>10}{:>10.0}",
            result.tenants,
            result.p50_us,
            result.p99_us,
            result.p999_us,
            result.max_us,
            result.per_second,
            result.answered,
            result.lost,
            result.rss_mib,
        );
        for (kind, count) in &result.failed {
            let _ = writeln!(text, "    {kind}: {count}");
        }
    }
    for broken in broken {
        let _ = writeln!(text, "not held: {}", plain(broken));
    }
    if broken.is_empty() {
        text.push_str("ok\n");
    }
    text
}

pub(super) fn json(scenario: &Scenario, results: &[GroupResult], broken: &[String]) -> String {
    let results: Vec<_> = results
        .iter()
        .map(|result| {
            json!({
                "phase": result.phase, "group": result.group, "tenants": result.tenants,
                "answered": result.answered, "failed": result.failed, "lost": result.lost,
                "p50_us": result.p50_us, "p99_us": result.p99_us, "p999_us": result.p999_us, "max_us": result.max_us,
                "per_second": result.per_second, "fuel": result.fuel, "rss_mib": result.rss_mib,
            })
        })
        .collect();
    let outcome = if broken.is_empty() { "ok" } else { "not held" };
    format!("{}\n", json!({"outcome": outcome, "about": scenario.about, "results": results, "broken": broken}))
}
