//! Small memories side by side: the exception heaps and the fiber stacks of the stores.
//!
//! The kernel allows a process 65,530 mappings. A mapping of its own for each of these would cost an instance four; lying
//! side by side in large mappings of equal rights, they cost next to none.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::{StackCreator, StackMemory};

use super::map::{Mapping, page_bytes};
use super::scan::DirtyPages;

const SLOTS_IN_CHUNK: usize = 64;

/// Dirty pages above this are given back rather than zeroed in place.
const ZERO_PAGES_MAX: usize = 8;

/// How many free slots are left as they are, for the next users: giving the pages of one back takes a microsecond at least.
const HOT_SLOTS_MAX: usize = 16;

/// What a free stack keeps of its pages, at its top. Most entries touch no more.
const STACK_KEPT_BYTES: usize = 16 << 10;

/// Equal slots of memory, zero when they are new. After a burst, memory goes back to the kernel: but for a few free slots, the
/// others give their pages back, and of the chunks that have no slot in use, one stays mapped.
pub(super) struct Slab {
    slot_bytes: usize,
    /// The first bytes of each slot that can't be touched.
    guard_bytes: usize,
    /// The last bytes of each slot, whose pages stay when it is free.
    kept_bytes: usize,
    chunks: Mutex<Chunks>,
}

#[derive(Default)]
struct Chunks {
    /// Free slots with all their pages, the latest last: it is the likeliest to be in the processor's caches.
    hot: Vec<Place>,
    /// By their numbers.
    mapped: BTreeMap<usize, Chunk>,
    /// The chunks that have other free slots. The first is used first, so that the last ones become free.
    with_free: BTreeSet<usize>,
    /// How many chunks were made.
    made: usize,
}

struct Chunk {
    map: Arc<Mapping>,
    /// Where the usable bytes of its free slots start, without the hot ones.
    free: Vec<usize>,
}

/// Where a slot lies.
struct Place {
    chunk: usize,
    map: Arc<Mapping>,
    /// Where its usable bytes start in the chunk.
    start: usize,
}

/// A slot that is in use; it goes back on drop.
pub(super) struct Slot {
    slab: Arc<Slab>,
    /// Always there until drop.
    place: Option<Place>,
}

impl Slab {
    pub(super) fn new(slot_bytes: usize, guard_bytes: usize, kept_bytes: usize) -> Slab {
        Slab { slot_bytes, guard_bytes, kept_bytes: kept_bytes.min(slot_bytes), chunks: Mutex::default() }
    }

    fn chunks(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(self: &Arc<Self>) -> io::Result<Slot> {
        let mut chunks = self.chunks();
        if let Some(place) = chunks.hot.pop() {
            return Ok(Slot { slab: self.clone(), place: Some(place) });
        }
        if chunks.with_free.is_empty() {
            let chunk = self.new_chunk()?;
            let number = chunks.made;
            chunks.made += 1;
            chunks.mapped.insert(number, chunk);
            chunks.with_free.insert(number);
        }
        let place = chunks.take_cold().ok_or_else(|| io::Error::other("a new chunk has no slot"))?;
        Ok(Slot { slab: self.clone(), place: Some(place) })
    }

    /// How many chunks are mapped.
    #[cfg(test)]
    pub(super) fn mapped(&self) -> usize {
        self.chunks().mapped.len()
    }

    fn new_chunk(&self) -> io::Result<Chunk> {
        let stride = self.guard_bytes + self.slot_bytes;
        let map = Mapping::zeroed(SLOTS_IN_CHUNK * stride)?;
        map.small_pages();
        for index in 0..SLOTS_IN_CHUNK {
            if self.guard_bytes > 0 {
                map.guard(index * stride, self.guard_bytes)?;
            }
        }
        let free = (0..SLOTS_IN_CHUNK).rev().map(|index| index * stride + self.guard_bytes).collect();
        Ok(Chunk { map: Arc::new(map), free })
    }

    fn give_back(&self, place: Place) {
        let mut chunks = self.chunks();
        if chunks.hot.len() < HOT_SLOTS_MAX {
            return chunks.hot.push(place);
        }
        drop(chunks);
        if let Err(error) = place.map.forget_pages(place.start, self.slot_bytes - self.kept_bytes) {
            tracing::debug!(%error, "the pages of a free slot could not be given back");
        }
        let unused = self.chunks().put_cold(place);
        drop(unused); // unmapped outside of the lock
    }
}

impl Chunks {
    fn take_cold(&mut self) -> Option<Place> {
        let number = *self.with_free.first()?;
        let chunk = self.mapped.get_mut(&number)?;
        let start = chunk.free.pop()?;
        if chunk.free.is_empty() {
            self.with_free.remove(&number);
        }
        Some(Place { chunk: number, map: chunk.map.clone(), start })
    }

    /// Returns a chunk that isn't needed any more, if this was the last of its slots in use.
    fn put_cold(&mut self, place: Place) -> Option<Chunk> {
        let is_free = |chunk: &Chunk| chunk.free.len() == SLOTS_IN_CHUNK;
        let chunk = self.mapped.get_mut(&place.chunk)?;
        chunk.free.push(place.start);
        self.with_free.insert(place.chunk);
        if !is_free(chunk) || self.mapped.values().filter(|chunk| is_free(chunk)).count() < 2 {
            return None;
        }
        self.with_free.remove(&place.chunk);
        self.mapped.remove(&place.chunk)
    }
}

impl Slot {
    fn place(&self) -> &Place {
        match &self.place {
            Some(place) => place,
            None => unreachable!("the place is taken in drop only"),
        }
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.place().map.base().wrapping_add(self.place().start)
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
                if let Err(error) = self.place().map.forget_pages(self.place().start, len) {
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
        if let Some(place) = self.place.take() {
            self.slab.give_back(place);
        }
    }
}

/// Makes the stacks that wasmtime runs guests on.
pub(crate) struct Stacks(Arc<Slab>);

impl Stacks {
    /// Stacks of `stack_bytes` each, a whole number of pages.
    pub(crate) fn new(stack_bytes: usize) -> Stacks {
        Stacks(Arc::new(Slab::new(stack_bytes, page_bytes(), STACK_KEPT_BYTES.next_multiple_of(page_bytes()))))
    }
}

// SAFETY: each stack is a slot of its own, page-aligned, zero when it is new, with a guard page below that faults; it stays
// mapped as long as it has a `Place`, which holds its chunk.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, _zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        if size != self.0.slot_bytes {
            wasmtime::bail!("stacks of {} bytes were asked for, not of {size}", self.0.slot_bytes);
        }
        Ok(Box::new(Stack(self.0.take()?)))
    }
}

/// One stack. It may be as the last user left it: wasm code has no way to read its native stack.
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
