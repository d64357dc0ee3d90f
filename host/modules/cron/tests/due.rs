//! Which runs are due after any downtime: each instant at most once, with `All` exactly once.

use proptest::prelude::*;

use super::super::due::{ALL_MAX, COUNT_MAX, Due, LATE_MAX, Missed, Run, due};
use super::*;

const MINUTE: i64 = 60_000;

fn run(at: &str, missed: u32) -> Run {
    Run { at: super::at(at), missed }
}

#[test]
fn t2_nothing_is_due_before_its_time() {
    let every = schedule("*/5 * * * *", "UTC");
    let last = at("2026-01-01T00:00:00Z");
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        let idle = Due { runs: vec![], last, next: Some(last + 5 * MINUTE) };
        assert_eq!(due(&every, missed, last, last + 5 * MINUTE - 1, 10), idle);
        // nor when the clock is set back
        assert_eq!(due(&every, missed, last, last - 1_000 * MINUTE, 10), idle);
        let next = due(&every, missed, last, last + 5 * MINUTE, 10);
        assert_eq!(next.runs, [run("2026-01-01T00:05:00Z", 0)]);
        assert_eq!((next.last, next.next), (last + 5 * MINUTE, Some(last + 10 * MINUTE)));
    }
}

#[test]
fn t2_what_was_missed_goes_by_the_policy() {
    let every = schedule("0 * * * *", "UTC");
    let (last, now) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:00:30Z"));
    let over = |missed, now, limit| due(&every, missed, last, now, limit);
    let next = Some(at("2026-01-01T06:00:00Z"));
    let five = at("2026-01-01T05:00:00Z");
    let newest = vec![run("2026-01-01T05:00:00Z", 4)];
    assert_eq!(over(Missed::Once, now, 10), Due { runs: newest.clone(), last: five, next });
    // half a minute late isn't missed; more than a minute is
    assert_eq!(over(Missed::Skip, now, 10), Due { runs: newest.clone(), last: five, next });
    assert_eq!(over(Missed::Skip, five + LATE_MAX, 10).runs, newest);
    assert_eq!(over(Missed::Skip, five + LATE_MAX + 1, 10), Due { runs: vec![], last: five, next });
    let all: Vec<_> = (1..=5).map(|hour| run(&format!("2026-01-01T0{hour}:00:00Z"), 0)).collect();
    assert_eq!(over(Missed::All, now, 10), Due { runs: all.clone(), last: five, next });
    // in parts
    let first = over(Missed::All, now, 2);
    assert_eq!(first, Due { runs: all[..2].to_vec(), last: all[1].at, next: Some(all[2].at) });
    assert_eq!(due(&every, Missed::All, first.last, now, 10).runs, all[2..]);
    assert_eq!(over(Missed::All, now, 0).runs, all[..1]);
}

#[test]
fn t2_too_many_to_make_up_are_counted_and_left_out() {
    let every = schedule("* * * * *", "UTC");
    let last = at("2026-01-01T00:00:00Z");
    for (behind, counted) in [(100, 0), (101, 1), (1_100, 1_000), (1_101, 1_000), (5_000_000, 1_000)] {
        let now = last + behind * MINUTE;
        let all = due(&every, Missed::All, last, now, usize::MAX);
        let expected: Vec<_> = (behind - 99..=behind).map(|minute| last + minute * MINUTE).collect();
        assert_eq!(all.runs.iter().map(|run| run.at).collect::<Vec<_>>(), expected);
        assert_eq!((all.runs[0].missed, all.runs[1].missed, all.runs.len()), (counted, 0, ALL_MAX));
        assert_eq!((all.last, all.next), (now, Some(now + MINUTE)));
        let once = due(&every, Missed::Once, last, now, usize::MAX);
        assert_eq!(once.runs, [Run { at: now, missed: (behind as u32 - 1).min(COUNT_MAX) }]);
    }
    // what ends has no next
    let yearly = schedule("0 0 1 1 *", "UTC");
    let end = due(&yearly, Missed::Once, at("9990-01-01T00:00:00Z"), at("9999-12-30T00:00:00Z"), 1);
    assert_eq!((end.runs.len(), end.next), (1, None));
}

fn expression() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "* * * * *",
        "*/10 * * * * *",
        "*/7 * * * *",
        "30 2 * * *",
        "0 * * * *",
        "15,45 1-3 * * *",
        "0 0 L * *",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A host that is asked at random times, in random parts, and down for hours between.
    #[test]
    fn t2_each_instant_is_dispatched_once_after_any_downtime(
        expression in expression(),
        missed in prop::sample::select(vec![Missed::Skip, Missed::Once, Missed::All]),
        start in 1_774_600_000_000..1_774_800_000_000_i64,
        steps in prop::collection::vec((prop_oneof![0..2_000_i64, 0..90_000_i64, 0..20_000_000_i64], 1..130_usize), 1..40),
    ) {
        let schedule = schedule(expression, "Europe/Berlin");
        let (mut now, mut last, mut next) = (start, start, schedule.next(start));
        let (mut seen, mut left_out) = (Vec::new(), 0_u64);
        for (wait, limit) in steps {
            now += wait;
            let newest = std::iter::successors(schedule.next(last), |at| schedule.next(*at)).take_while(|at| *at <= now).last();
            if next.is_none_or(|at| at > now) {
                prop_assert_eq!(newest, None, "what is due is never later than it said");
            }
            let all: Vec<_> = std::iter::successors(schedule.next(last), |at| schedule.next(*at)).take_while(|at| *at <= now).collect();
            let answer = due(&schedule, missed, last, now, limit);
            prop_assert!(answer.runs.len() <= limit && answer.runs.iter().all(|run| run.at <= now && run.at > last));
            match missed {
                Missed::All => {
                    let due = &all[all.len().saturating_sub(ALL_MAX)..];
                    let ats: Vec<_> = answer.runs.iter().map(|run| run.at).collect();
                    prop_assert_eq!(&ats, &due[..due.len().min(limit)]);
                }
                Missed::Once => prop_assert_eq!(answer.runs.iter().map(|run| run.at).collect::<Vec<_>>(), newest.into_iter().collect::<Vec<_>>()),
                Missed::Skip => {
                    let on_time = newest.filter(|at| now - at <= LATE_MAX);
                    prop_assert_eq!(answer.runs.iter().map(|run| run.at).collect::<Vec<_>>(), on_time.into_iter().collect::<Vec<_>>());
                }
            }
            let over = all.iter().filter(|at| **at <= answer.last).count() as u64;
            let missed_now: u64 = answer.runs.iter().map(|run| u64::from(run.missed)).sum();
            if missed_now < u64::from(COUNT_MAX) && !(missed == Missed::Skip && answer.runs.is_empty()) {
                prop_assert_eq!(missed_now + answer.runs.len() as u64, over, "each is a run or counted");
            }
            left_out += missed_now;
            seen.extend(answer.runs.iter().map(|run| run.at));
            last = answer.last;
            next = answer.next;
            prop_assert_eq!(next, schedule.next(last));
        }
        prop_assert!(seen.is_sorted_by(|a, b| a < b));
        if missed == Missed::All && left_out == 0 {
            let all: Vec<_> = std::iter::successors(schedule.next(start), |at| schedule.next(*at)).take_while(|at| *at <= last).collect();
            prop_assert_eq!(seen, all);
        }
    }
}
