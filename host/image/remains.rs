//! Giving memory back, in steps, and what the host held beside it.
//!
//! The kernel needs 60 to 400 ns for each page that it takes back: a memory of 60 MB in one
//! piece would hold the thread for 5 to 20 ms, and a step here holds it for about 100 us.
//!
//! Whoever drops the last reference to a memory or an image does the first step, which is all for a memory of the usual
//! size. The [`Heir`] that was named for it does the others: a job of the tenant's (`give_back`).

use std::io;
use std::sync::Arc;

use super::file::Sealed;
use super::map::page_bytes;
use super::scan::{DirtyPages, Run};
use super::{Memories, Slot};

/// How much of a memory's pages is given back in a step: 256 pages of 4 KiB, 60 to 100 us.
const STEP_BYTES: usize = 1 << 20;

/// How much of a memory is searched for dirty pages in a step: 90 us if all of it is dirty.
const SCAN_BYTES: usize = 16 << 20;

/// A memory of this size is unmapped in one step: 300 us if all of it is dirty.
const UNMAP_BYTES_MAX: usize = 4 << 20;

/// A warm memory that has more dirty pages than this gives its pages back, and reads the image anew, instead of being copied
/// back: past here the copy costs more than the faults it saves, and the pages would stay resident.
pub(super) const COPY_BACK_PAGES_MAX: usize = 128;

/// Takes what is left of a memory or an image, and calls [`Remains::step`] until there is no more.
#[derive(Clone)]
pub(crate) struct Heir(Arc<dyn Fn(Remains) + Send + Sync>);

impl Heir {
    pub(crate) fn new(takes: impl Fn(Remains) + Send + Sync + 'static) -> Heir {
        Heir(Arc::new(takes))
    }
}

/// What is left of a memory or an image. Dropped before the last step, it is given back at once.
pub(crate) struct Remains(Vec<Part>);

enum Part {
    /// To be kept warm, once it equals its image.
    Memory(Used),
    /// To be unmapped; its first bytes are given back already, this many.
    Unmapped(Slot, usize),
    /// To be closed.
    File(Sealed),
    /// Something of the host's, in steps of its own.
    Other(Box<dyn FnMut() -> bool + Send>),
}

/// A memory on its way from its tenant to the next.
struct Used {
    slot: Slot,
    owner: Memories,
    /// Bytes of the memory whose pages aren't given back yet, as long as they are more than the image's.
    size: usize,
    dirty: Dirty,
}

/// What is known of the pages that were written to, where the image is.
enum Dirty {
    /// Those that were found up to `end`.
    Found { runs: Vec<Run>, pages: usize, end: usize },
    /// There are many: all pages up to `end` are given back.
    Many { end: usize },
}

impl Remains {
    pub(super) fn of_memory(slot: Slot, owner: Memories) -> Remains {
        let (size, dirty) = (slot.size(), Dirty::Found { runs: Vec::new(), pages: 0, end: 0 });
        Remains(vec![Part::Memory(Used { slot, owner, size, dirty })])
    }

    /// Of memories that nobody will use again.
    pub(super) fn of_unused(slots: Vec<Slot>) -> Remains {
        Remains(slots.into_iter().map(|slot| Part::Unmapped(slot, 0)).collect())
    }

    pub(super) fn of_files(files: Vec<Sealed>) -> Remains {
        Remains(files.into_iter().map(Part::File).collect())
    }

    /// Of something else that went with them: each call is a step, and returns whether there is more.
    pub(crate) fn of_steps(step: impl FnMut() -> bool + Send + 'static) -> Remains {
        Remains(vec![Part::Other(Box::new(step))])
    }

    /// Does a step, and leaves what there is after it to the heir. Without one, all is done here.
    pub(crate) fn pass_on(mut self, heir: Option<&Heir>) {
        while self.step() {
            if let Some(Heir(takes)) = heir {
                return takes(self);
            }
        }
    }

    /// Gives some of it back, in about 100 us and never in more than a millisecond. Returns whether there is more.
    pub(crate) fn step(&mut self) -> bool {
        match self.0.pop() {
            Some(Part::Memory(used)) => self.0.extend(used.step()),
            Some(Part::Unmapped(slot, end)) => self.0.extend(unmap(slot, end)),
            Some(Part::File(file)) => drop(file),
            Some(Part::Other(mut step)) => self.0.extend(step().then_some(Part::Other(step))),
            None => (),
        }
        !self.0.is_empty()
    }
}

impl Used {
    /// Returns what there is to be done after it.
    fn step(mut self) -> Option<Part> {
        let scanner = self.owner.clone();
        let Some(dirty) = scanner.dirty().filter(|_| !self.slot.image.is_forgotten()) else {
            return unmap(self.slot, 0);
        };
        match self.put_right(dirty) {
            Ok(false) => Some(Part::Memory(self)),
            Ok(true) => unmap(self.owner.keep(self.slot)?, 0),
            Err(error) => {
                tracing::debug!(%error, "a memory could not be put right and is unmapped instead");
                unmap(self.slot, 0)
            }
        }
    }

    /// Goes on making the memory equal to its image, byte for byte. Returns whether it is. An error means that it must not be
    /// used again.
    fn put_right(&mut self, scanner: &DirtyPages) -> io::Result<bool> {
        let Slot { map, image, .. } = &self.slot;
        let image_bytes = image.len();
        if self.size > image_bytes + STEP_BYTES {
            self.size -= STEP_BYTES;
            map.forget_pages(self.size, STEP_BYTES)?;
            return Ok(false);
        }
        if self.size > image_bytes {
            map.drop_pages(image_bytes, self.slot.size() - image_bytes)?;
            self.slot.set_size(image_bytes);
            self.size = image_bytes;
        }
        match &mut self.dirty {
            Dirty::Found { runs, pages, end } => {
                let len = SCAN_BYTES.min(image_bytes - *end);
                for run in scanner.scan(map.base() as usize + *end, len)? {
                    *pages += run.len / page_bytes();
                    runs.push(Run { start: *end + run.start, len: run.len });
                }
                *end += len;
                if *pages > COPY_BACK_PAGES_MAX {
                    self.dirty = Dirty::Many { end: 0 };
                    return Ok(false);
                }
                if *end < image_bytes {
                    return Ok(false);
                }
                for run in runs {
                    self.slot.copy_back(*run)?;
                }
                Ok(true)
            }
            Dirty::Many { end } => {
                let len = STEP_BYTES.min(image_bytes - *end);
                map.forget_pages(*end, len)?;
                *end += len;
                Ok(*end == image_bytes)
            }
        }
    }
}

/// Gives a memory's pages back from `end` on, so many as a step may, and at last unmaps it.
fn unmap(slot: Slot, end: usize) -> Option<Part> {
    let left = slot.size().saturating_sub(end);
    if left > UNMAP_BYTES_MAX && slot.map.forget_pages(end, STEP_BYTES).is_ok() {
        return Some(Part::Unmapped(slot, end + STEP_BYTES));
    }
    drop(slot);
    None
}
