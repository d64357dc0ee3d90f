//! Blobs of the local store: what is asked for goes to its thread, or is read from its last commit.

use super::super::error::{Quantity, StoreError};
use super::super::group::{self, Task as Asked};
use super::super::local::{Local, Way};
use super::super::{Owner, Pending, Scope};
use super::Then;
use super::change::{Done, Task};
use super::row::{CHUNK_BYTES, rewritten};
use super::types::{BlobQuota, BlobUsage, Change, Changed, LinkSecret, Name, Names, Part, Range, Stats};
use super::{Blobs, Erase, read};

/// How many bytes of content wait to be written, in all; they have room of their own, so that who changes keys never waits for
/// much more than this. Who comes when it is full, waits.
pub(in super::super) const QUEUE_BYTES: u32 = 16 << 20;

/// What a change counts for beside its content: the pages that it reads and writes.
const ROW_BYTES: usize = 1 << 10;

/// What a task came to, in the transaction: true once that is committed.
pub(in super::super) type Draft = Result<Done, StoreError>;

/// How many bytes a task reads and writes, more or less.
pub(in super::super) fn bytes(task: &Task) -> usize {
    match task {
        Task::Change { change, .. } => {
            let rewritten =
                if let Change::Append { size, bytes, .. } = change { rewritten(*size, bytes.len()) } else { 0 };
            change
                .bytes()
                .len()
                .saturating_add(usize::try_from(rewritten).unwrap_or(CHUNK_BYTES))
                .saturating_add(ROW_BYTES)
        }
        Task::Erase { .. } => 512 << 10,
        Task::AddSecret { .. } => ROW_BYTES,
    }
}

impl Blobs for Local {
    fn blob(&self, owner: &Owner, scope: &Scope, name: &Name, range: &Range) -> Result<Option<Part>, StoreError> {
        self.read(|snapshot, now| read::part(&snapshot.blobs, now, owner, scope, name, range))?
    }

    fn blobs(&self, owner: &Owner, scope: &Scope, names: &Names<'_>) -> Result<Stats, StoreError> {
        self.read(|snapshot, now| read::list(&snapshot.blobs, now, owner, scope, names))
    }

    fn change_blob_then(
        &self,
        owner: &Owner,
        quota: &BlobQuota,
        change: Change,
        then: Option<Then>,
    ) -> Pending<Changed> {
        let (bytes, most) = (change.bytes().len() as u64, BlobQuota::CHANGE_BYTES_MAX);
        if bytes > most {
            let refused = StoreError::Quota { quantity: Quantity::ChangeBytes, limit: most, asked: bytes };
            return Box::pin(std::future::ready(Err(refused)));
        }
        let task = Task::Change { owner: owner.clone(), quota: quota.clone(), change };
        let done = self.way.ask_then(Asked::Blobs(task), bytes, then);
        Box::pin(async move {
            match done.await? {
                group::Done::Blobs(Done::Changed(changed)) => Ok(changed),
                _ => Err(StoreError::mixed_up()),
            }
        })
    }

    fn blob_usage(&self, owner: &Owner) -> Result<BlobUsage, StoreError> {
        self.read(|snapshot, _| snapshot.blobs.usage(owner))
    }

    fn link_secrets(&self) -> Result<Vec<LinkSecret>, StoreError> {
        self.read(|snapshot, _| snapshot.blobs.secrets())
    }

    fn add_link_secret(&self, secret: [u8; 32], keep: usize) -> Pending<u32> {
        let done = self.way.ask(Asked::Blobs(Task::AddSecret { secret, keep }), 0);
        Box::pin(async move {
            match done.await? {
                group::Done::Blobs(Done::Added(number)) => Ok(number),
                _ => Err(StoreError::mixed_up()),
            }
        })
    }
}

/// Deletes all blobs of an owner, and all contents of its that nothing names, in steps.
pub(in super::super) async fn erase(way: &Way, owner: &Owner) -> Result<(), StoreError> {
    let mut next = Some(Erase::Rows);
    while let Some(from) = next {
        match way.ask(Asked::Blobs(Task::Erase { owner: owner.clone(), from }), 0).await? {
            group::Done::Blobs(Done::Erased(more)) => next = more,
            _ => return Err(StoreError::mixed_up()),
        }
    }
    Ok(())
}
