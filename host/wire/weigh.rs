//! About how much memory a value takes that is to be written later: counted, not written.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

/// What a value counts for beside its text, in bytes.
const VALUE_BYTES: u64 = 24;

/// How many values are counted one by one: 50 us of them.
const VALUES_MAX: u64 = 16_384;

/// The bytes of a value's texts and buffers, and [`VALUE_BYTES`] for each value in it. `most`, if that is less, or if it has too many
/// values to count them all on a thread that others wait for.
pub(crate) fn weigh(value: &(impl Serialize + ?Sized), most: u64) -> u64 {
    let mut scales = Scales { bytes: 0, values: 0 };
    match value.serialize(&mut scales) {
        Ok(()) => scales.bytes.saturating_add(scales.values * VALUE_BYTES).min(most),
        Err(TooMany) => most,
    }
}

struct Scales {
    bytes: u64,
    values: u64,
}

/// Too many values, or one that can't be written: it is seen again when it is written.
#[derive(Debug)]
struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many values")
    }
}

impl std::error::Error for TooMany {}

impl ser::Error for TooMany {
    fn custom<T: fmt::Display>(_: T) -> TooMany {
        TooMany
    }
}

impl Scales {
    fn add(&mut self, bytes: usize) -> Result<(), TooMany> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.values += 1;
        if self.values > VALUES_MAX { Err(TooMany) } else { Ok(()) }
    }

    fn list(&mut self) -> Result<&mut Scales, TooMany> {
        self.add(0)?;
        Ok(self)
    }
}

macro_rules! scalars {
    ($($method:ident $of:ty),* $(,)?) => {
        $(fn $method(self, _: $of) -> Result<(), TooMany> {
            self.add(0)
        })*
    };
}

impl<'a> Serializer for &'a mut Scales {
    type Ok = ();
    type Error = TooMany;
    type SerializeSeq = &'a mut Scales;
    type SerializeTuple = &'a mut Scales;
    type SerializeTupleStruct = &'a mut Scales;
    type SerializeTupleVariant = &'a mut Scales;
    type SerializeMap = &'a mut Scales;
    type SerializeStruct = &'a mut Scales;
    type SerializeStructVariant = &'a mut Scales;

    scalars!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_u8 u8,
        serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_f32 f32, serialize_f64 f64, serialize_char char,
        serialize_unit_struct &'static str,
    );

    fn serialize_str(self, text: &str) -> Result<(), TooMany> {
        self.add(text.len())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), TooMany> {
        self.add(bytes.len())
    }

    fn serialize_none(self) -> Result<(), TooMany> {
        self.add(0)
    }

    fn serialize_unit(self) -> Result<(), TooMany> {
        self.add(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), TooMany> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), TooMany> {
        self.add(name.len())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), TooMany> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), TooMany> {
        self.add(name.len())?;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<&'a mut Scales, TooMany> {
        self.list()
    }

    fn serialize_tuple(self, _: usize) -> Result<&'a mut Scales, TooMany> {
        self.list()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<&'a mut Scales, TooMany> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<&'a mut Scales, TooMany> {
        self.list()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<&'a mut Scales, TooMany> {
        self.list()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<&'a mut Scales, TooMany> {
        self.list()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<&'a mut Scales, TooMany> {
        self.list()
    }
}

macro_rules! parts {
    ($($of:ident: $method:ident($($name:ident: $key:ty)?)),* $(,)?) => {
        $(impl ser::$of for &mut Scales {
            type Ok = ();
            type Error = TooMany;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $key,)? value: &T) -> Result<(), TooMany> {
                $(self.add($name.len())?;)?
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), TooMany> {
                Ok(())
            }
        })*
    };
}

parts!(
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(name: &'static str),
    SerializeStructVariant: serialize_field(name: &'static str),
);

impl ser::SerializeMap for &mut Scales {
    type Ok = ();
    type Error = TooMany;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), TooMany> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TooMany> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), TooMany> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_count_by_their_bytes_and_values_by_their_number() {
        assert_eq!(weigh("x".repeat(1000).as_str(), u64::MAX), 1000 + VALUE_BYTES);
        assert_eq!(weigh(&(), u64::MAX), VALUE_BYTES);
        assert_eq!(weigh(&vec![Some(1_u8); 10], u64::MAX), 11 * VALUE_BYTES);
        assert_eq!(weigh(&std::collections::BTreeMap::from([("key", "value")]), u64::MAX), 8 + 3 * VALUE_BYTES);
    }

    #[test]
    fn what_is_over_the_most_counts_as_that() {
        let many = usize::try_from(VALUES_MAX).unwrap_or(usize::MAX);
        assert_eq!(weigh("x".repeat(1000).as_str(), 100), 100);
        assert_eq!(weigh(&vec![0_u8; many], 1 << 20), 1 << 20);
        assert_eq!(weigh(&vec![0_u8; many - 1], 1 << 20), VALUES_MAX * VALUE_BYTES);
    }
}
