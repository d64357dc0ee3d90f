//! What a live instance holds: private memory, page tables, mappings. Each side in a process of its own.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::native::Native;
use crate::ours::{Ours, answered, tenant};
use crate::proc::{mappings, page_tables_kib, private_kib};
use crate::report::Row;
use crate::scripts::{BUNDLE, EVENT, FIRST_ANSWER, PAYLOAD};

/// What one instance added to the process.
#[derive(Serialize, Deserialize)]
pub(crate) struct Footprint {
    instances: usize,
    private_kib: f64,
    page_tables_kib: f64,
    mappings: f64,
}

pub(crate) fn motu(quick: bool) -> anyhow::Result<Footprint> {
    let (ours, tenant) = (Ours::new()?, tenant()?);
    let loaded = ours.load(BUNDLE)?;
    footprint(quick, || ours.run(answered(&loaded, &tenant, EVENT, PAYLOAD)))
}

pub(crate) fn peer(quick: bool) -> anyhow::Result<Footprint> {
    footprint(quick, || {
        let native = Native::from_source(BUNDLE, EVENT)?;
        let answer = native.handler.call(PAYLOAD)?;
        Ok((native, answer))
    })
}

/// The difference that many live instances make, each after one event.
fn footprint<T>(quick: bool, mut make: impl FnMut() -> anyhow::Result<(T, String)>) -> anyhow::Result<Footprint> {
    let instances: usize = if quick { 200 } else { 1000 };
    drop(make()?); // what is made once, at the first one
    let mut alive = Vec::with_capacity(instances);
    let before = (private_kib()?, page_tables_kib()?, mappings()?);
    for _ in 0..instances {
        let (made, answer) = make()?;
        ensure!(answer == FIRST_ANSWER, "the first answer is {answer:?}, not {FIRST_ANSWER:?}");
        alive.push(made);
    }
    let after = (private_kib()?, page_tables_kib()?, mappings()?);
    drop(alive);
    let each = |after: f64, before: f64| (after - before) / f64::from(u32::try_from(instances).unwrap_or(u32::MAX));
    Ok(Footprint {
        instances,
        private_kib: each(after.0, before.0),
        page_tables_kib: each(after.1, before.1),
        mappings: each(after.2, before.2),
    })
}

pub(crate) fn rows(motu: &Footprint, peer: &Footprint) -> Vec<Row> {
    let group = format!("a live instance after one event ({} of them)", motu.instances);
    let row = |name, motu, peer, unit| Row::new(&group, name, motu, peer, unit);
    vec![
        row("private memory", motu.private_kib, peer.private_kib, "KiB").id("memory_per_instance").goal(0.34),
        row("and the kernel's page tables for it", motu.page_tables_kib, peer.page_tables_kib, "KiB"),
        row("mappings", motu.mappings, peer.mappings, "each").id("mappings_per_instance"),
    ]
}
