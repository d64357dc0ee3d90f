//! JSON to Luau values and back: the tags, and what no double holds.

use std::fmt;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::{DecodeError, Engine as _};
use motu::Value;

use super::text::{Json, short};

/// Why JSON is not a value, and where in it.
#[derive(Debug)]
pub(crate) struct Problem {
    /// Innermost first.
    path: Vec<String>,
    message: String,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), message: message.into() }
    }

    fn at_key(mut self, key: &str) -> Self {
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
        self.path.push(if plain { format!(".{key}") } else { format!("[{}]", super::quoted(key)) });
        self
    }

    /// Counted from 1, as the script will.
    fn at_index(mut self, index: usize) -> Self {
        self.path.push(format!("[{}]", index + 1));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: String = self.path.iter().rev().map(String::as_str).collect();
        match path.trim_start_matches('.') {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

pub(super) fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::Number(number) => number_to_json(*number),
        Value::Integer(integer) => tagged("$integer", Json::String(integer.to_string())),
        Value::String(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Json::String(text.to_owned()),
            Err(_) => tagged("$bytes", Json::String(BASE64.encode(bytes))),
        },
        Value::Buffer(bytes) => tagged("$buffer", Json::String(BASE64.encode(bytes))),
        Value::Vector(parts) => tagged("$vector", Json::Array(parts.map(part_to_json).into())),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(pairs) if pairs.is_empty() => Json::Array(Vec::new()),
        Value::Map(pairs) => map_to_json(pairs),
    }
}

fn tagged(tag: &str, json: Json) -> Json {
    Json::Object(vec![(tag.to_owned(), json)])
}

fn number_to_json(number: f64) -> Json {
    if number.is_nan() {
        tagged("$number", Json::String("nan".to_owned()))
    } else if number.is_infinite() {
        tagged("$number", Json::String(if number > 0.0 { "inf" } else { "-inf" }.to_owned()))
    } else if number == 0.0 && number.is_sign_negative() {
        Json::Number("-0.0".to_owned())
    } else if number == 0.0 || (1e-5..1e16).contains(&number.abs()) {
        Json::Number(number.to_string())
    } else {
        // All its digits would look like an integer of that precision.
        Json::Number(format!("{number:e}"))
    }
}

/// As short as 32 bits allow, where that reads back the same.
fn part_to_json(part: f32) -> Json {
    if !part.is_finite() || part == 0.0 {
        return number_to_json(part.into());
    }
    Json::Number(if (1e-5..1e16).contains(&part.abs()) { part.to_string() } else { format!("{part:e}") })
}

fn map_to_json(pairs: &[(Value, Value)]) -> Json {
    let mut sorted: Vec<&(Value, Value)> = pairs.iter().collect();
    sorted.sort();
    let named: Option<Vec<(String, Json)>> = sorted
        .iter()
        .map(|(key, value)| {
            let name = key.as_str().filter(|name| !name.starts_with('$'))?;
            Some((name.to_owned(), to_json(value)))
        })
        .collect();
    match named {
        Some(named) => Json::Object(named),
        None => {
            let pair = |(key, value): &&(Value, Value)| Json::Array(vec![to_json(key), to_json(value)]);
            tagged("$map", Json::Array(sorted.iter().map(pair).collect()))
        }
    }
}

/// `depth_left`: tables that may lie in this one, it included.
pub(super) fn from_json(json: &Json, depth_max: u32) -> Result<Value, Problem> {
    Reader { depth_max }.value(json, depth_max)
}

struct Reader {
    depth_max: u32,
}

impl Reader {
    fn value(&self, json: &Json, depth_left: u32) -> Result<Value, Problem> {
        match json {
            Json::Null => Ok(Value::Nil),
            Json::Bool(value) => Ok(Value::Boolean(*value)),
            Json::Number(digits) => number(digits).map(Value::Number),
            Json::String(text) => Ok(Value::from(text.as_str())),
            Json::Array(items) => {
                let depth_left = self.deeper(depth_left)?;
                let item = |(index, item)| self.value(item, depth_left).map_err(|problem| problem.at_index(index));
                items.iter().enumerate().map(item).collect::<Result<_, _>>().map(Value::Array)
            }
            Json::Object(pairs) => match pairs.as_slice() {
                [] => self.deeper(depth_left).map(|_| Value::Array(Vec::new())),
                [(tag, json)] if tag.starts_with('$') => {
                    self.tag(tag, json, depth_left).map_err(|problem| problem.at_key(tag))
                }
                pairs => self.object(pairs, depth_left),
            },
        }
    }

    fn deeper(&self, depth_left: u32) -> Result<u32, Problem> {
        let most = self.depth_max;
        depth_left.checked_sub(1).ok_or_else(|| Problem::new(format!("tables lie more than {most} deep in each other")))
    }

    fn object(&self, pairs: &[(String, Json)], depth_left: u32) -> Result<Value, Problem> {
        let depth_left = self.deeper(depth_left)?;
        let pair = |(key, json): &(String, Json)| {
            if key.starts_with('$') {
                let message = "a tag stands alone; a table with such a key is {\"$map\": [[key, value], ...]}";
                return Err(Problem::new(message).at_key(key));
            }
            let value = self.value(json, depth_left).map_err(|problem| problem.at_key(key))?;
            Ok((Value::from(key.as_str()), value))
        };
        pairs.iter().map(pair).collect::<Result<_, _>>().map(Value::Map)
    }

    fn tag(&self, tag: &str, json: &Json, depth_left: u32) -> Result<Value, Problem> {
        match (tag, json) {
            ("$bytes", Json::String(text)) => base64(text).map(Value::String),
            ("$buffer", Json::String(text)) => base64(text).map(Value::Buffer),
            ("$number", Json::String(text)) => match text.as_str() {
                "nan" => Ok(Value::Number(f64::NAN)),
                "inf" => Ok(Value::Number(f64::INFINITY)),
                "-inf" => Ok(Value::Number(f64::NEG_INFINITY)),
                _ => Err(Problem::new("it is \"nan\", \"inf\" or \"-inf\"")),
            },
            ("$integer", Json::String(text)) => match text.parse::<i64>() {
                Ok(integer) if !text.starts_with('+') => Ok(Value::Integer(integer)),
                _ => Err(Problem::new("it is the digits of a 64-bit integer")),
            },
            ("$vector", Json::Array(parts)) => match parts.as_slice() {
                [x, y, z] => {
                    let part = |index, json| part(json).map_err(|problem| problem.at_index(index));
                    Ok(Value::Vector([part(0, x)?, part(1, y)?, part(2, z)?]))
                }
                _ => Err(Problem::new("a vector has three numbers")),
            },
            ("$map", Json::Array(pairs)) => self.map(pairs, depth_left),
            ("$bytes" | "$buffer", _) => Err(Problem::new("it is base64 in a string")),
            ("$number" | "$integer", _) => Err(Problem::new("its digits are in a string")),
            ("$vector" | "$map", _) => Err(Problem::new("it is a list")),
            _ => Err(Problem::new("there is no such tag; a table with such a key is {\"$map\": [[key, value], ...]}")),
        }
    }

    fn map(&self, pairs: &[Json], depth_left: u32) -> Result<Value, Problem> {
        let depth_left = self.deeper(depth_left)?;
        let mut seen = std::collections::BTreeSet::new();
        let mut pair = |json: &Json| {
            let Json::Array(pair) = json else { return Err(Problem::new("it is a list of [key, value]")) };
            let [key, value] = pair.as_slice() else { return Err(Problem::new("it is a list of [key, value]")) };
            let key = self.value(key, depth_left).map_err(|problem| problem.at_index(0))?;
            if !key.is_key() {
                return Err(Problem::new("a key can't be null or NaN").at_index(0));
            }
            if !seen.insert(key.clone()) {
                return Err(Problem::new(format!("the key {key} is there twice")).at_index(0));
            }
            Ok((key, self.value(value, depth_left).map_err(|problem| problem.at_index(1))?))
        };
        let pairs = pairs.iter().enumerate().map(|(index, json)| pair(json).map_err(|problem| problem.at_index(index)));
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        Ok(if pairs.is_empty() { Value::Array(Vec::new()) } else { Value::Map(pairs) })
    }
}

fn base64(text: &str) -> Result<Vec<u8>, Problem> {
    BASE64.decode(text).map_err(|error| {
        Problem::new(match error {
            DecodeError::InvalidByte(at, _) => format!("not base64: byte {} is none of its characters", at + 1),
            _ => "not base64: it ends too early or too late".to_owned(),
        })
    })
}

/// A double that is what the digits say. Fractions are rounded as everywhere, integers never.
fn number(digits: &str) -> Result<f64, Problem> {
    let shown = short(digits);
    let number: f64 = digits.parse().map_err(|_| Problem::new(format!("{shown} is not a number")))?;
    if !number.is_finite() {
        return Err(Problem::new(format!("{shown} is too large for a number")));
    }
    let is_integer = digits.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    if is_integer && format!("{number:.0}") != digits {
        let hint = match digits.parse::<i64>() {
            Ok(_) => format!("write {{\"$integer\": \"{digits}\"}} for a 64-bit integer"),
            Err(_) => "write it as a string".to_owned(),
        };
        return Err(Problem::new(format!("no number is exactly {shown}; {hint}")));
    }
    Ok(number)
}

/// A part of a vector: a number of 32 bits.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a vector's parts are floats; NaN and infinities stay what they are"
)]
fn part(json: &Json) -> Result<f32, Problem> {
    match json {
        Json::Number(digits) => match digits.parse::<f32>() {
            Ok(part) if part.is_finite() => Ok(part),
            _ => Err(Problem::new(format!("{} is too large for a vector", short(digits)))),
        },
        Json::Object(_) => match from_json(json, 0)? {
            Value::Number(number) => Ok(number as f32),
            _ => Err(Problem::new("a vector has three numbers")),
        },
        _ => Err(Problem::new("a vector has three numbers")),
    }
}
