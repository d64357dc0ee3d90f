//! A tenant's share of the workers: the time that it took, by weight, and the fuel that it may burn in a second (R3).
//!
//! Time here is virtual: it advances with the processor time that a tenant takes (`metering`), the slower the more the tenant weighs.
//! Whoever is behind runs next (`queue`), so that tenants who all want to run get time as their weights are. One that rested
//! gets no credit for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::metering::{Pace, processor_nanos};
use crate::tenant::Tenant;

/// Virtual time for a nanosecond at weight 1: so many steps that a weight of 1,000 still moves it.
const STEPS: u64 = 16;

/// How far so many nanoseconds bring a tenant of this weight in virtual time.
pub(crate) fn virtual_time(nanos: u64, weight: u32) -> u64 {
    nanos.saturating_mul(STEPS) / u64::from(weight.max(1))
}

/// What one tenant has used, shared by all that runs for it.
#[derive(Default)]
struct Used {
    /// Where it is in virtual time.
    at: AtomicU64,
    /// All the fuel that it has burnt.
    fuel: AtomicU64,
    /// All the time that it has taken of threads that tenants share, in nanoseconds.
    nanos: AtomicU64,
    /// The weight of what ran last: for time that other threads than workers spend.
    weight: AtomicU32,
    /// Until when what was burnt under the limit `fuel_per_second` is paid for. Ahead of now by up to a second's worth, more may be
    /// burnt at once.
    paid: Mutex<Option<Instant>>,
}

/// A tenant's share, as one instance of it, or a load, has it: the limits are the instance's, and what is used is the tenant's.
#[derive(Clone)]
pub(crate) struct Share {
    used: Arc<Used>,
    weight: u32,
    fuel_per_second: Option<u64>,
    pace: Pace,
}

impl Share {
    /// Of nobody else's.
    pub(crate) fn new(pace: Pace) -> Share {
        Share { used: Arc::default(), weight: 1, fuel_per_second: None, pace }
    }

    /// The same tenant's, under these limits.
    pub(crate) fn within(&self, limits: &Limits) -> Share {
        let (weight, fuel_per_second) = (limits.weight.max(1), limits.fuel_per_second);
        Share { weight, fuel_per_second, ..self.clone() }
    }

    /// The same for all shares of a tenant, and for no other's while it lives.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.used).addr()
    }

    /// All the fuel that the tenant has burnt.
    pub(crate) fn fuel(&self) -> u64 {
        self.used.fuel.load(Ordering::Relaxed)
    }

    /// All the time that the tenant has taken of threads that tenants share.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_nanos(self.used.nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn at(&self) -> u64 {
        self.used.at.load(Ordering::Relaxed)
    }

    /// It wants to run: it doesn't start from before what runs now.
    pub(crate) fn join(&self, clock: u64) -> u64 {
        self.used.at.fetch_max(clock, Ordering::Relaxed).max(clock)
    }

    /// Bills fuel that was burnt, also under the limit `fuel_per_second`.
    pub(crate) fn burn(&self, fuel: u64) {
        self.used.fuel.fetch_add(fuel, Ordering::Relaxed);
        self.pay(fuel);
    }

    /// Charges a turn on a shared thread, which took this time and burnt this fuel. The fuel was billed before.
    pub(crate) fn took(&self, nanos: u64, fuel: u64) {
        self.used.weight.store(self.weight, Ordering::Relaxed);
        self.used.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.used.at.fetch_add(virtual_time(nanos, self.weight), Ordering::Relaxed);
        self.pay(self.pace.in_rate(nanos).saturating_sub(fuel));
    }

    fn paid(&self) -> MutexGuard<'_, Option<Instant>> {
        self.used.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pay(&self, fuel: u64) {
        let Some(per_second) = self.fuel_per_second.filter(|_| fuel > 0) else { return };
        let nanos = u128::from(fuel) * 1_000_000_000 / u128::from(per_second.max(1));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST);
        let now = Instant::now();
        let mut paid = self.paid();
        let from = paid.map_or(now, |paid| paid.max(now));
        *paid = Some(from + takes);
    }

    /// When it may run again, if that is not now.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.fuel_per_second?;
        let paid = (*self.paid())?;
        // up to a second's worth may be burnt ahead
        let ahead = paid.saturating_duration_since(now).checked_sub(AHEAD).filter(|ahead| !ahead.is_zero())?;
        // a fiftieth of a second at least: runs, and rests, in pieces that are worth the change
        Some(now + (ahead + AHEAD / 50).min(LONGEST))
    }
}

/// How much may be burnt at once after a rest.
const AHEAD: Duration = Duration::from_secs(1);

/// The longest that anything is held.
const LONGEST: Duration = Duration::from_secs(3600);

/// The shares of all tenants of a Motu.
pub(crate) struct Shares {
    pace: Pace,
    /// Whether time of other threads than workers counts.
    by_time: bool,
    used: Mutex<HashMap<Tenant, Weak<Used>>>,
}

impl Shares {
    pub(crate) fn new(pace: Pace, by_time: bool) -> Shares {
        Shares { pace, by_time, used: Mutex::default() }
    }

    /// The tenant's, under these limits.
    pub(crate) fn of(&self, tenant: &Tenant, limits: &Limits) -> Share {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = all.get(tenant).and_then(Weak::upgrade).unwrap_or_else(|| {
            if all.len() == all.capacity() {
                // before it grows
                all.retain(|_, used| used.strong_count() > 0);
                let live = all.len();
                all.reserve(live); // else each newcomer would look through all, while few go
            }
            let used = Arc::default();
            all.insert(tenant.clone(), Arc::downgrade(&used));
            used
        });
        Share { used, weight: 1, fuel_per_second: None, pace: self.pace }.within(limits)
    }

    /// Charges a tenant the processor time that this thread, which is no worker, takes for some work of it, also if that panics.
    pub(crate) fn charged<T>(&self, tenant: &Tenant, work: impl FnOnce() -> T) -> T {
        if !self.by_time {
            return work();
        }
        let _timed = Timed { shares: self, tenant, before: processor_nanos() };
        work()
    }

    /// Charges a tenant time that another thread than a worker spent for it, if anything of the tenant is there.
    pub(crate) fn took(&self, tenant: &Tenant, time: Duration) {
        if !self.by_time {
            return;
        }
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(used) = self.used(tenant) {
            let weight = used.weight.load(Ordering::Relaxed).max(1);
            Share { used, weight, fuel_per_second: None, pace: self.pace }.took(nanos, 0);
        }
    }

    /// What the tenant weighs, by what of it ran last: 1 if nothing did.
    pub(crate) fn weight(&self, tenant: &Tenant) -> u32 {
        self.used(tenant).map_or(1, |used| used.weight.load(Ordering::Relaxed).max(1))
    }

    fn used(&self, tenant: &Tenant) -> Option<Arc<Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).and_then(Weak::upgrade)
    }
}

/// Work for a tenant that is under way on a thread that is no worker.
struct Timed<'a> {
    shares: &'a Shares,
    tenant: &'a Tenant,
    before: u64,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let nanos = processor_nanos().saturating_sub(self.before);
        self.shares.took(self.tenant, Duration::from_nanos(nanos));
    }
}
