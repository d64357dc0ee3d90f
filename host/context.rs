//! What a host function knows of its call, and what an instance has with the host: handles of resources, and what modules
//! keep for it. All of it goes with the VM.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::functions::{Bulky, Granted, HostFunction, VALUE_BYTES, VALUES_AT_ONCE};
use crate::limits::Limits;
use crate::log::{Log, LogLevel, OverLog, Text};
use crate::strategy::Origin;
use crate::tenant::Tenant;
use crate::value::Value;
use crate::vm::Gauge;
use crate::wire::{Encoded, WireError};
use crate::wit::{Handle, Handles, Held, Resource};

/// A call of a host function: who calls, and for which event.
#[derive(Clone)]
pub struct CallContext {
    pub(crate) event: Arc<str>,
    /// What of the store's the event is about.
    pub(crate) origin: Origin,
    pub(crate) local: Arc<Local>,
    pub(crate) spent: Arc<Spent>,
    pub(crate) function: Arc<HostFunction>,
}

/// What a call asks of the worker that polls it.
#[derive(Default)]
pub(crate) struct Spent {
    /// Fuel, beside what each call costs.
    fuel: AtomicU64,
    /// It is pending only to give way.
    gives_way: AtomicBool,
    /// What it has come to, and will be written when it goes on, in bytes.
    holds: AtomicU64,
}

impl Spent {
    pub(crate) fn take_fuel(&self) -> u64 {
        self.fuel.swap(0, Ordering::Relaxed)
    }

    /// The call has come to something of about this size, which its instance gets when it goes on.
    pub(crate) fn hold(&self, bytes: u64) {
        self.holds.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn take_held(&self) -> u64 {
        self.holds.swap(0, Ordering::Relaxed)
    }

    /// Whether it is pending only to give way.
    pub(crate) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    pub(crate) fn gave_way(&self) -> bool {
        self.gives_way.swap(false, Ordering::Relaxed)
    }

    /// As [`CallContext::charge`].
    pub(crate) fn charge(&self, fuel: u64) {
        let sum = |sum: u64| Some(sum.saturating_add(fuel).min(CHARGE_MAX));
        let _ = self.fuel.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum); // it always is some
    }

    /// What polls the call now is pending only to give way, and is polled again.
    pub(crate) fn gives_way_now(&self, context: &Context<'_>) {
        self.gives_way.store(true, Ordering::Relaxed);
        context.waker().wake_by_ref(); // what polls it may be within the function
    }

    /// As [`CallContext::give_way`].
    pub(crate) async fn give_way(&self) {
        let mut gave = false;
        poll_fn(|context| {
            if std::mem::replace(&mut gave, true) {
                return Poll::Ready(());
            }
            self.gives_way_now(context);
            Poll::Pending
        })
        .await;
    }
}

/// The most that is charged at once: sums of it don't run over.
const CHARGE_MAX: u64 = 1 << 40;

/// Kept for one VM.
pub(crate) struct Local {
    pub(crate) tenant: Tenant,
    pub(crate) granted: Arc<Granted>,
    /// What randomness starts from.
    pub(crate) seed: u64,
    pub(crate) limits: Arc<Limits>,
    log: Arc<Log>,
    pub(crate) clock: Clock,
    /// What the host holds for it is charged here.
    pub(crate) gauge: Gauge,
    /// The calls are those of a bundle's top level, made for no tenant.
    pub(crate) loads: bool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    handles: HashMap<u32, Open>,
    last: u32,
    own: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// A resource that is open.
struct Open {
    resource: Arc<Resource>,
    value: Arc<dyn Any + Send + Sync>,
}

/// A handle's number: which of the host's resources it is of, and then which one. The guest reads the first to know its
/// methods.
const SLOT_BITS: u32 = 20;

/// The last number under a resource; more than the limit `handles` can be.
const SLOT_MAX: u32 = (1 << SLOT_BITS) - 1;

/// The most resources that all modules can have together.
pub(crate) const RESOURCES_MAX: usize = 1 << (32 - SLOT_BITS);

impl Local {
    pub(crate) fn new(
        (tenant, granted): (Tenant, Arc<Granted>),
        seed: u64,
        limits: Arc<Limits>,
        log: Arc<Log>,
        clock: Clock,
        gauge: Gauge,
    ) -> Local {
        Local { tenant, granted, seed, limits, log, clock, gauge, loads: false, kept: Mutex::default() }
    }

    /// For a bundle that loads.
    pub(crate) fn for_load(self) -> Local {
        Local { loads: true, ..self }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close(&self, handle: u32) {
        let closed = self.kept().handles.remove(&handle);
        drop(closed); // outside of the lock: it may be the end of something
    }
}

impl CallContext {
    /// For whom the script runs. At the top level of a bundle it is `motu:load`.
    pub fn tenant(&self) -> &Tenant {
        &self.local.tenant
    }

    /// The event that it handles, or that left the calling task behind. Empty at the top level of a bundle.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The limits of the instance that calls.
    pub fn limits(&self) -> &Limits {
        &self.local.limits
    }

    /// Whether the grants of the instance that calls, as they are now, allow this function for such an argument alone. For what
    /// comes up during a call, as the next host of a redirect does.
    pub fn allows(&self, argument: &str, value: &str) -> bool {
        let decision = self.local.granted.get().of(&self.function.name());
        decision.allows(&|name: &str| (name == argument).then_some(Cow::Borrowed(value)))
    }

    /// Charges fuel to the event, for what takes longer than the bytes of its arguments and its result tell: 20 fuel are a
    /// nanosecond of a script's. Each call costs some anyway, by what crosses.
    ///
    /// It is taken when the function is done, waits, or [gives way](Self::give_way); an event that has not so much left ends then, with
    /// [`Fuel`](ErrorKind::Fuel). More than 2^40 at once, which is most of a minute, counts as that. Charge what doesn't depend on
    /// the machine or the time, so that the same input costs the same.
    pub fn charge(&self, fuel: u64) {
        self.spent.charge(fuel);
    }

    /// Lets others have the worker: for a function that computes for longer than [a slice](Limits::SLICE_FUEL). Charge what was
    /// done first. The function goes on when it is its tenant's turn again, and never if the event has ended meanwhile.
    ///
    /// A function that has waited for something is on the runtime, where a turn is one poll at least, however long. One that computes
    /// afterwards gives way first: it then goes on on a worker, and pays as it goes.
    pub async fn give_way(&self) {
        self.spent.give_way().await;
    }

    /// As [`give_way`](Self::give_way), for a function that holds so many bytes meanwhile: they count as memory of the instance (M4).
    ///
    /// # Errors
    /// The instance may not have so much.
    pub(crate) async fn give_way_with(&self, bytes: u64) -> Result<(), Error> {
        let _held = self.hold_memory(bytes)?;
        self.give_way().await;
        Ok(())
    }

    /// Counts so many bytes as memory of the instance, as long as it is kept (M4).
    ///
    /// # Errors
    /// The instance may not have so much.
    pub(crate) fn hold_memory(&self, bytes: u64) -> Result<crate::vm::Held, Error> {
        let most = self.limits().memory_bytes;
        self.local.gauge.hold_within(bytes, most).ok_or_else(|| {
            let what =
                format!("{bytes} bytes are needed beside the script's memory, over the limit memory_bytes of {most}");
            Error::new(ErrorKind::Limit, what)
        })
    }

    /// Opens a resource of the module's WIT, by its name there: the script gets a handle of it when a function returns this
    /// one. It is closed when the script closes it or has no more use for it, and with the instance.
    ///
    /// # Errors
    ///
    /// [`Limit`](ErrorKind::Limit) when the instance has as many as the limit `handles` says; return it, and the script
    /// sees it. [`Usage`](ErrorKind::Usage) when the WIT has no such resource.
    pub fn open<T: Any + Send + Sync>(&self, resource: &str, value: T) -> Result<Handle, Error> {
        if self.local.loads {
            let message = "a resource can't be opened at the top level of a bundle, for an image has no handles";
            return Err(Error::usage_error(message.to_owned()));
        }
        let found = self.function.resources.iter().find(|(_, known)| known.name.kebab == resource);
        let Some((number, resource)) = found else {
            return Err(Error::usage_error(format!("the WIT of this module has no resource {resource}")));
        };
        let mut kept = self.local.kept();
        let most = self.limits().handles;
        if kept.handles.len() >= most as usize {
            let message = format!("this instance has {most} handles open, the limit handles: close some");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        loop {
            kept.last = kept.last % SLOT_MAX + 1;
            let handle = number << SLOT_BITS | kept.last;
            if let std::collections::hash_map::Entry::Vacant(free) = kept.handles.entry(handle) {
                free.insert(Open { resource: resource.clone(), value: Arc::new(value) });
                return Ok(Handle(handle));
            }
        }
    }

    /// What a handle stands for, if it is open and a `T`.
    pub fn get<T: Any + Send + Sync>(&self, handle: Handle) -> Option<Arc<T>> {
        let value = self.local.kept().handles.get(&handle.0)?.value.clone();
        value.downcast().ok()
    }

    /// Closes a handle, and gives what it stood for. For functions that take a resource over (`own`).
    pub fn take<T: Any + Send + Sync>(&self, handle: Handle) -> Option<Arc<T>> {
        let value = self.get(handle)?;
        self.local.close(handle.0);
        Some(value)
    }

    /// Reads a value: on the worker if it is few values, else aside. What follows runs on a worker. With it comes what it counts for as
    /// memory of the instance, to be kept as long as the value.
    ///
    /// # Errors
    /// It isn't a value, the instance may not have so much memory, or the host is shutting down.
    pub(crate) async fn read(&self, encoded: Encoded) -> Result<(Value, Option<crate::vm::Held>), Error> {
        let wrong = |error: WireError| Error::new(ErrorKind::Script, error.to_string());
        if encoded.has_at_most(VALUES_AT_ONCE) {
            return Ok((encoded.decode().map_err(wrong)?, None));
        }
        // of values that are a byte or two each
        let held = self.hold_memory(VALUE_BYTES.saturating_mul(encoded.bytes().len() as u64))?;
        let read = self.function.aside.decode(self.tenant(), encoded, Some(held)).await;
        self.give_way().await;
        let read = read.and_then(Bulky::take);
        let (read, held) = read.ok_or_else(|| Error::new(ErrorKind::Host, "the host is shutting down"))?;
        Ok((read.map_err(wrong)?, held))
    }

    /// Takes room for a line of the event, whose fields count for so many bytes.
    pub(crate) fn take_log_room(&self, text: Vec<u8>, more: usize) -> Result<Text, OverLog> {
        self.local.log.take(text, more)
    }

    /// Logs a line for the event.
    pub(crate) fn log(&self, level: LogLevel, text: Text, fields: Option<Value>) {
        let event = (!self.local.loads).then(|| self.event.clone());
        self.local.log.write(event, level, text, fields);
    }

    /// What a module keeps for this instance, made by the first call that asks for it.
    pub(crate) fn own<T: Any + Send + Sync>(&self, make: impl FnOnce(&Local) -> T) -> Arc<T> {
        let mut kept = self.local.kept();
        let own = kept.own.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make(&self.local))).clone();
        drop(kept);
        match own.downcast() {
            Ok(own) => own,
            Err(_) => unreachable!("it is kept by its type"),
        }
    }
}

impl Handles for CallContext {
    fn is_of(&self, handle: u32, resource: &str) -> Held {
        match self.local.kept().handles.get(&handle) {
            Some(open) if open.resource.id == resource => Held::Yes,
            Some(_) => Held::Other,
            None => Held::No,
        }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext").field("tenant", self.tenant()).field("event", &self.event).finish_non_exhaustive()
    }
}
