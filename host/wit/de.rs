//! Arguments from the wire to Rust, as the function's WIT says: the check and serde are fed in one pass.
//!
//! What a visitor is given follows from the WIT alone, so that a Rust type that doesn't fit it never fits by chance.

mod access;
mod cases;
mod tables;

#[cfg(feature = "providers")]
use serde::de::DeserializeSeed;
use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

use super::fit::anything::Anything;
use super::handle::{Handles, Held};
use super::mismatch::Mismatch;
use super::package::{Function, Resource};
use super::types::{Int, Ty};
use crate::functions::Arguments;
use crate::value::{Shown, Value};
use crate::wire::de::{Source, large_int};
use crate::wire::token::Token;
use crate::wire::{HANDLE, WireError};
use access::Args;

type Result<T> = std::result::Result<T, WireError>;

/// As [`counted_arguments`], of bytes that nobody has counted.
#[cfg(test)]
pub(crate) fn arguments<A: DeserializeOwned>(
    function: &Function,
    bytes: &[u8],
    handles: &dyn Handles,
) -> std::result::Result<A, Mismatch> {
    read_arguments(function, bytes, Guard { handles, fitting: false })
}

/// The arguments of a call, as the function's WIT has them. A value that the Rust type takes [unread](crate::wire::Encoded) is
/// passed over.
///
/// `A` is the one parameter's own type; of several, a tuple; of none, `()`. Arguments that are missing are nil.
///
/// # Errors
/// An argument isn't what the WIT says, or the Rust type would not have it: the error names the function, the argument and
/// the place in it.
pub(crate) fn counted_arguments<A: DeserializeOwned>(
    function: &Function,
    arguments: &Arguments,
    handles: &dyn Handles,
) -> std::result::Result<A, Mismatch> {
    read(function, Args::of(function, arguments, Guard { handles, fitting: false }))
}

pub(super) fn read_arguments<A: DeserializeOwned>(
    function: &Function,
    bytes: &[u8],
    guard: Guard<'_>,
) -> std::result::Result<A, Mismatch> {
    read(function, Args::new(function, bytes, guard))
}

fn read<A: DeserializeOwned>(function: &Function, mut args: Args<'_, '_>) -> std::result::Result<A, Mismatch> {
    let read = args.begin().and_then(|()| args.read()).and_then(|value| args.finish().map(|()| value));
    read.map_err(|error| Mismatch::argument(function, args.under_way(), error))
}

/// The arguments of a call, each by its own type: what `seed` makes of it.
///
/// # Errors
/// As of [`counted_arguments`].
#[cfg(feature = "providers")]
pub(crate) fn each_argument<'a, 'de, S: DeserializeSeed<'de>>(
    function: &'a Function,
    bytes: &'de [u8],
    handles: &'a dyn Handles,
    seed: impl Fn(&'a Ty) -> S,
) -> std::result::Result<Vec<S::Value>, Mismatch> {
    let mut args = Args::new(function, bytes, Guard { handles, fitting: false });
    let read = args.begin().and_then(|()| args.each(seed)).and_then(|values| args.finish().map(|()| values));
    read.map_err(|error| Mismatch::argument(function, args.under_way(), error))
}

/// A result, read back: to see whether a Rust type fits it.
pub(super) fn read_result<R: DeserializeOwned>(
    function: &Function,
    bytes: &[u8],
    guard: Guard<'_>,
) -> std::result::Result<R, Mismatch> {
    let mut source = Source::new(bytes);
    let read = match &function.result {
        Some(ty) => R::deserialize(Typed { source: &mut source, ty, guard }),
        None => R::deserialize(().into_deserializer()),
    };
    read.map_err(|error| Mismatch::result(function, error))
}

/// What holds for all of a call.
#[derive(Clone, Copy)]
pub(super) struct Guard<'a> {
    pub(super) handles: &'a dyn Handles,
    /// Whether this is no call, but to see whether a Rust type fits.
    pub(super) fitting: bool,
}

impl Guard<'_> {
    /// The handle in a token, if the script holds it and it is of this resource.
    fn handle(self, token: Token<'_>, resource: &Resource) -> Result<u32> {
        let what = format_args!("a handle of {}", resource.name.luau);
        let Token::Handle(handle) = token else { return Err(wrong(what, token)) };
        match self.handles.is_of(handle, &resource.id) {
            Held::Yes => Ok(handle),
            Held::Other => Err(WireError::mismatch(format_args!("expected {what}, got a handle of something else"))),
            Held::No => Err(WireError::mismatch(format_args!("expected {what}, got one that is closed"))),
        }
    }
}

/// The next value, of which the type is known.
struct Typed<'a, 'b, 'de> {
    source: &'b mut Source<'de>,
    ty: &'a Ty,
    guard: Guard<'a>,
}

impl Typed<'_, '_, '_> {
    /// In place of a sample.
    fn anything(&mut self) -> Result<Anything> {
        self.source.reader.skip().map(|()| Anything)
    }
}

/// What was expected, and what came.
#[cold]
fn wrong(expected: impl std::fmt::Display, got: Token<'_>) -> WireError {
    WireError::mismatch(format_args!("expected {expected}, got {}", got.name()))
}

/// What a Rust type asks for that the WIT doesn't have.
#[cold]
fn misfit(rust: impl std::fmt::Display, ty: &Ty) -> WireError {
    WireError::mismatch(format_args!("the Rust type is {rust}; the WIT has {ty}"))
}

/// An integer of this type, or why it is none.
fn integer(token: Token<'_>, int: Int) -> Result<i128> {
    let (low, high) = int.range();
    let value = match token {
        Token::Number(number) => whole(number, int)?,
        Token::Integer(value) => value.into(),
        token => return Err(wrong("a number", token)),
    };
    if low <= value && value <= high { Ok(value) } else { Err(out_of_range(value, int)) }
}

/// A number that is integral.
pub(super) fn whole(number: f64, int: Int) -> Result<i128> {
    match large_int(number) {
        Some(value) => Ok(value),
        None if number.is_infinite() || number.trunc() == number => Err(out_of_range(Shown(number), int)),
        None => Err(WireError::mismatch(format_args!("expected an integer, got {}", Shown(number)))),
    }
}

/// The number of a handle, as it was just written.
pub(super) fn index(token: Token<'_>) -> Result<u32> {
    let value = integer(token, Int::U32)?;
    u32::try_from(value).map_err(|_| out_of_range(value, Int::U32))
}

#[cold]
pub(super) fn out_of_range(value: impl std::fmt::Display, int: Int) -> WireError {
    let (low, high) = int.range();
    WireError::mismatch(format_args!("{value} is out of the range of {}, {low} to {high}", int.name()))
}

fn visit_integer<'de, V: Visitor<'de>>(value: i128, int: Int, visitor: V) -> Result<V::Value> {
    match (u64::try_from(value), i64::try_from(value)) {
        (Ok(value), _) if int.range().0 == 0 => visitor.visit_u64(value),
        (_, Ok(value)) => visitor.visit_i64(value),
        _ => Err(out_of_range(value, int)),
    }
}

fn text<'de>(token: Token<'de>) -> Result<&'de str> {
    match token {
        Token::String(bytes) => std::str::from_utf8(bytes)
            .map_err(|_| WireError::mismatch(format_args!("{} isn't UTF-8", Value::string(bytes)))),
        token => Err(wrong("a string", token)),
    }
}

fn one_char(token: Token<'_>) -> Result<char> {
    let text = text(token)?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(char), None) => Ok(char),
        _ => Err(WireError::mismatch(format_args!("expected one character, got {}", Value::from(text)))),
    }
}

fn bytes(token: Token<'_>) -> Result<&[u8]> {
    match token {
        Token::String(bytes) | Token::Buffer(bytes) => Ok(bytes),
        token => Err(wrong("a string or a buffer", token)),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "what f32 is for; too large is seen")]
pub(super) fn single(number: f64) -> Result<f32> {
    let single = number as f32;
    if number.is_finite() && single.is_infinite() {
        return Err(WireError::mismatch(format_args!("{} is out of the range of f32", Shown(number))));
    }
    Ok(single)
}

fn number(token: Token<'_>) -> Result<f64> {
    match token {
        Token::Number(number) => Ok(number),
        token => Err(wrong("a number", token)),
    }
}

macro_rules! plain {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
            match self.ty.peeled() {
                Ty::Any if self.guard.fitting => self.anything()?.$name(visitor),
                Ty::Any => self.source.$name(visitor),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

/// An integer would fit a float by serde's generosity, and then not come back.
macro_rules! floats {
    ($($name:ident $type:ident not [$($wrong:pat_param),+])*) => {$(
        fn $name<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
            match self.ty.peeled() {
                Ty::Any if self.guard.fitting => self.anything()?.$name(visitor),
                Ty::Any => self.source.$name(visitor),
                $($wrong)|+ => Err(misfit(stringify!($type), self.ty)),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Typed<'_, '_, 'de> {
    type Error = WireError;

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let reader = &mut self.source.reader;
        match self.ty.peeled() {
            Ty::Bool => match reader.token()? {
                Token::Boolean(value) => visitor.visit_bool(value),
                token => Err(wrong("a boolean", token)),
            },
            Ty::Int(int) => visit_integer(integer(reader.token()?, *int)?, *int, visitor),
            Ty::F32 => visitor.visit_f32(single(number(reader.token()?)?)?),
            Ty::F64 => visitor.visit_f64(number(reader.token()?)?),
            Ty::Char => visitor.visit_char(one_char(reader.token()?)?),
            Ty::String => visitor.visit_borrowed_str(text(reader.token()?)?),
            Ty::Bytes => visitor.visit_borrowed_bytes(bytes(reader.token()?)?),
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_any(visitor),
            Ty::Any => self.source.deserialize_any(visitor),
            Ty::Option(inner) => match reader.peek()? {
                Token::Nil => reader.token().and_then(|_| visitor.visit_none()),
                _ => visitor.visit_some(Typed { ty: inner, ..self }),
            },
            Ty::List(item) => self.list(item, visitor),
            Ty::Map(entry) => self.map(&entry.0, &entry.1, visitor),
            Ty::Tuple(items) => self.tuple(items, visitor),
            Ty::Record(record) => self.record(record, false, visitor),
            Ty::Flags(record) => self.record(record, true, visitor),
            Ty::Enum(variant) => visitor.visit_str(&cases::named(variant, reader.token()?)?.name.snake),
            Ty::Variant(variant) => self.tagged(variant, visitor),
            Ty::Result(either) => self.sided(either, visitor),
            Ty::Own(_) | Ty::Borrow(_) => Err(misfit("not motu::Handle", self.ty)),
            Ty::Alias(_) => Err(misfit("another one", self.ty)),
        }
    }

    plain!(
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_identifier deserialize_map
    );

    floats! {
        deserialize_f32 f32 not [Ty::Int(_), Ty::F64]
        deserialize_f64 f64 not [Ty::Int(_)]
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_option(visitor),
            Ty::Any => self.source.deserialize_option(visitor),
            Ty::Option(_) => self.deserialize_any(visitor),
            _ => Err(misfit("an Option", self.ty)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(mut self, name: &'static str, visitor: V) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_unit_struct(name, visitor),
            Ty::Any => self.source.deserialize_unit_struct(name, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(mut self, name: &'static str, visitor: V) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_newtype_struct(name, visitor),
            Ty::Any => self.source.deserialize_newtype_struct(name, visitor),
            Ty::Own(resource) | Ty::Borrow(resource) if name == HANDLE => {
                let token = self.source.reader.token()?;
                visitor.visit_u32(self.guard.handle(token, resource)?)
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_seq(visitor),
            Ty::Any => self.source.deserialize_seq(visitor),
            Ty::Bytes => {
                let bytes = bytes(self.source.reader.token()?)?;
                visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_tuple(len, visitor),
            Ty::Any => self.source.deserialize_tuple(len, visitor),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_tuple_struct(name, len, visitor),
            Ty::Any => self.source.deserialize_tuple_struct(name, len, visitor),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_struct(name, fields, visitor),
            Ty::Any => self.source.deserialize_struct(name, fields, visitor),
            Ty::Record(record) | Ty::Flags(record) if self.guard.fitting => {
                // serde would pass over it, and a field that is only misspelt would be None for ever.
                let unknown = record.fields.iter().find(|field| !fields.contains(&field.name.snake.as_str()));
                match unknown {
                    Some(field) => Err(WireError::mismatch(format_args!(
                        "the Rust type {name} has no field `{}`",
                        field.name.snake
                    ))),
                    None => self.deserialize_any(visitor),
                }
            }
            // By position would be a guess.
            Ty::Tuple(_) | Ty::List(_) | Ty::Bytes => Err(misfit("a struct", self.ty)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_enum(name, variants, visitor),
            Ty::Any => self.source.deserialize_enum(name, variants, visitor),
            Ty::Enum(variant) => self.bare_case(variant, (name, variants), visitor),
            Ty::Variant(variant) => self.case(variant, (name, variants), visitor),
            Ty::Result(either) => self.side(either, visitor),
            Ty::Option(_) => self.deserialize_any(visitor),
            _ => Err(misfit(format_args!("the enum {name}"), self.ty)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        // What Rust has no use for is still what the WIT says.
        match self.ty.peeled() {
            Ty::Any if self.guard.fitting => self.anything()?.deserialize_ignored_any(visitor),
            Ty::Any => self.source.deserialize_ignored_any(visitor),
            Ty::Own(resource) | Ty::Borrow(resource) => {
                let token = self.source.reader.token()?;
                self.guard.handle(token, resource)?;
                visitor.visit_unit()
            }
            _ => self.deserialize_any(visitor),
        }
    }
}
