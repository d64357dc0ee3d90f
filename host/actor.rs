//! An instance where it runs: its mailbox, its VM, and the accounts of the events under way. A worker holds it for a slice
//! at a time.
//!
//! Invariants: a started event is never run again; one that was not started survives the VM, and the worker, that it would
//! have run on; each event ends exactly once. A VM that was stopped is never entered again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::bundles::{Bundles, Waiter};
use crate::error::{Error, ErrorKind};
use crate::functions::{Called, Caller};
use crate::guest::motu::guest::types::Answer;
use crate::limits::Limits;
use crate::load::out_of_time;
use crate::motu::{Bundled, Shared};
use crate::outcome::Usage;
use crate::queue::{Job, Queue};
use crate::share::Share;
use crate::strategy::{Command, EventId, Front, Notice, Place, Spec};
use crate::vm::{Entering, Entry, Exit, Gauge, Left, Vm, failed};
use crate::waits::Owner;

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
    share: Arc<Share>,
    front: Weak<dyn Front>,
    queue: Arc<Queue>,
    /// Where the bundle is loaded, if it must be: others may wait for the same load, and outlive this instance.
    loads: Arc<Queue>,
    gauge: Gauge,
    this: Weak<Actor>,
    inbox: Mutex<Inbox>,
    body: Mutex<Body>,
}

enum Message {
    Command(Command),
    /// The bundle's image was made, or not.
    Loaded(Result<Arc<Bundled>, Error>),
    /// A host function that the so manyth VM had called was done.
    Called {
        starts: u64,
        wait: u32,
        called: Called,
    },
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
    timer: Option<Instant>,
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
    mailbox: VecDeque<Waiting>,
    /// Events that were started and haven't ended.
    started: HashMap<EventId, Account>,
    /// When which event is over, started or not.
    deadlines: BTreeSet<(Instant, EventId)>,
    /// Answers of host functions, for coroutines that wait.
    answers: VecDeque<(u32, Answer)>,
    /// The guest has tasks to run before anything else, on behalf of this owner.
    deferred: Option<Owner>,
    /// Events whose handlers are to be closed.
    cancels: VecDeque<EventId>,
    /// Whether an event was started last, and not something that waited resumed: they take turns.
    started_last: bool,
    /// The handler `start` of this VM has not ended yet: no event starts before.
    starting: bool,
    starts: u64,
    /// A VM is there, at rest or at work.
    live: bool,
    /// The image is being made: nothing can start before.
    loading: bool,
    paused: bool,
    /// When it had nothing to do any more.
    idle_since: Option<Instant>,
    /// When it was ended by what its scripts did, in the last `restart_window`.
    ends: VecDeque<Instant>,
    /// Until then it is given nothing to do, and why.
    quarantine: Option<(Instant, String)>,
}

/// An event in the mailbox.
struct Waiting {
    event: EventId,
    /// The handler; none asks for the entry's value.
    name: Option<Arc<str>>,
    payload: Vec<u8>,
    since: Instant,
    time: Option<Duration>,
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
    owner: Owner,
    /// Its fuel, if it isn't that of an event.
    budget: Option<u64>,
    /// Fuel that was charged to the share already, slice by slice.
    charged: u64,
}

/// Nil, on the wire.
const NIL: u8 = 0xc0;

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
        share: Arc<Share>,
        front: Weak<dyn Front>,
        queue: &Arc<Queue>,
        loads: &Arc<Queue>,
    ) -> Open {
        Open(Arc::new_cyclic(|this| Actor {
            shared: shared.clone(),
            spec,
            share,
            front,
            queue: queue.clone(),
            loads: loads.clone(),
            gauge: Gauge::default(),
            this: this.clone(),
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
        let now = Instant::now();
        let mut inbox = self.inbox();
        if inbox.closed {
            return;
        }
        inbox.messages.push_back((now, message));
        let idle = !std::mem::replace(&mut inbox.busy, true);
        drop(inbox);
        if idle {
            self.queue.clone().push(self);
        }
    }

    fn notice(&self, notice: Notice) {
        if let Some(front) = self.front.upgrade() {
            front.notice(notice);
        }
    }

    /// Where a test may have the worker die.
    fn stage(&self, stage: Stage) {
        #[cfg(debug_assertions)]
        if let Some(failpoint) = &self.shared.failpoint {
            (failpoint.0)(stage);
        }
        let _ = stage;
    }

    fn limits(&self) -> &Limits {
        &self.spec.limits
    }
}

impl Place for Open {
    fn send(&self, command: Command) {
        self.0.clone().send(Message::Command(command));
    }
}

impl Drop for Open {
    /// The VM goes here if nobody runs it, and with the slice that is run otherwise.
    fn drop(&mut self) {
        let mut inbox = self.0.inbox();
        inbox.closed = true;
        let busy = inbox.busy;
        drop(inbox);
        if !busy {
            let gone = std::mem::take(&mut *self.0.body());
            drop(gone);
        }
    }
}

impl Job for Actor {
    fn share(&self) -> &Share {
        &self.share
    }

    fn run(self: Arc<Self>) -> u64 {
        let mut body = self.body();
        let (slice, burnt) = body.slice(&self);
        let first = body.next_due(self.limits());
        let mut inbox = self.inbox();
        if inbox.closed {
            let gone = std::mem::take(&mut *body);
            drop((inbox, body));
            drop(gone);
            return burnt;
        }
        let more = matches!(slice, Slice::More) || !inbox.messages.is_empty() || std::mem::take(&mut inbox.due);
        inbox.busy = more;
        let held = if let Slice::Held(until) = slice { Some(until) } else { None };
        let wanted = first.into_iter().chain(held).min();
        let ask = wanted.filter(|at| inbox.timer.is_none_or(|timer| *at < timer));
        if ask.is_some() {
            inbox.timer = ask;
        }
        drop((inbox, body));
        if let Some(at) = ask {
            self.queue.wake_at(at, self.this.clone());
        }
        if more {
            self.queue.clone().push_again(self);
        }
        burnt
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

impl Body {
    /// Takes what was sent, ends what is over, and runs the guest for about a slice of fuel.
    fn slice(&mut self, actor: &Actor) -> (Slice, u64) {
        let mut burnt: u64 = 0;
        loop {
            self.take_messages(actor);
            let now = Instant::now();
            self.end_overdue(actor, now);
            if self.paused || self.inside.is_none() && !self.has_entry(now) {
                self.rest(actor, now);
                return (Slice::Rest, burnt);
            }
            self.idle_since = None;
            if burnt >= Limits::SLICE_FUEL {
                return (Slice::More, burnt);
            }
            if let Some(until) = actor.share.held_until(now) {
                return (Slice::Held(until), burnt);
            }
            if self.inside.is_none() {
                self.enter_next(actor, now);
            }
            burnt = burnt.saturating_add(self.poll(actor));
        }
    }

    /// Whether there is something to enter the guest for.
    fn has_entry(&mut self, now: Instant) -> bool {
        let resumes = self.deferred.is_some() || !self.cancels.is_empty() || !self.answers.is_empty();
        resumes || self.sleep_is_over(now) || self.may_start()
    }

    fn may_start(&self) -> bool {
        !self.mailbox.is_empty() && !self.loading && !self.starting
    }

    fn sleep_is_over(&mut self, now: Instant) -> bool {
        self.vm.as_mut().and_then(|vm| vm.waits().next_due()).is_some_and(|due| due <= now)
    }

    /// When to look again, if nothing is sent before.
    fn next_due(&mut self, limits: &Limits) -> Option<Instant> {
        let sleep = self.vm.as_mut().and_then(|vm| vm.waits().next_due()).filter(|_| !self.paused);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let idle = self.idle_since.zip(limits.idle_after).and_then(|(since, after)| since.checked_add(after));
        deadline
            .into_iter()
            .chain(sleep)
            .chain(idle.filter(|_| self.live))
            .chain(self.quarantine.as_ref().map(|(until, _)| *until))
            .min()
    }

    /// Nothing is to be done. After a while without anything, the VM goes, with its globals.
    fn rest(&mut self, actor: &Actor, now: Instant) {
        if self.quarantine.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.release(actor);
        }
        let waits = self.vm.as_mut().is_some_and(|vm| !vm.waits().is_empty());
        if waits || !self.started.is_empty() || !self.mailbox.is_empty() || self.paused {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        let over = actor.limits().idle_after.is_some_and(|after| now.saturating_duration_since(since) >= after);
        if over && self.live {
            self.drop_vm(actor);
            self.bundled = None;
        }
    }

    fn drop_vm(&mut self, actor: &Actor) {
        drop((self.vm.take(), self.inside.take())); // before anybody is told
        self.answers.clear();
        self.cancels.clear();
        (self.deferred, self.starting) = (None, false);
        if std::mem::take(&mut self.live) {
            actor.notice(Notice::Gone);
        }
    }

    fn take_messages(&mut self, actor: &Actor) {
        {
            let mut inbox = actor.inbox();
            if self.incoming.is_empty() {
                std::mem::swap(&mut self.incoming, &mut inbox.messages);
            } else {
                self.incoming.append(&mut inbox.messages);
            }
        }
        // one at a time: a panic on the way loses none of the others
        while let Some((since, message)) = self.incoming.pop_front() {
            match message {
                Message::Command(Command::Start { event, name, payload, time }) => {
                    self.enqueue(actor, Waiting { event, name: Some(name), payload, since, time });
                }
                Message::Command(Command::Value { event, time }) => {
                    self.enqueue(actor, Waiting { event, name: None, payload: Vec::new(), since, time });
                }
                Message::Command(Command::Cancel { event }) => self.cancel(actor, event),
                Message::Command(Command::Kill { cause }) => self.lose(actor, None, &cause),
                Message::Command(Command::Stop { cause }) => {
                    self.lose(actor, None, &cause);
                    self.refuse_all(actor, &Error::new(ErrorKind::Stopped, cause));
                }
                Message::Command(Command::Pause) => self.paused = true,
                Message::Command(Command::Resume) => {
                    self.paused = false;
                    self.release(actor);
                }
                Message::Loaded(loaded) => self.loaded(actor, loaded),
                // what a VM before this one called is of no use
                Message::Called { starts, .. } if starts != self.starts || !self.live => (),
                Message::Called { wait, called: Called::Answer(answer), .. } => self.answers.push_back((wait, answer)),
                Message::Called { wait, called: Called::Panicked { what, message }, .. } => {
                    self.call_panicked(actor, wait, &what, &message);
                }
            }
        }
    }

    fn enqueue(&mut self, actor: &Actor, waiting: Waiting) {
        if let Some((_, reason)) = &self.quarantine {
            // sent before the quarantine was known of
            actor.gauge.hold(waiting.payload.len() as u64);
            return Body::refuse(actor, &waiting, Error::new(ErrorKind::Quarantined, reason.as_str()));
        }
        if let Some(at) = waiting.over() {
            self.deadlines.insert((at, waiting.event));
        }
        actor.gauge.hold(waiting.payload.len() as u64);
        self.mailbox.push_back(waiting);
        actor.stage(Stage::Queued);
    }

    /// The image is there, or what waits for it can't be run.
    fn loaded(&mut self, actor: &Actor, loaded: Result<Arc<Bundled>, Error>) {
        self.loading = false;
        match loaded {
            Ok(bundled) => {
                actor.shared.bundles.keep(&bundled);
                self.bundled = Some(bundled);
            }
            Err(error) => self.refuse_all(actor, &error),
        }
    }

    fn refuse_all(&mut self, actor: &Actor, error: &Error) {
        for waiting in std::mem::take(&mut self.mailbox) {
            if let Some(at) = waiting.over() {
                self.deadlines.remove(&(at, waiting.event));
            }
            Body::refuse(actor, &waiting, error.clone());
        }
    }

    /// Whoever wanted the answer is gone. An event that was not started never is. One that waits is closed; one that
    /// computes goes on to its next wait, or its end.
    fn cancel(&mut self, actor: &Actor, event: EventId) {
        if let Some(waiting) = self.take_waiting(event) {
            Body::refuse(actor, &waiting, Error::new(ErrorKind::InstanceLost, "cancelled before it was started"));
        } else if self.inside.is_some()
            && let Some(account) = self.started.get_mut(&event)
        {
            account.unwanted = true;
        } else if self.started.contains_key(&event) {
            self.close(actor, event, Error::new(ErrorKind::InstanceLost, "cancelled"));
        }
    }

    /// Ends an event that waits, and closes its coroutine.
    fn close(&mut self, actor: &Actor, event: EventId, error: Error) {
        self.end_started(actor, event, Err(error));
        self.cancels.push_back(event);
    }

    /// The event that called ends with what happened, and the instance with it.
    fn call_panicked(&mut self, actor: &Actor, wait: u32, what: &str, message: &str) {
        let error = Error::new(ErrorKind::Host, format!("{what} panicked: {message}"));
        let cause = error.message().to_owned();
        let owner = self.vm.as_mut().and_then(|vm| vm.waits().take(wait));
        self.lose(actor, owner.map(|owner| (owner.event, error)), &cause);
    }

    fn take_waiting(&mut self, event: EventId) -> Option<Waiting> {
        let at = self.mailbox.iter().position(|waiting| waiting.event == event)?;
        let waiting = self.mailbox.remove(at)?;
        if let Some(at) = waiting.over() {
            self.deadlines.remove(&(at, event));
        }
        Some(waiting)
    }

    /// Ends the events whose time is up. One that computes loses the VM: it can't be stopped otherwise.
    fn end_overdue(&mut self, actor: &Actor, now: Instant) {
        while let Some((at, event)) = self.deadlines.first().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            if let Some(waiting) = self.take_waiting(event) {
                Body::refuse(actor, &waiting, out_of_time(waiting.time.unwrap_or_default()));
            } else if let Some(account) = self.started.get(&event) {
                let error = out_of_time(account.time.unwrap_or_default());
                if self.inside.as_ref().is_some_and(|inside| inside.owner.event == event) {
                    // it computes, and can't be stopped otherwise
                    let cause = format!("the event {:?} ran out of time", account.name);
                    self.lose(actor, Some((event, error)), &cause);
                } else {
                    self.close(actor, event, error);
                }
            }
        }
    }

    /// Enters the VM for what is next: what was deferred, what is to be closed, and then, in turns, what waited and is
    /// answered, and the next event of the mailbox.
    fn enter_next(&mut self, actor: &Actor, now: Instant) {
        if let Some(owner) = self.deferred.take() {
            return self.enter(actor, owner, Entry::Deferred);
        }
        if let Some(event) = self.cancels.pop_front() {
            let owner = Owner { event, name: "".into() };
            return self.enter(actor, owner, Entry::Cancel { event });
        }
        if self.may_start() && !self.started_last {
            self.started_last = true;
            return self.start_next(actor);
        }
        self.started_last = false;
        if let Some(vm) = &mut self.vm {
            if let Some((wait, answer)) = self.answers.pop_front() {
                if let Some(owner) = vm.waits().take(wait) {
                    self.enter(actor, owner, Entry::Resume { wait, answer });
                }
                return;
            }
            if let Some((wait, owner)) = vm.waits().take_due(now) {
                return self.enter(actor, owner, Entry::Resume { wait, answer: Answer::Elapsed });
            }
        }
        if self.may_start() {
            self.start_next(actor);
        }
    }

    /// Enters the VM that is there, on the account of the event, or if that has ended, with the budget of what it left.
    fn enter(&mut self, actor: &Actor, owner: Owner, entry: Entry) {
        let Some(vm) = self.vm.take() else { return };
        let account = self.started.get(&owner.event);
        let budget = match account {
            Some(account) => account.budget.map(|budget| budget.saturating_sub(account.fuel)),
            None if matches!(entry, Entry::Cancel { .. }) => None,
            None => actor.limits().background_fuel,
        };
        self.inside =
            Some(Inside { entering: vm.enter(entry, budget, Some(owner.clone())), owner, budget, charged: 0 });
    }

    /// Starts the next event of the mailbox, and a VM for it if there is none.
    fn start_next(&mut self, actor: &Actor) {
        if self.vm.is_none() {
            let bundled = self.bundled.clone().or_else(|| actor.shared.bundles.find(&actor.spec.bundle));
            let Some(bundled) = bundled else { return self.load(actor) };
            let has_start = bundled.has_start;
            match self.start_vm(actor, bundled) {
                Ok(vm) => self.vm = Some(vm),
                Err(error) => {
                    let event = self.mailbox.front().map(|waiting| waiting.event);
                    if let Some(waiting) = event.and_then(|event| self.take_waiting(event)) {
                        Body::refuse(actor, &waiting, error);
                    }
                    return;
                }
            }
            if has_start {
                return self.run_start(actor);
            }
        }
        let Some(next) = self.mailbox.front_mut() else { return };
        let (event, since, time) = (next.event, next.since, next.time);
        let name = next.name.clone();
        let payload = std::mem::take(&mut next.payload);
        let payload_bytes = payload.len() as u64;
        let (shown, budget) = (name.clone().unwrap_or_else(|| "".into()), actor.limits().event_fuel);
        self.started.insert(event, Account { name: shown.clone(), since, time, budget, fuel: 0, unwanted: false });
        self.mailbox.pop_front();
        actor.gauge.release(payload_bytes);
        actor.notice(Notice::Started { payload_bytes });
        actor.stage(Stage::Started);
        let entry = match name {
            Some(name) => Entry::Start { event, name, payload },
            None => Entry::Value,
        };
        self.enter(actor, Owner { event, name: shown }, entry);
    }

    /// A fresh VM runs its handler `start` before its first event.
    fn run_start(&mut self, actor: &Actor) {
        let (since, time, name) = (Instant::now(), actor.limits().start_deadline, Arc::<str>::from("start"));
        self.starting = true;
        if let Some(at) = over(since, time) {
            self.deadlines.insert((at, START));
        }
        let budget = actor.limits().start_fuel;
        self.started.insert(START, Account { name: name.clone(), since, time, budget, fuel: 0, unwanted: false });
        let entry = Entry::Start { event: START, name: name.clone(), payload: vec![NIL] };
        self.enter(actor, Owner { event: START, name }, entry);
    }

    /// Has the bundle's image made: it was dropped when nobody used it, or never made.
    fn load(&mut self, actor: &Actor) {
        self.loading = true;
        let (wanted, told) = (actor.this.clone(), actor.this.clone());
        let waiter = Waiter {
            wanted: Box::new(move || wanted.strong_count() > 0),
            tell: Box::new(move |loaded| {
                if let Some(actor) = told.upgrade() {
                    actor.send(Message::Loaded(loaded));
                }
            }),
        };
        Bundles::ask(&actor.shared, &actor.loads, &actor.share, &actor.spec.bundle, waiter);
    }

    fn start_vm(&mut self, actor: &Actor, bundled: Arc<Bundled>) -> Result<Vm, Error> {
        actor.stage(Stage::Starting);
        self.starts += 1;
        let seed = actor.spec.seed.unwrap_or_else(|| RandomState::new().hash_one(self.starts));
        let Shared { factory, log, .. } = &*actor.shared;
        let tenant = Some(actor.spec.tenant.clone());
        let vm = factory.start(&bundled.image, actor.limits(), seed, log.clone(), tenant, actor.gauge.clone());
        self.bundled = Some(bundled);
        let (starts, told) = (self.starts, actor.this.clone());
        let answer = move |wait, called| {
            if let Some(actor) = told.upgrade() {
                actor.send(Message::Called { starts, wait, called });
            }
        };
        let vm = vm?.without_image().with_caller(Caller {
            functions: actor.shared.functions.clone(),
            tenant: actor.spec.tenant.clone(),
            limits: actor.spec.limits.clone(),
            grants: actor.spec.grants.clone(),
            answer: Arc::new(answer),
        });
        self.live = true;
        actor.notice(Notice::Live { starts: self.starts });
        Ok(vm)
    }

    /// Runs the guest until it has burnt a slice, or is left. Returns what it burnt.
    fn poll(&mut self, actor: &Actor) -> u64 {
        let Some(inside) = &mut self.inside else { return 0 };
        let Some(Left { vm, exit, fuel }) = crate::vm::poll(&mut inside.entering) else {
            inside.charged += Limits::SLICE_FUEL;
            actor.share.charge(Limits::SLICE_FUEL);
            actor.stage(Stage::Slice);
            return Limits::SLICE_FUEL;
        };
        let burnt = fuel.saturating_sub(inside.charged);
        let (owner, budget) = (inside.owner.clone(), inside.budget);
        actor.share.charge(burnt);
        self.inside = None;
        actor.stage(Stage::Left);
        if let Some(account) = self.started.get_mut(&owner.event) {
            account.fuel += fuel;
        }
        match exit {
            Ok(exit) => {
                self.vm = vm;
                self.left(actor, &owner, exit);
            }
            Err(error) => self.stopped(actor, &owner, error, budget),
        }
        actor.stage(Stage::Answered);
        burnt
    }

    /// The guest came back by itself.
    fn left(&mut self, actor: &Actor, owner: &Owner, exit: Exit) {
        match exit {
            Exit::Value(answer) => self.end_started(actor, owner.event, answer.map_err(failed)),
            Exit::Cancelled => (),
            Exit::Step(step) => {
                if step.deferred {
                    self.deferred = Some(owner.clone());
                }
                for ended in step.ended {
                    self.end_started(actor, ended.event, ended.outcome.map_err(failed));
                }
            }
            Exit::Loaded(_) | Exit::Checked(_) => {
                let error = Error::internal("the guest gave an answer to something else");
                self.lose(actor, Some((owner.event, error)), "the guest broke its word");
            }
        }
        // one whose caller is gone, and that waits now
        if self.started.get(&owner.event).is_some_and(|account| account.unwanted) && self.deferred.is_none() {
            self.close(actor, owner.event, Error::new(ErrorKind::InstanceLost, "cancelled"));
        }
    }

    /// A limit or a trap ended the entry, and the VM.
    fn stopped(&mut self, actor: &Actor, owner: &Owner, error: Error, budget: Option<u64>) {
        let Some(account) = self.started.get(&owner.event) else {
            let budget = budget.map_or("no limit".to_owned(), |fuel| fuel.to_string());
            let cause = format!("a task that the event {:?} had left behind ended with {error}", owner.name);
            tracing::warn!(tenant = %actor.spec.tenant, event = &*owner.name, cause, budget, "an instance was lost");
            self.lose(actor, None, &cause);
            return self.count_end(actor, &cause);
        };
        // an entry has what is left of the event's budget: say what the whole was
        let error = match (error.kind(), account.budget) {
            (ErrorKind::Fuel, Some(budget)) => crate::vm::out_of_fuel(budget),
            _ => error,
        };
        let cause = format!("the event {:?} of it ended with {error}", owner.name);
        self.lose(actor, Some((owner.event, error)), &cause);
    }

    fn end_started(&mut self, actor: &Actor, event: EventId, answer: Result<Vec<u8>, Error>) {
        let Some(account) = self.started.remove(&event) else { return };
        if let Some(at) = over(account.since, account.time) {
            self.deadlines.remove(&(at, event));
        }
        let usage = account.usage(&actor.gauge);
        let answer = answer.map_err(|error| error.with_usage(usage));
        if event == START {
            self.starting = false;
            if let Err(error) = answer {
                self.start_failed(actor, &error);
            }
            return;
        }
        actor.notice(Notice::Ended { event, unstarted_bytes: None, answer, usage });
    }

    /// The handler `start` failed: so does what waited for it, and the VM is of no use.
    fn start_failed(&mut self, actor: &Actor, error: &Error) {
        self.drop_vm(actor);
        self.refuse_all(actor, error);
        self.count_end(actor, &error.to_string());
    }

    /// Ends an event that was taken out of the mailbox.
    fn refuse(actor: &Actor, waiting: &Waiting, error: Error) {
        actor.gauge.release(waiting.payload.len() as u64);
        let usage = Usage { elapsed: waiting.since.elapsed(), ..Usage::default() };
        let (event, answer) = (waiting.event, Err(error.with_usage(usage)));
        let unstarted_bytes = Some(waiting.payload.len() as u64);
        actor.notice(Notice::Ended { event, unstarted_bytes, answer, usage });
    }

    /// Gives the VM up. One event may have an error of its own; the others that were started end as lost, those that were
    /// not stay in the mailbox.
    fn lose(&mut self, actor: &Actor, why: Option<(EventId, Error)>, cause: &str) {
        if let Some(inside) = &self.inside
            && let Some(account) = self.started.get_mut(&inside.owner.event)
        {
            account.fuel += inside.charged;
        }
        self.drop_vm(actor);
        // one whose start was under way when a worker died
        let started = &self.started;
        self.mailbox.retain(|waiting| !started.contains_key(&waiting.event));
        let blamed = why.as_ref().filter(|(event, _)| *event != START).map(|(_, error)| error.to_string());
        if let Some((event, error)) = why {
            self.end_started(actor, event, Err(error));
        }
        let mut lost: Vec<EventId> = self.started.keys().copied().collect();
        lost.sort_unstable();
        for event in lost {
            let error = Error::new(ErrorKind::InstanceLost, format!("the instance was lost: {cause}"));
            self.end_started(actor, event, Err(error));
        }
        if let Some(reason) = blamed {
            self.count_end(actor, &reason);
        }
    }

    /// The instance was ended by what its scripts did. Too often in a while, and it is given nothing to do for a while.
    fn count_end(&mut self, actor: &Actor, reason: &str) {
        let limits = actor.limits();
        let Some(most) = limits.restarts else { return };
        let now = Instant::now();
        self.ends.push_back(now);
        while self.ends.front().is_some_and(|end| now.saturating_duration_since(*end) > limits.restart_window) {
            self.ends.pop_front();
        }
        if self.ends.len() <= most as usize {
            return;
        }
        self.ends.clear();
        let reason = format!(
            "the instance of {} was ended {} times within {} s, the limits restarts and restart_window, and runs nothing for {} s. The last time: {reason}",
            actor.spec.tenant,
            u64::from(most) + 1,
            limits.restart_window.as_secs_f64(),
            limits.quarantine.as_secs_f64(),
        );
        tracing::warn!(tenant = %actor.spec.tenant, reason, "quarantined");
        self.quarantine = now.checked_add(limits.quarantine).map(|until| (until, reason.clone()));
        actor.notice(Notice::Quarantined { reason: Some(reason.clone()) });
        self.refuse_all(actor, &Error::new(ErrorKind::Quarantined, reason));
    }

    fn release(&mut self, actor: &Actor) {
        if self.quarantine.take().is_some() {
            actor.notice(Notice::Quarantined { reason: None });
        }
    }
}

fn over(since: Instant, time: Option<Duration>) -> Option<Instant> {
    since.checked_add(time?)
}
