//! Small memories side by side: the exception heaps and the fiber stacks of the stores.
//!
//! The kernel allows a process 65,530 mappings. A mapping of its own for each of these would cost an instance four; lying
//! side by side in large mappings of equal rights, they cost next to none.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::{StackCreator, StackMemory};

use super::map::{Mapping, page_bytes};
use super::scan::DirtyPages;

const SLOTS_IN_CHUNK: usize = 64;

/// Dirty pages above this are given back rather than zeroed in place.
const ZERO_PAGES_MAX: usize = 8;

/// Equal slots of zeroed memory. Chunks stay mapped until the slab is dropped; pages given back are not resident.
pub(super) struct Slab {
    slot_bytes: usize,
    /// The first bytes of each slot that can't be touched.
    guard_bytes: usize,
    chunks: Mutex<Chunks>,
}

#[derive(Default)]
struct Chunks {
    maps: Vec<Arc<Mapping>>,
    free: Vec<(Arc<Mapping>, usize)>,
}

/// A slot that is in use; it goes back on drop.
pub(super) struct Slot {
    slab: Arc<Slab>,
    chunk: Arc<Mapping>,
    /// Where its usable bytes start in the chunk.
    start: usize,
}

impl Slab {
    pub(super) fn new(slot_bytes: usize, guard_bytes: usize) -> Slab {
        Slab { slot_bytes, guard_bytes, chunks: Mutex::default() }
    }

    pub(super) fn take(self: &Arc<Self>) -> io::Result<Slot> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if chunks.free.is_empty() {
            let stride = self.guard_bytes + self.slot_bytes;
            let chunk = Arc::new(Mapping::zeroed(SLOTS_IN_CHUNK * stride)?);
            for index in (0..SLOTS_IN_CHUNK).rev() {
                if self.guard_bytes > 0 {
                    chunk.guard(index * stride, self.guard_bytes)?;
                }
                chunks.free.push((chunk.clone(), index * stride + self.guard_bytes));
            }
            chunks.maps.push(chunk);
        }
        match chunks.free.pop() {
            Some((chunk, start)) => Ok(Slot { slab: self.clone(), chunk, start }),
            None => Err(io::Error::other("a new chunk has no slot")),
        }
    }
}

impl Slot {
    pub(super) fn base(&self) -> *mut u8 {
        self.chunk.base().wrapping_add(self.start)
    }

    /// Makes the first `len` bytes zero again.
    pub(super) fn clear(&self, len: usize, dirty: Option<&DirtyPages>) {
        let runs = dirty.and_then(|dirty| dirty.scan(self.base() as usize, len).ok());
        match runs {
            Some(runs) if runs.iter().map(|run| run.len / page_bytes()).sum::<usize>() <= ZERO_PAGES_MAX => {
                for run in runs {
                    // SAFETY: the run lies in the slot, which is mapped writable and which its one user is giving back.
                    unsafe { self.base().add(run.start).write_bytes(0, run.len) };
                }
            }
            _ => {
                if let Err(error) = self.chunk.forget_pages(self.start, len) {
                    tracing::debug!(%error, "the pages of a slot could not be given back");
                    // SAFETY: as above.
                    unsafe { self.base().write_bytes(0, len) };
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut chunks = self.slab.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.free.push((self.chunk.clone(), self.start));
    }
}

/// Makes the stacks that wasmtime runs guests on.
pub(crate) struct Stacks(Arc<Slab>);

impl Stacks {
    /// Stacks of `stack_bytes` each, a whole number of pages.
    pub(crate) fn new(stack_bytes: usize) -> Stacks {
        Stacks(Arc::new(Slab::new(stack_bytes, page_bytes())))
    }
}

// SAFETY: each stack is a slot of its own, page-aligned, zero when it is new, with a guard page below that faults.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        if size != self.0.slot_bytes {
            wasmtime::bail!("stacks of {} bytes were asked for, not of {size}", self.0.slot_bytes);
        }
        Ok(Box::new(Stack(self.0.take()?)))
    }
}

/// One stack. Its pages stay as they are between uses: wasm code has no way to read its native stack.
struct Stack(Slot);

// SAFETY: see `Stacks`.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        self.0.base().wrapping_add(self.0.slab.slot_bytes)
    }

    fn range(&self) -> Range<usize> {
        let base = self.0.base() as usize;
        base..base + self.0.slab.slot_bytes
    }

    fn guard_range(&self) -> Range<*mut u8> {
        self.0.base().wrapping_sub(self.0.slab.guard_bytes)..self.0.base()
    }
}
