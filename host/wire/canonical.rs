//! Values whose bytes are the same if they are equal: tables are in the order of their keys' bytes, and each scalar is written in one way.
//!
//! It is done in steps, from bytes to bytes, without a `Value` of the whole: a mebibyte may be a million values.

use std::cmp::Ordering;

use super::token::{Reader, Token};
use super::writer::Writer;
use super::{DEPTH_MAX, WireError};

/// So many bytes that are written, compared or copied take as long as a token.
const TOKEN_BYTES: usize = 512;

/// The value that is being read, and what is written of it.
pub(crate) struct Canonical<'a> {
    reader: Reader<'a>,
    out: Writer,
    tables: Vec<Table>,
    is_over: bool,
    /// What the order of a table's pairs is found with, once they are all there.
    sorting: Option<Sorting>,
    /// Those of all tables that aren't closed.
    pairs: usize,
}

/// A table that is being read.
enum Table {
    /// So many items are to come.
    Array(usize),
    Map {
        left: usize,
        pairs: Vec<Pair>,
        is_sorted: bool,
        /// Where the key of the pair begins that is being read, and where it ends once it was.
        key: (usize, Option<usize>),
    },
}

/// Where a pair lies in what was written. It holds no value: a key may be a table of a thousand.
#[derive(Clone, Copy)]
struct Pair {
    start: usize,
    /// Where its key ends, and its value begins.
    value: usize,
    end: usize,
}

impl Pair {
    fn len(&self) -> usize {
        self.end - self.start
    }

    /// The order of two pairs: by the bytes of their keys, and where those are equal, of their values. It is paid for by its length.
    fn cmp(&self, other: &Pair, written: &[u8], left: &mut usize) -> Ordering {
        let bytes = |start, end| written.get(start..end).unwrap_or_default();
        spend(left, (self.value - self.start).min(other.value - other.start));
        bytes(self.start, self.value).cmp(bytes(other.start, other.value)).then_with(|| {
            spend(left, (self.end - self.value).min(other.end - other.value));
            bytes(self.value, self.end).cmp(bytes(other.value, other.end))
        })
    }
}

/// Takes what a number of bytes costs off what is left of a step.
fn spend(left: &mut usize, bytes: usize) {
    *left = left.saturating_sub(1 + bytes / TOKEN_BYTES);
}

/// A merge sort that can stop: runs of `run` pairs are in order in `from`, and are merged by twos to `to`.
struct Sorting {
    from: Vec<Pair>,
    to: Vec<Pair>,
    run: usize,
    /// The next of either run, and where it ends.
    one: (usize, usize),
    other: (usize, usize),
    /// What was written of the pairs, written again in their order, once that is known.
    sorted: Vec<u8>,
    again: usize,
}

/// Writes a scalar. False if the token is none.
fn write(out: &mut Writer, token: &Token<'_>) -> Result<bool, WireError> {
    match *token {
        Token::Nil => out.nil(),
        Token::Boolean(value) => out.boolean(value),
        Token::Number(number) => out.number(number),
        Token::Integer(integer) => out.integer(integer),
        Token::String(bytes) => out.string(bytes),
        Token::Buffer(bytes) => out.buffer(bytes),
        Token::Vector(vector) => out.vector(vector),
        Token::Handle(_) | Token::Array(_) | Token::Map(_) => return Ok(false),
    }
    .map(|()| true)
}

/// The canonical bytes of a value that is one scalar, and as how many tokens that counts. None if it is a table.
pub(crate) fn scalar(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut reader = Reader::new(bytes);
    let token = reader.token().ok()?;
    let mut out = Writer::with_capacity(bytes.len(), u32::MAX);
    let is_whole = write(&mut out, &token).ok()? && reader.finish().is_ok();
    is_whole.then(|| (out.into_bytes(), 1 + bytes.len() / TOKEN_BYTES))
}

impl<'a> Canonical<'a> {
    /// `bytes` is one value.
    pub(crate) fn new(bytes: &'a [u8]) -> Canonical<'a> {
        Canonical {
            reader: Reader::new(bytes),
            out: Writer::new(u32::MAX),
            tables: Vec::new(),
            is_over: false,
            sorting: None,
            pairs: 0,
        }
    }

    /// Goes on until it is over, or nothing is left of so many tokens, or the like: 2,000 are some 100 us. Whether it is over.
    ///
    /// # Errors
    /// Something in the value can't be kept: a handle, a table too deep.
    pub(crate) fn step(&mut self, left: &mut usize) -> Result<bool, WireError> {
        while *left > 0 && !self.is_over {
            match self.sorting.take() {
                Some(sorting) => self.sort(sorting, left)?,
                None => self.token(left)?,
            }
        }
        Ok(self.is_over)
    }

    /// What it takes beside the value, in bytes: some times the value, where that is many pairs.
    pub(crate) fn held_bytes(&self) -> u64 {
        let sorted = self.sorting.as_ref().map_or(0, |sorting| sorting.sorted.capacity());
        let pairs = self.pairs.saturating_mul(2 * size_of::<Pair>());
        pairs.saturating_add(sorted).saturating_add(self.out.len()) as u64
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    fn token(&mut self, left: &mut usize) -> Result<(), WireError> {
        let start = self.out.len();
        let token = self.reader.token()?;
        if let Some(Table::Map { key: (begins, ends), .. }) = self.tables.last_mut()
            && ends.is_none()
        {
            *begins = (*begins).min(start);
            if !token.is_key() {
                return Err(WireError::malformed(self.reader.at(), "a key is nil or NaN"));
            }
        }
        // of the empty table there is one form
        match if let Token::Map(0) = token { Token::Array(0) } else { token } {
            Token::Array(len) => {
                self.deeper()?;
                self.out.array(len)?;
                self.tables.push(Table::Array(len));
                spend(left, 0);
                self.close(left)
            }
            Token::Map(len) => {
                self.deeper()?;
                self.out.map(len)?;
                self.tables.push(Table::Map { left: len, pairs: Vec::new(), is_sorted: true, key: (usize::MAX, None) });
                spend(left, 0);
                self.close(left)
            }
            Token::Handle(_) => Err(WireError::stray_handle()),
            scalar => {
                write(&mut self.out, &scalar)?;
                spend(left, self.out.len() - start);
                self.ended(left)
            }
        }
    }

    /// A table begins, one level down.
    fn deeper(&self) -> Result<(), WireError> {
        if self.tables.len() >= DEPTH_MAX as usize { Err(WireError::too_deep(DEPTH_MAX)) } else { Ok(()) }
    }

    /// A value was written whole: of the table that it is in, or all.
    fn ended(&mut self, left: &mut usize) -> Result<(), WireError> {
        let end = self.out.len();
        match self.tables.last_mut() {
            None => {
                self.is_over = true;
                return self.reader.finish();
            }
            Some(Table::Array(items)) => *items = items.saturating_sub(1),
            Some(Table::Map { key: (_, ends @ None), .. }) => *ends = Some(end),
            Some(Table::Map { left: more, pairs, is_sorted, key }) => {
                let pair = Pair { start: key.0, value: key.1.unwrap_or(end), end };
                if let (true, Some(last)) = (*is_sorted, pairs.last()) {
                    *is_sorted = last.cmp(&pair, self.out.since(0), left).is_le();
                }
                pairs.push(pair);
                self.pairs += 1;
                (*more, *key) = (more.saturating_sub(1), (usize::MAX, None));
            }
        }
        self.close(left)
    }

    /// Ends the innermost table, if nothing of it is to come.
    fn close(&mut self, left: &mut usize) -> Result<(), WireError> {
        match self.tables.last_mut() {
            Some(Table::Array(0)) => {
                self.tables.pop();
                self.ended(left)
            }
            Some(Table::Map { left: 0, pairs, is_sorted, .. }) => {
                let (pairs, is_sorted) = (std::mem::take(pairs), *is_sorted);
                self.tables.pop();
                if is_sorted {
                    self.pairs = self.pairs.saturating_sub(pairs.len());
                    return self.ended(left);
                }
                self.sorting = Some(Sorting::new(pairs));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Goes on bringing a table's pairs into order.
    fn sort(&mut self, mut sorting: Sorting, left: &mut usize) -> Result<(), WireError> {
        if !sorting.merge(self.out.since(0), left) || !sorting.write(self.out.since(0), left) {
            self.sorting = Some(sorting);
            return Ok(());
        }
        self.pairs = self.pairs.saturating_sub(sorting.from.len());
        self.out.truncate(self.out.len() - sorting.sorted.len());
        self.out.append(&sorting.sorted)?;
        spend(left, sorting.sorted.len());
        self.ended(left)
    }
}

impl Sorting {
    fn new(pairs: Vec<Pair>) -> Sorting {
        let to = Vec::with_capacity(pairs.len());
        Sorting { from: pairs, to, run: 1, one: (0, 0), other: (0, 0), sorted: Vec::new(), again: 0 }
    }

    /// Goes on finding the order of what was written. Whether it is found.
    fn merge(&mut self, written: &[u8], left: &mut usize) -> bool {
        while self.run < self.from.len() {
            if *left == 0 {
                return false;
            }
            if self.one.0 >= self.one.1 && self.other.0 >= self.other.1 {
                let (at, all) = (self.to.len(), self.from.len());
                if at == all {
                    std::mem::swap(&mut self.from, &mut self.to);
                    self.to.clear();
                    self.run *= 2;
                    continue;
                }
                self.one = (at, (at + self.run).min(all));
                self.other = (self.one.1, (self.one.1 + self.run).min(all));
            }
            let next = |(at, end): (usize, usize)| if at < end { self.from.get(at) } else { None };
            let (is_other, pair) = match (next(self.one), next(self.other)) {
                (Some(one), Some(other)) if other.cmp(one, written, left).is_lt() => (true, *other),
                (Some(one), other) => {
                    if other.is_none() {
                        spend(left, 0);
                    }
                    (false, *one)
                }
                (None, Some(other)) => {
                    spend(left, 0);
                    (true, *other)
                }
                (None, None) => return true,
            };
            let run = if is_other { &mut self.other } else { &mut self.one };
            run.0 += 1;
            self.to.push(pair);
        }
        true
    }

    /// Goes on writing the pairs in their order. Whether that is done.
    fn write(&mut self, written: &[u8], left: &mut usize) -> bool {
        while let Some(pair) = self.from.get(self.again) {
            if *left == 0 {
                return false;
            }
            spend(left, pair.len());
            self.sorted.extend_from_slice(written.get(pair.start..pair.end).unwrap_or_default());
            self.again += 1;
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::Value;
    use crate::value::tests::any_value;

    const STEP: usize = 2_000;

    fn canonical(bytes: &[u8]) -> Vec<u8> {
        let mut canonical = Canonical::new(bytes);
        while !canonical.step(&mut { STEP }).unwrap() {}
        canonical.into_bytes()
    }

    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            Value::Map(pairs) if pairs.is_empty() => Value::Array(Vec::new()),
            Value::Map(pairs) => {
                let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (sorted(key), sorted(value))).collect();
                pairs.sort_by_cached_key(|(key, value)| (key.encode().unwrap(), value.encode().unwrap()));
                Value::Map(pairs)
            }
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn m8_a_canonical_value_is_the_sorted_one(value in any_value()) {
            let bytes = value.encode().unwrap();
            let ordered = sorted(&value).encode().unwrap();
            if let Some((bytes, tokens)) = scalar(&bytes) {
                prop_assert!(bytes == ordered && tokens == 1 + bytes.len() / TOKEN_BYTES);
            } else {
                prop_assert!(matches!(value, Value::Array(_) | Value::Map(_)));
            }
            prop_assert_eq!(canonical(&bytes), ordered);
        }
    }

    /// However large: a step is a step.
    #[test]
    fn m8_a_large_table_is_sorted_in_steps() {
        let pairs = |numbers: &mut dyn Iterator<Item = u32>| {
            Value::Map(numbers.map(|number| (Value::from(number), Value::Boolean(true))).collect())
        };
        let (mixed, ordered) = (pairs(&mut (0..60_000).map(|i| i * 7_919 % 60_000)), pairs(&mut (0..60_000)));
        let bytes = mixed.encode().unwrap();
        let mut canonical = Canonical::new(&bytes);
        let mut steps = 1;
        while !canonical.step(&mut { STEP }).unwrap() {
            steps += 1;
        }
        assert!(steps > 60_000 * 18 / STEP, "{steps}");
        assert_eq!(canonical.held_bytes(), canonical.out.len() as u64);
        assert_eq!(canonical.into_bytes(), ordered.encode().unwrap());
        let handle = [0xc7_u8, 4, 3, 0, 0, 0, 1];
        assert!(Canonical::new(&handle).step(&mut { STEP }).is_err());
    }

    /// How many steps a value takes, and the most that it held.
    fn steps(value: &Value) -> (usize, u64) {
        let bytes = value.encode().unwrap();
        let mut canonical = Canonical::new(&bytes);
        let (mut steps, mut held) = (1, 0);
        while !canonical.step(&mut { STEP }).unwrap() {
            steps += 1;
            held = held.max(canonical.held_bytes());
        }
        assert_eq!(canonical.into_bytes(), sorted(value).encode().unwrap());
        (steps, held)
    }

    fn falls(values: usize) -> Value {
        Value::Array(vec![Value::Boolean(false); values])
    }

    /// What is compared is paid for by its length: tables of 900 values, of which 290 were keys, took a second for three steps of it
    /// when each comparison counted as one. They hold their bytes, and no tree of 261,000 values.
    #[test]
    fn m8_a_comparison_is_paid_for_by_its_length() {
        let key = |number: usize| {
            let Value::Array(mut values) = falls(900) else { return Value::Nil };
            values.push(Value::from(u32::try_from(number).unwrap()));
            Value::Array(values)
        };
        let table = |pairs: usize| Value::Map((0..pairs).rev().map(|at| (key(at), Value::Boolean(true))).collect());
        let (value, bytes) = (table(290), 290 * 908);
        let (took, held) = steps(&value);
        let read = 290 * 900 / STEP;
        let compared = 290 * 8 / 2 * 900 / TOKEN_BYTES / STEP;
        assert!(took >= read + compared, "{took}");
        assert!(held <= 3 * bytes, "{held}");
        // and so is a text
        let texts = |len: usize| {
            let text = |at: usize| Value::string(format!("{}{at}", "x".repeat(len)));
            Value::Map((10..74).rev().map(|at| (text(at), Value::Nil)).collect())
        };
        let (long, short) = (steps(&texts(TOKEN_BYTES * 40)).0, steps(&texts(1)).0);
        assert!(short == 1 && long >= 64 * 40 * 4 / STEP, "{short} {long}");
    }

    /// A table that is a key is written once, however deep it lies in keys, and moved once for each table that is put into order.
    #[test]
    fn m8_a_key_in_keys_is_written_once() {
        let nested = |of: fn(Value) -> Value| steps(&(0..60).fold(falls(100_000), |inner, _| of(inner))).0;
        let one = nested(|inner| Value::Map(vec![(inner, Value::Boolean(true))]));
        assert_eq!(one, 100_000 / STEP + 1);
        // of two keys, the second comes first: what is inside is written again, and moved, at each level
        let moved = nested(|inner| Value::Map(vec![(inner, Value::Nil), (Value::from(1), Value::Nil)]));
        assert!(moved >= one + 60 * 2 * 100_000 / TOKEN_BYTES / STEP - 2, "{one} {moved}");
    }
}
