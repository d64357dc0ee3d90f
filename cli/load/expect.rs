//! Expectations: what must hold for a group when a phase is over, by itself or compared with an earlier phase.

use serde::Deserialize;

use super::drive::GroupResult;
use super::scenario::{Phase, Scenario};

/// What must hold for a group when its phase is over.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Expect {
    group: String,
    lost_max: Option<u64>,
    failed_max: Option<u64>,
    answered_min: Option<u64>,
    /// In microseconds.
    p99_us_max: Option<f64>,
    /// Bounds the p99 by that of the same group in `than-phase`, times this. With `p99-us-max` too, the larger of the two bounds
    /// counts.
    p99_times: Option<f64>,
    /// Bounds the fuel that the group burns in a second by what it burns in `than-phase`, times this.
    fuel_times_min: Option<f64>,
    fuel_times_max: Option<f64>,
    /// An earlier phase with the same group. If it is this phase itself, there is nothing to compare.
    than_phase: Option<String>,
}

impl Expect {
    /// Refuses an expectation that could never fail.
    pub(super) fn check(&self, phase: &Phase, before: &[Phase]) -> Result<(), String> {
        let (of, group) = (&phase.name, &self.group);
        let has_group = |phase: &Phase| phase.group.iter().any(|other| other.name == *group);
        if !has_group(phase) {
            return Err(format!("phase {of:?} expects something of a group {group:?} that there isn't"));
        }
        let compares = self.p99_times.is_some() || self.fuel_times_min.is_some() || self.fuel_times_max.is_some();
        let Some(than) = &self.than_phase else {
            if compares {
                let keys = "p99-times, fuel-times-min or fuel-times-max";
                return Err(format!("phase {of:?} has {keys}, which needs than-phase"));
            }
            return Ok(());
        };
        if !compares {
            let keys = "p99-times, fuel-times-min or fuel-times-max";
            return Err(format!("phase {of:?} has than-phase, which needs {keys}"));
        }
        if than != of && !before.iter().any(|other| other.name == *than && has_group(other)) {
            return Err(format!(
                "phase {of:?} is compared with {than:?}: no earlier phase of that name has a group {group:?}"
            ));
        }
        Ok(())
    }
}

/// What a group came to, in parts of what it came to in the phase that it is compared with.
#[derive(Clone, Copy, Default)]
pub(super) struct Compared {
    pub(super) p99_times: Option<f64>,
    pub(super) fuel_times: Option<f64>,
}

/// Compares a result with the phase that its expectations name.
pub(super) fn compared(scenario: &Scenario, results: &[GroupResult], result: &GroupResult) -> Compared {
    let mut compared = Compared::default();
    let phase = scenario.phase.iter().find(|phase| phase.name == result.phase);
    for expect in phase.iter().flat_map(|phase| &phase.expect).filter(|expect| expect.group == result.group) {
        let Some(than) = than(expect, results, result) else { continue };
        if expect.p99_times.is_some() {
            compared.p99_times = times(result.p99_us, than.p99_us);
        }
        if expect.fuel_times_min.is_some() || expect.fuel_times_max.is_some() {
            compared.fuel_times = times(result.fuel_per_second, than.fuel_per_second);
        }
    }
    compared
}

/// The same group's result in the phase that an expectation compares with, unless that is the same phase.
fn than<'a>(expect: &Expect, results: &'a [GroupResult], result: &GroupResult) -> Option<&'a GroupResult> {
    let name = expect.than_phase.as_ref().filter(|name| **name != result.phase)?;
    results.iter().find(|other| other.phase == *name && other.group == expect.group)
}

fn times(value: f64, than: f64) -> Option<f64> {
    (than > 0.0).then(|| value / than)
}

/// What was expected and doesn't hold, in words.
pub(super) fn broken(scenario: &Scenario, results: &[GroupResult]) -> Vec<String> {
    let mut broken = Vec::new();
    for phase in &scenario.phase {
        for expect in &phase.expect {
            let of_group = |result: &&GroupResult| result.phase == phase.name && result.group == expect.group;
            let Some(result) = results.iter().find(of_group) else { continue };
            let mut no = |what: String| broken.push(format!("{}, {}: {what}", phase.name, expect.group));
            if expect.lost_max.is_some_and(|most| result.lost > most) {
                no(format!("{} events lost", result.lost));
            }
            let failed: u64 = result.failed.values().sum();
            if expect.failed_max.is_some_and(|most| failed > most) {
                no(format!("{failed} events failed: {:?}", result.failed));
            }
            if expect.answered_min.is_some_and(|least| result.answered < least) {
                no(format!("{} events answered", result.answered));
            }
            let than = than(expect, results, result);
            let relative = than.zip(expect.p99_times).map(|(than, times)| than.p99_us * times);
            if let Some(most) = relative.into_iter().chain(expect.p99_us_max).reduce(f64::max)
                && result.p99_us > most
            {
                no(format!("p99 of {:.0} us, over {most:.0} us", result.p99_us));
            }
            let Some(than) = than else { continue };
            let fuel = times(result.fuel_per_second, than.fuel_per_second).unwrap_or(0.0);
            let in_phase = &than.phase;
            if let Some(least) = expect.fuel_times_min.filter(|least| fuel < *least) {
                no(format!("{fuel:.2} times the fuel a second of {in_phase:?}, under {least:.2}"));
            }
            if let Some(most) = expect.fuel_times_max.filter(|most| fuel > *most) {
                no(format!("{fuel:.2} times the fuel a second of {in_phase:?}, over {most:.2}"));
            }
        }
    }
    broken
}
