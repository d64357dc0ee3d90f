//! `Value` to bytes and back, and the check of bytes that are passed on unread.

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

fn write(writer: &mut Writer, value: &Value, depth_left: u32, depth_max: u32) -> Result<(), WireError> {
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
        scalar => Ok(scalar.scalar().unwrap_or_default()),
    }
}

/// A table that is being checked.
struct Open<'a> {
    is_map: bool,
    /// Values that are still to come; of a map, keys too.
    left: usize,
    /// Values that were seen.
    seen: usize,
    /// The last key, encoded.
    key: &'a [u8],
}

/// Whether a guest will take these bytes: one value and no more, no deeper than the limit, nothing that would be rounded.
///
/// Iterative, and holds a few words for each table that is open.
pub(crate) fn check(bytes: &[u8], depth_max: u32) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    let mut open: Vec<Open<'_>> = Vec::new();
    step(&mut reader, &mut open, depth_max)
        .map_err(|error| {
            // The path, from the inside out.
            open.iter().rev().fold(error, |error, table| match (table.is_map, table.seen) {
                (true, seen) if seen % 2 == 0 => error.under_key(table.key),
                (true, _) => error,
                (false, seen) => error.in_item(seen),
            })
        })
        .map_err(|error| error.rooted("payload"))
}

fn step<'a>(reader: &mut Reader<'a>, open: &mut Vec<Open<'a>>, depth_max: u32) -> Result<(), WireError> {
    let depth_max = depth_max.min(DEPTH_MAX);
    loop {
        // The value that comes next belongs to the innermost open table, as a key if that is a map's turn.
        let mut is_key = false;
        if let Some(table) = open.last_mut() {
            table.left -= 1;
            table.seen += 1;
            is_key = table.is_map && table.seen % 2 == 1;
        }
        let start = reader.at();
        let token = reader.token()?;
        if is_key && !token.is_key() {
            return Err(WireError::malformed(start, "a key is nil or NaN"));
        }
        if is_key && let Some(table) = open.last_mut() {
            table.key = reader.since(start);
        }
        let (is_map, left) = match token {
            Token::Array(len) => (false, len),
            Token::Map(len) => (true, len * 2),
            _ => (false, 0),
        };
        if matches!(token, Token::Array(_) | Token::Map(_)) {
            if open.len() >= depth_max as usize {
                return Err(WireError::too_deep(depth_max));
            }
            open.push(Open { is_map, left, seen: 0, key: &[] });
        }
        while open.last().is_some_and(|table| table.left == 0) {
            open.pop();
        }
        if open.is_empty() {
            return reader.finish();
        }
    }
}
