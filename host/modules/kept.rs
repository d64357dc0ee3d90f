//! What the modules share whose data the store keeps: whose it is, times, values as bytes, and the store's errors.

use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::store::{Owner, StoreError};
use crate::value::Value;

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

/// Equal values have the same bytes: tables are in the order of their keys.
pub(super) fn encoded(value: &Value) -> Result<Vec<u8>, Error> {
    sorted(value).encode().map_err(|error| Error::new(ErrorKind::Script, error.to_string()))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Map(pairs) => {
            let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Map(pairs)
        }
        other => other.clone(),
    }
}

pub(crate) fn decoded(bytes: &[u8]) -> Result<Value, Error> {
    Value::decode(bytes).map_err(|error| Error::new(ErrorKind::Host, format!("a stored value can't be read: {error}")))
}

pub(super) fn failed(error: StoreError) -> Error {
    let kind = match error {
        StoreError::Quota { .. } | StoreError::MemoryFull { .. } => ErrorKind::Limit,
        StoreError::Invalid { .. } | StoreError::Conflict { .. } | StoreError::NoEvent { .. } => ErrorKind::Script,
        _ => ErrorKind::Host,
    };
    Error::new(kind, error.to_string())
}
