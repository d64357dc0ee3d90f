//! What the coroutines of a VM wait for: sleeps, and calls of host functions. Goes with the VM: its calls are dropped then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use crate::functions::Call;
use crate::strategy::Origin;
use crate::vm::{Gauge, Held};

/// Who an entry is made for: an event, or what it left behind.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) event: u64,
    pub(crate) name: Arc<str>,
    /// What of the store's it is about.
    pub(crate) origin: Origin,
    /// What the event, and all that it leaves behind, may still log, in bytes.
    pub(crate) log_left: Arc<AtomicU32>,
}

/// What the host holds for a wait, in bytes; for a call, its arguments come on top.
const WAIT_BYTES: u64 = 256;

/// By the guest's numbers. The guest keeps to the limits by itself; here they are looked at again.
pub(crate) struct Waits {
    gauge: Gauge,
    all: HashMap<u32, Wait>,
    /// Sleeps, in the order in which they are over.
    due: BTreeMap<(Instant, u64), u32>,
    sleeps: u64,
    calls: usize,
}

struct Wait {
    owner: Owner,
    kind: Kind,
}

enum Kind {
    Sleep((Instant, u64)),
    /// `held` is what it has come to, and computes on from.
    Call {
        bytes: u64,
        call: Call,
        held: Option<Held>,
    },
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.all.values().for_each(|wait| self.gauge.release(wait.bytes()));
    }
}

impl Wait {
    fn bytes(&self) -> u64 {
        match self.kind {
            Kind::Sleep(_) => WAIT_BYTES,
            Kind::Call { bytes, .. } => WAIT_BYTES + bytes,
        }
    }
}

impl Waits {
    pub(crate) fn new(gauge: Gauge) -> Waits {
        Waits { gauge, all: HashMap::new(), due: BTreeMap::new(), sleeps: 0, calls: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn sleep(&mut self, wait: u32, due: Instant, owner: Owner, most: u32) -> Result<(), String> {
        if self.due.len() >= most as usize {
            return Err(format!("it sleeps more often at once than the limit timers of {most}"));
        }
        self.sleeps += 1; // of two that end at one time, the first begun is the first
        let due = (due, self.sleeps);
        self.insert(wait, Wait { owner, kind: Kind::Sleep(due) })?;
        self.due.insert(due, wait);
        Ok(())
    }

    pub(crate) fn call(&mut self, wait: u32, call: Call, bytes: u64, owner: Owner, most: u32) -> Result<(), String> {
        if self.calls >= most as usize {
            return Err(format!("it calls more often at once than the limit calls_in_flight of {most}"));
        }
        self.insert(wait, Wait { owner, kind: Kind::Call { bytes, call, held: None } })?;
        self.calls += 1;
        Ok(())
    }

    fn insert(&mut self, wait: u32, new: Wait) -> Result<(), String> {
        if self.all.contains_key(&wait) {
            return Err(format!("it waits twice under the number {wait}"));
        }
        self.gauge.hold(new.bytes());
        self.all.insert(wait, new);
        Ok(())
    }

    /// A call waits for something else than it did.
    pub(crate) fn wait_again(&mut self, wait: u32, again: Call) {
        if let Some(Wait { kind: Kind::Call { call, .. }, .. }) = self.all.get_mut(&wait) {
            *call = again;
        }
    }

    /// A call that goes on keeps so much held until it has its answer.
    pub(crate) fn keep(&mut self, wait: u32, bytes: Held) {
        if let Some(Wait { kind: Kind::Call { held, .. }, .. }) = self.all.get_mut(&wait) {
            *held = Some(bytes);
        }
    }

    /// Who waits, if somebody still does.
    pub(crate) fn owner(&self, wait: u32) -> Option<Owner> {
        self.all.get(&wait).map(|wait| wait.owner.clone())
    }

    /// Ends a wait. None if nobody waits any more.
    pub(crate) fn take(&mut self, wait: u32) -> Option<Owner> {
        let taken = self.all.remove(&wait)?;
        self.gauge.release(taken.bytes());
        let Wait { owner, kind } = taken;
        match kind {
            Kind::Sleep(due) => drop(self.due.remove(&due)),
            Kind::Call { .. } => self.calls -= 1,
        }
        Some(owner)
    }

    /// When the next sleep is over.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Ends the sleep that is over for the longest time.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(u32, Owner)> {
        let ((at, _), wait) = self.due.first_key_value()?;
        if *at > now {
            return None;
        }
        let wait = *wait;
        Some((wait, self.take(wait)?))
    }
}
