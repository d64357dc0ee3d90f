//! Lists, maps, tuples and records, as serde asks for their entries.

use serde::de::value::{StrDeserializer, U64Deserializer};
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::access::absent;
use super::{Guard, Result, Typed, integer, text, wrong};
use crate::value::Value;
use crate::wire::WireError;
use crate::wire::de::Source;
use crate::wire::token::{Reader, Token};
use crate::wit::mismatch::one_of;
use crate::wit::types::{FIELDS_MAX, Field, Int, Record, Ty};

/// An error if serde asked for less than there is.
fn all_read(left: usize, what: &str) -> Result<()> {
    match left {
        0 => Ok(()),
        more => Err(WireError::mismatch(format_args!("the Rust type takes {more} {what} too few"))),
    }
}

impl<'a, 'de> Typed<'a, '_, 'de> {
    pub(super) fn list<V: Visitor<'de>>(self, item: &'a Ty, visitor: V) -> Result<V::Value> {
        let len = match self.source.reader.token()? {
            Token::Array(len) => len,
            Token::Map(0) => 0, // the empty table, which was an object
            token => return Err(wrong("a list with keys 1 to n", token)),
        };
        let mut list = List { source: self.source, item, guard: self.guard, left: len, seen: 0 };
        let value = visitor.visit_seq(&mut list)?;
        all_read(list.left, "items").map(|()| value)
    }

    pub(super) fn map<V: Visitor<'de>>(self, key: &'a Ty, value: &'a Ty, visitor: V) -> Result<V::Value> {
        let (len, numbered) = match (self.source.reader.token()?, key.peeled()) {
            (Token::Map(len), _) => (len, None),
            (Token::Array(0), _) => (0, None),
            (Token::Array(len), Ty::Int(int)) => (len, Some(*int)),
            (token, _) => return Err(wrong(format_args!("a table by {key}"), token)),
        };
        let mut map =
            Map { source: self.source, key, value, guard: self.guard, numbered, left: len, seen: 0, under: &[] };
        let read = visitor.visit_map(&mut map)?;
        all_read(map.left, "entries").map(|()| read)
    }

    pub(super) fn tuple<V: Visitor<'de>>(self, items: &'a [Ty], visitor: V) -> Result<V::Value> {
        let token = self.source.reader.token()?;
        let (given, places) = match token {
            Token::Array(len) if len <= items.len() => (len, None),
            Token::Array(len) => {
                return Err(WireError::mismatch(format_args!("expected {} items, got {len}", items.len())));
            }
            Token::Map(len) => (0, Some(places(self.source, len, items.len())?)),
            token => return Err(wrong(format_args!("a list of {} items", items.len()), token)),
        };
        let mut tuple = Tuple { source: self.source, items, guard: self.guard, given, places, read: 0 };
        let value = visitor.visit_seq(&mut tuple)?;
        all_read(items.len().saturating_sub(tuple.read), "items").map(|()| value)
    }

    pub(super) fn record<V: Visitor<'de>>(self, record: &'a Record, is_flags: bool, visitor: V) -> Result<V::Value> {
        let left = match self.source.reader.token()? {
            Token::Map(len) => len,
            Token::Array(0) => 0,
            token => return Err(wrong("a table", token)),
        };
        let mut fields = Fields {
            source: self.source,
            fields: &record.fields,
            is_flags,
            guard: self.guard,
            left,
            seen: [0; FIELDS_MAX / 64],
            next: 0,
            current: None,
            absent: false,
        };
        let value = visitor.visit_map(&mut fields)?;
        all_read(fields.left, "fields").map(|()| value)
    }
}

struct List<'a, 'b, 'de> {
    source: &'b mut Source<'de>,
    item: &'a Ty,
    guard: Guard<'a>,
    left: usize,
    seen: usize,
}

impl<'de> SeqAccess<'de> for &mut List<'_, '_, 'de> {
    type Error = WireError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.seen += 1;
        let item = Typed { source: self.source, ty: self.item, guard: self.guard };
        seed.deserialize(item).map(Some).map_err(|error| error.in_item(self.seen))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Map<'a, 'b, 'de> {
    source: &'b mut Source<'de>,
    key: &'a Ty,
    value: &'a Ty,
    guard: Guard<'a>,
    /// The type of the keys, if a list came, which is also a map from 1.
    numbered: Option<Int>,
    left: usize,
    seen: usize,
    /// The key, encoded.
    under: &'de [u8],
}

impl<'de> MapAccess<'de> for &mut Map<'_, '_, 'de> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.seen += 1;
        if let Some(int) = self.numbered {
            integer(Token::Number(self.seen as f64), int).map_err(|error| error.in_item(self.seen))?;
            let key: U64Deserializer<WireError> = (self.seen as u64).into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|error| error.in_item(self.seen));
        }
        let start = self.source.reader.at();
        if !self.source.reader.peek()?.is_key() {
            return Err(WireError::malformed(start, "a key is nil or NaN"));
        }
        let read = seed.deserialize(Typed { source: self.source, ty: self.key, guard: self.guard });
        self.under = self.source.reader.since(start);
        read.map(Some).map_err(|error| WireError::mismatch(format_args!("a key: {}", error.said())))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        let read = seed.deserialize(Typed { source: self.source, ty: self.value, guard: self.guard });
        read.map_err(|error| match self.numbered {
            Some(_) => error.in_item(self.seen),
            None => error.under_key(self.under),
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// Where the items of a tuple are that came as a map, because there are nils in it.
fn places<'de>(source: &mut Source<'de>, len: usize, most: usize) -> Result<Vec<Option<Reader<'de>>>> {
    let mut places: Vec<Option<Reader<'de>>> = vec![None; most];
    for _ in 0..len {
        let key = source.reader.token()?;
        let place = match integer(key, Int::U32) {
            Ok(number) => usize::try_from(number).ok().and_then(|number| places.get_mut(number.checked_sub(1)?)),
            Err(_) => None,
        };
        match place {
            Some(place @ None) => *place = Some(source.reader.clone()),
            _ => {
                let key = key.scalar().unwrap_or_default();
                return Err(WireError::mismatch(format_args!("expected a list of {most} items, got one at {key}")));
            }
        }
        source.reader.skip()?;
    }
    Ok(places)
}

struct Tuple<'a, 'b, 'de> {
    source: &'b mut Source<'de>,
    items: &'a [Ty],
    guard: Guard<'a>,
    given: usize,
    places: Option<Vec<Option<Reader<'de>>>>,
    read: usize,
}

impl<'de> SeqAccess<'de> for &mut Tuple<'_, '_, 'de> {
    type Error = WireError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(ty) = self.items.get(self.read) else { return Ok(None) };
        let place = self.places.as_mut().and_then(|places| places.get_mut(self.read)?.take());
        let is_next = self.read < self.given;
        self.read += 1;
        let mut elsewhere = place.map_or_else(absent, Source::at);
        let source = if is_next { &mut *self.source } else { &mut elsewhere };
        let read = seed.deserialize(Typed { source, ty, guard: self.guard });
        read.map(Some).map_err(|error| error.in_item(self.read))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len().saturating_sub(self.read))
    }
}

/// The fields of a record: first those that came, in their order, then those that didn't.
struct Fields<'a, 'b, 'de> {
    source: &'b mut Source<'de>,
    fields: &'a [Field],
    is_flags: bool,
    guard: Guard<'a>,
    left: usize,
    /// A bit for each field that came.
    seen: [u64; FIELDS_MAX / 64],
    /// Where the next is likely to be found, while they come; then, the next that may be missing.
    next: usize,
    current: Option<&'a Field>,
    /// Whether the current field isn't there.
    absent: bool,
}

impl<'a> Fields<'a, '_, '_> {
    /// Whether it is the first time.
    fn see(&mut self, index: usize) -> bool {
        let Some(word) = self.seen.get_mut(index / 64) else { return false };
        let bit = 1 << (index % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first
    }

    fn find(&mut self, name: &str) -> Result<&'a Field> {
        let fields = self.fields;
        let (before, after) = fields.split_at_checked(self.next).unwrap_or_default();
        let mut likely = after.iter().chain(before);
        let found = likely.position(|field| field.name.luau == name);
        let index = found.map(|from| (from + self.next) % fields.len().max(1));
        let Some((index, field)) = index.and_then(|index| Some((index, fields.get(index)?))) else {
            let names: Vec<_> = fields.iter().map(|field| field.name.luau.as_str()).collect();
            let name = Value::from(name);
            return Err(WireError::mismatch(format_args!("unknown field {name}, expected {}", one_of(&names, ""))));
        };
        self.next = index + 1;
        if !self.see(index) {
            return Err(WireError::mismatch(format_args!("the field {name} twice")));
        }
        Ok(field)
    }

    fn missing(&mut self) -> Option<&'a Field> {
        while let Some(field) = self.fields.get(self.next) {
            self.next += 1;
            if self.see(self.next - 1) {
                return Some(field);
            }
        }
        None
    }
}

impl<'de> MapAccess<'de> for &mut Fields<'_, '_, 'de> {
    type Error = WireError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let field = if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let token = self.source.reader.token()?;
            let name = text(token).map_err(|error| WireError::mismatch(format_args!("a key: {}", error.said())))?;
            let field = self.find(name)?;
            if left == 0 {
                self.next = 0;
            }
            field
        } else {
            self.absent = true;
            match self.missing() {
                Some(field) => field,
                None => return Ok(None),
            }
        };
        self.current = Some(field);
        let key: StrDeserializer<'_, WireError> = field.name.snake.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        let Some(field) = self.current.take() else { return Err(WireError::mismatch("a value without its key")) };
        if self.absent && self.is_flags {
            return seed.deserialize(false.into_deserializer());
        }
        let mut nothing = absent();
        let source = if self.absent { &mut nothing } else { &mut *self.source };
        let read = seed.deserialize(Typed { source, ty: &field.ty, guard: self.guard });
        read.map_err(|error| error.in_field(&field.name.luau))
    }
}
