//! Time zones by name, from the database in the program.

use std::collections::HashMap;
use std::sync::OnceLock;

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
    index().names.clone()
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
    if name.len() > NAME_BYTES_MAX {
        return None;
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
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let city = name.rsplit('/').next()?.trim().replace(' ', "_").to_ascii_lowercase();
    index().cities.get(&city).cloned()
}

/// No zone has a longer name: what is longer isn't looked for.
const NAME_BYTES_MAX: usize = 64;

/// The zones' names in two orders.
pub(super) struct Index {
    /// Sorted.
    pub(super) names: Vec<String>,
    /// By the last part of the name, in lower case.
    cities: HashMap<String, String>,
}

/// Made once: to go through all names takes as long as a hundred calls. It says nothing but what the program has in it.
pub(super) fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut names: Vec<String> = database().available().map(|name| name.as_str().to_owned()).collect();
        let mut cities = HashMap::new();
        for name in &names {
            let city = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
            cities.entry(city).or_insert_with(|| name.clone());
        }
        names.sort_unstable();
        Index { names, cities }
    })
}
