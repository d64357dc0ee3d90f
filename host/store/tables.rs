//! The tables of a store's database, as one transaction sees them.
//!
//! | table | key | value |
//! |---|---|---|
//! | entries | place | entry |
//! | expiries | time, revision | place of the entry |
//! | resumes | place | |
//! | events | process that was given it (0: none), number | how often it was given out, place, value or run |
//! | usage | owner | keys, bytes |
//! | schedules | place | schedule |
//! | progress | place of a schedule | how far it is, if that isn't as it was when it was set |
//! | runs | time, revision | place of the schedule, unless a run of it is under way |
//! | running | place of a schedule | number of its run that is under way |
//! | left | number of a run whose schedule was deleted | bytes that are charged for until it is over |
//! | schedules usage | owner | schedules, bytes |
//! | meta | name | number |
//!
//! Those of blobs are in `blobs/tables.rs`.

use redb::{
    CommitError, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, Table,
    TableDefinition, TableError, TransactionError, WriteTransaction,
};

use super::schedules::ProgressRow;
use super::{Owner, Usage, blobs};

type Bytes = &'static [u8];

const ENTRIES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("entries");
const EXPIRIES: TableDefinition<'static, (u64, u64), Bytes> = TableDefinition::new("expiries");
const RESUMES: TableDefinition<'static, Bytes, ()> = TableDefinition::new("resumes");
const EVENTS: TableDefinition<'static, (u64, u64), Bytes> = TableDefinition::new("events");
const USAGE: TableDefinition<'static, &str, (u64, u64)> = TableDefinition::new("usage");
const SCHEDULES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("schedules");
const PROGRESS: TableDefinition<'static, Bytes, ProgressRow> = TableDefinition::new("schedule progress");
const RUNS: TableDefinition<'static, (u64, u64), Bytes> = TableDefinition::new("runs");
const RUNNING: TableDefinition<'static, Bytes, u64> = TableDefinition::new("running");
const LEFT: TableDefinition<'static, u64, u64> = TableDefinition::new("left");
const SCHEDULES_USAGE: TableDefinition<'static, &str, (u64, u64)> = TableDefinition::new("schedules usage");
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
    pub(super) schedules: Table<'t, Bytes, Bytes>,
    pub(super) progress: Table<'t, Bytes, ProgressRow>,
    pub(super) runs: Table<'t, (u64, u64), Bytes>,
    pub(super) running: Table<'t, Bytes, u64>,
    pub(super) left: Table<'t, u64, u64>,
    schedules_usage: Table<'t, &'static str, (u64, u64)>,
    pub(super) blobs: blobs::Tables<'t>,
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
            schedules: transaction.open_table(SCHEDULES)?,
            progress: transaction.open_table(PROGRESS)?,
            runs: transaction.open_table(RUNS)?,
            running: transaction.open_table(RUNNING)?,
            left: transaction.open_table(LEFT)?,
            schedules_usage: transaction.open_table(SCHEDULES_USAGE)?,
            blobs: blobs::Tables::open(transaction)?,
        })
    }

    pub(super) fn usage(&self, owner: &Owner) -> Result<Usage, Fault> {
        usage_in(&self.usage, owner)
    }

    pub(super) fn set_usage(&mut self, owner: &Owner, usage: Usage) -> Result<(), Fault> {
        set_usage_in(&mut self.usage, owner, usage)
    }

    pub(super) fn schedules_usage(&self, owner: &Owner) -> Result<Usage, Fault> {
        usage_in(&self.schedules_usage, owner)
    }

    pub(super) fn set_schedules_usage(&mut self, owner: &Owner, usage: Usage) -> Result<(), Fault> {
        set_usage_in(&mut self.schedules_usage, owner, usage)
    }

    /// When there is something to claim by this process, or to free.
    pub(super) fn due(&self, process: u64) -> Result<Option<u64>, Fault> {
        if self.events.range((0, 0)..(process, 0))?.next().transpose()?.is_some() {
            return Ok(Some(0));
        }
        let first = |table: &Table<'t, (u64, u64), Bytes>| -> Result<Option<u64>, Fault> {
            Ok(table.first()?.map(|(key, _)| key.value().0))
        };
        let dues = [first(&self.expiries)?, first(&self.runs)?, self.blobs.due()?];
        Ok(dues.into_iter().flatten().min())
    }
}

fn set_usage_in(table: &mut Table<'_, &'static str, (u64, u64)>, owner: &Owner, usage: Usage) -> Result<(), Fault> {
    if usage == Usage::default() {
        table.remove(owner.as_str())?;
    } else {
        table.insert(owner.as_str(), (usage.keys, usage.bytes))?;
    }
    Ok(())
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
    pub(super) events: ReadOnlyTable<(u64, u64), Bytes>,
    usage: ReadOnlyTable<&'static str, (u64, u64)>,
    pub(super) schedules: ReadOnlyTable<Bytes, Bytes>,
    pub(super) progress: ReadOnlyTable<Bytes, ProgressRow>,
    #[cfg(test)]
    schedules_usage: ReadOnlyTable<&'static str, (u64, u64)>,
    pub(super) blobs: blobs::Snapshot,
    #[cfg(test)]
    meta: ReadOnlyTable<&'static str, u64>,
}

impl Snapshot {
    pub(super) fn of(database: &Database) -> Result<Snapshot, Fault> {
        let transaction = database.begin_read()?;
        Ok(Snapshot {
            entries: transaction.open_table(ENTRIES)?,
            resumes: transaction.open_table(RESUMES)?,
            events: transaction.open_table(EVENTS)?,
            usage: transaction.open_table(USAGE)?,
            schedules: transaction.open_table(SCHEDULES)?,
            progress: transaction.open_table(PROGRESS)?,
            #[cfg(test)]
            schedules_usage: transaction.open_table(SCHEDULES_USAGE)?,
            blobs: blobs::Snapshot::of(&transaction)?,
            #[cfg(test)]
            meta: transaction.open_table(META)?,
        })
    }

    pub(super) fn usage(&self, owner: &Owner) -> Result<Usage, Fault> {
        usage_in(&self.usage, owner)
    }

    #[cfg(test)]
    pub(super) fn schedules_usage(&self, owner: &Owner) -> Result<Usage, Fault> {
        usage_in(&self.schedules_usage, owner)
    }

    #[cfg(test)]
    pub(super) fn commits(&self) -> Result<u64, Fault> {
        Ok(self.meta.get("commits")?.map(|commits| commits.value()).unwrap_or_default())
    }
}
