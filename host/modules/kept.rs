//! What the modules share whose data the store keeps: whose it is, times, values as bytes, and the store's errors.

use crate::clock::Clock;
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::rates::Rates;
use crate::store::{Owner, StoreError};
use crate::wire::canonical::Canonical;
use crate::wire::{Check, Encoded, WireError};

/// Fuel for what reads a row, whatever there is in it.
pub(super) const READ: u64 = 20_000;

/// Fuel for each row that a page reads.
pub(super) const READ_ROW: u64 = 4_000;

/// Fuel for what changes a row: it is put into a transaction, which is committed and answered. Some 5 us of the store's thread.
pub(super) const WRITE: u64 = 100_000;

/// Fuel for a byte that is written, or compared with what is stored: it is sorted, encoded, copied twice and hashed.
pub(super) const WRITE_BYTE: u64 = 20;

/// Fuel for a step of a large value, which is some 50 us.
const STEP: u64 = 1_000_000;

/// How many tokens of a stored value one step looks at.
const CHECK_TOKENS: usize = 10_000;

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
        self.rates.take((), context.tenant(), most, operations).map_err(|_| {
            let message = format!("over the limit {} of {most}: wait, and try again", self.limit);
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
            format!("{name} is no time: it would be {seconds} seconds since 1970"),
        ));
    }
    Ok(milliseconds as u64)
}

#[allow(clippy::cast_precision_loss, reason = "a time in milliseconds is below 2^53")]
pub(super) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

pub(super) fn now(context: &CallContext) -> f64 {
    context.local.clock.since_1970().as_secs_f64()
}

/// A value as it is stored: equal values have the same bytes. A large one is written in steps, and charged for: also what it takes
/// to bring its pairs into order counts as memory of the instance (M4).
pub(super) async fn encoded(context: &CallContext, value: &Encoded) -> Result<Vec<u8>, Error> {
    let mut canonical = Canonical::new(value.bytes());
    let (gauge, most) = (&context.local.gauge, context.limits().memory_bytes);
    let mut held = None;
    while !canonical.step().map_err(|error| Error::new(ErrorKind::Script, error.to_string()))? {
        drop(held.take());
        let bytes = canonical.held_bytes();
        held = Some(gauge.hold_within(bytes, most).ok_or_else(|| {
            let message =
                format!("the pairs of a table take {bytes} bytes to be sorted, over the limit memory_bytes of {most}");
            Error::new(ErrorKind::Limit, message)
        })?);
        context.charge(STEP);
        context.give_way().await;
    }
    drop(held);
    Ok(canonical.into_bytes())
}

/// A value that was stored, as it crosses. A large one is looked through in steps, and charged for.
pub(super) async fn decoded(context: &CallContext, bytes: Vec<u8>) -> Result<Encoded, Error> {
    let mut check = Check::new(&bytes);
    while !check.step(CHECK_TOKENS).map_err(|error| unreadable(&error))? {
        context.charge(STEP);
        context.give_way().await;
    }
    let depth = check.depth();
    Ok(Encoded::written(bytes, depth))
}

/// A value that was stored, for an event: where there are no turns, it makes room for others between its steps.
pub(crate) async fn readable(bytes: &[u8]) -> Result<Encoded, Error> {
    let mut check = Check::new(bytes);
    while !check.step(CHECK_TOKENS).map_err(|error| unreadable(&error))? {
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
