//! Host modules from WIT: one text gives the module's functions, the check of what crosses at the boundary, the names that
//! grants use, and the types for editors.
//!
//! | WIT | Luau |
//! |---|---|
//! | bool, string, f32, f64 | boolean, string (UTF-8), number |
//! | u8 to u64, s8 to s64 | a number, integral and in range; beyond 2^53 an `integer` |
//! | char | a string of one character |
//! | `list<u8>` | a string or a buffer; a result is a string |
//! | `list<T>`, `map<K, V>` | a table 1 to n, a table by key |
//! | tuple | a table 1 to n, where an option may be nil |
//! | record | a table by name; a key that isn't there is nil |
//! | variant | `{ tag = "name", value = payload }` |
//! | enum | the name, a string |
//! | flags | a table of name to boolean; one that isn't there is false |
//! | `option<T>` | T or nil |
//! | `result<T, E>` | as a whole result T, or an error with E as its value (a `string` after the place and the function's name); elsewhere `{ ok = T }` or `{ err = E }` |
//! | a resource | a handle, with methods |
//! | `value` of `motu:value/types` | anything that crosses |
//!
//! Names are in `snake_case`. One that Luau keeps for itself has an underscore behind it (`crm.end_`, `{ repeat_ = true }`);
//! the names of cases are strings, and stay (`"end"`).
//!
//! In Rust, a function takes its one parameter as it is, or a tuple of several, or `()`. Records are structs with the same
//! names, variants and enums are enums (`not-found` is `NotFound` or `not_found`), flags are structs of bools, handles
//! are [`Handle`](handle::Handle).
//!
//! Invariant: what a script sends is checked against the WIT before any Rust type sees it, in one pass, without a copy.

mod argument;
mod de;
mod error;
mod fit;
mod handle;
mod luau;
mod mismatch;
mod names;
mod package;
mod parse;
mod ser;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use argument::text_argument;
#[cfg(test)]
pub(crate) use de::arguments;
pub(crate) use de::counted_arguments;
#[cfg(feature = "providers")]
pub(crate) use de::each_argument;
pub use error::WitError;
pub(crate) use fit::fits;
pub use handle::Handle;
pub(crate) use handle::{Handles, Held};
pub(crate) use luau::luau_types;
pub(crate) use mismatch::Mismatch;
pub(crate) use package::{Function, Kind, Package, Resource, modules};
pub(crate) use parse::parse;
pub(crate) use ser::{Answer, result, short_result};
#[cfg(feature = "providers")]
pub(crate) use types::Int;
pub(crate) use types::Ty;
