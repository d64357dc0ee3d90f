//! A database's bytes in memory, in segments. redb's own backend is one vector, which is copied whole each time that it grows: the
//! store's thread was held for 100 ms by 500 MB.

use std::io;
use std::sync::{PoisonError, RwLock};

use redb::StorageBackend;

const SEGMENT_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Segments(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    len: u64,
    /// As many as the length needs; what is beyond it in the last one is zero.
    all: Vec<Box<[u8]>>,
}

/// Where a place is: in which segment, and how far into it.
fn split(at: u64) -> Option<(usize, usize)> {
    let at = usize::try_from(at).ok()?;
    Some((at / SEGMENT_BYTES, at % SEGMENT_BYTES))
}

fn beyond() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "beyond the end of the store's memory")
}

impl State {
    fn holds(&self, offset: u64, bytes: usize) -> Result<(usize, usize), io::Error> {
        let fits = offset.checked_add(bytes as u64).is_some_and(|end| end <= self.len);
        split(offset).filter(|_| fits).ok_or_else(beyond)
    }
}

impl StorageBackend for Segments {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut index, mut from) = state.holds(offset, out.len())?;
        while !out.is_empty() {
            let rest = state.all.get(index).and_then(|segment| segment.get(from..)).ok_or_else(beyond)?;
            let (now, later) = out.split_at_mut(out.len().min(rest.len()));
            now.copy_from_slice(rest.get(..now.len()).ok_or_else(beyond)?);
            (out, index, from) = (later, index + 1, 0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (whole, rest) = split(len).ok_or_else(beyond)?;
        let count = whole + usize::from(rest > 0);
        state.all.truncate(count);
        state.all.resize_with(count, || vec![0; SEGMENT_BYTES].into_boxed_slice());
        if rest > 0
            && len < state.len
            && let Some(unused) = state.all.last_mut().and_then(|last| last.get_mut(rest..))
        {
            unused.fill(0);
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (mut index, mut from) = state.holds(offset, data.len())?;
        while !data.is_empty() {
            let rest = state.all.get_mut(index).and_then(|segment| segment.get_mut(from..)).ok_or_else(beyond)?;
            let (now, later) = data.split_at(data.len().min(rest.len()));
            rest.get_mut(..now.len()).ok_or_else(beyond)?.copy_from_slice(now);
            (data, index, from) = (later, index + 1, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_across_segments_and_new_ones_are_zero() {
        let (segments, mib) = (Segments::default(), SEGMENT_BYTES as u64);
        segments.set_len(3 * mib + 10).unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * SEGMENT_BYTES + 7).collect();
        segments.write(mib - 3, &bytes).unwrap();
        let mut back = vec![0; bytes.len() + 6];
        segments.read(mib - 6, &mut back).unwrap();
        assert!(back.starts_with(&[0; 3]) && back.ends_with(&[0; 3]) && back[3..back.len() - 3] == bytes);
        segments.set_len(mib + 5).unwrap();
        segments.set_len(2 * mib).unwrap();
        let mut tail = vec![1; SEGMENT_BYTES - 5];
        segments.read(mib + 5, &mut tail).unwrap();
        assert!(tail.iter().all(|byte| *byte == 0), "what comes anew is zero");
        assert!(segments.read(2 * mib - 1, &mut [0; 2]).is_err() && segments.write(2 * mib, &[1]).is_err());
        assert_eq!(segments.len().unwrap(), 2 * mib);
    }
}
