//! One list of operations: checked as a whole against a draft of what it would change, then written.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::blobs::CHUNK_BYTES;
use super::error::{Quantity, StoreError};
use super::meter::Laps;
use super::row::{self, EventRow, Held, Row};
use super::tables::{Fault, Tables};
use super::{Applied, Expected, Op, Owner, Quota, Scope, Usage, schedules};
use crate::value::Value;
use crate::wire::token::{Reader, Token};

/// When, by whom, and after which revision a list is done, and whose time that takes.
pub(super) struct Turn<'l> {
    /// Milliseconds since 1970.
    pub(super) now: u64,
    pub(super) process: u64,
    /// The last that was given.
    pub(super) revision: u64,
    /// How many instants of a schedule one step of counting looks at.
    pub(super) looks: u32,
    pub(super) laps: &'l mut Laps,
}

/// The most bytes of the keys of a list, each counted with its scope. Few rows of long keys share a page, so each of them is pages in
/// each of the tables that it is in: a hundred keys of 1,000 bytes held the writer for 11 ms, and 16 KiB of any keys do for up to 4.
const KEYS_BYTES: usize = 16 << 10;

/// The most rows that a list writes, as `Op::rows` counts them. 100 values over 2,048 bytes with `ttl` and `resume` held the writer for 8 ms, and 200
/// rows of any kind do for 1 to 6, with the commit (p90 of `long_lists` in `tests/bench.rs`), or up to 9 where they take the place of keys that
/// have more rows, which must have been set before.
const ROWS: usize = 200;

impl Op {
    /// How many rows it writes, more or less: its own, one for when it expires, one if it is to be resumed, and two for a value that has a content
    /// of its own. A delete may find any of them.
    pub(super) fn rows(&self) -> usize {
        match self {
            Op::Set { value, expires, resume, .. } => {
                let outside = if matches!(Held::of(value), Held::Outside(_)) { 2 } else { 0 };
                1 + usize::from(expires.is_some()) + usize::from(*resume) + outside
            }
            Op::Delete { .. } => 2,
            Op::Add { .. } | Op::SetSchedule { .. } | Op::DeleteSchedule { .. } => 1,
            Op::Check { .. } | Op::Settle { .. } => 0,
        }
    }

    /// The key that it has to do with.
    fn key(&self) -> Option<(&Scope, &[u8])> {
        match self {
            Op::Set { scope, key, .. }
            | Op::Delete { scope, key }
            | Op::Add { scope, key, .. }
            | Op::Check { scope, key, .. } => Some((scope, key)),
            Op::Settle { .. } | Op::SetSchedule { .. } | Op::DeleteSchedule { .. } => None,
        }
    }
}

/// Checks what can be checked without the store, and says how many bytes the list has.
pub(super) fn check(quota: &Quota, ops: &[Op]) -> Result<u64, StoreError> {
    let count = ops.iter().filter(|op| !matches!(op, Op::Settle { .. })).count();
    quota.allows_ops(count)?;
    let (mut bytes, mut keys) = (0_usize, 0_usize);
    for op in ops {
        let (scope, key, value) = match op {
            Op::Set { scope, key, value, .. } => (scope, key, value.len()),
            Op::Delete { scope, key } | Op::Add { scope, key, .. } => (scope, key, 0),
            Op::Check { scope, key, expected: Expected::Value(value) } => (scope, key, value.len()),
            Op::Check { scope, key, .. } => (scope, key, 0),
            Op::Settle { .. } => continue,
            Op::SetSchedule { name, plan } => {
                bytes = bytes.saturating_add(schedules::check(name, Some(plan))?);
                continue;
            }
            Op::DeleteSchedule { name } => {
                bytes = bytes.saturating_add(schedules::check(name, None)?);
                continue;
            }
        };
        row::check_key(key)?;
        within(Quantity::KeyBytes, quota.key_bytes, key.len())?;
        within(Quantity::ValueBytes, quota.value_bytes, value)?;
        bytes = bytes.saturating_add(key.len()).saturating_add(value);
        keys = keys.saturating_add(key.len()).saturating_add(scope.as_str().len());
    }
    within(Quantity::ListRows, ROWS, ops.iter().map(Op::rows).sum())?;
    within(Quantity::ListKeyBytes, KEYS_BYTES, keys)?;
    within(Quantity::ListBytes, quota.list_bytes, bytes)?;
    Ok(bytes as u64)
}

impl Quota {
    /// Whether a list may have so many operations.
    ///
    /// # Errors
    /// [`StoreError::Quota`] if it may not.
    pub(crate) fn allows_ops(&self, count: usize) -> Result<(), StoreError> {
        within(Quantity::ListOps, self.list_ops, count)
    }
}

fn within(quantity: Quantity, limit: usize, asked: usize) -> Result<(), StoreError> {
    if asked > limit {
        return Err(StoreError::Quota { quantity, limit: limit as u64, asked: asked as u64 });
    }
    Ok(())
}

impl Usage {
    pub(super) fn changed(self, more: Usage, freed: Usage) -> Result<Usage, Fault> {
        let after = |before: u64, more: u64, freed: u64| before.saturating_add(more).checked_sub(freed);
        match (after(self.keys, more.keys, freed.keys), after(self.bytes, more.bytes, freed.bytes)) {
            (Some(keys), Some(bytes)) => Ok(Usage { keys, bytes }),
            _ => Err(Fault::damaged("usage")),
        }
    }
}

/// A key that the list has to do with.
struct Draft {
    place: Vec<u8>,
    stored: Option<Stored>,
    becomes: Becomes,
}

/// What its row has, but for the value.
struct Stored {
    cost: u64,
    bytes: u64,
    /// The value is a content of its own.
    outside: bool,
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

impl Stored {
    fn read(tables: &Tables<'_>, now: u64, owner: &Owner, place: &[u8]) -> Result<Option<Stored>, Fault> {
        let Some(row) = tables.entries.get(place)? else { return Ok(None) };
        let row = Row::read(row.value()).ok_or_else(|| Fault::damaged("entries"))?;
        Ok(Some(Stored {
            cost: row::cost(owner, place, row.value.bytes()),
            bytes: row.value.bytes(),
            outside: matches!(row.value, Held::Outside(_)),
            revision: row.revision,
            expires: row.expires,
            resume: row.resume,
            due: row.is_due(now),
        }))
    }
}

/// What an operation sets.
#[derive(Clone, Copy)]
struct New<'a> {
    value: &'a [u8],
    expires: Option<u64>,
    resume: bool,
}

/// What an `Add` makes of its key.
struct Added {
    value: Vec<u8>,
    expires: Option<u64>,
    resume: bool,
}

/// An event that the list settles.
pub(super) struct Settled {
    place: Vec<u8>,
    /// The bytes of its value, if that is a content of its own.
    outside: Option<u64>,
    /// What is no longer charged for of entries, and of schedules.
    entries: Usage,
    pub(super) schedules: Usage,
}

/// A list that is being checked.
struct Checked<'o> {
    ops: &'o [Op],
    /// In the order of their places: so they are read and written, and neighbours share a page.
    drafts: Vec<Draft>,
    /// Which of them each operation has to do with.
    draft_of: Vec<Option<usize>>,
    /// By operation.
    added: BTreeMap<usize, Added>,
    schedules: schedules::Drafts<'o>,
    /// Events to settle.
    settles: BTreeMap<u64, Settled>,
    revisions: Vec<Option<u64>>,
    sums: Vec<f64>,
}

/// Does the list, or refuses it and leaves the tables as they were.
pub(super) fn apply(
    tables: &mut Tables<'_>,
    turn: &mut Turn<'_>,
    owner: &Owner,
    quota: &Quota,
    ops: &[Op],
) -> Result<Result<Applied, StoreError>, Fault> {
    let mut list = Checked::read(tables, turn.now, owner, ops)?;
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
    let schedules_before = tables.schedules_usage(owner)?;
    let schedules_after = list.schedules.usage_after(tables, &list.settles, schedules_before)?;
    if let Err(refused) = schedules::check_quota(quota, schedules_before, schedules_after) {
        return Ok(Err(refused));
    }
    let written = list.write(tables, turn, owner)?;
    list.schedules.write(tables)?;
    if after != before {
        tables.set_usage(owner, after)?;
    }
    if schedules_after != schedules_before {
        tables.set_schedules_usage(owner, schedules_after)?;
    }
    turn.revision = revision;
    if written > 0 {
        turn.laps.lap(Some(owner));
        // more than it brought: trash never grows beyond what there was of content
        tables.blobs.free(written.saturating_add(2 * CHUNK_BYTES), &mut |owner| turn.laps.lap(Some(owner)))?;
    }
    Ok(Ok(Applied { revisions: list.revisions, sums: list.sums }))
}

impl<'o> Checked<'o> {
    /// Reads the rows of all keys of the list, also of one that is refused then.
    fn read(tables: &Tables<'_>, now: u64, owner: &Owner, ops: &'o [Op]) -> Result<Checked<'o>, Fault> {
        let place_of = |(index, op): (usize, &Op)| {
            let (scope, key) = op.key()?;
            Some((row::place(owner, scope, key), index))
        };
        let mut places: Vec<_> = ops.iter().enumerate().filter_map(place_of).collect();
        places.sort_unstable();
        let mut drafts: Vec<Draft> = Vec::with_capacity(places.len());
        let mut draft_of = vec![None; ops.len()];
        for (place, index) in places {
            if drafts.last().is_none_or(|last| last.place != place) {
                let stored = Stored::read(tables, now, owner, &place)?;
                drafts.push(Draft { place, stored, becomes: Becomes::Same });
            }
            if let Some(of) = draft_of.get_mut(index) {
                *of = drafts.len().checked_sub(1);
            }
        }
        Ok(Checked {
            ops,
            drafts,
            draft_of,
            added: BTreeMap::new(),
            schedules: schedules::Drafts::default(),
            settles: BTreeMap::new(),
            revisions: Vec::with_capacity(ops.len()),
            sums: Vec::new(),
        })
    }

    /// The draft of an operation's key.
    fn draft(&self, index: usize) -> Result<&Draft, Fault> {
        let draft = self.draft_of.get(index).copied().flatten().and_then(|draft| self.drafts.get(draft));
        draft.ok_or_else(|| Fault("an operation of a list has no key".into()))
    }

    fn draft_mut(&mut self, index: usize) -> Result<&mut Draft, Fault> {
        let draft = self.draft_of.get(index).copied().flatten().and_then(|draft| self.drafts.get_mut(draft));
        draft.ok_or_else(|| Fault("an operation of a list has no key".into()))
    }

    /// The next operation: whether it can be done after those before it, and what it would change.
    fn check(
        &mut self,
        tables: &Tables<'_>,
        turn: &Turn<'_>,
        revision: &mut u64,
        owner: &Owner,
        index: usize,
    ) -> Result<Result<(), StoreError>, Fault> {
        let ops = self.ops;
        let mut given = None;
        match ops.get(index) {
            Some(Op::Set { .. }) => {
                *revision = revision.checked_add(1).ok_or_else(|| Fault("there are no more revisions".into()))?;
                given = Some(*revision);
                self.draft_mut(index)?.becomes = Becomes::Set(index, *revision);
            }
            Some(Op::Delete { .. }) => {
                let draft = self.draft_mut(index)?;
                let unseen = draft.stored.as_ref().is_none_or(|stored| stored.due);
                if !(unseen && matches!(draft.becomes, Becomes::Same)) {
                    draft.becomes = Becomes::Nothing;
                }
            }
            Some(Op::Add { by, .. }) => {
                *revision = revision.checked_add(1).ok_or_else(|| Fault("there are no more revisions".into()))?;
                let (sum, added) = match self.add(tables, index, *by)? {
                    Ok(added) => added,
                    Err(refused) => return Ok(Err(refused)),
                };
                self.draft_mut(index)?.becomes = Becomes::Set(index, *revision);
                self.added.insert(index, added);
                self.sums.push(sum);
                given = Some(*revision);
            }
            Some(Op::Check { expected, .. }) => {
                let Draft { place, stored, becomes } = self.draft(index)?;
                let holds = match *becomes {
                    Becomes::Nothing => matches!(expected, Expected::Absent),
                    Becomes::Set(of, revision) => match expected {
                        Expected::Absent => false,
                        Expected::Revision(wanted) => *wanted == revision,
                        Expected::Value(wanted) => self.new_of(of).is_some_and(|new| new.value == wanted),
                    },
                    Becomes::Same => match (stored, expected) {
                        (Some(stored), Expected::Absent) => stored.due,
                        (None, expected) => matches!(expected, Expected::Absent),
                        (Some(stored), Expected::Revision(wanted)) => !stored.due && *wanted == stored.revision,
                        // no more is read than the caller brought to compare with
                        (Some(stored), Expected::Value(wanted)) => {
                            !stored.due
                                && stored.bytes == wanted.len() as u64
                                && match stored.outside {
                                    true => tables.blobs.content_is(owner, stored.revision, wanted)?,
                                    false => {
                                        let row = tables.entries.get(place.as_slice())?;
                                        row.is_some_and(|row| {
                                            Row::read(row.value()).is_some_and(|row| row.value == Held::Here(wanted))
                                        })
                                    }
                                }
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
                let is_owners = row.place.starts_with(&row::owner_prefix(owner));
                let (entries, schedules) = match row::is_schedule(owner, row.place) {
                    true => (Usage::default(), tables.left_usage(*event)?),
                    false => {
                        (Usage { keys: 1, bytes: row::cost(owner, row.place, row.value.bytes()) }, Usage::default())
                    }
                };
                let outside = row.value.bytes_outside();
                let settled = Settled { place: row.place.to_vec(), outside, entries, schedules };
                if !is_owners || self.settles.insert(*event, settled).is_some() {
                    return Ok(Err(StoreError::NoEvent { index }));
                }
            }
            Some(Op::SetSchedule { name, plan }) => {
                match self.schedules.set(tables, turn, revision, owner, (name, plan))? {
                    Ok(revision) => given = Some(revision),
                    Err(refused) => return Ok(Err(refused)),
                }
            }
            Some(Op::DeleteSchedule { name }) => self.schedules.delete(tables, owner, name)?,
            None => (),
        }
        self.revisions.push(given);
        Ok(Ok(()))
    }

    /// What an operation sets, if it is one that does.
    fn new_of(&self, index: usize) -> Option<New<'_>> {
        match self.ops.get(index)? {
            Op::Set { value, expires, resume, .. } => Some(New { value, expires: *expires, resume: *resume }),
            Op::Add { .. } => {
                let Added { value, expires, resume } = self.added.get(&index)?;
                Some(New { value, expires: *expires, resume: *resume })
            }
            _ => None,
        }
    }

    /// Adds to the number that a key has at this point of the list, 0 if it has none: the sum, and what the key becomes.
    fn add(&self, tables: &Tables<'_>, index: usize, by: f64) -> Result<Result<(f64, Added), StoreError>, Fault> {
        let Draft { place, stored, becomes } = self.draft(index)?;
        let (becomes, is_there) = (*becomes, stored.as_ref().is_some_and(|stored| !stored.due));
        let row =
            if matches!(becomes, Becomes::Same) && is_there { tables.entries.get(place.as_slice())? } else { None };
        let row =
            row.as_ref().map(|row| Row::read(row.value()).ok_or_else(|| Fault::damaged("entries"))).transpose()?;
        let before = match becomes {
            Becomes::Set(of, _) => self.new_of(of).map(|new| (Held::of(new.value), new.expires, new.resume)),
            Becomes::Nothing => None,
            Becomes::Same => row.map(|row| (row.value, row.expires, row.resume)),
        };
        let Some((value, expires, resume)) = before else { return Ok(sum(0.0, by, None, false)) };
        Ok(match number(value) {
            Ok(number) => sum(number, by, expires, resume),
            Err(has) => Err(StoreError::Invalid(format!("the key has a {has}, not a number"))),
        })
    }

    /// An entry that expired stays charged until its event is settled.
    fn usage_after(&self, owner: &Owner, before: Usage) -> Result<Usage, Fault> {
        let (mut more, mut freed) = (Usage::default(), Usage::default());
        for settled in self.settles.values() {
            freed = Usage { keys: freed.keys + settled.entries.keys, bytes: freed.bytes + settled.entries.bytes };
        }
        for draft in &self.drafts {
            if matches!(draft.becomes, Becomes::Same) {
                continue;
            }
            if let Some(stored) = draft.stored.as_ref().filter(|stored| !stored.due) {
                freed = Usage { keys: freed.keys + 1, bytes: freed.bytes + stored.cost };
            }
            if let Becomes::Set(index, _) = draft.becomes
                && let Some(New { value, .. }) = self.new_of(index)
            {
                more = Usage {
                    keys: more.keys + 1,
                    bytes: more.bytes + row::cost(owner, &draft.place, value.len() as u64),
                };
            }
        }
        before.changed(more, freed)
    }

    /// Says how many bytes of contents it wrote.
    fn write(&self, tables: &mut Tables<'_>, turn: &Turn<'_>, owner: &Owner) -> Result<usize, Fault> {
        let mut written = 0;
        for (event, settled) in &self.settles {
            tables.events.remove((turn.process, *event))?;
            if let Some(bytes) = settled.outside {
                tables.blobs.discard_value(owner, *event, bytes)?;
            }
            tables.end_run(*event, &settled.place)?;
        }
        for draft in &self.drafts {
            let place = draft.place.as_slice();
            if matches!(draft.becomes, Becomes::Same) {
                continue;
            }
            let new = match draft.becomes {
                Becomes::Set(index, revision) => self.new_of(index).map(|new| (new, revision)),
                Becomes::Nothing | Becomes::Same => None,
            };
            let resume = new.is_some_and(|(new, _)| new.resume);
            if let Some(stored) = &draft.stored {
                if stored.due {
                    tables.leave_event(place)?;
                } else if stored.outside {
                    tables.blobs.discard_value(owner, stored.revision, stored.bytes)?;
                }
                tables.unlink(place, stored.revision, stored.expires, stored.resume && !resume)?;
            }
            let Some((New { value, expires, resume }, revision)) = new else {
                tables.entries.remove(place)?;
                continue;
            };
            let held = Held::of(value);
            if let Held::Outside(_) = held {
                tables.blobs.write_content(owner, revision, 0, value)?;
                written = value.len().saturating_add(written);
            }
            tables.entries.insert(place, Row { value: held, revision, expires, resume }.write().as_slice())?;
            if let Some(expires) = expires {
                tables.expiries.insert((expires, revision), place)?;
            }
            if resume && !draft.stored.as_ref().is_some_and(|stored| stored.resume) {
                tables.resumes.insert(place, ())?;
            }
        }
        Ok(written)
    }
}

/// The number that a value is, or what it is instead.
fn number(value: Held<'_>) -> Result<f64, &'static str> {
    let Held::Here(bytes) = value else { return Err("large value") };
    match Reader::new(bytes).token() {
        Ok(Token::Number(number)) => Ok(number),
        _ => Err(Value::decode(bytes).map_or("value that can't be read", |value| value.type_name())),
    }
}

fn sum(number: f64, by: f64, expires: Option<u64>, resume: bool) -> Result<(f64, Added), StoreError> {
    let sum = number + by;
    let value = Value::Number(sum).encode().map_err(|error| StoreError::Invalid(error.to_string()))?;
    Ok((sum, Added { value, expires, resume }))
}
