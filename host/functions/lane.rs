//! A thread beside the workers, for work of tenants that takes turns: who has had least of the thread, by weight, goes next. What can be
//! done in steps is, so that work which is short never waits for all of one that is long.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::metering::processor_nanos;
use crate::share::Shares;
use crate::tenant::Tenant;
use crate::vm::panic_text;

/// Does a step, and says whether it was the last.
type Work = Box<dyn FnMut() -> bool + Send>;

/// Virtual time for a nanosecond at weight 1: so many steps that a weight of 1,000 still moves it.
const STEPS: u64 = 16;

/// Beyond so many tenants, only those are remembered who have work.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Lane {
    runtime: Handle,
    shares: Arc<Shares>,
    line: Arc<Mutex<Line>>,
}

/// What waits.
#[derive(Default)]
struct Line {
    /// All who have work here, or had more of the thread than those who have; one whose work has the thread is here too.
    tenants: HashMap<Tenant, Turns>,
    /// Whose turn it is: who has had least. The number keeps equal ones in order.
    next: BinaryHeap<Reverse<(u64, u64, Tenant)>>,
    number: u64,
    /// How much those have had whose turn it is now. Who comes starts from here: to have rested is no credit.
    clock: u64,
    is_running: bool,
}

/// A tenant's work, in its order.
#[derive(Default)]
struct Turns {
    works: VecDeque<Work>,
    /// How much of the thread it has had, in virtual time.
    had: u64,
    is_in_line: bool,
}

impl Line {
    fn line_up(&mut self, tenant: Tenant) {
        let Some(turns) = self.tenants.get_mut(&tenant).filter(|turns| !turns.works.is_empty()) else { return };
        turns.is_in_line = true;
        turns.had = turns.had.max(self.clock);
        self.number += 1;
        self.next.push(Reverse((turns.had, self.number, tenant)));
    }

    fn put(&mut self, tenant: &Tenant, work: Work) {
        if self.tenants.len() == self.tenants.capacity() {
            // before it grows
            let (clock, is_remembered) = (self.clock, self.tenants.len() <= REMEMBERED_MAX);
            self.tenants.retain(|_, turns| turns.is_in_line || is_remembered && turns.had > clock);
        }
        let turns = self.tenants.entry(tenant.clone()).or_default();
        turns.works.push_back(work);
        if !turns.is_in_line {
            self.line_up(tenant.clone());
        }
    }
}

impl Lane {
    pub(super) fn new(runtime: Handle, shares: Arc<Shares>) -> Lane {
        Lane { runtime, shares, line: Arc::default() }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the work done in the tenant's turns, each a step, and charges the tenant for its time. It is dropped undone if the runtime is
    /// no more.
    pub(super) fn put(&self, tenant: &Tenant, work: impl FnMut() -> bool + Send + 'static) {
        let mut line = self.line();
        line.put(tenant, Box::new(work));
        let is_running = std::mem::replace(&mut line.is_running, true);
        drop(line);
        if !is_running {
            let runner = Runner { lane: self.clone(), is_over: false };
            drop(self.runtime.spawn_blocking(move || runner.run()));
        }
    }

    /// What has its turn now, and is not in line until it is [put back](Self::put_back). None if nothing waits: then this was the last.
    fn take(&self) -> Option<(Tenant, Work)> {
        let mut line = self.line();
        while let Some(Reverse((had, _, tenant))) = line.next.pop() {
            line.clock = had;
            if let Some(work) = line.tenants.get_mut(&tenant).and_then(|turns| turns.works.pop_front()) {
                return Some((tenant, work));
            }
        }
        line.is_running = false;
        line.tenants.clear(); // nobody has work, and all are equal again
        None
    }

    /// The tenant's turn is over, which took so long; what is left of its work is still its first.
    fn put_back(&self, tenant: Tenant, left: Option<Work>, time: Duration) {
        self.shares.took(&tenant, time);
        let weight = u64::from(self.shares.weight(&tenant));
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut line = self.line();
        let Some(turns) = line.tenants.get_mut(&tenant) else { return };
        turns.had = turns.had.saturating_add(nanos.saturating_mul(STEPS) / weight);
        turns.is_in_line = false;
        if let Some(work) = left {
            turns.works.push_front(work);
        }
        line.line_up(tenant);
    }
}

/// The thread, while there is work.
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
                tracing::error!(%tenant, message, "what was left behind panicked when it was dropped");
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
            let line = std::mem::take(&mut *self.lane.line());
            drop(line); // without the lock: it may be the end of more
        }
    }
}
