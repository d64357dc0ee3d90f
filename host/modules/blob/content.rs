//! The bytes of a blob in memory, in pieces: one that grows is never copied whole.

use std::sync::Arc;

/// Each piece but the last has so many bytes.
const PIECE: usize = 64 << 10;

/// The last piece takes room for so many at a time.
const ROOM: usize = 4 << 10;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Content(Arc<Vec<Arc<Vec<u8>>>>);

/// Bytes for the end of a content of a known size, cut where its pieces end.
pub(super) struct More {
    /// For its last piece.
    head: Vec<u8>,
    pieces: Vec<Arc<Vec<u8>>>,
}

impl More {
    pub(super) fn new(bytes: &[u8], size: u64) -> More {
        let over = usize::try_from(size % PIECE as u64).unwrap_or_default();
        let room = if over == 0 { 0 } else { PIECE.saturating_sub(over) };
        let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        More { head: head.to_vec(), pieces: rest.chunks(PIECE).map(|piece| Arc::new(piece.to_vec())).collect() }
    }
}

impl Content {
    pub(super) fn new(bytes: Vec<u8>) -> Content {
        if bytes.len() <= PIECE {
            return Content(Arc::new(vec![Arc::new(bytes)]));
        }
        Content(Arc::new(More::new(&bytes, 0).pieces))
    }

    /// Copies a piece at most, whatever the size.
    pub(super) fn add(&mut self, more: More) {
        let pieces = Arc::make_mut(&mut self.0); // pointers alone, if somebody reads
        if let Some(last) = pieces.last_mut().filter(|_| !more.head.is_empty()) {
            let last = Arc::make_mut(last);
            let wanted = last.len().saturating_add(more.head.len());
            if wanted > last.capacity() {
                last.reserve_exact(wanted.next_multiple_of(ROOM).saturating_sub(last.len()));
            }
            last.extend_from_slice(&more.head);
        }
        if !more.pieces.is_empty() {
            pieces.pop_if(|piece| piece.is_empty()); // of one that had nothing in it
            pieces.extend(more.pieces);
        }
    }

    /// What lies between two places, or as much of it as there is.
    pub(super) fn part(&self, start: u64, end: u64) -> Vec<u8> {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let (start, end) = (index(start), index(end));
        let mut part = Vec::with_capacity(end.saturating_sub(start).min(self.0.len().saturating_mul(PIECE)));
        let first = start / PIECE;
        for (number, piece) in self.0.iter().enumerate().skip(first) {
            let at = number.saturating_mul(PIECE);
            if at >= end {
                break;
            }
            let from = start.saturating_sub(at).min(piece.len());
            let to = end.saturating_sub(at).min(piece.len());
            part.extend_from_slice(piece.get(from..to).unwrap_or_default());
        }
        part
    }
}
