//! A Luau value on the host's side, byte-exact: what `dispatch_value` takes and gives.
//!
//! Embedders with types of their own use serde and never meet this; the command line, error values and tests do. How
//! a value crosses is `wire`'s business; how it is shown is `value/show.rs`.

mod serde;
mod show;
#[cfg(test)]
pub(crate) mod tests;

use std::cmp::Ordering;

pub(crate) use show::Shown;

use crate::wire::{self, WireError};

/// A Luau value that crossed, or will cross, between the host and a script.
///
/// Two values are equal when a script could not tell them apart, with these choices: numbers are compared by their bits
/// (so NaN equals the same NaN, and `0.0` isn't `-0.0`), and the order of a [`Map`](Value::Map)'s pairs doesn't matter.
/// The order between values ([`Ord`]) is by type, then by content: it exists to print and compare, and means nothing in
/// Luau.
#[derive(Clone, Default)]
pub enum Value {
    /// `nil`.
    #[default]
    Nil,
    /// `true` or `false`.
    Boolean(bool),
    /// Luau's `number`: a double.
    Number(f64),
    /// Luau's `integer`: 64 bits, a type apart from `number`.
    Integer(i64),
    /// A string: any bytes, not always UTF-8.
    String(Vec<u8>),
    /// A `buffer`.
    Buffer(Vec<u8>),
    /// A `vector`.
    Vector([f32; 3]),
    /// A table whose keys are exactly 1 to n, in order. The empty table arrives as an empty array, unless it remembers that
    /// it was an object: then as an empty map.
    Array(Vec<Value>),
    /// Any other table. No key is nil or NaN.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// A string, of text or of any bytes.
    pub fn string(bytes: impl Into<Vec<u8>>) -> Self {
        Self::String(bytes.into())
    }

    /// Reads the MessagePack that a script's value crosses as.
    ///
    /// # Errors
    /// The bytes are malformed, go on after the value, nest deeper than Motu ever allows (512 tables), or hold a handle,
    /// which is of one instance and no value outside it.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        wire::decode(bytes)
    }

    /// Writes the MessagePack that this value crosses as.
    ///
    /// # Errors
    /// A map has a key that is nil or NaN, tables nest deeper than Motu ever allows (512), or the
    /// whole takes more than 4 GiB.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        wire::encode(self, wire::DEPTH_MAX, u32::MAX)
    }

    /// Whether it can be the key of a table: anything but nil, NaN and a vector with a NaN in it.
    pub fn is_key(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Number(number) => !number.is_nan(),
            Self::Vector(parts) => !parts.iter().any(|part| part.is_nan()),
            _ => true,
        }
    }

    /// What Luau's `type` says: `nil`, `boolean`, `number`, `integer`, `string`, `buffer`, `vector` or `table`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::Integer(_) => "integer",
            Self::String(_) => "string",
            Self::Buffer(_) => "buffer",
            Self::Vector(_) => "vector",
            Self::Array(_) | Self::Map(_) => "table",
        }
    }

    /// The text, if this is a string of UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number, if this is one (an `integer` is not).
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The field of a table, by name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(pairs) => pairs.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Bytes that equal values share, whatever the order of their pairs: each value in it is written once, so that tables
    /// which lie deep in each other take no longer for it.
    fn canonical(&self) -> Vec<u8> {
        let counted = |bytes: &[u8]| [&(bytes.len() as u64).to_be_bytes(), bytes].concat();
        let content = match self {
            Self::Nil => Vec::new(),
            Self::Boolean(value) => vec![u8::from(*value)],
            Self::Number(number) => number.to_bits().to_be_bytes().to_vec(),
            Self::Integer(integer) => integer.to_be_bytes().to_vec(),
            Self::String(bytes) | Self::Buffer(bytes) => counted(bytes),
            Self::Vector(parts) => parts.iter().flat_map(|part| part.to_bits().to_be_bytes()).collect(),
            Self::Array(items) => counted(&items.iter().flat_map(Self::canonical).collect::<Vec<u8>>()),
            Self::Map(pairs) => {
                let pair = |(key, value): &(Value, Value)| [key.canonical(), value.canonical()].concat();
                let mut pairs: Vec<Vec<u8>> = pairs.iter().map(pair).collect();
                pairs.sort_unstable();
                counted(&pairs.concat())
            }
        };
        [&[self.rank()], content.as_slice()].concat()
    }

    /// Groups values by type, for [`Ord`].
    fn rank(&self) -> u8 {
        match self {
            Self::Nil => 0,
            Self::Boolean(_) => 1,
            Self::Number(_) => 2,
            Self::Integer(_) => 3,
            Self::String(_) => 4,
            Self::Buffer(_) => 5,
            Self::Vector(_) => 6,
            Self::Array(_) => 7,
            Self::Map(_) => 8,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) | (Self::Buffer(a), Self::Buffer(b)) => a.cmp(b),
            (Self::Vector(a), Self::Vector(b)) => {
                a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            }
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            (Self::Map(_), Self::Map(_)) => self.canonical().cmp(&other.canonical()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Nil
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::Number(f64::from(value))
            }
        }
    )*};
}
numbers!(i8, i16, i32, u8, u16, u32, f32, f64);

impl From<i64> for Value {
    /// A number when a double holds it exactly, else an integer: never rounded.
    fn from(value: i64) -> Self {
        wire::exact_from_int(value.into()).map_or(Self::Integer(value), Self::Number)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::string(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::string(value)
    }
}

impl From<[f32; 3]> for Value {
    fn from(value: [f32; 3]) -> Self {
        Self::Vector(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Self {
        Self::Array(values)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}

/// A list.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

/// A table from its pairs: `Value::from([("name", "Ada")])`.
impl<K: Into<Value>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Value {
    fn from(pairs: [(K, V); N]) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}
