//! How events and VMs end: by their answers, at deadlines, by who gives them up, with a VM that is lost. Each event ends once.

use std::time::Instant;

use super::run::{HELD_AGAIN, LOOK_EVERY};
use super::{Account, Actor, Body, Inside, MANY, START, Waiting, fuel_of, over};
use crate::error::{Error, ErrorKind, Trace};
use crate::load::out_of_time;
use crate::metering::Turn;
use crate::outcome::Usage;
use crate::strategy::{EventId, Notice};
use crate::vm::Traceable;
use crate::waits::Owner;

impl Body {
    /// Ends the events whose time is up. One that computes loses the VM: it can't be stopped otherwise. Whether that were all.
    pub(super) fn end_overdue(&mut self, actor: &Actor, now: Instant, turn: &Turn) -> bool {
        let mut ended = 0;
        while let Some((at, event)) = self.deadlines.first().copied() {
            if at > now {
                return true;
            }
            if ended == LOOK_EVERY && turn.is_over() {
                return false;
            }
            ended = ended % LOOK_EVERY + 1;
            self.deadlines.pop_first();
            if let Some(waiting) = self.take_waiting(event) {
                self.out_of_time_unstarted(actor, &waiting);
            } else if let Some(account) = self.started.get(&event) {
                let error = out_of_time(account.time.unwrap_or_default());
                let cause = format!("the event {:?} ran out of time", account.name);
                if let Some(inside) = self.inside.take_if(|inside| inside.owner.event == event) {
                    // it computes, and can't be stopped otherwise
                    self.charge_inside(&inside);
                    let error = error.with_trace(actor.autopsy(inside.entering));
                    self.lose(actor, Some((event, error)), &cause);
                    continue;
                }
                let had_vm = self.vm.is_some();
                let error = error.with_trace(self.trace_waiting(actor, Traceable::Event(event)));
                if had_vm && self.vm.is_none() {
                    self.lose(actor, Some((event, error)), "the guest broke its word");
                } else {
                    self.close(actor, event, error);
                }
            }
        }
        true
    }

    /// An event that was never started. If it was for the handler `start`, that is where the time went.
    fn out_of_time_unstarted(&mut self, actor: &Actor, waiting: &Waiting) {
        let error = out_of_time(waiting.time.unwrap_or_default());
        if !self.starting {
            return Body::refuse(actor, waiting, error);
        }
        let had_vm = self.vm.is_some();
        let error =
            error.saying(" while the handler start ran").with_trace(self.trace_waiting(actor, Traceable::Event(START)));
        Body::refuse(actor, waiting, error);
        if had_vm && self.vm.is_none() {
            self.lose(actor, None, "the guest broke its word");
        }
    }

    /// Where somebody is who waits, if the VM is at rest to be asked: it is lost if it can't answer.
    fn trace_waiting(&mut self, actor: &Actor, what: Traceable) -> Trace {
        let Some(vm) = self.vm.take_if(|_| actor.may_trace()) else { return Trace::default() };
        let (vm, trace) = vm.trace(what, &actor.spec.bundle);
        self.vm = vm;
        trace
    }

    /// Whoever wanted the answer is gone. An event that was not started never is. One that waits is closed; one that
    /// computes goes on to its next wait, or its end.
    pub(super) fn cancel(&mut self, actor: &Actor, event: EventId) {
        if let Some(waiting) = self.take_waiting(event) {
            Body::refuse(actor, &waiting, Error::new(ErrorKind::Cancelled, "given up before it was started"));
        } else if self.inside.as_ref().is_some_and(|inside| inside.owner.event == event)
            && let Some(account) = self.started.get_mut(&event)
        {
            account.unwanted = true;
        } else if self.started.contains_key(&event) {
            self.close(actor, event, Error::new(ErrorKind::Cancelled, "given up"));
        }
    }

    /// Ends an event that waits, and closes its coroutine.
    pub(super) fn close(&mut self, actor: &Actor, event: EventId, error: Error) {
        self.end_started(actor, event, Err(error));
        self.cancels.push_back(event);
    }

    /// The event that called ends with what happened, and the instance with it.
    pub(super) fn call_panicked(&mut self, actor: &Actor, wait: u32, what: &str, message: &str) {
        self.lose_at(actor, wait, Error::new(ErrorKind::Host, format!("{what} panicked: {message}")));
    }

    /// The answer of a call would be more than the instance may have: it ends, as by a growth of its own.
    pub(super) fn answer_too_large(&mut self, actor: &Actor, wait: u32, bytes: u64) {
        let (limit, has, held) = (actor.limits().memory_bytes, actor.gauge.bytes(), actor.gauge.held());
        let error = Error::new(
            ErrorKind::Memory,
            format!(
                "out of memory: an answer of {bytes} bytes came for a call, beside {has} bytes of the VM and {held} that the \
                 host holds for it, and the limit memory_bytes is {limit}"
            ),
        );
        self.lose_at(actor, wait, error);
    }

    /// Gives the VM up for what became of a call that an event waits for.
    fn lose_at(&mut self, actor: &Actor, wait: u32, error: Error) {
        let owner = self.vm.as_mut().and_then(|vm| vm.waits().take(wait));
        let error = error.with_trace(self.trace_waiting(actor, Traceable::Wait(wait)));
        let cause = error.message().to_owned();
        self.lose(actor, owner.map(|owner| (owner.event, error)), &cause);
    }

    pub(super) fn take_waiting(&mut self, event: EventId) -> Option<Box<Waiting>> {
        let waiting = self.mailbox.remove(&event)?;
        self.mailbox_bytes -= waiting.payload.len() as u64;
        if let Some(at) = waiting.over() {
            self.deadlines.remove(&(at, event));
        }
        Some(waiting)
    }

    /// A limit or a trap ended the entry, and the VM.
    pub(super) fn stopped(
        &mut self,
        actor: &Actor,
        owner: &Owner,
        (error, trace): (Error, Trace),
        budget: Option<u64>,
    ) {
        let Some(account) = self.started.get(&owner.event) else {
            let error = error.with_trace(trace);
            let budget = budget.map_or("no limit".to_owned(), |fuel| fuel.to_string());
            let cause = format!("a task that the event {:?} had left behind ended with {error}", owner.name);
            if actor.shared.warnings.may_warn(&actor.spec.tenant) {
                tracing::warn!(tenant = %actor.spec.tenant, event = &*owner.name, cause, budget, "an instance was lost");
            }
            self.lose_by(actor, None, &cause, error.to_string());
            return self.count_end(actor, &cause);
        };
        // an entry has what is left of the event's budget: say what the whole was
        let error = match (error.kind(), account.budget) {
            (ErrorKind::Fuel, Some(budget)) => crate::vm::out_of_fuel(budget),
            _ => error,
        };
        let error = error.with_trace(trace);
        let cause = format!("the event {:?} of it ended with {error}", owner.name);
        self.lose(actor, Some((owner.event, error)), &cause);
    }

    pub(super) fn end_started(&mut self, actor: &Actor, event: EventId, answer: Result<Vec<u8>, Error>) {
        let Some(account) = self.forget(event) else { return };
        let usage = account.usage(&actor.gauge);
        // a slice may have gone past it: what came too late is no answer
        let answer = match account.time {
            Some(time) if answer.is_ok() && usage.elapsed >= time => Err(out_of_time(time)),
            _ => answer,
        };
        let answer = answer.map_err(|error| error.with_usage(usage));
        self.tell_held(actor);
        if event == START {
            self.starting = false;
            if let Err(error) = answer {
                self.start_failed(actor, &error);
            }
            return;
        }
        actor.notice(Notice::Ended { event, unstarted_bytes: None, answer, usage });
    }

    /// Takes a started event off the accounts.
    fn forget(&mut self, event: EventId) -> Option<Account> {
        let account = self.started.remove(&event)?;
        if let Some(at) = over(account.since, account.time) {
            self.deadlines.remove(&(at, event));
        }
        Some(account)
    }

    /// The handler `start` failed: so does what waited for it, and the VM is of no use.
    fn start_failed(&mut self, actor: &Actor, error: &Error) {
        if self.live {
            actor.notice(Notice::Lost { why: error.to_string() });
        }
        self.drop_vm(actor);
        self.refuse_all(error);
        self.count_end(actor, &error.to_string());
    }

    /// Ends an event that was taken out of the mailbox.
    pub(super) fn refuse(actor: &Actor, waiting: &Waiting, error: Error) {
        let payload_bytes = waiting.payload.len() as u64;
        actor.gauge.release(payload_bytes);
        let usage = Usage { elapsed: waiting.since.elapsed(), ..Usage::default() };
        let (event, answer) = (waiting.event, Err(error.with_usage(usage)));
        actor.notice(Notice::Ended { event, unstarted_bytes: Some(payload_bytes), answer, usage });
    }

    /// Ends all that was not started: in the turns to come, if they are many.
    pub(super) fn refuse_all(&mut self, error: &Error) {
        self.mailbox_bytes = 0;
        self.endings.refuse(std::mem::take(&mut self.mailbox), error);
    }

    /// Tells the front what memory it takes now, beside the mailbox, which the front knows, and how many waits its tasks
    /// have.
    pub(super) fn tell_held(&mut self, actor: &Actor) {
        let waits = self.vm.as_mut().map_or(0, |vm| vm.waits().len());
        let vm = if self.live { actor.gauge.bytes() } else { 0 };
        let bytes = vm + actor.gauge.held().saturating_sub(self.mailbox_bytes + self.endings.bytes());
        let told = (std::mem::replace(&mut self.told_bytes, bytes), std::mem::replace(&mut self.told_waits, waits));
        if told != (bytes, waits) {
            actor.notice(Notice::Held { bytes, waits });
        }
    }

    /// Gives the VM up. One event may have an error of its own; the others that were started end as lost, those that were
    /// not stay in the mailbox.
    pub(super) fn lose(&mut self, actor: &Actor, why: Option<(EventId, Error)>, cause: &str) {
        let of_nobody = || Error::new(ErrorKind::InstanceLost, cause).to_string();
        let end = why.as_ref().map_or_else(of_nobody, |(_, error)| error.to_string());
        self.lose_by(actor, why, cause, end);
    }

    /// The same, and `end` is what its status says of it.
    fn lose_by(&mut self, actor: &Actor, why: Option<(EventId, Error)>, cause: &str, end: String) {
        if self.live {
            actor.notice(Notice::Lost { why: end });
        }
        if let Some(inside) = self.inside.take() {
            self.charge_inside(&inside);
        }
        self.drop_vm(actor);
        // one whose start was under way when a worker died
        if let Some(first) = self.mailbox.first_entry().filter(|first| self.started.contains_key(first.key())) {
            self.mailbox_bytes -= first.remove().payload.len() as u64;
        }
        let blamed = why.as_ref().filter(|(event, _)| *event != START).map(|(_, error)| error.to_string());
        if let Some((event, error)) = why {
            self.end_started(actor, event, Err(error));
        }
        // a handler `start` that did nothing wrong is nobody's loss: it runs again, in the fresh VM
        self.forget(START);
        self.endings.lose(std::mem::take(&mut self.started), cause);
        if let Some(reason) = blamed {
            self.count_end(actor, &reason);
        }
    }

    /// Puts what an entry has burnt on its event's account.
    fn charge_inside(&mut self, inside: &Inside) {
        if let Some(account) = self.started.get_mut(&inside.owner.event) {
            account.fuel += inside.charged;
        }
    }

    pub(super) fn drop_vm(&mut self, actor: &Actor) {
        drop((self.vm.take(), self.inside.take())); // before anybody is told
        let answers = std::mem::take(&mut self.answers);
        let many = if answers.len() > MANY { u64::MAX } else { 0 };
        let bytes = answers.iter().map(|(_, _, _, held)| held.bytes()).fold(many, u64::saturating_add);
        actor.share.burn(fuel_of(&answers));
        // the next VM waits for it: what is held counts as its memory
        actor.let_go(bytes, (answers, self.giving_back.until(actor)));
        self.cancels.clear();
        (self.deferred, self.starting) = (None, false);
        if std::mem::take(&mut self.live) {
            self.tell_held(actor); // first: who sees that it isn't live sees what is still held
            (self.held_again, self.held_look) = (HELD_AGAIN, None);
            actor.notice(Notice::Gone);
        }
    }

    /// The instance was ended by what its scripts did. Too often in a while, and it is given nothing to do for a while.
    pub(super) fn count_end(&mut self, actor: &Actor, reason: &str) {
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
        self.refuse_all(&Error::new(ErrorKind::Quarantined, reason));
    }

    pub(super) fn release(&mut self, actor: &Actor) {
        if self.quarantine.take().is_some() {
            actor.notice(Notice::Quarantined { reason: None });
        }
    }
}
