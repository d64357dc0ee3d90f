//! One list of operations: checked as a whole against a draft of what it would change, then written.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::error::{Quantity, StoreError};
use super::row::{self, EventRow, Row};
use super::tables::{Fault, Tables};
use super::{Applied, Expected, Op, Owner, Quota, Usage};

/// When, by whom, and after which revision a list is done.
pub(super) struct Turn {
    /// Milliseconds since 1970.
    pub(super) now: u64,
    pub(super) process: u64,
    /// The last that was given.
    pub(super) revision: u64,
}

/// Checks what can be checked without the store, and says how many bytes the list has.
pub(super) fn check(quota: &Quota, ops: &[Op]) -> Result<u64, StoreError> {
    let count = ops.iter().filter(|op| !matches!(op, Op::Settle { .. })).count();
    within(Quantity::ListOps, quota.list_ops, count)?;
    let mut bytes = 0_usize;
    for op in ops {
        let (key, value) = match op {
            Op::Set { key, value, .. } => (key, value.len()),
            Op::Delete { key, .. } => (key, 0),
            Op::Check { key, expected: Expected::Value(value), .. } => (key, value.len()),
            Op::Check { key, .. } => (key, 0),
            Op::Settle { .. } => continue,
        };
        row::check_key(key)?;
        within(Quantity::KeyBytes, quota.key_bytes, key.len())?;
        within(Quantity::ValueBytes, quota.value_bytes, value)?;
        bytes = bytes.saturating_add(key.len()).saturating_add(value);
    }
    within(Quantity::ListBytes, quota.list_bytes, bytes)?;
    Ok(bytes as u64)
}

fn within(quantity: Quantity, limit: usize, asked: usize) -> Result<(), StoreError> {
    if asked > limit {
        return Err(StoreError::Quota { quantity, limit: limit as u64, asked: asked as u64 });
    }
    Ok(())
}

/// A key that the list has to do with.
struct Draft {
    stored: Option<Stored>,
    becomes: Becomes,
}

/// What its row has, but for the value.
struct Stored {
    cost: u64,
    revision: u64,
    expires: Option<u64>,
    resume: bool,
    /// It has expired: nobody sees it, but its event is to come.
    due: bool,
}

#[derive(Clone, Copy)]
enum Becomes {
    /// Stays as it is stored.
    Same,
    Nothing,
    /// What this operation sets, with this revision.
    Set(usize, u64),
}

/// A list that is being checked.
struct Checked<'o> {
    ops: &'o [Op],
    drafts: BTreeMap<Vec<u8>, Draft>,
    /// Events to settle, with what they cost.
    settles: BTreeMap<u64, u64>,
    revisions: Vec<Option<u64>>,
}

/// Does the list, or refuses it and leaves the tables as they were.
pub(super) fn apply(
    tables: &mut Tables<'_>,
    turn: &mut Turn,
    owner: &Owner,
    quota: &Quota,
    ops: &[Op],
) -> Result<Result<Applied, StoreError>, Fault> {
    let mut list =
        Checked { ops, drafts: BTreeMap::new(), settles: BTreeMap::new(), revisions: Vec::with_capacity(ops.len()) };
    let mut revision = turn.revision;
    for index in 0..ops.len() {
        if let Err(refused) = list.check(tables, turn, &mut revision, owner, index)? {
            return Ok(Err(refused));
        }
    }
    let before = tables.usage(owner)?;
    let after = list.usage_after(owner, before)?;
    let too_much = |limit: u64, before: u64, after: u64| after > limit && after > before;
    if too_much(quota.keys, before.keys, after.keys) {
        return Ok(Err(StoreError::Quota { quantity: Quantity::Keys, limit: quota.keys, asked: after.keys }));
    }
    if too_much(quota.bytes, before.bytes, after.bytes) {
        return Ok(Err(StoreError::Quota { quantity: Quantity::Bytes, limit: quota.bytes, asked: after.bytes }));
    }
    list.write(tables, turn)?;
    if after != before {
        tables.set_usage(owner, after)?;
    }
    turn.revision = revision;
    Ok(Ok(Applied { revisions: list.revisions }))
}

impl Checked<'_> {
    /// The next operation: whether it can be done after those before it, and what it would change.
    fn check(
        &mut self,
        tables: &Tables<'_>,
        turn: &Turn,
        revision: &mut u64,
        owner: &Owner,
        index: usize,
    ) -> Result<Result<(), StoreError>, Fault> {
        let ops = self.ops;
        let mut given = None;
        match ops.get(index) {
            Some(Op::Set { scope, key, .. }) => {
                *revision = revision.checked_add(1).ok_or_else(|| Fault("there are no more revisions".into()))?;
                given = Some(*revision);
                self.draft(tables, turn.now, owner, row::place(owner, scope, key))?.becomes =
                    Becomes::Set(index, *revision);
            }
            Some(Op::Delete { scope, key }) => {
                let draft = self.draft(tables, turn.now, owner, row::place(owner, scope, key))?;
                let unseen = draft.stored.as_ref().is_none_or(|stored| stored.due);
                if !(unseen && matches!(draft.becomes, Becomes::Same)) {
                    draft.becomes = Becomes::Nothing;
                }
            }
            Some(Op::Check { scope, key, expected }) => {
                let place = row::place(owner, scope, key);
                let draft = self.draft(tables, turn.now, owner, place.clone())?;
                let holds = match draft.becomes {
                    Becomes::Nothing => matches!(expected, Expected::Absent),
                    Becomes::Set(of, revision) => match expected {
                        Expected::Absent => false,
                        Expected::Revision(wanted) => *wanted == revision,
                        Expected::Value(wanted) => {
                            matches!(ops.get(of), Some(Op::Set { value, .. }) if value == wanted)
                        }
                    },
                    Becomes::Same => match (&draft.stored, expected) {
                        (Some(stored), Expected::Absent) => stored.due,
                        (None, expected) => matches!(expected, Expected::Absent),
                        (Some(stored), Expected::Revision(wanted)) => !stored.due && *wanted == stored.revision,
                        (Some(stored), Expected::Value(wanted)) => {
                            let row = tables.entries.get(place.as_slice())?;
                            !stored.due
                                && row.is_some_and(|row| Row::read(row.value()).is_some_and(|r| r.value == wanted))
                        }
                    },
                };
                if !holds {
                    return Ok(Err(StoreError::Conflict { index }));
                }
            }
            Some(Op::Settle { event }) => {
                let row = tables.events.get((turn.process, *event))?;
                let Some(row) = row else { return Ok(Err(StoreError::NoEvent { index })) };
                let row = EventRow::read(row.value()).ok_or_else(|| Fault::damaged("events"))?;
                let cost = row::cost(owner, row.place, row.value.len());
                let is_owners = row.place.starts_with(&row::owner_prefix(owner));
                if !is_owners || self.settles.insert(*event, cost).is_some() {
                    return Ok(Err(StoreError::NoEvent { index }));
                }
            }
            None => (),
        }
        self.revisions.push(given);
        Ok(Ok(()))
    }

    fn draft(&mut self, tables: &Tables<'_>, now: u64, owner: &Owner, place: Vec<u8>) -> Result<&mut Draft, Fault> {
        use std::collections::btree_map::Entry::{Occupied, Vacant};
        match self.drafts.entry(place) {
            Occupied(draft) => Ok(draft.into_mut()),
            Vacant(draft) => {
                let stored = match tables.entries.get(draft.key().as_slice())? {
                    None => None,
                    Some(row) => {
                        let row = Row::read(row.value()).ok_or_else(|| Fault::damaged("entries"))?;
                        Some(Stored {
                            cost: row::cost(owner, draft.key(), row.value.len()),
                            revision: row.revision,
                            expires: row.expires,
                            resume: row.resume,
                            due: row.is_due(now),
                        })
                    }
                };
                Ok(draft.insert(Draft { stored, becomes: Becomes::Same }))
            }
        }
    }

    /// An entry that expired stays charged until its event is settled.
    fn usage_after(&self, owner: &Owner, before: Usage) -> Result<Usage, Fault> {
        let (mut keys, mut bytes) = (0_u64, 0_u64);
        let (mut keys_freed, mut bytes_freed) = (self.settles.len() as u64, self.settles.values().sum::<u64>());
        for (place, draft) in &self.drafts {
            if matches!(draft.becomes, Becomes::Same) {
                continue;
            }
            if let Some(stored) = draft.stored.as_ref().filter(|stored| !stored.due) {
                keys_freed += 1;
                bytes_freed += stored.cost;
            }
            if let Becomes::Set(index, _) = draft.becomes
                && let Some(Op::Set { value, .. }) = self.ops.get(index)
            {
                keys += 1;
                bytes += row::cost(owner, place, value.len());
            }
        }
        let after = |before: u64, more: u64, freed: u64| before.saturating_add(more).checked_sub(freed);
        match (after(before.keys, keys, keys_freed), after(before.bytes, bytes, bytes_freed)) {
            (Some(keys), Some(bytes)) => Ok(Usage { keys, bytes }),
            _ => Err(Fault::damaged("usage")),
        }
    }

    fn write(&self, tables: &mut Tables<'_>, turn: &Turn) -> Result<(), Fault> {
        for event in self.settles.keys() {
            tables.events.remove((turn.process, *event))?;
        }
        for (place, draft) in &self.drafts {
            let place = place.as_slice();
            if matches!(draft.becomes, Becomes::Same) {
                continue;
            }
            if let Some(stored) = &draft.stored {
                if stored.due {
                    tables.expire(place, 0, 0)?;
                } else {
                    tables.unlink(place, stored.revision, stored.expires, stored.resume)?;
                }
            }
            let Becomes::Set(index, revision) = draft.becomes else {
                tables.entries.remove(place)?;
                continue;
            };
            let Some(Op::Set { value, expires, resume, .. }) = self.ops.get(index) else { continue };
            let row = Row { value, revision, expires: *expires, resume: *resume };
            tables.entries.insert(place, row.write().as_slice())?;
            if let Some(expires) = expires {
                tables.expiries.insert((*expires, revision), place)?;
            }
            if *resume {
                tables.resumes.insert(place, ())?;
            }
        }
        Ok(())
    }
}
