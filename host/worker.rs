//! Motu's own threads. They run guests, and nothing else.
//!
//! A panic out of a job is a fault of Motu's own. The thread that it happened on ends, and another takes its place; the job
//! answers for what it was doing, and all others never notice.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crate::queue::Queue;
use crate::vm::panic_text;

/// Starts a worker on a queue. It ends when the queue is closed.
pub(crate) fn start(queue: &Arc<Queue>, name: &str) -> io::Result<()> {
    let queue = queue.clone();
    let work = {
        let name = name.to_owned();
        move || work(&queue, &name)
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn work(queue: &Arc<Queue>, name: &str) {
    while let Some(job) = queue.next() {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| job.clone().run())) else { continue };
        let cause = format!("a worker died: {}", panic_text(&*panic));
        tracing::error!(worker = name, cause, "a worker died and is replaced");
        // first the one who takes over, then the answers: whoever is told finds a worker
        let replaced = start(queue, name);
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
