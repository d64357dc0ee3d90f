//! Memory images: how an instance starts, and the only unsafe code of the library.
//!
//! An [`Image`] is the memory of a VM at rest, in a sealed file in memory. wasmtime asks [`Memories`] for each linear
//! memory; it maps an image there, private and copy-on-write. So one compiled component serves every image, and making an
//! instance is a map and no copy. A memory that is given back is kept warm: the pages its tenant dirtied are found with
//! `PAGEMAP_SCAN` and put right from the image, which is what makes a fresh instance cost microseconds.
//!
//! Callers: `engine` (plugs [`Memories`] and [`Stacks`] into wasmtime) and `vm` (starts instances, takes images). Keeps
//! invariant M2: at rest, memory is all the state there is, so an image taken at rest is the whole instance.
#![allow(unsafe_code)]

mod map;
mod scan;
mod slab;

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

pub(crate) use map::Image;
use map::{Mapping, Usual, page_bytes};
use scan::DirtyPages;
use slab::Slab;
pub(crate) use slab::Stacks;

/// What wasmtime reserves for the heap of exceptions of one store, and the most it may hold. Exceptions are all that lives
/// there: a Luau error is one of 40 bytes. The number also tells this heap from a linear memory in [`MemoryCreator`].
pub(crate) const EXCEPTION_HEAP_BYTES_MAX: usize = 1 << 20;

/// What wasmtime reserves for a linear memory: all that 32 bits reach, so that no access needs a bounds check.
pub(crate) const MEMORY_RESERVATION_BYTES: usize = 4 << 30;

/// A warm memory that has more dirty pages than this gets its image mapped anew instead of copied back: past here the
/// copy costs more than the faults it saves, and the pages would stay resident.
const COPY_BACK_PAGES_MAX: usize = 128;

/// How many pages a start copies ahead, at most: those that the first instance of an image has written to.
const USUAL_PAGES_MAX: usize = 32;

/// How many memories are kept warm in one Motu. Each holds at most [`COPY_BACK_PAGES_MAX`] pages of real memory.
const WARM_MEMORIES_MAX: usize = 64;

thread_local! {
    /// The image that the memory made next on this thread starts from, and then that memory. wasmtime passes no context
    /// to a [`MemoryCreator`], and instantiation is synchronous, so a thread-local set around it is exact.
    static STARTING: RefCell<Option<Starting>> = const { RefCell::new(None) };
}

struct Starting {
    image: Arc<Image>,
    made: Option<Arc<Slot>>,
}

/// Runs `instantiate`, whose one linear memory starts from `image`. Returns the memory too, to take images of.
pub(crate) fn start_from<R>(image: &Arc<Image>, instantiate: impl FnOnce() -> R) -> (R, Option<MemoryHandle>) {
    /// Clears the request also when `instantiate` panics.
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            STARTING.with_borrow_mut(Option::take);
        }
    }
    STARTING.set(Some(Starting { image: image.clone(), made: None }));
    let clear = Clear;
    let result = instantiate();
    let made = STARTING.with_borrow_mut(|starting| starting.as_mut().and_then(|starting| starting.made.take()));
    drop(clear);
    (result, made.map(MemoryHandle))
}

/// A linear memory, kept mapped as long as the handle lives.
pub(crate) struct MemoryHandle(Arc<Slot>);

impl MemoryHandle {
    /// Makes an image of the memory. `_at_rest` is the store that it belongs to: holding it means that no wasm code runs.
    pub(crate) fn capture<T>(&self, _at_rest: &mut wasmtime::Store<T>) -> io::Result<Arc<Image>> {
        let len = self.0.size.load(Ordering::Acquire);
        // SAFETY: the first `size` bytes of the slot are mapped readable as long as the slot lives, which `self` ensures;
        // nothing writes meanwhile, because only code running in the store does and the caller has the store.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.map.base(), len) };
        Image::new(bytes)
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
        map.overlay_image(image)?;
        Ok(Slot { map, image: image.clone(), size: AtomicUsize::new(image.len()) })
    }

    /// Makes the slot equal to its image again, byte for byte. An error means that it must not be used again.
    fn put_right(&self, dirty: &DirtyPages) -> io::Result<()> {
        let image_bytes = self.image.len();
        let size = self.size.swap(image_bytes, Ordering::AcqRel);
        if size > image_bytes {
            self.map.drop_pages(image_bytes, size - image_bytes)?;
        }
        let runs = dirty.scan(self.map.base() as usize, image_bytes)?;
        let pages: usize = runs.iter().map(|run| run.len / page_bytes()).sum();
        if pages > COPY_BACK_PAGES_MAX {
            return self.map.overlay_image(&self.image);
        }
        for run in runs {
            let Some(clean) = self.image.bytes().get(run.start..run.start + run.len) else {
                return Err(io::Error::other("a dirty page lies outside of its image"));
            };
            // SAFETY: the run lies in the first `image_bytes` of the mapping, which are mapped readable and writable, and
            // nothing else refers to them: the memory was given back and this is its only owner.
            unsafe { std::ptr::copy_nonoverlapping(clean.as_ptr(), self.map.base().add(run.start), run.len) };
        }
        Ok(())
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
            exception_heaps: Arc::new(Slab::new(EXCEPTION_HEAP_BYTES_MAX, 0)),
        }))
    }

    /// Forgets the warm memories of an image that nobody will start from again.
    pub(crate) fn forget(&self, image: &Arc<Image>) {
        let forgotten: Vec<Slot> = self.warm().extract_if(.., |slot| Arc::ptr_eq(&slot.image, image)).collect();
        drop(forgotten); // unmapped outside of the lock
    }

    fn warm(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.0.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A start on fresh memory costs a fault for each page that the guest writes to, and often two: one to read it, and one
    /// to copy it, which interrupts the other processors of this process. So the pages that the first instance wrote to
    /// are copied ahead for those after it.
    fn copy_ahead(&self, slot: &Arc<Slot>) {
        let Some(dirty) = &self.0.dirty else { return };
        let mut usual = slot.image.usual.lock().unwrap_or_else(PoisonError::into_inner);
        if let Usual::Watched(first) = &*usual
            && let Some(first) = first.upgrade()
            && let Ok(runs) = dirty.scan(first.map.base() as usize, slot.image.len())
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
            Usual::Unknown | Usual::Watched(_) => *usual = Usual::Watched(Arc::downgrade(slot)),
        }
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

    fn give_back(&self, slot: Slot) {
        let Some(dirty) = &self.0.dirty else { return };
        if let Err(error) = slot.put_right(dirty) {
            tracing::debug!(%error, "a memory could not be put right and is unmapped instead");
            return;
        }
        let mut warm = self.warm();
        let oldest = (warm.len() >= WARM_MEMORIES_MAX).then(|| warm.remove(0));
        warm.push(slot);
        drop(warm);
        drop(oldest); // unmapped outside of the lock
    }
}

// SAFETY: a memory is made of at least `minimum` bytes that stay mapped, at one address, until it is dropped; what follows
// is reserved without access up to `reserved` and the guard. New bytes are zero or the image's, which were taken from a
// memory of the same module.
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
            if starting.image.len() < minimum || starting.image.len() > mapped {
                return Err(format!("the image of {} bytes is not of this module", starting.image.len()));
            }
            let (slot, is_warm) =
                self.take(&starting.image, mapped).map_err(|error| format!("no memory can be mapped: {error}"))?;
            let slot = Arc::new(slot);
            if !is_warm {
                self.copy_ahead(&slot);
            }
            starting.made = Some(slot.clone());
            Ok(Box::new(Linear { slot: Some(slot), owner: self.clone() }) as Box<dyn LinearMemory>)
        })
    }
}

/// A guest's memory, as wasmtime sees it.
struct Linear {
    /// Always there until drop.
    slot: Option<Arc<Slot>>,
    owner: Memories,
}

impl Linear {
    fn slot(&self) -> &Slot {
        match &self.slot {
            Some(slot) => slot,
            None => unreachable!("the slot is taken in drop only"),
        }
    }
}

// SAFETY: the bytes up to `byte_size` are mapped readable and writable; `as_ptr` never changes.
unsafe impl LinearMemory for Linear {
    fn byte_size(&self) -> usize {
        self.slot().size.load(Ordering::Acquire)
    }

    fn byte_capacity(&self) -> usize {
        MEMORY_RESERVATION_BYTES
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        let slot = self.slot();
        let old_size = slot.size.load(Ordering::Acquire);
        if new_size > self.byte_capacity() {
            wasmtime::bail!("a memory can't grow past its reservation");
        }
        slot.map.allow(old_size, new_size.saturating_sub(old_size))?;
        slot.size.store(new_size, Ordering::Release);
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot().map.base()
    }
}

impl Drop for Linear {
    fn drop(&mut self) {
        // a slot that somebody still has a handle of is unmapped with the handle
        if let Some(slot) = self.slot.take().and_then(Arc::into_inner) {
            self.owner.give_back(slot);
        }
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
