//! What frees: blobs that expired, content that nothing names any more, all that an owner has. Each in bounded steps.

use redb::ReadableTable;

use super::super::Owner;
use super::super::row::{after_prefix, owner_prefix, read_place};
use super::super::tables::Fault;
use super::row::{self, Row};
use super::tables::Tables;

/// How many rows, and how many bytes of chunks, one step takes away.
const STEP_ROWS: usize = 500;
const STEP_BYTES: usize = 8 << 20;

/// What a row counts for at least: many small ones are work too.
const ROW_BYTES: usize = 16 << 10;

/// How far the deletion of an owner has come.
pub(in super::super) enum Erase {
    /// Its blobs are next.
    Rows,
    /// Then all content up to this number: nothing names that any more, and what came meanwhile has a greater one.
    Contents(u64),
}

impl Tables<'_> {
    /// One step of freeing what nobody can see. Whether there was anything.
    pub(in super::super) fn sweep(&mut self, now: u64) -> Result<bool, Fault> {
        let expired = self.expire(now, STEP_ROWS)?;
        Ok(self.free(STEP_BYTES)? || expired)
    }

    /// Makes trash of so many blobs that expired, and discharges their owners. Whether there were any.
    pub(super) fn expire(&mut self, now: u64, rows: usize) -> Result<bool, Fault> {
        for step in 0..rows {
            let place = match self.expiries.first()? {
                Some((key, place)) if key.value().0 <= now => place.value().to_vec(),
                _ => return Ok(step > 0),
            };
            let owner = read_place(&place).ok_or_else(|| Fault::damaged("blob expiries"))?.owner;
            let row = self.row(&place)?.filter(|row| row.is_due(now)).ok_or_else(|| Fault::damaged("blob expiries"))?;
            let usage = self.usage(&owner)?.less([row.cost(&owner, &place)]);
            self.set_usage(&owner, usage.ok_or_else(|| Fault::damaged("blob usage"))?)?;
            self.discard(&owner, &row)?;
            self.blobs.remove(place.as_slice())?;
        }
        Ok(true)
    }

    /// Forgets when a blob expires; its content is trash from now on.
    pub(super) fn discard(&mut self, owner: &Owner, row: &Row) -> Result<(), Fault> {
        if let Some(expires) = row.stat.expires {
            self.expiries.remove((expires, row.content))?;
        }
        if row.stat.size > 0 {
            self.trash.insert(row.content, row::content_prefix(owner, row.content).as_slice())?;
        }
        Ok(())
    }

    /// Frees about so many bytes of trash. Whether there was any.
    pub(super) fn free(&mut self, bytes: usize) -> Result<bool, Fault> {
        let mut freed = 0;
        while freed < bytes {
            let (number, content) = match self.trash.first()? {
                Some((number, content)) => (number.value(), content.value().to_vec()),
                None => break,
            };
            let end = after_prefix(&content).ok_or_else(|| Fault::damaged("blob trash"))?;
            let (took, all) = self.free_chunks(&content, &end, bytes - freed)?;
            freed = freed.saturating_add(took.max(ROW_BYTES));
            if all {
                self.trash.remove(number)?;
            }
        }
        Ok(freed > 0)
    }

    /// Frees chunks from one key to before another: how many bytes, and whether that was all.
    fn free_chunks(&mut self, start: &[u8], end: &[u8], bytes: usize) -> Result<(usize, bool), Fault> {
        let mut freed = 0_usize;
        for removed in self.chunks.extract_from_if(start..end, |_, _| true)? {
            freed = freed.saturating_add(removed?.1.value().len().max(ROW_BYTES));
            if freed >= bytes {
                return Ok((freed, false));
            }
        }
        Ok((freed, true))
    }

    /// One step of deleting what is an owner's. Says from where to go on, if there is more to do. A step may be the last that
    /// is done: what it leaves is in order.
    pub(super) fn erase(&mut self, owner: &Owner, from: &Erase, revision: u64) -> Result<Option<Erase>, Fault> {
        let upto = match from {
            Erase::Rows if self.erase_rows(owner)? => return Ok(Some(Erase::Rows)),
            Erase::Rows => revision,
            Erase::Contents(upto) => *upto,
        };
        let end = row::content_prefix(owner, upto.saturating_add(1));
        let (_, all) = self.free_chunks(&owner_prefix(owner), &end, STEP_BYTES)?;
        Ok((!all).then_some(Erase::Contents(upto)))
    }

    /// Whether there may be more.
    fn erase_rows(&mut self, owner: &Owner) -> Result<bool, Fault> {
        let prefix = owner_prefix(owner);
        let end = after_prefix(&prefix).ok_or_else(|| Fault::damaged("blobs"))?;
        let mut found = Vec::new();
        for row in self.blobs.range(prefix.as_slice()..end.as_slice())?.take(STEP_ROWS) {
            let (place, row) = row?;
            let row = Row::read(row.value()).ok_or_else(|| Fault::damaged("blobs"))?;
            found.push((place.value().to_vec(), row));
        }
        let usage = self.usage(owner)?.less(found.iter().map(|(place, row)| row.cost(owner, place)));
        self.set_usage(owner, usage.ok_or_else(|| Fault::damaged("blob usage"))?)?;
        for (place, row) in &found {
            self.discard(owner, row)?;
            self.blobs.remove(place.as_slice())?;
        }
        Ok(found.len() == STEP_ROWS)
    }
}
