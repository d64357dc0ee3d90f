//! U4: values cross byte for byte, or are refused with the path to what can't.

use std::collections::{BTreeMap, HashMap};

use motu::{Error, ErrorKind, Instance, Limits, Value};
use serde::{Deserialize, Serialize};

use crate::support::{eval, event, instance, instance_with, limits, run, send};

trials![
    u4_half_a_million_random_values_round_trip,
    u4_another_half_million_random_values_round_trip,
    u4_edges_round_trip,
    u4_what_scripts_see,
    u4_what_scripts_make,
    u4_tables_are_lists_or_maps,
    u4_keys_of_all_types,
    u4_serde_both_ways,
    u4_serde_numbers_are_never_rounded,
    u4_what_cannot_cross_is_named_by_its_path,
    u4_payloads_that_cannot_cross_are_named_by_their_path,
    u4_shared_tables_are_written_each_time,
    u4_large_values_cross,
];

const ECHO: &str = "return { echo = function(value) return value end }";

fn roomy() -> Limits {
    Limits { payload_bytes: 64 << 20, result_bytes: 64 << 20, memory_bytes: 512 << 20, event_fuel: None, ..limits() }
}

/// A small generator of its own: fast, and the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, most: u64) -> usize {
        (self.next() % most) as usize
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = match self.below(20) {
            0 => 31 + self.below(4),
            1 => 253 + self.below(6),
            2 => self.below(2000),
            _ => self.below(12),
        };
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn number(&mut self) -> f64 {
        const EDGES: [f64; 16] = [
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            9007199254740991.0,
            9007199254740992.0,
            -9007199254740992.0,
            9007199254740994.0,
            9223372036854775808.0,
            -9223372036854775808.0,
            18446744073709551616.0,
            1e300,
            0.1,
        ];
        match self.below(6) {
            0 => EDGES[self.below(16)],
            1 => f64::from_bits(self.next()), // also NaNs of any payload
            2 => self.next() as f64,
            3 => -(self.below(1 << 40) as f64),
            4 => self.below(300) as f64,
            _ => self.below(1 << 53) as f64 / 1024.0,
        }
    }

    fn scalar(&mut self) -> Value {
        match self.below(8) {
            0 => Value::Boolean(self.below(2) == 0),
            1 | 2 => Value::Number(self.number()),
            3 => Value::Integer(match self.below(4) {
                0 => [i64::MIN, i64::MAX, 0, -1, 1 << 53, (1 << 53) + 1][self.below(6)],
                1 => self.below(256) as i64,
                _ => self.next() as i64,
            }),
            4 => Value::Buffer(self.bytes()),
            5 => Value::Vector([0; 3].map(|_| f32::from_bits(self.next() as u32))),
            _ => Value::String(self.bytes()),
        }
    }

    fn key(&mut self) -> Value {
        match self.below(3) {
            0 => Value::String(format!("k{}", self.below(50)).into()),
            1 => Value::from(self.below(50) as u32),
            _ => self.scalar(),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        if depth == 0 || self.below(4) > 0 {
            return self.scalar();
        }
        let len = if self.below(50) == 0 { self.below(70) } else { self.below(5) };
        if self.below(2) == 0 {
            return Value::Array((0..len).map(|_| self.value(depth - 1)).collect());
        }
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        for _ in 0..len {
            let key = self.key();
            if can_be_key(&key) && !pairs.iter().any(|(other, _)| *other == key) {
                pairs.push((key, self.value(depth - 1)));
            }
        }
        table(pairs)
    }
}

fn is_minus_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

/// What Luau would not hold as it is: NaN in a number or a vector, and -0, which is the key 0.
fn can_be_key(key: &Value) -> bool {
    match key {
        Value::Number(number) => !(number.is_nan() || is_minus_zero(*number)),
        Value::Vector(vector) => vector.iter().all(|x| !(x.is_nan() || is_minus_zero((*x).into()))),
        Value::Buffer(_) => false, // keyed by identity: two with the same bytes are two keys
        _ => true,
    }
}

/// A table as it comes back: one with the keys 1 to n is a list.
fn table(mut pairs: Vec<(Value, Value)>) -> Value {
    let len = pairs.len();
    if (1..=len).all(|n| pairs.iter().any(|(key, _)| *key == Value::Number(n as f64))) {
        pairs.sort_by_key(|(key, _)| key.as_f64().unwrap() as u64);
        return Value::Array(pairs.into_iter().map(|(_, value)| value).collect());
    }
    Value::Map(pairs)
}

fn round_trip(seed: u64, batches: usize) {
    let instance = instance_with(roomy(), ECHO);
    let mut random = Random(seed);
    for batch in 0..batches {
        let values: Vec<Value> = (0..2000).map(|_| random.value(4)).collect();
        let values = Value::Array(values);
        let back = send(&instance, "echo", &values).unwrap().value;
        if back != values {
            let (Value::Array(sent), Value::Array(back)) = (values, back) else { panic!("not a list") };
            let (sent, back) = sent.iter().zip(&back).find(|(a, b)| a != b).unwrap();
            panic!("batch {batch} of seed {seed}:\nsent {sent:?}\ngot  {back:?}");
        }
    }
    assert_eq!(instance.starts(), 1);
}

fn u4_half_a_million_random_values_round_trip() {
    round_trip(1, 250);
}

fn u4_another_half_million_random_values_round_trip() {
    round_trip(2, 250);
}

fn u4_edges_round_trip() {
    let instance = instance(ECHO);
    let two53 = 1i64 << 53;
    let mut edges = vec![
        Value::Nil,
        Value::Boolean(true),
        Value::Boolean(false),
        Value::string(""),
        Value::String((0..=255).collect()),
        Value::Buffer(vec![]),
        Value::Buffer((0..=255).rev().collect()),
        Value::Array(vec![]),
        Value::Array(vec![Value::Array(vec![]), Value::Array(vec![Value::Array(vec![])])]),
        Value::Vector([0.0, -0.0, f32::MIN_POSITIVE]),
        Value::Vector([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        Value::Vector([f32::from_bits(0x7fc0_1234), f32::from_bits(0xffc0_0001), f32::MAX]),
    ];
    let bits = [0, 1, 0x7ff8_0000_0000_0000, 0x7ff8_0000_0000_1234, 0xfff8_0000_0000_0000, 0x8000_0000_0000_0000];
    edges.extend(bits.map(f64::from_bits).map(Value::Number));
    for near in [0, 31, 32, 127, 128, 255, 256, 65535, 65536, 1 << 31, 1 << 32, two53, 1 << 62, i64::MAX] {
        for int in [near - 1, near, near.saturating_add(1), -near, -near - 1, 1 - near] {
            edges.push(Value::Integer(int));
            edges.push(Value::Number(int as f64));
            edges.push(Value::from(int));
        }
    }
    for len in [31, 32, 255, 256, 65535, 65536] {
        edges.push(Value::String(vec![b'x'; len]));
        edges.push(Value::Buffer(vec![0; len]));
    }
    for len in [15, 16, 17, 65535, 65536] {
        edges.push(Value::Array(vec![Value::Boolean(true); len]));
        edges.push(Value::Map((0..len).map(|n| (Value::Number(n as f64 + 0.5), Value::Boolean(false))).collect()));
    }
    for value in edges {
        let back = send(&instance, "echo", &value).unwrap().value;
        assert!(back == value, "sent {value}, got {back}");
    }
}

fn u4_what_scripts_see() {
    let instance = instance(
        "return { see = function(value) return { type(value), if type(value) == 'table' then #value else tostring(value) } end }",
    );
    let see = |value: Value| {
        let Value::Array(seen) = send(&instance, "see", &value).unwrap().value else { panic!() };
        format!("{} {}", seen[0].as_str().unwrap(), seen[1].as_str().map_or(seen[1].to_string(), str::to_owned))
    };
    assert_eq!(see(Value::Nil), "nil nil");
    assert_eq!(see(Value::Boolean(true)), "boolean true");
    assert_eq!(see(Value::Number(1.0)), "number 1");
    assert_eq!(see(Value::Number(-0.0)), "number -0");
    assert_eq!(see(Value::Number(f64::INFINITY)), "number inf");
    assert_eq!(see(Value::Integer(7)), "integer 7");
    assert_eq!(see(Value::Integer(i64::MAX)), "integer 9223372036854775807");
    assert_eq!(see(Value::from(i64::MAX)), "integer 9223372036854775807");
    assert_eq!(see(Value::from(5i64)), "number 5");
    assert_eq!(see(Value::string("x")), "string x");
    assert!(see(Value::Buffer(vec![1])).starts_with("buffer buffer: 0x"));
    assert_eq!(see(Value::Vector([1.0, 2.5, -3.0])), "vector 1, 2.5, -3");
    assert_eq!(see(Value::Array(vec![Value::Nil, Value::Number(1.0)])), "table 2");
    assert_eq!(see(Value::from([("a", 1)])), "table 0");
}

fn u4_what_scripts_make() {
    for (expression, value) in [
        ("nil", Value::Nil),
        ("1 == 1", Value::Boolean(true)),
        ("0x7fffffff", Value::from(0x7fff_ffff)),
        ("2 ^ 53", Value::Number(9007199254740992.0)),
        ("-(2 ^ 63)", Value::Number(-9223372036854775808.0)),
        ("2 ^ 64", Value::Number(18446744073709551616.0)),
        ("0 / -1", Value::Number(-0.0)),
        ("1 / 0", Value::Number(f64::INFINITY)),
        ("'a\\0\\255'", Value::String(vec![b'a', 0, 255])),
        ("buffer.fromstring('\\0\\255')", Value::Buffer(vec![0, 255])),
        ("vector.create(1, 2, 3)", Value::Vector([1.0, 2.0, 3.0])),
        ("{}", Value::Array(vec![])),
        ("{ 1, { 'x' } }", Value::Array(vec![1.into(), Value::Array(vec!["x".into()])])),
        (
            "setmetatable({ 1 }, { __index = { 2, 3 }, __len = function() return 9 end, __iter = error })",
            Value::from_iter([1]),
        ),
        ("table.freeze({ a = 1 })", Value::from([("a", 1)])),
        ("1, 2, 3", Value::from(1)), // only the first of several results
    ] {
        let back = eval(expression);
        assert!(back == value, "{expression}: {back} instead of {value}");
    }
    assert!(matches!(eval("0 / 0"), Value::Number(number) if number.is_nan()));
    assert_eq!(event(&instance("return { go = function() end }"), "go").unwrap().value, Value::Nil);
}

fn u4_tables_are_lists_or_maps() {
    let list = |n: i32| Value::from_iter(1..=n);
    assert_eq!(eval("{ 1, 2, 3 }"), list(3));
    assert_eq!(eval("{ [1] = 1, [2] = 2, [3] = 3 }"), list(3));
    assert_eq!(eval("{ [3] = 3, [2] = 2, [1] = 1 }"), list(3));
    assert_eq!(eval("(function() local t = { 1, 2, 3, 4 } t[4] = nil return t end)()"), list(3));
    assert_eq!(eval("table.create(100)"), Value::Array(vec![]));
    assert_eq!(eval("{ 1, nil, 3 }"), Value::from([(1, 1), (3, 3)]));
    assert_eq!(eval("{ nil, 2 }"), Value::from([(2, 2)]));
    assert_eq!(eval("{ [0] = 0, 1 }"), Value::from([(0, 0), (1, 1)]));
    assert_eq!(eval("{ [1.5] = 1 }"), Value::from([(1.5, 1)]));
    assert_eq!(eval("{ [2 ^ 40] = 1 }"), Value::from([(2f64.powi(40), 1)]));
    assert_eq!(eval("{ 1, n = 1 }"), Value::Map(vec![(1.into(), 1.into()), ("n".into(), 1.into())]));
    assert_eq!(eval("{ [-1] = 1 }"), Value::from([(-1, 1)]));
    // a table with a hole, sent as a list
    let sent = Value::Array(vec![1.into(), Value::Nil, 3.into(), Value::Nil]);
    assert_eq!(send(&instance(ECHO), "echo", &sent).unwrap().value, Value::from([(1, 1), (3, 3)]));
    // as a map with the keys of a list
    let sent = Value::from([(2, "b"), (1, "a")]);
    assert_eq!(send(&instance(ECHO), "echo", &sent).unwrap().value, Value::from_iter(["a", "b"]));
}

fn u4_keys_of_all_types() {
    let keys = [
        Value::Boolean(true),
        Value::Boolean(false),
        Value::Number(-1.5),
        Value::Number(f64::INFINITY),
        Value::Integer(1),
        Value::Integer(i64::MIN),
        Value::string("key"),
        Value::String(vec![0xff, 0]),
        Value::Vector([1.0, 2.0, 3.0]),
        Value::Buffer(vec![1, 2]),
        Value::Array(vec![1.into()]),
        Value::from([("a", 1)]),
    ];
    let all = Value::Map(keys.iter().cloned().map(|key| (key.clone(), key)).collect());
    let instance = instance(ECHO);
    assert_eq!(send(&instance, "echo", &all).unwrap().value, all);
    for key in keys {
        let one = Value::Map(vec![(key, 1.into())]);
        assert_eq!(send(&instance, "echo", &one).unwrap().value, one);
    }
}

fn u4_serde_both_ways() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
    struct All {
        yes: bool,
        int: i64,
        byte: u8,
        float: f32,
        double: f64,
        letter: char,
        text: String,
        some: Option<u32>,
        none: Option<u32>,
        list: Vec<i16>,
        empty: Vec<i16>,
        tuple: (u8, String),
        map: BTreeMap<String, u32>,
        empty_map: BTreeMap<String, u32>,
        by_number: BTreeMap<u32, String>,
        nested: Option<Box<All>>,
        kind: Kind,
        kinds: Vec<Kind>,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
    enum Kind {
        #[default]
        Unit,
        New(u32),
        Tuple(u32, bool),
        Struct {
            x: f64,
        },
    }
    let inner = All { nested: None, ..All::default() };
    let all = All {
        yes: true,
        int: i64::MIN,
        byte: 255,
        float: 0.1,
        double: -1e-300,
        letter: '\u{1F600}',
        text: "h\u{e9}llo\0".into(),
        some: Some(u32::MAX),
        list: vec![-1, 0, 1],
        tuple: (1, "x".into()),
        map: [("a".into(), 1), ("".into(), 2)].into(),
        by_number: [(1, "one".into()), (2, "two".into()), (7, "seven".into())].into(),
        nested: Some(Box::new(inner)),
        kind: Kind::Struct { x: f64::INFINITY },
        kinds: vec![Kind::Unit, Kind::New(1), Kind::Tuple(2, true), Kind::Struct { x: 0.5 }],
        ..All::default()
    };
    let instance = instance(ECHO);
    assert_eq!(run(instance.dispatch::<All>("echo", &all)).unwrap().value, all);
    // what a script makes as a list is a map from 1, and the empty table is either
    let list = run(instance.dispatch::<HashMap<u32, String>>("echo", &["a", "b"])).unwrap().value;
    assert_eq!(list, [(1, "a".to_owned()), (2, "b".to_owned())].into());
    assert!(run(instance.dispatch::<BTreeMap<String, u32>>("echo", &[0u8; 0])).unwrap().value.is_empty());
    // any JSON too
    let json = serde_json::json!({ "a": [1, 2.5, "x", true, { "b": -3 }], "c": "d" });
    assert_eq!(run(instance.dispatch::<serde_json::Value>("echo", &json)).unwrap().value, json);
}

fn u4_serde_numbers_are_never_rounded() {
    let instance = instance(ECHO);
    for int in [0, 1, -1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, i64::MAX, i64::MIN, i64::MAX - 1] {
        assert_eq!(run(instance.dispatch::<i64>("echo", &int)).unwrap().value, int);
    }
    for exact in [0, 1 << 63, i64::MAX as u64, u64::MAX - 2047] {
        assert_eq!(run(instance.dispatch::<u64>("echo", &exact)).unwrap().value, exact);
    }
    for refused in [u64::MAX, (1 << 63) + 1] {
        let error = run(instance.dispatch::<u64>("echo", &[[refused]])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(
            error.message().starts_with("payload[1][1]: ") && error.message().contains(&refused.to_string()),
            "{error}"
        );
    }
    // a result that the type can't hold
    for (expression, wanted) in [("1.5", "u32"), ("-1", "u32"), ("2 ^ 40", "u32"), ("0 / 0", "u32")] {
        let instance =
            crate::support::instance(&format!("return {{ go = function() return {{ n = {expression} }} end }}"));
        #[derive(Deserialize, Debug)]
        #[allow(dead_code, reason = "only its type matters")]
        struct Counted {
            n: u32,
        }
        let error = run(instance.dispatch::<Counted>("go", &())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{expression} as {wanted}");
        assert!(error.message().contains("result.n"), "{expression}: {error}");
    }
}

fn cannot(expression: &str) -> String {
    let instance = instance(&format!(
        "local cycle = {{}} cycle.a = {{ b = cycle }}\n\
         return {{ go = function() return {expression} end, alive = function() return 1 end }}"
    ));
    let error: Error = event(&instance, "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script, "{expression}: {error:?}");
    assert_eq!(event(&instance, "alive").unwrap().value, Value::Number(1.0));
    assert_eq!(instance.starts(), 1, "{expression}: the VM is kept");
    error.message().trim_start_matches("init.luau:2: ").to_owned()
}

fn u4_what_cannot_cross_is_named_by_its_path() {
    for (expression, message) in [
        ("print", "result is a function, which can't cross"),
        ("function() end", "result is a function, which can't cross"),
        ("coroutine.create(print)", "result is a thread, which can't cross"),
        ("{ print }", "result[1] is a function, which can't cross"),
        ("{ items = { {}, { callback = print } } }", "result.items[2].callback is a function, which can't cross"),
        ("{ ['odd key'] = print }", "result[\"odd key\"] is a function, which can't cross"),
        ("{ ['a\"b\\n'] = print }", "result[\"a\\\"b\\x0a\"] is a function, which can't cross"),
        ("{ [1.5] = print }", "result[1.5] is a function, which can't cross"),
        ("{ [true] = print }", "result[true] is a function, which can't cross"),
        ("{ [{}] = print }", "result[key] is a function, which can't cross"),
        ("{ [vector.create(1, 2, 3)] = print }", "result[key] is a function, which can't cross"),
        ("{ [print] = 1 }", "a key of result is a function, which can't cross"),
        ("{ a = { [print] = 1 } }", "a key of result.a is a function, which can't cross"),
        ("cycle", "result.a.b is a table that contains itself, which can't cross"),
        ("{ cycle }", "result[1].a.b is a table that contains itself, which can't cross"),
        ("{ 1, 2, coroutine.running() }", "result[3] is a thread, which can't cross"),
    ] {
        assert_eq!(cannot(expression), message, "{expression}");
    }
    let deep = cannot("(function() local t = { print } for _ = 1, 40 do t = { x = t } end return t end)()");
    assert!(deep.starts_with("result.x.x") && deep.contains("...") && deep.len() < 300, "{deep}");
}

fn u4_payloads_that_cannot_cross_are_named_by_their_path() {
    let instance = instance(ECHO);
    let key = |key: Value| Value::from([("a", Value::Array(vec![Value::Map(vec![(key, 1.into())])]))]);
    for (payload, message) in [
        (key(Value::Nil), "payload.a[1]: a table can't have the key nil"),
        (key(Value::Number(f64::NAN)), "payload.a[1]: a table can't have the key NaN"),
    ] {
        let error = send(&instance, "echo", &payload).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert_eq!(error.message(), message);
        assert_eq!(error.event(), Some("echo"));
    }
    // what serde can't make a value of
    let error = run(instance.dispatch::<()>("echo", &BTreeMap::from([(Some(1), 2), (None, 3)]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("a table can't have the key nil"), "{error}");
    assert_eq!(instance.starts(), 0, "nothing was started for them");
}

fn u4_shared_tables_are_written_each_time() {
    let one = Value::from([("x", 1)]);
    assert_eq!(eval("(function() local t = { x = 1 } return { t, t, { t } } end)()"), {
        Value::Array(vec![one.clone(), one.clone(), Value::Array(vec![one])])
    });
}

fn u4_large_values_cross() {
    let instance: Instance = instance_with(roomy(), ECHO);
    let text = Value::String((0..20_000_000u32).map(|n| (n % 251) as u8).collect());
    assert!(send(&instance, "echo", &text).unwrap().value == text);
    let list = Value::from_iter(0..1_000_000);
    assert!(send(&instance, "echo", &list).unwrap().value == list);
}
