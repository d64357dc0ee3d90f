//! Runs a scenario's phases: each tenant of a group has lanes that dispatch one event after the other.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use motu::{Bundle, Motu, TenantRef, Value};
use tokio::task::JoinSet;

use super::scenario::{Group, Phase, Scenario, URL};
use crate::failure::Failure;
use crate::run::refuse_vain;

/// What a group came to in a phase.
pub(super) struct GroupResult {
    pub(super) phase: String,
    pub(super) group: String,
    pub(super) tenants: u32,
    pub(super) answered: u64,
    /// By kind.
    pub(super) failed: BTreeMap<String, u64>,
    /// Of each kind of failure, the message of the first, cut short.
    pub(super) examples: BTreeMap<String, String>,
    /// Dispatched, and neither answered nor failed when the phase was cut off.
    pub(super) lost: u64,
    /// Not dispatched when the phase was cut off, of those that the group was to have.
    pub(super) unsent: u64,
    /// Whether the phase was cut off while the group had events to come, or under way.
    pub(super) is_cut: bool,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
    pub(super) per_second: f64,
    /// Burnt while the phase ran, loading not counted.
    pub(super) fuel: u64,
    pub(super) fuel_per_second: f64,
    /// The part of all workers' time that they charged to it.
    pub(super) time_part: f64,
    pub(super) rss_mib: f64,
}

/// What the lanes of a group count together.
struct Counts {
    begun: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
    /// By kind: how many, and the message of the first.
    failed: Mutex<BTreeMap<String, (u64, String)>>,
    latency: Mutex<Histogram<u64>>,
}

impl Counts {
    fn new() -> Result<Counts, Failure> {
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3);
        let latency = histogram.map_err(|error| Failure::host(format!("no histogram: {error}")))?;
        Ok(Counts {
            begun: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: Mutex::default(),
            latency: Mutex::new(latency),
        })
    }

    fn record(&self, since: Instant, failed: Option<&motu::Error>) {
        match failed {
            None => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.took(since);
            }
            Some(error) => self.fail(error.kind().as_str(), error.message()),
        }
    }

    fn fail(&self, kind: &str, message: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = failed.entry(kind.to_owned()).or_insert_with(|| (0, cut(message, EXAMPLE_CHARS_MAX)));
        *count += 1;
    }

    fn took(&self, since: Instant) {
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanos);
    }

    fn failed(&self) -> u64 {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).values().map(|(count, _)| count).sum()
    }
}

/// An event whose answer has not come. One that is given up with its lane counts as an event that took that long, at least: a
/// phase that is cut off must not look fast.
struct Waiting<'a> {
    counts: &'a Counts,
    since: Instant,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.counts.took(self.since);
        }
    }
}

/// Refuses grants that allow nothing, in any phase.
pub(super) fn check_grants(motu: &Motu, scenario: &Scenario) -> Result<(), Failure> {
    for phase in &scenario.phase {
        for group in &phase.group {
            let grants = group.grants().map_err(motu::Error::from)?;
            refuse_vain(motu, &grants).map_err(|failure| failure.of(group.of(phase)))?;
        }
    }
    Ok(())
}

/// Runs all phases. `url` is the server's, if the scenario has one.
pub(super) async fn run(
    motu: &Motu,
    scenario: &Scenario,
    url: Option<&str>,
    progress: bool,
) -> Result<Vec<GroupResult>, Failure> {
    let mut results = Vec::new();
    for phase in &scenario.phase {
        results.extend(one_phase(motu, scenario, phase, url, progress).await?);
    }
    Ok(results)
}

async fn one_phase(
    motu: &Motu,
    scenario: &Scenario,
    phase: &Phase,
    url: Option<&str>,
    progress: bool,
) -> Result<Vec<GroupResult>, Failure> {
    let over = Arc::new(AtomicBool::new(false));
    let (mut bounded, mut endless) = (JoinSet::new(), JoinSet::new());
    let mut groups = Vec::new();
    for group in &phase.group {
        let counts = Arc::new(Counts::new()?);
        let (payload, tenants) =
            prepared(motu, scenario, group, url).await.map_err(|failure| failure.of(group.of(phase)))?;
        groups.push((group, counts, payload, tenants));
    }
    let used = |tenants: &[TenantRef]| {
        (tenants.iter().map(TenantRef::fuel).sum::<u64>(), tenants.iter().map(TenantRef::time).sum::<Duration>())
    };
    let used_before: Vec<_> = groups.iter().map(|(_, _, _, tenants)| used(tenants)).collect();
    let since = Instant::now();
    for (group, counts, payload, tenants) in &groups {
        let lanes = f64::from(group.tenants) * f64::from(group.at_once);
        for (number, tenant) in (0u32..).zip(tenants) {
            for lane in 0..group.at_once {
                // lanes don't all begin at once
                let place = f64::from(lane) * f64::from(group.tenants) + f64::from(number);
                let lane = Lane {
                    place: place / lanes,
                    tenant: tenant.clone(),
                    counts: counts.clone(),
                    payload: payload.clone(),
                    events: group.events.unwrap_or(u64::MAX),
                    pause: group.rate.map(|rate| Duration::from_secs_f64(f64::from(group.at_once) / rate)),
                    names: (0..64).map(|number| group.event.at(number).to_owned()).collect(),
                    over: over.clone(),
                };
                let _ = if group.events.is_some() { bounded.spawn(lane.run()) } else { endless.spawn(lane.run()) };
            }
            if let (Some(ms), Some(other)) = (group.reload_ms, &group.reload_bundle) {
                let versions = [bundle(scenario, other)?.clone(), bundle(scenario, &group.bundle)?.clone()];
                let _ = endless.spawn(reload(tenant.clone(), versions, Duration::from_millis(ms.max(1)), over.clone()));
            }
        }
    }
    let all = async {
        match phase.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
            None => while bounded.join_next().await.is_some() {},
        }
    };
    let shown = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if progress {
                show(phase, groups.iter().map(|(group, counts, ..)| (*group, &**counts)));
            }
        }
    };
    let limit = tokio::time::sleep(Duration::from_secs(scenario.seconds_max));
    let is_cut = tokio::select! {
        () = all => false,
        () = shown => false,
        () = limit => true,
    };
    over.store(true, Ordering::Relaxed);
    let took = since.elapsed();
    let tenants = groups.iter().map(|(group, ..)| u64::from(group.tenants)).sum();
    let threads = scenario.threads(tenants) as f64;
    let used: Vec<Used> = groups
        .iter()
        .zip(used_before)
        .map(|((_, _, _, tenants), (fuel_before, time_before))| {
            let (fuel, time) = used(tenants);
            let time = time.saturating_sub(time_before).as_secs_f64();
            let time_part = time / (took.as_secs_f64() * threads).max(1e-9);
            Used { fuel: fuel.saturating_sub(fuel_before), time_part, took, is_cut }
        })
        .collect();
    bounded.shutdown().await;
    // What goes on without end is killed until it has ended: a kill leaves events in the mailbox, which begin anew. None may run
    // into the next phase.
    let until = Instant::now() + Duration::from_secs(5);
    while !endless.is_empty() && Instant::now() < until {
        for (_, _, _, tenants) in groups.iter().filter(|(group, ..)| group.events.is_none()) {
            tenants.iter().for_each(TenantRef::kill);
        }
        let end = async { while endless.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(10), end).await;
    }
    endless.shutdown().await;
    if progress {
        clear();
    }
    let results =
        groups.iter().zip(used).map(|((group, counts, ..), used)| summary(phase, group, counts, &used)).collect();
    for (_, _, _, tenants) in &groups {
        for tenant in tenants {
            motu.forget(tenant.id());
        }
    }
    Ok(results)
}

/// The payload and the tenants of a group.
async fn prepared(
    motu: &Motu,
    scenario: &Scenario,
    group: &Group,
    url: Option<&str>,
) -> Result<(Value, Vec<TenantRef>), Failure> {
    let payload = payload(&group.payload, url)?;
    let grants = group.grants().map_err(motu::Error::from)?;
    let mut tenants = Vec::new();
    for number in 0..group.tenants {
        let name = format!("{}:{number}", group.kind()).parse()?;
        let tenant = motu.tenant(&name);
        tenant.set_limits(Some(group.limits()))?;
        tenant.set_grants(Some(grants.clone()));
        tenant.deploy("main", bundle(scenario, &group.bundle)?).await?;
        tenants.push(tenant);
    }
    Ok((payload, tenants))
}

struct Lane {
    tenant: TenantRef,
    counts: Arc<Counts>,
    payload: Value,
    events: u64,
    pause: Option<Duration>,
    /// Where in a pause it begins, from 0 to 1.
    place: f64,
    names: Vec<String>,
    over: Arc<AtomicBool>,
}

impl Lane {
    async fn run(self) {
        let mut next = Instant::now() + self.pause.unwrap_or_default().mul_f64(self.place);
        while !self.over.load(Ordering::Relaxed) {
            let number = self.counts.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.events {
                return;
            }
            let since = match self.pause {
                Some(pause) => {
                    // one that is late because the one before took long counts from when it was to be sent, so that a
                    // stall is seen in all that it held up; that a timer is late by itself is not Motu's doing
                    let due = next;
                    next += pause;
                    let late = due <= Instant::now();
                    tokio::time::sleep_until(due.into()).await;
                    if late { due } else { Instant::now() }
                }
                None => Instant::now(),
            };
            let name = usize::try_from(number).ok().and_then(|number| self.names.get(number % self.names.len().max(1)));
            self.counts.sent.fetch_add(1, Ordering::Relaxed);
            let mut waiting = Waiting { counts: &self.counts, since, answered: false };
            let answers = self.tenant.dispatch_value(name.map_or("", String::as_str), &self.payload).await;
            waiting.answered = true;
            // what is refused is answered at once: others, and the clock, have this thread in between
            tokio::task::yield_now().await;
            match answers {
                Ok(answers) if answers.is_empty() => {
                    let event = name.map_or("", String::as_str);
                    self.counts.fail(UNHANDLED, &format!("nothing handles the event {event:?}"));
                }
                Ok(answers) => {
                    for answer in answers {
                        self.counts.record(since, answer.result.as_ref().err());
                        if answer.result.as_ref().is_ok_and(|outcome| is_long(&outcome.value)) {
                            drop(tokio::task::spawn_blocking(move || drop(answer)));
                        }
                    }
                }
                Err(error) => self.counts.record(since, Some(&error)),
            }
        }
    }
}

/// Whether a value takes long to be dropped: a million values take 20 ms, which are no event's latency.
fn is_long(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.len() > 1_000,
        Value::Map(pairs) => pairs.len() > 1_000,
        _ => false,
    }
}

async fn reload(tenant: TenantRef, versions: [Bundle; 2], pause: Duration, over: Arc<AtomicBool>) {
    for version in versions.iter().cycle() {
        tokio::time::sleep(pause).await;
        if over.load(Ordering::Relaxed) || tenant.deploy("main", version).await.is_err() {
            return;
        }
    }
}

fn bundle<'a>(scenario: &'a Scenario, name: &str) -> Result<&'a Bundle, Failure> {
    scenario.bundles.get(name).ok_or_else(|| Failure::usage(format!("there is no bundle {name:?}")))
}

fn payload(json: &serde_json::Value, url: Option<&str>) -> Result<Value, Failure> {
    // of all JSON, only strings can contain what stands for the URL, and a URL has nothing to escape
    let text = json.to_string().replace(URL, url.unwrap_or(URL));
    crate::json::parse(&text, 64).map_err(|problem| Failure::usage(format!("payload: {problem}")))
}

/// The most characters of an example that are shown.
const EXAMPLE_CHARS_MAX: usize = 300;

/// The start of a text, with dots if it is longer.
fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What an event is counted as that its bundle has no handler for: a mistake in the scenario.
pub(super) const UNHANDLED: &str = "not handled";

/// What a group used in a phase.
struct Used {
    fuel: u64,
    time_part: f64,
    took: Duration,
    /// Whether the phase was cut off.
    is_cut: bool,
}

fn summary(phase: &Phase, group: &Group, counts: &Counts, used: &Used) -> GroupResult {
    let Used { fuel, time_part, took, is_cut } = *used;
    let latency = counts.latency.lock().unwrap_or_else(PoisonError::into_inner);
    let us = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
    let answered = counts.answered.load(Ordering::Relaxed);
    let failures = counts.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let sent = counts.sent.load(Ordering::Relaxed);
    let (lost, unsent) = match group.events {
        Some(events) => (sent.saturating_sub(answered + counts.failed()), events.saturating_sub(sent)),
        None => (0, 0),
    };
    GroupResult {
        phase: phase.name.clone(),
        group: group.name.clone(),
        tenants: group.tenants,
        answered,
        failed: failures.iter().map(|(kind, (count, _))| (kind.clone(), *count)).collect(),
        examples: failures.into_iter().map(|(kind, (_, example))| (kind, example)).collect(),
        lost,
        unsent,
        is_cut: is_cut && lost + unsent > 0,
        p50_us: us(0.5),
        p99_us: us(0.99),
        p999_us: us(0.999),
        max_us: latency.max() as f64 / 1e3,
        per_second: answered as f64 / took.as_secs_f64().max(1e-9),
        fuel,
        fuel_per_second: fuel as f64 / took.as_secs_f64().max(1e-9),
        time_part,
        rss_mib: rss_mib(),
    }
}

/// What the process has in memory now; 0 where the kernel doesn't say.
fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// A bar on stderr, where somebody may see it.
fn show<'a>(phase: &Phase, groups: impl Iterator<Item = (&'a Group, &'a Counts)>) {
    let mut stderr = std::io::stderr().lock();
    if !stderr.is_terminal() {
        return;
    }
    let (mut done, mut all) = (0, 0);
    for (group, counts) in groups {
        if let Some(events) = group.events {
            all += events;
            done += (counts.answered.load(Ordering::Relaxed) + counts.failed()).min(events);
        }
    }
    let filled = usize::try_from(done * 30 / all.max(1)).unwrap_or(30).min(30);
    let bar = "#".repeat(filled) + &".".repeat(30 - filled);
    let _ = write!(stderr, "\r{} [{bar}] {done} of {all} events\x1b[K", crate::report::one_line(&phase.name));
    let _ = stderr.flush();
}

fn clear() {
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K");
    }
}
