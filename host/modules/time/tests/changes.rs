//! Changing parts, adding spans, differences.

use super::*;

#[test]
fn parts_are_changed() {
    let berlin = |instant, changes| text(with(at(instant), &changes, "Europe/Berlin", None).unwrap(), "Europe/Berlin");
    let none = Changes::default();
    assert_eq!(berlin("2026-01-31T10:00+01:00", none), "2026-01-31T10:00:00+01:00");
    let nine = Changes { hour: Some(9), minute: Some(0), ..none };
    assert_eq!(berlin("2026-03-29T00:30:00.5+01:00", nine), "2026-03-29T09:00:00.500+02:00");
    assert_eq!(berlin("2026-01-31T10:00+01:00", Changes { month: Some(2), ..none }), "2026-02-28T10:00:00+01:00");
    assert_eq!(berlin("2024-02-29T10:00+01:00", Changes { year: Some(2023), ..none }), "2023-02-28T10:00:00+01:00");
    let said = |changes| with(at("2026-01-31T10:00Z"), &changes, "UTC", None).unwrap_err();
    assert_eq!(said(Changes { month: Some(2), day: Some(31), ..none }), "day is 31; 2026-02 has the days 1 to 28");
    assert_eq!(said(Changes { month: Some(0), ..none }), "month is 0; it goes from 1 to 12");
    assert_eq!(said(Changes { year: Some(-1), ..none }), "year is -1; it goes from 1 to 9999");

    // in a fold it stays in its half; from elsewhere, and if asked for, it is as in from_parts
    let half = Changes { minute: Some(30), ..none };
    for both in ["2026-10-25T02:10:00+02:00", "2026-10-25T02:10:00+01:00"] {
        assert_eq!(berlin(both, none), both);
        assert_eq!(berlin(both, half), both.replace("10:00+", "30:00+"));
        let earlier = with(at(both), &half, "Europe/Berlin", Some(Disambiguation::Earlier)).unwrap();
        assert_eq!(text(earlier, "Europe/Berlin"), "2026-10-25T02:30:00+02:00");
        assert!(with(at(both), &half, "Europe/Berlin", Some(Disambiguation::Reject)).is_err());
    }
    let two = Changes { hour: Some(2), ..half };
    assert_eq!(berlin("2026-10-25T12:00:00+01:00", two), "2026-10-25T02:30:00+01:00");
    assert_eq!(berlin("2026-03-29T12:00:00+02:00", two), "2026-03-29T03:30:00+02:00");
    assert_eq!(berlin("2026-03-29T00:00:00+01:00", two), "2026-03-29T03:30:00+02:00");
}

#[test]
fn spans_are_added() {
    for (zone, from, span, to) in [
        ("UTC", "2026-01-31T12:00:00Z", span! { months: 1 }, "2026-02-28T12:00:00Z"),
        ("UTC", "2024-01-31T12:00:00Z", span! { months: 1 }, "2024-02-29T12:00:00Z"),
        ("UTC", "2024-02-29T12:00:00Z", span! { years: 1 }, "2025-02-28T12:00:00Z"),
        ("UTC", "2024-02-29T12:00:00Z", span! { years: -4 }, "2020-02-29T12:00:00Z"),
        ("UTC", "2026-01-31T12:00:00Z", span! { months: 1, days: 1 }, "2026-03-01T12:00:00Z"),
        ("UTC", "2026-02-01T00:00:00Z", span! { months: 1, seconds: -1 }, "2026-02-28T23:59:59Z"),
        ("UTC", "2026-01-01T00:00:00Z", span! { years: 1, months: -12, weeks: 1, days: -7 }, "2026-01-01T00:00:00Z"),
        ("UTC", "2026-01-01T00:00:00Z", span! { hours: 36, milliseconds: -1 }, "2026-01-02T11:59:59.999Z"),
        // a day is a calendar day, 24 hours are not
        ("Europe/Berlin", "2026-03-28T12:00:00+01:00", span! { days: 1 }, "2026-03-29T12:00:00+02:00"),
        ("Europe/Berlin", "2026-03-28T12:00:00+01:00", span! { hours: 24 }, "2026-03-29T13:00:00+02:00"),
        ("Europe/Berlin", "2026-10-24T12:00:00+02:00", span! { weeks: 1, hours: 1 }, "2026-10-31T13:00:00+01:00"),
        // into a gap, into a fold
        ("Europe/Berlin", "2026-03-28T02:30:00+01:00", span! { days: 1 }, "2026-03-29T03:30:00+02:00"),
        ("America/New_York", "2026-10-31T01:30:00-04:00", span! { days: 1 }, "2026-11-01T01:30:00-04:00"),
        ("Australia/Lord_Howe", "2026-09-04T02:15:00+10:30", span! { months: 1 }, "2026-10-04T02:45:00+11:00"),
        // the second half of a fold stays what it is
        ("Europe/Berlin", "2026-10-25T02:30:00+01:00", span! { minutes: 1 }, "2026-10-25T02:31:00+01:00"),
        ("Europe/Berlin", "2026-10-25T02:30:00+01:00", span! { days: 0 }, "2026-10-25T02:30:00+01:00"),
        // over the day that Apia skipped, and onto it
        ("Pacific/Apia", "2011-12-29T12:00:00-10:00", span! { days: 2 }, "2011-12-31T12:00:00+14:00"),
        ("Pacific/Apia", "2011-12-29T12:00:00-10:00", span! { days: 1 }, "2011-12-31T12:00:00+14:00"),
        ("Pacific/Apia", "2011-12-29T12:00:00-10:00", span! { hours: 24 }, "2011-12-31T12:00:00+14:00"),
    ] {
        assert_eq!(text(add(at(from), &span, zone).unwrap(), zone), to, "{from} {span:?}");
    }
}

/// Years, months, weeks, days, hours, minutes, seconds, milliseconds.
fn whole(fields: [i32; 8]) -> Span {
    let [years, months, weeks, days, hours, minutes, seconds, milliseconds] = fields.map(|field| Some(field.into()));
    Span { years, months, weeks, days, hours, minutes, seconds, milliseconds }
}

#[test]
fn differences() {
    for (zone, from, to, largest, fields) in [
        ("UTC", "2026-01-01T00:00Z", "2026-01-01T00:00Z", Unit::Year, [0; 8]),
        ("UTC", "2000-02-29T00:00Z", "2026-11-22T01:02:03.004Z", Unit::Year, [26, 8, 0, 24, 1, 2, 3, 4]),
        ("UTC", "2024-02-29T00:00Z", "2025-02-28T00:00Z", Unit::Year, [1, 0, 0, 0, 0, 0, 0, 0]),
        ("UTC", "2026-01-31T00:00Z", "2026-02-28T00:00Z", Unit::Month, [0, 1, 0, 0, 0, 0, 0, 0]),
        ("UTC", "2026-01-01T00:00Z", "2027-02-01T00:00Z", Unit::Month, [0, 13, 0, 0, 0, 0, 0, 0]),
        ("UTC", "2026-01-01T00:00Z", "2026-01-20T00:00Z", Unit::Week, [0, 0, 2, 5, 0, 0, 0, 0]),
        ("UTC", "2026-01-20T00:00Z", "2026-01-01T00:00Z", Unit::Day, [0, 0, 0, -19, 0, 0, 0, 0]),
        ("UTC", "2026-03-01T00:00Z", "2026-01-31T23:00Z", Unit::Year, [0, -1, 0, 0, -1, 0, 0, 0]),
        ("UTC", "2026-01-01T00:00Z", "2026-01-03T00:01Z", Unit::Hour, [0, 0, 0, 0, 48, 1, 0, 0]),
        ("UTC", "2026-01-01T00:00Z", "2026-01-01T02:00:01Z", Unit::Minute, [0, 0, 0, 0, 0, 120, 1, 0]),
        ("UTC", "2026-01-01T00:00Z", "2025-12-31T23:59:57.5Z", Unit::Second, [0, 0, 0, 0, 0, 0, -2, -500]),
        ("UTC", "2026-01-01T00:00Z", "2026-01-01T00:00:02.5Z", Unit::Millisecond, [0, 0, 0, 0, 0, 0, 0, 2500]),
        // a short day, a long one
        ("Europe/Berlin", "2026-03-28T12:00+01:00", "2026-03-29T12:00+02:00", Unit::Day, [0, 0, 0, 1, 0, 0, 0, 0]),
        ("Europe/Berlin", "2026-03-28T12:00+01:00", "2026-03-29T12:00+02:00", Unit::Hour, [0, 0, 0, 0, 23, 0, 0, 0]),
        ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-25T23:30+01:00", Unit::Day, [0, 0, 0, 0, 24, 30, 0, 0]),
        // from one half of a fold to the other
        ("Europe/Berlin", "2026-10-25T02:50+02:00", "2026-10-25T02:10+01:00", Unit::Year, [0, 0, 0, 0, 0, 20, 0, 0]),
        // over the day that Apia skipped
        ("Pacific/Apia", "2011-12-29T12:00-10:00", "2011-12-31T12:00+14:00", Unit::Day, [0, 0, 0, 2, 0, 0, 0, 0]),
    ] {
        let span = difference(at(from), at(to), largest, zone).unwrap();
        assert_eq!(span, whole(fields), "{from} {to} {largest:?}");
        assert_eq!(add(at(from), &span, zone).unwrap(), at(to));
    }
}
