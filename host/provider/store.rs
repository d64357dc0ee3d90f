//! A provider's store: what it is linked with, how its memory is bounded and charged, and what its calls of the host cost.
//!
//! The host's functions burn no fuel of their own, so each costs a flat sum, and lets others run when that makes a slice. A
//! component could otherwise hold a worker for long with what is nearly free.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{CallHook, CallHookHandler, Engine, ResourceLimiter, Store, StoreContextMut, Trap};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::ProviderLimits;
use super::pool::MemorySum;
use super::resource::Home;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::vm::Gauge;

/// Fuel for each time that a component calls the host: about a microsecond. Asking for the time takes 200 ns; what takes the
/// longest is [`RANDOM_BYTES_MAX`], 3 us. No call of WASI's moves more than [`WASI_BYTES_MAX`].
const HOST_CALL_FUEL: u64 = 20_000;

/// What a call of WASI's may copy out of a component: what a stream takes at once, and something for the rest.
const WASI_BYTES_MAX: usize = 68 << 10;

/// Random bytes that a component may ask for at once.
const RANDOM_BYTES_MAX: u64 = 1024;

/// What a value of a result takes of the host, with the names of fields.
const VALUE_BYTES: usize = 64;

/// Streams, pollables and the like that a store may have.
const WASI_RESOURCES_MAX: usize = 256;

/// What a store takes beside its memories and tables, about: wasmtime's own bookkeeping, and WASI's.
const STORE_BYTES: u64 = 32 << 10;

/// An element of a table.
const ELEMENT_BYTES: u64 = 16;

/// Why the host ended a call. Travels through wasmtime as the call's error.
#[derive(Debug, thiserror::Error)]
pub(super) enum Over {
    #[error("over the limit memory_bytes of {limit}: {wanted} bytes were needed")]
    Own { limit: u64, wanted: u64 },
    #[error(
        "over the limit memory_bytes of {limit} of the instance that calls: {wanted} bytes were needed here, beside what it has"
    )]
    Callers { limit: u64, wanted: u64 },
}

/// What a store keeps beside its component.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
    meter: Arc<Meter>,
    /// What a result may take of the host.
    lifted_bytes: usize,
    pub(super) home: Arc<Home>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Links what a component may import: all of WASI 0.2, behind which there is nothing.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

/// A store with nothing in it yet. What it holds is charged to the gauge, which must not be over `callers_bytes`.
pub(super) fn store(
    engine: &Engine,
    limits: &ProviderLimits,
    sum: MemorySum,
    gauge: &Gauge,
    clock: &Clock,
    callers_bytes: u64,
) -> wasmtime::Result<Store<State>> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(WASI_RESOURCES_MAX);
    let mut wasi = WasiCtx::builder();
    wasi.wall_clock(Seen(clock.clone())).monotonic_clock(Seen(clock.clone()));
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(RANDOM_BYTES_MAX);
    let values = (limits.values as usize).saturating_mul(VALUE_BYTES);
    let lifted_bytes = values.saturating_add(limits.result_bytes as usize);
    let mut memory = Memory {
        bytes: 0,
        last: 0,
        limit: limits.memory_bytes,
        callers_limit: callers_bytes,
        gauge: gauge.clone(),
        sum,
    };
    memory.hold(STORE_BYTES)?;
    let meter = Arc::new(Meter::default());
    let state = State { wasi: wasi.build(), table, memory, meter: meter.clone(), lifted_bytes, home: Arc::default() };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(lifted_bytes);
    store.call_hook_async(Calls(meter));
    store.set_fuel(u64::MAX)?;
    store.fuel_async_yield_interval(Some(Limits::SLICE_FUEL))?;
    Ok(store)
}

/// The time that scripts see.
struct Seen(Clock);

impl HostWallClock for Seen {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.since_1970()
    }
}

impl HostMonotonicClock for Seen {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(super) fn meter(store: &Store<State>) -> Arc<Meter> {
    store.data().meter.clone()
}

/// What a call has burnt, as it is seen while the call runs. Never used by two threads at the same time.
#[derive(Debug, Default)]
pub(super) struct Meter {
    given: AtomicU64,
    used: AtomicU64,
    /// What was used when others could run last.
    paused_at: AtomicU64,
}

impl Meter {
    pub(super) fn begin(&self, given: u64) {
        self.given.store(given, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        self.paused_at.store(0, Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn set_left(&self, left: u64) {
        self.used.store(self.given.load(Ordering::Relaxed).saturating_sub(left), Ordering::Relaxed);
    }

    /// Whether others should run now.
    fn is_slice_over(&self) -> bool {
        let used = self.used();
        let over = used.saturating_sub(self.paused_at.load(Ordering::Relaxed)) >= Limits::SLICE_FUEL;
        if over {
            self.paused_at.store(used, Ordering::Relaxed);
        }
        over
    }
}

/// Sees each time that a component calls the host, also when wasmtime itself is called because a slice of fuel is burnt.
struct Calls(Arc<Meter>);

#[async_trait::async_trait]
impl CallHookHandler<State> for Calls {
    async fn handle_call_event(&self, mut store: StoreContextMut<'_, State>, event: CallHook) -> wasmtime::Result<()> {
        match event {
            CallHook::CallingHost => {
                let left = store.get_fuel()?.checked_sub(HOST_CALL_FUEL);
                store.set_fuel(left.unwrap_or(0))?;
                self.0.set_left(left.unwrap_or(0));
                if left.is_none() {
                    return Err(Trap::OutOfFuel.into());
                }
                store.set_hostcall_fuel(WASI_BYTES_MAX);
                if self.0.is_slice_over() {
                    pause().await;
                }
            }
            CallHook::ReturningFromHost => {
                let lifted_bytes = store.data().lifted_bytes;
                store.set_hostcall_fuel(lifted_bytes);
            }
            CallHook::CallingWasm | CallHook::ReturningFromWasm => (),
        }
        Ok(())
    }
}

/// Is pending once, and asks to be polled again.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The memory of a store, charged to the instance that it works for.
struct Memory {
    bytes: u64,
    /// What was charged last: it may turn out that it can't be had.
    last: u64,
    limit: u64,
    callers_limit: u64,
    gauge: Gauge,
    sum: MemorySum,
}

impl Memory {
    fn hold(&mut self, more: u64) -> Result<(), Over> {
        let wanted = self.bytes.saturating_add(more);
        if wanted > self.limit {
            return Err(Over::Own { limit: self.limit, wanted });
        }
        self.gauge.hold(more);
        if self.gauge.bytes().saturating_add(self.gauge.held()) > self.callers_limit {
            self.gauge.release(more);
            return Err(Over::Callers { limit: self.callers_limit, wanted });
        }
        self.sum.add(more);
        (self.bytes, self.last) = (wanted, more);
        Ok(())
    }

    fn release(&mut self, less: u64) {
        self.gauge.release(less);
        self.sum.remove(less);
        self.bytes = self.bytes.saturating_sub(less);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // an error and not `false`: that would be a bug in the component, seen far from here
        self.hold((desired as u64).saturating_sub(current as u64))?;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let less = std::mem::take(&mut self.last); // the component's own maximum, or the machine's
        self.release(less);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.hold((desired as u64).saturating_sub(current as u64).saturating_mul(ELEMENT_BYTES))?;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let less = std::mem::take(&mut self.last);
        self.release(less);
        Ok(())
    }

    fn instances(&self) -> usize {
        128
    }

    fn tables(&self) -> usize {
        128
    }

    fn memories(&self) -> usize {
        8
    }
}
