//! Dates and times as text of a standard.

use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter, Pieces};
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Unit, Zoned, civil};

use super::calendar::local;
use super::instant::{RANGE, of_local, quoted, seconds, timestamp};
use super::types::Disambiguation;
use super::{pattern, zone};

/// Bytes of a text that is read, at most.
pub(super) const TEXT_MAX: usize = 256;

/// Reads a date and time of ISO 8601, RFC 3339 or RFC 9557. The zone is for text that says none.
///
/// # Errors
/// The text isn't one, has no zone, or is out of range, or there is no such zone.
pub(crate) fn parse(text: &str, zone: Option<&str>) -> Result<f64, String> {
    let zone = zone.map(zone::find).transpose()?;
    check_length(text)?;
    let bad = |_| {
        let hint = "or names a day, a time or an offset that there isn't";
        format!("{} is no date and time such as 2026-03-29T10:00:00Z or 2026-03-29, {hint}", quoted(text))
    };
    let pieces = Pieces::parse(text).map_err(bad)?;
    let local = pieces.date().to_datetime(pieces.time().unwrap_or(civil::Time::midnight()));
    if pieces.time_zone_annotation().is_some() {
        return of_zoned(&DateTimeParser::new().parse_zoned_with(&zone::database(), text).map_err(bad)?);
    }
    match pieces.to_numeric_offset() {
        Some(offset) => seconds(offset.to_timestamp(local).map_err(|_| format!("{} is {RANGE}", quoted(text)))?),
        None => in_given(local, zone, text),
    }
}

/// Reads the date of an email or of an HTTP header, which may be in one of two old forms (RFC 9110, 5.6.7). `now` is for
/// years of two digits.
///
/// # Errors
/// The text isn't one, or is out of range.
pub(crate) fn parse_rfc2822(text: &str, now: f64) -> Result<f64, String> {
    check_length(text)?;
    let read = rfc2822::DateTimeParser::new().parse_timestamp(text).ok().or_else(|| old_form(text, now));
    seconds(read.ok_or_else(|| {
        let hint = "or names a day, a time or an offset that there isn't, or another weekday than that day's";
        format!("{} is no date such as Sun, 29 Mar 2026 10:00:00 +0200, {hint}", quoted(text))
    })?)
}

/// The date of an HTTP header as RFC 850 has it (`Sunday, 06-Nov-94 08:49:37 GMT`), or C's `asctime` (`Sun Nov  6 08:49:37
/// 1994`).
fn old_form(text: &str, now: f64) -> Option<Timestamp> {
    let rfc850 = || {
        let mut read = strtime::parse("%A, %d-%b-%y %H:%M:%S GMT", text).ok()?;
        // The year that is no more than 50 years ahead.
        let last = Offset::UTC.to_datetime(timestamp(now).ok()?).year() + 50;
        read.set_year(Some(last - (last - read.year()?).rem_euclid(100))).ok()?;
        Some(read)
    };
    let read = rfc850().or_else(|| strtime::parse("%a %b %e %H:%M:%S %Y", text).ok())?;
    Offset::UTC.to_timestamp(read.to_datetime().ok()?).ok()
}

/// An instant as text in a zone: by a pattern, or else of RFC 3339.
///
/// # Errors
/// There is no such zone or directive, the pattern is too long, or the instant is out of range.
pub(crate) fn format(at: f64, zone: &str, pattern: Option<&str>) -> Result<String, String> {
    let at = local(at, zone)?;
    if let Some(pattern) = pattern {
        pattern::check(pattern)?;
        let offset = at.time_zone().to_offset_info(at.timestamp());
        let named = pattern::with_abbreviation(pattern, offset.abbreviation());
        return strtime::format(&named, &at).map_err(|_| format!("the pattern {} can't be written", quoted(pattern)));
    }
    let printer = DateTimePrinter::new().precision(if at.millisecond() == 0 { None } else { Some(3) });
    if *at.time_zone() == TimeZone::UTC {
        return Ok(printer.timestamp_to_string(&at.timestamp()));
    }
    // RFC 3339 knows no seconds of offsets, which local mean times have: so what is written is the time of an offset of
    // whole minutes, and means the same instant.
    let offset = at
        .offset()
        .round(Unit::Minute)
        .map_err(|_| format!("the offset of {} is {RANGE}", zone::name(at.time_zone())))?;
    Ok(printer.timestamp_with_offset_to_string(&at.timestamp(), offset))
}

/// The instant of what a text says with its offset or zone.
pub(super) fn of_zoned(zoned: &Zoned) -> Result<f64, String> {
    if zoned.time_zone().is_unknown() {
        return Err("the text has the zone Etc/Unknown: name another, or an offset".to_owned());
    }
    seconds(zoned.timestamp())
}

/// The instant of a local time that a text says without a zone, in the zone that was given with it.
pub(super) fn in_given(local: civil::DateTime, zone: Option<TimeZone>, text: &str) -> Result<f64, String> {
    let zone = zone.ok_or_else(|| {
        format!("{} has no offset and no zone: give a zone, such as \"Europe/Berlin\" or \"UTC\"", quoted(text))
    })?;
    seconds(of_local(local, &zone, Disambiguation::Compatible)?)
}

/// # Errors
/// The text is too long.
pub(super) fn check_length(text: &str) -> Result<(), String> {
    match text.len() {
        0..=TEXT_MAX => Ok(()),
        bytes => Err(format!("{} has {bytes} bytes; at most {TEXT_MAX} are read", quoted(text))),
    }
}
