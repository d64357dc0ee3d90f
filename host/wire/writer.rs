//! Writes MessagePack as `wire.rs` has it, never past its limit. Both encoders write through here.

use rmp::encode;

use super::token::exact_from_int;
use super::{EXT_HANDLE, EXT_INTEGER, EXT_VECTOR, WireError};

/// What is written before its length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    String,
    Array,
    Map,
}

pub(crate) struct Writer {
    out: Vec<u8>,
    bytes_max: u32,
    /// How many more values may be written: heads of tables, keys and scalars.
    values_left: usize,
}

/// The largest magnitude up to which every integer is a double.
const INT_MAX: f64 = 9_007_199_254_740_992.0;

/// The integer that this number is written as, if it is one of moderate size and not -0.
#[allow(clippy::cast_possible_truncation, reason = "it is integral and small")]
pub(crate) fn as_int(number: f64) -> Option<i64> {
    let is_int = number.trunc() == number && number.abs() <= INT_MAX && !(number == 0.0 && number.is_sign_negative());
    is_int.then_some(number as i64)
}

impl Writer {
    pub(crate) fn new(bytes_max: u32) -> Self {
        Self::with_capacity(128, bytes_max)
    }

    /// With room for so many bytes at first.
    pub(crate) fn with_capacity(bytes: usize, bytes_max: u32) -> Self {
        Self { out: Vec::with_capacity(bytes), bytes_max, values_left: usize::MAX }
    }

    /// Bounds the values that may be written. Those that are appended as they are don't count.
    pub(crate) fn at_most(&mut self, values: usize) {
        self.values_left = values;
    }

    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// What was written since `start`.
    pub(crate) fn since(&self, start: usize) -> &[u8] {
        self.out.get(start..).unwrap_or_default()
    }

    /// Takes back what was written since.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Bytes that may still be written; none if there are too many already.
    fn left(&self) -> Option<usize> {
        (self.bytes_max as usize).checked_sub(self.out.len())
    }

    /// Called after the head of each value: writing into a Vec can't fail, so what rmp returns is of no interest.
    fn written<T>(&mut self, _: T) -> Result<(), WireError> {
        if self.left().is_none() {
            return Err(WireError::too_large(self.bytes_max));
        }
        self.values_left = self.values_left.checked_sub(1).ok_or_else(WireError::too_many)?;
        Ok(())
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if self.left().is_none_or(|left| bytes.len() > left) {
            return Err(WireError::too_large(self.bytes_max));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// A byte of a string whose bytes come one by one: sixteen take as long as a value.
    pub(crate) fn raw(&mut self, byte: u8) -> Result<(), WireError> {
        if self.out.len().is_multiple_of(16) {
            self.values_left = self.values_left.checked_sub(1).ok_or_else(WireError::too_many)?;
        }
        self.append(&[byte])
    }

    /// MessagePack's lengths have 32 bits.
    fn count(&self, len: usize) -> Result<u32, WireError> {
        u32::try_from(len).map_err(|_| WireError::too_large(self.bytes_max))
    }

    pub(crate) fn nil(&mut self) -> Result<(), WireError> {
        let done = encode::write_nil(&mut self.out);
        self.written(done)
    }

    pub(crate) fn boolean(&mut self, value: bool) -> Result<(), WireError> {
        let done = encode::write_bool(&mut self.out, value);
        self.written(done)
    }

    pub(crate) fn number(&mut self, number: f64) -> Result<(), WireError> {
        let done = match as_int(number) {
            Some(int) => encode::write_sint(&mut self.out, int).map(drop),
            None => encode::write_f64(&mut self.out, number),
        };
        self.written(done)
    }

    /// An integer of a Rust type: a number if a double holds it, else an integer.
    pub(crate) fn int(&mut self, int: i128) -> Result<(), WireError> {
        match (exact_from_int(int), i64::try_from(int)) {
            (Some(number), _) => self.number(number),
            (None, Ok(integer)) => self.integer(integer),
            (None, Err(_)) => Err(WireError::mismatch(format_args!(
                "{int} fits neither a double nor a 64-bit integer exactly; send it as a string"
            ))),
        }
    }

    /// Luau's `integer`.
    pub(crate) fn integer(&mut self, integer: i64) -> Result<(), WireError> {
        if exact_from_int(integer.into()).is_none() {
            let done = encode::write_sint(&mut self.out, integer);
            return self.written(done);
        }
        let done = encode::write_ext_meta(&mut self.out, 8, EXT_INTEGER);
        self.written(done)?;
        self.append(&integer.to_be_bytes())
    }

    pub(crate) fn handle(&mut self, handle: u32) -> Result<(), WireError> {
        let done = encode::write_ext_meta(&mut self.out, 4, EXT_HANDLE);
        self.written(done)?;
        self.append(&handle.to_be_bytes())
    }

    /// The head of a vector, whose three parts are to be [`append`](Self::append)ed.
    pub(crate) fn vector_head(&mut self) -> Result<(), WireError> {
        let done = encode::write_ext_meta(&mut self.out, 12, EXT_VECTOR);
        self.written(done)
    }

    pub(crate) fn vector(&mut self, vector: [f32; 3]) -> Result<(), WireError> {
        self.vector_head()?;
        vector.iter().try_for_each(|part| self.append(&part.to_be_bytes()))
    }

    pub(crate) fn string(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let len = self.count(bytes.len())?;
        let done = encode::write_str_len(&mut self.out, len);
        self.written(done)?;
        self.append(bytes)
    }

    pub(crate) fn buffer(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let len = self.count(bytes.len())?;
        let done = encode::write_bin_len(&mut self.out, len);
        self.written(done)?;
        self.append(bytes)
    }

    pub(crate) fn array(&mut self, len: usize) -> Result<(), WireError> {
        let len = self.count(len)?;
        let done = encode::write_array_len(&mut self.out, len);
        self.written(done)
    }

    pub(crate) fn map(&mut self, len: usize) -> Result<(), WireError> {
        let len = self.count(len)?;
        let done = encode::write_map_len(&mut self.out, len);
        self.written(done)
    }

    /// A byte for the head of a string or a table whose length is known only at its end, which [`end`](Self::end)s it.
    pub(crate) fn begin(&mut self) -> Result<usize, WireError> {
        let at = self.len();
        self.append(&[0])?;
        Ok(at)
    }

    /// Writes the head of what was begun at `at`: as short as it can be. What was written since is moved, if the head is longer
    /// than a byte.
    pub(crate) fn end(&mut self, at: usize, what: Begun, len: usize) -> Result<(), WireError> {
        let count = self.count(len)?;
        let mut head = Vec::with_capacity(5);
        let done = match what {
            Begun::String => encode::write_str_len(&mut head, count),
            Begun::Array => encode::write_array_len(&mut head, count),
            Begun::Map => encode::write_map_len(&mut head, count),
        };
        if at < self.out.len() {
            drop(self.out.splice(at..=at, head));
        }
        self.written(done)
    }

    /// The head of a table whose length is known only at its end, to be [`close`](Self::close)d.
    pub(crate) fn open(&mut self) -> Result<usize, WireError> {
        let at = self.len();
        self.append(&[0; 5])?;
        Ok(at)
    }

    pub(crate) fn close(&mut self, at: usize, marker: rmp::Marker, len: usize) -> Result<(), WireError> {
        let [a, b, c, d] = self.count(len)?.to_be_bytes();
        if let Some(head) = self.out.get_mut(at..at + 5) {
            head.copy_from_slice(&[marker.to_u8(), a, b, c, d]);
        }
        Ok(())
    }
}
