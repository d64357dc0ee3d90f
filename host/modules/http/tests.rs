//! Requests to servers on loopback, which is only reachable because each test's settings allow that one address.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails may panic"
)]

mod addresses;
mod certificates;
mod connect;
mod hostile;
mod limits;
mod places;
mod plain;
mod redirects;
mod requests;
mod ssrf;
mod steps;
mod support;
mod targets;
mod tls;
