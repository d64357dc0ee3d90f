//! The key-value store behind `motu:kv`: what it promises, whatever keeps the bytes. It keeps the blobs behind `motu:blob` too:
//! see [`blobs`].
//!
//! An *owner* (a tenant) has *scopes*, a scope has *keys*, a key has an *entry*: a value, a revision, perhaps a time at which it
//! expires. Owners and scopes have types of their own, and each request is for one owner: no key reaches another's data (M7).
//!
//! All changes are lists of operations (`Store::apply`), done whole or not at all, one after the other, and on disk when they
//! are answered. A list whose future is dropped may still be done, and then all of it.
//!
//! # An entry that expires
//!
//! From its time on, nobody sees it. It becomes an *event*, which waits on disk until it is settled. `Store::claim` hands
//! events out, after it has noted on disk that it did: `Event::attempt` is 1 the first time, and more if an earlier process was given
//! the event and ended before it settled it. An event is never handed out early, never twice in one process, and never lost.
//! What was done about it lies outside of the store, and no store can know whether it was done when the process was killed
//! between doing and settling. So there is a choice:
//!
//! - *Exactly once*, for what is written here: put `Op::Settle` into the list that has the event's effects. They and the
//!   settling are one; a second attempt, or a late first one, is refused with `NoEvent` and changes nothing.
//! - *At least once*, for effects elsewhere: do them, then settle. After a crash in between they are done again;
//!   `Event::number` is the same each time, for who wants to recognise it.
//! - *At most once*: settle first, or settle unseen what comes with an `attempt` above 1.
//!
//! # A schedule
//!
//! An owner has schedules too, by name: what to dispatch when. A run that is due becomes an event with `Event::run`, in the same
//! transaction that notes its instant as over, and all that is said of events above holds for it. Until that is settled no other is
//! made: a schedule has one run at a time, so the quota of schedules bounds the runs too. So each instant comes to one event at most; which
//! of those that were missed come to one, the schedule says (`Missed`).

pub(crate) mod blobs;
mod disk;
mod error;
mod events;
mod group;
mod list;
mod local;
mod meter;
mod read;
mod row;
mod schedules;
mod segments;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use crate::modules::cron::plan::Plan;

use blobs::Blobs;
#[cfg(test)]
use error::Quantity;
pub(crate) use error::{OpenError, StoreError};
pub(crate) use events::Claimed;
pub(crate) use local::{Local, Settings};
pub(crate) use meter::Charge;
pub(crate) use schedules::PAGE_MAX as SCHEDULES_PAGE;

/// What is answered later. What it asks for is queued at once if there is room, and else when it is polled; dropping it drops
/// the answer, and the request if that still waits for room.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Keeps entries, and blobs. Reads are done at once, on the caller's thread; changes are queued.
pub(crate) trait Store: Blobs {
    /// The entry, unless there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a key that can't be, [`StoreError::Unavailable`] if the store can't be read.
    fn get(&self, owner: &Owner, scope: &Scope, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Entries of a scope in the order of their keys.
    ///
    /// # Errors
    /// As `get`.
    fn list(&self, owner: &Owner, scope: &Scope, query: &Query<'_>) -> Result<Page, StoreError>;

    /// Does the operations in their order, all of them or none. Each sees what those before it did.
    ///
    /// # Errors
    /// Of the list: `Invalid`, `Conflict`, `Quota`, `NoEvent`. Of the store: `Unavailable`, and nothing was done; `Unknown`.
    fn apply(&self, owner: &Owner, quota: &Quota, ops: Vec<Op>) -> Pending<Applied>;

    /// What the owner's entries take, with those that expired and whose events are not settled.
    ///
    /// # Errors
    /// `Unavailable`.
    fn usage(&self, owner: &Owner) -> Result<Usage, StoreError>;

    /// A schedule of this name.
    ///
    /// # Errors
    /// As `get`, of a name.
    fn schedule(&self, owner: &Owner, name: &str) -> Result<Option<Scheduled>, StoreError>;

    /// The owner's schedules in the order of their names, from after this one on: 100, or as many as are left.
    ///
    /// # Errors
    /// `Unavailable`.
    fn schedules(&self, owner: &Owner, after: Option<&str>) -> Result<Vec<(String, Scheduled)>, StoreError>;

    /// What the owner's schedules take: `keys` is their number, with those that were deleted and have a run that isn't settled.
    ///
    /// # Errors
    /// `Unavailable`.
    #[cfg(test)]
    fn schedules_usage(&self, owner: &Owner) -> Result<Usage, StoreError>;

    /// When there is something to claim, or to free of blobs, in milliseconds since 1970: 0 for at once, `None` for nothing in
    /// sight.
    fn due(&self) -> watch::Receiver<Option<u64>>;

    /// Hands out events: those of earlier processes first, then what has expired or is to run. At most so many, and not many
    /// more bytes than 4 MiB at once; `due` says whether there are more, even if there are none here. And frees some of what blobs
    /// have left behind.
    ///
    /// # Errors
    /// `Unavailable`, `Unknown`.
    fn claim(&self, limit: usize) -> Pending<Claimed>;

    /// An event that this process claimed. None if it was settled, or deleted with what its owner has.
    ///
    /// # Errors
    /// `Unavailable`.
    fn event(&self, number: u64) -> Result<Option<Event>, StoreError>;

    /// Entries that were set with `resume`, of all owners, from after this place on. At most so many.
    ///
    /// # Errors
    /// `Unavailable`.
    fn resumes(&self, after: Option<&Place>, limit: usize) -> Result<Resumes, StoreError>;

    /// Deletes all that is the owner's, blobs and entries, in steps, with the events that are not settled and without making
    /// new ones. What the owner is given meanwhile may go or stay. After an error or a crash some may be left: do it again.
    ///
    /// # Errors
    /// `Unavailable`, `Unknown`.
    fn delete_owner(&self, owner: &Owner) -> Pending<()>;
}

/// Whose data it is: a tenant, as in `guild:42`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Owner(Arc<str>);

impl Owner {
    /// The longest name, in bytes.
    pub(crate) const BYTES_MAX: usize = 300;

    /// # Errors
    /// If it is empty or longer than [`Owner::BYTES_MAX`].
    pub(crate) fn new(name: &str) -> Result<Owner, StoreError> {
        if name.is_empty() || name.len() > Owner::BYTES_MAX {
            return Err(StoreError::invalid(format!(
                "an owner's name has 1 to {} bytes, this one has {}",
                Owner::BYTES_MAX,
                name.len()
            )));
        }
        Ok(Owner(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({})", self.0)
    }
}

/// A part of an owner's keys, with a name: what grants are for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Scope(Arc<str>);

impl Scope {
    /// The longest name, in bytes.
    pub(crate) const BYTES_MAX: usize = 64;

    /// # Errors
    /// If it is empty, longer than [`Scope::BYTES_MAX`], or has control characters.
    pub(crate) fn new(name: &str) -> Result<Scope, StoreError> {
        if name.is_empty() || name.len() > Scope::BYTES_MAX {
            return Err(StoreError::invalid(format!(
                "a scope's name has 1 to {} bytes, this one has {}",
                Scope::BYTES_MAX,
                name.len()
            )));
        }
        if name.chars().any(char::is_control) {
            return Err(StoreError::invalid(format!("the scope {name:?} has control characters in its name")));
        }
        Ok(Scope(name.into()))
    }

    /// Where schedules are. No script can name it.
    pub(super) fn schedules() -> Scope {
        Scope("".into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.0)
    }
}

/// Where an entry is. A key is any bytes, at least one and at most [`Place::KEY_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) owner: Owner,
    pub(crate) scope: Scope,
    pub(crate) key: Vec<u8>,
}

impl Place {
    /// The longest key, in bytes, whatever the quota says.
    pub(crate) const KEY_BYTES_MAX: usize = 1024;
}

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Vec<u8>,
    /// Another one at each `Set`, of whatever key and owner: greater than all before, never used again.
    pub(crate) revision: u64,
    /// When it expires, in milliseconds since 1970.
    pub(crate) expires: Option<u64>,
    /// Whether `Store::resumes` has it.
    pub(crate) resume: bool,
}

/// One operation of a list.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Gives a key a new entry. A time that has passed is allowed: the entry expires at once.
    Set { scope: Scope, key: Vec<u8>, value: Vec<u8>, expires: Option<u64>, resume: bool },
    /// Adds to the number that the key has, 0 if it has none, and keeps when it expires. Refused if it has anything else.
    Add { scope: Scope, key: Vec<u8>, by: f64 },
    /// Takes the entry away, if there is one. No event comes of it.
    Delete { scope: Scope, key: Vec<u8> },
    /// The list is refused unless the key is so at this point of it.
    Check { scope: Scope, key: Vec<u8>, expected: Expected },
    /// The event is over; refused unless it is this owner's, was claimed by this process, and wasn't settled before.
    Settle { event: u64 },
    /// Gives a schedule its plan: it runs from now on. If it has this very plan, nothing changes; if it runs at the same instants,
    /// those that are due stay so. Refused if it never runs.
    SetSchedule { name: String, plan: Plan },
    /// Takes the schedule away, if there is one, with what is due of it. An event that was made of it stays, and the schedule
    /// is charged for until that is settled.
    DeleteSchedule { name: String },
}

/// What a `Check` wants.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// No entry, or one that has expired.
    Absent,
    /// An entry with this value.
    Value(Vec<u8>),
    /// The very entry that has this revision.
    Revision(u64),
}

/// What a list came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Applied {
    /// For each operation the revision that it gave: only a `Set`, an `Add` and a `SetSchedule` have one.
    pub(crate) revisions: Vec<Option<u64>>,
    /// For each `Add` its sum.
    pub(crate) sums: Vec<f64>,
}

/// Which entries `Store::list` is to give.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    /// What their keys start with.
    pub(crate) prefix: &'a [u8],
    /// Only keys after this one.
    pub(crate) after: Option<&'a [u8]>,
    /// Whether the values are wanted; they are left empty if not.
    pub(crate) values: bool,
    /// At most so many entries.
    pub(crate) entries_max: usize,
    /// Stops when keys and values come to so many bytes: the last entry may go beyond.
    pub(crate) bytes_max: usize,
}

/// Some entries of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<(Vec<u8>, Entry)>,
    /// There may be more after this key, even if this page is empty: it only passed entries that had expired.
    pub(crate) more_after: Option<Vec<u8>>,
    /// Rows of entries that had expired, which were read too.
    pub(crate) passed: usize,
}

/// Some entries to be resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resumes {
    pub(crate) entries: Vec<(Place, Entry)>,
    /// There may be more after this one, even if there are none here.
    pub(crate) more_after: Option<Place>,
}

/// A schedule, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scheduled {
    pub(crate) plan: Plan,
    /// Another one each time that the plan is changed.
    pub(crate) revision: u64,
    /// The last instant that is over, or else when it was set. In milliseconds since 1970, as `next`.
    pub(crate) last: u64,
    /// The next instant; it has passed if that is due, or will be when the run before it is settled. None if there are no more.
    pub(crate) next: Option<u64>,
}

/// An entry that expired, or a run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The revision of the entry, or the run's own: no other event has it, and no later attempt another.
    pub(crate) number: u64,
    /// Of a run: the key is the schedule's name, and the scope means nothing.
    pub(crate) place: Place,
    /// Of a run: the payload. What `Store::claim` hands out has none if it is large: `Store::event` says it.
    pub(crate) value: Vec<u8>,
    /// Which process is being given it: 1 for the first.
    pub(crate) attempt: u32,
    pub(crate) run: Option<Run>,
}

/// A run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The name of the event to dispatch.
    pub(crate) event: String,
    /// The instant it was scheduled for, in milliseconds since 1970.
    pub(crate) at: u64,
    /// How many runs between the one before and this one were missed, and are not made up. 1,000 stands for more.
    pub(crate) missed: u32,
}

/// What an owner's entries take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) keys: u64,
    /// Of each entry: scope, key, value and [`Quota::ENTRY_BYTES`].
    pub(crate) bytes: u64,
}

/// What an owner may have. Lowered below what is there, it allows what frees, and nothing that takes more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Entries, with those that expired and whose events aren't settled: 100,000.
    pub(crate) keys: u64,
    /// Bytes of all entries, as [`Usage::bytes`] counts them: 100 MiB.
    pub(crate) bytes: u64,
    /// Bytes of a key: 1,024, which is also the most.
    pub(crate) key_bytes: usize,
    /// Bytes of a value: 1 MiB.
    pub(crate) value_bytes: usize,
    /// Operations of a list, `Settle` not counted: 100.
    pub(crate) list_ops: usize,
    /// Bytes of all keys and values in a list: 4 MiB.
    pub(crate) list_bytes: usize,
    /// Schedules: 100.
    pub(crate) schedules: u64,
    /// Bytes of all schedules: 1 MiB. Of each its name, its plan and [`Quota::ENTRY_BYTES`].
    pub(crate) schedule_bytes: u64,
}

impl Quota {
    /// What an entry costs beside its bytes: about what it takes on disk for a row of each table it is in.
    pub(crate) const ENTRY_BYTES: u64 = 64;
}

impl Default for Quota {
    fn default() -> Quota {
        Quota {
            keys: 100_000,
            bytes: 100 << 20,
            key_bytes: Place::KEY_BYTES_MAX,
            value_bytes: 1 << 20,
            list_ops: 100,
            list_bytes: 4 << 20,
            schedules: 100,
            schedule_bytes: 1 << 20,
        }
    }
}
