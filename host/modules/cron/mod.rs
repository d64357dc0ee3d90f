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
use schedule::Upcoming;
use serde::{Deserialize, Serialize};

use super::kept::{READ, READ_ROW, Rate, Steps, WRITE, WRITE_BYTE, failed, owner, seconds};
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::kept::Kept;
use crate::module::HostModule;
use crate::store::{Op, Owner, Quota, SCHEDULES_PAGE, Scheduled};
use crate::value::Shown;
use crate::wire::Encoded;

/// Events that mean something of Motu's own: no schedule makes them.
const RESERVED: [&str; 3] = ["start", "kv_expired", "kv_resume"];

pub(super) fn module(kept: &Arc<Kept>) -> Result<HostModule, Error> {
    let rate = Rate::new("cron_operations_per_second", kept.clock.clone());
    let cron = Arc::new(Cron { kept: kept.clone(), rate });
    let module = methods!(HostModule::from_wit(include_str!("cron.wit"))?, cron: {
        "set" => set,
        "delete" => delete,
        "get" => get,
        "list" => list,
        "next" => next,
    });
    Ok(module)
}

/// The record `schedule`.
#[derive(Debug, Serialize, Deserialize)]
struct Schedule {
    expression: String,
    zone: Option<String>,
    event: String,
    payload: Encoded,
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

/// How many looks for a next time are one step.
const LOOKS: u32 = 8;

struct Cron {
    kept: Arc<Kept>,
    rate: Rate,
}

impl Cron {
    /// Counts a call, and says whose it is.
    fn owner(&self, context: &CallContext) -> Result<Owner, Error> {
        self.rate.take(context, context.limits().cron_operations_per_second, 1)?;
        owner(context)
    }

    async fn set(&self, context: &CallContext, (name, schedule): (String, Schedule)) -> Result<f64, Error> {
        let owner = self.owner(context)?;
        context.charge(FUEL * 3); // it is read here and by the store's thread, which looks ahead too
        if RESERVED.contains(&schedule.event.as_str()) {
            let message = format!("the event {} is one of Motu's own: give another to the schedule", schedule.event);
            return Err(Error::new(ErrorKind::Script, message));
        }
        let plan = Plan {
            expression: schedule.expression,
            zone: schedule.zone.unwrap_or_else(|| "UTC".to_owned()),
            event: schedule.event,
            payload: Steps::new(context).encoded(&schedule.payload).await?,
            missed: schedule.missed.unwrap_or_default(),
        };
        context.charge(WRITE_BYTE.saturating_mul(plan.bytes() as u64));
        self.change(context, &owner, Op::SetSchedule { name: name.clone(), plan }).await?;
        let set = self.kept.store.schedule(&owner, &name).map_err(failed)?;
        // taken away again meanwhile, or over: there is no next run
        Ok(set.and_then(|set| set.next).map_or(f64::INFINITY, seconds))
    }

    async fn delete(&self, context: &CallContext, name: String) -> Result<(), Error> {
        let owner = self.owner(context)?;
        self.change(context, &owner, Op::DeleteSchedule { name }).await
    }

    async fn get(&self, context: &CallContext, name: String) -> Result<Option<Entry>, Error> {
        let owner = self.owner(context)?;
        context.charge(READ);
        let found = self.kept.store.schedule(&owner, &name).map_err(failed)?;
        match found {
            Some(scheduled) => entry(&mut Steps::new(context), name, scheduled).await.map(Some),
            None => Ok(None),
        }
    }

    async fn list(&self, context: &CallContext, after: Option<String>) -> Result<Page, Error> {
        let owner = self.owner(context)?;
        context.charge(READ);
        let found = self.kept.store.schedules(&owner, after.as_deref()).map_err(failed)?;
        let mut steps = Steps::new(context);
        let mut entries = Vec::with_capacity(found.len());
        for (name, scheduled) in found {
            entries.push(entry(&mut steps, name, scheduled).await?);
            steps.did(READ_ROW).await;
        }
        let is_full = entries.len() >= SCHEDULES_PAGE;
        let more_after = entries.last().filter(|_| is_full).map(|entry| entry.name.clone());
        Ok(Page { entries, more_after })
    }

    async fn change(&self, context: &CallContext, owner: &Owner, op: Op) -> Result<(), Error> {
        context.charge(WRITE);
        let limits = context.limits();
        let quota = Quota { schedules: limits.schedules, schedule_bytes: limits.schedule_bytes, ..Quota::default() };
        let changed = self.kept.change(context.origin, owner, &quota, vec![op]).await;
        changed.map(drop).map_err(failed)
    }

    /// In steps: 100 looks may take 5 ms.
    #[allow(clippy::cast_possible_truncation, reason = "it is in range")]
    async fn next(
        &self,
        context: &CallContext,
        (expression, zone, after, count): (String, Option<String>, f64, Option<u32>),
    ) -> Result<Result<Vec<f64>, String>, Error> {
        context.charge(FUEL);
        let after = (after * 1000.0).floor();
        if !(-9e15..9e15).contains(&after) {
            return Ok(Err(format!("{} is no time in seconds since 1970", Shown(after / 1000.0))));
        }
        let (count, zone) = (count.unwrap_or(1), zone.as_deref().unwrap_or("UTC"));
        let mut upcoming = match Upcoming::new(&expression, zone, after as i64, count) {
            Ok(upcoming) => upcoming,
            Err(why) => return Ok(Err(why)),
        };
        let mut times = Vec::new();
        for look in 1..=count {
            context.charge(FUEL);
            let Some(at) = upcoming.next() else { break };
            #[allow(clippy::cast_precision_loss, reason = "a time in milliseconds is below 2^53")]
            times.push(at as f64 / 1000.0);
            if look % LOOKS == 0 {
                context.give_way().await;
            }
        }
        Ok(Ok(times))
    }
}

async fn entry(steps: &mut Steps<'_>, name: String, scheduled: Scheduled) -> Result<Entry, Error> {
    let Scheduled { plan, last, next, .. } = scheduled;
    let schedule = Schedule {
        expression: plan.expression,
        zone: Some(plan.zone),
        event: plan.event,
        payload: steps.decoded(plan.payload).await?,
        missed: Some(plan.missed),
    };
    Ok(Entry { name, schedule, last: seconds(last), next: next.map(seconds) })
}
