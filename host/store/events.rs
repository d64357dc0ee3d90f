//! Entries that expired and runs that are due, on their way out: into the table of events, to who claims them, and settled or
//! deleted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redb::ReadableTable;

use super::list::Turn;
use super::local::Shared;
use super::row::{self, EventRow, Held, Row};
use super::schedules::Ran;
use super::tables::{Fault, Tables};
use super::{Event, Owner, Scope, Usage};

/// How many bytes of values are claimed at once, more or less, and how many in one step of that.
pub(super) const CLAIM_BYTES: usize = 4 << 20;
const CLAIM_STEP_BYTES: usize = 256 << 10;

/// How long one step of claiming lasts, more or less.
const CLAIM_STEP: Duration = Duration::from_micros(500);

/// How many rows, and how many bytes of them, one step of deleting an owner looks at.
const DELETE_ROWS: usize = 64;
const DELETE_BYTES: usize = 512 << 10;

/// How many bytes of the places of entries: those are rows of up to three tables, and the longer, the more pages.
const DELETE_PLACES: usize = 8 << 10;

/// Events that were claimed. Those that are left in it when it is dropped are handed out by the next `Store::claim`.
pub(crate) struct Claimed {
    events: VecDeque<Event>,
    shared: Arc<Shared>,
}

impl Claimed {
    pub(super) fn new(events: Vec<Event>, shared: Arc<Shared>) -> Claimed {
        Claimed { events: events.into(), shared }
    }

    /// With those of a further step.
    pub(super) fn extend(&mut self, mut more: Claimed) {
        self.events.append(&mut more.events);
    }

    pub(super) fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.value.len()).sum()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

impl Iterator for Claimed {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.shared.give_back(self.events.drain(..));
    }
}

impl Tables<'_> {
    /// Takes a row out of the tables that point to it.
    pub(super) fn unlink(
        &mut self,
        place: &[u8],
        revision: u64,
        expires: Option<u64>,
        resume: bool,
    ) -> Result<(), Fault> {
        if let Some(expires) = expires {
            self.expiries.remove((expires, revision))?;
        }
        if resume {
            self.resumes.remove(place)?;
        }
        Ok(())
    }

    /// Makes the entry an event, given to this process.
    fn expire(&mut self, place: &[u8], process: u64) -> Result<Event, Fault> {
        let Some(removed) = self.entries.remove(place)? else { return Err(Fault::damaged("expiries")) };
        let row = Row::read(removed.value()).ok_or_else(|| Fault::damaged("entries"))?;
        let (revision, expires, resume) = (row.revision, row.expires, row.resume);
        // a content of its own goes along: its number is the event's
        let made = EventRow { attempts: 1, place, value: row.value };
        self.events.insert((process, revision), made.write().as_slice())?;
        let event = event(revision, 1, place, row.value)?;
        drop(removed);
        self.unlink(place, revision, expires, resume)?;
        Ok(event)
    }

    /// Makes an event of an entry that has expired, given to no process yet. The entry's rows are for the caller to set anew, or to remove.
    pub(super) fn leave_event(&mut self, place: &[u8]) -> Result<(), Fault> {
        let Some(row) = self.entries.get(place)? else { return Err(Fault::damaged("entries")) };
        let row = Row::read(row.value()).ok_or_else(|| Fault::damaged("entries"))?;
        let made = EventRow { attempts: 0, place, value: row.value };
        self.events.insert((0, row.revision), made.write().as_slice())?;
        Ok(())
    }

    /// Gives events to this process: what no process was given, or one before it; then what is due, in the order of its time. One
    /// step of it: the rest is for the next.
    pub(super) fn claim(&mut self, turn: &mut Turn<'_>, limit: usize) -> Result<Step, Fault> {
        let mut step = Step::default();
        let (mut bytes, until) = (0_usize, turn.laps.elapsed().saturating_add(CLAIM_STEP));
        loop {
            if step.rounds >= limit {
                return Ok(step);
            }
            let is_long = bytes >= CLAIM_STEP_BYTES || step.did && turn.laps.elapsed() >= until;
            let Some(next) = self.next_due(turn)? else { return Ok(step) };
            if is_long {
                step.has_more = true;
                return Ok(step);
            }
            let (owner, event) = match next {
                Next::Waiting(of, number) => self.give(turn, of, number)?,
                Next::Expired(place) => {
                    let event = self.expire(&place, turn.process)?;
                    (row::read_owner(&place).ok_or_else(|| Fault::damaged("expiries"))?, Some(event))
                }
                Next::Run(at, place) => {
                    let ran = self.run(turn, at, &place)?;
                    let owner = row::read_owner(&place).ok_or_else(|| Fault::damaged("runs"))?;
                    step.did = true;
                    match ran {
                        Ran::Event(event) => (owner, Some(event)),
                        Ran::Nothing => (owner, None),
                        Ran::Partly => {
                            turn.laps.lap(Some(&owner));
                            continue;
                        }
                    }
                }
            };
            // each round is work, though it may come to no event
            (step.rounds, step.did) = (step.rounds + 1, true);
            bytes = bytes.saturating_add(event.as_ref().map_or(0, |event| event.value.len()));
            step.events.extend(event);
            turn.laps.lap(Some(&owner));
        }
    }

    /// What is first to be claimed.
    fn next_due(&self, turn: &Turn<'_>) -> Result<Option<Next>, Fault> {
        if let Some(waiting) = self.events.range((0, 0)..(turn.process, 0))?.next() {
            let (of, number) = waiting?.0.value();
            return Ok(Some(Next::Waiting(of, number)));
        }
        let is_due = |(at, _): &((u64, u64), Vec<u8>)| at.0 <= turn.now;
        let expiry = self.expiries.first()?.map(|(key, place)| (key.value(), place.value().to_vec())).filter(is_due);
        let run = self.runs.first()?.map(|(key, place)| (key.value(), place.value().to_vec())).filter(is_due);
        Ok(match (expiry, run) {
            (expiry, Some((at, place))) if expiry.as_ref().is_none_or(|(earlier, _)| at < *earlier) => {
                Some(Next::Run(at, place))
            }
            (Some((_, place)), _) => Some(Next::Expired(place)),
            (None, _) => None,
        })
    }

    /// Gives an event to this process that no process was given, or one before it.
    fn give(&mut self, turn: &Turn<'_>, of: u64, number: u64) -> Result<(Owner, Option<Event>), Fault> {
        let damaged = || Fault::damaged("events");
        let waiting = self.events.remove((of, number))?.ok_or_else(damaged)?;
        let row = EventRow::read(waiting.value()).ok_or_else(damaged)?;
        let row = EventRow { attempts: row.attempts.saturating_add(1), ..row };
        let (new, event) = (row.write(), event(number, row.attempts, row.place, row.value)?);
        drop(waiting);
        self.events.insert((turn.process, number), new.as_slice())?;
        Ok((event.place.owner.clone(), Some(event)))
    }

    /// One step of deleting what is an owner's. Says from which event to go on, if there is more to do.
    pub(super) fn delete_owner(&mut self, owner: &Owner, from: (u64, u64)) -> Result<Option<(u64, u64)>, Fault> {
        if self.delete_schedules(owner, DELETE_ROWS)? {
            return Ok(Some(from));
        }
        let prefix = row::owner_prefix(owner);
        let mut freed = Usage::default();
        let mut free = |place: &[u8], value: u64| {
            freed.keys += 1;
            freed.bytes = freed.bytes.saturating_add(row::cost(owner, place, value));
        };
        let end = row::after_prefix(&prefix).ok_or_else(|| Fault::damaged("entries"))?;
        let (mut entries, mut bytes, mut places, mut next) = (Vec::new(), 0, 0, None);
        for row in self.entries.range(prefix.as_slice()..end.as_slice())? {
            let (place, row) = row?;
            if entries.len() == DELETE_ROWS || bytes >= DELETE_BYTES || places >= DELETE_PLACES {
                next = Some(from);
                break;
            }
            let row = Row::read(row.value()).ok_or_else(|| Fault::damaged("entries"))?;
            free(place.value(), row.value.bytes());
            bytes += row.value.bytes_here();
            places += place.value().len();
            let outside = row.value.bytes_outside();
            entries.push((place.value().to_vec(), row.revision, row.expires, row.resume, outside));
        }
        for (place, revision, expires, resume, outside) in entries {
            self.unlink(&place, revision, expires, resume)?;
            if let Some(bytes) = outside {
                self.blobs.discard_value(owner, revision, bytes)?;
            }
            self.entries.remove(place.as_slice())?;
        }
        if next.is_none() {
            let (mut events, mut left) = (Vec::new(), Usage::default());
            for (count, row) in self.events.range(from..)?.enumerate() {
                let (key, row) = row?;
                if count == DELETE_ROWS || bytes >= DELETE_BYTES {
                    next = Some(key.value());
                    break;
                }
                let row = EventRow::read(row.value()).ok_or_else(|| Fault::damaged("events"))?;
                bytes += row.value.bytes_here();
                if row.place.starts_with(&prefix) {
                    let number = key.value().1;
                    if row::is_schedule(owner, row.place) {
                        let of_run = self.left_usage(number)?;
                        left = Usage { keys: left.keys + of_run.keys, bytes: left.bytes + of_run.bytes };
                    } else {
                        free(row.place, row.value.bytes());
                    }
                    events.push((key.value(), row.place.to_vec(), row.value.bytes_outside()));
                }
            }
            for (key, place, outside) in events {
                self.events.remove(key)?;
                if let Some(bytes) = outside {
                    self.blobs.discard_value(owner, key.1, bytes)?;
                }
                self.end_run(key.1, &place)?;
            }
            if left.keys > 0 {
                let after = self.schedules_usage(owner)?.changed(Usage::default(), left)?;
                self.set_schedules_usage(owner, after)?;
            }
        }
        let usage = self.usage(owner)?;
        let left = (usage.keys.checked_sub(freed.keys), usage.bytes.checked_sub(freed.bytes));
        let (Some(keys), Some(bytes)) = left else { return Err(Fault::damaged("usage")) };
        if freed.keys > 0 {
            self.set_usage(owner, Usage { keys, bytes })?;
        }
        Ok(next)
    }
}

/// What one step of claiming came to.
#[derive(Default)]
pub(super) struct Step {
    pub(super) events: Vec<Event>,
    /// How many of the limit are used up: what is due may come to no event.
    pub(super) rounds: usize,
    /// Something was changed.
    pub(super) did: bool,
    /// There is more to claim, by the next step.
    pub(super) has_more: bool,
}

/// What is to be claimed next.
enum Next {
    /// An event: which process was given it, and its number.
    Waiting(u64, u64),
    /// An entry that has expired, by its place.
    Expired(Vec<u8>),
    /// A schedule whose time it is: where it is among them, and its place.
    Run((u64, u64), Vec<u8>),
}

/// An event as it lies in its row. Its value is empty if that is a content of its own.
pub(super) fn event(number: u64, attempt: u32, place: &[u8], value: Held<'_>) -> Result<Event, Fault> {
    let damaged = || Fault::damaged("events");
    let place = row::read_place(place).ok_or_else(damaged)?;
    let value = match value {
        Held::Here(value) => value,
        Held::Outside(_) => &[],
    };
    let (run, value) = if place.scope == Scope::schedules() {
        row::read_run(value).map(|(run, payload)| (Some(run), payload)).ok_or_else(damaged)?
    } else {
        (None, value)
    };
    Ok(Event { number, place, value: value.to_vec(), attempt, run })
}
