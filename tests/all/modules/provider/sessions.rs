//! Resources of a provider: handles in scripts, and what is behind them in the provider's store.

use motu::{ErrorKind, Limits, ProviderLimits, Value};

use super::build::kinds_with;
use super::{ask, caller, fails, go, motu_with, text};
use crate::support::{builder, limits};

trials![
    p7_resources_cross_both_ways,
    p7_a_resource_ends_with_its_handle,
    p7_resources_end_with_their_store,
    p7_handles_of_resources_are_bounded,
    p7_a_resource_is_used_by_one_call_at_a_time,
];

fn p7_resources_cross_both_ways() {
    let motu = motu_with(ProviderLimits::default());
    let body = "
        local one, other = kinds.counter.new(1), kinds.counter.new(10)
        assert(one:add(1) == 2 and one:add(2) == 4 and other:add(0) == 10)
        assert(kinds.sum(one, other) == 14 and kinds.sum(one, one) == 8)
        assert(kinds.counter.live() == 2)
        assert(kinds['end'] == nil and kinds.end_(other) == 10, 'taken over')
        assert(kinds.counter.live() == 1)
        local some = kinds.some(5)
        assert(some[2].of == nil and some[1].of:add(0) == 0 and some[3].of:add(0) == 2 and some[5].of:add(1) == 5)
        assert(kinds.counter.live() == 4)
        kinds.end_both(kinds.counter.new(1), kinds.counter.new(2))
        local twice = kinds.counter.new(1)
        local ok, why = pcall(kinds.end_both, twice, twice)
        assert(not ok and string.find(why, \"can't be used: it was given away\", 1, true), why)
        assert(kinds.counter.live() == 4, 'closed')
        return 'all'";
    assert_eq!(go(&motu, "sessions:all", body), Value::from("all"));
    for (body, wanted) in [
        (
            "local one = kinds.counter.new(1) kinds.end_(one) one:add(1)",
            "kinds.counter:add: self: expected a handle of counter, got one that is closed",
        ),
        ("local one = kinds.counter.new(1) kinds.end_(one) kinds.sum(one, one)", "kinds.sum: argument 1 (a): "),
        ("kinds.sum(1, 2)", "kinds.sum: argument 1 (a): "),
        ("kinds.end_({})", "argument 1 (given): expected a handle of counter"),
    ] {
        let (kind, text) = fails(&motu, "sessions:wrong", body);
        assert_eq!(kind, ErrorKind::Script, "{body}: {text}");
        assert!(text.contains(wanted), "{body}: {text}");
    }
}

fn p7_a_resource_ends_with_its_handle() {
    let motu = motu_with(ProviderLimits::default());
    let body = "
        local kept = kinds.counter.new(7)
        for _ = 1, 500 do kinds.counter.new(1) end
        for _ = 1, 20 do collectgarbage('count') local many = table.create(100000, 1) end
        local closed = kinds.counter.new(1)
        closed:close()
        local before = kinds.counter.live()
        kinds.end_(kept)
        return { before, kinds.counter.live() }";
    let Value::Array(live) = go(&motu, "sessions:end", body) else { panic!("a list") };
    let [Value::Number(before), Value::Number(after)] = live[..] else { panic!("two numbers") };
    assert!((1.0..501.0).contains(&before), "one was closed, and some have been collected: {before}");
    assert!((after - (before - 1.0)).abs() < 0.5, "{before} {after}");
}

fn p7_resources_end_with_their_store() {
    let provider = kinds_with(ProviderLimits { stores: 1, ..Default::default() });
    let motu = builder(limits()).host_module(provider.module()).build().unwrap();
    let body = "
        local one = kinds.counter.new(1)
        local ok, why = pcall(kinds.trap_with, one)
        assert(not ok and string.find(why, 'it trapped'))
        ok, why = pcall(one.add, one, 1)
        local again = kinds.counter.new(5)
        return { ok, why, again:add(1), kinds.counter.live() }";
    let Value::Array(said) = go(&motu, "sessions:trap", body) else { panic!("a list") };
    assert_eq!((&said[0], &said[2..]), (&Value::from(false), &[Value::from(6), Value::from(1)][..]));
    assert!(
        text(&said[1]).contains("can't be used: it was in a store that has ended: make another one"),
        "{}",
        said[1]
    );

    // stores are short: another tenant has it now
    let keeps = "kept = kept or kinds.counter.new(1) return kept:add(1)";
    let one = super::tenant(&motu, "sessions:1", &format!("local kept\n{}", super::source(keeps)), &["acme:kinds/*"]);
    assert_eq!(ask(&one, "go", Value::Nil).unwrap(), Value::from(2));
    assert_eq!(ask(&one, "go", Value::Nil).unwrap(), Value::from(3));
    assert_eq!(go(&motu, "sessions:2", "return kinds.count()"), Value::from(0));
    let error = ask(&one, "go", Value::Nil).unwrap_err();
    assert!(error.to_string().contains("it was in a store that has ended"), "{error}");
}

fn p7_handles_of_resources_are_bounded() {
    let provider = kinds_with(ProviderLimits::default());
    let limits = Limits { handles: 10, ..limits() };
    let motu = builder(limits).host_module(provider.module()).build().unwrap();
    let body = "
        local nine = kinds.some(18)
        local ok, why = pcall(kinds.some, 4)
        assert(not ok)
        kinds.count()
        return { why, kinds.counter.live(), kinds.counter.new(1):add(1) }";
    let Value::Array(said) = go(&motu, "sessions:many", body) else { panic!("a list") };
    assert!(text(&said[0]).contains("this instance has 10 handles open, the limit handles"), "{}", said[0]);
    assert_eq!(said[1..], [Value::from(9), Value::from(2)], "none of what couldn't be had is left");
}

fn p7_a_resource_is_used_by_one_call_at_a_time() {
    let motu = motu_with(ProviderLimits::default());
    let body = "
        local one = kinds.counter.new(1)
        local later
        task.spawn(function() later = one:add_later(10) end)
        local ok, why = pcall(one.add, one, 1)
        task.wait(0.5)
        return { ok, why, later, one:add(1) }";
    let tenant = caller(&motu, "sessions:busy", body);
    let Value::Array(said) = ask(&tenant, "go", Value::Nil).unwrap() else { panic!("a list") };
    assert_eq!((&said[0], &said[2..]), (&Value::from(false), &[Value::from(11), Value::from(12)][..]));
    assert!(text(&said[1]).contains("can't be used: its store is at work for another call"), "{}", said[1]);
}
