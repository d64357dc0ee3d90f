//! Contents: bytes in chunks under a number of their own. A blob has one, and so has a value of a key that is too large for its row.
//!
//! What one `append` adds rewrites a chunk's *tail* and not the chunk: up to [`TAIL_BYTES`] at the end of a content lie in a row of
//! their own, and go to their chunk when there are more. So a byte that is added costs 4 KiB and not 64.

use redb::ReadableTable;

use super::super::Owner;
use super::super::row::{after_prefix, read_owner};
use super::super::tables::Fault;
use super::row::{self, CHUNK_BYTES, TAIL_BYTES};
use super::tables::{Bytes, Tables};

/// What a row counts for at least when it is freed: many small ones are work too, 4 us each.
const ROW_BYTES: usize = 4 << 10;

/// The most bytes of a value whose content goes at once. It has one chunk.
const AT_ONCE_BYTES: u64 = 4 << 10;
const _: () = assert!(AT_ONCE_BYTES <= CHUNK_BYTES as u64);

impl Tables<'_> {
    /// Writes what follows the first `start` bytes of a content.
    pub(in super::super) fn write_content(
        &mut self,
        owner: &Owner,
        number: u64,
        start: u64,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let content = row::content_prefix(owner, number);
        let chunk_bytes = CHUNK_BYTES as u64;
        let (mut index, filled) = (start / chunk_bytes, start % chunk_bytes);
        let mut rest = bytes;
        if filled > 0 && !rest.is_empty() {
            let room = usize::try_from(chunk_bytes - filled).unwrap_or_default();
            let (more, others) = rest.split_at(rest.len().min(room));
            self.grow_chunk(&content, index, filled, more)?;
            rest = others;
            index += 1;
        }
        for chunk in rest.chunks(CHUNK_BYTES) {
            self.chunks.insert(row::chunk(&content, index).as_slice(), chunk)?;
            index += 1;
        }
        Ok(())
    }

    /// Adds to the last chunk of a content: to its tail, if that does.
    fn grow_chunk(&mut self, content: &[u8], index: u64, filled: u64, more: &[u8]) -> Result<(), Fault> {
        let damaged = || Fault::damaged("blob chunks");
        let key = row::chunk(content, index);
        let mut tail = self.tails.get(content)?.map(|tail| tail.value().to_vec()).unwrap_or_default();
        let has_tail = !tail.is_empty();
        let all = tail.len() + more.len();
        if all < TAIL_BYTES && usize::try_from(filled).is_ok_and(|filled| filled + more.len() < CHUNK_BYTES) {
            if filled < tail.len() as u64 {
                return Err(damaged());
            }
            tail.extend_from_slice(more);
            self.tails.insert(content, tail.as_slice())?;
            return Ok(());
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        chunk.extend_from_slice(self.chunks.get(key.as_slice())?.ok_or_else(damaged)?.value());
        if (chunk.len() + tail.len()) as u64 != filled {
            return Err(damaged());
        }
        chunk.extend_from_slice(&tail);
        chunk.extend_from_slice(more);
        self.chunks.insert(key.as_slice(), chunk.as_slice())?;
        if has_tail {
            self.tails.remove(content)?;
        }
        Ok(())
    }

    /// A content is trash from now on.
    pub(super) fn discard_content(&mut self, owner: &Owner, number: u64) -> Result<(), Fault> {
        self.trash.insert(number, row::content_prefix(owner, number).as_slice())?;
        self.discarded += 1;
        Ok(())
    }

    /// The content of a value is nobody's any more. A small one goes at once: as trash it would be written down, found and freed, five
    /// rows for one, and a list of 100 took 4 ms of the writer.
    pub(in super::super) fn discard_value(&mut self, owner: &Owner, number: u64, bytes: u64) -> Result<(), Fault> {
        if bytes > AT_ONCE_BYTES {
            return self.discard_content(owner, number);
        }
        let chunk = row::chunk(&row::content_prefix(owner, number), 0); // it has no tail: nothing is appended to a value
        self.chunks.remove(chunk.as_slice())?;
        Ok(())
    }

    /// How many contents have become trash since this was called last.
    pub(in super::super) fn made(&mut self) -> usize {
        std::mem::take(&mut self.discarded)
    }

    /// Frees twice as much trash as a change of so many bytes has made, so that there is never more of it than is freed by and by.
    pub(in super::super) fn clean(
        &mut self,
        made: usize,
        bytes: usize,
        freed: &mut dyn FnMut(&Owner),
    ) -> Result<(), Fault> {
        self.free(bytes.max(made.saturating_mul(ROW_BYTES)).saturating_mul(2), freed)?;
        Ok(())
    }

    /// Whether a content is these bytes, of which there are as many.
    pub(in super::super) fn content_is(&self, owner: &Owner, number: u64, bytes: &[u8]) -> Result<bool, Fault> {
        let content = row::content_prefix(owner, number);
        for (index, wanted) in (0..).zip(bytes.chunks(CHUNK_BYTES)) {
            let chunk = self.chunks.get(row::chunk(&content, index).as_slice())?;
            if chunk.ok_or_else(|| Fault::damaged("blob chunks"))?.value() != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Frees about so many bytes of trash. Whether there was any; `freed` is told whose it was, after each piece.
    pub(in super::super) fn free(&mut self, bytes: usize, freed: &mut dyn FnMut(&Owner)) -> Result<bool, Fault> {
        let mut done = 0;
        while done < bytes {
            let (number, content) = match self.trash.first()? {
                Some((number, content)) => (number.value(), content.value().to_vec()),
                None => break,
            };
            done = done.saturating_add(self.free_content(number, &content, bytes - done)?.0.max(ROW_BYTES));
            freed(&read_owner(&content).ok_or_else(|| Fault::damaged("blob trash"))?);
        }
        Ok(done > 0)
    }

    /// Frees about so many bytes of one content that is trash: how many, and whether that was all of it.
    fn free_content(&mut self, number: u64, content: &[u8], bytes: usize) -> Result<(usize, bool), Fault> {
        let end = after_prefix(content).ok_or_else(|| Fault::damaged("blob trash"))?;
        let mut freed = 0_usize;
        for removed in self.chunks.extract_from_if(content..end.as_slice(), |_, _| true)? {
            freed = freed.saturating_add(removed?.1.value().len().max(ROW_BYTES));
            if freed >= bytes {
                return Ok((freed, false));
            }
        }
        self.tails.remove(content)?;
        self.trash.remove(number)?;
        Ok((freed, true))
    }

    /// Frees about so many bytes of an owner's trash, from this number on. Says from which one to go on, if there may be more.
    pub(super) fn free_of(&mut self, owner: &Owner, from: u64, bytes: usize) -> Result<Option<u64>, Fault> {
        let damaged = || Fault::damaged("blob chunks");
        let own = row::content_prefix(owner, u64::MAX);
        let end = after_prefix(&row::content_prefix(owner, u64::MAX)).ok_or_else(damaged)?;
        let (mut next, mut freed) = (from, 0_usize);
        while freed < bytes {
            let start = row::content_prefix(owner, next);
            let found = match self.chunks.range::<&[u8]>(start.as_slice()..end.as_slice())?.next() {
                Some(found) => found?.0.value().to_vec(),
                None => return Ok(None),
            };
            let content = found.get(..own.len()).ok_or_else(damaged)?;
            let number = content.last_chunk().map(|number| u64::from_be_bytes(*number)).ok_or_else(damaged)?;
            let is_trash = self.trash.get(number)?.is_some();
            let all = if is_trash {
                let (took, all) = self.free_content(number, content, bytes - freed)?;
                freed = freed.saturating_add(took);
                all
            } else {
                true
            };
            freed = freed.saturating_add(ROW_BYTES);
            next = if all { number.saturating_add(1) } else { number };
        }
        Ok(Some(next))
    }
}

/// The bytes of a content from `start` to before `end`: of the chunks that have some of them.
pub(in super::super) fn read(
    chunks: &impl ReadableTable<Bytes, Bytes>,
    tails: &impl ReadableTable<Bytes, Bytes>,
    owner: &Owner,
    number: u64,
    (start, end): (u64, u64),
) -> Result<Vec<u8>, Fault> {
    let damaged = || Fault::damaged("blob chunks");
    let wanted = usize::try_from(end.saturating_sub(start)).map_err(|_| damaged())?;
    let mut bytes = Vec::new();
    if wanted == 0 {
        return Ok(bytes);
    }
    bytes.try_reserve_exact(wanted).map_err(|_| Fault("there is no memory for this part of a content".into()))?;
    let chunk_bytes = CHUNK_BYTES as u64;
    let (first, last) = (start / chunk_bytes, (end - 1) / chunk_bytes);
    let mut skip = usize::try_from(start % chunk_bytes).map_err(|_| damaged())?;
    let content = row::content_prefix(owner, number);
    for index in first..=last {
        // not one range over all: that reads chunks at its ends twice
        let chunk = chunks.get(row::chunk(&content, index).as_slice())?.ok_or_else(damaged)?;
        let chunk = chunk.value();
        take(&mut bytes, chunk, &mut skip, wanted);
        if index == last && bytes.len() < wanted && chunk.len() < CHUNK_BYTES {
            let tail = tails.get(content.as_slice())?.ok_or_else(damaged)?;
            take(&mut bytes, tail.value(), &mut skip, wanted);
        }
        skip = 0;
    }
    if bytes.len() == wanted { Ok(bytes) } else { Err(damaged()) }
}

/// Takes what is wanted of the next piece, without what is to be skipped.
fn take(bytes: &mut Vec<u8>, piece: &[u8], skip: &mut usize, wanted: usize) {
    let rest = piece.get(*skip..).unwrap_or_default();
    *skip = skip.saturating_sub(piece.len());
    bytes.extend_from_slice(rest.get(..rest.len().min(wanted.saturating_sub(bytes.len()))).unwrap_or(rest));
}
