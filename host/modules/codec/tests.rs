//! The module as `codec.wit` promises it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test that fails may panic"
)]

mod deflate;
mod hashes;
mod hostile;
mod prices;
mod texts;

use super::types::Bytes;
use super::work::{Step, Work};

/// More than the results here need.
const PLENTY: usize = 1 << 30;

fn done<W: Work>(work: Result<W, String>) -> Result<W::Output, String> {
    steps(work?).0
}

/// What came of it, the fuel, and the number of steps.
fn steps<W: Work>(mut work: W) -> (Result<W::Output, String>, u64, u64) {
    let mut steps = 0;
    loop {
        steps += 1;
        let fuel = work.fuel();
        let step = work.step();
        match step {
            Ok(Step::More) => assert!(work.fuel() > fuel, "a step that costs nothing"),
            Ok(Step::Done(output)) => return (Ok(output), work.fuel(), steps),
            Err(error) => return (Err(error), work.fuel(), steps),
        }
    }
}

fn text(result: Result<Bytes, String>) -> String {
    String::from_utf8(result.unwrap().0).unwrap()
}

fn wrong<T: std::fmt::Debug>(result: Result<T, String>, part: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(part), "{error:?} lacks {part:?}");
}

/// The same bytes each time.
fn noise(bytes: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Deflate data, bit by bit.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    open: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u64, bits: u32) -> &mut Bits {
        self.open |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.bytes.push(self.open as u8);
            self.open >>= 8;
            self.count -= 8;
        }
        self
    }

    fn end(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.open as u8);
        }
        self.bytes
    }
}

/// Blocks of fixed codes with nothing in them.
fn empty_blocks(count: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    for block in 1..=count {
        bits.put(u64::from(block == count), 1).put(1, 2).put(0, 7);
    }
    bits.end()
}
