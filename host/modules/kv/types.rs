//! The records of `kv.wit`, as Rust has them.

use serde::{Deserialize, Serialize};

use super::super::kept::{decoded, encoded, seconds};
use crate::context::CallContext;
use crate::error::Error;
use crate::store;
use crate::wire::Encoded;

/// Any bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Key(#[serde(with = "serde_bytes")] pub(super) Vec<u8>);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    key: Key,
    value: Encoded,
    revision: u64,
    expires: Option<f64>,
    resume: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SetOptions {
    pub(super) ttl: Option<f64>,
    pub(super) expires: Option<f64>,
    pub(super) resume: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Expected {
    Absent,
    Value(Encoded),
    Revision(u64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) key: Key,
    pub(super) value: Encoded,
    pub(super) options: Option<SetOptions>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Check {
    pub(super) key: Key,
    pub(super) expected: Expected,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Operation {
    Set(Setting),
    Delete(Key),
    Check(Check),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Conflict {
    pub(super) message: String,
    pub(super) operation: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ListOptions {
    pub(super) prefix: Option<Key>,
    pub(super) after: Option<Key>,
    pub(super) limit: Option<u32>,
    pub(super) values: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) more_after: Option<Key>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) keys: u64,
    pub(super) bytes: u64,
    pub(super) keys_max: u64,
    pub(super) bytes_max: u64,
}

/// What a list came to: a revision for each operation, or the check that failed.
pub(super) type Applied = Result<Vec<u64>, Conflict>;

impl Entry {
    pub(super) async fn new(context: &CallContext, key: Vec<u8>, entry: store::Entry) -> Result<Entry, Error> {
        let without = Entry::without_value(key, &entry);
        Ok(Entry { value: decoded(context, entry.value).await?, ..without })
    }

    pub(super) fn without_value(key: Vec<u8>, entry: &store::Entry) -> Entry {
        let expires = entry.expires.map(seconds);
        Entry { key: Key(key), value: Encoded::default(), revision: entry.revision, expires, resume: entry.resume }
    }
}

impl Expected {
    pub(super) async fn encoded(&self, context: &CallContext) -> Result<store::Expected, Error> {
        Ok(match self {
            Expected::Absent => store::Expected::Absent,
            Expected::Value(value) => store::Expected::Value(encoded(context, value).await?),
            Expected::Revision(revision) => store::Expected::Revision(*revision),
        })
    }
}
