//! Blobs on disk and in memory under one set of names: a name has one blob at most, whatever keeps it.
//!
//! The one on disk is what readers see, so a `put` on disk takes the place of a blob in memory with its commit. A `put` in memory
//! is refused where there is one on disk: nothing could take the place of that at once, and come back after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::link::{self, Claim, Key, LinkError};
use super::memory::Memory;
use crate::store::blobs::{BlobQuota, BlobUsage, Change, Changed, ContentType, Name, Names, Part, Range, Stat, Then};
use crate::store::{Owner, Scope, Store, StoreError};

/// How many secrets of links before the newest stay good when one is made because there is none.
const KEEP: usize = 7;

/// Where a blob is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) owner: Owner,
    pub(crate) scope: Scope,
    pub(crate) name: Name,
}

/// What a tenant may have of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas {
    pub(crate) disk: BlobQuota,
    pub(crate) memory: BlobQuota,
}

/// A blob to be put.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: Option<ContentType>,
    /// In milliseconds since 1970.
    pub(crate) expires: Option<u64>,
    pub(crate) memory: bool,
}

/// What a name has: where it is kept, beside the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept<T> {
    pub(crate) memory: bool,
    pub(crate) of: T,
}

/// Some blobs of a scope, in the order of their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) blobs: Vec<(Vec<u8>, Kept<Stat>)>,
    /// There may be more after this name, even if there are none here.
    pub(crate) more_after: Option<Vec<u8>>,
    /// How many rows were read for it, those of blobs that had expired among them.
    pub(crate) read: usize,
}

pub(crate) struct Both {
    pub(crate) disk: Arc<dyn Store>,
    pub(crate) memory: Arc<Memory>,
}

impl Both {
    /// A part of a blob; nothing if there is none, or it has expired.
    ///
    /// # Errors
    /// If the part is too large, or the store can't be read.
    pub(crate) fn get(&self, at: &Place, range: &Range) -> Result<Option<Kept<Part>>, StoreError> {
        if let Some(of) = self.disk.blob(&at.owner, &at.scope, &at.name, range)? {
            return Ok(Some(Kept { memory: false, of }));
        }
        let part = self.memory.get(&at.owner, &at.scope, &at.name, range)?;
        Ok(part.map(|of| Kept { memory: true, of }))
    }

    fn is_on_disk(&self, at: &Place, name: &Name) -> Result<bool, StoreError> {
        Ok(self.disk.blob(&at.owner, &at.scope, name, &Range::NONE)?.is_some())
    }

    fn not_on_disk(&self, at: &Place, name: &Name) -> Result<(), StoreError> {
        if self.is_on_disk(at, name)? {
            return Err(StoreError::Invalid(format!(
                "{name:?} in the scope {} is a blob on disk, and one in memory can't take its place: delete it first, or take \
                 another name",
                at.scope.as_str()
            )));
        }
        Ok(())
    }

    /// # Errors
    /// Of a blob in memory: if it never expires, or there is one on disk. And as `Blobs::change_blob`.
    pub(crate) async fn put(&self, at: &Place, quotas: &Quotas, new: New) -> Result<Stat, StoreError> {
        if new.memory {
            let Some(expires) = new.expires else {
                return Err(StoreError::Invalid("a blob in memory has to expire: give it a ttl".into()));
            };
            let content = (new.bytes, new.content_type, expires);
            return self
                .memory
                .put((&at.owner, &at.scope, &at.name), &quotas.memory, content, || self.not_on_disk(at, &at.name));
        }
        let change = Change::Put {
            scope: at.scope.clone(),
            name: at.name.clone(),
            bytes: new.bytes,
            content_type: new.content_type,
            expires: new.expires,
        };
        let then = self.supersede(at, &at.name);
        match self.disk.change_blob_then(&at.owner, &quotas.disk, change, Some(then)).await? {
            Changed::Done(stat) => Ok(stat),
            Changed::Absent | Changed::OtherSize(_) => Err(StoreError::Unknown("its answers got mixed up".into())),
        }
    }

    /// Adds to a blob that has so many bytes.
    ///
    /// # Errors
    /// As `Blobs::change_blob`.
    pub(crate) async fn append(
        &self,
        at: &Place,
        quotas: &Quotas,
        bytes: Vec<u8>,
        size: u64,
    ) -> Result<Changed, StoreError> {
        if !self.is_on_disk(at, &at.name)? {
            return self.memory.append((&at.owner, &at.scope, &at.name), &quotas.memory, &bytes, size);
        }
        let change = Change::Append { scope: at.scope.clone(), name: at.name.clone(), bytes, size };
        self.disk.change_blob(&at.owner, &quotas.disk, change).await
    }

    /// Gives a blob another name, in place of the blob that has it.
    ///
    /// # Errors
    /// Of a blob in memory: if there is one on disk that has the name. And as `Blobs::change_blob`.
    pub(crate) async fn rename(&self, from: &Place, to: &Name, quotas: &Quotas) -> Result<Changed, StoreError> {
        let Place { owner, scope, name } = from;
        if !self.is_on_disk(from, name)? {
            let allowed = || self.not_on_disk(from, to);
            return self.memory.rename((owner, scope, name), to, &quotas.memory, allowed);
        }
        let change = Change::Rename { scope: scope.clone(), from: name.clone(), to: to.clone() };
        let then = self.supersede(from, to);
        self.disk.change_blob_then(owner, &quotas.disk, change, Some(then)).await
    }

    /// The blob in memory goes with the commit of the one on disk that takes its place, also if the call was given up meanwhile. No
    /// other can have come to the name by then: one on disk refuses it.
    fn supersede(&self, at: &Place, name: &Name) -> Then {
        let (memory, owner, scope, name) = (self.memory.clone(), at.owner.clone(), at.scope.clone(), name.clone());
        Box::new(move || drop(memory.delete(&owner, &scope, &name)))
    }

    /// Takes a blob away. Whether there was one.
    ///
    /// # Errors
    /// As `Blobs::change_blob`.
    pub(crate) async fn delete(&self, at: &Place, quotas: &Quotas) -> Result<bool, StoreError> {
        let deleted = self.memory.delete(&at.owner, &at.scope, &at.name).is_some();
        if !self.is_on_disk(at, &at.name)? {
            return Ok(deleted);
        }
        let change = Change::Delete { scope: at.scope.clone(), name: at.name.clone() };
        let changed = self.disk.change_blob(&at.owner, &quotas.disk, change).await?;
        Ok(deleted || matches!(changed, Changed::Done(_)))
    }

    /// The blobs of a scope in the order of their names.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(crate) fn list(&self, owner: &Owner, scope: &Scope, names: &Names<'_>) -> Result<Page, StoreError> {
        let in_memory = self.memory.list(owner, scope, names);
        let on_disk = self.disk.blobs(owner, scope, names)?;
        let read = in_memory.blobs.len() + in_memory.passed + on_disk.blobs.len() + on_disk.passed;
        // beyond the end of a page, nobody knows what its kind has
        let end = [in_memory.more_after, on_disk.more_after].into_iter().flatten().min();
        let mut all = BTreeMap::new();
        for (memory, blobs) in [(true, in_memory.blobs), (false, on_disk.blobs)] {
            all.extend(blobs.into_iter().map(|(name, of)| (name, Kept { memory, of })));
        }
        let known = all.into_iter().filter(|(name, _)| end.as_ref().is_none_or(|end| name <= end));
        let mut blobs: Vec<_> = known.collect();
        let more = blobs.len() > names.max;
        blobs.truncate(names.max);
        let last = blobs.last().map(|(name, _)| name.clone());
        Ok(Page { blobs, more_after: if more { last } else { end }, read })
    }

    /// What the owner's blobs take: on disk, in memory.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(crate) fn usage(&self, owner: &Owner) -> Result<(BlobUsage, BlobUsage), StoreError> {
        Ok((self.disk.blob_usage(owner)?, self.memory.usage(owner)))
    }

    /// A token for reading this blob until a time in milliseconds since 1970; nothing if there is no such blob, or none with
    /// this revision.
    ///
    /// # Errors
    /// If there is no key yet, and none can be made.
    pub(crate) async fn link(
        &self,
        at: &Place,
        expires: u64,
        revision: Option<u64>,
    ) -> Result<Option<String>, StoreError> {
        let found = self.get(at, &Range::NONE)?.map(|kept| kept.of.stat.revision);
        if found.is_none() || revision.is_some_and(|wanted| found != Some(wanted)) {
            return Ok(None);
        }
        let claim =
            Claim { owner: at.owner.clone(), scope: at.scope.clone(), name: at.name.clone(), expires, revision };
        if self.disk.link_secrets()?.is_empty() {
            self.rotate(KEEP).await?;
        }
        let secret = self.disk.link_secrets()?.pop();
        let secret = secret.ok_or_else(|| StoreError::Unavailable("it has no secret for links".into()))?;
        Ok(Some(link::sign(&Key::new(&secret), &claim)))
    }

    /// Signs links with a new secret from now on. Of those before it the last `keep`, 7 at most, stay good; with 0 all links that
    /// there are end now.
    ///
    /// # Errors
    /// If the system has no random bytes, or the store can't be written.
    pub(crate) async fn rotate(&self, keep: usize) -> Result<(), StoreError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| StoreError::Unavailable(format!("the system has no random bytes: {error}")))?;
        self.disk.add_link_secret(secret, keep).await.map(drop)
    }

    /// The part of the blob that a link is for; nothing if that is gone, or isn't the one that it was made for.
    ///
    /// # Errors
    /// Inside, what is wrong with the link; outside, if the part is too large, or the store can't be read.
    pub(crate) fn open_link(
        &self,
        token: &str,
        now: SystemTime,
        range: &Range,
    ) -> Result<Result<Option<Part>, LinkError>, StoreError> {
        let keys: Vec<Key> = self.disk.link_secrets()?.iter().map(Key::new).collect();
        let claim = match link::verify(&keys, token, now) {
            Ok(claim) => claim,
            Err(error) => return Ok(Err(error)),
        };
        let at = Place { owner: claim.owner, scope: claim.scope, name: claim.name };
        let part = self.get(&at, range)?.map(|kept| kept.of);
        Ok(Ok(part.filter(|part| claim.revision.is_none_or(|wanted| wanted == part.stat.revision))))
    }
}
