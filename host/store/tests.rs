//! What the store promises: lists whole or not at all, whatever fails; quotas to the byte; nobody sees another's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod bench;
mod blobs;
mod blobs_crash;
mod blobs_ends;
mod blobs_faults;
mod blobs_model;
mod blobs_time;
mod crash;
mod events;
mod faults;
mod folder;
mod lists;
mod model;
mod races;
mod scheduled;
mod schedules;
mod turns;
mod values;
mod versions;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::*;

fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

fn scope(name: &str) -> Scope {
    Scope::new(name).unwrap()
}

fn wait<T>(pending: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(pending)
}

fn set(name: &str, key: &[u8], value: &[u8]) -> Op {
    Op::Set { scope: scope(name), key: key.to_vec(), value: value.to_vec(), expires: None, resume: false }
}

fn set_until(name: &str, key: &[u8], value: &[u8], expires: u64) -> Op {
    Op::Set { scope: scope(name), key: key.to_vec(), value: value.to_vec(), expires: Some(expires), resume: false }
}

fn delete(name: &str, key: &[u8]) -> Op {
    Op::Delete { scope: scope(name), key: key.to_vec() }
}

fn check(name: &str, key: &[u8], expected: Expected) -> Op {
    Op::Check { scope: scope(name), key: key.to_vec(), expected }
}

/// All entries of a scope.
fn all() -> Query<'static> {
    Query { prefix: b"", after: None, values: true, entries_max: usize::MAX, bytes_max: usize::MAX }
}

/// A clock that the test sets. What a step of the thread takes is no time: else a claim would be cut where the machine is busy.
fn clock(at: u64) -> (Arc<AtomicU64>, Settings) {
    let time = Arc::new(AtomicU64::new(at));
    let read = time.clone();
    let settings = Settings { meter: Arc::new(Still), ..Settings::default() };
    (time, Settings { clock: Arc::new(move || read.load(Ordering::SeqCst)), ..settings })
}

struct Still;

impl super::meter::Meter for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn processor(&self) -> Duration {
        Duration::ZERO
    }
}

/// Lets the store's thread through, or not: its clock stands still while it is shut.
#[derive(Default)]
struct Gate(Arc<Mutex<()>>);

impl Gate {
    fn clock(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let gate = self.0.clone();
        Arc::new(move || gate.lock().map_or(1, |_| 1_000))
    }

    fn shut(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap()
    }
}

fn memory() -> Local {
    Local::in_memory(&Settings::default()).unwrap()
}

impl Local {
    fn done(&self, owner: &Owner, ops: Vec<Op>) -> Result<Applied, StoreError> {
        wait(self.apply(owner, &Quota::default(), ops))
    }

    fn value(&self, owner: &Owner, name: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.get(owner, &scope(name), key).unwrap().map(|entry| entry.value)
    }
}
