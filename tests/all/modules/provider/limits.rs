//! Each limit of a provider, and what becomes of a caller whose provider fails.

use std::time::Duration;

use motu::{ErrorKind, Limits, ProviderLimits, Value};

use super::build::kinds_with;
use super::{ask, caller, fails, go, motu_with, text};
use crate::support::{builder, limits, run};

trials![
    p7_a_trap_is_an_error_of_the_call,
    p7_each_limit_is_an_error_that_names_it,
    p7_memory_is_the_callers_too,
    p7_what_a_provider_burns_is_the_events,
    p7_a_provider_that_computes_stalls_nobody,
    p7_after_a_wait_tenants_have_turns,
    p7_hosts_functions_cost_fuel,
    p7_stores_are_bounded,
    p7_limits_that_can_not_be_are_refused,
];

fn p7_a_trap_is_an_error_of_the_call() {
    let motu = motu_with(ProviderLimits::default());
    let body = "
        assert(kinds.count() == 0 and kinds.count() == 1, 'kept')
        local ok, why = pcall(kinds.trap)
        assert(not ok)
        assert(kinds.count() == 0, 'a fresh store')
        return tostring(why)";
    let why = text(&go(&motu, "limits:trap", body));
    assert!(
        why.contains("kinds.trap: the provider acme:kinds@1.2.0: it trapped: wasm trap: wasm `unreachable`"),
        "{why}"
    );
    let (kind, text) = fails(&motu, "limits:trap", "kinds.trap()");
    assert_eq!(kind, ErrorKind::Host, "{text}");
    let (kind, text) = fails(&motu, "limits:trap", "kinds.leave(3)");
    assert_eq!(kind, ErrorKind::Host, "{text}");
    assert!(text.contains("it exited, with status"), "{text}");
}

fn p7_each_limit_is_an_error_that_names_it() {
    let small = ProviderLimits {
        fuel: Some(20_000_000),
        memory_bytes: 1 << 20,
        argument_bytes: 2000,
        result_bytes: 1000,
        values: 1500,
        ..ProviderLimits::default()
    };
    let motu = motu_with(small);
    for (body, wanted) in [
        ("kinds.spin()", "kinds.spin: the provider acme:kinds@1.2.0: over the limit fuel of 20000000 for a call"),
        ("kinds.hoard(2000)", "kinds.hoard: the provider acme:kinds@1.2.0: over the limit memory_bytes of 1048576: "),
        ("kinds.recurse(1000000)", "kinds.recurse: the provider acme:kinds@1.2.0: "),
        ("kinds.bytes(string.rep('x', 3000))", "bytes, over the limit argument_bytes of 2000"),
        ("kinds.bytes(string.rep('x', 1200))", "bytes, over the limit result_bytes of 1000"),
        ("kinds.flood(1001)", "bytes, over the limit result_bytes of 1000"),
        ("kinds.flood(1501)", "over the limit values of 1500: its result is 1502; each byte of a list<u8> is one"),
        ("kinds.flood(500000)", "too much at once; the limits are result_bytes of 1000 and values of 1500"),
        (
            "kinds.bytes(string.rep('x', 1501))",
            "over the limit values of 1500: the arguments are more values than that",
        ),
        ("kinds.texts('a', string.rep('x', 1200))", "bytes, over the limit result_bytes of 1000"),
    ] {
        let (kind, text) = fails(&motu, "limits:each", body);
        assert!(text.contains(wanted), "{body}: {text}");
        assert!(matches!(kind, ErrorKind::Limit | ErrorKind::Host), "{body}: {kind}");
        let body = format!("pcall(function() {body} end) return kinds.count()");
        assert_eq!(go(&motu, "limits:each", &body), Value::Number(0.0), "{body}");
    }
    let motu =
        motu_with(ProviderLimits { fuel: None, deadline: Some(Duration::from_millis(50)), ..Default::default() });
    for body in ["kinds.spin()", "kinds.sleep_ms(3600000)"] {
        let (kind, text) = fails(&motu, "limits:late", body);
        assert_eq!(kind, ErrorKind::Limit, "{text}");
        assert!(text.contains("the provider acme:kinds@1.2.0: over the limit deadline of 50ms for a call"), "{text}");
    }
}

fn p7_memory_is_the_callers_too() {
    let provider = kinds_with(ProviderLimits { memory_bytes: 64 << 20, ..Default::default() });
    let limits = Limits { memory_bytes: 8 << 20, ..limits() };
    let motu = builder(limits).host_module(provider.module()).build().unwrap();
    let body = "
        local ok, why = pcall(kinds.hoard, 16 * 1024)
        assert(not ok)
        assert(kinds.hoard(1024) == 1024)
        return tostring(why)";
    let why = text(&go(&motu, "limits:memory", body));
    assert!(why.contains("over the limit memory_bytes of 8388608 of the instance that calls"), "{why}");
    let usage = provider.usage();
    assert_eq!(usage.stores, 1);
    assert!(usage.memory_bytes > 1 << 20, "{usage:?}");

    // what the provider has, the script can't have
    let took = "local kept = {} for i = 1, 5 do kept[i] = buffer.create(1048576) end return #kept";
    assert_eq!(go(&motu, "limits:alone", took), Value::Number(5.0));
    let both = format!("assert(kinds.hoard(2000) == 2000) {took}");
    let error = ask(&caller(&motu, "limits:both", &both), "go", Value::Nil).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
    drop(motu);
    assert_eq!(provider.usage(), Default::default(), "nothing is left");
}

fn p7_what_a_provider_burns_is_the_events() {
    let motu = motu_with(ProviderLimits::default());
    let tenant = caller(&motu, "limits:fuel", "return kinds.work(given)");
    let fuel = |rounds: f64| {
        let mut answers = run(tenant.dispatch_value("go", &Value::Number(rounds))).unwrap();
        answers.remove(0).result.unwrap().usage.fuel
    };
    fuel(1.0); // makes the store
    let (few, many, again) = (fuel(1000.0), fuel(1_001_000.0), fuel(1_001_000.0));
    assert!(many.abs_diff(again) < 100_000, "the same work costs the same, but for Luau's collector: {many}, {again}");
    assert!(many - few > 3_000_000, "each round is some instructions: {few}, {many}");

    // an event's own fuel ends a call, out of the script's reach
    let limits = Limits { event_fuel: Some(50_000_000), ..limits() };
    let motu = builder(limits).host_module(kinds_with(ProviderLimits { fuel: None, ..Default::default() }).module());
    let motu = motu.build().unwrap();
    for body in ["pcall(kinds.spin) return 'caught'", "pcall(kinds.wait_and_spin) return 'caught'"] {
        let (kind, text) = fails(&motu, "limits:event", body);
        assert_eq!(kind, ErrorKind::Fuel, "{text}");
    }
    let limits =
        Limits { event_deadline: Some(Duration::from_millis(100)), event_fuel: None, ..crate::support::limits() };
    let provider = kinds_with(ProviderLimits { fuel: None, deadline: None, ..Default::default() });
    let motu = builder(limits).host_module(provider.module()).build().unwrap();
    let (kind, text) = fails(&motu, "limits:event", "pcall(kinds.spin) return 'caught'");
    assert_eq!(kind, ErrorKind::Deadline, "{text}");
    drop(motu);
    assert_eq!(provider.usage(), Default::default(), "what was stopped half-way is gone");
}

/// One worker, and a neighbour that is answered while the provider has not come to an end.
fn p7_a_provider_that_computes_stalls_nobody() {
    let limits = Limits { event_fuel: None, event_deadline: Some(Duration::from_secs(100)), ..limits() };
    let provider = kinds_with(ProviderLimits { fuel: None, deadline: None, ..Default::default() });
    let motu = builder(limits).placement(crate::pool::workers(1)).host_module(provider.module()).build().unwrap();
    let neighbour = caller(&motu, "limits:quick", "return 1");
    assert_eq!(ask(&neighbour, "quick", Value::Nil).unwrap(), Value::Number(1.0));
    for body in
        ["kinds.spin()", "while true do kinds.churn(1000000, 1000) end", "while true do kinds.print(60000, 100000) end"]
    {
        let busy = caller(&motu, "limits:busy", body);
        run(async {
            let spins = busy.dispatch_value("go", &Value::Nil);
            let quick = async {
                for _ in 0..100 {
                    let answered = neighbour.dispatch_value("quick", &Value::Nil).await.unwrap().remove(0);
                    assert_eq!(answered.result.unwrap().value, Value::Number(1.0));
                }
            };
            tokio::select! {
                biased;
                _ = spins => panic!("{body} came to an end"),
                () = quick => (),
            }
        });
        busy.kill();
        busy.remove("main");
    }
}

/// What computes after it had to wait takes turns too.
fn p7_after_a_wait_tenants_have_turns() {
    let limits = Limits { event_fuel: None, event_deadline: Some(Duration::from_secs(100)), ..limits() };
    let provider = kinds_with(ProviderLimits { fuel: None, deadline: None, ..Default::default() });
    let motu = builder(limits).placement(crate::pool::workers(1)).host_module(provider.module()).build().unwrap();
    let neighbour = caller(&motu, "waits:quick", "kinds.sleep_ms(1) return kinds.work(1000000) > 0");
    let busy = caller(&motu, "waits:busy", "for _ = 1, 8 do task.spawn(kinds.wait_and_spin) end task.wait(100)");
    run(async {
        let spins = busy.dispatch_value("go", &Value::Nil);
        let quick = async {
            for _ in 0..20 {
                let answered = neighbour.dispatch_value("go", &Value::Nil).await.unwrap().remove(0);
                assert_eq!(answered.result.unwrap().value, Value::Boolean(true));
            }
        };
        tokio::select! {
            biased;
            _ = spins => panic!("it came to an end"),
            () = quick => (),
        }
    });
    assert!(provider.usage().stores >= 8, "they do spin: {:?}", provider.usage());
    busy.kill();
    busy.remove("main");
    drop((neighbour, motu));
}

fn p7_hosts_functions_cost_fuel() {
    let motu = motu_with(ProviderLimits { fuel: Some(30_000_000), ..Default::default() });
    let (kind, text) = fails(&motu, "limits:wasi", "kinds.print(1, 1000000)");
    assert_eq!(kind, ErrorKind::Limit, "{text}");
    assert!(text.contains("over the limit fuel"), "{text}");
}

fn p7_stores_are_bounded() {
    let provider = kinds_with(ProviderLimits { stores: 2, stores_per_tenant: 1, ..Default::default() });
    let motu = builder(limits()).host_module(provider.module()).build().unwrap();
    let tenants: Vec<_> = (0..5).map(|n| caller(&motu, &format!("stores:{n}"), "return kinds.count()")).collect();
    for tenant in tenants.iter().chain(&tenants) {
        // by the time it calls again, its store has gone to others
        assert_eq!(ask(tenant, "go", Value::Nil).unwrap(), Value::Number(0.0));
        assert!(provider.usage().stores <= 2, "{:?}", provider.usage());
    }
    assert_eq!(ask(&tenants[4], "go", Value::Nil).unwrap(), Value::Number(1.0), "the last still has its own");

    // two at work at the same time, of one tenant
    let waits = "
        local one = task.spawn(function() kinds.sleep_ms(3600000) end)
        local ok, why = pcall(kinds.count)
        task.cancel(one)
        return { ok, tostring(why) }";
    let Value::Array(said) = go(&motu, "stores:two", waits) else { panic!("a list") };
    assert_eq!(said[0], Value::Boolean(false));
    let text = text(&said[1]);
    assert!(text.contains("over its limit stores_per_tenant of 1: all of them are at work"), "{text}");
}

fn p7_limits_that_can_not_be_are_refused() {
    for (limits, name) in [
        (ProviderLimits { memory_bytes: 1 << 40, ..Default::default() }, "memory_bytes"),
        (ProviderLimits { argument_bytes: u32::MAX, ..Default::default() }, "argument_bytes"),
        (ProviderLimits { result_bytes: u32::MAX, ..Default::default() }, "result_bytes"),
        (ProviderLimits { values: u32::MAX, ..Default::default() }, "values"),
        (ProviderLimits { stores: 0, ..Default::default() }, "stores"),
        (ProviderLimits { stores_per_tenant: 0, ..Default::default() }, "stores_per_tenant"),
    ] {
        let error =
            motu::Provider::from_component(super::build::kinds_bytes(), limits, &crate::support::cache()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(&format!("the limit {name} of a provider")), "{error}");
    }
}
