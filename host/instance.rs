//! One bundle running for one tenant: events in, outcomes out.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::Store;

use crate::error::{Error, ErrorKind};
use crate::guest::exports::motu::guest::vm::Guest as VmExports;
use crate::guest::motu::guest::types::{Answer, Failure, FailureKind};
use crate::limits::Limits;
use crate::motu::{Loaded, Shared};
use crate::outcome::{Outcome, Tier, Usage};
use crate::tenant::Tenant;
use crate::value::Value;
use crate::vm::{Budget, State, Vm, failed};
use crate::wire::{self, WireError};

/// One bundle running for one tenant. Keeps its globals from event to event, until a limit ends it: the next event is
/// then answered by a fresh instance, started from the bundle's image. So is the event after one whose future was dropped
/// before it was done.
pub struct Instance {
    /// None before the first event, and after one that was stopped. Before `loaded`, so that it is dropped first: when the
    /// last `Loaded` goes, so do the memories that are kept for its image.
    vm: Option<Vm>,
    loaded: Loaded,
    tenant: Tenant,
    /// Its own, instead of the Motu's.
    limits: Option<Limits>,
    /// What `math.random` starts from; a new one for each start, unless it was set.
    seed: Option<u64>,
    starts: u64,
    /// The number of the last event.
    events: u64,
}

impl Instance {
    pub(crate) fn new(loaded: Loaded, tenant: Tenant) -> Instance {
        Instance { loaded, tenant, limits: None, seed: None, vm: None, starts: 0, events: 0 }
    }

    /// Makes `math.random` give the same numbers at each start: for tests and for replaying. Default: a seed that nobody
    /// can guess.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Instance {
        self.seed = Some(seed);
        self
    }

    /// Gives it limits of its own, instead of those of its [`Motu`](crate::Motu). Those of loading are of no meaning here. It
    /// starts anew with its next event.
    ///
    /// # Errors
    ///
    /// [`Usage`](ErrorKind::Usage) for a limit that can't be held to.
    pub fn with_limits(mut self, limits: Limits) -> Result<Instance, Error> {
        limits.check()?;
        self.limits = Some(limits);
        self.vm = None; // one that runs already was started under the limits before
        Ok(self)
    }

    /// Who it runs for.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Whether it has a VM now, with the globals of the events before.
    pub fn is_live(&self) -> bool {
        self.vm.is_some()
    }

    /// How often it was started from the bundle's image.
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Runs the handler of an event and returns what it returned. `payload` becomes the handler's argument: structs and
    /// maps are tables, sequences are lists, `serde_bytes` are buffers.
    ///
    /// A handler that waits (`task.wait`) holds the thread that polls this, until instances have workers of their own.
    ///
    /// Nothing is lost when the future is dropped, but a handler that had started is stopped where it was.
    ///
    /// # Errors
    ///
    /// [`Usage`](ErrorKind::Usage) when nothing handles the event, the payload can't cross, or the result isn't an `R`;
    /// [`Limit`](ErrorKind::Limit) for a payload that is too large or too deep, before anything runs;
    /// [`Script`](ErrorKind::Script) for the handler's own; and the limits of an event.
    pub async fn dispatch<R: DeserializeOwned>(
        &mut self,
        event: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Outcome<R>, Error> {
        let since = Instant::now();
        let limits = self.limits();
        let payload = wire::to_wire(payload, limits.payload_depth, limits.payload_bytes)
            .map_err(|error| refused(&error).with_event(event))?;
        let (bytes, usage) = self.run(event, &payload, since).await?;
        let value = wire::from_wire(&bytes).map_err(|error| {
            if error.is_malformed() {
                return unreadable(&error).with_event(event).with_usage(usage);
            }
            let message = format!("the result of {event} is not of the type that was asked for: {error}");
            Error::usage_error(message).with_event(event).with_usage(usage)
        })?;
        Ok(Outcome { value, tier: Tier::Interpreter, usage })
    }

    /// [`dispatch`](Self::dispatch) with values as Luau has them: strings byte for byte, buffers, vectors, tables with any
    /// keys.
    ///
    /// # Errors
    ///
    /// As for [`dispatch`](Self::dispatch).
    pub async fn dispatch_value(&mut self, event: &str, payload: &Value) -> Result<Outcome<Value>, Error> {
        let since = Instant::now();
        let limits = self.limits();
        let payload = wire::encode(payload, limits.payload_depth, limits.payload_bytes)
            .map_err(|error| refused(&error).with_event(event))?;
        let (bytes, usage) = self.run(event, &payload, since).await?;
        outcome(&bytes, usage)
    }

    /// What the bundle's entry returned, for bundles that are not a table of handlers.
    ///
    /// # Errors
    ///
    /// [`Script`](ErrorKind::Script) when it can't cross, and the limits of an event.
    pub async fn value(&mut self) -> Result<Outcome<Value>, Error> {
        let since = Instant::now();
        let (bytes, usage) = self.call(None, &[], since).await?;
        outcome(&bytes, usage)
    }

    fn shared(&self) -> &Shared {
        &self.loaded.0.shared
    }

    fn limits(&self) -> &Limits {
        self.limits.as_ref().unwrap_or(&self.shared().limits)
    }

    async fn run(&mut self, event: &str, payload: &[u8], since: Instant) -> Result<(Vec<u8>, Usage), Error> {
        if self.loaded.handlers().binary_search_by(|name| name.as_str().cmp(event)).is_err() {
            let handled = self.loaded.handlers().join(", ");
            let handled = if handled.is_empty() { "no events".to_owned() } else { handled };
            let message = format!("nothing handles the event {event:?}; the bundle handles {handled}");
            return Err(Error::usage_error(message).with_event(event));
        }
        self.call(Some(event), payload, since).await.map_err(|error| error.with_event(event))
    }

    /// Calls the VM, starting one if need be. It is put back only when the call ended by itself: a call that was stopped,
    /// or whose future was dropped, leaves none.
    async fn call(&mut self, event: Option<&str>, payload: &[u8], since: Instant) -> Result<(Vec<u8>, Usage), Error> {
        let mut vm = match self.vm.take() {
            Some(vm) => vm,
            None => self.start()?,
        };
        self.events += 1;
        let number = self.events;
        let limits = self.limits();
        let budget = Budget { fuel: limits.event_fuel, deadline: limits.event_deadline, since };
        let (result, usage) = vm
            .call(&budget, async |exports, store| match event {
                Some(event) => drive(exports, store, number, event, payload, &budget).await,
                None => exports.call_entry_value(store).await,
            })
            .await;
        let result = result.map_err(|error| error.with_usage(usage))?;
        self.vm = Some(vm);
        result.map(|bytes| (bytes, usage)).map_err(|failure| failed(failure).with_usage(usage))
    }

    fn start(&mut self) -> Result<Vm, Error> {
        self.starts += 1;
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(self.starts));
        let Shared { factory, log, .. } = self.shared();
        let vm = factory.start(&self.loaded.0.image, self.limits(), seed, log.clone(), Some(self.tenant.clone()))?;
        Ok(vm.without_image())
    }
}

/// Runs an event to its end, and sleeps as long as its tasks do. It holds the thread meanwhile: only until instances have
/// workers and mailboxes.
async fn drive(
    exports: &VmExports,
    store: &mut Store<State>,
    event: u64,
    name: &str,
    payload: &[u8],
    budget: &Budget,
) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
    let mut outcome = None;
    let mut step = exports.call_start(&mut *store, event, name.as_bytes(), payload).await?;
    loop {
        let ended = step.ended.into_iter().find(|ended| ended.event == event);
        outcome = outcome.or(ended.map(|ended| ended.outcome));
        step = if step.deferred {
            exports.call_run_deferred(&mut *store).await?
        } else if let Some(outcome) = outcome {
            return Ok(outcome);
        } else if let Some((wait, due)) = store.data_mut().take_sleep() {
            pause_until(due, budget).await;
            exports.call_resume(&mut *store, wait, &Answer::Elapsed).await?
        } else {
            exports.call_cancel(&mut *store, event).await?;
            return Ok(Err(Failure {
                kind: FailureKind::Script,
                message: b"the handler yielded, and nothing will resume it".to_vec(),
                traceback: Vec::new(),
                value: None,
            }));
        };
    }
}

/// Sleeps, but not past the deadline: then it never ends, and whoever polls sees that the time is up.
async fn pause_until(due: Instant, budget: &Budget) {
    let pause = due.saturating_duration_since(Instant::now());
    let left = budget.deadline.map(|deadline| deadline.saturating_sub(budget.since.elapsed()));
    match left {
        Some(left) if left <= pause => {
            std::thread::sleep(left);
            std::future::pending().await
        }
        _ => std::thread::sleep(pause),
    }
}

fn outcome(bytes: &[u8], usage: Usage) -> Result<Outcome<Value>, Error> {
    let value = Value::decode(bytes).map_err(|error| unreadable(&error).with_usage(usage))?;
    Ok(Outcome { value, tier: Tier::Interpreter, usage })
}

/// The guest broke the format: no script can, so the fault is Motu's.
fn unreadable(error: &WireError) -> Error {
    Error::internal(format!("the guest sent a value that can't be read: {error}"))
}

/// A payload that was not sent.
fn refused(error: &WireError) -> Error {
    let kind = if error.is_over_limit() { ErrorKind::Limit } else { ErrorKind::Usage };
    Error::new(kind, error.to_string())
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("tenant", &self.tenant)
            .field("live", &self.is_live())
            .field("starts", &self.starts)
            .finish_non_exhaustive()
    }
}
