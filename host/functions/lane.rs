//! A thread beside the workers, for work of tenants that takes turns: who has taken the least time goes next. What can be done in steps
//! is, so that work which is short never waits for all of one that is long.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use crate::share::Shares;
use crate::tenant::Tenant;
use crate::vm::panic_text;

/// Does a step, and says whether it was the last.
type Work = Box<dyn FnMut() -> bool + Send>;

#[derive(Clone)]
pub(crate) struct Lane {
    runtime: Handle,
    shares: Arc<Shares>,
    line: Arc<Mutex<Line>>,
}

/// What waits.
#[derive(Default)]
struct Line {
    /// What each tenant waits for, in its order. One whose work has the thread is here too.
    works: HashMap<Tenant, VecDeque<Work>>,
    /// Whose turn it is, by how much of the machine each had taken when it got in line. The number keeps equal ones in order.
    next: BinaryHeap<Reverse<(u64, u64, Tenant)>>,
    number: u64,
    /// How much the tenant had taken whose turn it was last.
    clock: u64,
    is_running: bool,
}

impl Line {
    fn line_up(&mut self, tenant: Tenant, shares: &Shares) {
        self.number += 1;
        // one of whom nothing lives has no share
        let at = shares.at(&tenant).unwrap_or(self.clock);
        self.next.push(Reverse((at, self.number, tenant)));
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
        match line.works.entry(tenant.clone()) {
            Entry::Occupied(mut works) => works.get_mut().push_back(Box::new(work)),
            Entry::Vacant(works) => {
                works.insert(VecDeque::new()).push_back(Box::new(work));
                line.line_up(tenant.clone(), &self.shares);
            }
        }
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
        while let Some(Reverse((at, _, tenant))) = line.next.pop() {
            line.clock = at;
            if let Some(work) = line.works.get_mut(&tenant).and_then(VecDeque::pop_front) {
                return Some((tenant, work));
            }
        }
        line.is_running = false;
        None
    }

    /// The tenant's turn is over; what is left of its work is still its first.
    fn put_back(&self, tenant: Tenant, left: Option<Work>) {
        let mut line = self.line();
        let Entry::Occupied(mut works) = line.works.entry(tenant.clone()) else { return };
        if let Some(work) = left {
            works.get_mut().push_front(work);
        }
        if works.get().is_empty() {
            works.remove();
        } else {
            line.line_up(tenant, &self.shares);
        }
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
            let step = catch_unwind(AssertUnwindSafe(|| self.lane.shares.charged(&tenant, &mut work)));
            let is_done = step.unwrap_or_else(|panic| {
                // nobody else is there to be told of it
                let message = panic_text(&*panic);
                tracing::error!(%tenant, message, "what was left behind panicked when it was dropped");
                true
            });
            self.lane.put_back(tenant, (!is_done).then_some(work));
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
