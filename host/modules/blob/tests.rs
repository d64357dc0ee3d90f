//! Blobs as scripts have them (K5): links that can't be forged, memory that ends, one set of names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod both;
mod content;
mod link;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::blobs::{Name, Range};
use crate::store::{Owner, Scope};

fn owner(text: &str) -> Owner {
    Owner::new(text).unwrap()
}

fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn all() -> Range {
    Range { offset: 0, length: None, bytes_max: u64::MAX }
}

/// A clock that the test sets.
fn clock(at: u64) -> (Arc<AtomicU64>, Arc<dyn Fn() -> u64 + Send + Sync>) {
    let time = Arc::new(AtomicU64::new(at));
    let read = time.clone();
    (time, Arc::new(move || read.load(Ordering::SeqCst)))
}
