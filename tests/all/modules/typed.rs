//! An embedder's module: held against its WIT when Motu is built, and each call against it when it is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use motu::{CallContext, Error, ErrorKind, Handle, HostModule, Limits, Motu, Value};
use serde::{Deserialize, Serialize};

use super::{ask, tenant};
use crate::support::{builder, limits};

trials![
    what_does_not_fit_is_an_error_of_the_build,
    records_variants_and_results_cross,
    mismatches_name_the_argument,
    resources_are_bounded_and_closed,
    checks_know_the_modules,
    w01_errors_are_thrown_as_the_values_they_are,
];

const WIT: &str = "package test:crm@1.0.0;
interface customers {
  enum rank { silver, gold }
  record customer { name: string, rank: rank, tags: list<string> }
  variant query { all, by-name(string), first(u8) }
  variant problem { not-found, too-many(u32) }
  find: func(query: query, limit: option<u8>) -> result<customer, problem>;
  resource session {
    constructor(name: string);
    name: func() -> string;
    rename: func(name: string);
  }
  open-sessions: func() -> u32;
}";

#[derive(Serialize, Deserialize)]
enum Rank {
    Silver,
    Gold,
}

#[derive(Serialize, Deserialize)]
struct Customer {
    name: String,
    rank: Rank,
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Query {
    All,
    ByName(String),
    First(u8),
}

#[derive(Serialize, Deserialize)]
enum Problem {
    NotFound,
    TooMany(u32),
}

struct Session {
    name: std::sync::Mutex<String>,
    live: Arc<AtomicUsize>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::AcqRel);
    }
}

fn crm(live: &Arc<AtomicUsize>) -> HostModule {
    let (made, counted) = (live.clone(), live.clone());
    HostModule::from_wit(WIT)
        .unwrap()
        .function("find", |_, (query, limit): (Query, Option<u8>)| async move {
            Ok::<_, Error>(match query {
                Query::All => Err(Problem::TooMany(limit.map_or(100, u32::from))),
                Query::ByName(name) if name.is_empty() => Err(Problem::NotFound),
                Query::ByName(name) => Ok(Customer { name, rank: Rank::Gold, tags: vec!["a".into(), "b".into()] }),
                Query::First(n) => Ok(Customer { name: n.to_string(), rank: Rank::Silver, tags: vec![] }),
            })
        })
        .function("session.new", move |context: CallContext, name: String| {
            let opened = context.open("session", Session { name: name.into(), live: made.clone() });
            made.fetch_add(1, Ordering::AcqRel);
            async move { opened }
        })
        .function("session.name", |context: CallContext, session: Handle| async move {
            let session = context.get::<Session>(session).unwrap();
            Ok::<_, Error>(session.name.lock().unwrap().clone())
        })
        .function("session.rename", |context: CallContext, (session, name): (Handle, String)| async move {
            *context.get::<Session>(session).unwrap().name.lock().unwrap() = name;
            Ok::<_, Error>(())
        })
        .function("open-sessions", move |_, (): ()| {
            let open = u32::try_from(counted.load(Ordering::Acquire)).unwrap();
            async move { Ok::<_, Error>(open) }
        })
}

fn what_does_not_fit_is_an_error_of_the_build() {
    let wit = "package a:b; interface c { one: func(n: u32) -> string; two: func(); }";
    let one = |_: CallContext, n: u32| async move { Ok::<_, Error>(n.to_string()) };
    let two = |_: CallContext, (): ()| async { Ok::<(), Error>(()) };
    let module = || HostModule::from_wit(wit).unwrap();
    let built = |module: HostModule| {
        Motu::builder().host_module(module).build().map(drop).map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::Usage);
            error.message().to_owned()
        })
    };
    let missing = built(module().function("one", one)).unwrap_err();
    assert_eq!(missing, "a:b/c.two is in the WIT, but not implemented");
    let unknown = built(module().function("one", one).function("two", two).function("three", two)).unwrap_err();
    assert!(unknown.contains("has no function three in its WIT"), "{unknown}");
    let twice = built(module().function("one", one).function("two", two).function("two", two)).unwrap_err();
    assert!(twice.contains("the function two") && twice.contains("is implemented twice"), "{twice}");
    // a type that doesn't fit: an argument, a result
    let narrow = |_: CallContext, n: u8| async move { Ok::<_, Error>(n.to_string()) };
    let why = built(module().function("one", narrow).function("two", two)).unwrap_err();
    assert!(why.contains("one: func(n: u32) -> string") && why.contains("u8"), "{why}");
    let other = |_: CallContext, n: u32| async move { Ok::<_, Error>(n) };
    let why = built(module().function("one", other).function("two", two)).unwrap_err();
    assert!(why.contains("one: func(n: u32) -> string") && why.contains("the Rust type u32"), "{why}");
    // WIT that is none
    for (wit, part) in [
        ("package a:b; interface c { one: func(n: u33); }", "line 1"),
        ("nonsense", "line 1"),
        ("package a:b; interface c { one: func(n: option<option<u8>>); }", "nil has two meanings"),
        ("package a:b; interface c { a-b: func(); } interface d { a-b: func(); }", "a_b"),
    ] {
        let error = HostModule::from_wit(wit).unwrap_err();
        assert!(error.message().contains("the WIT of a host module") && error.message().contains(part), "{error}");
    }
}

fn records_variants_and_results_cross() {
    let motu = builder(limits()).host_module(crm(&Arc::default())).build().unwrap();
    let source = "local crm = require('@test/crm')\nreturn {\n\
        find = function(query) return crm.find(query) end,\n\
        caught = function(query) local ok, problem = pcall(crm.find, query, 7) return { ok, problem.tag, problem.value } end }";
    let tenant = tenant(&motu, "t:1", source, &["test:crm/*"]);
    let tagged = |tag: &str, value: Value| Value::from([("tag", Value::string(tag)), ("value", value)]);
    let found = ask(&tenant, "find", tagged("by_name", Value::string("Ada"))).unwrap();
    assert_eq!(found.get("name").and_then(Value::as_str), Some("Ada"));
    assert_eq!(found.get("rank").and_then(Value::as_str), Some("gold"));
    assert_eq!(found.get("tags"), Some(&Value::from_iter(["a", "b"])));
    let caught = ask(&tenant, "caught", Value::from([("tag", Value::string("all"))])).unwrap();
    assert_eq!(caught, Value::from_iter([Value::Boolean(false), Value::string("too_many"), Value::from(7)]));
    let error = ask(&tenant, "find", tagged("by_name", Value::string(""))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script);
    assert!(error.message().ends_with(": crm.find: error value {tag = \"not_found\"}"), "{error}");
    assert_eq!(error.value().unwrap().get("tag").and_then(Value::as_str), Some("not_found"));
}

fn mismatches_name_the_argument() {
    let motu = builder(limits()).host_module(crm(&Arc::default())).build().unwrap();
    let source = "local crm = require('@test/crm')\nreturn { go = function(arguments) return crm.find(table.unpack(arguments)) end,\n\
        session = function() return crm.session.new(7) end, forged = function() return crm.session.new('a').rename({}, 'b') end }";
    let tenant = tenant(&motu, "t:1", source, &["test:crm/*"]);
    let tag = |tag: &str| Value::from([("tag", Value::string(tag))]);
    for (arguments, part) in [
        (vec![], "crm.find: argument 1 (query)"),
        (vec![Value::from(1)], "crm.find: argument 1 (query)"),
        (vec![tag("none")], "\"all\", \"by_name\" or \"first\""),
        (vec![tag("first")], "crm.find: argument 1 (query)"),
        (vec![tag("all"), Value::from(256)], "crm.find: argument 2 (limit): 256"),
        (vec![tag("all"), Value::from(1.5)], "crm.find: argument 2 (limit)"),
        (vec![tag("all"), Value::Nil, Value::from(1)], "crm.find: takes 2 arguments, got 3"),
    ] {
        let error = ask(&tenant, "go", Value::Array(arguments)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script);
        assert!(error.message().starts_with("init.luau:2: ") && error.message().contains(part), "{error}");
    }
    let error = ask(&tenant, "session", ()).unwrap_err();
    assert!(error.message().contains("crm.session.new: argument 1 (name): expected a string"), "{error}");
    assert_eq!(ask(&tenant, "forged", ()).unwrap_err().kind(), ErrorKind::Script);
}

fn resources_are_bounded_and_closed() {
    let live: Arc<AtomicUsize> = Arc::default();
    let motu = builder(Limits { handles: 10, ..limits() }).host_module(crm(&live)).build().unwrap();
    let source = "local crm = require('@test/crm')\nlocal kept = {}\nreturn {\n\
        use = function() local s = crm.session.new('a') s:rename('b') return { s:name(), typeof(s), tostring(getmetatable(s)) } end,\n\
        fill = function() local n = 0 while true do local ok, s = pcall(crm.session.new, 'x') if not ok then return { n, s } end\n\
            n += 1 table.insert(kept, s) end end,\n\
        close = function() for _, s in kept do s:close() s:close() end local s = kept[1] table.clear(kept)\n\
            return { crm.open_sessions(), (select(2, pcall(s.name, s))) } end,\n\
        drop = function() for i = 1, 9 do crm.session.new('x') end end,\n\
        churn = function() for i = 1, 200 do pcall(crm.session.new, 'x') local _ = table.create(10000) end return crm.open_sessions() end,\n\
        cross = function() return crm.session.new('x') end, lose = function() crm.session.new('x') while true do end end }";
    let tenant = tenant(&motu, "t:1", source, &["test:crm/*"]);
    let expected = Value::from_iter(["b", "session", "The metatable is locked"]);
    assert_eq!(ask(&tenant, "use", ()).unwrap(), expected);
    tenant.kill();
    let Value::Array(filled) = ask(&tenant, "fill", ()).unwrap() else { panic!() };
    assert_eq!(filled[0], Value::from(10));
    assert!(filled[1].as_str().unwrap().contains("this instance has 10 handles open, the limit handles"));
    let Value::Array(closed) = ask(&tenant, "close", ()).unwrap() else { panic!() };
    assert_eq!(closed[0], Value::from(0));
    assert!(closed[1].as_str().unwrap().contains("closed"), "{:?}", closed[1]);
    // what nothing refers to is closed by the collector
    assert_eq!(ask(&tenant, "drop", ()).unwrap(), Value::Nil);
    assert!(ask(&tenant, "churn", ()).unwrap().as_f64().unwrap() <= 10.0);
    let error = ask(&tenant, "cross", ()).unwrap_err();
    assert!(error.message().contains("is a handle, which can't cross"), "{error}");
    // with the instance, all go
    tenant.kill();
    while live.load(Ordering::Acquire) > 0 {
        std::thread::yield_now();
    }
    assert_eq!(ask(&tenant, "use", ()).unwrap(), expected);
}

fn checks_know_the_modules() {
    let motu = builder(limits()).host_module(crm(&Arc::default())).build().unwrap();
    let source = "local crm = require('@test/crm')\nlocal log = (require('@motu/log') :: any)\n\
        local none = require('@test/none')\nlocal random = require('@motu/random')\n\
        return { go = function() crm.find() log.info('x') log.inform('x') crm['open_sessions']() require('@motu/kv').get() end }";
    let found = crate::support::run(motu.check(&crate::support::bundle(&[("init.luau", source)]))).unwrap();
    let diagnostics: Vec<String> = found.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
    assert!(diagnostics[0].contains("init.luau:3:22: can't require \"@test/none\""), "{diagnostics:?}");
    let unknown = "init.luau:5:55: there is no function \"inform\" in @motu/log, which has debug, error, info, warn";
    assert_eq!(diagnostics[1], unknown);
    let grants: Vec<String> = found.grants.iter().map(ToString::to_string).collect();
    let mut sorted = grants.clone();
    sorted.sort_unstable();
    let expected =
        ["motu:kv/store.get", "motu:log/log.info", "test:crm/customers.find", "test:crm/customers.open-sessions"];
    assert_eq!(sorted, expected);
}

const THROWN: &str = "package test:thrown;
interface thrown {
  enum problem { not-found, busy }
  named: func() -> result<_, problem>;
  late: func() -> result<_, problem>;
  bytes: func() -> result<_, list<u8>>;
  letter: func() -> result<_, char>;
  count: func() -> result<_, u32>;
  nothing: func() -> result;
  text: func() -> result<_, string>;
}";

#[derive(Serialize, Deserialize)]
enum Named {
    NotFound,
    Busy,
}

fn thrown() -> HostModule {
    HostModule::from_wit(THROWN)
        .unwrap()
        .function("named", |_, (): ()| async { Ok::<_, Error>(Err::<(), _>(Named::NotFound)) })
        .function("late", |_, (): ()| async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            Ok::<_, Error>(Err::<(), _>(Named::Busy))
        })
        .function("bytes", |_, (): ()| async { Ok::<_, Error>(Err::<(), _>(serde_bytes::ByteBuf::from("raw"))) })
        .function("letter", |_, (): ()| async { Ok::<_, Error>(Err::<(), _>('x')) })
        .function("count", |_, (): ()| async { Ok::<_, Error>(Err::<(), _>(5_u32)) })
        .function("nothing", |_, (): ()| async { Ok::<_, Error>(Err::<(), _>(())) })
        .function("text", |_, (): ()| async { Ok::<_, Error>(Err::<(), _>("no".to_owned())) })
}

/// Only a `string` gets words before it. What nothing catches is named in the message, and only that: an equal value of the script's own
/// is not.
fn w01_errors_are_thrown_as_the_values_they_are() {
    let motu = builder(limits()).host_module(thrown()).build().unwrap();
    let source = "local thrown = require('@test/thrown')\nreturn {\n\
        caught = function(name) return select(2, pcall(thrown[name])) end,\n\
        go = function(name) thrown[name]() end,\n\
        own = function(name) local _, value = pcall(thrown[name]) error(value, 0) end,\n\
        nothing = function() error() end }";
    let tenant = tenant(&motu, "w01:2", source, &["test:thrown/*"]);
    let cases = [
        ("named", Value::string("not_found"), "not_found"),
        ("late", Value::string("busy"), "busy"),
        ("bytes", Value::string("raw"), "raw"),
        ("letter", Value::string("x"), "x"),
        ("count", Value::from(5), "5"),
        ("nothing", Value::Nil, "error value nil"),
    ];
    for (name, value, text) in cases {
        assert_eq!(ask(&tenant, "caught", name).unwrap(), value, "{name}");
        let told = |event: &str| {
            let error = ask(&tenant, event, name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Script, "{name}: {error:?}");
            error.message().to_owned()
        };
        assert_eq!(told("go"), format!("init.luau:4: thrown.{name}: {text}"));
        assert_eq!(told("own"), text);
    }
    assert_eq!(ask(&tenant, "nothing", ()).unwrap_err().message(), "error value nil");
    let text = "init.luau:3: thrown.text: no";
    assert_eq!(ask(&tenant, "caught", "text").unwrap(), Value::string(text));
    assert_eq!(ask(&tenant, "go", "text").unwrap_err().message(), text.replace(":3:", ":4:"));
}
