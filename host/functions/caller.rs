//! One VM's way to the host functions: the grant, the arguments, the first poll, and what is still under way.

use std::borrow::Cow;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::AbortHandle;

use super::watchdog::{Polls, Slot};
use super::{Functions, HostFunction, Seat};
use crate::context::{CallContext, Local};
use crate::grant::{Decision, Grants};
use crate::guest::motu::guest::types::{Answer, FailureKind};
use crate::module::{Answering, Bounds, refused};
use crate::sight;
use crate::tenant::Tenant;
use crate::vm::panic_text;
use crate::waits::Owner;
use crate::wit;

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

    fn get(&self) -> Grants {
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
    pub(crate) seat: Seat,
    /// Takes the answers of calls that were pending.
    pub(crate) answer: Arc<dyn Fn(u32, Called) + Send + Sync>,
}

#[derive(Default)]
pub(crate) struct Decided {
    version: u64,
    by_number: Vec<Option<Decision>>,
    /// By number, whether a refusal was logged: once for each.
    logged: Vec<bool>,
}

/// What a call that was pending came to.
pub(crate) enum Called {
    Answer(Answer),
    Panicked { what: String, message: String },
}

/// What a call came to at once.
pub(crate) enum Outcome {
    Ready(Answer),
    Pending(Call),
    Panicked { what: String, message: String },
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
            return Outcome::Ready(refused(FailureKind::Host, &format!("there is no host function {number}")));
        };
        if !self.may_call(number, function, arguments) {
            return Outcome::Ready(self.deny(number, function));
        }
        let context = CallContext {
            tenant: self.tenant.clone(),
            event: owner.name.clone(),
            origin: owner.origin,
            local: self.local.clone(),
            resources: function.resources.clone(),
        };
        let polls = &functions.polls;
        let (described, bounds) = (&function.described, self.bounds);
        let mut future = None;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _poll = polls.begin(&self.seat.0, number);
            match (function.body)(context, described, arguments, bounds) {
                Ok(begun) => future.insert(begun).as_mut().poll(&mut Context::from_waker(Waker::noop())),
                Err(mismatch) if mismatch.is_malformed() => {
                    tracing::error!(%mismatch, "a guest sent arguments that can't be read");
                    Poll::Ready(refused(FailureKind::Host, &mismatch.to_string()))
                }
                Err(mismatch) => Poll::Ready(refused(FailureKind::Script, &mismatch.to_string())),
            }
        }));
        let what = |name: &str| format!("the host function {name}");
        match polled {
            Ok(Poll::Ready(answer)) => Outcome::Ready(answer),
            Err(panic) => Outcome::Panicked { what: what(&function.shown), message: panic_text(&*panic) },
            Ok(Poll::Pending) => {
                let Some(future) = future else { return Outcome::Ready(refused(FailureKind::Host, "it never began")) };
                let watched = Watched { function: number, slot: polls.slot(), polls: polls.clone(), future };
                let (tell, name) = (self.answer.clone(), function.shown.clone());
                let task = functions.runtime.spawn(async move {
                    tell(
                        wait,
                        match Caught(watched).await {
                            Ok(answer) => Called::Answer(answer),
                            Err(message) => Called::Panicked { what: what(&name), message },
                        },
                    );
                });
                Outcome::Pending(Call(task.abort_handle()))
            }
        }
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
        decision
            .allows(&|name: &str| -> Option<Cow<'_, str>> { wit::text_argument(&function.described, arguments, name) })
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

/// A call's future, whose polls are watched.
struct Watched {
    function: u32,
    slot: Arc<Slot>,
    polls: Arc<Polls>,
    future: Answering,
}

/// The same, with its panics caught.
struct Caught(Watched);

impl Future for Caught {
    type Output = Result<Answer, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Watched { function, slot, polls, future } = &mut self.0;
        let _poll = polls.begin(slot, *function);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    }
}
