//! What the modules share whose data the store keeps: whose it is, times, values as bytes, and the store's errors.

use crate::clock::Clock;
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::rates::Rates;
use crate::store::{Owner, Scope, StoreError};
use crate::value::Shown;
use crate::wire::canonical::{self, Canonical};
use crate::wire::{Check, Encoded, WireError};

/// Fuel for what reads a row, whatever there is in it.
pub(super) const READ: u64 = 20_000;

/// Fuel for each row that a page reads.
pub(super) const READ_ROW: u64 = 4_000;

/// Fuel for what changes a row: it is put into a transaction, which is committed and answered. Some 5 us of the store's thread.
pub(super) const WRITE: u64 = 100_000;

/// Fuel for a byte that is written, or compared with what is stored: it is sorted, encoded, copied twice and hashed.
pub(super) const WRITE_BYTE: u64 = 20;

/// How much a call does before others may have the worker, in fuel: some 50 us.
const STEP: u64 = 1_000_000;

/// Fuel for a token of a value that is brought into order to be stored, and of one that was stored.
const ENCODE_TOKEN: u64 = 500;
const DECODE_TOKEN: u64 = 100;

/// How many tokens of an event's value are looked at before others may have the thread.
const TOKENS_AT_ONCE: usize = 10_000;

/// Why no scope fits a grant's pattern, if none does. The pattern is given by its pieces between `*`.
pub(super) fn never(name: &str, pieces: &[Box<str>]) -> Option<String> {
    if name != "scope" {
        return None;
    }
    let (bytes, most) = (pieces.iter().map(|piece| piece.len()).sum::<usize>(), Scope::BYTES_MAX);
    match pieces {
        [scope] if scope.is_empty() => Some(format!("scope is never \"\": a scope has 1 to {most} bytes")),
        _ if bytes > most => Some(format!("scope is never so long: a scope has 1 to {most} bytes")),
        _ => None,
    }
}

/// The entries of a page: the most, and how many there are if a call doesn't say.
const PAGE_MAX: u32 = 1_000;
const PAGE: u32 = 100;

/// How many entries a page may have, by the `limit` of a call.
///
/// # Errors
/// The limit is out of range.
pub(super) fn page(limit: Option<u32>) -> Result<usize, Error> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit as usize),
        limit => Err(Error::new(ErrorKind::Script, format!("limit is {limit}; it goes from 1 to {PAGE_MAX}"))),
    }
}

/// How many operations a tenant may do in a second with one of the modules, all its instances together.
pub(super) struct Rate {
    /// The limit's name.
    limit: &'static str,
    rates: Rates<()>,
}

impl Rate {
    pub(super) fn new(limit: &'static str, clock: Clock) -> Rate {
        Rate { limit, rates: Rates::new(clock) }
    }

    /// Counts so many operations of a call; `most` is what the limit says. None is no limit.
    ///
    /// # Errors
    /// The tenant is over the limit.
    pub(super) fn take(&self, context: &CallContext, most: Option<u32>, operations: usize) -> Result<(), Error> {
        let Some(most) = most else { return Ok(()) };
        self.rates.take((), context.tenant(), most, operations).map_err(|over| {
            let message = format!("over the limit {} of {most}: {over}", self.limit);
            Error::new(ErrorKind::Limit, message)
        })
    }
}

pub(super) fn owner(context: &CallContext) -> Result<Owner, Error> {
    Owner::new(&context.tenant().to_string()).map_err(failed)
}

/// Rounded up: nothing expires early.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
pub(super) fn milliseconds(seconds: f64, name: &str) -> Result<u64, Error> {
    let milliseconds = (seconds * 1000.0).ceil();
    if !(0.0..9e15).contains(&milliseconds) {
        return Err(Error::new(
            ErrorKind::Script,
            format!("{name} is no time: it would be {} seconds since 1970", Shown(seconds)),
        ));
    }
    Ok(milliseconds as u64)
}

/// When something expires whose `ttl` a call gives.
pub(super) fn expiry(context: &CallContext, ttl: f64) -> Result<u64, Error> {
    if ttl.is_nan() || ttl <= 0.0 {
        let message = format!("ttl is {}; it is a positive number of seconds", Shown(ttl));
        return Err(Error::new(ErrorKind::Script, message));
    }
    milliseconds(now(context) + ttl, "ttl")
}

#[allow(clippy::cast_precision_loss, reason = "a time in milliseconds is below 2^53")]
pub(super) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

pub(super) fn now(context: &CallContext) -> f64 {
    context.local.clock.since_1970().as_secs_f64()
}

/// What a call does to many things, or to large ones: it is charged for as it is done, and after each step of it, however many things
/// those were, others may have the worker.
pub(super) struct Steps<'c> {
    context: &'c CallContext,
    /// Fuel until the end of this step.
    left: u64,
}

impl<'c> Steps<'c> {
    pub(super) fn new(context: &'c CallContext) -> Steps<'c> {
        Steps { context, left: STEP }
    }

    pub(super) fn context(&self) -> &'c CallContext {
        self.context
    }

    /// Charges for what was done. Returns whether that ended the step: others are to have the worker then.
    fn charge(&mut self, fuel: u64) -> bool {
        self.context.charge(fuel);
        self.left = self.left.saturating_sub(fuel);
        let is_over = self.left == 0;
        if is_over {
            self.left = STEP;
        }
        is_over
    }

    /// Charges for what was done, and yields at the end of a step.
    pub(super) async fn did(&mut self, fuel: u64) {
        if self.charge(fuel) {
            self.context.give_way().await;
        }
    }

    /// How many tokens are left of the step at this price.
    fn tokens(&self, price: u64) -> usize {
        usize::try_from(self.left / price).unwrap_or(usize::MAX).max(1)
    }

    /// Returns a value as it is stored: equal values have the same bytes. What it takes meanwhile counts as memory of the instance while
    /// others have the worker (M4).
    pub(super) async fn encoded(&mut self, value: &Encoded) -> Result<Vec<u8>, Error> {
        // most are, and need no turns
        if let Some((bytes, tokens)) = canonical::scalar(value.bytes()) {
            if self.charge(ENCODE_TOKEN.saturating_mul(tokens as u64)) {
                self.context.give_way_with(bytes.len() as u64).await?;
            }
            return Ok(bytes);
        }
        let mut canonical = Canonical::new(value.bytes());
        loop {
            let tokens = self.tokens(ENCODE_TOKEN);
            let mut left = tokens;
            let stepped = canonical.step(&mut left);
            let is_over = stepped.map_err(|error| Error::new(ErrorKind::Script, error.to_string()))?;
            if self.charge(ENCODE_TOKEN.saturating_mul((tokens - left) as u64)) {
                self.context.give_way_with(canonical.held_bytes()).await?;
            }
            if is_over {
                return Ok(canonical.into_bytes());
            }
        }
    }

    /// Returns a value that was stored, as it crosses.
    pub(super) async fn decoded(&mut self, bytes: Vec<u8>) -> Result<Encoded, Error> {
        let mut check = Check::new(&bytes);
        loop {
            let tokens = self.tokens(DECODE_TOKEN);
            let mut left = tokens;
            let is_over = check.step(&mut left).map_err(|error| unreadable(&error))?;
            self.did(DECODE_TOKEN.saturating_mul((tokens - left) as u64)).await;
            if is_over {
                break;
            }
        }
        let depth = check.depth();
        Ok(Encoded::written(bytes, depth))
    }
}

/// A value that was stored, for an event: where there are no turns, it makes room for others between its steps.
pub(crate) async fn readable(bytes: &[u8]) -> Result<Encoded, Error> {
    let mut check = Check::new(bytes);
    while !check.step(&mut { TOKENS_AT_ONCE }).map_err(|error| unreadable(&error))? {
        tokio::task::yield_now().await;
    }
    Ok(Encoded::written(bytes.to_vec(), check.depth()))
}

fn unreadable(error: &WireError) -> Error {
    Error::new(ErrorKind::Host, format!("a stored value can't be read: {error}"))
}

pub(super) fn failed(error: StoreError) -> Error {
    let kind = match error {
        StoreError::Quota { .. } | StoreError::MemoryFull { .. } => ErrorKind::Limit,
        StoreError::Invalid { .. } | StoreError::Conflict { .. } | StoreError::NoEvent { .. } => ErrorKind::Script,
        _ => ErrorKind::Host,
    };
    Error::new(kind, error.to_string())
}
