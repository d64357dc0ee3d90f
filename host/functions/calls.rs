//! Calls that wait, on the runtime. All of a tenant's are one task there, which polls them for a turn and then lets others have the
//! thread: the runtime's own line is first come, first served, and with a task for each call a tenant with many went before all others.
//! Beside 3,000 calls of ten tenants, a call of another's waited 40 ms for its first poll, and 100 at worst. (`FuturesUnordered` polls as
//! many as are ready in one go; a turn here is by time.)

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::runtime::Handle;

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
    /// A tenant without calls that wait has none.
    tasks: Mutex<FxHashMap<Tenant, Arc<Task>>>,
}

/// What polls a tenant's calls, as their wakers see it.
#[derive(Default)]
struct Task(Mutex<Ready>);

#[derive(Default)]
struct Ready {
    /// The calls that are to be polled, each once.
    calls: VecDeque<Arc<InFlight>>,
    /// Of the task, while it has nothing to do.
    waker: Option<Waker>,
    /// Nothing is polled any more.
    is_over: bool,
}

/// A call that waits, and its waker.
struct InFlight {
    task: Arc<Task>,
    /// None once it is over.
    future: Mutex<Option<Running>>,
    is_ready: AtomicBool,
    is_given_up: AtomicBool,
    is_over: AtomicBool,
}

/// A call that is under way. Dropped, it is given up.
pub(crate) struct Call(Arc<InFlight>);

impl Drop for Call {
    fn drop(&mut self) {
        if !self.0.is_over.load(Ordering::Acquire) {
            self.0.is_given_up.store(true, Ordering::Release);
            self.0.wake_by_ref(); // what it has is dropped in the tenant's turn
        }
    }
}

impl Task {
    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    fn future(&self) -> MutexGuard<'_, Option<Running>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls it, or drops it if it was given up. Whether it is over.
    fn poll(self: &Arc<Self>) -> bool {
        self.is_ready.store(false, Ordering::Release);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut future = self.future();
            let is_over = match &mut *future {
                Some(_) if self.is_given_up.load(Ordering::Acquire) => true,
                Some(running) => {
                    let waker = Waker::from(self.clone());
                    running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
                }
                None => true,
            };
            if is_over {
                self.is_over.store(true, Ordering::Release);
                let over = future.take();
                drop(future);
                drop(over); // without the lock: it may be the end of what wakes it
            }
            is_over
        }));
        polled.unwrap_or_else(|panic| {
            self.is_over.store(true, Ordering::Release);
            self.end();
            let message = panic_text(&*panic);
            tracing::error!(message, "a host function's future panicked where nobody waits for it");
            true
        })
    }

    /// Drops what it has.
    fn end(&self) {
        let future = self.future().take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            let message = panic_text(&*panic);
            tracing::error!(message, "a host function's future panicked when it was dropped");
        }
    }
}

impl Wake for InFlight {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_ready.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut ready = self.task.ready();
        if ready.is_over {
            return;
        }
        ready.calls.push_back(self.clone());
        let waker = ready.waker.take();
        drop(ready);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Calls {
    pub(super) fn new(runtime: Handle, shares: Arc<Shares>) -> Calls {
        Calls(Arc::new(Inner { runtime, shares, tasks: Mutex::default() }))
    }

    fn tasks(&self) -> MutexGuard<'_, FxHashMap<Tenant, Arc<Task>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a call polled on the runtime until it is done, on the tenant's time.
    pub(super) fn add(&self, tenant: &Tenant, call: impl Future<Output = ()> + Send + 'static) -> Call {
        let mut tasks = self.tasks();
        let (task, is_new) = match tasks.get(tenant) {
            Some(task) => (task.clone(), false),
            None => (Arc::<Task>::default(), true),
        };
        let waiting = Arc::new(InFlight {
            task: task.clone(),
            future: Mutex::new(Some(Box::pin(call))),
            is_ready: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        waiting.wake_by_ref(); // under the lock: the task doesn't end in between
        if is_new {
            drop(tasks.insert(tenant.clone(), task.clone()));
        }
        drop(tasks);
        if is_new {
            let polling = Polling { calls: self.clone(), tenant: tenant.clone(), task, all: FxHashMap::default() };
            // its turns are by time, and end all work of a poll alike: tokio's own budget would end the work of the last ones only.
            // A runtime that is no more drops it at once
            drop(self.0.runtime.spawn(tokio::task::unconstrained(polling.run())));
        }
        Call(waiting)
    }

    /// Whether no call waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks().is_empty()
    }
}

/// A tenant's task. Dropped, it ends all of the tenant's calls.
struct Polling {
    calls: Calls,
    tenant: Tenant,
    task: Arc<Task>,
    /// All that were polled and aren't over, by where they are.
    all: FxHashMap<usize, Arc<InFlight>>,
}

impl Polling {
    async fn run(mut self) {
        let (calls, tenant) = (self.calls.clone(), self.tenant.clone());
        poll_fn(|context| calls.0.shares.charged(&tenant, || self.turn(context))).await;
    }

    /// Polls what is ready, until the turn is over. Done when no call waits.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = Instant::now();
        loop {
            let mut ready = self.task.ready();
            let Some(call) = ready.calls.pop_front() else {
                ready.waker = Some(context.waker().clone());
                break;
            };
            drop(ready);
            let at = Arc::as_ptr(&call).addr();
            if call.poll() {
                drop(self.all.remove(&at));
            } else {
                self.all.entry(at).or_insert(call);
            }
            if since.elapsed() >= TURN {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if self.all.is_empty() && self.is_done() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ends the task if nothing was added meanwhile. What is added from now on begins another one.
    fn is_done(&self) -> bool {
        let mut tasks = self.calls.tasks();
        let mut ready = self.task.ready();
        if !ready.calls.is_empty() {
            return false; // it was woken
        }
        ready.is_over = true;
        drop(tasks.remove(&self.tenant));
        true
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        let mut tasks = self.calls.tasks();
        let mut ready = self.task.ready();
        if !std::mem::replace(&mut ready.is_over, true) {
            // the runtime is no more
            drop(tasks.remove(&self.tenant));
        }
        let added = std::mem::take(&mut ready.calls);
        drop((ready, tasks)); // what is dropped now may add others
        added.iter().chain(self.all.values()).for_each(|call| call.end());
    }
}
