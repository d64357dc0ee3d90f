//! The thread that changes the database: takes what is queued, does it in one transaction, commits, then answers.
//!
//! After a failure of the disk redb refuses all further work, so the database is opened anew. The number of commits it has then
//! says whether the last one counts: a commit is all there or not at all, and what is asked of it is answered accordingly.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redb::{Database, WriteTransaction};
use tokio::sync::mpsc;

use super::disk::{self, Counters, Medium};
use super::error::StoreError;
use super::group::{Done, Draft, Job, Queue, Task};
use super::list::{self, Turn};
use super::local::Shared;
use super::tables::{Fault, Snapshot, Tables};
use super::{Event, Op};

/// How long a database that could not be opened anew is left alone.
const REOPEN_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    medium: Box<dyn Medium>,
    cache_bytes: usize,
    shared: Arc<Shared>,
    queue: Queue,
    /// As of the last commit that is known to count.
    counters: Counters,
    /// None when it failed and could not be opened anew.
    database: Option<Database>,
    /// Why there is none, and since when.
    failed: Option<(String, Instant)>,
    /// What was claimed by a commit of which it isn't known whether it counts, and that commit's number.
    in_doubt: Option<(u64, Vec<Event>)>,
}

/// What a group comes to, once it is committed.
struct Group {
    drafts: Vec<Draft>,
    counters: Counters,
    due: Option<u64>,
}

impl Writer {
    pub(super) fn new(
        medium: Box<dyn Medium>,
        cache_bytes: usize,
        counters: Counters,
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<Job>,
    ) -> Writer {
        let queue = Queue::new(queue);
        Writer { medium, cache_bytes, shared, queue, counters, database: None, failed: None, in_doubt: None }
    }

    pub(super) fn run(mut self) {
        while let Some(jobs) = self.queue.gather() {
            if self.shared.ailing.swap(false, Ordering::AcqRel) && self.database.is_some() {
                self.give_up("a read of it failed");
                let _ = self.reopen(); // the jobs are told
            }
            match self.change(&jobs) {
                Ok(group) => self.answer(jobs, group),
                Err(error) => {
                    for job in jobs {
                        let _ = job.answer.send(Err(error.clone())); // it may have been given up
                    }
                }
            }
        }
        self.shared.publish(Err("it is closed".into()));
        if let Some(database) = self.database.take()
            && let Err(Fault(error)) = disk::guarded(|| Ok(database.close()?))
        {
            tracing::error!(
                error,
                "the key-value store was not closed cleanly; it is repaired when it is opened again"
            );
        }
    }

    /// Does the jobs and commits them. An error is every job's.
    fn change(&mut self, jobs: &[Job]) -> Result<Group, StoreError> {
        self.ready()?;
        let Some(database) = &self.database else { return Err(StoreError::unavailable("it is closed")) };
        let worked = disk::guarded(|| work(database, &self.shared, self.counters, jobs));
        let (transaction, group) = match worked {
            Ok((None, group)) => return Ok(group),
            Ok((Some(transaction), group)) => (transaction, group),
            Err(Fault(why)) => {
                self.give_up(&why);
                let _ = self.reopen(); // what this group is told doesn't hang on it: nothing was committed
                return Err(StoreError::unavailable(why));
            }
        };
        let committed = disk::guarded(|| {
            transaction.commit()?;
            Snapshot::of(database)
        });
        let Fault(why) = match committed {
            Ok(snapshot) => {
                self.counters = group.counters;
                self.shared.publish(Ok(Arc::new(snapshot)));
                return Ok(group);
            }
            Err(fault) => fault,
        };
        self.give_up(&why);
        if let Err(again) = self.reopen() {
            let claimed = group.drafts.into_iter().flat_map(Draft::into_events).collect();
            self.in_doubt = Some((group.counters.commits, claimed));
            return Err(StoreError::Unknown(format!("{why}; then: {again}")));
        }
        if self.counters.commits == group.counters.commits { Ok(group) } else { Err(StoreError::unavailable(why)) }
    }

    fn answer(&self, jobs: Vec<Job>, group: Group) {
        let done: Vec<_> = group.drafts.into_iter().map(|draft| draft.done(&self.shared)).collect();
        self.shared.set_due(group.due);
        for (job, done) in jobs.into_iter().zip(done) {
            if let Some(then) = job.then
                && done.as_ref().is_ok_and(Done::is_change)
            {
                then();
            }
            let _ = job.answer.send(done); // it may have been given up
        }
    }

    /// Opens the database anew if there is none, but not all the time.
    fn ready(&mut self) -> Result<(), StoreError> {
        match &self.failed {
            None => Ok(()),
            Some((why, since)) if since.elapsed() < REOPEN_EVERY => Err(StoreError::unavailable(why)),
            Some(_) => self.reopen().map_err(StoreError::unavailable),
        }
    }

    fn give_up(&mut self, why: &str) {
        tracing::error!(error = why, "the key-value store failed and is opened anew");
        self.shared.publish(Err(format!("{why}; it is being opened anew").into()));
        let database = self.database.take();
        let _ = disk::guarded(|| {
            drop(database);
            Ok(())
        }); // it failed already
        self.failed = Some((why.to_owned(), Instant::now()));
    }

    fn reopen(&mut self) -> Result<(), String> {
        let opened = disk::guarded(|| {
            let database = self.medium.open(self.cache_bytes)?;
            Ok((Counters::read(&database)?, database))
        });
        let adopted = opened.and_then(|(counters, database)| {
            self.counters = counters;
            match self.in_doubt.take() {
                Some((commits, claimed)) if commits == counters.commits => self.shared.returned().extend(claimed),
                _ => (),
            }
            self.adopt(database)
        });
        adopted.map_err(|Fault(why)| {
            tracing::error!(error = why, "the key-value store can't be opened anew");
            self.shared.publish(Err(why.as_str().into()));
            self.failed = Some((why.clone(), Instant::now()));
            why
        })
    }

    /// Works on this database from now on.
    pub(super) fn adopt(&mut self, database: Database) -> Result<(), Fault> {
        let (snapshot, due) = disk::guarded(|| {
            let transaction = disk::begin(&database)?;
            let due = Tables::open(&transaction)?.due(self.counters.process)?;
            transaction.abort()?;
            Ok((Snapshot::of(&database)?, due))
        })?;
        self.database = Some(database);
        self.failed = None;
        self.shared.publish(Ok(Arc::new(snapshot)));
        self.shared.set_due(due);
        Ok(())
    }
}

/// Does the jobs in a transaction, one after the other. There is none to commit if they changed nothing.
fn work(
    database: &Database,
    shared: &Shared,
    mut counters: Counters,
    jobs: &[Job],
) -> Result<(Option<WriteTransaction>, Group), Fault> {
    let transaction = disk::begin(database)?;
    let mut turn = Turn { now: (shared.clock)(), process: counters.process, revision: counters.revision };
    let mut drafts = Vec::with_capacity(jobs.len());
    let mut tables = Tables::open(&transaction)?;
    let mut changed = false;
    for job in jobs {
        let draft = match &job.task {
            Task::Apply { owner, quota, ops } => {
                let applied = list::apply(&mut tables, &mut turn, owner, quota, ops)?;
                changed |= applied.is_ok() && !ops.iter().all(|op| matches!(op, Op::Check { .. }));
                Draft::Applied(applied)
            }
            Task::Claim { limit } => {
                let returned = shared.returned().len().min(*limit);
                let (events, is_change) = tables.claim(&mut turn, limit.saturating_sub(returned))?;
                changed |= tables.blobs.sweep(turn.now)? || is_change;
                Draft::Claimed { returned, events }
            }
            Task::DeleteOwner { owner, from } => {
                changed = true;
                Draft::Deleted(tables.delete_owner(owner, *from)?)
            }
            Task::Blobs(task) => {
                let (done, did) = tables.blobs.work(&mut turn, task)?;
                changed |= did;
                Draft::Blobs(done)
            }
            Task::Reopen => Draft::Nothing,
        };
        drafts.push(draft);
    }
    let due = tables.due(counters.process)?;
    drop(tables);
    if !changed {
        transaction.abort()?;
        return Ok((None, Group { drafts, counters, due }));
    }
    counters.revision = turn.revision;
    counters.commits = counters.commits.saturating_add(1);
    counters.write(&transaction)?;
    Ok((Some(transaction), Group { drafts, counters, due }))
}
