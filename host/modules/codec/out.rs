//! An output that grows while it is made, up to a most.

use super::types::Bytes;

pub(crate) struct Out {
    /// What was made, and room for more.
    bytes: Vec<u8>,
    made: usize,
    max: usize,
}

impl Out {
    /// Memory is taken once, for `expected` bytes or the most there can be; its pages are used as they are written.
    pub(crate) fn new(expected: usize, max: usize) -> Result<Out, String> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(expected.min(max)).map_err(|error| format!("no memory for the result: {error}"))?;
        Ok(Out { bytes, made: 0, max })
    }

    pub(crate) fn made(&self) -> usize {
        self.made
    }

    pub(crate) fn is_full(&self) -> bool {
        self.made >= self.max
    }

    /// What was made from the offset `from` on.
    pub(crate) fn since(&self, from: usize) -> &[u8] {
        self.bytes.get(from..self.made).unwrap_or_default()
    }

    /// The same, and room for at most `room` more. There is some if there can be any; more memory than was expected is
    /// taken only when that is used up.
    pub(crate) fn since_with_room(&mut self, from: usize, room: usize) -> &mut [u8] {
        let taken = self.bytes.capacity();
        let most = if taken > self.made { taken.min(self.max) } else { self.max };
        let end = self.made.saturating_add(room).min(most);
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(from..end).unwrap_or_default()
    }

    /// So many bytes of the room were written.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.made = self.made.saturating_add(bytes).min(self.bytes.len());
    }

    /// Adds bytes; whether there was room.
    #[must_use]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.max.saturating_sub(self.made);
        if fits {
            self.bytes.truncate(self.made);
            self.bytes.extend_from_slice(bytes);
            self.made = self.bytes.len();
        }
        fits
    }

    /// All that was made, without the room. `made` still says how much that was.
    pub(crate) fn take(&mut self) -> Bytes {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.made);
        Bytes(bytes)
    }
}
