//! What a call of a host function costs: fuel for the time that it takes of a worker, by what crosses. The time itself would
//! make the same input cost more at one time than at another.
//!
//! A million of fuel is about 50 us of a script's. The figures are measured (`cargo run --release -p motu-bench -- --measure
//! tariff`) and rounded up: 20 fuel are a nanosecond. What takes longer than its bytes tell charges more itself, by
//! `CallContext::charge`.
//!
//! Values are counted in steps ([`Crossing`]): a million of them take milliseconds, and a worker belongs to many tenants.

use crate::guest::motu::guest::types::Answer;
use crate::wire::token::{Passed, Reader};

/// Out of the guest, to the function and back again.
const CALL: u64 = 10_000;

/// A byte that is copied.
const BYTE: u64 = 10;

/// A value that is read and written: a scalar, a key, or a table without what is in it.
const VALUE: u64 = 1_000;

/// A call that fails: the text of its error is made, which takes about a microsecond.
const REFUSED: u64 = 20_000;

/// A grant that is held against the arguments, and each byte of the texts that its patterns are held against.
pub(super) const PATTERN: u64 = 2_000;
pub(super) const PATTERN_BYTE: u64 = 40;

/// An argument that is looked at for grants, and each byte of it.
pub(super) const TEXT: u64 = 2_000;
pub(super) const TEXT_BYTE: u64 = 20;

/// The same for what is found in an argument by code, as the host in a URL.
pub(super) const DERIVED: u64 = 40_000;
pub(super) const DERIVED_BYTE: u64 = 600;

/// The values that are counted in a step: about 50 us.
const VALUES_A_STEP: u64 = 10_000;

/// A call with arguments of so many bytes, before their values are counted.
pub(crate) fn call(bytes: usize) -> u64 {
    CALL + bytes as u64 * BYTE
}

/// An answer, before its values are counted.
pub(crate) fn answer(answer: &Answer) -> u64 {
    let refused = if matches!(answer, Answer::Refused(_)) { REFUSED } else { 0 };
    refused + crossing(answer).len() as u64 * BYTE
}

/// The bytes of an answer.
pub(crate) fn crossing(answer: &Answer) -> &[u8] {
    match answer {
        Answer::Value(bytes) => bytes,
        Answer::Refused(refusal) => &refusal.value,
        Answer::Elapsed => &[],
    }
}

/// Values that are being counted, and how far they are.
#[derive(Default)]
pub(crate) struct Crossing {
    at: usize,
}

/// What a step of a count came to.
pub(crate) struct Counted {
    /// What these values cost.
    pub(crate) fuel: u64,
    /// Whether all are counted.
    pub(crate) is_done: bool,
}

impl Crossing {
    /// Counts some of the values in `bytes`, which are the same each time. `see` is shown each, with where it, or a table's head, begins and
    /// ends.
    pub(crate) fn step(&mut self, bytes: &[u8], mut see: impl FnMut(Passed, usize, usize)) -> Counted {
        let mut reader = Reader::resumed(bytes, self.at);
        let mut values = 0;
        while values < VALUES_A_STEP && reader.at() < bytes.len() {
            let start = reader.at();
            let Ok(passed) = reader.pass_token() else {
                // what can't be read ends the count: nobody reads further
                self.at = bytes.len();
                return Counted { fuel: values * VALUE, is_done: true };
            };
            see(passed, start, reader.at());
            values += 1;
        }
        self.at = reader.at();
        Counted { fuel: values * VALUE, is_done: self.at >= bytes.len() }
    }
}
