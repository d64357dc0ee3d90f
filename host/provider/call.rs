//! A call of a provider: in slices, for the caller's fuel, until it is done or one of its limits is reached.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::time::{Instant, timeout_at};
use wasmtime::Trap;
use wasmtime::component::{ComponentExportIndex, Val};
use wasmtime_wasi::I32Exit;

use super::pool::Live;
use super::resource::{self, Passed};
use super::store::{self, Over};
use super::val::{self, Given, Room};
use super::{Loaded, ProviderLimits};
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::functions::Arguments;
use crate::guest::motu::guest::types::Answer;
use crate::module::{Answering, Bounds, answer, failed, mismatched};
use crate::wit::{Function, Handle};

/// Fuel for a fresh store, beside what the component burns at its start.
const STORE_FUEL: u64 = 1_000_000;

/// Fuel for a value that crosses, beside what its bytes cost.
const VALUE_FUEL: u64 = 400;

pub(super) fn begin(
    loaded: &Arc<Loaded>,
    export: Option<ComponentExportIndex>,
    context: CallContext,
    arguments: &Arguments,
    bounds: Bounds,
) -> Answering {
    let (loaded, described) = (loaded.clone(), context.function.described.clone());
    let (given, most) = (arguments.bytes().len(), loaded.limits.argument_bytes);
    if given > most as usize {
        let text = format!("the arguments take {given} bytes, over the limit argument_bytes of {most}");
        let error = loaded.limit(&text);
        return Box::pin(async move { failed(&described, &error.into()) });
    }
    let passed = RefCell::new(Passed::default());
    let resource = |handle, is_given_away| passed.borrow_mut().pass(&context, handle, is_given_away);
    let room = Room::of(loaded.limits.values, &resource);
    let params = match val::arguments(&described, arguments.bytes(), &context, &room) {
        Ok(params) => params,
        Err(mismatch) if !room.is_over() => {
            let answer = mismatched(&mismatch);
            return Box::pin(async move { answer });
        }
        Err(_) => {
            let error = loaded.over_values("the arguments are more values than that");
            return Box::pin(async move { failed(&described, &error.into()) });
        }
    };
    let passed = passed.into_inner();
    Box::pin(async move {
        let called = loaded.call(export, &context, (&params, passed), &described).await;
        let (results, opened) = match called {
            Ok(called) => called,
            Err(error) => return failed(&described, &error.into()),
        };
        let values = results.iter().map(val::count).sum();
        context.charge(VALUE_FUEL.saturating_mul(values));
        if values > loaded.limits.values.into() {
            resource::close(&context, &opened);
            return failed(&described, &loaded.over_values(&format!("its result is {values}")).into());
        }
        let answer = answer(&described, &Given::result(&described, &results), bounds);
        let most = loaded.limits.result_bytes;
        match answer {
            Answer::Value(bytes) if bytes.len() > most as usize => {
                resource::close(&context, &opened);
                let text = format!("its result takes {} bytes, over the limit result_bytes of {most}", bytes.len());
                failed(&described, &loaded.limit(&text).into())
            }
            Answer::Value(bytes) => Answer::Value(bytes),
            refused => {
                resource::close(&context, &opened);
                refused
            }
        }
    })
}

/// What a poll of a call came to.
enum Step<T> {
    Done(T),
    /// It has more to compute.
    Slice,
    Waits,
}

impl Loaded {
    fn error(&self, kind: ErrorKind, text: &str) -> Error {
        Error::new(kind, format!("the provider {}: {text}", self.package.id()))
    }

    fn limit(&self, text: &str) -> Error {
        self.error(ErrorKind::Limit, text)
    }

    fn over_values(&self, what: &str) -> Error {
        let most = self.limits.values;
        self.limit(&format!("over the limit values of {most}: {what}; each byte of a list<u8> is one"))
    }

    async fn call(
        &self,
        export: Option<ComponentExportIndex>,
        context: &CallContext,
        (params, passed): (&[Val], Passed),
        described: &Function,
    ) -> Result<(Vec<Val>, Vec<Handle>), Error> {
        let ProviderLimits { fuel, deadline, .. } = self.limits;
        let until = deadline.and_then(|time| Instant::now().checked_add(time));
        let mut live = self.live_for(context, passed)?;
        let home = live.store.data().home.clone();
        let given = fuel.unwrap_or(u64::MAX);
        let meter = store::meter(&live.store);
        meter.begin(given);
        context.charge(VALUE_FUEL.saturating_mul(params.iter().map(val::count).sum()));
        let mut running = pin!(async move {
            let outcome = self.enter(&mut live, given, export, params, described).await;
            (live, outcome)
        });
        let mut charged = 0;
        let woken = Arc::new(Woken::default());
        loop {
            let step = step(running.as_mut(), &woken);
            let used = meter.used();
            let burnt = used.saturating_sub(charged);
            context.charge(burnt);
            charged = used;
            match step {
                Step::Done((live, Ok(mut results))) => {
                    let opened = resource::open(context, described, &mut results, &home);
                    self.pool.put(context, live);
                    return opened.map(|opened| (results, opened));
                }
                Step::Done((_, Err(error))) => return Err(self.why(&error)),
                Step::Slice => context.give_way().await,
                Step::Waits => {
                    woken.wait(until).await;
                    context.give_way().await; // it computes on a worker
                }
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                let deadline = deadline.unwrap_or_default();
                return Err(self.limit(&format!("over the limit deadline of {deadline:?} for a call")));
            }
        }
    }

    /// The store of the resources that are passed, if there are some. They are the component's then.
    fn live_for(&self, context: &CallContext, passed: Passed) -> Result<Live, Error> {
        let refuse = |why: &str| {
            Err(self.error(ErrorKind::Script, &format!("a resource that it is passed can't be used: {why}")))
        };
        let live = match passed.home() {
            Ok(None) => self.live(context)?,
            Ok(Some(home)) => match self.pool.take(context) {
                Some(live) if Arc::ptr_eq(&live.store.data().home, &home) => live,
                other => {
                    other.into_iter().for_each(|other| self.pool.put(context, other));
                    return refuse("its store is at work for another call");
                }
            },
            Err(why) => return refuse(why),
        };
        match passed.give_away(context) {
            Ok(()) => Ok(live),
            Err(why) => {
                self.pool.put(context, live);
                refuse(why)
            }
        }
    }

    /// The store that rests for the instance that calls, or a fresh one.
    fn live(&self, context: &CallContext) -> Result<Live, Error> {
        if let Some(live) = self.pool.take(context) {
            return Ok(live);
        }
        let ticket = self.pool.ticket(context.tenant())?;
        context.charge(STORE_FUEL);
        let (local, callers_bytes) = (&context.local, context.limits().memory_bytes);
        let (engine, sum) = (self.pre.engine(), self.pool.memory_sum());
        let store = store::store(engine, &self.limits, sum, &local.gauge, &local.clock, callers_bytes);
        Ok(Live::new(store.map_err(|error| self.why(&error))?, ticket))
    }

    async fn enter(
        &self,
        live: &mut Live,
        fuel: u64,
        export: Option<ComponentExportIndex>,
        params: &[Val],
        described: &Function,
    ) -> wasmtime::Result<Vec<Val>> {
        let Live { store, instance, .. } = live;
        store.set_fuel(fuel)?;
        let outcome = async {
            let instance = match instance {
                Some(instance) => *instance,
                None => *instance.insert(self.pre.instantiate_async(&mut *store).await?),
            };
            for left in store.data().home.take() {
                left.resource_drop_async(&mut *store).await?;
            }
            let function = export.and_then(|export| instance.get_func(&mut *store, export));
            let function = function.ok_or_else(|| wasmtime::Error::msg("it doesn't export this function"))?;
            let mut results: Vec<Val> = described.result.iter().map(|_| Val::Bool(false)).collect();
            function.call_async(&mut *store, params, &mut results).await?;
            Ok(results)
        }
        .await;
        store::meter(store).set_left(store.get_fuel().unwrap_or(0));
        outcome
    }

    /// Says what ended a call.
    fn why(&self, error: &wasmtime::Error) -> Error {
        if let Some(over) = error.downcast_ref::<Over>() {
            return self.limit(&over.to_string());
        }
        if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
            return self.error(ErrorKind::Host, &format!("it exited, with status {status}"));
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => {
                let most = self.limits.fuel.unwrap_or(u64::MAX);
                self.limit(&format!("over the limit fuel of {most} for a call"))
            }
            Some(Trap::StackOverflow) => self.limit("over the limit wasm stack: its calls lie too deep in each other"),
            Some(trap) => self.error(ErrorKind::Host, &format!("it trapped: {trap}")),
            // wasmtime's word for what these limits became; its type isn't public
            None => match error.root_cause().to_string() {
                text if text.contains("hostcall fuel") || text.contains("too much data") => {
                    let ProviderLimits { result_bytes, values, .. } = self.limits;
                    let limits = format!("the limits are result_bytes of {result_bytes} and values of {values}");
                    self.limit(&format!("it gave or wrote too much at once; {limits}"))
                }
                text => self.error(ErrorKind::Host, &text),
            },
        }
    }
}

/// Polls a call once. It is pending when it waits, and also when a slice is over: it then wakes itself at once.
fn step<T>(running: Pin<&mut impl Future<Output = T>>, woken: &Arc<Woken>) -> Step<T> {
    woken.is_woken.store(false, Ordering::Release);
    let waker = Waker::from(woken.clone());
    match running.poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(done) => Step::Done(done),
        Poll::Pending if woken.is_woken.load(Ordering::Acquire) => Step::Slice,
        Poll::Pending => Step::Waits,
    }
}

/// Remembers that somebody woke a call, and tells who waits for that.
#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    waits: Mutex<Option<Waker>>,
}

impl Woken {
    fn waits(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until it is woken, or that time has come.
    async fn wait(&self, until: Option<Instant>) {
        let woken = poll_fn(|context| {
            *self.waits() = Some(context.waker().clone()); // before it is looked at
            if self.is_woken.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        });
        match until {
            Some(until) => drop(timeout_at(until, woken).await),
            None => woken.await,
        }
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        let waits = self.waits().take();
        if let Some(waits) = waits {
            waits.wake();
        }
    }
}
