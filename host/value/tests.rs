//! Values as values: they come back from the wire as they were, compare as documented, and look like Luau.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

use proptest::prelude::*;

use super::Value;
use crate::wire;

/// Any value, four tables deep at most.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        1 => Just(Value::Nil),
        1 => any::<bool>().prop_map(Value::Boolean),
        2 => any::<u64>().prop_map(|bits| Value::Number(f64::from_bits(bits))),
        2 => (-(1i64 << 55)..1 << 55).prop_map(Value::from),
        2 => any::<i32>().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::Integer),
        1 => any::<i8>().prop_map(|small| Value::Integer(small.into())),
        3 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::String),
        2 => ".{0,12}".prop_map(Value::string),
        1 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Buffer),
        1 => any::<[u32; 3]>().prop_map(|bits| Value::Vector(bits.map(f32::from_bits))),
    ];
    scalar.prop_recursive(4, 64, 8, |inner| {
        let key = inner.clone().prop_filter("a key", Value::is_key);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            proptest::collection::vec((key, inner), 0..8).prop_map(Value::Map),
        ]
    })
}

proptest! {
    /// U4: every value comes back bit for bit.
    #[test]
    fn round_trip(value in any_value()) {
        let bytes = value.encode().unwrap();
        prop_assert_eq!(&Value::decode(&bytes).unwrap(), &value);
    }

    /// Any bytes are read to the end or refused; what is read is written again, and means the same. What is refused is
    /// malformed, or a handle, which is well formed and no value.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        match Value::decode(&bytes) {
            Ok(value) => prop_assert_eq!(Value::decode(&value.encode().unwrap()).unwrap(), value),
            Err(error) => prop_assert!(error.is_malformed() || is_stray_handle(&error), "{error}"),
        }
    }

    /// A truncated value is never taken for a whole one.
    #[test]
    fn cut_short(value in any_value(), cut in any::<prop::sample::Index>()) {
        let bytes = value.encode().unwrap();
        let cut = cut.index(bytes.len());
        prop_assert!(Value::decode(&bytes[..cut]).is_err());
    }
}

fn is_stray_handle(error: &wire::WireError) -> bool {
    error.to_string().ends_with(wire::WireError::stray_handle().said())
}

/// A handle is of one instance, and nothing outside it: no value, wherever it is.
#[test]
fn a_handle_is_no_value() {
    const HANDLE: [u8; 6] = [0xd6, 3, 0, 0, 0, 0];
    let text = "a handle, which only a function that takes one can be given";
    for (before, after, place) in [
        (&[] as &[u8], &[] as &[u8], ""),
        (&[0x92, 0xc0], &[], "[2]"),
        (&[0x81], &[0xc0], ""),
        (&[0x81, 0xa1, b'a'], &[], ".a"),
    ] {
        let error = Value::decode(&[before, &HANDLE, after].concat()).unwrap_err();
        assert_eq!(error.to_string(), format!("result{place}: {text}"));
        assert!(is_stray_handle(&error) && !error.is_malformed() && !error.is_over_limit());
    }
    // Of five bytes, it is no handle at all.
    assert!(Value::decode(&HANDLE[..5]).unwrap_err().is_malformed());
}

#[test]
fn numbers_and_integers_stay_apart() {
    let same = |value: Value| assert_eq!(Value::decode(&value.encode().unwrap()).unwrap(), value);
    for integer in [0, 1, -1, 1 << 53, (1 << 53) + 1, 1 << 60, i64::MAX, i64::MIN, i64::MIN + 1] {
        same(Value::Integer(integer));
        same(Value::Number(integer as f64));
    }
    for number in [0.0, -0.0, 0.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MIN_POSITIVE, 2f64.powi(63)]
    {
        same(Value::Number(number));
    }
    assert_eq!(Value::Number(1.0).encode().unwrap(), [1]);
    assert_eq!(Value::Integer(1).encode().unwrap(), [0xd7, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(Value::Number(-0.0).encode().unwrap()[0], 0xcb);
    assert_eq!(Value::from((1i64 << 53) + 1), Value::Integer((1 << 53) + 1));
    assert_eq!(Value::from(1i64 << 60), Value::Number(2f64.powi(60)));
}

#[test]
fn ints_from_elsewhere() {
    let u64s = |int: u64| [&[0xcf][..], &int.to_be_bytes()].concat();
    assert_eq!(Value::decode(&u64s(1 << 63)).unwrap(), Value::Number(2f64.powi(63)));
    assert_eq!(Value::decode(&u64s((1 << 53) + 1)).unwrap(), Value::Integer((1 << 53) + 1));
    let error = Value::decode(&u64s(u64::MAX)).unwrap_err().to_string();
    assert_eq!(error, "result: malformed at byte 0: 18446744073709551615 is neither a double nor a 64-bit integer");
    assert_eq!(Value::decode(&[0xca, 0x3f, 0xc0, 0, 0]).unwrap(), Value::Number(1.5), "a float of 32 bits");
}

#[test]
fn maps_are_equal_in_any_order() {
    let one = Value::from([("a", 1), ("b", 2)]);
    let two = Value::from([("b", 2), ("a", 1)]);
    assert_eq!(one, two);
    assert_ne!(one, Value::from([("a", 1), ("b", 3)]));
    assert_ne!(one, Value::from([("a", 1)]));
    assert_eq!(Value::Number(f64::NAN), Value::Number(f64::NAN));
    assert_ne!(Value::Number(0.0), Value::Number(-0.0));
    assert_ne!(Value::Number(1.0), Value::Integer(1));
    assert_ne!(Value::string("a"), Value::Buffer(b"a".to_vec()));
}

#[test]
fn refused_keys_and_depth() {
    let error = Value::Map(vec![(Value::Nil, Value::Nil)]).encode().unwrap_err();
    assert_eq!(error.to_string(), "payload: a table can't have the key nil");
    let error = Value::from([("a", Value::Map(vec![(Value::Number(f64::NAN), Value::Nil)]))]).encode().unwrap_err();
    assert_eq!(error.to_string(), "payload.a: a table can't have the key NaN");

    let nested = |depth| (0..depth).fold(Value::Nil, |inner, _| Value::Array(vec![inner]));
    assert_eq!(Value::decode(&nested(512).encode().unwrap()).unwrap(), nested(512));
    let error = nested(513).encode().unwrap_err();
    assert!(error.is_too_deep());
    assert!(error.to_string().len() < 200, "{error}");
    // A scalar has depth 0.
    assert!(wire::encode(&Value::from(1), 0, 100).is_ok());
    assert!(wire::encode(&nested(1), 0, 100).unwrap_err().is_too_deep());
    assert!(wire::encode(&nested(2), 2, 100).is_ok());
}

#[test]
fn looks_like_luau() {
    let value = Value::from([
        ("name", Value::from("Ada")),
        ("odd key", Value::Array(vec![Value::Nil, 1.5.into(), Value::Integer(7)])),
        ("bytes", Value::string([0xff, b'\n'])),
        ("quotes", Value::from("it's \"so\"")),
        ("at", Value::Vector([1.0, 2.5, -0.0])),
    ]);
    assert_eq!(
        value.to_string(),
        r#"{name = "Ada", ["odd key"] = {nil, 1.5, 7i}, bytes = "\xFF\n", quotes = "it's \"so\"", at = vector(1, 2.5, -0)}"#
    );
    let long: Value = (0..1000).collect();
    assert_eq!(long.to_string(), "{0, 1, 2, 3, 4, 5, 6, 7, ... 992 more}");
    assert!(Value::string("x".repeat(1000)).to_string().len() < 100);
    assert!(format!("{:?}", Value::string("x".repeat(1000))).len() > 1000);
}

#[test]
fn tables_deep_in_each_other_are_compared_soon() {
    let deep = |bottom: f64| {
        let field = |name: &str, value: &Value| (Value::string(name), value.clone());
        (0..100).fold(Value::Number(bottom), |inner, _| Value::Map(vec![field("a", &inner), field("b", &Value::Nil)]))
    };
    // as a key too
    let keyed = |bottom: f64| (0..100).fold(Value::Number(bottom), |inner, _| Value::Map(vec![(inner, Value::Nil)]));
    for (one, same, other) in [(deep(1.0), deep(1.0), deep(2.0)), (keyed(1.0), keyed(1.0), keyed(2.0))] {
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(one.cmp(&other), other.cmp(&one).reverse());
    }
}
