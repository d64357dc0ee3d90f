//! What an operator sees of events: a `tracing` span for each, and counters through the `metrics` facade.
//!
//! The span `event`, target `motu::event`, level debug, has the fields tenant, bundle, event, outcome (`ok`, or the kind of
//! the error), fuel, memory_bytes and elapsed_us. It is made when the event is taken, and closes when it has ended.
//!
//! | metric | labels | |
//! |---|---|---|
//! | `motu_events_total` | outcome | events that ended |
//! | `motu_refused_total` | kind | events that were not taken: a full mailbox, a quarantine, a drain |
//! | `motu_fuel_total` | | fuel that events used |
//! | `motu_event_seconds` | | from the taking of an event to its end, waiting included; a histogram |
//! | `motu_denied_total` | | calls of host functions that no grant allowed |
//! | `motu_starts_total` | | VMs that were started for instances |
//! | `motu_warnings_dropped_total` | | warnings about tenants that were not logged, because there were more than 10 a second of one |
//!
//! A tenant is never a label: there may be a hundred thousand. Motu installs neither a subscriber nor a recorder.

use tracing::Span;
use tracing::field::Empty;

use crate::clock::Clock;
use crate::error::Error;
use crate::outcome::Usage;
use crate::rates::Rates;
use crate::strategy::Spec;
use crate::tenant::Tenant;

/// How many warnings about one tenant are logged in a second.
const WARNINGS_PER_SECOND: u32 = 10;

/// Warnings in the operator's log about what scripts do. A tenant can make as many as it wants, and must not fill the log.
pub(crate) struct Warnings(Rates<()>);

impl Default for Warnings {
    fn default() -> Warnings {
        Warnings(Rates::new(Clock::default()))
    }
}

impl Warnings {
    /// Whether to log one more about a tenant; counts it if not.
    pub(crate) fn may_warn(&self, tenant: &Tenant) -> bool {
        let may = self.0.take((), tenant, WARNINGS_PER_SECOND, 1).is_ok();
        if !may {
            metrics::counter!("motu_warnings_dropped_total").increment(1);
        }
        may
    }
}

pub(crate) fn begun(spec: &Spec, event: Option<&str>) -> Span {
    tracing::debug_span!(
        target: "motu::event",
        "event",
        tenant = display(&spec.tenant),
        bundle = &*spec.name,
        event,
        outcome = Empty,
        fuel = Empty,
        memory_bytes = Empty,
        elapsed_us = Empty,
    )
}

pub(crate) fn ended(span: &Span, error: Option<&Error>, usage: Usage) {
    let outcome = error.map_or("ok", |error| error.kind().as_str());
    if !span.is_disabled() {
        span.record("outcome", outcome);
        span.record("fuel", usage.fuel);
        span.record("memory_bytes", usage.memory_bytes);
        span.record("elapsed_us", u64::try_from(usage.elapsed.as_micros()).unwrap_or(u64::MAX));
    }
    metrics::counter!("motu_events_total", "outcome" => outcome).increment(1);
    metrics::counter!("motu_fuel_total").increment(usage.fuel);
    metrics::histogram!("motu_event_seconds").record(usage.elapsed.as_secs_f64());
}

pub(crate) fn refused(error: &Error) {
    metrics::counter!("motu_refused_total", "kind" => error.kind().as_str()).increment(1);
}

pub(crate) fn denied() {
    metrics::counter!("motu_denied_total").increment(1);
}

pub(crate) fn started() {
    metrics::counter!("motu_starts_total").increment(1);
}
