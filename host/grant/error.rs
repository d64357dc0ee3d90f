//! Why a text is not a grant: where it stops being one, what is there, and what could be. One sentence for all cases, safe to
//! print whatever the text was.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::Grant;

/// A text is not a grant. Shown, it says where, and what to write.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GrantError(Box<Fault>);

#[derive(Clone, PartialEq, Eq)]
struct Fault {
    text: Box<str>,
    offset: usize,
    /// `None` is the end of the text.
    found: Option<String>,
    expected: &'static str,
    hint: Option<Cow<'static, str>>,
}

/// So much of a text is shown, of which so much comes before the place that matters; in characters.
const SHOWN_CHARS_MAX: usize = 100;
const SHOWN_BEFORE_CHARS: usize = 60;

impl GrantError {
    /// The text, up to [`Grant::BYTES_MAX`].
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Where in the text it is wrong, in bytes from 0; the text's length if it ends too early, or is too long.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The same in characters from 1, as the message has it.
    pub fn column(&self) -> usize {
        let before = self.0.text.get(..self.0.offset).unwrap_or_default();
        before.chars().count().saturating_add(1)
    }

    /// The offset is at a character of the text, or its end. A hint says what to write.
    pub(super) fn new(
        text: &str,
        offset: usize,
        found: Option<String>,
        expected: &'static str,
        hint: Option<Cow<'static, str>>,
    ) -> GrantError {
        GrantError(Box::new(Fault { text: text.into(), offset, found, expected, hint }))
    }

    pub(super) fn too_long(text: &str) -> GrantError {
        let text = text.get(..text.floor_char_boundary(Grant::BYTES_MAX)).unwrap_or_default();
        let hint = format!("a grant has at most {} bytes", Grant::BYTES_MAX);
        GrantError::new(text, text.len(), Some("more text".to_owned()), "the end", Some(hint.into()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text.get(..self.offset).unwrap_or_default().chars().count();
        write!(f, "the grant {} ", Shown { text: &self.text, at: before })?;
        match &self.found {
            None => f.write_str("ends")?,
            Some(found) => write!(f, "has {found}")?,
        }
        write!(f, " at column {} where {} was expected", before.saturating_add(1), self.expected)?;
        match &self.hint {
            None => Ok(()),
            Some(hint) => write!(f, ": {hint}"),
        }
    }
}

impl fmt::Debug for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantError({self})")
    }
}

/// Names a character that shouldn't be there.
pub(super) fn character(c: char) -> String {
    match c {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\n' => "a line feed".to_owned(),
        '\r' => "a carriage return".to_owned(),
        '"' => "a quotation mark".to_owned(),
        c if c.is_whitespace() => format!("white space (U+{:04X})", u32::from(c)),
        c if c.is_control() => format!("a control character (U+{:04X})", u32::from(c)),
        c => Shown::start(c.encode_utf8(&mut [0; 4])).to_string(),
    }
}

/// Writes text: what wouldn't print is escaped; `\` and quotes stay as they are, so that a person sees what was written.
pub(crate) fn escaped(f: &mut fmt::Formatter<'_>, mut text: impl Iterator<Item = char>) -> fmt::Result {
    text.try_for_each(|c| match c {
        '\\' | '"' | '\'' => f.write_char(c),
        c => write!(f, "{}", c.escape_debug()),
    })
}

/// A text in quotes, around a character of it, [escaped].
pub(super) struct Shown<'a> {
    text: &'a str,
    /// In characters.
    at: usize,
}

impl<'a> Shown<'a> {
    pub(super) fn start(text: &'a str) -> Shown<'a> {
        Shown { text, at: 0 }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.text.chars().count();
        let most = count.saturating_sub(SHOWN_CHARS_MAX);
        let skipped = self.at.saturating_sub(SHOWN_BEFORE_CHARS).min(most);
        f.write_str(if skipped > 0 { "\"..." } else { "\"" })?;
        escaped(f, self.text.chars().skip(skipped).take(SHOWN_CHARS_MAX))?;
        f.write_str(if skipped < most { "...\"" } else { "\"" })
    }
}
