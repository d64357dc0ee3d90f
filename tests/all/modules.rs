//! Host modules: what may be called, what crosses at the boundary, and what Motu's own modules promise.

mod after_waits;
mod blob;
mod charge;
mod cron;
mod editors;
mod grants;
mod hostile;
mod http;
mod kv;
mod log;
mod paid;
#[cfg(feature = "providers")]
mod provider;
mod small;
mod store;
mod typed;

use libtest_mimic::Trial;
use motu::{Error, Grants, Motu, TenantRef, Value};

use crate::support::{bundle, run};

pub(crate) const CHILDREN: &[crate::child::Body] = kv::CHILDREN;
pub(crate) use editors::CHILDREN as OF_EDITORS;

#[cfg(feature = "providers")]
pub(crate) use provider::CHILDREN as OF_PROVIDERS;

/// Without the feature there are no providers to be tried; the list of trials says so.
#[cfg(not(feature = "providers"))]
pub(crate) const OF_PROVIDERS: &[crate::child::Body] = &[];

#[cfg(not(feature = "providers"))]
mod provider {
    pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
        let name = "modules::provider::p7_needs_the_feature_providers";
        vec![libtest_mimic::Trial::test(name, || Ok(())).with_ignored_flag(true)]
    }
}

pub(crate) fn trials() -> Vec<Trial> {
    let all = [
        after_waits::trials(),
        blob::trials(),
        charge::trials(),
        cron::trials(),
        editors::trials(),
        grants::trials(),
        hostile::trials(),
        http::trials(),
        kv::trials(),
        log::trials(),
        paid::trials(),
        provider::trials(),
        small::trials(),
        store::trials(),
        typed::trials(),
    ];
    all.into_iter().flatten().collect()
}

/// A tenant with one bundle of this source, and these grants.
fn tenant(motu: &Motu, name: &str, source: &str, grants: &[&str]) -> TenantRef {
    let tenant = motu.tenant(&name.parse().unwrap());
    run(tenant.deploy("main", &bundle(&[("init.luau", source)]))).unwrap();
    tenant.set_grants(Some(Grants::parse(grants).unwrap()));
    tenant
}

fn ask(tenant: &TenantRef, event: &str, payload: impl Into<Value>) -> Result<Value, Error> {
    let payload = payload.into();
    run(tenant.dispatch_value(event, &payload)).unwrap().remove(0).result.map(|outcome| outcome.value)
}
