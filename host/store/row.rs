//! Places and entries as bytes.
//!
//! A place is the owner's length and name, the scope's length and name, then the key. With the lengths in front no place is
//! a prefix of another owner's or scope's, so what an owner or a scope has is one range, and a range never leaves it.

use super::{Entry, Owner, Place, Quota, Run, Scheduled, Scope, StoreError};
use crate::modules::cron::due::Missed;
use crate::modules::cron::plan::Plan;

const RESUME: u8 = 1;
const EXPIRES: u8 = 2;
const OUTSIDE: u8 = 4;

/// The largest value that lies in its row, in bytes. A larger one is a content of its own, in chunks as a blob's is: whoever looks
/// at the row for its revision, its time or its size reads none of it.
pub(super) const INLINE_BYTES_MAX: usize = 2_048;

/// In an event's row, in the length of its place: the value is a content of its own.
const EVENT_OUTSIDE: u16 = 1 << 15;

/// What all places of an owner start with.
pub(super) fn owner_prefix(owner: &Owner) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + owner.as_str().len());
    push_owner(&mut bytes, owner);
    bytes
}

/// What all places of a scope start with whose keys start so.
pub(super) fn place(owner: &Owner, scope: &Scope, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 + owner.as_str().len() + scope.as_str().len() + key.len());
    push_owner(&mut bytes, owner);
    // Scope::BYTES_MAX is less than 256, Owner::BYTES_MAX less than 65,536
    bytes.push(u8::try_from(scope.as_str().len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(scope.as_str().as_bytes());
    bytes.extend_from_slice(key);
    bytes
}

fn push_owner(bytes: &mut Vec<u8>, owner: &Owner) {
    let name = owner.as_str().as_bytes();
    bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(name);
}

/// Whose place or content these bytes are.
pub(super) fn read_owner(bytes: &[u8]) -> Option<Owner> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (owner, _) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Owner::new(str::from_utf8(owner).ok()?).ok()
}

/// Whether a place of this owner is a schedule's.
pub(super) fn is_schedule(owner: &Owner, place: &[u8]) -> bool {
    place.get(2 + owner.as_str().len()) == Some(&0)
}

/// The place that these bytes are.
pub(super) fn read_place(bytes: &[u8]) -> Option<Place> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (owner, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (length, rest) = rest.split_first()?;
    let (scope, key) = rest.split_at_checked(usize::from(*length))?;
    let scope = if scope.is_empty() { Scope::schedules() } else { Scope::new(str::from_utf8(scope).ok()?).ok()? };
    Some(Place { owner: Owner::new(str::from_utf8(owner).ok()?).ok()?, scope, key: key.to_vec() })
}

/// The first bytes after all that start with these.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut bytes = prefix.get(..=last)?.to_vec();
    if let Some(byte) = bytes.last_mut() {
        *byte += 1; // it isn't the greatest
    }
    Some(bytes)
}

/// What an entry at these bytes counts for: scope, key, value, and what each costs.
pub(super) fn cost(owner: &Owner, place: &[u8], value: u64) -> u64 {
    let named = place.len().saturating_sub(3 + owner.as_str().len());
    (named as u64).saturating_add(value).saturating_add(Quota::ENTRY_BYTES)
}

/// A key that can be.
pub(super) fn check_key(key: &[u8]) -> Result<(), StoreError> {
    match key.len() {
        0 => Err(StoreError::invalid("a key must not be empty")),
        1..=Place::KEY_BYTES_MAX => Ok(()),
        bytes => {
            Err(StoreError::invalid(format!("a key has at most {} bytes, this one has {bytes}", Place::KEY_BYTES_MAX)))
        }
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held<'a> {
    /// In the row.
    Here(&'a [u8]),
    /// In a content of this many bytes. Its number is the revision of the entry, which is the number of the event too.
    Outside(u64),
}

impl<'a> Held<'a> {
    /// Where a value of an entry is to be.
    pub(super) fn of(value: &'a [u8]) -> Held<'a> {
        if value.len() > INLINE_BYTES_MAX { Held::Outside(value.len() as u64) } else { Held::Here(value) }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Held::Here(value) => value.len() as u64,
            Held::Outside(bytes) => *bytes,
        }
    }

    /// The bytes of it that a reader of the row has read: a store from before contents had values in rows whatever their size.
    pub(super) fn bytes_here(&self) -> usize {
        match self {
            Held::Here(value) => value.len(),
            Held::Outside(_) => size_of::<u64>(),
        }
    }

    /// Its bytes, if they are a content of its own.
    pub(super) fn bytes_outside(&self) -> Option<u64> {
        if let Held::Outside(bytes) = self { Some(*bytes) } else { None }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Held::Here(value) => bytes.extend_from_slice(value),
            Held::Outside(length) => bytes.extend_from_slice(&length.to_be_bytes()),
        }
    }

    fn read(bytes: &'a [u8], outside: bool) -> Option<Held<'a>> {
        if !outside {
            return Some(Held::Here(bytes));
        }
        Some(Held::Outside(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

/// An entry as it lies in its row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) value: Held<'a>,
    pub(super) revision: u64,
    pub(super) expires: Option<u64>,
    pub(super) resume: bool,
}

impl<'a> Row<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Row<'a>> {
        let (flags, rest) = bytes.split_first()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (expires, value) = if flags & EXPIRES == 0 {
            (None, rest)
        } else {
            let (expires, value) = rest.split_first_chunk()?;
            (Some(u64::from_be_bytes(*expires)), value)
        };
        if flags & !(RESUME | EXPIRES | OUTSIDE) != 0 {
            return None;
        }
        let value = Held::read(value, flags & OUTSIDE != 0)?;
        Some(Row { value, revision: u64::from_be_bytes(*revision), expires, resume: flags & RESUME != 0 })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17 + self.value.bytes_here());
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let outside = matches!(self.value, Held::Outside(_));
        bytes.push(flag(self.resume, RESUME) | flag(self.expires.is_some(), EXPIRES) | flag(outside, OUTSIDE));
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        if let Some(expires) = self.expires {
            bytes.extend_from_slice(&expires.to_be_bytes());
        }
        self.value.write(&mut bytes);
        bytes
    }

    pub(super) fn is_due(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The entry, with a value that was read.
    pub(super) fn entry(&self, value: Vec<u8>) -> Entry {
        Entry { value, revision: self.revision, expires: self.expires, resume: self.resume }
    }
}

/// An event as it lies in its row; its number is in the row's key.
#[derive(Clone, Copy)]
pub(super) struct EventRow<'a> {
    /// How many processes were given it.
    pub(super) attempts: u32,
    pub(super) place: &'a [u8],
    pub(super) value: Held<'a>,
}

impl<'a> EventRow<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<EventRow<'a>> {
        let (attempts, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = u16::from_be_bytes(*length);
        let (place, value) = rest.split_at_checked(usize::from(length & !EVENT_OUTSIDE))?;
        let value = Held::read(value, length & EVENT_OUTSIDE != 0)?;
        Some(EventRow { attempts: u32::from_be_bytes(*attempts), place, value })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(6 + self.place.len() + self.value.bytes_here());
        bytes.extend_from_slice(&self.attempts.to_be_bytes());
        // a place has at most 3 + 300 + 64 + 1,024 bytes
        let length = u16::try_from(self.place.len()).unwrap_or(EVENT_OUTSIDE - 1);
        let outside = if let Held::Outside(_) = self.value { EVENT_OUTSIDE } else { 0 };
        bytes.extend_from_slice(&(length | outside).to_be_bytes());
        bytes.extend_from_slice(self.place);
        self.value.write(&mut bytes);
        bytes
    }
}

const MISSED: [Missed; 3] = [Missed::Skip, Missed::Once, Missed::All];

/// A schedule as it lies in its row.
pub(super) fn write_scheduled(plan: &Plan, revision: u64, last: u64, next: Option<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(31 + plan.bytes());
    bytes.extend_from_slice(&revision.to_be_bytes());
    bytes.extend_from_slice(&last.to_be_bytes());
    bytes.extend_from_slice(&next.unwrap_or(u64::MAX).to_be_bytes());
    bytes.push(MISSED.iter().zip(0..).find(|(missed, _)| **missed == plan.missed).map_or(0, |(_, number)| number));
    for text in [&plan.expression, &plan.zone, &plan.event] {
        push_text(&mut bytes, text);
    }
    bytes.extend_from_slice(&plan.payload);
    bytes
}

pub(super) fn read_scheduled(bytes: &[u8]) -> Option<Scheduled> {
    let (revision, rest) = bytes.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let (next, rest) = rest.split_first_chunk()?;
    let (missed, rest) = rest.split_first()?;
    let (expression, rest) = read_text(rest)?;
    let (zone, rest) = read_text(rest)?;
    let (event, payload) = read_text(rest)?;
    Some(Scheduled {
        plan: Plan { expression, zone, event, payload: payload.to_vec(), missed: *MISSED.get(usize::from(*missed))? },
        revision: u64::from_be_bytes(*revision),
        last: u64::from_be_bytes(*last),
        next: Some(u64::from_be_bytes(*next)).filter(|next| *next != u64::MAX),
    })
}

/// A run as it lies in its event's row, where an entry that expired has its value.
pub(super) fn write_run(plan: &Plan, at: u64, missed: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(14 + plan.event.len() + plan.payload.len());
    bytes.extend_from_slice(&at.to_be_bytes());
    bytes.extend_from_slice(&missed.to_be_bytes());
    push_text(&mut bytes, &plan.event);
    bytes.extend_from_slice(&plan.payload);
    bytes
}

/// The run, and its payload.
pub(super) fn read_run(bytes: &[u8]) -> Option<(Run, &[u8])> {
    let (at, rest) = bytes.split_first_chunk()?;
    let (missed, rest) = rest.split_first_chunk()?;
    let (event, payload) = read_text(rest)?;
    Some((Run { event, at: u64::from_be_bytes(*at), missed: u32::from_be_bytes(*missed) }, payload))
}

/// Texts of a plan are far shorter than 65,536 bytes.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn read_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((str::from_utf8(text).ok()?.to_owned(), rest))
}
