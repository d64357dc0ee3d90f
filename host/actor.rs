//! An instance where it runs: its mailbox, its VM, and the accounts of the events under way. A worker holds it for a slice
//! at a time.
//!
//! Invariants: a started event is never run again; one that was not started survives the VM, and the worker, that it would
//! have run on; each event ends exactly once. A VM that was stopped is never entered again.
//!
//! Here is what it consists of and how it is reached; `run` has what a worker does with it, `end` how things end, `ending` how many
//! of them end without holding a worker.

mod end;
mod ending;
mod give_back;
mod run;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::{Error, Trace};
use crate::functions::{Begun, Called, Granted};
use crate::guest::motu::guest::types::Answer;
use crate::limits::Limits;
use crate::metering::Turn;
use crate::motu::{Bundled, Shared};
use crate::outcome::Usage;
use crate::queue::{Job, Queue, Ran, Timer};
use crate::share::Share;
use crate::strategy::{Command, EventId, Front, Notice, Origin, Place, Spec};
use crate::vm::{Entering, Gauge, Held, Vm};
use crate::waits::Owner;
use ending::Endings;
use give_back::GivingBack;

/// What an event comes by on its way, for tests that have a worker die there.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is in the mailbox.
    Queued,
    /// A VM is about to be started for it.
    Starting,
    /// It counts as started.
    Started,
    /// It has run for a slice.
    Slice,
    /// The guest was left.
    Left,
    /// It was answered.
    Answered,
}

/// Called at each stage, in debug builds.
#[derive(Clone)]
pub(crate) struct Failpoint(
    #[cfg_attr(not(debug_assertions), allow(dead_code, reason = "for tests"))]
    pub(crate)  Arc<dyn Fn(Stage) + Send + Sync>,
);

impl std::fmt::Debug for Failpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failpoint")
    }
}

/// A place in this process.
pub(crate) struct Open(Arc<Actor>);

/// What is known of it everywhere; the rest is in two locks, `inbox` for whoever sends and `body` for whoever runs it.
/// Locked in the order `body`, `inbox`.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    spec: Spec,
    share: Share,
    front: Weak<dyn Front>,
    queue: Arc<Queue>,
    /// Where the bundle is loaded, if it must be: others may wait for the same load, and outlive this instance.
    loads: Arc<Queue>,
    gauge: Gauge,
    granted: Arc<Granted>,
    this: Weak<Actor>,
    /// Whether a message came that must be taken before the next entry.
    urgent: AtomicBool,
    inbox: Mutex<Inbox>,
    body: Mutex<Body>,
}

enum Message {
    Command(Command),
    /// The bundle's image was made, or not.
    Loaded(Result<Arc<Bundled>, Error>),
    /// The memory of a VM that is gone was given back.
    GivenBack,
    /// A host function that the so manyth VM had called was done. Its answer is held for the instance until it goes on.
    Called {
        starts: u64,
        wait: u32,
        called: Called,
        held: Held,
    },
    /// A host function was done, and its answer is more than the limit `memory_bytes` leaves room for.
    TooMuch {
        starts: u64,
        wait: u32,
        bytes: u64,
    },
}

impl Message {
    /// Whether it is taken before the next entry. Others may be taken some entries later.
    fn is_urgent(&self) -> bool {
        !matches!(self, Message::Command(Command::Start { .. } | Command::Value { .. }) | Message::Called { .. })
    }
}

#[derive(Default)]
struct Inbox {
    /// And when it was sent: an event's time runs from then.
    messages: VecDeque<(Instant, Message)>,
    /// In the queue, or held by a worker: whoever sends needn't put it in.
    busy: bool,
    /// A time came while it was busy.
    due: bool,
    closed: bool,
    /// The earliest time that the queue was asked for.
    timer: Option<Timer>,
}

/// Calls that have come to something which the guest wasn't told yet: the wait's number, the outcome, the fuel, and the memory.
type Answers = VecDeque<(u32, Came, u64, Held)>;

/// Returns the fuel of calls together. The tenant pays it even if the guest never takes their outcomes.
fn fuel_of(answers: &Answers) -> u64 {
    answers.iter().map(|(_, _, fuel, _)| *fuel).fold(0, u64::saturating_add)
}

#[derive(Default)]
struct Body {
    /// Kept for its image; gone while nothing uses it.
    bundled: Option<Arc<Bundled>>,
    /// At rest: here, or nowhere.
    vm: Option<Vm>,
    /// At work.
    inside: Option<Inside>,
    /// Taken from the inbox, and not looked at yet.
    incoming: VecDeque<(Instant, Message)>,
    /// By their numbers, which are in the order in which they were sent.
    mailbox: Mailbox,
    /// What the payloads in it take.
    mailbox_bytes: u64,
    /// Events that have ended and weren't answered yet.
    endings: Endings,
    /// Events that were started and haven't ended.
    started: BTreeMap<EventId, Account>,
    /// When which event is over, started or not.
    deadlines: BTreeSet<(Instant, EventId)>,
    /// What calls of host functions came to, for coroutines that wait, and the fuel that it has cost.
    answers: Answers,
    /// The guest has tasks to run before anything else, on behalf of this owner.
    deferred: Option<Arc<Owner>>,
    /// Events whose handlers are to be closed.
    cancels: VecDeque<EventId>,
    /// Whether an event was started last, and not something that waited resumed: they take turns.
    started_last: bool,
    /// The handler `start` of this VM has not ended yet: no event starts before.
    starting: bool,
    starts: u64,
    /// A VM is there, at rest or at work.
    live: bool,
    /// No VM is started meanwhile.
    giving_back: GivingBack,
    /// The image is being made: nothing can start before.
    loading: bool,
    paused: bool,
    /// When it had nothing to do any more.
    idle_since: Option<Instant>,
    /// When it was ended by what its scripts did, in the last `restart_window`.
    ends: VecDeque<Instant>,
    /// Until then it is given nothing to do, and why.
    quarantine: Option<(Instant, String)>,
    /// The memory that the front was told of last.
    told_bytes: u64,
    /// The waits of its tasks that the front was told of last.
    told_waits: usize,
    /// The interval until memory that is held without a VM is looked at again.
    held_again: Duration,
    /// When such memory is looked at next.
    held_look: Option<Instant>,
}

/// Messages that nobody reads any more. What they have cost is charged where they are dropped: there may be many.
struct Unread {
    messages: VecDeque<(Instant, Message)>,
    share: Share,
}

impl Drop for Unread {
    fn drop(&mut self) {
        let fuel = |(_, message): &(Instant, Message)| match message {
            Message::Called { called, .. } => called.fuel(),
            _ => 0,
        };
        self.share.burn(self.messages.iter().map(fuel).fold(0, u64::saturating_add));
    }
}

/// What a call came to that had to wait.
enum Came {
    Answer(Answer),
    /// It has more to compute.
    GivesWay(Begun),
}

/// Boxed, so that the map's nodes stay small: the allocator is slow with large ones.
type Mailbox = BTreeMap<EventId, Box<Waiting>>;

/// An event in the mailbox.
struct Waiting {
    event: EventId,
    /// The handler; none asks for the entry's value.
    name: Option<Arc<str>>,
    payload: Vec<u8>,
    since: Instant,
    time: Option<Duration>,
    origin: Origin,
}

impl Waiting {
    fn over(&self) -> Option<Instant> {
        over(self.since, self.time)
    }
}

/// What an event may use, and has used.
struct Account {
    name: Arc<str>,
    since: Instant,
    time: Option<Duration>,
    budget: Option<u64>,
    fuel: u64,
    /// Nobody wants its answer any more: it ends when it waits next.
    unwanted: bool,
}

impl Account {
    fn usage(&self, gauge: &Gauge) -> Usage {
        Usage { fuel: self.fuel, memory_bytes: gauge.bytes(), elapsed: self.since.elapsed() }
    }
}

/// An entry that is under way.
struct Inside {
    entering: Entering,
    owner: Arc<Owner>,
    /// Its fuel, if it isn't that of an event.
    budget: Option<u64>,
    /// Fuel that was charged to the share already, slice by slice.
    charged: u64,
}

/// Nil, on the wire.
const NIL: u8 = 0xc0;

/// What is larger is let go of beside the workers. The allocator gives what lies at the end of its heap back to the kernel, with all
/// that was freed before it: 3 ms for 30 MB, in whichever step frees the last of it.
const LARGE_BYTES: u64 = 64 << 10;

/// More messages and events are let go of there too.
const MANY: usize = 256;

/// How many traces a tenant has in a second, of all its instances.
const TRACES_PER_SECOND: u32 = 10;

/// The number of the handler `start`, which is nobody's event.
const START: EventId = 0;

/// What a slice came to.
enum Slice {
    /// There is more to do.
    More,
    /// Nothing to do before a time, or a command.
    Rest,
    /// The tenant is over its rate until then.
    Held(Instant),
}

impl Actor {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        spec: Spec,
        share: Share,
        front: Weak<dyn Front>,
        queue: &Arc<Queue>,
        loads: &Arc<Queue>,
    ) -> Open {
        let granted = Arc::new(Granted::new(spec.grants.clone()));
        Open(Arc::new_cyclic(|this| Actor {
            shared: shared.clone(),
            granted,
            spec,
            share,
            front,
            queue: queue.clone(),
            loads: loads.clone(),
            gauge: Gauge::default(),
            this: this.clone(),
            urgent: AtomicBool::new(false),
            inbox: Mutex::default(),
            body: Mutex::default(),
        }))
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a panic too: `lost` puts right what it left.
    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(self: Arc<Self>, message: Message) {
        drop(self.try_send(message));
    }

    /// Returns the message if the instance is closed.
    fn try_send(self: Arc<Self>, message: Message) -> Option<Message> {
        let now = Instant::now();
        let mut inbox = self.inbox();
        if inbox.closed {
            return Some(message);
        }
        if message.is_urgent() {
            self.urgent.store(true, Ordering::Release);
        }
        inbox.messages.push_back((now, message));
        let idle = !std::mem::replace(&mut inbox.busy, true);
        drop(inbox);
        if idle {
            self.queue.clone().push(self);
        }
        None
    }

    /// A host function that the so manyth VM had called was done: on the thread where it was.
    fn called(self: Arc<Self>, starts: u64, wait: u32, called: Called) {
        let (bytes, fuel) = (called.bytes(), called.fuel());
        match self.gauge.hold_within(bytes, self.limits().memory_bytes) {
            Some(held) => {
                if let Some(late) = self.clone().try_send(Message::Called { starts, wait, called, held }) {
                    self.share.burn(fuel);
                    self.let_go(bytes, late);
                }
            }
            None => {
                self.share.burn(fuel);
                self.let_go(bytes, (called, self.gauge.held_of(bytes)));
                self.send(Message::TooMuch { starts, wait, bytes });
            }
        }
    }

    fn notice(&self, notice: Notice) {
        if let Some(front) = self.front.upgrade() {
            front.notice(notice);
        }
    }

    /// Who the entries of an event are made for, and what it leaves behind.
    fn owner(&self, event: EventId, name: Arc<str>, origin: Origin) -> Arc<Owner> {
        Arc::new(Owner { event, name, origin, log_left: AtomicU32::new(self.limits().log_bytes) })
    }

    /// Finds where the scripts of an entry were that came to an error, or that is stopped here. The trace is empty if the tenant has had its
    /// traces of the last second.
    fn autopsy(&self, entering: Entering) -> Trace {
        match self.may_trace() {
            true => entering.autopsy(&self.shared.factory, &self.spec.bundle),
            false => Trace::default(),
        }
    }

    /// Whether the tenant has a trace left in this second: without that bound, who dies at each event would have two instances made for each.
    fn may_trace(&self) -> bool {
        self.shared.traces.take((), &self.spec.tenant, TRACES_PER_SECOND, 1).is_ok()
    }

    /// Where a test may have the worker die.
    fn stage(&self, stage: Stage) {
        #[cfg(debug_assertions)]
        if let Some(failpoint) = &self.shared.failpoint {
            (failpoint.0)(stage);
        }
        let _ = stage;
    }

    fn limits(&self) -> &Arc<Limits> {
        &self.spec.limits
    }

    /// Drops something that takes so many bytes: here, or beside the workers if it is large.
    fn let_go(&self, bytes: u64, what: impl Send + 'static) {
        if bytes > LARGE_BYTES {
            self.shared.functions.aside.discard(&self.spec.tenant, what);
        }
    }

    /// Drops all that a closed instance had. Its VM goes at once.
    fn bury(&self, mut gone: Body) {
        let messages = std::mem::take(&mut self.inbox().messages);
        let events = gone.mailbox.len() + gone.started.len() + gone.endings.len();
        let count = messages.len() + gone.incoming.len() + events;
        self.share.burn(fuel_of(&gone.answers));
        let answers = (std::mem::take(&mut gone.answers), std::mem::take(&mut gone.endings));
        let events = (std::mem::take(&mut gone.mailbox), std::mem::take(&mut gone.started));
        let deadlines = std::mem::take(&mut gone.deadlines);
        let waited = [messages, std::mem::take(&mut gone.incoming)].map(|messages| {
            let share = self.share.clone();
            Unread { messages, share }
        });
        drop(gone);
        let payload = |(_, message): &(Instant, Message)| match message {
            Message::Command(Command::Start { payload, .. }) => payload.len() as u64, // on no gauge yet
            _ => 0,
        };
        let sent: u64 = waited.iter().flat_map(|unread| &unread.messages).take(MANY).map(payload).sum();
        let bytes = if count > MANY { u64::MAX } else { self.gauge.held() + sent };
        self.let_go(bytes, (answers, events, waited, deadlines));
    }
}

impl Place for Open {
    fn send(&self, command: Command) {
        match command {
            // at once, also for what runs now
            Command::Grant { grants } => self.0.granted.set(grants),
            command => self.0.clone().send(Message::Command(command)),
        }
    }
}

impl Drop for Open {
    /// The VM goes here if nobody runs it, and with the slice that is run otherwise.
    fn drop(&mut self) {
        let mut inbox = self.0.inbox();
        inbox.closed = true;
        let (busy, timer) = (inbox.busy, inbox.timer.take());
        drop(inbox);
        if let Some(timer) = timer {
            self.0.queue.forget(timer);
        }
        if !busy {
            let gone = std::mem::take(&mut *self.0.body());
            self.0.bury(gone);
        }
    }
}

impl Job for Actor {
    fn share(&self) -> &Share {
        &self.share
    }

    #[cfg(debug_assertions)]
    fn what(&self) -> String {
        let body = self.body();
        let event = match (&body.inside, body.mailbox.first_key_value()) {
            (Some(inside), _) => inside.owner.name.clone(),
            (None, Some((_, waiting))) => waiting.name.clone().unwrap_or_default(),
            (None, None) => Arc::default(),
        };
        format!("{} {} {event}", self.spec.bundle.digest(), self.spec.tenant)
    }

    fn run(self: Arc<Self>, turn: &Turn) -> Ran {
        let mut body = self.body();
        let (slice, fuel) = body.slice(&self, turn);
        body.tell_held(&self);
        let held = if let Slice::Held(until) = slice { Some(until) } else { None };
        let wanted = body.next_due(self.limits(), &self.shared.clock, held);
        let mut inbox = self.inbox();
        if inbox.closed {
            let gone = std::mem::take(&mut *body);
            drop((inbox, body));
            self.bury(gone);
            return Ran { fuel, more: false };
        }
        let more = matches!(slice, Slice::More) || !inbox.messages.is_empty() || std::mem::take(&mut inbox.due);
        inbox.busy = more;
        if let Some(at) = wanted.filter(|at| inbox.timer.is_none_or(|timer| *at < timer.at)) {
            inbox.timer = Some(self.queue.wake_at(at, self.this.clone(), inbox.timer));
        }
        Ran { fuel, more }
    }

    fn due(self: Arc<Self>) {
        let mut inbox = self.inbox();
        inbox.timer = None;
        if inbox.closed {
            return;
        }
        if std::mem::replace(&mut inbox.busy, true) {
            inbox.due = true;
            return;
        }
        drop(inbox);
        self.queue.clone().push(self);
    }

    fn lost(self: Arc<Self>, cause: &str) {
        let mut body = self.body();
        body.lose(&self, None, cause);
        body.count_end(&self, cause); // or a fault that comes at each start would kill workers for ever
        drop(body);
        // what was not started goes on, on another worker
        self.inbox().busy = true;
        self.queue.clone().push(self);
    }
}

fn over(since: Instant, time: Option<Duration>) -> Option<Instant> {
    since.checked_add(time?)
}
