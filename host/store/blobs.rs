//! The blobs behind `motu:blob`: bytes with a name, kept in the same database as the keys, with the same owners and scopes.
//!
//! A blob has a *row* (size, revision, when it expires) and its *content*, in chunks. One change is one blob's, done whole or not
//! at all, and on disk when it is answered. A read sees the last commit: the old blob or the new one, whole, and only the chunks
//! that its range touches.
//!
//! Content that nothing names any more is *trash*: it counts for nobody, and is freed in steps, so that no commit is long. Each
//! write frees twice what it writes, so there is never much more trash than there was content; `Store::claim` frees the rest. The
//! content of a small value is never trash: it goes with what replaces it.
//!
//! A blob that expires is gone for all readers from its time on. No event comes of it. It stays charged until a change of some
//! blob, or `Store::claim`, has come to it.

mod change;
mod content;
mod erase;
mod local;
mod read;
mod row;
mod tables;
mod types;

pub(super) use change::{Done, Task};
pub(super) use erase::Erase;
pub(super) use local::{Draft, QUEUE_BYTES, bytes, erase};
pub(super) use row::CHUNK_BYTES;
#[cfg(test)]
pub(super) use row::TAIL_BYTES;
pub(crate) use row::rewritten;
pub(super) use tables::{Snapshot, Tables};
pub(crate) use types::{
    BlobQuota, BlobUsage, Change, Changed, ContentType, LinkSecret, Name, Names, Part, Range, Stat, Stats, blob_cost,
};

use super::{Owner, Pending, Scope, StoreError};

/// Called when a change is done.
pub(crate) type Then = Box<dyn FnOnce() + Send>;

/// Keeps blobs. Reads are done at once, on the caller's thread; changes are queued with those of the keys.
pub(crate) trait Blobs: Send + Sync {
    /// A part of a blob, unless there is none or it has expired. With a range of no length: what there is to know of it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the part has more than [`Range::bytes_max`]; [`StoreError::Unavailable`].
    fn blob(&self, owner: &Owner, scope: &Scope, name: &Name, range: &Range) -> Result<Option<Part>, StoreError>;

    /// The blobs of a scope in the order of their names, without their content.
    ///
    /// # Errors
    /// `Unavailable`.
    fn blobs(&self, owner: &Owner, scope: &Scope, names: &Names<'_>) -> Result<Stats, StoreError>;

    /// Does one change, whole or not at all. If the future is dropped it may still be done.
    ///
    /// # Errors
    /// `Quota`; `Unavailable`, and nothing was done; `Unknown`.
    fn change_blob(&self, owner: &Owner, quota: &BlobQuota, change: Change) -> Pending<Changed> {
        self.change_blob_then(owner, quota, change, None)
    }

    /// The same, and `then` as soon as it is done, before anything else is: also if nobody waits for it any more.
    fn change_blob_then(
        &self,
        owner: &Owner,
        quota: &BlobQuota,
        change: Change,
        then: Option<Then>,
    ) -> Pending<Changed>;

    /// What the owner's blobs take, with those that expired a moment ago.
    ///
    /// # Errors
    /// `Unavailable`.
    fn blob_usage(&self, owner: &Owner) -> Result<BlobUsage, StoreError>;

    /// What links are signed with: the last is for new links, all are for old ones. None before the first `add_link_secret`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn link_secrets(&self) -> Result<Vec<LinkSecret>, StoreError>;

    /// Signs links with this from now on, and says its number. So many of those before it stay good, 7 at most; links of the
    /// others are refused from now on.
    ///
    /// # Errors
    /// `Unavailable`, `Unknown`.
    fn add_link_secret(&self, secret: [u8; 32], keep: usize) -> Pending<u32>;
}
