//! The format's promises: what is written is read back, what is hostile is refused, and errors say where.

mod checked;
mod serde_types;
