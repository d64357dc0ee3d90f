//! A VM in its store: started from an image, called in slices, stopped by its limits.
//!
//! Callers: `motu` (loads bundles) and `instance` (runs events). Keeps invariant M3, no limit can be caught: each one ends
//! the call from the host's side, and a [`Vm`] whose call was stopped is never called again.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Module, ResourceLimiter, Store, Trap};

use crate::engine::{CompileCache, engine};
use crate::error::{Error, ErrorKind};
use crate::guest::exports::motu::guest::vm::Guest as VmExports;
use crate::guest::motu::guest::host::{Called, Host, Limit, LogLevel as GuestLevel};
use crate::guest::motu::guest::types::{Answer, Failure, FailureKind, Limits as GuestLimits, Refusal};
use crate::guest::{COMPONENT, GuestPre, VM, VM_IMAGE, VM_NAME};
use crate::image::{EXCEPTION_HEAP_BYTES_MAX, Image, Memories, MemoryHandle, start_from};
use crate::limits::Limits;
use crate::log::{LogLevel, LogLine, LogSink};
use crate::outcome::Usage;
use crate::tenant::Tenant;
use crate::value::Value;

#[cfg(test)]
mod tests;

/// Bytes that a call may carry beside what the limits count: names, paths, frames of a traceback.
const CALL_OVERHEAD_BYTES: usize = 1 << 20;

/// What all VMs of a Motu share: compiled code, and the image of an empty VM.
pub(crate) struct Factory {
    engine: Engine,
    pre: GuestPre<State>,
    memories: Memories,
    base: Arc<Image>,
    born: Instant,
}

impl Factory {
    pub(crate) fn new(cache: &CompileCache) -> Result<Factory, Error> {
        let failed = |error: wasmtime::Error| Error::new(ErrorKind::Host, format!("the VM can't be set up: {error:#}"));
        let memories = Memories::new();
        let engine = engine(cache, &memories).map_err(failed)?;
        let module = Module::new(&engine, VM).map_err(failed)?;
        let component = Component::new(&engine, COMPONENT).map_err(failed)?;
        let mut linker = Linker::<State>::new(&engine);
        linker.root().module(VM_NAME, &module).map_err(failed)?;
        crate::guest::motu::guest::host::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)
            .map_err(failed)?;
        let pre = GuestPre::new(linker.instantiate_pre(&component).map_err(failed)?).map_err(failed)?;

        let unborn = Image::new(VM_IMAGE).map_err(|error| failed(error.into()))?;
        let mut factory = Factory { engine, pre, memories, base: unborn, born: Instant::now() };
        let state = State::new(&factory, &Limits::default(), LogSink::tracing(), None);
        let mut vm = factory.instantiate(&factory.base, state)?;
        let memory = vm.memory.take();
        vm.exports().call_init(&mut vm.store).map_err(failed)?;
        let base = capture(memory, &mut vm.store)?;
        drop(vm);
        factory.memories.forget(&factory.base);
        factory.base = base;
        Ok(factory)
    }

    /// A VM with no bundle.
    pub(crate) fn empty(&self, limits: &Limits, seed: u64, log: LogSink) -> Result<Vm, Error> {
        self.start(&self.base, limits, seed, log, None)
    }

    /// A VM as it was when `image` was taken.
    pub(crate) fn start(
        &self,
        image: &Arc<Image>,
        limits: &Limits,
        seed: u64,
        log: LogSink,
        tenant: Option<Tenant>,
    ) -> Result<Vm, Error> {
        if image.len() as u64 > limits.memory_bytes {
            let (image, limit) = (image.len(), limits.memory_bytes);
            return Err(Error::new(
                ErrorKind::Memory,
                format!("the VM with the bundle takes {image} bytes of memory, and the limit memory_bytes is {limit}"),
            ));
        }
        let mut vm = self.instantiate(image, State::new(self, limits, log, tenant))?;
        let guest_limits = GuestLimits {
            result_bytes: limits.result_bytes,
            result_depth: limits.result_depth,
            log_bytes: limits.log_bytes,
            coroutines: limits.coroutines,
            timers: limits.timers,
            calls: limits.calls_in_flight,
        };
        let configured = vm.exports().call_configure(&mut vm.store, seed, guest_limits);
        configured.map_err(|error| Error::internal(format!("the VM can't be configured: {error:#}")))?;
        // only now: from here on, calls run on a fiber
        let sliced = vm.store.fuel_async_yield_interval(Some(Limits::SLICE_FUEL));
        sliced.map_err(|error| Error::internal(format!("fuel can't be sliced: {error:#}")))?;
        Ok(vm)
    }

    fn instantiate(&self, image: &Arc<Image>, state: State) -> Result<Vm, Error> {
        let hostcall_bytes = state.hostcall_bytes;
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(hostcall_bytes);
        let failed =
            |error: wasmtime::Error| Error::new(ErrorKind::Host, format!("no instance can be made: {error:#}"));
        store.set_fuel(u64::MAX).map_err(failed)?;
        let (bindings, memory) = start_from(image, || self.pre.instantiate(&mut store));
        let bindings = bindings.map_err(failed)?;
        store.data_mut().memory.bytes = image.len() as u64;
        Ok(Vm { store, bindings, memory })
    }

    /// Frees what is kept for an image that nobody will start from again.
    pub(crate) fn forget(&self, image: &Arc<Image>) {
        self.memories.forget(image);
    }
}

fn capture(memory: Option<MemoryHandle>, store: &mut Store<State>) -> Result<Arc<Image>, Error> {
    let memory = memory.ok_or_else(|| Error::internal("an instance was started without a memory"))?;
    memory.capture(store).map_err(|error| Error::new(ErrorKind::Host, format!("no image can be made: {error}")))
}

/// What a call may use.
pub(crate) struct Budget {
    pub(crate) fuel: Option<u64>,
    pub(crate) deadline: Option<Duration>,
    /// When the clock started.
    pub(crate) since: Instant,
}

/// One VM and the memory it lives in. Dropped, its memory goes back to be used for another.
pub(crate) struct Vm {
    store: Store<State>,
    bindings: crate::guest::Guest,
    /// Only for taking an image; dropped with the first call that is not a load.
    memory: Option<MemoryHandle>,
}

impl Vm {
    fn exports(&self) -> VmExports {
        self.bindings.motu_guest_vm().clone()
    }

    /// Calls the guest within a budget. An error of the outer kind means that the VM is lost; `Ok(Err)` is the script's.
    pub(crate) async fn call<T>(
        &mut self,
        budget: &Budget,
        call: impl AsyncFnOnce(&VmExports, &mut Store<State>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> (Result<Result<T, Failure>, Error>, Usage) {
        let exports = self.exports();
        let fuel = budget.fuel.unwrap_or(u64::MAX);
        self.store.data_mut().log.left = self.store.data().log.bytes;
        let result = match self.store.set_fuel(fuel) {
            Ok(()) => within(budget, call(&exports, &mut self.store)).await,
            Err(error) => Some(Err(error)),
        };
        let used = fuel.saturating_sub(self.store.get_fuel().unwrap_or(0));
        let usage = Usage { fuel: used, memory_bytes: self.store.data().memory.bytes, elapsed: budget.since.elapsed() };
        let result = match result {
            Some(Ok(result)) => Ok(result),
            Some(Err(error)) => Err(self.why(&error, budget)),
            None => Err(out_of_time(budget)),
        };
        (result, usage)
    }

    /// Takes an image of the VM as it is now, after a load.
    pub(crate) fn into_image(mut self) -> Result<Arc<Image>, Error> {
        capture(self.memory.take(), &mut self.store)
    }

    /// Lets go of the handle that [`into_image`](Self::into_image) needs, so that the memory can be used again after this.
    pub(crate) fn without_image(mut self) -> Vm {
        self.memory = None;
        self
    }

    /// Names what stopped a call.
    fn why(&self, error: &wasmtime::Error, budget: &Budget) -> Error {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::Memory { wanted } => Error::new(
                    ErrorKind::Memory,
                    format!(
                        "out of memory: {wanted} needed, and the limit memory_bytes is {}",
                        self.store.data().memory.limit
                    ),
                ),
                Stop::Limit { limit, most, detail } => {
                    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
                    Error::new(ErrorKind::Limit, format!("over the limit {limit} of {most}{detail}"))
                }
                Stop::Mapping { error } => Error::new(ErrorKind::Host, format!("no memory can be mapped: {error}")),
            };
        }
        if error.is::<wasmtime::GcHeapOutOfMemory<()>>() {
            return Error::new(
                ErrorKind::Memory,
                format!("out of memory: the errors alive at once take more than {EXCEPTION_HEAP_BYTES_MAX} bytes"),
            );
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Error::new(
                ErrorKind::Fuel,
                format!("out of fuel: the budget of {} is used up", budget.fuel.unwrap_or(u64::MAX)),
            ),
            Some(Trap::StackOverflow) => {
                Error::new(ErrorKind::Limit, "over the limit wasm stack: calls lie too deep in each other")
            }
            _ => {
                tracing::error!(error = format!("{error:#}"), "a guest stopped for a reason that Motu doesn't know");
                Error::internal(format!("the VM stopped: {error:#}"))
            }
        }
    }
}

fn out_of_time(budget: &Budget) -> Error {
    let deadline = budget.deadline.unwrap_or_default();
    Error::new(ErrorKind::Deadline, format!("out of time: the deadline of {} ms has passed", deadline.as_millis()))
}

/// Polls a call slice by slice, until it ends or its time is up (`None`).
async fn within<T>(budget: &Budget, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let over = || budget.deadline.is_some_and(|deadline| budget.since.elapsed() >= deadline);
    if over() {
        return None;
    }
    std::future::poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if over() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// The script's failure as an error.
pub(crate) fn failed(failure: Failure) -> Error {
    let kind = match failure.kind {
        FailureKind::Compile => ErrorKind::Compile,
        FailureKind::Script => ErrorKind::Script,
        FailureKind::Limit => ErrorKind::Limit,
        FailureKind::Denied => ErrorKind::Denied,
        FailureKind::Host => ErrorKind::Host,
    };
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    };
    let value = failure.value.and_then(|bytes| match Value::decode(&bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(%error, "a guest sent an error value that can't be read");
            None
        }
    });
    Error::new(kind, text(failure.message)).with_script(text(failure.traceback), value)
}

/// What a store keeps beside the guest.
pub(crate) struct State {
    memory: MemoryLimit,
    log: Log,
    /// What one call may copy to the host.
    hostcall_bytes: usize,
    limits: Limits,
    born: Instant,
    sleeps: Sleeps,
    #[cfg(test)]
    scripted: tests::Scripted,
}

/// The sleeps that are under way in a VM.
#[derive(Default)]
struct Sleeps {
    /// By when they are over; of those at the same time, the one that began first.
    due: BTreeMap<(Instant, u64), u32>,
    by_wait: HashMap<u32, (Instant, u64)>,
    begun: u64,
}

struct Log {
    sink: LogSink,
    tenant: Option<Tenant>,
    /// For each call.
    bytes: u32,
    left: u32,
}

impl State {
    fn new(factory: &Factory, limits: &Limits, sink: LogSink, tenant: Option<Tenant>) -> State {
        let largest = limits.result_bytes.max(limits.log_bytes) as usize;
        State {
            memory: MemoryLimit { limit: limits.memory_bytes, bytes: 0 },
            log: Log { sink, tenant, bytes: limits.log_bytes, left: limits.log_bytes },
            hostcall_bytes: largest.saturating_add(CALL_OVERHEAD_BYTES),
            limits: limits.clone(),
            born: factory.born,
            sleeps: Sleeps::default(),
            #[cfg(test)]
            scripted: tests::Scripted::default(),
        }
    }

    /// Takes the sleep that is over first: its wait, and when that is.
    pub(crate) fn take_sleep(&mut self) -> Option<(u32, Instant)> {
        let ((due, _), wait) = self.sleeps.due.pop_first()?;
        self.sleeps.by_wait.remove(&wait);
        Some((wait, due))
    }
}

/// Why the host stopped a call. Travels through wasmtime as the call's error, out of the script's reach.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("out of memory: {wanted} needed")]
    Memory { wanted: String },
    #[error("over the limit {limit} of {most}")]
    Limit { limit: &'static str, most: u32, detail: String },
    #[error("no memory can be mapped: {error}")]
    Mapping { error: String },
}

struct MemoryLimit {
    limit: u64,
    /// The linear memory's size. It never shrinks, so this is also its peak.
    bytes: u64,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if current <= EXCEPTION_HEAP_BYTES_MAX {
            // a store's first memories (checked before they are made), or the heap of exceptions growing
            return Ok(current == 0 || desired <= EXCEPTION_HEAP_BYTES_MAX);
        }
        if desired as u64 > self.limit {
            // an error and not `false`: a failed growth that the guest sees could be caught by the script
            return Err(Stop::Memory { wanted: format!("{desired} bytes were") }.into());
        }
        self.bytes = desired as u64;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // the machine's fault, or 4 GiB are reached
        if self.limit >= Limits::MEMORY_BYTES_MAX {
            return Err(Stop::Memory { wanted: "more than 4 GiB were".to_owned() }.into());
        }
        Err(Stop::Mapping { error: format!("{error:#}") }.into())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 1 << 16)
    }
}

impl crate::guest::motu::guest::types::Host for State {}

impl Host for State {
    fn log(&mut self, level: GuestLevel, text: Vec<u8>) -> wasmtime::Result<()> {
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let Some(left) = self.log.left.checked_sub(bytes) else {
            return self.exceeded(Limit::LogBytes, Vec::new());
        };
        self.log.left = left;
        let level = match level {
            GuestLevel::Debug => LogLevel::Debug,
            GuestLevel::Info => LogLevel::Info,
            GuestLevel::Warn => LogLevel::Warn,
            GuestLevel::Error => LogLevel::Error,
        };
        let text = String::from_utf8(text).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        (self.log.sink.0)(&LogLine { tenant: self.log.tenant.clone(), level, text });
        Ok(())
    }

    fn wall_clock(&mut self) -> wasmtime::Result<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    fn monotonic_clock(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn sleep(&mut self, wait: u32, nanoseconds: u64) -> wasmtime::Result<()> {
        let Sleeps { due, by_wait, begun } = &mut self.sleeps;
        // the guest keeps to both by itself
        if by_wait.len() >= self.limits.timers as usize {
            wasmtime::bail!("the guest sleeps more often at once than the limit timers of {}", self.limits.timers);
        }
        let end = Instant::now().checked_add(Duration::from_nanos(nanoseconds));
        let end = end.ok_or_else(|| wasmtime::format_err!("the guest sleeps for {nanoseconds} ns"))?;
        *begun += 1;
        if by_wait.insert(wait, (end, *begun)).is_some() {
            wasmtime::bail!("the guest waits twice under the number {wait}");
        }
        due.insert((end, *begun), wait);
        Ok(())
    }

    #[cfg_attr(not(test), expect(unused_variables, reason = "no host function asks for them yet"))]
    fn call(&mut self, wait: u32, function: Vec<u8>, arguments: Vec<u8>) -> wasmtime::Result<Called> {
        #[cfg(test)]
        if let Some(called) = self.scripted.answer(wait, &function, &arguments) {
            return Ok(called);
        }
        let name = String::from_utf8_lossy(function.get(..function.len().min(128)).unwrap_or_default()).into_owned();
        let value = Value::string(format!("there is no host function {name}")).encode()?;
        Ok(Called::Ready(Answer::Refused(Refusal { kind: FailureKind::Host, value })))
    }

    fn abandon(&mut self, wait: u32) -> wasmtime::Result<()> {
        #[cfg(test)]
        self.scripted.abandoned.push(wait);
        if let Some(key) = self.sleeps.by_wait.remove(&wait) {
            self.sleeps.due.remove(&key);
        }
        Ok(())
    }

    fn exceeded(&mut self, limit: Limit, detail: Vec<u8>) -> wasmtime::Result<()> {
        let detail = String::from_utf8_lossy(detail.get(..detail.len().min(1024)).unwrap_or_default()).into_owned();
        let (limit, most) = match limit {
            Limit::Memory => {
                return Err(Stop::Memory { wanted: "a block larger than any memory was".to_owned() }.into());
            }
            Limit::ResultBytes => ("result_bytes", self.limits.result_bytes),
            Limit::ResultDepth => ("result_depth", self.limits.result_depth),
            Limit::LogBytes => ("log_bytes", self.limits.log_bytes),
        };
        Err(Stop::Limit { limit, most, detail }.into())
    }
}
