//! Motu's own threads. They run guests, and nothing else. What a job's turn takes of one is charged to its tenant (M8), also when
//! it panics.
//!
//! A panic out of a job is a fault of Motu's own. The thread that it happened on ends, and another takes its place; the job
//! answers for what it was doing, and all others never notice.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::runtime::Handle;

#[cfg(debug_assertions)]
use crate::metering::processor_nanos;
use crate::metering::{Metering, Pace, Turn, Watch};
use crate::queue::{Job, Queue, Ran};
use crate::vm::panic_text;

/// What a worker has burnt, also before it was replaced.
pub(crate) type Burnt = Arc<AtomicU64>;

/// What all workers of a Motu have.
#[derive(Clone)]
pub(crate) struct Setting {
    /// Entered for good: host functions are polled on workers first.
    pub(crate) runtime: Handle,
    pub(crate) metering: Metering,
    pub(crate) pace: Pace,
    #[cfg(debug_assertions)]
    pub(crate) on_step: Option<OnStep>,
}

/// A turn of a job on a worker, for tests that look for those that take too long, or too much for their fuel.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Step {
    /// What ran: the tenant, the bundle's digest and the event of an instance, or the bundle that is loaded.
    pub what: String,
    /// The processor time that it took of the worker, in nanoseconds.
    pub nanos: u64,
    /// The fuel that it burnt.
    pub fuel: u64,
    /// What a plain script burns in a microsecond.
    pub pace: u64,
}

/// Called after each turn, in debug builds.
#[derive(Clone)]
pub(crate) struct OnStep(
    #[cfg_attr(not(debug_assertions), allow(dead_code, reason = "for tests"))]
    pub(crate)  Arc<dyn Fn(Step) + Send + Sync>,
);

impl std::fmt::Debug for OnStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnStep")
    }
}

impl Setting {
    /// Runs a turn, and tells a test of it.
    fn run(&self, job: &Arc<dyn Job>, turn: &Turn) -> std::thread::Result<Ran> {
        #[cfg(debug_assertions)]
        let before = self.on_step.as_ref().map(|on_step| (on_step, job.what(), processor_nanos()));
        let ran = catch_unwind(AssertUnwindSafe(|| job.clone().run(turn)));
        #[cfg(debug_assertions)]
        if let (Some((on_step, what, before)), Ok(ran)) = (before, &ran) {
            let nanos = processor_nanos().saturating_sub(before);
            on_step.0(Step { what, nanos, fuel: ran.fuel, pace: self.pace.0 });
        }
        ran
    }
}

/// Starts a worker on a queue. It ends when the queue is closed.
pub(crate) fn start(queue: &Arc<Queue>, name: &str, burnt: &Burnt, setting: &Setting) -> io::Result<()> {
    let (queue, burnt, setting) = (queue.clone(), burnt.clone(), setting.clone());
    let work = {
        let name = name.to_owned();
        move || work(&queue, &name, &burnt, &setting)
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn work(queue: &Arc<Queue>, name: &str, burnt: &Burnt, setting: &Setting) {
    let _entered = setting.runtime.enter();
    let mut watch = Watch::new(setting.metering.clone(), setting.pace);
    let mut again = None;
    while let Some(job) = queue.next(again.take()) {
        let turn = watch.begin();
        let share = job.share().clone();
        let ran = setting.run(&job, &turn);
        let fuel = ran.as_ref().map_or(0, |ran| ran.fuel);
        let (panic, job) = match ran {
            Ok(Ran { more: true, .. }) => (None, Some(job)),
            Ok(Ran { more: false, .. }) => {
                drop(job); // it may be the last of it
                (None, None)
            }
            Err(panic) => (Some(panic), Some(job)),
        };
        share.took(watch.end(fuel), fuel);
        burnt.fetch_add(fuel, Ordering::Relaxed);
        let (Some(panic), Some(job)) = (panic, &job) else {
            again = job;
            continue;
        };
        let cause = format!("a worker died: {}", panic_text(&*panic));
        tracing::error!(worker = name, cause, "a worker died and is replaced");
        // first the one who takes over, then the answers: whoever is told finds a worker
        let replaced = start(queue, name, burnt, setting);
        watch.begin();
        if catch_unwind(AssertUnwindSafe(|| job.clone().lost(&cause))).is_err() {
            tracing::error!(worker = name, "a job could not be given up");
        }
        share.took(watch.end(0), 0);
        match replaced {
            Ok(()) => return,
            // no thread to be had: this one goes on, rather than none
            Err(error) => tracing::error!(worker = name, %error, "no thread can be started"),
        }
    }
}
