//! Where Motu has the time from that scripts see: the system, or a test that moves it on by hand.
//!
//! What bounds scripts (deadlines, fuel a second, how long a request may take) goes by the system's time always.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often who waits for a time looks at a clock that a test moves.
const LOOK_EVERY: Duration = Duration::from_millis(1);

#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System { born: Instant },
    Mock(MockClock),
}

/// A clock that stands still until it is told to go on, for tests of scripts and of what embeds them:
/// [`MotuBuilder::clock`](crate::MotuBuilder::clock). Clones are the same clock.
///
/// It is the time of `os.time`, `os.clock`, `task.wait` and `motu:time`; what expires in `motu:kv` and `motu:blob`, schedules of
/// `motu:cron` and rates of calls go by it. Deadlines, `fuel_per_second`, `idle_after`, `quarantine` and the times of `motu:http` go by
/// the system's.
#[derive(Clone, Debug)]
pub struct MockClock(Arc<Mocked>);

#[derive(Debug)]
struct Mocked {
    /// Where it stood at first.
    start: Duration,
    born: Instant,
    /// In nanoseconds.
    passed: AtomicU64,
}

impl MockClock {
    /// Stands at this time; at 1970 if it is before that.
    pub fn new(now: SystemTime) -> MockClock {
        let start = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        MockClock(Arc::new(Mocked { start, born: Instant::now(), passed: AtomicU64::new(0) }))
    }

    /// Goes on by so much, all at once. What has come due meanwhile is noticed within moments, each in the order of its time.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let _ = self.0.passed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |passed| {
            // 290 years: beyond them it stands still
            Some(passed.saturating_add(nanos).min(u64::MAX / 2))
        });
    }

    /// Where it stands.
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.0.start.saturating_add(self.passed())
    }

    fn passed(&self) -> Duration {
        Duration::from_nanos(self.0.passed.load(Ordering::Acquire))
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::System { born: Instant::now() }
    }
}

impl Clock {
    /// What sleeps are measured by.
    pub(crate) fn now(&self) -> Instant {
        self.at(Instant::now())
    }

    /// What sleeps are measured by when it is `now` by the system's clock. A mock clock stands where it stands.
    pub(crate) fn at(&self, now: Instant) -> Instant {
        match self {
            Clock::System { .. } => now,
            Clock::Mock(clock) => clock.0.born + clock.passed(),
        }
    }

    /// Since a fixed point.
    pub(crate) fn monotonic(&self) -> Duration {
        match self {
            Clock::System { born } => born.elapsed(),
            Clock::Mock(clock) => clock.passed(),
        }
    }

    pub(crate) fn wall(&self) -> SystemTime {
        match self {
            Clock::System { .. } => SystemTime::now(),
            Clock::Mock(clock) => clock.now(),
        }
    }

    pub(crate) fn since_1970(&self) -> Duration {
        self.wall().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// When to look, by the system's time, whether this time of [`now`](Self::now) has come.
    pub(crate) fn look_at(&self, due: Instant) -> Instant {
        match self {
            Clock::System { .. } => due,
            Clock::Mock(_) => Instant::now() + LOOK_EVERY,
        }
    }

    /// How long to wait, at most so long, for something that is due in so much time of this clock.
    pub(crate) fn wait(&self, due_in: Duration, most: Duration) -> Duration {
        match self {
            Clock::System { .. } => due_in.min(most),
            Clock::Mock(_) if due_in.is_zero() => due_in,
            Clock::Mock(_) => LOOK_EVERY,
        }
    }
}

impl governor::clock::Clock for Clock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Clock::now(self)
    }
}
