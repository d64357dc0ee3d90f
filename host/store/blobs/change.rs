//! Changes of blobs, in the transaction of a group: each checked before it writes.

use redb::{ReadableTable, ReadableTableMetadata};

use super::super::list::Turn;
use super::super::row::place;
use super::super::tables::Fault;
use super::super::{Owner, Scope, StoreError};
use super::erase::Erase;
use super::row::{CHUNK_BYTES, Row};
use super::tables::Tables;
use super::types::{BlobQuota, Change, Changed, ContentType, Name, Stat};

/// How many blobs that expired each change discharges their owners of: more than it can add.
const EXPIRED_ROWS: usize = 32;

/// How many secrets are kept, the one for new links among them.
const SECRETS_MAX: usize = 8;

/// What is asked of the store's thread.
pub(in super::super) enum Task {
    Change {
        owner: Owner,
        quota: BlobQuota,
        change: Change,
    },
    /// One step of it.
    Erase {
        owner: Owner,
        from: Erase,
    },
    AddSecret {
        secret: [u8; 32],
        keep: usize,
    },
}

impl Task {
    /// Who asks, if it isn't the host itself.
    pub(in super::super) fn owner(&self) -> Option<&Owner> {
        match self {
            Task::Change { owner, .. } | Task::Erase { owner, .. } => Some(owner),
            Task::AddSecret { .. } => None,
        }
    }
}

/// What a task came to.
pub(in super::super) enum Done {
    Changed(Changed),
    /// From where to go on, if there is more to erase.
    Erased(Option<Erase>),
    Added(u32),
}

/// A refusal leaves the tables as they were; a fault makes the whole transaction void.
pub(super) type Refusable<T> = Result<Result<T, StoreError>, Fault>;

/// Where a change is.
struct At<'a> {
    owner: &'a Owner,
    place: Vec<u8>,
}

impl<'a> At<'a> {
    fn new(owner: &'a Owner, scope: &Scope, name: &Name) -> At<'a> {
        At { owner, place: place(owner, scope, name.as_bytes()) }
    }

    /// What a blob counts for here.
    fn cost(&self, row: &Row) -> u64 {
        row.cost(self.owner, &self.place)
    }
}

impl Tables<'_> {
    /// Does a task. Whether anything was changed comes beside its result.
    pub(in super::super) fn work(
        &mut self,
        turn: &mut Turn<'_>,
        task: &Task,
    ) -> Result<(Result<Done, StoreError>, bool), Fault> {
        match task {
            Task::Change { owner, quota, change } => {
                let expired = self.expire(turn, EXPIRED_ROWS)?;
                let changed = match change {
                    Change::Put { scope, name, bytes, content_type, expires } => {
                        let content_type = content_type.clone();
                        self.put(turn, &At::new(owner, scope, name), quota, bytes, content_type, *expires)?
                    }
                    Change::Append { scope, name, bytes, size } => {
                        self.append(turn, &At::new(owner, scope, name), quota, bytes, *size)?
                    }
                    Change::Rename { scope, from, to } => {
                        self.rename(turn, &At::new(owner, scope, from), &At::new(owner, scope, to), quota)?
                    }
                    Change::Delete { scope, name } => self.delete(turn, &At::new(owner, scope, name), quota)?,
                };
                turn.laps.lap(Some(owner));
                // more than it brought: trash never grows beyond what there was of content
                let most = change.bytes().len().saturating_add(2 * CHUNK_BYTES);
                let freed = self.free(most, &mut |owner| turn.laps.lap(Some(owner)))?;
                let did = matches!(changed, Ok(Changed::Done(_)));
                Ok((changed.map(Done::Changed), did || expired || freed))
            }
            Task::Erase { owner, from } => {
                let next = self.erase(owner, from)?;
                Ok((Ok(Done::Erased(next)), true))
            }
            Task::AddSecret { secret, keep } => Ok((Ok(Done::Added(self.add_secret(*secret, *keep)?)), true)),
        }
    }

    fn put(
        &mut self,
        turn: &mut Turn<'_>,
        at: &At<'_>,
        quota: &BlobQuota,
        bytes: &[u8],
        content_type: Option<ContentType>,
        expires: Option<u64>,
    ) -> Refusable<Changed> {
        let size = bytes.len() as u64;
        let revision = next(turn)?;
        let stat = Stat { size, revision, content_type, modified: turn.now, expires };
        let new = Row { content: revision, stat };
        let old = self.row(&at.place)?;
        if let Err(refused) = quota.allows_size(size) {
            return Ok(Err(refused));
        }
        if let Err(refused) = self.charge(at.owner, quota, old.as_ref().map(|old| at.cost(old)), Some(at.cost(&new)))? {
            return Ok(Err(refused));
        }
        turn.revision = revision;
        self.remove(at, old.as_ref())?;
        self.write_content(at.owner, new.content, 0, bytes)?;
        self.write_row(at, &new)?;
        Ok(Ok(Changed::Done(new.stat)))
    }

    fn append(
        &mut self,
        turn: &mut Turn<'_>,
        at: &At<'_>,
        quota: &BlobQuota,
        bytes: &[u8],
        size: u64,
    ) -> Refusable<Changed> {
        let Some(old) = self.row(&at.place)?.filter(|row| !row.is_due(turn.now)) else {
            return Ok(Ok(Changed::Absent));
        };
        if old.stat.size != size {
            return Ok(Ok(Changed::OtherSize(old.stat.size)));
        }
        let mut new = old.clone();
        new.stat.revision = next(turn)?;
        new.stat.modified = turn.now;
        new.stat.size = size.saturating_add(bytes.len() as u64);
        if let Err(refused) = quota.allows_size(new.stat.size) {
            return Ok(Err(refused));
        }
        if let Err(refused) = self.charge(at.owner, quota, Some(at.cost(&old)), Some(at.cost(&new)))? {
            return Ok(Err(refused));
        }
        turn.revision = new.stat.revision;
        self.write_content(at.owner, new.content, size, bytes)?;
        self.write_row(at, &new)?;
        Ok(Ok(Changed::Done(new.stat)))
    }

    fn rename(&mut self, turn: &mut Turn<'_>, from: &At<'_>, to: &At<'_>, quota: &BlobQuota) -> Refusable<Changed> {
        let Some(old) = self.row(&from.place)?.filter(|row| !row.is_due(turn.now)) else {
            return Ok(Ok(Changed::Absent));
        };
        let mut new = old.clone();
        new.stat.revision = next(turn)?;
        let replaced = if from.place == to.place { None } else { self.row(&to.place)? };
        let freed = replaced.iter().map(|row| to.cost(row)).chain([from.cost(&old)]);
        if let Err(refused) = self.charge(from.owner, quota, freed, Some(to.cost(&new)))? {
            return Ok(Err(refused));
        }
        turn.revision = new.stat.revision;
        self.remove(to, replaced.as_ref())?;
        self.blobs.remove(from.place.as_slice())?;
        self.write_row(to, &new)?;
        Ok(Ok(Changed::Done(new.stat)))
    }

    fn delete(&mut self, turn: &Turn<'_>, at: &At<'_>, quota: &BlobQuota) -> Refusable<Changed> {
        let Some(old) = self.row(&at.place)?.filter(|row| !row.is_due(turn.now)) else {
            return Ok(Ok(Changed::Absent));
        };
        if let Err(refused) = self.charge(at.owner, quota, Some(at.cost(&old)), None)? {
            return Ok(Err(refused));
        }
        self.remove(at, Some(&old))?;
        Ok(Ok(Changed::Done(old.stat)))
    }

    /// Writes down what the owner has after a change, if it may have that.
    fn charge(
        &mut self,
        owner: &Owner,
        quota: &BlobQuota,
        freed: impl IntoIterator<Item = u64>,
        taken: Option<u64>,
    ) -> Refusable<()> {
        let before = self.usage(owner)?;
        let mut after = before.less(freed).ok_or_else(|| Fault::damaged("blob usage"))?;
        if let Some(bytes) = taken {
            after.blobs = after.blobs.saturating_add(1);
            after.bytes = after.bytes.saturating_add(bytes);
        }
        if let Err(refused) = quota.allows(before, after) {
            return Ok(Err(refused));
        }
        if after != before {
            self.set_usage(owner, after)?;
        }
        Ok(Ok(()))
    }

    /// Takes a blob's row away; its content is trash from now on.
    fn remove(&mut self, at: &At<'_>, row: Option<&Row>) -> Result<(), Fault> {
        let Some(row) = row else { return Ok(()) };
        self.discard(at.owner, row)?;
        self.blobs.remove(at.place.as_slice())?;
        Ok(())
    }

    fn write_row(&mut self, at: &At<'_>, row: &Row) -> Result<(), Fault> {
        self.blobs.insert(at.place.as_slice(), row.write().as_slice())?;
        if let Some(expires) = row.stat.expires {
            self.expiries.insert((expires, row.content), at.place.as_slice())?;
        }
        Ok(())
    }

    fn add_secret(&mut self, secret: [u8; 32], keep: usize) -> Result<u32, Fault> {
        let last = self.secrets.last()?.map_or(0, |(number, _)| number.value());
        let number = last.checked_add(1).ok_or_else(|| Fault("there are no more numbers for link secrets".into()))?;
        self.secrets.insert(number, secret)?;
        let most = keep.saturating_add(1).min(SECRETS_MAX);
        while self.secrets.len()? > most as u64 {
            self.secrets.pop_first()?;
        }
        Ok(number)
    }
}

fn next(turn: &Turn<'_>) -> Result<u64, Fault> {
    turn.revision.checked_add(1).ok_or_else(|| Fault("there are no more revisions".into()))
}
