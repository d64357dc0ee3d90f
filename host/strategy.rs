//! Where instances run: the one trait between those who dispatch events and those who run them.
//!
//! What crosses it is plain data that another process, or another machine, could be sent: no handle of a VM, no closure, no
//! lock, no instant; a test sends all of it as bytes. Here are the two strategies on threads of this process.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::bundle::Bundle;
use crate::error::{Error, ErrorKind};
use crate::grant::Grants;
use crate::limits::Limits;
use crate::motu::Shared;
use crate::outcome::Usage;
use crate::queue::Queue;
use crate::tenant::Tenant;
use crate::worker::{self, Burnt};

#[cfg(test)]
mod tests;

/// The number of an event, given by whoever dispatches it, for one instance never used again.
pub(crate) type EventId = u64;

/// The number of the store's event that an event is about, if it is.
pub(crate) type Origin = Option<u64>;

/// What an instance is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) tenant: Tenant,
    /// The name that the bundle was deployed under; empty if it wasn't.
    pub(crate) name: Arc<str>,
    pub(crate) bundle: Bundle,
    pub(crate) limits: Arc<Limits>,
    /// What `math.random` starts from; a new one for each start, unless it is set.
    pub(crate) seed: Option<u64>,
    /// What it may call at first.
    pub(crate) grants: Grants,
}

/// What an instance is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Run the handler of an event, within this time.
    Start { event: EventId, name: Arc<str>, payload: Vec<u8>, time: Option<Duration>, origin: Origin },
    /// Answer with what the bundle's entry returned.
    Value { event: EventId, time: Option<Duration> },
    /// Nobody waits for the event's answer any more.
    Cancel { event: EventId },
    /// Lose the instance, with what is under way in it. What was not started goes to a fresh one.
    Kill { cause: String },
    /// The same, and end what was not started too.
    Stop { cause: String },
    /// What it may call from now on.
    Grant { grants: Grants },
    /// Run nothing until `Resume`; deadlines go on.
    Pause,
    /// Run again, also when it was in quarantine.
    Resume,
}

/// What an instance tells. Each event gets exactly one `Ended`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Notice {
    /// An event with a payload of this size has left the mailbox: it will not be run again.
    Started { payload_bytes: u64 },
    /// `unstarted_bytes`: it was never started, and its payload was of this size.
    Ended { event: EventId, unstarted_bytes: Option<u64>, answer: Result<Vec<u8>, Error>, usage: Usage },
    /// A VM was started, the so manyth.
    Live { starts: u64 },
    /// What it takes and waits for now: memory of the VM, and of what the host holds for it beside the mailbox; sleeps and
    /// calls of its tasks.
    Held { bytes: u64, waits: usize },
    /// The VM is gone. What its calls hold may be there for a while.
    Gone,
    /// Why its VM was ended, if not for want of events.
    Lost { why: String },
    /// It takes no more events, and why; or it does again.
    Quarantined { reason: Option<String> },
}

/// Who dispatches, and is told.
pub(crate) trait Front: Send + Sync {
    fn notice(&self, notice: Notice);
}

/// Where one instance runs. Dropped, the instance is closed: its events are not answered.
pub(crate) trait Place: Send + Sync {
    fn send(&self, command: Command);
}

/// How instances, and loads, get threads, processes or machines.
pub(crate) trait Strategy: Send + Sync {
    /// Makes a place for an instance. Nothing runs in it before its first command.
    fn open(&self, spec: Spec, front: Weak<dyn Front>) -> Result<Box<dyn Place>, Error>;

    /// Where loads and checks run, which nobody's instance waits for.
    fn loads(&self) -> &Arc<Queue>;

    /// What each worker has burnt; none where workers come and go.
    fn worker_fuel(&self) -> Vec<u64> {
        Vec::new()
    }
}

/// Workers that take turns with all instances.
pub(crate) struct ThreadPool {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    burnt: Vec<Burnt>,
}

impl ThreadPool {
    pub(crate) fn new(shared: Arc<Shared>, workers: usize) -> Result<ThreadPool, Error> {
        let setting = shared.workers();
        let burnt = (0..workers).map(|_| Burnt::default()).collect();
        let pool = ThreadPool { shared, queue: Arc::new(Queue::new()), burnt };
        for (number, burnt) in pool.burnt.iter().enumerate() {
            worker::start(&pool.queue, &format!("motu-{number}"), burnt, &setting)
                .map_err(|error| no_thread(&error))?;
        }
        Ok(pool)
    }
}

impl Strategy for ThreadPool {
    fn open(&self, spec: Spec, front: Weak<dyn Front>) -> Result<Box<dyn Place>, Error> {
        let share = self.shared.shares.of(&spec.tenant, &spec.limits);
        Ok(Box::new(Actor::open(&self.shared, spec, share, front, &self.queue, &self.queue)))
    }

    fn loads(&self) -> &Arc<Queue> {
        &self.queue
    }

    fn worker_fuel(&self) -> Vec<u64> {
        self.burnt.iter().map(|burnt| burnt.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A worker for each tenant, which ends when nothing of the tenant's is left.
pub(crate) struct ThreadPerTenant {
    shared: Arc<Shared>,
    tenants: Mutex<HashMap<Tenant, Weak<Own>>>,
    loads: Arc<Queue>,
    started: AtomicUsize,
}

/// A tenant's own queue, with its one worker. Kept by the places that run on it.
struct Own(Arc<Queue>);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl ThreadPerTenant {
    pub(crate) fn new(shared: Arc<Shared>) -> Result<ThreadPerTenant, Error> {
        let loads = Arc::new(Queue::new());
        worker::start(&loads, "motu-loads", &Burnt::default(), &shared.workers()).map_err(|error| no_thread(&error))?;
        Ok(ThreadPerTenant { shared, tenants: Mutex::default(), loads, started: AtomicUsize::new(0) })
    }

    fn own(&self, tenant: &Tenant) -> Result<Arc<Own>, Error> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = tenants.get(tenant).and_then(Weak::upgrade) {
            return Ok(own);
        }
        let own = Arc::new(Own(Arc::new(Queue::new())));
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        worker::start(&own.0, &format!("motu-{number}"), &Burnt::default(), &self.shared.workers())
            .map_err(|error| no_thread(&error))?;
        tenants.retain(|_, own| own.strong_count() > 0);
        tenants.insert(tenant.clone(), Arc::downgrade(&own));
        Ok(own)
    }
}

impl Strategy for ThreadPerTenant {
    fn open(&self, spec: Spec, front: Weak<dyn Front>) -> Result<Box<dyn Place>, Error> {
        let own = self.own(&spec.tenant)?;
        let share = self.shared.shares.of(&spec.tenant, &spec.limits);
        let actor = Actor::open(&self.shared, spec, share, front, &own.0, &self.loads);
        Ok(Box::new(WithOwn { actor, _own: own }))
    }

    fn loads(&self) -> &Arc<Queue> {
        &self.loads
    }
}

impl Drop for ThreadPerTenant {
    fn drop(&mut self) {
        self.loads.close();
    }
}

/// Keeps the tenant's worker as long as there is a place on it.
struct WithOwn<P> {
    actor: P,
    _own: Arc<Own>,
}

impl<P: Place> Place for WithOwn<P> {
    fn send(&self, command: Command) {
        self.actor.send(command);
    }
}

fn no_thread(error: &io::Error) -> Error {
    Error::new(ErrorKind::Host, format!("no thread can be started: {error}"))
}
