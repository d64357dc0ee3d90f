//! Variants, enums and results: `{ tag = "name", value = payload }`, a name, `{ ok = value }`. To a Rust enum they are its
//! variants; to any other type they are what they are in Luau.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, VariantAccess, Visitor};

use super::access::absent;
use super::{Guard, Result, Typed, misfit, wrong};
use crate::value::Value;
use crate::wire::WireError;
use crate::wire::de::Source;
use crate::wire::token::Token;
use crate::wit::mismatch::one_of;
use crate::wit::types::{Case, Either, Ty, Variant};

/// A Rust enum: its name, its variants.
type Enum = (&'static str, &'static [&'static str]);

/// The case that a string names.
pub(super) fn named<'a>(variant: &'a Variant, token: Token<'_>) -> Result<&'a Case> {
    let found = match token {
        Token::String(name) => variant.cases.iter().find(|case| case.name.snake.as_bytes() == name),
        _ => None,
    };
    found.ok_or_else(|| {
        let names: Vec<_> = variant.cases.iter().map(|case| case.name.snake.as_str()).collect();
        let expected = one_of(&names, "\"");
        match token {
            Token::String(name) => {
                WireError::mismatch(format_args!("expected {expected}, got {}", Value::string(name)))
            }
            token => wrong(expected, token),
        }
    })
}

/// What Rust calls a case.
fn rust_name(case: &Case, (name, variants): Enum) -> Result<&'static str> {
    let found = variants.iter().find(|variant| case.name.is_case(variant));
    found
        .copied()
        .ok_or_else(|| WireError::mismatch(format_args!("the Rust type {name} has no variant for {}", case.name.kebab)))
}

/// Where a payload is read.
enum Place<'b, 'de> {
    Here(&'b mut Source<'de>),
    Elsewhere(Source<'de>),
}

/// What stands in a case.
struct Payload<'a, 'b, 'de> {
    place: Place<'b, 'de>,
    ty: Option<&'a Ty>,
    guard: Guard<'a>,
    /// The key that it stands under.
    key: &'static str,
    /// Whether a case without a payload has `true` in its place.
    is_side: bool,
}

impl<'a, 'de> Payload<'a, '_, 'de> {
    fn typed(&mut self, ty: &'a Ty) -> Typed<'a, '_, 'de> {
        let source = match &mut self.place {
            Place::Here(source) => source,
            Place::Elsewhere(source) => source,
        };
        Typed { source, ty, guard: self.guard }
    }

    /// Nothing, as it should be.
    fn nothing(&mut self) -> Result<()> {
        let is_side = self.is_side;
        match (self.typed(&Ty::Any).source.reader.token()?, is_side) {
            (Token::Boolean(true), true) | (Token::Nil, false) => Ok(()),
            (token, true) => Err(wrong("true", token)),
            (token, false) => Err(wrong("nothing", token)),
        }
        .map_err(|error: WireError| error.in_field(self.key))
    }

    fn read<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        let Some(ty) = self.ty else {
            self.nothing()?;
            return seed.deserialize(().into_deserializer());
        };
        let key = self.key;
        seed.deserialize(self.typed(ty)).map_err(|error| error.in_field(key))
    }
}

impl<'a, 'b, 'de> Typed<'a, 'b, 'de> {
    /// The case that comes, and its payload.
    fn open(self, variant: &'a Variant) -> Result<(&'a Case, Payload<'a, 'b, 'de>)> {
        let len = match self.source.reader.token()? {
            Token::Map(len) => len,
            token => return Err(wrong("a table with a tag", token)),
        };
        let (mut case, mut saved, mut here) = (None, None, false);
        for _ in 0..len {
            let key = self.source.reader.token()?;
            match key {
                Token::String(b"tag") if case.is_none() => {
                    let token = self.source.reader.token()?;
                    case = Some(named(variant, token).map_err(|error| error.in_field("tag"))?);
                }
                Token::String(b"value") if saved.is_none() && !here => {
                    // The last one is read where it is.
                    here = case.is_some() && len == 2;
                    if !here {
                        saved = Some(self.source.reader.clone());
                        self.source.reader.skip()?;
                    }
                }
                Token::Array(_) | Token::Map(_) => return Err(wrong("the fields tag and value", key)),
                key => {
                    let key = key.scalar().unwrap_or_default();
                    return Err(WireError::mismatch(format_args!("unknown field {key}, expected tag and value")));
                }
            }
        }
        let case = case.ok_or_else(|| wrong("a tag", Token::Nil).in_field("tag"))?;
        let place = match saved {
            _ if here => Place::Here(self.source),
            Some(reader) => Place::Elsewhere(Source::at(reader)),
            None => Place::Elsewhere(absent()),
        };
        Ok((case, Payload { place, ty: case.ty.as_ref(), guard: self.guard, key: "value", is_side: false }))
    }

    /// A case of a variant, as a Rust enum.
    pub(super) fn case<V: Visitor<'de>>(self, variant: &'a Variant, rust: Enum, visitor: V) -> Result<V::Value> {
        let (case, payload) = self.open(variant)?;
        visitor.visit_enum(Chosen { name: rust_name(case, rust)?, payload })
    }

    /// A case of an enum, as a Rust enum.
    pub(super) fn bare_case<V: Visitor<'de>>(self, variant: &'a Variant, rust: Enum, visitor: V) -> Result<V::Value> {
        let case = named(variant, self.source.reader.token()?)?;
        let name: StrDeserializer<'_, WireError> = rust_name(case, rust)?.into_deserializer();
        visitor.visit_enum(name)
    }

    /// A case of a variant, as what it is in Luau.
    pub(super) fn tagged<V: Visitor<'de>>(self, variant: &'a Variant, visitor: V) -> Result<V::Value> {
        let (case, mut payload) = self.open(variant)?;
        if case.ty.is_none() {
            payload.nothing()?;
        }
        let has_payload = case.ty.is_some();
        let mut entries = Entries { tag: Some(&case.name.snake), payload: has_payload.then_some(payload) };
        let value = visitor.visit_map(&mut entries)?;
        entries.finish().map(|()| value)
    }

    fn open_side(self, either: &'a Either) -> Result<(bool, Payload<'a, 'b, 'de>)> {
        const EXPECTED: &str = "{ ok = ... } or { err = ... }";
        let token = self.source.reader.token()?;
        let Token::Map(len) = token else { return Err(wrong(EXPECTED, token)) };
        if len != 1 {
            return Err(WireError::mismatch(format_args!("expected {EXPECTED}, got a table of {len} fields")));
        }
        let (is_ok, ty, key) = match self.source.reader.token()? {
            Token::String(b"ok") => (true, &either.ok, "ok"),
            Token::String(b"err") => (false, &either.err, "err"),
            key => {
                let key = key.scalar().unwrap_or_default();
                return Err(WireError::mismatch(format_args!("unknown field {key}, expected {EXPECTED}")));
            }
        };
        let place = Place::Here(self.source);
        Ok((is_ok, Payload { place, ty: ty.as_ref(), guard: self.guard, key, is_side: true }))
    }

    /// A side of a result, as Rust's `Result`.
    pub(super) fn side<V: Visitor<'de>>(self, either: &'a Either, visitor: V) -> Result<V::Value> {
        let (is_ok, payload) = self.open_side(either)?;
        visitor.visit_enum(Chosen { name: if is_ok { "Ok" } else { "Err" }, payload })
    }

    /// A side of a result, as what it is in Luau.
    pub(super) fn sided<V: Visitor<'de>>(self, either: &'a Either, visitor: V) -> Result<V::Value> {
        let (_, payload) = self.open_side(either)?;
        let mut entries = Entries { tag: None, payload: Some(payload) };
        let value = visitor.visit_map(&mut entries)?;
        entries.finish().map(|()| value)
    }
}

/// A case, as serde's enums want it.
struct Chosen<'a, 'b, 'de> {
    name: &'static str,
    payload: Payload<'a, 'b, 'de>,
}

impl<'a, 'b, 'de> EnumAccess<'de> for Chosen<'a, 'b, 'de> {
    type Error = WireError;
    type Variant = Payload<'a, 'b, 'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant)> {
        let name: StrDeserializer<'_, WireError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.payload))
    }
}

impl<'de> VariantAccess<'de> for Payload<'_, '_, 'de> {
    type Error = WireError;

    fn unit_variant(mut self) -> Result<()> {
        match self.ty {
            None => self.nothing(),
            Some(ty) => Err(misfit("a variant without a payload", ty)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value> {
        self.read(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value> {
        let Some(ty) = self.ty else { return Err(WireError::mismatch("the Rust variant has a payload, the WIT none")) };
        let key = self.key;
        self.typed(ty).deserialize_tuple(len, visitor).map_err(|error| error.in_field(key))
    }

    fn struct_variant<V: Visitor<'de>>(mut self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        let Some(ty) = self.ty else { return Err(WireError::mismatch("the Rust variant has a payload, the WIT none")) };
        let key = self.key;
        self.typed(ty).deserialize_struct("variant", fields, visitor).map_err(|error| error.in_field(key))
    }
}

/// A case, as the table that it is in Luau: its tag if it has one, then its payload.
struct Entries<'a, 'b, 'de> {
    tag: Option<&'a str>,
    payload: Option<Payload<'a, 'b, 'de>>,
}

impl Entries<'_, '_, '_> {
    fn finish(&self) -> Result<()> {
        match self.payload {
            None => Ok(()),
            Some(_) => Err(WireError::mismatch("the Rust type doesn't take the payload")),
        }
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_, '_, 'de> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let key = match (self.tag, &self.payload) {
            (Some(_), _) => "tag",
            (None, Some(payload)) => payload.key,
            (None, None) => return Ok(None),
        };
        let key: StrDeserializer<'_, WireError> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        if let Some(tag) = self.tag.take() {
            let tag: StrDeserializer<'_, WireError> = tag.into_deserializer();
            return seed.deserialize(tag);
        }
        match self.payload.take() {
            // What is nothing in the WIT is `true` in Luau, and so in a type that isn't a Result.
            Some(mut payload) if payload.ty.is_none() => {
                payload.nothing()?;
                seed.deserialize(true.into_deserializer())
            }
            Some(mut payload) => payload.read(seed),
            None => Err(WireError::mismatch("a value without its key")),
        }
    }
}
