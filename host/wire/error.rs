//! Why a value can't cross, and where in it: built from the inside out, each level putting its part of the path in
//! front, so that a value that crosses pays nothing for it.

use std::fmt;

use super::token::{Reader, Token};
use crate::value::Value;

/// A value could not cross between the host and a script. Its text says which part, and why.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct WireError(Box<Fault>);

struct Fault {
    kind: Kind,
    /// What the path starts at.
    root: &'static str,
    /// Innermost first.
    path: Vec<String>,
    /// Empty if the kind says it all.
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Over so many tables in tables.
    TooDeep(u32),
    /// Over so many bytes.
    TooLarge(u32),
    /// Not what the format allows.
    Malformed,
    /// Well formed, but there is no such value on the other side.
    Mismatch,
}

/// A path longer than this keeps its two ends.
const PATH_PARTS_MAX: usize = 16;
const KEY_CHARS_MAX: usize = 40;
const MESSAGE_CHARS_MAX: usize = 400;

impl WireError {
    /// Tables are nested deeper than the limit.
    pub fn is_too_deep(&self) -> bool {
        matches!(self.0.kind, Kind::TooDeep(_))
    }

    /// The value takes more bytes than the limit.
    pub fn is_too_large(&self) -> bool {
        matches!(self.0.kind, Kind::TooLarge(_))
    }

    /// Either of these: the value may be right, but not under the limits that were set.
    pub fn is_over_limit(&self) -> bool {
        self.is_too_deep() || self.is_too_large()
    }

    /// The bytes are not a value. Scripts can't cause it: something is wrong in Motu, or with who made the bytes.
    pub fn is_malformed(&self) -> bool {
        self.0.kind == Kind::Malformed
    }

    /// The same error about `payload` or `result`: what its path starts at, and whose limits it names.
    #[must_use]
    pub(crate) fn rooted(mut self, root: &'static str) -> Self {
        self.0.root = root;
        self
    }

    fn new(kind: Kind, message: String) -> Self {
        Self(Box::new(Fault { kind, root: "value", path: Vec::new(), message }))
    }

    pub(super) fn too_deep(depth_max: u32) -> Self {
        Self::new(Kind::TooDeep(depth_max), String::new())
    }

    pub(super) fn too_large(bytes_max: u32) -> Self {
        Self::new(Kind::TooLarge(bytes_max), String::new())
    }

    pub(super) fn malformed(at: usize, what: impl fmt::Display) -> Self {
        Self::new(Kind::Malformed, format!("malformed at byte {at}: {what}"))
    }

    /// serde's messages quote the value: a megabyte of a string, say.
    pub(super) fn mismatch(message: impl fmt::Display) -> Self {
        Self::new(Kind::Mismatch, shortened(&message.to_string(), MESSAGE_CHARS_MAX))
    }

    /// The same error, one level further out, in a list; `index` counts from 1, as the script does.
    #[cold]
    pub(super) fn in_item(mut self, index: usize) -> Self {
        self.0.path.push(format!("[{index}]"));
        self
    }

    /// The same error, one level further out, in a field.
    #[cold]
    pub(super) fn in_field(mut self, name: &str) -> Self {
        self.0.path.push(field(name));
        self
    }

    /// The same error, one level further out, under an encoded key.
    #[cold]
    pub(super) fn under_key(mut self, encoded: &[u8]) -> Self {
        self.0.path.push(match Reader::new(encoded).token() {
            Ok(Token::String(bytes)) => field(&String::from_utf8_lossy(bytes)),
            Ok(token) => token.scalar().map_or_else(|| format!("[{}]", token.name()), |key| format!("[{key}]")),
            Err(_) => "[?]".to_owned(),
        });
        self
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn field(name: &str) -> String {
    let name = shortened(name, KEY_CHARS_MAX);
    if Value::is_identifier(&name) { format!(".{name}") } else { format!("[\"{}\"]", name.escape_debug()) }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root)?;
        for (index, part) in self.path.iter().rev().enumerate() {
            if self.path.len() <= PATH_PARTS_MAX || index < PATH_PARTS_MAX / 2 {
                f.write_str(part)?;
            } else if index == PATH_PARTS_MAX / 2 {
                f.write_str(" ... ")?;
            } else if index >= self.path.len() - PATH_PARTS_MAX / 2 {
                f.write_str(part)?;
            }
        }
        // As the fields of `Limits` are called.
        match self.kind {
            Kind::TooDeep(most) => write!(f, ": over the limit {}_depth of {most}", self.root),
            Kind::TooLarge(most) => write!(f, ": over the limit {}_bytes of {most}", self.root),
            Kind::Malformed | Kind::Mismatch => write!(f, ": {}", self.message),
        }
    }
}

impl fmt::Debug for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireError({:?}, {self})", self.0.kind)
    }
}

impl serde::ser::Error for WireError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::mismatch(message)
    }
}

impl serde::de::Error for WireError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::mismatch(message)
    }
}
