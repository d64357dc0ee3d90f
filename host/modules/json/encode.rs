//! A value to a text. Nothing recurses: the tables that are open are a list, and the path of an error.

use super::path::{Step, path};
use super::writer::{Result, Writer};
use super::{DEPTH_MAX, EncodeOptions, number, stand_in};
use crate::value::Value;

/// What to do with bytes.
const AS_TEXT: &str = "write its bytes as text, in base64 or hexadecimal";

/// Writes a value as JSON: the same bytes for equal values, since keys are sorted by theirs.
///
/// `depth_max` is how many tables may lie in each other, `DEPTH_MAX` at most: at 1, `[[]]` is refused. No more than
/// `bytes_max` bytes of text are ever held.
///
/// # Errors
/// Something in the value has no form in JSON, or a bound was hit. The text begins with the path: `value.items[3]: ...`.
pub(crate) fn encode(value: &Value, options: &EncodeOptions, depth_max: u32, bytes_max: usize) -> Result<Vec<u8>> {
    let mut encoder = Encoder {
        out: Writer::new(bytes_max),
        null: stand_in(&options.null)?,
        empty: if options.empty_as_object == Some(true) { b"{}" } else { b"[]" },
        indent: options.indent.unwrap_or(0).into(),
        open: Vec::new(),
        depth_max: depth_max.min(DEPTH_MAX),
    };
    match encoder.whole(value) {
        Ok(()) => Ok(encoder.out.into_bytes()),
        Err(message) => Err(format!("{}: {message}", path(encoder.open.iter().map(Open::step)))),
    }
}

struct Encoder<'a> {
    out: Writer,
    null: Option<&'a Value>,
    empty: &'static [u8],
    indent: usize,
    /// The tables that are being written, outermost first.
    open: Vec<Open<'a>>,
    depth_max: u32,
}

/// A table whose end is not written yet.
struct Open<'a> {
    entries: Entries<'a>,
    /// Entries that were begun.
    begun: usize,
}

enum Entries<'a> {
    Array(&'a [Value]),
    /// Sorted.
    Object(Vec<(&'a str, &'a Value)>),
}

impl<'a> Open<'a> {
    /// To the entry that was begun last.
    fn step(&self) -> Step<'_> {
        match &self.entries {
            Entries::Array(_) => Step::Item(self.begun),
            Entries::Object(fields) => {
                Step::Field(fields.get(self.begun.saturating_sub(1)).map_or("", |(name, _)| *name))
            }
        }
    }

    /// Begins the next entry: its name, if it has one, and its value.
    fn next(&mut self) -> Option<(Option<&'a str>, &'a Value)> {
        let next = match &self.entries {
            Entries::Array(items) => (None, items.get(self.begun)?),
            Entries::Object(fields) => fields.get(self.begun).map(|(name, value)| (Some(*name), *value))?,
        };
        self.begun += 1;
        Some(next)
    }

    fn end(&self) -> &'static [u8] {
        match self.entries {
            Entries::Array(_) => b"]",
            Entries::Object(_) => b"}",
        }
    }
}

impl<'a> Encoder<'a> {
    fn whole(&mut self, value: &'a Value) -> Result {
        let mut next = Some(value);
        while let Some(value) = next {
            self.value(value)?;
            next = self.advance()?;
        }
        Ok(())
    }

    /// Writes a value, or the beginning of a table that has entries.
    fn value(&mut self, value: &'a Value) -> Result {
        if self.null == Some(value) {
            return self.out.put(b"null");
        }
        match value {
            Value::Nil => self.out.put(b"null"),
            Value::Boolean(true) => self.out.put(b"true"),
            Value::Boolean(false) => self.out.put(b"false"),
            Value::Number(number) if number.is_nan() => {
                Err("JSON has no NaN; leave it out, or write it as a string".to_owned())
            }
            Value::Number(number) if number.is_infinite() => {
                Err("JSON has no infinity; leave it out, or write it as a string".to_owned())
            }
            Value::Number(number) => self.out.put(number::write(*number).as_bytes()),
            Value::Integer(integer) => self.out.put(integer.to_string().as_bytes()),
            Value::String(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.out.string(text),
                Err(error) => {
                    let at = error.valid_up_to() + 1;
                    Err(format!("a string that is not UTF-8 at its byte {at}; {AS_TEXT}"))
                }
            },
            Value::Buffer(_) => Err(format!("JSON has no buffers; {AS_TEXT}")),
            Value::Vector(_) => Err("JSON has no vectors; write the list {v.x, v.y, v.z}".to_owned()),
            Value::Array(items) => self.table(items.is_empty(), b"[", || Ok(Entries::Array(items))),
            Value::Map(pairs) => self.table(pairs.is_empty(), b"{", || fields(pairs).map(Entries::Object)),
        }
    }

    fn table(&mut self, is_empty: bool, begin: &[u8], entries: impl FnOnce() -> Result<Entries<'a>>) -> Result {
        if self.open.len() >= self.depth_max as usize {
            return Err(format!("tables lie more than {} deep in each other", self.depth_max));
        }
        if is_empty {
            return self.out.put(self.empty);
        }
        let entries = entries()?;
        self.out.put(begin)?;
        self.open.push(Open { entries, begun: 0 });
        Ok(())
    }

    /// Ends the tables that end here, and writes what comes before the next value, if there is one.
    fn advance(&mut self) -> Result<Option<&'a Value>> {
        while let Some(open) = self.open.last_mut() {
            let is_first = open.begun == 0;
            let Some((name, value)) = open.next() else {
                let end = open.end();
                self.open.pop();
                self.line()?;
                self.out.put(end)?;
                continue;
            };
            if !is_first {
                self.out.put(b",")?;
            }
            self.line()?;
            if let Some(name) = name {
                self.out.string(name)?;
                self.out.put(if self.indent > 0 { b": " } else { b":" })?;
            }
            return Ok(Some(value));
        }
        Ok(None)
    }

    fn line(&mut self) -> Result {
        if self.indent == 0 {
            return Ok(());
        }
        self.out.put(b"\n")?;
        self.out.spaces(self.indent * self.open.len())
    }
}

/// A map's pairs, sorted by their keys' bytes.
fn fields(pairs: &[(Value, Value)]) -> Result<Vec<(&str, &Value)>> {
    let mut fields = pairs.iter().map(|(key, value)| Ok((name(key)?, value))).collect::<Result<Vec<_>>>()?;
    fields.sort_unstable_by_key(|(name, _)| *name);
    let twice = fields.iter().zip(fields.iter().skip(1)).find(|((one, _), (other, _))| one == other);
    match twice {
        Some(((name, _), _)) => Err(format!("the key {} is there twice", Value::from(*name))),
        None => Ok(fields),
    }
}

fn name(key: &Value) -> Result<&str> {
    match key {
        Value::String(bytes) => {
            std::str::from_utf8(bytes).map_err(|_| format!("the key {key} is not UTF-8, as the keys of an object are"))
        }
        Value::Number(_) | Value::Integer(_) => Err(format!(
            "the key {key} is a number, and not all keys are 1 to n: an array has just these, an object strings (tostring)"
        )),
        key => Err(format!("the key {key} is no string, as the keys of an object are")),
    }
}
