//! The store of one process, on redb: reads from the last commit, changes by one thread that commits many at once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::blobs::Then;
use super::disk::{self, Folder, Medium, Memory};
use super::error::{OpenError, StoreError};
use super::events::{CLAIM_BYTES, Claimed};
use super::group::{ClaimStep, Done, Job, Task};
use super::meter::{self, Charge, Meter};
use super::tables::{Fault, Snapshot};
use super::writer::Writer;
use super::{
    Applied, Entry, Event, Op, Owner, Page, Pending, Place, Query, Quota, Resumes, Scheduled, Scope, Store, Usage,
};
use super::{blobs, list, read, row, schedules};

/// The time, in milliseconds since 1970.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How many bytes of keys and values wait to be written, in all but what is [small](SMALL_BYTES). Who comes when it is full, waits.
pub(super) const QUEUE_BYTES: u32 = 64 << 20;

/// How many of them may be one owner's: a thousand jobs, also of calls that were given up since.
const OWNER_BYTES: u32 = 4 << 20;

/// How many steps of freeing what blobs have left behind one `Store::claim` takes.
const FREEING_STEPS: u32 = 16;

/// An owner that has no more than this in the queue doesn't wait for room behind those who filled it: an instance takes 20 times as
/// much. Nor does it go before what it asked for itself: while some of that waits, all of it does.
const SMALL_BYTES: u32 = 64 << 10;

/// What a job is charged in the queue beside its bytes.
const JOB_BYTES: u64 = 4 << 10;

/// How a store is opened.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Whether opening reads the whole file to see that it is sound: no. Without it, damage from outside is found when it is
    /// read, or never if it is within a value. It takes about a second for each GiB.
    pub(crate) verify: bool,
    /// Memory for pages of the file, in bytes: 64 MiB.
    pub(crate) cache_bytes: usize,
    /// What decides when an entry has expired: the system's clock.
    pub(crate) clock: Clock,
    /// How many instants of a schedule one step of counting what it has missed looks at: 128, which is some 0.2 ms.
    pub(crate) looks: u32,
    /// What the writer's time is measured with: the system's clocks.
    pub(crate) meter: Arc<dyn Meter>,
    /// Is told what processor time of the writer whose changes took: nobody is.
    pub(crate) charge: Charge,
}

impl Default for Settings {
    fn default() -> Settings {
        let clock = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        let meter = Arc::new(meter::System::default());
        let charge = Charge::none();
        Settings { verify: false, cache_bytes: 64 << 20, clock: Arc::new(clock), looks: 128, meter, charge }
    }
}

/// What the callers and the thread share.
pub(super) struct Shared {
    /// Of the last commit, or why there is none to read.
    snapshot: RwLock<Result<Arc<Snapshot>, Arc<str>>>,
    due: watch::Sender<Option<u64>>,
    /// Claimed, and dropped.
    returned: Mutex<Vec<Event>>,
    /// A reader found the database out of order, and the thread is told.
    pub(super) ailing: AtomicBool,
    pub(super) clock: Clock,
}

impl Shared {
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        snapshot.clone().map_err(StoreError::unavailable)
    }

    pub(super) fn publish(&self, snapshot: Result<Arc<Snapshot>, Arc<str>>) {
        let mut current = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, snapshot);
        drop(current);
        drop(before); // outside of the lock
    }

    pub(super) fn returned(&self) -> MutexGuard<'_, Vec<Event>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who waits when there is something to claim, as the database has it.
    pub(super) fn set_due(&self, due: Option<u64>) {
        let returned = self.returned();
        let due = if returned.is_empty() { due } else { Some(0) };
        self.due.send_if_modified(|known| std::mem::replace(known, due) != due);
    }

    pub(super) fn give_back(&self, events: impl ExactSizeIterator<Item = Event>) {
        if events.len() > 0 {
            let mut returned = self.returned();
            returned.extend(events);
            self.due.send_if_modified(|due| due.replace(0) != Some(0));
        }
    }
}

/// By owner, and whether it is for blobs.
type OwnRooms = HashMap<(Owner, bool), Weak<OwnRoom>>;

/// An owner's part of the queue. It is the same as long as a job has some of it, or waits for it.
struct OwnRoom {
    room: Arc<Semaphore>,
    /// Who is to be sent next: jobs are sent in the order in which they are asked for, also when one finds room that another waits for.
    next: Semaphore,
}

impl OwnRoom {
    /// Whether all that is the owner's in the queue is little.
    fn has_little(&self) -> bool {
        OWNER_BYTES as usize - self.room.available_permits() <= SMALL_BYTES as usize
    }
}

/// Room in the queue, which others may have when this is dropped.
#[derive(Default)]
pub(super) struct Room {
    _own: Option<(Arc<OwnRoom>, OwnedSemaphorePermit)>,
    _all: Option<OwnedSemaphorePermit>,
}

/// The room that a job takes in the queue: its owner's first, for who waits for that keeps nobody waiting. While all that is the owner's is
/// little, a job takes no more.
struct RoomFor {
    own: Option<(Arc<OwnRoom>, u32)>,
    all: Arc<Semaphore>,
    bytes: u32,
}

impl RoomFor {
    /// Sends a job as soon as there is room for it. The first poll does so if there is room now.
    async fn send(self, send: impl FnOnce(Room) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let take = async |room: Arc<Semaphore>, bytes| room.acquire_many_owned(bytes).await.map_err(|_| closed());
        let Some((own, bytes)) = self.own else {
            return send(Room { _own: None, _all: Some(take(self.all, self.bytes).await?) });
        };
        let _next = own.next.acquire().await.map_err(|_| closed())?;
        let room = take(own.room.clone(), bytes).await?;
        let all = if own.has_little() { None } else { Some(take(self.all, self.bytes).await?) };
        send(Room { _own: Some((own.clone(), room)), _all: all })
    }
}

/// The way to the thread.
#[derive(Clone)]
pub(super) struct Way {
    jobs: mpsc::WeakUnboundedSender<Job>,
    room: Arc<Semaphore>,
    blob_room: Arc<Semaphore>,
    /// Each owner's own, for blobs or for the rest, as long as a job of theirs has some of it or waits for it.
    own_rooms: Arc<Mutex<OwnRooms>>,
}

impl Way {
    /// Queues a task, at once if there is room.
    pub(super) fn ask(&self, task: Task, bytes: u64) -> Pending<Done> {
        self.ask_then(task, bytes, None)
    }

    pub(super) fn ask_then(&self, task: Task, bytes: u64, then: Option<Then>) -> Pending<Done> {
        let is_blob = matches!(task, Task::Blobs(_));
        let bytes = u32::try_from(bytes.saturating_add(JOB_BYTES)).unwrap_or(QUEUE_BYTES);
        let needed = RoomFor {
            own: task.owner().map(|owner| (self.own_room(owner, is_blob), bytes.min(OWNER_BYTES))),
            all: if is_blob { self.blob_room.clone() } else { self.room.clone() },
            bytes: bytes.min(QUEUE_BYTES),
        };
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.clone();
        let mut sent = Box::pin(needed.send(move |room| {
            let jobs = jobs.upgrade().ok_or_else(closed)?;
            jobs.send(Job::new(task, answer, then, room)).map_err(|_| closed())
        }));
        // it is queued now if there is room, or in line
        let is_sent = sent.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        Box::pin(async move {
            match is_sent {
                Poll::Ready(sent) => sent?,
                Poll::Pending => sent.await?,
            }
            answered.await.unwrap_or_else(|_| Err(ended()))
        })
    }

    fn own_room(&self, owner: &Owner, is_blob: bool) -> Arc<OwnRoom> {
        let mut rooms = self.own_rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (owner.clone(), is_blob);
        if let Some(own) = rooms.get(&key).and_then(Weak::upgrade) {
            return own;
        }
        if rooms.len() == rooms.capacity() {
            // before it grows
            rooms.retain(|_, own| own.strong_count() > 0);
            let live = rooms.len();
            rooms.reserve(live); // else each newcomer would look through all, while few go
        }
        let room = Arc::new(Semaphore::new(OWNER_BYTES as usize));
        let own = Arc::new(OwnRoom { room, next: Semaphore::new(1) });
        rooms.insert(key, Arc::downgrade(&own));
        own
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("it is closed")
}

fn ended() -> StoreError {
    StoreError::Unknown("its thread has ended".into())
}

/// A store in a folder, or in memory. Dropping it writes what was queued, and closes it.
pub(crate) struct Local {
    shared: Arc<Shared>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    pub(super) way: Way,
    /// This process's number among those that had it open.
    process: u64,
    thread: Option<JoinHandle<()>>,
}

impl Local {
    /// Opens the store in this folder, which is made if there is none: with mode 0700, its files with 0600.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open(path: &Path, settings: &Settings) -> Result<Local, OpenError> {
        let folder = Folder::new(path, settings)?;
        Local::start(Box::new(folder), path, settings)
    }

    /// A store in memory, for tests and trials.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn in_memory(settings: &Settings) -> Result<Local, OpenError> {
        Local::start(Box::new(Memory::default()), Path::new("memory"), settings)
    }

    pub(super) fn start(mut medium: Box<dyn Medium>, path: &Path, settings: &Settings) -> Result<Local, OpenError> {
        let (database, counters) = disk::open(&mut *medium, path, settings.cache_bytes)?;
        let shared = Arc::new(Shared {
            snapshot: RwLock::new(Err("it is being opened".into())),
            due: watch::Sender::new(None),
            returned: Mutex::default(),
            ailing: AtomicBool::new(false),
            clock: settings.clock.clone(),
        });
        let (process, (jobs, queue)) = (counters.process, mpsc::unbounded_channel());
        let mut writer = Writer::new(medium, settings, counters, shared.clone(), queue);
        writer.adopt(database).map_err(|fault| OpenError::Damaged { path: path.to_path_buf(), why: fault.0 })?;
        let thread = std::thread::Builder::new().name("motu-kv".into()).spawn(move || writer.run());
        let failed = |error: std::io::Error| OpenError::Io { path: path.to_path_buf(), why: error.to_string() };
        let room = |bytes: u32| Arc::new(Semaphore::new(bytes as usize));
        let way = Way {
            jobs: jobs.downgrade(),
            room: room(QUEUE_BYTES),
            blob_room: room(blobs::QUEUE_BYTES),
            own_rooms: Arc::default(),
        };
        Ok(Local { shared, jobs: Some(jobs), way, process, thread: Some(thread.map_err(failed)?) })
    }

    /// Reads from the last commit. If that fails and the database was opened anew meanwhile, reads once more.
    pub(super) fn read<T>(&self, what: impl Fn(&Snapshot, u64) -> Result<T, Fault>) -> Result<T, StoreError> {
        let now = (self.shared.clock)();
        let snapshot = self.shared.snapshot().inspect_err(|_| self.ail())?;
        let mut fault = match disk::guarded(|| what(&snapshot, now)) {
            Ok(read) => return Ok(read),
            Err(fault) => fault,
        };
        let newer = self.shared.snapshot().inspect_err(|_| self.ail())?;
        if !Arc::ptr_eq(&snapshot, &newer) {
            match disk::guarded(|| what(&newer, now)) {
                Ok(read) => return Ok(read),
                Err(again) => fault = again,
            }
        }
        tracing::error!(error = fault.0, "the key-value store can't be read");
        self.ail();
        Err(StoreError::unavailable(fault.0))
    }

    /// Has the thread open the database anew, unless it was told already.
    fn ail(&self) {
        if !self.shared.ailing.swap(true, Ordering::AcqRel)
            && let Some(jobs) = &self.jobs
        {
            let (answer, _) = oneshot::channel();
            let _ = jobs.send(Job::new(Task::Reopen, answer, None, Room::default())); // the thread is gone: then nothing helps
        }
    }
}

impl Store for Local {
    fn get(&self, owner: &Owner, scope: &Scope, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        row::check_key(key)?;
        self.read(|snapshot, now| read::get(snapshot, now, owner, scope, key))
    }

    fn list(&self, owner: &Owner, scope: &Scope, query: &Query<'_>) -> Result<Page, StoreError> {
        self.read(|snapshot, now| read::list(snapshot, now, owner, scope, query))
    }

    fn apply(&self, owner: &Owner, quota: &Quota, ops: Vec<Op>) -> Pending<Applied> {
        let bytes = match list::check(quota, &ops) {
            Ok(bytes) => bytes,
            Err(refused) => return Box::pin(std::future::ready(Err(refused))),
        };
        let done = self.way.ask(Task::Apply { owner: owner.clone(), quota: quota.clone(), ops }, bytes);
        Box::pin(async move {
            match done.await? {
                Done::Applied(applied) => Ok(applied),
                _ => Err(StoreError::mixed_up()),
            }
        })
    }

    fn usage(&self, owner: &Owner) -> Result<Usage, StoreError> {
        self.read(|snapshot, _| snapshot.usage(owner))
    }

    fn schedule(&self, owner: &Owner, name: &str) -> Result<Option<Scheduled>, StoreError> {
        schedules::check(name, None)?;
        self.read(|snapshot, _| schedules::get(snapshot, owner, name))
    }

    fn schedules(&self, owner: &Owner, after: Option<&str>) -> Result<Vec<(String, Scheduled)>, StoreError> {
        self.read(|snapshot, _| schedules::list(snapshot, owner, after))
    }

    #[cfg(test)]
    fn schedules_usage(&self, owner: &Owner) -> Result<Usage, StoreError> {
        self.read(|snapshot, _| snapshot.schedules_usage(owner))
    }

    fn due(&self) -> watch::Receiver<Option<u64>> {
        self.shared.due.subscribe()
    }

    fn claim(&self, limit: usize) -> Pending<Claimed> {
        let (way, step) = (self.way.clone(), self.way.ask(Task::Claim { limit }, 0));
        Box::pin(async move {
            let (mut claimed, mut step) = claimed(step.await?)?;
            let (mut rounds, mut freeing) = (step.rounds, u32::from(step.is_freeing));
            while step.has_more && rounds < limit && claimed.bytes() < CLAIM_BYTES && freeing < FREEING_STEPS {
                if step.rounds == 0 && rounds > 0 {
                    break; // what there is doesn't wait until all is counted or freed
                }
                // what was claimed already is given back if this fails
                let (more, next) = self::claimed(way.ask(Task::Claim { limit: limit - rounds }, 0).await?)?;
                claimed.extend(more);
                rounds = rounds.saturating_add(next.rounds);
                freeing += u32::from(next.is_freeing);
                step = next;
            }
            Ok(claimed)
        })
    }

    fn event(&self, number: u64) -> Result<Option<Event>, StoreError> {
        self.read(|snapshot, _| read::event(snapshot, self.process, number))
    }

    fn resumes(&self, after: Option<&Place>, limit: usize) -> Result<Resumes, StoreError> {
        self.read(|snapshot, now| read::resumes(snapshot, now, after, limit))
    }

    fn delete_owner(&self, owner: &Owner) -> Pending<()> {
        let (way, owner) = (self.way.clone(), owner.clone());
        let first = way.ask(Task::DeleteOwner { owner: owner.clone(), from: (0, 0) }, 0);
        Box::pin(async move {
            let mut step = first;
            while let Done::Deleted(Some(from)) = step.await? {
                step = way.ask(Task::DeleteOwner { owner: owner.clone(), from }, 0);
            }
            // after what names contents
            blobs::erase(&way, &owner).await
        })
    }
}

fn claimed(done: Done) -> Result<(Claimed, ClaimStep), StoreError> {
    match done {
        Done::Claimed(claimed, step) => Ok((claimed, step)),
        _ => Err(StoreError::mixed_up()),
    }
}

#[cfg(test)]
impl Local {
    pub(super) fn commits(&self) -> u64 {
        self.read(|snapshot, _| snapshot.commits()).unwrap_or_default()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.way.room.close(); // who waits for room is told
        self.way.blob_room.close();
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the key-value store panicked");
        }
    }
}
