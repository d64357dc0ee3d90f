//! `motu:blob`: bytes with a name, of a tenant's own. `blob.wit` says what scripts are promised; `both.rs` keeps them, `store`
//! those on disk.

mod both;
mod content;
mod link;
mod memory;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use both::Both as Blobs;
use both::{New, Place, Quotas};
pub(crate) use memory::Memory;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::kept::{
    READ, READ_ROW, Rate, Steps, WRITE, WRITE_BYTE, expiry, failed, milliseconds, never, now, owner, page, seconds,
};
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::kept::{Kept, later};
use crate::module::HostModule;
use crate::store::blobs::{BlobQuota, BlobUsage, Changed, ContentType, Name, Names, Range as Wanted, Stat, rewritten};
use crate::store::{Owner, Scope};
use crate::value::Shown;

/// The longest that a link is good for, in seconds: 7 days.
const LINK_SECONDS_MAX: f64 = 604_800.0;

/// What an answer takes beside the bytes of a blob.
const AROUND: u64 = 4_096;

pub(super) fn module(kept: &Arc<Kept>) -> Result<HostModule, Error> {
    let rate = Rate::new("blob_operations_per_second", kept.clock.clone());
    let blob = Arc::new(Blob { kept: kept.clone(), rate });
    let module = methods!(HostModule::from_wit(include_str!("blob.wit"))?, blob: {
        "put" => put,
        "append" => append,
        "get" => get,
        "stat" => stat,
        "delete" => delete,
        "rename" => rename,
        "list" => list,
        "link" => link,
        "usage" => usage,
    });
    Ok(module.all_never_granted(never))
}

/// What a link to a blob gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkedBlob {
    /// The part that was asked for.
    pub bytes: Vec<u8>,
    /// Of the whole blob, in bytes.
    pub size: u64,
    /// As in `image/png`: what the tenant says it is, in printable ASCII.
    pub content_type: Option<String>,
    /// Another one after each change of the blob.
    pub revision: u64,
}

pub(crate) fn open(kept: &Kept, link: &str, offset: u64, length: Option<u64>) -> Result<Option<LinkedBlob>, Error> {
    let range = Wanted { offset, length, bytes_max: u64::MAX };
    let opened = kept.blobs.open_link(link, kept.clock.wall(), &range).map_err(failed)?;
    let part = opened.map_err(|error| Error::new(ErrorKind::Denied, error.to_string()))?;
    Ok(part.map(|part| LinkedBlob {
        size: part.stat.size,
        content_type: text(&part.stat),
        revision: part.stat.revision,
        bytes: part.bytes,
    }))
}

#[derive(Debug, Serialize, Deserialize)]
struct Info {
    name: ByteBuf,
    size: u64,
    revision: u64,
    content_type: Option<String>,
    modified: f64,
    expires: Option<f64>,
    memory: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct PutOptions {
    content_type: Option<String>,
    ttl: Option<f64>,
    memory: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Range {
    offset: u64,
    length: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    bytes: ByteBuf,
    size: u64,
    revision: u64,
    content_type: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Conflict {
    message: String,
    size: Option<u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct ListOptions {
    prefix: Option<ByteBuf>,
    after: Option<ByteBuf>,
    limit: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    blobs: Vec<Info>,
    more_after: Option<ByteBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LinkOptions {
    seconds: f64,
    revision: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OneQuota {
    blobs: u64,
    bytes: u64,
    blobs_max: u64,
    bytes_max: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct AllQuotas {
    disk: OneQuota,
    memory: OneQuota,
}

struct Blob {
    kept: Arc<Kept>,
    rate: Rate,
}

impl Blob {
    /// Counts a call, and charges what it costs beside what crosses: before anybody knows whether it will be refused.
    fn begin(&self, context: &CallContext, fuel: u64) -> Result<(), Error> {
        self.rate.take(context, context.limits().blob_operations_per_second, 1)?;
        context.charge(fuel);
        Ok(())
    }

    /// Lets go of the tenant's blobs in memory that expired, a few at a time: none counts any more. How many there are depends on the
    /// time, so no fuel is charged; the tenant's turn is as long as it takes.
    async fn forget(&self, context: &CallContext, owner: &Owner) {
        while self.kept.blobs.memory.sweep_owner(owner) {
            context.give_way().await;
        }
    }

    fn place(&self, context: &CallContext, scope: &str, name: &[u8], fuel: u64) -> Result<Place, Error> {
        self.begin(context, fuel)?;
        let (scope, name) = (Scope::new(scope).map_err(failed)?, Name::new(name).map_err(failed)?);
        Ok(Place { owner: owner(context)?, scope, name })
    }

    async fn put(
        &self,
        context: &CallContext,
        (scope, name, bytes, options): (String, ByteBuf, ByteBuf, Option<PutOptions>),
    ) -> Result<u64, Error> {
        let fuel = WRITE.saturating_add(WRITE_BYTE.saturating_mul(bytes.len() as u64));
        let (at, options) = (self.place(context, &scope, &name, fuel)?, options.unwrap_or_default());
        let content_type = options.content_type.map(|text| ContentType::new(&text)).transpose().map_err(failed)?;
        let expires = options.ttl.map(|ttl| expiry(context, ttl)).transpose()?;
        let new = New { bytes: bytes.into_vec(), content_type, expires, memory: options.memory.unwrap_or_default() };
        if new.memory {
            self.forget(context, &at.owner).await;
        }
        let stat = later(self.kept.blobs.put(&at, &quotas(context), new)).await.map_err(failed)?;
        Ok(stat.revision)
    }

    async fn append(
        &self,
        context: &CallContext,
        (scope, name, bytes, size): (String, ByteBuf, ByteBuf, u64),
    ) -> Result<Result<u64, Conflict>, Error> {
        let written = rewritten(size, bytes.len()).saturating_add(bytes.len() as u64);
        let fuel = WRITE.saturating_add(WRITE_BYTE.saturating_mul(written));
        let at = self.place(context, &scope, &name, fuel)?;
        self.forget(context, &at.owner).await;
        let conflict = |message: String, size| Ok(Err(Conflict { message, size }));
        match later(self.kept.blobs.append(&at, &quotas(context), bytes.into_vec(), size)).await.map_err(failed)? {
            Changed::Done(stat) => Ok(Ok(stat.size)),
            Changed::Absent => conflict("there is no such blob: nothing was added".to_owned(), None),
            Changed::OtherSize(has) => {
                conflict(format!("the blob has {has} bytes and not {size}: nothing was added"), Some(has))
            }
        }
    }

    async fn get(
        &self,
        context: &CallContext,
        (scope, name, range): (String, ByteBuf, Option<Range>),
    ) -> Result<Option<Part>, Error> {
        let at = self.place(context, &scope, &name, READ)?;
        let bytes_max = u64::from(context.limits().payload_bytes).saturating_sub(AROUND);
        let (offset, length) = range.map_or((0, None), |range| (range.offset, range.length));
        let found = self.kept.blobs.get(&at, &Wanted { offset, length, bytes_max }).map_err(failed)?;
        Ok(found.map(|found| Part {
            bytes: ByteBuf::from(found.of.bytes),
            size: found.of.stat.size,
            revision: found.of.stat.revision,
            content_type: text(&found.of.stat),
        }))
    }

    async fn stat(&self, context: &CallContext, (scope, name): (String, ByteBuf)) -> Result<Option<Info>, Error> {
        let at = self.place(context, &scope, &name, READ)?;
        let found = self.kept.blobs.get(&at, &Wanted::NONE).map_err(failed)?;
        Ok(found.map(|found| info(name, &found.of.stat, found.memory)))
    }

    async fn delete(&self, context: &CallContext, (scope, name): (String, ByteBuf)) -> Result<bool, Error> {
        let at = self.place(context, &scope, &name, WRITE)?;
        later(self.kept.blobs.delete(&at, &quotas(context))).await.map_err(failed)
    }

    async fn rename(
        &self,
        context: &CallContext,
        (scope, name, to): (String, ByteBuf, ByteBuf),
    ) -> Result<bool, Error> {
        let (at, to) = (self.place(context, &scope, &name, WRITE)?, Name::new(&to).map_err(failed)?);
        self.forget(context, &at.owner).await;
        let changed = later(self.kept.blobs.rename(&at, &to, &quotas(context))).await.map_err(failed)?;
        Ok(matches!(changed, Changed::Done(_)))
    }

    async fn list(
        &self,
        context: &CallContext,
        (scope, options): (String, Option<ListOptions>),
    ) -> Result<Page, Error> {
        let options = options.unwrap_or_default();
        let max = page(options.limit)?;
        self.begin(context, READ)?;
        let scope = Scope::new(&scope).map_err(failed)?;
        let prefix = options.prefix.unwrap_or_default();
        let after = options.after.as_ref().map(|name| name.as_slice());
        let names = Names { prefix: &prefix, after, max };
        let page = self.kept.blobs.list(&owner(context)?, &scope, &names).map_err(failed)?;
        let mut steps = Steps::new(context);
        steps.did(READ_ROW.saturating_mul(page.read.saturating_sub(page.blobs.len()) as u64)).await;
        let mut blobs = Vec::with_capacity(page.blobs.len());
        for (name, found) in page.blobs {
            blobs.push(info(ByteBuf::from(name), &found.of, found.memory));
            steps.did(READ_ROW).await;
        }
        Ok(Page { blobs, more_after: page.more_after.map(ByteBuf::from) })
    }

    async fn link(
        &self,
        context: &CallContext,
        (scope, name, options): (String, ByteBuf, LinkOptions),
    ) -> Result<Option<String>, Error> {
        let at = self.place(context, &scope, &name, WRITE)?; // a link costs the store's thread 18 us, as a write does
        let seconds = options.seconds;
        if !(seconds > 0.0 && seconds <= LINK_SECONDS_MAX) {
            let message =
                format!("a link is good for up to {LINK_SECONDS_MAX} seconds, 7 days, and not for {}", Shown(seconds));
            return Err(Error::new(ErrorKind::Script, message));
        }
        let expires = milliseconds(now(context) + seconds, "seconds")?;
        later(self.kept.blobs.link(&at, expires, options.revision)).await.map_err(failed)
    }

    async fn usage(&self, context: &CallContext, (): ()) -> Result<AllQuotas, Error> {
        self.begin(context, READ)?;
        let owner = owner(context)?;
        self.forget(context, &owner).await;
        let (disk, memory) = self.kept.blobs.usage(&owner).map_err(failed)?;
        let quotas = quotas(context);
        let one = |usage: BlobUsage, quota: &BlobQuota| OneQuota {
            blobs: usage.blobs,
            bytes: usage.bytes,
            blobs_max: quota.blobs,
            bytes_max: quota.bytes,
        };
        Ok(AllQuotas { disk: one(disk, &quotas.disk), memory: one(memory, &quotas.memory) })
    }
}

fn quotas(context: &CallContext) -> Quotas {
    let limits = context.limits();
    let disk = BlobQuota { blobs: limits.blobs, bytes: limits.blobs_bytes, blob_bytes: limits.blob_bytes };
    let in_memory = limits.blobs_memory_bytes;
    let memory = BlobQuota { bytes: in_memory, blob_bytes: in_memory.min(limits.blob_bytes), ..Memory::QUOTA };
    Quotas { disk, memory }
}

fn info(name: ByteBuf, stat: &Stat, memory: bool) -> Info {
    Info {
        name,
        size: stat.size,
        revision: stat.revision,
        content_type: text(stat),
        modified: seconds(stat.modified),
        expires: stat.expires.map(seconds),
        memory,
    }
}

fn text(stat: &Stat) -> Option<String> {
    stat.content_type.as_ref().map(|text| text.as_str().to_owned())
}
