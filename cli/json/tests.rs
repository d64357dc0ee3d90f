//! JSON to values and back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

use motu::Value;
use proptest::prelude::*;

use super::{compact, parse, pretty};

fn value(text: &str) -> Value {
    parse(text, 64).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

fn problem(text: &str) -> String {
    parse(text, 4).map(|value| panic!("{text} was taken as {value}")).unwrap_or_else(|problem| problem.to_string())
}

/// Any value that has a form in JSON of its own: not NaNs with a payload, and no empty map (which is an empty list).
fn any_value() -> impl Strategy<Value = Value> {
    let number = any::<u64>().prop_map(|bits| {
        let number = f64::from_bits(bits);
        if number.is_nan() { f64::NAN } else { number }
    });
    let part = any::<u32>().prop_map(|bits| {
        let part = f32::from_bits(bits);
        if part.is_nan() { f32::NAN } else { part }
    });
    let scalar = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::from),
        number.prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), Just(1e23), Just(9_007_199_254_740_993.0)]
            .prop_map(Value::from),
        any::<i64>().prop_map(Value::Integer),
        ".{0,12}".prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(Value::String),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(Value::Buffer),
        [part.clone(), part.clone(), part].prop_map(Value::Vector),
    ];
    scalar.prop_recursive(4, 48, 6, |inner| {
        let named = proptest::collection::btree_map("[$a-z]{0,3}", inner.clone(), 1..6)
            .prop_map(|pairs| Value::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()));
        let key = inner.clone().prop_filter("a key", Value::is_key);
        let keyed = proptest::collection::btree_map(key, inner.clone(), 1..6)
            .prop_map(|pairs| Value::Map(pairs.into_iter().collect()));
        prop_oneof![proptest::collection::vec(inner, 0..6).prop_map(Value::Array), named, keyed]
    })
}

proptest! {
    #[test]
    fn round_trip(value in any_value()) {
        for text in [compact(&value), pretty(&value)] {
            prop_assert_eq!(&parse(&text, 64).map_err(|problem| TestCaseError::fail(problem.to_string()))?, &value);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{} is not JSON", text);
        }
        prop_assert!(!compact(&value).contains('\n'));
    }

    #[test]
    fn any_text(text in "[\\[\\]{}\":,0-9a-z$\\\\. -]{0,30}") {
        if let Ok(value) = parse(&text, 64) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{} was taken", text);
            prop_assert_eq!(parse(&compact(&value), 64).map_err(|problem| TestCaseError::fail(problem.to_string()))?, value);
        }
    }
}

#[test]
fn plain_json_stays_plain() {
    for text in [
        r#"{"a":[1,2.5,-3],"b":{"c":null,"d":true},"e":"ß\n\"","f":[]}"#,
        "9007199254740991",
        "-0.0",
        "1e23",
        "5e-324",
        r#"{"$bytes":"/w=="}"#,
        r#"{"$buffer":""}"#,
        r#"{"$vector":[0.1,-0.0,{"$number":"-inf"}]}"#,
        r#"{"$number":"nan"}"#,
        r#"{"$integer":"-9223372036854775808"}"#,
        r#"{"$map":[[1,"one"],["$bytes","AA=="],["x",{"$integer":"1"}]]}"#,
    ] {
        assert_eq!(compact(&value(text)), text);
    }
    assert_eq!(compact(&value(" { } ")), "[]");
    assert_eq!(compact(&value(r#"{"b":1,"a":2}"#)), r#"{"a":2,"b":1}"#, "sorted by key");
    assert_eq!(value(r#""\ud83d\ude00""#), Value::from("😀"));
    assert_eq!(value("-0"), Value::Number(-0.0));
}

#[test]
fn problems_name_the_place() {
    assert_eq!(
        problem(r#"{"items":[1,{"$bytes":"%%"}]}"#),
        "items[2].$bytes: not base64: byte 1 is none of its characters"
    );
    assert_eq!(
        problem(r#"{"odd key":[9007199254740993]}"#),
        r#"["odd key"][1]: no number is exactly 9007199254740993; write {"$integer": "9007199254740993"} for a 64-bit integer"#
    );
    assert_eq!(problem("1e400"), "1e400 is too large for a number");
    assert_eq!(
        problem("123456789012345678901234567890"),
        "no number is exactly 123456789012345678901234567890; write it as a string"
    );
    assert!(problem(r#"{"a":{"$foo":1}}"#).starts_with("a.$foo: there is no such tag"));
    assert!(problem(r#"{"$bytes":"","x":1}"#).starts_with("$bytes: a tag stands alone"));
    assert_eq!(problem(r#"{"$map":[[null,1]]}"#), "$map[1][1]: a key can't be null or NaN");
    assert_eq!(problem(r#"{"$map":[[1,1],[1,2]]}"#), "$map[2][1]: the key 1 is there twice");
    assert_eq!(problem(r#"{"$vector":[1,2,1e39]}"#), "$vector[3]: 1e39 is too large for a vector");
    assert_eq!(problem("[[[[[]]]]]"), "[1][1][1][1]: tables lie more than 4 deep in each other");
    assert_eq!(problem(&"[".repeat(100_000)), "not JSON: nested more than 512 deep (line 1, column 513)");
}

#[test]
fn what_is_not_json() {
    assert_eq!(problem(""), "not JSON: a value is missing (line 1, column 1)");
    assert_eq!(problem("{\n  name: 1}"), "not JSON: a key in double quotes is missing (line 2, column 3)");
    assert_eq!(problem("Ada"), "not JSON: Ada is not a value; text needs double quotes (line 1, column 1)");
    assert_eq!(problem("[1 2]"), "not JSON: a , or ] is missing (line 1, column 4)");
    assert_eq!(problem("1 2"), "not JSON: more after the value (line 1, column 3)");
    assert_eq!(problem("01"), "not JSON: 01 is not a number (line 1, column 1)");
    assert_eq!(problem(r#"{"a":1,"a":2}"#), r#"not JSON: the key "a" is there twice (line 1, column 11)"#);
    assert_eq!(problem(r#""abc"#), "not JSON: a string without its closing quote (line 1, column 1)");
    assert!(problem(r#""\ud800""#).starts_with("not JSON: a string with a bad escape"));
}

#[test]
fn pretty_breaks_long_tables_only() {
    assert_eq!(pretty(&value(r#"{"a":[1,2],"b":"x"}"#)), r#"{"a": [1, 2], "b": "x"}"#);
    let long = format!(r#"{{"a":[1,2],"text":"{}"}}"#, "x".repeat(80));
    assert_eq!(pretty(&value(&long)), format!("{{\n  \"a\": [1, 2],\n  \"text\": \"{}\"\n}}", "x".repeat(80)));
}
