//! Memory images: how an instance starts, and the only unsafe code of the library.
//!
//! An [`Image`] is the memory of a VM at rest, in a sealed file in memory. wasmtime asks [`Memories`] for each linear
//! memory; it maps an image there, private and copy-on-write. So one compiled component serves every image, and making an
//! instance is a map and no copy. A memory that is given back is kept warm: the pages its tenant dirtied are found with
//! `PAGEMAP_SCAN` and put right from the image, which is what makes a fresh instance cost microseconds.
//!
//! What takes long goes in steps (M8): taking an image ([`Capture`]), and giving large memories and images back
//! ([`Remains`], which goes to the [`Heir`] that was named).
//!
//! Callers: `engine` (plugs [`Memories`] and [`Stacks`] into wasmtime) and `vm` (starts instances, takes images). Keeps
//! invariant M2: at rest, memory is all the state there is, so an image taken at rest is the whole instance.
#![allow(unsafe_code)]

mod file;
mod map;
mod remains;
mod scan;
mod slab;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

pub(crate) use file::Image;
use file::{Usual, Writer};
use map::{Mapping, page_bytes};
pub(crate) use remains::{Heir, Remains};
use scan::{DirtyPages, Run};
use slab::Slab;
pub(crate) use slab::Stacks;

/// What wasmtime reserves for the heap of exceptions of one store, and the most it may hold. Exceptions are all that lives
/// there: a Luau error is one of 40 bytes. The number also tells this heap from a linear memory in [`MemoryCreator`].
pub(crate) const EXCEPTION_HEAP_BYTES_MAX: usize = 1 << 20;

/// What wasmtime reserves for a linear memory: all that 32 bits reach, so that no access needs a bounds check.
pub(crate) const MEMORY_RESERVATION_BYTES: usize = 4 << 30;

/// How many pages a start copies ahead, at most: those that the first instance of an image has written to.
const USUAL_PAGES_MAX: usize = 32;

/// How many memories are kept warm in one Motu. Each holds at most `COPY_BACK_PAGES_MAX` pages of real memory: 32 MiB in all,
/// which stay until the images go that they belong to.
const WARM_MEMORIES_MAX: usize = 64;

thread_local! {
    /// What the memory made next on this thread starts from, and then that memory. wasmtime passes no context
    /// to a [`MemoryCreator`], and instantiation is synchronous, so a thread-local set around it is exact.
    static STARTING: RefCell<Option<Starting>> = const { RefCell::new(None) };
}

struct Starting {
    from: Option<Start>,
    made: Option<Arc<Lent>>,
}

/// What an instance's memory starts from.
pub(crate) enum Start {
    Image(Arc<Image>),
    /// The memory itself of an instance that is gone, as that left it.
    Dead(DeadMemory),
}

/// Runs `instantiate`, whose one linear memory starts from `start`. Returns the memory too, to take images of.
pub(crate) fn start_from<R>(start: Start, instantiate: impl FnOnce() -> R) -> (R, Option<MemoryHandle>) {
    /// Clears the request also when `instantiate` panics.
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            STARTING.with_borrow_mut(Option::take);
        }
    }
    STARTING.set(Some(Starting { from: Some(start), made: None }));
    let clear = Clear;
    let result = instantiate();
    let made = STARTING.with_borrow_mut(|starting| starting.as_mut().and_then(|starting| starting.made.take()));
    drop(clear);
    (result, made.map(MemoryHandle))
}

/// A linear memory, kept mapped as long as a handle lives.
#[derive(Clone)]
pub(crate) struct MemoryHandle(Arc<Lent>);

/// A linear memory that no store has any more.
pub(crate) struct DeadMemory(Lent);

impl DeadMemory {
    pub(crate) fn len(&self) -> usize {
        self.0.slot().size()
    }
}

impl MemoryHandle {
    pub(crate) fn len(&self) -> usize {
        self.0.slot().size()
    }

    /// None while the store that it is of, or another handle, is there.
    pub(crate) fn into_dead(self) -> Option<DeadMemory> {
        Arc::into_inner(self.0).map(DeadMemory)
    }

    /// Names who gives the memory back in steps, and the images that are taken of it. Without one, whoever drops it does all
    /// at once.
    pub(crate) fn leave_to(&self, heir: Heir) {
        let _ = self.0.heir.set(heir); // the first stays
    }

    /// Begins to take an image of the memory.
    pub(crate) fn capture(&self) -> io::Result<Capture> {
        Ok(Capture(Writer::new(self.0.slot().size(), self.0.heir.get().cloned())?))
    }
}

/// An image that is being taken. Dropped before it is done, there is none.
pub(crate) struct Capture(Writer);

impl Capture {
    /// Copies some of the memory, in 50 to 200 us. Returns the image once it is whole. The memory is the same, and as it was,
    /// at each step. `_at_rest` is the store that it belongs to: holding it means that no wasm code runs.
    pub(crate) fn step<T>(
        &mut self,
        memory: &MemoryHandle,
        _at_rest: &mut wasmtime::Store<T>,
    ) -> io::Result<Option<Arc<Image>>> {
        let slot = memory.0.slot();
        // SAFETY: the first `size` bytes of the slot are mapped readable as long as the slot lives, which the handle ensures;
        // nothing writes meanwhile, because only code running in the store does and the caller has the store.
        let bytes = unsafe { std::slice::from_raw_parts(slot.map.base(), slot.size()) };
        self.0.step(bytes)
    }
}

/// One reserved range of address space that a linear memory lives in: the image's pages, grown pages, then nothing.
struct Slot {
    map: Mapping,
    image: Arc<Image>,
    /// The bytes that the guest may touch; at least the image's.
    size: AtomicUsize,
}

impl Slot {
    fn new(image: &Arc<Image>, mapped_bytes: usize) -> io::Result<Slot> {
        let map = Mapping::reserve(mapped_bytes)?;
        image.overlay(&map)?;
        Ok(Slot { map, image: image.clone(), size: AtomicUsize::new(image.len()) })
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Acquire)
    }

    fn set_size(&self, size: usize) {
        self.size.store(size, Ordering::Release);
    }

    /// Copies pages back from the image. The memory was given back: nobody reads it now.
    fn copy_back(&mut self, run: Run) -> io::Result<()> {
        let end = run.start + run.len;
        let mut at = run.start;
        while at < end {
            let clean = self.image.bytes(at, end - at);
            if clean.is_empty() {
                return Err(io::Error::other("a dirty page lies outside of its image"));
            }
            // SAFETY: these bytes lie in the image's part of the mapping, which is mapped readable and writable, and nothing
            // else refers to them: the memory was given back and this is its only owner.
            unsafe { std::ptr::copy_nonoverlapping(clean.as_ptr(), self.map.base().add(at), clean.len()) };
            at += clean.len();
        }
        Ok(())
    }
}

/// A slot in use, by a store and by who has a handle of it. When the last of them drops it, it is given back.
struct Lent {
    /// Always there until drop.
    slot: Option<Slot>,
    owner: Memories,
    heir: OnceLock<Heir>,
}

impl Lent {
    fn slot(&self) -> &Slot {
        match &self.slot {
            Some(slot) => slot,
            None => unreachable!("the slot is taken in drop only"),
        }
    }

    fn is_of(&self, memories: &Memories) -> bool {
        Arc::ptr_eq(&self.owner.0, &memories.0)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            Remains::of_memory(slot, self.owner.clone()).pass_on(self.heir.get());
        }
    }
}

/// Makes wasmtime's memories from images, and keeps those that are given back.
#[derive(Clone)]
pub(crate) struct Memories(Arc<Shared>);

struct Shared {
    warm: Mutex<Vec<Slot>>,
    /// None where the kernel can't tell dirty pages (before Linux 6.7, or without /proc): memories are mapped anew then.
    dirty: Option<DirtyPages>,
    exception_heaps: Arc<Slab>,
}

impl Memories {
    pub(crate) fn new() -> Memories {
        Memories(Arc::new(Shared {
            warm: Mutex::new(Vec::new()),
            dirty: DirtyPages::new(),
            exception_heaps: Arc::new(Slab::new(EXCEPTION_HEAP_BYTES_MAX, 0, 0)),
        }))
    }

    /// Forgets the warm memories of an image that nobody will start from again. They are the image's heir's.
    pub(crate) fn forget(&self, image: &Arc<Image>) {
        image.forget(); // before the lock is taken: a memory that comes back is either found here, or sees this
        let forgotten: Vec<Slot> = self.warm().extract_if(.., |slot| Arc::ptr_eq(&slot.image, image)).collect();
        Remains::of_unused(forgotten).pass_on(image.heir());
    }

    /// None where the kernel can't tell.
    fn dirty(&self) -> Option<&DirtyPages> {
        self.0.dirty.as_ref()
    }

    fn warm(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.0.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A start on fresh memory costs a fault for each page that the guest writes to, and often two: one to read it, and one
    /// to copy it, which interrupts the other processors of this process. So the pages that the first instance wrote to
    /// are copied ahead for those after it.
    fn copy_ahead(&self, lent: &Arc<Lent>) {
        let Some(dirty) = self.dirty() else { return };
        let slot = lent.slot();
        let mut usual = slot.image.usual.lock().unwrap_or_else(PoisonError::into_inner);
        if let Usual::Watched(first) = &*usual
            && let Some(first) = first.upgrade()
            && let Ok(runs) = dirty.scan(first.slot().map.base() as usize, slot.image.len())
            && (1..=USUAL_PAGES_MAX * page_bytes()).contains(&runs.iter().map(|run| run.len).sum())
        {
            *usual = Usual::Known(runs);
        }
        match &*usual {
            Usual::Known(runs) => {
                let runs = runs.clone();
                drop(usual);
                for run in runs {
                    if slot.map.populate(run.start, run.len).is_err() {
                        return; // an older kernel: the faults come one by one
                    }
                }
            }
            Usual::Unknown | Usual::Watched(_) => *usual = Usual::Watched(Arc::downgrade(lent)),
        }
    }

    fn lend(&self, image: &Arc<Image>, mapped_bytes: usize) -> io::Result<Arc<Lent>> {
        let (slot, is_warm) = self.take(image, mapped_bytes)?;
        let lent = Arc::new(Lent { slot: Some(slot), owner: self.clone(), heir: OnceLock::new() });
        if !is_warm {
            self.copy_ahead(&lent);
        }
        Ok(lent)
    }

    fn take(&self, image: &Arc<Image>, mapped_bytes: usize) -> io::Result<(Slot, bool)> {
        let mut warm = self.warm();
        // the latest first: its pages are the likeliest to be in the processor's caches
        if let Some(at) = warm.iter().rposition(|slot| Arc::ptr_eq(&slot.image, image)) {
            return Ok((warm.remove(at), true));
        }
        drop(warm);
        Ok((Slot::new(image, mapped_bytes)?, false))
    }

    /// Keeps a memory that equals its image for the next start. Returns one that is not to be kept, to be unmapped.
    fn keep(&self, slot: Slot) -> Option<Slot> {
        let mut warm = self.warm();
        if slot.image.is_forgotten() {
            return Some(slot);
        }
        let oldest = (warm.len() >= WARM_MEMORIES_MAX).then(|| warm.remove(0));
        warm.push(slot);
        oldest
    }
}

// SAFETY: a memory is made of at least `minimum` bytes that stay mapped, at one address, until it is dropped; what follows
// is reserved without access up to `reserved` and the guard. Its bytes are zero, the image's, which were taken from a
// memory of the same module, or what an instance of the module left in the same memory: any bytes are a memory.
unsafe impl MemoryCreator for Memories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if reserved == Some(EXCEPTION_HEAP_BYTES_MAX) {
            let slot =
                self.0.exception_heaps.take().map_err(|error| format!("no memory for an exception heap: {error}"))?;
            return Ok(Box::new(ExceptionHeap { slot, size: minimum, owner: self.clone() }));
        }
        let mapped =
            reserved.and_then(|reserved| reserved.checked_add(guard)).ok_or("a memory without a reservation")?;
        STARTING.with_borrow_mut(|starting| {
            let starting = starting.as_mut().ok_or("a memory was made outside of an instance's start")?;
            let from = starting.from.take().ok_or("a second memory was made in an instance's start")?;
            let (len, is_ours) = match &from {
                Start::Image(image) => (image.len(), true),
                Start::Dead(DeadMemory(lent)) => {
                    (lent.slot().size(), lent.is_of(self) && lent.slot().map.len() >= mapped)
                }
            };
            if len < minimum || len > mapped || !is_ours {
                return Err(format!("the memory of {len} bytes is not of this module"));
            }
            let lent = match from {
                Start::Image(image) => {
                    self.lend(&image, mapped).map_err(|error| format!("no memory can be mapped: {error}"))?
                }
                Start::Dead(DeadMemory(lent)) => Arc::new(lent),
            };
            starting.made = Some(lent.clone());
            Ok(Box::new(Linear(lent)) as Box<dyn LinearMemory>)
        })
    }
}

/// A guest's memory, as wasmtime sees it.
struct Linear(Arc<Lent>);

// SAFETY: the bytes up to `byte_size` are mapped readable and writable; `as_ptr` never changes.
unsafe impl LinearMemory for Linear {
    fn byte_size(&self) -> usize {
        self.0.slot().size()
    }

    fn byte_capacity(&self) -> usize {
        MEMORY_RESERVATION_BYTES
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        let slot = self.0.slot();
        let old_size = slot.size();
        if new_size > self.byte_capacity() {
            wasmtime::bail!("a memory can't grow past its reservation");
        }
        slot.map.allow(old_size, new_size.saturating_sub(old_size))?;
        slot.set_size(new_size);
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.slot().map.base()
    }
}

/// The heap of a store's exceptions. Every access to it is bounds-checked by wasmtime (its guard is empty), so these lie
/// side by side in one mapping, which keeps the number of mappings of an instance low.
struct ExceptionHeap {
    slot: slab::Slot,
    size: usize,
    owner: Memories,
}

// SAFETY: the whole slot of EXCEPTION_HEAP_BYTES_MAX bytes is mapped readable and writable, and zero when it is taken.
unsafe impl LinearMemory for ExceptionHeap {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        EXCEPTION_HEAP_BYTES_MAX
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if new_size > EXCEPTION_HEAP_BYTES_MAX {
            wasmtime::bail!("the exception heap is full");
        }
        self.size = new_size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot.base()
    }
}

impl Drop for ExceptionHeap {
    fn drop(&mut self) {
        self.slot.clear(self.size, self.owner.0.dirty.as_ref());
    }
}
