//! Durations, read and written.

use super::*;

#[test]
fn are_read() {
    for (text, seconds) in [
        ("1h30m", 5400.0),
        (" 1h 30m ", 5400.0),
        ("1H30M", 5400.0),
        ("2 days, 3 hours", 183_600.0),
        ("1 hour 5 minutes 1 second", 3901.0),
        ("90s", 90.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("-5m", -300.0),
        ("+5m", 300.0),
        ("5m ago", -300.0),
        ("01:30:00", 5400.0),
        ("1w2d", 777_600.0),
        ("PT1H30M", 5400.0),
        ("P1DT0.5S", 86_400.5),
        ("-PT1M", -60.0),
        ("0s", 0.0),
    ] {
        assert_eq!(parse_duration(text).unwrap(), seconds, "{text}");
    }
}

#[test]
fn are_written() {
    for (seconds, text) in [
        (0.0, "0s"),
        (-0.0, "0s"),
        (0.0004, "0s"),
        (0.0006, "1ms"),
        (-0.0004, "0s"),
        (5400.0, "1h 30m"),
        (93_784.005, "1d 2h 3m 4s 5ms"),
        (-300.0, "-5m"),
        (-3661.5, "-1h 1m 1s 500ms"),
        (86_400.0 * 1000.0, "1000d"),
        (59.9999, "1m"),
    ] {
        assert_eq!(format_duration(seconds).unwrap(), text);
    }
}
