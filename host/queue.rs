//! The run queue: who is next, by virtual time, and who wants to be woken when.
//!
//! Workers take from it, and put back what is not done. A job is in it at most once, and held by at most one worker. Tenants are in
//! order, and of one tenant the jobs as they came: what a take costs doesn't depend on how many jobs a tenant has.

use std::cmp::{Ordering, Reverse};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::atomic::{self, AtomicBool, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::metering::Turn;
use crate::share::Share;

/// How long a worker without work looks for some before it sleeps. Waking a thread takes 40 us on the machine where this was
/// measured; an event there and back takes 47 us with a worker that sleeps at once, and 6 us with one that looks.
const LOOK: Duration = Duration::from_micros(50);

/// How many times that have come are seen to before a job is taken: no crowd of them keeps a worker from the jobs.
const DUE_AT_ONCE: usize = 64;

/// Something that runs in slices.
pub(crate) trait Job: Send + Sync {
    /// Who pays for it. Always the same tenant's.
    fn share(&self) -> &Share;

    /// What it is, for a test that looks at its turns.
    #[cfg(debug_assertions)]
    fn what(&self) -> String;

    /// Runs a slice, until the turn is over or it has nothing to do.
    fn run(self: Arc<Self>, turn: &Turn) -> Ran;

    /// A time has come that it asked for. Puts itself in if it isn't.
    fn due(self: Arc<Self>);

    /// `run` has panicked: `cause` is why, for people. Answers for what was under way, and puts itself back if there is more.
    fn lost(self: Arc<Self>, cause: &str);
}

/// What a job's turn came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) fuel: u64,
    /// There is more to do: the worker puts the job back.
    pub(crate) more: bool,
}

/// A time that a job asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    pub(crate) at: Instant,
    entry: u64,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// How many are ready, to be looked at without the lock.
    ready: AtomicUsize,
    /// A worker looks: one at a time, and nobody need be woken.
    looking: AtomicBool,
}

#[derive(Default)]
struct State {
    /// A job that was put in while none was here, until the next is put in: `first` and `behind` are empty meanwhile. It saves an event there
    /// and back the order.
    only: Option<First>,
    /// The first job of each tenant that has any here, but for `only`, by where the tenant is in virtual time.
    first: BinaryHeap<Reverse<First>>,
    /// The jobs behind it, by tenant and in the order in which they came. Of each tenant in `first`, and of no other.
    behind: FxHashMap<usize, VecDeque<Arc<dyn Job>>>,
    ready: usize,
    timers: BTreeMap<(Instant, u64), Weak<dyn Job>>,
    /// Where those who run now are in virtual time.
    clock: u64,
    /// Numbers places and timers.
    entries: u64,
    sleeping: usize,
    closed: bool,
}

/// The job of a tenant's that is next of it.
struct First {
    /// Where the tenant was in virtual time, and then first come, first served.
    place: (u64, u64),
    job: Arc<dyn Job>,
}

impl PartialEq for First {
    fn eq(&self, other: &First) -> bool {
        self.place == other.place
    }
}

impl Eq for First {}

impl PartialOrd for First {
    fn partial_cmp(&self, other: &First) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for First {
    fn cmp(&self, other: &First) -> Ordering {
        self.place.cmp(&other.place)
    }
}

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue {
            state: Mutex::default(),
            changed: Condvar::new(),
            ready: AtomicUsize::new(0),
            looking: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job in that had rested. The caller sees to it that it isn't in already.
    pub(crate) fn push(&self, job: Arc<dyn Job>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return drop(job); // outside of the lock: it may call back
        }
        state.put(job, true);
        self.ready.store(state.ready, atomic::Ordering::Release);
        let wake = state.sleeping > 0 && !self.looking.load(atomic::Ordering::Acquire);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Calls [`Job::due`] at that time or soon after, unless the job is gone. It takes the place of the time `before`.
    pub(crate) fn wake_at(&self, at: Instant, job: Weak<dyn Job>, before: Option<Timer>) -> Timer {
        let mut state = self.lock();
        if let Some(Timer { at, entry }) = before {
            state.timers.remove(&(at, entry));
        }
        state.entries += 1;
        let entry = state.entries;
        let first = state.timers.first_key_value().is_none_or(|((first, _), _)| at < *first);
        state.timers.insert((at, entry), job);
        let wake = first && state.sleeping > 0;
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        Timer { at, entry }
    }

    /// Nobody waits for that time any more. Of a job that is gone, nothing is left.
    pub(crate) fn forget(&self, timer: Timer) {
        let forgotten = self.lock().timers.remove(&(timer.at, timer.entry));
        drop(forgotten);
    }

    /// No more work: workers end when they ask next, and what waits is dropped, as is what is put in from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let jobs = (state.only.take(), std::mem::take(&mut state.first), std::mem::take(&mut state.behind));
        let dropped = (jobs, std::mem::take(&mut state.timers));
        state.ready = 0;
        self.ready.store(0, atomic::Ordering::Release);
        drop(state);
        drop(dropped); // jobs may call back
        self.changed.notify_all();
    }

    /// The next job; waits for one. None once the queue is closed.
    ///
    /// Before, it puts a job back that ran and has more to do: it keeps its place in virtual time, also when others went past it while it
    /// ran. If it is the next one again, nobody is woken for it.
    pub(crate) fn next(&self, again: Option<Arc<dyn Job>>) -> Option<Arc<dyn Job>> {
        let mut looked = false;
        let mut seen_to = false;
        let mut state = self.lock();
        if let Some(job) = again {
            if state.closed {
                drop(state);
                drop(job); // outside of the lock: it may call back
                return None;
            }
            state.put(job, false);
        }
        loop {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            let due = if seen_to { Vec::new() } else { state.due(now) };
            if !due.is_empty() {
                seen_to = true;
                drop(state);
                due.into_iter().for_each(Job::due);
                state = self.lock();
                continue;
            }
            if let Some(job) = state.take() {
                self.ready.store(state.ready, atomic::Ordering::Release);
                // it may be that nobody was woken for the next one, because this worker was looking
                let wake = state.sleeping > 0 && state.ready > 0 && !self.looking.load(atomic::Ordering::Acquire);
                drop(state);
                if wake {
                    self.changed.notify_one();
                }
                return Some(job);
            }
            if std::mem::take(&mut seen_to) {
                continue; // there may be more
            }
            let sleep = state.timers.first_key_value().map(|((at, _), _)| at.saturating_duration_since(now));
            if !looked && sleep.is_none_or(|sleep| sleep > LOOK) && !self.looking.swap(true, atomic::Ordering::AcqRel) {
                looked = true;
                drop(state);
                self.look(now);
                // under the lock: whoever puts a job in either sees that nobody looks, or is seen
                state = self.lock();
                self.looking.store(false, atomic::Ordering::Release);
                continue;
            }
            looked = false;
            state.sleeping += 1;
            state = match sleep {
                Some(sleep) => self.changed.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.sleeping -= 1;
        }
    }

    /// Waits a moment for work, awake.
    fn look(&self, since: Instant) {
        while since.elapsed() < LOOK {
            for _ in 0..32 {
                if self.ready.load(atomic::Ordering::Acquire) > 0 {
                    return;
                }
                std::hint::spin_loop();
            }
        }
    }
}

impl State {
    /// The first jobs whose time has come.
    fn due(&mut self, now: Instant) -> Vec<Arc<dyn Job>> {
        let mut due = Vec::new();
        while due.len() < DUE_AT_ONCE
            && let Some(first) = self.timers.first_entry()
            && first.key().0 <= now
        {
            due.extend(first.remove().upgrade());
        }
        due
    }

    fn put(&mut self, job: Arc<dyn Job>, rested: bool) {
        let (share, clock) = (job.share(), self.clock);
        let at = if rested { share.join(clock) } else { share.at() };
        self.ready += 1;
        self.entries += 1;
        let first = First { place: (at, self.entries), job };
        if self.ready == 1 {
            self.only = Some(first);
            return;
        }
        if let Some(only) = self.only.take() {
            self.put_in_order(only);
        }
        self.put_in_order(first);
    }

    fn put_in_order(&mut self, first: First) {
        match self.behind.entry(first.job.share().id()) {
            Entry::Occupied(line) => line.into_mut().push_back(first.job),
            Entry::Vacant(line) => {
                line.insert(VecDeque::new());
                self.first.push(Reverse(first));
            }
        }
    }

    /// The next job of the tenant that is furthest behind. A tenant that has taken time elsewhere meanwhile goes back to where it
    /// is now: more instances are no larger share. Each tenant stands here once, however many jobs it has.
    fn take(&mut self) -> Option<Arc<dyn Job>> {
        if let Some(First { place: (put, _), job }) = self.only.take() {
            self.clock = self.clock.max(put);
            self.ready -= 1;
            return Some(job);
        }
        while let Some(Reverse(First { place: (put, entry), job })) = self.first.pop() {
            let at = job.share().at();
            if at > put && !self.first.is_empty() {
                self.first.push(Reverse(First { place: (at, entry), job }));
                continue;
            }
            self.clock = self.clock.max(put);
            if let Entry::Occupied(mut line) = self.behind.entry(job.share().id()) {
                match line.get_mut().pop_front() {
                    Some(job) => {
                        self.entries += 1;
                        self.first.push(Reverse(First { place: (at, self.entries), job }));
                    }
                    None => drop(line.remove()),
                }
            }
            self.ready -= 1;
            return Some(job);
        }
        None
    }
}
