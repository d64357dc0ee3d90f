//! Who is next, of tenants that share a number of places: each has so many at most, and those who wait have turns, one after
//! each other. First come, first served would let one that asks often enough keep all others waiting.

mod places;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

pub(crate) use places::{Place, Places};

/// Shared places, and what waits for them. `K` is whose it is.
pub(crate) struct Turns<K, T> {
    places: u32,
    each: u32,
    taken: u32,
    lines: HashMap<K, Line<T>>,
    /// Those of whom something waits and who could have one more place, in turn. Each is in it once.
    next: VecDeque<K>,
}

struct Line<T> {
    has: u32,
    waiting: VecDeque<T>,
    is_next: bool,
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    pub(crate) fn new(places: u32, each: u32) -> Turns<K, T> {
        Turns { places, each, taken: 0, lines: HashMap::new(), next: VecDeque::new() }
    }

    /// Has it wait.
    pub(crate) fn put(&mut self, key: &K, what: T) {
        let none = || Line { has: 0, waiting: VecDeque::new(), is_next: false };
        self.lines.entry(key.clone()).or_insert_with(none).waiting.push_back(what);
        self.line_up(key);
    }

    /// Lets go of what waits and is of no more use, from the first on.
    pub(crate) fn forget(&mut self, key: &K, is_gone: impl Fn(&T) -> bool) {
        if let Some(line) = self.lines.get_mut(key) {
            while line.waiting.front().is_some_and(&is_gone) {
                line.waiting.pop_front();
            }
        }
    }

    /// What has its turn now. It has a place until [`leave`](Self::leave).
    pub(crate) fn next(&mut self) -> Option<(K, T)> {
        while self.taken < self.places {
            let key = self.next.pop_front()?;
            let Some(line) = self.lines.get_mut(&key) else { continue };
            line.is_next = false;
            let Some(what) = line.waiting.pop_front() else { continue };
            line.has = line.has.saturating_add(1);
            self.taken = self.taken.saturating_add(1);
            self.line_up(&key);
            return Some((key, what));
        }
        None
    }

    /// Gives a place back.
    pub(crate) fn leave(&mut self, key: &K) {
        let Some(line) = self.lines.get_mut(key) else { return };
        line.has = line.has.saturating_sub(1);
        self.taken = self.taken.saturating_sub(1);
        if line.has == 0 && line.waiting.is_empty() {
            self.lines.remove(key);
        } else {
            self.line_up(key);
        }
    }

    /// Whether nothing waits, and no place is taken.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.next.is_empty() && self.taken == 0
    }

    fn line_up(&mut self, key: &K) {
        if let Some(line) = self.lines.get_mut(key)
            && !line.is_next
            && line.has < self.each
            && !line.waiting.is_empty()
        {
            line.is_next = true;
            self.next.push_back(key.clone());
        }
    }
}

#[cfg(test)]
mod tests;
