//! Motu's own threads. They run guests, and nothing else.
//!
//! A panic out of a job is a fault of Motu's own. The thread that it happened on ends, and another takes its place; the job
//! answers for what it was doing, and all others never notice.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::runtime::Handle;

use crate::queue::Queue;
use crate::vm::panic_text;

/// What a worker has burnt, also before it was replaced.
pub(crate) type Burnt = Arc<AtomicU64>;

/// Starts a worker on a queue. It ends when the queue is closed. The runtime is entered for good: host functions are polled
/// here first.
pub(crate) fn start(queue: &Arc<Queue>, name: &str, burnt: &Burnt, runtime: &Handle) -> io::Result<()> {
    let (queue, burnt, runtime) = (queue.clone(), burnt.clone(), runtime.clone());
    let work = {
        let name = name.to_owned();
        move || work(&queue, &name, &burnt, &runtime)
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn work(queue: &Arc<Queue>, name: &str, burnt: &Burnt, runtime: &Handle) {
    let _entered = runtime.enter();
    while let Some(job) = queue.next() {
        let panic = match catch_unwind(AssertUnwindSafe(|| job.clone().run())) {
            Ok(fuel) => {
                burnt.fetch_add(fuel, Ordering::Relaxed);
                continue;
            }
            Err(panic) => panic,
        };
        let cause = format!("a worker died: {}", panic_text(&*panic));
        tracing::error!(worker = name, cause, "a worker died and is replaced");
        // first the one who takes over, then the answers: whoever is told finds a worker
        let replaced = start(queue, name, burnt, runtime);
        if catch_unwind(AssertUnwindSafe(|| job.lost(&cause))).is_err() {
            tracing::error!(worker = name, "a job could not be given up");
        }
        match replaced {
            Ok(()) => return,
            // no thread to be had: this one goes on, rather than none
            Err(error) => tracing::error!(worker = name, %error, "no thread can be started"),
        }
    }
}
