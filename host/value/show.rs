//! How a value looks to a person: like the Luau that would make it. `{}` is cut short, for messages; `{:?}` is whole.

use std::fmt::{self, Write as _};

use super::Value;

/// `{}`: at most so many bytes of a string, entries of a table, and tables in tables.
const STRING_BYTES_MAX: usize = 64;
const ENTRIES_MAX: usize = 8;
const DEPTH_MAX: usize = 3;

/// A number as messages have it: short, however many digits it has.
pub(crate) struct Shown(pub(crate) f64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(number) = self;
        match number.abs() {
            1e21.. if number.is_finite() => write!(f, "{number:e}"),
            small if 0.0 < small && small < 1e-6 => write!(f, "{number:e}"),
            _ => write!(f, "{number}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self, f, true, 0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self, f, false, 0)
    }
}

fn show(value: &Value, f: &mut fmt::Formatter<'_>, cut: bool, depth: usize) -> fmt::Result {
    match value {
        Value::Nil => f.write_str("nil"),
        Value::Boolean(value) => write!(f, "{value}"),
        Value::Number(number) => write!(f, "{}", Shown(*number)),
        Value::Integer(integer) => write!(f, "{integer}i"),
        Value::String(bytes) => string(bytes, f, cut),
        Value::Buffer(bytes) if cut => write!(f, "buffer of {} bytes", bytes.len()),
        Value::Buffer(bytes) => {
            f.write_str("buffer ")?;
            string(bytes, f, cut)
        }
        Value::Vector([x, y, z]) => write!(f, "vector({x}, {y}, {z})"),
        Value::Array(_) | Value::Map(_) if cut && depth >= DEPTH_MAX => f.write_str("{...}"),
        Value::Array(items) => entries(f, cut, items, |item, f| show(item, f, cut, depth + 1)),
        Value::Map(pairs) => entries(f, cut, pairs, |(key, value), f| {
            match key.as_str() {
                Some(name) if Value::is_identifier(name) => f.write_str(name)?,
                _ => {
                    f.write_char('[')?;
                    show(key, f, cut, depth + 1)?;
                    f.write_char(']')?;
                }
            }
            f.write_str(" = ")?;
            show(value, f, cut, depth + 1)
        }),
    }
}

fn entries<T>(
    f: &mut fmt::Formatter<'_>,
    cut: bool,
    all: &[T],
    each: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_char('{')?;
    for (index, entry) in all.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if cut && index == ENTRIES_MAX {
            write!(f, "... {} more", all.len() - index)?;
            break;
        }
        each(entry, f)?;
    }
    f.write_char('}')
}

fn string(bytes: &[u8], f: &mut fmt::Formatter<'_>, cut: bool) -> fmt::Result {
    let shown = if cut { bytes.get(..STRING_BYTES_MAX).unwrap_or(bytes) } else { bytes };
    f.write_char('"')?;
    for chunk in shown.utf8_chunks() {
        // an apostrophe needs no escape here
        for (index, piece) in chunk.valid().split('\'').enumerate() {
            let before = if index > 0 { "'" } else { "" };
            write!(f, "{before}{}", piece.escape_debug())?;
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02X}")?;
        }
    }
    f.write_char('"')?;
    if shown.len() < bytes.len() { write!(f, "... ({} bytes)", bytes.len()) } else { Ok(()) }
}

impl Value {
    /// Whether Luau takes it after a dot. Keywords pass: in a path they read well, and nothing parses them.
    pub(crate) fn is_identifier(name: &str) -> bool {
        let mut chars = name.chars();
        chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && chars.all(|next| next.is_ascii_alphanumeric() || next == '_')
    }
}
