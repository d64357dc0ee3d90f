//! Entries that expired and runs that are due, on their way out: into the table of events, to who claims them, and settled or
//! deleted.

use std::collections::VecDeque;
use std::sync::Arc;

use redb::ReadableTable;

use super::list::Turn;
use super::local::Shared;
use super::row::{self, EventRow, Row};
use super::tables::{Fault, Tables};
use super::{Event, Owner, Scope, Usage};

/// How many bytes of values are claimed at once, more or less.
const CLAIM_BYTES: usize = 4 << 20;

/// How many rows, and how many bytes of them, one step of deleting an owner looks at.
const DELETE_ROWS: usize = 1_000;
const DELETE_BYTES: usize = 16 << 20;

/// Events that were claimed. Those that are left in it when it is dropped are handed out by the next `Store::claim`.
pub(crate) struct Claimed {
    events: VecDeque<Event>,
    shared: Arc<Shared>,
}

impl Claimed {
    pub(super) fn new(events: Vec<Event>, shared: Arc<Shared>) -> Claimed {
        Claimed { events: events.into(), shared }
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

    /// Makes the entry an event, given to this process (0: none, for the time being).
    pub(super) fn expire(&mut self, place: &[u8], process: u64, attempts: u32) -> Result<Option<Event>, Fault> {
        let Some(removed) = self.entries.remove(place)? else { return Err(Fault::damaged("expiries")) };
        let row = Row::read(removed.value()).ok_or_else(|| Fault::damaged("entries"))?;
        let (revision, expires, resume) = (row.revision, row.expires, row.resume);
        self.events.insert((process, revision), EventRow { attempts, place, value: row.value }.write().as_slice())?;
        let event = (process > 0).then(|| event(revision, attempts, place, row.value)).transpose()?;
        drop(removed);
        self.unlink(place, revision, expires, resume)?;
        Ok(event)
    }

    /// Gives events to this process: what no process was given, or one before it; then what is due, in the order of its time.
    /// Says whether there is anything to commit: what is due may come to no event.
    pub(super) fn claim(&mut self, turn: &mut Turn, limit: usize) -> Result<(Vec<Event>, bool), Fault> {
        let mut claimed: Vec<Event> = Vec::new();
        let mut bytes = 0_usize;
        while claimed.len() < limit && bytes < CLAIM_BYTES {
            let waiting = match self.events.range((0, 0)..(turn.process, 0))?.next() {
                Some(row) => row?,
                None => break,
            };
            let (of, number) = waiting.0.value();
            let row = EventRow::read(waiting.1.value()).ok_or_else(|| Fault::damaged("events"))?;
            let row = EventRow { attempts: row.attempts.saturating_add(1), ..row };
            let (new, event) = (row.write(), event(number, row.attempts, row.place, row.value)?);
            drop(waiting);
            self.events.remove((of, number))?;
            self.events.insert((turn.process, number), new.as_slice())?;
            bytes = bytes.saturating_add(event.value.len());
            claimed.push(event);
        }
        // each round is work, though it may come to no event
        let mut changed = !claimed.is_empty();
        for _ in 0..limit {
            if claimed.len() >= limit || bytes >= CLAIM_BYTES {
                break;
            }
            let expiry = self.expiries.first()?.map(|(key, place)| (key.value(), place.value().to_vec()));
            let run = self.runs.first()?.map(|(key, place)| (key.value(), place.value().to_vec()));
            let is_due = |(at, _): &((u64, u64), Vec<u8>)| at.0 <= turn.now;
            let event = match (expiry.filter(is_due), run.filter(is_due)) {
                (expiry, Some((at, place))) if expiry.as_ref().is_none_or(|(earlier, _)| at < *earlier) => {
                    self.run(turn, at, &place)?
                }
                (Some((_, place)), _) => self.expire(&place, turn.process, 1)?,
                (None, _) => break,
            };
            changed = true;
            bytes = bytes.saturating_add(event.as_ref().map_or(0, |event| event.value.len()));
            claimed.extend(event);
        }
        Ok((claimed, changed))
    }

    /// One step of deleting what is an owner's. Says from which event to go on, if there is more to do.
    pub(super) fn delete_owner(&mut self, owner: &Owner, from: (u64, u64)) -> Result<Option<(u64, u64)>, Fault> {
        if self.delete_schedules(owner, DELETE_ROWS)? {
            return Ok(Some(from));
        }
        let prefix = row::owner_prefix(owner);
        let mut freed = Usage::default();
        let mut free = |place: &[u8], value: usize| {
            freed.keys += 1;
            freed.bytes = freed.bytes.saturating_add(row::cost(owner, place, value));
        };
        let end = row::after_prefix(&prefix).ok_or_else(|| Fault::damaged("entries"))?;
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, None);
        for row in self.entries.range(prefix.as_slice()..end.as_slice())? {
            let (place, row) = row?;
            if entries.len() == DELETE_ROWS || bytes >= DELETE_BYTES {
                next = Some(from);
                break;
            }
            let row = Row::read(row.value()).ok_or_else(|| Fault::damaged("entries"))?;
            free(place.value(), row.value.len());
            bytes += row.value.len();
            entries.push((place.value().to_vec(), row.revision, row.expires, row.resume));
        }
        for (place, revision, expires, resume) in entries {
            self.unlink(&place, revision, expires, resume)?;
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
                bytes += row.value.len();
                if row.place.starts_with(&prefix) {
                    let number = key.value().1;
                    if row::is_schedule(owner, row.place) {
                        let of_run = self.left_usage(number)?;
                        left = Usage { keys: left.keys + of_run.keys, bytes: left.bytes + of_run.bytes };
                    } else {
                        free(row.place, row.value.len());
                    }
                    events.push((key.value(), row.place.to_vec()));
                }
            }
            for (key, place) in events {
                self.events.remove(key)?;
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

pub(super) fn event(number: u64, attempt: u32, place: &[u8], value: &[u8]) -> Result<Event, Fault> {
    let damaged = || Fault::damaged("events");
    let place = row::read_place(place).ok_or_else(damaged)?;
    let (run, value) = if place.scope == Scope::schedules() {
        row::read_run(value).map(|(run, payload)| (Some(run), payload)).ok_or_else(damaged)?
    } else {
        (None, value)
    };
    Ok(Event { number, place, value: value.to_vec(), attempt, run })
}
