//! A text that is being read, how far, and what is wrong with it there.

use super::SyntaxError;
use crate::wire::WireError;

/// Characters of what was found that a message quotes.
const QUOTED_MAX: usize = 24;

pub(super) type Result<T = ()> = std::result::Result<T, Fault>;

/// What is wrong at a byte. Line and column are found when it is known that somebody wants them.
pub(super) struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    #[cold]
    pub(super) fn new(at: usize, message: impl Into<String>) -> Fault {
        Fault { at, message: message.into() }
    }

    /// `text` is all of it: what comes before the fault has been read, and is UTF-8.
    #[cold]
    pub(super) fn in_text(self, text: &[u8]) -> SyntaxError {
        let before = text.get(..self.at).unwrap_or(text);
        let line = last_line(before);
        SyntaxError {
            message: self.message,
            offset: count(self.at),
            line: count(before.iter().filter(|byte| **byte == b'\n').count() + 1),
            column: count(line.iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1),
        }
    }
}

/// What follows the last line feed. Looked for in pieces: the bytes of a piece are compared many at a time.
fn last_line(text: &[u8]) -> &[u8] {
    let mut end = text.len();
    for piece in text.rchunks(4096) {
        let start = end - piece.len();
        if piece.contains(&b'\n') {
            let from = piece.iter().rposition(|byte| *byte == b'\n').map_or(start, |at| start + at + 1);
            return text.get(from..).unwrap_or_default();
        }
        end = start;
    }
    text
}

/// What was written, or that it has no room, at a place of the text.
pub(super) fn wrote<T>(at: usize, done: std::result::Result<T, WireError>) -> Result<T> {
    done.map_err(|error| Fault::new(at, error.placed("the value up to here", "payload").to_string()))
}

fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

pub(super) struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Text<'a> {
        Text { bytes, at: 0 }
    }

    pub(super) fn whole(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Takes the byte if it comes next.
    pub(super) fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes whatever byte comes next.
    pub(super) fn take(&mut self) {
        self.at += usize::from(self.at < self.bytes.len());
    }

    /// White space of any length is one step: a block of it is looked at as one, so that a megabyte takes 0.05 ms.
    pub(super) fn skip_spaces(&mut self) {
        let is_space = |byte: u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
        if !self.peek().is_some_and(is_space) {
            return;
        }
        let (blocks, _) = self.rest().as_chunks::<64>();
        // all of a block, not up to the first: the compiler compares it at once then
        let blank = blocks.iter().take_while(|block| block.iter().fold(true, |all, byte| all & is_space(*byte)));
        self.at += 64 * blank.count();
        self.take_some(64, is_space);
    }

    /// Takes what is wanted, so many bytes at most.
    pub(super) fn take_some(&mut self, most: usize, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let rest = rest.get(..most).unwrap_or(rest);
        let len = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// Gives back some of what was taken last.
    pub(super) fn back(&mut self, bytes: usize) {
        self.at = self.at.saturating_sub(bytes);
    }

    /// Takes letters, digits and underscores: as many as a message shows, and one more.
    pub(super) fn take_word(&mut self) -> &'a [u8] {
        self.take_some(QUOTED_MAX + 1, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    /// What was taken since `start`.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// What comes next is not what must come here.
    #[cold]
    pub(super) fn unexpected(&self, expected: &str) -> Fault {
        Fault::new(self.at, format!("expected {expected}, found {}", self.found()))
    }

    /// The same where a value or a key must begin: the usual mistakes have a word of advice.
    #[cold]
    pub(super) fn unexpected_start(&self, expected: &str) -> Fault {
        let mut fault = self.unexpected(expected);
        fault.message.push_str(match self.peek() {
            Some(b'\'') => "; strings are in double quotes",
            Some(b'+') => "; a number has no sign but `-`",
            Some(b'.') => "; a number begins with a digit",
            _ => "",
        });
        fault
    }

    /// What comes next, in ASCII.
    fn found(&self) -> String {
        match self.rest() {
            [] => "the end of the text".to_owned(),
            [0xef, 0xbb, 0xbf, ..] => "a byte order mark (U+FEFF); remove it".to_owned(),
            [b'/', b'/' | b'*', ..] | [b'#', ..] => "a comment; JSON has none".to_owned(),
            [byte, ..] if byte.is_ascii_alphanumeric() => {
                let mut word = Text { ..*self };
                format!("`{}`", shortened(word.take_word()))
            }
            [byte, ..] if byte.is_ascii_graphic() => format!("`{}`", char::from(*byte)),
            rest @ [byte, ..] => {
                let chunk = rest.get(..4).unwrap_or(rest).utf8_chunks().next();
                match chunk.and_then(|chunk| chunk.valid().chars().next()) {
                    Some(character) => format!("the character U+{:04X}", u32::from(character)),
                    None => format!("the byte 0x{byte:02X}, which is not UTF-8"),
                }
            }
        }
    }
}

/// ASCII from a text, for a message.
pub(super) fn shortened(ascii: &[u8]) -> String {
    let shown = ascii.get(..QUOTED_MAX).unwrap_or(ascii);
    let dots = if shown.len() < ascii.len() { "..." } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}
