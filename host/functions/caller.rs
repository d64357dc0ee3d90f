//! One VM's way to the host functions: the grant, the arguments, the first poll, and what is still under way.

use std::any::Any;
use std::borrow::Cow;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::tariff::Crossing;
use super::watchdog::Polls;
use super::{Arguments, Call, Functions, HostFunction, Life, Seat, tariff};
use crate::context::{CallContext, Local, Spent};
use crate::grant::{Decision, Grants, Narrowed};
use crate::guest::motu::guest::types::{Answer, FailureKind};
use crate::module::{Answering, Bounds, refused};
use crate::sight;
use crate::strategy::Origin;
use crate::vm::{Held, panic_text};

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
    pub(crate) bounds: Bounds,
    /// What the grants say, by the functions' numbers, since they were last changed.
    pub(crate) decided: Decided,
    pub(crate) local: Arc<Local>,
    /// Of the function that is called now.
    pub(crate) spent: Arc<Spent>,
    pub(crate) seat: Seat,
    pub(crate) answer: Answered,
    pub(crate) life: Life,
}

#[derive(Default)]
pub(crate) struct Decided {
    version: u64,
    by_number: Vec<Option<Decision>>,
}

impl Decided {
    /// What the grants say of a function. It is kept until they change.
    fn of(&mut self, number: u32, function: &HostFunction, granted: &Granted) -> Decision {
        let version = granted.version.load(Ordering::Acquire);
        if self.version != version {
            *self = Decided { version, ..Decided::default() };
        }
        let at = number as usize;
        if self.by_number.len() <= at {
            self.by_number.resize(at + 1, None);
        }
        let Some(kept) = self.by_number.get_mut(at) else { return Decision::Denied };
        kept.get_or_insert_with(|| granted.get().of(&function.name())).clone()
    }
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
        /// What it holds that will be its answer, in bytes.
        bytes: u64,
    },
    Panicked {
        what: String,
        message: String,
    },
}

impl Called {
    /// What it has cost.
    pub(crate) fn fuel(&self) -> u64 {
        match self {
            Called::Answer { fuel, .. } | Called::GivesWay { fuel, .. } => *fuel,
            Called::Panicked { .. } => 0,
        }
    }

    /// What an answer takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Called::Answer { answer: Answer::Value(bytes), .. } => bytes.len() as u64,
            Called::Answer { answer: Answer::Refused(refusal), .. } => refusal.value.len() as u64,
            Called::GivesWay { bytes, .. } => *bytes,
            Called::Answer { answer: Answer::Elapsed, .. } | Called::Panicked { .. } => 0,
        }
    }
}

/// What a call came to at once.
pub(crate) enum Outcome {
    /// With the fuel that the function charged; the answer itself is not counted yet.
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
    /// What it counts for once it waits, in bytes: until it is dropped, which may be after it was given up.
    bytes: u64,
    held: Option<Held>,
}

/// What the host holds for a call that waits, in bytes: what wakes it, who calls, and its places in queues. Its arguments and its future come
/// on top.
const CALL_BYTES: u64 = 1024;

/// Whether a call may be made.
pub(crate) enum Admission {
    Granted,
    /// What it is answered instead.
    Refused(Answer),
    /// There are more grants to be held against the arguments.
    More,
}

/// The grants of a function, of which one must fit the arguments of a call; and how far they were tried.
pub(crate) struct Trying<'a> {
    number: u32,
    arguments: &'a Arguments,
    narrowed: Option<Narrowed>,
    next: usize,
    /// What patterns are held against, by name: each is found once.
    texts: Vec<(Box<str>, Option<Cow<'a, str>>)>,
}

/// How much of trying grants is a step.
const TRYING_FUEL: u64 = 1_000_000;

/// Of how many grants a refusal says what didn't fit, and how much of an argument it shows.
const MISFITS_SHOWN: usize = 3;
const MISFIT_BYTES_MAX: usize = 64;

fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

impl<'a> Trying<'a> {
    pub(crate) fn new(number: u32, arguments: &'a Arguments) -> Trying<'a> {
        Trying { number, arguments, narrowed: None, next: 0, texts: Vec::new() }
    }

    /// Tries some of the grants: whether one fits, if that is known by now. With the fuel for it.
    pub(super) fn step(&mut self, function: &HostFunction, narrowed: &Narrowed) -> (Option<bool>, u64) {
        let mut fuel = 0;
        while fuel < TRYING_FUEL {
            let Some(names) = narrowed.names(self.next) else { return (Some(false), fuel) };
            fuel += tariff::PATTERN;
            for name in names {
                if !self.texts.iter().any(|(known, _)| **known == *name) {
                    let (text, cost) = function.narrowed(self.arguments, name);
                    fuel += cost;
                    self.texts.push((name.into(), text));
                }
                fuel += tariff::PATTERN_BYTE * self.text(name).map_or(0, |text| text.len() as u64);
            }
            if narrowed.fits(self.next, &|name: &str| self.text(name).map(Cow::Borrowed)) {
                return (Some(true), fuel);
            }
            self.next += 1;
        }
        (None, fuel)
    }

    /// Which arguments don't fit, for people.
    fn misfits(&self, narrowed: &Narrowed) -> String {
        let mut why = String::new();
        for way in 0..MISFITS_SHOWN {
            let Some((name, pattern)) = narrowed.misfit(way, &|name: &str| self.text(name).map(Cow::Borrowed)) else {
                break;
            };
            let separator = if way > 0 { "; " } else { "" };
            let value = match self.text(name) {
                Some(text) => Cow::Owned(format!("is {:?}", cut(text, MISFIT_BYTES_MAX))),
                None => Cow::Borrowed("has no text that fits"),
            };
            why.push_str(&format!("{separator}{name} {value}, granted is {pattern}"));
        }
        if narrowed.names(MISFITS_SHOWN).is_some() {
            why.push_str("; and so on");
        }
        why
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| **known == *name)?.1.as_deref()
    }
}

impl Caller {
    /// Whether the call may be made, and the fuel that it took to see it; to be asked again while there is more to see.
    ///
    /// The rate is counted before any argument is looked at: who asks too often is told so for little.
    pub(crate) fn admit(&mut self, trying: &mut Trying<'_>) -> (Admission, u64) {
        let number = trying.number;
        let Some(function) = self.functions.get(number) else { return (Admission::Granted, 0) }; // `call` says so
        if self.local.loads {
            return (
                if function.is_pure { Admission::Granted } else { Admission::Refused(not_at_the_top_level(function)) },
                0,
            );
        }
        let narrowed = match trying.narrowed.clone() {
            Some(narrowed) => narrowed,
            None => {
                let decision = self.decided.of(number, function, &self.local.granted);
                if decision == Decision::Denied {
                    return (Admission::Refused(self.deny(number, function, None)), 0);
                }
                if let Err(refusal) = self.within_rate(function) {
                    return (Admission::Refused(refusal), 0);
                }
                let Decision::Narrowed(narrowed) = decision else { return (Admission::Granted, 0) };
                trying.narrowed = Some(narrowed.clone());
                narrowed
            }
        };
        match trying.step(function, &narrowed) {
            (Some(true), fuel) => (Admission::Granted, fuel),
            (Some(false), fuel) => {
                let why = trying.misfits(&narrowed);
                (Admission::Refused(self.deny(number, function, Some(&why))), fuel)
            }
            (None, fuel) => (Admission::More, fuel),
        }
    }

    /// Makes a call that was [admitted](Self::admit).
    pub(crate) fn call(
        &mut self,
        wait: u32,
        number: u32,
        arguments: Arguments,
        event: Arc<str>,
        origin: Origin,
    ) -> Outcome {
        let functions = &self.functions;
        let Some(function) = functions.get(number) else { return unknown(number) };
        self.spent.take_held(); // of a call before it, which didn't wait
        self.spent.gave_way();
        let context = CallContext {
            event,
            origin,
            local: self.local.clone(),
            spent: self.spent.clone(),
            function: function.clone(),
        };
        let (bounds, sent) = (self.bounds, arguments.bytes().len() as u64);
        let _poll = functions.polls.begin(&self.seat.0, number);
        let begun = catch_unwind(AssertUnwindSafe(|| (function.body)(context, arguments, bounds)));
        match begun {
            Ok(future) => {
                let bytes = CALL_BYTES + sent + size_of_val(&*future) as u64;
                let begun = Begun { wait, number, future, spent: None, bytes, held: None };
                poll(functions, (&mut self.spent, &self.answer, &self.local, &self.life), function, begun)
            }
            Err(panic) => panicked(function, &*panic),
        }
    }

    /// Polls a call again that gave way.
    pub(crate) fn go_on(&mut self, mut begun: Begun) -> Outcome {
        let functions = &self.functions;
        if let Some(spent) = begun.spent.take() {
            self.spent = spent; // nothing else is called now
        }
        let Some(function) = functions.get(begun.number) else { return unknown(begun.number) };
        let _poll = functions.polls.begin(&self.seat.0, begun.number);
        poll(functions, (&mut self.spent, &self.answer, &self.local, &self.life), function, begun)
    }

    /// Counts a call against the tenant's rate, if its package has one.
    fn within_rate(&self, function: &HostFunction) -> Result<(), Answer> {
        let rates = &self.local.limits.calls_per_second;
        let Some((package, most)) = rates.iter().find(|(package, _)| function.is_of(package)) else { return Ok(()) };
        let taken = self.functions.rates.take(function.package_number, &self.local.tenant, *most, 1);
        taken.map_err(|over| {
            let called = &function.described.called;
            let what = format!("{called}: over the limit calls_per_second of {most} for {package}: {over}");
            refused(FailureKind::Limit, &what)
        })
    }

    /// The answer of a call that would have to wait, where nothing can.
    pub(crate) fn not_at_once(&self, number: u32) -> Answer {
        let called = self.functions.get(number).map_or("the host function", |function| &function.described.called);
        let what = "it can't be answered at once: it waits, or has more than 8,192 values. Nothing can wait at the top level of a \
                    bundle, nor in what a metamethod or a function of the standard library calls: call it from a handler";
        refused(FailureKind::Script, &format!("{called}: {what}"))
    }

    fn deny(&self, number: u32, function: &HostFunction, misfits: Option<&str>) -> Answer {
        let (described, tenant) = (&function.described, &self.local.tenant);
        let grant = &described.grant;
        sight::denied();
        if self.functions.tells(tenant, number) {
            tracing::warn!(%tenant, grant, "a host function was refused for want of a grant; the next refusals aren't logged");
        }
        let called = &described.called;
        let message = match misfits {
            Some(misfits) => {
                format!(
                    "{called} needs the grant {grant} for these arguments; {tenant} has it for others only: {misfits}"
                )
            }
            None => format!("{called} needs the grant {grant}, which {tenant} does not have"),
        };
        refused(FailureKind::Denied, &message)
    }
}

/// What a guest of Motu's never asks for: it refuses such a call itself.
fn not_at_the_top_level(function: &HostFunction) -> Answer {
    let called = &function.described.called;
    refused(FailureKind::Script, &format!("{called} can't be used at the top level of a bundle"))
}

/// Takes the answers of calls that were pending.
type Answered = Arc<dyn Fn(u32, Called) + Send + Sync>;

/// Polls a call on the worker. What waits for something moves to the runtime.
fn poll(
    functions: &Functions,
    (spent, answered, local, life): (&mut Arc<Spent>, &Answered, &Local, &Life),
    function: &HostFunction,
    mut begun: Begun,
) -> Outcome {
    let mut context = Context::from_waker(Waker::noop());
    match catch_unwind(AssertUnwindSafe(|| begun.future.as_mut().poll(&mut context))) {
        Ok(Poll::Ready(answer)) => Outcome::Ready(answer, spent.take_fuel()),
        Err(panic) => panicked(function, &*panic),
        Ok(Poll::Pending) if spent.gave_way() => Outcome::GivesWay(begun, spent.take_fuel()),
        Ok(Poll::Pending) => {
            begun.held = begun.held.or_else(|| Some(local.gauge.held_of(begun.bytes)));
            let (tell, wait, fuel) = (answered.clone(), begun.wait, spent.take_fuel());
            let waiting =
                Waiting { polls: functions.polls.clone(), shown: function.shown.clone(), spent: std::mem::take(spent) };
            // in this order it is dropped too: what tells that the last call of a VM is gone comes last
            let call = async move {
                let called = waiting.called(begun).await;
                tell(wait, called);
            };
            Outcome::Pending(functions.calls.add(&local.tenant, life, call), fuel)
        }
    }
}

/// The guest calls what it was never told of.
fn unknown(number: u32) -> Outcome {
    Outcome::Ready(refused(FailureKind::Host, &format!("there is no host function {number}")), 0)
}

fn panicked(function: &HostFunction, panic: &(dyn Any + Send)) -> Outcome {
    Outcome::Panicked { what: what(&function.shown), message: panic_text(panic) }
}

fn what(shown: &str) -> String {
    format!("the host function {shown}")
}

/// What a call that waits has with it on the runtime.
struct Waiting {
    polls: Arc<Polls>,
    shown: Arc<str>,
    spent: Arc<Spent>,
}

impl Waiting {
    /// The call on the runtime: until it is done, or has more to compute.
    async fn called(self, begun: Begun) -> Called {
        let Waiting { polls, shown, spent } = self;
        let (slot, number, mut begun) = (polls.slot(), begun.number, Some(begun));
        let called = poll_fn(|context| {
            let Some(running) = &mut begun else { return Poll::Pending };
            let _poll = polls.begin(&slot, number);
            match catch_unwind(AssertUnwindSafe(|| running.future.as_mut().poll(context))) {
                Ok(Poll::Ready(answer)) => Poll::Ready(Called::Answer { answer, fuel: spent.take_fuel() }),
                Ok(Poll::Pending) if spent.gave_way() => match begun.take() {
                    Some(begun) => {
                        let (fuel, bytes, spent) = (spent.take_fuel(), spent.take_held(), Some(spent.clone()));
                        Poll::Ready(Called::GivesWay { begun: Begun { spent, ..begun }, fuel, bytes })
                    }
                    None => Poll::Pending,
                },
                Ok(Poll::Pending) => Poll::Pending,
                Err(panic) => Poll::Ready(Called::Panicked { what: what(&shown), message: panic_text(&*panic) }),
            }
        });
        match called.await {
            Called::Answer { answer, fuel } => {
                let fuel = fuel.saturating_add(counted(&answer).await);
                Called::Answer { answer, fuel }
            }
            called => called,
        }
    }
}

/// What it costs that an answer crosses, found on the runtime.
async fn counted(answer: &Answer) -> u64 {
    let (mut fuel, mut crossing) = (tariff::answer(answer), Crossing::default());
    loop {
        let counted = crossing.step(tariff::crossing(answer), |_, _, _| ());
        fuel = fuel.saturating_add(counted.fuel);
        if counted.is_done {
            return fuel;
        }
        tokio::task::yield_now().await;
    }
}
