//! Blobs in memory: small, with an end, and gone with the process.
//!
//! They have a quota of their own, since memory is not disk, and all owners' together have one too: what one owner holds, others
//! can't. One that expired is gone for readers from its time on. It is let go of by whatever change comes by and from time to time, a few at
//! once: all owners share one lock, and what a blob has is let go of outside of it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::content::{Content, More};
use crate::store::blobs::{
    BlobQuota, BlobUsage, Changed, ContentType, Name, Names, Part, Range, Stat, Stats, blob_cost,
};
use crate::store::{Owner, Scope, StoreError};

/// The time, in milliseconds since 1970.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How many that expired are let go of under one lock: some 50 us.
const SWEEP: usize = 32;

/// How often in a row, where nobody waits for it.
const SWEEPS: usize = 8;

/// Revisions go on from the time when the process started, times this. So none is of an earlier process, nor of a blob on disk, and
/// all are below 2^53: exact in Luau.
const REVISIONS_IN_MS: u64 = 1 << 10;

/// All of them.
pub(crate) struct Memory {
    clock: Clock,
    /// What all owners' blobs may take.
    bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owners: HashMap<Owner, Owned>,
    /// By when, and the revision of the `put`.
    expiries: BTreeMap<(u64, u64), (Owner, Scope, Name)>,
    bytes: u64,
    revision: u64,
}

/// What one owner has.
#[derive(Default)]
struct Owned {
    scopes: HashMap<Scope, BTreeMap<Name, Blob>>,
    /// When each expires, and the revision of its `put`.
    expiries: BTreeSet<(u64, u64)>,
    usage: BlobUsage,
}

struct Blob {
    stat: Stat,
    /// The revision of its `put`.
    number: u64,
    content: Content,
}

impl Memory {
    /// What one owner may have: 1,000 blobs, 16 MiB in all, 4 MiB each.
    pub(crate) const QUOTA: BlobQuota = BlobQuota { blobs: 1_000, bytes: 16 << 20, blob_bytes: 4 << 20 };

    /// What all owners' blobs may take, in bytes: 256 MiB.
    pub(crate) const BYTES_MAX: u64 = 256 << 20;

    pub(crate) fn new(clock: Clock, bytes_max: u64) -> Memory {
        let revision = clock().saturating_mul(REVISIONS_IN_MS);
        Memory { clock, bytes_max, state: Mutex::new(State { revision, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part of a blob, unless there is none or it has expired.
    ///
    /// # Errors
    /// If the part has more than [`Range::bytes_max`].
    pub(crate) fn get(
        &self,
        owner: &Owner,
        scope: &Scope,
        name: &Name,
        range: &Range,
    ) -> Result<Option<Part>, StoreError> {
        let now = (self.clock)();
        let found = self.state().find(owner, scope, name, now).map(|blob| (blob.stat.clone(), blob.content.clone()));
        let Some((stat, content)) = found else { return Ok(None) };
        let (start, end) = range.within(stat.size)?;
        Ok(Some(Part { stat, bytes: content.part(start, end) }))
    }

    /// The blobs of a scope in the order of their names.
    pub(crate) fn list(&self, owner: &Owner, scope: &Scope, names: &Names<'_>) -> Stats {
        let now = (self.clock)();
        let state = self.state();
        let mut stats = Stats::default();
        let Some(blobs) = state.owners.get(owner).and_then(|owned| owned.scopes.get(scope)) else { return stats };
        let start = names.after.filter(|after| *after >= names.prefix);
        let start = start.map_or(Bound::Included(names.prefix), Bound::Excluded);
        for (name, blob) in blobs.range::<[u8], _>((start, Bound::Unbounded)) {
            if !name.as_bytes().starts_with(names.prefix) {
                break;
            }
            if blob.is_due(now) {
                stats.passed += 1;
                continue; // the quota bounds them
            }
            if stats.blobs.len() >= names.max {
                stats.more_after = stats.blobs.last().map(|(name, _)| name.clone());
                break;
            }
            stats.blobs.push((name.as_bytes().to_vec(), blob.stat.clone()));
        }
        stats
    }

    /// What the owner's blobs take. Those that expired count until they were let go of: see [`sweep_owner`](Memory::sweep_owner).
    pub(crate) fn usage(&self, owner: &Owner) -> BlobUsage {
        self.sweep_owner(owner);
        self.state().owners.get(owner).map(|owned| owned.usage).unwrap_or_default()
    }

    /// Lets go of some of an owner's that expired. Whether there may be more of them.
    pub(crate) fn sweep_owner(&self, owner: &Owner) -> bool {
        let now = (self.clock)();
        let mut gone = Vec::new(); // outside of the lock
        self.state().sweep_owner(owner, now, &mut gone);
        gone.len() >= SWEEP
    }

    /// Gives the name a new blob, in place of the one it has. `allowed` is asked while nobody else can change anything here.
    ///
    /// # Errors
    /// `Quota`, or what `allowed` says.
    pub(crate) fn put(
        &self,
        at: (&Owner, &Scope, &Name),
        quota: &BlobQuota,
        content: (Vec<u8>, Option<ContentType>, u64),
        allowed: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Stat, StoreError> {
        let (bytes, content_type, expires) = content;
        let now = (self.clock)();
        let size = bytes.len() as u64;
        quota.allows_size(size)?;
        let (content, mut gone) = (Content::new(bytes), Vec::new()); // they end outside of the lock
        let mut state = self.state();
        state.sweep(now, &mut gone);
        allowed()?;
        let number = state.revision.saturating_add(1);
        let stat = Stat { size, revision: number, content_type, modified: now, expires: Some(expires) };
        let blob = Blob { stat, number, content: content.clone() };
        state.set(at, None, quota, self.bytes_max, (now, &mut gone), blob)
    }

    /// Adds to the end of a blob that has so many bytes.
    ///
    /// # Errors
    /// `Quota`.
    pub(crate) fn append(
        &self,
        at: (&Owner, &Scope, &Name),
        quota: &BlobQuota,
        bytes: &[u8],
        size: u64,
    ) -> Result<Changed, StoreError> {
        let now = (self.clock)();
        let (more, mut gone) = (More::new(bytes, size), Vec::new()); // outside of the lock
        let mut state = self.state();
        match state.find(at.0, at.1, at.2, now).map(|blob| blob.stat.size) {
            None => Ok(Changed::Absent),
            Some(has) if has != size => Ok(Changed::OtherSize(has)),
            Some(_) => state.grow(at, quota, self.bytes_max, (now, &mut gone), (more, bytes.len() as u64)),
        }
    }

    /// Gives a blob another name, in place of the blob in memory that has it. `allowed` as for `put`.
    ///
    /// # Errors
    /// `Quota`, or what `allowed` says.
    pub(crate) fn rename(
        &self,
        (owner, scope, from): (&Owner, &Scope, &Name),
        to: &Name,
        quota: &BlobQuota,
        allowed: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Changed, StoreError> {
        let now = (self.clock)();
        let mut gone = Vec::new(); // outside of the lock
        let mut state = self.state();
        let Some(blob) = state.find(owner, scope, from, now) else { return Ok(Changed::Absent) };
        let (stat, number, content) = (blob.stat.clone(), blob.number, blob.content.clone());
        allowed()?;
        let revision = state.revision.saturating_add(1);
        let blob = Blob { stat: Stat { revision, ..stat }, number, content };
        let from = (from != to).then_some(from);
        state.set((owner, scope, to), from, quota, self.bytes_max, (now, &mut gone), blob).map(Changed::Done)
    }

    /// Takes a blob away, and says what it was.
    pub(crate) fn delete(&self, owner: &Owner, scope: &Scope, name: &Name) -> Option<Stat> {
        let now = (self.clock)();
        let mut state = self.state();
        let taken = state.take(owner, scope, name);
        drop(state); // its bytes go outside of the lock
        taken.filter(|blob| !blob.is_due(now)).map(|blob| blob.stat)
    }

    /// Takes all away that is the owner's.
    pub(crate) fn delete_owner(&self, owner: &Owner) {
        let mut state = self.state();
        let Some(owned) = state.owners.remove(owner) else { return };
        for expiry in &owned.expiries {
            state.expiries.remove(expiry);
        }
        state.bytes = state.bytes.saturating_sub(owned.usage.bytes);
        drop(state);
        drop(owned); // outside of the lock
    }

    /// Lets go of some that expired, and says when the next does, in milliseconds since 1970. For whoever has a timer.
    pub(crate) fn sweep(&self) -> Option<u64> {
        let now = (self.clock)();
        for _ in 0..SWEEPS {
            let mut gone = Vec::new(); // outside of the lock
            let mut state = self.state();
            state.sweep(now, &mut gone);
            if gone.len() < SWEEP {
                break;
            }
        }
        self.state().expiries.first_key_value().map(|(expiry, _)| expiry.0)
    }
}

impl State {
    fn find(&self, owner: &Owner, scope: &Scope, name: &Name, now: u64) -> Option<&Blob> {
        let blob = self.owners.get(owner)?.scopes.get(scope)?.get(name)?;
        (!blob.is_due(now)).then_some(blob)
    }

    /// Puts a blob in place of what is there, and of what is at `from`, if that is within the quota and the bounds of all. What is to be
    /// let go of goes to `gone`.
    fn set(
        &mut self,
        at: (&Owner, &Scope, &Name),
        from: Option<&Name>,
        quota: &BlobQuota,
        bytes_max: u64,
        (now, gone): (u64, &mut Vec<Blob>),
        blob: Blob,
    ) -> Result<Stat, StoreError> {
        self.sweep_owner(at.0, now, gone);
        let owned = self.owners.get(at.0);
        let blobs = owned.and_then(|owned| owned.scopes.get(at.1));
        let cost = |name: &Name| Some(blobs?.get(name)?.cost(at.1, name));
        let freed: Vec<u64> = from.into_iter().chain([at.2]).filter_map(cost).collect();
        let before = owned.map(|owned| owned.usage).unwrap_or_default();
        let taken = blob.cost(at.1, at.2);
        let mut after = before.less(freed.iter().copied()).unwrap_or_default();
        after.blobs += 1;
        after.bytes = after.bytes.saturating_add(taken);
        quota.allows(before, after)?;
        let freed = freed.iter().sum();
        if taken > freed && self.bytes.saturating_sub(freed).saturating_add(taken) > bytes_max {
            return Err(StoreError::MemoryFull { limit: bytes_max });
        }
        for name in from.into_iter().chain([at.2]) {
            gone.extend(self.take(at.0, at.1, name));
        }
        let stat = blob.stat.clone();
        self.insert(at, blob);
        Ok(stat)
    }

    /// Adds to the end of a blob that is there, if that is within the quota and the bounds of all.
    fn grow(
        &mut self,
        at: (&Owner, &Scope, &Name),
        quota: &BlobQuota,
        bytes_max: u64,
        (now, gone): (u64, &mut Vec<Blob>),
        (more, bytes): (More, u64),
    ) -> Result<Changed, StoreError> {
        self.sweep_owner(at.0, now, gone);
        let revision = self.revision.saturating_add(1);
        let Some(owned) = self.owners.get_mut(at.0) else { return Ok(Changed::Absent) };
        let blob = owned.scopes.get_mut(at.1).and_then(|blobs| blobs.get_mut(at.2));
        let Some(blob) = blob else { return Ok(Changed::Absent) };
        let size = blob.stat.size.saturating_add(bytes);
        quota.allows_size(size)?;
        let after = BlobUsage { bytes: owned.usage.bytes.saturating_add(bytes), ..owned.usage };
        quota.allows(owned.usage, after)?;
        let all = self.bytes.saturating_add(bytes);
        if bytes > 0 && all > bytes_max {
            return Err(StoreError::MemoryFull { limit: bytes_max });
        }
        blob.content.add(more);
        blob.stat = Stat { size, revision, modified: now, ..blob.stat.clone() };
        (owned.usage, self.bytes, self.revision) = (after, all, revision);
        Ok(Changed::Done(blob.stat.clone()))
    }

    fn insert(&mut self, (owner, scope, name): (&Owner, &Scope, &Name), blob: Blob) {
        let (cost, expiry) = (blob.cost(scope, name), blob.expiry());
        self.revision = self.revision.max(blob.stat.revision);
        self.bytes = self.bytes.saturating_add(cost);
        self.expiries.insert(expiry, (owner.clone(), scope.clone(), name.clone()));
        let owned = self.owners.entry(owner.clone()).or_default();
        owned.usage.blobs += 1;
        owned.usage.bytes = owned.usage.bytes.saturating_add(cost);
        owned.expiries.insert(expiry);
        owned.scopes.entry(scope.clone()).or_default().insert(name.clone(), blob);
    }

    fn take(&mut self, owner: &Owner, scope: &Scope, name: &Name) -> Option<Blob> {
        let owned = self.owners.get_mut(owner)?;
        let Entry::Occupied(mut blobs) = owned.scopes.entry(scope.clone()) else { return None };
        let blob = blobs.get_mut().remove(name)?;
        if blobs.get().is_empty() {
            blobs.remove();
        }
        let cost = blob.cost(scope, name);
        owned.expiries.remove(&blob.expiry());
        owned.usage.blobs = owned.usage.blobs.saturating_sub(1);
        owned.usage.bytes = owned.usage.bytes.saturating_sub(cost);
        if owned.scopes.is_empty() {
            self.owners.remove(owner);
        }
        self.bytes = self.bytes.saturating_sub(cost);
        self.expiries.remove(&blob.expiry());
        Some(blob)
    }

    /// Takes some away that expired.
    fn sweep(&mut self, now: u64, gone: &mut Vec<Blob>) {
        for _ in 0..SWEEP {
            let (owner, scope, name) = match self.expiries.first_entry() {
                Some(first) if first.key().0 <= now => first.get().clone(),
                _ => return,
            };
            gone.extend(self.take(&owner, &scope, &name));
        }
    }

    /// Takes some away that expired of one owner.
    fn sweep_owner(&mut self, owner: &Owner, now: u64, gone: &mut Vec<Blob>) {
        for _ in 0..SWEEP {
            let first = self.owners.get(owner).and_then(|owned| owned.expiries.first().copied());
            let Some(expiry) = first.filter(|expiry| expiry.0 <= now) else { return };
            let Some((owner, scope, name)) = self.expiries.get(&expiry).cloned() else { return };
            gone.extend(self.take(&owner, &scope, &name));
        }
    }
}

impl Blob {
    fn is_due(&self, now: u64) -> bool {
        self.expiry().0 <= now
    }

    fn expiry(&self) -> (u64, u64) {
        (self.stat.expires.unwrap_or(u64::MAX), self.number)
    }

    fn cost(&self, scope: &Scope, name: &Name) -> u64 {
        blob_cost(scope, name.as_bytes(), self.stat.content_type.as_ref(), self.stat.size)
    }
}
