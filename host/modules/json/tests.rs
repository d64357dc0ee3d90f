//! JSON as `json.wit` promises it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod bad;
mod good;
mod hostile;
mod random;
mod steps;
mod writing;

use super::{Decoder, EncodeOptions, Encoder, SyntaxError};
use crate::value::Value;
use crate::wire::Encoded;

/// More than the texts and the values here take.
const PLENTY: u32 = 1 << 30;

/// In steps of three values.
fn decode(text: &[u8], null: &Value, depth_max: u32, bytes_max: u32) -> Result<Value, SyntaxError> {
    let mut decoder = Decoder::new(text, null, depth_max, bytes_max)?;
    loop {
        if let Some(read) = decoder.step(3) {
            return read.map(|encoded| encoded.decode().unwrap());
        }
    }
}

fn encoded(value: &Value) -> Encoded {
    Encoded::written(value.encode().unwrap(), 0)
}

fn encode(value: &Value, options: &EncodeOptions, depth_max: u32, bytes_max: u32) -> Result<Vec<u8>, String> {
    let value = encoded(value);
    let mut encoder = Encoder::new(&value, options, depth_max, bytes_max as usize)?;
    loop {
        if let Some(written) = encoder.step() {
            return written;
        }
    }
}

fn value(text: &str) -> Value {
    decode(text.as_bytes(), &Value::Nil, 200, PLENTY).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn wrong(text: impl AsRef<[u8]>) -> SyntaxError {
    let text = text.as_ref();
    match decode(text, &Value::Nil, 4, PLENTY) {
        Ok(value) => panic!("{} was read as {value}", text.escape_ascii()),
        Err(error) => error,
    }
}

fn json(value: &Value) -> String {
    String::from_utf8(encode(value, &EncodeOptions::default(), 200, PLENTY).unwrap()).unwrap()
}

fn unfit(value: &Value) -> String {
    encode(value, &EncodeOptions::default(), 4, PLENTY).unwrap_err()
}
