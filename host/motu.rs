//! Motu itself: made once, loads bundles, holds no global state (M5).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::actor::{Failpoint, Stage};
use crate::bundle::{Bundle, Lines};
use crate::bundles::Bundles;
use crate::clock::{Clock, MockClock};
use crate::door::{Doors, Totals};
use crate::engine::CompileCache;
use crate::error::{Error, ErrorKind};
use crate::functions::Functions;
use crate::grant::{Grant, Grants, escaped};
use crate::image::Image;
use crate::instance::Instance;
use crate::kept::{Kept, Wake};
use crate::limits::Limits;
use crate::load::{Load, Wanted};
use crate::log::{Feeds, LogLine, LogSink};
use crate::metering::{Metering, Pace};
use crate::module::HostModule;
use crate::modules::blob::LinkedBlob;
use crate::outcome::Usage;
use crate::rates::Rates;
use crate::share::{Share, Shares};
use crate::sight::Warnings;
use crate::strategy::{Strategy, ThreadPerTenant, ThreadPool};
use crate::tenant::Tenant;
use crate::tenants::{Drained, TenantRef, Tenants};
use crate::vm::{Exit, Factory, failed};
use crate::worker::{OnStep, Setting, Step};

/// Runs bundles. Cheap to clone: clones share the compiled VM, its images and the workers. The workers end with the last
/// of the clones, and of the [`Loaded`] and [`Instance`]s made with it.
#[derive(Clone)]
pub struct Motu(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    strategy: Box<dyn Strategy>,
    /// Whose fuel loads burn.
    loads: Share,
    tenants: Tenants,
}

impl Drop for Inner {
    /// Nobody has a handle any more: what was posted and hasn't ended is given up.
    fn drop(&mut self) {
        self.shared.doors.give_up();
    }
}

/// What all that runs here shares.
pub(crate) struct Shared {
    pub(crate) factory: Arc<Factory>,
    pub(crate) limits: Arc<Limits>,
    /// Instead of `limits`, by the tenant's kind.
    kinds: HashMap<String, Arc<Limits>>,
    /// By the tenant's kind.
    kind_grants: HashMap<String, Grants>,
    pub(crate) log: LogSink,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) bundles: Bundles,
    pub(crate) shares: Arc<Shares>,
    pub(crate) doors: Doors,
    pub(crate) warnings: Warnings,
    /// Of where scripts were that were stopped.
    pub(crate) traces: Rates<()>,
    pub(crate) functions: Arc<Functions>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) clock: Clock,
    metering: Metering,
    #[cfg(debug_assertions)]
    on_step: Option<OnStep>,
    pub(crate) totals: Arc<Totals>,
    /// What all mailboxes together may hold.
    pub(crate) queue_events: u64,
    pub(crate) queue_bytes: u64,
    #[cfg(debug_assertions)]
    pub(crate) failpoint: Option<Failpoint>,
}

impl Shared {
    /// A tenant's limits, unless it has its own.
    pub(crate) fn limits_of(&self, tenant: &Tenant) -> &Arc<Limits> {
        self.kinds.get(tenant.kind()).unwrap_or(&self.limits)
    }

    /// What a plain script burns here.
    pub(crate) fn pace(&self) -> Pace {
        self.factory.pace()
    }

    /// What workers need.
    pub(crate) fn workers(&self) -> Setting {
        let (metering, pace) = (self.metering.clone(), self.pace());
        Setting {
            runtime: self.functions.runtime().clone(),
            metering,
            pace,
            #[cfg(debug_assertions)]
            on_step: self.on_step.clone(),
        }
    }

    /// A tenant's grants, unless it has its own.
    pub(crate) fn grants_of(&self, tenant: &Tenant) -> Grants {
        self.kind_grants.get(tenant.kind()).cloned().unwrap_or_default()
    }
}

/// Which threads instances run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// So many workers, [1,024](Self::WORKERS_MAX) at most, take turns with all instances, a slice of fuel each. Whoever is
    /// furthest behind its share is next, on whichever worker is free.
    ThreadPool(NonZeroUsize),
    /// A worker for each tenant that has instances. The kernel shares the processors out; weights are of no meaning.
    ThreadPerTenant,
}

impl Placement {
    /// The most workers of a pool.
    pub const WORKERS_MAX: usize = 1024;
}

impl Default for Placement {
    /// A pool of as many workers as there are processors, and as it may have.
    fn default() -> Placement {
        let most = NonZeroUsize::MIN.saturating_add(Placement::WORKERS_MAX - 1);
        Placement::ThreadPool(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(most))
    }
}

/// Sets a [`Motu`] up.
#[derive(Clone, Debug)]
#[must_use = "nothing is made until `build`"]
pub struct MotuBuilder {
    limits: Limits,
    cache: CompileCache,
    log: LogSink,
    placement: Placement,
    queue_events: u64,
    queue_bytes: u64,
    image_bytes: u64,
    kinds: HashMap<String, Limits>,
    kind_grants: HashMap<String, Grants>,
    #[cfg_attr(not(debug_assertions), allow(dead_code, reason = "for tests"))]
    failpoint: Option<Failpoint>,
    modules: Vec<HostModule>,
    /// Motu's own modules are left out: for tests that are about something else.
    bare: bool,
    runtime: Option<tokio::runtime::Handle>,
    state: Option<PathBuf>,
    settings: crate::modules::Settings,
    clock: Clock,
    metering: Metering,
    #[cfg_attr(not(debug_assertions), allow(dead_code, reason = "for tests"))]
    on_step: Option<OnStep>,
}

impl MotuBuilder {
    /// The limits of loading and of events. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> MotuBuilder {
        self.limits = limits;
        self
    }

    /// The limits of tenants of a kind, as in `guild` of `guild:42`. Default: those of [`limits`](Self::limits).
    pub fn kind_limits(mut self, kind: impl Into<String>, limits: Limits) -> MotuBuilder {
        self.kinds.insert(kind.into(), limits);
        self
    }

    /// What tenants of a kind may call of the host, unless they have grants of their own. Default: nothing.
    pub fn kind_grants(mut self, kind: impl Into<String>, grants: Grants) -> MotuBuilder {
        self.kind_grants.insert(kind.into(), grants);
        self
    }

    /// What images of tenants' bundles may take that no instance uses now, in bytes. Over it, images of the tenant whose images
    /// take most are evicted, least recently used first; they are made again when they are needed. An image counts as that of
    /// the tenant that asked for it first. Default 256 MiB.
    pub fn image_bytes(mut self, bytes: u64) -> MotuBuilder {
        self.image_bytes = bytes;
        self
    }

    /// Where the compiled VM is kept. Default: [`CompileCache::User`].
    pub fn compile_cache(mut self, cache: CompileCache) -> MotuBuilder {
        self.cache = cache;
        self
    }

    /// Where the lines go that scripts log. Default: to `tracing`, target `motu::script`. Called while the script runs: a
    /// sink that blocks holds the script up.
    pub fn on_log(mut self, sink: impl Fn(&LogLine) + Send + Sync + 'static) -> MotuBuilder {
        self.log = LogSink(Arc::new(sink));
        self
    }

    /// Which threads instances run on. Default: [`Placement::default`].
    pub fn placement(mut self, placement: Placement) -> MotuBuilder {
        self.placement = placement;
        self
    }

    /// What all mailboxes together may hold: so many events, with so many bytes of payloads. One more is refused with
    /// [`QueueFull`](crate::ErrorKind::QueueFull). Default 1,000,000 and 1 GiB.
    pub fn queue(mut self, events: u64, bytes: u64) -> MotuBuilder {
        (self.queue_events, self.queue_bytes) = (events, bytes);
        self
    }

    /// A module of the host's, which scripts may `require`, and call where a grant says so.
    pub fn host_module(mut self, module: HostModule) -> MotuBuilder {
        self.modules.push(module);
        self
    }

    /// Only this module.
    #[cfg(test)]
    pub(crate) fn only_host_module(mut self, module: HostModule) -> MotuBuilder {
        (self.modules, self.bare) = (vec![module], true);
        self
    }

    /// How `motu:http` reaches the network. Default: [`HttpSettings::default`](crate::HttpSettings).
    #[cfg(feature = "http")]
    pub fn http(mut self, settings: crate::HttpSettings) -> MotuBuilder {
        self.settings.http = settings;
        self
    }

    /// For tests: the time that scripts see stands still until it is told to go on. Default: the system's.
    pub fn clock(mut self, clock: MockClock) -> MotuBuilder {
        self.clock = Clock::Mock(clock);
        self
    }

    /// How the shares of the workers are measured. Default: [`Metering::Time`].
    pub fn metering(mut self, metering: Metering) -> MotuBuilder {
        self.metering = metering;
        self
    }

    /// The folder where what scripts keep with `motu:kv`, `motu:blob` and `motu:cron` is kept; it is made if it isn't there. One process at a time can
    /// have it. Default: in memory, until Motu ends.
    pub fn state(mut self, folder: impl Into<PathBuf>) -> MotuBuilder {
        self.state = Some(folder.into());
        self
    }

    /// Where host functions run that aren't done at once. Default: a runtime of Motu's own, with one thread.
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> MotuBuilder {
        self.runtime = Some(runtime);
        self
    }

    /// For tests of what happens when a worker dies. Does nothing in builds without debug assertions.
    #[doc(hidden)]
    pub fn failpoint(mut self, at: impl Fn(Stage) + Send + Sync + 'static) -> MotuBuilder {
        self.failpoint = Some(Failpoint(Arc::new(at)));
        self
    }

    /// For tests that look at each turn of a job on a worker. Does nothing in builds without debug assertions.
    #[doc(hidden)]
    pub fn on_step(mut self, step: impl Fn(Step) + Send + Sync + 'static) -> MotuBuilder {
        self.on_step = Some(OnStep(Arc::new(step)));
        self
    }

    /// The types of all host modules, and of `@motu/test`, for editors: files of Luau by their paths, as in `motu/kv.luau`. Put them into a folder, and
    /// an alias for each namespace (`motu`) into the bundle's `.luaurc` or `.config.luau`, and `require("@motu/kv")` has
    /// its types.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::ErrorKind::Usage) for two modules of one name and major version.
    pub fn luau_types(&self) -> Result<BTreeMap<String, String>, Error> {
        let mut packages = crate::modules::packages()?;
        packages.extend(self.modules.iter().map(|module| module.package().clone()));
        let files = crate::wit::luau_types(&packages).map_err(|error| Error::usage_error(error.to_string()))?;
        let tests = crate::testing::types().map(|(path, source)| (path.to_owned(), source.to_owned()));
        Ok(files.into_iter().chain(tests).collect())
    }

    /// Compiles the VM, or takes it from the cache, and starts one: about 1 s, or 10 ms.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::ErrorKind::Usage) for a limit that can't be held to, a host module that doesn't fit its WIT, a folder for
    /// state that is another's; [`Host`](crate::ErrorKind::Host) when the machine refuses
    /// memory or threads.
    pub fn build(self) -> Result<Motu, Error> {
        self.build_on(|shared, placement| {
            Ok(match placement {
                Placement::ThreadPool(workers) if workers.get() > Placement::WORKERS_MAX => {
                    let most = Placement::WORKERS_MAX;
                    return Err(Error::usage_error(format!("a pool of {workers} workers: it can have {most} at most")));
                }
                Placement::ThreadPool(workers) => Box::new(ThreadPool::new(shared, workers.get())?),
                Placement::ThreadPerTenant => Box::new(ThreadPerTenant::new(shared)?),
            })
        })
    }

    pub(crate) fn build_on(
        self,
        strategy: impl FnOnce(Arc<Shared>, Placement) -> Result<Box<dyn Strategy>, Error>,
    ) -> Result<Motu, Error> {
        self.limits.check()?;
        for (kind, limits) in &self.kinds {
            let of_kind =
                |error: Error| Error::usage_error(format!("the limits of kind {kind:?}: {}", error.message()));
            limits.check().map_err(of_kind)?;
        }
        let factory = Arc::new(Factory::new(&self.cache, &self.clock)?);
        let shares = Arc::new(Shares::new(factory.pace(), matches!(self.metering, Metering::Time)));
        // M8: what the store's writer does for a tenant counts in its share of the workers
        let charged = shares.clone();
        let charge = move |tenant: &Tenant, time: Duration| charged.took(tenant, time);
        let kept = Arc::new(Kept::open(self.state.as_deref(), self.clock.clone(), charge)?);
        let mut modules = if self.bare { Vec::new() } else { crate::modules::all(&kept, self.settings)? };
        modules.extend(self.modules);
        let functions = Functions::new(&modules, self.runtime, self.clock.clone(), shares.clone())?;
        let feeds = Arc::new(Feeds::default());
        let shared = Arc::new(Shared {
            factory,
            limits: Arc::new(self.limits),
            log: self.log.with(feeds.clone()),
            feeds,
            kinds: self.kinds.into_iter().map(|(kind, limits)| (kind, Arc::new(limits))).collect(),
            kind_grants: self.kind_grants,
            bundles: Bundles::new(self.image_bytes),
            shares,
            doors: Doors::default(),
            warnings: Warnings::default(),
            traces: Rates::new(Clock::default()),
            functions: Arc::new(functions),
            kept,
            clock: self.clock,
            metering: self.metering,
            #[cfg(debug_assertions)]
            on_step: self.on_step,
            totals: Arc::default(),
            queue_events: self.queue_events,
            queue_bytes: self.queue_bytes,
            #[cfg(debug_assertions)]
            failpoint: self.failpoint,
        });
        let strategy = strategy(shared.clone(), self.placement)?;
        let loads = Share::new(shared.pace());
        Ok(Motu(Arc::new(Inner { shared, strategy, loads, tenants: Tenants::default() })))
    }
}

impl Motu {
    /// Starts with the defaults.
    pub fn builder() -> MotuBuilder {
        MotuBuilder {
            limits: Limits::default(),
            cache: CompileCache::default(),
            log: LogSink::tracing(),
            placement: Placement::default(),
            queue_events: 1_000_000,
            queue_bytes: 1 << 30,
            image_bytes: 256 << 20,
            kinds: HashMap::new(),
            kind_grants: HashMap::new(),
            failpoint: None,
            modules: Vec::new(),
            bare: false,
            runtime: None,
            state: None,
            settings: crate::modules::Settings::default(),
            clock: Clock::default(),
            metering: Metering::default(),
            on_step: None,
        }
    }

    /// The SHA-256 of the VM that this library holds, as hexadecimal digits.
    pub fn guest_digest() -> &'static str {
        crate::guest::DIGEST
    }

    /// Loads a bundle: compiles its files, runs its top level once, and keeps the memory as the image that its instances
    /// start from. A bundle that is loaded already, or being loaded, is not loaded again. Runs on the workers, cut into
    /// slices by fuel; when the future is dropped, it stops, unless somebody else waits for it.
    ///
    /// # Errors
    ///
    /// [`Compile`](crate::ErrorKind::Compile) naming path and line, [`Script`](crate::ErrorKind::Script) for an error at the top level,
    /// [`Fuel`](crate::ErrorKind::Fuel), [`Deadline`](crate::ErrorKind::Deadline), [`Memory`](crate::ErrorKind::Memory) and
    /// [`Limit`](crate::ErrorKind::Limit) for the limits of loading.
    pub async fn load(&self, bundle: &Bundle) -> Result<Loaded, Error> {
        let bundled = Bundles::get(&self.0.shared, self.0.strategy.loads(), &self.0.loads, bundle).await?;
        Ok(Loaded { bundled, motu: self.clone() })
    }

    /// Returns some of the grants that allow no call of this Motu's host functions, whatever its arguments: those that name no
    /// function, or an argument that is none, and for `motu:http` those with a host that no URL has. They do no harm, and are
    /// often misspelt.
    pub fn vain_grants(&self, grants: &Grants) -> Vec<VainGrant> {
        let vain = |grant: &Grant| {
            let reason = self.0.shared.functions.vain(grant)?;
            let is_package_known = self.0.shared.functions.has_package(grant);
            Some(VainGrant { grant: grant.clone(), reason, is_package_known })
        };
        grants.iter().filter_map(vain).collect()
    }

    /// Compiles every file of a bundle and resolves every `require` of a constant string, running nothing. Says what is
    /// wrong, and what grants the bundle needs.
    ///
    /// # Errors
    ///
    /// The limits of loading, as for [`load`](Self::load).
    pub async fn check(&self, bundle: &Bundle) -> Result<Checked, Error> {
        let (sender, found) = oneshot::channel();
        let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
        let watched = sender.clone();
        let wanted: Wanted = Arc::new(move || {
            watched.lock().is_ok_and(|sender| sender.as_ref().is_some_and(|sender| !sender.is_closed()))
        });
        let waits = wanted.clone();
        let unwanted = Box::new(move || !waits());
        let done = move |left: Result<(Exit, _), Error>, usage| {
            let result = match left {
                Ok((Exit::Checked(found), _)) => Ok(found),
                Ok(_) => Err(Error::internal("the guest gave an answer to something else").with_usage(usage)),
                Err(error) => Err(error),
            };
            if let Some(sender) = sender.lock().ok().and_then(|mut sender| sender.take()) {
                let _ = sender.send(result); // nobody waits for it any more
            }
        };
        let Inner { shared, strategy, loads, .. } = &*self.0;
        Load::start(shared, strategy.loads(), loads, bundle, true, (wanted, unwanted), Box::new(done))?;
        let found = found.await.map_err(|_| Error::internal("the check was given up"))??;
        let mut lines = Lines::of(bundle);
        let diagnostic = |found: crate::guest::motu::guest::types::Diagnostic| Diagnostic {
            source: lines.find(&found.path, found.line).map(str::to_owned),
            path: found.path,
            line: found.line,
            column: found.column,
            warning: found.warning,
            message: String::from_utf8_lossy(&found.message).into_owned(),
        };
        let functions = &self.0.shared.functions;
        let grants =
            found.calls.iter().filter_map(|number| Some(Grant::from(functions.get(*number)?.name()))).collect();
        let diagnostics = found.diagnostics.into_iter().map(diagnostic).collect();
        Ok(Checked { diagnostics, left_out: found.left_out, grants })
    }

    /// The names of all host functions, each as the grant of just this one, sorted.
    pub fn host_functions(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.shared.functions.names().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    }

    /// A tenant, whether anything was heard of it before or not.
    pub fn tenant(&self, tenant: &Tenant) -> TenantRef {
        Tenants::get(self, tenant)
    }

    /// The tenants that were asked for with [`tenant`](Self::tenant), sorted.
    pub fn tenants(&self) -> Vec<Tenant> {
        self.0.tenants.all()
    }

    /// Forgets a tenant, with its limits and its bundles. Events that were dispatched before go on to their end. Whether
    /// there was one.
    pub fn forget(&self, tenant: &Tenant) -> bool {
        self.0.tenants.remove(tenant)
    }

    /// The part of a blob that a link is for which a script made with `motu:blob`: from `offset` on, so many bytes, or all that
    /// follow. `None` when the blob is gone. For who serves links: the tenant chose the content and its type, so serve them from a
    /// domain of their own, with `x-content-type-options: nosniff`.
    ///
    /// # Errors
    ///
    /// [`Denied`](ErrorKind::Denied) for a link that is forged, withdrawn, expired or no link at all; [`Host`](ErrorKind::Host)
    /// when the store can't be read.
    pub fn open_link(&self, link: &str, offset: u64, length: Option<u64>) -> Result<Option<LinkedBlob>, Error> {
        crate::modules::blob::open(&self.0.shared.kept, link, offset, length)
    }

    /// Signs links with a new secret from now on. Links that were signed with the last `keep` secrets before it, 7 at most, stay
    /// good until they expire; with 0 all links that there are end now.
    ///
    /// # Errors
    ///
    /// [`Host`](ErrorKind::Host) when the store can't be written, or the system has no random bytes.
    pub async fn end_links(&self, keep: usize) -> Result<(), Error> {
        let rotated = self.0.shared.kept.blobs.rotate(keep).await;
        rotated.map_err(|error| Error::new(ErrorKind::Host, error.to_string()))
    }

    /// From now on dispatches what Motu keeps: the event `kv_resume` for each key of `motu:kv` that was set to be resumed, now,
    /// `kv_expired` for each key that expires, or expired while nothing ran, and the events of `motu:cron`'s schedules. Call it when the tenants have their bundles: what
    /// no bundle of its tenant handles is over. Until it is called, what expires waits. Called again, it does nothing.
    ///
    /// The payload of both is a table with `scope`, `key`, `value` and `attempt`; the last is above 1 when a process ended
    /// before its handler had. An event that its tenant handles in one bundle ends together with the first list of operations,
    /// or other change, that its handler makes in `motu:kv`: that is never done twice. Else it ends when its handlers have
    /// answered, and a process that ends before does it again. Once the Motu is [drained](Self::drain), nothing more is
    /// dispatched: what that leaves or ends comes again with the next process.
    pub fn wake(&self) {
        Wake::start(&self.0.shared.kept, self.0.shared.functions.calls(), self.weak());
    }

    /// While it is there and takes events.
    fn weak(&self) -> impl Fn() -> Option<Motu> + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.0);
        move || inner.upgrade().map(Motu).filter(|motu| !motu.is_draining())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.shared.totals.closed.load(Ordering::Acquire)
    }

    /// A tenant that was asked for before.
    pub(crate) fn known(&self, tenant: &Tenant) -> Option<TenantRef> {
        self.0.tenants.known(self, tenant)
    }

    /// Takes no more events, and waits until those that were taken have ended, so long at most. Then it ends the rest, and
    /// says which they were.
    pub async fn drain(&self, within: Duration) -> Drained {
        self.0.shared.drain(within).await
    }

    /// How it stands now.
    pub fn stats(&self) -> Stats {
        let totals = &self.0.shared.totals;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            tenants: self.0.tenants.len(),
            live_instances: read(&totals.live),
            waiting_events: read(&totals.waiting),
            waiting_bytes: read(&totals.waiting_bytes),
            starts: read(&totals.starts),
            answered: read(&totals.answered),
            failed: read(&totals.failed),
            worker_fuel: self.0.strategy.worker_fuel(),
            blocked: self.0.shared.functions.blocked(),
        }
    }

    pub(crate) fn registry(&self) -> &Tenants {
        &self.0.tenants
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn strategy(&self) -> &dyn Strategy {
        &*self.0.strategy
    }
}

impl fmt::Debug for Motu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Motu").field("limits", &self.0.shared.limits).finish_non_exhaustive()
    }
}

/// How a [`Motu`] stands, by [`Motu::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Tenants that were asked for.
    pub tenants: usize,
    /// Instances that have a VM.
    pub live_instances: u64,
    /// Events in mailboxes.
    pub waiting_events: u64,
    /// The bytes of the payloads in mailboxes.
    pub waiting_bytes: u64,
    /// How often a VM was started for an instance.
    pub starts: u64,
    /// Events that ended with a result.
    pub answered: u64,
    /// Events that ended with an error.
    pub failed: u64,
    /// The fuel that each worker of the pool has burnt; empty where each tenant has a worker of its own.
    pub worker_fuel: Vec<u64>,
    /// The host functions that have held up a thread for longer than half a second, and still do.
    pub blocked: Vec<String>,
}

/// What [`Motu::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// The first 200: what is wrong, then the warnings, each sorted by path and place. A bundle with warnings alone can be loaded.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more diagnostics there are.
    pub left_out: u32,
    /// A grant for each host function that the bundle's files name. A function that is reached in another way than by the
    /// name that a `require` was given is not found.
    pub grants: Grants,
}

/// A grant that allows nothing, found by [`Motu::vain_grants`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VainGrant {
    /// The grant.
    pub grant: Grant,
    /// Why, and what may have been meant.
    pub reason: String,
    /// Whether this Motu has a package of the grant's name. If not, the grant may be meant for another host.
    pub is_package_known: bool,
}

impl fmt::Display for VainGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("the grant {} allows nothing: {}", self.grant, self.reason);
        escaped(f, text.chars())
    }
}

/// Something wrong with a bundle, or that looks so, found by [`Motu::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The file.
    pub path: String,
    /// The line in it, from 1.
    pub line: u32,
    /// The column in the line, in bytes, from 1. 0 if only the line is known, as of an error in `.luaurc` or
    /// `.config.luau`.
    pub column: u32,
    /// It may be meant so: a global that is not there is nil.
    pub warning: bool,
    /// What is wrong.
    pub message: String,
    /// The line's text. None if the source is opaque, or the line is longer than 200 bytes.
    pub source: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.warning { "warning: " } else { "" };
        let Diagnostic { path, line, column, message, .. } = self;
        match column {
            0 => write!(f, "{path}:{line}: {warning}{message}"),
            _ => write!(f, "{path}:{line}:{column}: {warning}{message}"),
        }
    }
}

/// A bundle that has been loaded: what instances are made of. Cheap to clone.
#[derive(Clone)]
pub struct Loaded {
    /// Before `motu`, so that it is dropped first: when the last `Loaded` goes, so do the memories kept for its image.
    pub(crate) bundled: Arc<Bundled>,
    pub(crate) motu: Motu,
}

/// The handler that runs in each fresh instance before its first event.
const START: &str = "start";

/// A bundle and its image.
pub(crate) struct Bundled {
    /// Not held on to: what is shared keeps bundles.
    shared: Weak<Shared>,
    pub(crate) bundle: Bundle,
    pub(crate) image: Arc<Image>,
    pub(crate) handlers: Arc<[String]>,
    /// It has the handler `start`, which runs in each fresh instance.
    pub(crate) has_start: bool,
    only_handlers: bool,
    others: Arc<[String]>,
    usage: Usage,
}

impl Bundled {
    /// Of what a load came to.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        bundle: &Bundle,
        left: Result<(Exit, Option<Arc<Image>>), Error>,
        usage: Usage,
    ) -> Result<Bundled, Error> {
        let (Exit::Loaded(loaded), image) = left? else {
            return Err(Error::internal("the guest gave an answer to something else").with_usage(usage));
        };
        let loaded = loaded.map_err(|failure| failed(failure).with_usage(usage))?;
        // an event's name is text: a handler that no text names is none. `start` runs by itself, and is no event
        let names = loaded.handlers.len();
        let handlers: Arc<[String]> =
            loaded.handlers.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
        let only_handlers = loaded.only_handlers && handlers.len() == names;
        let has_start = handlers.iter().any(|name| name == START);
        let handlers = handlers.iter().filter(|name| *name != START).cloned().collect();
        let image = image.ok_or_else(|| Error::internal("a bundle was loaded without an image").with_usage(usage))?;
        Ok(Bundled {
            shared: Arc::downgrade(shared),
            bundle: bundle.clone(),
            image,
            handlers,
            has_start,
            only_handlers,
            others: loaded.others.iter().map(|other| String::from_utf8_lossy(other).into_owned()).collect(),
            usage,
        })
    }
}

impl Bundled {
    pub(crate) fn image_bytes(&self) -> u64 {
        self.image.stored_bytes() as u64
    }
}

impl Drop for Bundled {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.factory.forget(&self.image);
        }
    }
}

impl Loaded {
    /// The events it handles, sorted. Functions under names that aren't UTF-8 are left out: no event has such a name. So is
    /// `start`, which runs by itself in each fresh instance, before its first event.
    pub fn handlers(&self) -> &[String] {
        &self.bundled.handlers
    }

    /// Whether it handles an event of this name.
    pub fn handles(&self, event: &str) -> bool {
        self.handlers().binary_search_by(|name| name.as_str().cmp(event)).is_ok()
    }

    /// Whether its entry returned a table of handlers and nothing else. When not, see [`Instance::value`].
    pub fn only_handlers(&self) -> bool {
        self.bundled.only_handlers
    }

    /// What stands under names in the table that its entry returned, and is no function, so no event is handled by it: the
    /// first 20, sorted, as `greet is a number`. Names are cut after 64 bytes, and what isn't UTF-8 in them is replaced.
    pub fn others(&self) -> &[String] {
        &self.bundled.others
    }

    /// What loading used.
    pub fn usage(&self) -> Usage {
        self.bundled.usage
    }

    /// What its image takes, in bytes, shared by all its instances.
    pub fn image_bytes(&self) -> u64 {
        self.bundled.image_bytes()
    }

    /// An instance of it for a tenant. It takes no memory before its first event.
    pub fn instance(&self, tenant: Tenant) -> Instance {
        Instance::new(self.clone(), tenant)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("handlers", &self.bundled.handlers)
            .field("usage", &self.bundled.usage)
            .finish_non_exhaustive()
    }
}
