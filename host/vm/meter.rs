//! The fuel of an entry, as it is seen while the entry runs. wasmtime counts what the guest's code burns, and says so only to who
//! has the store.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use super::LOOK_FUEL;
use crate::limits::Limits;
use crate::metering::Turn;

/// Shared by a store and by who polls its entry; never by two threads at the same time.
#[derive(Default)]
pub(super) struct Meter {
    given: AtomicU64,
    used: AtomicU64,
    /// What was used when others could run last.
    paused_at: AtomicU64,
    /// The entry is pending because a call said so.
    paused: AtomicBool,
    /// Whose end is the end of a slice, too.
    turn: Mutex<Turn>,
}

impl Meter {
    /// An entry begins, with so much fuel, of which so much is used.
    pub(super) fn begin(&self, given: u64, used: u64) {
        self.given.store(given, Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
        self.paused_at.store(0, Ordering::Relaxed);
        self.paused.store(false, Ordering::Relaxed);
    }

    /// The entry has this turn of a worker.
    pub(super) fn take_turn(&self, turn: &Turn) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn.clone();
    }

    /// A call was charged, and so much is left.
    pub(super) fn charged(&self, left: u64) {
        self.used.store(self.given.load(Ordering::Relaxed).saturating_sub(left), Ordering::Relaxed);
    }

    /// Whether a slice was used since others could run, or the turn is over.
    pub(super) fn is_full(&self) -> bool {
        let slice = self.used().saturating_sub(self.paused_at.load(Ordering::Relaxed));
        slice >= Limits::SLICE_FUEL || self.turn.lock().unwrap_or_else(PoisonError::into_inner).is_over()
    }

    /// Lets others run.
    pub(super) fn pause(&self) -> impl Future<Output = ()> {
        poll_fn(|_| match self.paused.load(Ordering::Relaxed) {
            true => {
                self.paused.store(false, Ordering::Relaxed);
                Poll::Ready(())
            }
            false => {
                self.paused.store(true, Ordering::Relaxed);
                Poll::Pending
            }
        })
    }

    /// The entry is pending. Says whether others run now.
    pub(super) fn is_slice_over(&self) -> bool {
        if !self.paused.load(Ordering::Relaxed) {
            // the guest has burnt this since it began, was charged last or was looked at last
            self.used.fetch_add(LOOK_FUEL, Ordering::Relaxed);
            if !self.is_full() {
                return false;
            }
        }
        self.paused_at.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
        true
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
