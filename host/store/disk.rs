//! Where a database lies: a folder of the store's own, or memory.
//!
//! The folder has `lock`, locked as long as the store is open, and `data.redb`. A new database is made under another name
//! and renamed when it is whole, so what has the name is always one, whenever the process was killed.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageError, TableHandle, WriteTransaction,
};

use super::error::OpenError;
use super::local::Settings;
use super::segments::Segments;
use super::tables::{Fault, META, Tables};

/// The format that is written here: of rows and tables, beyond redb's own. Format 1 had all values in their rows, where they stay
/// until they are set again.
pub(super) const FORMAT: u64 = 2;
const OLDEST: u64 = 1;

const DATA: &str = "data.redb";
const NEW: &str = "data.redb.new";
const LOCK: &str = "lock";

/// What opens the database: at the start, and again after it failed.
pub(super) trait Medium: Debug + Send {
    fn open(&mut self, cache_bytes: usize) -> Result<Database, DatabaseError>;
}

/// The numbers that a database goes on counting from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    /// The last revision that was given.
    pub(super) revision: u64,
    /// How many processes have had it open.
    pub(super) process: u64,
    /// How many times it was changed.
    pub(super) commits: u64,
}

impl Counters {
    pub(super) fn read(database: &Database) -> Result<Counters, Fault> {
        let meta = database.begin_read()?.open_table(META)?;
        let number = |name: &str| -> Result<u64, Fault> {
            let number = meta.get(name)?.ok_or_else(|| Fault(format!("the number {name:?} is missing")))?;
            Ok(number.value())
        };
        Ok(Counters { revision: number("revision")?, process: number("process")?, commits: number("commits")? })
    }

    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let mut meta = transaction.open_table(META)?;
        meta.insert("revision", self.revision)?;
        meta.insert("process", self.process)?;
        meta.insert("commits", self.commits)?;
        Ok(())
    }
}

/// A transaction that is on disk, whole, when its commit returns.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate).map_err(|error| Fault(error.to_string()))?;
    // Saves what a repair would have to walk the whole file for, and commits in two phases: tenants choose what is written,
    // and checksums alone don't stand against who makes up the data.
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Makes the tables of an empty database.
fn init(database: &Database) -> Result<(), Fault> {
    let transaction = begin(database)?;
    Tables::open(&transaction)?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    Counters { revision: 0, process: 0, commits: 0 }.write(&transaction)?;
    Ok(transaction.commit()?)
}

/// Opens the medium's database, if it is a store's, for one process more.
pub(super) fn open(
    medium: &mut dyn Medium,
    path: &Path,
    cache_bytes: usize,
) -> Result<(Database, Counters), OpenError> {
    let path = path.to_path_buf();
    let opened = guarded(|| {
        let database = match medium.open(cache_bytes) {
            Ok(database) => database,
            Err(error) => return Ok(Err(not_opened(path.clone(), &error))),
        };
        let read = database.begin_read()?;
        let names: Vec<String> = read.list_tables()?.map(|table| table.name().to_owned()).collect();
        if names.is_empty() && read.list_multimap_tables()?.next().is_none() {
            init(&database)?;
        } else if !names.iter().any(|name| name == META.name()) {
            return Ok(Err(OpenError::NotOurs(path.clone())));
        } else {
            let found = read.open_table(META)?.get("format")?.map(|format| format.value());
            match found {
                Some(OLDEST..=FORMAT) => (),
                Some(found) if found > FORMAT => {
                    return Ok(Err(OpenError::Newer { path: path.clone(), found, known: FORMAT }));
                }
                _ => return Ok(Err(OpenError::NotOurs(path.clone()))),
            }
        }
        drop(read);
        let mut counters = Counters::read(&database)?;
        counters.process += 1;
        counters.commits += 1;
        let transaction = begin(&database)?;
        Tables::open(&transaction)?;
        transaction.open_table(META)?.insert("format", FORMAT)?;
        counters.write(&transaction)?;
        transaction.commit()?;
        Ok(Ok((database, counters)))
    });
    opened.unwrap_or_else(|Fault(why)| Err(OpenError::Damaged { path, why }))
}

/// redb panics on some files that were damaged; that is a fault like others.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Fault("the database code panicked: the file is damaged, or this is a bug; the panic is in the log".into()))
    })
}

fn not_opened(path: PathBuf, error: &DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse(path),
        DatabaseError::UpgradeRequired(_) => OpenError::NotOurs(path),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            OpenError::NotOurs(path)
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
            OpenError::Io { path, why: error.to_string() }
        }
        error => OpenError::Damaged { path, why: error.to_string() },
    }
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder
}

/// A folder, made and locked.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
    /// Whether the file is to be verified: the first time it is opened.
    verify: bool,
}

impl Folder {
    pub(super) fn new(path: &Path, settings: &Settings) -> Result<Folder, OpenError> {
        let failed = |error: io::Error| OpenError::Io { path: path.to_path_buf(), why: error.to_string() };
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(OpenError::NoFolder(path.to_path_buf()));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let data = path.join(DATA);
        let is_ours = |name: &std::ffi::OsStr| name == LOCK || name == DATA || name == NEW;
        let exists = data.try_exists().map_err(failed)?;
        for item in fs::read_dir(path).map_err(failed)? {
            if !exists && !is_ours(&item.map_err(failed)?.file_name()) {
                return Err(OpenError::NotOurs(path.to_path_buf()));
            }
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_path_buf())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let folder = Folder { path: path.to_path_buf(), lock, verify: settings.verify };
        if !data.try_exists().map_err(failed)? {
            folder.make(settings.cache_bytes).map_err(|Fault(why)| OpenError::Io { path: path.to_path_buf(), why })?;
        }
        Ok(folder)
    }

    fn make(&self, cache_bytes: usize) -> Result<(), Fault> {
        let io = |error: io::Error| Fault(error.to_string());
        let new = self.path.join(NEW);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => (), // of a process that was killed here
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io)?;
        let database = builder(cache_bytes).create(&new)?;
        init(&database)?;
        database.close()?;
        fs::rename(&new, self.path.join(DATA)).map_err(io)?;
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(io)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // closing the file isn't enough: a process that is just being started may have a copy of it for a moment
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the folder of the key-value store can't be unlocked; it is when this process ends");
        }
    }
}

impl Medium for Folder {
    fn open(&mut self, cache_bytes: usize) -> Result<Database, DatabaseError> {
        let mut builder = builder(cache_bytes);
        let verify = std::mem::take(&mut self.verify);
        builder.set_check_integrity_on_open(verify);
        let path = self.path.clone();
        builder.set_repair_callback(move |session| {
            let (store, progress) = (path.display(), session.progress());
            if verify {
                tracing::info!(%store, progress, "the key-value store is being verified");
            } else {
                tracing::warn!(%store, progress, "the key-value store was not closed cleanly and is being repaired");
            }
        });
        builder.open(self.path.join(DATA))
    }
}

/// Memory: gone when it is closed.
#[derive(Debug, Default)]
pub(super) struct Memory {
    opened: bool,
}

impl Medium for Memory {
    fn open(&mut self, cache_bytes: usize) -> Result<Database, DatabaseError> {
        if std::mem::replace(&mut self.opened, true) {
            let gone = io::Error::other("a store in memory is gone once it has failed");
            return Err(DatabaseError::Storage(StorageError::Io(gone)));
        }
        builder(cache_bytes).create_with_backend(Segments::default())
    }
}
