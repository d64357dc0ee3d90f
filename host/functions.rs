//! Host functions as they are called: every function of every module has a number, by which a guest calls it.
//!
//! A worker polls a call once, on the spot. If it isn't done then, it moves to a tokio runtime, and its answer comes back as a
//! message to the instance. What has more to compute then (it gives way) comes back itself, to be polled by a worker for its
//! event: the runtime is for waiting. Invariant M6: a panic in one is caught at the boundary, and ends the instance that called.

mod arguments;
mod aside;
mod caller;
mod calls;
mod fair_queue;
mod lane;
pub(crate) mod tariff;
#[cfg(test)]
mod tests;
mod vain;
mod watchdog;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use arguments::Arguments;
pub(crate) use aside::{Aside, Bulky, Heavy, VALUE_BYTES, VALUES_AT_ONCE, VALUES_LIGHT};
pub(crate) use caller::{Admission, Begun, Called, Caller, Decided, Granted, Outcome, Trying};
pub(crate) use calls::{Call, Calls, Life};
use tokio::runtime::{Handle, Runtime};
use watchdog::{Polls, Slot, watch};

use crate::clock::Clock;
use crate::context::RESOURCES_MAX;
use crate::error::{Error, ErrorKind};
use crate::grant::FunctionName;
use crate::guest::exports::motu::guest::vm::{HostFunction as GuestFunction, Module as GuestModule};
use crate::module::{Body, HostModule, Narrowing};
use crate::rates::Rates;
use crate::share::Shares;
use crate::tenant::Tenant;
use crate::wit::{self, Function, Kind, Package, Resource};

/// The host functions of a Motu.
pub(crate) struct Functions {
    all: Vec<Arc<HostFunction>>,
    /// As guests are told of them.
    modules: Vec<GuestModule>,
    packages: Vec<Arc<Package>>,
    runtime: Handle,
    /// Motu's own, if it was given none.
    _own: Option<Owned>,
    polls: Arc<Polls>,
    /// Of calls, by the package's number.
    rates: Rates<usize>,
    pub(crate) aside: Arc<Aside>,
    calls: Calls,
    /// Refusals that the operator was told of: a tenant's, of a function by its number.
    told: Mutex<HashSet<(Tenant, u32)>>,
}

/// How many refusals are remembered as told. When there are more, all are forgotten, and told once more.
const TOLD_MAX: usize = 10_000;

pub(crate) struct HostFunction {
    pub(crate) described: Arc<Function>,
    package: Arc<Package>,
    /// The package's place among all.
    package_number: usize,
    interface: Arc<str>,
    /// What people are told of it.
    shown: Arc<str>,
    body: Body,
    /// Those of its module, each with its number.
    pub(crate) resources: Arc<[(u32, Arc<Resource>)]>,
    narrowing: Narrowing,
    /// Whether it may be called at the top level, and where nothing can wait.
    pub(crate) is_pure: bool,
    pub(crate) aside: Arc<Aside>,
}

impl HostFunction {
    /// Whether the limit `calls_per_second` means its package by this name: `motu:http`.
    fn is_of(&self, package: &str) -> bool {
        let (namespace, name) = package.split_once(':').unwrap_or_default();
        *namespace == *self.package.namespace && *name == *self.package.name.kebab
    }

    /// What grants call it.
    pub(crate) fn name(&self) -> FunctionName<'_> {
        FunctionName {
            namespace: &self.package.namespace,
            package: &self.package.name.kebab,
            major: self.package.version.major,
            interface: &self.interface,
            function: self.described.local_name(),
        }
    }

    /// What a grant's pattern for this argument is held against, with the fuel that it costs to find it.
    ///
    /// A text of more than `NARROWED_BYTES_MAX` bytes fits no pattern: nobody looks at it.
    fn narrowed<'a>(&self, arguments: &'a Arguments, name: &str) -> (Option<Cow<'a, str>>, u64) {
        let derived = self.narrowing.derived.iter().find(|derived| derived.name == name);
        let of = derived.map_or(name, |derived| &derived.of);
        let text = wit::text_argument(&self.described, arguments, of);
        let Some(text) = text.filter(|text| text.len() <= NARROWED_BYTES_MAX) else { return (None, tariff::TEXT) };
        let bytes = text.len() as u64;
        let fuel = tariff::TEXT + tariff::TEXT_BYTE * bytes;
        match (std::str::from_utf8(text), derived) {
            (Err(_), _) => (None, fuel),
            (Ok(text), None) => (Some(Cow::Borrowed(text)), fuel),
            (Ok(text), Some(derived)) => {
                let found = (derived.read)(text).map(Cow::Owned);
                (found, fuel + tariff::DERIVED + tariff::DERIVED_BYTE * bytes)
            }
        }
    }
}

/// The longest argument that patterns of grants are held against, in bytes. It is more than the longest URL.
pub(crate) const NARROWED_BYTES_MAX: usize = 8_192;

/// A VM's place with the watchdog.
pub(crate) struct Seat(Arc<Slot>);

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
    pub(crate) fn new(
        modules: &[HostModule],
        runtime: Option<Handle>,
        clock: Clock,
        shares: Arc<Shares>,
    ) -> Result<Functions, Error> {
        let polls = Arc::new(Polls::new());
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Host, format!("the runtime of host functions can't be started: {error}"))
        };
        watch(&polls).map_err(failed)?;
        let (runtime, own) = match runtime {
            Some(runtime) => (runtime, None),
            None => {
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                let runtime =
                    builder.worker_threads(1).thread_name("motu-calls").enable_all().build().map_err(failed)?;
                (runtime.handle().clone(), Some(Owned(Some(runtime))))
            }
        };
        let mut functions = Functions {
            all: Vec::new(),
            modules: Vec::new(),
            packages: Vec::new(),
            aside: Arc::new(Aside::new(&runtime, &shares)),
            calls: Calls::new(runtime.clone(), shares),
            runtime,
            _own: own,
            polls,
            rates: Rates::new(clock),
            told: Mutex::default(),
        };
        let mut numbered = 0;
        for module in modules {
            functions.add(module, &mut numbered)?;
        }
        functions.name_modules()?;
        functions.polls.name(functions.all.iter().map(|function| function.shown.clone()).collect());
        Ok(functions)
    }

    fn add(&mut self, module: &HostModule, resources: &mut usize) -> Result<(), Error> {
        let package = module.package();
        let mut numbered = Vec::new();
        for resource in package.interfaces.iter().flat_map(|interface| &interface.resources) {
            let number = u32::try_from(*resources).ok().filter(|_| *resources < RESOURCES_MAX);
            let most = || Error::usage_error(format!("the modules have more than {RESOURCES_MAX} resources together"));
            numbered.push((number.ok_or_else(most)?, resource.clone()));
            *resources += 1;
        }
        let numbered: Arc<[_]> = numbered.into();
        for (described, body, narrowing, is_pure) in module.finish()? {
            let (interface, shown) = (described.interface().into(), described.grant.as_str().into());
            let (package, resources) = (package.clone(), numbered.clone());
            let package_number = self.packages.len();
            let aside = self.aside.clone();
            let function = HostFunction {
                described,
                package,
                package_number,
                interface,
                shown,
                body,
                resources,
                narrowing,
                is_pure,
                aside,
            };
            self.all.push(Arc::new(function));
        }
        self.packages.push(package.clone());
        Ok(())
    }

    /// Tells guests of each module, under each of its names.
    fn name_modules(&mut self) -> Result<(), Error> {
        let mut modules = Vec::new();
        let named = crate::wit::modules(&self.packages).map_err(|error| Error::usage_error(error.to_string()))?;
        for module in named {
            let own =
                self.all.iter().enumerate().filter(|(_, function)| std::ptr::eq(&*function.package, module.package));
            let functions = own.map(|(number, function)| guest_function(number, function)).collect();
            modules.push(GuestModule { path: format!("@{}", module.name), functions });
        }
        self.modules = modules;
        Ok(())
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Arc<HostFunction>> {
        self.all.get(usize::try_from(number).ok()?)
    }

    /// Every function, by its name as a grant.
    pub(crate) fn names(&self) -> impl Iterator<Item = FunctionName<'_>> {
        self.all.iter().map(|function| function.name())
    }

    /// Whether the operator is to be told that a tenant was refused a function: once for each, whatever VMs come and go.
    fn tells(&self, tenant: &Tenant, number: u32) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert((tenant.clone(), number))
    }

    /// Where the watchdog sees what a VM polls.
    pub(crate) fn seat(&self) -> Seat {
        Seat(self.polls.slot())
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn modules(&self) -> &[GuestModule] {
        &self.modules
    }

    /// The functions that have blocked a thread for longer than half a second, and still do.
    pub(crate) fn blocked(&self) -> Vec<String> {
        self.polls.blocked()
    }
}

fn guest_function(number: usize, function: &HostFunction) -> GuestFunction {
    let of = |resource: &Arc<Resource>| {
        let known = |(_, other): &&(u32, Arc<Resource>)| Arc::ptr_eq(other, resource);
        let number = function.resources.iter().find(known).map_or(0, |(number, _)| *number);
        crate::guest::exports::motu::guest::vm::Resource { name: resource.name.luau.clone(), number }
    };
    let (resource, is_method) = match &function.described.kind {
        Kind::Plain => (None, false),
        Kind::Constructor(resource) | Kind::Static(resource) => (Some(of(resource)), false),
        Kind::Method(resource) => (Some(of(resource)), true),
    };
    let name = function.described.name.luau.clone();
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    GuestFunction { name, resource, is_method, is_pure: function.is_pure, number }
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.polls.end();
    }
}
