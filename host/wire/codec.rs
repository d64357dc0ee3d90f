//! `Value` to bytes and back.

use super::token::{Reader, Token};
use super::writer::Writer;
use super::{DEPTH_MAX, WireError};
use crate::value::Value;

/// Entries that are made room for before they are there. A hostile length costs no more than this.
const RESERVED_MAX: usize = 64;

/// `depth_max` and `bytes_max` as the limits have them; never deeper than `DEPTH_MAX`.
pub(crate) fn encode(value: &Value, depth_max: u32, bytes_max: u32) -> Result<Vec<u8>, WireError> {
    let mut writer = Writer::new(bytes_max);
    let depth_max = depth_max.min(DEPTH_MAX);
    write(&mut writer, value, depth_max, depth_max).map_err(|error| error.rooted("payload"))?;
    Ok(writer.into_bytes())
}

pub(super) fn write(writer: &mut Writer, value: &Value, depth_left: u32, depth_max: u32) -> Result<(), WireError> {
    match value {
        Value::Nil => writer.nil(),
        Value::Boolean(value) => writer.boolean(*value),
        Value::Number(number) => writer.number(*number),
        Value::Integer(integer) => writer.integer(*integer),
        Value::String(bytes) => writer.string(bytes),
        Value::Buffer(bytes) => writer.buffer(bytes),
        Value::Vector(vector) => writer.vector(*vector),
        Value::Array(items) => {
            let depth_left = depth_left.checked_sub(1).ok_or_else(|| WireError::too_deep(depth_max))?;
            writer.array(items.len())?;
            for (index, item) in items.iter().enumerate() {
                write(writer, item, depth_left, depth_max).map_err(|error| error.in_item(index + 1))?;
            }
            Ok(())
        }
        Value::Map(pairs) => {
            let depth_left = depth_left.checked_sub(1).ok_or_else(|| WireError::too_deep(depth_max))?;
            writer.map(pairs.len())?;
            for (key, value) in pairs {
                if !key.is_key() {
                    return Err(WireError::mismatch(format_args!("a table can't have the key {key}")));
                }
                let start = writer.len();
                write(writer, key, depth_left, depth_max)?;
                let end = writer.len();
                write(writer, value, depth_left, depth_max).map_err(|error| {
                    let key = writer.since(start).get(..end - start).unwrap_or_default();
                    error.under_key(key)
                })?;
            }
            Ok(())
        }
    }
}

/// A whole value. Its path in errors starts at `result`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, WireError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader, DEPTH_MAX).and_then(|value| reader.finish().map(|()| value));
    value.map_err(|error| error.rooted("result"))
}

fn read(reader: &mut Reader<'_>, depth_left: u32) -> Result<Value, WireError> {
    let token = reader.token()?;
    match token {
        Token::Array(len) => {
            let depth_left = depth_left.checked_sub(1).ok_or_else(|| WireError::too_deep(DEPTH_MAX))?;
            let mut items = Vec::with_capacity(len.min(RESERVED_MAX));
            for index in 0..len {
                items.push(read(reader, depth_left).map_err(|error| error.in_item(index + 1))?);
            }
            Ok(Value::Array(items))
        }
        Token::Map(len) => {
            let depth_left = depth_left.checked_sub(1).ok_or_else(|| WireError::too_deep(DEPTH_MAX))?;
            let mut pairs = Vec::with_capacity(len.min(RESERVED_MAX));
            for _ in 0..len {
                let start = reader.at();
                let token = reader.peek()?;
                if !token.is_key() {
                    return Err(WireError::malformed(start, "a key is nil or NaN"));
                }
                let key = read(reader, depth_left)?;
                let encoded = reader.since(start);
                let value = read(reader, depth_left).map_err(|error| error.under_key(encoded))?;
                pairs.push((key, value));
            }
            Ok(Value::Map(pairs))
        }
        Token::Handle(_) => Err(WireError::stray_handle()),
        scalar => Ok(scalar.scalar().unwrap_or_default()),
    }
}
