//! How long it is from one instant to another. It is what [`add`](super::add) undoes, so it is found by adding: the most
//! months, then the most days, that don't go past the end; what is left is exact.

use jiff::Zoned;

use super::calendar::{add_months, local, move_by, out_of_range};
use super::instant::{number, timestamp};
use super::types::{Span, Unit};

/// How long it is from one instant to another, in units no larger than `largest`.
///
/// # Errors
/// There is no such zone, or an instant is out of range.
pub(crate) fn difference(from: f64, to: f64, largest: Unit, zone: &str) -> Result<Span, String> {
    let from = local(from, zone)?;
    let to = timestamp(to)?.to_zoned(from.time_zone().clone());
    let (mut months, mut days) = if largest <= Unit::Day { calendar(&from, &to, largest)? } else { (0, 0) };
    let moved = move_by(&from, months, days)?;
    let mut millis = to.timestamp().as_millisecond() - moved.as_millisecond();

    Ok(Span {
        years: take(&mut months, 12, largest == Unit::Year),
        months: take(&mut months, 1, true),
        weeks: take(&mut days, 7, largest == Unit::Week),
        days: take(&mut days, 1, true),
        hours: take(&mut millis, 3_600_000, largest <= Unit::Hour),
        minutes: take(&mut millis, 60_000, largest <= Unit::Minute),
        seconds: take(&mut millis, 1000, largest <= Unit::Second),
        milliseconds: take(&mut millis, 1, true),
    })
}

/// As much of the rest as is whole units, if they are wanted.
fn take(rest: &mut i64, unit: i64, wanted: bool) -> Option<f64> {
    let units = if wanted { *rest / unit } else { 0 };
    *rest -= units * unit;
    Some(number(units))
}

/// The most months and days, away from zero, that don't go past the end.
fn calendar(from: &Zoned, to: &Zoned, largest: Unit) -> Result<(i64, i64), String> {
    let sign = if to < from { -1 } else { 1 };
    let past = |months, days| {
        // What can't be reached is further than any instant.
        let Ok(moved) = move_by(from, months, days) else { return true };
        if sign < 0 { moved < to.timestamp() } else { moved > to.timestamp() }
    };
    // The local times may be the other way round than the instants, where clocks are put back.
    let forward = |count: i64| (count * sign).max(0) * sign;

    let mut months = 0;
    if largest <= Unit::Month {
        let count = |at: &Zoned| i64::from(at.year()) * 12 + i64::from(at.month());
        months = forward(count(to) - count(from));
        while months != 0 && past(months, 0) {
            months -= sign;
        }
    }
    let start = add_months(from.datetime(), months)?.date();
    let mut days = forward(i64::from(start.until(to.date()).map_err(|_| out_of_range())?.get_days()));
    while days != 0 && past(months, days) {
        days -= sign;
    }
    Ok((months, days))
}
