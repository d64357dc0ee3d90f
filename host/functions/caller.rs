//! One VM's way to the host functions: the grant, the arguments, the first poll, and what is still under way.

use std::any::Any;
use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::AbortHandle;

use super::{Functions, HostFunction, Seat, tariff};
use crate::context::{CallContext, Local, Spent};
use crate::grant::{Decision, Grants};
use crate::guest::motu::guest::types::{Answer, FailureKind};
use crate::module::{Answering, Bounds, refused};
use crate::sight;
use crate::tenant::Tenant;
use crate::vm::panic_text;
use crate::waits::Owner;

/// What an instance may call now. It may change while the instance lives (P5): the next call sees it.
#[derive(Default)]
pub(crate) struct Granted {
    grants: Mutex<Grants>,
    /// Goes up with each change.
    version: AtomicU64,
}

impl Granted {
    pub(crate) fn new(grants: Grants) -> Granted {
        Granted { grants: Mutex::new(grants), version: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, grants: Grants) {
        *self.grants.lock().unwrap_or_else(PoisonError::into_inner) = grants;
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn get(&self) -> Grants {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Who calls from one VM.
pub(crate) struct Caller {
    pub(crate) functions: Arc<Functions>,
    pub(crate) tenant: Tenant,
    pub(crate) bounds: Bounds,
    pub(crate) granted: Arc<Granted>,
    /// What the grants say, by the functions' numbers, since they were last changed.
    pub(crate) decided: Decided,
    pub(crate) local: Arc<Local>,
    /// Of the function that is called now.
    pub(crate) spent: Arc<Spent>,
    pub(crate) seat: Seat,
    pub(crate) answer: Answered,
}

#[derive(Default)]
pub(crate) struct Decided {
    version: u64,
    by_number: Vec<Option<Decision>>,
    /// By number, whether a refusal was logged: once for each.
    logged: Vec<bool>,
}

/// What a call that was pending came to, with the fuel that this has cost.
pub(crate) enum Called {
    Answer {
        answer: Answer,
        fuel: u64,
    },
    /// It has waited, and computes now: on a worker, for its event.
    GivesWay {
        begun: Begun,
        fuel: u64,
    },
    Panicked {
        what: String,
        message: String,
    },
}

impl Called {
    /// What an answer takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Called::Answer { answer: Answer::Value(bytes), .. } => bytes.len() as u64,
            Called::Answer { answer: Answer::Refused(refusal), .. } => refusal.value.len() as u64,
            Called::Answer { answer: Answer::Elapsed, .. } | Called::GivesWay { .. } | Called::Panicked { .. } => 0,
        }
    }
}

/// What a call came to at once.
pub(crate) enum Outcome {
    /// With the fuel that this costs.
    Ready(Answer, u64),
    /// It computes, and lets others have the worker; with the fuel that this has cost.
    GivesWay(Begun, u64),
    /// It waits, with the fuel that it has cost until then: who gives it up has paid for what was done.
    Pending(Call, u64),
    Panicked {
        what: String,
        message: String,
    },
}

/// A call that was polled, and that the worker polls again.
pub(crate) struct Begun {
    wait: u32,
    number: u32,
    future: Answering,
    /// If it isn't the caller's.
    spent: Option<Arc<Spent>>,
}

/// A call that is under way. Dropped, it is given up.
pub(crate) struct Call(AbortHandle);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Caller {
    pub(crate) fn call(&mut self, wait: u32, number: u32, arguments: &[u8], owner: &Owner) -> Outcome {
        let functions = self.functions.clone();
        let Some(function) = functions.get(number) else {
            return ready(refused(FailureKind::Host, &format!("there is no host function {number}")), 0);
        };
        if !self.may_call(number, function, arguments) {
            return ready(self.deny(number, function), 0);
        }
        if let Err(refusal) = self.within_rate(function) {
            return ready(refusal, 0);
        }
        let context = CallContext {
            tenant: self.tenant.clone(),
            event: owner.name.clone(),
            origin: owner.origin,
            local: self.local.clone(),
            spent: self.spent.clone(),
            function: function.clone(),
            granted: self.granted.clone(),
        };
        let (described, bounds) = (&function.described, self.bounds);
        let _poll = functions.polls.begin(&self.seat.0, number);
        let begun = catch_unwind(AssertUnwindSafe(|| (function.body)(context, described, arguments, bounds)));
        match begun {
            Ok(Ok(future)) => {
                poll(&functions, &mut self.spent, &self.answer, Begun { wait, number, future, spent: None })
            }
            Ok(Err(mismatch)) if mismatch.is_malformed() => {
                tracing::error!(%mismatch, "a guest sent arguments that can't be read");
                ready(refused(FailureKind::Host, &mismatch.to_string()), 0)
            }
            Ok(Err(mismatch)) => ready(refused(FailureKind::Script, &mismatch.to_string()), 0),
            Err(panic) => panicked(function, &*panic),
        }
    }

    /// Polls a call again that gave way.
    pub(crate) fn go_on(&mut self, mut begun: Begun) -> Outcome {
        let functions = self.functions.clone();
        if let Some(spent) = begun.spent.take() {
            self.spent = spent; // nothing else is called now
        }
        let _poll = functions.polls.begin(&self.seat.0, begun.number);
        poll(&functions, &mut self.spent, &self.answer, begun)
    }

    /// Whether a grant allows the call. What was decided is kept until the grants change.
    fn may_call(&mut self, number: u32, function: &HostFunction, arguments: &[u8]) -> bool {
        let version = self.granted.version.load(Ordering::Acquire);
        if self.decided.version != version {
            self.decided = Decided { version, ..Decided::default() };
        }
        let at = number as usize;
        if self.decided.by_number.len() <= at {
            self.decided.by_number.resize(at + 1, None);
        }
        let Some(kept) = self.decided.by_number.get_mut(at) else { return false };
        let decision = kept.get_or_insert_with(|| self.granted.get().of(&function.name()));
        decision.allows(&|name: &str| -> Option<Cow<'_, str>> { function.argument(arguments, name) })
    }

    /// Counts a call against the tenant's rate, if its package has one.
    fn within_rate(&self, function: &HostFunction) -> Result<(), Answer> {
        let rates = &self.local.limits.calls_per_second;
        let Some((package, most)) = rates.iter().find(|(package, _)| function.is_of(package)) else { return Ok(()) };
        let taken = self.functions.rates.take(function.package_number, &self.tenant, *most, 1);
        taken.map_err(|over| {
            let when = match over.wait {
                Some(wait) => format!("try again in {:.3} s", wait.as_secs_f64()),
                None => "none is allowed".to_owned(),
            };
            let called = &function.described.called;
            let what = format!("{called}: over the limit calls_per_second of {most} for {package}: {when}");
            refused(FailureKind::Limit, &what)
        })
    }

    fn deny(&mut self, number: u32, function: &HostFunction) -> Answer {
        let (described, tenant) = (&function.described, &self.tenant);
        let at = number as usize;
        let narrowed = matches!(self.decided.by_number.get(at), Some(Some(Decision::Narrowed(_))));
        let grant = &described.grant;
        sight::denied();
        if self.decided.logged.len() <= at {
            self.decided.logged.resize(at + 1, false);
        }
        if let Some(logged) = self.decided.logged.get_mut(at)
            && !std::mem::replace(logged, true)
        {
            tracing::warn!(%tenant, grant, "a host function was refused for want of a grant; the next refusals aren't logged");
        }
        let called = &described.called;
        let message = if narrowed {
            format!("{called} needs the grant {grant} for these arguments; {tenant} has it for others only")
        } else {
            format!("{called} needs the grant {grant}, which {tenant} does not have")
        };
        refused(FailureKind::Denied, &message)
    }
}

/// Takes the answers of calls that were pending.
type Answered = Arc<dyn Fn(u32, Called) + Send + Sync>;

/// Polls a call on the worker. What waits for something moves to the runtime.
fn poll(functions: &Functions, spent: &mut Arc<Spent>, answered: &Answered, mut begun: Begun) -> Outcome {
    let Some(function) = functions.get(begun.number) else {
        return ready(refused(FailureKind::Host, "there is no such host function"), 0);
    };
    let mut context = Context::from_waker(Waker::noop());
    match catch_unwind(AssertUnwindSafe(|| begun.future.as_mut().poll(&mut context))) {
        Ok(Poll::Ready(answer)) => ready(answer, spent.take_fuel()),
        Err(panic) => panicked(function, &*panic),
        Ok(Poll::Pending) if spent.gave_way() => Outcome::GivesWay(begun, spent.take_fuel()),
        Ok(Poll::Pending) => {
            let (tell, wait, fuel) = (answered.clone(), begun.wait, spent.take_fuel());
            let waiting = waiting(functions, function.shown.clone(), std::mem::take(spent), begun);
            let task = functions.runtime.spawn(async move { tell(wait, waiting.await) });
            Outcome::Pending(Call(task.abort_handle()), fuel)
        }
    }
}

fn panicked(function: &HostFunction, panic: &(dyn Any + Send)) -> Outcome {
    Outcome::Panicked { what: what(&function.shown), message: panic_text(panic) }
}

fn what(shown: &str) -> String {
    format!("the host function {shown}")
}

fn ready(answer: Answer, charged: u64) -> Outcome {
    let fuel = tariff::answer(&answer).saturating_add(charged);
    Outcome::Ready(answer, fuel)
}

/// A call on the runtime: until it is done, or has more to compute.
fn waiting(
    functions: &Functions,
    shown: Arc<str>,
    spent: Arc<Spent>,
    begun: Begun,
) -> impl Future<Output = Called> + use<> {
    let (polls, number) = (functions.polls.clone(), begun.number);
    let (slot, mut begun) = (polls.slot(), Some(begun));
    poll_fn(move |context| {
        let Some(running) = &mut begun else { return Poll::Pending };
        let _poll = polls.begin(&slot, number);
        match catch_unwind(AssertUnwindSafe(|| running.future.as_mut().poll(context))) {
            Ok(Poll::Ready(answer)) => {
                let fuel = tariff::answer(&answer).saturating_add(spent.take_fuel());
                Poll::Ready(Called::Answer { answer, fuel })
            }
            Ok(Poll::Pending) if spent.gave_way() => match begun.take() {
                Some(begun) => {
                    let (fuel, spent) = (spent.take_fuel(), Some(spent.clone()));
                    Poll::Ready(Called::GivesWay { begun: Begun { spent, ..begun }, fuel })
                }
                None => Poll::Pending,
            },
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Called::Panicked { what: what(&shown), message: panic_text(&*panic) }),
        }
    })
}
