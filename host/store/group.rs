//! What is asked of the store's thread, and how much of it makes one commit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::blobs::{self, Then};
use super::error::StoreError;
use super::events::Claimed;
use super::local::Shared;
use super::{Applied, Event, Op, Owner, Quota};
use crate::turns::Turns;

/// At most so many jobs are committed together.
const GROUP_JOBS: usize = 256;

/// And not many more operations than this, so that nobody waits long for the others' work.
const GROUP_OPS: usize = 8_192;

/// A schedule that is set is read and looked ahead in, 70 us: as long as so many keys.
const SCHEDULE_OPS: usize = 100;

/// A task, with who waits for it.
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Result<Done, StoreError>>,
    /// What to do once it is done, whoever still waits for that.
    pub(super) then: Option<Then>,
    /// Its room in the queue, of its owner's and of all, kept until it is answered.
    pub(super) _room: [Option<OwnedSemaphorePermit>; 2],
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
    },
    Deleted(Option<(u64, u64)>),
    Blobs(blobs::Draft),
    Nothing,
}

impl Draft {
    pub(super) fn done(self, shared: &Arc<Shared>) -> Result<Done, StoreError> {
        Ok(match self {
            Draft::Applied(applied) => Done::Applied(applied?),
            Draft::Claimed { returned, events } => {
                let mut waiting = shared.returned();
                let returned = returned.min(waiting.len());
                let events = waiting.drain(..returned).chain(events).collect();
                drop(waiting);
                Done::Claimed(Claimed::new(events, shared.clone()))
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

impl Done {
    /// Whether something was changed as it was asked for.
    pub(super) fn is_change(&self) -> bool {
        matches!(self, Done::Applied(_) | Done::Blobs(blobs::Done::Changed(blobs::Changed::Done(_))))
    }
}

/// What a task came to, for who asked.
pub(super) enum Done {
    Applied(Applied),
    Claimed(Claimed),
    /// From which event to go on, if there is more to delete.
    Deleted(Option<(u64, u64)>),
    Blobs(blobs::Done),
    Nothing,
}

/// The jobs that wait. Each owner's are done in their order, and owners have turns: nobody waits for all that another asked before.
pub(super) struct Queue {
    coming: mpsc::UnboundedReceiver<Job>,
    turns: Turns<Option<Owner>, Job>,
}

impl Queue {
    pub(super) fn new(coming: mpsc::UnboundedReceiver<Job>) -> Queue {
        Queue { coming, turns: Turns::new(u32::MAX, u32::MAX) }
    }

    /// What makes one commit; waits for a first job. None when nobody can ask any more.
    pub(super) fn gather(&mut self) -> Option<Vec<Job>> {
        let first = match self.next() {
            Some(job) => job,
            None => self.coming.blocking_recv()?,
        };
        let mut ops = weight(&first);
        let mut jobs = vec![first];
        while jobs.len() < GROUP_JOBS && ops < GROUP_OPS {
            let Some(job) = self.next() else { break };
            ops = ops.saturating_add(weight(&job));
            jobs.push(job);
        }
        Some(jobs)
    }

    fn next(&mut self) -> Option<Job> {
        while let Ok(job) = self.coming.try_recv() {
            self.turns.put(&job.task.owner().cloned(), job);
        }
        let (owner, job) = self.turns.next()?;
        self.turns.leave(&owner);
        Some(job)
    }
}

fn weight(job: &Job) -> usize {
    match &job.task {
        Task::Apply { ops, .. } => {
            ops.iter().map(|op| if let Op::SetSchedule { .. } = op { SCHEDULE_OPS } else { 1 }).sum()
        }
        Task::Claim { limit } => *limit,
        Task::DeleteOwner { .. } => 1_000,
        Task::Blobs(task) => blobs::weight(task),
        Task::Reopen => 0,
    }
}
