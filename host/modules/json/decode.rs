//! A text to a value. Nothing recurses: the tables that are open are a list.

use std::collections::BTreeMap;

use super::text::{Fault, Result, Text, shortened};
use super::{DEPTH_MAX, SyntaxError, number, stand_in, string};
use crate::value::Value;

/// What a value is counted as, beside the bytes of a string: its place in a table that may have as much room again.
const VALUE_BYTES: usize = 2 * size_of::<Value>();

/// A text that is being read, in steps.
///
/// `null` is what `null` becomes, as in [`DecodeOptions`](super::DecodeOptions). `depth_max` is how many tables may lie in
/// each other, `DEPTH_MAX` at most: at 1, `[[]]` is refused. `bytes_max` is the memory that the value may take; each value
/// and each key counts as 64 bytes, and those of its text.
///
/// # Errors
/// The text is not JSON, a key is there twice in an object, a number can't be had, `null` stands in an array and means nil,
/// or a bound was hit: each where it is. A `null` that is a table is an error at the start.
pub(super) struct Decoder<'a> {
    text: Text<'a>,
    /// What must come next, for an error.
    expected: &'static str,
    null: Option<&'a Value>,
    /// The tables that are being read, outermost first.
    open: Vec<Open>,
    depth_max: u32,
    bytes_max: usize,
    bytes_left: usize,
}

type Entries = BTreeMap<Vec<u8>, Value>;

/// A table whose end is not read yet.
enum Open {
    Array(Vec<Value>),
    /// What it has, and the key of what comes next.
    Object(Entries, Vec<u8>),
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        text: &'a [u8],
        null: &'a Value,
        depth_max: u32,
        bytes_max: usize,
    ) -> std::result::Result<Decoder<'a>, SyntaxError> {
        let null = stand_in(null).map_err(|message| Fault::new(0, message).in_text(text))?;
        let depth_max = depth_max.min(DEPTH_MAX);
        let mut text = Text::new(text);
        text.skip_spaces();
        Ok(Decoder { text, expected: "a value", null, open: Vec::new(), depth_max, bytes_max, bytes_left: bytes_max })
    }

    /// Reads some of the text: the value, once all of it is read.
    pub(super) fn step(&mut self, values: usize) -> Option<std::result::Result<Value, SyntaxError>> {
        let read = self.some(values).and_then(|value| value.map(|value| self.end(value)).transpose());
        read.map_err(|fault| fault.in_text(self.text.whole())).transpose()
    }

    fn end(&mut self, value: Value) -> Result<Value> {
        self.text.skip_spaces();
        match self.text.peek() {
            None => Ok(value),
            Some(_) => Err(self.text.unexpected("the end of the text after the value")),
        }
    }

    /// Reads so many values, or begins of tables.
    fn some(&mut self, values: usize) -> Result<Option<Value>> {
        for _ in 0..values {
            let start = self.text.at();
            let value = match self.text.peek() {
                Some(b'[') => {
                    self.enter(b'[')?;
                    if !self.text.skip(b']') {
                        self.open.push(Open::Array(Vec::new()));
                        self.expected = "a value or `]` after `[`";
                        continue;
                    }
                    Value::Array(Vec::new())
                }
                Some(b'{') => {
                    self.enter(b'{')?;
                    if !self.text.skip(b'}') {
                        let entries = Entries::new();
                        let key = self.key(&entries, "a key in double quotes or `}` after `{`")?;
                        self.open.push(Open::Object(entries, key));
                        self.expected = "a value after `:`";
                        continue;
                    }
                    Value::Array(Vec::new())
                }
                _ => self.scalar(self.expected)?,
            };
            match self.put(value, start)? {
                Next::Whole(value) => return Ok(Some(value)),
                Next::Value(after) => self.expected = after,
            }
        }
        Ok(None)
    }

    /// Puts a value that began at `start` where it belongs, and so each table that ends with it.
    fn put(&mut self, mut value: Value, start: usize) -> Result<Next> {
        loop {
            match self.open.pop() {
                None => return Ok(Next::Whole(value)),
                Some(Open::Array(_)) if matches!(value, Value::Nil) => {
                    let message = "a list can't hold nil; give the option `null`, a value that stands for `null`";
                    return Err(Fault::new(start, message));
                }
                Some(Open::Array(mut items)) => {
                    items.push(value);
                    if self.goes_on(b']', "`,` or `]` after an item")? {
                        self.open.push(Open::Array(items));
                        return Ok(Next::Value("a value after `,`"));
                    }
                    value = Value::Array(items);
                }
                Some(Open::Object(mut entries, key)) => {
                    entries.insert(key, value);
                    if self.goes_on(b'}', "`,` or `}` after a value")? {
                        let key = self.key(&entries, "a key in double quotes after `,`")?;
                        self.open.push(Open::Object(entries, key));
                        return Ok(Next::Value("a value after `:`"));
                    }
                    value = table(entries);
                }
            }
        }
    }

    /// Reads what is no table; `expected` says what must come, for an error.
    fn scalar(&mut self, expected: &str) -> Result<Value> {
        let start = self.text.at();
        let value = match self.text.peek() {
            Some(b'"') => return self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => number::read(&mut self.text)?,
            Some(byte) if byte.is_ascii_alphabetic() => self.word()?,
            _ => return Err(self.text.unexpected_start(expected)),
        };
        let bytes = match &value {
            Value::String(bytes) | Value::Buffer(bytes) => bytes.len(),
            _ => 0,
        };
        self.count(start, bytes)?;
        Ok(value)
    }

    fn word(&mut self) -> Result<Value> {
        let start = self.text.at();
        match self.text.take_word() {
            b"true" => Ok(Value::Boolean(true)),
            b"false" => Ok(Value::Boolean(false)),
            b"null" => Ok(self.null.cloned().unwrap_or_default()),
            word => {
                let word = shortened(word);
                Err(Fault::new(
                    start,
                    format!("`{word}` is no value; the words of JSON are `true`, `false` and `null`"),
                ))
            }
        }
    }

    fn string(&mut self) -> Result<Vec<u8>> {
        let start = self.text.at();
        let bytes = string::read(&mut self.text)?;
        self.count(start, bytes.len())?;
        Ok(bytes)
    }

    /// Reads a key that is not among the entries, to the beginning of its value.
    fn key(&mut self, entries: &Entries, expected: &str) -> Result<Vec<u8>> {
        let start = self.text.at();
        if self.text.peek() != Some(b'"') {
            return Err(self.text.unexpected_start(expected));
        }
        let key = self.string()?;
        if entries.contains_key(&key) {
            let key = Value::String(key);
            return Err(Fault::new(start, format!("the key {key} is there twice in an object")));
        }
        self.text.skip_spaces();
        if !self.text.skip(b':') {
            return Err(self.text.unexpected("`:` after a key"));
        }
        self.text.skip_spaces();
        Ok(key)
    }

    /// Goes into a table, to what comes first in it.
    fn enter(&mut self, bracket: u8) -> Result {
        let start = self.text.at();
        if self.open.len() >= self.depth_max as usize {
            let most = self.depth_max;
            return Err(Fault::new(start, format!("arrays and objects lie more than {most} deep in each other")));
        }
        self.count(start, 0)?;
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

    /// Counts a value with so many bytes of its own.
    fn count(&mut self, at: usize, bytes: usize) -> Result {
        match self.bytes_left.checked_sub(VALUE_BYTES.saturating_add(bytes)) {
            Some(left) => self.bytes_left = left,
            None => {
                let most = self.bytes_max;
                return Err(Fault::new(at, format!("the values up to here take more than {most} bytes of memory")));
            }
        }
        Ok(())
    }
}

enum Next {
    /// All is read.
    Whole(Value),
    /// This comes next.
    Value(&'static str),
}

/// What has entries is a map, by name; a key without a value isn't there.
fn table(entries: Entries) -> Value {
    let mut pairs = Vec::with_capacity(entries.len());
    let entries = entries.into_iter().filter(|(_, value)| !matches!(value, Value::Nil));
    pairs.extend(entries.map(|(key, value)| (Value::String(key), value)));
    if pairs.is_empty() { Value::Array(Vec::new()) } else { Value::Map(pairs) }
}
