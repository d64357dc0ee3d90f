//! Host functions: async Rust that scripts call by name. This is the untyped base, over values; what embedders are meant to
//! use goes over it.
//!
//! A worker polls a call once, on the spot. If it isn't done then, it moves to a tokio runtime, and its answer comes back as a
//! message to the instance. Invariant M6: a panic in one is caught at the boundary, and ends the instance that called.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Runtime};
use tokio::task::AbortHandle;

use crate::error::{Error, ErrorKind};
use crate::guest::motu::guest::types::{Answer, FailureKind, Refusal};
use crate::limits::Limits;
use crate::tenant::Tenant;
use crate::value::Value;
use crate::vm::panic_text;
use crate::waits::Owner;
use crate::wire;

/// How long a poll of a host function may take before it is said to block.
const BLOCKED_AFTER: Duration = Duration::from_millis(500);

/// How often that is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// What a host function fails with; scripts see its text.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

type Answering = Pin<Box<dyn Future<Output = Result<Value, Failed>> + Send>>;

/// Who calls a host function.
#[doc(hidden)]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallContext {
    /// For whom the script runs.
    pub tenant: Tenant,
    /// The event that it handles, or that left the calling task behind.
    pub event: Arc<str>,
}

type Function = Arc<dyn Fn(CallContext, Vec<Value>) -> Answering + Send + Sync>;

/// What was given to the builder.
#[derive(Clone, Default)]
pub(crate) struct Given {
    functions: HashMap<Arc<str>, Function>,
    runtime: Option<Handle>,
}

impl Given {
    pub(crate) fn add<F, Fut, E>(&mut self, name: &str, function: F)
    where
        F: Fn(CallContext, Vec<Value>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, E>> + Send + 'static,
        E: Into<Failed>,
    {
        let boxed = move |context: CallContext, arguments: Vec<Value>| -> Answering {
            let future = function(context, arguments);
            Box::pin(async move { future.await.map_err(Into::into) })
        };
        self.functions.insert(name.into(), Arc::new(boxed));
    }

    pub(crate) fn run_on(&mut self, runtime: Handle) {
        self.runtime = Some(runtime);
    }
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.functions.keys()).finish()
    }
}

/// The host functions of a Motu.
pub(crate) struct Functions {
    functions: HashMap<Arc<str>, Function>,
    /// None where there are no functions.
    runtime: Option<Handle>,
    /// Motu's own, if it was given none.
    _own: Option<Owned>,
    polls: Arc<Polls>,
}

/// A runtime that may be dropped anywhere, also on one of its own threads.
struct Owned(Option<Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Functions {
    pub(crate) fn new(given: Given) -> Result<Functions, Error> {
        let polls = Arc::new(Polls::default());
        if given.functions.is_empty() {
            return Ok(Functions { functions: given.functions, runtime: None, _own: None, polls });
        }
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Host, format!("the runtime of host functions can't be started: {error}"))
        };
        watch(&polls).map_err(failed)?;
        let (runtime, own) = match given.runtime {
            Some(runtime) => (runtime, None),
            None => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                let runtime =
                    builder.worker_threads(1).thread_name("motu-calls").enable_all().build().map_err(failed)?;
                (runtime.handle().clone(), Some(Owned(Some(runtime))))
            }
        };
        Ok(Functions { functions: given.functions, runtime: Some(runtime), _own: own, polls })
    }

    /// The functions that have blocked a thread for longer than half a second, and still do.
    pub(crate) fn blocked(&self) -> Vec<String> {
        self.polls.blocked(Instant::now())
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.polls.end();
    }
}

/// Who calls from one VM.
pub(crate) struct Caller {
    pub(crate) functions: Arc<Functions>,
    pub(crate) tenant: Tenant,
    pub(crate) limits: Limits,
    /// The names of functions that may be called.
    pub(crate) grants: Arc<[String]>,
    /// Takes the answers of calls that were pending.
    pub(crate) answer: Arc<dyn Fn(u32, Called) + Send + Sync>,
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
    pub(crate) fn call(&self, wait: u32, function: &[u8], arguments: &[u8], owner: &Owner) -> Outcome {
        let shown =
            || String::from_utf8_lossy(function.get(..function.len().min(128)).unwrap_or_default()).into_owned();
        let found = std::str::from_utf8(function).ok().and_then(|name| self.functions.functions.get_key_value(name));
        let (Some((name, function)), Some(runtime)) = (found, &self.functions.runtime) else {
            return Outcome::Ready(refused(FailureKind::Script, &format!("there is no host function {}", shown())));
        };
        if !self.grants.iter().any(|granted| **granted == **name) {
            let message = format!("{name} is not granted to {}", self.tenant);
            return Outcome::Ready(refused(FailureKind::Denied, &message));
        }
        let arguments = match Value::decode(arguments) {
            Ok(Value::Array(arguments)) => arguments,
            _ => return Outcome::Ready(refused(FailureKind::Host, "the arguments can't be read")),
        };
        let context = CallContext { tenant: self.tenant.clone(), event: owner.name.clone() };
        let _entered = runtime.enter();
        let polls = &self.functions.polls;
        let what = || format!("the host function {name}");
        let mut watched = Watched { name: name.clone(), polls: polls.clone(), future: None };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _poll = polls.begin(name);
            watched.future = Some(function(context, arguments));
            watched.poll_inner(&mut Context::from_waker(Waker::noop()))
        }));
        match polled {
            Ok(Poll::Ready(result)) => Outcome::Ready(answer(name, result, &self.limits)),
            Err(panic) => Outcome::Panicked { what: what(), message: panic_text(&*panic) },
            Ok(Poll::Pending) => {
                let (name, limits, tell) = (name.clone(), self.limits.clone(), self.answer.clone());
                let task = runtime.spawn(async move {
                    let called = match Caught(watched).await {
                        Ok(result) => Called::Answer(answer(&name, result, &limits)),
                        Err(message) => Called::Panicked { what: format!("the host function {name}"), message },
                    };
                    tell(wait, called);
                });
                Outcome::Pending(Call(task.abort_handle()))
            }
        }
    }
}

fn answer(name: &str, result: Result<Value, Failed>, limits: &Limits) -> Answer {
    match result {
        Ok(value) => match wire::encode(&value, limits.payload_depth, limits.payload_bytes) {
            Ok(bytes) => Answer::Value(bytes),
            Err(error) => refused(FailureKind::Limit, &format!("the result of {name} can't cross: {error}")),
        },
        Err(error) => refused(FailureKind::Host, &format!("{name}: {error}")),
    }
}

fn refused(kind: FailureKind, message: &str) -> Answer {
    // a long text is cut: it is the host's, but may hold what a script sent
    let cut: String = message.chars().take(4096).collect();
    let value = Value::string(cut).encode().unwrap_or_default();
    Answer::Refused(Refusal { kind, value })
}

/// A function's future, whose polls are watched.
struct Watched {
    name: Arc<str>,
    polls: Arc<Polls>,
    future: Option<Answering>,
}

impl Watched {
    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<Result<Value, Failed>> {
        match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

/// The same, with its panics caught.
struct Caught(Watched);

impl Future for Caught {
    type Output = Result<Result<Value, Failed>, String>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polls = self.0.polls.clone();
        let name = self.0.name.clone();
        let _poll = polls.begin(&name);
        match catch_unwind(AssertUnwindSafe(|| self.0.poll_inner(context))) {
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    }
}

/// The polls of host functions that are under way, for the watchdog.
#[derive(Default)]
struct Polls {
    now: Mutex<HashMap<u64, Begun>>,
    last: AtomicU64,
    over: AtomicBool,
    watchdog: Mutex<Option<Thread>>,
}

struct Begun {
    name: Arc<str>,
    since: Instant,
    said: bool,
}

struct UnderWay<'a> {
    polls: &'a Polls,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.polls.now().remove(&self.number);
    }
}

impl Polls {
    fn now(&self) -> MutexGuard<'_, HashMap<u64, Begun>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, name: &Arc<str>) -> UnderWay<'_> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        self.now().insert(number, Begun { name: name.clone(), since: Instant::now(), said: false });
        UnderWay { polls: self, number }
    }

    fn blocked(&self, now: Instant) -> Vec<String> {
        let polls = self.now();
        let blocked = polls.values().filter(|poll| now.saturating_duration_since(poll.since) > BLOCKED_AFTER);
        let mut names: Vec<String> = blocked.map(|poll| poll.name.to_string()).collect();
        names.sort_unstable();
        names
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
        if let Some(watchdog) = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner).take() {
            watchdog.unpark();
        }
    }
}

/// Starts the thread that names functions which block.
fn watch(polls: &Arc<Polls>) -> std::io::Result<()> {
    let watched: Weak<Polls> = Arc::downgrade(polls);
    let thread = std::thread::Builder::new().name("motu-watchdog".to_owned()).spawn(move || {
        loop {
            std::thread::park_timeout(WATCH_EVERY);
            let Some(polls) = watched.upgrade() else { return };
            if polls.over.load(Ordering::Acquire) {
                return;
            }
            for poll in polls.now().values_mut().filter(|poll| !poll.said && poll.since.elapsed() > BLOCKED_AFTER) {
                poll.said = true;
                tracing::warn!(function = %poll.name, "a host function blocks the thread that polls it; it must await instead");
            }
        }
    })?;
    *polls.watchdog.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
    Ok(())
}
