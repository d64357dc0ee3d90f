//! Dispatch to a tenant: to all of its bundles that handle the event, and to nothing else.

use std::time::{Duration, Instant};

use motu::{ErrorKind, Limits, Tenant};

use super::{deployed, on_both};
use crate::support::{builder, bundle, limits, run, small};

trials![
    d2_each_bundle_answers_for_itself,
    d2_hangs_take_the_longest_time_and_not_the_sum,
    d3_an_event_that_nobody_handles_starts_nothing,
    d5_any_kind_of_tenant,
    d5_limits_go_by_kind_and_tenant,
    names_of_bundles_are_checked,
    payloads_are_checked_before_anything_runs,
    s1_tenants_that_rest_cost_nothing,
    r2_the_events_of_a_tenant_sum_to_its_total,
];

/// Ok, an error and a hang: three typed results.
fn d2_each_bundle_answers_for_itself() {
    on_both(&small(), |builder| {
        let motu = builder.build().unwrap();
        let tenant = motu.tenant(&"d2:1".parse().unwrap());
        for (name, body) in [
            ("a-fine", "return 1"),
            ("b-error", "error('no')"),
            ("c-hang", "while true do end"),
            ("d-other", "return 2"),
        ] {
            let event = if name == "d-other" { "other" } else { "go" };
            let source = format!("return {{ {event} = function() {body} end }}");
            run(tenant.deploy(name, &bundle(&[("init.luau", &source)]))).unwrap();
        }
        let answers = run(tenant.dispatch::<u32>("go", &())).unwrap();
        let names: Vec<&str> = answers.iter().map(|answer| answer.bundle.as_str()).collect();
        assert_eq!(names, ["a-fine", "b-error", "c-hang"]);
        assert_eq!(answers[0].result.as_ref().unwrap().value, 1);
        let error = answers[1].result.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.message(), error.event()), (ErrorKind::Script, "init.luau:1: no", Some("go")));
        assert_eq!(answers[2].result.as_ref().unwrap_err().kind(), ErrorKind::Fuel);
        assert!(!tenant.status().contains_key("d-other"), "it handles another event");
    });
}

/// Ten handlers that sleep for ever, beside one that computes and one that fails: all are answered within the time of one.
fn d2_hangs_take_the_longest_time_and_not_the_sum() {
    on_both(&limits(), |builder| {
        let motu = builder.build().unwrap();
        let tenant = motu.tenant(&"d2:1".parse().unwrap());
        let deadline = Duration::from_millis(400);
        for n in 0..12 {
            let body = match n {
                0 => "return 1",
                1 => "error('no')",
                _ => "task.wait(math.huge)",
            };
            let source = format!("return {{ go = function() {body} end }}");
            run(tenant.deploy(&format!("{n:02}"), &bundle(&[("init.luau", &source)]))).unwrap();
        }
        let since = Instant::now();
        let answers = run(tenant.dispatch_within::<u32>("go", &(), Some(deadline))).unwrap();
        let took = since.elapsed();
        let kinds: Vec<_> =
            answers.iter().map(|answer| answer.result.as_ref().map(|_| ()).map_err(|error| error.kind())).collect();
        assert_eq!(kinds[..2], [Ok(()), Err(ErrorKind::Script)]);
        assert_eq!(kinds[2..], [Err(ErrorKind::Deadline); 10]);
        assert!(took >= deadline && took < deadline * 5, "{took:?}, and the sum is {:?}", deadline * 10);
    });
}

fn d3_an_event_that_nobody_handles_starts_nothing() {
    on_both(&limits(), |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "d3:1", "return { go = function() end }");
        assert!(run(tenant.dispatch::<()>("other", &())).unwrap().is_empty());
        assert!(tenant.post("other", &()).unwrap().is_empty());
        assert!(run(motu.tenant(&"d3:2".parse().unwrap()).dispatch::<()>("go", &())).unwrap().is_empty());
        assert!(tenant.status().is_empty());
        assert_eq!(run(tenant.dispatch::<()>("go", &())).unwrap().len(), 1);
        assert_eq!(tenant.status()["main"].starts, 1);
    });
}

fn d5_any_kind_of_tenant() {
    let motu = builder(limits()).build().unwrap();
    let source = "n = 0\nreturn { go = function() n += 1 return n end }";
    for name in ["guild:1", "user:1", "x:1", "a-b_9:some text"] {
        let tenant = deployed(&motu, name, source);
        for n in 1..=3 {
            assert_eq!(run(tenant.dispatch::<u32>("go", &())).unwrap()[0].result.as_ref().unwrap().value, n, "{name}");
        }
    }
    let tenants: Vec<String> = motu.tenants().iter().map(Tenant::to_string).collect();
    assert_eq!(tenants, ["a-b_9:some text", "guild:1", "user:1", "x:1"]);
    assert!(motu.forget(&"x:1".parse().unwrap()));
    assert!(!motu.forget(&"x:1".parse().unwrap()));
    assert_eq!(motu.tenants().len(), 3);
}

fn d5_limits_go_by_kind_and_tenant() {
    let of_guilds = Limits { result_bytes: 100, ..limits() };
    let motu = builder(limits()).kind_limits("guild", of_guilds).build().unwrap();
    let source = "return { text = function(n) return string.rep('x', n) end }";
    let ends = |tenant: &motu::TenantRef, n: u32| {
        run(tenant.dispatch::<String>("text", &n)).unwrap().remove(0).result.map(drop).map_err(|error| error.kind())
    };
    let (guild, user) = (deployed(&motu, "guild:1", source), deployed(&motu, "user:1", source));
    assert_eq!(ends(&guild, 50), Ok(()));
    assert_eq!(ends(&guild, 200), Err(ErrorKind::Limit));
    assert_eq!(ends(&user, 200), Ok(()));
    guild.set_limits(Some(Limits { result_bytes: 300, ..limits() })).unwrap();
    assert_eq!(ends(&guild, 200), Ok(()));
    assert_eq!(ends(&guild, 400), Err(ErrorKind::Limit));
    guild.set_limits(None).unwrap();
    assert_eq!(ends(&guild, 200), Err(ErrorKind::Limit));
    let wrong = Limits { weight: 0, ..limits() };
    assert_eq!(guild.set_limits(Some(wrong.clone())).unwrap_err().kind(), ErrorKind::Usage);
    let error = builder(limits()).kind_limits("guild", wrong).build().unwrap_err();
    assert!(error.message().contains("kind \"guild\": the limit weight is 0"), "{error}");
}

fn names_of_bundles_are_checked() {
    let motu = builder(limits()).build().unwrap();
    let tenant = motu.tenant(&"d2:1".parse().unwrap());
    let bundle = bundle(&[("init.luau", "return {}")]);
    for name in ["", "a\nb", &"x".repeat(256)] {
        let error = run(tenant.deploy(name, &bundle)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{name:?}");
    }
    assert!(tenant.bundles().is_empty());
    run(tenant.deploy(&"x".repeat(255), &bundle)).unwrap();
    assert!(tenant.remove(&"x".repeat(255)));
    assert!(!tenant.remove("other"));
}

fn payloads_are_checked_before_anything_runs() {
    let motu = builder(Limits { payload_bytes: 100, ..limits() }).build().unwrap();
    let tenant = deployed(&motu, "d2:1", "return { go = function() end }");
    let large = "x".repeat(200);
    for error in
        [run(tenant.dispatch::<()>("go", &large)).unwrap_err(), tenant.post("go", &large).map(drop).unwrap_err()]
    {
        assert_eq!((error.kind(), error.event()), (ErrorKind::Limit, Some("go")));
    }
    assert!(tenant.status().is_empty());
}

/// 100,000 tenants are registered, each with a bundle.
fn s1_tenants_that_rest_cost_nothing() {
    let tenants = 100_000;
    let motu = builder(limits()).build().unwrap();
    let source = bundle(&[("init.luau", "return { go = function() return 1 end }")]);
    run(async {
        for n in 0..tenants {
            motu.tenant(&format!("s1:{n}").parse().unwrap()).deploy("main", &source).await.unwrap();
        }
    });
    assert_eq!(motu.tenants().len(), tenants);
    let last = motu.tenant(&format!("s1:{}", tenants - 1).parse().unwrap());
    assert_eq!(run(last.dispatch::<u32>("go", &())).unwrap()[0].result.as_ref().unwrap().value, 1);
}

fn r2_the_events_of_a_tenant_sum_to_its_total() {
    let source = "return { go = function(n) local sum = 0 for i = 1, n do sum += i end return sum end,\n\
                  no = function() error('no') end, spin = function() while true do end end }";
    let totals = std::cell::RefCell::new(Vec::new());
    on_both(&Limits { event_fuel: Some(3_500_000), ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let tenant = deployed(&motu, "r2:1", source);
        let loading = tenant.fuel();
        let mut sum = 0;
        for n in [1, 1000, 100_000] {
            for event in ["go", "no", "spin"] {
                let answers = run(tenant.dispatch::<u64>(event, &n)).unwrap();
                sum += match &answers[0].result {
                    Ok(outcome) => outcome.usage.fuel,
                    Err(error) => error.usage().fuel,
                };
            }
        }
        assert_eq!(tenant.fuel() - loading, sum);
        assert_eq!(tenant.status()["main"].fuel, sum);
        totals.borrow_mut().push((loading, sum));
    });
    let totals = totals.into_inner();
    assert!(totals.iter().all(|total| *total == totals[0]), "the same wherever it runs: {totals:?}");
}
