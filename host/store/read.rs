//! Reads: from the tables as of the last commit, on the caller's thread, each bounded in what it passes over.

use super::events;
use super::row::{self, EventRow, Held, Row};
use super::tables::{Fault, Snapshot};
use super::{Entry, Event, Owner, Page, Place, Query, Resumes, Scope};

/// How many rows a read passes over beside those it gives, and how many bytes of values in them, before it makes the caller come
/// back. Only a store from before there were contents has values in rows that are more than a few bytes.
const ROWS_PASSED: usize = 1_000;
const BYTES_PASSED: usize = 1 << 20;

/// A value, from its row or from its content.
fn value(snapshot: &Snapshot, owner: &Owner, number: u64, held: Held<'_>) -> Result<Vec<u8>, Fault> {
    match held {
        Held::Here(value) => Ok(value.to_vec()),
        Held::Outside(bytes) => snapshot.blobs.content(owner, number, (0, bytes)),
    }
}

pub(super) fn get(
    snapshot: &Snapshot,
    now: u64,
    owner: &Owner,
    scope: &Scope,
    key: &[u8],
) -> Result<Option<Entry>, Fault> {
    let Some(row) = snapshot.entries.get(row::place(owner, scope, key).as_slice())? else { return Ok(None) };
    let row = Row::read(row.value()).ok_or_else(|| Fault::damaged("entries"))?;
    if row.is_due(now) {
        return Ok(None);
    }
    Ok(Some(row.entry(value(snapshot, owner, row.revision, row.value)?)))
}

pub(super) fn list(
    snapshot: &Snapshot,
    now: u64,
    owner: &Owner,
    scope: &Scope,
    query: &Query<'_>,
) -> Result<Page, Fault> {
    let own = row::place(owner, scope, b"").len();
    let prefix = row::place(owner, scope, query.prefix);
    // the first place after `after` is the one with a zero byte more
    let mut start =
        query.after.map_or_else(|| prefix.clone(), |after| [&row::place(owner, scope, after), &[0][..]].concat());
    if start < prefix {
        start.clone_from(&prefix);
    }
    let mut page = Page::default();
    let Some(end) = row::after_prefix(&prefix).filter(|end| start < *end) else { return Ok(page) };
    let (mut passed, mut passed_bytes, mut bytes) = (0_usize, 0_usize, 0_usize);
    let mut last: Option<Vec<u8>> = None;
    for found in snapshot.entries.range(start.as_slice()..end.as_slice())? {
        let (place, found) = found?;
        let key = place.value().get(own..).ok_or_else(|| Fault::damaged("entries"))?;
        if page.entries.len() >= query.entries_max
            || bytes >= query.bytes_max
            || passed >= ROWS_PASSED
            || passed_bytes >= BYTES_PASSED
        {
            // nothing was read yet if nothing was asked for
            page.more_after = last.or_else(|| query.after.map(<[u8]>::to_vec));
            return Ok(page);
        }
        let row = Row::read(found.value()).ok_or_else(|| Fault::damaged("entries"))?;
        last = Some(key.to_vec());
        if row.is_due(now) {
            passed += 1;
            page.passed = passed;
            passed_bytes = passed_bytes.saturating_add(row.value.bytes_here());
            continue;
        }
        let entry = if query.values {
            row.entry(value(snapshot, owner, row.revision, row.value)?)
        } else {
            passed_bytes = passed_bytes.saturating_add(row.value.bytes_here());
            row.entry(Vec::new())
        };
        bytes = bytes.saturating_add(key.len()).saturating_add(entry.value.len());
        page.entries.push((key.to_vec(), entry));
    }
    Ok(page)
}

pub(super) fn event(snapshot: &Snapshot, process: u64, number: u64) -> Result<Option<Event>, Fault> {
    let Some(row) = snapshot.events.get((process, number))? else { return Ok(None) };
    let row = EventRow::read(row.value()).ok_or_else(|| Fault::damaged("events"))?;
    let mut event = events::event(number, row.attempts, row.place, row.value)?;
    if let Held::Outside(_) = row.value {
        event.value = value(snapshot, &event.place.owner, number, row.value)?;
    }
    Ok(Some(event))
}

pub(super) fn resumes(snapshot: &Snapshot, now: u64, after: Option<&Place>, limit: usize) -> Result<Resumes, Fault> {
    let start = after.map(|after| [&row::place(&after.owner, &after.scope, &after.key), &[0][..]].concat());
    let mut resumes = Resumes::default();
    let (mut passed, mut bytes) = (0_usize, 0_usize);
    for place in snapshot.resumes.range(start.unwrap_or_default().as_slice()..)? {
        let (place, ()) = place.map(|(place, _)| (place, ()))?;
        if resumes.entries.len() >= limit || bytes >= BYTES_PASSED || passed >= ROWS_PASSED {
            return Ok(resumes);
        }
        let found = snapshot.entries.get(place.value())?.ok_or_else(|| Fault::damaged("resumes"))?;
        let row = Row::read(found.value()).ok_or_else(|| Fault::damaged("entries"))?;
        let place = row::read_place(place.value()).ok_or_else(|| Fault::damaged("resumes"))?;
        resumes.more_after = Some(place.clone());
        bytes = bytes.saturating_add(place.key.len()).saturating_add(row.value.bytes_here());
        if row.is_due(now) {
            passed += 1;
        } else {
            let value = value(snapshot, &place.owner, row.revision, row.value)?;
            bytes = bytes.saturating_add(value.len());
            resumes.entries.push((place, row.entry(value)));
        }
    }
    resumes.more_after = None;
    Ok(resumes)
}
