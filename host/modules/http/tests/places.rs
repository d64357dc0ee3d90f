//! Lookups are shared by turns: a tenant whose names nobody answers for keeps no other waiting.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use super::super::UnderWay;
use super::super::client::{Client, HttpSettings};
use super::super::resolve::{LOOKUPS_EACH, Lookup, Resolver, Resolving};
use super::super::types::FailureKind::{Resolve, Timeout};
use super::super::types::Request;
use super::support::{LIMITS, by, fails};
use crate::error::ErrorKind;
use crate::tenant::Tenant;
use crate::turns::Places;

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

#[tokio::test]
async fn whoever_goes_while_it_waits_is_passed_over() {
    let places = Places::new(1, 1);
    let first = places.enter(&tenant("a:1")).await;
    let mut waiting = Vec::new();
    for n in 0..10_000 {
        let (places, who) = (places.clone(), tenant(&format!("b:{n}")));
        let mut asks = Box::pin(async move { places.enter(&who).await });
        assert!(poll_fn(|context| Poll::Ready(asks.as_mut().poll(context).is_pending())).await);
        waiting.push(asks);
    }
    let last = waiting.pop().unwrap();
    drop(waiting);
    drop(first);
    let last = last.await; // all others had gone
    assert!(!places.is_empty());
    drop(last);
    assert!(places.is_empty());
}

/// Never answers for some names, and at once for others: that it knows none.
struct Hangs;

impl Resolver for Hangs {
    fn resolve(&self, lookup: Lookup) -> Resolving<'_> {
        Box::pin(async move {
            if lookup.host().ends_with(".hangs") {
                std::future::pending::<()>().await;
            }
            Err(std::io::Error::other("no such name"))
        })
    }
}

#[tokio::test]
async fn lookups_that_hang_are_their_tenants_own() {
    let settings = HttpSettings { resolver: Arc::new(Hangs), ..HttpSettings::default() };
    let client = Arc::new(Client::new(settings).unwrap());
    let mut hanging = tokio::task::JoinSet::new();
    for n in 0..LOOKUPS_EACH {
        let client = client.clone();
        let url = format!("http://{n}.hangs/");
        hanging.spawn(async move {
            client.fetch(&by(tenant("bad:1")), &url, Request::default(), &LIMITS, &|_| true).await.map(drop)
        });
    }
    tokio::task::yield_now().await;
    let soon = || Request { timeout: Some(0.1), ..Request::default() };
    let own = client.fetch(&by(tenant("bad:1")), "http://known/", soon(), &LIMITS, &|_| true).await;
    fails(own, Timeout, "a turn to look up the host was waited for");
    let other = client.fetch(&by(tenant("good:1")), "http://known/", Request::default(), &LIMITS, &|_| true).await;
    fails(other, Resolve, "no such name");
    hanging.shutdown().await;
    let own = client.fetch(&by(tenant("bad:1")), "http://known/", Request::default(), &LIMITS, &|_| true).await;
    fails(own, Resolve, "no such name");
}

/// Tenants want all that they may have, one after the other or in turns: there is room for one that comes, until there are many.
#[test]
fn a_tenant_has_a_part_of_the_requests_that_are_left_for_others() {
    let under_way = UnderWay { most: 256, all: Mutex::default() };
    let wants = |n: u32| under_way.enter(&tenant(&format!("a:{n}")), 100);
    for tenants in [1, 20, 60] {
        for in_turns in [false, true] {
            let kept: Vec<_> = match in_turns {
                false => (0..tenants).flat_map(|n| (0..16).filter_map(move |_| wants(n).ok())).collect(),
                true => (0..16).flat_map(|_| (0..tenants).filter_map(|n| wants(n).ok())).collect(),
            };
            let late = under_way.enter(&tenant("b:1"), 16).unwrap();
            let has = |n: u32| kept.iter().filter(|place| place.tenant == tenant(&format!("a:{n}"))).count();
            assert!((0..tenants).all(|n| (1..=15).contains(&has(n))), "{tenants}: {}", has(tenants - 1));
            let error = wants(0).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Limit);
            assert!(error.message().contains("room for") && error.message().contains("of all tenants"), "{error}");
            let error = under_way.enter(&tenant("b:1"), 1).err().unwrap();
            assert!(error.message().contains("http_in_flight"), "{error}");
            drop((late, kept));
        }
    }
    let taken: Vec<_> = (0..69).flat_map(|n| (0..16).filter_map(move |_| wants(n).ok())).collect();
    assert_eq!((taken.len(), wants(69).is_err()), (256, true));
    drop(taken);
    // each has one at least, until none is left
    let all: Vec<_> = (0..256).map(|n| wants(n).unwrap()).collect();
    let error = wants(256).err().unwrap();
    assert!(error.message().contains("room for 0 more of all tenants"), "{error}");
    drop(all);
    let all = under_way.lock();
    assert_eq!((all.count, all.by_tenant.len()), (0, 0));
}
