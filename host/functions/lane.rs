//! Lanes: queues of work of tenants, each with a thread beside the workers while there is work. Each tenant has its [turns](FairQueue). A
//! work can be one step or many, each in a turn of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::fair_queue::{FairQueue, timed};
use crate::share::Shares;
use crate::tenant::Tenant;
use crate::vm::panic_text;

/// Does a step, and says whether it was the last.
type Work = Box<dyn FnMut() -> bool + Send>;

#[derive(Clone)]
pub(crate) struct Lane {
    pub(super) runtime: Handle,
    shares: Arc<Shares>,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: FairQueue<Work>,
    is_running: bool,
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
        queue.waiting.put(tenant, Box::new(work));
        let is_running = std::mem::replace(&mut queue.is_running, true);
        drop(queue);
        if !is_running {
            self.start();
        }
    }

    fn start(&self) {
        let runner = Runner { lane: self.clone(), turn: None, is_over: false };
        drop(self.runtime.spawn_blocking(move || runner.run()));
    }

    /// Begins the next turn. Returns none if nothing waits: the thread ends then.
    fn begin(&self) -> Option<(Tenant, Work)> {
        let mut queue = self.queue();
        let begun = queue.waiting.begin();
        queue.is_running = begun.is_some();
        begun
    }
}

/// The thread of a lane, until nothing waits. Dropped before that, the runtime is no more.
struct Runner {
    lane: Lane,
    /// Whose turn it is.
    turn: Option<Tenant>,
    is_over: bool,
}

impl Runner {
    fn run(mut self) {
        while let Some((tenant, mut work)) = self.lane.begin() {
            self.turn = Some(tenant.clone());
            let (left, took) = timed(&self.lane.shares, &tenant, || {
                let step = catch_unwind(AssertUnwindSafe(move || {
                    let is_done = work();
                    (!is_done).then_some(work) // or dropped, on its time
                }));
                step.unwrap_or_else(|panic| {
                    // nobody else is there to be told of it
                    let message = panic_text(&*panic);
                    tracing::error!(%tenant, message, "a thread beside the workers panicked with what it did for a tenant");
                    None
                })
            });
            self.turn = None;
            self.lane.queue().waiting.end(tenant, left, took);
        }
        self.is_over = true;
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(tenant) = self.turn.take() {
            // a panic where none is caught: what was thrown panics as it is dropped. Another thread goes on
            self.lane.queue().waiting.end(tenant, None, 0);
            return self.lane.start();
        }
        // the runtime is no more, and nobody is to wait for it
        let queue = std::mem::take(&mut *self.lane.queue());
        drop(queue); // without the lock: it may be the end of more
    }
}
