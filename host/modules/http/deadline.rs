//! The end of a call's time, which all of its parts share.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::types::{Failure, FailureKind};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    /// `after` is a year at most.
    pub(crate) fn new(after: Duration) -> Deadline {
        Deadline { at: Instant::now() + after, after }
    }

    /// Waits for a part of the call.
    pub(crate) async fn hold<T>(&self, what: &str, part: impl Future<Output = T>) -> Result<T, Failure> {
        timeout_at(self.at, part).await.map_err(|_| {
            let seconds = self.after.as_secs_f64();
            Failure::new(FailureKind::Timeout, format!("it took longer than {seconds} seconds; {what} was waited for"))
        })
    }
}
