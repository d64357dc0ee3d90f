//! Values whose bytes are the same if they are equal: tables are in the order of their keys, and each scalar is written in one way.
//!
//! It is done in steps, from bytes to bytes, without a `Value` of the whole: a mebibyte may be a million values.

use std::ops::Range;

use super::codec;
use super::token::{Reader, Token};
use super::writer::Writer;
use super::{DEPTH_MAX, WireError};
use crate::value::Value;

/// The longest table that a kept value may have as a key, as it is written.
const TABLE_KEY_BYTES_MAX: usize = 1_024;

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

/// A pair, by its key; and where it lies in what was written.
struct Pair {
    key: Value,
    at: Range<usize>,
}

/// A merge sort that can stop: runs of `run` pairs are in order in `from`, and are merged by twos to `to`.
struct Sorting {
    /// Where the pairs begin in what was written.
    start: usize,
    /// What was written of them, once they are in order, and how many of them were written again.
    written: Option<Vec<u8>>,
    again: usize,
    from: Vec<Option<Pair>>,
    to: Vec<Option<Pair>>,
    run: usize,
    left: Range<usize>,
    right: Range<usize>,
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
                Some(sorting) => *left = self.sort(sorting, *left)?,
                None => {
                    *left -= 1;
                    self.token()?;
                }
            }
        }
        Ok(self.is_over)
    }

    /// What it takes beside the value and what is written, in bytes: some times the value, where that is many pairs.
    pub(crate) fn held_bytes(&self) -> u64 {
        (self.pairs as u64).saturating_mul(2 * size_of::<Option<Pair>>() as u64)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    fn token(&mut self) -> Result<(), WireError> {
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
        match token {
            Token::Array(len) => {
                self.deeper()?;
                self.out.array(len)?;
                self.tables.push(Table::Array(len));
                self.close()
            }
            Token::Map(len) => {
                self.deeper()?;
                self.out.map(len)?;
                self.tables.push(Table::Map { left: len, pairs: Vec::new(), is_sorted: true, key: (usize::MAX, None) });
                self.close()
            }
            Token::Handle(_) => Err(WireError::stray_handle()),
            scalar => {
                codec::write(&mut self.out, &scalar.scalar().unwrap_or_default(), 0, DEPTH_MAX)?;
                self.ended()
            }
        }
    }

    /// A table begins, one level down.
    fn deeper(&self) -> Result<(), WireError> {
        if self.tables.len() >= DEPTH_MAX as usize { Err(WireError::too_deep(DEPTH_MAX)) } else { Ok(()) }
    }

    /// A value was written whole: of the table that it is in, or all.
    fn ended(&mut self) -> Result<(), WireError> {
        let end = self.out.len();
        match self.tables.last_mut() {
            None => {
                self.is_over = true;
                return self.reader.finish();
            }
            Some(Table::Array(left)) => *left = left.saturating_sub(1),
            Some(Table::Map { left, pairs, is_sorted, key }) => match *key {
                (begins, None) => {
                    // it is read whole, and compared; one in another is read again for each
                    if end - begins > TABLE_KEY_BYTES_MAX && is_table(self.out.since(begins)) {
                        return Err(WireError::mismatch(format_args!(
                            "a table that is a key is larger than {TABLE_KEY_BYTES_MAX} bytes"
                        )));
                    }
                    *key = (begins, Some(end));
                }
                (begins, Some(ends)) => {
                    let written = self.out.since(begins).get(..ends - begins).unwrap_or_default();
                    let pair = Pair { key: codec::decode(written)?, at: begins..end };
                    *is_sorted &= pairs.last().is_none_or(|last| last.key <= pair.key);
                    pairs.push(pair);
                    self.pairs += 1;
                    (*left, *key) = (left.saturating_sub(1), (usize::MAX, None));
                }
            },
        }
        self.close()
    }

    /// Ends the innermost table, if nothing of it is to come.
    fn close(&mut self) -> Result<(), WireError> {
        match self.tables.last_mut() {
            Some(Table::Array(0)) => {
                self.tables.pop();
                self.ended()
            }
            Some(Table::Map { left: 0, pairs, is_sorted, .. }) => {
                let (pairs, is_sorted) = (std::mem::take(pairs), *is_sorted);
                self.tables.pop();
                if is_sorted {
                    self.pairs = self.pairs.saturating_sub(pairs.len());
                    return self.ended();
                }
                let start = pairs.first().map_or(0, |pair| pair.at.start);
                self.sorting = Some(Sorting::new(start, pairs));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Goes on bringing a table's pairs into order: says how much of the step is left.
    fn sort(&mut self, mut sorting: Sorting, mut left: usize) -> Result<usize, WireError> {
        if !sorting.merge(&mut left) {
            self.sorting = Some(sorting);
            return Ok(left);
        }
        let Sorting { start, written, again, from, .. } = &mut sorting;
        let written = &*written.get_or_insert_with(|| {
            let written = self.out.since(*start).to_vec();
            self.out.truncate(*start);
            written
        });
        while left > 0 {
            left -= 1;
            let Some(pair) = from.get_mut(*again) else {
                self.pairs = self.pairs.saturating_sub(from.len());
                self.ended()?;
                return Ok(left);
            };
            *again += 1;
            if let Some(Pair { at, .. }) = pair.take() {
                self.out.append(written.get(at.start - *start..at.end - *start).unwrap_or_default())?;
            }
        }
        self.sorting = Some(sorting);
        Ok(left)
    }
}

fn is_table(bytes: &[u8]) -> bool {
    matches!(Reader::new(bytes).token(), Ok(Token::Array(_) | Token::Map(_)))
}

impl Sorting {
    fn new(start: usize, pairs: Vec<Pair>) -> Sorting {
        let from: Vec<_> = pairs.into_iter().map(Some).collect();
        let to = Vec::with_capacity(from.len());
        Sorting { start, written: None, again: 0, from, to, run: 1, left: 0..0, right: 0..0 }
    }

    /// Goes on, for about so many pairs. Whether it is done.
    fn merge(&mut self, steps: &mut usize) -> bool {
        while self.run < self.from.len() {
            if *steps == 0 {
                return false;
            }
            *steps -= 1;
            if self.left.is_empty() && self.right.is_empty() {
                let (at, all) = (self.to.len(), self.from.len());
                if at == all {
                    self.from = std::mem::replace(&mut self.to, Vec::with_capacity(all));
                    self.run *= 2;
                    continue;
                }
                self.left = at..(at + self.run).min(all);
                self.right = self.left.end..(self.left.end + self.run).min(all);
            }
            let key = |at: &Range<usize>| {
                let pair = if at.is_empty() { None } else { self.from.get(at.start) };
                pair.and_then(Option::as_ref).map(|pair| &pair.key)
            };
            let next = match (key(&self.left), key(&self.right)) {
                (Some(left), Some(right)) if right < left => self.right.next(),
                (Some(_), _) => self.left.next(),
                (None, _) => self.right.next(),
            };
            let pair = next.and_then(|at| self.from.get_mut(at)).and_then(Option::take);
            self.to.push(pair);
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
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
            Value::Map(pairs) => {
                let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (sorted(key), sorted(value))).collect();
                pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
                Value::Map(pairs)
            }
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn m8_a_canonical_value_is_the_sorted_one(value in any_value()) {
            let bytes = value.encode().unwrap();
            prop_assert_eq!(canonical(&bytes), sorted(&value).encode().unwrap());
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
        assert_eq!(canonical.held_bytes(), 0);
        assert_eq!(canonical.into_bytes(), ordered.encode().unwrap());
        let handle = [0xc7_u8, 4, 3, 0, 0, 0, 1];
        assert!(Canonical::new(&handle).step(&mut { STEP }).is_err());
    }

    /// A table that is a key is read again for each table that it is in the key of: 60 levels of a mebibyte held a worker for a second.
    #[test]
    fn m8_large_tables_are_no_keys() {
        let key = |values| Value::Array(vec![Value::Boolean(true); values]);
        let kept = |key| {
            let bytes = Value::Map(vec![(key, Value::Boolean(true))]).encode().unwrap();
            let mut canonical = Canonical::new(&bytes);
            loop {
                match canonical.step(&mut { STEP }) {
                    Ok(false) => (),
                    Ok(true) => return true,
                    Err(error) => {
                        assert!(error.to_string().contains("larger than 1024 bytes"), "{error}");
                        return false;
                    }
                }
            }
        };
        assert!(kept(key(1_000)) && !kept(key(1_100)) && !kept(key(500_000)));
        assert!(kept(Value::string("x".repeat(5_000))), "a long text is one value");
        let nested = |values| (0..60).fold(key(values), |inner, _| Value::Map(vec![(inner, Value::Boolean(true))]));
        assert!(kept(nested(800)) && !kept(nested(1_000)));
    }
}
