//! A value as it lies on the wire: for who passes values on, or keeps them, and looks at none. What crosses is copied and not read.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_bytes::Bytes;

use super::token::{Reader, Token};
use super::{ENCODED, VALUE, WireError};

/// The bytes of one value. Only Motu's own formats know it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Raw {
    const NIL: u8 = 0xc0;

    pub(crate) fn nil() -> Raw {
        Raw(vec![Raw::NIL])
    }

    pub(crate) fn is_nil(&self) -> bool {
        self.0 == [Raw::NIL]
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(ENCODED, Bytes::new(&self.0))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_newtype_struct(VALUE, Encoded)
    }
}

struct Encoded;

impl<'de> Visitor<'de> for Encoded {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that a script can have")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
        Ok(Raw(bytes.to_vec()))
    }

    /// To see whether this fits a type.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Raw, D::Error> {
        Ok(Raw::nil())
    }
}

/// Whether bytes are a value: found in steps, as a mebibyte may be a million values.
pub(crate) struct Check<'a> {
    reader: Reader<'a>,
    /// How many values are to come, as far as is known.
    pending: u64,
}

impl<'a> Check<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Check<'a> {
        Check { reader: Reader::new(bytes), pending: 1 }
    }

    /// Goes on for so many tokens. Whether it is over.
    ///
    /// # Errors
    /// They are none.
    pub(crate) fn step(&mut self, tokens: usize) -> Result<bool, WireError> {
        for _ in 0..tokens {
            let Some(pending) = self.pending.checked_sub(1) else { break };
            // each length is at most the bytes that are left, so the sum can't overflow before they run out
            self.pending = pending.saturating_add(match self.reader.token()? {
                Token::Array(items) => items as u64,
                Token::Map(pairs) => (pairs as u64).saturating_mul(2),
                Token::Handle(_) => return Err(WireError::stray_handle()),
                _ => 0,
            });
        }
        if self.pending > 0 {
            return Ok(false);
        }
        self.reader.finish().map(|()| true)
    }
}
