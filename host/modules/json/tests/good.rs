//! Texts that are JSON, at the edges of what is, and the values they are.

use super::{PLENTY, Value, decode, value, wrong};

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

#[test]
fn values() {
    for (text, expected) in [
        ("null", Value::Nil),
        ("true", Value::Boolean(true)),
        (" \t\r\nfalse\n ", Value::Boolean(false)),
        ("\"\"", Value::from("")),
        ("[]", list([])),
        ("{}", Value::Map(Vec::new())),
        ("[ ]", list([])),
        ("{ \n}", Value::Map(Vec::new())),
        ("[true,[],[ \"a\" , 1 ]]", list([true.into(), list([]), list(["a".into(), 1.into()])])),
        ("{\"a\":{\"b\":[{}]}}", Value::from([("a", Value::from([("b", list([Value::Map(Vec::new())]))]))])),
        ("{\"\":1,\" \":2,\"1\":3}", Value::from([("", 1), (" ", 2), ("1", 3)])),
        ("{\"a\\u0000b\":1,\"a\":2}", Value::from([("a\0b", 1), ("a", 2)])),
        ("{\"__index\":1,\"constructor\":2}", Value::from([("__index", 1), ("constructor", 2)])),
        ("[{\"a\":1},{\"a\":2}]", list([Value::from([("a", 1)]), Value::from([("a", 2)])])),
        ("{\"a\":{\"a\":1}}", Value::from([("a", Value::from([("a", 1)]))])),
        ("{\"é\":1,\"e\u{301}\":2}", Value::from([("é", 1), ("e\u{301}", 2)])),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn numbers() {
    for (text, expected) in [
        ("0", 0.0),
        ("-0", -0.0),
        ("-0.0", -0.0),
        ("0e1", 0.0),
        ("-0e-5", -0.0),
        ("1", 1.0),
        ("-1", -1.0),
        ("1.0", 1.0),
        ("1E+2", 100.0),
        ("1e-2", 0.01),
        ("0.1", 0.1),
        ("123.456e-7", 123.456e-7),
        ("1e0000000000000000000000000000001", 10.0),
        ("9007199254740992", 9_007_199_254_740_992.0),
        ("9007199254740993.0", 9_007_199_254_740_992.0),
        ("1152921504606846976", 2f64.powi(60)),
        ("-9223372036854775808", -(2f64.powi(63))),
        ("9223372036854775808", 2f64.powi(63)),
        ("100000000000000000000", 1e20),
        // As programs write doubles: the fewest digits, then zeros.
        ("12345678901234567000", 12_345_678_901_234_567_000.0),
        ("1.7976931348623157e308", f64::MAX),
        ("5e-324", 5e-324),
        ("1e-400", 0.0),
        ("-1e-400", -0.0),
        ("2.2250738585072011e-308", 2.225_073_858_507_201e-308),
    ] {
        assert_eq!(value(text), Value::Number(expected), "{text}");
    }
    for (text, expected) in [
        ("9007199254740993", 9_007_199_254_740_993),
        ("-9007199254740993", -9_007_199_254_740_993),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775807", -i64::MAX),
        ("1234567890123456789", 1_234_567_890_123_456_789),
    ] {
        assert_eq!(value(text), Value::Integer(expected), "{text}");
    }
    let largest = format!("{:.0}", f64::MAX);
    assert_eq!(value(&largest), Value::Number(f64::MAX));
    assert_eq!(value(&format!("-{largest}")), Value::Number(f64::MIN));
    assert!(wrong(format!("{largest}0")).message.ends_with("is too large for a number"));
    assert!(wrong(largest.replace("17976931", "17976930")).message.contains("would be rounded"));
    assert_eq!(value(&format!("0.{}1", "0".repeat(900))), Value::Number(0.0));
    assert_eq!(value(&format!("1{}e-900", "0".repeat(900))), Value::Number(1.0));
}

#[test]
fn strings() {
    for (text, expected) in [
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u0000\u001F\u007f\u00e9\u20AC""#, "\0\u{1f}\u{7f}é€"),
        (r#""\uD83D\uDE00 \ud800\udc00 \uDBFF\uDFFF""#, "😀 \u{10000} \u{10ffff}"),
        (r#""\uFEFF\uFFFE\uffff""#, "\u{feff}\u{fffe}\u{ffff}"),
        ("\"\u{7f}\u{80}\u{2028}\u{2029}\u{feff}é€😀\"", "\u{7f}\u{80}\u{2028}\u{2029}\u{feff}é€😀"),
        (r#""\\u0041""#, "\\u0041"),
        (r#""a\u0062c""#, "abc"),
        ("\"// no comment\"", "// no comment"),
    ] {
        assert_eq!(value(text), Value::from(expected), "{text}");
    }
}

#[test]
fn null_is_what_the_caller_says() {
    let decoded = |text: &str, null: Value| decode(text.as_bytes(), &null, 4, PLENTY);
    let text = "{\"a\":null,\"b\":[null,{\"c\":null}],\"d\":1}";
    let nulls = |null: Value| {
        let inner = Value::from([("c", null.clone())]);
        Value::from([("a", null.clone()), ("b", list([null, inner])), ("d", 1.into())])
    };
    for null in [
        Value::from("null"),
        Value::Boolean(false),
        Value::Number(f64::NAN),
        Value::Integer(0),
        Value::Vector([0.0; 3]),
        Value::Buffer(Vec::new()),
        Value::String(vec![0xff]),
    ] {
        assert_eq!(decoded(text, null.clone()).unwrap(), nulls(null.clone()));
        assert_eq!(decoded("null", null.clone()).unwrap(), null);
    }
    assert_eq!(value("{\"a\":null,\"b\":1}"), Value::from([("b", 1)]));
    assert_eq!(value("{\"a\":null}"), Value::Map(Vec::new()));
    assert_eq!(value("[{\"a\":null}]"), list([Value::Map(Vec::new())]));
    for table in [list([]), Value::Map(Vec::new())] {
        let error = decoded("1", table).unwrap_err();
        assert_eq!((error.offset, error.line, error.column), (0, 1, 1));
        assert!(error.message.starts_with("the option `null` is a table"), "{}", error.message);
    }
}

#[test]
fn depth_is_counted_in_tables() {
    let depth = |text: &str, most| decode(text.as_bytes(), &Value::Nil, most, PLENTY).map_err(|error| error.offset);
    assert_eq!(depth("1", 0), Ok(1.into()));
    assert_eq!(depth("[]", 0), Err(0));
    assert_eq!(depth("[1,{}]", 1), Err(3));
    assert!(depth("[1,{\"a\":2},[[3]]]", 3).is_ok());
    let nested = |count| format!("{}{}", "[".repeat(count), "]".repeat(count));
    assert!(depth(&nested(200), u32::MAX).is_ok());
    assert_eq!(depth(&nested(201), u32::MAX), Err(200));
}

#[test]
fn memory_is_what_crosses() {
    let within = |text: &str, most| decode(text.as_bytes(), &Value::Nil, 200, most).map_err(|error| error.offset);
    assert!(within("[1,2,3]", 4).is_ok());
    assert_eq!(within("[1,2,3]", 3), Err(6));
    assert_eq!(within("[1,2,3]", 0), Err(1));
    assert!(within("{\"key\":\"text\"}", 10).is_ok());
    assert_eq!(within("{\"key\":\"text\"}", 9), Err(12));
    assert_eq!(within("{\"key\":\"text\"}", 4), Err(5));
    let null = Value::String(vec![b'x'; 1000]);
    let error = decode(b"[null,null,null]", &null, 1, 3_000).unwrap_err();
    assert_eq!(error.offset, 15);
    assert_eq!(error.message, "the value up to here: over the limit payload_bytes of 3000");
}
