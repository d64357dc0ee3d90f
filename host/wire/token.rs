//! Reads MessagePack a token at a time, as Luau means it. Everything that reads bytes from a guest reads them here.

use rmp::Marker;

use super::{EXT_HANDLE, EXT_INTEGER, EXT_VECTOR, WireError};
use crate::value::Value;

/// A whole scalar, or the head of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    Integer(i64),
    String(&'a [u8]),
    Buffer(&'a [u8]),
    Vector([f32; 3]),
    /// Of a resource: a number that means something to one instance.
    Handle(u32),
    /// So many items follow; there are at least as many bytes.
    Array(usize),
    /// So many keys, each with its value, follow; there are at least as many bytes.
    Map(usize),
}

impl Token<'_> {
    /// The value, unless this is the head of a table, or a handle.
    pub(crate) fn scalar(&self) -> Option<Value> {
        Some(match *self {
            Self::Nil => Value::Nil,
            Self::Boolean(value) => Value::Boolean(value),
            Self::Number(number) => Value::Number(number),
            Self::Integer(integer) => Value::Integer(integer),
            Self::String(bytes) => Value::String(bytes.to_vec()),
            Self::Buffer(bytes) => Value::Buffer(bytes.to_vec()),
            Self::Vector(vector) => Value::Vector(vector),
            Self::Handle(_) | Self::Array(_) | Self::Map(_) => return None,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
            Self::Buffer(_) => "a buffer",
            Self::Vector(_) => "a vector",
            Self::Handle(_) => "a handle",
            Self::Array(_) => "a list",
            Self::Map(_) => "a table",
        }
    }

    /// Whether a table may be keyed by it.
    pub(crate) fn is_key(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Number(number) => !number.is_nan(),
            Self::Vector(parts) => !parts.iter().any(|part| part.is_nan()),
            _ => true,
        }
    }
}

/// What a token is to whoever only counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// How many values are in it, one level down. There are at least as many bytes.
    pub(crate) inner: u64,
    pub(crate) is_handle: bool,
}

/// Bytes that are being read, and how far.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Goes on where another reader of the same bytes was.
    pub(crate) fn resumed(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What was read since `start`.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// An error unless all was read.
    pub(crate) fn finish(&self) -> Result<(), WireError> {
        match self.rest().len() {
            0 => Ok(()),
            more => Err(WireError::malformed(self.at, format_args!("{more} more bytes after the value"))),
        }
    }

    /// The next token, left where it is.
    pub(crate) fn peek(&self) -> Result<Token<'a>, WireError> {
        self.clone().token()
    }

    pub(crate) fn token(&mut self) -> Result<Token<'a>, WireError> {
        let start = self.at;
        let [marker] = self.fixed()?;
        Ok(match Marker::from_u8(marker) {
            Marker::Null => Token::Nil,
            Marker::False => Token::Boolean(false),
            Marker::True => Token::Boolean(true),
            Marker::FixPos(value) => Token::Number(value.into()),
            Marker::FixNeg(value) => Token::Number(value.into()),
            Marker::U8 => Token::Number(u8::from_be_bytes(self.fixed()?).into()),
            Marker::U16 => Token::Number(u16::from_be_bytes(self.fixed()?).into()),
            Marker::U32 => Token::Number(u32::from_be_bytes(self.fixed()?).into()),
            Marker::U64 => self.int(start, u64::from_be_bytes)?,
            Marker::I8 => Token::Number(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => Token::Number(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => Token::Number(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => self.int(start, i64::from_be_bytes)?,
            Marker::F32 => Token::Number(f32::from_be_bytes(self.fixed()?).into()),
            Marker::F64 => Token::Number(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(len) => Token::String(self.take(len.into())?),
            Marker::Str8 => Token::String(self.counted::<1>()?),
            Marker::Str16 => Token::String(self.counted::<2>()?),
            Marker::Str32 => Token::String(self.counted::<4>()?),
            Marker::Bin8 => Token::Buffer(self.counted::<1>()?),
            Marker::Bin16 => Token::Buffer(self.counted::<2>()?),
            Marker::Bin32 => Token::Buffer(self.counted::<4>()?),
            Marker::FixArray(len) => Token::Array(self.items(start, len.into(), 1)?),
            Marker::Array16 => Token::Array(self.table::<2>(start, 1)?),
            Marker::Array32 => Token::Array(self.table::<4>(start, 1)?),
            Marker::FixMap(len) => Token::Map(self.items(start, len.into(), 2)?),
            Marker::Map16 => Token::Map(self.table::<2>(start, 2)?),
            Marker::Map32 => Token::Map(self.table::<4>(start, 2)?),
            Marker::FixExt1 => self.ext(start, 1)?,
            Marker::FixExt2 => self.ext(start, 2)?,
            Marker::FixExt4 => self.ext(start, 4)?,
            Marker::FixExt8 => self.ext(start, 8)?,
            Marker::FixExt16 => self.ext(start, 16)?,
            Marker::Ext8 => self.ext_counted::<1>(start)?,
            Marker::Ext16 => self.ext_counted::<2>(start)?,
            Marker::Ext32 => self.ext_counted::<4>(start)?,
            Marker::Reserved => return Err(WireError::malformed(start, "the marker 0xc1 means nothing")),
        })
    }

    /// Passes over a token that nobody looks at, and says what comes after it. It is an error where [`token`](Self::token) is one.
    pub(crate) fn pass_token(&mut self) -> Result<Passed, WireError> {
        // the most frequent ones, in a third of the time that making the token takes
        let len = match self.bytes.get(self.at) {
            Some(0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff) => 1, // an integer, nil or a boolean
            Some(marker @ 0xa0..=0xbf) => 1 + usize::from(marker & 0x1f), // a short string
            Some(0xcb) => 9,                                           // a double
            _ => {
                return Ok(match self.token()? {
                    Token::Array(items) => Passed { inner: items as u64, is_handle: false },
                    Token::Map(pairs) => Passed { inner: (pairs as u64).saturating_mul(2), is_handle: false },
                    token => Passed { inner: 0, is_handle: matches!(token, Token::Handle(_)) },
                });
            }
        };
        self.take(len)?;
        Ok(Passed { inner: 0, is_handle: false })
    }

    /// Passes over a whole value, however deep, without recursing.
    pub(crate) fn skip(&mut self) -> Result<(), WireError> {
        self.skip_seen().map(drop)
    }

    /// Passes over a whole value, and says whether there was a handle in it.
    pub(crate) fn skip_seen(&mut self) -> Result<bool, WireError> {
        let (mut pending, mut has_handles): (u64, bool) = (1, false);
        while pending > 0 {
            pending -= 1;
            let Passed { inner, is_handle } = self.pass_token()?;
            // Each length is at most the bytes that are left, so the sum can't overflow before they run out.
            pending = pending.saturating_add(inner);
            has_handles |= is_handle;
        }
        Ok(has_handles)
    }

    /// Goes on at `end`, to which all was read before.
    pub(crate) fn pass(&mut self, end: usize) -> Result<(), WireError> {
        self.take(end.saturating_sub(self.at)).map(drop)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let rest = self.rest();
        match rest.get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(WireError::malformed(self.at, format_args!("{len} bytes wanted, {} left", rest.len()))),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| WireError::malformed(at, "wrong length"))
    }

    /// A length of `N` bytes, big-endian.
    fn len<const N: usize>(&mut self) -> Result<usize, WireError> {
        Ok(self.fixed::<N>()?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
    }

    fn counted<const N: usize>(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.len::<N>()?;
        self.take(len)
    }

    fn table<const N: usize>(&mut self, start: usize, each: usize) -> Result<usize, WireError> {
        let len = self.len::<N>()?;
        self.items(start, len, each)
    }

    /// A value takes a byte at least, so a table with more values than bytes are left is a lie.
    fn items(&self, start: usize, len: usize, each: usize) -> Result<usize, WireError> {
        let left = self.rest().len();
        if len.saturating_mul(each) > left {
            let what = format_args!("a table of {len} entries in {left} bytes");
            return Err(WireError::malformed(start, what));
        }
        Ok(len)
    }

    /// An int: a number if a double holds it, else an integer.
    fn int<T: Into<i128>>(&mut self, start: usize, read: fn([u8; 8]) -> T) -> Result<Token<'a>, WireError> {
        let int = read(self.fixed()?).into();
        match (exact_from_int(int), i64::try_from(int)) {
            (Some(number), _) => Ok(Token::Number(number)),
            (None, Ok(integer)) => Ok(Token::Integer(integer)),
            (None, Err(_)) => {
                Err(WireError::malformed(start, format_args!("{int} is neither a double nor a 64-bit integer")))
            }
        }
    }

    fn ext_counted<const N: usize>(&mut self, start: usize) -> Result<Token<'a>, WireError> {
        let len = self.len::<N>()?;
        self.ext(start, len)
    }

    fn ext(&mut self, start: usize, len: usize) -> Result<Token<'a>, WireError> {
        let kind = i8::from_be_bytes(self.fixed()?);
        match (kind, len) {
            (EXT_VECTOR, 12) => {
                let x = f32::from_be_bytes(self.fixed()?);
                let y = f32::from_be_bytes(self.fixed()?);
                let z = f32::from_be_bytes(self.fixed()?);
                Ok(Token::Vector([x, y, z]))
            }
            (EXT_HANDLE, 4) => Ok(Token::Handle(u32::from_be_bytes(self.fixed()?))),
            (EXT_INTEGER, 8) => Ok(Token::Integer(i64::from_be_bytes(self.fixed()?))),
            _ => Err(WireError::malformed(start, format_args!("no extension type {kind} of {len} bytes"))),
        }
    }
}

/// The double that is exactly this integer, if there is one.
#[allow(clippy::cast_possible_truncation, reason = "the way back is compared")]
pub(crate) fn exact_from_int(int: i128) -> Option<f64> {
    let number = int as f64;
    // At 2^127 the way back saturates, and would lie.
    (number.abs() < 2f64.powi(127) && number as i128 == int).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the bytes are: what is passed over is what would have been read, and what can't be read isn't passed over.
        #[test]
        fn m8_what_is_passed_over_is_what_is_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let (mut reads, mut passes) = (Reader::new(&bytes), Reader::new(&bytes));
            loop {
                let (token, passed) = (reads.token(), passes.pass_token());
                prop_assert_eq!(token.is_err(), passed.is_err());
                let (Ok(token), Ok(Passed { inner, is_handle })) = (token, passed) else { break };
                prop_assert_eq!(reads.at(), passes.at());
                prop_assert_eq!(is_handle, matches!(token, Token::Handle(_)));
                prop_assert_eq!(inner, match token {
                    Token::Array(items) => items as u64,
                    Token::Map(pairs) => 2 * pairs as u64,
                    _ => 0,
                });
            }
        }
    }
}
