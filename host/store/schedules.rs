//! Schedules: as rows, what a list of operations does to them, and what becomes of those that are due.
//!
//! A schedule's place has an empty scope, which no script can name. A run that is due becomes an event in the table of events,
//! like an entry that expired, in the transaction that notes its instant as over; from then on nothing tells the two apart but
//! their place. Until that event is settled the schedule is not due: there is one run of a schedule at a time, and what comes
//! meanwhile is missed. Deleted meanwhile, the schedule is charged until then. So the quota bounds the runs too.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::error::{Quantity, StoreError};
use super::list::{Settled, Turn};
use super::row::{self, EventRow, Held};
use super::tables::{Fault, Snapshot, Tables};
use super::{Event, Owner, Quota, Scheduled, Scope, Usage};
use crate::modules::cron::due::{self, Backlog, Search};
use crate::modules::cron::plan::{self, Plan};

/// How many schedules one read gives.
pub(crate) const PAGE_MAX: usize = 100;

/// Deleting an owner's schedules goes on in another step after so many bytes of them.
const DELETE_BYTES: usize = 512 << 10;

/// How far a schedule is, if that isn't as it was when it was set. It is apart from the schedule, whose payload may be large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    backlog: Backlog,
    next: Option<u64>,
    /// Under which time it is among those whose time has come, if not under `next`: what is left to count comes after what others
    /// have to do.
    queued: Option<u64>,
}

/// What came of a schedule whose time it was.
pub(super) enum Ran {
    Event(Event),
    /// All that was due is passed over.
    Nothing,
    /// There is more to count before anybody knows.
    Partly,
}

/// As a row has it.
pub(super) type ProgressRow = [u64; 9];

impl Progress {
    fn new(scheduled: &Scheduled) -> Progress {
        Progress { backlog: Backlog::new(milliseconds(scheduled.last)), next: scheduled.next, queued: None }
    }

    fn read(row: ProgressRow) -> Progress {
        let [last, upto, due, missed, enough, too_few, to, next, queued] = row;
        let known = |number: u64| (number != u64::MAX).then_some(number);
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let search = known(to).map(|to| Search {
            enough: milliseconds(enough),
            too_few: milliseconds(too_few),
            to: milliseconds(to),
        });
        let (last, upto) = (milliseconds(last), milliseconds(upto));
        let backlog = Backlog { last, upto, due: count(due), missed: count(missed), search };
        Progress { backlog, next: known(next), queued: known(queued) }
    }

    fn write(&self) -> ProgressRow {
        let Backlog { last, upto, due, missed, search } = self.backlog;
        let number = |at: i64| u64::try_from(at).unwrap_or_default();
        let [enough, too_few, to] =
            search.map_or([u64::MAX; 3], |search| [number(search.enough), number(search.too_few), number(search.to)]);
        let or_none = |number: Option<u64>| number.unwrap_or(u64::MAX);
        let (due, missed) = (due.into(), missed.into());
        [number(last), number(upto), due, missed, enough, too_few, to, or_none(self.next), or_none(self.queued)]
    }
}

/// The place of a schedule, or with an empty name what all places of an owner's schedules start with.
pub(super) fn place(owner: &Owner, name: &str) -> Vec<u8> {
    row::place(owner, &Scope::schedules(), name.as_bytes())
}

/// Checks what can be checked without the store, and says how many bytes there are.
pub(super) fn check(name: &str, plan: Option<&Plan>) -> Result<usize, StoreError> {
    plan::check_name("schedule", name).map_err(StoreError::invalid)?;
    if let Some(plan) = plan {
        plan.schedule().map_err(StoreError::invalid)?;
    }
    Ok(name.len().saturating_add(plan.map_or(0, Plan::bytes)))
}

fn cost(name_bytes: usize, plan: &Plan) -> u64 {
    (name_bytes.saturating_add(plan.bytes()) as u64).saturating_add(Quota::ENTRY_BYTES)
}

/// What a list does to the owner's schedules, by place.
#[derive(Default)]
pub(super) struct Drafts<'o>(BTreeMap<Vec<u8>, Draft<'o>>);

struct Draft<'o> {
    stored: Option<Scheduled>,
    /// Under which time the stored one is among those whose time has come.
    queued: Option<u64>,
    name_bytes: usize,
    becomes: Becomes<'o>,
}

enum Becomes<'o> {
    /// Stays as it is stored.
    Same,
    Nothing,
    Set {
        plan: &'o Plan,
        revision: u64,
        last: u64,
        next: u64,
    },
}

impl<'o> Drafts<'o> {
    /// Says the revision that it has then. One that stays as it is keeps its own; one that runs at the same instants keeps
    /// what is due.
    pub(super) fn set(
        &mut self,
        tables: &Tables<'_>,
        turn: &Turn<'_>,
        revision: &mut u64,
        owner: &Owner,
        (name, plan): (&str, &'o Plan),
    ) -> Result<Result<u64, StoreError>, Fault> {
        let draft = self.draft(tables, owner, name)?;
        let before = match (&draft.becomes, &draft.stored) {
            (Becomes::Set { plan, revision, last, .. }, _) => Some((*plan, *revision, *last)),
            (Becomes::Same, Some(stored)) => Some((&stored.plan, stored.revision, stored.last)),
            _ => None,
        };
        if let Some((_, revision, _)) = before.filter(|(before, ..)| *before == plan) {
            return Ok(Ok(revision));
        }
        let last = before.filter(|(before, ..)| before.runs_as(plan)).map_or(turn.now, |(.., last)| last);
        let next = match plan.schedule() {
            Ok(schedule) => schedule.next(milliseconds(last)).and_then(|next| u64::try_from(next).ok()),
            Err(why) => return Ok(Err(StoreError::invalid(why))),
        };
        let Some(next) = next else {
            return Ok(Err(StoreError::invalid(format!(
                "the cron expression {:?} never runs in {}: change it, or delete the schedule",
                plan.expression, plan.zone
            ))));
        };
        *revision = revision.checked_add(1).ok_or_else(|| Fault("there are no more revisions".into()))?;
        draft.becomes = Becomes::Set { plan, revision: *revision, last, next };
        Ok(Ok(*revision))
    }

    pub(super) fn delete(&mut self, tables: &Tables<'_>, owner: &Owner, name: &str) -> Result<(), Fault> {
        self.draft(tables, owner, name)?.becomes = Becomes::Nothing;
        Ok(())
    }

    fn draft(&mut self, tables: &Tables<'_>, owner: &Owner, name: &str) -> Result<&mut Draft<'o>, Fault> {
        use std::collections::btree_map::Entry::{Occupied, Vacant};
        Ok(match self.0.entry(place(owner, name)) {
            Occupied(draft) => draft.into_mut(),
            Vacant(draft) => {
                let (stored, queued) = tables.scheduled(draft.key())?.unzip();
                draft.insert(Draft { stored, queued: queued.flatten(), name_bytes: name.len(), becomes: Becomes::Same })
            }
        })
    }

    /// In a list that settles these events.
    pub(super) fn usage_after(
        &self,
        tables: &Tables<'_>,
        settles: &BTreeMap<u64, Settled>,
        before: Usage,
    ) -> Result<Usage, Fault> {
        let (mut more, mut freed) = (Usage::default(), Usage::default());
        for settled in settles.values() {
            freed = Usage { keys: freed.keys + settled.schedules.keys, bytes: freed.bytes + settled.schedules.bytes };
        }
        for (place, draft) in self.0.iter().filter(|(_, draft)| !matches!(draft.becomes, Becomes::Same)) {
            let running = tables.running.get(place.as_slice())?.map(|running| running.value());
            let is_running = running.is_some_and(|running| !settles.contains_key(&running));
            let stays = is_running && matches!(draft.becomes, Becomes::Nothing);
            if let Some(stored) = draft.stored.as_ref().filter(|_| !stays) {
                freed.keys += 1;
                freed.bytes = freed.bytes.saturating_add(cost(draft.name_bytes, &stored.plan));
            }
            if let Becomes::Set { plan, .. } = draft.becomes {
                more.keys += 1;
                more.bytes = more.bytes.saturating_add(cost(draft.name_bytes, plan));
            }
        }
        before.changed(more, freed)
    }

    /// After its events were settled.
    pub(super) fn write(&self, tables: &mut Tables<'_>) -> Result<(), Fault> {
        for (place, draft) in &self.0 {
            if matches!(draft.becomes, Becomes::Same) {
                continue;
            }
            if let Some(stored) = &draft.stored {
                tables.schedules.remove(place.as_slice())?;
                tables.progress.remove(place.as_slice())?;
                if let Some(queued) = draft.queued {
                    tables.runs.remove((queued, stored.revision))?;
                }
            }
            if let Becomes::Set { plan, revision, last, next } = draft.becomes {
                let row = row::write_scheduled(plan, revision, last, Some(next));
                tables.schedules.insert(place.as_slice(), row.as_slice())?;
                if tables.running.get(place.as_slice())?.is_none() {
                    tables.runs.insert((next, revision), place.as_slice())?;
                }
            } else if let Some(stored) = &draft.stored {
                let running = tables.running.remove(place.as_slice())?.map(|running| running.value());
                if let Some(running) = running {
                    tables.left.insert(running, cost(draft.name_bytes, &stored.plan))?;
                }
            }
        }
        Ok(())
    }
}

/// The quota, of lists that take more than before.
pub(super) fn check_quota(quota: &Quota, before: Usage, after: Usage) -> Result<(), StoreError> {
    for (quantity, limit, before, after) in [
        (Quantity::Schedules, quota.schedules, before.keys, after.keys),
        (Quantity::ScheduleBytes, quota.schedule_bytes, before.bytes, after.bytes),
    ] {
        if after > limit && after > before {
            return Err(StoreError::Quota { quantity, limit, asked: after });
        }
    }
    Ok(())
}

impl Tables<'_> {
    /// A schedule as it stands, and under which time it is among those whose time has come, unless a run of it is under way.
    pub(super) fn scheduled(&self, place: &[u8]) -> Result<Option<(Scheduled, Option<u64>)>, Fault> {
        let Some(row) = self.schedules.get(place)? else { return Ok(None) };
        let (scheduled, progress) = with_progress(read(row.value())?, &self.progress, place)?;
        let queued = progress.queued.or(scheduled.next);
        Ok(Some((scheduled, queued)))
    }

    /// Makes an event, given to this process, of what is due of the schedule whose time it is. There is none if that is only
    /// passed over, or if there is too much to count in one step: then it is due again, after the others whose time has come.
    pub(super) fn run(
        &mut self,
        turn: &mut Turn<'_>,
        (time, revision): (u64, u64),
        place: &[u8],
    ) -> Result<Ran, Fault> {
        let Some(row) = self.schedules.get(place)? else { return Err(Fault::damaged("runs")) };
        let scheduled = read(row.value())?;
        drop(row);
        if scheduled.revision != revision {
            return Err(Fault::damaged("runs"));
        }
        let (scheduled, mut progress) = with_progress(scheduled, &self.progress, place)?;
        self.runs.remove((time, revision))?;
        let schedule = match scheduled.plan.schedule() {
            Ok(schedule) => schedule,
            Err(why) => {
                // as another version of this program may see it: a zone that is no more, say
                tracing::error!(why, "a schedule can't be run any more; it stays until it is set again or deleted");
                (progress.next, progress.queued) = (None, None);
                self.progress.insert(place, progress.write())?;
                return Ok(Ran::Nothing);
            }
        };
        let (now, missed) = (milliseconds(turn.now), scheduled.plan.missed);
        let mut looks = turn.looks;
        if !progress.backlog.count(&schedule, missed, now, &mut looks) {
            progress.queued = Some(turn.now);
            self.progress.insert(place, progress.write())?;
            self.runs.insert((turn.now, revision), place)?;
            return Ok(Ran::Partly);
        }
        let due = progress.backlog.take(&schedule, now);
        progress.next = schedule.next(progress.backlog.last).and_then(|next| u64::try_from(next).ok());
        progress.queued = None;
        self.progress.insert(place, progress.write())?;
        let Some(run) = due.filter(|run| due::is_made(missed, *run, now)) else {
            if let Some(next) = progress.next {
                self.runs.insert((next, revision), place)?;
            }
            return Ok(Ran::Nothing);
        };
        turn.revision = turn.revision.checked_add(1).ok_or_else(|| Fault("there are no more revisions".into()))?;
        let value = row::write_run(&scheduled.plan, run.at.unsigned_abs(), run.missed);
        let row = EventRow { attempts: 1, place, value: Held::Here(&value) };
        self.events.insert((turn.process, turn.revision), row.write().as_slice())?;
        self.running.insert(place, turn.revision)?;
        Ok(Ran::Event(super::events::event(turn.revision, 1, place, row.value)?))
    }

    /// The event of a run is over: its schedule is due again.
    pub(super) fn end_run(&mut self, number: u64, place: &[u8]) -> Result<(), Fault> {
        self.left.remove(number)?;
        if self.running.get(place)?.is_none_or(|running| running.value() != number) {
            return Ok(());
        }
        self.running.remove(place)?;
        if let Some((Scheduled { revision, .. }, Some(queued))) = self.scheduled(place)? {
            self.runs.insert((queued, revision), place)?;
        }
        Ok(())
    }

    /// What is charged for the schedule of a run because it was deleted before that was over.
    pub(super) fn left_usage(&self, number: u64) -> Result<Usage, Fault> {
        let left = self.left.get(number)?;
        Ok(left.map_or_else(Usage::default, |bytes| Usage { keys: 1, bytes: bytes.value() }))
    }

    /// Deletes at most so many of an owner's schedules. Whether that may not be all.
    pub(super) fn delete_schedules(&mut self, owner: &Owner, limit: usize) -> Result<bool, Fault> {
        let (start, mut drafts) = (place(owner, ""), Drafts::default());
        let end = row::after_prefix(&start).ok_or_else(|| Fault::damaged("schedules"))?;
        let mut bytes = 0;
        for row in self.schedules.range(start.as_slice()..end.as_slice())?.take(limit) {
            let (place, row) = row?;
            let name_bytes = place.value().len().saturating_sub(start.len());
            let (stored, progress) = with_progress(read(row.value())?, &self.progress, place.value())?;
            bytes += stored.plan.bytes();
            let queued = progress.queued.or(stored.next);
            let draft = Draft { stored: Some(stored), queued, name_bytes, becomes: Becomes::Nothing };
            drafts.0.insert(place.value().to_vec(), draft);
            if bytes > DELETE_BYTES {
                break;
            }
        }
        if drafts.0.is_empty() {
            return Ok(false);
        }
        let after = drafts.usage_after(self, &BTreeMap::new(), self.schedules_usage(owner)?)?;
        drafts.write(self)?;
        self.set_schedules_usage(owner, after)?;
        Ok(drafts.0.len() == limit || bytes > DELETE_BYTES)
    }
}

/// A schedule as it stands, from its row as it was set.
fn with_progress(
    scheduled: Scheduled,
    progress: &impl ReadableTable<&'static [u8], ProgressRow>,
    place: &[u8],
) -> Result<(Scheduled, Progress), Fault> {
    let progress = match progress.get(place)? {
        Some(row) => Progress::read(row.value()),
        None => Progress::new(&scheduled),
    };
    let last = u64::try_from(progress.backlog.last).unwrap_or_default();
    Ok((Scheduled { last, next: progress.next, ..scheduled }, progress))
}

pub(super) fn get(snapshot: &Snapshot, owner: &Owner, name: &str) -> Result<Option<Scheduled>, Fault> {
    let place = place(owner, name);
    let Some(row) = snapshot.schedules.get(place.as_slice())? else { return Ok(None) };
    with_progress(read(row.value())?, &snapshot.progress, &place).map(|(scheduled, _)| Some(scheduled))
}

pub(super) fn list(snapshot: &Snapshot, owner: &Owner, after: Option<&str>) -> Result<Vec<(String, Scheduled)>, Fault> {
    let all = place(owner, "");
    let end = row::after_prefix(&all).ok_or_else(|| Fault::damaged("schedules"))?;
    let start = after.map_or_else(|| all.clone(), |after| [&place(owner, after), &[0][..]].concat());
    let mut found = Vec::new();
    if start < end {
        for row in snapshot.schedules.range(start.as_slice()..end.as_slice())?.take(PAGE_MAX) {
            let (place, row) = row?;
            let name = place.value().get(all.len()..).and_then(|name| str::from_utf8(name).ok());
            let (scheduled, _) = with_progress(read(row.value())?, &snapshot.progress, place.value())?;
            found.push((name.ok_or_else(|| Fault::damaged("schedules"))?.to_owned(), scheduled));
        }
    }
    Ok(found)
}

fn read(row: &[u8]) -> Result<Scheduled, Fault> {
    row::read_scheduled(row).ok_or_else(|| Fault::damaged("schedules"))
}

/// A time of the store's, for those who count from before 1970 too.
fn milliseconds(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
