//! Where the WIT says `value`, any Rust type fits, so it is given what it asks for.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor};

use crate::wire::WireError;

type Result<T> = std::result::Result<T, WireError>;

/// Fits whatever is asked.
#[derive(Clone, Copy)]
pub(crate) struct Anything;

macro_rules! simple {
    ($($name:ident $visit:ident($($value:expr)?);)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            visitor.$visit($($value)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Anything {
    type Error = WireError;

    simple! {
        deserialize_any visit_unit();
        deserialize_bool visit_bool(false);
        deserialize_i8 visit_i8(0);
        deserialize_i16 visit_i16(0);
        deserialize_i32 visit_i32(0);
        deserialize_i64 visit_i64(0);
        deserialize_i128 visit_i128(0);
        deserialize_u8 visit_u8(0);
        deserialize_u16 visit_u16(0);
        deserialize_u32 visit_u32(0);
        deserialize_u64 visit_u64(0);
        deserialize_u128 visit_u128(0);
        deserialize_f32 visit_f32(0.0);
        deserialize_f64 visit_f64(0.0);
        deserialize_char visit_char('a');
        deserialize_str visit_borrowed_str("a");
        deserialize_string visit_borrowed_str("a");
        deserialize_identifier visit_borrowed_str("a");
        deserialize_bytes visit_borrowed_bytes(b"\xc0");
        deserialize_byte_buf visit_borrowed_bytes(b"\xc0");
        deserialize_option visit_none();
        deserialize_unit visit_unit();
        deserialize_ignored_any visit_unit();
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Anything>()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(SeqDeserializer::new(std::iter::repeat_n(Anything, len)))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, Anything)>()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_map(MapDeserializer::new(fields.iter().map(|field| (*field, Anything))))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match variants.first() {
            Some(first) => visitor.visit_enum(First(first)),
            None => Err(WireError::custom("an enum without variants")),
        }
    }
}

impl<'de> IntoDeserializer<'de, WireError> for Anything {
    type Deserializer = Anything;

    fn into_deserializer(self) -> Anything {
        self
    }
}

/// The first variant of an enum.
struct First(&'static str);

impl<'de> EnumAccess<'de> for First {
    type Error = WireError;
    type Variant = First;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, First)> {
        let name: serde::de::value::StrDeserializer<'_, WireError> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for First {
    type Error = WireError;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(Anything)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        Anything.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        Anything.deserialize_struct("", fields, visitor)
    }
}
