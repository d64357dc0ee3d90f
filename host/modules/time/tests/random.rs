//! Random instants in random zones, and random text.

use proptest::prelude::*;
use proptest::strategy::Union;

use super::*;

#[allow(clippy::cast_precision_loss, reason = "below 2^53")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// The instants of the years 1 to 9999, to the millisecond; half of them in those years in which clocks changed.
fn instants() -> impl Strategy<Value = f64> {
    prop_oneof![-62_135_510_400_000i64..=253_402_207_199_999, -3_000_000_000_000i64..4_000_000_000_000]
        .prop_map(seconds)
}

fn zone() -> impl Strategy<Value = String> {
    let offset = (-1439i32..=1439).prop_map(|minutes| {
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    });
    prop_oneof![9 => prop::sample::select(zones()), 1 => offset]
}

fn unit() -> impl Strategy<Value = Unit> {
    use Unit::{Day, Hour, Millisecond, Minute, Month, Second, Week, Year};
    prop::sample::select(vec![Year, Month, Week, Day, Hour, Minute, Second, Millisecond])
}

/// What `in_zone` gives, as what `from_parts` takes.
fn taken(parts: &Parts) -> DateTime {
    DateTime {
        year: parts.year.into(),
        month: parts.month.into(),
        day: parts.day.into(),
        hour: Some(parts.hour.into()),
        minute: Some(parts.minute.into()),
        second: Some(parts.second.into()),
        millisecond: Some(parts.millisecond.into()),
    }
}

/// Of what texts and patterns are made, and any other.
fn any_text() -> impl Strategy<Value = String> {
    let likely = "[-+0-9TZWPDHMS:.,%/a-z \\[\\]=_^#]{0,40}";
    let pattern = "(%[-_0^#]?[0-9]{0,3}[.:]{0,3}[0-9]?[A-Za-z%é]?| |x){0,20}";
    Union::new([likely.boxed(), pattern.boxed(), "\\PC{0,300}".boxed(), any::<String>().boxed()])
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), instants(), -1e6..1e6f64, (-100_000..100_000i32).prop_map(f64::from)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_instant_is_one_of_those_that_its_parts_mean(at in instants(), zone in zone()) {
        let shown = in_zone(at, &zone).unwrap();
        let taken = taken(&shown);
        let earlier = from_parts(&taken, &zone, Some(Disambiguation::Earlier)).unwrap();
        let later = from_parts(&taken, &zone, Some(Disambiguation::Later)).unwrap();
        prop_assert!(at == earlier || at == later);
        prop_assert_eq!(from_parts(&taken, &zone, None).unwrap(), earlier);
        prop_assert_eq!(from_parts(&taken, &zone, Some(Disambiguation::Reject)).is_ok(), earlier == later);
        prop_assert_eq!(with(at, &Changes::default(), &zone, None).unwrap(), at);
        prop_assert_eq!(parse(&format(at, &zone, None).unwrap(), None).unwrap(), at);
        prop_assert_eq!(in_zone(at, &shown.zone).unwrap(), shown);
    }

    #[test]
    fn parts_come_back(
        (year, month, day) in (1..=9999, 1..=12, 1..=28),
        (hour, minute, second, millisecond) in (0..=23, 0..=59, 0..=59, 0..=999),
        zone in zone(),
    ) {
        let (hour, minute, second, millisecond) = (Some(hour), Some(minute), Some(second), Some(millisecond));
        let parts = DateTime { year, month, day, hour, minute, second, millisecond };
        match from_parts(&parts, &zone, Some(Disambiguation::Reject)) {
            Ok(at) => prop_assert_eq!(taken(&in_zone(at, &zone).unwrap()), parts),
            // not there, there twice, or before the first instant
            Err(said) => prop_assert!(said.contains("clocks are put") || year == 1 && month == 1 && day <= 2, "{}", said),
        }
    }

    #[test]
    fn what_is_between_is_what_must_be_added(
        from in instants(), to in instants(), step in -1e10..1e10f64, zone in zone(), largest in unit(),
    ) {
        let near = add(from, &span! { milliseconds: step.round() }, "UTC").unwrap_or(from);
        for to in [to, near] {
            let span = difference(from, to, largest, &zone).unwrap();
            prop_assert_eq!(add(from, &span, &zone).unwrap(), to, "{:?}", span);
            let Span { years, months, weeks, days, hours, minutes, seconds, milliseconds } = span;
            for field in [years, months, weeks, days, hours, minutes, seconds, milliseconds] {
                prop_assert!(field.unwrap() * (to - from) >= 0.0, "{:?}", span);
            }
            if largest == Unit::Millisecond {
                prop_assert_eq!(milliseconds.unwrap(), ((to - from) * 1000.0).round());
            }
        }
    }

    #[test]
    fn a_start_is_a_start(at in instants(), zone in zone()) {
        for period in [Period::Day, Period::Week, Period::Month, Period::Year] {
            let Ok(start) = start_of(at, period, &zone) else {
                prop_assert_eq!(in_zone(at, &zone).unwrap().year, 1);
                continue;
            };
            prop_assert!(start <= at);
            prop_assert_eq!(start_of(start, period, &zone).unwrap(), start);
        }
    }

    #[test]
    fn durations_come_back(seconds in (-316_224_000_000_000i64..=316_224_000_000_000).prop_map(seconds)) {
        prop_assert_eq!(parse_duration(&format_duration(seconds).unwrap()).unwrap(), seconds);
    }

    #[test]
    fn no_text_does_harm(text in any_text(), other in any_text(), zone in zone()) {
        for given in [None, Some(zone.as_str()), Some(other.as_str())] {
            for read in [parse(&text, given), parse_pattern(&text, &other, given), parse_rfc2822(&text, 0.0)] {
                match read {
                    Ok(at) => prop_assert!(in_zone(at, &zone).is_ok()),
                    Err(said) => prop_assert!(said.len() < 2000, "{}", said),
                }
            }
        }
        let _ = (parse_duration(&text), zone_exists(&text));
        if let Ok(written) = format(1.5e9, &zone, Some(&text)) {
            prop_assert!(written.len() <= 4096);
            let _ = parse_pattern(&written, &text, Some(&zone));
        }
    }

    #[test]
    fn no_number_does_harm(
        at in any_number(), to in any_number(), fields in prop::array::uniform8(prop::option::of(any_number())),
        parts in prop::array::uniform7(prop_oneof![any::<i32>(), -1..=32i32]), zone in zone(), unit in unit(),
    ) {
        let [years, months, weeks, days, hours, minutes, seconds, milliseconds] = fields;
        let _ = add(at, &Span { years, months, weeks, days, hours, minutes, seconds, milliseconds }, &zone);
        let _ = difference(at, to, unit, &zone);
        let _ = format_duration(at);
        let [year, month, day, hour, minute, second, millisecond] = parts;
        let (hour, minute, second, millisecond) = (Some(hour), Some(minute), Some(second), Some(millisecond));
        let _ = from_parts(&DateTime { year, month, day, hour, minute, second, millisecond }, &zone, None);
        let (year, month, day) = (Some(year), Some(month), Some(day));
        let _ = with(at, &Changes { year, month, day, hour, minute, second, millisecond }, &zone, None);
        for period in [Period::Day, Period::Week, Period::Month, Period::Year] {
            let _ = start_of(at, period, &zone);
        }
    }
}
