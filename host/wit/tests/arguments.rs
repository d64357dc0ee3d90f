use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{ALL, Some3, function, map, of, wire};
use crate::value::Value;
use crate::wire::writer::Writer;
use crate::wit::{Handle, arguments, parse};

fn one<A: DeserializeOwned>(ty: &str, value: impl Into<Value>) -> Result<A, String> {
    let function = of(&format!("use motu:value/types.{{value}}; {ty}"));
    arguments(&function, &wire(&[value.into()]), &Some3).map_err(|error| error.to_string())
}

/// What is said of a value for the parameter `a` of this type.
fn bad(ty: &str, value: impl Into<Value>) -> String {
    let error = one::<Value>(&format!("f: func(a: {ty});"), value).unwrap_err();
    error.strip_prefix("t.f: argument 1 (a)").unwrap_or(&error).to_owned()
}

fn good<A: DeserializeOwned>(ty: &str, value: impl Into<Value>) -> A {
    one(&format!("f: func(a: {ty});"), value).unwrap()
}

#[test]
fn scalars_that_are_not() {
    assert_eq!(bad("string", 5), ": expected a string, got a number");
    assert_eq!(bad("string", ()), ": expected a string, got nil");
    assert_eq!(bad("string", Value::string(b"a\xff".to_vec())), ": \"a\\xFF\" isn't UTF-8");
    assert_eq!(bad("bool", "yes"), ": expected a boolean, got a string");
    assert_eq!(bad("u8", 300), ": 300 is out of the range of u8, 0 to 255");
    assert_eq!(bad("u8", -1), ": -1 is out of the range of u8, 0 to 255");
    assert_eq!(bad("u32", 2.5), ": expected an integer, got 2.5");
    assert_eq!(bad("u32", f64::NAN), ": expected an integer, got NaN");
    // c15: short, however many digits it has
    let range = "-9223372036854775808 to 9223372036854775807";
    assert_eq!(bad("s64", 1e300), format!(": 1e300 is out of the range of s64, {range}"));
    assert_eq!(bad("s64", f64::MIN), format!(": -1.7976931348623157e308 is out of the range of s64, {range}"));
    assert_eq!(bad("s64", f64::INFINITY), format!(": inf is out of the range of s64, {range}"));
    assert_eq!(bad("u32", 1e-300), ": expected an integer, got 1e-300");
    assert_eq!(
        bad("u64", 2f64.powi(64)),
        ": 18446744073709551616 is out of the range of u64, 0 to 18446744073709551615"
    );
    assert_eq!(bad("u64", Value::Integer(-7)), ": -7 is out of the range of u64, 0 to 18446744073709551615");
    assert_eq!(bad("f64", "1"), ": expected a number, got a string");
    assert_eq!(bad("f64", Value::Integer(1)), ": expected a number, got an integer");
    assert_eq!(bad("f32", 1e39), ": 1e39 is out of the range of f32");
    assert_eq!(bad("char", "ab"), ": expected one character, got \"ab\"");
    assert_eq!(bad("char", ""), ": expected one character, got \"\"");
    assert_eq!(bad("list<u8>", 5), ": expected a string or a buffer, got a number");
    assert_eq!(bad("list<u8>", Value::Array(vec![1.into()])), ": expected a string or a buffer, got a list");
}

#[test]
fn tables_that_are_not() {
    assert_eq!(bad("list<u32>", map([("a", 1.into())])), ": expected a list with keys 1 to n, got a table");
    assert_eq!(
        bad("list<list<u32>>", vec![Value::Array(vec![1.into(), "x".into()])].into_iter().collect::<Value>()),
        "[1][2]: expected a number, got a string"
    );
    assert_eq!(bad("tuple<u8, u8>", Value::Array(vec![1.into(); 3])), ": expected 2 items, got 3");
    assert_eq!(bad("tuple<u8, u8>", Value::Array(vec![1.into()])), "[2]: expected a number, got nil");
    assert_eq!(bad("tuple<u8, u8>", Value::from([(3, 1)])), ": expected a list of 2 items, got one at 3");
    assert_eq!(bad("tuple<u8, u8>", map([("x", 1.into())])), ": expected a list of 2 items, got one at \"x\"");
    assert_eq!(bad("map<string, u8>", Value::from([(1.5, 1)])), ": a key: expected a string, got a number");
    assert_eq!(bad("map<string, u8>", Value::Array(vec![1.into()])), ": expected a table by string, got a list");
    assert_eq!(
        bad("map<string, u8>", map([("odd key", "x".into())])),
        "[\"odd key\"]: expected a number, got a string"
    );
    assert_eq!(
        bad("result<u8, string>", map([("o", 1.into())])),
        ": unknown field \"o\", expected { ok = ... } or { err = ... }"
    );
    assert_eq!(bad("result<u8, string>", map([("ok", "x".into())])), ".ok: expected a number, got a string");
    assert_eq!(bad("result", map([("ok", 1.into())])), ".ok: expected true, got a number");
    assert_eq!(bad("result", "ok"), ": expected { ok = ... } or { err = ... }, got a string");
}

#[test]
fn named_types_that_are_not() {
    let bad = |value: Value| {
        let items = "enum colour { red, dark-green, end } flags can { look, touch-it } record r { nick-name: option<string>, \
                     end: u8, colour: colour, can: can } f: func(a: r);";
        one::<Value>(items, value).unwrap_err().strip_prefix("t.f: argument 1 (a)").unwrap().to_owned()
    };
    let no_flags = ("can", map([]));
    assert_eq!(bad("x".into()), ": expected a table, got a string");
    assert_eq!(bad(Value::Array(vec![1.into()])), ": expected a table, got a list");
    assert_eq!(bad(map([])), ".end_: expected a number, got nil");
    assert_eq!(bad(map([("end", 1.into())])), ": unknown field \"end\", expected nick_name, end_, colour or can");
    assert_eq!(bad(Value::from([(1.5, 2)])), ": a key: expected a string, got a number");
    let twice = Value::Map(vec![("end_".into(), 1.into()), ("end_".into(), 1.into())]);
    assert_eq!(bad(twice), ": the field end_ twice");
    assert_eq!(
        bad(map([("colour", "blue".into())])),
        ".colour: expected \"red\", \"dark_green\" or \"end\", got \"blue\""
    );
    assert_eq!(bad(map([("colour", 1.into())])), ".colour: expected \"red\", \"dark_green\" or \"end\", got a number");
    let evil = "x\n\u{1b}[31m".repeat(100);
    let said = bad(map([("colour", evil.as_str().into())]));
    assert!(said.starts_with(".colour: expected \"red\", \"dark_green\" or \"end\", got \"x\\n\\u{1b}[31m"), "{said}");
    assert!(said.len() < 300 && !said.contains('\n') && !said.contains('\u{1b}'), "{said}");
    let [fine, colour] = [("end_", 1.into()), ("colour", "red".into())];
    assert_eq!(
        bad(map([fine.clone(), colour.clone(), ("can", map([("fly", true.into())]))])),
        ".can: unknown field \"fly\", expected look or touch_it"
    );
    assert_eq!(
        bad(map([fine, colour, ("nick_name", 5.into()), no_flags])),
        ".nick_name: expected a string, got a number"
    );
}

#[test]
fn variants_that_are_not() {
    let package = parse(ALL).unwrap();
    let function = function(&package, "crm.change_all");
    let bad = |value: Value| {
        let value = Value::Array(vec![value]);
        let error = arguments::<Value>(&function, &wire(&[value]), &Some3).unwrap_err().to_string();
        error.strip_prefix("crm.change_all: argument 1 (changes)[1]").unwrap().to_owned()
    };
    assert_eq!(bad("remove".into()), ": expected a table with a tag, got a string");
    assert_eq!(bad(map([("value", 1.into())])), ".tag: expected a tag, got nil");
    assert_eq!(
        bad(map([("tag", "sat".into())])),
        ".tag: expected \"rename\", \"set_nick\", \"move_to\", \"merge\" or \"remove\", got \"sat\""
    );
    assert_eq!(bad(map([("tag", "rename".into())])), ".value: expected a string, got nil");
    assert_eq!(bad(map([("value", 1.into()), ("tag", "rename".into())])), ".value: expected a string, got a number");
    assert_eq!(bad(map([("tag", "remove".into()), ("value", 1.into())])), ".value: expected nothing, got a number");
    assert_eq!(
        bad(map([("tag", "remove".into()), ("name", 1.into())])),
        ": unknown field \"name\", expected tag and value"
    );
    let three = map([("tag", "remove".into()), ("value", 1.into()), ("tag", "remove".into())]);
    assert_eq!(bad(three), ": unknown field \"tag\", expected tag and value");
    let inner = map([("tag", "merge".into()), ("value", map([("id", "x".into())]))]);
    assert_eq!(bad(inner), ".value.id: expected a number, got a string");
}

#[test]
fn how_many() {
    let package = parse(ALL).unwrap();
    let find = function(&package, "crm.find_customer");
    let error = arguments::<(String, Option<u32>)>(&find, &wire(&["a".into(), 1.into(), 2.into()]), &Some3);
    assert_eq!(error.unwrap_err().to_string(), "crm.find_customer: takes 2 arguments, got 3");
    let error = arguments::<(String, Option<u32>)>(&find, &wire(&[]), &Some3);
    assert_eq!(error.unwrap_err().to_string(), "crm.find_customer: argument 1 (name): expected a string, got nil");
    assert_eq!(
        arguments::<(String, Option<u32>)>(&find, &wire(&["a".into()]), &Some3).unwrap(),
        ("a".to_owned(), None)
    );
    let error = arguments::<(String,)>(&find, &wire(&["a".into()]), &Some3).unwrap_err();
    assert_eq!(error.to_string(), "crm.find_customer: the Rust type takes 1 of the 2 arguments");
    let end = function(&package, "crm.end_");
    arguments::<()>(&end, &wire(&[]), &Some3).unwrap();
    let error = arguments::<()>(&end, &wire(&[1.into()]), &Some3).unwrap_err();
    assert_eq!(error.to_string(), "crm.end_: takes 0 arguments, got 1");
    let malformed = arguments::<()>(&end, &[0xc0], &Some3).unwrap_err();
    assert!(malformed.is_malformed());
    assert_eq!(malformed.to_string(), "crm.end_: malformed at byte 0: arguments are a list");
    assert!(arguments::<()>(&end, &[0x90, 0xc0], &Some3).unwrap_err().is_malformed());
}

#[test]
fn handles() {
    let package = parse(ALL).unwrap();
    let join = function(&package, "crm.session:join");
    let bytes = |mine: u32, other: Option<u32>| {
        let mut writer = Writer::new(100);
        writer.array(2).unwrap();
        writer.handle(mine).unwrap();
        match other {
            Some(other) => writer.handle(other).unwrap(),
            None => writer.number(1.0).unwrap(),
        }
        writer.into_bytes()
    };
    let call = |mine, other| {
        arguments::<(Handle, Handle)>(&join, &bytes(mine, other), &Some3).map_err(|error| error.to_string())
    };
    assert_eq!(call(1, Some(2)), Ok((Handle(1), Handle(2))));
    assert_eq!(
        call(1, Some(4)).unwrap_err(),
        "crm.session:join: argument 1 (other): expected a handle of session, got a handle of something else"
    );
    assert_eq!(
        call(9, Some(4)).unwrap_err(),
        "crm.session:join: self: expected a handle of session, got one that is closed"
    );
    assert_eq!(
        call(1, None).unwrap_err(),
        "crm.session:join: argument 1 (other): expected a handle of session, got a number"
    );
    let error = arguments::<(u32, Handle)>(&join, &bytes(1, Some(2)), &Some3).unwrap_err().to_string();
    assert_eq!(error, "crm.session:join: self: the Rust type is not motu::Handle; the WIT has borrow<session>");

    // Nowhere else: a value that may be anything holds no handle.
    let any = of("use motu:value/types.{value}; f: func(a: value);");
    let mut writer = Writer::new(100);
    writer.array(1).unwrap();
    writer.handle(1).unwrap();
    let bytes = writer.into_bytes();
    let said = "t.f: argument 1 (a): value: a handle, which only a function that takes one can be given";
    assert_eq!(arguments::<Value>(&any, &bytes, &Some3).unwrap_err().to_string(), said);
    assert!(arguments::<u32>(&any, &bytes, &Some3).is_err());
    assert!(arguments::<Handle>(&any, &bytes, &Some3).is_err());
    let string = of("f: func(a: string);");
    let error = arguments::<String>(&string, &bytes, &Some3).unwrap_err().to_string();
    assert_eq!(error, "t.f: argument 1 (a): expected a string, got a handle");
}

#[test]
fn what_rust_refuses() {
    let error = one::<std::net::Ipv4Addr>("f: func(a: string);", "here").unwrap_err();
    assert_eq!(error, "t.f: argument 1 (a): invalid IPv4 address syntax");
    let error = one::<Vec<std::net::Ipv4Addr>>(
        "use motu:value/types.{value as v}; f: func(a: v);",
        Value::Array(vec!["a\nb".into()]),
    );
    assert_eq!(error.unwrap_err(), "t.f: argument 1 (a)[1]: invalid IPv4 address syntax");
}

#[test]
fn scalars() {
    assert!(good::<bool>("bool", true));
    assert_eq!(good::<u8>("u8", 255), 255);
    assert_eq!(good::<i16>("s16", -300), -300);
    assert_eq!(good::<u64>("u64", 2f64.powi(63)), 1 << 63);
    assert_eq!(good::<u64>("u64", Value::Integer(i64::MAX)), i64::MAX as u64);
    assert_eq!(good::<i64>("s64", Value::Integer((1 << 53) + 1)), (1 << 53) + 1);
    assert_eq!(good::<u32>("u32", Value::Integer(7)), 7);
    assert_eq!(good::<u32>("u32", -0.0), 0);
    assert_eq!(good::<f32>("f32", 0.1), 0.1);
    assert_eq!(good::<f64>("f32", 0.1), f64::from(0.1f32));
    assert_eq!(good::<f64>("f64", f64::INFINITY), f64::INFINITY);
    assert_eq!(good::<char>("char", "é"), 'é');
    assert_eq!(good::<String>("string", "é"), "é");
    assert_eq!(good::<Vec<u8>>("list<u8>", Value::string(b"\xff\0".to_vec())), b"\xff\0");
    assert_eq!(good::<Vec<u8>>("list<u8>", Value::Buffer(b"\xff\0".to_vec())), b"\xff\0");
    assert_eq!(good::<[u8; 2]>("list<u8>", "ab"), *b"ab");
    assert_eq!(good::<Bytes>("list<u8>", "ab").0, *b"ab");
    assert_eq!(good::<Option<u8>>("option<u8>", ()), None);
    assert_eq!(good::<Option<u8>>("option<u8>", 3), Some(3));
}

/// What `serde_bytes` does.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[test]
fn tables() {
    let list = |items: &[i32]| items.iter().copied().collect::<Value>();
    assert_eq!(good::<Vec<u16>>("list<u16>", list(&[1, 2])), [1, 2]);
    assert!(good::<Vec<u16>>("list<u16>", list(&[])).is_empty());
    assert_eq!(good::<BTreeMap<String, u8>>("map<string, u8>", map([("b", 2.into())])), [("b".to_owned(), 2)].into());
    assert_eq!(good::<BTreeMap<String, u8>>("map<string, u8>", list(&[])), BTreeMap::new());
    assert_eq!(good::<BTreeMap<u8, u8>>("map<u8, u8>", list(&[7, 8])), [(1, 7), (2, 8)].into());
    assert_eq!(good::<BTreeMap<i8, u8>>("map<s8, u8>", Value::from([(-3, 8)])), [(-3, 8)].into());
    assert_eq!(good::<(u8, Option<u8>)>("tuple<u8, option<u8>>", list(&[7])), (7, None));
    assert_eq!(good::<(Option<u8>, u8)>("tuple<option<u8>, u8>", Value::from([(2, 8)])), (None, 8));
    let swapped = Value::from([(3, "c"), (1, "a")]);
    assert_eq!(
        good::<(String, Option<u8>, String)>("tuple<string, option<u8>, string>", swapped),
        ("a".to_owned(), None, "c".to_owned())
    );
    assert_eq!(good::<Result<u8, String>>("result<u8, string>", map([("ok", 3.into())])), Ok(3));
    assert_eq!(good::<Result<u8, String>>("result<u8, string>", map([("err", "x".into())])), Err("x".to_owned()));
    assert_eq!(good::<Result<(), ()>>("result", map([("err", true.into())])), Err(()));
}

#[derive(Debug, Deserialize, PartialEq)]
enum Standing {
    Good,
    #[serde(rename = "end")]
    End,
    NotSoGood,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Rights {
    read: bool,
    write_all: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Customer {
    id: u64,
    name: String,
    nick_name: Option<String>,
    standing: Standing,
    rights: Rights,
    repeat: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Change {
    Rename(String),
    SetNick(Option<String>),
    #[serde(rename = "move-to")]
    MoveTo(f64, f64, Option<String>),
    Merge(Box<Customer>),
    Remove,
}

/// As a script would have it, with the keys in any order.
fn customer() -> Value {
    map([
        ("rights", map([("write_all", true.into())])),
        ("name", "Ada".into()),
        ("repeat_", false.into()),
        ("standing", "not_so_good".into()),
        ("id", Value::Integer(1 << 60)),
    ])
}

#[test]
fn structs_and_enums() {
    let package = parse(ALL).unwrap();
    let ada = || Customer {
        id: 1 << 60,
        name: "Ada".to_owned(),
        nick_name: None,
        standing: Standing::NotSoGood,
        rights: Rights { read: false, write_all: true },
        repeat: false,
    };
    let changes = Value::Array(vec![
        map([("tag", "rename".into()), ("value", "Bo".into())]),
        map([("value", "B".into()), ("tag", "set_nick".into())]),
        map([("tag", "set_nick".into())]),
        map([("tag", "move_to".into()), ("value", Value::Array(vec![1.into(), 2.5.into()]))]),
        map([("value", customer()), ("tag", "merge".into())]),
        map([("tag", "remove".into())]),
    ]);
    let change_all = function(&package, "crm.change_all");
    let bytes = wire(&[changes]);
    let expected = [
        Change::Rename("Bo".to_owned()),
        Change::SetNick(Some("B".to_owned())),
        Change::SetNick(None),
        Change::MoveTo(1.0, 2.5, None),
        Change::Merge(Box::new(ada())),
        Change::Remove,
    ];
    assert_eq!(arguments::<Vec<Change>>(&change_all, &bytes, &Some3).unwrap(), expected);
    // What Rust passes over is still checked, and read to its end.
    arguments::<Vec<serde::de::IgnoredAny>>(&change_all, &bytes, &Some3).unwrap();
    arguments::<serde_json::Value>(&change_all, &bytes, &Some3).unwrap();
    assert_eq!(good::<HashMap<char, Standing>>("map<char, string>", map([])), HashMap::new());
    let flags =
        one::<BTreeMap<String, bool>>("flags can { look, touch-it } f: func(a: can);", map([("look", true.into())]));
    assert_eq!(flags.unwrap(), [("look".to_owned(), true), ("touch_it".to_owned(), false)].into());
}

#[test]
fn any_value_stays_what_it_is() {
    let value = Value::Array(vec![
        Value::string(b"\xff".to_vec()),
        Value::string("text"),
        Value::Buffer(b"b".to_vec()),
        Value::Integer(1),
        Value::Number(1.0),
        Value::Vector([f32::from_bits(0x7fa0_0001), 1.0, -0.0]),
        Value::from([(Value::from(1.5), Value::Nil)]),
    ]);
    assert_eq!(good::<Value>("value", value.clone()), value);
    assert_eq!(good::<Vec<Value>>("value", value.clone()), {
        let Value::Array(items) = value else { panic!() };
        items
    });
    assert_eq!(good::<Value>("value", ()), Value::Nil);
    assert_eq!(good::<(u8, String)>("value", Value::Array(vec![1.into(), "x".into()])), (1, "x".to_owned()));
    let error = one::<Vec<u8>>("f: func(a: value);", Value::Array(vec![1.into(), 300.into()])).unwrap_err();
    assert_eq!(error, "t.f: argument 1 (a)[2]: invalid value: integer `300`, expected u8");
}
