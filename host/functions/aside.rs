//! Values that are too many to be read, or written, in one step on a thread that others wait for: threads beside the workers do it,
//! which the kernel takes turns with.
//!
//! A [`Value`] is decoded in steps. Serde can't stop in the middle of one: so a function's arguments are read on the worker only if
//! they are few, and its result is written there only as far as it is short. What goes aside depends on the values alone, so it costs
//! the same fuel, and takes the same way, each time.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::lane::Lane;
use crate::guest::motu::guest::types::Answer;
use crate::module::Answering;
use crate::share::Shares;
use crate::tenant::Tenant;
use crate::turns::{Place, Places};
use crate::value::Value;
use crate::vm::Held;
use crate::wire::{Decoding, WireError, has_at_most};

/// The most values that a worker reads or writes in one step: less than half a millisecond.
pub(crate) const VALUES_AT_ONCE: usize = 8_192;

/// Arguments of more values count as memory of the instance, and are dropped aside if the call is given up: an instance that ends may
/// have a thousand calls under way.
pub(crate) const VALUES_LIGHT: usize = 512;

/// What a value takes once it was read, in bytes.
pub(crate) const VALUE_BYTES: u64 = 48;

/// How many values of so many bytes, or more, are decoded at once, of all tenants; and one of each tenant. What a value becomes may be
/// 40 times as much, and with a step of each in turn all of them would be in memory: so it is some 400 MB at most, where results have a
/// mebibyte. Each size has its own places, so that what is short waits for none of what is long.
const LARGE: [(usize, u32); 3] = [(16 << 10, 32), (64 << 10, 16), (256 << 10, 4)];

/// What is read, written and dropped beside the workers, by two threads at most: they take the machine from the workers.
pub(crate) struct Aside {
    /// What is short: values, half a millisecond at most, and certificates, two. Its thread mostly sleeps, so the kernel gives it a turn soon.
    short: Lane,
    /// All that is long. Values are decoded in steps; arguments, results of functions and drops are in one piece, some 100 ms for a
    /// mebibyte.
    long: Lane,
    /// The places for long values of each size of [`LARGE`].
    large: [Places; 3],
}

impl Aside {
    pub(crate) fn new(runtime: &Handle, shares: &Arc<Shares>) -> Aside {
        let lane = || Lane::new(runtime.clone(), shares.clone());
        Aside { short: lane(), long: lane(), large: LARGE.map(|(_, places)| Places::new(places, 1)) }
    }

    /// Drops what takes long to be dropped, when it is the tenant's turn, and charges the tenant for the time.
    pub(crate) fn discard(&self, tenant: &Tenant, what: impl Send + 'static) {
        self.begin(tenant, move || drop(what));
    }

    /// Decodes a value, a step in each of the tenant's turns, and charges the tenant for the time. The first poll never does it. A value
    /// that nobody [takes](Bulky::take) is [discarded](Self::discard), and decoded no further. `held` is what it counts for meanwhile.
    /// Returns none if the runtime is no more.
    pub(crate) async fn decode(
        &self,
        tenant: &Tenant,
        bytes: impl AsRef<[u8]> + Send + 'static,
        held: Option<Held>,
    ) -> Option<Bulky<Result<Value, WireError>>> {
        later().await;
        let (tell, told) = oneshot::channel();
        let (is_short, len) = (has_at_most(bytes.as_ref(), VALUES_AT_ONCE), bytes.as_ref().len());
        let lane = if is_short { &self.short } else { &self.long };
        let after = (!is_short).then(|| (lane.clone(), tenant.clone()));
        let steps = move |tell: oneshot::Sender<_>, place: Option<Place>| {
            let mut under_way = Some((tell, Bulky::new(Decoding::default(), held, after.clone()), place));
            move || {
                let Some((tell, mut decoding, place)) = under_way.take() else { return true };
                let step = match &mut decoding.what {
                    Some((decoding, _)) if !tell.is_closed() => {
                        decoding.step(bytes.as_ref(), VALUES_AT_ONCE).transpose()
                    }
                    _ => return true,
                };
                let Some(decoded) = step else {
                    under_way = Some((tell, decoding, place));
                    return false;
                };
                let held = decoding.take().and_then(|(_, held)| held); // nothing is left of the rest
                drop(tell.send(Bulky::new(decoded, held, after.clone())));
                true
            }
        };
        let mut sizes = LARGE.iter().zip(&self.large).filter(|((least, _), _)| !is_short && len >= *least);
        match sizes.next_back() {
            None => lane.put(tenant, steps(tell, None)),
            // a task waits for the place: a future that has it and isn't polled would keep others from it
            Some((_, places)) => {
                let (lane, tenant, places) = (lane.clone(), tenant.clone(), places.clone());
                drop(lane.runtime.clone().spawn(async move {
                    let mut tell = tell;
                    let mut entering = pin!(places.enter(&tenant));
                    let place = poll_fn(|context| match entering.as_mut().poll(context) {
                        Poll::Ready(place) => Poll::Ready(Some(place)),
                        Poll::Pending => tell.poll_closed(context).map(|()| None),
                    });
                    if let Some(place) = place.await {
                        lane.put(&tenant, steps(tell, Some(place)));
                    }
                }));
            }
        }
        told.await.ok()
    }

    /// Does the work when it is the tenant's turn, and charges the tenant for its time. The first poll never does it. A panic in the
    /// work goes on in the caller. Returns none if the runtime is no more.
    ///
    /// Who gives this up gives up no place in line: the work has it, not the future. When its turn comes it is dropped, or done for
    /// nobody if the future is still in line to be [discarded](Self::discard) behind it. What the work holds, it should hold on a gauge.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        Self::run_in(&self.long, tenant, work).await
    }

    /// As [`run`](Self::run), for what takes a millisecond or two at most: it waits for nothing that takes longer.
    #[cfg(feature = "http")]
    pub(crate) async fn run_soon<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        Self::run_in(&self.short, tenant, work).await
    }

    async fn run_in<T: Send + 'static>(
        lane: &Lane,
        tenant: &Tenant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        later().await;
        let (tell, told) = oneshot::channel();
        let work = move || {
            if tell.is_closed() {
                return drop(work);
            }
            // what nobody waits for any more is dropped here
            drop(tell.send(catch_unwind(AssertUnwindSafe(work))));
        };
        lane.put(tenant, once(work));
        match told.await.ok()? {
            Ok(done) => Some(done),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Has the work done in its turn, whoever waits for it.
    pub(super) fn begin(&self, tenant: &Tenant, work: impl FnOnce() + Send + 'static) {
        self.long.put(tenant, once(work));
    }
}

/// What may take long to be dropped, and what it counts for meanwhile. Unless it is taken, a lane drops it in the tenant's turn.
pub(crate) struct Bulky<T: Send + 'static> {
    what: Option<(T, Option<Held>)>,
    /// None if it is short.
    lane: Option<(Lane, Tenant)>,
    made: Instant,
}

impl<T: Send + 'static> Bulky<T> {
    fn new(what: T, held: Option<Held>, lane: Option<(Lane, Tenant)>) -> Bulky<T> {
        Bulky { what: Some((what, held)), lane, made: Instant::now() }
    }

    /// When it was made, which may be long before somebody looks.
    pub(crate) fn made(&self) -> Instant {
        self.made
    }

    /// What it is. It is none only while it is dropped.
    pub(crate) fn take(mut self) -> Option<(T, Option<Held>)> {
        self.what.take()
    }
}

impl<T: Send + 'static> Drop for Bulky<T> {
    fn drop(&mut self) {
        if let (Some(what), Some((lane, tenant))) = (self.what.take(), &self.lane) {
            lane.put(tenant, once(move || drop(what)));
        }
    }
}

/// Work that is one step.
fn once(work: impl FnOnce() + Send + 'static) -> impl FnMut() -> bool + Send + 'static {
    let mut work = Some(work);
    move || {
        if let Some(work) = work.take() {
            work();
        }
        true
    }
}

/// Waits for a second poll, however soon what follows would be done: what is done at once takes another way.
async fn later() {
    let mut is_polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A call with arguments of many values.
pub(crate) struct Heavy {
    /// None once it has ended: what is left of it then is light.
    answering: Option<Answering>,
    aside: Arc<Aside>,
    tenant: Tenant,
    held: Option<[Held; 2]>,
}

impl Heavy {
    /// `held` is what its arguments take, and its future.
    pub(crate) fn new(answering: Answering, aside: Arc<Aside>, tenant: Tenant, held: [Held; 2]) -> Heavy {
        Heavy { answering: Some(answering), aside, tenant, held: Some(held) }
    }
}

impl Future for Heavy {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let Some(answering) = &mut self.answering else { return Poll::Pending };
        let polled = answering.as_mut().poll(context);
        if polled.is_ready() {
            (self.answering, self.held) = (None, None);
        }
        polled
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        if let Some(answering) = self.answering.take() {
            self.aside.discard(&self.tenant, (answering, self.held.take()));
        }
    }
}
