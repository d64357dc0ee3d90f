//! Values that are too many to be read, or written, in one step: a thread beside the workers does it, which the kernel takes
//! turns with.
//!
//! Serde can't stop in the middle of a value. So a function's arguments are read on the worker only if they are few, and its
//! result is written there only as far as it is short. What goes aside depends on the values alone, so it costs the same fuel,
//! and takes the same way, each time.

use std::future::poll_fn;
use std::task::Poll;

use tokio::runtime::Handle;

use crate::tenant::Tenant;
use crate::turns::Places;

/// The most values that a worker reads or writes in one step: less than half a millisecond.
pub(crate) const VALUES_AT_ONCE: usize = 8_192;

/// Threads that read and write, of all tenants and of one: one at a time, since they take the machine from the workers.
const PLACES: u32 = 1;

pub(crate) struct Aside {
    runtime: Handle,
    places: Places,
}

impl Aside {
    pub(super) fn new(runtime: Handle) -> Aside {
        Aside { runtime, places: Places::new(PLACES, PLACES) }
    }

    /// Does the work when it is the tenant's turn. Never done on the first poll. A panic in it goes on in who waits. What was
    /// begun goes on to its end, also when nobody waits for it any more. None if the runtime is no more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let mut is_polled = false;
        poll_fn(|context| {
            if std::mem::replace(&mut is_polled, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let place = self.places.enter(tenant).await;
        let done = self.runtime.spawn_blocking(move || {
            let _place = place;
            work()
        });
        match done.await {
            Ok(done) => Some(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }
}
