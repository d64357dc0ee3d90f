//! What frees: blobs that expired, content that nothing names any more, all that an owner has. Each in bounded steps.

use redb::ReadableTable;

use super::super::Owner;
use super::super::list::Turn;
use super::super::row::{after_prefix, owner_prefix, read_place};
use super::super::tables::Fault;
use super::row::Row;
use super::tables::Tables;

/// How many rows, and how many bytes of chunks, one step takes away: for about half a millisecond.
const STEP_ROWS: usize = 50;
const STEP_BYTES: usize = 512 << 10;

/// How far the deletion of an owner has come.
pub(in super::super) enum Erase {
    /// Its blobs are next.
    Rows,
    /// Then what is trash of its contents, from this number on.
    Contents(u64),
}

impl Tables<'_> {
    /// One step of freeing what nobody can see. Whether there was anything.
    pub(in super::super) fn sweep(&mut self, turn: &mut Turn<'_>) -> Result<bool, Fault> {
        let expired = self.expire(turn, STEP_ROWS)?;
        Ok(self.free(STEP_BYTES, &mut |owner| turn.laps.lap(Some(owner)))? || expired)
    }

    /// Makes trash of so many blobs that expired, and discharges their owners, whose time it is. Whether there were any.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>, rows: usize) -> Result<bool, Fault> {
        for step in 0..rows {
            let place = match self.expiries.first()? {
                Some((key, place)) if key.value().0 <= turn.now => place.value().to_vec(),
                _ => return Ok(step > 0),
            };
            let owner = read_place(&place).ok_or_else(|| Fault::damaged("blob expiries"))?.owner;
            let row = self.row(&place)?.filter(|row| row.is_due(turn.now));
            let row = row.ok_or_else(|| Fault::damaged("blob expiries"))?;
            let usage = self.usage(&owner)?.less([row.cost(&owner, &place)]);
            self.set_usage(&owner, usage.ok_or_else(|| Fault::damaged("blob usage"))?)?;
            self.discard(&owner, &row)?;
            self.blobs.remove(place.as_slice())?;
            turn.laps.lap(Some(&owner));
        }
        Ok(true)
    }

    /// Forgets when a blob expires; its content is trash from now on.
    pub(super) fn discard(&mut self, owner: &Owner, row: &Row) -> Result<(), Fault> {
        if let Some(expires) = row.stat.expires {
            self.expiries.remove((expires, row.content))?;
        }
        if row.stat.size > 0 {
            self.discard_content(owner, row.content)?;
        }
        Ok(())
    }

    /// One step of deleting what is an owner's: its blobs, then what has become trash of its contents. Says from where to go on, if
    /// there is more to do. A step may be the last that is done: what it leaves is in order.
    pub(super) fn erase(&mut self, owner: &Owner, from: &Erase) -> Result<Option<Erase>, Fault> {
        let from = match from {
            Erase::Rows if self.erase_rows(owner)? => return Ok(Some(Erase::Rows)),
            Erase::Rows => 0,
            Erase::Contents(from) => *from,
        };
        Ok(self.free_of(owner, from, STEP_BYTES)?.map(Erase::Contents))
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
