//! The way to an instance and back, for whoever dispatches to it: what its mailbox may hold, and who waits for which answer.
//! The instance itself is behind a [`Place`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tracing::Span;

use crate::error::{Error, ErrorKind};
use crate::motu::Shared;
use crate::outcome::Usage;
use crate::sight;
use crate::strategy::{Command, EventId, Front, Notice, Origin, Place, Spec, Strategy};
use crate::tenants::{Drained, Unfinished};

/// What an event came to: the result's bytes, and what was used.
pub(crate) type Answer = (Result<Vec<u8>, Error>, Usage);

pub(crate) struct Door {
    place: Box<dyn Place>,
    front: Arc<Waiters>,
    spec: Spec,
    shared: Arc<Shared>,
}

/// Told by the instance, from the worker that it runs on.
#[derive(Default)]
struct Waiters {
    /// The number of the last event.
    last: AtomicU64,
    events: Events,
    /// In the mailbox: how many, and how large their payloads are.
    waiting: AtomicU32,
    waiting_bytes: AtomicU64,
    totals: Arc<Totals>,
    live: AtomicBool,
    starts: AtomicU64,
    fuel: AtomicU64,
    memory_bytes: AtomicU64,
    waits: AtomicUsize,
    quarantine: Mutex<Option<String>>,
    last_end: Mutex<Option<String>>,
}

/// How many locks the events of an instance are under. With several, a caller and the worker that answers seldom wait for each other.
const SHARDS: usize = 4;

/// Events that haven't ended, by their numbers.
#[derive(Default)]
struct Events {
    shards: [Mutex<Shard>; SHARDS],
}

/// Every so manyth event. In order, since a map by hashes would be copied whole as it grows, 4 ms for a million.
type Shard = BTreeMap<EventId, Pending>;

impl Events {
    fn shard(&self, event: EventId) -> MutexGuard<'_, Shard> {
        let [first, others @ ..] = &self.shards;
        let other = usize::try_from(event % SHARDS as u64).ok().and_then(|number| others.get(number));
        locked(other.unwrap_or(first))
    }

    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(locked)
    }

    fn insert(&self, event: EventId, pending: Pending) {
        self.shard(event).insert(event, pending);
    }

    fn remove(&self, event: EventId) -> Option<Pending> {
        self.shard(event).remove(&event)
    }

    /// Takes all of them.
    fn take(&self) -> Vec<Shard> {
        self.shards().map(|mut shard| std::mem::take(&mut *shard)).collect()
    }

    /// Gives back what empty shards keep, a kilobyte each.
    fn shrink(&self) {
        for mut shard in self.shards().filter(|shard| shard.is_empty()) {
            *shard = Shard::new();
        }
    }

    fn is_empty(&self) -> bool {
        self.shards().all(|shard| shard.is_empty())
    }

    /// Summed when asked, shard by shard: a counter would be one more cache line that callers and workers contend for.
    fn len(&self) -> u64 {
        self.shards().map(|shard| shard.len() as u64).sum()
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Pending {
    event: Option<Arc<str>>,
    waiter: Waiter,
    span: Span,
}

enum Waiter {
    /// Is told too whether the event was started.
    Caller(oneshot::Sender<(Answer, bool)>),
    /// Nobody; the door is kept until it has ended.
    Nobody(Arc<Door>),
}

/// The mailboxes of a Motu, all together.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) waiting: AtomicU64,
    pub(crate) waiting_bytes: AtomicU64,
    /// No more events are taken.
    pub(crate) closed: AtomicBool,
    /// While it is drained: an event has ended.
    ended: Notify,
    pub(crate) live: AtomicU64,
    pub(crate) starts: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// What is to be run.
pub(crate) enum Request {
    Event { name: Arc<str>, payload: Vec<u8>, origin: Origin },
    Value,
}

/// An event whose caller waits. Dropped before it is answered, it is cancelled.
pub(crate) struct Call {
    door: Arc<Door>,
    event: EventId,
    answer: oneshot::Receiver<(Answer, bool)>,
    answered: bool,
}

impl Call {
    /// Returns the time that an event of this instance has by its limits.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.door.spec.limits.event_deadline
    }

    pub(crate) async fn answer(self) -> Answer {
        self.end().await.0
    }

    /// The answer, and whether the event was started.
    pub(crate) async fn end(mut self) -> (Answer, bool) {
        let answer = (&mut self.answer).await;
        self.answered = true;
        answer.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::InstanceLost, "the instance was closed");
            ((Err(error), Usage::default()), true)
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            self.door.place.send(Command::Cancel { event: self.event });
        }
    }
}

/// An instance as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether it has a VM, with the globals of the events before.
    pub live: bool,
    /// How often it was started from the bundle's image.
    pub starts: u64,
    /// Events in its mailbox.
    pub waiting: u32,
    /// Events that were started and haven't ended.
    pub started: usize,
    /// The memory of its VM, and what the host holds for it beside its mailbox, in bytes: as it was after its last slice.
    /// What calls of a VM that is gone still hold is looked at again after 50 ms, and then after ever longer times of up to 5 s.
    pub memory_bytes: u64,
    /// Sleeps, timers and calls of host functions that its tasks waited for after its last slice.
    pub waits: usize,
    /// All the fuel that its events have used.
    pub fuel: u64,
    /// Why it is given no more events, if so.
    pub quarantine: Option<String>,
    /// What its VM was ended by last: the error's kind, `: `, and its message with the place in the script. None if none was ended but for
    /// want of events.
    pub last_end: Option<String>,
}

impl Drop for Waiters {
    /// The instance went with its door, and told nobody.
    fn drop(&mut self) {
        if *self.live.get_mut() {
            self.totals.live.fetch_sub(1, Ordering::Relaxed);
        }
        let (waiting, bytes) = (*self.waiting.get_mut(), *self.waiting_bytes.get_mut());
        self.totals.waiting.fetch_sub(waiting.into(), Ordering::AcqRel);
        self.totals.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Waiters {
    fn left_mailbox(&self, bytes: u64) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.totals.waiting.fetch_sub(1, Ordering::AcqRel);
        self.totals.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Front for Waiters {
    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Started { payload_bytes } => self.left_mailbox(payload_bytes),
            Notice::Ended { event, unstarted_bytes, answer, usage } => {
                let was_started = unstarted_bytes.is_none();
                if let Some(bytes) = unstarted_bytes {
                    self.left_mailbox(bytes);
                }
                self.fuel.fetch_add(usage.fuel, Ordering::Relaxed);
                let pending = self.events.remove(event);
                let Some(pending) = pending else { return };
                if !self.live.load(Ordering::Acquire) && self.events.is_empty() {
                    self.events.shrink();
                }
                if self.totals.closed.load(Ordering::Acquire) {
                    self.totals.ended.notify_waiters();
                }
                sight::ended(&pending.span, answer.as_ref().err(), usage);
                let counter = if answer.is_ok() { &self.totals.answered } else { &self.totals.failed };
                counter.fetch_add(1, Ordering::Relaxed);
                let answer = match (answer, &pending.event) {
                    (Err(error), Some(event)) => Err(error.with_event(event)),
                    (answer, _) => answer,
                };
                match pending.waiter {
                    Waiter::Caller(caller) => {
                        let _ = caller.send(((answer, usage), was_started)); // the caller may be gone
                    }
                    Waiter::Nobody(door) => {
                        if let Err(error) = answer
                            && door.shared.warnings.may_warn(&door.spec.tenant)
                        {
                            tracing::warn!(tenant = %door.spec.tenant, event = pending.event.as_deref(), %error, "an event failed");
                        }
                    }
                }
            }
            Notice::Live { starts } => {
                self.starts.store(starts, Ordering::Release);
                self.totals.starts.fetch_add(1, Ordering::Relaxed);
                sight::started();
                if !self.live.swap(true, Ordering::AcqRel) {
                    self.totals.live.fetch_add(1, Ordering::Relaxed);
                }
            }
            Notice::Held { bytes, waits } => {
                self.memory_bytes.store(bytes, Ordering::Relaxed);
                self.waits.store(waits, Ordering::Relaxed);
            }
            Notice::Gone => {
                if self.live.swap(false, Ordering::AcqRel) {
                    self.totals.live.fetch_sub(1, Ordering::Relaxed);
                }
                self.events.shrink();
            }
            Notice::Lost { why } => *self.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(why),
            Notice::Quarantined { reason } => {
                *self.quarantine.lock().unwrap_or_else(PoisonError::into_inner) = reason;
            }
        }
    }
}

impl Door {
    pub(crate) fn open(shared: &Arc<Shared>, strategy: &dyn Strategy, spec: Spec) -> Result<Arc<Door>, Error> {
        let mut front = Waiters::default();
        front.totals = shared.totals.clone();
        let front = Arc::new(front);
        let weak = Arc::downgrade(&front) as Weak<dyn Front>;
        let place = strategy.open(spec.clone(), weak)?;
        let door = Arc::new(Door { place, front, spec, shared: shared.clone() });
        shared.doors.add(&door);
        Ok(door)
    }

    /// Puts an event into the mailbox, for a caller who waits for its answer. An event's deadline is its own or that of the
    /// limits, whichever is sooner.
    pub(crate) fn call(self: &Arc<Door>, request: Request, time: Option<Duration>) -> Result<Call, Error> {
        let (caller, answer) = oneshot::channel();
        let event = self.send(request, time, Waiter::Caller(caller))?;
        Ok(Call { door: self.clone(), event, answer, answered: false })
    }

    /// Puts an event into the mailbox. What it answers is dropped, and an error logged.
    pub(crate) fn post(self: &Arc<Door>, request: Request, time: Option<Duration>) -> Result<(), Error> {
        self.send(request, time, Waiter::Nobody(self.clone())).map(drop)
    }

    fn send(&self, request: Request, time: Option<Duration>, waiter: Waiter) -> Result<EventId, Error> {
        let bytes = match &request {
            Request::Event { payload, .. } => payload.len() as u64,
            Request::Value => 0,
        };
        self.take_room(bytes).inspect_err(sight::refused)?;
        let time = time.into_iter().chain(self.spec.limits.event_deadline).min();
        let event = match &request {
            Request::Event { name, .. } => Some(name.clone()),
            Request::Value => None,
        };
        let span = sight::begun(&self.spec, event.as_deref());
        let number = self.front.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.front.events.insert(number, Pending { event, waiter, span });
        self.place.send(match request {
            Request::Event { name, payload, origin } => Command::Start { event: number, name, payload, time, origin },
            Request::Value => Command::Value { event: number, time },
        });
        Ok(number)
    }

    /// Counts an event of this size into the mailbox, or says why there is no room.
    fn take_room(&self, bytes: u64) -> Result<(), Error> {
        let full = |message: String| Err(Error::new(ErrorKind::QueueFull, message));
        let (front, limits, totals) = (&self.front, &self.spec.limits, &self.front.totals);
        if totals.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Stopped, "this Motu is being drained and takes no more events"));
        }
        if let Some(reason) = self.quarantine() {
            return Err(Error::new(ErrorKind::Quarantined, reason));
        }
        if add(&front.waiting, 1, limits.mailbox_events).is_none() {
            let most = limits.mailbox_events;
            return full(format!(
                "{most} events wait in the mailbox for {}, the limit mailbox_events",
                self.spec.tenant
            ));
        }
        // what waits is the tenant's memory too (M4); one payload alone is the payload limit's business
        let mut memory = limits.memory_bytes.saturating_sub(front.memory_bytes.load(Ordering::Relaxed));
        if front.waiting_bytes.load(Ordering::Acquire) == 0 {
            memory = memory.max(bytes);
        }
        if add_wide(&front.waiting_bytes, bytes, memory).is_none() {
            front.waiting.fetch_sub(1, Ordering::AcqRel);
            let most = limits.memory_bytes;
            return full(format!(
                "what waits in the mailbox for {}, with this payload of {bytes} bytes and the memory of the instance, is over \
                 the limit memory_bytes of {most}",
                self.spec.tenant
            ));
        }
        let (events, size) = (self.shared.queue_events, self.shared.queue_bytes);
        let room = add_wide(&totals.waiting, 1, events).is_some();
        if room && add_wide(&totals.waiting_bytes, bytes, size).is_some() {
            return Ok(());
        }
        if room {
            totals.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        front.waiting.fetch_sub(1, Ordering::AcqRel);
        front.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        full(format!("the mailboxes of this Motu hold what they can, {events} events or {size} bytes of payloads"))
    }

    fn is_empty(&self) -> bool {
        self.front.events.is_empty()
    }

    fn quarantine(&self) -> Option<String> {
        self.front.quarantine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn tell(&self, command: Command) {
        if matches!(command, Command::Resume) {
            // at once: what is dispatched next is taken
            *self.front.quarantine.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.place.send(command);
    }

    pub(crate) fn status(&self) -> Status {
        let front = &self.front;
        let waiting = front.waiting.load(Ordering::Acquire);
        let pending = front.events.len();
        Status {
            live: front.live.load(Ordering::Acquire),
            starts: front.starts.load(Ordering::Acquire),
            waiting,
            started: usize::try_from(pending.saturating_sub(waiting.into())).unwrap_or(usize::MAX),
            memory_bytes: front.memory_bytes.load(Ordering::Relaxed),
            waits: front.waits.load(Ordering::Relaxed),
            fuel: front.fuel.load(Ordering::Relaxed),
            quarantine: self.quarantine(),
            last_end: front.last_end.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The events that haven't ended.
    pub(crate) fn pending(&self) -> Vec<Option<Arc<str>>> {
        let mut pending = Vec::new();
        for shard in self.front.events.shards() {
            pending.extend(shard.iter().map(|(number, pending)| (*number, pending.event.clone())));
        }
        pending.sort_unstable();
        pending.into_iter().map(|(_, event)| event).collect()
    }
}

/// Adds, unless the sum is over `most`.
fn add(sum: &AtomicU32, more: u32, most: u32) -> Option<u32> {
    let within = |now: u32| now.checked_add(more).filter(|sum| *sum <= most);
    sum.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).ok()
}

fn add_wide(sum: &AtomicU64, more: u64, most: u64) -> Option<u64> {
    let within = |now: u64| now.checked_add(more).filter(|sum| *sum <= most);
    sum.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).ok()
}

/// All the doors of a Motu, to drain it.
#[derive(Default)]
pub(crate) struct Doors(Mutex<Vec<Weak<Door>>>);

impl Doors {
    fn add(&self, door: &Arc<Door>) {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if doors.len() == doors.capacity() {
            doors.retain(|door| door.strong_count() > 0);
            let live = doors.len();
            doors.reserve(live); // else each newcomer would look through all, while few go
        }
        doors.push(Arc::downgrade(door));
    }

    /// Forgets the events that nobody waits for, and that keep their doors.
    pub(crate) fn give_up(&self) {
        for door in self.all() {
            let pending = door.front.events.take();
            drop(pending); // outside of the locks: it may be the end of the door
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Door>> {
        let doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doors.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Shared {
    pub(crate) async fn drain(&self, within: Duration) -> Drained {
        self.totals.closed.store(true, Ordering::Release);
        let timer = Arc::new(AtomicBool::new(false));
        let (over, totals) = (timer.clone(), self.totals.clone());
        // a thread for the time: the caller's runtime may have no clock
        let alarm = std::thread::Builder::new().name("motu-drain".to_owned()).spawn(move || {
            std::thread::park_timeout(within);
            over.store(true, Ordering::Release);
            totals.ended.notify_waiters();
        });
        let mut busy = self.doors.all();
        loop {
            let ended = self.totals.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            let over = alarm.is_err() || timer.load(Ordering::Acquire);
            // nothing is taken any more: a door that is empty stays so, and the last that isn't tells of the others
            while busy.last().is_some_and(|door| door.is_empty()) {
                busy.pop();
            }
            if over || busy.is_empty() && self.doors.all().iter().all(|door| door.is_empty()) {
                break;
            }
            if busy.is_empty() {
                busy = self.doors.all(); // one was opened, and took an event, just before the end
            }
            ended.await;
        }
        if let Ok(alarm) = alarm {
            alarm.thread().unpark();
        }
        let mut unfinished = Vec::new();
        for door in self.doors.all() {
            let pending = door.pending();
            if !pending.is_empty() {
                door.tell(Command::Stop { cause: "this Motu was drained".to_owned() });
                let tenant = &door.spec.tenant;
                unfinished.extend(
                    pending.into_iter().map(|event| Unfinished {
                        tenant: tenant.clone(),
                        event: event.map(|event| event.to_string()),
                    }),
                );
            }
        }
        Drained { unfinished }
    }
}
