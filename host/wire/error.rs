//! Why a value can't cross, and where in it: built from the inside out, each level putting its part of the path in
//! front, so that a value that crosses pays nothing for it.

use std::fmt;

use serde::de::{Expected, Unexpected};

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
    /// More values than are written at once.
    TooMany,
    /// Not what the format allows.
    Malformed,
    /// Well formed, but there is no such value on the other side.
    Mismatch,
    /// A Rust type's own code would not have it: an address that isn't one, say.
    Refused,
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

    /// A Rust type's own code would not have the value, though its shape is right.
    pub(crate) fn is_refused(&self) -> bool {
        self.0.kind == Kind::Refused
    }

    fn new(kind: Kind, message: String) -> Self {
        Self(Box::new(Fault { kind, root: "value", path: Vec::new(), message }))
    }

    pub(crate) fn too_deep(depth_max: u32) -> Self {
        Self::new(Kind::TooDeep(depth_max), String::new())
    }

    pub(crate) fn too_large(bytes_max: u32) -> Self {
        Self::new(Kind::TooLarge(bytes_max), String::new())
    }

    /// Seen by nobody: whoever asks for few values tries again.
    #[cold]
    pub(crate) fn too_many() -> Self {
        Self::new(Kind::TooMany, "more values than are written at once".to_owned())
    }

    pub(crate) fn is_too_many(&self) -> bool {
        self.0.kind == Kind::TooMany
    }

    pub(crate) fn malformed(at: usize, what: impl fmt::Display) -> Self {
        Self::new(Kind::Malformed, format!("malformed at byte {at}: {what}"))
    }

    /// serde's messages quote the value: a megabyte of a string, say.
    pub(crate) fn mismatch(message: impl fmt::Display) -> Self {
        Self::new(Kind::Mismatch, start_of(message))
    }

    /// What a handle is where the WIT doesn't say so.
    pub(crate) fn stray_handle() -> Self {
        Self::mismatch("a handle, which only a function that takes one can be given")
    }

    /// What is wrong, without the place.
    pub(crate) fn said(&self) -> &str {
        &self.0.message
    }

    /// The text with another start of the path, and other words for whose limits those are.
    pub(crate) fn placed<'a>(&'a self, root: &'a str, limits: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| self.0.write(f, root, limits))
    }

    /// The same error, one level further out, in a list; `index` counts from 1, as the script does.
    #[cold]
    pub(crate) fn in_item(mut self, index: usize) -> Self {
        self.0.path.push(format!("[{index}]"));
        self
    }

    /// The same error, one level further out, in a field.
    #[cold]
    pub(crate) fn in_field(mut self, name: &str) -> Self {
        self.0.path.push(field(name));
        self
    }

    /// The same error, one level further out, under an encoded key.
    #[cold]
    pub(crate) fn under_key(mut self, encoded: &[u8]) -> Self {
        self.0.path.push(match Reader::new(encoded).token() {
            Ok(Token::String(bytes)) => field(&String::from_utf8_lossy(bytes)),
            Ok(token) => token.scalar().map_or_else(|| format!("[{}]", token.name()), |key| format!("[{key}]")),
            Err(_) => "[?]".to_owned(),
        });
        self
    }
}

/// The start of a message. What comes after it is not even written: serde's messages escape all of what they quote.
fn start_of(message: impl fmt::Display) -> String {
    let mut start = Start { text: String::new(), left: MESSAGE_CHARS_MAX };
    if fmt::write(&mut start, format_args!("{message}")).is_err() {
        start.text.push_str("...");
    }
    start.text
}

/// Takes so many more characters, and then no more.
struct Start {
    text: String,
    left: usize,
}

impl fmt::Write for Start {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        match more.char_indices().nth(self.left) {
            Some((end, _)) => {
                self.text.push_str(more.get(..end).unwrap_or_default());
                self.left = 0;
                Err(fmt::Error)
            }
            None => {
                self.text.push_str(more);
                self.left = self.left.saturating_sub(more.chars().count());
                Ok(())
            }
        }
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

impl Fault {
    fn write(&self, f: &mut fmt::Formatter<'_>, root: &str, limits: &str) -> fmt::Result {
        f.write_str(root)?;
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
            Kind::TooDeep(most) => write!(f, ": over the limit {limits}_depth of {most}"),
            Kind::TooLarge(most) => write!(f, ": over the limit {limits}_bytes of {most}"),
            Kind::TooMany | Kind::Malformed | Kind::Mismatch | Kind::Refused => {
                write!(f, ": {}", self.message)
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, self.root, self.root)
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
        Self::new(Kind::Refused, start_of(message))
    }

    // What serde says itself, in its own words, is about the shape: no refusal.
    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch(format_args!("invalid type: {got}, expected {expected}"))
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch(format_args!("invalid value: {got}, expected {expected}"))
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::mismatch(format_args!("invalid length {len}, expected {expected}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::mismatch(format_args!("unknown variant `{variant}`, expected {}", OneOf(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::mismatch(format_args!("unknown field `{field}`, expected {}", OneOf(expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::mismatch(format_args!("missing field `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::mismatch(format_args!("duplicate field `{field}`"))
    }
}

/// Names, in serde's own form.
struct OneOf(&'static [&'static str]);

impl fmt::Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there are none"),
            [one] => write!(f, "`{one}`"),
            [one, other] => write!(f, "`{one}` or `{other}`"),
            [first, rest @ ..] => {
                write!(f, "one of `{first}`")?;
                rest.iter().try_for_each(|name| write!(f, ", `{name}`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that counts how much of it was asked for.
    struct Long<'a>(&'a std::cell::Cell<usize>);

    impl fmt::Display for Long<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (0..1_000_000).try_for_each(|_| {
                self.0.set(self.0.get() + 1);
                f.write_str("a\u{e9}")
            })
        }
    }

    #[test]
    fn t08_no_more_of_a_message_is_made_than_is_kept() {
        let written = std::cell::Cell::new(0);
        let error = WireError::mismatch(Long(&written));
        assert_eq!(error.said(), format!("{}...", "a\u{e9}".repeat(MESSAGE_CHARS_MAX / 2)));
        assert!(written.get() <= MESSAGE_CHARS_MAX, "{}", written.get());
        let just = "x".repeat(MESSAGE_CHARS_MAX);
        assert_eq!(WireError::mismatch(&just).said(), just);
        assert_eq!(WireError::mismatch("").said(), "");
    }
}
