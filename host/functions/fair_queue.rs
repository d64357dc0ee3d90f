//! What is to be done for tenants, in each tenant's order. The tenant that has had the least of the thread, by weight, is next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::metering::processor_nanos;
use crate::share::{Shares, virtual_time};
use crate::tenant::Tenant;

/// The most tenants of which it is remembered what they have had. Beyond them, it is known of those that have work.
pub(super) const REMEMBERED_MAX: usize = 10_000;

/// The works that wait, by tenant, and the order of the tenants.
pub(super) struct FairQueue<W> {
    /// The tenants that have work here, also while it is their turn; and those that have had more of the thread than these.
    tenants: HashMap<Tenant, Line<W>>,
    /// The order of the tenants: the one that has had the least is first. The number keeps equal ones in order.
    next: BinaryHeap<Reverse<(u64, u64, Tenant)>>,
    number: u64,
    /// What the tenant has had whose turn was begun last. Tenants that come start from here: to have rested is no credit.
    clock: u64,
    /// How many turns aren't over.
    under_way: usize,
}

/// A tenant's work, in its order.
struct Line<W> {
    works: VecDeque<W>,
    /// How much of the thread it has had, in virtual time.
    had: u64,
    /// It is its turn, or will be.
    is_queued: bool,
}

impl<W> Default for FairQueue<W> {
    fn default() -> FairQueue<W> {
        FairQueue { tenants: HashMap::new(), next: BinaryHeap::new(), number: 0, clock: 0, under_way: 0 }
    }
}

impl<W> FairQueue<W> {
    fn enqueue(&mut self, tenant: Tenant) {
        let Some(line) = self.tenants.get_mut(&tenant).filter(|line| !line.works.is_empty()) else { return };
        line.is_queued = true;
        line.had = line.had.max(self.clock);
        self.number += 1;
        self.next.push(Reverse((line.had, self.number, tenant)));
    }

    /// Puts a work at the end of the tenant's line.
    pub(super) fn put(&mut self, tenant: &Tenant, work: W) {
        if self.tenants.len() == self.tenants.capacity() && !self.tenants.contains_key(tenant) {
            // before it grows
            let (clock, is_remembered) = (self.clock, self.tenants.len() <= REMEMBERED_MAX);
            self.tenants.retain(|_, line| line.is_queued || is_remembered && line.had > clock);
            let live = self.tenants.len();
            self.tenants.reserve(live); // else each newcomer would look through all, while few go
        }
        let empty = || Line { works: VecDeque::new(), had: 0, is_queued: false };
        let line = self.tenants.entry(tenant.clone()).or_insert_with(empty);
        line.works.push_back(work);
        if !line.is_queued {
            self.enqueue(tenant.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.tenants.len()
    }

    /// Whether a tenant waits for its turn.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.next.is_empty()
    }

    /// Begins the next turn, with the tenant's first work. The tenant has no other until this one is [over](Self::end).
    pub(super) fn begin(&mut self) -> Option<(Tenant, W)> {
        while let Some(Reverse((had, _, tenant))) = self.next.pop() {
            self.clock = had;
            if let Some(work) = self.more(&tenant) {
                self.under_way += 1;
                return Some((tenant, work));
            }
        }
        if self.under_way == 0 {
            self.tenants.clear(); // nobody has work, and all are equal again
        }
        None
    }

    /// All works that wait, in no order.
    pub(super) fn into_works(self) -> impl Iterator<Item = W> {
        self.tenants.into_values().flat_map(|line| line.works)
    }

    /// More work of the tenant whose turn it is.
    pub(super) fn more(&mut self, tenant: &Tenant) -> Option<W> {
        self.tenants.get_mut(tenant)?.works.pop_front()
    }

    /// Ends a turn, which took so much virtual time. What is left of its work is still the tenant's first.
    pub(super) fn end(&mut self, tenant: Tenant, left: Option<W>, took: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        let Some(line) = self.tenants.get_mut(&tenant) else { return };
        line.had = line.had.saturating_add(took);
        line.is_queued = false;
        if let Some(work) = left {
            line.works.push_front(work);
        }
        self.enqueue(tenant);
    }
}

/// Does something for a tenant and charges it for the time that it takes this thread. With the result comes that in virtual time.
pub(super) fn timed<T>(shares: &Shares, tenant: &Tenant, work: impl FnOnce() -> T) -> (T, u64) {
    let before = processor_nanos();
    let done = work();
    let nanos = processor_nanos().saturating_sub(before);
    shares.took(tenant, std::time::Duration::from_nanos(nanos));
    (done, virtual_time(nanos, shares.weight(tenant)))
}
