//! Luau values as JSON, for `--data` and `--json`. What JSON lacks is tagged, the same way in both directions:
//!
//! | | |
//! |---|---|
//! | `{"$bytes": base64}` | a string that isn't UTF-8 |
//! | `{"$buffer": base64}` | a buffer |
//! | `{"$vector": [x, y, z]}` | a vector |
//! | `{"$number": "nan"}`, `"inf"`, `"-inf"` | a number that JSON has no digits for |
//! | `{"$integer": "42"}` | an integer, Luau's 64-bit type |
//! | `{"$map": [[key, value], …]}` | a table that is neither a list nor keyed by text |
//!
//! A table with a key that starts with `$` is a `$map` too, so nothing a script returns can be taken for a tag. Tables
//! are printed sorted by key; the empty table is `[]`.

mod tags;
#[cfg(test)]
mod tests;
mod text;

use motu::Value;

pub(crate) use tags::Problem;

/// One line of JSON, without spaces.
pub(crate) fn compact(value: &Value) -> String {
    tags::to_json(value).compact()
}

/// JSON for people: what is short on a line, what is long on many.
pub(crate) fn pretty(value: &Value) -> String {
    tags::to_json(value).pretty()
}

/// Text as a JSON string, with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    text::quoted(text)
}

/// JSON on one line, from elsewhere, with characters that would not be seen escaped.
pub(crate) fn escaped(json: &str) -> String {
    text::escaped(json)
}

/// A value from JSON. `depth_max` is how deep tables may lie in each other.
pub(crate) fn parse(text: &str, depth_max: u32) -> Result<Value, Problem> {
    let json = text::parse(text).map_err(Problem::new)?;
    tags::from_json(&json, depth_max)
}
