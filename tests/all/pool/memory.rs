//! I5 for all tenants together: whatever they hold at the same time, in their memories and in the host's, the process grows
//! by no more than the sum of their limits, and a fixed room for Motu itself.

use std::future::pending;

use motu::{Error, ErrorKind, Grants, HostModule, Limits, Placement, TenantRef};

use super::{deployed, workers};
use crate::child::{in_child, peak_growth};
use crate::support::{builder, limits, run};

trials![i5_the_process_stays_within_the_sum_of_the_limits];

pub(crate) const CHILDREN: &[crate::child::Body] = &[
    ("all_full_on_a_pool", || all_full(workers(2))),
    ("all_full_on_threads", || all_full(Placement::ThreadPerTenant)),
];

const MIB: u64 = 1 << 20;

/// What Motu may have for itself.
const ROOM: u64 = 64 * MIB;

/// Each of them would fill any memory. They stop a little short of the limit, and stay.
const SOURCE: &str = r"
local fns = require('@test/never')
local kept, text = {}, string.rep('x', 10000)
local fill = {
    tables = function() kept[#kept + 1] = { #kept } end,
    strings = function() kept[#kept + 1] = string.rep('x', 1000) .. #kept end,
    buffers = function() kept[#kept + 1] = buffer.create(10000) buffer.fill(kept[#kept], 0, 1) end,
    coroutines = function() kept[#kept + 1] = coroutine.create(function() end) coroutine.resume(kept[#kept]) end,
    sleepers = function() task.delay(1e9, function() end) end,
    calls = function() task.spawn(function() fns.never(text) end) end,
}
local handlers = { size = function(text) return #text end }
for name, more in fill do
    handlers[name] = function(times) for _ = 1, times do more() end end
end
return handlers
";

/// How often each of them is done until the memory is nearly full.
const FILLS: [(&str, u32); 6] =
    [("tables", 15_000), ("strings", 1_000), ("buffers", 180), ("coroutines", 900), ("sleepers", 1_500), ("calls", 90)];

fn i5_the_process_stays_within_the_sum_of_the_limits() {
    in_child("all_full_on_a_pool");
    in_child("all_full_on_threads");
}

/// 70 tenants fill their memories, ten in each of these ways, and ten their mailboxes; then each asks for more until it is
/// killed for it, or refused; 10,000 payloads are sent to each mailbox.
fn all_full(placement: Placement) {
    let limits = Limits { memory_bytes: 4 * MIB, mailbox_events: 20_000, event_fuel: None, ..limits() };
    let most = limits.memory_bytes;
    let never = HostModule::from_wit("package test:never; interface never { never: func(text: string); }")
        .unwrap()
        .function("never", |_, _: String| pending::<Result<(), Error>>());
    let motu = builder(limits).placement(placement).host_module(never).build().unwrap();
    let new = |kind: &str, n: u32| {
        let tenant = deployed(&motu, &format!("{kind}:{n}"), SOURCE);
        tenant.set_grants(Some(Grants::parse(["test:never/*"]).unwrap()));
        run(tenant.dispatch::<usize>("size", "")).unwrap();
        tenant
    };
    let filled: Vec<_> = (0..60).map(|n| (new("filled", n), FILLS[n as usize % FILLS.len()])).collect();
    let flooded: Vec<_> = (0..10).map(|n| new("flooded", n)).collect();
    let sum = most * (filled.len() + flooded.len()) as u64;

    let (held, growth) = peak_growth(|| {
        for (tenant, (how, times)) in &filled {
            run(tenant.dispatch::<()>(how, times)).unwrap().remove(0).result.unwrap_or_else(|e| panic!("{how}: {e}"));
        }
        flooded.iter().for_each(|tenant| tenant.pause());
        let payload = "x".repeat(20_000);
        for tenant in &flooded {
            let refused = (0..10_000).filter_map(|_| tenant.post("size", &payload).unwrap().remove(0).result.err());
            assert!(refused.map(|error| assert_eq!(error.kind(), ErrorKind::QueueFull)).count() > 9_000);
        }
        let held = filled.iter().map(|(tenant, _)| memory(tenant)).sum::<u64>() + motu.stats().waiting_bytes;
        for (tenant, (how, _)) in &filled {
            let error = run(tenant.dispatch::<()>(how, &1_000_000)).unwrap().remove(0).result.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Memory | ErrorKind::Limit), "{how}: {error}");
        }
        flooded.iter().for_each(|tenant| tenant.resume());
        held
    });
    assert!(held > sum / 2, "they held {held} of {sum} bytes at a time, or this shows nothing");
    assert!(growth > sum / 4, "the image is shared, but {growth} of {sum} shows nothing");
    assert!(growth <= sum + ROOM, "the process grew by {growth} bytes, and the limits are {sum} together");
    println!("held {held}, the process grew by {growth}, the limits are {sum} together");
}

fn memory(tenant: &TenantRef) -> u64 {
    tenant.status()["main"].memory_bytes
}
