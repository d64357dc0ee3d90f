//! A VM in its store: started from an image, entered with a budget of fuel, stopped by its limits.
//!
//! Callers: `load` (loads bundles) and `actor` (runs events), which poll what [`Vm::enter`] returns slice by slice. Keeps
//! invariant M3, no limit can be caught: each one ends the entry from the host's side, and a [`Vm`] whose entry was stopped
//! is never entered again.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker};
use wasmtime::{AsContextMut, Engine, ResourceLimiter, Store, Trap};

use crate::clock::Clock;
use crate::engine::{CompileCache, OpenCache, engine};
use crate::error::{Error, ErrorKind};
use crate::functions::{Begun, Caller};
pub(crate) use crate::guest::exports::motu::guest::vm::Traceable;
use crate::guest::exports::motu::guest::vm::{Checked, Loaded, Module, Step};
use crate::guest::motu::guest::types::{Answer, Failure, FailureKind, File, Limits as GuestLimits};
use crate::guest::{COMPONENT, GuestIndices, VM, VM_IMAGE, VM_NAME};
use crate::image::{Capture, EXCEPTION_HEAP_BYTES_MAX, Heir, Image, Memories, MemoryHandle, Start, start_from};
use crate::limits::Limits;
use crate::log::{Log, LogSink};
use crate::metering::{Pace, Turn, processor_nanos};
use crate::tenant::Tenant;
#[cfg(test)]
use crate::value::Value;
use crate::waits::{Owner, Waits};
use meter::Meter;
use trace::Frames;

mod imports;
mod meter;
#[cfg(test)]
mod tests;
mod trace;

/// Bytes that a call may carry beside what the limits count: names, paths, frames of a traceback.
const CALL_OVERHEAD_BYTES: usize = 1 << 20;

/// A script like others: calls, arithmetic, tables and text, without an end.
const PLAIN: &[u8] = b"--!strict
local function step(list: { number }, i: number): number
    local text = `{i}`
    list[i % 64 + 1] = i
    return #text + list[i * 7 % 64 + 1]
end
local list, sum = table.create(64, 0), 0
while true do
    for i = 1, 1000 do
        sum = (sum + step(list, i)) % 1e6
    end
end";

/// How many slices of it are measured. The first has its compiling in it.
const PLAIN_SLICES: usize = 6;

/// How much fuel is burnt between looks at the turn's time, where the guest calls nobody. Ten times less than a slice, for code that
/// is slow for its fuel: throws, first writes to pages, reads that miss the caches.
const LOOK_FUEL: u64 = 100_000;

/// What all VMs of a Motu share: compiled code, and the image of an empty VM.
pub(crate) struct Factory {
    engine: Engine,
    pre: InstancePre<State>,
    exports: GuestIndices,
    /// The export of that name, for an autopsy, which needs no other: to look all of them up takes 0.5 us.
    trace: ComponentExportIndex,
    memories: Memories,
    base: Arc<Image>,
    clock: Clock,
    pace: Pace,
}

impl Factory {
    pub(crate) fn new(cache: &CompileCache, clock: &Clock) -> Result<Factory, Error> {
        let memories = Memories::new();
        let (cache, began) = (OpenCache::open(cache), Instant::now());
        let help = cache.help();
        let failed =
            |error: wasmtime::Error| Error::new(ErrorKind::Host, format!("the VM can't be set up: {error:#}{help}"));
        let engine = engine(&cache, &memories).map_err(failed)?;
        let module = wasmtime::Module::new(&engine, VM).map_err(failed)?;
        let component = Component::new(&engine, COMPONENT).map_err(failed)?;
        cache.tell(began.elapsed());
        let mut linker = Linker::<State>::new(&engine);
        linker.root().module(VM_NAME, &module).map_err(failed)?;
        imports::link(&mut linker).map_err(failed)?;
        let pre = linker.instantiate_pre(&component).map_err(failed)?;
        let exports = GuestIndices::new(&pre).map_err(failed)?;
        let trace = trace::export_of(&component).ok_or_else(|| Error::internal("the guest has no export `trace`"))?;

        let unborn = Image::new(VM_IMAGE).map_err(|error| failed(error.into()))?;
        let (clock, pace) = (clock.clone(), Pace::USUAL);
        let mut factory = Factory { engine, pre, exports, trace, memories, base: unborn, clock, pace };
        let state = State::new(&factory, &Arc::default(), LogSink::tracing(), None, Gauge::default());
        let mut vm = factory.instantiate(Start::Image(factory.base.clone()), state)?;
        let bindings = vm.bindings.clone();
        at_once(bindings.motu_guest_vm().call_init(&mut vm.store)).map_err(failed)?;
        let mut capturing = vm.into_image()?;
        let base = loop {
            if let Some(base) = capturing.step()? {
                break base;
            }
        };
        drop(capturing);
        factory.memories.forget(&factory.base);
        factory.base = base;
        factory.pace = factory.measure_pace()?;
        Ok(factory)
    }

    /// What a plain script burns on this machine: 0.5 ms of it, by the thread's own time. The best of some slices counts, so that
    /// a busy machine makes no difference.
    fn measure_pace(&self) -> Result<Pace, Error> {
        let file = File { path: "init.luau".to_owned(), contents: PLAIN.to_vec(), opaque: false };
        let vm = self.empty(&Arc::default(), 0, LogSink::tracing(), Gauge::default())?;
        let entry = Entry::Load { files: vec![file], entry: "init.luau".to_owned(), modules: Vec::new() };
        let mut entering = vm.enter(entry, None, 0, None);
        let mut best = 0;
        for _ in 0..PLAIN_SLICES {
            let began = processor_nanos();
            if entering.poll(&Turn::default()).is_some() {
                return Err(Error::internal("the script by which the pace is measured ended"));
            }
            let nanos = processor_nanos().saturating_sub(began).max(1);
            best = best.max(Limits::SLICE_FUEL * 1000 / nanos);
        }
        Ok(Pace(best.clamp(Pace::USUAL.0 / 16, Pace::USUAL.0 * 16)))
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// A VM with no bundle.
    pub(crate) fn empty(&self, limits: &Arc<Limits>, seed: u64, log: LogSink, gauge: Gauge) -> Result<Vm, Error> {
        self.start(&self.base, limits, seed, log, None, gauge)
    }

    /// A VM as it was when `image` was taken.
    pub(crate) fn start(
        &self,
        image: &Arc<Image>,
        limits: &Arc<Limits>,
        seed: u64,
        log: LogSink,
        tenant: Option<Tenant>,
        gauge: Gauge,
    ) -> Result<Vm, Error> {
        if image.len() as u64 > limits.memory_bytes {
            let (image, limit) = (image.len(), limits.memory_bytes);
            return Err(Error::new(
                ErrorKind::Memory,
                format!("the VM with the bundle takes {image} bytes of memory, and the limit memory_bytes is {limit}"),
            ));
        }
        let mut vm = self.instantiate(Start::Image(image.clone()), State::new(self, limits, log, tenant, gauge))?;
        let guest_limits = GuestLimits {
            result_bytes: limits.result_bytes,
            result_depth: limits.result_depth,
            log_bytes: limits.log_bytes,
            coroutines: limits.coroutines,
            timers: limits.timers,
            calls: limits.calls_in_flight,
        };
        let bindings = vm.bindings.clone();
        let configured = at_once(bindings.motu_guest_vm().call_configure(&mut vm.store, seed, guest_limits));
        configured.map_err(|error| Error::internal(format!("the VM can't be configured: {error:#}")))?;
        // only now: what ran until here isn't cut into slices
        let sliced = vm.store.fuel_async_yield_interval(Some(LOOK_FUEL));
        sliced.map_err(|error| Error::internal(format!("fuel can't be sliced: {error:#}")))?;
        Ok(vm)
    }

    fn instantiate(&self, start: Start, state: State) -> Result<Vm, Error> {
        let (mut store, instance, memory) = self.instance(start, state)?;
        let bindings = self.exports.load(&mut store, &instance).map_err(|error| no_instance(&error))?;
        Ok(Vm { store, bindings: Arc::new(bindings), memory })
    }

    /// A store with an instance in it, none of whose exports are looked up yet.
    fn instance(&self, start: Start, state: State) -> Result<(Store<State>, Instance, MemoryHandle), Error> {
        let hostcall_bytes = state.hostcall_bytes;
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(hostcall_bytes);
        store.set_fuel(u64::MAX).map_err(|error| no_instance(&error))?;
        let (instance, memory) = start_from(start, || at_once(self.pre.instantiate_async(&mut store)));
        let instance = instance.map_err(|error| no_instance(&error))?;
        let memory = memory.ok_or_else(|| Error::internal("an instance was started without a memory"))?;
        store.data().memory.gauge.set(memory.len() as u64);
        Ok((store, instance, memory))
    }

    /// Frees what is kept for an image that nobody will start from again.
    pub(crate) fn forget(&self, image: &Arc<Image>) {
        self.memories.forget(image);
    }
}

fn no_instance(error: &wasmtime::Error) -> Error {
    Error::new(ErrorKind::Host, format!("no instance can be made: {error:#}"))
}

/// Runs to its end what doesn't stop on the way: no fuel is sliced yet, and no host function is called.
fn at_once<T>(running: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    match pin!(running).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Stop::Guest { error: "it waits before it has begun".to_owned() }.into()),
    }
}

/// Runs to its end, in one piece, what has little fuel and calls no host function that waits. Its fuel may be sliced.
fn poll_to_end<T>(running: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    let mut running = pin!(running);
    loop {
        if let Poll::Ready(result) = running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

/// One VM and the memory it lives in. Dropped, its memory goes back to be used for another.
pub(crate) struct Vm {
    store: Store<State>,
    /// In an `Arc`, because the VM is moved into each entry and back.
    bindings: Arc<crate::guest::Guest>,
    memory: MemoryHandle,
}

/// A VM whose image is being taken. It is at rest for good.
pub(crate) struct Capturing {
    vm: Vm,
    capture: Capture,
}

impl Capturing {
    /// Takes some of the image, in 50 to 200 us. Returns it once it is whole.
    pub(crate) fn step(&mut self) -> Result<Option<Arc<Image>>, Error> {
        self.capture.step(&self.vm.memory, &mut self.vm.store).map_err(|error| no_image(&error))
    }
}

fn no_image(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Host, format!("no image can be made: {error}"))
}

/// What to enter a VM for.
pub(crate) enum Entry {
    /// Compiles a bundle's files and runs its entry.
    Load { files: Vec<File>, entry: String, modules: Vec<Module> },
    /// Compiles a bundle's files and runs nothing.
    Check { files: Vec<File>, modules: Vec<Module> },
    /// Runs the handler called `name`.
    Start { event: u64, name: Arc<str>, payload: Vec<u8> },
    /// Goes on with what waited. `fuel` is what the answer cost, and the host holds it for the instance until here.
    Resume { wait: u32, answer: Answer, fuel: u64, held: Option<Held> },
    /// Goes on with a call that has waited and computes now, and with what waits for it if that ends it. `fuel` is what it has
    /// cost until here.
    GoOn { wait: u32, begun: Begun, fuel: u64 },
    /// Runs what was deferred.
    Deferred,
    /// Closes an event's handler, which waits.
    Cancel { event: u64 },
    /// What the bundle's entry returned.
    Value,
}

/// What an entry came to when nothing stopped it; `Err` is the script's.
pub(crate) enum Exit {
    Loaded(Result<Loaded, Failure>),
    Checked(Checked),
    Value(Result<Vec<u8>, Failure>),
    Step(Step),
    Cancelled,
}

/// An entry that is under way. Dropped before it is done, the VM is gone.
pub(crate) struct Entering {
    running: Pin<Box<dyn Future<Output = Left> + Send>>,
    meter: Arc<Meter>,
    /// Of the VM, for the autopsy.
    memory: MemoryHandle,
    /// Whose wait the entry ends: who is traced while none of its scripts runs yet.
    waits: Option<Traceable>,
}

/// A VM that was left.
pub(crate) struct Left {
    /// None after an error: a VM that was stopped is never entered again.
    pub(crate) vm: Option<Vm>,
    pub(crate) exit: Result<Exit, Error>,
    /// The fuel that the entry used.
    pub(crate) fuel: u64,
}

impl Entering {
    /// Runs a slice, until the turn is over at most. None: there is more to run.
    pub(crate) fn poll(&mut self, turn: &Turn) -> Option<Left> {
        self.meter.take_turn(turn);
        loop {
            match self.running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(left) => return Some(left),
                Poll::Pending if self.meter.is_slice_over() => return None,
                Poll::Pending => (),
            }
        }
    }

    /// The fuel used until now.
    pub(crate) fn fuel(&self) -> u64 {
        self.meter.used()
    }
}

impl Vm {
    /// Enters the guest with so much fuel (`None`: no limit), and so much to log, on behalf of an owner (none while a bundle
    /// is loaded).
    pub(crate) fn enter(
        mut self,
        entry: Entry,
        fuel: Option<u64>,
        log_bytes: u32,
        owner: Option<Arc<Owner>>,
    ) -> Entering {
        let given = fuel.unwrap_or(u64::MAX);
        let wait = if let Entry::Resume { wait, .. } | Entry::GoOn { wait, .. } = entry { Some(wait) } else { None };
        let waits = wait.map(Traceable::Wait);
        let owed = if let Entry::Resume { fuel, .. } | Entry::GoOn { fuel, .. } = entry { fuel } else { 0 };
        let meter = self.store.data().meter.clone();
        meter.begin(given, owed);
        let memory = self.memory.clone();
        let running = Box::pin(async move {
            let state = self.store.data_mut();
            state.log.set_left(log_bytes);
            state.owner = owner;
            let entered = match given.checked_sub(owed).map(|left| self.store.set_fuel(left)) {
                Some(Ok(())) => self.run(entry).await,
                Some(Err(error)) => Err(error),
                // it owes more than there is
                None => self.store.set_fuel(0).and(Err(Trap::OutOfFuel.into())),
            };
            let fuel = given.saturating_sub(self.store.get_fuel().unwrap_or(0));
            match entered {
                Ok(exit) => Left { vm: Some(self), exit: Ok(exit), fuel },
                Err(error) => Left { vm: None, exit: Err(self.why(&error, given)), fuel },
            }
        });
        Entering { running, meter, memory, waits }
    }

    async fn run(&mut self, entry: Entry) -> wasmtime::Result<Exit> {
        let (exports, store) = (self.bindings.motu_guest_vm(), &mut self.store);
        Ok(match entry {
            Entry::Load { files, entry, modules } => {
                let loaded = exports.call_load(&mut *store, &files, &entry, &modules).await?;
                if loaded.is_ok() {
                    exports.call_settle(store).await?;
                }
                Exit::Loaded(loaded)
            }
            Entry::Check { files, modules } => Exit::Checked(exports.call_check(store, &files, &modules).await?),
            Entry::Start { event, name, payload } => {
                Exit::Step(exports.call_start(store, event, name.as_bytes(), &payload).await?)
            }
            Entry::Resume { wait, answer, held, .. } => {
                drop(held); // the guest's own memory from here on
                Exit::Step(exports.call_resume(store, wait, &answer).await?)
            }
            Entry::GoOn { wait, begun, .. } => {
                Exit::Step(match imports::go_on(store.as_context_mut(), wait, begun).await? {
                    Some(answer) => exports.call_resume(store, wait, &answer).await?,
                    None => Step { ended: Vec::new(), deferred: false },
                })
            }
            Entry::Deferred => Exit::Step(exports.call_run_deferred(store).await?),
            Entry::Cancel { event } => {
                exports.call_cancel(store, event).await?;
                Exit::Cancelled
            }
            Entry::Value => Exit::Value(exports.call_entry_value(store).await?),
        })
    }

    /// What waits in it.
    pub(crate) fn waits(&mut self) -> &mut Waits {
        &mut self.store.data_mut().waits
    }

    /// Begins to take an image of the VM as it is now, after a load.
    pub(crate) fn into_image(self) -> Result<Capturing, Error> {
        let capture = self.memory.capture().map_err(|error| no_image(&error))?;
        Ok(Capturing { vm: self, capture })
    }

    /// Names who gives its memory back in steps when it is dropped, and its sleeps, and the image that is taken of it.
    pub(crate) fn leave_to(&mut self, heir: Heir) {
        self.waits().leave_to(heir.clone());
        self.memory.leave_to(heir);
    }

    /// What it logs.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.store.data().log
    }

    /// Lets it call host functions.
    pub(crate) fn with_caller(mut self, caller: Caller) -> Vm {
        self.store.data_mut().caller = Some(caller);
        self
    }

    /// Names what stopped an entry.
    fn why(&self, error: &wasmtime::Error, fuel: u64) -> Error {
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
                Stop::Panicked { what, message } => Error::new(ErrorKind::Host, format!("{what} panicked: {message}")),
                Stop::Guest { error } => Error::internal(format!("the guest broke its word: {error}")),
            };
        }
        if error.is::<wasmtime::GcHeapOutOfMemory<()>>() {
            return Error::new(
                ErrorKind::Memory,
                format!("out of memory: the errors alive at once take more than {EXCEPTION_HEAP_BYTES_MAX} bytes"),
            );
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => out_of_fuel(fuel),
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
    Error::new(kind, text(failure.message)).with_script(text(failure.traceback), failure.value)
}

/// What a store keeps beside the guest.
pub(crate) struct State {
    memory: MemoryLimit,
    meter: Arc<Meter>,
    log: Arc<Log>,
    /// What one call may copy to the host.
    hostcall_bytes: usize,
    limits: Arc<Limits>,
    clock: Clock,
    /// Whose entry this is.
    owner: Option<Arc<Owner>>,
    waits: Waits,
    /// What it tells of its frames, while it is asked for them.
    frames: Option<Frames>,
    /// Who calls host functions here; nobody while a bundle is checked.
    caller: Option<Caller>,
    #[cfg(test)]
    scripted: tests::Scripted,
}

impl State {
    fn owner(&self) -> Result<Arc<Owner>, Stop> {
        self.owner.clone().ok_or_else(|| Stop::Guest { error: "it waits while it loads".to_owned() })
    }

    fn new(factory: &Factory, limits: &Arc<Limits>, sink: LogSink, tenant: Option<Tenant>, gauge: Gauge) -> State {
        let largest = limits.result_bytes.max(limits.log_bytes) as usize;
        State {
            waits: Waits::new(gauge.clone()),
            memory: MemoryLimit { limit: limits.memory_bytes, gauge },
            meter: Arc::default(),
            log: Arc::new(Log::new(sink, tenant)),
            hostcall_bytes: largest.saturating_add(CALL_OVERHEAD_BYTES),
            limits: limits.clone(),
            clock: factory.clock.clone(),
            owner: None,
            frames: None,
            caller: None,
            #[cfg(test)]
            scripted: tests::Scripted::default(),
        }
    }
}

pub(crate) fn out_of_fuel(budget: u64) -> Error {
    Error::new(ErrorKind::Fuel, format!("out of fuel: the budget of {budget} is used up"))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
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
    #[error("{what} panicked: {message}")]
    Panicked { what: String, message: String },
    #[error("the guest broke its word: {error}")]
    Guest { error: String },
}

/// Memory as it's accounted for: what an instance has, and what the host holds for it (M4). Also to be read while it runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<Gauged>);

#[derive(Debug, Default)]
struct Gauged {
    memory: AtomicU64,
    held: AtomicU64,
}

impl Gauge {
    /// The linear memory's size. It never shrinks while the VM lives, so this is also its peak.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// What the host holds on top: payloads in the mailbox, waits, arguments of calls.
    pub(crate) fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self, bytes: u64) {
        self.0.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Holds so much as long as what is returned is kept, whatever the limit is.
    pub(crate) fn held_of(&self, bytes: u64) -> Held {
        self.hold(bytes);
        Held::of(self, bytes)
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Holds so much as long as it is kept, if that and the memory are within a limit.
    pub(crate) fn hold_within(&self, bytes: u64, limit: u64) -> Option<Held> {
        let memory = self.bytes();
        let add = |held: u64| {
            let held = held.checked_add(bytes)?;
            (bytes == 0 || memory.saturating_add(held) <= limit).then_some(held)
        };
        self.0.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Held { gauge: self.clone(), bytes })
    }

    fn set(&self, bytes: u64) {
        self.0.memory.store(bytes, Ordering::Relaxed);
    }
}

/// Bytes that the host holds for an instance. Dropped, it holds them no more.
#[derive(Debug)]
pub(crate) struct Held {
    gauge: Gauge,
    bytes: u64,
}

impl Held {
    /// What the gauge has of it already.
    pub(crate) fn of(gauge: &Gauge, bytes: u64) -> Held {
        Held { gauge: gauge.clone(), bytes }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.release(self.bytes);
    }
}

struct MemoryLimit {
    limit: u64,
    gauge: Gauge,
}

impl MemoryLimit {
    fn check(&self, memory: u64) -> Result<(), Stop> {
        let held = self.gauge.held();
        if memory.saturating_add(held) <= self.limit {
            return Ok(());
        }
        let beside = if held == 0 { String::new() } else { format!(", beside {held} that the host holds for it,") };
        Err(Stop::Memory { wanted: format!("{memory} bytes{beside} were") })
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if current <= EXCEPTION_HEAP_BYTES_MAX {
            // a store's first memories (checked before they are made), or the heap of exceptions growing
            return Ok(current == 0 || desired <= EXCEPTION_HEAP_BYTES_MAX);
        }
        // an error and not `false`: a failed growth that the guest sees could be caught by the script
        self.check(desired as u64)?;
        self.gauge.set(desired as u64);
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
