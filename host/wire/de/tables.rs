//! The entries of tables, as serde asks for them: lists, maps, lists as maps, and enums.

use serde::de::value::U64Deserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::super::WireError;
use super::super::token::Token;
use super::{Result, Source};

/// A list.
pub(super) struct List<'a, 'de> {
    source: &'a mut Source<'de>,
    left: usize,
    seen: usize,
}

impl<'a, 'de> List<'a, 'de> {
    pub(super) fn new(source: &'a mut Source<'de>, len: usize) -> Self {
        Self { source, left: len, seen: 0 }
    }

    /// Items that were not read.
    pub(super) fn left(&self) -> usize {
        self.left
    }
}

impl<'de> SeqAccess<'de> for &mut List<'_, 'de> {
    type Error = WireError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.seen += 1;
        seed.deserialize(&mut *self.source).map(Some).map_err(|error| error.in_item(self.seen))
    }

    fn size_hint(&self) -> Option<usize> {
        // At least a byte each is there; serde itself reserves little on the strength of this.
        Some(self.left)
    }
}

/// A table with its keys.
pub(super) struct Pairs<'a, 'de> {
    source: &'a mut Source<'de>,
    left: usize,
    key: &'de [u8],
}

impl<'a, 'de> Pairs<'a, 'de> {
    pub(super) fn new(source: &'a mut Source<'de>, len: usize) -> Self {
        Self { source, left: len, key: &[] }
    }

    /// Fields that were not read.
    pub(super) fn left(&self) -> usize {
        self.left
    }
}

impl<'de> MapAccess<'de> for &mut Pairs<'_, 'de> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let start = self.source.reader.at();
        if !self.source.reader.peek()?.is_key() {
            return Err(WireError::malformed(start, "a key is nil or NaN"));
        }
        let key = seed.deserialize(&mut *self.source);
        self.key = self.source.reader.since(start);
        key.map(Some).map_err(|error| error.under_key(self.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.source).map_err(|error| error.under_key(self.key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A list, read as the map from 1 that it also is.
pub(super) struct Numbered<'a, 'de> {
    source: &'a mut Source<'de>,
    left: usize,
    seen: usize,
}

impl<'a, 'de> Numbered<'a, 'de> {
    pub(super) fn new(source: &'a mut Source<'de>, len: usize) -> Self {
        Self { source, left: len, seen: 0 }
    }
}

impl<'de> MapAccess<'de> for Numbered<'_, 'de> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.seen += 1;
        let key = U64Deserializer::<WireError>::new(self.seen as u64);
        seed.deserialize(key).map(Some).map_err(|error| error.in_item(self.seen))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.source).map_err(|error| error.in_item(self.seen))
    }
}

/// `{ [variant] = contents }`.
pub(super) struct Variant<'a, 'de> {
    source: &'a mut Source<'de>,
}

impl<'a, 'de> Variant<'a, 'de> {
    pub(super) fn new(source: &'a mut Source<'de>) -> Self {
        Self { source }
    }
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = WireError;
    type Variant = Contents<'a, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Contents<'a, 'de>)> {
        let start = self.source.reader.at();
        let name = seed.deserialize(&mut *self.source)?;
        let key = self.source.reader.since(start);
        Ok((name, Contents { source: self.source, key }))
    }
}

pub(super) struct Contents<'a, 'de> {
    source: &'a mut Source<'de>,
    /// The variant's name, encoded.
    key: &'de [u8],
}

impl<'de> VariantAccess<'de> for Contents<'_, 'de> {
    type Error = WireError;

    fn unit_variant(self) -> Result<()> {
        match self.source.reader.token()? {
            Token::Nil | Token::Array(0) | Token::Map(0) => Ok(()),
            token => {
                let error = WireError::mismatch(format_args!("{}, expected nothing", token.name()));
                Err(error.under_key(self.key))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.source).map_err(|error| error.under_key(self.key))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.source.deserialize_tuple(len, visitor).map_err(|error| error.under_key(self.key))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.source.deserialize_struct("", fields, visitor).map_err(|error| error.under_key(self.key))
    }
}
