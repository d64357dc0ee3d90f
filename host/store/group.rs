//! What is asked of the store's thread, and how much of it makes one commit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::blobs;
use super::error::StoreError;
use super::events::Claimed;
use super::local::Shared;
use super::{Applied, Event, Op, Owner, Quota};

/// At most so many jobs are committed together.
const GROUP_JOBS: usize = 256;

/// And not many more operations than this, so that nobody waits long for the others' work.
const GROUP_OPS: usize = 8_192;

/// A task, with who waits for it.
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Result<Done, StoreError>>,
    /// Its room in the queue, kept until it is answered.
    pub(super) _room: Option<OwnedSemaphorePermit>,
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

/// What a task came to, for who asked.
pub(super) enum Done {
    Applied(Applied),
    Claimed(Claimed),
    /// From which event to go on, if there is more to delete.
    Deleted(Option<(u64, u64)>),
    Blobs(blobs::Done),
    Nothing,
}

/// The first job, and what is queued behind it.
pub(super) fn gather(first: Job, queue: &mut mpsc::UnboundedReceiver<Job>) -> Vec<Job> {
    let mut ops = weight(&first);
    let mut jobs = vec![first];
    while jobs.len() < GROUP_JOBS && ops < GROUP_OPS {
        let Ok(job) = queue.try_recv() else { break };
        ops = ops.saturating_add(weight(&job));
        jobs.push(job);
    }
    jobs
}

fn weight(job: &Job) -> usize {
    match &job.task {
        Task::Apply { ops, .. } => ops.len(),
        Task::Claim { limit } => *limit,
        Task::DeleteOwner { .. } => 1_000,
        Task::Blobs(task) => blobs::weight(task),
        Task::Reopen => 0,
    }
}
