//! A value that crosses unread: what a function passes on, or reads by itself in steps, costs no tree of values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};
use smallvec::{SmallVec, smallvec};

use super::token::{Reader, Token};
use super::{ENCODED, WireError, decode};
use crate::value::Value;

/// A value as the bytes that it crosses as, where the WIT says `value`. It holds no handle of a resource.
///
/// As an argument, it costs a copy of its bytes, however many values they are. As a result, likewise, if its depth is known.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Most are short.
    bytes: SmallVec<[u8; 16]>,
    /// How deep tables lie in each other, if that is known.
    depth: Option<u32>,
}

/// A nil, on the wire.
const NIL: u8 = 0xc0;

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Default for Encoded {
    fn default() -> Encoded {
        Encoded { bytes: smallvec![NIL], depth: Some(0) }
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.bytes.len())
    }
}

impl Encoded {
    /// A value that was just written, `depth` tables deep.
    pub(crate) fn written(bytes: Vec<u8>, depth: u32) -> Encoded {
        Encoded { bytes: SmallVec::from_vec(bytes), depth: Some(depth) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_nil(&self) -> bool {
        *self.bytes == [NIL]
    }

    /// Reads it, all at once.
    ///
    /// # Errors
    /// It isn't a value. Scripts can't cause it.
    pub(crate) fn decode(&self) -> Result<Value, WireError> {
        decode(&self.bytes)
    }

    /// Whether it is so many values at most: each key and each table counts. It looks at no more than that.
    pub(crate) fn has_at_most(&self, values: usize) -> bool {
        has_at_most(&self.bytes, values)
    }

    /// How deep tables lie in each other: found by a look at each value, unless it is known.
    pub(crate) fn depth(&self) -> Result<u32, WireError> {
        self.depth.map_or_else(|| depth(&self.bytes), Ok)
    }
}

/// As [`Encoded::has_at_most`].
pub(crate) fn has_at_most(bytes: &[u8], values: usize) -> bool {
    let mut reader = Reader::new(bytes);
    let is_read = (0..values).all(|_| reader.at() < bytes.len() && reader.pass_token().is_ok());
    !is_read || reader.at() >= bytes.len()
}

fn depth(bytes: &[u8]) -> Result<u32, WireError> {
    let mut check = Check::new(bytes);
    while !check.step(&mut { usize::MAX })? {}
    Ok(check.depth())
}

/// Whether bytes are a value, and how deep: found in steps, as a mebibyte may be a million values.
pub(crate) struct Check<'a> {
    reader: Reader<'a>,
    /// Values to come, of each table that is open; and below them all, of the whole.
    open: SmallVec<[u64; 8]>,
    deepest: usize,
}

impl<'a> Check<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Check<'a> {
        Check { reader: Reader::new(bytes), open: smallvec![1], deepest: 0 }
    }

    /// Goes on until it is over, or nothing is left of so many tokens. Whether it is over.
    ///
    /// # Errors
    /// They are none, or hold a handle.
    pub(crate) fn step(&mut self, left: &mut usize) -> Result<bool, WireError> {
        while *left > 0 {
            while self.open.last() == Some(&0) {
                self.open.pop();
            }
            let Some(values) = self.open.last_mut() else { return self.reader.finish().map(|()| true) };
            *values -= 1;
            *left -= 1;
            match self.reader.token()? {
                Token::Array(items) => self.open.push(items as u64),
                Token::Map(pairs) => self.open.push((pairs as u64).saturating_mul(2)),
                Token::Handle(_) => return Err(WireError::stray_handle()),
                _ => continue,
            }
            self.deepest = self.deepest.max(self.open.len() - 1);
        }
        Ok(false)
    }

    /// How deep tables lie in each other, as far as it has gone.
    pub(crate) fn depth(&self) -> u32 {
        u32::try_from(self.deepest).unwrap_or(u32::MAX)
    }
}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let depth = self.depth().map_err(serde::ser::Error::custom)?;
        // serde has no word for it; a variant's index is the place for a number
        serializer.serialize_newtype_variant(ENCODED, depth, "", serde_bytes::Bytes::new(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Encoded, D::Error> {
        deserializer.deserialize_newtype_struct(ENCODED, EncodedVisitor)
    }
}

struct EncodedVisitor;

impl<'de> Visitor<'de> for EncodedVisitor {
    type Value = Encoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that crosses")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Encoded, E> {
        Ok(Encoded { bytes: SmallVec::from_slice(bytes), depth: None })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Encoded, D::Error> {
        // not our own deserializer, which gives the bytes
        let value = Value::deserialize(from)?;
        let bytes = value.encode().map_err(D::Error::custom)?;
        Ok(Encoded { bytes: SmallVec::from_vec(bytes), depth: None })
    }
}
