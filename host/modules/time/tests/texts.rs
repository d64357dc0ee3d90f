//! Texts, read and written.

use super::*;

#[test]
fn standards_are_read() {
    for (text, instant) in [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-03-29T10:00:00Z", 1_774_778_400.0),
        ("2026-03-29t10:00:00z", 1_774_778_400.0),
        ("2026-03-29 10:00+02:00", 1_774_771_200.0),
        ("2026-03-29T10:00:00.25-00:00", 1_774_778_400.25),
        ("20260329T100000Z", 1_774_778_400.0),
        ("2026-03-29T10:00[Europe/Berlin]", 1_774_771_200.0),
        ("2026-03-29T10:00+02:00[europe/berlin]", 1_774_771_200.0),
        ("1969-12-31T23:59:59.5Z", -0.5),
        // leap seconds don't count
        ("2016-12-31T23:59:60Z", 1_483_228_799.0),
    ] {
        assert_eq!(parse(text, None).unwrap(), instant, "{text}");
        assert_eq!(parse(text, Some("Asia/Tokyo")).unwrap(), instant, "{text}: what it says itself goes first");
    }
    for (text, zone, instant) in [
        ("2026-03-29", "UTC", "2026-03-29T00:00:00Z"),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z"),
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30:00Z"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z"),
        ("2026-03-29 10:00", "+05:30", "2026-03-29T04:30:00Z"),
    ] {
        assert_eq!(parse(text, Some(zone)).unwrap(), at(instant), "{text} {zone}");
    }
    for (text, instant) in [
        ("Sun, 29 Mar 2026 10:00:00 +0200", "2026-03-29T08:00:00Z"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
        ("29 Mar 2026 10:00 EST", "2026-03-29T15:00:00Z"),
        ("Sun, 29 Mar 2026 10:00:00 +0200 (CEST)", "2026-03-29T08:00:00Z"),
    ] {
        assert_eq!(parse_rfc2822(text, 0.0).unwrap(), at(instant), "{text}");
    }
}

/// RFC 9110, 5.6.7: a recipient takes all three forms, and a year of two digits that would be over 50 years ahead is of a
/// century ago.
#[test]
fn c15_old_forms_of_http_dates_are_read() {
    let wanted = at("1994-11-06T08:49:37Z");
    for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(parse_rfc2822(text, at("2026-03-29T00:00:00Z")).unwrap(), wanted, "{text}");
    }
    for (now, text, instant) in [
        ("2026-03-29T00:00:00Z", "Sunday, 29-Mar-76 00:00:00 GMT", "2076-03-29T00:00:00Z"),
        ("2026-03-29T00:00:00Z", "Tuesday, 29-Mar-77 00:00:00 GMT", "1977-03-29T00:00:00Z"),
        ("2099-03-29T00:00:00Z", "Saturday, 29-Mar-49 00:00:00 GMT", "2149-03-29T00:00:00Z"),
        ("2026-03-29T00:00:00Z", "Wed Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"),
    ] {
        assert_eq!(parse_rfc2822(text, at(now)).unwrap(), at(instant), "{text}");
    }
    for bad in [
        "Monday, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 CET",
        "Mon Nov  6 08:49:37 1994",
        "Sunday, 31-Nov-94 08:49:37 GMT",
    ] {
        assert!(parse_rfc2822(bad, 0.0).is_err(), "{bad}");
    }
}

#[test]
fn rfc_3339_is_written() {
    for (instant, zone, written) in [
        (0.0, "UTC", "1970-01-01T00:00:00Z"),
        (0.5, "UTC", "1970-01-01T00:00:00.500Z"),
        (-0.001, "UTC", "1969-12-31T23:59:59.999Z"),
        (0.0, "Etc/UTC", "1970-01-01T00:00:00+00:00"),
        (0.25, "+05:30", "1970-01-01T05:30:00.250+05:30"),
        (0.0, "America/New_York", "1969-12-31T19:00:00-05:00"),
        // Berlin's local mean time was 53 minutes and 28 seconds ahead
        (-3e9, "Europe/Berlin", "1874-12-07T19:33:00+00:53"),
    ] {
        assert_eq!(text(instant, zone), written);
        assert_eq!(at(written), instant);
    }
}

#[test]
fn n06_an_abbreviation_has_the_case_that_the_database_has() {
    let instant = at("2016-11-30T08:15:22Z");
    for (zone, pattern, written) in [
        ("Pacific/Guam", "%Z", "ChST"),
        ("Pacific/Guam", "%H:%M %Z, %Z %%Z %^Z %#Z %%%Z", "18:15 ChST, ChST %Z CHST chst %ChST"),
        ("Asia/Kolkata", "%Z", "IST"),
        ("America/Sao_Paulo", "%Z", "-02"),
    ] {
        assert_eq!(format(instant, zone, Some(pattern)).unwrap(), written, "{zone} {pattern}");
    }
}

#[test]
fn patterns_write_and_read() {
    let instant = at("2026-03-05T15:04:05.067Z");
    for (pattern, written) in [
        ("", ""),
        ("day é %%", "day é %"),
        ("%Y %m %d %e %F %D %y %C %q %j", "2026 03 05  5 2026-03-05 03/05/26 26 20 1 064"),
        ("%A %a %B %b %h", "Thursday Thu March Mar Mar"),
        ("%u %w %G %V %g %U %W", "4 4 2026 10 26 09 09"),
        ("%H %I %k %l %M %S %3f %.3f %N %p %P", "16 04 16  4 04 05 067 .067 067000000 PM pm"),
        ("%T %R %z %:z %Z %Q %s", "16:04:05 16:04 +0100 +01:00 CET Europe/Berlin 1772723045"),
        ("%n%t", "\n\t"),
        ("%-d.%-m. %_m %05d %^a %#Z %20Y", "5.3.  3 00005 THU cet 00000000000000002026"),
    ] {
        assert_eq!(format(instant, "Europe/Berlin", Some(pattern)).unwrap(), written, "{pattern}");
    }
    for (text, pattern, instant) in [
        ("5.3.2026 16:04", "%d.%m.%Y %H:%M", "2026-03-05T16:04:00+01:00"),
        ("thursday, MARCH 5, 2026 at 4 pm", "%A, %B %d, %Y at %I %p", "2026-03-05T16:00:00+01:00"),
        ("03/05/26", "%D", "2026-03-05T00:00:00+01:00"),
        ("2026-064", "%Y-%j", "2026-03-05T00:00:00+01:00"),
        ("2026-W10-4", "%G-W%V-%u", "2026-03-05T00:00:00+01:00"),
        ("2026-03-05 16:04:05.067", "%F %T%.f", "2026-03-05T16:04:05.067+01:00"),
        ("2026-03-05 16:04 -0500", "%F %R %z", "2026-03-05T16:04:00-05:00"),
        ("2026-03-05 16:04 Asia/Tokyo", "%F %R %Q", "2026-03-05T16:04:00+09:00"),
        ("1772723045", "%s", "2026-03-05T16:04:05+01:00"),
    ] {
        assert_eq!(parse_pattern(text, pattern, Some("Europe/Berlin")).unwrap(), at(instant), "{text}");
    }
    assert_eq!(parse_pattern("2026-03-05 +0100", "%F %z", None).unwrap(), at("2026-03-04T23:00:00Z"));
    assert!(parse_pattern("2026-03-05", "%F", None).unwrap_err().contains("give a zone"));
}

#[test]
fn what_a_pattern_writes_is_bounded() {
    for directive in ["%20Y", "%Q", "%A", "%s", "%N", "%20s", "%::z", "%9f", "%T"] {
        let pattern: String = directive.repeat(256 / directive.len());
        for zone in ["America/Argentina/ComodRivadavia", "-23:59"] {
            let written = format(-6e10, zone, Some(&pattern)).unwrap();
            assert!(written.len() <= 4096, "{directive}: {}", written.len());
        }
    }
}
