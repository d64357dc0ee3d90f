//! What the store keeps for tenants and is to become events: keys that expired, runs of schedules, and keys to be resumed.
//!
//! One task on the runtime of the host functions. It holds no `Motu`: when that is gone, or drained, it ends.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::clock::Clock;
use crate::error::Error;
use crate::functions::Calls;
use crate::modules::blob::{Blobs, Memory};
use crate::modules::kept::readable;
use crate::motu::Motu;
use crate::store::{self, Applied, Charge, Op, OpenError, Owner, Place, Quota, Scope, Settings, Store, StoreError};
use crate::strategy::Origin;
use crate::tenant::Tenant;
use crate::tenants::{Delivered, Done};
use crate::turns::Turns;
use crate::wire::Encoded;

/// How many are asked of the store at a time.
const AT_ONCE: usize = 64;

/// How many are under way at a time, and of each tenant; all others wait for their turn. One whose handlers take long, or that has
/// many, makes others wait for one of its own at most.
const UNDER_WAY: u32 = 64;
const UNDER_WAY_EACH: u32 = 8;

/// How many may wait, of all tenants; further ones stay in the store. Each takes 40 bytes, and an entry to be resumed its key.
const WAITING_MAX: usize = 1_000_000;

/// How long to wait when a mailbox is full, an instance is in quarantine, or the store can't be read.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How long a Motu that is dropped may take to let go of its store.
const LET_GO: Duration = Duration::from_secs(2);

/// The longest time without looking, whatever the store says: whether the Motu is still there, and whether the clock was set.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The store, and which of its events are under way and not settled yet.
pub(crate) struct Kept {
    pub(crate) store: Arc<dyn Store>,
    /// On that store, and in memory.
    pub(crate) blobs: Blobs,
    pub(crate) clock: Clock,
    /// Events that are under way, by number.
    unsettled: Mutex<HashMap<u64, Settled>>,
    /// Where the events are dispatched, once they are.
    runtime: OnceLock<Handle>,
}

/// Whether an event is settled. Who is about to settle it has the lock.
type Settled = Arc<tokio::sync::Mutex<bool>>;

impl Kept {
    /// In a folder, or in memory. `charge` is told what processor time of the store's writer each tenant's changes took.
    pub(crate) fn open(
        folder: Option<&Path>,
        clock: Clock,
        charge: impl Fn(&Tenant, Duration) + Send + Sync + 'static,
    ) -> Result<Kept, Error> {
        let of_store = clock.clone();
        let milliseconds = move || u64::try_from(of_store.since_1970().as_millis()).unwrap_or(u64::MAX);
        let charge = Charge::new(move |owner: &Owner, time: Duration| {
            // an owner is a tenant by its name, but for those of a store from elsewhere
            if let Ok(tenant) = owner.as_str().parse() {
                charge(&tenant, time);
            }
        });
        let settings = Settings { clock: Arc::new(milliseconds), charge, ..Settings::default() };
        let store = match folder {
            Some(folder) => open(folder, &settings)?,
            None => store::Local::in_memory(&settings)?,
        };
        let store: Arc<dyn Store> = Arc::new(store);
        let memory = Arc::new(Memory::new(settings.clock, Memory::BYTES_MAX));
        let blobs = Blobs { disk: store.clone(), memory };
        Ok(Kept { store, blobs, clock, unsettled: Mutex::default(), runtime: OnceLock::new() })
    }

    fn unsettled(&self) -> MutexGuard<'_, HashMap<u64, Settled>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its event, if that isn't settled and no other list is about to settle it.
    fn to_settle(&self, origin: Origin) -> Option<(u64, OwnedMutexGuard<bool>, &Handle)> {
        let (event, runtime) = (origin?, self.runtime.get()?);
        let settled = self.unsettled().get(&event)?.clone().try_lock_owned().ok()?;
        if *settled { None } else { Some((event, settled, runtime)) }
    }

    /// Does a list.
    ///
    /// The first list of an event that the store had (`kv_expired`, a run of a schedule) ends that too, in one: what the handler
    /// did is never done again. That list goes on when this is dropped, so that it is known what became of the event.
    pub(crate) async fn change(
        &self,
        origin: Origin,
        owner: &Owner,
        quota: &Quota,
        mut ops: Vec<Op>,
    ) -> Result<Applied, StoreError> {
        let Some((event, mut settled, runtime)) = self.to_settle(origin) else {
            return later(self.store.apply(owner, quota, ops)).await;
        };
        ops.push(Op::Settle { event });
        let list = self.store.apply(owner, quota, ops); // is queued here, if there is room
        let change = runtime.spawn(async move {
            let applied = list.await;
            *settled = applied.is_ok();
            applied
        });
        later(change).await.unwrap_or_else(|_| Err(StoreError::Unknown("its Motu has gone".into())))
    }

    /// Settles an event whose handlers have ended, unless a list did that. One that is about to is waited for.
    async fn settle(&self, owner: &Owner, event: u64) -> Result<(), StoreError> {
        let Some(settled) = self.unsettled().get(&event).cloned() else { return Ok(()) };
        let mut settled = settled.lock().await;
        if *settled {
            return Ok(());
        }
        // it takes nothing, so any quota does
        match self.store.apply(owner, &Quota::default(), vec![Op::Settle { event }]).await {
            Ok(_) | Err(StoreError::NoEvent { .. }) => *settled = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Never ready when it is polled first. Else an event would use other fuel whenever the store's writer is quicker than the worker.
pub(crate) async fn later<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    let first = poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
    tokio::task::yield_now().await;
    match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => answer.await,
    }
}

/// Opens a store on disk. A Motu of this process that has just been dropped may still let go of it, so it is tried for a while.
fn open(folder: &Path, settings: &Settings) -> Result<store::Local, Error> {
    let since = Instant::now();
    loop {
        match store::Local::open(folder, settings) {
            Err(OpenError::InUse(_)) if since.elapsed() < LET_GO => std::thread::sleep(Duration::from_millis(20)),
            opened => return Ok(opened?),
        }
    }
}

/// Where the Motu is, as long as it is there and takes events.
type Motus = Arc<dyn Fn() -> Option<Motu> + Send + Sync>;

/// The task.
pub(crate) struct Wake {
    kept: Arc<Kept>,
    motu: Motus,
    /// Events are read and dispatched in turns of their tenants (M8).
    calls: Calls,
    waiting: Mutex<Turns<Owner, Due>>,
    /// How much more may wait.
    room: Semaphore,
}

/// What is to be dispatched.
struct Due {
    what: What,
    /// If it could be started in some bundles only.
    done: Option<Box<Done>>,
}

/// It is read when it has its turn.
enum What {
    /// `kv_expired`, or a run of a schedule.
    Event(u64),
    /// `kv_resume`.
    Resume(Scope, Box<[u8]>),
}

const _: () = assert!(size_of::<Due>() <= 40, "a million of them may wait");

/// One that has its turn, until this is dropped.
struct UnderWay {
    wake: Arc<Wake>,
    owner: Owner,
    /// It is to wait for another turn.
    again: Option<Due>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut waiting = self.wake.waiting();
        waiting.leave(&self.owner);
        match self.again.take() {
            Some(due) => waiting.put(&self.owner, due),
            None => self.wake.room.add_permits(1),
        }
    }
}

impl Wake {
    pub(crate) fn start(kept: &Arc<Kept>, calls: &Calls, motu: impl Fn() -> Option<Motu> + Send + Sync + 'static) {
        let runtime = calls.runtime();
        if kept.runtime.set(runtime.clone()).is_err() {
            return;
        }
        let waiting = Mutex::new(Turns::new(UNDER_WAY, UNDER_WAY_EACH));
        let room = Semaphore::new(WAITING_MAX);
        let wake = Arc::new(Wake { kept: kept.clone(), motu: Arc::new(motu), calls: calls.clone(), waiting, room });
        let resumes = wake.clone();
        runtime.spawn(async move { resumes.resume_all().await });
        runtime.spawn(async move { wake.expire_all().await });
    }

    fn is_over(&self) -> bool {
        (self.motu)().is_none()
    }

    fn waiting(&self) -> MutexGuard<'_, Turns<Owner, Due>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it wait for its turn.
    async fn put(self: &Arc<Self>, owner: &Owner, what: What) {
        if let Ok(room) = self.room.acquire().await {
            room.forget(); // until it was under way
        }
        self.waiting().put(owner, Due { what, done: None });
        self.start_next();
    }

    /// Starts what has its turn.
    fn start_next(self: &Arc<Self>) {
        if self.is_over() {
            self.room.close(); // nobody waits for room any more: the store is to be let go soon, however much waits
            return;
        }
        loop {
            let next = self.waiting().next();
            let Some((owner, due)) = next else { return };
            // an owner is a tenant by its name, but for those of a store from elsewhere
            let tenant = owner.as_str().parse::<Tenant>();
            let mut under_way = UnderWay { wake: self.clone(), owner, again: None };
            tokio::spawn(async move {
                let wake = under_way.wake.clone();
                let dispatched = async move { under_way.dispatch(due).await };
                match tenant {
                    Ok(tenant) => wake.calls.run(&tenant, dispatched).await,
                    Err(_) => dispatched.await,
                }
                wake.start_next();
            });
        }
    }

    /// `kv_resume`, for all that is there now.
    async fn resume_all(self: Arc<Self>) {
        let mut after: Option<Place> = None;
        loop {
            let page = match self.kept.store.resumes(after.as_ref(), AT_ONCE) {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "what is to be resumed can't be read; it is tried again");
                    if self.pause().await {
                        return;
                    }
                    continue;
                }
            };
            for (place, _) in page.entries {
                self.put(&place.owner, What::Resume(place.scope, place.key.into())).await;
            }
            match page.more_after {
                Some(place) if !self.is_over() => after = Some(place),
                _ => return,
            }
        }
    }

    /// `kv_expired`, for what has expired and what will, and the events of schedules.
    async fn expire_all(self: Arc<Self>) {
        let mut due = self.kept.store.due();
        loop {
            let clock = &self.kept.clock;
            let due_in = due.borrow_and_update().map_or(LOOK_EVERY, |at| until(clock, at));
            let wait = clock.wait(due_in, LOOK_EVERY);
            if !wait.is_zero() {
                self.kept.blobs.memory.sweep();
                let _ = tokio::time::timeout(wait, due.changed()).await; // either way it is looked at again
                if self.is_over() {
                    return;
                }
                continue;
            }
            let claimed = match self.kept.store.claim(AT_ONCE).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(%error, "what has expired can't be read; it is tried again");
                    if self.pause().await {
                        return;
                    }
                    continue;
                }
            };
            for event in claimed {
                self.put(&event.place.owner, What::Event(event.number)).await;
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Waits a moment. Whether the Motu is gone.
    async fn pause(&self) -> bool {
        tokio::time::sleep(AGAIN_AFTER).await;
        self.is_over()
    }
}

impl UnderWay {
    async fn dispatch(&mut self, due: Due) {
        let mut done = due.done.unwrap_or_default();
        if self.deliver(&due.what, &mut done).await == Some(Delivered::NotYet) {
            tokio::time::sleep(AGAIN_AFTER).await;
            self.again = Some(Due { what: due.what, done: Some(done).filter(|done| !done.is_empty()) });
        }
    }

    /// Nothing if there is nothing to deliver any more.
    async fn deliver(&self, what: &What, done: &mut Done) -> Option<Delivered> {
        let Wake { kept, motu, .. } = &*self.wake;
        match what {
            What::Event(number) => {
                let event = self.read(|| kept.store.event(*number)).await?;
                Some(expired(kept, motu, &event, done).await)
            }
            What::Resume(scope, key) => {
                let entry = self.read(|| kept.store.get(&self.owner, scope, key)).await.filter(|entry| entry.resume)?;
                let place = Place { owner: self.owner.clone(), scope: scope.clone(), key: key.to_vec() };
                let payload = payload(&place, &entry.value, 1).await;
                Some(deliver(motu, &place.owner, "kv_resume", &payload, None, done).await)
            }
        }
    }

    /// Reads it, again if the store fails; nothing if it has gone since, or the Motu has.
    async fn read<T>(&self, read: impl Fn() -> Result<Option<T>, StoreError>) -> Option<T> {
        loop {
            match read() {
                Ok(read) => {
                    tokio::task::yield_now().await; // it may be a mebibyte, as each step after it
                    return read;
                }
                Err(error) => tracing::warn!(%error, "an event of the store can't be read; it is tried again"),
            }
            if self.wake.pause().await {
                return None;
            }
        }
    }
}

async fn expired(kept: &Kept, motu: &Motus, event: &store::Event, done: &mut Done) -> Delivered {
    let (owner, number) = (&event.place.owner, event.number);
    kept.unsettled().insert(number, Settled::default());
    let delivered = match &event.run {
        None => {
            let payload = payload(&event.place, &event.value, event.attempt).await;
            deliver(motu, owner, "kv_expired", &payload, Some(number), done).await
        }
        Some(run) => deliver(motu, owner, &run.event, &run_payload(event, run).await, Some(number), done).await,
    };
    // if the Motu takes no more, the next process has it
    if delivered == Delivered::Ended {
        while let Err(error) = kept.settle(owner, number).await {
            tracing::warn!(%error, "an event can't be settled; it is tried again");
            tokio::time::sleep(AGAIN_AFTER).await;
            if motu().is_none() {
                break;
            }
        }
    }
    kept.unsettled().remove(&number);
    delivered
}

/// Dispatches it to who hasn't done it. A tenant that nothing was heard of handles nothing.
async fn deliver(
    motu: &Motus,
    owner: &Owner,
    name: &str,
    payload: &(impl Serialize + Sync),
    origin: Option<u64>,
    done: &mut Done,
) -> Delivered {
    tokio::task::yield_now().await;
    let Some(motu) = motu() else { return Delivered::Drained };
    let tenant: Option<Tenant> = owner.as_str().parse().ok();
    let Some(tenant) = tenant.and_then(|tenant| motu.known(&tenant)) else { return Delivered::Ended };
    tenant.deliver(name, payload, origin, done).await
}

/// What comes with a run of a schedule.
#[derive(Serialize)]
struct RunPayload<'a> {
    name: Cow<'a, str>,
    at: f64,
    missed: u32,
    attempt: u32,
    payload: Encoded,
}

/// What comes with `kv_expired` and `kv_resume`.
#[derive(Serialize)]
struct KeyPayload<'a> {
    scope: &'a str,
    #[serde(with = "key")]
    key: &'a [u8],
    value: Encoded,
    attempt: u32,
}

/// A key is any bytes, which scripts have as a string.
mod key {
    use serde::{Serialize, Serializer};

    use crate::value::Value;

    pub(super) fn serialize<S: Serializer>(key: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
        Value::string(key.to_vec()).serialize(serializer)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a time in milliseconds is below 2^53")]
async fn run_payload<'a>(event: &'a store::Event, run: &store::Run) -> RunPayload<'a> {
    RunPayload {
        name: String::from_utf8_lossy(&event.place.key), // a schedule's name is text
        at: run.at as f64 / 1000.0,
        missed: run.missed,
        attempt: event.attempt,
        payload: read(&event.value).await,
    }
}

async fn payload<'a>(place: &'a Place, value: &[u8], attempt: u32) -> KeyPayload<'a> {
    KeyPayload { scope: place.scope.as_str(), key: &place.key, value: read(value).await, attempt }
}

async fn read(value: &[u8]) -> Encoded {
    readable(value).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a stored value is left out of an event");
        Encoded::default()
    })
}

fn until(clock: &Clock, at: u64) -> Duration {
    Duration::from_millis(at).saturating_sub(clock.since_1970())
}

#[cfg(test)]
mod tests;
