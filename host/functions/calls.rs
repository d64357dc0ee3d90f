//! Calls that wait, on the runtime. They are polled in [turns](FairQueue) of their tenants, each of 100 us, by the same order as the work
//! beside the workers: the runtime's own line is first come, first served, and with a task for each call a tenant with many went before
//! all others. Beside 3,000 calls of ten tenants, a call of another's waited 40 ms for its first poll, and 100 at worst.
//!
//! (`FuturesUnordered` polls as many as are ready in one go, and drops them so.)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, timed};
use crate::share::Shares;
use crate::tenant::Tenant;
use crate::vm::panic_text;

/// How long a tenant's calls are polled, about, until others have the thread.
const TURN: Duration = Duration::from_micros(100);

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The calls that wait, of all tenants.
#[derive(Clone)]
pub(crate) struct Calls(Arc<Inner>);

struct Inner {
    runtime: Handle,
    shares: Arc<Shares>,
    queue: Mutex<Queue>,
    /// How many tasks poll calls at most: as many as the runtime has threads.
    runners_max: usize,
}

#[derive(Default)]
struct Queue {
    /// The calls that are to be polled.
    ready: FairQueue<Arc<InFlight>>,
    /// How many tasks poll them now.
    runners: usize,
    /// The runtime is no more: nothing is polled.
    is_over: bool,
}

/// A call that is under way, and its waker.
struct InFlight {
    calls: Arc<Inner>,
    tenant: Tenant,
    /// None once it is over.
    future: Mutex<Option<Running>>,
    is_ready: AtomicBool,
    is_given_up: AtomicBool,
    is_over: AtomicBool,
    /// Whether the VM that called is gone.
    life_is_over: Arc<AtomicBool>,
}

/// The life of a VM. Once this is dropped, no call of the VM is polled any more: there may be 100,000, which are given up in steps.
#[derive(Default)]
pub(crate) struct Life(Arc<AtomicBool>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A call that is under way. Dropped, it is given up: what it has is dropped in the tenant's turn.
pub(crate) struct Call(Arc<InFlight>);

impl Drop for Call {
    fn drop(&mut self) {
        if self.0.is_over.load(Ordering::Acquire) {
            return;
        }
        self.0.is_given_up.store(true, Ordering::SeqCst);
        self.0.wake_by_ref();
        if self.0.calls.queue().is_over {
            self.0.end();
        }
    }
}

impl InFlight {
    /// Polls it, or drops it if it was given up.
    fn poll(self: &Arc<Self>) {
        self.is_ready.swap(false, Ordering::AcqRel);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
            let is_over = match &mut *future {
                Some(running) if !self.is_unwanted() => {
                    let waker = Waker::from(self.clone());
                    running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
                }
                _ => true,
            };
            drop(future);
            is_over
        }));
        let is_over = polled.unwrap_or_else(|panic| {
            let message = panic_text(&*panic);
            tracing::error!(tenant = %self.tenant, message, "a host function's future panicked where nobody waits for it");
            true
        });
        if is_over || self.is_given_up.load(Ordering::SeqCst) {
            self.end();
        }
    }

    fn is_unwanted(&self) -> bool {
        self.is_given_up.load(Ordering::SeqCst) || self.life_is_over.load(Ordering::SeqCst)
    }

    /// Drops what it has. If it is polled at this moment, who polls it does so, seeing afterwards that it was given up.
    fn end(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
        let mut future = match self.future.try_lock() {
            Ok(future) => future,
            Err(TryLockError::Poisoned(future)) => future.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.is_over.store(true, Ordering::Release);
        let had = future.take();
        drop(future);
        // without the lock: it may be the end of what wakes it
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(had))) {
            let message = panic_text(&*panic);
            tracing::error!(tenant = %self.tenant, message, "a host function's future panicked when it was dropped");
        }
    }
}

impl Wake for InFlight {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::AcqRel) {
            self.calls.put(self);
        }
    }
}

impl Calls {
    pub(super) fn new(runtime: Handle, shares: Arc<Shares>) -> Calls {
        let runners_max = runtime.metrics().num_workers();
        Calls(Arc::new(Inner { runtime, shares, queue: Mutex::default(), runners_max }))
    }

    /// Has a call polled on the runtime until it is done, or the life is over, on the tenant's time. It is dropped if the runtime is no
    /// more.
    pub(super) fn add(&self, tenant: &Tenant, life: &Life, call: impl Future<Output = ()> + Send + 'static) -> Call {
        let call = Arc::new(InFlight {
            calls: self.0.clone(),
            tenant: tenant.clone(),
            future: Mutex::new(Some(Box::pin(call))),
            is_ready: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            life_is_over: life.0.clone(),
        });
        call.wake_by_ref();
        if self.0.queue().is_over {
            call.end();
        }
        Call(call)
    }
}

impl Calls {
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Does some work in the tenant's turns, and on its time. Given up when this is dropped.
    pub(crate) async fn run(&self, tenant: &Tenant, work: impl Future<Output = ()> + Send + 'static) {
        let ((tell, told), life) = (oneshot::channel::<()>(), Life::default());
        let _call = self.add(tenant, &life, async move {
            work.await;
            drop(tell);
        });
        let _ = told.await; // that it is done
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a call polled in its tenant's turn.
    fn put(self: &Arc<Self>, call: &Arc<InFlight>) {
        let mut queue = self.queue();
        if queue.is_over {
            return; // it is dropped when it is given up
        }
        queue.ready.put(&call.tenant, call.clone());
        self.start(queue);
    }

    /// Starts a task if a tenant waits for its turn and there may be one more.
    fn start(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>) {
        if queue.runners >= self.runners_max || !queue.ready.is_waited_for() {
            return;
        }
        queue.runners += 1;
        drop(queue);
        let runner = Runner { calls: self.clone(), turn: None, is_done: false };
        drop(self.runtime.spawn(runner.run()));
    }
}

/// A task that polls calls, until none is to be polled. Dropped before that, the runtime is no more.
struct Runner {
    calls: Arc<Inner>,
    /// Whose turn it is.
    turn: Option<Tenant>,
    is_done: bool,
}

impl Runner {
    async fn run(mut self) {
        while let Some((tenant, call)) = self.begin() {
            let ((), took) = timed(&self.calls.shares, &tenant, || self.turn(&tenant, call));
            self.turn = None;
            self.calls.queue().ready.end(tenant, None, took);
            tokio::task::yield_now().await;
        }
    }

    fn begin(&mut self) -> Option<(Tenant, Arc<InFlight>)> {
        let mut queue = self.calls.queue();
        let begun = queue.ready.begin();
        match &begun {
            Some((tenant, _)) => self.turn = Some(tenant.clone()),
            None => {
                queue.runners -= 1;
                self.is_done = true;
            }
        }
        begun
    }

    /// Polls the tenant's calls until the turn is over, by time or by what tokio lets a task do in one poll.
    fn turn(&self, tenant: &Tenant, first: Arc<InFlight>) {
        let since = Instant::now();
        let mut next = Some(first);
        while let Some(call) = next {
            call.poll();
            drop(call);
            let is_over = since.elapsed() >= TURN || !tokio::task::coop::has_budget_remaining();
            next = if is_over { None } else { self.calls.queue().ready.more(tenant) };
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut queue = self.calls.queue();
        if let Some(tenant) = self.turn.take() {
            // a panic where none is caught: what was thrown panics as it is dropped, or who is told of it does. Another task goes on
            queue.runners -= 1;
            queue.ready.end(tenant, None, 0);
            self.calls.start(queue);
            return;
        }
        queue.is_over = true;
        let ready = std::mem::take(&mut queue.ready);
        drop(queue);
        // all others are dropped when they are given up
        ready.into_works().filter(|call| call.is_given_up.load(Ordering::SeqCst)).for_each(|call| call.end());
    }
}
