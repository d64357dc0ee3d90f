//! The format's promises: what is written is read back, what is hostile is refused, and errors say where.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod hostile;
mod serde_types;
