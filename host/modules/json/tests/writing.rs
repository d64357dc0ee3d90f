//! Values as JSON, and what has no form in it.

use super::super::writer::Writer;
use super::{EncodeOptions, PLENTY, Value, encode, json, unfit, value};

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

fn with(value: &Value, options: &EncodeOptions) -> String {
    String::from_utf8(encode(value, options, 200, PLENTY).unwrap()).unwrap()
}

#[test]
fn what_has_no_form_is_named_with_its_path() {
    let bytes = Value::String(vec![b'a', 0xff]);
    for (value, message) in [
        (Value::Number(f64::NAN), "value: JSON has no NaN; leave it out, or write it as a string"),
        (
            list([1.into(), Value::Number(f64::INFINITY)]),
            "value[2]: JSON has no infinity; leave it out, or write it as a string",
        ),
        (
            Value::from([("a", list([Value::from([("b c", Value::Number(f64::NEG_INFINITY))])]))]),
            "value.a[1][\"b c\"]: JSON has no infinity; leave it out, or write it as a string",
        ),
        (
            Value::from([("name", bytes.clone())]),
            "value.name: a string that is not UTF-8 at its byte 2; write its bytes as text, in base64 or hexadecimal",
        ),
        (
            Value::from([("data", Value::Buffer(vec![1]))]),
            "value.data: JSON has no buffers; write its bytes as text, in base64 or hexadecimal",
        ),
        (
            Value::from([("at", Value::Vector([0.0; 3]))]),
            "value.at: JSON has no vectors; write the list {v.x, v.y, v.z}",
        ),
        (
            Value::from([("t", Value::Map(vec![(3.into(), 1.into())]))]),
            "value.t: the key 3 is a number, and not all keys are 1 to n: an array has just these, an object strings \
             (tostring)",
        ),
        (
            Value::Map(vec![(Value::Integer(7), 1.into())]),
            "value: the key 7i is a number, and not all keys are 1 to n: an array has just these, an object strings \
             (tostring)",
        ),
        (
            Value::Map(vec![("a".into(), 1.into()), (true.into(), 1.into())]),
            "value: the key true is no string, as the keys of an object are",
        ),
        (Value::Map(vec![(bytes, 1.into())]), "value: the key \"a\\xFF\" is not UTF-8, as the keys of an object are"),
        (Value::from([("a", 1), ("b", 1), ("a", 2)]), "value: the key \"a\" is there twice"),
        (list([list([list([list([list([])])])])]), "value[1][1][1][1]: tables lie more than 4 deep in each other"),
        (
            Value::from([("x".repeat(1000), Value::Vector([0.0; 3]))]),
            "value.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: JSON has no vectors; write the list {v.x, v.y, v.z}",
        ),
    ] {
        assert_eq!(unfit(&value), message);
    }
    let nested = |count| (0..count).fold(Value::Number(f64::NAN), |inner, _| Value::from([("a", inner)]));
    let deep = encode(&nested(200), &EncodeOptions::default(), u32::MAX, PLENTY).unwrap_err();
    let (half, error) = (".a".repeat(8), "JSON has no NaN; leave it out, or write it as a string");
    assert_eq!(deep, format!("value{half} ... {half}: {error}"));
    let deeper = encode(&nested(400), &EncodeOptions::default(), u32::MAX, PLENTY).unwrap_err();
    assert!(deeper.ends_with(": tables lie more than 200 deep in each other"), "{deeper}");
}

#[test]
fn values() {
    for (value, text) in [
        (Value::Nil, "null"),
        (Value::Boolean(true), "true"),
        (list([false.into(), list([]), Value::Map(Vec::new())]), "[false,[],{}]"),
        (
            Value::from([("b", 1), ("a", 2), ("B", 3), ("", 4), ("é", 5), ("aa", 6)]),
            r#"{"":4,"B":3,"a":2,"aa":6,"b":1,"é":5}"#,
        ),
        (
            Value::from("\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}é\u{2028}😀"),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é\u{2028}😀\"",
        ),
        (Value::from([("a\n\"", "")]), r#"{"a\n\"":""}"#),
        (Value::Integer(i64::MIN), "-9223372036854775808"),
        (Value::Integer(i64::MAX), "9223372036854775807"),
        (Value::Integer(1), "1"),
    ] {
        assert_eq!(json(&value), text);
    }
}

#[test]
fn numbers() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "-0.0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (100.0, "100"),
        (1e6, "1000000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (9_007_199_254_740_993.0, "9007199254740992"),
        (2f64.powi(60), "1152921504606846976"),
        (1e20, "100000000000000000000"),
        (1e21, "1e21"),
        (-1.25e30, "-1.25e30"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (1.0 / 3.0, "0.3333333333333333"),
    ] {
        assert_eq!(json(&Value::Number(number)), text);
        assert_eq!(value(text), Value::Number(number));
    }
}

#[test]
fn options() {
    let empty = EncodeOptions { empty_as_object: Some(true), ..EncodeOptions::default() };
    assert_eq!(with(&Value::from([("a", list([])), ("b", Value::Map(Vec::new()))]), &empty), r#"{"a":{},"b":{}}"#);
    let not = EncodeOptions { empty_as_object: Some(false), ..EncodeOptions::default() };
    assert_eq!(with(&list([]), &not), "[]");

    let value = Value::from([("b", list([1.into(), list([]), Value::from([("c", true)])])), ("a", "x".into())]);
    let pretty = EncodeOptions { indent: Some(2), ..EncodeOptions::default() };
    let text = "{\n  \"a\": \"x\",\n  \"b\": [\n    1,\n    [],\n    {\n      \"c\": true\n    }\n  ]\n}";
    assert_eq!(with(&value, &pretty), text);
    assert_eq!(with(&1.into(), &pretty), "1");
    let none = EncodeOptions { indent: Some(0), ..EncodeOptions::default() };
    assert_eq!(with(&value, &none), json(&value));
}

#[test]
fn null_is_what_the_caller_says() {
    let nulls = |null: Value| EncodeOptions { null, ..EncodeOptions::default() };
    let value = Value::from([("a", "none".into()), ("none", list([0.into(), (-0.0).into(), Value::Integer(0)]))]);
    assert_eq!(with(&value, &nulls("none".into())), r#"{"a":null,"none":[0,-0.0,0]}"#);
    assert_eq!(with(&value, &nulls(0.into())), r#"{"a":"none","none":[null,-0.0,0]}"#);
    // What has no form otherwise may stand for null.
    for null in [Value::Number(f64::NAN), Value::Vector([1.0; 3]), Value::Buffer(vec![1]), Value::String(vec![0xff])] {
        assert_eq!(with(&list([null.clone(), 1.into()]), &nulls(null)), "[null,1]");
    }
    for table in [list([]), Value::Map(Vec::new())] {
        let error = encode(&1.into(), &nulls(table), 200, PLENTY).unwrap_err();
        assert!(error.starts_with("the option `null` is a table"), "{error}");
    }
}

#[test]
fn never_more_bytes_than_allowed() {
    let value = Value::from([("key", list([1.into(), "text\n".into(), Value::Nil, (-1.5).into()]))]);
    for indent in [0, 3] {
        let options = EncodeOptions { indent: Some(indent), ..EncodeOptions::default() };
        let whole = encode(&value, &options, 200, PLENTY).unwrap();
        for most in 0..whole.len() as u32 {
            let error = encode(&value, &options, 200, most).unwrap_err();
            assert!(error.ends_with(&format!(": the JSON up to here takes more than {most} bytes")), "{error}");
        }
        assert_eq!(encode(&value, &options, 200, whole.len() as u32).unwrap(), whole);
    }
    let long = list((0..10_000).map(Value::from));
    let len = json(&long).len();
    assert!(encode(&long, &EncodeOptions::default(), 200, len as u32).unwrap().capacity() <= len);
    let mut writer = Writer::new(1000);
    let stopped = (0..).find(|_| writer.put(b"1234567").is_err());
    assert_eq!(stopped, Some(142));
    assert!(writer.spaces(7).is_err() && writer.escaped("\u{1}2").is_err() && writer.spaces(usize::MAX).is_err());
    let bytes = writer.take();
    assert!(bytes.len() <= 1000 && bytes.capacity() <= 1000);
}
