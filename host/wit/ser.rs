//! Results from Rust to the wire, as the function's WIT says. What doesn't match is the host's fault, and never crosses.

mod table;

use rmp::Marker;
use serde::ser::{Serialize, Serializer};

use super::mismatch::Mismatch;
use super::package::Function;
use super::types::{Case, Either, Int, Ty, Variant};
use crate::wire::ser::State;
use crate::wire::{DEPTH_MAX, HANDLE, WireError};
use table::{Compound, Shape};

type Result<T = ()> = std::result::Result<T, WireError>;

/// What a call came to, as a script will read it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The value that the call returns.
    Value(Vec<u8>),
    /// The error value that the call raises: the other side of a `result`.
    Error(Vec<u8>),
}

/// A function's result, checked against its WIT.
///
/// Never holds more than `bytes_max`.
///
/// # Errors
/// It isn't what the WIT says, or it is over the limits: the error names the function and the place.
pub(crate) fn result<R: Serialize + ?Sized>(
    function: &Function,
    value: &R,
    depth_max: u32,
    bytes_max: u32,
) -> std::result::Result<Answer, Mismatch> {
    short_result(function, value, depth_max, bytes_max, usize::MAX)
}

/// The same, if it is no more than so many values. Else nothing is left of it, and the error says that it
/// [is too many](Mismatch::is_too_many).
pub(crate) fn short_result<R: Serialize + ?Sized>(
    function: &Function,
    value: &R,
    depth_max: u32,
    bytes_max: u32,
    values_max: usize,
) -> std::result::Result<Answer, Mismatch> {
    let mut state = State::new(depth_max.min(DEPTH_MAX), bytes_max);
    state.writer.at_most(values_max);
    let mut failed = false;
    let typed = Typed { state: &mut state, ty: function.result.as_ref(), whole: Some(&mut failed), raw: false };
    value.serialize(typed).map_err(|error| Mismatch::result(function, error))?;
    let bytes = state.writer.into_bytes();
    Ok(if failed { Answer::Error(bytes) } else { Answer::Value(bytes) })
}

/// A value that is to be written, of a type that is known.
struct Typed<'a, 't> {
    state: &'a mut State,
    /// None where there is nothing.
    ty: Option<&'t Ty>,
    /// Where to say that this is the error of a function's whole result.
    whole: Option<&'a mut bool>,
    /// Whether a `u8` is a byte of a string.
    raw: bool,
}

impl<'a, 't> Typed<'a, 't> {
    fn part(state: &'a mut State, ty: &'t Ty) -> Self {
        Typed { state, ty: Some(ty), whole: None, raw: false }
    }

    fn nothing(state: &'a mut State) -> Self {
        Typed { state, ty: None, whole: None, raw: false }
    }

    /// The type of a value that isn't nil.
    fn present(&self) -> Option<&'t Ty> {
        match self.ty?.peeled() {
            Ty::Option(inner) => Some(inner.peeled()),
            ty => Some(ty),
        }
    }

    #[cold]
    fn wrong(&self, got: &str) -> WireError {
        match self.ty {
            Some(ty) => WireError::mismatch(format_args!("the WIT has {ty}, the Rust type gave {got}")),
            None => WireError::mismatch(format_args!("the WIT has nothing, the Rust type gave {got}")),
        }
    }

    fn compound(self, shape: Shape<'t>, marker: Marker, len: Option<usize>) -> Result<Compound<'a, 't>> {
        Ok(Compound::new(self.state.table(marker, len)?, shape))
    }

    fn list(self, len: Option<usize>) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::List(item)) => self.compound(Shape::List(item), Marker::Array32, len),
            Some(Ty::Tuple(items)) => {
                if len.is_some_and(|len| len != items.len()) {
                    return Err(self.wrong("another number of items"));
                }
                self.compound(Shape::Tuple(items), Marker::Array32, Some(items.len()))
            }
            Some(Ty::Bytes) => Ok(Compound::new(self.state.bytes()?, Shape::Bytes)),
            _ => Err(self.wrong("a list")),
        }
    }

    fn table(self, len: Option<usize>, is_struct: bool) -> Result<Compound<'a, 't>> {
        let shape = match self.present() {
            Some(Ty::Record(record)) => Shape::Record(record, false),
            Some(Ty::Flags(record)) => Shape::Record(record, true),
            Some(Ty::Map(entry)) if !is_struct => Shape::Map(entry),
            Some(Ty::Variant(variant)) => Shape::Tagged(variant, None),
            Some(Ty::Result(either)) if self.whole.is_none() => Shape::Sided(either, None),
            _ => return Err(self.wrong("a table")),
        };
        self.compound(shape, Marker::Map32, len)
    }

    /// The case that Rust calls so.
    fn case(&self, variant: &'t Variant, name: &str) -> Result<&'t Case> {
        let found = variant.cases.iter().find(|case| case.name.is_case(name));
        found.ok_or_else(|| {
            let names: Vec<_> = variant.cases.iter().map(|case| case.name.kebab.as_str()).collect();
            let expected = super::mismatch::one_of(&names, "");
            WireError::mismatch(format_args!("the WIT has {expected}, the Rust type gave {name}"))
        })
    }

    /// A side of a result.
    fn side<T: Serialize + ?Sized>(self, either: &'t Either, name: &str, value: &T) -> Result {
        let (ty, key) = match name {
            "Ok" => (&either.ok, "ok"),
            "Err" => (&either.err, "err"),
            _ => return Err(self.wrong(name)),
        };
        let state = self.state;
        if let Some(failed) = self.whole {
            *failed = key == "err";
            return value.serialize(Typed { state, ty: ty.as_ref(), whole: None, raw: false });
        }
        state.deeper()?;
        state.writer.map(1)?;
        state.writer.string(key.as_bytes())?;
        match ty {
            Some(ty) => value.serialize(Typed::part(state, ty)),
            None => {
                let start = state.writer.len();
                let written = value.serialize(Typed::nothing(state));
                written.and_then(|()| {
                    state.writer.truncate(start);
                    state.writer.boolean(true)
                })
            }
        }
        .map_err(|error| error.in_field(key))?;
        state.shallower();
        Ok(())
    }

    /// `{ tag = "name", value =`, of which the value is yet to come.
    fn tag(&mut self, case: &Case) -> Result {
        self.state.deeper()?;
        self.state.writer.map(if case.ty.is_some() { 2 } else { 1 })?;
        self.state.writer.string(b"tag")?;
        self.state.writer.string(case.name.snake.as_bytes())?;
        if case.ty.is_some() { self.state.writer.string(b"value") } else { Ok(()) }
    }

    /// A case with a payload of several parts.
    fn parts(mut self, name: &str, len: usize) -> Result<Compound<'a, 't>> {
        let Some(Ty::Variant(variant)) = self.present() else { return Err(self.wrong("a variant")) };
        let case = self.case(variant, name)?;
        let (shape, marker) = match case.ty.as_ref().map(Ty::peeled) {
            Some(Ty::Tuple(items)) if items.len() == len => (Shape::Tuple(items), Marker::Array32),
            Some(Ty::Record(record)) => (Shape::Record(record, false), Marker::Map32),
            _ => return Err(self.wrong(&format!("{name} with {len} parts"))),
        };
        self.tag(case)?;
        let table = self.state.table(marker, Some(len)).map_err(|error| error.in_field("value"))?;
        Ok(Compound::new(table.in_variant(), shape))
    }

    fn integer(self, value: i128) -> Result {
        match self.present() {
            Some(Ty::Int(int)) => {
                let (low, high) = int.range();
                match u8::try_from(value) {
                    Ok(byte) if self.raw => self.state.writer.raw(byte),
                    _ if low <= value && value <= high => write_integer(self.state, value),
                    _ => Err(super::de::out_of_range(value, *int)),
                }
            }
            _ => Err(self.wrong("an integer")),
        }
    }

    fn text(self, text: &str) -> Result {
        match self.present() {
            Some(Ty::String | Ty::Bytes) => self.state.writer.string(text.as_bytes()),
            Some(Ty::Char) if text.chars().count() == 1 => self.state.writer.string(text.as_bytes()),
            Some(Ty::Enum(variant)) => {
                let case = self.case(variant, text)?;
                self.state.writer.string(case.name.snake.as_bytes())
            }
            _ => Err(self.wrong("a string")),
        }
    }
}

/// A number as long as every integer is one; beyond that, an `integer`.
fn write_integer(state: &mut State, value: i128) -> Result {
    if value.unsigned_abs() <= 1 << 53 {
        return state.writer.number(value as f64);
    }
    match i64::try_from(value) {
        Ok(value) => state.writer.integer(value),
        Err(_) => Err(WireError::mismatch(format_args!("{value} is more than Luau's integers hold; make it a string"))),
    }
}

macro_rules! integers {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, value: $type) -> Result {
            match self.present() {
                Some(Ty::Any) => self.state.$name(value),
                _ => self.integer(value.into()),
            }
        }
    )*};
}

impl<'a, 't> Serializer for Typed<'a, 't> {
    type Ok = ();
    type Error = WireError;
    type SerializeSeq = Compound<'a, 't>;
    type SerializeTuple = Compound<'a, 't>;
    type SerializeTupleStruct = Compound<'a, 't>;
    type SerializeTupleVariant = Compound<'a, 't>;
    type SerializeMap = Compound<'a, 't>;
    type SerializeStruct = Compound<'a, 't>;
    type SerializeStructVariant = Compound<'a, 't>;

    integers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    fn serialize_u8(self, value: u8) -> Result {
        match self.present() {
            _ if self.raw => self.state.writer.raw(value), // one of very many
            Some(Ty::Any) => self.state.serialize_u8(value),
            _ => self.integer(value.into()),
        }
    }

    fn serialize_u128(self, value: u128) -> Result {
        match (self.present(), i128::try_from(value)) {
            (Some(Ty::Any), _) => self.state.serialize_u128(value),
            (Some(Ty::Int(int)), Err(_)) => Err(super::de::out_of_range(value, *int)),
            (_, Ok(value)) => self.integer(value),
            (_, Err(_)) => Err(self.wrong("an integer")),
        }
    }

    fn serialize_bool(self, value: bool) -> Result {
        match self.present() {
            Some(Ty::Bool | Ty::Any) => self.state.writer.boolean(value),
            _ => Err(self.wrong("a boolean")),
        }
    }

    fn serialize_f32(self, value: f32) -> Result {
        match self.present() {
            Some(Ty::Any) => self.state.serialize_f32(value),
            Some(Ty::F32 | Ty::F64) => self.state.writer.number(value.into()),
            _ => Err(self.wrong("a float")),
        }
    }

    fn serialize_f64(self, value: f64) -> Result {
        match self.present() {
            Some(Ty::F64 | Ty::Any) => self.state.writer.number(value),
            Some(Ty::F32) => self.state.writer.number(super::de::single(value)?.into()),
            // A number of a script's that a `Value` brings back.
            Some(Ty::Int(int)) => match super::de::whole(value, *int) {
                Ok(integer) => self.integer(integer),
                Err(error) => Err(error),
            },
            _ => Err(self.wrong("a float")),
        }
    }

    fn serialize_char(self, value: char) -> Result {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result {
        match self.present() {
            Some(Ty::Any) => self.state.serialize_str(value),
            _ => self.text(value),
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        match self.present() {
            Some(Ty::Any) => self.state.serialize_bytes(value),
            Some(Ty::Bytes) => self.state.writer.string(value),
            _ => Err(self.wrong("bytes")),
        }
    }

    fn serialize_none(self) -> Result {
        match self.ty.map(Ty::peeled) {
            Some(Ty::Option(_) | Ty::Any) => self.state.writer.nil(),
            _ => Err(self.wrong("None")),
        }
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        match self.ty.map(Ty::peeled) {
            Some(Ty::Any) => self.state.serialize_some(value),
            Some(Ty::Option(inner)) => value.serialize(Typed::part(self.state, inner)),
            _ => Err(self.wrong("an Option")),
        }
    }

    fn serialize_unit(self) -> Result {
        match self.ty.map(Ty::peeled) {
            None | Some(Ty::Option(_) | Ty::Any) => self.state.writer.nil(),
            _ => Err(self.wrong("nothing")),
        }
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result {
        self.serialize_unit()
    }

    fn serialize_unit_variant(mut self, name: &'static str, index: u32, variant: &'static str) -> Result {
        match self.present() {
            Some(Ty::Any) => self.state.serialize_unit_variant(name, index, variant),
            Some(Ty::Enum(_)) => self.text(variant),
            Some(Ty::Variant(of)) => {
                let case = self.case(of, variant)?;
                if case.ty.is_some() {
                    return Err(self.wrong(&format!("{variant} without its payload")));
                }
                self.tag(case)?;
                self.state.shallower();
                Ok(())
            }
            _ => Err(self.wrong(variant)),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result {
        match self.present() {
            Some(Ty::Any) => self.state.serialize_newtype_struct(name, value),
            Some(Ty::Own(_)) if name == HANDLE => {
                // What it writes is its number.
                let start = self.state.writer.len();
                value.serialize(Typed::part(self.state, &Ty::Int(Int::U32)))?;
                let number = crate::wire::token::Reader::new(self.state.writer.since(start)).token()?;
                let handle = super::de::index(number)?;
                self.state.writer.truncate(start);
                self.state.writer.handle(handle)
            }
            _ if name == HANDLE => Err(self.wrong("a handle")),
            _ => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        match self.present() {
            Some(Ty::Any) => self.state.serialize_newtype_variant(name, index, variant, value),
            Some(Ty::Result(either)) => self.side(either, variant, value),
            Some(Ty::Variant(of)) => {
                let case = self.case(of, variant)?;
                let Some(ty) = &case.ty else { return Err(self.wrong(&format!("{variant} with a payload"))) };
                self.tag(case)?;
                value.serialize(Typed::part(self.state, ty)).map_err(|error| error.in_field("value"))?;
                self.state.shallower();
                Ok(())
            }
            _ => Err(self.wrong(variant)),
        }
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::Any) => Ok(Compound::new(self.state.serialize_seq(len)?, Shape::Any)),
            _ => self.list(len),
        }
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::Any) => Ok(Compound::new(self.state.serialize_tuple(len)?, Shape::Any)),
            _ => self.list(Some(len)),
        }
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::Any) => Ok(Compound::new(self.state.serialize_tuple_struct(name, len)?, Shape::Any)),
            _ => self.list(Some(len)),
        }
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::Any) => {
                let table = self.state.serialize_tuple_variant(name, index, variant, len)?;
                Ok(Compound::new(table, Shape::Any))
            }
            _ => self.parts(variant, len),
        }
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::Any) => Ok(Compound::new(self.state.serialize_map(len)?, Shape::Any)),
            _ => self.table(len, false),
        }
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::Any) => Ok(Compound::new(self.state.serialize_struct(name, len)?, Shape::Any)),
            _ => self.table(Some(len), true),
        }
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Compound<'a, 't>> {
        match self.present() {
            Some(Ty::Any) => {
                let table = self.state.serialize_struct_variant(name, index, variant, len)?;
                Ok(Compound::new(table, Shape::Any))
            }
            _ => self.parts(variant, len),
        }
    }
}
