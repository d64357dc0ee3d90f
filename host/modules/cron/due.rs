//! Which runs of a schedule are due, and when the next is: from what is stored of it and the time, and from nothing else.

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

#[cfg(test)]
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
#[cfg(test)]
pub(crate) fn due(schedule: &Schedule, missed: Missed, last: i64, now: i64, limit: usize) -> Due {
    let mut backlog = Backlog::new(last);
    while !backlog.count(schedule, missed, now, &mut 1) {}
    let mut runs = Vec::new();
    while runs.len() < limit.max(1)
        && let Some(run) = backlog.take(schedule, now)
    {
        runs.extend(is_made(missed, run, now).then_some(run));
    }
    Due { runs, last: backlog.last, next: schedule.next(backlog.last) }
}

/// Whether a run that is due is made, or only passed over.
pub(crate) fn is_made(missed: Missed, run: Run, now: i64) -> bool {
    missed != Missed::Skip || now.saturating_sub(run.at) <= LATE_MAX
}

/// The instants of a schedule that are due: how far they are counted, of which those that will not be made up are over.
///
/// It is stored, so that each instant is looked at once, however many runs are made up one after the other, and counting may stop
/// after any step and go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// All instants up to this one are over.
    pub(crate) last: i64,
    /// Those after `last` up to this time are counted.
    pub(crate) upto: i64,
    /// How many that are: as many as the policy makes up, at most.
    pub(crate) due: u32,
    /// How many are over and were not made, since the last run. At most [`COUNT_MAX`].
    pub(crate) missed: u32,
    /// Too many are missed to go through them one by one: the time after which those are that will be made is looked for.
    pub(crate) search: Option<Search>,
}

/// A time after which there are as many instants up to `to` as are made up, and a time after which there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) enough: i64,
    pub(crate) too_few: i64,
    pub(crate) to: i64,
}

impl Backlog {
    pub(crate) fn new(last: i64) -> Backlog {
        Backlog { last, upto: last, due: 0, missed: 0, search: None }
    }

    /// Goes on counting up to `now`, for about so many looks at the next instant, of which it says how many are left. Whether it is
    /// done.
    pub(crate) fn count(&mut self, schedule: &Schedule, missed: Missed, now: i64, looks: &mut u32) -> bool {
        let keep = if missed == Missed::All { u32::try_from(ALL_MAX).unwrap_or(u32::MAX) } else { 1 };
        while *looks > 0 {
            if let Some(search) = self.search {
                *looks = looks.saturating_sub(self.look(schedule, search, keep));
                continue;
            }
            *looks -= 1;
            let Some(at) = schedule.next(self.upto).filter(|at| *at <= now) else { return true };
            if self.due < keep {
                self.due += 1;
            } else if self.missed == COUNT_MAX && self.is_worth_a_search(now) {
                self.search = Some(Search { enough: self.last, too_few: now, to: now });
                continue;
            } else {
                *looks = looks.saturating_sub(1);
                self.last = schedule.next(self.last).unwrap_or(self.last);
                self.missed = COUNT_MAX.min(self.missed + 1);
            }
            self.upto = at;
        }
        false
    }

    /// Whether there seem to be so many more that a search takes fewer looks.
    fn is_worth_a_search(&self, now: i64) -> bool {
        now.saturating_sub(self.upto) > self.upto.saturating_sub(self.last).saturating_mul(16)
    }

    /// One step of the search; says how many instants it looked at.
    fn look(&mut self, schedule: &Schedule, search: Search, keep: u32) -> u32 {
        let Search { enough, too_few, to } = search;
        // a second has one instant at most
        if too_few.saturating_sub(enough) <= SECOND {
            *self = Backlog { last: enough, upto: to, due: keep, missed: COUNT_MAX, search: None };
            return 1;
        }
        // from the end on, ever further back, until there are enough; then in the middle
        let back = to.saturating_sub(too_few).saturating_mul(2).max(64 * SECOND);
        let middle = to.saturating_sub(back).max(enough.midpoint(too_few));
        let found = instants_between(schedule, middle, to).take(keep as usize).count();
        let search = match found == keep as usize {
            true => Search { enough: middle, ..search },
            false => Search { too_few: middle, ..search },
        };
        self.search = Some(search);
        u32::try_from(found).unwrap_or(keep).saturating_add(1)
    }

    /// The next run, if any that was counted is due: its instant is over then. A clock that was set back may be before it.
    pub(crate) fn take(&mut self, schedule: &Schedule, now: i64) -> Option<Run> {
        let due = self.due.checked_sub(1)?;
        let at = schedule.next(self.last).filter(|at| *at <= now)?;
        (self.due, self.last) = (due, at);
        Some(Run { at, missed: std::mem::take(&mut self.missed) })
    }
}

fn instants_between(schedule: &Schedule, after: i64, to: i64) -> impl Iterator<Item = i64> {
    std::iter::successors(schedule.next(after), |at| schedule.next(*at)).take_while(move |at| *at <= to)
}
