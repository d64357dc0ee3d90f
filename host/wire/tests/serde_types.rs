//! Rust types to Luau and back: what embedders' payloads and results rely on.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::value::Value;
use crate::wire::{from_wire, to_wire};

fn written<T: Serialize + ?Sized>(payload: &T) -> Value {
    Value::decode(&to_wire(payload, 64, 1 << 20).unwrap()).unwrap()
}

fn unwritten<T: Serialize + ?Sized>(payload: &T) -> String {
    to_wire(payload, 4, 1 << 20).unwrap_err().to_string()
}

fn read<T: DeserializeOwned>(value: impl Into<Value>) -> T {
    from_wire(&value.into().encode().unwrap()).unwrap()
}

fn unread<T: DeserializeOwned + std::fmt::Debug>(value: impl Into<Value>) -> String {
    from_wire::<T>(&value.into().encode().unwrap()).unwrap_err().to_string()
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Unit;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Shape {
    Empty,
    Circle(f64),
    Line(i64, i64),
    Box { width: u64, height: Option<u8> },
    Nested(Vec<Shape>),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Everything {
    text: String,
    letter: char,
    signed: i64,
    unsigned: u64,
    float: f32,
    double: f64,
    maybe: Option<String>,
    unit: (),
    unit_struct: Unit,
    pair: (bool, String),
    shapes: Vec<Shape>,
    by_name: BTreeMap<String, i32>,
    by_number: BTreeMap<u32, String>,
    raw: Vec<u8>,
}

fn everything() -> impl Strategy<Value = Everything> {
    let shape = prop_oneof![
        Just(Shape::Empty),
        (-1e9..1e9).prop_map(Shape::Circle),
        any::<(i64, i64)>().prop_map(|(a, b)| Shape::Line(a, b)),
        (0..u64::MAX / 2, any::<Option<u8>>()).prop_map(|(width, height)| Shape::Box { width, height }),
    ];
    let shapes = proptest::collection::vec(shape, 0..4);
    let scalars = (any::<String>(), any::<char>(), any::<i64>(), 0..u64::MAX / 2, any::<f32>(), any::<f64>());
    let by_name = any::<BTreeMap<String, i32>>();
    (scalars, any::<Option<String>>(), shapes, by_name, any::<BTreeMap<u32, String>>(), any::<Vec<u8>>()).prop_map(
        |((text, letter, signed, unsigned, float, double), maybe, shapes, by_name, by_number, raw)| Everything {
            pair: (text.len() > 3, text.clone()),
            text,
            letter,
            signed,
            unsigned,
            float,
            double,
            maybe,
            unit: (),
            unit_struct: Unit,
            shapes: shapes.iter().cloned().chain([Shape::Nested(shapes.clone())]).collect(),
            by_name,
            by_number,
            raw,
        },
    )
}

proptest! {
    #[test]
    fn round_trip(payload in everything()) {
        let bytes = to_wire(&payload, 8, 1 << 20).unwrap();
        prop_assert_eq!(from_wire::<Everything>(&bytes).unwrap(), payload);
    }

    /// No bytes make the reader panic, whatever type is wanted.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = from_wire::<Everything>(&bytes);
        let _ = from_wire::<Vec<Shape>>(&bytes);
        let _ = from_wire::<HashMap<String, Vec<Option<i64>>>>(&bytes);
        let any = from_wire::<serde_json::Value>(&bytes);
        if any.is_ok() {
            prop_assert!(Value::decode(&bytes).is_ok());
        }
    }
}

#[test]
fn how_types_look_to_a_script() {
    assert_eq!(written(&None::<u8>), Value::Nil);
    assert_eq!(written(&'ß'), Value::from("ß"));
    assert_eq!(written(&Shape::Empty), Value::from("Empty"));
    assert_eq!(written(&Shape::Circle(2.0)), Value::from([("Circle", 2)]));
    assert_eq!(written(&u64::MAX.wrapping_shl(63)), Value::Number(2f64.powi(63)));
    assert_eq!(written(&((1u64 << 53) + 1)), Value::Integer((1 << 53) + 1));
    assert_eq!(written(&1.0f64), Value::Number(1.0));
    assert_eq!(written(&std::net::Ipv4Addr::LOCALHOST), Value::from("127.0.0.1"));
    assert_eq!(written(&HashMap::from([(2, "two")])), Value::from([(2, "two")]));
    assert_eq!(written(&[0u8; 2][..]), Value::from_iter([0, 0]), "bytes are numbers unless serde_bytes says bytes");
    assert_eq!(written(&std::ffi::CString::new("a").unwrap()), Value::Buffer(b"a".to_vec()), "serde's bytes");
}

#[test]
fn what_would_be_rounded_is_refused() {
    let hint = "fits neither a double nor a 64-bit integer exactly; send it as a string";
    assert_eq!(unwritten(&[("a", u64::MAX)]), format!("payload[1][2]: 18446744073709551615 {hint}"));
    assert_eq!(unwritten(&u128::MAX), format!("payload: {} {hint}", u128::MAX));
    assert_eq!(unwritten(&i128::MAX), format!("payload: {} {hint}", i128::MAX));
    assert_eq!(written(&5u128), Value::from(5));
}

#[test]
fn keys_depth_and_size() {
    assert_eq!(unwritten(&HashMap::from([((), 1)])), "payload: a table can't have the key nil");
    let deep = serde_json::json!({"a": {"b c": [[[1]]]}});
    assert_eq!(unwritten(&deep), r#"payload.a["b c"][1][1]: over the limit payload_depth of 4"#);

    let long = HashMap::from([("text", "x".repeat(2000))]);
    let error = to_wire(&long, 4, 1000).unwrap_err();
    assert!(error.is_too_large());
    assert_eq!(error.to_string(), "payload.text: over the limit payload_bytes of 1000");
    assert!(to_wire("12345", 0, 6).is_ok());
    assert!(to_wire("12345", 0, 5).unwrap_err().is_too_large());
    // A payload without end stops at the limit.
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(std::iter::repeat(1))
        }
    }
    assert!(to_wire(&Endless, 4, 100_000).unwrap_err().is_too_large());
}

#[test]
fn lists_of_unknown_length_and_flattened_structs() {
    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Outer {
        first: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, i64>,
    }
    let outer = Outer { first: 1, rest: BTreeMap::from([("second".into(), 2)]) };
    let value = written(&outer);
    assert_eq!(value, Value::from([("first", 1), ("second", 2)]));
    assert_eq!(read::<Outer>(value), outer);
}

#[test]
fn luau_tables_fit_rust_types() {
    #[derive(Debug, Default, Deserialize, PartialEq)]
    struct Options {
        #[serde(default)]
        volume: u8,
    }
    let empty = || Value::Array(vec![]);
    assert_eq!(read::<Options>(empty()), Options::default());
    assert_eq!(read::<HashMap<String, u8>>(empty()), HashMap::new());
    assert_eq!(read::<Vec<u8>>(empty()), Vec::<u8>::new());
    assert_eq!(
        read::<BTreeMap<u32, String>>(Value::from_iter(["a", "b"])),
        BTreeMap::from([(1, "a".into()), (2, "b".into())])
    );
    assert_eq!(read::<[f32; 3]>([1.0, 2.0, 3.5]), [1.0, 2.0, 3.5]);
    assert_eq!(unread::<Options>(Value::from_iter([1])), "result: invalid type: sequence, expected struct Options");
    // A key that is a number is never taken for a field's position.
    assert_eq!(read::<Options>(Value::from([(0, 9)])), Options::default());
}

#[test]
fn bytes_and_strings() {
    let latin = || Value::string([b'a', 0xff]);
    assert_eq!(read::<Vec<u8>>(latin()), [b'a', 0xff]);
    assert_eq!(read::<Vec<u8>>(Value::Buffer(vec![1, 0xff])), [1, 0xff]);
    assert_eq!(read::<[u8; 2]>(latin()), [b'a', 0xff]);
    assert_eq!(unread::<String>(latin()), "result: a string that isn't UTF-8; bytes (such as Vec<u8>) would take it");
    assert_eq!(unread::<Vec<String>>("abc"), "result: a string, expected a list");
    assert_eq!(unread::<[u8; 3]>(latin()), "result: a string, expected a list");
    assert_eq!(read::<std::ffi::CString>(Value::string("ab")).as_bytes(), b"ab", "serde's bytes");
}

#[test]
fn numbers_of_any_kind_fit_where_they_are_exact() {
    assert_eq!(read::<i64>(Value::Integer(5)), 5);
    assert_eq!(read::<u8>(Value::Integer(5)), 5);
    assert_eq!(read::<f64>(Value::Integer(5)), 5.0);
    assert_eq!(read::<u64>(Value::Number(2f64.powi(63))), 1 << 63);
    assert_eq!(read::<i64>(Value::Integer(i64::MIN)), i64::MIN);
    assert_eq!(read::<serde_json::Value>(Value::from(3)), serde_json::json!(3));
    assert_eq!(unread::<i64>(1.5), "result: invalid type: floating point `1.5`, expected i64");
    assert_eq!(unread::<u8>(300), "result: invalid value: integer `300`, expected u8");
    assert!(unread::<i64>(2f64.powi(63)).contains("expected i64"));
}

#[test]
fn errors_name_the_field() {
    #[derive(Debug, Deserialize)]
    struct Item {
        #[allow(dead_code)]
        count: u32,
    }
    let items = |value: Value| Value::from([("items", Value::Array(vec![Value::from([("count", 1)]), value]))]);
    type Items = HashMap<String, Vec<Item>>;
    assert_eq!(
        unread::<Items>(items(Value::from([("count", "many")]))),
        "result.items[2].count: invalid type: string \"many\", expected u32"
    );
    assert_eq!(unread::<Items>(items(Value::from([("cuont", 1)]))), "result.items[2]: missing field `count`");
    assert_eq!(
        unread::<Shape>(Value::from([("Circle", "x")])),
        "result.Circle: invalid type: string \"x\", expected f64"
    );
    assert!(unread::<Shape>("Hexagon").starts_with("result: unknown variant `Hexagon`"));
    assert_eq!(unread::<(u8, u8)>(Value::from_iter([1, 2, 3])), "result: 1 items too many");
    assert!(unread::<u8>("x".repeat(100_000)).len() < 1000, "messages are cut");
    let error = from_wire::<u8>(&[1, 2]).unwrap_err();
    assert!(error.is_malformed(), "trailing bytes");
}

#[test]
fn the_deepest_value_fits_a_small_stack() {
    let deep = [vec![0x91; 512], vec![0xc0]].concat();
    let deeper = [vec![0x91; 513], vec![0xc0]].concat();
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let value: serde_json::Value = from_wire(&deep).unwrap();
        assert_eq!(to_wire(&value, 512, 1 << 20).unwrap(), deep);
        assert!(from_wire::<serde_json::Value>(&deeper).unwrap_err().is_too_deep());
        // What isn't wanted is passed over at any depth.
        from_wire::<serde::de::IgnoredAny>(&[vec![0x91; 100_000], vec![0xc0]].concat()).unwrap();
    });
    thread.unwrap().join().unwrap();
}
