//! The arguments of a call, as a guest sent them: measured in steps, before anybody reads them.

use smallvec::SmallVec;

use super::tariff::{Counted, Crossing};
use crate::wire::token::Passed;

/// The bytes of a call's arguments, which are a list; and once all of them are [counted](Self::count), where each one is. So an
/// argument is found, and passed on unread, without a look at those before it or at what is in it.
pub(crate) struct Arguments {
    bytes: Vec<u8>,
    crossing: Crossing,
    /// Of the argument that is being counted: values to come.
    pending: u64,
    /// Most functions have few.
    all: SmallVec<[Place; 4]>,
    is_begun: bool,
}

/// One of them, as the count has found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// How many values it is, each key and each table among them.
    pub(crate) values: usize,
    /// Whether there is a handle of a resource in it.
    pub(crate) has_handles: bool,
}

/// An [`Argument`] in half the room, since each call moves four of them: a guest's memory has 4 GiB at most.
#[derive(Clone, Copy, Default)]
struct Place {
    start: u32,
    end: u32,
    values: u32,
    has_handles: bool,
}

/// More arguments than a function has are an error, so it doesn't matter where they are.
const PLACES_MAX: usize = 256;

impl Arguments {
    pub(crate) fn new(bytes: Vec<u8>) -> Arguments {
        Arguments { bytes, crossing: Crossing::default(), pending: 0, all: SmallVec::new(), is_begun: false }
    }

    /// Arguments that are counted to the end at once.
    #[cfg(test)]
    pub(crate) fn counted(bytes: Vec<u8>) -> Arguments {
        let mut arguments = Arguments::new(bytes);
        while !arguments.count().is_done {}
        arguments
    }

    /// Counts some of the values.
    pub(crate) fn count(&mut self) -> Counted {
        let (pending, all, is_begun) = (&mut self.pending, &mut self.all, &mut self.is_begun);
        self.crossing.step(&self.bytes, |Passed { inner, is_handle }, start, end| {
            if !std::mem::replace(is_begun, true) {
                return; // the list of them
            }
            if *pending == 0 {
                if all.len() >= PLACES_MAX {
                    return;
                }
                all.push(Place { start: small(start), ..Place::default() });
                *pending = 1;
            }
            // each length is at most the bytes that are left, so the sum can't overflow before they run out
            *pending = pending.saturating_add(inner).saturating_sub(1);
            if let Some(argument) = all.last_mut() {
                argument.values += 1;
                argument.end = small(end);
                argument.has_handles |= is_handle;
            }
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An argument by its index, if it was given and is whole.
    pub(crate) fn get(&self, index: usize) -> Option<Argument> {
        let is_last = index + 1 == self.all.len();
        let Place { start, end, values, has_handles } =
            *self.all.get(index).filter(|_| !is_last || self.pending == 0)?;
        let [start, end, values] = [start, end, values].map(|number| number as usize);
        Some(Argument { start, end, values, has_handles })
    }

    /// The bytes of an argument by its index.
    pub(crate) fn encoded(&self, index: usize) -> Option<&[u8]> {
        let argument = self.get(index)?;
        self.bytes.get(argument.start..argument.end)
    }

    /// How many values there are in all.
    pub(crate) fn values(&self) -> usize {
        self.all.iter().map(|argument| argument.values as usize).sum()
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
