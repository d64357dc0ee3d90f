//! Expectations: what must hold for a group when a phase is over, by itself or compared with an earlier phase.

use serde::Deserialize;

use super::drive::{GroupResult, UNHANDLED};
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
    /// Bounds the group's part of the workers' time, as they charged it: 0.5 is half of all of them. A group of plain code beside
    /// another shows what the other is not charged for, whatever the machine's pace is.
    time_min: Option<f64>,
    time_max: Option<f64>,
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
        let counts = [self.lost_max, self.failed_max, self.answered_min];
        let bounds = [self.p99_us_max, self.p99_times, self.time_min, self.time_max];
        if counts.iter().all(Option::is_none) && bounds.iter().all(Option::is_none) {
            return Err(format!(
                "phase {of:?} expects nothing of the group {group:?}: give a bound, as lost-max or p99-us-max"
            ));
        }
        let Some(than) = &self.than_phase else {
            if self.p99_times.is_some() {
                return Err(format!("phase {of:?} has p99-times, which needs than-phase"));
            }
            return Ok(());
        };
        if self.p99_times.is_none() {
            return Err(format!("phase {of:?} has than-phase, which needs p99-times"));
        }
        if than != of && !before.iter().any(|other| other.name == *than && has_group(other)) {
            return Err(format!(
                "phase {of:?} is compared with {than:?}: no earlier phase of that name has a group {group:?}"
            ));
        }
        Ok(())
    }
}

/// The p99 of a group, in times of what it was in the phase that its expectations name.
pub(super) fn p99_times(scenario: &Scenario, results: &[GroupResult], result: &GroupResult) -> Option<f64> {
    let phase = scenario.phase.iter().find(|phase| phase.name == result.phase)?;
    let of_group = |expect: &&Expect| expect.group == result.group && expect.p99_times.is_some();
    let than = phase.expect.iter().filter(of_group).find_map(|expect| than(expect, results, result))?;
    (than.p99_us > 0.0).then(|| result.p99_us / than.p99_us)
}

/// The same group's result in the phase that an expectation compares with, unless that is the same phase.
fn than<'a>(expect: &Expect, results: &'a [GroupResult], result: &GroupResult) -> Option<&'a GroupResult> {
    let name = expect.than_phase.as_ref().filter(|name| **name != result.phase)?;
    results.iter().find(|other| other.phase == *name && other.group == expect.group)
}

/// What was expected and doesn't hold, in words.
pub(super) fn broken(scenario: &Scenario, results: &[GroupResult]) -> Vec<String> {
    let mut broken = Vec::new();
    for result in results.iter().filter(|result| result.failed.contains_key(UNHANDLED)) {
        broken.push(format!("{}, {}: its bundle has no handler of the event's name", result.phase, result.group));
    }
    for result in results.iter().filter(|result| result.is_cut) {
        let (of, group, seconds) = (&result.phase, &result.group, scenario.seconds_max);
        let (lost, unsent) = (result.lost, result.unsent);
        broken.push(format!(
            "{of}, {group}: cut off after {seconds} s, the scenario's seconds-max: {lost} events had not ended, and {unsent} not begun"
        ));
    }
    for result in results {
        let of_group = |phase: &&Phase| phase.name == result.phase;
        let mut expected = scenario.phase.iter().filter(of_group).flat_map(|phase| &phase.expect);
        let may_fail = expected.any(|expect| expect.group == result.group && expect.failed_max.is_some());
        if let Some(denied) = result.failed.get("denied").filter(|_| !may_fail) {
            broken.push(format!(
                "{}, {}: {denied} events failed for want of a grant; give the group `grants` that fit, or its [[phase.expect]] a failed-max if they are meant to",
                result.phase, result.group
            ));
        }
    }
    for phase in &scenario.phase {
        for expect in &phase.expect {
            let of_group = |result: &&GroupResult| result.phase == phase.name && result.group == expect.group;
            let Some(result) = results.iter().find(of_group) else { continue };
            let mut no = |what: String| broken.push(format!("{}, {}: {what}", phase.name, expect.group));
            if let Some(most) = expect.lost_max.filter(|most| result.lost > *most) {
                no(format!("{} events lost, over {most}", result.lost));
            }
            let failed: u64 = result.failed.values().sum();
            if let Some(most) = expect.failed_max.filter(|most| failed > *most) {
                let kinds: Vec<_> = result.failed.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
                no(format!("{failed} events failed, over {most} ({})", kinds.join(", ")));
            }
            if let Some(least) = expect.answered_min.filter(|least| result.answered < *least) {
                no(format!("{} events answered, under {least}", result.answered));
            }
            let than = than(expect, results, result);
            let relative = than.zip(expect.p99_times).map(|(than, times)| than.p99_us * times);
            if let Some(most) = relative.into_iter().chain(expect.p99_us_max).reduce(f64::max) {
                if result.answered == 0 {
                    no("no event was answered, so there is no p99".to_owned());
                } else if result.p99_us > most {
                    no(format!("p99 of {:.0} us, over {most:.0} us", result.p99_us));
                }
            }
            let part = result.time_part;
            if let Some(least) = expect.time_min.filter(|least| part < *least) {
                no(format!("{part:.3} of the workers' time, under {least:.3}"));
            }
            if let Some(most) = expect.time_max.filter(|most| part > *most) {
                no(format!("{part:.3} of the workers' time, over {most:.3}"));
            }
        }
    }
    broken
}
