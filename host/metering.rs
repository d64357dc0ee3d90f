//! What a worker's time is worth: invariant M8, the time of a thread that tenants share is charged to the tenant that took it.
//!
//! A worker has a [`Watch`], which measures each [`Turn`] that it gives to a job: from when it takes the job until it is rid of it, so
//! that starts, drops, conversions, imports and messages are in. Callers: `worker` (measures), `share` (is charged), `vm` (ends
//! a slice that has taken its time).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long a job has a worker at a time. One that computes gives way after [`SLICE_FUEL`](crate::Limits::SLICE_FUEL) too, which
/// a plain script burns in 50 to 120 us.
pub(crate) const SLICE_TIME: Duration = Duration::from_micros(100);

/// A turn that is shorter than this is never looked at twice. Reading a thread's processor time takes 0.7 us, the clock 0.03.
const LONG: Duration = Duration::from_micros(50);

/// How old what is known of a thread's processor time may be.
const ANCHOR_FOR: Duration = Duration::from_millis(1);

/// How a tenant's share of the workers is measured.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Metering {
    /// By the processor time that its work takes, whoever spends it: the script, a host function, Motu, the kernel.
    #[default]
    Time,
    /// By fuel alone, as if 12,000 units always took a microsecond: for tests whose figures must not depend on the machine.
    Fuel,
    /// By fuel, and by a clock that stands still until it is told to go on: for tests of host functions that take long. With one
    /// worker alone: it tells nobody's time from another's.
    Mock(MockMeter),
}

/// The time of a worker, moved on by hand. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct MockMeter(Arc<AtomicU64>);

impl MockMeter {
    /// Stands at zero.
    pub fn new() -> MockMeter {
        MockMeter::default()
    }

    /// The work under way has taken this much more time.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(nanos(by), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a plain script burns on this machine, in units of fuel for a microsecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace(pub(crate) u64);

impl Pace {
    /// Where nothing was measured.
    pub(crate) const USUAL: Pace = Pace(12_000);

    /// Time under the limit `fuel_per_second`, as fuel: it counts beyond three times what a plain script takes.
    pub(crate) fn in_rate(self, nanos: u64) -> u64 {
        self.fuel(nanos) / 3
    }

    /// What a plain script takes for this fuel, in nanoseconds.
    fn nanos(self, fuel: u64) -> u64 {
        fuel.saturating_mul(1000) / self.0.max(1)
    }

    fn fuel(self, nanos: u64) -> u64 {
        u64::try_from(u128::from(nanos) * u128::from(self.0) / 1000).unwrap_or(u64::MAX)
    }

    /// Whether this time is more than twice what a plain script takes for the fuel.
    fn is_slow(self, nanos: u64, fuel: u64) -> bool {
        self.fuel(nanos) / 2 > fuel
    }
}

/// The time that this thread has had of a processor, in nanoseconds.
pub(crate) fn processor_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec))
}

/// One job's turn on a worker.
#[derive(Clone)]
pub(crate) struct Turn {
    /// None: by fuel alone, it is never over.
    over: Option<Over>,
}

#[derive(Clone)]
enum Over {
    At(Instant),
    Mock(MockMeter, u64),
}

impl Default for Turn {
    /// One that ends by its fuel alone.
    fn default() -> Turn {
        Turn { over: None }
    }
}

impl Turn {
    /// Whether it has taken its time.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over_at(Instant::now())
    }

    /// Whether it had taken its time at `now`. A mock meter's time is its own.
    pub(crate) fn is_over_at(&self, now: Instant) -> bool {
        match &self.over {
            None => false,
            Some(Over::At(at)) => now >= *at,
            Some(Over::Mock(meter, at)) => meter.now() >= *at,
        }
    }
}

/// A worker's.
pub(crate) struct Watch {
    metering: Metering,
    pace: Pace,
    began: Instant,
    /// The mock's time when the turn began.
    mock_began: u64,
    /// When this thread's processor time was looked at last, and what it was.
    anchored: Instant,
    anchor_nanos: u64,
    /// What was charged since, without looking at it.
    charged: u64,
}

impl Watch {
    pub(crate) fn new(metering: Metering, pace: Pace) -> Watch {
        let now = Instant::now();
        let anchor_nanos = processor_nanos();
        Watch { metering, pace, began: now, mock_began: 0, anchored: now, anchor_nanos, charged: 0 }
    }

    /// A turn begins.
    pub(crate) fn begin(&mut self) -> Turn {
        let over = match &self.metering {
            Metering::Fuel => None,
            Metering::Mock(meter) => {
                self.mock_began = meter.now();
                Some(Over::Mock(meter.clone(), self.mock_began.saturating_add(nanos(SLICE_TIME))))
            }
            Metering::Time => {
                self.began = Instant::now();
                if self.began.saturating_duration_since(self.anchored) > ANCHOR_FOR {
                    self.anchor(self.began, processor_nanos());
                }
                Some(Over::At(self.began + SLICE_TIME))
            }
        };
        Turn { over }
    }

    fn anchor(&mut self, now: Instant, processor_nanos: u64) {
        (self.anchored, self.anchor_nanos) = (now, processor_nanos);
        self.charged = 0;
    }

    /// The turn is over, and has burnt this fuel: what it took, in nanoseconds. A thread that the kernel took the processor from
    /// looks slow: then the thread's own time decides.
    pub(crate) fn end(&mut self, fuel: u64) -> u64 {
        match &self.metering {
            Metering::Fuel => Pace::USUAL.nanos(fuel),
            Metering::Mock(meter) => {
                meter.now().saturating_sub(self.mock_began).saturating_add(Pace::USUAL.nanos(fuel))
            }
            Metering::Time => {
                let took = nanos(self.began.elapsed());
                if took < nanos(LONG) || !self.pace.is_slow(took, fuel) {
                    self.charged = self.charged.saturating_add(took);
                    return took;
                }
                let processor = processor_nanos();
                let most = processor.saturating_sub(self.anchor_nanos).saturating_sub(self.charged);
                self.anchor(Instant::now(), processor);
                took.min(most)
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_of_a_mock_is_over_by_its_time() {
        let meter = MockMeter::new();
        let mut watch = Watch::new(Metering::Mock(meter.clone()), Pace::USUAL);
        meter.advance(Duration::from_secs(1));
        let turn = watch.begin();
        assert!(!turn.is_over());
        meter.advance(SLICE_TIME - Duration::from_nanos(1));
        assert!(!turn.is_over());
        meter.advance(Duration::from_nanos(1));
        assert!(turn.is_over());
        assert_eq!(watch.end(0), 100_000);
    }

    #[test]
    fn time_that_the_thread_did_not_have_is_not_charged() {
        let mut watch = Watch::new(Metering::Time, Pace::USUAL);
        let turn = watch.begin();
        std::thread::sleep(Duration::from_millis(50));
        assert!(turn.is_over());
        let took = watch.end(0);
        assert!(took < 25_000_000, "{took} ns for a sleep of 50 ms");
    }

    #[test]
    fn time_that_the_thread_had_is_charged() {
        let mut watch = Watch::new(Metering::Time, Pace::USUAL);
        let _ = watch.begin();
        let before = processor_nanos();
        while processor_nanos() < before + 5_000_000 {
            std::hint::spin_loop();
        }
        assert!(watch.end(0) >= 5_000_000);
    }

    #[test]
    fn fuel_alone_takes_the_same_time_everywhere() {
        for metering in [Metering::Fuel, Metering::Mock(MockMeter::new())] {
            let mut watch = Watch::new(metering, Pace(3_000));
            let turn = watch.begin();
            std::thread::sleep(SLICE_TIME);
            assert!(!turn.is_over());
            assert_eq!(watch.end(36_000), 3_000);
        }
    }

    #[test]
    fn time_counts_in_a_rate_beyond_three_times_what_a_plain_script_takes() {
        let pace = Pace(10_000);
        assert_eq!(pace.in_rate(3_000), pace.fuel(1_000));
        assert_eq!(pace.in_rate(u64::MAX), u64::MAX / 3, "it doesn't run over");
    }
}
