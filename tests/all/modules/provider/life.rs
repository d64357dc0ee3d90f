//! What a provider keeps, for whom, and until when.

use motu::{Provider, ProviderLimits, ProviderUsage, Value};

use super::build::{component, kinds_with};
use super::{ask, caller};
use crate::child::{Body, in_child};
use crate::support::{builder, cache, limits};

trials![p7_state_is_an_instances_own, p7_stores_go_with_their_instance, p7_ten_thousand_loads_leave_nothing,];

pub(crate) const CHILDREN: &[Body] = &[("p7_loads", loads)];

fn p7_state_is_an_instances_own() {
    let motu = super::motu_with(ProviderLimits::default());
    let one = caller(&motu, "life:1", "return kinds.count()");
    let two = caller(&motu, "life:2", "return kinds.count()");
    for n in 0..5 {
        assert_eq!(ask(&one, "go", Value::Nil).unwrap(), Value::Number(n.into()));
    }
    assert_eq!(ask(&two, "go", Value::Nil).unwrap(), Value::Number(0.0), "another tenant");
    let other = crate::support::bundle(&[("init.luau", &super::source("return kinds.count()"))]);
    crate::support::run(one.deploy("other", &other)).unwrap();
    let answers = crate::support::run(one.dispatch_value("go", &Value::Nil)).unwrap();
    let mut said: Vec<String> = answers.into_iter().map(|one| one.result.unwrap().value.to_string()).collect();
    said.sort();
    assert_eq!(said, ["0", "5"], "another instance of the same tenant");
}

fn p7_stores_go_with_their_instance() {
    let provider = kinds_with(ProviderLimits::default());
    let motu = builder(limits()).host_module(provider.module()).build().unwrap();
    let tenants: Vec<_> = (0..20).map(|n| caller(&motu, &format!("life:{n}"), "return kinds.count()")).collect();
    tenants.iter().for_each(|tenant| assert!(ask(tenant, "go", Value::Nil).is_ok()));
    let usage = provider.usage();
    assert_eq!(usage.stores, 20);
    assert!(usage.memory_bytes >= 20 * 65536, "{usage:?}");
    tenants.iter().take(15).for_each(|tenant| assert!(tenant.remove("main")));
    settle(&provider, 5);
    drop(tenants);
    drop(motu);
    settle(&provider, 0);
    assert_eq!(provider.usage(), ProviderUsage::default());
}

/// Instances end on the workers, a moment after they are let go.
fn settle(provider: &Provider, stores: u32) {
    for _ in 0..2000 {
        if provider.usage().stores == stores {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{stores} stores should be left: {:?}", provider.usage());
}

fn p7_ten_thousand_loads_leave_nothing() {
    in_child("p7_loads");
}

/// A load is the component out of the compile cache, a store for a fresh instance, a call. An unload is the end of all three.
fn loads() {
    const LOADS: u32 = 10_000;
    let wit = "package test:loads; interface f { f: func(a: list<u8>) -> u32; } world it { export f; }";
    let core = r#"(module (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "test:loads/f#f") (param i32 i32) (result i32)
            (memory.fill (i32.const 2048) (i32.const 1) (i32.const 100000))
            (local.get 1)))"#;
    let bytes = component(wit, core);

    // stores: one for each fresh instance
    let provider = Provider::from_component(&bytes, ProviderLimits::default(), &cache()).unwrap();
    let motu = builder(limits()).host_module(provider.module()).build().unwrap();
    let source = "local f = require('@test/loads') return { go = function() return f.f('abc') end }";
    let tenant = motu.tenant(&"loads:1".parse().unwrap());
    tenant.set_grants(Some(motu::Grants::parse(["*"]).unwrap()));
    let bundle = crate::support::bundle(&[("init.luau", source)]);
    let round = || {
        crate::support::run(tenant.deploy("main", &bundle)).unwrap();
        assert_eq!(ask(&tenant, "go", Value::Nil).unwrap(), Value::Number(3.0));
        assert!(tenant.remove("main"));
    };
    let load = || {
        let provider = Provider::from_component(&bytes, ProviderLimits::default(), &cache()).unwrap();
        drop(provider.module());
    };
    (0..LOADS / 10).for_each(|_| round());
    settle(&provider, 0);
    leaves_nothing("stores", || {
        (0..LOADS).for_each(|_| round());
        settle(&provider, 0);
    });
    assert_eq!(provider.usage(), ProviderUsage::default(), "no byte is charged");

    (0..LOADS / 10).for_each(|_| load());
    leaves_nothing("components", || (0..LOADS).for_each(|_| load()));
}

/// Does it up to three times: what is left each time shows each time. What the allocator takes for another thread comes once.
fn leaves_nothing(what: &str, work: impl Fn()) {
    let is_left = (0..3).all(|_| {
        let (began, before) = (std::time::Instant::now(), Resident::now());
        work();
        let after = Resident::now();
        println!("10,000 {what} in {:?}: {before:?} before, {after:?} after", began.elapsed());
        !after.is_where_it_was(&before)
    });
    assert!(!is_left, "each 10,000 {what} leave something");
}

/// What the process has of the machine's memory.
#[derive(Debug)]
struct Resident {
    /// All of it.
    all: u64,
    /// Without the pages of files: those come and go, 2 MiB at once, as the kernel has room to keep the program's own.
    own: u64,
    /// Mappings, of files too.
    mappings: usize,
}

impl Resident {
    fn now() -> Resident {
        let [all, anonymous, shared] = ["VmRSS:", "RssAnon:", "RssShmem:"].map(crate::child::status);
        let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        Resident { all, own: anonymous + shared, mappings }
    }

    fn is_where_it_was(&self, before: &Resident) -> bool {
        let is_near = self.own < before.own + (1 << 20) && self.all < before.all + (16 << 20);
        is_near && self.mappings < before.mappings + 50
    }
}
