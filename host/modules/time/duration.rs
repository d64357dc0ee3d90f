//! Durations as text: seconds, with no calendar.

use std::fmt::Write as _;

use jiff::SpanRelativeTo;

use super::instant::{number, quoted, whole};
use super::text::check_length;

/// Ten thousand years of 366 days: longer than any two instants are apart.
const MILLIS_MAX: i64 = 10_000 * 366 * 86_400_000;

/// Reads a duration, in seconds.
///
/// # Errors
/// The text isn't one, or it is too long.
pub(crate) fn parse_duration(text: &str) -> Result<f64, String> {
    check_length(text)?;
    let bad = |_| format!("{} is no duration such as 1h30m, 90s or PT1H30M", quoted(text));
    let span: jiff::Span = text.trim().to_ascii_lowercase().parse().map_err(bad)?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(format!(
            "{}: years and months differ in length; write weeks or days, or use time.add with a span",
            quoted(text)
        ));
    }
    let seconds = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(bad)?.as_secs_f64();
    if seconds.abs() > number(MILLIS_MAX) / 1000.0 {
        return Err(format!("{} is longer than 10,000 years", quoted(text)));
    }
    Ok(seconds)
}

/// Seconds as text: `1d 2h 30m`.
///
/// # Errors
/// They are no finite number, or too many.
pub(crate) fn format_duration(seconds: f64) -> Result<String, String> {
    if !seconds.is_finite() {
        return Err(format!("{seconds} is no duration: that is a number of seconds"));
    }
    let millis = whole(seconds * 1000.0).filter(|millis| millis.abs() <= MILLIS_MAX);
    let millis = millis.ok_or_else(|| format!("{seconds:?} seconds are more than 10,000 years"))?;
    let mut text = String::new();
    let mut rest = millis.abs();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            let before = match (text.is_empty(), millis < 0) {
                (true, true) => "-",
                (true, false) => "",
                (false, _) => " ",
            };
            let _ = write!(text, "{before}{count}{name}");
        }
    }
    Ok(if text.is_empty() { "0s".to_owned() } else { text })
}
