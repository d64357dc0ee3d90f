//! Patterns of strftime. They are checked before they are used, so that what is refused is refused with a reason, no width is
//! large, and nothing depends on a language.

use jiff::fmt::strtime;

use super::instant::{quoted, seconds};
use super::text::{check_length, in_given, of_zoned};
use super::zone;

/// Bytes of a pattern, at most. A directive of two bytes gives 32 at most (a zone's name), so a text has 4 KiB at most.
const PATTERN_MAX: usize = 256;

const WIDTH_MAX: u32 = 20;

const FLAGS: [char; 5] = ['-', '_', '0', '^', '#'];
const DIRECTIVES: &str = "%AaBbCDdeFfGgHhIjklMmNnPpQqRSsTtUuVWwYyZz";
const OF_A_LANGUAGE: &str = "crXx";

/// Reads a date and time by a pattern. The zone is for text that says none.
///
/// # Errors
/// Text and pattern don't go together, or the instant is out of range, or there is no such zone.
pub(crate) fn parse_pattern(text: &str, pattern: &str, zone: Option<&str>) -> Result<f64, String> {
    let zone = zone.map(zone::find).transpose()?;
    check_length(text)?;
    check(pattern)?;
    let bad = |_| {
        let hint = "or names a day or a time that there isn't, or too little of one";
        format!("{} is not what the pattern {} says, {hint}", quoted(text), quoted(pattern))
    };
    let read = strtime::parse(pattern, text).map_err(bad)?;
    if let Some(timestamp) = read.timestamp() {
        return seconds(timestamp);
    }
    if read.offset().is_some() || read.iana_time_zone().is_some() {
        return of_zoned(&read.to_zoned_with(&zone::database()).map_err(bad)?);
    }
    in_given(read.to_datetime().map_err(bad)?, zone, text)
}

/// # Errors
/// The pattern is too long, or has what is no directive.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    if pattern.len() > PATTERN_MAX {
        return Err(format!("the pattern has {} bytes; at most {PATTERN_MAX} are read", pattern.len()));
    }
    let mut rest = pattern;
    while let Some((_, after)) = rest.split_once('%') {
        rest = directive(after).map_err(|problem| format!("the pattern {}: {problem}", quoted(pattern)))?;
    }
    Ok(())
}

/// The pattern with a zone's abbreviation in the place of each `%Z` without a flag or width: what formats writes it in capitals, and one in
/// Guam is ChST. An abbreviation has no percent sign.
pub(super) fn with_abbreviation(pattern: &str, abbreviation: &str) -> String {
    let (mut named, mut rest) = (String::with_capacity(pattern.len()), pattern);
    while let Some((before, after)) = rest.split_once('%') {
        named.push_str(before);
        if let Some(behind) = after.strip_prefix('Z') {
            named.push_str(abbreviation);
            rest = behind;
        } else {
            // with what follows, which may be a percent sign
            let next = after.chars().next().map_or(0, char::len_utf8);
            let (directive, behind) = after.split_at(next);
            named.push('%');
            named.push_str(directive);
            rest = behind;
        }
    }
    named.push_str(rest);
    named
}

/// What is behind a directive of which the percent sign is read.
fn directive(after: &str) -> Result<&str, String> {
    let unflagged = after.strip_prefix(FLAGS).unwrap_or(after);
    let flagged = unflagged.len() < after.len();
    let sized = unflagged.trim_start_matches(|char: char| char.is_ascii_digit());
    let digits = unflagged.strip_suffix(sized).unwrap_or_default();
    if !digits.is_empty() && !digits.parse().is_ok_and(|width: u32| width <= WIDTH_MAX) {
        return Err(format!("the width {} is too large; at most {WIDTH_MAX} is possible", quoted(digits)));
    }
    let mut chars = sized.chars();
    let letter = match chars.next() {
        Some('.') => return fraction(chars.as_str()),
        Some(':') => return offset(chars.as_str()),
        letter => letter,
    };
    match letter {
        Some(letter) if DIRECTIVES.contains(letter) => Ok(chars.as_str()),
        Some(letter) if OF_A_LANGUAGE.contains(letter) => {
            Err(format!("%{letter} differs by language; spell it out, such as %Y-%m-%d %H:%M:%S"))
        }
        Some(letter) => Err(format!("%{letter} is no directive; for a percent sign write %%")),
        None if flagged || !digits.is_empty() => Err("it ends within a directive".to_owned()),
        None => Err("it ends with a percent sign; for one write %%".to_owned()),
    }
}

/// What is behind `%.3f`, of which the point is read.
fn fraction(after: &str) -> Result<&str, String> {
    let sized = after.strip_prefix(|char: char| ('1'..='9').contains(&char)).unwrap_or(after);
    sized.strip_prefix('f').ok_or_else(|| "behind %. goes a digit from 1 to 9 or none, and f".to_owned())
}

/// What is behind `%:z`, `%::z` or `%:::z`, of which the first colon is read.
fn offset(after: &str) -> Result<&str, String> {
    let directives = ["z", ":z", "::z", "Q"];
    let behind = directives.iter().find_map(|directive| after.strip_prefix(directive));
    behind.ok_or_else(|| "behind %: goes z or Q".to_owned())
}
