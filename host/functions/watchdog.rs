//! The watchdog: names host functions that block the thread which polls them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a poll of a host function may take before it is said to block.
const BLOCKED_AFTER: Duration = Duration::from_millis(500);

/// How often that is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// The polls of host functions that are under way, for the watchdog.
#[derive(Default)]
pub(super) struct Polls {
    now: Mutex<HashMap<u64, Begun>>,
    last: AtomicU64,
    over: AtomicBool,
    watchdog: Mutex<Option<Thread>>,
}

struct Begun {
    name: Arc<str>,
    since: Instant,
    said: bool,
}

pub(super) struct UnderWay<'a> {
    polls: &'a Polls,
    number: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.polls.now().remove(&self.number);
    }
}

impl Polls {
    fn now(&self) -> MutexGuard<'_, HashMap<u64, Begun>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, name: &Arc<str>) -> UnderWay<'_> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        self.now().insert(number, Begun { name: name.clone(), since: Instant::now(), said: false });
        UnderWay { polls: self, number }
    }

    pub(super) fn blocked(&self, now: Instant) -> Vec<String> {
        let polls = self.now();
        let blocked = polls.values().filter(|poll| now.saturating_duration_since(poll.since) > BLOCKED_AFTER);
        let mut names: Vec<String> = blocked.map(|poll| poll.name.to_string()).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        if let Some(watchdog) = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner).take() {
            watchdog.unpark();
        }
    }
}

/// Starts the thread that names functions which block.
pub(super) fn watch(polls: &Arc<Polls>) -> std::io::Result<()> {
    let watched: Weak<Polls> = Arc::downgrade(polls);
    let thread = std::thread::Builder::new().name("motu-watchdog".to_owned()).spawn(move || {
        loop {
            std::thread::park_timeout(WATCH_EVERY);
            let Some(polls) = watched.upgrade() else { return };
            if polls.over.load(Ordering::Acquire) {
                return;
            }
            for poll in polls.now().values_mut().filter(|poll| !poll.said && poll.since.elapsed() > BLOCKED_AFTER) {
                poll.said = true;
                tracing::warn!(function = %poll.name, "a host function blocks the thread that polls it; it must await instead");
            }
        }
    })?;
    *polls.watchdog.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
    Ok(())
}
