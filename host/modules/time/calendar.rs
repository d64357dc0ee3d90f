//! Instants and the calendar: parts, both ways, and moving along it.

use std::ops::RangeInclusive;

use jiff::tz::OffsetConflict;
use jiff::{Timestamp, Zoned, civil};

use super::instant::{RANGE, number, of_local, seconds, timestamp, whole};
use super::types::{Changes, DateTime, Disambiguation, Parts, Period, Span};
use super::zone;

/// A field of a span, at most: more than the milliseconds between any two instants.
const FIELD_MAX: f64 = 1e15;

/// What calendar and clock show at an instant in a zone.
///
/// # Errors
/// There is no such zone, or the instant is out of range.
pub(crate) fn in_zone(at: f64, zone: &str) -> Result<Parts, String> {
    let at = local(at, zone)?;
    let info = at.time_zone().to_offset_info(at.timestamp());
    Ok(Parts {
        year: at.year().unsigned_abs(),
        month: at.month().unsigned_abs(),
        day: at.day().unsigned_abs(),
        hour: at.hour().unsigned_abs(),
        minute: at.minute().unsigned_abs(),
        second: at.second().unsigned_abs(),
        millisecond: at.millisecond().unsigned_abs(),
        weekday: at.weekday().to_monday_one_offset().unsigned_abs(),
        day_of_year: at.day_of_year().unsigned_abs(),
        offset: at.offset().seconds(),
        zone: zone::name(at.time_zone()),
        dst: info.dst().is_dst(),
    })
}

/// The instant at which calendar and clock in a zone show this.
///
/// # Errors
/// There is no such date, time or zone, the time is rejected, or the instant is out of range.
pub(crate) fn from_parts(parts: &DateTime, zone: &str, disambiguation: Option<Disambiguation>) -> Result<f64, String> {
    let zone = zone::find(zone)?;
    seconds(of_local(civil_of(parts)?, &zone, disambiguation.unwrap_or_default())?)
}

/// An instant with some of its parts in a zone changed.
///
/// # Errors
/// There is no such date, time or zone, the time is rejected, or an instant is out of range.
pub(crate) fn with(
    at: f64,
    changes: &Changes,
    zone: &str,
    disambiguation: Option<Disambiguation>,
) -> Result<f64, String> {
    let at = local(at, zone)?;
    let year = changes.year.unwrap_or(at.year().into());
    let month = changes.month.unwrap_or(at.month().into());
    let day = match changes.day {
        Some(day) => day,
        None => i32::from(at.day()).min(days_in(year, month)?),
    };
    let changed = civil_of(&DateTime {
        year,
        month,
        day,
        hour: Some(changes.hour.unwrap_or(at.hour().into())),
        minute: Some(changes.minute.unwrap_or(at.minute().into())),
        second: Some(changes.second.unwrap_or(at.second().into())),
        millisecond: Some(changes.millisecond.unwrap_or(at.millisecond().into())),
    })?;
    let zone = at.time_zone();
    if disambiguation.is_none() && zone.to_ambiguous_timestamp(changed).is_ambiguous() {
        let kept = OffsetConflict::PreferOffset.resolve(changed, at.offset(), zone.clone());
        if let Ok(kept) = kept.and_then(|kept| kept.compatible()) {
            return seconds(kept.timestamp());
        }
    }
    seconds(of_local(changed, zone, disambiguation.unwrap_or_default())?)
}

/// An instant, and a span later.
///
/// # Errors
/// A field isn't a whole number, there is no such zone, or an instant is out of range.
pub(crate) fn add(at: f64, span: &Span, zone: &str) -> Result<f64, String> {
    let at = local(at, zone)?;
    let months = field("years", span.years)? * 12 + field("months", span.months)?;
    let days = field("weeks", span.weeks)? * 7 + field("days", span.days)?;
    let minutes = field("hours", span.hours)? * 60 + field("minutes", span.minutes)?;
    let millis = (minutes * 60 + field("seconds", span.seconds)?) * 1000 + field("milliseconds", span.milliseconds)?;
    let moved = match (i64::try_from(months), i64::try_from(days)) {
        (Ok(months), Ok(days)) => move_by(&at, months, days)?,
        _ => return Err(out_of_range()),
    };
    let sum = i64::try_from(i128::from(moved.as_millisecond()) + millis).ok();
    seconds(sum.and_then(|sum| Timestamp::from_millisecond(sum).ok()).ok_or_else(out_of_range)?)
}

/// The first instant of the day, week, month or year that an instant is in.
///
/// # Errors
/// There is no such zone, or an instant is out of range.
pub(crate) fn start_of(at: f64, period: Period, zone: &str) -> Result<f64, String> {
    let at = local(at, zone)?;
    let day = at.date();
    let first = match period {
        Period::Day => day,
        Period::Week => {
            let since_monday = jiff::Span::new().try_days(day.weekday().to_monday_zero_offset());
            since_monday.and_then(|days| day.checked_sub(days)).map_err(|_| out_of_range())?
        }
        Period::Month => day.first_of_month(),
        Period::Year => day.first_of_year(),
    };
    seconds(of_local(first.at(0, 0, 0, 0), at.time_zone(), Disambiguation::Compatible)?)
}

/// An instant in a zone.
pub(super) fn local(at: f64, zone: &str) -> Result<Zoned, String> {
    Ok(timestamp(at)?.to_zoned(zone::find(zone)?))
}

/// Months, then days later, at the same local time.
pub(super) fn move_by(at: &Zoned, months: i64, days: i64) -> Result<Timestamp, String> {
    if months == 0 && days == 0 {
        // Not by way of the local time, which may be there twice.
        return Ok(at.timestamp());
    }
    let moved = add_months(at.datetime(), months)?;
    let moved = jiff::Span::new().try_days(days).and_then(|days| moved.checked_add(days));
    of_local(moved.map_err(|_| out_of_range())?, at.time_zone(), Disambiguation::Compatible)
}

/// Months later: on the same day, or the month's last.
pub(super) fn add_months(at: civil::DateTime, months: i64) -> Result<civil::DateTime, String> {
    let months = jiff::Span::new().try_months(months);
    months.and_then(|months| at.checked_add(months)).map_err(|_| out_of_range())
}

/// A field of a span: a whole number, so small that sums of them don't overflow.
fn field(name: &str, value: Option<f64>) -> Result<i128, String> {
    let value = value.unwrap_or(0.0);
    if value.abs() > FIELD_MAX {
        return Err(out_of_range());
    }
    match whole(value) {
        Some(whole) if number(whole) == value => Ok(whole.into()),
        _ => Err(format!("{name} is {value:?}; a span has whole numbers: put the rest into smaller units")),
    }
}

/// The date and time that parts say.
fn civil_of(parts: &DateTime) -> Result<civil::DateTime, String> {
    let DateTime { year, month, day, .. } = *parts;
    let last = days_in(year, month)?;
    let day = match i8::try_from(day) {
        Ok(small) if (1..=last).contains(&day) => small,
        _ => return Err(format!("day is {day}; {year:04}-{month:02} has the days 1 to {last}")),
    };
    let date = month_of(year, month)?.with().day(day).build();
    let hour = part("hour", parts.hour.unwrap_or(0), 0..=23)?;
    let minute = part("minute", parts.minute.unwrap_or(0), 0..=59)?;
    let second = part("second", parts.second.unwrap_or(0), 0..=59)?;
    let millisecond: i16 = part("millisecond", parts.millisecond.unwrap_or(0), 0..=999)?;
    let time = civil::Time::new(hour, minute, second, i32::from(millisecond) * 1_000_000);
    let date = date.map_err(|_| out_of_range())?;
    Ok(date.to_datetime(time.map_err(|_| out_of_range())?))
}

fn days_in(year: i32, month: i32) -> Result<i32, String> {
    Ok(month_of(year, month)?.days_in_month().into())
}

/// The first day of a month.
fn month_of(year: i32, month: i32) -> Result<civil::Date, String> {
    let year = part("year", year, 1..=9999)?;
    let month = part("month", month, 1..=12)?;
    civil::Date::new(year, month, 1).map_err(|_| out_of_range())
}

fn part<T: TryFrom<i32>>(name: &str, value: i32, range: RangeInclusive<i32>) -> Result<T, String> {
    let inside = range.contains(&value).then(|| T::try_from(value).ok()).flatten();
    inside.ok_or_else(|| format!("{name} is {value}; it goes from {} to {}", range.start(), range.end()))
}

pub(super) fn out_of_range() -> String {
    format!("the result is {RANGE}")
}
