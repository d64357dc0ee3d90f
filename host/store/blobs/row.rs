//! Blobs and their chunks as bytes. A row's key is its place, as for entries. A chunk's key starts with its owner, so no read
//! and no deletion of one owner's content comes to another's.

use super::super::row::owner_prefix;
use super::super::{Owner, Quota};
use super::types::{BlobQuota, ContentType, Stat};

/// How much content is in each chunk but the last. redb gives a large value pages of its own, in powers of two: this is 64 KiB
/// less room for the longest key.
pub(in super::super) const CHUNK_BYTES: usize = (64 << 10) - 512;

/// How much of the end of a content may lie beside its last chunk, in bytes: a page of redb's less room for a key.
pub(in super::super) const TAIL_BYTES: usize = (4 << 10) - 512;

const EXPIRES: u8 = 1;

/// A blob as it lies in its row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The number of its content, of all owners': the revision of the `Put` that began it.
    pub(super) content: u64,
    pub(super) stat: Stat,
}

impl Row {
    pub(super) fn read(bytes: &[u8]) -> Option<Row> {
        let (flags, rest) = bytes.split_first()?;
        let (revision, rest) = number(rest)?;
        let (content, rest) = number(rest)?;
        let (size, rest) = number(rest)?;
        let (modified, rest) = number(rest)?;
        let (expires, rest) = match *flags {
            0 => (None, rest),
            EXPIRES => number(rest).map(|(expires, rest)| (Some(expires), rest))?,
            _ => return None,
        };
        let content_type = match rest {
            [] => None,
            text => Some(ContentType::new(str::from_utf8(text).ok()?).ok()?),
        };
        Some(Row { content, stat: Stat { size, revision, content_type, modified, expires } })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let stat = &self.stat;
        let content_type = stat.content_type.as_ref().map_or("", ContentType::as_str);
        let mut bytes = Vec::with_capacity(41 + content_type.len());
        bytes.push(if stat.expires.is_some() { EXPIRES } else { 0 });
        for number in [Some(stat.revision), Some(self.content), Some(stat.size), Some(stat.modified), stat.expires] {
            bytes.extend(number.into_iter().flat_map(u64::to_be_bytes));
        }
        bytes.extend_from_slice(content_type.as_bytes());
        bytes
    }

    pub(super) fn is_due(&self, now: u64) -> bool {
        self.stat.expires.is_some_and(|expires| expires <= now)
    }

    /// What it counts for at this place.
    pub(super) fn cost(&self, owner: &Owner, place: &[u8]) -> u64 {
        let content_type = self.stat.content_type.as_ref().map_or(0, |text| text.as_str().len() as u64);
        let named = super::super::row::cost(owner, place, content_type) - Quota::ENTRY_BYTES;
        named.saturating_add(self.stat.size).saturating_add(BlobQuota::BLOB_BYTES)
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

/// What all chunks of a content start with.
pub(super) fn content_prefix(owner: &Owner, content: u64) -> Vec<u8> {
    let mut bytes = owner_prefix(owner);
    bytes.extend_from_slice(&content.to_be_bytes());
    bytes
}

/// The key of a content's chunk, of which this is the prefix.
pub(super) fn chunk(content: &[u8], index: u64) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.extend_from_slice(&index.to_be_bytes());
    bytes
}

/// How many bytes that a content of this size has are written again when so many are added: the tail of its last chunk, or the chunk
/// if the tail gets too long.
pub(crate) fn rewritten(size: u64, added: usize) -> u64 {
    let (filled, tail, added) = (size % CHUNK_BYTES as u64, size % TAIL_BYTES as u64, added as u64);
    let stays = tail.saturating_add(added) < TAIL_BYTES as u64 && filled.saturating_add(added) < CHUNK_BYTES as u64;
    match added {
        0 => 0,
        _ if stays => filled.min(TAIL_BYTES as u64),
        _ => filled,
    }
}
