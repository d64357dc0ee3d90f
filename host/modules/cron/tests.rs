//! What `motu:cron` promises: the instants, at changes of clocks too; and which runs are due, once each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod bad;
mod due;
mod random;
mod table;

use jiff::Timestamp;

use super::schedule::{Schedule, upcoming};

/// Milliseconds of an instant as RFC 3339 has it.
fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn text(at: i64) -> String {
    Timestamp::from_millisecond(at).unwrap().to_string()
}

fn schedule(expression: &str, zone: &str) -> Schedule {
    Schedule::parse(expression, zone).unwrap()
}
