//! When a schedule runs: a cron expression on the clocks of a zone, with its gaps (clocks are put forward) and folds (clocks
//! are put back).
//!
//! An expression whose seconds, minutes or hours start with `*` is about *intervals*: it runs whenever clocks show such a time,
//! in both passes of a fold, and not in a gap, which no clock shows. Any other is about *fixed times*: it runs once for each, in the
//! first pass of a fold, and for all that a gap has, once, when the gap is over. Vixie cron draws the line there too.

use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use super::expression::Expression;

/// 0001-01-02T00:00:00Z and 9999-12-30T21:59:59Z, in seconds: within them the year is 1 to 9999 in every zone.
const FIRST: i64 = -62_135_510_400;
const LAST: i64 = 253_402_207_199;

/// No zone is so far from UTC, in seconds.
const OFFSET_MAX: i64 = 26 * 3_600;

/// How far ahead an interval is looked for, in seconds: 100 years. It may lie in a gap each time.
const AHEAD_MAX: i64 = 100 * 366 * 86_400;

/// The longest name of a zone, in bytes.
const ZONE_BYTES_MAX: usize = 64;

/// How many instants are said at once.
pub(crate) const UPCOMING_MAX: u32 = 100;

/// A cron expression in a zone.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    expression: Expression,
    zone: TimeZone,
}

impl Schedule {
    /// Reads an expression and the name of a zone.
    ///
    /// # Errors
    /// The expression can't be read or means no day of any year, or there is no such zone.
    pub(crate) fn parse(expression: &str, zone: &str) -> Result<Schedule, String> {
        Ok(Schedule { expression: Expression::parse(expression)?, zone: find(zone)? })
    }

    /// The first instant after this one, both in milliseconds since 1970. None if there is none before the year 10,000, or, for
    /// intervals, in 100 years.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let after = after.div_euclid(1000).max(FIRST);
        let next = if self.expression.is_interval { self.next_interval(after)? } else { self.next_fixed(after)? };
        (next <= LAST).then_some(next * 1000)
    }

    fn next_fixed(&self, after: i64) -> Option<i64> {
        let here = self.zone.to_offset(timestamp(after)?);
        let mut shown = after.checked_add(i64::from(here.seconds()))?;
        // in the second pass of a fold: what the first showed is over, and isn't gone through again second by second
        if let Some(change) = self.change_before(after.checked_add(1)?) {
            shown = shown.max(change.at + i64::from(change.before.seconds()) - 1);
        }
        loop {
            shown = self.expression.next(shown.checked_add(1)?)?;
            let at = self.at(shown)?;
            if at > after {
                return Some(at);
            }
        }
    }

    /// The instant of what clocks show: the first of two, or the end of the gap it lies in.
    fn at(&self, shown: i64) -> Option<i64> {
        let date_time = Offset::UTC.to_datetime(timestamp(shown)?);
        let later = |offset: Offset| shown - i64::from(offset.seconds());
        match self.zone.to_ambiguous_timestamp(date_time).offset() {
            AmbiguousOffset::Unambiguous { offset } => Some(later(offset)),
            AmbiguousOffset::Fold { before, .. } => Some(later(before)),
            AmbiguousOffset::Gap { before, .. } => Some(self.change_before(later(before).checked_add(1)?)?.at),
        }
    }

    fn next_interval(&self, after: i64) -> Option<i64> {
        let end = after.checked_add(AHEAD_MAX)?.min(LAST);
        let mut from = after.checked_add(1)?;
        loop {
            // whatever clocks show meanwhile, it isn't before
            let shown = self.expression.next(from.checked_sub(OFFSET_MAX)?)?;
            from = from.max(shown.checked_sub(OFFSET_MAX)?);
            if from > end {
                return None;
            }
            let start = timestamp(from)?;
            let offset = i64::from(self.zone.to_offset(start).seconds());
            let change = self.zone.following(start).next().map(|change| change.timestamp().as_second());
            let next = self.expression.next(from.checked_add(offset)?)?.checked_sub(offset)?;
            match change {
                Some(change) if change <= next => from = change,
                _ => return Some(next),
            }
        }
    }

    /// The last time before this instant that clocks were changed.
    fn change_before(&self, before: i64) -> Option<Change> {
        self.zone.preceding(timestamp(before)?).find_map(|change| {
            let at = change.timestamp();
            let before = self.zone.to_offset(at.checked_sub(SignedDuration::from_secs(1)).ok()?);
            (before != change.offset()).then_some(Change { at: at.as_second(), before })
        })
    }
}

struct Change {
    at: i64,
    /// The offset until then.
    before: Offset,
}

/// The next instants of an expression in a zone after a time, in milliseconds since 1970: as many as there are.
pub(crate) struct Upcoming {
    schedule: Schedule,
    after: i64,
}

impl Upcoming {
    /// # Errors
    /// As [`Schedule::parse`], or for a count that is not from 1 to 100.
    pub(crate) fn new(expression: &str, zone: &str, after: i64, count: u32) -> Result<Upcoming, String> {
        if !(1..=UPCOMING_MAX).contains(&count) {
            return Err(format!("count is {count}; it goes from 1 to {UPCOMING_MAX}"));
        }
        Ok(Upcoming { schedule: Schedule::parse(expression, zone)?, after })
    }
}

impl Iterator for Upcoming {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let next = self.schedule.next(self.after)?;
        self.after = next;
        Some(next)
    }
}

/// The first `count` of [`Upcoming`].
///
/// # Errors
/// As [`Upcoming::new`].
#[cfg(test)]
pub(crate) fn upcoming(expression: &str, zone: &str, after: i64, count: u32) -> Result<Vec<i64>, String> {
    Ok(Upcoming::new(expression, zone, after, count)?.take(count as usize).collect())
}

fn timestamp(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

/// From the database in the program: the machine's may be another.
fn find(name: &str) -> Result<TimeZone, String> {
    if name.len() > ZONE_BYTES_MAX {
        return Err(format!(
            "the name of the time zone has {} bytes, and none has more than {ZONE_BYTES_MAX}",
            name.len()
        ));
    }
    let found = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
    found.ok_or_else(|| {
        format!("there is no time zone {name:?}; names are like \"Europe/Berlin\" or \"UTC\" (zones() of motu:time lists them)")
    })
}
