//! What a worker does with an instance in its slice: takes what was sent, decides what the guest is entered for, enters it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Account, Actor, Body, Came, Inside, Message, NIL, START, Slice, Stage, Waiting, over};
use crate::bundles::{Bundles, Waiter};
use crate::clock::Clock;
use crate::context::Local;
use crate::error::{Error, ErrorKind};
use crate::functions::{Called, Caller, Decided, Life};
use crate::guest::motu::guest::types::Answer;
use crate::limits::Limits;
use crate::metering::Turn;
use crate::module::Bounds;
use crate::motu::{Bundled, Shared};
use crate::strategy::{Command, Notice};
use crate::vm::{Entry, Exit, Left, Vm, failed};
use crate::waits::Owner;

/// How many messages, or events that end, are seen to between looks at the turn's time.
pub(super) const LOOK_EVERY: usize = 16;

/// How many entries there are between looks at the inbox, while there is something to enter the guest for and nothing urgent came.
const INBOX_EVERY: usize = 16;

/// The first interval at which an instance without a VM is looked at again while memory is held for it: nothing tells when the last of it is
/// dropped. The interval doubles each time.
pub(super) const HELD_AGAIN: Duration = Duration::from_millis(50);

/// The longest such interval.
const HELD_AGAIN_MAX: Duration = Duration::from_secs(5);

impl Body {
    /// Takes what was sent, ends what is over, and runs the guest for about a slice of fuel.
    pub(super) fn slice(&mut self, actor: &Actor, turn: &Turn) -> (Slice, u64) {
        let (mut burnt, mut rounds): (u64, usize) = (0, 0);
        let mut scripts_now = None;
        loop {
            // seldom: callers wait for the inbox's lock
            let takes = rounds % INBOX_EVERY == 0
                || actor.urgent.load(Ordering::Acquire)
                || !scripts_now.is_some_and(|now| self.has_entry(now));
            if takes && !self.take_messages(actor, turn) || !self.end_some(actor, turn) {
                return (Slice::More, burnt);
            }
            let now = Instant::now();
            let scripts_now = *scripts_now.insert(actor.shared.clock.at(now));
            if !self.end_overdue(actor, now, turn) {
                return (Slice::More, burnt);
            }
            if self.paused || self.inside.is_none() && !self.has_entry(scripts_now) {
                self.rest(actor, now);
                let slice = if self.endings.is_empty() { Slice::Rest } else { Slice::More };
                return (slice, burnt);
            }
            self.idle_since = None;
            if rounds > 0 && (burnt >= Limits::SLICE_FUEL || turn.is_over_at(now)) {
                return (Slice::More, burnt);
            }
            if let Some(until) = actor.share.held_until(now) {
                return (Slice::Held(until), burnt);
            }
            if self.inside.is_none() {
                self.enter_next(actor, scripts_now);
            }
            burnt = burnt.saturating_add(self.poll(actor, turn));
            rounds += 1;
            if self.inside.is_some() {
                return (Slice::More, burnt); // it gave way, whatever it has burnt
            }
        }
    }

    /// Whether there is something to enter the guest for.
    fn has_entry(&mut self, now: Instant) -> bool {
        let resumes = self.deferred.is_some() || !self.cancels.is_empty() || !self.answers.is_empty();
        resumes || self.sleep_is_over(now) || self.may_start()
    }

    fn may_start(&self) -> bool {
        let vm_can_start = self.vm.is_some() || self.giving_back.is_over();
        !self.mailbox.is_empty() && !self.loading && !self.starting && vm_can_start
    }

    fn sleep_is_over(&mut self, now: Instant) -> bool {
        self.vm.as_mut().and_then(|vm| vm.waits().next_due()).is_some_and(|due| due <= now)
    }

    /// When to look again, if nothing is sent before. While the tenant is held, a sleep that is over is not looked at: its time
    /// has come already, and it can't run.
    pub(super) fn next_due(&mut self, limits: &Limits, clock: &Clock, held: Option<Instant>) -> Option<Instant> {
        let sleep = self.vm.as_mut().and_then(|vm| vm.waits().next_due()).filter(|_| !self.paused);
        let sleep = sleep.map(|due| clock.look_at(due)).map(|due| held.map_or(due, |until| due.max(until)));
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let idle = self.idle_since.zip(limits.idle_after).and_then(|(since, after)| since.checked_add(after));
        let is_held = !self.live && self.told_bytes > 0;
        let held_after = is_held.then(|| self.held_look(Instant::now()));
        deadline
            .into_iter()
            .chain(sleep)
            .chain(idle.filter(|_| self.live))
            .chain(self.quarantine.as_ref().map(|(until, _)| *until))
            .chain(held)
            .chain(held_after)
            .min()
    }

    /// When to look again what is still held for an instance without a VM: after a longer time each time.
    fn held_look(&mut self, now: Instant) -> Instant {
        let next = self.held_look.filter(|next| *next > now).unwrap_or_else(|| {
            let after = self.held_again;
            self.held_again = (2 * after).min(HELD_AGAIN_MAX);
            now + after
        });
        *self.held_look.insert(next)
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

    /// Whether all of them were taken.
    fn take_messages(&mut self, actor: &Actor, turn: &Turn) -> bool {
        // all at once, and never into more of it: there may be many thousand
        if self.incoming.is_empty() {
            let mut inbox = actor.inbox();
            actor.urgent.store(false, Ordering::Release);
            std::mem::swap(&mut self.incoming, &mut inbox.messages);
        }
        // one at a time: a panic on the way loses none of the others
        let mut taken = 0;
        while let Some((since, message)) = self.incoming.pop_front() {
            taken += 1;
            match message {
                Message::Command(Command::Start { event, name, payload, time, origin }) => {
                    self.enqueue(actor, Waiting { event, name: Some(name), payload, since, time, origin });
                }
                Message::Command(Command::Value { event, time }) => {
                    self.enqueue(actor, Waiting { event, name: None, payload: Vec::new(), since, time, origin: None });
                }
                Message::Command(Command::Cancel { event }) => self.cancel(actor, event),
                Message::Command(Command::Kill { cause }) => self.lose(actor, None, &cause),
                Message::Command(Command::Stop { cause }) => {
                    self.lose(actor, None, &cause);
                    self.refuse_all(&Error::new(ErrorKind::Stopped, cause));
                }
                Message::Command(Command::Grant { grants }) => actor.granted.set(grants),
                Message::Command(Command::Pause) => self.paused = true,
                Message::Command(Command::Resume) => {
                    self.paused = false;
                    self.release(actor);
                }
                Message::Loaded(loaded) => self.loaded(actor, loaded),
                Message::GivenBack => (), // what waited for it is looked at next
                // what a VM before this one called is of no use
                Message::Called { starts, called, held, .. } if starts != self.starts || !self.live => {
                    actor.share.burn(called.fuel());
                    actor.let_go(held.bytes(), (called, held, self.giving_back.until(actor)));
                }
                Message::TooMuch { starts, .. } if starts != self.starts || !self.live => (),
                Message::Called { wait, called: Called::Answer { answer, fuel }, held, .. } => {
                    self.answers.push_back((wait, Came::Answer(answer), fuel, held));
                }
                Message::Called { wait, called: Called::GivesWay { begun, fuel, .. }, held, .. } => {
                    self.answers.push_back((wait, Came::GivesWay(begun), fuel, held));
                }
                Message::Called { wait, called: Called::Panicked { what, message }, .. } => {
                    self.call_panicked(actor, wait, &what, &message);
                }
                Message::TooMuch { wait, bytes, .. } => self.answer_too_large(actor, wait, bytes),
            }
            if taken % LOOK_EVERY == 0 && turn.is_over() {
                return self.incoming.is_empty();
            }
        }
        true
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
        let bytes = waiting.payload.len() as u64;
        actor.gauge.hold(bytes);
        self.mailbox_bytes += bytes;
        self.mailbox.insert(waiting.event, Box::new(waiting));
        actor.stage(Stage::Queued);
    }

    /// The image is there, or what waits for it can't be run.
    fn loaded(&mut self, actor: &Actor, loaded: Result<Arc<Bundled>, Error>) {
        self.loading = false;
        match loaded {
            Ok(bundled) => {
                actor.shared.bundles.keep(&bundled, &actor.spec.tenant);
                self.bundled = Some(bundled);
            }
            Err(error) => self.refuse_all(&error),
        }
    }

    /// Enters the VM for what is next: what was deferred, what is to be closed, and then, in turns, what waited and is
    /// answered, and the next event of the mailbox.
    fn enter_next(&mut self, actor: &Actor, now: Instant) {
        if let Some(owner) = self.deferred.take() {
            return self.enter(actor, owner, Entry::Deferred);
        }
        if let Some(event) = self.cancels.pop_front() {
            // no script runs in it, which could log
            let owner = Owner { event, name: "".into(), origin: None, log_left: AtomicU32::default() };
            return self.enter(actor, Arc::new(owner), Entry::Cancel { event });
        }
        if self.may_start() && !self.started_last {
            self.started_last = true;
            return self.start_next(actor);
        }
        self.started_last = false;
        if let Some(vm) = &mut self.vm {
            if let Some((wait, came, fuel, held)) = self.answers.pop_front() {
                let Some(owner) = vm.waits().owner(wait) else {
                    // it was given up
                    actor.share.burn(fuel);
                    return actor.let_go(held.bytes(), (came, held));
                };
                let entry = match came {
                    Came::Answer(answer) => {
                        vm.waits().take(wait);
                        Entry::Resume { wait, answer, fuel, held: Some(held) }
                    }
                    Came::GivesWay(begun) => {
                        vm.waits().keep(wait, held);
                        Entry::GoOn { wait, begun, fuel }
                    }
                };
                return self.enter(actor, owner, entry);
            }
            if let Some((wait, owner)) = vm.waits().take_due(now) {
                return self.enter(actor, owner, Entry::Resume { wait, answer: Answer::Elapsed, fuel: 0, held: None });
            }
        }
        if self.may_start() {
            self.start_next(actor);
        }
    }

    /// Enters the VM that is there, on the account of the event, or if that has ended, with the budget of what it left.
    fn enter(&mut self, actor: &Actor, owner: Arc<Owner>, entry: Entry) {
        let Some(vm) = self.vm.take() else { return };
        let account = self.started.get(&owner.event);
        let budget = match account {
            Some(account) => account.budget.map(|budget| budget.saturating_sub(account.fuel)),
            None if matches!(entry, Entry::Cancel { .. }) => None,
            None => actor.limits().background_fuel,
        };
        let log_bytes = owner.log_left.load(Ordering::Relaxed);
        let entering = vm.enter(entry, budget, log_bytes, Some(owner.clone()));
        self.inside = Some(Inside { entering, owner, budget, charged: 0 });
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
                    let event = self.mailbox.first_key_value().map(|(event, _)| *event);
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
        let Some(mut first) = self.mailbox.first_entry() else { return };
        let next = first.get_mut();
        let (event, since, time) = (next.event, next.since, next.time);
        let (name, origin) = (next.name.clone(), next.origin);
        let payload = std::mem::take(&mut next.payload);
        let payload_bytes = payload.len() as u64;
        let (shown, budget) = (name.clone().unwrap_or_else(|| "".into()), actor.limits().event_fuel);
        self.started.insert(event, Account { name: shown.clone(), since, time, budget, fuel: 0, unwanted: false });
        first.remove();
        self.mailbox_bytes -= payload_bytes;
        actor.gauge.release(payload_bytes);
        actor.notice(Notice::Started { payload_bytes });
        actor.stage(Stage::Started);
        let entry = match name {
            Some(name) => Entry::Start { event, name, payload },
            None => Entry::Value,
        };
        self.enter(actor, actor.owner(event, shown, origin), entry);
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
        self.enter(actor, actor.owner(START, name, None), entry);
    }

    /// Has the bundle's image made: it was dropped when nobody used it, or never made.
    fn load(&mut self, actor: &Actor) {
        self.loading = true;
        let (wanted, told) = (actor.this.clone(), actor.this.clone());
        let waiter = Waiter {
            wanted: Arc::new(move || wanted.strong_count() > 0),
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
        // dropped with the VM and the last of its calls, which may be a while after it was given up
        let until = self.giving_back.until(actor);
        let answer = move |wait, called| {
            let _ = &until;
            if let Some(actor) = told.upgrade() {
                actor.called(starts, wait, called);
            }
        };
        let limits = actor.limits();
        let mut vm = vm?;
        vm.leave_to(self.giving_back.heir(actor));
        let local = Arc::new(Local::new(
            (actor.spec.tenant.clone(), actor.granted.clone()),
            seed,
            actor.limits().clone(),
            vm.log().clone(),
            actor.shared.clock.clone(),
            actor.gauge.clone(),
        ));
        let vm = vm.with_caller(Caller {
            functions: actor.shared.functions.clone(),
            bounds: Bounds { depth: limits.payload_depth, bytes: limits.payload_bytes },
            decided: Decided::default(),
            local,
            spent: Arc::default(),
            seat: actor.shared.functions.seat(),
            answer: Arc::new(answer),
            life: Life::default(),
        });
        self.live = true;
        actor.notice(Notice::Live { starts: self.starts });
        Ok(vm)
    }

    /// Runs the guest until it has burnt a slice, or is left. Returns what it burnt.
    fn poll(&mut self, actor: &Actor, turn: &Turn) -> u64 {
        let Some(inside) = &mut self.inside else { return 0 };
        let Some(Left { vm, exit, fuel }) = inside.entering.poll(turn) else {
            let fuel = inside.entering.fuel();
            let burnt = fuel.saturating_sub(std::mem::replace(&mut inside.charged, fuel));
            actor.share.burn(burnt);
            actor.stage(Stage::Slice);
            return burnt;
        };
        let Some(Inside { entering, owner, budget, charged }) = self.inside.take() else { return 0 };
        let burnt = fuel.saturating_sub(charged);
        actor.share.burn(burnt);
        actor.stage(Stage::Left);
        if let Some(account) = self.started.get_mut(&owner.event) {
            account.fuel += fuel;
        }
        owner.log_left.store(vm.as_ref().map_or(0, |vm| vm.log().left()), Ordering::Relaxed);
        match exit {
            Ok(exit) => {
                drop(entering); // it has the VM's memory too
                self.vm = vm;
                self.left(actor, &owner, exit);
            }
            Err(error) => {
                let trace = actor.autopsy(entering);
                self.stopped(actor, &owner, (error, trace), budget);
            }
        }
        actor.stage(Stage::Answered);
        burnt
    }

    /// The guest came back by itself.
    fn left(&mut self, actor: &Actor, owner: &Arc<Owner>, exit: Exit) {
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
            self.close(actor, owner.event, Error::new(ErrorKind::Cancelled, "given up"));
        }
    }
}
