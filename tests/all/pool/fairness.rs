//! Who gets the workers: by weight, by rate, and never only the one who asks for the most. Measured in fuel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use motu::{Limits, Metering, Motu, TenantRef};

use super::{deployed, on_both, workers};
use crate::support::{builder, limits, run};

trials![
    r3_weights_share_out_the_fuel,
    r3_more_instances_are_no_larger_share,
    r3_fuel_per_second_is_held_to,
    r3_one_that_is_held_and_has_slept_is_left_alone,
    i1_a_spinner_does_not_stall_its_neighbours,
    i3_starting_again_and_again_is_held_to_the_share,
    s6_hot_tenants_keep_all_workers_busy,
];

const SPIN: &str = "return { spin = function() while true do end end, quick = function() return 1 end }";

/// Events that burn their budget, always some of them in the mailbox, until the flag is set.
fn saturate<'a>(scope: &'a std::thread::Scope<'a, '_>, tenant: &'a TenantRef, over: &'a AtomicBool) {
    scope.spawn(move || {
        while !over.load(Ordering::Relaxed) {
            if tenant.status().values().map(|status| status.waiting).min().unwrap_or(0) < 100 {
                let _ = tenant.post("spin", &()).unwrap();
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
}

/// What each tenant burns, from when all of them run until together they have burnt so much.
fn burnt(tenants: &[TenantRef], fuel: u64) -> Vec<u64> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for tenant in tenants {
            saturate(scope, tenant, &over);
        }
        while tenants.iter().any(|tenant| tenant.fuel() == 0) {
            std::thread::yield_now();
        }
        let before: Vec<u64> = tenants.iter().map(TenantRef::fuel).collect();
        let since = |tenants: &[TenantRef]| -> Vec<u64> {
            tenants.iter().zip(&before).map(|(tenant, before)| tenant.fuel() - before).collect()
        };
        while since(tenants).iter().sum::<u64>() < fuel {
            std::thread::sleep(Duration::from_millis(1));
        }
        let burnt = since(tenants);
        over.store(true, Ordering::Relaxed);
        tenants.iter().for_each(TenantRef::kill);
        burnt
    })
}

fn with_weight(motu: &Motu, tenant: &str, weight: u32) -> TenantRef {
    let tenant = deployed(motu, tenant, SPIN);
    tenant.set_limits(Some(Limits { weight, event_fuel: Some(50_000_000), restarts: None, ..limits() })).unwrap();
    tenant
}

/// Weights 1, 2 and 4 under saturation: shares within a tenth.
fn r3_weights_share_out_the_fuel() {
    for count in [1, 2] {
        let motu = builder(limits()).metering(Metering::Fuel).placement(workers(count)).build().unwrap();
        // with two workers, twice as many tenants: one instance runs on one worker at a time
        let tenants: Vec<TenantRef> =
            (0..3 * count).map(|n| with_weight(&motu, &format!("r3:{n}"), 1 << (n % 3))).collect();
        let burnt = burnt(&tenants, 4_000_000_000);
        let total: u64 = burnt.iter().sum();
        let weights: f64 = 7.0 * count as f64;
        for (n, fuel) in burnt.iter().enumerate() {
            let (share, wanted) = (*fuel as f64 / total as f64, f64::from(1u32 << (n % 3)) / weights);
            assert!((share / wanted - 1.0).abs() < 0.1, "tenant {n} of {count} workers: {share:.4}, not {wanted:.4}");
        }
    }
}

/// One tenant with eight bundles beside one with one: each gets half.
fn r3_more_instances_are_no_larger_share() {
    let motu = builder(Limits { event_fuel: Some(50_000_000), restarts: None, ..limits() })
        .metering(Metering::Fuel)
        .placement(workers(1))
        .build()
        .unwrap();
    let one = deployed(&motu, "r3:one", SPIN);
    let many = deployed(&motu, "r3:many", SPIN);
    for n in 0..7 {
        run(many.deploy(&format!("more-{n}"), &crate::support::bundle(&[("init.luau", SPIN)]))).unwrap();
    }
    let burnt = burnt(&[one, many], 3_000_000_000);
    let ratio = burnt[0] as f64 / burnt[1] as f64;
    assert!((0.9..1.1).contains(&ratio), "{burnt:?}");
}

fn r3_fuel_per_second_is_held_to() {
    let rate = 200_000_000;
    on_both(
        &Limits { fuel_per_second: Some(rate), event_fuel: Some(50_000_000), restarts: None, ..limits() },
        |builder| {
            let motu = builder.metering(Metering::Fuel).build().unwrap();
            let tenant = deployed(&motu, "r3:1", SPIN);
            let over = AtomicBool::new(false);
            let (fuel, took) = std::thread::scope(|scope| {
                saturate(scope, &tenant, &over);
                // what it has saved up goes first
                while tenant.fuel() < 2 * rate {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let (since, before) = (Instant::now(), tenant.fuel());
                std::thread::sleep(Duration::from_millis(1500));
                let measured = (tenant.fuel() - before, since.elapsed());
                over.store(true, Ordering::Relaxed);
                measured
            });
            let allowed = rate as f64 * took.as_secs_f64();
            assert!(fuel as f64 <= allowed * 1.1 + 5e6, "{fuel} in {took:?}");
            assert!(fuel as f64 >= allowed * 0.5, "it isn't starved: {fuel} in {took:?}");
        },
    );
}

/// A spins on B's worker. B's events go on, and A is dead within its budget and a slice. The full counts and times are
/// those of `motu load`; here it is that B is served between A's slices.
/// On one worker, a tenant over its rate whose sleep is over: its time has come, and it can't run. It must not be looked at again
/// and again meanwhile, before everybody else.
fn r3_one_that_is_held_and_has_slept_is_left_alone() {
    let motu = builder(limits()).metering(Metering::Fuel).placement(workers(1)).build().unwrap();
    // less than a slice each time, so that it is held while it waits
    let source = "return { go = function() while true do task.wait(0.001) for i = 1, 1e4 do end end end }";
    let held = deployed(&motu, "r3:held", source);
    let slow = Limits { fuel_per_second: Some(1_000_000), event_fuel: None, event_deadline: None, ..limits() };
    held.set_limits(Some(slow)).unwrap();
    let source = "return { work = function() for i = 1, 1e6 do end return 1 end }";
    let neighbour = deployed(&motu, "r3:neighbour", source);
    held.post("go", &()).unwrap();
    while held.fuel() < 1_000_000 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let before = held.fuel();
    for _ in 0..20 {
        assert_eq!(run(neighbour.dispatch::<u32>("work", &())).unwrap().remove(0).result.unwrap().value, 1);
    }
    // a second's worth and a slice, if that took less than a second; some 20 s for each event when it was looked at all the time
    let burnt = held.fuel() - before;
    assert!(burnt < 20_000_000, "it burnt {burnt} while 20 events of its neighbour ran");
    held.kill();
}

fn i1_a_spinner_does_not_stall_its_neighbours() {
    let motu =
        builder(Limits { event_fuel: None, event_deadline: None, ..limits() }).placement(workers(1)).build().unwrap();
    let (spinner, neighbour) = (deployed(&motu, "i1:a", SPIN), deployed(&motu, "i1:b", SPIN));
    spinner.post("spin", &()).unwrap();
    while spinner.fuel() == 0 || spinner.status()["main"].started == 0 {
        std::thread::yield_now();
    }
    let before = spinner.fuel();
    let events = 2000;
    for _ in 0..events {
        assert_eq!(run(neighbour.dispatch::<u32>("quick", &())).unwrap()[0].result.as_ref().unwrap().value, 1);
    }
    assert_eq!(spinner.status()["main"].started, 1, "it spun all the while");
    // nobody waits longer than some slices for the worker
    let slices = (spinner.fuel() - before) / Limits::SLICE_FUEL;
    assert!(slices < 20 * events, "{slices} slices of the spinner's for {events} events of the neighbour's");
    spinner.kill();
}

/// reduced: some seconds of 60, for time; MOTU_FULL=1 runs it for a minute. One that ends just within its budget and starts
/// again at once gets its share, and no more.
fn i3_starting_again_and_again_is_held_to_the_share() {
    let fuel = if crate::support::full() { 1_200_000_000_000 } else { 6_000_000_000 };
    let source = "return { spin = function() for i = 1, 3000000 do end end }";
    let motu = builder(limits()).placement(workers(1)).build().unwrap();
    let tenants: Vec<TenantRef> = (0..4).map(|n| deployed(&motu, &format!("i3:{n}"), source)).collect();
    let burnt = burnt(&tenants, fuel);
    let total: u64 = burnt.iter().sum();
    for fuel in &burnt {
        assert!((*fuel as f64 / total as f64 - 0.25).abs() < 0.025, "{burnt:?}");
    }
}

/// One tenant in a hundred has nine tenths of the events: the busiest worker does at most one and a half times the mean. The
/// kernel may give one of four threads a processor of its own while other programs run: what counts is the best of four
/// tries, and hot tenants that are bound to a worker would spoil each.
fn s6_hot_tenants_keep_all_workers_busy() {
    let motu = builder(limits()).placement(workers(4)).build().unwrap();
    let source = "return { work = function() for i = 1, 100000 do end end }";
    let tenants: Vec<TenantRef> = (0..400).map(|n| deployed(&motu, &format!("s6:{n}"), source)).collect();
    let mut tries = Vec::new();
    while tries.len() < 4 {
        let before = motu.stats().worker_fuel;
        for round in 0..200 {
            for (n, tenant) in tenants.iter().enumerate() {
                // the first four are hot
                let events = if n < 4 { 9 } else { usize::from(round % 100 == n % 100) };
                for _ in 0..events {
                    let _ = tenant.post("work", &()).unwrap();
                }
            }
        }
        let is_busy =
            |tenant: &TenantRef| tenant.status().values().any(|status| status.waiting + status.started as u32 > 0);
        while tenants.iter().any(is_busy) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let burnt: Vec<u64> =
            motu.stats().worker_fuel.iter().zip(before).map(|(after, before)| after - before).collect();
        let (busiest, total) = (*burnt.iter().max().unwrap(), burnt.iter().sum::<u64>());
        if burnt.len() == 4 && busiest as f64 <= 1.5 * total as f64 / 4.0 {
            return;
        }
        tries.push(burnt);
    }
    panic!("{tries:?}");
}
