//! What can go wrong, in words for who wrote the script, or for who runs the service.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};

/// Why a request of the store was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// The request can't be meant so: an empty key, say.
    #[error("{0}")]
    Invalid(String),
    /// A `Check` found something else. Nothing of the list was done.
    #[error("operation {} of the list: the key is not what the check expected; nothing was changed. Read it again and retry", .index + 1)]
    Conflict {
        /// Which operation, from 0.
        index: usize,
    },
    /// Nothing of the list was done.
    #[error("the quota of {quantity} is {limit}, and this would make it {asked}; nothing was changed")]
    Quota {
        /// What there would be too much of.
        quantity: Quantity,
        /// How much there may be.
        limit: u64,
        /// How much there would be.
        asked: u64,
    },
    /// All owners' blobs in memory together are too large.
    #[error(
        "all blobs in memory together may take {limit} bytes, and there is no room for this one now; nothing was changed. Try again later, or put it on disk"
    )]
    MemoryFull {
        /// In bytes.
        limit: u64,
    },
    /// A `Settle` of an event that was settled before, or isn't this owner's. Nothing of the list was done.
    #[error("operation {} of the list: there is no such event to settle, or it is settled already; nothing was changed", .index + 1)]
    NoEvent {
        /// Which operation, from 0.
        index: usize,
    },
    /// The store can't be read or written just now; nothing was changed.
    #[error("the key-value store is out of order, nothing was changed: {0}")]
    Unavailable(String),
    /// The store failed while it wrote, and can't be read to see how far it came: all was done or nothing.
    #[error("the key-value store failed, and it is not known whether the change was made: {0}")]
    Unknown(String),
}

impl StoreError {
    pub(super) fn invalid(why: impl Into<String>) -> StoreError {
        StoreError::Invalid(why.into())
    }

    /// What can't be: an answer to another question.
    pub(super) fn mixed_up() -> StoreError {
        StoreError::Unknown("its answers got mixed up; please report this".into())
    }

    pub(super) fn unavailable(why: impl fmt::Display) -> StoreError {
        StoreError::Unavailable(why.to_string())
    }
}

/// What a quota is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    Keys,
    Bytes,
    KeyBytes,
    ValueBytes,
    ListOps,
    ListRows,
    ListKeyBytes,
    ListBytes,
    Schedules,
    ScheduleBytes,
    Blobs,
    BlobsBytes,
    BlobBytes,
    ChangeBytes,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quantity::Keys => "keys",
            Quantity::Bytes => "bytes in all",
            Quantity::KeyBytes => "bytes in a key",
            Quantity::ValueBytes => "bytes in a value",
            Quantity::ListOps => "operations in a list",
            Quantity::ListRows => {
                "rows that a list writes (a set is one; `ttl` or `expires`, and `resume` are one more each, a value of over 2,048 bytes two; a delete is two)"
            }
            Quantity::ListKeyBytes => "bytes of keys, each with its scope, in a list of operations",
            Quantity::ListBytes => "bytes in a list of operations",
            Quantity::Schedules => "schedules",
            Quantity::ScheduleBytes => "bytes of schedules in all",
            Quantity::Blobs => "blobs",
            Quantity::BlobsBytes => "bytes of all blobs",
            Quantity::BlobBytes => "bytes in a blob",
            Quantity::ChangeBytes => "bytes in one change of a blob",
        })
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Error {
        let kind = match error {
            OpenError::Damaged { .. } | OpenError::Io { .. } => ErrorKind::Host,
            _ => ErrorKind::Usage,
        };
        Error::new(kind, error.to_string())
    }
}

/// Why a store could not be opened. What lies there is left as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another process, or this one, has it open.
    #[error(
        "the key-value store in {0} is in use by another process; stop that one first, or give this one a folder of its own"
    )]
    InUse(PathBuf),
    /// It is a file, or another thing that has no files in it.
    #[error("{0} is no folder: name a folder for the key-value store, which is made if it isn't there")]
    NoFolder(PathBuf),
    /// It is something else.
    #[error("{0} is not a key-value store of Motu's; it was left as it is. Give the store a folder of its own")]
    NotOurs(PathBuf),
    /// A later Motu wrote it.
    #[error(
        "the key-value store in {path} has format {found}, and this Motu knows up to {known}; run the Motu that wrote it, or a later one"
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// Its content makes no sense.
    #[error("the key-value store in {path} is damaged ({why}); it was left as it is. Restore it from a backup")]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The system refused.
    #[error("the key-value store in {path} can't be opened: {why}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
}
