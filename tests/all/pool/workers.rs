//! A worker dies: what it held ends with an error, what it didn't goes on, and another takes its place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use motu::{ErrorKind, Limits, Stage};

use super::{deployed, on_both};
use crate::support::{bundle, limits, run};

trials![
    l5_a_worker_that_dies_answers_for_what_it_held,
    l5_a_worker_that_dies_in_start_loses_nobody,
    l5_a_fault_at_each_start_ends_in_quarantine,
    l5_a_load_is_answered_too
];

const STAGES: [Stage; 6] = [Stage::Queued, Stage::Starting, Stage::Started, Stage::Slice, Stage::Left, Stage::Answered];

/// At each stage of an event, the worker dies, once or five times. Every event is answered, once; none runs twice; only
/// those that were started are lost.
fn l5_a_worker_that_dies_answers_for_what_it_held() {
    if !cfg!(debug_assertions) {
        return; // the failpoints are in debug builds
    }
    for stage in STAGES {
        for deaths in [1, 5] {
            on_both(&limits(), |builder| {
                let left = Arc::new(AtomicUsize::new(0));
                let (at, ran) = (left.clone(), Arc::new(Mutex::new(HashMap::<String, u32>::new())));
                let seen = ran.clone();
                let motu = builder
                    .failpoint(move |now| {
                        let dies = now == stage
                            && at.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
                        assert!(!dies, "a test has this worker die");
                    })
                    .on_log(move |line| *seen.lock().unwrap().entry(line.text.clone()).or_default() += 1)
                    .build()
                    .unwrap();
                let source = "return { go = function(n) print(n) for i = 1, 200000 do end return n end }";
                let tenants: Vec<_> = (0..3).map(|n| deployed(&motu, &format!("l5:{n}"), source)).collect();
                left.store(deaths, Ordering::Release);
                let answers = run(async {
                    let calls: Vec<_> = (0..60)
                        .map(|n: u32| {
                            let tenant = tenants[n as usize % 3].clone();
                            async move { (n, tenant.dispatch::<u32>("go", &n).await.unwrap().remove(0).result) }
                        })
                        .collect();
                    let mut set = tokio::task::JoinSet::new();
                    calls.into_iter().for_each(|call| drop(set.spawn(call)));
                    set.join_all().await
                });
                assert_eq!(answers.len(), 60);
                let mut lost = 0;
                for (n, answer) in answers {
                    let times = ran.lock().unwrap().get(&n.to_string()).copied().unwrap_or_default();
                    match answer {
                        Ok(outcome) => assert_eq!((outcome.value, times), (n, 1), "{stage:?}"),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::InstanceLost, "{stage:?}: {error}");
                            assert!(error.message().contains("a worker died: a test has this worker die"), "{error}");
                            assert!(times <= 1, "{stage:?}: {n} ran {times} times");
                            lost += 1;
                        }
                    }
                }
                assert_eq!(left.load(Ordering::Acquire), 0, "{stage:?}: all deaths came");
                match stage {
                    Stage::Starting | Stage::Answered => assert_eq!(lost, 0, "{stage:?}: none was under way"),
                    // another event may be under way in the same instance
                    Stage::Queued => assert!(lost <= deaths, "{stage:?}: {lost}"),
                    _ => assert_eq!(lost, deaths, "{stage:?}: one for each death"),
                }
            });
        }
    }
}

/// The handler `start` is nobody's event: when a worker dies with it, what waits goes to a fresh instance, and `start` runs
/// there again.
fn l5_a_worker_that_dies_in_start_loses_nobody() {
    if !cfg!(debug_assertions) {
        return;
    }
    for stage in [Stage::Starting, Stage::Slice, Stage::Left] {
        on_both(&limits(), |builder| {
            let left = Arc::new(AtomicUsize::new(0));
            let at = left.clone();
            let motu = builder
                .failpoint(move |now| {
                    let dies = now == stage
                        && at.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
                    assert!(!dies, "a test has this worker die");
                })
                .build()
                .unwrap();
            let source = "local ready = false\n\
                          return { start = function() for i = 1, 200000 do end ready = true end,\n\
                          go = function(n) assert(ready) return n end }";
            let tenant = deployed(&motu, "l5:1", source);
            left.store(3, Ordering::Release);
            let answers = run(async {
                let mut set = tokio::task::JoinSet::new();
                for n in 0..10_u32 {
                    let tenant = tenant.clone();
                    set.spawn(async move { (n, tenant.dispatch::<u32>("go", &n).await.unwrap().remove(0).result) });
                }
                set.join_all().await
            });
            assert_eq!(left.load(Ordering::Acquire), 0, "{stage:?}: all deaths came");
            for (n, answer) in answers {
                assert_eq!(answer.unwrap().value, n, "{stage:?}");
            }
            let fresh = if stage == Stage::Starting { 1 } else { 4 };
            assert_eq!(tenant.status()["main"].starts, fresh, "{stage:?}");
        });
    }
}

fn l5_a_fault_at_each_start_ends_in_quarantine() {
    if !cfg!(debug_assertions) {
        return;
    }
    on_both(&Limits { restarts: Some(10), ..limits() }, |builder| {
        let motu = builder.failpoint(|now| assert!(now != Stage::Starting, "never starts")).build().unwrap();
        let tenant = deployed(&motu, "l5:1", "return { go = function() end }");
        let error = run(tenant.dispatch::<()>("go", &())).unwrap().remove(0).result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Quarantined);
        assert!(error.message().contains("a worker died: never starts"), "{error}");
    });
}

/// A sink that panics is no death of a worker, but an error of the load.
fn l5_a_load_is_answered_too() {
    on_both(&limits(), |builder| {
        let motu = builder.on_log(|_| panic!("the sink's own fault")).build().unwrap();
        let tenant = motu.tenant(&"l5:1".parse().unwrap());
        let error = run(tenant.deploy("main", &bundle(&[("init.luau", "print(1) return {}")]))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host);
        run(tenant.deploy("main", &bundle(&[("init.luau", "return {}")]))).unwrap();
    });
}
