//! Instants: from a script's number and back, and from a local time.
//!
//! A double holds the milliseconds of the years 1 to 9999 apart: it is off by 16 microseconds at most at the far end, so the
//! nearest millisecond is the one that was meant.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::types::Disambiguation;
use super::zone;

/// 0001-01-02T00:00:00Z: the year is 1 at least in every zone.
const FIRST: i64 = -62_135_510_400_000;
/// 9999-12-30T21:59:59.999Z: the year is 9999 at most in every zone.
const LAST: i64 = 253_402_207_199_999;

/// How much of a text is shown.
const SHOWN_MAX: usize = 40;

pub(super) const RANGE: &str = "out of range: instants go from 0001-01-02 to 9999-12-30";

/// What a script's number means.
///
/// # Errors
/// It is out of range, or no number.
pub(super) fn timestamp(at: f64) -> Result<Timestamp, String> {
    if !at.is_finite() {
        return Err(format!("{at} is no instant: that is a number of seconds since 1970, as time.now() gives"));
    }
    whole(at * 1000.0)
        .filter(|millis| (FIRST..=LAST).contains(millis))
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .ok_or_else(|| format!("the instant {at:?} is {RANGE}, in seconds since 1970, not milliseconds"))
}

/// The number of a timestamp, to the millisecond.
///
/// # Errors
/// It is out of range.
pub(super) fn seconds(timestamp: Timestamp) -> Result<f64, String> {
    let millis = (timestamp.as_nanosecond() + 500_000).div_euclid(1_000_000);
    match i64::try_from(millis) {
        Ok(millis) if (FIRST..=LAST).contains(&millis) => Ok(number(millis) / 1000.0),
        _ => Err(format!("{timestamp} is {RANGE}")),
    }
}

/// The instant of a local time.
///
/// # Errors
/// It is rejected, or out of range.
pub(super) fn of_local(local: civil::DateTime, zone: &TimeZone, how: Disambiguation) -> Result<Timestamp, String> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let offset = ambiguous.offset();
    let found = match how {
        Disambiguation::Compatible => ambiguous.compatible(),
        Disambiguation::Earlier => ambiguous.earlier(),
        Disambiguation::Later => ambiguous.later(),
        Disambiguation::Reject => {
            let what = match offset {
                AmbiguousOffset::Unambiguous { .. } => None,
                AmbiguousOffset::Gap { .. } => Some("doesn't exist: clocks are put forward over it"),
                AmbiguousOffset::Fold { .. } => Some("is there twice: clocks are put back over it"),
            };
            if let Some(what) = what {
                let name = zone::name(zone);
                return Err(format!(
                    "{local} in {name} {what}; take another time, or \"earlier\", \"later\" or \"compatible\""
                ));
            }
            ambiguous.unambiguous()
        }
    };
    found.map_err(|_| format!("{local} in {} is {RANGE}", zone::name(zone)))
}

/// The nearest whole number, if an `i64` is sure to hold it.
pub(super) fn whole(number: f64) -> Option<i64> {
    let rounded = number.round();
    #[allow(clippy::cast_possible_truncation, reason = "whole, and within 2^62")]
    (rounded.abs() < 2f64.powi(62)).then_some(rounded as i64)
}

/// As a double; exact up to 2^53.
pub(super) fn number(whole: i64) -> f64 {
    whole as f64
}

/// The start of a text, for messages.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
