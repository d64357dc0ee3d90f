//! How values cross between the host and a guest: MessagePack, in both directions.
//!
//! | Luau | MessagePack | |
//! |---|---|---|
//! | nil, boolean | nil, bool | |
//! | number | int if integral, at most 2^53 and not -0; else float 64 | any int that a double holds is read as a number |
//! | integer | int if no double holds it; else ext 2, 8 bytes | big-endian |
//! | string | str | any bytes, also when they aren't UTF-8 |
//! | buffer | bin | |
//! | vector | ext 1, three floats of 32 bits | big-endian, NaN bits kept |
//! | table with keys 1 to n, the empty table | array | |
//! | any other table | map | no key is nil or NaN |
//! | handle of a resource | ext 3, 4 bytes | big-endian; only where a function's WIT says so, never inside a `Value` |
//!
//! Rust types cross through serde (`to_wire`, `from_wire`) with a serializer of our own rather than rmp-serde's: it
//! stops at a depth and a size before it has buffered more, says where in the payload it stopped, refuses what would be
//! rounded, and reads Luau's tables as Luau means them (an empty table is also an empty map, a list is also a map from 1).
//!
//! Invariant: bytes from a guest are hostile. No length in them is believed before the bytes are there, nothing recurses
//! deeper than `DEPTH_MAX`, and a value is all of the bytes or an error.

pub(crate) mod canonical;
mod codec;
pub(crate) mod de;
mod encoded;
mod error;
pub(crate) mod ser;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod weigh;
pub(crate) mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use codec::{Decoding, decode, encode};
pub(crate) use encoded::{Check, Encoded, has_at_most};
pub use error::WireError;
pub(crate) use token::exact_from_int;
pub(crate) use weigh::weigh;

/// Tables in tables, at most, whatever the limits say: what recursion on the host's stack can bear.
pub(crate) const DEPTH_MAX: u32 = 512;

/// Vector and integer, as MessagePack extension types.
const EXT_VECTOR: i8 = 1;
const EXT_INTEGER: i8 = 2;
/// A handle of a resource.
const EXT_HANDLE: i8 = 3;

/// The names by which `Value` asks our own serializer and deserializer to keep apart what serde would mix up. To any other
/// they are names of plain newtypes.
pub(crate) const VALUE: &str = "$motu::Value";
pub(crate) const ENCODED: &str = "$motu::Encoded";
pub(crate) const STRING: &str = "$motu::String";
pub(crate) const INTEGER: &str = "$motu::Integer";
pub(crate) const VECTOR: &str = "$motu::Vector";
/// The name by which a handle is known from a number.
pub(crate) const HANDLE: &str = "$motu::Handle";

/// A payload of any serde type, written as a script will read it.
///
/// Never holds more than `bytes_max`. Field names and variants are strings; bytes (`serde_bytes`) are a buffer; `None`
/// and `()` are nil; types that have a form for people (addresses, UUIDs) take it.
pub(crate) fn to_wire<T: Serialize + ?Sized>(
    payload: &T,
    depth_max: u32,
    bytes_max: u32,
) -> Result<Vec<u8>, WireError> {
    ser::to_bytes(payload, depth_max.min(DEPTH_MAX), bytes_max)
}

/// A script's value as any serde type; the error says which field doesn't fit.
pub(crate) fn from_wire<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    de::from_bytes(bytes)
}
