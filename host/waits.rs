//! What the coroutines of a VM wait for: sleeps, and calls of host functions. Goes with the VM: no call is polled any more then, and each is
//! dropped, after the first of them in steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use crate::functions::Call;
use crate::image::{Heir, Remains};
use crate::strategy::Origin;
use crate::vm::{Gauge, Held};

/// Who an entry is made for: an event, or what it left behind.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) event: u64,
    pub(crate) name: Arc<str>,
    /// What of the store's it is about.
    pub(crate) origin: Origin,
    /// What the event, and all that it leaves behind, may still log, in bytes.
    pub(crate) log_left: AtomicU32,
}

/// What the host holds for a wait, in bytes. What a call has comes on top, and is held with the call.
const WAIT_BYTES: u64 = 256;

/// By the guest's numbers. The guest keeps to the limits by itself; here they are looked at again.
///
/// In order: a map by hashes would be copied whole as it grows, which is 10 ms for 100,000 sleeps.
pub(crate) struct Waits {
    gauge: Gauge,
    sleeps: BTreeMap<u32, Sleep>,
    calls: BTreeMap<u32, Calling>,
    /// Sleeps, in the order in which they are over.
    due: BTreeMap<Due, u32>,
    /// Numbers the sleeps.
    slept: u64,
    heir: Option<Heir>,
}

/// When a sleep is over, and its number: of two that end at one time, the first begun is the first.
type Due = (Instant, u64);

struct Sleep {
    owner: Arc<Owner>,
    due: Due,
}

struct Calling {
    owner: Arc<Owner>,
    call: Call,
    /// What it has come to, and computes on from.
    held: Option<Held>,
}

/// The number of waits that are given up in a step. That takes 50 us for sleeps, and up to five times as long for calls.
const WAITS_A_STEP: usize = 256;

impl Drop for Waits {
    /// The first are given up here and now; if there are more, they are given up in steps.
    fn drop(&mut self) {
        let mut calls = std::mem::take(&mut self.calls);
        let mut sleeps = std::mem::take(&mut self.sleeps);
        let mut due = std::mem::take(&mut self.due);
        let held = Held::of(&self.gauge, WAIT_BYTES * (calls.len() + sleeps.len()) as u64);
        if calls.is_empty() && sleeps.is_empty() {
            return;
        }
        let step = move || {
            let _ = &held;
            for _ in 0..WAITS_A_STEP {
                if calls.pop_first().is_none() {
                    drop((sleeps.pop_first(), due.pop_first()));
                }
            }
            !(calls.is_empty() && sleeps.is_empty())
        };
        Remains::of_steps(step).pass_on(self.heir.as_ref());
    }
}

impl Waits {
    pub(crate) fn new(gauge: Gauge) -> Waits {
        let (sleeps, calls, due) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Waits { gauge, sleeps, calls, due, slept: 0, heir: None }
    }

    /// Names who gives up in steps what is left when it is dropped.
    pub(crate) fn leave_to(&mut self, heir: Heir) {
        self.heir = Some(heir);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sleeps.is_empty() && self.calls.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.sleeps.len() + self.calls.len()
    }

    pub(crate) fn sleep(&mut self, wait: u32, due: Instant, owner: Arc<Owner>, most: u32) -> Result<(), String> {
        if self.sleeps.len() >= most as usize {
            return Err(format!("it sleeps more often at once than the limit timers of {most}"));
        }
        self.hold(wait)?;
        self.slept += 1;
        let due = (due, self.slept);
        self.sleeps.insert(wait, Sleep { owner, due });
        self.due.insert(due, wait);
        Ok(())
    }

    pub(crate) fn call(&mut self, wait: u32, call: Call, owner: Arc<Owner>, most: u32) -> Result<(), String> {
        if self.calls.len() >= most as usize {
            return Err(format!("it calls more often at once than the limit calls_in_flight of {most}"));
        }
        self.hold(wait)?;
        self.calls.insert(wait, Calling { owner, call, held: None });
        Ok(())
    }

    fn hold(&self, wait: u32) -> Result<(), String> {
        if self.sleeps.contains_key(&wait) || self.calls.contains_key(&wait) {
            return Err(format!("it waits twice under the number {wait}"));
        }
        self.gauge.hold(WAIT_BYTES);
        Ok(())
    }

    /// A call waits for something else than it did.
    pub(crate) fn wait_again(&mut self, wait: u32, again: Call) {
        if let Some(calling) = self.calls.get_mut(&wait) {
            calling.call = again;
        }
    }

    /// A call that goes on keeps so much held until it has its answer.
    pub(crate) fn keep(&mut self, wait: u32, bytes: Held) {
        if let Some(calling) = self.calls.get_mut(&wait) {
            calling.held = Some(bytes);
        }
    }

    /// Who waits, if somebody still does.
    pub(crate) fn owner(&self, wait: u32) -> Option<Arc<Owner>> {
        let sleeper = || self.sleeps.get(&wait).map(|sleep| &sleep.owner);
        self.calls.get(&wait).map(|call| &call.owner).or_else(sleeper).cloned()
    }

    /// Ends a wait. None if nobody waits any more.
    pub(crate) fn take(&mut self, wait: u32) -> Option<Arc<Owner>> {
        if let Some(Calling { owner, .. }) = self.calls.remove(&wait) {
            self.gauge.release(WAIT_BYTES);
            return Some(owner);
        }
        let Sleep { owner, due } = self.sleeps.remove(&wait)?;
        self.gauge.release(WAIT_BYTES);
        self.due.remove(&due);
        Some(owner)
    }

    /// When the next sleep is over.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Ends the sleep that is over for the longest time.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(u32, Arc<Owner>)> {
        let ((at, _), wait) = self.due.first_key_value()?;
        if *at > now {
            return None;
        }
        let wait = *wait;
        Some((wait, self.take(wait)?))
    }
}
