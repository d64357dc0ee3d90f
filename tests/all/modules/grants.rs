//! What may be called: nothing without a grant, and nothing more than the grants of now say.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use motu::{Error, ErrorKind, Grants, HostModule, Limits, Motu, TenantRef, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{ask, tenant};
use crate::support::{builder, bundle, cache, limits, run};

trials![
    p1_without_grants_every_function_is_refused,
    p1_a_refusal_that_nobody_catches_is_denied,
    p2_limits_are_never_above_the_parents,
    p4_two_versions_side_by_side,
    p5_what_is_taken_away_is_denied_at_the_next_call,
    k2_grants_are_narrowed_by_scope,
    c04_a_refusal_says_which_argument_did_not_fit,
    c04_grants_that_allow_nothing_are_found,
    grants_go_by_kind,
];

/// Every function that a script can reach, as Motu comes.
const ALL: &str = "\
motu:blob@1/blobs.append
motu:blob@1/blobs.delete
motu:blob@1/blobs.get
motu:blob@1/blobs.link
motu:blob@1/blobs.list
motu:blob@1/blobs.put
motu:blob@1/blobs.rename
motu:blob@1/blobs.stat
motu:blob@1/blobs.usage
motu:codec@1/codec.compress
motu:codec@1/codec.crc32
motu:codec@1/codec.decode-base64
motu:codec@1/codec.decode-hex
motu:codec@1/codec.decode-url
motu:codec@1/codec.decompress
motu:codec@1/codec.encode-base64
motu:codec@1/codec.encode-hex
motu:codec@1/codec.encode-url
motu:codec@1/codec.equal
motu:codec@1/codec.hash
motu:codec@1/codec.hmac
motu:cron@1/schedules.delete
motu:cron@1/schedules.get
motu:cron@1/schedules.list
motu:cron@1/schedules.next
motu:cron@1/schedules.set
motu:http@1/client.fetch
motu:json@1/json.decode
motu:json@1/json.encode
motu:kv@1/store.apply
motu:kv@1/store.compare-and-set
motu:kv@1/store.delete
motu:kv@1/store.get
motu:kv@1/store.increment
motu:kv@1/store.list
motu:kv@1/store.lookup
motu:kv@1/store.set
motu:kv@1/store.usage
motu:log@1/log.debug
motu:log@1/log.error
motu:log@1/log.info
motu:log@1/log.warn
motu:random@1/random.bytes
motu:random@1/random.integer
motu:random@1/random.number
motu:random@1/random.uuid
motu:time@1/time.add
motu:time@1/time.difference
motu:time@1/time.format
motu:time@1/time.format-duration
motu:time@1/time.from-parts
motu:time@1/time.in-zone
motu:time@1/time.monotonic
motu:time@1/time.now
motu:time@1/time.parse
motu:time@1/time.parse-duration
motu:time@1/time.parse-pattern
motu:time@1/time.parse-rfc2822
motu:time@1/time.start-of
motu:time@1/time.with
motu:time@1/time.zone-exists
motu:time@1/time.zones";

const CALL: &str = "return { call = function(what) return require(what.module)[what.name]() end,\n\
    count = function(module) local n = 0 for _ in require(module) do n += 1 end return n end }";

fn what(module: &str, name: &str) -> Value {
    Value::from([("module", Value::string(module)), ("name", Value::string(name))])
}

fn p1_without_grants_every_function_is_refused() {
    let motu = Motu::builder().limits(limits()).compile_cache(cache()).build().unwrap();
    assert_eq!(motu.host_functions().join("\n"), ALL);
    let none = tenant(&motu, "p1:1", CALL, &[]);
    let other = ["acme:crm/*", "motu:kvx/*", "motu:kv@2/*", "motu:kv/other.*", "*:kv/store.none"];
    let others = tenant(&motu, "p1:2", CALL, &other);
    for name in ALL.lines() {
        let (package, function) = name.split_once('/').unwrap();
        let (package, _) = package.split_once('@').unwrap();
        let (_, function) = function.split_once('.').unwrap();
        let (module, luau) = (format!("@{}", package.replace(':', "/")), function.replace('-', "_"));
        for tenant in [&none, &others] {
            let error = ask(tenant, "call", what(&module, &luau)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{name}: {error}");
            let wanted = format!("needs the grant {}, which {} does not have", name.replace("@1", ""), tenant.id());
            assert!(error.message().contains(&wanted), "{error}");
        }
    }
    // the modules have these and no others
    let count = |module: &str| ask(&none, "count", Value::string(module)).unwrap().as_f64().unwrap();
    let modules = ["blob", "codec", "cron", "http", "json", "kv", "log", "random", "time"];
    let counted: f64 = modules.iter().map(|name| count(&format!("@motu/{name}"))).sum();
    assert_eq!(counted, ALL.lines().count() as f64);
}

fn p1_a_refusal_that_nobody_catches_is_denied() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv = require('@motu/kv')\n\
        return { go = function() return kv.get('a', 'b') end,\n\
        caught = function() local ok, why = pcall(kv.get, 'a', 'b') return { ok, why } end }";
    let tenant = tenant(&motu, "p1:1", source, &[]);
    let error = ask(&tenant, "go", ()).unwrap_err();
    let text = "init.luau:2: kv.get needs the grant motu:kv/store.get, which p1:1 does not have";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Denied, text));
    let Value::Array(caught) = ask(&tenant, "caught", ()).unwrap() else { panic!() };
    assert!(
        caught[1].as_str().unwrap().ends_with("kv.get needs the grant motu:kv/store.get, which p1:1 does not have")
    );
}

/// 100,000 pairs: each field of a child's limits is at most the parent's.
fn p2_limits_are_never_above_the_parents() {
    let limits = || {
        let number = || prop_oneof![0..5_u64, Just(u64::MAX)];
        (prop::collection::vec(number(), 42), prop::collection::vec(any::<bool>(), 31)).prop_map(|(n, some)| {
            let at = |i: usize| u32::try_from(n[i]).unwrap_or(u32::MAX);
            let of = |i: usize| some[i].then_some(n[i]);
            let time = |i: usize| Duration::from_millis(n[i] % 7);
            Limits {
                load_fuel: of(0),
                event_fuel: of(1),
                start_fuel: of(2),
                background_fuel: of(3),
                load_deadline: of(4).map(|_| time(4)),
                event_deadline: of(5).map(|_| time(5)),
                start_deadline: of(6).map(|_| time(6)),
                memory_bytes: n[7],
                payload_bytes: at(8),
                payload_depth: at(9),
                result_bytes: at(10),
                result_depth: at(11),
                log_bytes: at(12),
                coroutines: at(13),
                timers: at(14),
                calls_in_flight: at(15),
                handles: at(16),
                kv_keys: n[17],
                kv_bytes: n[18],
                kv_value_bytes: at(19),
                kv_operations_per_second: of(20).map(|_| at(20)),
                source_bytes: at(21),
                mailbox_events: at(22),
                weight: at(23),
                fuel_per_second: of(24),
                idle_after: of(25).map(|_| time(25)),
                restarts: of(26).map(|_| at(26)),
                restart_window: time(27),
                quarantine: time(28),
                blobs: n[29],
                blobs_bytes: n[30],
                blob_bytes: n[31],
                blobs_memory_bytes: n[32],
                schedules: n[33],
                schedule_bytes: n[34],
                http_request_bytes: at(35),
                http_response_bytes: at(36),
                http_redirects: at(37),
                http_timeout: time(38),
                http_in_flight: at(39),
                blob_operations_per_second: some[29].then_some(at(40)),
                cron_operations_per_second: some[30].then_some(at(41)),
                calls_per_second: [("a:b", 1), ("a:c", 2)].map(|(package, at_)| (package.to_owned(), at(at_))).into(),
            }
        })
    };
    let config = Config { cases: 100_000, failure_persistence: None, ..Config::default() };
    let check = |(own, parent): (Limits, Limits)| {
        let child = own.within(&parent);
        let (fields, parents) = (serde_json::to_value(&child).unwrap(), serde_json::to_value(&parent).unwrap());
        for (name, value) in fields.as_object().unwrap() {
            if name == "calls_per_second" {
                for (package, rate) in value.as_object().unwrap() {
                    prop_assert!(is_at_most(rate, &parents[name][package]), "{}: {}", package, value);
                }
                continue;
            }
            let (below, above) = match name.as_str() {
                "restart_window" | "quarantine" => (&parents[name], value),
                _ => (value, &parents[name]),
            };
            prop_assert!(is_at_most(below, above), "{}: {} under {}", name, value, parents[name]);
        }
        // and what the child asked for is kept where it may be
        prop_assert_eq!(own.within(&own), own.clone());
        prop_assert_eq!(child.within(&own), child);
        Ok(())
    };
    TestRunner::new(config).run(&(limits(), limits()), check).unwrap();
}

/// Null is no limit; a time is an object of seconds and nanoseconds.
fn is_at_most(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    let number = |value: &serde_json::Value| match value {
        serde_json::Value::Null => u128::MAX,
        serde_json::Value::Object(time) => {
            u128::from(time["secs"].as_u64().unwrap()) * 1_000_000_000 + u128::from(time["nanos"].as_u64().unwrap())
        }
        number => u128::from(number.as_u64().unwrap()),
    };
    number(one) <= number(other)
}

fn version(number: u32) -> HostModule {
    let wit = format!("package acme:crm@{number}.4.0; interface info {{ version: func() -> u32; }}");
    HostModule::from_wit(&wit).unwrap().function("version", move |_, (): ()| async move { Ok::<_, Error>(number) })
}

fn p4_two_versions_side_by_side() {
    let motu = Motu::builder().compile_cache(cache()).limits(limits());
    let motu = motu.host_module(version(2)).host_module(version(1)).build().unwrap();
    let tenant = tenant(&motu, "p4:1", CALL, &["acme:crm/*"]);
    let version_of = |module: &str| ask(&tenant, "call", what(module, "version"));
    assert_eq!(version_of("@acme/crm@1").unwrap(), Value::from(1));
    assert_eq!(version_of("@acme/crm@2").unwrap(), Value::from(2));
    assert_eq!(version_of("@acme/crm").unwrap(), Value::from(1), "what was written before @2 was there");
    let error = version_of("@acme/crm@3").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script, "{error}");
    tenant.set_grants(Some(Grants::parse(["acme:crm@2/*"]).unwrap()));
    assert_eq!(version_of("@acme/crm@1").unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(version_of("@acme/crm@2").unwrap(), Value::from(2));
    let twice = Motu::builder().host_module(version(1)).host_module(version(1)).build().unwrap_err();
    assert!(twice.message().contains("would both be the module @acme/crm@1"), "{twice}");
}

/// Also when the grant goes in the middle of a handler; the instance goes on.
fn p5_what_is_taken_away_is_denied_at_the_next_call() {
    let cell: Arc<OnceLock<TenantRef>> = Arc::default();
    let of = cell.clone();
    let wit = "package test:revoke; interface revoke { now: func(); }";
    let revoke = HostModule::from_wit(wit).unwrap().function("now", move |_, (): ()| {
        of.get().unwrap().set_grants(Some(Grants::parse(["test:revoke/*"]).unwrap()));
        async { Ok::<(), Error>(()) }
    });
    let motu = builder(limits()).host_module(revoke).build().unwrap();
    let source = "local random, revoke = require('@motu/random'), require('@test/revoke')\nlocal n = 0\n\
        return { draw = function() n += 1 random.number() return n end,\n\
        go = function() n += 1 random.number() revoke.now() return { n, pcall(random.number) } end }";
    let tenant = tenant(&motu, "p5:1", source, &["motu:random/*", "test:revoke/*"]);
    cell.set(tenant.clone()).ok().unwrap();
    assert_eq!(ask(&tenant, "draw", ()).unwrap(), Value::from(1));
    let Value::Array(seen) = ask(&tenant, "go", ()).unwrap() else { panic!() };
    assert_eq!(seen[..2], [Value::from(2), Value::Boolean(false)]);
    assert!(seen[2].as_str().unwrap().contains("needs the grant motu:random/random.number"));
    assert_eq!(ask(&tenant, "draw", ()).unwrap_err().kind(), ErrorKind::Denied);
    tenant.set_grants(Some(Grants::parse(["*"]).unwrap()));
    assert_eq!(ask(&tenant, "draw", ()).unwrap(), Value::from(4), "its globals are there");
    assert_eq!(tenant.status()["main"].starts, 1);
}

fn k2_grants_are_narrowed_by_scope() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv = require('@motu/kv')\n\
        return { get = function(scope) return kv.get(scope, 'k') end, usage = function() return kv.usage() end,\n\
        list = function(scope) return #kv.list(scope).entries end, set = function(scope) return kv.set(scope, 'k', 1) > 0 end }";
    let tenant = tenant(&motu, "k2:1", source, &["motu:kv/store.*[scope=a-*]"]);
    assert_eq!(ask(&tenant, "set", "a-1").unwrap(), Value::Boolean(true));
    assert_eq!(ask(&tenant, "get", "a-1").unwrap(), Value::from(1));
    for scope in [Value::string("b"), Value::string(""), Value::Nil, Value::from(7), Value::Array(vec![])] {
        for event in ["get", "set", "list"] {
            let error = ask(&tenant, event, scope.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
            let text =
                format!("needs the grant motu:kv/store.{event} for these arguments; k2:1 has it for others only");
            assert!(error.message().contains(&text), "{error}");
        }
    }
    assert_eq!(ask(&tenant, "usage", ()).unwrap_err().kind(), ErrorKind::Denied, "it has no scope");
}

fn c04_a_refusal_says_which_argument_did_not_fit() {
    let motu = builder(limits()).build().unwrap();
    let source = "local kv = require('@motu/kv') return { get = function(scope) return kv.get(scope, 'k') end }";
    let held = ["motu:kv/store.get[scope=a-*]", "motu:kv/store.get[scope=b][key=x]"];
    let told = |tenant: &TenantRef, scope: Value| ask(tenant, "get", scope).unwrap_err().message().to_owned();
    let tenant = tenant(&motu, "c04:1", source, &held);
    let end = |text: String| text.split_once("for others only: ").unwrap().1.to_owned();
    assert_eq!(
        end(told(&tenant, "b".into())),
        "scope is \"b\", granted is \"[scope=a-*]\"; key is \"k\", granted is \"[key=x]\""
    );
    assert_eq!(
        end(told(&tenant, Value::from(7))),
        "scope has no text that fits, granted is \"[scope=a-*]\"; key is \"k\", granted is \"[key=x]\""
    );
    // what a script sent is no longer than a line, and of many grants only some are shown
    let many: Vec<String> = (0..100).map(|i| format!("motu:kv/store.get[scope={}{i}]", "y".repeat(500))).collect();
    tenant.set_grants(Some(Grants::parse(&many).unwrap()));
    let text = told(&tenant, "\u{1b}x".repeat(3000).as_str().into());
    assert!(text.len() < 1500 && text.ends_with("; and so on") && !text.contains('\u{1b}'), "{text}");
}

fn c04_grants_that_allow_nothing_are_found() {
    // what an embedder's grants are narrowed by is never looked for in a pattern
    let wit = "package test:narrow; interface narrow { get: func(key: string); }";
    let narrow = HostModule::from_wit(wit).unwrap();
    let narrow = narrow.function("get", |_, _: String| async { Ok::<_, Error>(()) });
    let narrow = narrow.narrowed_by("get", "id", "key", |key| Some(key.split_once('/').unwrap().1.to_owned()));
    let motu = builder(limits()).host_module(narrow).build().unwrap();
    let long = format!("motu:kv/store.*[scope={}*]", "x".repeat(65));
    for (grant, said) in [
        (
            "motu:kv/store.incr",
            "there is no host function motu:kv/store.incr here: did you mean motu:kv/store.increment?",
        ),
        ("motu:kv/stor.*", "there is no host function motu:kv/stor.* here: did you mean motu:kv/store.*?"),
        ("motu:kw/*", "there is no host function motu:kw/* here: did you mean motu:kv/*?"),
        ("acme:crm/customers.find", "there is no host function acme:crm/customers.find here"),
        ("other:crm/customers.find", "there is no host function other:crm/customers.find here"),
        ("motu:kv@7/*", "there is no host function motu:kv@7/* here: did you mean motu:kv/*?"),
        ("motu:kv/store.get[scop=c]", "motu:kv/store.get has no argument scop that is text: did you mean scope?"),
        ("motu:kv/store.get[abc=c]", "motu:kv/store.get has no argument abc that is text"),
        ("motu:kv/store.get[scope=]", "scope is never \"\": a scope has 1 to 64 bytes"),
        (&long, "scope is never so long: a scope has 1 to 64 bytes"),
        ("motu:blob/blobs.get[scope=]", "scope is never \"\": a scope has 1 to 64 bytes"),
        (
            "motu:http/client.fetch[url=https://api.example.com/*]",
            "a request is allowed by its host, not by its url: did you mean [host=api.example.com]?",
        ),
        (
            "motu:http/client.fetch[host=https://example.com/]",
            "host is never \"https://example.com/\": did you mean [host=example.com]?",
        ),
    ] {
        let found = motu.vain_grants(&Grants::parse([grant]).unwrap());
        let reasons: Vec<_> = found.iter().map(|vain| vain.reason.as_str()).collect();
        assert_eq!(reasons, [said], "{grant}");
        assert_eq!(found[0].is_package_known, !grant.starts_with("motu:kw") && !grant.starts_with("other:"), "{grant}");
    }
    let raw = Grants::parse(["motu:http/client.fetch[host=\u{1b}[31m\u{202e}\\]]"]).unwrap();
    let shown = motu.vain_grants(&raw)[0].to_string();
    assert!(shown.starts_with(r"the grant motu:http/client.fetch[host=\u{1b}[31m\u{202e}"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    let good = [
        "*",
        "motu:kv/*",
        "motu:kv@1/*",
        "motu:kv/*[scope=a]",
        "*:*/*.get",
        "motu:kv/store.get[scope=*][key=x]",
        "motu:http/client.fetch[host=example.com]",
        "motu:http/client.fetch[host=*.example.com]",
        "test:narrow/narrow.get[id=7]",
    ];
    assert_eq!(motu.vain_grants(&Grants::parse(good).unwrap()), []);
}

fn grants_go_by_kind() {
    let of_guilds = Grants::parse(["motu:random/*"]).unwrap();
    let motu = builder(limits()).kind_grants("guild", of_guilds.clone()).build().unwrap();
    let source = bundle(&[("init.luau", "return { draw = function() return require('@motu/random').number() end }")]);
    let made = |name: &str| {
        let tenant = motu.tenant(&name.parse().unwrap());
        run(tenant.deploy("main", &source)).unwrap();
        tenant
    };
    let (guild, user) = (made("guild:1"), made("user:1"));
    assert!(ask(&guild, "draw", ()).is_ok());
    assert_eq!(ask(&user, "draw", ()).unwrap_err().kind(), ErrorKind::Denied);
    guild.set_grants(Some(Grants::default()));
    assert_eq!(ask(&guild, "draw", ()).unwrap_err().kind(), ErrorKind::Denied);
    guild.set_grants(None);
    assert_eq!(guild.grants(), of_guilds);
    assert!(ask(&guild, "draw", ()).is_ok());
}
