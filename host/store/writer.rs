//! The thread that changes the database: takes what is queued, does it in one transaction, commits, then answers. It looks at the
//! queue after each job, so that whoever comes late has a turn in the commit too.
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
use super::group::{Bounds, ClaimStep, Done, Draft, Job, Queue, Task};
use super::list::{self, Turn};
use super::local::{Settings, Shared};
use super::meter::{Charge, Laps, Meter, Times};
use super::tables::{Fault, Snapshot, Tables};
use super::{Event, Op};

/// How long a database that could not be opened anew is left alone.
const REOPEN_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    medium: Box<dyn Medium>,
    cache_bytes: usize,
    shared: Arc<Shared>,
    queue: Queue,
    meter: Arc<dyn Meter>,
    /// How many instants of a schedule one step of counting looks at.
    looks: u32,
    /// Is told whose time a group was.
    charge: Charge,
    /// How long the changes of the last commit took: the next frees what they left.
    previous: Times,
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
        settings: &Settings,
        counters: Counters,
        shared: Arc<Shared>,
        queue: mpsc::UnboundedReceiver<Job>,
    ) -> Writer {
        Writer {
            medium,
            cache_bytes: settings.cache_bytes,
            shared,
            queue: Queue::new(queue),
            meter: settings.meter.clone(),
            looks: settings.looks,
            charge: settings.charge.clone(),
            previous: Times::new(),
            counters,
            database: None,
            failed: None,
            in_doubt: None,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let mut bounds = Bounds::default();
            let Some(first) = self.queue.first(&mut bounds) else { break };
            self.heal();
            let mut jobs = vec![first];
            let done = self.change(&mut jobs, bounds);
            // a reader that failed meanwhile has asked beside the others: it won't again while it is believed to have
            if jobs.iter().skip(1).any(|job| matches!(job.task, Task::Reopen)) {
                self.heal();
            }
            match done {
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

    /// Opens the database anew if a reader found that it must be.
    fn heal(&mut self) {
        if self.shared.ailing.swap(false, Ordering::AcqRel) && self.database.is_some() {
            self.give_up("a read of it failed");
            let _ = self.reopen(); // the jobs are told
        }
    }

    /// Does a job, and those that wait and have room beside it, and commits them. An error is every job's.
    fn change(&mut self, jobs: &mut Vec<Job>, bounds: Bounds) -> Result<Group, StoreError> {
        let ready = self.ready(); // to open it anew is nobody's time
        let commits = self.counters.commits;
        let mut laps = Laps::start(&self.meter);
        let done = ready.and_then(|()| self.commit(jobs, bounds, &mut laps));
        laps.fresh().for_each(|(owner, took)| self.queue.took(&owner, took));
        let is_committed = self.counters.commits != commits;
        let before = if is_committed { std::mem::take(&mut self.previous) } else { Times::new() };
        for (owner, taken) in laps.finish(&before) {
            self.queue.took(&owner, taken.shared);
            if let Some(owner) = owner {
                self.charge.took(&owner, taken.processor);
            }
        }
        if is_committed {
            self.previous = laps.into_times();
        }
        done
    }

    fn commit(&mut self, jobs: &mut Vec<Job>, bounds: Bounds, laps: &mut Laps) -> Result<Group, StoreError> {
        let Some(database) = &self.database else { return Err(StoreError::unavailable("it is closed")) };
        let (shared, queue) = (&self.shared, &mut self.queue);
        let (now, Counters { process, revision, .. }) = ((shared.clock)(), self.counters);
        let turn = Turn { now, process, revision, looks: self.looks, laps };
        let worked = disk::guarded(|| work(database, shared, queue, self.counters, (jobs, bounds), turn));
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

/// Does the first job in a transaction, and those that come after it. There is none to commit if they changed nothing.
fn work(
    database: &Database,
    shared: &Shared,
    queue: &mut Queue,
    mut counters: Counters,
    (jobs, mut bounds): (&mut Vec<Job>, Bounds),
    mut turn: Turn<'_>,
) -> Result<(Option<WriteTransaction>, Group), Fault> {
    let transaction = disk::begin(database)?;
    let mut tables = Tables::open(&transaction)?;
    turn.laps.share(); // nobody's alone, like the commit
    let mut drafts = Vec::new();
    let mut changed = false;
    while let Some(job) = jobs.get(drafts.len()) {
        turn.laps.at_most(job.size.time_max());
        let (draft, did) = do_task(&mut tables, shared, &mut turn, job)?;
        changed |= did;
        drafts.push(draft);
        turn.laps.lap(job.task.owner());
        let fresh: Vec<_> = turn.laps.fresh().collect();
        // not what it freed of others
        let own: Duration =
            fresh.iter().filter(|(owner, _)| owner.as_ref() == job.task.owner()).map(|(_, took)| *took).sum();
        queue.learn(job, own, did); // first: how long the owner's next is expected to take goes by it
        fresh.iter().for_each(|(owner, took)| queue.took(owner, *took));
        if !bounds.is_full(turn.laps.elapsed())
            && let Some(next) = queue.next(&mut bounds)
        {
            jobs.push(next);
            turn.laps.share(); // to look who is next is nobody's alone
        }
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

/// Does a task, and says whether that changed anything. What it made trash of is freed with it, so that who overwrites large values
/// again and again doesn't fill the store with what no quota counts.
fn do_task(tables: &mut Tables<'_>, shared: &Shared, turn: &mut Turn<'_>, job: &Job) -> Result<(Draft, bool), Fault> {
    let done = do_alone(tables, shared, turn, &job.task)?;
    let made = tables.blobs.made(); // also of those that free it by and by
    if made > 0 && matches!(job.task, Task::Apply { .. } | Task::Blobs(_)) {
        turn.laps.lap(job.task.owner());
        tables.blobs.clean(made, job.size.bytes, &mut |owner| turn.laps.lap(Some(owner)))?;
    }
    Ok(done)
}

fn do_alone(
    tables: &mut Tables<'_>,
    shared: &Shared,
    turn: &mut Turn<'_>,
    task: &Task,
) -> Result<(Draft, bool), Fault> {
    Ok(match task {
        Task::Apply { owner, quota, ops } => {
            let applied = list::apply(tables, turn, owner, quota, ops)?;
            let changed = applied.is_ok() && !ops.iter().all(|op| matches!(op, Op::Check { .. }));
            (Draft::Applied(applied), changed)
        }
        Task::Claim { limit } => {
            let returned = shared.returned().len().min(*limit);
            let step = tables.claim(turn, limit.saturating_sub(returned))?;
            let is_freeing = tables.blobs.sweep(turn)?;
            let changed = is_freeing || step.did;
            let rounds = step.rounds.saturating_add(returned);
            let claim = ClaimStep { rounds, has_more: step.has_more || is_freeing, is_freeing };
            (Draft::Claimed { returned, events: step.events, step: claim }, changed)
        }
        Task::DeleteOwner { owner, from } => (Draft::Deleted(tables.delete_owner(owner, *from)?), true),
        Task::Blobs(task) => {
            let (done, did) = tables.blobs.work(turn, task)?;
            (Draft::Blobs(done), did)
        }
        Task::Reopen => (Draft::Nothing, false),
    })
}
