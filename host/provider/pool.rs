//! The stores of a provider: so many in all, so many for a tenant, and one kept for each instance's next call.
//!
//! A store that rests belongs to its instance, and goes with it; the pool only knows which rest, so that one can be taken away
//! when stores are short.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wasmtime::Store;
use wasmtime::component::Instance;

use super::store::State;
use super::{ProviderLimits, ProviderUsage};
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::tenant::Tenant;

pub(super) struct Pool {
    provider: String,
    stores: u32,
    per_tenant: u32,
    /// Of all stores, in bytes.
    memory: Arc<AtomicU64>,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    all: u32,
    by_tenant: HashMap<Tenant, u32>,
    /// Those that rest, the longest first.
    resting: BTreeMap<u64, (Tenant, Weak<Shelf>)>,
    rested: u64,
}

/// The memory of one store, in the sum of all.
pub(super) struct MemorySum(Arc<AtomicU64>);

impl MemorySum {
    pub(super) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The right to have a store.
pub(super) struct Ticket {
    pool: Arc<Pool>,
    tenant: Tenant,
    resting: Option<u64>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut count = self.pool.count();
        count.all = count.all.saturating_sub(1);
        if let Some(of_tenant) = count.by_tenant.get_mut(&self.tenant) {
            *of_tenant = of_tenant.saturating_sub(1);
            if *of_tenant == 0 {
                count.by_tenant.remove(&self.tenant);
            }
        }
        if let Some(number) = self.resting {
            count.resting.remove(&number);
        }
    }
}

/// A store, and the component in it.
pub(super) struct Live {
    pub(super) store: Store<State>,
    /// None until the first call has started it.
    pub(super) instance: Option<Instance>,
    // last: the store is gone before another may be made
    ticket: Ticket,
}

impl Live {
    pub(super) fn new(store: Store<State>, ticket: Ticket) -> Live {
        Live { store, instance: None, ticket }
    }
}

/// Where an instance keeps its store of one provider.
#[derive(Default)]
struct Shelf(Mutex<Option<Live>>);

impl Shelf {
    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shelves of an instance, by the address of the pool.
#[derive(Default)]
struct Shelves(Mutex<Vec<(Weak<Pool>, Arc<Shelf>)>>);

impl Shelves {
    fn of(&self, pool: &Arc<Pool>) -> Arc<Shelf> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter().find(|(other, _)| std::ptr::eq(other.as_ptr(), Arc::as_ptr(pool))) {
            Some((_, shelf)) => shelf.clone(),
            None => {
                let shelf = Arc::new(Shelf::default());
                all.push((Arc::downgrade(pool), shelf.clone()));
                shelf
            }
        }
    }
}

impl Pool {
    pub(super) fn new(provider: String, limits: &ProviderLimits) -> Arc<Pool> {
        let (stores, per_tenant) = (limits.stores, limits.stores_per_tenant);
        Arc::new(Pool { provider, stores, per_tenant, memory: Arc::default(), count: Mutex::default() })
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn usage(&self) -> ProviderUsage {
        ProviderUsage { stores: self.count().all, memory_bytes: self.memory.load(Ordering::Relaxed) }
    }

    pub(super) fn memory_sum(&self) -> MemorySum {
        MemorySum(self.memory.clone())
    }

    /// The store that rests for the instance that calls.
    pub(super) fn take(self: &Arc<Pool>, context: &CallContext) -> Option<Live> {
        let shelf = context.own(|_| Shelves::default()).of(self);
        let mut live = shelf.live().take()?;
        if let Some(number) = live.ticket.resting.take() {
            self.count().resting.remove(&number);
        }
        Some(live)
    }

    /// Keeps a store for the next call.
    pub(super) fn put(self: &Arc<Pool>, context: &CallContext, mut live: Live) {
        let shelf = context.own(|_| Shelves::default()).of(self);
        let mut there = shelf.live();
        if there.is_some() {
            drop(there);
            return drop(live); // of two calls at the same time
        }
        let mut count = self.count();
        count.rested += 1;
        let number = count.rested;
        live.ticket.resting = Some(number);
        count.resting.insert(number, (live.ticket.tenant.clone(), Arc::downgrade(&shelf)));
        drop(count);
        *there = Some(live);
    }

    /// The right to have one more store. It may cost another instance the one that rests for it.
    pub(super) fn ticket(self: &Arc<Pool>, tenant: &Tenant) -> Result<Ticket, Error> {
        loop {
            let mut count = self.count();
            let of_tenant = count.by_tenant.get(tenant).copied().unwrap_or_default();
            let (limit, most, own) = if of_tenant >= self.per_tenant {
                ("stores_per_tenant", self.per_tenant, true)
            } else if count.all >= self.stores {
                ("stores", self.stores, false)
            } else {
                count.all += 1;
                *count.by_tenant.entry(tenant.clone()).or_default() += 1;
                return Ok(Ticket { pool: self.clone(), tenant: tenant.clone(), resting: None });
            };
            let mut resting = count.resting.iter();
            let Some(number) = resting.find(|(_, (of, _))| !own || of == tenant).map(|(number, _)| *number) else {
                let message = format!(
                    "the provider {} is over its limit {limit} of {most}: all of them are at work. Call it again later",
                    self.provider
                );
                return Err(Error::new(ErrorKind::Limit, message));
            };
            let shelf = count.resting.remove(&number).and_then(|(_, shelf)| shelf.upgrade());
            drop(count);
            if let Some(shelf) = shelf {
                let mut live = shelf.live();
                let is_it = live.as_ref().is_some_and(|live| live.ticket.resting == Some(number));
                let taken = if is_it { live.take() } else { None };
                drop(live);
                drop(taken); // outside of the lock: it frees much
            }
        }
    }
}
