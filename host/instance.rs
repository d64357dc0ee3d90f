//! One bundle running for one tenant, for whoever dispatches events to it: the bounds of its mailbox, and who waits for which
//! answer. The instance itself is an actor on a worker (`actor`), behind the strategy.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::motu::Loaded;
use crate::outcome::{Outcome, Tier, Usage};
use crate::strategy::{Command, EventId, Front, Notice, Place, Spec};
use crate::tenant::Tenant;
use crate::value::Value;
use crate::wire::{self, WireError};

/// One bundle running for one tenant. Events that are dispatched to it wait in its mailbox, and are started in their order.
/// It keeps its globals from event to event, until a limit ends it: the next event is then answered by a fresh instance,
/// started from the bundle's image.
///
/// Dropped, it ends with what is under way.
pub struct Instance {
    loaded: Loaded,
    spec: Spec,
    /// Made with the first event.
    door: Mutex<Option<Arc<Door>>>,
}

/// The way to the place where it runs, and back.
struct Door {
    place: Box<dyn Place>,
    front: Arc<Waiters>,
}

#[derive(Default)]
struct Waiters {
    events: Mutex<Events>,
    /// How many are in the mailbox.
    waiting: AtomicU32,
    starts: AtomicU64,
    live: AtomicBool,
}

#[derive(Default)]
struct Events {
    last: EventId,
    answers: HashMap<EventId, Answerer>,
}

type Answer = (Result<Vec<u8>, Error>, Usage);
type Answerer = oneshot::Sender<Answer>;

impl Waiters {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Front for Waiters {
    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Started => {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
            }
            Notice::Ended { event, started, answer, usage } => {
                if !started {
                    self.waiting.fetch_sub(1, Ordering::AcqRel);
                }
                let answerer = self.events().answers.remove(&event);
                if let Some(answerer) = answerer {
                    let _ = answerer.send((answer, usage)); // nobody waits for it any more
                }
            }
            Notice::Live { starts } => {
                self.starts.store(starts, Ordering::Release);
                self.live.store(true, Ordering::Release);
            }
            Notice::Gone => self.live.store(false, Ordering::Release),
        }
    }
}

/// An event whose caller waits. Dropped, it is cancelled.
struct Call {
    door: Arc<Door>,
    event: EventId,
    answered: bool,
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.door.place.send(Command::Cancel { event: self.event });
        }
    }
}

impl Instance {
    pub(crate) fn new(loaded: Loaded, tenant: Tenant) -> Instance {
        let bundle = loaded.bundled.bundle.clone();
        let limits = loaded.motu.shared().limits.clone();
        Instance { loaded, spec: Spec { tenant, bundle, limits, seed: None }, door: Mutex::default() }
    }

    /// Makes `math.random` give the same numbers at each start: for tests and for replaying. Default: a seed that nobody
    /// can guess. It starts anew with its next event.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Instance {
        self.spec.seed = Some(seed);
        self.door = Mutex::default();
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
        self.spec.limits = limits;
        self.door = Mutex::default();
        Ok(self)
    }

    /// Who it runs for.
    pub fn tenant(&self) -> &Tenant {
        &self.spec.tenant
    }

    /// Whether it has a VM now, with the globals of the events before.
    pub fn is_live(&self) -> bool {
        self.opened().is_some_and(|door| door.front.live.load(Ordering::Acquire))
    }

    /// How often it was started from the bundle's image.
    pub fn starts(&self) -> u64 {
        self.opened().map_or(0, |door| door.front.starts.load(Ordering::Acquire))
    }

    /// Ends it as it is: events that were started end with [`InstanceLost`](ErrorKind::InstanceLost), the others are answered
    /// by a fresh one.
    pub fn kill(&self) {
        if let Some(door) = self.opened() {
            door.place.send(Command::Kill { cause: "it was killed".to_owned() });
        }
    }

    /// Runs the handler of an event and returns what it returned. `payload` becomes the handler's argument: structs and
    /// maps are tables, sequences are lists, `serde_bytes` are buffers.
    ///
    /// When the future is dropped, an event that waits in the mailbox is never started. One that was started goes on until
    /// it ends, or comes to a limit.
    ///
    /// # Errors
    ///
    /// [`Usage`](ErrorKind::Usage) when nothing handles the event, the payload can't cross, or the result isn't an `R`;
    /// [`Limit`](ErrorKind::Limit) for a payload that is too large or too deep, before anything runs;
    /// [`QueueFull`](ErrorKind::QueueFull) when the mailbox is; [`Script`](ErrorKind::Script) for the handler's own; the
    /// limits of an event; and [`InstanceLost`](ErrorKind::InstanceLost) when the instance ended meanwhile.
    pub async fn dispatch<R: DeserializeOwned>(
        &self,
        event: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Outcome<R>, Error> {
        let limits = &self.spec.limits;
        let payload = wire::to_wire(payload, limits.payload_depth, limits.payload_bytes)
            .map_err(|error| refused(&error).with_event(event))?;
        let (bytes, usage) = self.run(event, payload).await?;
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
    pub async fn dispatch_value(&self, event: &str, payload: &Value) -> Result<Outcome<Value>, Error> {
        let limits = &self.spec.limits;
        let payload = wire::encode(payload, limits.payload_depth, limits.payload_bytes)
            .map_err(|error| refused(&error).with_event(event))?;
        let (bytes, usage) = self.run(event, payload).await?;
        outcome(&bytes, usage)
    }

    /// What the bundle's entry returned, for bundles that are not a table of handlers.
    ///
    /// # Errors
    ///
    /// [`Script`](ErrorKind::Script) when it can't cross, and the limits of an event.
    pub async fn value(&self) -> Result<Outcome<Value>, Error> {
        let time = self.spec.limits.event_deadline;
        let (bytes, usage) = self.call(|event| Command::Value { event, time }).await?;
        outcome(&bytes, usage)
    }

    async fn run(&self, event: &str, payload: Vec<u8>) -> Result<(Vec<u8>, Usage), Error> {
        if self.loaded.handlers().binary_search_by(|name| name.as_str().cmp(event)).is_err() {
            let handled = self.loaded.handlers().join(", ");
            let handled = if handled.is_empty() { "no events".to_owned() } else { handled };
            let message = format!("nothing handles the event {event:?}; the bundle handles {handled}");
            return Err(Error::usage_error(message).with_event(event));
        }
        let (name, time) = (event.to_owned(), self.spec.limits.event_deadline);
        let answer = self.call(|event| Command::Start { event, name, payload, time }).await;
        answer.map_err(|error| error.with_event(event))
    }

    async fn call(&self, command: impl FnOnce(EventId) -> Command) -> Result<(Vec<u8>, Usage), Error> {
        let since = Instant::now();
        let (mut call, answer) = self.send(command)?;
        let answered = answer.await;
        call.answered = true;
        let (answer, usage) = answered.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::InstanceLost, "the instance was closed");
            (Err(error), Usage { elapsed: since.elapsed(), ..Usage::default() })
        });
        answer.map(|bytes| (bytes, usage))
    }

    /// Puts an event in the mailbox, if there is room.
    fn send(&self, command: impl FnOnce(EventId) -> Command) -> Result<(Call, oneshot::Receiver<Answer>), Error> {
        let door = self.door()?;
        let most = self.spec.limits.mailbox_events;
        let room = |waiting| if waiting < most { Some(waiting + 1) } else { None };
        if door.front.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
            let message =
                format!("the mailbox is full: {most} events wait for {}, the limit mailbox_events", self.spec.tenant);
            return Err(Error::new(ErrorKind::QueueFull, message));
        }
        let (answerer, answer) = oneshot::channel();
        let mut events = door.front.events();
        events.last += 1;
        let event = events.last;
        events.answers.insert(event, answerer);
        drop(events);
        door.place.send(command(event));
        Ok((Call { door, event, answered: false }, answer))
    }

    fn opened(&self) -> Option<Arc<Door>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn door(&self) -> Result<Arc<Door>, Error> {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = &*door {
            return Ok(door.clone());
        }
        let front = Arc::new(Waiters::default());
        let weak = Arc::downgrade(&front) as Weak<dyn Front>;
        let place = self.loaded.motu.strategy().open(self.spec.clone(), weak)?;
        let opened = Arc::new(Door { place, front });
        *door = Some(opened.clone());
        Ok(opened)
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
            .field("tenant", &self.spec.tenant)
            .field("live", &self.is_live())
            .field("starts", &self.starts())
            .finish_non_exhaustive()
    }
}
