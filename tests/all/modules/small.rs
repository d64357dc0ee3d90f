//! `motu:json`, `motu:time` and `motu:random`, as scripts see them. What they promise in depth is tested beside their code.

use motu::{ErrorKind, Grants, Limits, Value};

use super::{ask, tenant};
use crate::support::{builder, limits, load_files, run};

trials![
    json_both_ways,
    time_in_zones,
    random_repeats_with_a_seed_and_bytes_do_not,
    codec_both_ways,
    codec_is_paid_for_and_bounded,
    w01_what_the_wit_says_may_fail_is_the_scripts,
];

/// The error of a `result` that nothing catches: at once or after a wait, a text or a value.
fn w01_what_the_wit_says_may_fail_is_the_scripts() {
    let motu = builder(limits()).build().unwrap();
    for (call, message) in [
        ("require('@motu/json').decode('{')", "json.decode: expected a key in double quotes"),
        ("require('@motu/codec').decode_base64('!')", "codec.decode_base64: byte 1 of the text"),
        ("require('@motu/time').parse('x')", "time.parse: \"x\" is no date"),
        ("require('@motu/time').format(0, 'Nowhere/No', nil)", "time.format: "),
        ("require('@motu/kv').apply('s', { { tag = 'check', value = { key = 'k', revision = 7 } } })", "kv.apply: "),
        ("require('@motu/http').fetch('nonsense')", "http.fetch: "),
    ] {
        let source = format!(
            "return {{ go = function()\nreturn {call} end,\ncaught = function() return pcall(function() {call} end) end }}"
        );
        let tenant = tenant(&motu, "w01:a", &source, &["motu:*/*"]);
        let error = ask(&tenant, "go", ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script, "{call}: {error:?}");
        assert_eq!(error.fault(), motu::Fault::Script);
        assert!(error.message().starts_with(&format!("init.luau:2: {message}")), "{call}: {error}");
        assert!(error.traceback().contains("init.luau:2 function go"), "{call}: {error:?}");
        assert_eq!(ask(&tenant, "caught", ()).unwrap(), Value::Boolean(false), "{call}");
    }
}

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
    assert_eq!(error.kind(), ErrorKind::Script);
    assert!(error.message().starts_with("init.luau:6: json.decode: expected "), "{error}");
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

fn codec_both_ways() {
    let motu = builder(limits()).build().unwrap();
    let source = "local codec = require('@motu/codec')\n\
        local all = {} for i = 0, 255 do all[i + 1] = string.char(i) end\n\
        local bytes = string.rep(table.concat(all), 20)\n\
        return {\n\
        texts = function() return codec.decode_base64(codec.encode_base64(bytes)) == bytes\n\
            and codec.decode_hex(codec.encode_hex(bytes)) == bytes and codec.decode_url(codec.encode_url(bytes)) == bytes\n\
            and codec.encode_base64('foob', { url_safe = true, padding = false }) == 'Zm9vYg' end,\n\
        hashes = function() return { codec.encode_hex(codec.hash('sha256', 'abc')), codec.crc32('123456789'),\n\
            codec.encode_hex(codec.hmac('sha256', 'Jefe', 'what do ya want for nothing?')), codec.equal('a', buffer.fromstring('a')), codec.equal('a', 'b') } end,\n\
        packed = function() for _, format in { 'gzip', 'zlib', 'deflate' } do for level = 1, 9 do\n\
            local packed = codec.compress(format, bytes, level) assert(#packed < #bytes and codec.decompress(format, packed) == bytes) end end return true end,\n\
        wrong = function() local ok, why = pcall(codec.decode_base64, 'Zm9v*mFy') return why end,\n\
        unknown = function() return codec.hash('sha3', '') end }";
    let tenant = tenant(&motu, "m:1", source, &["motu:codec/*"]);
    assert_eq!(ask(&tenant, "texts", ()).unwrap(), Value::Boolean(true));
    let hashes = Value::Array(vec![
        Value::string("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        Value::from(0xcbf4_3926_u32),
        Value::string("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        Value::Boolean(true),
        Value::Boolean(false),
    ]);
    assert_eq!(ask(&tenant, "hashes", ()).unwrap(), hashes);
    assert_eq!(ask(&tenant, "packed", ()).unwrap(), Value::Boolean(true));
    assert!(ask(&tenant, "wrong", ()).unwrap().as_str().unwrap().contains("byte 5"));
    let error = ask(&tenant, "unknown", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script);
    assert!(error.message().contains("sha256"), "it says what there is: {error}");
}

/// A bomb: a megabyte of zeros in each kilobyte, and a stream of blocks that cost time and make nothing.
fn codec_is_paid_for_and_bounded() {
    let motu = builder(Limits { event_fuel: Some(2_000_000_000), restarts: None, ..limits() }).build().unwrap();
    let source = "local codec = require('@motu/codec')\n\
        return { bomb = function() local once = codec.compress('deflate', string.rep('\\0', 900000), 1)\n\
            return { pcall(codec.decompress, 'deflate', once, 1000) } end,\n\
        loop = function() while true do pcall(codec.compress, 'gzip', string.rep('ab', 100000), 9) end end,\n\
        much = function() return codec.encode_hex(string.rep('x', 600000)) end }";
    let tenant = tenant(&motu, "m:1", source, &["motu:codec/*"]);
    let Value::Array(bomb) = ask(&tenant, "bomb", ()).unwrap() else { panic!() };
    assert_eq!(bomb[0], Value::Boolean(false));
    assert!(bomb[1].as_str().unwrap().contains("1000"), "{}", bomb[1]);
    assert_eq!(ask(&tenant, "loop", ()).unwrap_err().kind(), ErrorKind::Fuel);
    assert!(ask(&tenant, "much", ()).unwrap_err().message().contains("1048560 is the most"));
}
