//! A text to a value, as the bytes that it crosses as, in steps. Nothing recurses: the tables that are open are a list. And
//! nothing is a tree, which would take long to be dropped: what is read is a run of bytes, and keys are known by their hashes.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use super::text::{Fault, Result, Text, shortened, wrote};
use super::{DEPTH_MAX, SyntaxError, number, stand_in, string};
use crate::value::Value;
use crate::wire::Encoded;
use crate::wire::writer::{Begun, Writer};

/// What a key takes while its object is open, beside itself: its hash, and its place in a tree of them.
const KEY_BYTES: usize = 32;

/// The bytes that are read in a step, moved as tables end, or written for `null`.
const STEP_BYTES: usize = 64 << 10;

/// The numbers of many digits that are read in a step: 100 to 300 us.
const HARD_A_STEP: usize = 16;

static TRUE: Value = Value::Boolean(true);
static FALSE: Value = Value::Boolean(false);
static NIL: Value = Value::Nil;

/// A text that is being read, in steps.
///
/// `null` is what `null` becomes, as in [`DecodeOptions`](super::DecodeOptions). `depth_max` is how many tables may lie in
/// each other, `DEPTH_MAX` at most: at 1, `[[]]` is refused. `bytes_max` is what the value may take as it crosses.
///
/// # Errors
/// The text is not JSON, a key is there twice in an object, a number can't be had, `null` stands in an array and means nil,
/// or a bound was hit: each where it is. A `null` that is a table is an error at the start.
pub(super) struct Decoder<'a> {
    text: Text<'a>,
    out: Writer,
    /// What must come next, for an error.
    expected: &'static str,
    null: Option<&'a Value>,
    /// The tables that are being read, outermost first.
    open: Vec<Open>,
    /// The entry that was read last has no value.
    is_left_out: bool,
    /// A string that is being read.
    string: Option<Reading>,
    deepest: usize,
    depth_max: u32,
    /// The keys of all tables that are open.
    keys: usize,
    /// Two, so that keys of a script's choice have a hash of 128 bits that it can't know.
    hashers: (RandomState, RandomState),
    /// Bytes that were moved until now, as tables ended, or written for `null`.
    moved: usize,
    /// Numbers of many digits that were read until now.
    hard: usize,
    /// A table has ended, and is yet to be put where it belongs.
    has_ended: bool,
}

/// A table whose end is not read yet.
struct Open {
    is_object: bool,
    /// Where its head is.
    at: usize,
    /// The entries that it has.
    count: usize,
    /// The keys that were read.
    keys: BTreeSet<u128>,
    /// Where the last key begins.
    key_at: usize,
}

/// A string whose end is not read yet.
#[derive(Clone, Copy)]
struct Reading {
    /// Where it begins in the text.
    start: usize,
    /// Where its head is.
    at: usize,
    is_key: bool,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        text: &'a [u8],
        null: &'a Value,
        depth_max: u32,
        bytes_max: u32,
    ) -> std::result::Result<Decoder<'a>, SyntaxError> {
        let null = stand_in(null).map_err(|message| Fault::new(0, message).in_text(text))?;
        let mut text = Text::new(text);
        text.skip_spaces();
        Ok(Decoder {
            text,
            out: Writer::new(bytes_max),
            expected: "a value",
            null,
            open: Vec::new(),
            is_left_out: false,
            string: None,
            deepest: 0,
            depth_max: depth_max.min(DEPTH_MAX),
            keys: 0,
            hashers: (RandomState::new(), RandomState::new()),
            moved: 0,
            hard: 0,
            has_ended: false,
        })
    }

    /// How much of the text was read.
    pub(super) fn at(&self) -> usize {
        self.text.at()
    }

    /// How many bytes were moved, to make room for the heads of tables, or written for `null`, whatever that is.
    pub(super) fn moved(&self) -> usize {
        self.moved
    }

    /// How many of the numbers that were read had many digits.
    pub(super) fn hard(&self) -> usize {
        self.hard
    }

    /// What it takes beside the text, in bytes.
    pub(super) fn held_bytes(&self) -> u64 {
        self.out.len().saturating_add(self.keys.saturating_mul(KEY_BYTES)) as u64
    }

    /// Reads some of the text: the value, once all of it is read.
    pub(super) fn step(&mut self, values: usize) -> Option<std::result::Result<Encoded, SyntaxError>> {
        let read = self.some(values).and_then(|is_whole| if is_whole { self.end().map(Some) } else { Ok(None) });
        read.map_err(|fault| fault.in_text(self.text.whole())).transpose()
    }

    fn end(&mut self) -> Result<Encoded> {
        self.text.skip_spaces();
        match self.text.peek() {
            None => {
                let bytes = std::mem::replace(&mut self.out, Writer::new(0)).into_bytes();
                Ok(Encoded::written(bytes, u32::try_from(self.deepest).unwrap_or(u32::MAX)))
            }
            Some(_) => Err(self.text.unexpected("the end of the text after the value")),
        }
    }

    /// Reads so many values, or begins of tables. Whether the value is whole.
    fn some(&mut self, values: usize) -> Result<bool> {
        let until = self.text.at() + self.moved + STEP_BYTES;
        let hard_before = self.hard;
        for _ in 0..values {
            if self.text.at() + self.moved > until || self.hard - hard_before >= HARD_A_STEP {
                return Ok(false);
            }
            let is_value = match self.string {
                _ if std::mem::take(&mut self.has_ended) => true,
                Some(string) => self.string(string)?,
                None => self.begin()?,
            };
            if is_value && self.put()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a value, or the beginning of one. Whether it is whole.
    fn begin(&mut self) -> Result<bool> {
        match self.text.peek() {
            Some(b'[') => {
                self.enter(b'[')?;
                if self.text.skip(b']') {
                    self.empty(false)?;
                    return Ok(true);
                }
                self.open(false)?;
                self.expected = "a value or `]` after `[`";
                Ok(false)
            }
            Some(b'{') => {
                self.enter(b'{')?;
                if self.text.skip(b'}') {
                    self.empty(true)?;
                    return Ok(true);
                }
                self.open(true)?;
                self.key("a key in double quotes or `}` after `{`")?;
                Ok(false)
            }
            Some(b'"') => {
                let start = self.text.at();
                let at = wrote(self.text.at(), self.out.begin())?;
                self.text.skip(b'"');
                self.string(Reading { start, at, is_key: false })
            }
            _ => self.scalar(self.expected).map(|()| true),
        }
    }

    fn open(&mut self, is_object: bool) -> Result {
        let at = wrote(self.text.at(), self.out.begin())?;
        self.open.push(Open { is_object, at, count: 0, keys: BTreeSet::new(), key_at: 0 });
        self.deepest = self.deepest.max(self.open.len());
        Ok(())
    }

    /// A table without entries. The guest has it remember that it was an object.
    fn empty(&mut self, is_object: bool) -> Result {
        self.deepest = self.deepest.max(self.open.len() + 1);
        wrote(self.text.at(), if is_object { self.out.map(0) } else { self.out.array(0) })
    }

    /// A value is whole: it is an entry of the table that it is in, and so is each table that ends with it. Whether that was
    /// all.
    fn put(&mut self) -> Result<bool> {
        loop {
            let Some(open) = self.open.last_mut() else { return Ok(true) };
            open.count += usize::from(!std::mem::take(&mut self.is_left_out));
            let (is_object, bracket, expected) = match open.is_object {
                false => (false, b']', "`,` or `]` after an item"),
                true => (true, b'}', "`,` or `}` after a value"),
            };
            if self.goes_on(bracket, expected)? {
                match is_object {
                    false => self.expected = "a value after `,`",
                    true => self.key("a key in double quotes after `,`")?,
                }
                return Ok(false);
            }
            let Some(Open { at, count, keys, .. }) = self.open.pop() else { return Ok(true) };
            self.keys -= keys.len();
            let what = if is_object { Begun::Map } else { Begun::Array };
            wrote(self.text.at(), self.out.end(at, what, count))?;
            if count > 15 {
                // its head took more than the byte that was kept for it
                self.moved += self.out.len() - at;
                self.has_ended = true;
                return Ok(false);
            }
        }
    }

    /// Reads what is no table and no string; `expected` says what must come, for an error.
    fn scalar(&mut self, expected: &str) -> Result {
        let start = self.text.at();
        match self.text.peek() {
            Some(b'-' | b'0'..=b'9') => {
                let (number, is_hard) = number::read(&mut self.text)?;
                self.hard += usize::from(is_hard);
                self.write(&number)
            }
            Some(byte) if byte.is_ascii_alphabetic() => self.word(start),
            _ => Err(self.text.unexpected_start(expected)),
        }
    }

    fn word(&mut self, start: usize) -> Result {
        let value = match self.text.take_word() {
            b"true" => &TRUE,
            b"false" => &FALSE,
            b"null" => self.null.unwrap_or(&NIL),
            word => {
                let word = shortened(word);
                return Err(Fault::new(
                    start,
                    format!("`{word}` is no value; the words of JSON are `true`, `false` and `null`"),
                ));
            }
        };
        let bytes = match value {
            Value::String(bytes) | Value::Buffer(bytes) => bytes.len(),
            _ => 0,
        };
        self.moved += bytes;
        if !matches!(value, Value::Nil) {
            return self.write(value);
        }
        match self.open.last() {
            // a key without a value isn't there
            Some(open) if open.is_object => {
                self.out.truncate(open.key_at);
                self.is_left_out = true;
                Ok(())
            }
            Some(_) => {
                let message = "a list can't hold nil; give the option `null`, a value that stands for `null`";
                Err(Fault::new(start, message))
            }
            None => self.write(value),
        }
    }

    fn write(&mut self, value: &Value) -> Result {
        let at = self.text.at();
        wrote(
            at,
            match value {
                Value::Boolean(value) => self.out.boolean(*value),
                Value::Number(number) => self.out.number(*number),
                Value::Integer(integer) => self.out.integer(*integer),
                Value::String(bytes) => self.out.string(bytes),
                Value::Buffer(bytes) => self.out.buffer(bytes),
                Value::Vector(vector) => self.out.vector(*vector),
                _ => self.out.nil(),
            },
        )
    }

    /// Reads a piece of a string. Whether a value is whole with it.
    fn string(&mut self, string: Reading) -> Result<bool> {
        self.string = Some(string);
        if !string::read(&mut self.text, &mut self.out)? {
            return Ok(false);
        }
        self.string = None;
        let bytes = self.out.len() - string.at - 1;
        if !string.is_key {
            wrote(self.text.at(), self.out.end(string.at, Begun::String, bytes))?;
            return Ok(true);
        }
        self.keyed(string)?;
        wrote(self.text.at(), self.out.end(string.at, Begun::String, bytes))?;
        self.text.skip_spaces();
        if !self.text.skip(b':') {
            return Err(self.text.unexpected("`:` after a key"));
        }
        self.text.skip_spaces();
        self.expected = "a value after `:`";
        Ok(false)
    }

    /// A key was read, which must not be among those before it.
    fn keyed(&mut self, string: Reading) -> Result {
        let key = self.out.since(string.at + 1);
        let (one, other) = &self.hashers;
        let hash = u128::from(one.hash_one(key)) << 64 | u128::from(other.hash_one(key));
        let is_new = self.open.last_mut().is_some_and(|open| {
            open.key_at = string.at;
            open.keys.insert(hash)
        });
        if is_new {
            self.keys += 1;
            return Ok(());
        }
        let key = Value::string(key);
        Err(Fault::new(string.start, format!("the key {key} is there twice in an object")))
    }

    /// Begins to read a key, and reads on to the beginning of its value, unless it is long.
    fn key(&mut self, expected: &str) -> Result {
        let start = self.text.at();
        if self.text.peek() != Some(b'"') {
            return Err(self.text.unexpected_start(expected));
        }
        let at = wrote(self.text.at(), self.out.begin())?;
        self.text.skip(b'"');
        self.string(Reading { start, at, is_key: true }).map(drop)
    }

    /// Goes into a table, to what comes first in it.
    fn enter(&mut self, bracket: u8) -> Result {
        let start = self.text.at();
        if self.open.len() >= self.depth_max as usize {
            let most = self.depth_max;
            return Err(Fault::new(start, format!("arrays and objects lie more than {most} deep in each other")));
        }
        self.text.skip(bracket);
        self.text.skip_spaces();
        Ok(())
    }

    /// Whether another entry follows in a table, which ends otherwise.
    fn goes_on(&mut self, bracket: u8, expected: &str) -> Result<bool> {
        self.text.skip_spaces();
        if self.text.skip(b',') {
            self.text.skip_spaces();
            Ok(true)
        } else if self.text.skip(bracket) {
            Ok(false)
        } else {
            Err(self.text.unexpected(expected))
        }
    }
}
