//! The tables of blobs, as one transaction sees them.
//!
//! | table | key | value |
//! |---|---|---|
//! | blobs | place | blob |
//! | blob chunks | owner, number of the content, index | bytes |
//! | blob tails | owner, number of the content | bytes that follow its last chunk and belong to it |
//! | blob expiries | time, number of the content | place of the blob |
//! | blob trash | number of the content | owner, number of the content |
//! | blob usage | owner | blobs, bytes |
//! | link secrets | number | secret |

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::super::Owner;
use super::super::tables::Fault;
use super::content;
use super::row::Row;
use super::types::{BlobUsage, LinkSecret};

pub(super) type Bytes = &'static [u8];

const BLOBS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("blobs");
const CHUNKS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("blob chunks");
const TAILS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("blob tails");
const EXPIRIES: TableDefinition<'static, (u64, u64), Bytes> = TableDefinition::new("blob expiries");
const TRASH: TableDefinition<'static, u64, Bytes> = TableDefinition::new("blob trash");
const USAGE: TableDefinition<'static, &str, (u64, u64)> = TableDefinition::new("blob usage");
const SECRETS: TableDefinition<'static, u32, [u8; 32]> = TableDefinition::new("link secrets");

/// All of them, to be changed.
pub(in super::super) struct Tables<'t> {
    pub(super) blobs: Table<'t, Bytes, Bytes>,
    pub(super) chunks: Table<'t, Bytes, Bytes>,
    pub(super) tails: Table<'t, Bytes, Bytes>,
    pub(super) expiries: Table<'t, (u64, u64), Bytes>,
    pub(super) trash: Table<'t, u64, Bytes>,
    usage: Table<'t, &'static str, (u64, u64)>,
    pub(super) secrets: Table<'t, u32, [u8; 32]>,
    /// Contents that have become trash since somebody asked.
    pub(super) discarded: usize,
}

impl<'t> Tables<'t> {
    /// Makes those that don't exist.
    pub(in super::super) fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, Fault> {
        Ok(Tables {
            blobs: transaction.open_table(BLOBS)?,
            chunks: transaction.open_table(CHUNKS)?,
            tails: transaction.open_table(TAILS)?,
            expiries: transaction.open_table(EXPIRIES)?,
            trash: transaction.open_table(TRASH)?,
            usage: transaction.open_table(USAGE)?,
            secrets: transaction.open_table(SECRETS)?,
            discarded: 0,
        })
    }

    /// When there is something to free.
    pub(in super::super) fn due(&self) -> Result<Option<u64>, Fault> {
        if self.trash.first()?.is_some() {
            return Ok(Some(0));
        }
        Ok(self.expiries.first()?.map(|(key, _)| key.value().0))
    }

    pub(super) fn row(&self, place: &[u8]) -> Result<Option<Row>, Fault> {
        row_in(&self.blobs, place)
    }

    pub(super) fn usage(&self, owner: &Owner) -> Result<BlobUsage, Fault> {
        usage_in(&self.usage, owner)
    }

    pub(super) fn set_usage(&mut self, owner: &Owner, usage: BlobUsage) -> Result<(), Fault> {
        if usage == BlobUsage::default() {
            self.usage.remove(owner.as_str())?;
        } else {
            self.usage.insert(owner.as_str(), (usage.blobs, usage.bytes))?;
        }
        Ok(())
    }
}

fn row_in(table: &impl ReadableTable<Bytes, Bytes>, place: &[u8]) -> Result<Option<Row>, Fault> {
    let Some(row) = table.get(place)? else { return Ok(None) };
    Ok(Some(Row::read(row.value()).ok_or_else(|| Fault::damaged("blobs"))?))
}

fn usage_in(table: &impl ReadableTable<&'static str, (u64, u64)>, owner: &Owner) -> Result<BlobUsage, Fault> {
    let row = table.get(owner.as_str())?;
    Ok(row.map_or_else(BlobUsage::default, |row| {
        let (blobs, bytes) = row.value();
        BlobUsage { blobs, bytes }
    }))
}

/// The tables that are read, as of the last commit.
pub(in super::super) struct Snapshot {
    pub(super) blobs: ReadOnlyTable<Bytes, Bytes>,
    chunks: ReadOnlyTable<Bytes, Bytes>,
    tails: ReadOnlyTable<Bytes, Bytes>,
    usage: ReadOnlyTable<&'static str, (u64, u64)>,
    secrets: ReadOnlyTable<u32, [u8; 32]>,
}

impl Snapshot {
    pub(in super::super) fn of(transaction: &ReadTransaction) -> Result<Snapshot, Fault> {
        Ok(Snapshot {
            blobs: transaction.open_table(BLOBS)?,
            chunks: transaction.open_table(CHUNKS)?,
            tails: transaction.open_table(TAILS)?,
            usage: transaction.open_table(USAGE)?,
            secrets: transaction.open_table(SECRETS)?,
        })
    }

    pub(super) fn row(&self, place: &[u8]) -> Result<Option<Row>, Fault> {
        row_in(&self.blobs, place)
    }

    pub(super) fn usage(&self, owner: &Owner) -> Result<BlobUsage, Fault> {
        usage_in(&self.usage, owner)
    }

    /// The bytes of a content, from a place to before another.
    pub(in super::super) fn content(&self, owner: &Owner, number: u64, part: (u64, u64)) -> Result<Vec<u8>, Fault> {
        content::read(&self.chunks, &self.tails, owner, number, part)
    }

    #[cfg(test)]
    pub(in super::super) fn chunks(&self) -> Result<u64, Fault> {
        Ok(redb::ReadableTableMetadata::len(&self.chunks)?)
    }

    pub(super) fn secrets(&self) -> Result<Vec<LinkSecret>, Fault> {
        let secret = |row: Result<(redb::AccessGuard<'_, u32>, redb::AccessGuard<'_, [u8; 32]>), _>| {
            let (number, secret) = row?;
            Ok(LinkSecret { number: number.value(), secret: secret.value() })
        };
        self.secrets.iter()?.map(secret).collect()
    }
}
