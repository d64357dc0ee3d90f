//! `Value` to bytes and back.

use super::token::{Reader, Token};
use super::writer::Writer;
use super::{DEPTH_MAX, WireError};
use crate::value::Value;

/// Entries that are made room for before they are there. A hostile length costs no more than this.
const RESERVED_MAX: usize = 64;

/// So many bytes of a string are read in the time of a value.
const BYTES_AS_A_VALUE: usize = 512;

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
    let mut decoding = Decoding::default();
    loop {
        if let Some(value) = decoding.step(bytes, usize::MAX)? {
            return Ok(value);
        }
    }
}

/// A value that is being read, in steps: a mebibyte may be a million values. Nothing recurses.
#[derive(Default)]
pub(crate) struct Decoding {
    /// How far the bytes were read.
    at: usize,
    /// The tables that are being read, outermost first.
    open: Vec<Open>,
}

/// A table whose end is not read yet.
enum Open {
    Array {
        left: usize,
        items: Vec<Value>,
    },
    Map {
        left: usize,
        pairs: Vec<(Value, Value)>,
        /// Where the last key begins and ends.
        key_at: (usize, usize),
        /// The last key, while its value is read.
        key: Option<Value>,
    },
}

impl Open {
    /// Adds a value that ends at `at`. Whether the table is whole then.
    fn add(&mut self, value: Value, at: usize) -> bool {
        match self {
            Open::Array { left, items } => {
                items.push(value);
                *left = left.saturating_sub(1);
                *left == 0
            }
            Open::Map { left, pairs, key_at, key } => match key.take() {
                None => {
                    (key_at.1, *key) = (at, Some(value));
                    false
                }
                Some(key) => {
                    pairs.push((key, value));
                    *left = left.saturating_sub(1);
                    *left == 0
                }
            },
        }
    }

    fn into_value(self) -> Value {
        match self {
            Open::Array { items, .. } => Value::Array(items),
            Open::Map { pairs, .. } => Value::Map(pairs),
        }
    }

    /// The error, in what is being read of this.
    fn place(&self, error: WireError, bytes: &[u8]) -> WireError {
        match self {
            Open::Array { items, .. } => error.in_item(items.len() + 1),
            Open::Map { key: None, .. } => error,
            Open::Map { key: Some(_), key_at: (start, end), .. } => {
                error.under_key(bytes.get(*start..*end).unwrap_or_default())
            }
        }
    }
}

impl Decoding {
    /// Reads on in `bytes`, the same each time: so many values, or the like. The value, once all of it is read.
    ///
    /// # Errors
    /// As [`decode`]. It isn't to be called again then, nor after the value.
    pub(crate) fn step(&mut self, bytes: &[u8], values: usize) -> Result<Option<Value>, WireError> {
        let mut reader = Reader::resumed(bytes, self.at);
        let mut left = values;
        let mut read = || {
            while left > 0 {
                let start = reader.at();
                let is_whole = self.token(&mut reader)?;
                left = left.saturating_sub(1 + (reader.at() - start) / BYTES_AS_A_VALUE);
                if let Some(value) = is_whole {
                    return reader.finish().map(|()| Some(value));
                }
            }
            Ok(None)
        };
        let read = read();
        self.at = reader.at();
        read.map_err(|error| {
            self.open.iter().rev().fold(error, |error, open| open.place(error, bytes)).rooted("result")
        })
    }

    /// Reads a token: the whole value, if that ends it.
    fn token(&mut self, reader: &mut Reader<'_>) -> Result<Option<Value>, WireError> {
        let start = reader.at();
        let token = reader.token()?;
        if let Some(Open::Map { key: None, key_at, .. }) = self.open.last_mut() {
            if !token.is_key() {
                return Err(WireError::malformed(start, "a key is nil or NaN"));
            }
            key_at.0 = start;
        }
        let mut value = match token {
            Token::Array(left) => {
                self.deeper()?;
                if left > 0 {
                    self.open.push(Open::Array { left, items: Vec::with_capacity(left.min(RESERVED_MAX)) });
                    return Ok(None);
                }
                Value::Array(Vec::new())
            }
            Token::Map(left) => {
                self.deeper()?;
                if left > 0 {
                    let pairs = Vec::with_capacity(left.min(RESERVED_MAX));
                    self.open.push(Open::Map { left, pairs, key_at: (0, 0), key: None });
                    return Ok(None);
                }
                Value::Map(Vec::new())
            }
            Token::Handle(_) => return Err(WireError::stray_handle()),
            scalar => scalar.scalar().unwrap_or_default(),
        };
        loop {
            let Some(open) = self.open.last_mut() else { return Ok(Some(value)) };
            if !open.add(value, reader.at()) {
                return Ok(None);
            }
            let Some(open) = self.open.pop() else { return Ok(None) };
            value = open.into_value();
        }
    }

    /// A table begins, one level down.
    fn deeper(&self) -> Result<(), WireError> {
        if self.open.len() >= DEPTH_MAX as usize { Err(WireError::too_deep(DEPTH_MAX)) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tests::any_value;

    /// What comes of some bytes, read so many values in a step.
    fn stepped(bytes: &[u8], values: usize) -> Result<Value, String> {
        let mut decoding = Decoding::default();
        loop {
            if let Some(read) = decoding.step(bytes, values).transpose() {
                return read.map_err(|error| error.to_string());
            }
        }
    }

    proptest! {
        #[test]
        fn m8_a_value_is_the_same_in_steps(value in any_value(), values in 1_usize..5) {
            let bytes = value.encode().unwrap();
            prop_assert_eq!(stepped(&bytes, values).unwrap(), value.clone());
            prop_assert_eq!(decode(&bytes).unwrap(), value);
        }

        /// And so is what is wrong with it.
        #[test]
        fn m8_an_error_is_the_same_in_steps(value in any_value(), values in 1_usize..5, at: prop::sample::Index, to: u8) {
            let mut bytes = value.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = to;
            prop_assert_eq!(stepped(&bytes, values), decode(&bytes).map_err(|error| error.to_string()));
            bytes.truncate(at);
            prop_assert!(stepped(&bytes, values).is_err());
        }
    }

    #[test]
    fn m8_a_long_list_takes_steps_and_a_long_text_too() {
        let steps = |value: &Value| {
            let (bytes, mut decoding) = (value.encode().unwrap(), Decoding::default());
            (1..).find(|_| decoding.step(&bytes, 1_000).unwrap().is_some()).unwrap()
        };
        assert_eq!(steps(&Value::from_iter(0..100_000)), 101);
        let texts = Value::from_iter((0..100).map(|_| "x".repeat(BYTES_AS_A_VALUE * 100)));
        assert!((9..=11).contains(&steps(&texts)));
    }
}
