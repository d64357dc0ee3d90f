//! Host modules, as embedders make them: the WIT of a package, and an async Rust function for each of its functions. Motu's
//! own modules are made the same way; there is no other way in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::functions::tariff::crossing;
use crate::functions::{Arguments, Heavy, VALUE_BYTES, VALUES_AT_ONCE, VALUES_LIGHT};
use crate::guest::motu::guest::types::{Answer, FailureKind, Refusal};
use crate::value::Value;
use crate::wire::token::{Reader, Token};
use crate::wit::{self, Function, Mismatch, Package};

/// What a host function fails with; scripts see its text.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A call that is under way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A function over bytes: reads the arguments as its WIT says, and writes the result so.
pub(crate) type Body = Arc<dyn Fn(CallContext, Arguments, Bounds) -> Answering + Send + Sync>;

/// Finds something in an argument.
type Reading = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What grants may name of a function beside its arguments.
#[derive(Clone)]
pub(crate) struct Derived {
    pub(crate) name: String,
    /// The argument that it is read from.
    pub(crate) of: String,
    pub(crate) read: Reading,
}

/// Why no call has an argument of this name that fits a pattern, if none can. The pattern is given by its pieces between `*`.
pub(crate) type Never = fn(&str, &[Box<str>]) -> Option<String>;

/// How grants may narrow a function.
#[derive(Clone, Default)]
pub(crate) struct Narrowing {
    pub(crate) derived: Vec<Derived>,
    pub(crate) never: Option<Never>,
}

/// A function, what it does, how grants may narrow it, and whether it is pure.
pub(crate) type Implemented = (Arc<Function>, Body, Narrowing, bool);

/// What a result may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) depth: u32,
    pub(crate) bytes: u32,
}

/// A module of the host's, for scripts to `require`: `acme:crm` is `require("@acme/crm")`.
///
/// ```
/// use motu::{CallContext, HostModule};
///
/// let crm = HostModule::from_wit(
///     "package acme:crm@1.0.0;
///      interface customers {
///        record customer { name: string, vip: bool }
///        /// Finds a customer by the beginning of a name.
///        find-customer: func(name: string) -> option<customer>;
///      }",
/// )?;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Customer { name: String, vip: bool }
///
/// let crm = crm.function("find-customer", |_context: CallContext, name: String| async move {
///     Ok::<_, std::io::Error>(name.starts_with("Ada").then(|| Customer { name: "Ada Lovelace".into(), vip: true }))
/// });
/// let motu = motu::Motu::builder().host_module(crm).build()?;
/// # Ok::<(), motu::Error>(())
/// ```
///
/// In a script, with the grant `acme:crm/customers.find-customer`: `require("@acme/crm").find_customer("Ada")`.
#[derive(Clone)]
#[must_use = "a module is given to `MotuBuilder::host_module`"]
pub struct HostModule {
    package: Arc<Package>,
    bodies: BTreeMap<String, Body>,
    narrowing: BTreeMap<String, Narrowing>,
    /// What is wrong with it, said when Motu is built.
    wrong: Vec<String>,
    /// The functions that are pure, by their names in the WIT.
    pure: BTreeSet<String>,
}

impl HostModule {
    /// Reads the WIT of one package.
    ///
    /// Its interfaces' functions are the module's, all in one table, their names in `snake_case`.
    ///
    /// # Errors
    ///
    /// [`Usage`](ErrorKind::Usage), naming the line: what isn't WIT, and what can't be had in Luau.
    pub fn from_wit(text: &str) -> Result<HostModule, Error> {
        let package =
            wit::parse(text).map_err(|error| Error::usage_error(format!("the WIT of a host module: {error}")))?;
        Ok(HostModule {
            package: Arc::new(package),
            bodies: BTreeMap::new(),
            narrowing: BTreeMap::new(),
            wrong: Vec::new(),
            pure: BTreeSet::new(),
        })
    }

    /// Implements a function of the WIT, by its name there: `find-customer`, or `session.query` for a method of a resource,
    /// `session.new` for its constructor.
    ///
    /// The arguments come as the one parameter's own type, or as a tuple of several, or as `()`. `R` is the WIT's result:
    /// of a `result<t, e>`, a [`Result`], whose error is thrown in the script as a value; only an `e` that is `string` has the
    /// caller's place and the function's name before it. An event that ends by it is of kind [`Script`](ErrorKind::Script). An
    /// error of the future itself is the host's own, and is thrown as text; an [`Error`] of kind [`Limit`](ErrorKind::Limit) or
    /// [`Denied`](ErrorKind::Denied) keeps its kind. Both types are held against the WIT now; what doesn't fit is an error
    /// of [`build`](crate::MotuBuilder::build).
    ///
    /// The future is polled once on the worker that runs the script, and if it isn't done then, on a tokio runtime, until it is
    /// done or [gives way](CallContext::give_way). It must not block. A panic in it ends the instance that called.
    ///
    /// On the runtime, a tenant's calls are polled one after the other, in turns of about 100 us: what takes long in one poll
    /// keeps the tenant's other calls waiting. Work that is to run beside them is a task of its own (`tokio::spawn`).
    ///
    /// Arguments of up to 8,192 values are read on the worker, and such results are written there. Longer ones are read and
    /// written on a blocking thread of the runtime, one at a time: the tenant that has had the least of it, by weight,
    /// is next. The function itself works on
    /// what it was given: if that can be long, it yields with [`give_way`](CallContext::give_way) now and then, and drops it in
    /// parts. A call that is given up with arguments of more than 512 values is dropped on that thread, in its turn.
    pub fn function<A, R, F, Fut, E>(self, name: &str, function: F) -> HostModule
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(CallContext, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<Failed>,
    {
        self.implement(name, function, Arguments::values)
    }

    /// As [`function`](Self::function), for one that takes each argument that is a `value` [unread](wire::Encoded): those
    /// don't count among the values that are to be read.
    pub(crate) fn unread_function<A, R, F, Fut, E>(self, name: &str, function: F) -> HostModule
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(CallContext, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<Failed>,
    {
        let Some(described) = self.described(name) else { return self.implement(name, function, Arguments::values) };
        let is_unread: Vec<bool> = described.params.iter().map(|param| param.ty.is_any()).collect();
        self.implement(name, function, move |arguments| {
            let read = is_unread.iter().enumerate().filter(|(_, is_unread)| !**is_unread);
            read.filter_map(|(index, _)| arguments.get(index)).map(|argument| argument.values).sum()
        })
    }

    /// `values` says how many values of the arguments are read.
    fn implement<A, R, F, Fut, E>(
        mut self,
        name: &str,
        function: F,
        values: impl Fn(&Arguments) -> usize + Send + Sync + 'static,
    ) -> HostModule
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(CallContext, A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<Failed>,
    {
        let id = self.package.id();
        let Some(described) = self.described(name) else {
            self.wrong.push(format!("the module {id} has no function {name} in its WIT, but one is implemented"));
            return self;
        };
        self.wrong.extend(wit::fits::<A, R>(&described).err());
        let function = Arc::new(function);
        let body = move |context: CallContext, arguments: Arguments, bounds: Bounds| -> Answering {
            let count = values(&arguments);
            if count <= VALUES_LIGHT {
                return read_now(&*function, context, arguments, bounds);
            }
            let (aside, tenant) = (context.function.aside.clone(), context.tenant().clone());
            let (values, sent) = (VALUE_BYTES.saturating_mul(count as u64), arguments.bytes().len() as u64);
            let (bytes, most) = (values.saturating_add(sent), context.limits().memory_bytes);
            let Some(held) = context.local.gauge.hold_within(bytes, most) else {
                let called = &context.function.described.called;
                let what =
                    format!("{called}: {count} values take {bytes} bytes, over the limit memory_bytes of {most}");
                return Box::pin(ready(refused(FailureKind::Limit, &what)));
            };
            let gauge = context.local.gauge.clone();
            let answering = if count <= VALUES_AT_ONCE {
                read_now(&*function, context, arguments, bounds)
            } else {
                read_aside(function.clone(), context, arguments, bounds)
            };
            let future = gauge.held_of(size_of_val(&*answering) as u64);
            Box::pin(Heavy::new(answering, aside, tenant, [held, future]))
        };
        if self.bodies.insert(name.to_owned(), Arc::new(body)).is_some() {
            self.wrong.push(format!("the function {name} of the module {id} is implemented twice"));
        }
        self
    }

    /// Lets grants narrow a function by what one of its arguments contains, as the host in a URL: `[name=pattern]` is held
    /// against what `read` makes of the text that the argument `of` is. `None` fits no pattern.
    ///
    /// What doesn't fit the WIT is an error of [`build`](crate::MotuBuilder::build).
    pub fn narrowed_by(
        mut self,
        function: &str,
        name: &str,
        of: &str,
        read: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> HostModule {
        let id = self.package.id();
        let Some(described) = self.described(function) else {
            self.wrong.push(format!("the module {id} has no function {function} in its WIT, but it is to be narrowed"));
            return self;
        };
        let has = |name: &str| described.params.iter().any(|param| param.name.kebab == name);
        if !has(of) || has(name) {
            let what = "the first must be an argument in the WIT, and the second none";
            self.wrong.push(format!(
                "the function {function} of the module {id} can't be narrowed by {of} as {name}: {what}"
            ));
        }
        let derived = Derived { name: name.to_owned(), of: of.to_owned(), read: Arc::new(read) };
        self.narrowing.entry(function.to_owned()).or_default().derived.push(derived);
        self
    }

    /// Says that a function, by its name in the WIT, is pure: what it comes to depends on its arguments alone, and it
    /// reaches nothing but the script's log. Scripts may then call it at the top level of a bundle too, and where what
    /// called them can't wait, as in a comparison for `table.sort`. README names [`Motu`](crate::Motu)'s own.
    ///
    /// At the top level nobody has grants, for what is made there serves all tenants: a pure function needs none there.
    /// [`CallContext::tenant`] is `motu:load` then, [`CallContext::event`] is empty, and no resource can be opened. Where
    /// nothing can wait, a call fails that isn't answered at once: since it waits, or since it has more than 8,192 values to
    /// be read or written.
    pub fn pure(mut self, function: &str) -> HostModule {
        let id = self.package.id();
        match self.described(function) {
            Some(_) => drop(self.pure.insert(function.to_owned())),
            None => self
                .wrong
                .push(format!("the module {id} has no function {function} in its WIT, but it is said to be pure")),
        }
        self
    }

    pub(crate) fn all_pure(self) -> HostModule {
        self.pure_but(&[])
    }

    /// All of its functions are pure, but these.
    pub(crate) fn pure_but(self, others: &[&str]) -> HostModule {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        let pure = names.iter().filter(|name| !others.contains(&name.as_str()));
        pure.fold(self, |module, name| module.pure(name))
    }

    /// [Never granted](Self::never_granted), for all of its functions.
    pub(crate) fn all_never_granted(self, never: Never) -> HostModule {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        names.iter().fold(self, |module, name| module.never_granted(name, never))
    }

    /// Has [`Motu::vain_grants`](crate::Motu::vain_grants) find patterns that no argument of a function fits.
    pub(crate) fn never_granted(mut self, function: &str, never: Never) -> HostModule {
        self.narrowing.entry(function.to_owned()).or_default().never = Some(never);
        self
    }

    /// A module whose functions are over bytes.
    #[cfg(feature = "providers")]
    pub(crate) fn over_bytes(package: Arc<Package>, body: impl Fn(&Arc<Function>) -> Body) -> HostModule {
        let all = package.interfaces.iter().flat_map(|interface| &interface.functions);
        let bodies = all.map(|function| (function.local_name().to_owned(), body(function))).collect();
        HostModule { package, bodies, narrowing: BTreeMap::new(), wrong: Vec::new(), pure: BTreeSet::new() }
    }

    fn described(&self, name: &str) -> Option<Arc<Function>> {
        self.functions().find(|function| function.local_name() == name).cloned()
    }

    /// The functions' names in the WIT.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.functions().map(|function| function.local_name())
    }

    fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.package.interfaces.iter().flat_map(|interface| &interface.functions)
    }

    pub(crate) fn package(&self) -> &Arc<Package> {
        &self.package
    }

    /// The functions.
    pub(crate) fn finish(&self) -> Result<Vec<Implemented>, Error> {
        let mut wrong = self.wrong.clone();
        let mut all = Vec::new();
        for function in self.functions() {
            match self.bodies.get(function.local_name()) {
                Some(body) => {
                    let narrowing = self.narrowing.get(function.local_name()).cloned().unwrap_or_default();
                    let is_pure = self.pure.contains(function.local_name());
                    all.push((function.clone(), body.clone(), narrowing, is_pure));
                }
                None => wrong.push(format!("{} is in the WIT, but not implemented", function.grant)),
            }
        }
        if wrong.is_empty() { Ok(all) } else { Err(Error::usage_error(wrong.join("; "))) }
    }
}

/// Reads the arguments of a call on the worker, and makes it.
fn read_now<A, R, F, Fut, E>(function: &F, context: CallContext, arguments: Arguments, bounds: Bounds) -> Answering
where
    A: DeserializeOwned,
    R: Serialize + Send + 'static,
    F: Fn(CallContext, A) -> Fut,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    E: Into<Failed>,
{
    match wit::counted_arguments::<A>(&context.function.described, &arguments, &context) {
        Ok(arguments) => answering(function, context, arguments, bounds),
        Err(mismatch) => Box::pin(ready(mismatched(&mismatch))),
    }
}

/// Reads the arguments of a call on a thread beside the workers, and makes it.
fn read_aside<A, R, F, Fut, E>(
    function: Arc<F>,
    context: CallContext,
    arguments: Arguments,
    bounds: Bounds,
) -> Answering
where
    A: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    F: Fn(CallContext, A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    E: Into<Failed>,
{
    Box::pin(async move {
        let caller = context.clone();
        let read = move || wit::counted_arguments::<A>(&caller.function.described, &arguments, &caller);
        let Some(read) = context.function.aside.run(context.tenant(), read).await else { return ended() };
        context.spent.give_way().await; // the function begins on a worker
        match read {
            Ok(arguments) => {
                let gauge = context.local.gauge.clone();
                let answering = answering(&*function, context, arguments, bounds);
                let _held = gauge.held_of(size_of_val(&*answering) as u64);
                answering.await
            }
            Err(mismatch) => mismatched(&mismatch),
        }
    })
}

/// Calls a function, and writes what it comes to: on the worker, or aside if it is long.
fn answering<A, R, F, Fut, E>(function: &F, context: CallContext, arguments: A, bounds: Bounds) -> Answering
where
    R: Serialize + Send + 'static,
    F: Fn(CallContext, A) -> Fut,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    E: Into<Failed>,
{
    let (called, local, spent) = (context.function.clone(), context.local.clone(), context.spent.clone());
    let future = function(context, arguments);
    Box::pin(async move {
        let (mut future, mut has_waited) = (pin!(future), false);
        let done = poll_fn(|context| {
            let polled = future.as_mut().poll(context);
            has_waited |= polled.is_pending() && !spent.gives_way();
            polled
        });
        let done = done.await.map_err(Into::<Failed>::into);
        if has_waited {
            if let Ok(result) = &done {
                spent.hold(crate::wire::weigh(result, bounds.bytes.into()));
            }
            spent.give_way().await; // the answer is written on a worker: it may be long
        }
        let result = match done {
            Ok(result) => result,
            Err(error) => return failed(&called.described, &error),
        };
        match wit::short_result(&called.described, &result, bounds.depth, bounds.bytes, VALUES_AT_ONCE) {
            Err(mismatch) if mismatch.is_too_many() => (),
            short => return answered(&called.described, short),
        }
        // it is at least so many values
        let bytes = (VALUE_BYTES * VALUES_AT_ONCE as u64).min(bounds.bytes.into());
        let most = local.limits.memory_bytes;
        let Some(held) = local.gauge.hold_within(bytes, most) else {
            // waited for, so that no more of them are made than are dropped
            let dropped = called.aside.run(&local.tenant, move || drop(result)).await;
            if dropped.is_none() {
                return ended();
            }
            spent.give_way().await;
            let called = &called.described.called;
            let what =
                format!("{called}: its result takes {bytes} bytes and more, over the limit memory_bytes of {most}");
            return refused(FailureKind::Limit, &what);
        };
        let written = called.clone();
        let write = move || {
            let _held = held;
            answer(&written.described, &result, bounds)
        };
        let Some(answer) = called.aside.run(&local.tenant, write).await else { return ended() };
        spent.hold(crossing(&answer).len() as u64);
        spent.give_way().await; // it is counted on a worker
        answer
    })
}

pub(crate) fn answer<R: Serialize>(function: &Function, result: &R, bounds: Bounds) -> Answer {
    answered(function, wit::result(function, result, bounds.depth, bounds.bytes))
}

fn answered(function: &Function, result: Result<wit::Answer, Mismatch>) -> Answer {
    match result {
        Ok(wit::Answer::Value(bytes)) => Answer::Value(bytes),
        // the error that the WIT has: it answers what the script asked for, and is the script's to catch
        Ok(wit::Answer::Error(value)) if function.raises_text() => {
            Answer::Refused(Refusal { kind: FailureKind::Script, value: named(function, value), is_message: true })
        }
        Ok(wit::Answer::Error(value)) => {
            Answer::Refused(Refusal { kind: FailureKind::Script, value, is_message: false })
        }
        Err(mismatch) if mismatch.is_over_limit() => refused(FailureKind::Limit, &mismatch.to_string()),
        Err(mismatch) => refused(FailureKind::Host, &mismatch.to_string()),
    }
}

/// The text that a function throws, with the function's name before it.
fn named(function: &Function, thrown: Vec<u8>) -> Vec<u8> {
    let Ok(Token::String(text)) = Reader::new(&thrown).token() else { return thrown };
    let mut named = format!("{}: ", function.called).into_bytes();
    named.extend_from_slice(text);
    Value::string(named).encode().unwrap_or(thrown)
}

/// Arguments that aren't what the WIT says.
pub(crate) fn mismatched(mismatch: &Mismatch) -> Answer {
    if mismatch.is_malformed() {
        tracing::error!(%mismatch, "a guest sent arguments that can't be read");
        return refused(FailureKind::Host, &mismatch.to_string());
    }
    refused(FailureKind::Script, &mismatch.to_string())
}

/// There is no runtime any more.
fn ended() -> Answer {
    refused(FailureKind::Host, "the host is shutting down")
}

pub(crate) fn failed(function: &Function, error: &Failed) -> Answer {
    let kind = match error.downcast_ref::<Error>().map(Error::kind) {
        Some(ErrorKind::Limit | ErrorKind::QueueFull) => FailureKind::Limit,
        Some(ErrorKind::Denied) => FailureKind::Denied,
        Some(ErrorKind::Script | ErrorKind::Usage) => FailureKind::Script,
        _ => FailureKind::Host,
    };
    let text = match error.downcast_ref::<Error>() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    };
    refused(kind, &format!("{}: {text}", function.called))
}

/// The longest text that a host function's error has.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// What a script throws, as text.
pub(crate) fn refused(kind: FailureKind, message: &str) -> Answer {
    // a long text is cut: it is the host's, but may hold what a script sent
    let cut = message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or(message);
    let value = Value::string(cut).encode().unwrap_or_default();
    Answer::Refused(Refusal { kind, value, is_message: true })
}

impl fmt::Debug for HostModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostModule").field("package", &self.package.id()).finish_non_exhaustive()
    }
}
