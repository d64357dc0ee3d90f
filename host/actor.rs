//! An instance where it runs: its mailbox, its VM, and the accounts of the events under way. A worker holds it for a slice
//! at a time.
//!
//! Invariants: a started event is never run again; one that was not started survives the VM, and the worker, that it would
//! have run on; each event ends exactly once. A VM that was stopped is never entered again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::load::out_of_time;
use crate::motu::{Bundled, Shared};
use crate::outcome::Usage;
use crate::queue::{Job, Queue};
use crate::share::Share;
use crate::strategy::{Command, EventId, Front, Notice, Place, Spec};
use crate::vm::{Entering, Entry, Exit, Gauge, Left, Vm, failed};

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
    gauge: Gauge,
    this: Weak<Actor>,
    inbox: Mutex<Inbox>,
    body: Mutex<Body>,
}

#[derive(Default)]
struct Inbox {
    /// And when it was sent: an event's time runs from then.
    commands: VecDeque<(Instant, Command)>,
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
    mailbox: VecDeque<Waiting>,
    /// Events that were started and haven't ended.
    started: HashMap<EventId, Account>,
    /// When which event is over, started or not.
    deadlines: BTreeSet<(Instant, EventId)>,
    starts: u64,
    /// A VM is there, at rest or at work.
    live: bool,
    paused: bool,
}

/// An event in the mailbox.
struct Waiting {
    event: EventId,
    /// The handler; none asks for the entry's value.
    name: Option<String>,
    payload: Vec<u8>,
    since: Instant,
    time: Option<Duration>,
}

/// What an event may use, and has used.
struct Account {
    since: Instant,
    time: Option<Duration>,
    /// Of its budget; none is no limit.
    budget: Option<u64>,
    fuel: u64,
}

impl Account {
    fn usage(&self, gauge: &Gauge) -> Usage {
        Usage { fuel: self.fuel, memory_bytes: gauge.bytes(), elapsed: self.since.elapsed() }
    }
}

/// An entry that is under way.
struct Inside {
    entering: Entering,
    event: EventId,
    /// Fuel that was charged to the share already, slice by slice.
    charged: u64,
}

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
    ) -> Open {
        Open(Arc::new_cyclic(|this| Actor {
            shared: shared.clone(),
            spec,
            share,
            front,
            queue: queue.clone(),
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

    fn notice(&self, notice: Notice) {
        if let Some(front) = self.front.upgrade() {
            front.notice(notice);
        }
    }

    fn limits(&self) -> &Limits {
        &self.spec.limits
    }
}

impl Place for Open {
    fn send(&self, command: Command) {
        let now = Instant::now();
        let mut inbox = self.0.inbox();
        inbox.commands.push_back((now, command));
        let idle = !std::mem::replace(&mut inbox.busy, true);
        drop(inbox);
        if idle {
            self.0.queue.push(self.0.clone());
        }
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

    fn run(self: Arc<Self>) {
        let mut body = self.body();
        let slice = body.slice(&self);
        let first = body.deadlines.first().map(|(at, _)| *at);
        let mut inbox = self.inbox();
        if inbox.closed {
            let gone = std::mem::take(&mut *body);
            drop((inbox, body));
            drop(gone);
            return;
        }
        let more = matches!(slice, Slice::More) || !inbox.commands.is_empty() || std::mem::take(&mut inbox.due);
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
            self.queue.clone().push(self);
        }
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
        drop(body);
        // what was not started goes on, on another worker
        self.inbox().busy = true;
        self.queue.clone().push(self);
    }
}

impl Body {
    /// Takes what was sent, ends what is over, and runs the guest for about a slice of fuel.
    fn slice(&mut self, actor: &Actor) -> Slice {
        let mut burnt: u64 = 0;
        loop {
            self.take_commands(actor);
            let now = Instant::now();
            self.end_overdue(actor, now);
            if self.paused || burnt >= Limits::SLICE_FUEL {
                let more = !self.paused && (self.inside.is_some() || !self.mailbox.is_empty());
                return if more { Slice::More } else { Slice::Rest };
            }
            if self.inside.is_none() && self.mailbox.is_empty() {
                return Slice::Rest;
            }
            if let Some(until) = actor.share.held_until(now) {
                return Slice::Held(until);
            }
            if self.inside.is_none() && !self.start_next(actor) {
                continue;
            }
            burnt = burnt.saturating_add(self.poll(actor));
        }
    }

    fn take_commands(&mut self, actor: &Actor) {
        let commands = {
            let mut inbox = actor.inbox();
            if inbox.commands.is_empty() {
                return;
            }
            std::mem::take(&mut inbox.commands)
        };
        for (since, command) in commands {
            match command {
                Command::Start { event, name, payload, time } => self.enqueue(event, Some(name), payload, since, time),
                Command::Value { event, time } => self.enqueue(event, None, Vec::new(), since, time),
                Command::Cancel { event } => self.cancel(actor, event),
                Command::Kill { cause } => self.lose(actor, None, &cause),
                Command::Pause => self.paused = true,
                Command::Resume => self.paused = false,
            }
        }
    }

    fn enqueue(
        &mut self,
        event: EventId,
        name: Option<String>,
        payload: Vec<u8>,
        since: Instant,
        time: Option<Duration>,
    ) {
        if let Some(at) = time.and_then(|time| since.checked_add(time)) {
            self.deadlines.insert((at, event));
        }
        self.mailbox.push_back(Waiting { event, name, payload, since, time });
    }

    /// Whoever wanted the answer is gone. An event that was not started never is; one that computes goes on to its end.
    fn cancel(&mut self, actor: &Actor, event: EventId) {
        if let Some(waiting) = self.take_waiting(event) {
            Body::refuse(actor, &waiting, Error::new(ErrorKind::InstanceLost, "cancelled before it was started"));
        }
    }

    fn take_waiting(&mut self, event: EventId) -> Option<Waiting> {
        let at = self.mailbox.iter().position(|waiting| waiting.event == event)?;
        let waiting = self.mailbox.remove(at)?;
        self.forget_deadline(event, waiting.since, waiting.time);
        Some(waiting)
    }

    fn forget_deadline(&mut self, event: EventId, since: Instant, time: Option<Duration>) {
        if let Some(at) = time.and_then(|time| since.checked_add(time)) {
            self.deadlines.remove(&(at, event));
        }
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
                self.lose(actor, Some((event, error)), "another event of it ran out of time");
            }
        }
    }

    /// Enters the VM with the next event of the mailbox, starting a VM if there is none. False if that could not be.
    fn start_next(&mut self, actor: &Actor) -> bool {
        let vm = match self.vm.take() {
            Some(vm) => Ok(vm),
            None => self.start_vm(actor),
        };
        let Some(next) = self.mailbox.front_mut() else { return false };
        let (event, since, time) = (next.event, next.since, next.time);
        let vm = match vm {
            Ok(vm) => vm,
            Err(error) => {
                if let Some(waiting) = self.take_waiting(event) {
                    Body::refuse(actor, &waiting, error);
                }
                return false;
            }
        };
        let budget = actor.limits().event_fuel;
        self.started.insert(event, Account { since, time, budget, fuel: 0 });
        let entry = match next.name.take() {
            Some(event) => Entry::Start { event, payload: std::mem::take(&mut next.payload) },
            None => Entry::Value,
        };
        self.mailbox.pop_front();
        actor.notice(Notice::Started);
        self.inside = Some(Inside { entering: vm.enter(entry, budget), event, charged: 0 });
        true
    }

    fn start_vm(&mut self, actor: &Actor) -> Result<Vm, Error> {
        let bundled = match self.bundled.take().or_else(|| actor.shared.bundles.find(&actor.spec.bundle)) {
            Some(bundled) => bundled,
            None => return Err(Error::internal("the bundle's image is gone")),
        };
        self.starts += 1;
        let seed = actor.spec.seed.unwrap_or_else(|| RandomState::new().hash_one(self.starts));
        let Shared { factory, log, .. } = &*actor.shared;
        let tenant = Some(actor.spec.tenant.clone());
        let vm = factory.start(&bundled.image, actor.limits(), seed, log.clone(), tenant, actor.gauge.clone());
        self.bundled = Some(bundled);
        let vm = vm?.without_image();
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
            return Limits::SLICE_FUEL;
        };
        let (event, burnt) = (inside.event, fuel.saturating_sub(inside.charged));
        actor.share.charge(burnt);
        self.inside = None;
        if let Some(account) = self.started.get_mut(&event) {
            account.fuel += fuel;
        }
        match exit {
            Ok(Exit::Answered(answer)) => {
                self.vm = vm;
                self.end_started(actor, event, answer.map_err(failed));
            }
            Ok(_) => self.lose(actor, Some((event, Error::internal("the guest gave an answer to something else"))), ""),
            Err(error) => {
                let cause = format!("another event of it ended with {error}");
                self.lose(actor, Some((event, error)), &cause);
            }
        }
        burnt
    }

    fn end_started(&mut self, actor: &Actor, event: EventId, answer: Result<Vec<u8>, Error>) {
        let Some(account) = self.started.remove(&event) else { return };
        self.forget_deadline(event, account.since, account.time);
        let usage = account.usage(&actor.gauge);
        let answer = answer.map_err(|error| error.with_usage(usage));
        actor.notice(Notice::Ended { event, started: true, answer, usage });
    }

    /// Ends an event that was taken out of the mailbox.
    fn refuse(actor: &Actor, waiting: &Waiting, error: Error) {
        let usage = Usage { elapsed: waiting.since.elapsed(), ..Usage::default() };
        let answer = Err(error.with_usage(usage));
        actor.notice(Notice::Ended { event: waiting.event, started: false, answer, usage });
    }

    /// Gives the VM up. One event may have an error of its own; the others that were started end as lost, those that were
    /// not stay in the mailbox.
    fn lose(&mut self, actor: &Actor, why: Option<(EventId, Error)>, cause: &str) {
        let inside = self.inside.take();
        if let Some(account) = inside.as_ref().and_then(|inside| self.started.get_mut(&inside.event)) {
            account.fuel += inside.as_ref().map_or(0, |inside| inside.charged);
        }
        drop((self.vm.take(), inside)); // before anybody is told
        if std::mem::take(&mut self.live) {
            actor.notice(Notice::Gone);
        }
        // one whose start was under way when a worker died
        self.mailbox.retain(|waiting| !self.started.contains_key(&waiting.event));
        if let Some((event, error)) = why {
            self.end_started(actor, event, Err(error));
        }
        let mut lost: Vec<EventId> = self.started.keys().copied().collect();
        lost.sort_unstable();
        for event in lost {
            self.end_started(
                actor,
                event,
                Err(Error::new(ErrorKind::InstanceLost, format!("the instance was lost: {cause}"))),
            );
        }
    }
}
