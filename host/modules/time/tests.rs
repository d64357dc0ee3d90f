//! What `motu:time` promises: zones with their gaps and folds, the calendar, texts; and that no input does harm.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod bad;
mod calendar;
mod changes;
mod durations;
mod random;
mod texts;
mod wit;

use super::*;

/// The instant of an RFC 3339 text.
fn at(text: &str) -> f64 {
    parse(text, None).unwrap()
}

/// An instant as RFC 3339, in a zone.
fn text(at: f64, zone: &str) -> String {
    format(at, zone, None).unwrap()
}

/// `year-month-day hour:minute` as parts.
fn parts(year: i32, month: i32, day: i32, hour: i32, minute: i32) -> DateTime {
    DateTime { year, month, day, hour: Some(hour), minute: Some(minute), ..DateTime::default() }
}

/// A span of two fields.
macro_rules! span {
    ($($field:ident: $value:expr),* $(,)?) => {
        crate::modules::time::Span { $($field: Some(f64::from($value)),)* ..crate::modules::time::Span::default() }
    };
}
use span;
