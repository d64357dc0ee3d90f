//! Time zones by name, from the database in the program.

use jiff::fmt::strtime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::instant::quoted;

const SECONDS_A_DAY: i32 = 86_400;

/// Never `jiff::tz::db`: that may be the machine's, if another crate of the program wants it so.
pub(super) fn database() -> TimeZoneDatabase {
    TimeZoneDatabase::bundled()
}

/// Whether there is a zone of this name.
pub(crate) fn zone_exists(name: &str) -> bool {
    look_up(name).is_some()
}

/// The names of all zones, sorted.
pub(crate) fn zones() -> Vec<String> {
    let mut names: Vec<_> = database().available().map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    names
}

/// The zone of a name.
///
/// # Errors
/// There is none.
pub(super) fn find(name: &str) -> Result<TimeZone, String> {
    look_up(name).ok_or_else(|| {
        let like = similar(name).unwrap_or_else(|| "Europe/Berlin".to_owned());
        format!("there is no time zone {}; names are like {like} (time.zones() lists them)", quoted(name))
    })
}

/// The name under which [`find`] finds it again.
pub(super) fn name(zone: &TimeZone) -> String {
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    let seconds = zone.to_fixed_offset().map_or(0, |offset| offset.seconds());
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn look_up(name: &str) -> Option<TimeZone> {
    if name.starts_with(['+', '-']) {
        return fixed(name);
    }
    database().get(name).ok().filter(|zone| !zone.is_unknown())
}

/// `+05:30`: less than a day, so that years stay in range.
fn fixed(name: &str) -> Option<TimeZone> {
    if name.len() != 6 {
        return None;
    }
    let offset = strtime::parse("%:z", name).ok()?.offset()?;
    (offset.seconds().abs() < SECONDS_A_DAY).then(|| TimeZone::fixed(offset))
}

/// The zone whose city that is.
fn similar(name: &str) -> Option<String> {
    let city = name.rsplit('/').next()?.trim().replace(' ', "_");
    database()
        .available()
        .map(|name| name.as_str().to_owned())
        .find(|known| known.rsplit('/').next().is_some_and(|known| known.eq_ignore_ascii_case(&city)))
}
