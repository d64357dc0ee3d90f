//! `motu:cron`: schedules of a tenant's own, that outlive instances and the process. `cron.wit` says what they promise, `store`
//! keeps them, `kept` dispatches their events.

pub(crate) mod due;
mod expression;
pub(crate) mod plan;
pub(crate) mod schedule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use due::Missed;
use plan::Plan;
use serde::{Deserialize, Serialize};

use super::kept::{decoded, encoded, failed, owner, seconds};
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::kept::Kept;
use crate::module::HostModule;
use crate::store::{Op, Quota, SCHEDULES_PAGE, Scheduled};
use crate::value::Value;

/// Events that mean something of Motu's own: no schedule makes them.
const RESERVED: [&str; 3] = ["start", "kv_expired", "kv_resume"];

pub(super) fn module(kept: &Arc<Kept>) -> Result<HostModule, Error> {
    let cron = Arc::new(Cron { kept: kept.clone() });
    let module = methods!(HostModule::from_wit(include_str!("cron.wit"))?, cron: {
        "set" => set,
        "delete" => delete,
        "get" => get,
        "list" => list,
    });
    Ok(module.function("next", |context: CallContext, arguments| std::future::ready(next(&context, arguments))))
}

/// The record `schedule`.
#[derive(Debug, Serialize, Deserialize)]
struct Schedule {
    expression: String,
    zone: Option<String>,
    event: String,
    payload: Value,
    missed: Option<Missed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    schedule: Schedule,
    last: f64,
    next: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    entries: Vec<Entry>,
    more_after: Option<String>,
}

/// Reading an expression takes up to 45 us, looking for its next time up to 52 us.
const FUEL: u64 = 1_000_000;

struct Cron {
    kept: Arc<Kept>,
}

impl Cron {
    async fn set(&self, context: &CallContext, (name, schedule): (String, Schedule)) -> Result<f64, Error> {
        context.charge(FUEL * 2);
        if RESERVED.contains(&schedule.event.as_str()) {
            let message = format!("the event {} is one of Motu's own: give another to the schedule", schedule.event);
            return Err(Error::new(ErrorKind::Script, message));
        }
        let plan = Plan {
            expression: schedule.expression,
            zone: schedule.zone.unwrap_or_else(|| "UTC".to_owned()),
            event: schedule.event,
            payload: encoded(&schedule.payload)?,
            missed: schedule.missed.unwrap_or_default(),
        };
        self.change(context, Op::SetSchedule { name: name.clone(), plan }).await?;
        let set = self.kept.store.schedule(&owner(context)?, &name).map_err(failed)?;
        // taken away again meanwhile, or over: there is no next run
        Ok(set.and_then(|set| set.next).map_or(f64::INFINITY, seconds))
    }

    async fn delete(&self, context: &CallContext, name: String) -> Result<(), Error> {
        self.change(context, Op::DeleteSchedule { name }).await
    }

    async fn get(&self, context: &CallContext, name: String) -> Result<Option<Entry>, Error> {
        let found = self.kept.store.schedule(&owner(context)?, &name).map_err(failed)?;
        found.map(|scheduled| entry(name, scheduled)).transpose()
    }

    async fn list(&self, context: &CallContext, after: Option<String>) -> Result<Page, Error> {
        let found = self.kept.store.schedules(&owner(context)?, after.as_deref()).map_err(failed)?;
        let entries = found.into_iter().map(|(name, scheduled)| entry(name, scheduled));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let is_full = entries.len() >= SCHEDULES_PAGE;
        let more_after = entries.last().filter(|_| is_full).map(|entry| entry.name.clone());
        Ok(Page { entries, more_after })
    }

    async fn change(&self, context: &CallContext, op: Op) -> Result<(), Error> {
        let limits = context.limits();
        let quota = Quota { schedules: limits.schedules, schedule_bytes: limits.schedule_bytes, ..Quota::default() };
        let changed = self.kept.change(context.origin, &owner(context)?, &quota, vec![op]).await;
        changed.map(drop).map_err(failed)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "it is in range")]
fn next(
    context: &CallContext,
    (expression, zone, after, count): (String, Option<String>, f64, Option<u32>),
) -> Result<Result<Vec<f64>, String>, Error> {
    let count = count.unwrap_or(1);
    context.charge(FUEL.saturating_mul(u64::from(count.min(schedule::UPCOMING_MAX)) + 1));
    let after = (after * 1000.0).floor();
    if !(-9e15..9e15).contains(&after) {
        return Ok(Err(format!("{} is no time in seconds since 1970", after / 1000.0)));
    }
    let zone = zone.as_deref().unwrap_or("UTC");
    let times = schedule::upcoming(&expression, zone, after as i64, count);
    #[allow(clippy::cast_precision_loss, reason = "a time in milliseconds is below 2^53")]
    Ok(times.map(|times| times.into_iter().map(|at| at as f64 / 1000.0).collect()))
}

fn entry(name: String, scheduled: Scheduled) -> Result<Entry, Error> {
    let Scheduled { plan, last, next, .. } = scheduled;
    let schedule = Schedule {
        expression: plan.expression,
        zone: Some(plan.zone),
        event: plan.event,
        payload: decoded(&plan.payload)?,
        missed: Some(plan.missed),
    };
    Ok(Entry { name, schedule, last: seconds(last), next: next.map(seconds) })
}
