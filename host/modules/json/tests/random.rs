//! Any value comes back, any bytes are read or refused, and another reader of JSON agrees.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::super::number;
use super::{EncodeOptions, PLENTY, Value, decode, encode, value};

/// What stands for null here: no JSON is it.
fn null() -> Value {
    Value::Vector([0.0; 3])
}

fn finite() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |number| number.is_finite())
}

/// Any value that JSON has: no integer that a number could be, no map without entries.
fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(null()),
        any::<bool>().prop_map(Value::from),
        finite().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i64>().prop_map(|integer| Value::Number(integer as f64)),
        any::<u64>().prop_map(|integer| Value::Number(integer as f64 * 16.0)),
        ".{0,12}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,12}".prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 64, 8, |inner| {
        let object = btree_map("[a-c\"\\\\\n\u{e9}]{0,3}", inner.clone(), 1..8)
            .prop_map(|pairs| Value::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect()));
        prop_oneof![vec(inner, 0..8).prop_map(Value::Array), object]
    })
}

/// Near to JSON: a text of JSON with a few bytes changed.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => prop::sample::select(b"[]{}\",:\\u0e+-.tnf \n/'".to_vec()),
        1 => any::<u8>(),
    ];
    let change = (any::<prop::sample::Index>(), 0..3u8, byte);
    (any_json(), vec(change, 0..4), any::<bool>()).prop_map(|(value, changes, is_pretty)| {
        let mut text = encode(&value, &options(u8::from(is_pretty)), 200, PLENTY).unwrap();
        for (index, kind, byte) in changes {
            let at = index.index(text.len() + 1);
            match kind {
                0 => text.insert(at, byte),
                _ if at == text.len() => text.truncate(at / 2),
                1 => text[at] = byte,
                _ => drop(text.remove(at)),
            }
        }
        text
    })
}

fn options(indent: u8) -> EncodeOptions {
    EncodeOptions { null: null(), indent: Some(indent), ..EncodeOptions::default() }
}

/// What is read is JSON to another reader too; what is refused is not, or is what we alone refuse.
fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
    let other = serde_json::from_slice::<serde_json::Value>(text);
    let shown = text.escape_ascii();
    match decode(text, &null(), 200, PLENTY) {
        Ok(value) => {
            prop_assert!(other.is_ok(), "{} was read as {}: {:?}", shown, value, other);
            let again = encode(&value, &options(0), 200, PLENTY).unwrap();
            prop_assert_eq!(decode(&again, &null(), 200, PLENTY).unwrap(), value);
        }
        Err(error) => {
            let ours = ["is there twice", "would be rounded", "too large for a number"];
            let is_ours = ours.iter().any(|words| error.message.contains(words));
            prop_assert!(other.is_err() || is_ours, "{} was refused: {:?}", shown, error);
            let at = error.offset as usize;
            prop_assert!(at <= text.len());
            let before = String::from_utf8(text[..at].to_vec()).unwrap();
            prop_assert_eq!(error.line as usize, before.split('\n').count());
            prop_assert_eq!(error.column as usize, before.split('\n').next_back().unwrap().chars().count() + 1);
            prop_assert!(error.message.len() < 300, "{}", error.message);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(value in any_json(), indent in 0..9u8) {
        let text = encode(&value, &options(indent), 200, PLENTY).unwrap();
        prop_assert_eq!(&decode(&text, &null(), 200, PLENTY).unwrap(), &value);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        prop_assert!(indent > 0 || !text.contains(&b'\n'));
    }

    #[test]
    fn equal_values_are_equal_texts(pairs in btree_map(".{0,3}", any::<i8>(), 1..40), seed in any::<u64>()) {
        let mut pairs: Vec<(Value, Value)> = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let sorted = encode(&Value::Map(pairs.clone()), &options(0), 1, PLENTY).unwrap();
        let len = pairs.len();
        pairs.rotate_left(seed as usize % len);
        pairs.swap(0, seed as usize / 7 % len);
        prop_assert_eq!(encode(&Value::Map(pairs), &options(0), 1, PLENTY).unwrap(), sorted);
    }

    #[test]
    fn any_number(number in finite()) {
        let text = number::write(number);
        prop_assert_eq!(value(&text), Value::Number(number));
        prop_assert!(text.len() <= 25, "{}", text);
        prop_assert!(text.len() <= number.to_string().len().max(21));
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..60)) {
        agrees(&bytes)?;
    }

    #[test]
    fn any_text(text in "[\\[\\]{}\":,0-9eE+.tfnu\\\\ \n-]{0,30}") {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn any_number_text(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn any_string_text(text in "\"(\\\\u[dD][89a-fA-F][0-9]{2}|\\\\[\"\\\\/bfnrtx]|\\\\u[0-9a-f]{3,5}|é|\\PC){0,6}\"") {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn any_mistake(text in nearly_json()) {
        agrees(&text)?;
    }

    /// A value within what may cross is read, and one byte less is refused.
    #[test]
    fn memory_is_exact(value in any_json()) {
        let text = encode(&value, &options(0), 200, PLENTY).unwrap();
        let read = decode(&text, &null(), 200, PLENTY).unwrap();
        let bytes = u32::try_from(read.encode().unwrap().len()).unwrap();
        prop_assert_eq!(&decode(&text, &null(), 200, bytes).unwrap(), &value);
        prop_assert!(decode(&text, &null(), 200, bytes - 1).is_err());
    }
}
