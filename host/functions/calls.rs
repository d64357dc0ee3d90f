//! Calls that wait, on the runtime. All of a tenant's are one task there, which polls them for a while and then lets others have the
//! thread: the runtime's own line is first come, first served, and with a task for each call a tenant with many went before all others.
//! Beside 3,000 calls of ten tenants, a call of another's waited 40 ms for its first poll, and 100 at worst.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::share::Shares;
use crate::tenant::Tenant;
use crate::vm::panic_text;

/// How long a tenant's calls are polled, about, until others have the thread.
const TURN: Duration = Duration::from_micros(100);

/// The calls that wait, of all tenants.
#[derive(Clone)]
pub(crate) struct Calls(Arc<Inner>);

struct Inner {
    runtime: Handle,
    shares: Arc<Shares>,
    /// Takes the calls that a tenant's task is to poll. A tenant without any has no task.
    tasks: Mutex<HashMap<Tenant, UnboundedSender<Added>>>,
}

/// A call that is under way. Dropped, it is given up.
pub(crate) struct Call(AbortHandle);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Calls {
    pub(super) fn new(runtime: Handle, shares: Arc<Shares>) -> Calls {
        Calls(Arc::new(Inner { runtime, shares, tasks: Mutex::default() }))
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Tenant, UnboundedSender<Added>>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a call polled on the runtime until it is done, on the tenant's time. It must not panic but when it is dropped.
    pub(super) fn add(&self, tenant: &Tenant, call: impl Future<Output = ()> + Send + 'static) -> Call {
        let (given_up, registration) = AbortHandle::new_pair();
        let waiting = Added { call: Box::pin(call), registration };
        let mut tasks = self.tasks();
        let unsent = match tasks.get(tenant) {
            Some(task) => task.send(waiting).err().map(|unsent| unsent.0),
            None => Some(waiting),
        };
        if let Some(waiting) = unsent {
            let (task, added) = unbounded_channel();
            let _ = task.send(waiting); // its receiver is here
            let before = tasks.insert(tenant.clone(), task);
            // without the lock: a runtime that is no more drops the task at once
            drop((tasks, before));
            drop(self.0.runtime.spawn(self.clone().poll(tenant.clone(), added)));
        }
        Call(given_up)
    }

    /// A tenant's task. It ends when none of its calls waits.
    async fn poll(self, tenant: Tenant, mut added: UnboundedReceiver<Added>) {
        let (mut all, turn) = (FuturesUnordered::new(), Arc::new(Turn::new()));
        poll_fn(|context| {
            turn.begin();
            self.0.shares.charged(&tenant, || self.turn(&tenant, &mut all, &mut added, &turn, context))
        })
        .await;
    }

    /// Polls for a turn. Ready when there is nothing more to poll: then the task is forgotten.
    fn turn(
        &self,
        tenant: &Tenant,
        all: &mut FuturesUnordered<InTurn>,
        added: &mut UnboundedReceiver<Added>,
        turn: &Arc<Turn>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            while let Poll::Ready(Some(waiting)) = added.poll_recv(context) {
                all.push(InTurn::new(waiting, turn));
            }
            match all.poll_next_unpin(context) {
                Poll::Ready(Some(())) if turn.is_over() => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(())) => (),
                Poll::Ready(None) => {
                    // what is added from now on finds no task
                    let mut tasks = self.tasks();
                    match added.try_recv() {
                        Ok(waiting) => all.push(InTurn::new(waiting, turn)),
                        Err(_) => {
                            tasks.remove(tenant);
                            return Poll::Ready(());
                        }
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether no call waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks().is_empty()
    }
}

/// The time until which a task polls.
struct Turn {
    origin: Instant,
    /// In nanoseconds since then.
    until: AtomicU64,
}

impl Turn {
    fn new() -> Turn {
        Turn { origin: Instant::now(), until: AtomicU64::new(0) }
    }

    fn nanos(&self, more: Duration) -> u64 {
        u64::try_from((self.origin.elapsed() + more).as_nanos()).unwrap_or(u64::MAX)
    }

    fn begin(&self) {
        self.until.store(self.nanos(TURN), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.nanos(Duration::ZERO) > self.until.load(Ordering::Relaxed)
    }
}

/// A call that a task is to poll.
struct Added {
    call: Pin<Box<dyn Future<Output = ()> + Send>>,
    registration: AbortRegistration,
}

/// A call that is polled while the turn isn't over. A panic in it as it is dropped is none of the others'.
struct InTurn {
    call: Option<Abortable<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    turn: Arc<Turn>,
}

impl InTurn {
    fn new(added: Added, turn: &Arc<Turn>) -> InTurn {
        InTurn { call: Some(Abortable::new(added.call, added.registration)), turn: turn.clone() }
    }
}

impl Future for InTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.turn.is_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match &mut self.call {
            // given up, or done
            Some(call) => Pin::new(call).poll(context).map(drop),
            None => Poll::Ready(()),
        }
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        let call = self.call.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(call))) {
            let message = panic_text(&*panic);
            tracing::error!(message, "a host function's future panicked when it was dropped");
        }
    }
}
