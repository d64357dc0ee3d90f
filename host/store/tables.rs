//! The tables of a store's database, as one transaction sees them.
//!
//! | table | key | value |
//! |---|---|---|
//! | entries | place | entry |
//! | expiries | time, revision | place of the entry |
//! | resumes | place | |
//! | events | process that was given it (0: none), number | how often it was given out, place, value |
//! | usage | owner | keys, bytes |
//! | meta | name | number |

use redb::{
    CommitError, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, Table,
    TableDefinition, TableError, TransactionError, WriteTransaction,
};

use super::{Owner, Usage};

type Bytes = &'static [u8];

const ENTRIES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("entries");
const EXPIRIES: TableDefinition<'static, (u64, u64), Bytes> = TableDefinition::new("expiries");
const RESUMES: TableDefinition<'static, Bytes, ()> = TableDefinition::new("resumes");
const EVENTS: TableDefinition<'static, (u64, u64), Bytes> = TableDefinition::new("events");
const USAGE: TableDefinition<'static, &str, (u64, u64)> = TableDefinition::new("usage");
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("motu");

/// The database failed, or has what can't be in it. What a transaction did before is void.
#[derive(Clone, Debug)]
pub(super) struct Fault(pub(super) String);

impl Fault {
    pub(super) fn damaged(table: &str) -> Fault {
        Fault(format!("a row of the table {table} makes no sense; the file is damaged"))
    }
}

macro_rules! fault_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Fault {
                Fault(error.to_string())
            }
        })*
    };
}
fault_from!(CommitError, DatabaseError, StorageError, TableError, TransactionError);

/// All tables, to be changed.
pub(super) struct Tables<'t> {
    pub(super) entries: Table<'t, Bytes, Bytes>,
    pub(super) expiries: Table<'t, (u64, u64), Bytes>,
    pub(super) resumes: Table<'t, Bytes, ()>,
    pub(super) events: Table<'t, (u64, u64), Bytes>,
    usage: Table<'t, &'static str, (u64, u64)>,
}

impl<'t> Tables<'t> {
    /// Makes those that don't exist.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, Fault> {
        Ok(Tables {
            entries: transaction.open_table(ENTRIES)?,
            expiries: transaction.open_table(EXPIRIES)?,
            resumes: transaction.open_table(RESUMES)?,
            events: transaction.open_table(EVENTS)?,
            usage: transaction.open_table(USAGE)?,
        })
    }

    pub(super) fn usage(&self, owner: &Owner) -> Result<Usage, Fault> {
        usage_in(&self.usage, owner)
    }

    pub(super) fn set_usage(&mut self, owner: &Owner, usage: Usage) -> Result<(), Fault> {
        if usage == Usage::default() {
            self.usage.remove(owner.as_str())?;
        } else {
            self.usage.insert(owner.as_str(), (usage.keys, usage.bytes))?;
        }
        Ok(())
    }

    /// When there is something to claim by this process.
    pub(super) fn due(&self, process: u64) -> Result<Option<u64>, Fault> {
        if self.events.range((0, 0)..(process, 0))?.next().transpose()?.is_some() {
            return Ok(Some(0));
        }
        Ok(self.expiries.first()?.map(|(key, _)| key.value().0))
    }
}

fn usage_in(table: &impl ReadableTable<&'static str, (u64, u64)>, owner: &Owner) -> Result<Usage, Fault> {
    let row = table.get(owner.as_str())?;
    Ok(row.map_or_else(Usage::default, |row| {
        let (keys, bytes) = row.value();
        Usage { keys, bytes }
    }))
}

/// The tables that are read, as of the last commit. Opening them costs more than most reads, so all reads share them.
pub(super) struct Snapshot {
    pub(super) entries: ReadOnlyTable<Bytes, Bytes>,
    pub(super) resumes: ReadOnlyTable<Bytes, ()>,
    usage: ReadOnlyTable<&'static str, (u64, u64)>,
    #[cfg(test)]
    meta: ReadOnlyTable<&'static str, u64>,
}

impl Snapshot {
    pub(super) fn of(database: &Database) -> Result<Snapshot, Fault> {
        let transaction = database.begin_read()?;
        Ok(Snapshot {
            entries: transaction.open_table(ENTRIES)?,
            resumes: transaction.open_table(RESUMES)?,
            usage: transaction.open_table(USAGE)?,
            #[cfg(test)]
            meta: transaction.open_table(META)?,
        })
    }

    pub(super) fn usage(&self, owner: &Owner) -> Result<Usage, Fault> {
        usage_in(&self.usage, owner)
    }

    #[cfg(test)]
    pub(super) fn commits(&self) -> Result<u64, Fault> {
        Ok(self.meta.get("commits")?.map(|commits| commits.value()).unwrap_or_default())
    }
}
