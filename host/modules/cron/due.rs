//! Which runs of a schedule are due, and when the next is: from what is stored of it and the time, and from nothing else.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;

/// With `Missed::All` the newest so many are made up.
pub(crate) const ALL_MAX: usize = 100;

/// With `Missed::Skip` a run that is later than this, in milliseconds, isn't made.
pub(crate) const LATE_MAX: i64 = 60_000;

/// Missed runs are counted up to this many.
pub(crate) const COUNT_MAX: u32 = 1_000;

const SECOND: i64 = 1_000;

/// What becomes of runs that could not be made in time: the host was down, had too much to do, or the run before was not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Missed {
    /// They are not made up. What is due by less than [`LATE_MAX`], and is the newest, isn't missed.
    Skip,
    /// One run is made for all that are due: the newest.
    #[default]
    Once,
    /// Each is made up, in their order, but no more than the newest [`ALL_MAX`].
    All,
}

/// A run to be dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The instant it was scheduled for, in milliseconds since 1970.
    pub(crate) at: i64,
    /// How many before it, and after the last that was made, are not made. At most [`COUNT_MAX`].
    pub(crate) missed: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// In their order.
    pub(crate) runs: Vec<Run>,
    /// All instants up to this one are over: what to store as `last`.
    pub(crate) last: i64,
    /// When to ask again, which may be at once. None if the schedule has no more runs.
    pub(crate) next: Option<i64>,
}

/// What is due at `now` of the instants after `last`: at most `limit` runs, and one if that is 0. Times are in milliseconds
/// since 1970.
///
/// Each instant is in the runs of one answer at most, if the `last` of that is stored with them. A clock that is set back makes no
/// run come twice.
pub(crate) fn due(schedule: &Schedule, missed: Missed, last: i64, now: i64, limit: usize) -> Due {
    let keep = if missed == Missed::All { ALL_MAX } else { 1 };
    let (instants, left_out) = newest(schedule, last, now, keep);
    let mut runs: Vec<_> = instants.into_iter().map(|at| Run { at, missed: 0 }).collect();
    if let Some(first) = runs.first_mut() {
        first.missed = left_out;
    }
    runs.truncate(limit.max(1));
    let last = runs.last().map_or(last, |run| run.at);
    if missed == Missed::Skip {
        runs.retain(|run| now.saturating_sub(run.at) <= LATE_MAX);
    }
    Due { runs, last, next: schedule.next(last) }
}

/// The newest instants after `last` up to `now`, at least one if there is one, and how many there are before them.
fn newest(schedule: &Schedule, last: i64, now: i64, keep: usize) -> (VecDeque<i64>, u32) {
    let (mut instants, mut left_out) = (VecDeque::with_capacity(keep), 0);
    for at in instants_between(schedule, last, now) {
        if instants.len() == keep {
            if left_out == COUNT_MAX {
                let start = newest_start(schedule, last, now, keep);
                return (instants_between(schedule, start, now).collect(), COUNT_MAX);
            }
            left_out += 1;
            instants.pop_front();
        }
        instants.push_back(at);
    }
    (instants, left_out)
}

/// A time after which there are exactly so many instants up to `now`, if there are so many after `last`.
fn newest_start(schedule: &Schedule, last: i64, now: i64, keep: usize) -> i64 {
    let has_enough = |start: i64| instants_between(schedule, start, now).take(keep).count() == keep;
    let (mut enough, mut too_few, mut back) = (last, now, 64 * SECOND);
    while let Some(start) = now.checked_sub(back).filter(|start| *start > last) {
        if has_enough(start) {
            enough = start;
            break;
        }
        (too_few, back) = (start, back.saturating_mul(2));
    }
    // a second has one instant at most
    while too_few.saturating_sub(enough) > SECOND {
        let middle = enough.midpoint(too_few);
        if has_enough(middle) { enough = middle } else { too_few = middle }
    }
    enough
}

fn instants_between(schedule: &Schedule, after: i64, to: i64) -> impl Iterator<Item = i64> {
    std::iter::successors(schedule.next(after), |at| schedule.next(*at)).take_while(move |at| *at <= to)
}
