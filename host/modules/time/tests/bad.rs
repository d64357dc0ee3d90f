//! What is refused, and how that is said.

use super::*;

const RANGE: &str = "out of range: instants go from 0001-01-02 to 9999-12-30";

#[test]
fn numbers_that_are_no_instants() {
    assert_eq!(
        in_zone(f64::NAN, "UTC").unwrap_err(),
        "NaN is no instant: that is a number of seconds since 1970, as time.now() gives"
    );
    for bad in [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1e17, -1e17] {
        for zone in ["UTC", "Pacific/Kiritimati"] {
            assert!(in_zone(bad, zone).is_err());
            assert!(with(bad, &Changes::default(), zone, None).is_err());
            assert!(add(bad, &Span::default(), zone).is_err());
            assert!(difference(bad, 0.0, Unit::Year, zone).is_err());
            assert!(difference(0.0, bad, Unit::Day, zone).is_err());
            assert!(start_of(bad, Period::Day, zone).is_err());
            assert!(format(bad, zone, None).is_err());
        }
    }
    // milliseconds, which JavaScript has
    assert_eq!(
        in_zone(1_700_000_000_000.0, "UTC").unwrap_err(),
        format!("the instant 1700000000000.0 is {RANGE}, in seconds since 1970, not milliseconds")
    );
}

#[test]
fn the_ends_of_the_range() {
    let (first, last) = (at("0001-01-02T00:00:00Z"), at("9999-12-30T21:59:59.999Z"));
    for name in ["-23:59", "+23:59", "UTC", "America/New_York", "Pacific/Apia"] {
        assert_eq!(in_zone(first, name).unwrap().year, 1, "{name}");
        assert_eq!(in_zone(last, name).unwrap().year, 9999, "{name}");
        assert_eq!(at(&text(first, name)), first, "{name}");
        assert_eq!(at(&text(last, name)), last, "{name}");
    }
    assert!(in_zone(first - 0.001, "UTC").is_err());
    assert!(in_zone(last + 0.001, "UTC").is_err());
    for outside in ["0001-01-01T23:59:59.999Z", "9999-12-30T22:00:00Z", "9999-12-31T23:59:59Z", "-000001-01-01T00:00Z"]
    {
        assert!(parse(outside, None).unwrap_err().ends_with(RANGE), "{outside}");
    }
    assert_eq!(
        from_parts(&parts(9999, 12, 31, 0, 0), "America/New_York", None).unwrap_err(),
        format!("9999-12-31T00:00:00 in America/New_York is {RANGE}")
    );
    assert_eq!(add(last, &span! { days: 1 }, "UTC").unwrap_err(), format!("9999-12-31T21:59:59.999 in UTC is {RANGE}"));
    assert_eq!(add(last, &span! { years: 1 }, "UTC").unwrap_err(), format!("the result is {RANGE}"));
    assert!(add(first, &span! { milliseconds: -1 }, "UTC").unwrap_err().ends_with(RANGE));
    assert!(start_of(first, Period::Year, "UTC").unwrap_err().ends_with(RANGE));
    let whole = difference(first, last, Unit::Millisecond, "UTC").unwrap();
    assert_eq!(add(first, &whole, "UTC").unwrap(), last);
}

#[test]
fn zones_that_are_not_there() {
    let said = |zone| in_zone(0.0, zone).unwrap_err();
    assert_eq!(
        said("Berlin"),
        "there is no time zone \"Berlin\"; names are like Europe/Berlin (time.zones() lists them)"
    );
    assert!(said("new york").contains("names are like America/New_York"));
    let far = ["", " ", "UTC ", "Etc/Unknown", "Nowhere", "../../etc/localtime", "/etc/localtime", ":UTC", "UTC\0"];
    let posix = ["EST5EDT4,M3.2.0,M11.1.0", "CET-1", "<+03>-3"];
    let offsets = ["+5", "+05", "+0530", "+24:00", "-24:00", "+05:60", "+05:3x", "+é:00", "+05:30:15", "-", "+"];
    for name in far.into_iter().chain(posix).chain(offsets) {
        assert!(!zone_exists(name), "{name}");
        assert!(said(name).starts_with("there is no time zone \""), "{name}");
    }
    let long = "ä".repeat(1 << 20);
    assert!(!zone_exists(&long));
    assert!(said(&long).len() < 300);
}

#[test]
fn parts_that_are_none() {
    let said = |parts: DateTime| from_parts(&parts, "UTC", None).unwrap_err();
    assert_eq!(said(parts(-44, 3, 15, 0, 0)), "year is -44; it goes from 1 to 9999");
    assert_eq!(said(parts(0, 1, 1, 0, 0)), "year is 0; it goes from 1 to 9999");
    assert_eq!(said(parts(10_000, 1, 1, 0, 0)), "year is 10000; it goes from 1 to 9999");
    assert_eq!(said(parts(2026, 13, 1, 0, 0)), "month is 13; it goes from 1 to 12");
    assert_eq!(said(parts(2026, 2, 29, 0, 0)), "day is 29; 2026-02 has the days 1 to 28");
    assert_eq!(said(parts(2024, 2, 30, 0, 0)), "day is 30; 2024-02 has the days 1 to 29");
    assert_eq!(said(parts(1900, 2, 29, 0, 0)), "day is 29; 1900-02 has the days 1 to 28");
    assert_eq!(said(parts(2026, 1, 0, 0, 0)), "day is 0; 2026-01 has the days 1 to 31");
    assert_eq!(said(parts(2026, 1, i32::MAX, 0, 0)), "day is 2147483647; 2026-01 has the days 1 to 31");
    assert_eq!(said(parts(2026, 1, 1, 24, 0)), "hour is 24; it goes from 0 to 23");
    assert_eq!(said(parts(2026, 1, 1, 0, -1)), "minute is -1; it goes from 0 to 59");
    let second = DateTime { second: Some(60), ..parts(2026, 1, 1, 0, 0) };
    assert_eq!(said(second), "second is 60; it goes from 0 to 59");
    let millisecond = DateTime { millisecond: Some(i32::MIN), ..parts(2026, 1, 1, 0, 0) };
    assert_eq!(said(millisecond), "millisecond is -2147483648; it goes from 0 to 999");
}

#[test]
fn spans() {
    let said = |span| add(0.0, &span, "UTC").unwrap_err();
    assert_eq!(said(span! { days: 1.5 }), "days is 1.5; a span has whole numbers: put the rest into smaller units");
    assert!(said(span! { hours: 5e-324 }).starts_with("hours is 5e-324;"));
    assert!(said(span! { years: f64::NAN }).starts_with("years is NaN;"));
    for huge in [1e15, -1e15, 1e16, f64::MAX, f64::INFINITY, f64::NEG_INFINITY] {
        for span in [
            span! { years: huge },
            span! { months: huge },
            span! { weeks: huge },
            span! { days: huge },
            span! { hours: huge },
            span! { minutes: huge },
            span! { seconds: huge },
            span! { milliseconds: huge },
            span! { years: huge, months: huge, days: -huge, hours: huge, minutes: huge, seconds: huge },
        ] {
            assert_eq!(said(span), format!("the result is {RANGE}"));
        }
    }
}

#[test]
fn texts() {
    for bad in [
        "",
        " ",
        "x",
        "2026",
        "2026-13-01",
        "2026-02-30",
        "2026-03-29T24:00Z",
        "2026-03-29T10:00:61Z",
        "2026-03-29Z",
        "10:00",
        "2026-03-29T10:00[Nowhere/City]",
        "2026-03-29T10:00+02:00[America/New_York]",
        "2026-03-29T10:00[Etc/Unknown]",
        "2026-03-29T10:00[",
        "2026-03-29T10:00+99:00",
        "2026-03-29T10:00Z tomorrow",
    ] {
        assert!(parse(bad, Some("UTC")).is_err(), "{bad}");
    }
    assert_eq!(
        parse("2026-03-29", None).unwrap_err(),
        "\"2026-03-29\" has no offset and no zone: give a zone, such as \"Europe/Berlin\" or \"UTC\""
    );
    assert!(parse("2026-03-29", Some("Berlin")).unwrap_err().starts_with("there is no time zone"));
    for bad in ["", "tomorrow", "Mon, 29 Mar 2026 10:00:00 +0200", "30 Feb 2026 10:00 GMT", "2026-03-29T10:00:00Z"] {
        assert!(parse_rfc2822(bad, 0.0).is_err(), "{bad}");
    }
    let long = "ä".repeat(1000);
    let said = format!("{:?}... has 2000 bytes; at most 256 are read", "ä".repeat(40));
    assert_eq!(parse(&long, None).unwrap_err(), said);
    assert_eq!(parse_rfc2822(&long, 0.0).unwrap_err(), said);
    assert_eq!(parse_duration(&long).unwrap_err(), said);
    assert_eq!(parse_pattern(&long, "%Y", None).unwrap_err(), said);
    assert_eq!(format(0.0, "UTC", Some(&long)).unwrap_err(), "the pattern has 2000 bytes; at most 256 are read");
    assert_eq!(parse_pattern("", &long, None).unwrap_err(), "the pattern has 2000 bytes; at most 256 are read");
}

#[test]
fn patterns() {
    for (pattern, said) in [
        ("%", "it ends with a percent sign; for one write %%"),
        ("100 %", "it ends with a percent sign; for one write %%"),
        ("%-", "it ends within a directive"),
        ("%5", "it ends within a directive"),
        ("%_5", "it ends within a directive"),
        ("%999999999d", "the width \"999999999\" is too large; at most 20 is possible"),
        ("%99999999999999999999999d", "the width \"99999999999999999999999\" is too large; at most 20 is possible"),
        ("%21Y", "the width \"21\" is too large; at most 20 is possible"),
        ("%99:z", "the width \"99\" is too large; at most 20 is possible"),
        ("%99.f", "the width \"99\" is too large; at most 20 is possible"),
        ("%c", "%c differs by language; spell it out, such as %Y-%m-%d %H:%M:%S"),
        ("%-20X", "%X differs by language; spell it out, such as %Y-%m-%d %H:%M:%S"),
        ("%r", "%r differs by language; spell it out, such as %Y-%m-%d %H:%M:%S"),
        ("%Ey", "%E is no directive; for a percent sign write %%"),
        ("%+", "%+ is no directive; for a percent sign write %%"),
        ("% d", "%  is no directive; for a percent sign write %%"),
        ("%--d", "%- is no directive; for a percent sign write %%"),
        ("%é", "%é is no directive; for a percent sign write %%"),
        ("%.", "behind %. goes a digit from 1 to 9 or none, and f"),
        ("%.0f", "behind %. goes a digit from 1 to 9 or none, and f"),
        ("%.99f", "behind %. goes a digit from 1 to 9 or none, and f"),
        ("%:", "behind %: goes z or Q"),
        ("%:d", "behind %: goes z or Q"),
        ("%::Q", "behind %: goes z or Q"),
        ("%::::z", "behind %: goes z or Q"),
    ] {
        let said = format!("the pattern {pattern:?}: {said}");
        assert_eq!(format(0.0, "UTC", Some(pattern)).unwrap_err(), said);
        assert_eq!(parse_pattern("1", pattern, Some("UTC")).unwrap_err(), said);
    }
    for (text, pattern) in [
        ("12", "%d"),
        ("10:00", "%H:%M"),
        ("2026-03-29 25:00", "%F %H:%M"),
        ("2026-03-29 Mon", "%F %a"),
        ("2026-03-29 Nowhere", "%F %Q"),
        ("2026-03-29 Etc/Unknown", "%F %Q"),
        ("2026-03-29 CET", "%F %Z"),
        ("1 2026", "%q %Y"),
        ("2026-03-29x", "%F"),
        ("-0044-03-15", "%F"),
    ] {
        assert!(parse_pattern(text, pattern, Some("UTC")).is_err(), "{text:?} {pattern:?}");
    }
}

#[test]
fn durations() {
    for (text, said) in [
        ("1y", "\"1y\": years and months differ in length; write weeks or days, or use time.add with a span"),
        ("P1M", "\"P1M\": years and months differ in length; write weeks or days, or use time.add with a span"),
        ("600000000000s", "\"600000000000s\" is longer than 10,000 years"),
    ] {
        assert_eq!(parse_duration(text).unwrap_err(), said);
    }
    for text in
        ["", " ", "90", "abc", "1x", "h", "1h-2m", "--1h", "1d 1d", "P", "PT", "1e9s", "99999999999999999999h", "1.5d"]
    {
        let said = parse_duration(text).unwrap_err();
        assert_eq!(said, format!("{text:?} is no duration such as 1h30m, 90s or PT1H30M"));
    }
    assert_eq!(format_duration(f64::NAN).unwrap_err(), "NaN is no duration: that is a number of seconds");
    assert_eq!(format_duration(-f64::INFINITY).unwrap_err(), "-inf is no duration: that is a number of seconds");
    assert_eq!(format_duration(1e300).unwrap_err(), "1e300 seconds are more than 10,000 years");
    assert!(format_duration(f64::MIN).is_err());
}

/// The words are Motu's own, not those of the library that reads dates.
#[test]
fn c15_errors_are_in_motus_words() {
    assert_eq!(
        parse("2026-02-30T10:00Z", None).unwrap_err(),
        "\"2026-02-30T10:00Z\" is no date and time such as 2026-03-29T10:00:00Z or 2026-03-29, or names a day, a time or an offset that there isn't"
    );
    assert_eq!(
        parse_pattern("2026-03-29 25:00", "%F %H:%M", Some("UTC")).unwrap_err(),
        "\"2026-03-29 25:00\" is not what the pattern \"%F %H:%M\" says, or names a day or a time that there isn't, or too little of one"
    );
    assert_eq!(
        parse_rfc2822("Mon, 29 Mar 2026 10:00:00 +0200", 0.0).unwrap_err(),
        "\"Mon, 29 Mar 2026 10:00:00 +0200\" is no date such as Sun, 29 Mar 2026 10:00:00 +0200, or names a day, a time or an offset that there isn't, or another weekday than that day's"
    );
}

/// The hint takes a look into an index that is made once, not through all names; and what is no name's length none at all.
#[test]
fn t08_a_zone_that_is_none_is_cheap_to_refuse() {
    use super::super::zone;

    assert!(std::ptr::eq(zone::index(), zone::index()), "made once");
    assert_eq!(zone::index().names.len(), super::zones().len());
    let said = |name: &str| zone::find(name).unwrap_err();
    assert!(said("Nowhere/Nothing").contains("names are like Europe/Berlin"));
    assert!(said("new york").contains("names are like America/New_York"));
    assert!(said("Asia/berlin").contains("names are like Europe/Berlin"));
    let long = "x ".repeat(500_000);
    assert!(said(&long).len() < 300);
    assert!(!zone::zone_exists(&long));
}
