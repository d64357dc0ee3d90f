//! Cron expressions: which dates and times of day they mean, on a calendar and a clock without a zone.
//!
//! `croner` reads them. What it makes of them is kept as bits, so that the next time is found in a bounded number of steps,
//! whatever the expression: the calendar has 28 kinds of months (28 to 31 days, beginning on any weekday).

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::Weekday;
use croner::{CronComponent, CronPattern};
use jiff::Timestamp;
use jiff::tz::Offset;

/// The longest expression, in bytes.
const BYTES_MAX: usize = 256;

/// What is searched: 29 February on a given weekday may take 40 years.
const MONTHS_MAX: usize = 12 * 41;

const SECONDS_A_DAY: i64 = 86_400;

const WHOLE: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const FIELDS: [&str; 6] = ["seconds", "minutes", "hours", "days of the month", "months", "weekdays"];
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Bit n is set where n is meant.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    /// The days, by how many more than 28 the month has, and by the weekday of its first (Sunday is 0).
    days: [[u64; 7]; 4],
    /// Whether it is about intervals: seconds, minutes or hours start with `*`.
    pub(super) is_interval: bool,
}

impl Expression {
    /// # Errors
    /// It can't be read, or means no time at all.
    pub(super) fn parse(text: &str) -> Result<Expression, String> {
        if text.len() > BYTES_MAX {
            let bytes = text.len();
            return Err(format!("the cron expression has {bytes} bytes; at most {BYTES_MAX} are read"));
        }
        let bad = |why: &dyn std::fmt::Display| {
            format!(
                "the cron expression {text:?} can't be read: {why}. It has 5 fields, minute hour day month weekday, as in \"30 9 * * MON-FRI\", or 6 with seconds before them"
            )
        };
        let fields = fields(text).map_err(|why| bad(&why))?;
        let is_interval = fields.iter().take(3).any(|field| field.starts_with('*'));
        for (field, name) in fields.iter().zip(FIELDS) {
            check(field, name).map_err(|why| bad(&why))?;
        }
        let pattern = read(&fields).map_err(|error| bad(&blame(&fields).unwrap_or_else(|| error.to_string())))?;
        let mut days = [[0_u64; 7]; 4];
        // a month for each length; of it only that counts
        for ((year, month, length), by_first) in
            [(2001, 2, 28), (2000, 2, 29), (2001, 4, 30), (2001, 1, 31)].into_iter().zip(&mut days)
        {
            for (first, bits) in (0..7).zip(by_first) {
                for day in 1..=length {
                    let weekday = Weekday::from_days_from_sunday(first + day - 1);
                    let is_meant = pattern.day_match(year, month, day, weekday).map_err(|error| bad(&error))?;
                    *bits |= u64::from(is_meant) << day;
                }
            }
        }
        let expression = Expression {
            seconds: bits(&pattern.seconds),
            minutes: bits(&pattern.minutes),
            hours: bits(&pattern.hours),
            months: bits(&pattern.months),
            days,
            is_interval,
        };
        if !expression.means_a_day() {
            return Err(format!(
                "the cron expression {text:?} never runs: no month has such a day; change its days or months"
            ));
        }
        Ok(expression)
    }

    /// Whether any year has a day that is meant.
    fn means_a_day(&self) -> bool {
        let of_length = |length: usize| {
            self.days.get(length.wrapping_sub(28)).is_some_and(|by_first| by_first.iter().any(|bits| *bits != 0))
        };
        (1..=12)
            .filter(|month| has(self.months, *month))
            .any(|month| of_length(length(2000, month) as usize) || of_length(length(2001, month) as usize))
    }

    /// The first time it means from this one on. Both are seconds since 1970, as if there were no zones.
    pub(super) fn next(&self, from: i64) -> Option<i64> {
        let (today, second) = (from.div_euclid(SECONDS_A_DAY), from.rem_euclid(SECONDS_A_DAY));
        let date = Offset::UTC.to_datetime(Timestamp::from_second(from).ok()?).date();
        let (mut year, mut month) = (date.year(), u32::from(date.month().unsigned_abs()));
        let mut first_day = today - i64::from(date.day()) + 1;
        let mut first_weekday = u32::from(date.first_of_month().weekday().to_sunday_zero_offset().unsigned_abs());
        let mut from_day = u32::from(date.day().unsigned_abs());
        if has(self.days_of(year, month, first_weekday), from_day)
            && let Some(second) = self.time(u32::try_from(second).ok()?)
        {
            return Some(today * SECONDS_A_DAY + i64::from(second));
        }
        from_day += 1;
        for _ in 0..MONTHS_MAX {
            if let Some(day) = next_bit(self.days_of(year, month, first_weekday), from_day) {
                return Some((first_day + i64::from(day) - 1) * SECONDS_A_DAY + i64::from(self.time(0)?));
            }
            let length = length(year, month);
            first_day += i64::from(length);
            first_weekday = (first_weekday + length) % 7;
            from_day = 1;
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        None
    }

    fn days_of(&self, year: i16, month: u32, first_weekday: u32) -> u64 {
        if !has(self.months, month) {
            return 0;
        }
        let by_first = self.days.get(length(year, month).wrapping_sub(28) as usize);
        by_first.and_then(|by_first| by_first.get(first_weekday as usize)).copied().unwrap_or_default()
    }

    /// The first time of day from this one on, in seconds.
    fn time(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = next_bit(self.seconds, second)
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            if let Some(minute) = next_bit(self.minutes, minute + 1) {
                return Some(hour * 3600 + minute * 60 + next_bit(self.seconds, 0)?);
            }
        }
        let hour = next_bit(self.hours, hour + 1)?;
        Some(hour * 3600 + next_bit(self.minutes, 0)? * 60 + next_bit(self.seconds, 0)?)
    }
}

fn read(fields: &[String]) -> Result<CronPattern, CronError> {
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).build();
    Ok(parser.parse(&fields.join(" "))?.pattern)
}

/// Which field can't be read, and why.
fn blame(fields: &[String]) -> Option<String> {
    fields.iter().zip(FIELDS).enumerate().find_map(|(index, (field, name))| {
        let mut alone = vec!["*".to_owned(); FIELDS.len()];
        alone.get_mut(index)?.clone_from(field);
        let why = match read(&alone).err()? {
            CronError::ComponentError(why) => why,
            error => error.to_string(),
        };
        Some(format!("the {name} {field:?}: {}", why.trim_end_matches('.')))
    })
}

fn has(bits: u64, number: u32) -> bool {
    next_bit(bits, number) == Some(number)
}

/// The first bit from this one on.
fn next_bit(bits: u64, from: u32) -> Option<u32> {
    let rest = bits.checked_shr(from).filter(|rest| *rest != 0)?;
    Some(from + rest.trailing_zeros())
}

fn bits(component: &CronComponent) -> u64 {
    component.values().into_iter().fold(0, |bits, value| bits | 1 << (value & 63))
}

fn length(year: i16, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The six fields, in upper case.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    let text = match WHOLE.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, meaning)) => meaning,
        None if text.starts_with('@') => {
            let known: Vec<_> = WHOLE.iter().map(|(name, _)| *name).collect();
            return Err(format!("there is no {text}; there are {}", known.join(" ")));
        }
        None => text,
    };
    let mut fields: Vec<String> = text.split_ascii_whitespace().map(str::to_ascii_uppercase).collect();
    match fields.len() {
        5 => fields.insert(0, "0".into()),
        6 => (),
        count => return Err(format!("it has {count} fields")),
    }
    Ok(fields)
}

/// Refuses what `croner` reads in a way of its own: names within numbers, or where they don't belong, and empty places.
fn check(field: &str, name: &str) -> Result<(), String> {
    let (days, weekdays) = (name == "days of the month", name == "weekdays");
    let list = if weekdays { field.strip_prefix('+').unwrap_or(field) } else { field };
    if list == "*" || list == "?" && (days || weekdays) {
        return Ok(());
    }
    let is_number = |token: &str| (1..=2).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit());
    let is_weekday = |token: &str| is_number(token) || WEEKDAYS.contains(&token);
    let is_known = |token: &str| match name {
        _ if is_number(token) => true,
        "months" => MONTHS.contains(&token),
        _ if days => matches!(token, "L" | "LW") || token.strip_suffix('W').is_some_and(is_number),
        _ if weekdays => is_weekday(token) || token.strip_suffix('L').is_some_and(is_weekday),
        _ => false,
    };
    let is_step_of_all = |item: &str| item.strip_prefix("*/").is_some_and(is_number);
    for item in list.split(',') {
        let (range, nth) = item.split_once('#').map_or((item, None), |(range, nth)| (range, Some(nth)));
        let nth_is_known = nth.is_none_or(|nth| weekdays && matches!(nth, "1" | "2" | "3" | "4" | "5" | "L"));
        if !(is_step_of_all(item) || nth_is_known && range.split(['-', '/']).all(is_known)) {
            let what = if item.is_empty() { "an empty place".to_owned() } else { format!("{item:?}") };
            return Err(format!("{what} is nothing that the {name} may have"));
        }
    }
    // together they would be LW alone
    if list.split(',').filter(|item| matches!(*item, "L" | "LW")).count() > 1 {
        return Err(format!("the {name} have L or LW once at most"));
    }
    Ok(())
}
