//! What a call of a host function costs: fuel for the time that it takes of a worker, by what crosses. The time itself would
//! make the same input cost more at one time than at another.
//!
//! A million of fuel is about 50 us of a script's. The figures are measured (`cargo run --release -p motu-bench -- --measure
//! tariff`) and rounded up: 20 fuel are a nanosecond. What takes longer than its bytes tell charges more itself, by
//! `CallContext::charge`.

use crate::guest::motu::guest::types::Answer;
use crate::wire::token::Reader;

/// Out of the guest, to the function and back again.
const CALL: u64 = 10_000;

/// A byte that is copied.
const BYTE: u64 = 10;

/// A value that is read and written: a scalar, a key, or a table without what is in it.
const VALUE: u64 = 1_000;

/// A call, before it is made.
pub(crate) fn call(arguments: &[u8]) -> u64 {
    CALL + crossing(arguments)
}

/// What a call came to.
pub(crate) fn answer(answer: &Answer) -> u64 {
    match answer {
        Answer::Value(bytes) => crossing(bytes),
        Answer::Refused(refusal) => crossing(&refusal.value),
        Answer::Elapsed => 0,
    }
}

fn crossing(bytes: &[u8]) -> u64 {
    let mut reader = Reader::new(bytes);
    let mut values = 0;
    // what can't be read ends the count: nobody reads further
    while reader.at() < bytes.len() && reader.token().is_ok() {
        values += 1;
    }
    values * VALUE + bytes.len() as u64 * BYTE
}
