//! One bundle running for one tenant: events in, outcomes out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::door::{Answer, Door, Request, Status};
use crate::error::{Error, ErrorKind};
use crate::functions::{Bulky, VALUES_LIGHT};
use crate::grant::Grants;
use crate::limits::Limits;
use crate::load::out_of_time;
use crate::motu::{Loaded, Shared};
use crate::outcome::{Outcome, Tier, Usage};
use crate::strategy::{Command, Spec};
use crate::tenant::Tenant;
use crate::value::Value;
use crate::wire::{self, WireError, has_at_most};

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

impl Instance {
    pub(crate) fn new(loaded: Loaded, tenant: Tenant) -> Instance {
        let bundle = loaded.bundled.bundle.clone();
        let limits = loaded.motu.shared().limits_of(&tenant).clone();
        Instance {
            loaded,
            spec: Spec { tenant, name: Arc::default(), bundle, limits, seed: None, grants: Grants::default() },
            door: Mutex::default(),
        }
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
        self.spec.limits = Arc::new(limits);
        self.door = Mutex::default();
        Ok(self)
    }

    /// Lets it call the host functions that these grants allow. Default: none. It starts anew with its next event.
    #[must_use]
    pub fn with_grants(mut self, grants: Grants) -> Instance {
        self.spec.grants = grants;
        self.door = Mutex::default();
        self
    }

    /// Who it runs for.
    pub fn tenant(&self) -> &Tenant {
        &self.spec.tenant
    }

    /// Whether it has a VM now, with the globals of the events before.
    pub fn is_live(&self) -> bool {
        self.status().live
    }

    /// How often it was started from the bundle's image.
    pub fn starts(&self) -> u64 {
        self.status().starts
    }

    /// What it is doing now.
    pub fn status(&self) -> Status {
        self.opened().map(|door| door.status()).unwrap_or_default()
    }

    /// Ends it as it is: events that were started end with [`InstanceLost`](ErrorKind::InstanceLost), the others are answered
    /// by a fresh one.
    pub fn kill(&self) {
        self.tell(Command::Kill { cause: "it was killed".to_owned() });
    }

    /// Pauses the instance until [`resume`](Self::resume). Events that come meanwhile wait in its mailbox, and deadlines go
    /// on.
    ///
    /// # Errors
    ///
    /// [`Host`](ErrorKind::Host) when the instance had no event before, and the machine refuses it a thread.
    /// The instance is not paused then.
    pub fn pause(&self) -> Result<(), Error> {
        self.door()?.tell(Command::Pause);
        Ok(())
    }

    /// Resumes the instance where it was, after [`pause`](Self::pause). Ends a quarantine too.
    pub fn resume(&self) {
        self.tell(Command::Resume);
    }

    /// Says it to an instance that had a command or an event before. Another has nothing to be ended, and is not paused.
    fn tell(&self, command: Command) {
        if let Some(door) = self.opened() {
            door.tell(command);
        }
    }

    /// Runs the handler of an event and returns what it returned. `payload` becomes the handler's argument: structs and
    /// maps are tables, sequences are lists, `serde_bytes` are buffers.
    ///
    /// The result is decoded on the thread that polls this, in one piece: a million values fit the default
    /// [`result_bytes`](Limits::result_bytes), and take up to 0.1 s. [`dispatch_value`](Self::dispatch_value) has them decoded elsewhere.
    ///
    /// When the future is dropped, an event that waits in the mailbox is never started. One that was started goes on until
    /// it waits or ends.
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
        read(self.loaded.motu.shared(), &self.spec.tenant, event, self.run(event, payload).await)
    }

    /// [`dispatch`](Self::dispatch) with values as Luau has them: strings byte for byte, buffers, vectors, tables with any
    /// keys. A result of more than 512 values, or of over 64 KiB, is decoded on a blocking thread of the
    /// [host functions' runtime](crate::MotuBuilder::runtime), in turns of the tenants by weight.
    /// Such a result that is decoded only after the event's deadline is refused with the kind [`Deadline`](ErrorKind::Deadline); what the
    /// handler did is done. The runtime has to be driven meanwhile.
    ///
    /// # Errors
    ///
    /// As for [`dispatch`](Self::dispatch).
    pub async fn dispatch_value(&self, event: &str, payload: &Value) -> Result<Outcome<Value>, Error> {
        let limits = &self.spec.limits;
        let payload = wire::encode(payload, limits.payload_depth, limits.payload_bytes)
            .map_err(|error| refused(&error).with_event(event))?;
        let (answer, usage) = self.run(event, payload).await;
        outcome(
            self.loaded.motu.shared(),
            (&self.spec.tenant, self.spec.limits.event_deadline),
            Some(event),
            answer?,
            usage,
        )
        .await
    }

    /// What the bundle's entry returned, for bundles that are not a table of handlers.
    ///
    /// # Errors
    ///
    /// [`Script`](ErrorKind::Script) when it can't cross, and the limits of an event.
    pub async fn value(&self) -> Result<Outcome<Value>, Error> {
        let (answer, usage) = self.door()?.call(Request::Value, None)?.answer().await;
        outcome(self.loaded.motu.shared(), (&self.spec.tenant, self.spec.limits.event_deadline), None, answer?, usage)
            .await
    }

    async fn run(&self, event: &str, payload: Vec<u8>) -> Answer {
        if !self.loaded.handles(event) {
            let message = format!("nothing handles the event {event:?}; the bundle handles {}", self.handled());
            return (Err(Error::usage_error(message).with_event(event)), Usage::default());
        }
        let request = Request::Event { name: event.into(), payload, origin: None };
        match self.door().and_then(|door| door.call(request, None)) {
            Ok(call) => call.answer().await,
            Err(error) => (Err(error.with_event(event)), Usage::default()),
        }
    }

    /// The first events that are handled, for an error.
    fn handled(&self) -> String {
        const SHOWN: usize = 20;
        const BYTES_MAX: usize = 64;
        let handlers = self.loaded.handlers();
        let shown = |name: &String| match name.get(..name.floor_char_boundary(BYTES_MAX)) {
            Some(start) if start.len() < name.len() => format!("{start}..."),
            _ => name.clone(),
        };
        let names: Vec<String> = handlers.iter().take(SHOWN).map(shown).collect();
        match handlers.len().saturating_sub(SHOWN) {
            _ if names.is_empty() => "no events".to_owned(),
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    fn opened(&self) -> Option<Arc<Door>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn door(&self) -> Result<Arc<Door>, Error> {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = &*door {
            return Ok(door.clone());
        }
        let motu = &self.loaded.motu;
        let opened = Door::open(motu.shared(), motu.strategy(), self.spec.clone())?;
        *door = Some(opened.clone());
        Ok(opened)
    }
}

/// The result as an `R`, read here, since it may be for this thread only. The tenant is charged for it if it is many values, or many
/// bytes (M8).
pub(crate) fn read<R: DeserializeOwned>(
    shared: &Shared,
    tenant: &Tenant,
    event: &str,
    (answer, usage): Answer,
) -> Result<Outcome<R>, Error> {
    let bytes = answer?;
    let read = match is_light(&bytes) {
        true => wire::from_wire(&bytes),
        false => shared.shares.charged(tenant, || wire::from_wire(&bytes)),
    };
    let value = read.map_err(|error| {
        if error.is_malformed() {
            return unreadable(&error).with_event(event).with_usage(usage);
        }
        let message = format!("the result of {event} is not of the type that was asked for: {error}");
        Error::usage_error(message).with_event(event).with_usage(usage)
    })?;
    Ok(Outcome { value, tier: Tier::Interpreter, usage })
}

/// The most bytes of a result that is decoded where it is asked for: longer ones take as long as many values do. Four tenants that gave 500
/// texts of 2,000 bytes made a neighbour's events wait 10 to 20 ms, which nobody was charged for.
const BYTES_LIGHT: usize = 64 << 10;

/// Whether a result is decoded where it is asked for, at nobody's cost.
fn is_light(result: &[u8]) -> bool {
    result.len() <= BYTES_LIGHT && has_at_most(result, VALUES_LIGHT)
}

/// Decodes a result: here if it has few values and bytes, else beside all threads that others wait for, in the tenant's turns and for its
/// time (M8). The time of decoding is part of the event's. Returns [`Deadline`](ErrorKind::Deadline) if the event's deadline passes meanwhile.
pub(crate) async fn outcome(
    shared: &Shared,
    (tenant, deadline): (&Tenant, Option<Duration>),
    event: Option<&str>,
    bytes: Vec<u8>,
    mut usage: Usage,
) -> Result<Outcome<Value>, Error> {
    let decoded = if is_light(&bytes) {
        Value::decode(&bytes)
    } else {
        let since = Instant::now();
        let decoded = shared.functions.aside.decode(tenant, bytes, None).await;
        // whoever asks may be late to look: that is not the event's time
        let until = decoded.as_ref().map_or_else(Instant::now, Bulky::made);
        usage.elapsed += until.saturating_duration_since(since);
        if let Some(deadline) = deadline.filter(|deadline| usage.elapsed >= *deadline) {
            // the lane drops what was decoded
            let error = out_of_time(deadline).with_usage(usage);
            return Err(if let Some(event) = event { error.with_event(event) } else { error });
        }
        let decoded = decoded.and_then(Bulky::take).map(|(decoded, _)| decoded);
        decoded.ok_or_else(|| Error::new(ErrorKind::Host, "the host is shutting down").with_usage(usage))?
    };
    let value = decoded.map_err(|error| unreadable(&error).with_usage(usage))?;
    Ok(Outcome { value, tier: Tier::Interpreter, usage })
}

/// The guest broke the format: no script can, so the fault is Motu's.
fn unreadable(error: &WireError) -> Error {
    Error::internal(format!("the guest sent a value that can't be read: {error}"))
}

/// A payload that was not sent.
pub(crate) fn refused(error: &WireError) -> Error {
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
