//! Values as the heads of the scripts write them: JSON, and for what JSON lacks the tags that `motu run` uses too.

use motu::Value;
use serde_json::{Map, Value as Json, json};

/// `{"$buffer": "base64"}` and its like are for what has no form of its own.
pub(crate) fn from_value(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Number(number) if number.is_nan() => json!({ "$number": "nan" }),
        Value::Number(number) if number.is_infinite() => {
            json!({ "$number": if *number > 0.0 { "inf" } else { "-inf" } })
        }
        // 1 and 1.0 are one number, but not one JSON text
        Value::Number(number)
            if number.fract() == 0.0 && number.abs() < 1e15 && !(*number == 0.0 && number.is_sign_negative()) =>
        {
            json!(*number as i64)
        }
        Value::Number(number) => json!(number),
        Value::Integer(integer) => json!({ "$integer": integer.to_string() }),
        Value::String(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "$bytes": base64(bytes) }),
        },
        Value::Buffer(bytes) => json!({ "$buffer": base64(bytes) }),
        Value::Vector(vector) => json!({ "$vector": vector }),
        Value::Array(items) => items.iter().map(from_value).collect(),
        Value::Map(pairs) if pairs.iter().all(|(key, _)| key.as_str().is_some()) => {
            let pair = |(key, value): &(Value, Value)| (key.as_str().unwrap_or_default().to_owned(), from_value(value));
            Json::Object(pairs.iter().map(pair).collect::<Map<_, _>>())
        }
        Value::Map(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().collect();
            pairs.sort();
            json!({ "$map": pairs.iter().map(|(key, value)| json!([from_value(key), from_value(value)])).collect::<Vec<_>>() })
        }
    }
}

/// Plain JSON, for payloads.
pub(crate) fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Number(number.as_f64().unwrap()),
        Json::String(text) => Value::string(text.as_str()),
        Json::Array(items) => Value::Array(items.iter().map(to_value).collect()),
        Json::Object(pairs) => match pairs.get("$integer").and_then(Json::as_str) {
            Some(integer) => Value::Integer(integer.parse().unwrap()),
            None => {
                Value::Map(pairs.iter().map(|(key, value)| (Value::string(key.as_str()), to_value(value))).collect())
            }
        },
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            text.push(if shown { DIGITS[(bits >> (18 - 6 * digit) & 63) as usize].into() } else { '=' });
        }
    }
    text
}
