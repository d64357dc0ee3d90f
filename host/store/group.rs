//! What is asked of the store's thread, whose turn it is, and how much of it makes one commit.
//!
//! Each owner has a virtual time, which goes on with what its changes take of the thread (`meter`). Whoever will have taken least is next, so
//! heavy changes come the less often, and nobody waits for all that another asked before. One that rested gets no credit for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::blobs::{self, Then};
use super::error::StoreError;
use super::events::Claimed;
use super::local::{Room, Shared};
use super::{Applied, Event, Expected, Op, Owner, Quota, Scope};

/// At most so many jobs are committed together.
const GROUP_JOBS: usize = 256;

/// And not more than what takes about so long: whoever comes meanwhile waits for the commit after this one. On a disk, 16 tenants that set
/// lists of 100 came to 241,000 sets a second, and with 2 ms to 234,000. Beside tenants that set short lists and tenants that set long ones, a
/// `kv.set` took 6 to 10 ms at p99, and 9 to 12 with 2 ms.
const GROUP_TIME: Duration = Duration::from_millis(1);

/// Or so long, where nobody is there who waits with a short change: a commit costs each of many long ones the less. The 16 tenants came to 405,000
/// sets a second in groups of a millisecond, and to 423,000 in these (440,000 before groups were bounded by time; medians of eight full runs in turns).
/// With 4 ms it was no more, and whoever sets seldom beside them waits the longer: 2.6 ms at p50 where it had been 1.9. It
/// bounds such a group also with one long change more.
const GROUP_TIME_LONG: Duration = Duration::from_micros(2_500);

/// The longest that a group is expected to take with one long change more, where short changes come, without its commit, which takes two thirds as long again. A longer change
/// begins the next group: small changes that share its commit wait for the list before them, and for this one. Those that come while it is done do.
const GROUP_TIME_MAX: Duration = Duration::from_micros(1_500);

/// Nobody is there with short changes if so many groups had none. What claims, and what deletes an owner's, counts as long.
const LONG_GROUPS: u32 = 8;

/// The bytes of a group are not many more than these, read and written, of all owners and of each, but for a job that is larger alone.
const GROUP_BYTES: usize = 512 << 10;
const OWNER_BYTES: usize = 128 << 10;

/// What an operation counts for beside its value, in each table that it writes: the pages that it reads and writes there. They are the
/// more the longer its key is, twice as many bytes.
const OP_BYTES: usize = 256;
const KEY_TIMES: usize = 2;

/// A schedule that is set is read and looked ahead in, 70 us: as long as so many bytes are written.
const SCHEDULE_BYTES: usize = 16 << 10;

/// Nanoseconds that writing an entry takes, about, to guess how long a change will take: 3 us if keys come in order, and 10 if they are spread over
/// a tree of 40,000.
const ENTRY_NANOS: usize = 4_000;

/// Nanoseconds that each row of an entry in another table takes, about, where those are spread.
const ROW_NANOS: usize = 12_000;

/// Nanoseconds that reading or writing a byte takes, about.
const BYTE_NANOS: usize = 2;

/// A change is long if it is expected to take at least this.
const LONG: Duration = Duration::from_micros(200);

/// The shortest guess from which an owner's speed is learnt. Shorter changes vary too much.
const LEARNT: Duration = Duration::from_micros(50);

/// The most that an owner's changes are expected to take, in hundredths of the guess.
const SLOWEST: u32 = 800;

/// A task, with who waits for it.
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) size: Size,
    pub(super) answer: oneshot::Sender<Result<Done, StoreError>>,
    /// What to do once it is done, whoever still waits for that.
    pub(super) then: Option<Then>,
    /// Its room in the queue, of its owner's and of all, kept until it is answered.
    pub(super) _room: Room,
}

impl Job {
    pub(super) fn new(
        task: Task,
        answer: oneshot::Sender<Result<Done, StoreError>>,
        then: Option<Then>,
        room: Room,
    ) -> Job {
        Job { size: Size::of(&task), task, answer, then, _room: room }
    }
}

pub(super) enum Task {
    Apply {
        owner: Owner,
        quota: Quota,
        ops: Vec<Op>,
    },
    Claim {
        limit: usize,
    },
    /// One step of it: the entries, then the events from this one on.
    DeleteOwner {
        owner: Owner,
        from: (u64, u64),
    },
    /// What has to do with blobs.
    Blobs(blobs::Task),
    /// A reader found the database out of order.
    Reopen,
}

impl Task {
    /// Who asks, if it isn't the host itself.
    pub(super) fn owner(&self) -> Option<&Owner> {
        match self {
            Task::Apply { owner, .. } | Task::DeleteOwner { owner, .. } => Some(owner),
            Task::Blobs(task) => task.owner(),
            Task::Claim { .. } | Task::Reopen => None,
        }
    }
}

/// What a task came to, in the transaction: true once that is committed.
pub(super) enum Draft {
    Applied(Result<Applied, StoreError>),
    Claimed {
        /// How many to hand out of those that were given back.
        returned: usize,
        events: Vec<Event>,
        step: ClaimStep,
    },
    Deleted(Option<(u64, u64)>),
    Blobs(blobs::Draft),
    Nothing,
}

impl Draft {
    pub(super) fn done(self, shared: &Arc<Shared>) -> Result<Done, StoreError> {
        Ok(match self {
            Draft::Applied(applied) => Done::Applied(applied?),
            Draft::Claimed { returned, events, step } => {
                let mut waiting = shared.returned();
                let returned = returned.min(waiting.len());
                let events = waiting.drain(..returned).chain(events).collect();
                drop(waiting);
                Done::Claimed(Claimed::new(events, shared.clone()), step)
            }
            Draft::Deleted(next) => Done::Deleted(next),
            Draft::Blobs(done) => Done::Blobs(done?),
            Draft::Nothing => Done::Nothing,
        })
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        match self {
            Draft::Claimed { events, .. } => events,
            _ => Vec::new(),
        }
    }
}

/// How far a step of claiming came.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClaimStep {
    /// How many of the limit are used up.
    pub(super) rounds: usize,
    /// There is more to claim, or to free, by another step.
    pub(super) has_more: bool,
    pub(super) is_freeing: bool,
}

impl Done {
    /// Whether something was changed as it was asked for.
    pub(super) fn is_change(&self) -> bool {
        matches!(self, Done::Applied(_) | Done::Blobs(blobs::Done::Changed(blobs::Changed::Done(_))))
    }
}

/// What a task came to, for who asked.
pub(super) enum Done {
    Applied(Applied),
    Claimed(Claimed, ClaimStep),
    /// From which event to go on, if there is more to delete.
    Deleted(Option<(u64, u64)>),
    Blobs(blobs::Done),
    Nothing,
}

/// The jobs that wait. Each owner's are done in their order.
pub(super) struct Queue {
    coming: mpsc::UnboundedReceiver<Job>,
    lines: HashMap<Option<Owner>, Line>,
    order: Order,
    /// Where whoever had the last turn was in virtual time when it began.
    clock: Duration,
    /// How many groups were begun since the last short change was taken.
    long_groups: u32,
}

/// The owners with a job that waits.
#[derive(Default)]
struct Order {
    /// By where they will be in virtual time once it is done, and then first come, first served. So of owners
    /// that are equal the one is next whose job takes least: a set doesn't wait for the lists of all that came just before it. A list waits
    /// until each who asks meanwhile has had as much. How long a job takes goes by what is asked, not by what the owner's last ones took:
    /// lists that were refused would let heavy ones go before.
    ends: BTreeMap<(Duration, u64), Option<Owner>>,
    /// By where they are now.
    starts: BTreeSet<(Duration, u64)>,
    /// Numbers the entries.
    entries: u64,
}

impl Order {
    /// An owner waits with its first job, if it has one and doesn't wait already.
    fn enter(&mut self, owner: &Option<Owner>, line: &mut Line) {
        if line.entry.is_none()
            && let Some(job) = line.waiting.front()
        {
            self.entries += 1;
            let end = (line.at.saturating_add(line.expected(job)), self.entries);
            let start = (line.at, self.entries);
            line.entry = Some((end, start));
            self.ends.insert(end, owner.clone());
            self.starts.insert(start);
        }
    }

    /// The owner that waits no more, if it did.
    fn leave(&mut self, line: &mut Line) -> Option<Option<Owner>> {
        let (end, start) = line.entry.take()?;
        self.starts.remove(&start);
        self.ends.remove(&end)
    }
}

/// What one owner has here; the host itself has one too.
#[derive(Default)]
struct Line {
    at: Duration,
    /// Its end and its start in the order, if it waits.
    entry: Option<((Duration, u64), (Duration, u64))>,
    /// Its changes that wait, in their order.
    waiting: VecDeque<Job>,
    /// How long its changes took of late, in hundredths of what was guessed. Those of which less than `LEARNT` was guessed don't count.
    slow: u32,
}

impl Line {
    /// How long a job is expected to take: never less than was guessed by what it asks for, or changes that are refused would let heavy
    /// ones go before others. What it finds in the store (rows of other tables, keys that have expired) isn't known before.
    fn expected(&self, job: &Job) -> Duration {
        job.size.time.saturating_mul(self.slow.max(100)) / 100
    }
}

impl Queue {
    pub(super) fn new(coming: mpsc::UnboundedReceiver<Job>) -> Queue {
        Queue { coming, lines: HashMap::new(), order: Order::default(), clock: Duration::ZERO, long_groups: 0 }
    }

    /// The first job of a group; waits for one. None when nobody can ask any more.
    pub(super) fn first(&mut self, group: &mut Bounds) -> Option<Job> {
        self.long_groups = self.long_groups.saturating_add(1);
        loop {
            if let Some(job) = self.next(group) {
                return Some(job);
            }
            let job = self.coming.blocking_recv()?;
            self.put(job);
        }
    }

    /// The next job of a group, if one waits for which there is room in it.
    pub(super) fn next(&mut self, group: &mut Bounds) -> Option<Job> {
        while let Ok(job) = self.coming.try_recv() {
            self.put(job);
        }
        // over owners who had their part of this group already, or whose job is too large for what is left of it
        let fits = |owner: &Option<Owner>| {
            let first = self.lines.get(owner).and_then(|line| Some((line.waiting.front()?, line)));
            first.is_some_and(|(job, line)| group.has_room_for(owner, job.size.bytes, line.expected(job)))
        };
        let owner = self.order.ends.values().take(GROUP_JOBS).find(|owner| fits(owner))?;
        let line = self.lines.get_mut(owner)?;
        let owner = self.order.leave(line)?;
        let job = line.waiting.pop_front()?;
        if line.expected(&job) < LONG {
            self.long_groups = 0;
        }
        // an owner whose job a group had no room for is behind the clock by what others did meanwhile: with that as credit, its next jobs
        // would all go before those of owners that come anew
        line.at = line.at.max(self.clock.saturating_sub(line.expected(&job)));
        self.clock = self.clock.max(line.at);
        self.order.enter(&owner, line);
        group.add(owner, job.size.bytes);
        group.is_long = self.long_groups > LONG_GROUPS;
        Some(job)
    }

    /// Remembers how long a job took of the thread, unless it is a short one. One that changed nothing doesn't say that the next takes less.
    pub(super) fn learn(&mut self, job: &Job, took: Duration, changed: bool) {
        let guess = job.size.time;
        if guess >= LEARNT
            && let Some(line) = self.lines.get_mut(&job.task.owner().cloned())
        {
            let over = took.as_nanos() * 100 / guess.as_nanos().max(1);
            let over = u32::try_from(over).unwrap_or(SLOWEST).min(SLOWEST);
            line.slow = over.max(if changed { line.slow / 10 * 9 } else { line.slow });
        }
    }

    /// A group as if its jobs took no time.
    #[cfg(test)]
    pub(super) fn gather(&mut self) -> Option<Vec<Job>> {
        let mut bounds = Bounds::default();
        let mut jobs = vec![self.first(&mut bounds)?];
        while !bounds.is_full(Duration::ZERO)
            && let Some(job) = self.next(&mut bounds)
        {
            jobs.push(job);
        }
        Some(jobs)
    }

    /// An owner has taken so much of the thread.
    pub(super) fn took(&mut self, owner: &Option<Owner>, time: Duration) {
        let floor = self.floor();
        let line = self.lines.entry(owner.clone()).or_default();
        if line.waiting.is_empty() {
            line.at = line.at.max(floor); // what is done for one that rests counts, too
        }
        line.at = line.at.saturating_add(time);
        if let Some(owner) = self.order.leave(line) {
            self.order.enter(&owner, line);
        }
    }

    /// Where one that comes anew begins. Short changes of owners that are ahead go before long ones of owners that are behind, so the clock
    /// may be ahead of some who wait: who came at the clock would wait for all their long changes first. Its own change has its turn so,
    /// and no more: who is served is behind the clock by what that takes at most.
    fn floor(&self) -> Duration {
        self.order.starts.first().map_or(self.clock, |(at, _)| self.clock.min(*at))
    }

    fn put(&mut self, job: Job) {
        let (owner, floor) = (job.task.owner().cloned(), self.floor());
        if self.lines.len() == self.lines.capacity() {
            // before it grows; one that took no more than who comes anew has nothing to be remembered for, but how slow it was
            self.lines.retain(|_, line| !line.waiting.is_empty() || line.at > floor);
            let live = self.lines.len();
            self.lines.reserve(live); // else each newcomer would look through all, while few go
        }
        let line = self.lines.entry(owner.clone()).or_default();
        if line.waiting.is_empty() {
            line.at = line.at.max(floor);
        }
        line.waiting.push_back(job);
        self.order.enter(&owner, line);
    }
}

/// How much a group has, and may have.
#[derive(Default)]
pub(super) struct Bounds {
    jobs: usize,
    bytes: usize,
    by_owner: HashMap<Option<Owner>, usize>,
    /// How long the group has taken.
    elapsed: Duration,
    /// As of the last job taken: no short change came for `LONG_GROUPS` groups.
    is_long: bool,
}

impl Bounds {
    /// Whether the group has enough, after this time.
    pub(super) fn is_full(&mut self, elapsed: Duration) -> bool {
        self.elapsed = elapsed;
        let (time, _) = self.times();
        self.jobs >= GROUP_JOBS || self.bytes >= GROUP_BYTES || elapsed >= time
    }

    /// How long the group goes on, and how long it is expected to take at most with one long change more.
    fn times(&self) -> (Duration, Duration) {
        if self.is_long { (GROUP_TIME_LONG, GROUP_TIME_LONG) } else { (GROUP_TIME, GROUP_TIME_MAX) }
    }

    fn has_room_for(&self, owner: &Option<Owner>, bytes: usize, takes: Duration) -> bool {
        let own = self.by_owner.get(owner).copied().unwrap_or_default();
        let fits = |has: usize, most: usize| has == 0 || has.saturating_add(bytes) <= most;
        let (_, most) = self.times();
        let is_soon = self.jobs == 0 || takes < LONG || self.elapsed.saturating_add(takes) <= most;
        fits(self.bytes, GROUP_BYTES) && fits(own, OWNER_BYTES) && is_soon
    }

    fn add(&mut self, owner: Option<Owner>, bytes: usize) {
        let bytes = bytes.max(1);
        self.jobs += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let own = self.by_owner.entry(owner).or_default();
        *own = own.saturating_add(bytes);
    }
}

/// An estimate of the bytes that a task reads and writes, and of the time that this takes.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

impl Size {
    /// The longest that doing the task counts for. What was guessed may be eight times too short, and pages that a disk is waited for
    /// take longer; beyond that it was the machine that stood still.
    pub(super) fn time_max(&self) -> Duration {
        self.time.saturating_mul(100).saturating_add(Duration::from_millis(1))
    }

    fn of(task: &Task) -> Size {
        let row = |scope: &Scope, key: &[u8]| {
            let place = key.len().saturating_add(scope.as_str().len());
            place.saturating_mul(KEY_TIMES).saturating_add(OP_BYTES)
        };
        // bytes, and rows in other tables than that of the entries
        let op = |op: &Op| {
            let others = op.rows().saturating_sub(1);
            let bytes = match op {
                Op::Set { scope, key, value, expires, resume } => {
                    let rows = 1 + usize::from(expires.is_some()) + usize::from(*resume);
                    row(scope, key).saturating_mul(rows).saturating_add(value.len())
                }
                // as many are read as the caller compares with
                Op::Check { scope, key, expected: Expected::Value(value) } => {
                    row(scope, key).saturating_add(value.len())
                }
                Op::Check { scope, key, .. } | Op::Add { scope, key, .. } | Op::Delete { scope, key } => {
                    row(scope, key)
                }
                Op::SetSchedule { plan, .. } => plan.bytes().saturating_add(SCHEDULE_BYTES),
                Op::Settle { .. } | Op::DeleteSchedule { .. } => OP_BYTES,
            };
            (bytes, others)
        };
        let add = |(bytes, others): (usize, usize), (more, rows)| (bytes.saturating_add(more), others + rows);
        let (entries, (bytes, others)) = match task {
            Task::Apply { ops, .. } => (ops.len(), ops.iter().map(op).fold((0, 0), add)),
            Task::Claim { .. } | Task::DeleteOwner { .. } => (1, (OWNER_BYTES, 0)),
            Task::Blobs(task) => (1, (blobs::bytes(task), 0)),
            Task::Reopen => (0, (0, 0)),
        };
        let rows = entries.saturating_mul(ENTRY_NANOS).saturating_add(others.saturating_mul(ROW_NANOS));
        let nanos = rows.saturating_add(bytes.saturating_mul(BYTE_NANOS));
        Size { bytes, time: Duration::from_nanos(nanos as u64) }
    }
}
