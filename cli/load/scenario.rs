//! A scenario: phases one after the other, each with groups of tenants that do the same, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use motu::{Bundle, Grants, GrantsError, Limits};
use serde::Deserialize;

use super::expect::Expect;
use crate::failure::Failure;
use crate::file::{SCENARIO, read_text};

/// The most lanes of a phase: tenants times events under way for each.
const LANES_MAX: u64 = 200_000;

/// What the server's URL takes the place of in a payload.
pub(super) const URL: &str = "{url}";

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
    /// A phase that takes longer is cut off: what has not ended then is lost, and the scenario doesn't hold.
    #[serde(default = "Scenario::seconds_max")]
    pub(super) seconds_max: u64,
    /// Starts an HTTP server on loopback that scripts may reach. `{url}` in a payload becomes its URL.
    #[serde(default)]
    pub(super) serve: bool,
    /// Memory for images of bundles that no instance uses. At 0, each deployment loads its bundle again.
    pub(super) image_mib: Option<u32>,
    bundle: BTreeMap<String, Source>,
    #[serde(default)]
    every: Every,
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

/// Groups and expectations that each phase has beside its own.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Every {
    #[serde(default)]
    group: Vec<Group>,
    #[serde(default)]
    expect: Vec<Expect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Phase {
    pub(super) name: String,
    /// How long the phase takes. No group of it has `events` then: all of them always have work. Without it, the phase takes
    /// until the groups that have `events` are done.
    pub(super) seconds: Option<f64>,
    #[serde(default)]
    pub(super) group: Vec<Group>,
    #[serde(default)]
    pub(super) expect: Vec<Expect>,
}

/// Tenants that do the same.
#[derive(Clone, Deserialize)]
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

#[derive(Clone, Deserialize)]
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
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SomeLimits {
    fuel: Option<u64>,
    deadline_ms: Option<u64>,
    memory_mib: Option<u64>,
    mailbox_events: Option<u32>,
    weight: Option<u32>,
    fuel_per_second: Option<u64>,
    /// By the package of a module, as in `{ "motu:http" = 100 }`. Other packages keep their default.
    #[serde(default)]
    calls_per_second: BTreeMap<String, u32>,
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
            read_text(file, SCENARIO).map_err(|error| Failure::usage(format!("{shown} can't be read: {error}")))?;
        let mut scenario: Scenario = toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{shown}: {}", error.to_string().trim_end())))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for (name, source) in &scenario.bundle {
            let bundle = match (&source.path, &source.source) {
                (Some(path), None) => crate::bundle::open(&folder.join(path)).map_err(|failure| failure.of(&shown))?,
                (None, Some(source)) => Bundle::from_files([("init.luau", source.as_str())])
                    .map_err(|error| Failure::from(error).of(&shown))?,
                _ => {
                    return Err(Failure::usage(format!(
                        "{shown}: bundle.{name} has to have either a path or a source"
                    )));
                }
            };
            scenario.bundles.insert(name.clone(), bundle);
        }
        for phase in &mut scenario.phase {
            phase.group.splice(0..0, scenario.every.group.iter().cloned());
            phase.expect.splice(0..0, scenario.every.expect.iter().cloned());
        }
        scenario.check().map_err(|problem| Failure::usage(format!("{shown}: {problem}")))?;
        Ok(scenario)
    }

    /// The threads that run scripts, in a phase with so many tenants.
    pub(super) fn threads(&self, tenants: u64) -> u64 {
        let processors = || std::thread::available_parallelism().ok();
        let pool = self.workers.or_else(processors).map_or(1, |workers| workers.get() as u64);
        if self.thread_per_tenant { tenants } else { pool }
    }

    fn check(&self) -> Result<(), String> {
        if self.phase.is_empty() {
            return Err("there is no phase".to_owned());
        }
        for (at, phase) in self.phase.iter().enumerate() {
            let before = self.phase.get(..at).unwrap_or_default();
            if before.iter().any(|other| other.name == phase.name) {
                return Err(format!("two phases have the name {:?}", phase.name));
            }
            self.check_phase(phase)?;
            for expect in &phase.expect {
                expect.check(phase, before)?;
            }
        }
        Ok(())
    }

    fn check_phase(&self, phase: &Phase) -> Result<(), String> {
        let of = &phase.name;
        match phase.seconds {
            None if phase.group.iter().all(|group| group.events.is_none()) => {
                return Err(format!("no group of phase {of:?} has `events`: it would never end"));
            }
            Some(_) if phase.group.iter().any(|group| group.events.is_some()) => {
                return Err(format!("phase {of:?} has `seconds`, so no group of it can have `events`"));
            }
            Some(seconds) if !(0.01..=self.seconds_max as f64).contains(&seconds) => {
                let most = self.seconds_max;
                return Err(format!(
                    "the seconds of phase {of:?} are not from 0.01 to {most}, the scenario's seconds-max"
                ));
            }
            _ => {}
        }
        let lanes: u64 = phase.group.iter().map(|group| u64::from(group.tenants) * u64::from(group.at_once)).sum();
        if lanes > LANES_MAX {
            return Err(format!("phase {of:?} has {lanes} events under way at once, and can have {LANES_MAX}"));
        }
        let mut kinds = BTreeSet::new();
        for group in &phase.group {
            let name = &group.name;
            if !kinds.insert(group.kind()) {
                let kind = group.kind();
                return Err(format!(
                    "two groups of phase {of:?} would have the tenants {kind}:0 and on: {name:?} is one"
                ));
            }
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
            group.grants().map_err(|error| format!("{}: {error}", group.of(phase)))?;
            if !self.serve && group.payload.to_string().contains(URL) {
                return Err(format!("a payload of phase {of:?} has {URL:?}, which needs `serve = true`"));
            }
        }
        Ok(())
    }
}

impl Group {
    /// What messages call it.
    pub(super) fn of(&self, phase: &Phase) -> String {
        format!("group {:?} of phase {:?}", self.name, phase.name)
    }

    /// What its tenants may call.
    pub(super) fn grants(&self) -> Result<Grants, GrantsError> {
        Grants::parse(self.grants.iter().map(String::as_str).chain(["load:slow/*"]))
    }

    /// The kind of its tenants, made of its name: a kind has few characters.
    pub(super) fn kind(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let kind: String = self.name.chars().take(64).map(letter).collect();
        if kind.is_empty() { "group".to_owned() } else { kind }
    }

    pub(super) fn limits(&self) -> Limits {
        let (some, defaults) = (&self.limits, Limits { restarts: None, ..Limits::default() });
        let mut calls_per_second = defaults.calls_per_second;
        calls_per_second.extend(some.calls_per_second.clone());
        Limits {
            calls_per_second,
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
