//! Providers (P7): wasm components that are host modules. A component's own WIT says what scripts can call; each call runs in
//! a wasmtime store that no other instance shares, under limits of its own, with nothing of the host's but clocks and
//! randomness.
//!
//! A call is made where every host function's is, by `functions/caller.rs`: it computes in slices, gives way between them, and
//! what it burns is charged to the event. Invariants: what goes wrong in a provider is an error of that one call (M6); its
//! memory is charged to the instance that calls (M4).

mod alike;
mod call;
mod component;
mod pool;
mod resource;
mod store;
#[cfg(test)]
mod tests;
mod val;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::engine::{CompileCache, provider_engine};
use crate::error::Error;
use crate::module::{Body, HostModule};
use crate::wit::{self, Function, Package};
use pool::Pool;
use store::State;

/// What a provider may use. Each is a limit of a call or a store of this provider, beside the limits of the instance that
/// calls. What a call is over is an error with the kind [`Limit`](crate::ErrorKind::Limit) that names the field; the script can
/// catch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLimits {
    /// Fuel for a call. Default 1,000,000,000 (about 50 ms). It is charged to the event, too, whose own limit may end the call
    /// before.
    pub fuel: Option<u64>,
    /// Wall-clock time for a call. Default 5 s; noticed within a slice of [`SLICE_FUEL`](crate::Limits::SLICE_FUEL).
    pub deadline: Option<Duration>,
    /// Memory of a store in bytes, all its memories and tables together. Default 16 MiB. It is charged to the instance that
    /// calls, and within that one's limit `memory_bytes` as well.
    pub memory_bytes: u64,
    /// The arguments of a call on the wire, in bytes. Default 256 KiB, at most 64 MiB.
    pub argument_bytes: u32,
    /// The result of a call on the wire, in bytes. Default 256 KiB, at most 64 MiB.
    pub result_bytes: u32,
    /// How many values the arguments of a call may be, and its result: texts, numbers, lists, records and what is in them. A byte
    /// of a `list<u8>` is one; a `string` is one, however long. Default 65,536, at most 4 Mi (4,194,304). A value takes about 40 ns
    /// each way, in which the worker does nothing else, and 40 bytes of the host's memory while the call runs.
    pub values: u32,
    /// How many stores there may be in all. Default 1,000, at least 1. One more takes the place of the one that has rested the
    /// longest; if all are at work, it is an error.
    pub stores: u32,
    /// How many of them a tenant may have. Default 16, at least 1. One more takes the place of another of that tenant's.
    pub stores_per_tenant: u32,
}

impl Default for ProviderLimits {
    fn default() -> ProviderLimits {
        ProviderLimits {
            fuel: Some(1_000_000_000),
            deadline: Some(Duration::from_secs(5)),
            memory_bytes: 16 << 20,
            argument_bytes: 256 << 10,
            result_bytes: 256 << 10,
            values: 1 << 16,
            stores: 1_000,
            stores_per_tenant: 16,
        }
    }
}

impl ProviderLimits {
    /// The largest arguments and results that can be asked for.
    pub const BYTES_MAX: u32 = 64 << 20;

    /// The most values that can be asked for.
    pub const VALUES_MAX: u32 = 4 << 20;

    fn check(&self) -> Result<(), Error> {
        let refuse = |name: &str, value: u64, how: &str, bound: u64| {
            Err(Error::usage_error(format!("the limit {name} of a provider is {value}, but can be {bound} at {how}")))
        };
        let most = crate::Limits::MEMORY_BYTES_MAX;
        if self.memory_bytes > most {
            return refuse("memory_bytes", self.memory_bytes, "most", most);
        }
        for (name, bytes) in [("argument_bytes", self.argument_bytes), ("result_bytes", self.result_bytes)] {
            if bytes > Self::BYTES_MAX {
                return refuse(name, bytes.into(), "most", Self::BYTES_MAX.into());
            }
        }
        if self.values > Self::VALUES_MAX {
            return refuse("values", self.values.into(), "most", Self::VALUES_MAX.into());
        }
        for (name, stores) in [("stores", self.stores), ("stores_per_tenant", self.stores_per_tenant)] {
            if stores == 0 {
                return refuse(name, 0, "least", 1);
            }
        }
        Ok(())
    }
}

/// What a provider has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderUsage {
    /// Stores that are at work or kept for an instance's next call.
    pub stores: u32,
    /// Their memory in bytes, all of it charged to instances.
    pub memory_bytes: u64,
}

/// A wasm component that exports WIT interfaces, and so is a host module.
///
/// ```no_run
/// use motu::{CompileCache, Motu, Provider, ProviderLimits};
///
/// let bytes = std::fs::read("crm.wasm")?;
/// let crm = Provider::from_component(&bytes, ProviderLimits::default(), &CompileCache::User)?;
/// let motu = Motu::builder().host_module(crm.module()).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Its interfaces, all of one package (`acme:crm`), are had as those of any [`HostModule`]: `require("@acme/crm")`, under
/// grants such as `acme:crm/customers.find-customer`. Functions and types outside of an interface, and imports other than WASI's
/// are refused.
///
/// **What it gets.** Memory, fuel and time within [`ProviderLimits`]. Of WASI 0.2, that is `wasi:io`, `clocks`, `random`, `cli`,
/// `filesystem` and `sockets`: the clocks that scripts see, and real randomness, 1 KiB of it at a time; no arguments, no
/// environment, no files, no input; output goes nowhere; each socket and each look-up of a name is refused. A call of WASI's costs
/// 20,000 fuel.
///
/// **State.** Each instance that calls has a store of its own, so tenants share nothing. It is kept for the instance's next
/// call, but don't count on that: it is gone after an error, when stores are short, and with the instance. Two calls of one
/// instance that wait at the same time (only WASI's clocks make a provider wait) have two stores.
///
/// **Resources** are handles in scripts, within the limit [`handles`](crate::Limits::handles). Each is of the store where it was
/// made: it has ended when that has, which an error says, and it can't be used while that works for another call. One whose handle
/// was closed or collected is dropped before the next call.
///
/// **Errors.** A trap, or a limit that is reached, is an error of the call: the script can catch it, the store is dropped, and
/// nobody else notices.
///
/// Whoever can write the bytes runs code under these limits, and no more. Dropped with its modules and the Motus that have
/// them, it leaves nothing behind.
#[derive(Clone)]
pub struct Provider(Arc<Loaded>);

/// A component, compiled and understood.
struct Loaded {
    package: Arc<Package>,
    pre: InstancePre<State>,
    exports: Vec<Export>,
    limits: ProviderLimits,
    pool: Arc<Pool>,
}

/// A function that the component exports.
struct Export {
    /// As in [`Function::grant`].
    grant: String,
    index: ComponentExportIndex,
}

impl Provider {
    /// Compiles a component, or takes it from the cache, and reads its WIT. This blocks for as long as the compiler takes, which
    /// nothing bounds but the component's size (256 MiB).
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::ErrorKind::Usage), for what is no component, exports nothing that scripts can have, imports what a
    /// provider isn't given, or for a limit out of its range: the message names it.
    pub fn from_component(bytes: &[u8], limits: ProviderLimits, cache: &CompileCache) -> Result<Provider, Error> {
        limits.check()?;
        component::check_size(bytes)?;
        let failed = |error: wasmtime::Error| Error::new(crate::ErrorKind::Host, format!("no engine: {error:#}"));
        let engine = provider_engine(cache).map_err(failed)?;
        let compiled = Component::new(&engine, bytes).map_err(|error| {
            Error::usage_error(format!("this is no wasm component that can be a provider: {error:#}"))
        })?;
        component::check_imports(&engine, &compiled)?;
        let exported = component::read(bytes)?;
        let pre = store::linker(&engine)
            .and_then(|linker| linker.instantiate_pre(&compiled))
            .map_err(|error| Error::usage_error(format!("the provider {}: {error:#}", exported.package.id())))?;
        let exports = component::exports(&compiled, &exported)?;
        let pool = Pool::new(exported.package.id(), &limits);
        Ok(Provider(Arc::new(Loaded { package: Arc::new(exported.package), pre, exports, limits, pool })))
    }

    /// Holds the component against a WIT: the module is then what this text says, with its docs, and what the component has
    /// beyond is not to be had.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::ErrorKind::Usage): the text is no WIT of a module, the component lacks a function, or has it with other
    /// types; the message names the function and both types.
    pub fn held_to(&self, wit: &str) -> Result<Provider, Error> {
        let wanted = wit::parse(wit).map_err(|error| Error::usage_error(format!("the WIT of a provider: {error}")))?;
        alike::check(&wanted, &self.0.package)?;
        let Loaded { pre, exports, limits, pool, .. } = &*self.0;
        let exports = exports.iter().map(|export| Export { grant: export.grant.clone(), index: export.index });
        Ok(Provider(Arc::new(Loaded {
            package: Arc::new(wanted),
            pre: pre.clone(),
            exports: exports.collect(),
            limits: limits.clone(),
            pool: pool.clone(),
        })))
    }

    /// The module, for [`MotuBuilder::host_module`](crate::MotuBuilder::host_module). All modules of one provider share its
    /// limits on stores.
    pub fn module(&self) -> HostModule {
        HostModule::over_bytes(self.0.package.clone(), |function| self.body(function))
    }

    /// What it has now.
    pub fn usage(&self) -> ProviderUsage {
        self.0.pool.usage()
    }

    fn body(&self, function: &Arc<Function>) -> Body {
        let loaded = self.0.clone();
        let export = loaded.exports.iter().find(|export| export.grant == function.grant).map(|export| export.index);
        Arc::new(move |context, arguments, bounds| call::begin(&loaded, export, context, &arguments, bounds))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (package, usage) = (self.0.package.id(), self.usage());
        f.debug_struct("Provider").field("package", &package).field("usage", &usage).finish_non_exhaustive()
    }
}
