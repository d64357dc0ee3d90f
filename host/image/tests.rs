//! Memories, images and stacks in steps: how many there are, how much each does, and that the bytes are right after them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::sync::{Arc, Mutex};

use wasmtime::{Engine, LinearMemory, MemoryCreator, MemoryTypeBuilder, Store};

use super::slab::Slab;
use super::*;

const MIB: usize = 1 << 20;

/// What an heir was left.
#[derive(Clone, Default)]
struct Left(Arc<Mutex<Vec<Remains>>>);

impl Left {
    fn heir(&self) -> Heir {
        let left = self.clone();
        Heir::new(move |remains| left.0.lock().unwrap().push(remains))
    }

    /// The one thing that was left.
    fn take(&self) -> Remains {
        let mut left = std::mem::take(&mut *self.0.lock().unwrap());
        assert_eq!(left.len(), 1);
        left.remove(0)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

/// Numbers by chance, the same ones each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

fn image_of(bytes: &[u8]) -> Arc<Image> {
    Image::new(bytes).unwrap()
}

/// Each page has a byte that isn't zero.
fn full(len: usize) -> Vec<u8> {
    (0..len).map(|at| if at % 1000 == 7 { u8::try_from(at / 1000 % 255).unwrap() + 1 } else { 0 }).collect()
}

/// A memory as a store has it.
struct Made {
    linear: Box<dyn LinearMemory>,
    handle: MemoryHandle,
}

impl Made {
    fn new(memories: &Memories, image: &Arc<Image>) -> Made {
        let ty = MemoryTypeBuilder::default().build().unwrap();
        let make = || memories.new_memory(ty, 0, None, Some(MEMORY_RESERVATION_BYTES), 1 << 16);
        let (linear, handle) = start_from(Start::Image(image.clone()), make);
        Made { linear: linear.unwrap(), handle: handle.unwrap() }
    }

    fn base(&self) -> usize {
        self.linear.as_ptr() as usize
    }

    fn bytes(&mut self) -> &mut [u8] {
        let len = self.linear.byte_size();
        // SAFETY: the memory is mapped readable and writable up to its size, and is only reached from here.
        unsafe { std::slice::from_raw_parts_mut(self.linear.as_ptr(), len) }
    }

    fn grow(&mut self, len: usize) {
        self.linear.grow_to(len).unwrap();
    }

    fn dirty(&mut self, pages: impl IntoIterator<Item = usize>) {
        for page in pages {
            self.bytes()[page * page_bytes()] ^= 0x5a;
        }
    }
}

/// The pages of a range that are this process's alone.
fn private_pages(base: usize, len: usize) -> usize {
    let runs = DirtyPages::new().unwrap().scan(base, len).unwrap();
    runs.iter().map(|run| run.len).sum::<usize>() / page_bytes()
}

/// Whether the next memory of the image is that one, and equals it.
fn assert_clean(memories: &Memories, image: &Arc<Image>, bytes: &[u8], base: usize) {
    assert_eq!(memories.warm().len(), 1, "it is kept");
    let mut next = Made::new(memories, image);
    assert_eq!(next.base(), base, "it is used again");
    assert!(next.bytes() == bytes, "it equals its image");
    next.grow(bytes.len() + MIB);
    assert!(next.bytes()[bytes.len()..].iter().all(|byte| *byte == 0), "what grows is zero");
}

#[test]
fn t04_a_large_memory_is_given_back_in_steps() {
    let (memories, bytes, left) = (Memories::new(), full(3 * MIB), Left::default());
    let image = image_of(&bytes);
    let mut made = Made::new(&memories, &image);
    made.handle.leave_to(left.heir());
    made.grow(60 * MIB);
    made.dirty(0..60 * MIB / page_bytes());
    let base = made.base();
    let mut pages = private_pages(base, 60 * MIB);
    assert_eq!(pages, 60 * MIB / page_bytes());

    drop(made.linear);
    assert!(left.is_empty(), "the handle keeps it");
    drop(made.handle);
    let mut remains = left.take();
    assert!(memories.warm().is_empty(), "not before it is clean");
    let mut steps = 1; // the first is that of who drops it
    loop {
        let now = private_pages(base, 60 * MIB);
        assert!(pages - now <= MIB / page_bytes(), "{} pages in a step", pages - now);
        pages = now;
        steps += 1;
        if !remains.step() {
            break;
        }
    }
    assert!((57..=70).contains(&steps), "{steps} steps");
    assert_eq!(private_pages(base, 60 * MIB), 0);
    assert_clean(&memories, &image, &bytes, base);
}

#[test]
fn t04_a_memory_of_the_usual_size_is_given_back_at_once() {
    let (memories, bytes, left) = (Memories::new(), full(3 * MIB), Left::default());
    let image = image_of(&bytes);
    for grown in [0, 64 << 10, MIB] {
        let mut made = Made::new(&memories, &image);
        made.handle.leave_to(left.heir());
        made.grow(3 * MIB + grown);
        made.dirty((0..100).map(|n| n * 7));
        let base = made.base();
        drop(made);
        assert!(left.is_empty());
        assert_clean(&memories, &image, &bytes, base);
    }
}

#[test]
fn t04_a_large_image_that_was_written_all_over_is_put_right_in_steps() {
    let (memories, bytes, left) = (Memories::new(), full(40 * MIB), Left::default());
    let image = image_of(&bytes);
    let mut made = Made::new(&memories, &image);
    made.handle.leave_to(left.heir());
    made.dirty(0..40 * MIB / page_bytes());
    let base = made.base();
    drop(made);
    let mut remains = left.take();
    let mut steps = 1;
    while remains.step() {
        steps += 1;
    }
    assert!(steps >= 40, "{steps} steps");
    assert_eq!(private_pages(base, 40 * MIB), 0);
    assert_clean(&memories, &image, &bytes, base);
}

#[test]
fn t04_any_memory_equals_its_image_after_it() {
    let mut chance = Chance(4);
    for round in 0..60 {
        let memories = Memories::new();
        let left = Left::default();
        // also one that has its pages in several files
        let mut bytes = full((1 + chance.below(160)) << 16);
        for _ in 0..chance.below(20) {
            let at = chance.below(bytes.len() / page_bytes()) * page_bytes();
            bytes[at..at + page_bytes()].fill(0);
        }
        let image = image_of(&bytes);
        let mut made = Made::new(&memories, &image);
        if round % 3 > 0 {
            made.handle.leave_to(left.heir());
        }
        made.grow(bytes.len() + (chance.below(64) << 16));
        let (all, most) = (made.bytes().len() / page_bytes(), [3, 200, 2000][chance.below(3)]);
        let dirty: Vec<usize> = (0..chance.below(most)).map(|_| chance.below(all)).collect();
        made.dirty(dirty);
        let base = made.base();
        drop(made);
        for mut remains in std::mem::take(&mut *left.0.lock().unwrap()) {
            while remains.step() {}
        }
        assert_clean(&memories, &image, &bytes, base);
    }
}

#[test]
fn t04_what_is_left_of_a_forgotten_image_is_not_kept() {
    let (memories, bytes, left) = (Memories::new(), full(20 * MIB), Left::default());
    let image = image_of(&bytes);
    let mut late = Made::new(&memories, &image);
    late.handle.leave_to(left.heir());
    let early = Made::new(&memories, &image);
    drop(early);
    for _ in 0..3 {
        if let Some(mut remains) = left.0.lock().unwrap().pop() {
            while remains.step() {}
        }
    }
    assert_eq!(memories.warm().len(), 1);
    memories.forget(&image);
    assert!(memories.warm().is_empty(), "what was kept is gone");
    late.dirty(0..20 * MIB / page_bytes());
    drop(late);
    let mut remains = left.take();
    let mut steps = 1;
    while remains.step() {
        steps += 1;
    }
    assert!(steps >= 15, "{steps} steps");
    assert!(memories.warm().is_empty());
    assert_eq!(Arc::strong_count(&image), 1, "no memory holds it");
}

#[test]
fn t10_an_image_is_taken_in_steps() {
    let (memories, left) = (Memories::new(), Left::default());
    let base = image_of(&full(3 * MIB));
    let mut made = Made::new(&memories, &base);
    made.handle.leave_to(left.heir());
    made.grow(53 * MIB);
    made.dirty(0..43 * MIB / page_bytes()); // ten stay zero
    let expected = made.bytes().to_vec();
    let mut store = Store::new(&Engine::default(), ());
    let mut capture = made.handle.capture().unwrap();
    let mut steps = 1;
    let image = loop {
        match capture.step(&made.handle, &mut store).unwrap() {
            Some(image) => break image,
            None => steps += 1,
        }
    };
    assert_eq!(steps, 53 * 4);
    assert_eq!((image.len(), image.stored_bytes()), (53 * MIB, 43 * MIB));
    drop(made);
    while left.0.lock().unwrap().pop().is_some() {}

    let mut copy = Made::new(&memories, &image);
    assert!(copy.bytes() == expected.as_slice());
    drop(copy);
    memories.forget(&image);
    assert!(left.0.lock().unwrap().pop().is_some(), "its memories are the heir's");
    // its files are closed in steps too
    drop(image);
    let mut remains = left.take();
    let mut steps = 1;
    while remains.step() {
        steps += 1;
    }
    assert!(steps >= 12, "{steps} steps");
}

#[test]
fn t10_an_image_that_is_given_up_is_closed_in_steps() {
    let (memories, left) = (Memories::new(), Left::default());
    let base = image_of(&full(3 * MIB));
    let mut made = Made::new(&memories, &base);
    made.handle.leave_to(left.heir());
    made.grow(40 * MIB);
    let mut store = Store::new(&Engine::default(), ());
    let mut capture = made.handle.capture().unwrap();
    for _ in 0..30 * 4 {
        assert!(capture.step(&made.handle, &mut store).unwrap().is_none());
    }
    drop(capture);
    let mut remains = left.take();
    let mut steps = 1;
    while remains.step() {
        steps += 1;
    }
    assert!(steps >= 6, "{steps} steps");
}

/// The pages of a slab's slots that are resident.
fn resident(slots: &[(usize, usize)]) -> usize {
    slots.iter().map(|(base, len)| private_pages(*base, *len)).sum()
}

#[test]
fn t11_stacks_give_their_pages_back_after_a_burst() {
    const STACK: usize = 2 * MIB;
    let slab = Arc::new(Slab::new(STACK, page_bytes(), 4 * page_bytes()));
    let touch = |slot: &slab::Slot, deep: usize| {
        for page in 1..=deep {
            // SAFETY: a slot is mapped readable and writable from its base on, and this is its only user.
            unsafe { slot.base().add(STACK - page * page_bytes()).write(1) };
        }
    };
    // one at a time: always the same, with its pages
    let first = slab.take().unwrap();
    touch(&first, 4);
    let base = first.base() as usize;
    drop(first);
    for _ in 0..10 {
        let again = slab.take().unwrap();
        assert_eq!(again.base() as usize, base);
        assert_eq!(private_pages(base, STACK), 4);
    }

    let slots: Vec<_> = (0..400).map(|_| slab.take().unwrap()).collect();
    slots.iter().for_each(|slot| touch(slot, 80));
    let places: Vec<_> = slots.iter().map(|slot| (slot.base() as usize, STACK)).collect();
    assert_eq!(resident(&places), 400 * 80);
    assert_eq!(slab.mapped(), 7);
    // half of them, all over
    let (gone, stay): (Vec<_>, Vec<_>) = slots.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    drop(gone);
    let now = resident(&places);
    assert!(now <= 200 * 80 + 16 * 80 + 200 * 4, "{now} pages");
    let again: Vec<_> = (0..200).map(|_| slab.take().unwrap()).collect();
    assert_eq!(slab.mapped(), 7, "what is free is used first");
    drop((again, stay));
    assert!(slab.mapped() <= 2, "{} chunks are mapped", slab.mapped());
    let slots: Vec<_> = (0..400).map(|_| slab.take().unwrap()).collect();
    assert!(slots.iter().all(|slot| (slot.base() as usize).is_multiple_of(page_bytes())));
}

#[test]
fn t22_slabs_have_no_huge_pages() {
    let slab = Arc::new(Slab::new(MIB, 0, 0));
    let slot = slab.take().unwrap();
    let (base, maps) = (slot.base() as usize, std::fs::read_to_string("/proc/self/smaps").unwrap());
    let mut inside = false;
    for line in maps.lines() {
        if let Some((from, to)) = line.split_whitespace().next().and_then(|range| range.split_once('-'))
            && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
        {
            inside = (from..to).contains(&base);
        } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
            let huge = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
            assert!(!huge || flags.split_whitespace().any(|flag| flag == "nh"), "{flags}");
            return;
        }
    }
    panic!("the slab is nowhere in smaps");
}

#[test]
fn w02_a_dead_memory_goes_to_another_store_as_it_is_and_is_put_right_after() {
    let (memories, left) = (Memories::new(), Left::default());
    let bytes = full(MIB);
    let image = image_of(&bytes);
    let mut first = Made::new(&memories, &image);
    first.handle.leave_to(left.heir());
    first.grow(2 * MIB);
    first.dirty([3, 300]);
    let (base, was) = (first.base(), first.bytes().to_vec());
    let other = first.handle.clone();
    let Made { linear, handle } = first;
    assert!(other.into_dead().is_none(), "the store has it, and a handle");
    drop(linear);
    let dead = handle.into_dead().unwrap();
    assert_eq!(dead.len(), 2 * MIB);
    let ty = MemoryTypeBuilder::default().build().unwrap();
    let make = || {
        let made = memories.new_memory(ty.clone(), 0, None, Some(MEMORY_RESERVATION_BYTES), 1 << 16);
        let second = memories.new_memory(ty.clone(), 0, None, Some(MEMORY_RESERVATION_BYTES), 1 << 16);
        assert!(second.is_err(), "one memory a start");
        made
    };
    let (linear, handle) = start_from(Start::Dead(dead), make);
    let mut second = Made { linear: linear.unwrap(), handle: handle.unwrap() };
    assert_eq!(second.base(), base, "it is not copied");
    assert!(second.bytes() == was, "it is as it was left");
    second.dirty([5]);
    assert!(left.is_empty());
    drop(second);
    if !left.is_empty() {
        let mut remains = left.take();
        while remains.step() {}
    }
    assert_clean(&memories, &image, &bytes, base);
}

#[test]
fn w02_a_dead_memory_whose_start_fails_is_given_back() {
    let memories = Memories::new();
    let bytes = full(MIB);
    let image = image_of(&bytes);
    let Made { linear, handle } = Made::new(&memories, &image);
    let base = linear.as_ptr() as usize;
    drop(linear);
    let ((), made) = start_from(Start::Dead(handle.into_dead().unwrap()), || ());
    assert!(made.is_none());
    assert_clean(&memories, &image, &bytes, base);
}

impl DeadMemory {
    /// Breaks it, in one of several ways, from the data of the guest's own (behind its stack of 1 MiB) on.
    pub(crate) fn forge(&mut self, seed: u64) {
        let (mut chance, slot) = (Chance(seed), self.0.slot());
        // SAFETY: the memory is mapped readable and writable up to its size, and no store has it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(slot.map.base(), slot.size()) };
        let (words, _) = bytes[MIB..].as_chunks_mut::<4>();
        let is_address = |word: &[u8; 4]| (MIB..MIB + 4 * words.len()).contains(&(u32::from_le_bytes(*word) as usize));
        let addresses: Vec<usize> = (0..words.len()).filter(|at| is_address(&words[*at])).collect();
        match seed % 4 {
            // some addresses are others'
            0 | 1 => {
                for at in &addresses {
                    if chance.below(if seed.is_multiple_of(4) { 8 } else { 200 }) == 0 {
                        words[*at] = words[addresses[chance.below(addresses.len())]];
                    }
                }
            }
            // some words are anything
            2 => {
                for word in words.iter_mut() {
                    if chance.below(64) == 0 {
                        *word = u32::try_from(chance.below(1 << 31)).unwrap().to_le_bytes();
                    }
                }
            }
            // all of some pages is one byte, and never a text's end
            _ => {
                for page in words.chunks_mut(1024) {
                    if chance.below(4) == 0 {
                        page.fill([u8::try_from(1 + chance.below(255)).unwrap(); 4]);
                    }
                }
            }
        }
    }
}
