//! Random expressions, zones and instants, against clocks that are read minute by minute.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;

use super::super::due::{Missed, due};
use super::super::schedule::UPCOMING_MAX;
use super::*;

const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Gaza",
    "Pacific/Apia",
    "Antarctica/Troll",
];

/// Seconds, minutes, hours, days, months, weekdays: as text, and the numbers that it means.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    numbers: BTreeSet<i64>,
}

fn field(from: i64, to: i64) -> impl Strategy<Value = Field> {
    let whole = move |step: i64| (from..=to).step_by(step as usize).collect::<BTreeSet<_>>();
    prop_oneof![
        3 => Just(Field { text: "*".into(), numbers: whole(1) }),
        2 => (1..15_i64).prop_map(move |step| Field { text: format!("*/{step}"), numbers: whole(step) }),
        3 => prop::collection::btree_set(from..=to, 1..4).prop_map(|numbers| {
            let text = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            Field { text, numbers }
        }),
        2 => (from..=to, from..=to, 1..5_i64).prop_map(|(a, b, step)| {
            let (a, b) = (a.min(b), a.max(b));
            Field { text: format!("{a}-{b}/{step}"), numbers: (a..=b).step_by(step as usize).collect() }
        }),
    ]
}

#[derive(Clone, Debug)]
struct Fields {
    time: [Field; 3],
    dates: [Field; 3],
    both: bool,
}

impl Fields {
    fn text(&self) -> String {
        let [second, minute, hour] = &self.time;
        let [day, month, weekday] = &self.dates;
        let plus = if self.both { "+" } else { "" };
        let texts = [second, minute, hour, day, month].map(|field| field.text.as_str());
        format!("{} {plus}{}", texts.join(" "), weekday.text)
    }

    fn is_interval(&self) -> bool {
        self.time.iter().any(|field| field.text.starts_with('*'))
    }

    fn means(&self, shown: DateTime) -> bool {
        let time = [shown.second(), shown.minute(), shown.hour()].map(i64::from);
        let [days, months, weekdays] = &self.dates;
        let day = days.numbers.contains(&i64::from(shown.day()));
        let weekday = shown.weekday().to_sunday_zero_offset();
        let weekday = weekdays.numbers.iter().any(|number| number % 7 == i64::from(weekday));
        let is_day = match (days.text == "*", weekdays.text == "*") {
            (true, _) => weekday,
            (_, true) => day,
            _ if self.both => day && weekday,
            _ => day || weekday,
        };
        is_day
            && months.numbers.contains(&i64::from(shown.month()))
            && self.time.iter().zip(time).all(|(field, time)| field.numbers.contains(&time))
    }
}

fn expression(seconds: bool) -> impl Strategy<Value = Fields> {
    let second =
        if seconds { field(0, 59).boxed() } else { Just(Field { text: "0".into(), numbers: [0].into() }).boxed() };
    (second, field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7), any::<bool>()).prop_map(
        |(second, minute, hour, day, month, weekday, both)| {
            let both = both && weekday.text != "*"; // "+*" is a weekday field that isn't "*"
            Fields { time: [second, minute, hour], dates: [day, month, weekday], both }
        },
    )
}

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

/// A second near a change of the clocks after this one, or itself in a zone without.
fn near_change(zone: &TimeZone, second: i64, near: i64) -> i64 {
    let change = zone.following(Timestamp::from_second(second).unwrap()).next();
    change.map_or(second, |change| change.timestamp().as_second()) + near
}

/// All runs in a span, in seconds: each instant is looked at, a step after the other.
fn runs(fields: &Fields, zone: &TimeZone, from: i64, to: i64, step: i64) -> Vec<i64> {
    let shows = |at: i64| zone.to_datetime(Timestamp::from_second(at).unwrap());
    let (mut found, mut shown) = (Vec::new(), HashSet::new());
    // from a day and more before: longer than any fold
    let start = from - 26 * 3_600;
    let mut last = shows(start - step);
    for at in (start..=to).step_by(step as usize) {
        let now = shows(at);
        let mut due = fields.means(now);
        if !fields.is_interval() {
            due &= shown.insert(now);
            let mut skipped = last.checked_add(jiff::SignedDuration::from_secs(step)).unwrap();
            while skipped < now {
                due |= fields.means(skipped);
                skipped = skipped.checked_add(jiff::SignedDuration::from_secs(step)).unwrap();
            }
        }
        last = now;
        if due && at > from {
            found.push(at);
        }
    }
    found
}

fn agrees(fields: &Fields, name: &str, from: i64, length: i64, step: i64) -> Result<(), TestCaseError> {
    let schedule = match Schedule::parse(&fields.text(), name) {
        Ok(schedule) => schedule,
        Err(refused) => {
            prop_assert!(refused.contains("never runs"), "{}", refused);
            prop_assert_eq!(runs(fields, &zone(name), from, from + length, step), [0_i64; 0]);
            return Ok(());
        }
    };
    let to = from + length;
    let found = std::iter::successors(schedule.next(from * 1000), |run| schedule.next(*run));
    let found: Vec<_> = found.map(|run| run / 1000).take_while(|run| *run <= to).collect();
    prop_assert_eq!(found, runs(fields, &zone(name), from, to, step), "{} in {}", fields.text(), name);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t2_no_minute_is_skipped_or_made_up(
        fields in expression(false), name in prop::sample::select(ZONES.to_vec()),
        minute in 5_000_000..35_000_000_i64, near in -10_000..100_i64,
    ) {
        let from = near_change(&zone(name), minute * 60, near * 60).div_euclid(60) * 60;
        agrees(&fields, name, from, 14 * 86_400, 60)?;
    }

    #[test]
    fn t2_no_second_is_skipped_or_made_up(
        fields in expression(true), name in prop::sample::select(ZONES.to_vec()),
        second in 300_000_000..2_100_000_000_i64, near in -9_000..4_000_i64,
    ) {
        let from = near_change(&zone(name), second, near);
        agrees(&fields, name, from, 10_000, 1)?;
    }

    #[test]
    fn t2_the_next_run_is_later_and_nothing_lies_between(
        fields in expression(true), name in prop::sample::select(ZONES.to_vec()),
        after in -40_000_000_000_000..250_000_000_000_000_i64, between in any::<prop::sample::Index>(),
    ) {
        if let Ok(schedule) = Schedule::parse(&fields.text(), name)
            && let Some(next) = schedule.next(after)
        {
            prop_assert!(next > after && next % 1000 == 0);
            let between = after + between.index((next - after) as usize) as i64;
            prop_assert_eq!(schedule.next(between), Some(next));
        }
    }

    #[test]
    fn t2_any_text_is_read_or_refused(text in "[-*,/0-9LW#?+A-Za-z@ é]{0,40}", zone in "\\PC{0,20}", after in any::<i64>()) {
        if let Ok(schedule) = Schedule::parse(&text, "America/New_York") {
            prop_assert!(schedule.next(after).is_none_or(|next| next > after));
        }
        let _ = Schedule::parse("* * * * *", &zone);
    }
}

/// The worst there is to find, in steps of work that don't hang on what was asked: `cargo test --release t2_cost -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn t2_cost() {
    let best = |what: &dyn Fn()| {
        let run = || {
            let started = Instant::now();
            what();
            started.elapsed()
        };
        run();
        (0..20).map(|_| run()).min().unwrap_or(Duration::MAX)
    };
    let mut worst = (Duration::ZERO, String::new());
    for expression in [
        "* * * * *",
        "* * * * * *",
        "0 0 * * *",
        "30 2 * * *",
        "0 0 29 2 *",
        "0 0 29 2 +SUN",
        "* * 29 2 +SUN",
        "* 2 25-31 3 +SUN",
        "* 2 8-14 3 +SUN",
        "* 2 29 2 +SUN",
        "* 0 29 2 +SUN",
        "* 1 * 2 +SUN#5",
        "59 59 23 31 12 *",
        "0-59 2 * * *",
    ] {
        for zone in ZONES {
            let schedule = schedule(expression, zone);
            for after in
                ["1900-01-01T00:00:00Z", "2026-11-22T00:00:00Z", "2088-03-01T00:00:00Z", "9880-01-01T00:00:00Z"]
            {
                let took = best(&|| {
                    schedule.next(at(after));
                });
                if took > worst.0 {
                    worst = (took, format!("{expression} in {zone} after {after}"));
                }
                if expression == "* * * * *" && zone == "Europe/Berlin" {
                    println!("{expression} in {zone} after {after}: {took:?}");
                }
            }
        }
    }
    // in the second pass of the longest fold there is: a day
    let (dense, after) = (schedule("0-59 0-59 0-23 * * *", "America/Juneau"), at("1867-10-19T16:00:00Z"));
    println!("in a fold of a day: {:?}", best(&|| assert!(dense.next(after).is_some())));
    println!("the worst: {:?}, {}", worst.0, worst.1);
    for expression in [
        "* * * * *",
        "0 0 29 2 +SUN",
        "0 9 1-31/2,LW 1-12 +MON-FRI",
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15 1,2,3,4,5,6,7,8,9,10,11,12,13 1W,2W,3W,4W,5W,6W,7W,8W,9W,10W,11W,12W,13W,14W,15W,16W * MON#1,TUE#2,WED#3,THU#4,FRI#5",
    ] {
        println!(
            "parse {expression}: {:?}",
            best(&|| {
                schedule(expression, "Europe/Berlin");
            })
        );
    }
    for expression in [
        "* * * * * *",
        "* * * * *",
        "0-59 0-23 * * *",
        "* 0 * * *",
        "* 2 8-14 3 +SUN",
        "* 0 29 2 +SUN",
        "0,1 0,1 29 2 +SUN",
    ] {
        for zone in ["Europe/Berlin", "America/New_York", "Africa/Casablanca"] {
            let schedule = schedule(expression, zone);
            let (last, now) = (at("2026-01-01T00:00:00Z"), at("2200-01-01T00:00:00Z"));
            let took = [Missed::Skip, Missed::Once, Missed::All].map(|missed| {
                best(&|| {
                    due(&schedule, missed, last, now, 100);
                })
            });
            let told = best(&|| {
                upcoming(expression, zone, now, UPCOMING_MAX).unwrap();
            });
            println!("{expression} in {zone}: due {took:?}, upcoming {told:?}");
        }
    }
}
