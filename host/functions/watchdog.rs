//! The watchdog: names host functions that block the thread which polls them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

/// How often the watchdog looks: a tick of its clock. A poll that begins reads the ticks, since reading the time would be a tenth of
/// a call.
const TICK: Duration = Duration::from_millis(100);

/// A poll of a host function that goes on for more ticks than this, so for 500 to 600 ms, is said to block.
const BLOCKED_AFTER: u64 = 5;

/// The polls of host functions that are under way, for the watchdog.
pub(super) struct Polls {
    ticks: AtomicU64,
    slots: Mutex<Vec<Weak<Slot>>>,
    /// By the functions' numbers.
    names: OnceLock<Vec<Arc<str>>>,
    over: AtomicBool,
    watchdog: Mutex<Option<Thread>>,
}

/// What is polled in one place now: of a VM, or of a call that moved to the runtime. A poll costs some stores here.
#[derive(Default)]
pub(super) struct Slot {
    /// The function's number and 1, or 0 for none.
    function: AtomicU32,
    /// In ticks.
    since: AtomicU64,
    said: AtomicBool,
}

pub(super) struct UnderWay<'a>(&'a Slot);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.function.store(0, Ordering::Release);
    }
}

impl Polls {
    pub(super) fn new() -> Polls {
        Polls {
            ticks: AtomicU64::new(0),
            slots: Mutex::default(),
            names: OnceLock::new(),
            over: AtomicBool::new(false),
            watchdog: Mutex::default(),
        }
    }

    /// Says what the functions are called, once.
    pub(super) fn name(&self, names: Vec<Arc<str>>) {
        let _ = self.names.set(names); // a second time there is nothing new
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Weak<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        let mut slots = self.slots();
        if slots.len() == slots.capacity() {
            slots.retain(|slot| slot.strong_count() > 0);
            let live = slots.len();
            slots.reserve(live); // else each newcomer would look through all, while few go
        }
        slots.push(Arc::downgrade(&slot));
        slot
    }

    fn now(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub(super) fn begin<'a>(&self, slot: &'a Slot, function: u32) -> UnderWay<'a> {
        slot.since.store(self.now(), Ordering::Relaxed);
        slot.said.store(false, Ordering::Relaxed);
        slot.function.store(function.saturating_add(1), Ordering::Release);
        UnderWay(slot)
    }

    /// The slots whose polls have taken too long, each with the function.
    fn late(&self) -> Vec<(Arc<Slot>, Arc<str>)> {
        let now = self.now();
        let slots: Vec<Arc<Slot>> = self.slots().iter().filter_map(Weak::upgrade).collect();
        let late = |slot: Arc<Slot>| {
            let number = slot.function.load(Ordering::Acquire).checked_sub(1)?;
            let since = slot.since.load(Ordering::Relaxed);
            let name = self.names.get()?.get(number as usize)?.clone();
            (now.saturating_sub(since) > BLOCKED_AFTER).then_some((slot, name))
        };
        slots.into_iter().filter_map(late).collect()
    }

    pub(super) fn blocked(&self) -> Vec<String> {
        let mut names: Vec<String> = self.late().into_iter().map(|(_, name)| name.to_string()).collect();
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
            std::thread::park_timeout(TICK);
            let Some(polls) = watched.upgrade() else { return };
            polls.ticks.fetch_add(1, Ordering::Relaxed);
            if polls.over.load(Ordering::Acquire) {
                return;
            }
            for (slot, name) in polls.late() {
                if !slot.said.swap(true, Ordering::Relaxed) {
                    tracing::warn!(function = %name, "a host function blocks the thread that polls it; it must await instead");
                }
            }
        }
    })?;
    *polls.watchdog.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
    Ok(())
}
