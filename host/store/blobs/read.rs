//! Reads of blobs: bounded in what they pass over, and in what they give.

use std::ops::Bound;

use super::super::row::{after_prefix, place};
use super::super::tables::Fault;
use super::super::{Owner, Scope, StoreError};
use super::row::{self, CHUNK_BYTES, Row};
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
    let bytes = content(snapshot, owner, &row, start, end)?;
    Ok(Ok(Some(Part { stat: row.stat, bytes })))
}

/// The bytes of a content from `start` to before `end`: of the chunks that have some of them.
fn content(snapshot: &Snapshot, owner: &Owner, row: &Row, start: u64, end: u64) -> Result<Vec<u8>, Fault> {
    let damaged = || Fault::damaged("blob chunks");
    let wanted = usize::try_from(end - start).map_err(|_| damaged())?;
    let mut bytes = Vec::new();
    if wanted == 0 {
        return Ok(bytes);
    }
    bytes.try_reserve_exact(wanted).map_err(|_| Fault("there is no memory for this part of a blob".into()))?;
    let chunk_bytes = CHUNK_BYTES as u64;
    let (first, last) = (start / chunk_bytes, (end - 1) / chunk_bytes);
    let mut skip = usize::try_from(start % chunk_bytes).map_err(|_| damaged())?;
    let content = row::content_prefix(owner, row.content);
    for index in first..=last {
        // not one range over all: that reads chunks at its ends twice
        let chunk = snapshot.chunks.get(row::chunk(&content, index).as_slice())?.ok_or_else(damaged)?;
        let rest = chunk.value().get(skip..).ok_or_else(damaged)?;
        let taken = rest.len().min(wanted - bytes.len());
        bytes.extend_from_slice(rest.get(..taken).ok_or_else(damaged)?);
        skip = 0;
    }
    if bytes.len() == wanted { Ok(bytes) } else { Err(damaged()) }
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
        } else {
            stats.blobs.push((name, row.stat));
        }
    }
    Ok(stats)
}
