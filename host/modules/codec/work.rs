//! Work in steps: what every function of the module is, so that a long one makes room for other tenants.

use super::price::Price;
use super::types::Bytes;

/// What a step does at most, about: 50 us, as a slice of a script.
pub(crate) const STEP_FUEL: u64 = 1_000_000;

/// The most input that a step takes.
const STEP_BYTES: u64 = 64 << 10;

/// A call under way.
pub(crate) trait Work {
    type Output;

    /// Does about `STEP_FUEL` of it. Not to be called again after `Done`, nor after an error, whose text is for the script.
    fn step(&mut self) -> Result<Step<Self::Output>, String>;

    /// What all steps have cost until now, one that failed included. It depends on the arguments alone.
    fn fuel(&self) -> u64;
}

pub(crate) enum Step<T> {
    More,
    Done(T),
}

/// What is done with an input from its start to its end.
pub(crate) trait Convert {
    type Output;

    /// Takes the next piece of the input, which starts at the offset `at`. All pieces but the last have a multiple of 12 bytes;
    /// there is a last one always, if need be an empty one.
    fn piece(&mut self, at: usize, piece: &[u8], last: bool) -> Result<(), String>;

    /// After the last piece.
    fn finish(&mut self) -> Self::Output;
}

/// The work of a `Convert`.
pub(crate) struct Pieces<C> {
    input: Vec<u8>,
    at: usize,
    price: Price,
    convert: C,
}

impl<C: Convert> Pieces<C> {
    pub(crate) fn new(input: Vec<u8>, price: Price, convert: C) -> Pieces<C> {
        Pieces { input, at: 0, price, convert }
    }
}

impl<C: Convert> Work for Pieces<C> {
    type Output = C::Output;

    fn step(&mut self) -> Result<Step<C::Output>, String> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let (piece, more) = match rest.split_at_checked(step_bytes(self.price)) {
            Some((piece, more)) if !more.is_empty() => (piece, true),
            _ => (rest, false),
        };
        let at = self.at;
        self.at += piece.len();
        self.convert.piece(at, piece, !more)?;
        Ok(if more { Step::More } else { Step::Done(self.convert.finish()) })
    }

    fn fuel(&self) -> u64 {
        self.price.cost(self.at, 0)
    }
}

/// The input that a step takes, by what a byte costs.
pub(crate) fn step_bytes(price: Price) -> usize {
    let bytes = (STEP_FUEL / price.input.max(1)).min(STEP_BYTES);
    usize::try_from(bytes / 12 * 12).unwrap_or_default().max(12)
}

/// An output of `bytes`, if that many can be: what would be larger is refused before it is made.
pub(crate) fn output(bytes: Option<usize>, max: usize) -> Result<Vec<u8>, String> {
    match bytes {
        Some(bytes) if bytes <= max => Ok(Vec::with_capacity(bytes)),
        Some(bytes) => Err(over(&format!("{bytes} bytes"), max)),
        None => Err(over("more bytes than can be counted", max)),
    }
}

pub(crate) fn over(what: &str, max: usize) -> String {
    format!("the result would have {what}, and {max} is the most that can be returned at once: pass less, in parts")
}

pub(crate) fn taken(out: &mut Vec<u8>) -> Bytes {
    Bytes(std::mem::take(out))
}

/// A byte of a text, in a message.
pub(crate) fn shown(byte: u8) -> String {
    format!("\"{}\"", byte.escape_ascii())
}
