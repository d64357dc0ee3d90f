//! Reads of blobs: bounded in what they pass over, and in what they give.

use std::ops::Bound;

use super::super::row::{after_prefix, place};
use super::super::tables::Fault;
use super::super::{Owner, Scope, StoreError};
use super::row::Row;
use super::tables::Snapshot;
use super::types::{Name, Names, Part, Range, Stats};

/// How many rows of expired blobs a listing passes over before it makes the caller come back.
const ROWS_PASSED: usize = 1_000;

pub(super) fn part(
    snapshot: &Snapshot,
    now: u64,
    owner: &Owner,
    scope: &Scope,
    name: &Name,
    range: &Range,
) -> Result<Result<Option<Part>, StoreError>, Fault> {
    let row = snapshot.row(&place(owner, scope, name.as_bytes()))?;
    let Some(row) = row.filter(|row| !row.is_due(now)) else { return Ok(Ok(None)) };
    let (start, end) = match range.within(row.stat.size) {
        Ok(part) => part,
        Err(refused) => return Ok(Err(refused)),
    };
    let bytes = snapshot.content(owner, row.content, (start, end))?;
    Ok(Ok(Some(Part { stat: row.stat, bytes })))
}

pub(super) fn list(
    snapshot: &Snapshot,
    now: u64,
    owner: &Owner,
    scope: &Scope,
    names: &Names<'_>,
) -> Result<Stats, Fault> {
    let own = place(owner, scope, b"").len();
    let prefix = place(owner, scope, names.prefix);
    let after = names.after.map(|after| place(owner, scope, after));
    let start = match &after {
        Some(after) if *after >= prefix => Bound::Excluded(after.as_slice()),
        _ => Bound::Included(prefix.as_slice()),
    };
    let mut stats = Stats::default();
    let Some(end) = after_prefix(&prefix) else { return Ok(stats) };
    if after.as_ref().is_some_and(|after| *after >= end) {
        return Ok(stats);
    }
    let mut passed = 0_usize;
    let mut last = names.after.map(<[u8]>::to_vec);
    for found in snapshot.blobs.range::<&[u8]>((start, Bound::Excluded(end.as_slice())))? {
        let (place, found) = found?;
        if stats.blobs.len() >= names.max || passed >= ROWS_PASSED {
            stats.more_after = last;
            return Ok(stats);
        }
        let name = place.value().get(own..).ok_or_else(|| Fault::damaged("blobs"))?.to_vec();
        let row = Row::read(found.value()).ok_or_else(|| Fault::damaged("blobs"))?;
        last = Some(name.clone());
        if row.is_due(now) {
            passed += 1;
            stats.passed = passed;
        } else {
            stats.blobs.push((name, row.stat));
        }
    }
    Ok(stats)
}
