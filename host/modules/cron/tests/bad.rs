//! What can't be read, or never runs, is refused in words that say what to do.

use super::*;

#[test]
fn t2_what_is_wrong_is_said() {
    for (expression, says) in [
        ("", "it has 0 fields"),
        ("   ", "it has 0 fields"),
        ("* * * *", "it has 4 fields"),
        ("* * * * * * *", "it has 7 fields"),
        ("0 0 1 1 * 2030-2040 *", "it has 7 fields"),
        ("@reboot", "there is no @reboot; there are @hourly"),
        ("@daily @daily", "there is no"),
        ("60 * * * *", "the minutes \"60\": Number out of bounds. It has 5 fields"),
        ("* 24 * * *", "out of bounds"),
        ("* * 0 * *", "out of bounds"),
        ("* * 32 * *", "out of bounds"),
        ("* * * 13 *", "out of bounds"),
        ("* * * * 8", "the weekdays \"8\": Number out of bounds"),
        ("999 * * * *", "\"999\" is nothing that the minutes may have"),
        ("-1 * * * *", "\"-1\" is nothing that the minutes may have"),
        ("5-1 * * * *", "out of bounds"),
        ("*/0 * * * *", "Step cannot be zero"),
        ("5/10 * * * *", "5/10"),
        ("1,,2 * * * *", "an empty place is nothing that the minutes may have"),
        (", * * * *", "an empty place"),
        ("*,5 * * * *", "\"*\" is nothing that the minutes may have"),
        ("JAN * * * *", "\"JAN\" is nothing that the minutes may have"),
        ("* * * MON *", "\"MON\" is nothing that the months may have"),
        ("* * * JAN0 *", "\"JAN0\" is nothing that the months may have"),
        ("* * * * SUNMON", "\"SUNMON\" is nothing that the weekdays may have"),
        ("* * * * MONDAY", "\"MONDAY\" is nothing that the weekdays may have"),
        ("* * * * MON#6", "\"MON#6\" is nothing that the weekdays may have"),
        ("* * * * L", "\"L\" is nothing that the weekdays may have"),
        ("* * 5#2 * *", "\"5#2\" is nothing that the days of the month may have"),
        ("* * L,LW * *", "the days of the month have L or LW once at most"),
        ("* * W * *", "\"W\" is nothing that the days of the month may have"),
        ("* * L-3 * *", "can't be read"),
        ("* L * * *", "\"L\" is nothing that the hours may have"),
        ("? * * * *", "\"?\" is nothing that the minutes may have"),
        ("* * 1,? * *", "\"?\" is nothing"),
        ("+1 * * * *", "\"+1\" is nothing"),
        ("* * * * +", "an empty place"),
        ("* * * * \u{17f}un", "is nothing that the weekdays may have"),
        ("٣ * * * *", "is nothing that the minutes may have"),
        ("* * * * *\u{a0}*", "is nothing that the weekdays may have"),
        ("0 0 30 2 *", "never runs: no month has such a day"),
        ("0 0 31 4,6,9,11 *", "never runs"),
        ("0 0 1 * +MON#2", "never runs"),
    ] {
        let refused = Schedule::parse(expression, "UTC").unwrap_err();
        assert!(refused.contains(says), "{expression}: {refused}");
        assert!(refused.contains("the cron expression"), "{refused}");
    }
    let long = format!("{} * * * *", ["1"; 200].join(","));
    assert!(Schedule::parse(&long, "UTC").unwrap_err().contains("has 407 bytes; at most 256 are read"));
    for zone in ["", "Berlin", "Europe/Berlin\0", "Etc/Unknown", "+01:00", "../../etc/passwd", "CET-1CEST"] {
        let refused = Schedule::parse("* * * * *", zone).unwrap_err();
        assert!(refused.contains("there is no time zone") && refused.contains("Europe/Berlin"), "{refused}");
    }
    assert!(Schedule::parse("* * * * *", &"x".repeat(65)).unwrap_err().contains("65 bytes"));
    assert!(upcoming("* * * * *", "UTC", 0, 101).unwrap_err() == "count is 101; it goes from 1 to 100");
    assert_eq!(upcoming("* * * * *", "UTC", 0, 0).unwrap_err(), "count is 0; it goes from 1 to 100");
    assert_eq!(upcoming("0 0 1 1 *", "UTC", at("9990-01-01T00:00:00Z"), 100).unwrap().len(), 9);
}
