//! Any bytes as a script. The body is in `body/script.rs`, which `cargo test` runs too, over the corpus.
#![no_main]

use std::sync::LazyLock;

use motu::Motu;

#[path = "../body/script.rs"]
mod script;

static MOTU: LazyLock<Motu> = LazyLock::new(|| script::builder().build().expect("Motu starts"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| script::run(&MOTU, bytes));
