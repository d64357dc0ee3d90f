//! What waits: in order, bounded, and no longer than its deadline.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use motu::{ErrorKind, Limits};

use super::{deployed, on_both};
use crate::support::{builder, limits, run};

trials![
    d1_a_deadline_is_kept_while_it_computes,
    d1_a_deadline_is_kept_in_the_mailbox,
    d4_events_start_in_order,
    s5_a_full_mailbox_refuses_at_once,
    s5_all_mailboxes_together_are_bounded,
    i5_what_waits_counts_as_memory,
    a_dropped_caller_takes_its_event_back,
];

const SPIN: &str = "return { spin = function() while true do end end, quick = function(n) return n end }";

fn d1_a_deadline_is_kept_while_it_computes() {
    on_both(&Limits { event_fuel: None, ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "d1:1", SPIN);
        let since = Instant::now();
        let deadline = Some(Duration::from_millis(100));
        let answers = run(tenant.dispatch_within::<()>("spin", &(), deadline)).unwrap();
        let error = answers[0].result.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline);
        assert_eq!(error.message(), "init.luau:1: out of time: the deadline of 100 ms has passed");
        assert!(since.elapsed() >= Duration::from_millis(100));
        assert_eq!(run(tenant.dispatch::<u32>("quick", &7)).unwrap()[0].result.as_ref().unwrap().value, 7);
    });
}

fn d1_a_deadline_is_kept_in_the_mailbox() {
    on_both(&Limits { event_fuel: None, ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "d1:1", SPIN);
        let spin = tenant.post("spin", &()).unwrap();
        assert!(spin[0].result.is_ok());
        let answers = run(tenant.dispatch_within::<u32>("quick", &7, Some(Duration::from_millis(50)))).unwrap();
        let error = answers[0].result.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline);
        assert_eq!(error.usage().fuel, 0, "it never started");
        tenant.kill();
        assert_eq!(run(tenant.dispatch::<u32>("quick", &7)).unwrap()[0].result.as_ref().unwrap().value, 7);
    });
}

/// 100 tenants with 10,000 events each, on two workers (a tenth of that on the other placements): every handler sees its
/// events in the order they were dispatched in.
fn d4_events_start_in_order() {
    let tenants = 100;
    let rounds = std::cell::Cell::new(0);
    let source = "local last = 0\nreturn { go = function(n) assert(n == last + 1, `{n} after {last}`) last = n end,\n\
                  last = function() return last end }";
    on_both(&Limits { mailbox_events: 20_000, ..limits() }, |builder| {
        let events = if rounds.replace(rounds.get() + 1) == 0 { 10_000 } else { 1_000 };
        let motu = builder.build().unwrap();
        let all: Vec<_> = (0..tenants).map(|n| deployed(&motu, &format!("d4:{n}"), source)).collect();
        for n in 1..=events {
            for tenant in &all {
                assert!(tenant.post("go", &n).unwrap()[0].result.is_ok());
            }
        }
        for tenant in &all {
            assert_eq!(run(tenant.dispatch::<u32>("last", &())).unwrap()[0].result.as_ref().unwrap().value, events);
        }
    });
}

fn s5_a_full_mailbox_refuses_at_once() {
    on_both(&Limits { event_fuel: None, mailbox_events: 10, ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "s5:1", SPIN);
        let neighbour = deployed(&motu, "s5:2", SPIN);
        tenant.post("spin", &()).unwrap();
        while tenant.status()["main"].waiting > 0 {
            std::thread::yield_now();
        }
        let took = (0..100).filter(|n| tenant.post("quick", n).unwrap()[0].result.is_ok()).count();
        assert_eq!(took, 10, "the tenth works");
        let refused = tenant.post("quick", &0).unwrap().remove(0).result.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::QueueFull);
        assert_eq!(refused.message(), "10 events wait in the mailbox for s5:1, the limit mailbox_events");
        assert_eq!(refused.event(), Some("quick"));
        let dispatched = run(tenant.dispatch::<u32>("quick", &1)).unwrap().remove(0).result.unwrap_err();
        assert_eq!(dispatched.kind(), ErrorKind::QueueFull);
        // nobody else is touched
        assert_eq!(run(neighbour.dispatch::<u32>("quick", &1)).unwrap()[0].result.as_ref().unwrap().value, 1);
        tenant.kill();
        assert_eq!(run(tenant.dispatch::<u32>("quick", &5)).map(|answers| answers.len()).unwrap(), 1);
        while tenant.status()["main"].waiting > 0 {
            std::thread::yield_now();
        }
        assert_eq!(run(tenant.dispatch::<u32>("quick", &5)).unwrap()[0].result.as_ref().unwrap().value, 5);
    });
}

fn s5_all_mailboxes_together_are_bounded() {
    let motu = builder(Limits { event_fuel: None, ..limits() }).queue(5, 1 << 20).build().unwrap();
    let tenants: Vec<_> = (0..4).map(|n| deployed(&motu, &format!("s5:{n}"), SPIN)).collect();
    tenants.iter().for_each(|tenant| tenant.pause());
    let took = |n: usize| tenants[n % 4].post("quick", &n).unwrap().remove(0).result;
    assert_eq!((0..5).filter(|n| took(*n).is_ok()).count(), 5);
    let refused = took(5).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QueueFull);
    assert!(refused.message().contains("the mailboxes of this Motu hold what they can, 5 events"), "{refused}");
    tenants.iter().for_each(|tenant| tenant.resume());
    while tenants.iter().any(|tenant| tenant.status()["main"].waiting > 0) {
        std::thread::yield_now();
    }
    assert!(took(6).is_ok(), "what has ended makes room");
}

/// M4: payloads that wait are the tenant's memory.
fn i5_what_waits_counts_as_memory() {
    let limits = Limits { memory_bytes: 8 << 20, payload_bytes: 1 << 20, mailbox_events: 20_000, ..limits() };
    on_both(&limits, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "i5:1", "return { size = function(text) return #text end }");
        tenant.pause();
        let payload = "x".repeat(100_000);
        let took = (0..10_000).filter(|_| tenant.post("size", &payload).unwrap()[0].result.is_ok()).count();
        assert!((60..=84).contains(&took), "{took} payloads of 100 kB within 8 MiB");
        let refused = tenant.post("size", &payload).unwrap().remove(0).result.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::QueueFull);
        assert!(refused.message().contains("over the limit memory_bytes of 8388608"), "{refused}");
        tenant.resume();
        while tenant.status()["main"].waiting > 0 {
            std::thread::yield_now();
        }
        let answers = run(tenant.dispatch::<usize>("size", &payload)).unwrap();
        assert_eq!(answers[0].result.as_ref().unwrap().value, 100_000);
    });
}

fn a_dropped_caller_takes_its_event_back() {
    let ran = Arc::new(AtomicUsize::new(0));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (count, seen) = (ran.clone(), lines.clone());
    let motu = builder(limits())
        .on_log(move |line| {
            count.fetch_add(1, Ordering::Relaxed);
            seen.lock().unwrap().push(line.text.clone());
        })
        .build()
        .unwrap();
    let tenant = deployed(&motu, "d1:1", "return { say = function(text) print(text) end }");
    run(tenant.dispatch::<()>("say", "first")).unwrap();
    tenant.pause();
    {
        let mut dropped = Box::pin(tenant.dispatch::<()>("say", "dropped"));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(dropped.as_mut().poll(&mut context).is_pending());
    }
    let mut kept = Box::pin(tenant.dispatch::<()>("say", "kept"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(kept.as_mut().poll(&mut context).is_pending());
    tenant.resume();
    run(kept).unwrap();
    assert_eq!(*lines.lock().unwrap(), ["first", "kept"]);
    assert_eq!(ran.load(Ordering::Relaxed), 2);
}
