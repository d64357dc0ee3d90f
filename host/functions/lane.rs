//! Lanes: queues of work of tenants, each with a thread beside the workers while there is work. The tenant that has had the least of the
//! thread, by weight, has the next turn. A work can be one step or many, each in a turn of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::metering::processor_nanos;
use crate::share::{Shares, virtual_time};
use crate::tenant::Tenant;
use crate::vm::panic_text;

/// Does a step, and says whether it was the last.
type Work = Box<dyn FnMut() -> bool + Send>;

/// The most tenants of which a lane remembers what they have had. Beyond them, it knows those that have work.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Lane {
    runtime: Handle,
    shares: Arc<Shares>,
    queue: Arc<Mutex<Queue>>,
}

/// The works of a lane that wait, by tenant, and the order of the tenants.
#[derive(Default)]
struct Queue {
    /// The tenants that have work here, also while the thread has it; and those that have had more of the thread than these.
    tenants: HashMap<Tenant, Turns>,
    /// The order of the tenants: the one that has had the least is first. The number keeps equal ones in order.
    next: BinaryHeap<Reverse<(u64, u64, Tenant)>>,
    number: u64,
    /// What the tenant has had whose turn it is now. Tenants that come start from here: to have rested is no credit.
    clock: u64,
    is_running: bool,
}

/// A tenant's work, in its order.
#[derive(Default)]
struct Turns {
    works: VecDeque<Work>,
    /// How much of the thread it has had, in virtual time.
    had: u64,
    is_queued: bool,
}

impl Queue {
    fn enqueue(&mut self, tenant: Tenant) {
        let Some(turns) = self.tenants.get_mut(&tenant).filter(|turns| !turns.works.is_empty()) else { return };
        turns.is_queued = true;
        turns.had = turns.had.max(self.clock);
        self.number += 1;
        self.next.push(Reverse((turns.had, self.number, tenant)));
    }

    fn put(&mut self, tenant: &Tenant, work: Work) {
        if self.tenants.len() == self.tenants.capacity() && !self.tenants.contains_key(tenant) {
            // before it grows
            let (clock, is_remembered) = (self.clock, self.tenants.len() <= REMEMBERED_MAX);
            self.tenants.retain(|_, turns| turns.is_queued || is_remembered && turns.had > clock);
        }
        let turns = self.tenants.entry(tenant.clone()).or_default();
        turns.works.push_back(work);
        if !turns.is_queued {
            self.enqueue(tenant.clone());
        }
    }
}

impl Lane {
    pub(super) fn new(runtime: Handle, shares: Arc<Shares>) -> Lane {
        Lane { runtime, shares, queue: Arc::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the work done in the tenant's turns, each a step, and charges the tenant for its time. It is dropped undone if the runtime is
    /// no more.
    pub(super) fn put(&self, tenant: &Tenant, work: impl FnMut() -> bool + Send + 'static) {
        let mut queue = self.queue();
        queue.put(tenant, Box::new(work));
        let is_running = std::mem::replace(&mut queue.is_running, true);
        drop(queue);
        if !is_running {
            let runner = Runner { lane: self.clone(), is_over: false };
            drop(self.runtime.spawn_blocking(move || runner.run()));
        }
    }

    /// Takes the first work of the tenant that has the next turn. The tenant has no other turn until it is [put back](Self::put_back).
    /// Returns none if nothing waits: the thread ends then.
    fn take(&self) -> Option<(Tenant, Work)> {
        let mut queue = self.queue();
        while let Some(Reverse((had, _, tenant))) = queue.next.pop() {
            queue.clock = had;
            if let Some(work) = queue.tenants.get_mut(&tenant).and_then(|turns| turns.works.pop_front()) {
                return Some((tenant, work));
            }
        }
        queue.is_running = false;
        queue.tenants.clear(); // nobody has work, and all are equal again
        None
    }

    /// The tenant's turn is over, which took so long; what is left of its work is still its first.
    fn put_back(&self, tenant: Tenant, left: Option<Work>, time: Duration) {
        self.shares.took(&tenant, time);
        let weight = self.shares.weight(&tenant);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut queue = self.queue();
        let Some(turns) = queue.tenants.get_mut(&tenant) else { return };
        turns.had = turns.had.saturating_add(virtual_time(nanos, weight));
        turns.is_queued = false;
        if let Some(work) = left {
            turns.works.push_front(work);
        }
        queue.enqueue(tenant);
    }
}

/// The thread of a lane, until nothing waits. Dropped before that, the runtime is no more.
struct Runner {
    lane: Lane,
    is_over: bool,
}

impl Runner {
    fn run(mut self) {
        while let Some((tenant, mut work)) = self.lane.take() {
            let before = processor_nanos();
            let step = catch_unwind(AssertUnwindSafe(&mut work));
            let is_done = step.unwrap_or_else(|panic| {
                // nobody else is there to be told of it
                let message = panic_text(&*panic);
                tracing::error!(%tenant, message, "a thread beside the workers panicked with what it did for a tenant");
                true
            });
            let left = if is_done {
                drop(work); // on its time
                None
            } else {
                Some(work)
            };
            let time = Duration::from_nanos(processor_nanos().saturating_sub(before));
            self.lane.put_back(tenant, left, time);
        }
        self.is_over = true;
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if !self.is_over {
            // the runtime is no more, and nobody is to wait for it
            let queue = std::mem::take(&mut *self.lane.queue());
            drop(queue); // without the lock: it may be the end of more
        }
    }
}
