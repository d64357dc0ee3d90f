//! A scenario: phases one after the other, each with groups of tenants that do the same, and what must hold in the end.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use motu::{Bundle, Limits};
use serde::Deserialize;

use super::drive::GroupResult;
use crate::failure::Failure;

/// The most lanes of a phase: tenants times events under way for each.
const LANES_MAX: u64 = 200_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Scenario {
    /// What it shows.
    #[serde(default)]
    pub(super) about: String,
    /// Of the pool. Default: as many as there are processors.
    pub(super) workers: Option<NonZeroUsize>,
    #[serde(default)]
    pub(super) thread_per_tenant: bool,
    /// A phase that takes longer is cut off; what has not ended then is lost.
    #[serde(default = "Scenario::seconds_max")]
    pub(super) seconds_max: u64,
    bundle: BTreeMap<String, Source>,
    pub(super) phase: Vec<Phase>,
    #[serde(skip)]
    pub(super) bundles: BTreeMap<String, Bundle>,
}

/// One of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    /// Relative to the scenario's file.
    path: Option<PathBuf>,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) group: Vec<Group>,
    #[serde(default)]
    expect: Vec<Expect>,
}

/// Tenants that do the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Group {
    pub(super) name: String,
    #[serde(default = "one")]
    pub(super) tenants: u32,
    pub(super) bundle: String,
    /// One event, or several in turn.
    pub(super) event: Events,
    #[serde(default)]
    pub(super) payload: serde_json::Value,
    /// Of the whole group. Without it the group goes on until all others of the phase are done.
    pub(super) events: Option<u64>,
    /// Events a second, for each tenant. Without it, the next follows the answer of the one before.
    pub(super) rate: Option<f64>,
    /// Events under way at once, for each tenant.
    #[serde(default = "one")]
    pub(super) at_once: u32,
    /// Host functions that its scripts may call, beside those of `load:slow`.
    #[serde(default)]
    pub(super) grants: Vec<String>,
    /// Another bundle in the place of the tenants' after so many milliseconds, and back, again and again.
    pub(super) reload_ms: Option<u64>,
    pub(super) reload_bundle: Option<String>,
    #[serde(default)]
    limits: SomeLimits,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Events {
    One(String),
    Several(Vec<String>),
}

impl Events {
    pub(super) fn at(&self, number: u64) -> &str {
        match self {
            Events::One(event) => event,
            Events::Several(events) => {
                let at = usize::try_from(number).unwrap_or(0) % events.len().max(1);
                events.get(at).map_or("", String::as_str)
            }
        }
    }
}

/// Instead of the defaults.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SomeLimits {
    fuel: Option<u64>,
    deadline_ms: Option<u64>,
    memory_mib: Option<u64>,
    mailbox_events: Option<u32>,
    weight: Option<u32>,
    fuel_per_second: Option<u64>,
}

/// What must hold for a group when the phase is over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Expect {
    group: String,
    lost_max: Option<u64>,
    failed_max: Option<u64>,
    answered_min: Option<u64>,
    /// In microseconds.
    p99_us_max: Option<f64>,
    /// At most so many times that of the same group in a phase before, or `p99_us_max` if that is more.
    p99_times: Option<f64>,
    than_phase: Option<String>,
}

fn one() -> u32 {
    1
}

impl Scenario {
    fn seconds_max() -> u64 {
        120
    }

    pub(super) fn read(file: &Path) -> Result<Scenario, Failure> {
        let shown = file.display();
        let text =
            std::fs::read_to_string(file).map_err(|error| Failure::usage(format!("{shown} can't be read: {error}")))?;
        let mut scenario: Scenario = toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{shown}: {}", error.to_string().trim_end())))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for (name, source) in &scenario.bundle {
            let bundle = match (&source.path, &source.source) {
                (Some(path), None) => crate::bundle::open(&folder.join(path))?,
                (None, Some(source)) => Bundle::from_files([("init.luau", source.as_str())])?,
                _ => {
                    return Err(Failure::usage(format!(
                        "{shown}: bundle.{name} has to have either a path or a source"
                    )));
                }
            };
            scenario.bundles.insert(name.clone(), bundle);
        }
        scenario.check().map_err(|problem| Failure::usage(format!("{shown}: {problem}")))?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), String> {
        if self.phase.is_empty() {
            return Err("there is no phase".to_owned());
        }
        for phase in &self.phase {
            let of = &phase.name;
            if phase.group.iter().all(|group| group.events.is_none()) {
                return Err(format!("no group of phase {of:?} has `events`: it would never end"));
            }
            let lanes: u64 = phase.group.iter().map(|group| u64::from(group.tenants) * u64::from(group.at_once)).sum();
            if lanes > LANES_MAX {
                return Err(format!("phase {of:?} has {lanes} events under way at once, and can have {LANES_MAX}"));
            }
            for group in &phase.group {
                let name = &group.name;
                let known = |bundle: &String| self.bundles.contains_key(bundle);
                if !known(&group.bundle) || group.reload_bundle.as_ref().is_some_and(|bundle| !known(bundle)) {
                    return Err(format!("group {name:?} of phase {of:?} names a bundle that there isn't"));
                }
                if group.reload_ms.is_some() != group.reload_bundle.is_some() {
                    return Err(format!(
                        "group {name:?} of phase {of:?} has one of reload-ms and reload-bundle, and needs both"
                    ));
                }
                if group.rate.is_some_and(|rate| !(0.001..=1e7).contains(&rate)) {
                    return Err(format!("the rate of group {name:?} of phase {of:?} is not from 0.001 to 10,000,000"));
                }
                if group.tenants == 0
                    || group.at_once == 0
                    || matches!(&group.event, Events::Several(events) if events.is_empty())
                {
                    return Err(format!("group {name:?} of phase {of:?} has no tenants, nothing at once, or no event"));
                }
            }
            for expect in &phase.expect {
                if !phase.group.iter().any(|group| group.name == expect.group) {
                    return Err(format!(
                        "phase {of:?} expects something of a group {:?} that there isn't",
                        expect.group
                    ));
                }
                if expect.p99_times.is_some() != expect.than_phase.is_some() {
                    return Err(format!("phase {of:?} has one of p99-times and than-phase, and needs both"));
                }
            }
        }
        Ok(())
    }
}

impl Group {
    pub(super) fn limits(&self) -> Limits {
        let (some, defaults) = (&self.limits, Limits { restarts: None, ..Limits::default() });
        Limits {
            event_fuel: some.fuel.or(defaults.event_fuel),
            event_deadline: some.deadline_ms.map(Duration::from_millis).or(defaults.event_deadline),
            memory_bytes: some.memory_mib.map_or(defaults.memory_bytes, |mib| mib << 20),
            mailbox_events: some.mailbox_events.unwrap_or(defaults.mailbox_events),
            weight: some.weight.unwrap_or(defaults.weight),
            fuel_per_second: some.fuel_per_second.or(defaults.fuel_per_second),
            ..defaults
        }
    }
}

/// What was expected and doesn't hold, in words.
pub(super) fn broken(scenario: &Scenario, results: &[GroupResult]) -> Vec<String> {
    let mut broken = Vec::new();
    for phase in &scenario.phase {
        for expect in &phase.expect {
            let find =
                |phase: &str| results.iter().find(|result| result.phase == phase && result.group == expect.group);
            let Some(result) = find(&phase.name) else { continue };
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
            let before = expect.than_phase.as_deref().and_then(find).zip(expect.p99_times);
            let relative = before.map(|(before, times)| before.p99_us * times);
            if let Some(most) = relative.into_iter().chain(expect.p99_us_max).reduce(f64::max)
                && result.p99_us > most
            {
                no(format!("p99 of {:.0} us, over {most:.0} us", result.p99_us));
            }
        }
    }
    broken
}
