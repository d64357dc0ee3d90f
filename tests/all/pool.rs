//! Many tenants at once: what the workers, the mailboxes and the tenants' bundles promise, on both placements.

mod calls;
mod fairness;
mod life;
mod mailbox;
mod memory;
mod paid;
mod sight;
mod tenants;
mod workers;

use std::num::NonZeroUsize;

use libtest_mimic::Trial;
use motu::{Limits, Motu, MotuBuilder, Placement, TenantRef};

use crate::support::{builder, bundle, run};

pub(crate) const CHILDREN: &[&[crate::child::Body]] = &[memory::CHILDREN, sight::CHILDREN];

pub(crate) fn trials() -> Vec<Trial> {
    let all = [
        calls::trials(),
        fairness::trials(),
        life::trials(),
        mailbox::trials(),
        memory::trials(),
        paid::trials(),
        sight::trials(),
        tenants::trials(),
        workers::trials(),
    ];
    all.into_iter().flatten().collect()
}

pub(crate) fn workers(count: usize) -> Placement {
    Placement::ThreadPool(NonZeroUsize::new(count).unwrap())
}

/// Runs a test on each placement.
fn on_both(limits: &Limits, test: impl Fn(MotuBuilder)) {
    for placement in [workers(2), workers(1), Placement::ThreadPerTenant] {
        let made = builder(limits.clone());
        // a thread of a tenant's own is not shared, and a hundred of them wait for each other in the kernel
        let made = if matches!(placement, Placement::ThreadPerTenant) { made.on_step(drop) } else { made };
        test(made.placement(placement));
    }
}

/// A tenant with one bundle of this source, under the name `main`.
fn deployed(motu: &Motu, tenant: &str, source: &str) -> TenantRef {
    let tenant = motu.tenant(&tenant.parse().unwrap());
    run(tenant.deploy("main", &bundle(&[("init.luau", source)]))).unwrap();
    tenant
}
