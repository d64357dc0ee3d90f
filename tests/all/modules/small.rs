//! `motu:json`, `motu:time` and `motu:random`, as scripts see them. What they promise in depth is tested beside their code.

use motu::{ErrorKind, Grants, Value};

use super::{ask, tenant};
use crate::support::{builder, limits, load_files, run};

trials![json_both_ways, time_in_zones, random_repeats_with_a_seed_and_bytes_do_not];

fn json_both_ways() {
    let motu = builder(limits()).build().unwrap();
    let source = "local json = require('@motu/json')\nreturn {\n\
        twice = function(text) return json.encode(json.decode(text)) end,\n\
        null = function() return json.encode(json.decode('[1,null]', { null = 'NULL' }), { null = 'NULL' }) end,\n\
        bad = function() local ok, e = pcall(json.decode, '{\"a\": tru}') return { ok, e.offset, e.line, e.column } end,\n\
        thrown = function() return json.decode('[') end,\n\
        nan = function() return json.encode({ a = { 0/0 } }) end }";
    let tenant = tenant(&motu, "m:1", source, &["motu:json/*"]);
    let text = r#"{"a":[1,2.5,"x\ty"],"b":{"c":true}}"#;
    assert_eq!(ask(&tenant, "twice", text).unwrap(), Value::string(text));
    assert_eq!(ask(&tenant, "null", ()).unwrap(), Value::string("[1,null]"));
    let Value::Array(bad) = ask(&tenant, "bad", ()).unwrap() else { panic!() };
    assert_eq!(bad, [Value::Boolean(false), Value::from(6), Value::from(1), Value::from(7)]);
    let error = ask(&tenant, "thrown", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Host);
    assert!(error.value().unwrap().get("offset").is_some());
    assert!(ask(&tenant, "nan", ()).unwrap_err().message().contains("value.a[1]"));
}

fn time_in_zones() {
    let motu = builder(limits()).build().unwrap();
    let source = "local time = require('@motu/time')\nreturn {\n\
        dst = function() local at = time.parse('2026-03-28T12:00:00+01:00')\n\
            return time.format(time.add(at, { days = 1 }, 'Europe/Berlin'), 'Europe/Berlin') end,\n\
        now = function() return math.abs(time.now() - os.time()) < 5 and time.monotonic() <= time.monotonic() end,\n\
        wrong = function() return time.in_zone(0, 'Berlin') end }";
    let tenant = tenant(&motu, "m:1", source, &["motu:time/*"]);
    assert_eq!(ask(&tenant, "dst", ()).unwrap(), Value::string("2026-03-29T12:00:00+02:00"));
    assert_eq!(ask(&tenant, "now", ()).unwrap(), Value::Boolean(true));
    assert!(ask(&tenant, "wrong", ()).unwrap_err().message().contains("Europe/Berlin"));
}

fn random_repeats_with_a_seed_and_bytes_do_not() {
    let source = "local random = require('@motu/random')\nreturn {\n\
        seeded = function() return { random.number(), random.integer(1, 6), random.integer(-5, -5) } end,\n\
        secure = function() return { random.bytes(16), random.uuid() } end,\n\
        much = function() return random.bytes(65537) end, none = function() return random.integer(2, 1) end }";
    let loaded = load_files(limits(), &[("init.luau", source)]).unwrap();
    let grants = Grants::parse(["motu:random/*"]).unwrap();
    let made = |seed: u64| loaded.instance("m:1".parse().unwrap()).with_seed(seed).with_grants(grants.clone());
    let draw = |seed: u64, event: &str| run(made(seed).dispatch_value(event, &Value::Nil)).map(|outcome| outcome.value);
    assert_eq!(draw(1, "seeded").unwrap(), draw(1, "seeded").unwrap());
    assert_ne!(draw(1, "seeded").unwrap(), draw(2, "seeded").unwrap());
    assert_ne!(draw(1, "secure").unwrap(), draw(1, "secure").unwrap());
    let Value::Array(secure) = draw(1, "secure").unwrap() else { panic!() };
    assert!(matches!(&secure[0], Value::String(bytes) if bytes.len() == 16));
    let uuid = secure[1].as_str().unwrap();
    assert_eq!((uuid.len(), uuid.as_bytes()[14], uuid.matches('-').count()), (36, b'4', 4), "{uuid}");
    assert_eq!(draw(1, "much").unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(draw(1, "none").unwrap_err().kind(), ErrorKind::Script);
}
