//! I5 for all tenants together: whatever they hold at the same time, in their memories and in the host's, the process grows
//! by no more than the sum of their limits, and a fixed room for Motu itself.

use std::future::pending;

use motu::{Error, ErrorKind, Grants, HostModule, Limits, Placement, TenantRef};

use super::{deployed, workers};
use crate::child::{in_child, peak_growth, status};
use crate::support::{builder, limits, run};

trials![
    i5_the_process_stays_within_the_sum_of_the_limits,
    t04_memory_that_grows_and_dies_is_one_at_a_time,
    t11_stacks_go_back_to_the_kernel_after_a_burst,
];

pub(crate) const CHILDREN: &[crate::child::Body] = &[
    ("all_full_on_a_pool", || all_full(workers(2))),
    ("all_full_on_threads", || all_full(Placement::ThreadPerTenant)),
    ("grow_and_die_on_a_pool", || grow_and_die(workers(2))),
    ("grow_and_die_on_threads", || grow_and_die(Placement::ThreadPerTenant)),
    ("burst", burst),
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

fn t04_memory_that_grows_and_dies_is_one_at_a_time() {
    in_child("grow_and_die_on_a_pool");
    in_child("grow_and_die_on_threads");
}

/// A tenant's VMs grow to 60 MB and die, one after the other without a pause. The next one waits until the memory of the last
/// was given back, so the process never holds two of them. Then they are closed at full size.
fn grow_and_die(placement: Placement) {
    const TIMES: usize = 20;
    let limits = Limits { mailbox_events: 100, restarts: None, event_fuel: None, ..limits() };
    let most = limits.memory_bytes;
    let motu = builder(limits).placement(placement).build().unwrap();
    let source = "local kept = {} return {
        burst = function() while true do kept[#kept + 1] = buffer.create(1000000) end end,
        grow = function() for i = 1, 55 do kept[i] = buffer.create(1000000) end end,
        go = function() return 1 end }";
    let tenant = deployed(&motu, "t04:1", source);
    run(tenant.dispatch::<u32>("go", &())).unwrap();
    let before = status("VmRSS:");
    let ((), growth) = peak_growth(|| {
        let answers = run(async {
            let mut events = tokio::task::JoinSet::new();
            for _ in 0..TIMES {
                let tenant = tenant.clone();
                events.spawn(async move { tenant.dispatch::<()>("burst", &()).await.unwrap().remove(0).result });
            }
            events.join_all().await
        });
        for answer in answers {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Memory);
        }
    });
    assert!(growth > most / 2, "they grew by {growth}, or this shows nothing");
    assert!(growth < most + ROOM / 2, "the process grew by {growth} bytes, and the limit is {most}");
    assert_eq!(run(tenant.dispatch::<u32>("go", &())).unwrap().remove(0).result.unwrap().value, 1);

    for round in 0..5 {
        let tenant = deployed(&motu, &format!("t04:{}", round + 2), source);
        run(tenant.dispatch::<()>("grow", &())).unwrap().remove(0).result.unwrap();
        assert!(status("VmRSS:") > before + most / 2);
        let id = tenant.id().clone();
        drop(tenant);
        motu.forget(&id);
    }
    falls_below(before + ROOM / 2);
}

/// Waits until the process's resident memory is below that.
fn falls_below(bytes: u64) {
    let fell = (0..2000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        status("VmRSS:") < bytes
    });
    assert!(fell, "{} bytes are resident, {bytes} at most", status("VmRSS:"));
}

fn t11_stacks_go_back_to_the_kernel_after_a_burst() {
    in_child("burst");
}

/// 400 instances that use their native stacks, all at once, and are gone.
fn burst() {
    let motu = builder(limits()).placement(workers(2)).build().unwrap();
    let source = "
        local deep = setmetatable({}, { __index = function(self, n) return if n == 0 then 1 else self[n - 1] end })
        return { deep = function() return deep[190] end, go = function() return 1 end }";
    let run_all = |event: &str, kind: &str, count: usize| {
        let tenants: Vec<_> = (0..count).map(|n| deployed(&motu, &format!("{kind}:{n}"), source)).collect();
        for tenant in &tenants {
            assert_eq!(run(tenant.dispatch::<u32>(event, &())).unwrap().remove(0).result.unwrap().value, 1);
        }
        let resident = status("VmRSS:");
        for tenant in tenants {
            let id = tenant.id().clone();
            drop(tenant);
            motu.forget(&id);
        }
        while motu.stats().live_instances > 0 {
            std::thread::yield_now();
        }
        resident
    };
    run_all("go", "first", 400);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let before = status("VmRSS:");
    let flat = run_all("go", "flat", 400).saturating_sub(before);
    let deep = run_all("deep", "deep", 400).saturating_sub(before);
    println!(
        "{flat} bytes with 400 instances, {deep} with deep stacks, {} after them",
        status("VmRSS:").saturating_sub(before)
    );
    assert!(deep > flat + 400 * (100 << 10), "{deep} bytes with deep stacks, {flat} without, or this shows nothing");
    falls_below(before + (deep - flat) / 4);
}
