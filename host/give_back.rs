//! Giving memory back, as a job on a queue: so that it holds no thread for long, and is charged to the tenant whose it was.
//!
//! Callers: `actor` and `load` name the heirs that make these jobs; `image` gives them what is left of memories and images.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use crate::image::{Heir, Remains};
use crate::metering::Turn;
use crate::queue::{Job, Queue, Ran};
use crate::share::Share;

#[cfg(test)]
mod tests;

/// What one memory or image has left. Each run is a step.
struct GiveBack {
    share: Share,
    remains: Mutex<Remains>,
    /// Dropped with the job: who wants to know that it is over.
    _until: Box<dyn Any + Send + Sync>,
}

/// An heir that gives back on a queue, at the cost of a share.
pub(crate) fn heir(queue: &Arc<Queue>, share: &Share) -> Heir {
    let (queue, share) = (queue.clone(), share.clone());
    Heir::new(move |remains| start(&queue, &share, remains, ()))
}

/// Gives back on a queue, at the cost of a share, and drops `until` when that is over. If the queue is closed, it is over at
/// once.
pub(crate) fn start(queue: &Arc<Queue>, share: &Share, remains: Remains, until: impl Any + Send + Sync) {
    let job = GiveBack { share: share.clone(), remains: Mutex::new(remains), _until: Box::new(until) };
    queue.push(Arc::new(job));
}

impl Job for GiveBack {
    fn share(&self) -> &Share {
        &self.share
    }

    /// Burns no fuel: when and how memory is given back is no part of what an event costs. Its time is charged all the same.
    fn run(self: Arc<Self>, _: &Turn) -> Ran {
        let more = self.remains.lock().unwrap_or_else(PoisonError::into_inner).step();
        Ran { fuel: 0, more }
    }

    #[cfg(debug_assertions)]
    fn what(&self) -> String {
        "- memory".to_owned()
    }

    fn due(self: Arc<Self>) {} // it asks for no time

    fn lost(self: Arc<Self>, _: &str) {} // what is left goes with it
}
