//! A tenant's share of the workers: what it has burnt, by weight, and what it may burn in a second (R3).
//!
//! Time here is virtual: it goes on with the fuel that a tenant burns, the slower the more the tenant weighs. Whoever is
//! behind runs next (`queue`), so that tenants who all want to run get fuel as their weights are. One that rested gets no
//! credit for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::tenant::Tenant;

/// Virtual time for a unit of fuel at weight 1: so many steps that a weight of 1,000 still moves it.
const STEPS: u64 = 16;

/// One tenant's, shared by all that runs for it.
pub(crate) struct Share {
    weight: AtomicU32,
    /// Where it is in virtual time.
    at: AtomicU64,
    /// All that it has burnt.
    fuel: AtomicU64,
    rate: Mutex<Rate>,
}

/// A bucket of fuel that fills steadily, and holds what comes in a second.
struct Rate {
    fuel_per_second: Option<u64>,
    /// Negative when more was burnt than was there: a slice is as long as it is.
    left: i64,
    filled: Instant,
}

impl Share {
    pub(crate) fn new(weight: u32, fuel_per_second: Option<u64>) -> Share {
        let left = signed(fuel_per_second.unwrap_or(0));
        Share {
            weight: AtomicU32::new(weight.max(1)),
            at: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            rate: Mutex::new(Rate { fuel_per_second, left, filled: Instant::now() }),
        }
    }

    /// What it has burnt in all.
    pub(crate) fn fuel(&self) -> u64 {
        self.fuel.load(Ordering::Relaxed)
    }

    pub(crate) fn at(&self) -> u64 {
        self.at.load(Ordering::Relaxed)
    }

    /// It wants to run: it doesn't start from before what runs now.
    pub(crate) fn join(&self, clock: u64) -> u64 {
        self.at.fetch_max(clock, Ordering::Relaxed).max(clock)
    }

    /// It has burnt this much.
    pub(crate) fn charge(&self, fuel: u64) {
        let weight = u64::from(self.weight.load(Ordering::Relaxed));
        self.at.fetch_add(fuel.saturating_mul(STEPS) / weight, Ordering::Relaxed);
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.fuel_per_second.is_some() {
            rate.left = rate.left.saturating_sub(signed(fuel));
        }
    }

    /// When it may run again, if that is not now.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = rate.fuel_per_second?;
        let nanos = now.saturating_duration_since(rate.filled).as_nanos();
        let came = u128::from(per_second).saturating_mul(nanos) / 1_000_000_000;
        if came > 0 {
            rate.left = rate.left.saturating_add(i64::try_from(came).unwrap_or(i64::MAX)).min(signed(per_second));
            rate.filled = now;
        }
        if rate.left > 0 {
            return None;
        }
        // a fiftieth of a second at least: runs, and rests, in pieces that are worth the change
        let wanted = rate.left.unsigned_abs().saturating_add(per_second / 50).max(1);
        let nanos = u128::from(wanted) * 1_000_000_000 / u128::from(per_second.max(1));
        Some(now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_secs(3600)))
    }

    /// Other limits from now on.
    pub(crate) fn set(&self, weight: u32, fuel_per_second: Option<u64>) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.fuel_per_second != fuel_per_second {
            *rate = Rate { fuel_per_second, left: signed(fuel_per_second.unwrap_or(0)), filled: Instant::now() };
        }
    }
}

/// The shares of all tenants of a Motu.
#[derive(Default)]
pub(crate) struct Shares(Mutex<HashMap<Tenant, Weak<Share>>>);

impl Shares {
    /// The tenant's, made or changed to these limits.
    pub(crate) fn of(&self, tenant: &Tenant, limits: &Limits) -> Arc<Share> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(tenant).and_then(Weak::upgrade) {
            share.set(limits.weight, limits.fuel_per_second);
            return share;
        }
        if shares.len() == shares.capacity() {
            // before it grows
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share::new(limits.weight, limits.fuel_per_second));
        shares.insert(tenant.clone(), Arc::downgrade(&share));
        share
    }
}

fn signed(fuel: u64) -> i64 {
    i64::try_from(fuel).unwrap_or(i64::MAX)
}
