//! Any serde type to the wire: the payloads of embedders. Bounded in depth and in bytes while it writes, so neither a
//! giant nor a bottomless payload costs the host more than the limit.

use rmp::Marker;
use serde::ser::{Serialize, Serializer};

use super::token::Reader;
use super::writer::Writer;
use super::{ENCODED, HANDLE, INTEGER, STRING, VECTOR, WireError};

type Result<T = ()> = std::result::Result<T, WireError>;

pub(crate) fn to_bytes<T: Serialize + ?Sized>(payload: &T, depth_max: u32, bytes_max: u32) -> Result<Vec<u8>> {
    let mut state = State::new(depth_max, bytes_max);
    payload.serialize(&mut state).map_err(|error| error.rooted("payload"))?;
    Ok(state.writer.into_bytes())
}

/// What is being written.
pub(crate) struct State {
    pub(crate) writer: Writer,
    depth: u32,
    depth_max: u32,
    /// What the leaf that comes next is, if serde has no word for it.
    leaf: Leaf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Plain,
    String,
    Integer,
    Vector,
    /// A value that is written already.
    Encoded,
}

impl State {
    pub(crate) fn new(depth_max: u32, bytes_max: u32) -> Self {
        Self { writer: Writer::new(bytes_max), depth: 0, depth_max, leaf: Leaf::Plain }
    }

    /// A table ends.
    pub(crate) fn shallower(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(crate) fn deeper(&mut self) -> Result {
        if self.depth >= self.depth_max {
            return Err(WireError::too_deep(self.depth_max));
        }
        self.depth += 1;
        Ok(())
    }

    /// A table of a length that is known, or not.
    pub(crate) fn table(&mut self, marker: Marker, len: Option<usize>) -> Result<Table<'_>> {
        self.deeper()?;
        let open = match len {
            Some(len) if marker == Marker::Map32 => self.writer.map(len).map(|()| None)?,
            Some(len) => self.writer.array(len).map(|()| None)?,
            None => Some(self.writer.open()?),
        };
        Ok(Table { state: self, marker, open, said: len, written: 0, key: 0..0, is_variant: false })
    }

    /// A string of bytes that come one by one.
    pub(crate) fn bytes(&mut self) -> Result<Table<'_>> {
        let open = self.writer.open()?;
        Ok(self.leaf(Marker::Str32, Some(open), None))
    }

    /// What comes in parts like a table, but is none, and so no level deeper.
    fn leaf(&mut self, marker: Marker, open: Option<usize>, said: Option<usize>) -> Table<'_> {
        self.depth += 1; // `close` takes it off
        Table { state: self, marker, open, said, written: 0, key: 0..0, is_variant: false }
    }

    /// `{ [variant] = contents }`.
    fn variant(&mut self, variant: &'static str) -> Result {
        self.deeper()?;
        self.writer.map(1)?;
        self.writer.string(variant.as_bytes())
    }

    fn variant_table(&mut self, variant: &'static str, marker: Marker, len: usize) -> Result<Table<'_>> {
        self.variant(variant)?;
        let table = self.table(marker, Some(len)).map_err(|error| error.in_field(variant))?;
        Ok(table.in_variant())
    }
}

/// A list or a map that is being written.
pub(crate) struct Table<'a> {
    pub(crate) state: &'a mut State,
    marker: Marker,
    /// Where its head is, if its length is to be put there at the end.
    open: Option<usize>,
    said: Option<usize>,
    pub(crate) written: usize,
    /// Where the last key of a map is.
    pub(crate) key: std::ops::Range<usize>,
    /// Whether it stands in a map of its own, under the variant's name.
    is_variant: bool,
}

impl Table<'_> {
    /// The same, in the table of a variant, which ends with it.
    pub(crate) fn in_variant(self) -> Self {
        Table { is_variant: true, ..self }
    }

    pub(crate) fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        self.written += 1;
        value.serialize(&mut *self.state).map_err(|error| error.in_item(self.written))
    }

    pub(crate) fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result {
        self.written += 1;
        self.state.writer.string(name.as_bytes())?;
        value.serialize(&mut *self.state).map_err(|error| error.in_field(name))
    }

    pub(crate) fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result {
        self.written += 1;
        let start = self.state.writer.len();
        key.serialize(&mut *self.state)?;
        self.key = start..self.state.writer.len();
        let token = Reader::new(self.state.writer.since(start)).token()?;
        if !token.is_key() {
            let key = token.scalar().unwrap_or_default();
            return Err(WireError::mismatch(format_args!("a table can't have the key {key}")));
        }
        Ok(())
    }

    pub(crate) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result {
        let key = self.key.clone();
        let result = value.serialize(&mut *self.state);
        result.map_err(|error| error.under_key(self.state.writer.since(key.start).get(..key.len()).unwrap_or_default()))
    }

    pub(crate) fn close(self) -> Result {
        self.state.leaf = Leaf::Plain;
        self.state.depth -= if self.is_variant { 2 } else { 1 };
        match (self.open, self.said) {
            (Some(at), _) => self.state.writer.close(at, self.marker, self.written),
            (None, Some(said)) if said != self.written => {
                let written = self.written;
                let what = format_args!("its Serialize announced {said} entries and wrote {written}");
                Err(WireError::mismatch(what))
            }
            _ => Ok(()),
        }
    }
}

macro_rules! ints {
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, value: $type) -> Result {
            self.writer.int(value.into())
        }
    )*};
}

impl<'a> Serializer for &'a mut State {
    type Ok = ();
    type Error = WireError;
    type SerializeSeq = Table<'a>;
    type SerializeTuple = Table<'a>;
    type SerializeTupleStruct = Table<'a>;
    type SerializeTupleVariant = Table<'a>;
    type SerializeMap = Table<'a>;
    type SerializeStruct = Table<'a>;
    type SerializeStructVariant = Table<'a>;

    ints!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    fn serialize_u128(self, value: u128) -> Result {
        // What no i128 holds is refused like what no double does.
        self.writer.int(i128::try_from(value).map_err(|_| {
            WireError::mismatch(format_args!(
                "{value} fits neither a double nor a 64-bit integer exactly; send it as a string"
            ))
        })?)
    }

    fn serialize_bool(self, value: bool) -> Result {
        self.writer.boolean(value)
    }

    fn serialize_i64(self, value: i64) -> Result {
        match self.leaf {
            Leaf::Integer => self.writer.integer(value),
            _ => self.writer.int(value.into()),
        }
    }

    fn serialize_f32(self, value: f32) -> Result {
        if self.leaf == Leaf::Vector {
            return self.writer.append(&value.to_be_bytes());
        }
        self.writer.number(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result {
        self.writer.number(value)
    }

    fn serialize_char(self, value: char) -> Result {
        self.writer.string(value.encode_utf8(&mut [0; 4]).as_bytes())
    }

    fn serialize_str(self, value: &str) -> Result {
        self.writer.string(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        match self.leaf {
            Leaf::String => self.writer.string(value),
            Leaf::Encoded => self.writer.append(value),
            _ => self.writer.buffer(value),
        }
    }

    fn serialize_none(self) -> Result {
        self.writer.nil()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        self.writer.nil()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result {
        self.writer.nil()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result {
        self.writer.string(variant.as_bytes())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result {
        self.leaf = match name {
            STRING => Leaf::String,
            INTEGER => Leaf::Integer,
            ENCODED => Leaf::Encoded,
            HANDLE => return Err(WireError::stray_handle()),
            _ => Leaf::Plain,
        };
        value.serialize(&mut *self)?;
        self.leaf = Leaf::Plain;
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        if name == ENCODED {
            // the index is its depth
            if self.depth.saturating_add(index) > self.depth_max {
                return Err(WireError::too_deep(self.depth_max));
            }
            self.leaf = Leaf::Encoded;
            value.serialize(&mut *self)?;
            self.leaf = Leaf::Plain;
            return Ok(());
        }
        self.variant(variant)?;
        value.serialize(&mut *self).map_err(|error| error.in_field(variant))?;
        self.depth -= 1;
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Table<'a>> {
        self.table(Marker::Array32, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Table<'a>> {
        self.table(Marker::Array32, Some(len))
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Table<'a>> {
        if name == VECTOR && len == 3 {
            self.writer.vector_head()?;
            self.leaf = Leaf::Vector;
            return Ok(self.leaf(Marker::FixExt16, None, Some(3)));
        }
        self.table(Marker::Array32, Some(len))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, len: usize) -> Result<Table<'a>> {
        self.variant_table(variant, Marker::Array32, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Table<'a>> {
        self.table(Marker::Map32, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Table<'a>> {
        self.table(Marker::Map32, Some(len))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, len: usize) -> Result<Table<'a>> {
        self.variant_table(variant, Marker::Map32, len)
    }
}

/// The traits of serde for something that writes a table, by its methods `item`, `field`, `key`, `value` and `close`.
macro_rules! tables {
    ($type:ty) => {
        $crate::wire::ser::tables! { $type;
            SerializeSeq serialize_element() item;
            SerializeTuple serialize_element() item;
            SerializeTupleStruct serialize_field() item;
            SerializeTupleVariant serialize_field() item;
            SerializeStruct serialize_field(name: &'static str) field;
            SerializeStructVariant serialize_field(name: &'static str) field;
        }

        impl serde::ser::SerializeMap for $type {
            type Ok = ();
            type Error = $crate::wire::WireError;

            fn serialize_key<T: serde::Serialize + ?Sized>(&mut self, key: &T) -> Result {
                self.key(key)
            }

            fn serialize_value<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result {
                self.value(value)
            }

            fn end(self) -> Result {
                self.close()
            }
        }
    };
    ($type:ty; $($trait:ident $method:ident($($name:ident: $argument:ty),*) $inner:ident;)*) => {$(
        impl serde::ser::$trait for $type {
            type Ok = ();
            type Error = $crate::wire::WireError;

            fn $method<T: serde::Serialize + ?Sized>(&mut self, $($name: $argument,)* value: &T) -> Result {
                self.$inner($($name,)* value)
            }

            fn end(self) -> Result {
                self.close()
            }
        }
    )*};
}
pub(crate) use tables;

tables!(Table<'_>);
