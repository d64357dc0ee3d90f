//! Any bytes as a script. The body is in `body/script.rs`, which `cargo test` runs too, over the corpus.
#![no_main]

#[path = "../body/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| script::run(bytes));
