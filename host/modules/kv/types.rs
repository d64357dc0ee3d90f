//! The records of `kv.wit`, as Rust has them.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::super::kept::{Steps, seconds};
use crate::error::Error;
use crate::store::{self, Quota};
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

/// The operations of a list, with their number. If they are more than a list may have, those beyond are not kept: a hundred thousand
/// would be let go of on the worker.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) kept: Vec<Operation>,
    pub(super) count: usize,
}

impl<'de> Deserialize<'de> for Operations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Operations, D::Error> {
        deserializer.deserialize_seq(OperationsVisitor)
    }
}

struct OperationsVisitor;

impl<'de> Visitor<'de> for OperationsVisitor {
    type Value = Operations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of operations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Operations, A::Error> {
        let (mut kept, mut count) = (Vec::new(), 0_usize);
        let most = Quota::default().list_ops;
        while let Some(operation) = list.next_element()? {
            count = count.saturating_add(1);
            if kept.len() < most {
                kept.push(operation);
            }
        }
        Ok(Operations { kept, count })
    }
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
    pub(super) async fn new(steps: &mut Steps<'_>, key: Vec<u8>, entry: store::Entry) -> Result<Entry, Error> {
        let without = Entry::without_value(key, &entry);
        Ok(Entry { value: steps.decoded(entry.value).await?, ..without })
    }

    pub(super) fn without_value(key: Vec<u8>, entry: &store::Entry) -> Entry {
        let expires = entry.expires.map(seconds);
        Entry { key: Key(key), value: Encoded::default(), revision: entry.revision, expires, resume: entry.resume }
    }
}

impl Expected {
    pub(super) async fn encoded(&self, steps: &mut Steps<'_>) -> Result<store::Expected, Error> {
        Ok(match self {
            Expected::Absent => store::Expected::Absent,
            Expected::Value(value) => store::Expected::Value(steps.encoded(value).await?),
            Expected::Revision(revision) => store::Expected::Revision(*revision),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use super::*;

    #[test]
    fn m8_no_more_operations_are_kept_than_a_list_may_have() {
        for (given, kept) in [(0, 0), (3, 3), (100, 100), (101, 100), (45_000, 100)] {
            let json = format!("[{}]", vec![r#"{"Delete":[1,2]}"#; given].join(","));
            let operations: Operations = serde_json::from_str(&json).unwrap();
            assert_eq!((operations.count, operations.kept.len()), (given, kept));
            assert!(operations.kept.capacity() <= 256);
        }
    }
}
