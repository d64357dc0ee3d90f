//! What is asked of blobs, and what is answered.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::super::{Scope, StoreError};

/// A blob's name: any bytes, at least one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(Arc<[u8]>);

impl Name {
    /// The longest name, in bytes.
    pub(crate) const BYTES_MAX: usize = 512;

    /// # Errors
    /// If it is empty or longer than [`Name::BYTES_MAX`].
    pub(crate) fn new(name: &[u8]) -> Result<Name, StoreError> {
        if name.is_empty() || name.len() > Name::BYTES_MAX {
            let (most, bytes) = (Name::BYTES_MAX, name.len());
            return Err(StoreError::invalid(format!("a blob's name has 1 to {most} bytes, this one has {bytes}")));
        }
        Ok(Name(name.into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.0.escape_ascii())
    }
}

/// What a blob is said to be, as in `image/png`. It can stand in a header of HTTP: nothing but printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentType(Arc<str>);

impl ContentType {
    /// The longest, in bytes.
    pub(crate) const BYTES_MAX: usize = 128;

    /// # Errors
    /// If it is empty, longer than [`ContentType::BYTES_MAX`], has no `/`, or has other than printable ASCII.
    pub(crate) fn new(text: &str) -> Result<ContentType, StoreError> {
        if text.len() > ContentType::BYTES_MAX {
            let (most, bytes) = (ContentType::BYTES_MAX, text.len());
            return Err(StoreError::invalid(format!("a content type has {most} bytes at most, this one has {bytes}")));
        }
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !printable || !text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty()) {
            return Err(StoreError::invalid(format!(
                "{text:?} is no content type: it is like image/png, in printable ASCII"
            )));
        }
        Ok(ContentType(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What there is to know of a blob beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Bytes of its content.
    pub(crate) size: u64,
    /// Another one after each change, never used again.
    pub(crate) revision: u64,
    pub(crate) content_type: Option<ContentType>,
    /// When its content was changed last, in milliseconds since 1970.
    pub(crate) modified: u64,
    /// When it expires, likewise.
    pub(crate) expires: Option<u64>,
}

/// Which part of a blob is wanted. What lies beyond the end is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    /// None: to the end.
    pub(crate) length: Option<u64>,
    /// A part with more is refused.
    pub(crate) bytes_max: u64,
}

impl Range {
    /// No content, but what there is to know.
    pub(crate) const NONE: Range = Range { offset: 0, length: Some(0), bytes_max: 0 };

    /// Where the part begins and ends in content of this size.
    ///
    /// # Errors
    /// If it is too large.
    pub(crate) fn within(&self, size: u64) -> Result<(u64, u64), StoreError> {
        let start = self.offset.min(size);
        let end = self.length.map_or(size, |length| start.saturating_add(length).min(size));
        let (bytes, most) = (end - start, self.bytes_max);
        if bytes > most {
            return Err(StoreError::invalid(format!(
                "this part of the blob has {bytes} bytes, and {most} can be read at once: read it piece by piece, with offset and length"
            )));
        }
        Ok((start, end))
    }
}

/// A part of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) stat: Stat,
    pub(crate) bytes: Vec<u8>,
}

/// Which blobs are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// What their names start with.
    pub(crate) prefix: &'a [u8],
    /// Only names after this one.
    pub(crate) after: Option<&'a [u8]>,
    /// At most so many.
    pub(crate) max: usize,
}

/// Some blobs of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) blobs: Vec<(Vec<u8>, Stat)>,
    /// There may be more after this name, even if there are none here: only expired ones were passed.
    pub(crate) more_after: Option<Vec<u8>>,
    /// Blobs that had expired, which were read too.
    pub(crate) passed: usize,
}

/// A change of one blob.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Gives the name a new blob, in place of the one it has. A time that has passed is allowed: the blob expires at once.
    Put { scope: Scope, name: Name, bytes: Vec<u8>, content_type: Option<ContentType>, expires: Option<u64> },
    /// Adds to the end of a blob, if that has so many bytes.
    Append { scope: Scope, name: Name, bytes: Vec<u8>, size: u64 },
    /// Gives a blob another name, in place of the blob that has it. The content isn't touched.
    Rename { scope: Scope, from: Name, to: Name },
    /// Takes a blob away, if there is one.
    Delete { scope: Scope, name: Name },
}

impl Change {
    /// The content that it brings.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Change::Put { bytes, .. } | Change::Append { bytes, .. } => bytes,
            Change::Rename { .. } | Change::Delete { .. } => &[],
        }
    }
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The blob is so now, or it was so when it was deleted.
    Done(Stat),
    /// There is no such blob; nothing was changed.
    Absent,
    /// The blob has so many bytes, not as many as the `Append` says; nothing was changed.
    OtherSize(u64),
}

/// What signs links, with its number.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LinkSecret {
    pub(crate) number: u32,
    pub(crate) secret: [u8; 32],
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkSecret({})", self.number)
    }
}

/// What an owner's blobs take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobUsage {
    pub(crate) blobs: u64,
    /// Of each blob: scope, name, content type, content and [`BlobQuota::BLOB_BYTES`].
    pub(crate) bytes: u64,
}

impl BlobUsage {
    /// Without blobs that cost so much.
    pub(crate) fn less(self, costs: impl IntoIterator<Item = u64>) -> Option<BlobUsage> {
        costs.into_iter().try_fold(self, |usage, cost| {
            Some(BlobUsage { blobs: usage.blobs.checked_sub(1)?, bytes: usage.bytes.checked_sub(cost)? })
        })
    }
}

/// What an owner may have. Lowered below what is there, it allows what frees, and nothing that takes more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobQuota {
    /// Blobs: 10,000.
    pub(crate) blobs: u64,
    /// Bytes of all blobs, as [`BlobUsage::bytes`] counts them: 256 MiB.
    pub(crate) bytes: u64,
    /// Bytes of one blob's content: 64 MiB.
    pub(crate) blob_bytes: u64,
}

impl BlobQuota {
    /// What a blob costs beside its bytes: about what its rows take on disk.
    pub(crate) const BLOB_BYTES: u64 = 256;

    /// The most content that one change brings, whatever the quota says: it holds up all others while it is written.
    pub(crate) const CHANGE_BYTES_MAX: u64 = 4 << 20;

    /// # Errors
    /// If what there would be after a change is over the quota, and more than before.
    pub(crate) fn allows(&self, before: BlobUsage, after: BlobUsage) -> Result<(), StoreError> {
        use super::super::error::Quantity;
        let refused = |quantity, limit, asked| Err(StoreError::Quota { quantity, limit, asked });
        if after.blobs > self.blobs && after.blobs > before.blobs {
            return refused(Quantity::Blobs, self.blobs, after.blobs);
        }
        if after.bytes > self.bytes && after.bytes > before.bytes {
            return refused(Quantity::BlobsBytes, self.bytes, after.bytes);
        }
        Ok(())
    }

    /// # Errors
    /// If a blob of this size is too large.
    pub(crate) fn allows_size(&self, size: u64) -> Result<(), StoreError> {
        use super::super::error::Quantity;
        if size > self.blob_bytes {
            return Err(StoreError::Quota { quantity: Quantity::BlobBytes, limit: self.blob_bytes, asked: size });
        }
        Ok(())
    }
}

impl Default for BlobQuota {
    fn default() -> BlobQuota {
        BlobQuota { blobs: 10_000, bytes: 256 << 20, blob_bytes: 64 << 20 }
    }
}

/// What a blob counts for.
pub(crate) fn blob_cost(scope: &Scope, name: &[u8], content_type: Option<&ContentType>, size: u64) -> u64 {
    let named = scope.as_str().len() + name.len() + content_type.map_or(0, |text| text.as_str().len());
    size.saturating_add(named as u64).saturating_add(BlobQuota::BLOB_BYTES)
}
