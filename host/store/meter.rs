//! Whose time the writer's is (M8): what each change takes of the one thread that writes, by owner.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Owner;
use crate::metering::processor_nanos;

/// What the writer's time is measured with. A test has one of its own.
pub(crate) trait Meter: Send + Sync {
    /// The time, from whenever on. It never goes back.
    fn now(&self) -> Duration;

    /// The processor time that the calling thread has had.
    fn processor(&self) -> Duration;
}

/// The system's clocks.
pub(crate) struct System(Instant);

impl Default for System {
    fn default() -> System {
        System(Instant::now())
    }
}

impl Meter for System {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn processor(&self) -> Duration {
        Duration::from_nanos(processor_nanos())
    }
}

/// Is told what processor time of the host's threads was an owner's: of the writer for its changes, once they are done, and of the
/// runtime for what is read for it.
#[derive(Clone)]
pub(crate) struct Charge(Arc<Charging>);

type Charging = dyn Fn(&Owner, Duration) + Send + Sync;

impl Charge {
    pub(crate) fn new(charge: impl Fn(&Owner, Duration) + Send + Sync + 'static) -> Charge {
        Charge(Arc::new(charge))
    }

    pub(crate) fn took(&self, owner: &Owner, time: Duration) {
        (self.0)(owner, time);
    }

    /// Charges nobody.
    pub(crate) fn none() -> Charge {
        Charge::new(|_, _| ())
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Charge")
    }
}

/// What a commit of changes that took no time counts for at most. It takes 0.3 to 0.8 ms, and as long as the disk does: as long for
/// everybody's.
const COMMIT_TIME: Duration = Duration::from_millis(2);

/// What a group of changes takes of the writer, by owner. `None` is the host itself.
pub(super) struct Laps {
    meter: Arc<dyn Meter>,
    started: Duration,
    processor: Duration,
    /// All time until here is somebody's, or was said to be everybody's.
    since: Duration,
    took: Times,
    /// The most that the laps to come count for.
    left: Duration,
    /// What laps took beyond that.
    over: Duration,
    /// Laps that weren't asked for yet.
    fresh: Vec<(Option<Owner>, Duration)>,
}

impl Laps {
    pub(super) fn start(meter: &Arc<dyn Meter>) -> Laps {
        let (now, processor) = (meter.now(), meter.processor());
        let (took, fresh) = (HashMap::new(), Vec::new());
        Laps {
            meter: meter.clone(),
            started: now,
            processor,
            since: now,
            took,
            left: Duration::MAX,
            over: Duration::ZERO,
            fresh,
        }
    }

    /// The laps from here on count for so much at most, together. What is over is nobody's: the machine stood still, or gave the process
    /// memory, which a thread's processor time has in it where the machine is a virtual one: 52 ms of it were seen in a change of one job.
    /// Whoever is charged for that waits until all others have had as much; a tenant's sets once waited 1.6 s.
    pub(super) fn at_most(&mut self, left: Duration) {
        self.left = left;
    }

    /// Time since the group was started.
    pub(super) fn elapsed(&self) -> Duration {
        self.meter.now().saturating_sub(self.started)
    }

    /// The time since the last lap was this one's.
    pub(super) fn lap(&mut self, owner: Option<&Owner>) {
        let now = self.meter.now();
        let all = now.saturating_sub(std::mem::replace(&mut self.since, now));
        let took = all.min(self.left);
        self.left = self.left.saturating_sub(took);
        self.over = self.over.saturating_add(all.saturating_sub(took));
        *self.took.entry(owner.cloned()).or_default() += took;
        match self.fresh.last_mut() {
            Some((of, before)) if of.as_ref() == owner => *before += took,
            _ => self.fresh.push((owner.cloned(), took)),
        }
    }

    /// The time since the last lap was everybody's, as a commit's is.
    pub(super) fn share(&mut self) {
        self.since = self.meter.now();
    }

    /// The laps since this was called last.
    pub(super) fn fresh(&mut self) -> impl Iterator<Item = (Option<Owner>, Duration)> + '_ {
        self.fresh.drain(..)
    }

    /// The parts that owners have of the time that was everybody's, and of the processor time, by what their changes took. A commit also frees
    /// pages that the one before it left (a small change after a list of 100 takes 750 us, after another small one 330), so of its processor
    /// time those have a part, too, whose changes that one had; what it waits for the disk is of this one's. An owner with changes in both is
    /// listed twice, and its parts add up. All of it counts for as much as the changes took and `COMMIT_TIME` at most.
    pub(super) fn finish(&self, before: &Times) -> Vec<(Option<Owner>, Taken)> {
        let (now, processor) = (self.meter.now(), self.meter.processor());
        let all = now.saturating_sub(self.started).saturating_sub(self.over);
        let processor = processor.saturating_sub(self.processor).min(all);
        let sum = |took: &Times| took.values().sum::<Duration>();
        let (own, both) = (sum(&self.took), sum(&self.took).saturating_add(sum(before)));
        let most = both.saturating_add(COMMIT_TIME);
        let (everybodys, processor) = (all.saturating_sub(own).min(most), processor.min(own.saturating_add(most)));
        // changes hardly wait, so their time is processor time
        let counted = processor.saturating_sub(own).min(everybodys);
        let waited = everybodys.saturating_sub(counted);
        let rest = processor.saturating_sub(counted);
        let of_both = |took| part(counted, took, both);
        let of_own = |took| Taken {
            shared: of_both(took).saturating_add(part(waited, took, own)),
            processor: of_both(took).saturating_add(part(rest, took, own)),
        };
        let of_before = |took| Taken { shared: of_both(took), processor: of_both(took) };
        let before = before.iter().map(|(owner, took)| (owner.clone(), of_before(*took)));
        self.took.iter().map(|(owner, took)| (owner.clone(), of_own(*took))).chain(before).collect()
    }

    /// What the changes of the group took.
    pub(super) fn into_times(self) -> Times {
        self.took
    }
}

/// How long changes took, by owner.
pub(super) type Times = HashMap<Option<Owner>, Duration>;

/// `of × some / all`, or zero if `all` is.
fn part(of: Duration, some: Duration, all: Duration) -> Duration {
    let nanos = of.as_nanos().saturating_mul(some.as_nanos()).checked_div(all.as_nanos()).unwrap_or_default();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What somebody took of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its part of what was everybody's.
    pub(super) shared: Duration,
    pub(super) processor: Duration,
}
