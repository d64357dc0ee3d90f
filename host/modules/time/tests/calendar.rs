//! Parts of instants, gaps and folds, and starts.

use super::*;
use Disambiguation::{Compatible, Earlier, Later, Reject};

#[test]
fn parts_of_an_instant() {
    let shown = in_zone(at("2024-12-31T23:30:15.25Z"), "europe/berlin").unwrap();
    let expected = Parts {
        year: 2025,
        month: 1,
        day: 1,
        hour: 0,
        minute: 30,
        second: 15,
        millisecond: 250,
        weekday: 3,
        day_of_year: 1,
        offset: 3600,
        zone: "Europe/Berlin".to_owned(),
        dst: false,
    };
    assert_eq!(shown, expected);
    for (instant, zone, offset, dst, weekday, day) in [
        ("2026-07-01T12:00Z", "Europe/Berlin", 7200, true, 3, 182),
        ("2024-12-31T12:00Z", "UTC", 0, false, 2, 366),
        ("2026-07-05T12:00Z", "America/New_York", -14400, true, 7, 186),
        ("2026-01-05T12:00Z", "Australia/Lord_Howe", 39600, true, 1, 5),
        ("2026-07-01T12:00Z", "Asia/Tehran", 12600, false, 3, 182),
        ("1970-01-01T00:00Z", "+05:45", 20700, false, 4, 1),
        ("1970-01-01T00:00Z", "-00:30", -1800, false, 3, 365),
        ("1883-11-18T12:00Z", "America/New_York", -17762, false, 7, 322),
        ("9999-07-01T00:00Z", "America/New_York", -14400, true, 3, 181),
    ] {
        let shown = in_zone(at(instant), zone).unwrap();
        let got = (shown.offset, shown.dst, shown.weekday, shown.day_of_year);
        assert_eq!(got, (offset, dst, weekday, day), "{instant} {zone}");
        assert_eq!(shown.zone, zone);
    }
}

#[test]
fn milliseconds_are_kept_and_finer_ones_rounded() {
    for year in [1, 999, 1969, 1970, 2026, 9999] {
        for millisecond in [0, 1, 499, 500, 999] {
            let parts = DateTime { millisecond: Some(millisecond), ..parts(year, 6, 15, 23, 59) };
            let instant = from_parts(&parts, "Europe/Berlin", None).unwrap();
            assert_eq!(i32::from(in_zone(instant, "Europe/Berlin").unwrap().millisecond), millisecond, "{year}");
        }
    }
    assert_eq!(in_zone(0.0004, "UTC").unwrap().millisecond, 0);
    assert_eq!(in_zone(0.0006, "UTC").unwrap().millisecond, 1);
    assert_eq!(in_zone(-0.0006, "UTC").unwrap().year, 1969);
    assert_eq!(at("1969-12-31T23:59:59.9994Z"), -0.001);
    assert_eq!(at("1969-12-31T23:59:59.9996Z"), 0.0);
}

/// Local times that are not there, or twice: the zone, the time, and what it is as `compatible`, `earlier` and `later`.
const AMBIGUOUS: [(&str, [i32; 5], &str, &str, &str); 9] = [
    ("Europe/Berlin", [2026, 3, 29, 2, 30], "2026-03-29T03:30:00+02:00", "2026-03-29T01:30:00+01:00", "compatible"),
    ("Europe/Berlin", [2026, 10, 25, 2, 30], "2026-10-25T02:30:00+02:00", "compatible", "2026-10-25T02:30:00+01:00"),
    ("America/New_York", [2026, 3, 8, 2, 0], "2026-03-08T03:00:00-04:00", "2026-03-08T01:00:00-05:00", "compatible"),
    ("America/New_York", [2026, 11, 1, 1, 59], "2026-11-01T01:59:00-04:00", "compatible", "2026-11-01T01:59:00-05:00"),
    (
        "Australia/Lord_Howe",
        [2026, 10, 4, 2, 15],
        "2026-10-04T02:45:00+11:00",
        "2026-10-04T01:45:00+10:30",
        "compatible",
    ),
    (
        "Australia/Lord_Howe",
        [2026, 4, 5, 1, 45],
        "2026-04-05T01:45:00+11:00",
        "compatible",
        "2026-04-05T01:45:00+10:30",
    ),
    ("Pacific/Apia", [2011, 12, 30, 12, 0], "2011-12-31T12:00:00+14:00", "2011-12-29T12:00:00-10:00", "compatible"),
    ("Asia/Tehran", [2022, 3, 22, 0, 30], "2022-03-22T01:30:00+04:30", "2022-03-21T23:30:00+03:30", "compatible"),
    ("Asia/Tehran", [2022, 9, 21, 23, 30], "2022-09-21T23:30:00+04:30", "compatible", "2022-09-21T23:30:00+03:30"),
];

#[test]
fn gaps_and_folds() {
    for (zone, [year, month, day, hour, minute], compatible, earlier, later) in AMBIGUOUS {
        let of = |how| from_parts(&parts(year, month, day, hour, minute), zone, how);
        let shown = |how| text(of(how).unwrap(), zone);
        let expected = |said| if said == "compatible" { compatible } else { said };
        assert_eq!(shown(None), compatible);
        assert_eq!(shown(Some(Compatible)), compatible);
        assert_eq!(shown(Some(Earlier)), expected(earlier));
        assert_eq!(shown(Some(Later)), expected(later));
        assert!(of(Some(Reject)).unwrap_err().contains(zone));
    }
    let rejected = |parts| from_parts(&parts, "Europe/Berlin", Some(Reject));
    assert_eq!(
        rejected(parts(2026, 3, 29, 2, 30)).unwrap_err(),
        "2026-03-29T02:30:00 in Europe/Berlin doesn't exist: clocks are put forward over it; take another time, or \
         \"earlier\", \"later\" or \"compatible\""
    );
    assert!(rejected(parts(2026, 10, 25, 2, 0)).unwrap_err().contains("is there twice: clocks are put back over it"));
    assert_eq!(rejected(parts(2026, 3, 29, 3, 0)).unwrap(), at("2026-03-29T01:00Z"));
    assert_eq!(rejected(parts(2026, 10, 25, 3, 0)).unwrap(), at("2026-10-25T02:00Z"));
}

#[test]
fn starts() {
    for (instant, zone, period, start) in [
        ("2026-11-22T01:02:03.004Z", "UTC", Period::Day, "2026-11-22T00:00:00Z"),
        ("2026-11-22T01:02:03Z", "UTC", Period::Week, "2026-11-16T00:00:00Z"),
        ("2026-11-16T00:00:00Z", "UTC", Period::Week, "2026-11-16T00:00:00Z"),
        ("2026-11-22T01:02:03Z", "UTC", Period::Month, "2026-11-01T00:00:00Z"),
        ("2026-11-22T01:02:03Z", "UTC", Period::Year, "2026-01-01T00:00:00Z"),
        // another day than in UTC
        ("2026-11-22T23:30:00Z", "Europe/Berlin", Period::Day, "2026-11-23T00:00:00+01:00"),
        // over a change of clocks
        ("2026-03-29T12:00:00Z", "Europe/Berlin", Period::Day, "2026-03-29T00:00:00+01:00"),
        ("2026-07-01T12:00:00Z", "America/New_York", Period::Year, "2026-01-01T00:00:00-05:00"),
        ("2026-03-09T12:00:00Z", "America/New_York", Period::Week, "2026-03-09T00:00:00-04:00"),
        // no midnight on that day
        ("2022-03-22T12:00:00Z", "Asia/Tehran", Period::Day, "2022-03-22T01:00:00+04:30"),
        // midnight twice
        ("2026-11-01T12:00:00Z", "America/Havana", Period::Day, "2026-11-01T00:00:00-04:00"),
        // a week without its Friday
        ("2011-12-31T12:00:00Z", "Pacific/Apia", Period::Week, "2011-12-26T00:00:00-10:00"),
        ("2011-12-30T10:00:00Z", "Pacific/Apia", Period::Day, "2011-12-31T00:00:00+14:00"),
    ] {
        assert_eq!(text(start_of(at(instant), period, zone).unwrap(), zone), start, "{instant} {period:?}");
    }
}

#[test]
fn all_zones_are_there() {
    let zones = zones();
    assert!(zones.is_sorted());
    assert!(zones.len() > 400 && zones.iter().any(|name| name == "Australia/Lord_Howe"));
    for name in &zones {
        assert!(zone_exists(name), "{name}");
        assert_eq!(&in_zone(0.0, name).unwrap().zone, name);
    }
    for name in ["UTC", "utc", "asia/calcutta", "+00:00", "-00:30", "+23:59"] {
        assert!(zone_exists(name), "{name}");
        let zone = in_zone(0.0, name).unwrap().zone;
        assert_eq!(in_zone(0.0, &zone).unwrap().zone, zone);
    }
}
