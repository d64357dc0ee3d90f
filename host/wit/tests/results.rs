use std::collections::BTreeMap;

use serde::Serialize;

use super::{ALL, function, map, of};
use crate::value::Value;
use crate::wire::token::{Reader, Token};
use crate::wit::{Answer, Handle, parse, result};

fn of_type(ty: &str) -> std::sync::Arc<crate::wit::Function> {
    of(&format!("use motu:value/types.{{value}}; resource s; f: func() -> {ty};"))
}

fn bad<R: Serialize>(ty: &str, value: R) -> String {
    let error = result(&of_type(ty), &value, 32, 10_000).unwrap_err().to_string();
    error.strip_prefix("t.f: result").unwrap_or(&error).to_owned()
}

fn good<R: Serialize>(ty: &str, value: R) -> Value {
    match result(&of_type(ty), &value, 32, 10_000).unwrap() {
        Answer::Value(bytes) => Value::decode(&bytes).unwrap(),
        Answer::Error(bytes) => panic!("error {:?}", Value::decode(&bytes)),
    }
}

#[derive(Serialize)]
struct Point {
    x: f32,
    y: f64,
}

#[derive(Serialize)]
struct Other {
    x: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<f32>,
    z: u8,
}

#[derive(Serialize)]
enum Failure {
    NotFound,
    Refused(String),
    Unknown,
}

#[test]
fn what_the_host_gets_wrong() {
    assert_eq!(bad("string", 5), ": the WIT has string, the Rust type gave an integer");
    assert_eq!(bad("string", ()), ": the WIT has string, the Rust type gave nothing");
    assert_eq!(bad("string", None::<String>), ": the WIT has string, the Rust type gave None");
    assert_eq!(bad("string", Some("x")), ": the WIT has string, the Rust type gave an Option");
    assert_eq!(bad("u8", 300), ": 300 is out of the range of u8, 0 to 255");
    assert_eq!(bad("u8", 1.5), ": expected an integer, got 1.5");
    assert_eq!(bad("u64", u64::MAX), ": 18446744073709551615 is more than Luau's integers hold; make it a string");
    assert_eq!(bad("u64", u128::MAX), format!(": {} is out of the range of u64, 0 to {}", u128::MAX, u64::MAX));
    assert_eq!(bad("f64", 1), ": the WIT has f64, the Rust type gave an integer");
    assert_eq!(bad("f32", 1e300).split(" is ").last(), Some("out of the range of f32"));
    assert_eq!(bad("char", "ab"), ": the WIT has char, the Rust type gave a string");
    assert_eq!(bad("list<u8>", [1u16, 300]), "[2]: 300 is out of the range of u8, 0 to 255");
    assert_eq!(bad("list<u8>", ["x"]), "[1]: the WIT has u8, the Rust type gave a string");
    assert_eq!(bad("list<u32>", "x"), ": the WIT has list<u32>, the Rust type gave a string");
    assert_eq!(bad("list<list<u32>>", [[-1]]), "[1][1]: -1 is out of the range of u32, 0 to 4294967295");
    assert_eq!(bad("list<value>", [(); 1]), "[1]: nil in a list");
    assert_eq!(bad("map<string, value>", BTreeMap::from([("a", ())])), ".a: nil, which no key can have in Luau");
    assert_eq!(
        bad("tuple<u8, u8>", (1, 2, 3)),
        ": the WIT has tuple<u8, u8>, the Rust type gave another number of items"
    );
    assert_eq!(
        bad("tuple<u8, u8>", Value::Array(vec![1.into()])),
        ": the WIT has tuple<u8, u8>, the Rust type gave another number of items"
    );
    assert_eq!(bad("s", 1), ": the WIT has s, the Rust type gave an integer");
    assert_eq!(bad("u32", Handle(1)), ": the WIT has u32, the Rust type gave a handle");
    assert_eq!(bad("value", Handle(1)), ": a handle, which only a function that takes one can be given");
    let nothing = of("f: func();");
    assert_eq!(
        result(&nothing, &5, 9, 99).unwrap_err().to_string(),
        "t.f: result: the WIT has nothing, the Rust type gave an integer"
    );
}

#[test]
fn named_types_that_are_wrong() {
    let package =
        parse("package a:t; interface i { record r { x: f32, y: option<f32>, y2: u8 } f: func() -> r; }").unwrap();
    let f = function(&package, "t.f");
    let said = |value: &dyn Fn() -> Result<Answer, crate::wit::Mismatch>| value().unwrap_err().to_string();
    assert_eq!(
        said(&|| result(&f, &Other { x: 1.0, y: None, z: 1 }, 9, 99)),
        "t.f: result: the WIT has x, y or y2, the Rust type gave z"
    );
    assert_eq!(said(&|| result(&f, &Point { x: 1.0, y: 1.0 }, 9, 99)), "t.f: result: the Rust type gave no y2");
    assert_eq!(said(&|| result(&f, &Point { x: 1.0, y: 1e300 }, 9, 99)).split(": ").nth(1), Some("result.y"));
    let twice = Value::Map(vec![("x".into(), 1.into()), ("x".into(), 1.into())]);
    assert_eq!(said(&|| result(&f, &twice, 9, 99)), "t.f: result: the field x twice");

    let package = parse(ALL).unwrap();
    let change = function(&package, "crm.change_all");
    let said = |value: Result<u32, Failure>| result(&change, &value, 9, 99).unwrap_err().to_string();
    assert_eq!(
        said(Err(Failure::Unknown)),
        "crm.change_all: result: the WIT has not-found or refused, the Rust type gave Unknown"
    );
    assert_eq!(
        result(&change, &5, 9, 99).unwrap_err().to_string(),
        "crm.change_all: result: the WIT has result<u32, failure>, the Rust type gave an integer"
    );
}

#[test]
fn limits() {
    let f = of_type("list<list<u32>>");
    let deep = result(&f, &[[1]], 1, 99).unwrap_err();
    assert!(deep.is_over_limit());
    assert_eq!(deep.to_string(), "t.f: result[1]: over the limit payload_depth of 1");
    let large = result(&of_type("list<u8>"), &vec![0u8; 1 << 20], 0, 1000).unwrap_err();
    assert_eq!(large.to_string(), "t.f: result[996]: over the limit payload_bytes of 1000");
    assert!(large.is_over_limit());
    let large = result(&of_type("string"), &"x".repeat(1 << 20), 9, 1000).unwrap_err();
    assert_eq!(large.to_string(), "t.f: result: over the limit payload_bytes of 1000");
    result(&of_type("list<u8>"), &vec![0u8; 100], 0, 1000).unwrap();
}

#[test]
fn scalars() {
    assert_eq!(good("bool", true), true.into());
    assert_eq!(good("u8", 255u64), 255.into());
    assert_eq!(good("s64", 1i64 << 53), Value::Number(2f64.powi(53)));
    assert_eq!(good("s64", 1i64 << 60), Value::Integer(1 << 60));
    assert_eq!(good("u64", (1u64 << 53) + 1), Value::Integer((1 << 53) + 1));
    assert_eq!(good("s64", i64::MIN), Value::Integer(i64::MIN));
    assert_eq!(good("f32", 0.1f32), Value::Number(0.1f32.into()));
    assert_eq!(good("f32", 0.1), Value::Number(0.1f32.into()));
    assert_eq!(good("f64", -0.0), Value::Number(-0.0));
    assert_eq!(good("char", 'é'), "é".into());
    assert_eq!(good("string", "é"), "é".into());
    assert_eq!(good("list<u8>", b"\xff\0".to_vec()), Value::string(b"\xff\0".to_vec()));
    assert_eq!(good("list<u8>", Value::Buffer(b"ab".to_vec())), "ab".into());
    assert_eq!(good("option<u8>", Some(1)), 1.into());
    assert_eq!(good("option<u8>", None::<u8>), Value::Nil);
    let Answer::Value(bytes) = result(&of_type("s"), &Handle(7), 9, 99).unwrap() else { panic!() };
    assert!(matches!(Reader::new(&bytes).token(), Ok(Token::Handle(7))));
    assert_eq!(result(&of("f: func();"), &(), 9, 99).unwrap(), Answer::Value(vec![0xc0]));
}

#[test]
fn tables() {
    let list: Value = [1, 2].into_iter().collect();
    assert_eq!(good("list<u16>", [1, 2]), list);
    assert_eq!(good("list<u16>", std::collections::BTreeSet::from([2, 1])), list);
    assert_eq!(
        good("tuple<u16, option<u8>, u16>", (1, None::<u8>, 2)),
        Value::Array(vec![1.into(), Value::Nil, 2.into()])
    );
    assert_eq!(good("map<string, u8>", BTreeMap::from([("odd key", 1)])), map([("odd key", 1.into())]));
    assert_eq!(good("map<u16, u8>", BTreeMap::from([(7, 1)])), Value::from([(7, 1)]));
    let sides: [Result<u8, ()>; 2] = [Ok(1), Err(())];
    assert_eq!(
        good("list<result<u8>>", sides),
        Value::Array(vec![map([("ok", 1.into())]), map([("err", true.into())])])
    );
}

#[test]
fn whole_results() {
    let package = parse(ALL).unwrap();
    let change = function(&package, "crm.change_all");
    let answer = |value: Result<u32, Failure>| result(&change, &value, 9, 99).unwrap();
    assert_eq!(answer(Ok(5)), Answer::Value(vec![5]));
    assert_eq!(answer(Err(Failure::NotFound)), Answer::Error(map([("tag", "not_found".into())]).encode().unwrap()));
    let refused = map([("tag", "refused".into()), ("value", "no".into())]);
    assert_eq!(answer(Err(Failure::Refused("no".to_owned()))), Answer::Error(refused.encode().unwrap()));
    let photo = function(&package, "crm.photo");
    assert_eq!(result(&photo, &Err::<Vec<u8>, ()>(()), 9, 99).unwrap(), Answer::Error(vec![0xc0]));
    let checked = function(&package, "crm.checked");
    assert_eq!(result(&checked, &Ok::<(), String>(()), 9, 99).unwrap(), Answer::Value(vec![0xc0]));
    assert_eq!(result(&checked, &Err::<(), _>("x"), 9, 99).unwrap(), Answer::Error(vec![0xa1, b'x']));
}

#[test]
fn any_value_stays_what_it_is() {
    let value = Value::Array(vec![
        Value::string(b"\xff".to_vec()),
        Value::Buffer(b"b".to_vec()),
        Value::Integer(1),
        Value::Vector([f32::from_bits(0x7fa0_0001), 1.0, -0.0]),
        Value::from([(Value::from(1.5), Value::Vector([1.0; 3]))]),
    ]);
    assert_eq!(good("value", &value), value);
    assert_eq!(good("list<value>", &value), value);
    assert_eq!(good("value", Point { x: 0.5, y: 1.0 }), map([("x", 0.5.into()), ("y", 1.into())]));
    let json = serde_json::to_value(&value).unwrap().to_string();
    assert_eq!(json, "[[255],[98],1,[null,1.0,-0.0],{\"1.5\":[1.0,1.0,1.0]}]");
    assert_eq!(
        serde_json::from_str::<Value>("[1, null, {\"a\": \"b\"}]").unwrap().to_string(),
        "{1, nil, {a = \"b\"}}"
    );
}
