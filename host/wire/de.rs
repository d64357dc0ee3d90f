//! The wire to any serde type: what handlers return to embedders. Reads tables as Luau means them, which is where it
//! differs from a general MessagePack reader: an empty table is an empty list, map or struct, a list is also a map from
//! 1, a string of any bytes is also a `Vec<u8>`, and an integer of either kind fits every Rust integer that holds it.

mod tables;

use serde::de::value::{BorrowedStrDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::token::{Reader, Token};
use super::writer::as_int;
use super::{DEPTH_MAX, ENCODED, VALUE, WireError};
use tables::{List, Numbered, Pairs, Variant};

type Result<T> = std::result::Result<T, WireError>;

pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut source = Source::new(bytes);
    let value = T::deserialize(&mut source).and_then(|value| source.reader.finish().map(|()| value));
    value.map_err(|error| error.rooted("result"))
}

/// Bytes that any serde type is read from.
pub(crate) struct Source<'de> {
    pub(crate) reader: Reader<'de>,
    depth_left: u32,
    /// A value whose end is known: it is passed over without a look at what is in it.
    known: Known,
}

/// Where a value begins and ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) has_handles: bool,
}

impl<'de> Source<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Self::at(Reader::new(bytes))
    }

    pub(crate) fn at(reader: Reader<'de>) -> Self {
        Self { reader, depth_left: DEPTH_MAX, known: Known::default() }
    }

    /// Says where the value ends that may come next.
    pub(crate) fn knows(&mut self, known: Known) {
        self.known = known;
    }

    /// A whole value, as its bytes.
    fn whole(&mut self) -> Result<&'de [u8]> {
        let (start, known) = (self.reader.at(), self.known);
        match start == known.start && known.end > start {
            true => self.reader.pass(known.end)?,
            false => self.reader.skip()?,
        }
        Ok(self.reader.since(start))
    }

    /// The same, for who will not read it: it holds no handle.
    fn unread(&mut self) -> Result<&'de [u8]> {
        let (start, known) = (self.reader.at(), self.known);
        let has_handles = if start == known.start && known.end > start {
            self.reader.pass(known.end)?;
            known.has_handles
        } else {
            self.reader.skip_seen()?
        };
        if has_handles { Err(WireError::stray_handle()) } else { Ok(self.reader.since(start)) }
    }

    /// Reads a table's entries, one level down.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or_else(|| WireError::too_deep(DEPTH_MAX))?;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn list<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value> {
        self.deeper(|source| {
            let mut list = List::new(source, len);
            let value = visitor.visit_seq(&mut list)?;
            // A tuple that is shorter than the list leaves the rest unread.
            match list.left() {
                0 => Ok(value),
                more => Err(WireError::mismatch(format_args!("{more} items too many"))),
            }
        })
    }

    fn map<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value> {
        self.deeper(|source| {
            let mut pairs = Pairs::new(source, len);
            let value = visitor.visit_map(&mut pairs)?;
            match pairs.left() {
                0 => Ok(value),
                more => Err(WireError::mismatch(format_args!("{more} fields too many"))),
            }
        })
    }

    fn visit<V: Visitor<'de>>(&mut self, token: Token<'de>, visitor: V) -> Result<V::Value> {
        match token {
            Token::Nil => visitor.visit_unit(),
            Token::Boolean(value) => visitor.visit_bool(value),
            Token::Number(number) => match as_int(number) {
                Some(int) => visit_int(int, visitor),
                None => visitor.visit_f64(number),
            },
            Token::Integer(integer) => visit_int(integer, visitor),
            Token::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
            Token::Buffer(bytes) => visitor.visit_borrowed_bytes(bytes),
            Token::Vector(vector) => visitor.visit_seq(SeqDeserializer::new(vector.into_iter())),
            Token::Handle(_) => Err(WireError::stray_handle()),
            Token::Array(len) => self.list(len, visitor),
            Token::Map(len) => self.map(len, visitor),
        }
    }
}

/// The small unsigned are offered as unsigned: what visitors expect of a text format, too.
fn visit_int<'de, V: Visitor<'de>>(int: i64, visitor: V) -> Result<V::Value> {
    match u64::try_from(int) {
        Ok(int) => visitor.visit_u64(int),
        Err(_) => visitor.visit_i64(int),
    }
}

/// A number beyond 2^53 that is exactly an integer, for a Rust integer type.
#[allow(clippy::cast_possible_truncation, reason = "integral, and compared on the way back by the range")]
pub(crate) fn large_int(number: f64) -> Option<i128> {
    (number.trunc() == number && number.abs() < 2f64.powi(126)).then_some(number as i128)
}

macro_rules! ints {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            match self.reader.token()? {
                Token::Number(number) => match large_int(number) {
                    Some(int) => match (u64::try_from(int), i64::try_from(int)) {
                        (Ok(int), _) => visitor.visit_u64(int),
                        (_, Ok(int)) => visitor.visit_i64(int),
                        _ => visitor.visit_i128(int),
                    },
                    None => visitor.visit_f64(number),
                },
                token => self.visit(token, visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Source<'de> {
    type Error = WireError;

    ints!(
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let token = self.reader.token()?;
        self.visit(token, visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.token()? {
            Token::String(bytes) if std::str::from_utf8(bytes).is_err() => {
                Err(WireError::mismatch("a string that isn't UTF-8; bytes (such as Vec<u8>) would take it"))
            }
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.token()? {
            Token::String(bytes) => visitor.visit_borrowed_bytes(bytes),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.peek()? {
            Token::Nil => {
                self.reader.token()?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        match self.reader.token()? {
            Token::Array(0) | Token::Map(0) => visitor.visit_unit(),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name == VALUE {
            return visitor.visit_borrowed_bytes(self.whole()?);
        }
        if name == ENCODED {
            return visitor.visit_borrowed_bytes(self.unread()?);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.token()? {
            // For Vec<u8> and its like. What wanted other items is told what it got, not the type of a byte.
            token @ (Token::String(bytes) | Token::Buffer(bytes)) => visitor
                .visit_seq(SeqDeserializer::new(bytes.iter().copied()))
                .map_err(|_: WireError| WireError::mismatch(format_args!("{}, expected a list", token.name()))),
            Token::Map(0) => self.list(0, visitor), // the empty table, which was an object
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.token()? {
            Token::Array(len) => self.deeper(|source| visitor.visit_map(Numbered::new(source, len))),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.reader.token()? {
            Token::Array(0) => self.map(0, visitor),
            // By position would be a guess. A vector's three parts are in an order that everybody knows.
            Token::Array(_) => Err(WireError::invalid_type(Unexpected::Seq, &visitor)),
            token => self.visit(token, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.reader.token()? {
            Token::String(bytes) => {
                let name = std::str::from_utf8(bytes).unwrap_or("(a string that isn't UTF-8)");
                visitor.visit_enum(BorrowedStrDeserializer::new(name))
            }
            Token::Map(1) => self.deeper(|source| visitor.visit_enum(Variant::new(source))),
            token => {
                let what = format_args!("{}, expected a variant: its name, or a table of one field", token.name());
                Err(WireError::mismatch(what))
            }
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.reader.token()? {
            Token::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
            // Never as a number: derived code would take it for the position of a field.
            token @ (Token::Handle(_) | Token::Array(_) | Token::Map(_)) => {
                Err(WireError::mismatch(format_args!("{} as a key, expected a field's name", token.name())))
            }
            token => visitor.visit_string(token.scalar().unwrap_or_default().to_string()),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.reader.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bool f32 f64 char unit }
}
