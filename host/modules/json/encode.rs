//! A value to a text, straight from the bytes that it crosses as, in steps. Nothing recurses: the tables that are open are a
//! list, and the path of an error.

use std::collections::btree_map::{BTreeMap, Entry, IntoIter};

use super::path::{Step, path};
use super::writer::{Result, Writer};
use super::{DEPTH_MAX, EncodeOptions, number, stand_in};
use crate::value::Value;
use crate::wire::Encoded;
use crate::wire::token::{Reader, Token};

/// What to do with bytes.
const AS_TEXT: &str = "write its bytes as text, in base64 or hexadecimal";

/// What a step does, about, in fuel: 50 us.
const STEP_FUEL: u64 = 1_000_000;

/// Fuel beside what crosses: for a value, for a number with a fraction, for a key, and for a byte of a string or a key.
const VALUE_FUEL: u64 = 600;
const FRACTION_FUEL: u64 = 2_000;
const KEY_FUEL: u64 = 4_000;
const TEXT_FUEL: u64 = 20;

/// Fuel for each byte of the text: a control character becomes six.
const OUT_FUEL: u64 = 20;

/// Fuel for each value that is looked at to find where tables end.
const INDEX_FUEL: u64 = 100;

/// The bytes of a string that are written at once.
const PIECE_BYTES: usize = 16 << 10;

/// What a key takes while its table is being written: itself, where its value begins, and its place in a tree of them.
const KEY_BYTES: usize = 40;

/// Tables of so many bytes are walked through rather than remembered.
const SHORT_BYTES: usize = 32;

/// Writes a value as JSON: the same bytes for equal values, since keys are sorted by theirs.
///
/// `depth_max` is how many tables may lie in each other, `DEPTH_MAX` at most: at 1, `[[]]` is refused. No more than
/// `bytes_max` bytes of text are ever held.
///
/// # Errors
/// Something in the value has no form in JSON, or a bound was hit. The text begins with the path: `value.items[3]: ...`.
pub(super) struct Encoder<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
    out: Writer,
    null: Option<&'a Value>,
    empty: &'static [u8],
    indent: usize,
    /// The tables that are being written, outermost first.
    open: Vec<Open<'a>>,
    depth_max: u32,
    ends: Ends,
    next: Next<'a>,
    /// What all steps have cost until now, but for the bytes that were written.
    fuel: u64,
}

/// What is done next.
enum Next<'a> {
    /// Finds where tables end.
    Index,
    Value,
    /// Sorts the keys of a table.
    Sort(Sorting<'a>),
    /// Writes the rest of a string, or of a key, and how much of it was written.
    Text {
        text: &'a [u8],
        at: usize,
        is_key: bool,
    },
    /// Ends tables, and begins the next entry.
    Advance,
}

/// A table whose end is not written yet.
enum Open<'a> {
    Array {
        left: usize,
        /// Entries that were begun.
        begun: usize,
    },
    Object {
        /// Sorted, each with where its value begins.
        fields: IntoIter<&'a str, usize>,
        /// The entry that was begun last.
        name: Option<&'a str>,
        /// Where its bytes end.
        end: usize,
    },
}

/// The keys of a table that were read.
struct Sorting<'a> {
    left: usize,
    fields: BTreeMap<&'a str, usize>,
}

impl Open<'_> {
    /// To the entry that was begun last.
    fn step(&self) -> Step<'_> {
        match self {
            Open::Array { begun, .. } => Step::Item(*begun),
            Open::Object { name, .. } => Step::Field(name.unwrap_or_default()),
        }
    }

    fn has_begun(&self) -> bool {
        match self {
            Open::Array { begun, .. } => *begun > 0,
            Open::Object { name, .. } => name.is_some(),
        }
    }
}

impl<'a> Encoder<'a> {
    pub(super) fn new(
        value: &'a Encoded,
        options: &'a EncodeOptions,
        depth_max: u32,
        bytes_max: usize,
    ) -> Result<Encoder<'a>> {
        let bytes = value.bytes();
        Ok(Encoder {
            bytes,
            reader: Reader::new(bytes),
            out: Writer::new(bytes_max),
            null: stand_in(&options.null)?,
            empty: if options.empty_as_object == Some(true) { b"{}" } else { b"[]" },
            indent: options.indent.unwrap_or(0).into(),
            open: Vec::new(),
            depth_max: depth_max.min(DEPTH_MAX),
            ends: Ends::default(),
            next: if bytes.len() > SHORT_BYTES { Next::Index } else { Next::Value },
            fuel: 0,
        })
    }

    /// Writes some of the value: the text, once all of it is written.
    pub(super) fn step(&mut self) -> Option<Result<Vec<u8>>> {
        let until = self.fuel().saturating_add(STEP_FUEL);
        while self.fuel() < until {
            match self.some() {
                Ok(true) => (),
                Ok(false) => {
                    self.fuel = self.fuel();
                    return Some(Ok(self.out.take()));
                }
                Err(message) => return Some(Err(format!("{}: {message}", path(self.open.iter().map(Open::step))))),
            }
        }
        None
    }

    /// What it has cost until now, in fuel. It depends on the value alone.
    pub(super) fn fuel(&self) -> u64 {
        self.fuel.saturating_add(OUT_FUEL.saturating_mul(self.out.len() as u64))
    }

    /// What it takes beside the value, in bytes.
    pub(super) fn held_bytes(&self) -> u64 {
        let sorting = if let Next::Sort(sorting) = &self.next { sorting.fields.len() } else { 0 };
        let keys = |open: &Open<'_>| if let Open::Object { fields, .. } = open { fields.len() } else { 0 };
        let keys = self.open.iter().map(keys).fold(sorting, usize::saturating_add);
        let ends = self.ends.all.len().saturating_mul(size_of::<(usize, usize)>());
        self.out.len().saturating_add(keys.saturating_mul(KEY_BYTES)).saturating_add(ends) as u64
    }

    /// Does one thing. Whether there is more to do.
    fn some(&mut self) -> Result<bool> {
        match std::mem::replace(&mut self.next, Next::Advance) {
            Next::Index => {
                self.fuel += INDEX_FUEL;
                let is_whole = self.ends.see(&mut self.reader).map_err(|error| error.said().to_owned())?;
                self.next = if is_whole { Next::Value } else { Next::Index };
                if is_whole {
                    self.reader = Reader::new(self.bytes);
                }
            }
            Next::Value => {
                self.fuel += VALUE_FUEL;
                self.value()?;
            }
            Next::Sort(sorting) => self.sort(sorting)?,
            Next::Text { text, at, is_key } => self.text(text, at, is_key)?,
            Next::Advance => return self.advance(),
        }
        Ok(true)
    }

    fn token(&mut self) -> Result<Token<'a>> {
        self.reader.token().map_err(|error| error.said().to_owned())
    }

    /// Writes a value, or the beginning of a table that has entries, or of a string.
    fn value(&mut self) -> Result {
        let token = self.token()?;
        if self.null.is_some_and(|null| is_equal(null, &token)) {
            return self.out.put(b"null");
        }
        match token {
            Token::Nil => self.out.put(b"null"),
            Token::Boolean(true) => self.out.put(b"true"),
            Token::Boolean(false) => self.out.put(b"false"),
            Token::Number(number) if number.is_nan() => {
                Err("JSON has no NaN; leave it out, or write it as a string".to_owned())
            }
            Token::Number(number) if number.is_infinite() => {
                Err("JSON has no infinity; leave it out, or write it as a string".to_owned())
            }
            Token::Number(number) => {
                if number.trunc() != number || number.abs() >= number::INTEGERS_MAX {
                    self.fuel += FRACTION_FUEL;
                }
                self.out.put(number::write(number).as_bytes())
            }
            Token::Integer(integer) => self.out.put(integer.to_string().as_bytes()),
            Token::String(bytes) => {
                self.out.put(b"\"")?;
                self.text(bytes, 0, false)
            }
            Token::Buffer(_) => Err(format!("JSON has no buffers; {AS_TEXT}")),
            Token::Vector(_) => Err("JSON has no vectors; write the list {v.x, v.y, v.z}".to_owned()),
            Token::Handle(_) => Err("JSON has no handles of resources".to_owned()),
            Token::Array(0) => {
                self.enter()?;
                self.out.put(self.empty)
            }
            Token::Map(0) => {
                self.enter()?;
                self.out.put(b"{}")
            }
            Token::Array(left) => {
                self.enter()?;
                self.out.put(b"[")?;
                self.open.push(Open::Array { left, begun: 0 });
                Ok(())
            }
            Token::Map(left) => {
                self.enter()?;
                self.next = Next::Sort(Sorting { left, fields: BTreeMap::new() });
                Ok(())
            }
        }
    }

    /// A table begins.
    fn enter(&self) -> Result {
        if self.open.len() >= self.depth_max as usize {
            return Err(format!("tables lie more than {} deep in each other", self.depth_max));
        }
        Ok(())
    }

    /// Reads a key, and passes over its value; after the last, the table begins.
    fn sort(&mut self, mut sorting: Sorting<'a>) -> Result {
        let Some(left) = sorting.left.checked_sub(1) else {
            self.out.put(b"{")?;
            let end = self.reader.at();
            self.open.push(Open::Object { fields: sorting.fields.into_iter(), name: None, end });
            return Ok(());
        };
        sorting.left = left;
        let start = self.reader.at();
        let token = self.token()?;
        let name = match token {
            Token::String(bytes) => {
                self.fuel += KEY_FUEL + TEXT_FUEL * bytes.len() as u64;
                std::str::from_utf8(bytes).map_err(|_| bad_key(&token, "is not UTF-8, as the keys of an object are"))?
            }
            Token::Number(_) | Token::Integer(_) => {
                let what =
                    "is a number, and not all keys are 1 to n: an array has just these, an object strings (tostring)";
                return Err(bad_key(&token, what));
            }
            Token::Array(_) | Token::Map(_) => {
                self.reader = Reader::resumed(self.bytes, start);
                let key = self.short_table().unwrap_or_else(|| "{...}".to_owned());
                return Err(format!("the key {key} is no string, as the keys of an object are"));
            }
            token => return Err(bad_key(&token, "is no string, as the keys of an object are")),
        };
        match sorting.fields.entry(name) {
            Entry::Vacant(place) => drop(place.insert(self.reader.at())),
            Entry::Occupied(_) => return Err(format!("the key {} is there twice", Value::from(name))),
        }
        let end = self.ends.of(self.reader.at());
        match end {
            Some(end) => self.reader = Reader::resumed(self.bytes, end),
            None => self.reader.skip().map_err(|error| error.said().to_owned())?,
        }
        self.next = Next::Sort(sorting);
        Ok(())
    }

    /// A table that comes next, as messages show it; if it is short.
    fn short_table(&mut self) -> Option<String> {
        let start = self.reader.at();
        if self.ends.of(start).is_some() {
            return None;
        }
        self.reader.skip().ok()?;
        Value::decode(self.reader.since(start)).ok().map(|value| value.to_string())
    }

    /// Writes a piece of a string, from `at` on; after the last, its closing quote.
    fn text(&mut self, text: &'a [u8], at: usize, is_key: bool) -> Result {
        let rest = text.get(at..).unwrap_or_default();
        let piece = rest.get(..PIECE_BYTES).unwrap_or(rest);
        self.fuel += TEXT_FUEL * piece.len() as u64;
        let valid = match std::str::from_utf8(piece) {
            Ok(valid) => valid,
            // a character that goes on in the next piece
            Err(error) if error.error_len().is_none() && piece.len() < rest.len() => {
                piece.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default()
            }
            Err(error) => {
                let at = at + error.valid_up_to() + 1;
                return Err(format!("a string that is not UTF-8 at its byte {at}; {AS_TEXT}"));
            }
        };
        self.out.escaped(valid)?;
        if valid.len() < rest.len() {
            self.next = Next::Text { text, at: at + valid.len(), is_key };
            return Ok(());
        }
        match is_key {
            false => self.out.put(b"\""),
            true => {
                self.out.put(if self.indent > 0 { b"\": " } else { b"\":" })?;
                self.next = Next::Value;
                Ok(())
            }
        }
    }

    /// Ends a table that ends here, or writes what comes before the next value. Whether there is more to do.
    fn advance(&mut self) -> Result<bool> {
        let Some(open) = self.open.last_mut() else { return Ok(false) };
        let is_first = !open.has_begun();
        let (name, end) = match open {
            Open::Array { left: 0, .. } => (None, Some((b"]", None))),
            Open::Array { left, begun } => {
                *left -= 1;
                *begun += 1;
                (None, None)
            }
            Open::Object { fields, name, end } => match fields.next() {
                None => (None, Some((b"}", Some(*end)))),
                Some((next, at)) => {
                    *name = Some(next);
                    self.reader = Reader::resumed(self.bytes, at);
                    (*name, None)
                }
            },
        };
        if let Some((bracket, end)) = end {
            self.open.pop();
            if let Some(end) = end {
                self.reader = Reader::resumed(self.bytes, end);
            }
            self.line()?;
            self.out.put(bracket)?;
            self.next = Next::Advance;
            return Ok(true);
        }
        if !is_first {
            self.out.put(b",")?;
        }
        self.line()?;
        self.next = Next::Value;
        if let Some(name) = name {
            self.out.put(b"\"")?;
            self.text(name.as_bytes(), 0, true)?;
        }
        Ok(true)
    }

    fn line(&mut self) -> Result {
        if self.indent == 0 {
            return Ok(());
        }
        self.out.put(b"\n")?;
        self.out.spaces(self.indent * self.open.len())
    }
}

fn bad_key(key: &Token<'_>, what: &str) -> String {
    format!("the key {} {what}", key.scalar().unwrap_or_default())
}

/// Whether a token is this value, which is no table.
fn is_equal(value: &Value, token: &Token<'_>) -> bool {
    match (value, token) {
        (Value::String(one), Token::String(other)) | (Value::Buffer(one), Token::Buffer(other)) => one == other,
        (Value::String(_) | Value::Buffer(_), _) | (_, Token::String(_) | Token::Buffer(_)) => false,
        (value, token) => token.scalar().is_some_and(|scalar| scalar == *value),
    }
}

/// Where tables end that are longer than `SHORT_BYTES`, so that one in a table whose keys are being sorted is passed over at
/// once: else each would be walked through once for every table around it.
#[derive(Default)]
struct Ends {
    /// Each table's beginning and end; sorted, as the tables begin.
    all: Vec<(usize, usize)>,
    /// Those that go on, outermost first: the place among all, and the values to come.
    open: Vec<(usize, u64)>,
}

impl Ends {
    /// Reads a token. Whether the value is whole.
    fn see(&mut self, reader: &mut Reader<'_>) -> std::result::Result<bool, crate::wire::WireError> {
        let start = reader.at();
        let inner = match reader.token()? {
            Token::Array(items) => items as u64,
            Token::Map(pairs) => (pairs as u64).saturating_mul(2),
            _ => 0,
        };
        if inner > 0 {
            self.open.push((self.all.len(), inner));
            self.all.push((start, 0));
            return Ok(false);
        }
        while let Some((place, left)) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return Ok(false);
            }
            let place = *place;
            self.open.pop();
            if let Some(table) = self.all.get_mut(place) {
                table.1 = reader.at();
                if table.1 - table.0 <= SHORT_BYTES {
                    self.all.truncate(place); // what is in it is as short
                }
            }
        }
        Ok(true)
    }

    /// Where the table ends that begins here, if it is a long one.
    fn of(&self, start: usize) -> Option<usize> {
        let place = self.all.binary_search_by_key(&start, |table| table.0).ok()?;
        self.all.get(place).map(|table| table.1)
    }
}
