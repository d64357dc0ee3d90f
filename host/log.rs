//! What scripts log: where lines go, and how much one event may write.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::{self, error::RecvError};

use crate::tenant::Tenant;
use crate::value::Value;

/// How much a line matters. `print` logs at [`Info`](LogLevel::Info).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// For the script's author.
    Debug,
    /// What `print` writes.
    Info,
    /// Something to look at.
    Warn,
    /// Something that failed.
    Error,
}

/// A line that a script has logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Whose script; none while a bundle is loaded, which happens once for all tenants.
    pub tenant: Option<Tenant>,
    /// The event that it was logged for, or that left the task behind which logs; none while a bundle is loaded.
    pub event: Option<Arc<str>>,
    /// How much it matters.
    pub level: LogLevel,
    /// The text; bytes that aren't UTF-8 are replaced. May hold line breaks.
    pub text: String,
    /// What was logged with it, by the functions of `motu:log`.
    pub fields: Option<Value>,
}

/// What one VM logs.
pub(crate) struct Log {
    sink: LogSink,
    tenant: Option<Tenant>,
    /// What the event that runs may still log, in bytes.
    left: AtomicU32,
}

/// A line is longer than what the event may still log; so many bytes were left.
#[derive(Debug)]
pub(crate) struct OverLog {
    pub(crate) left: u32,
}

impl Log {
    pub(crate) fn new(sink: LogSink, tenant: Option<Tenant>) -> Log {
        Log { sink, tenant, left: AtomicU32::new(0) }
    }

    pub(crate) fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn set_left(&self, bytes: u32) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    /// Whether a line of so many bytes, and its end, may be logged now.
    pub(crate) fn has_room(&self, bytes: usize) -> Result<(), OverLog> {
        let left = self.left();
        if bytes >= left as usize { Err(OverLog { left }) } else { Ok(()) }
    }

    /// Hands a line to the sink. Each counts its text, its fields and its end.
    pub(crate) fn write(
        &self,
        event: Option<Arc<str>>,
        level: LogLevel,
        text: Vec<u8>,
        fields: Option<(Value, usize)>,
    ) -> Result<(), OverLog> {
        let (fields, more) = fields.map_or((None, 0), |(value, bytes)| (Some(value), bytes));
        let bytes = u32::try_from(text.len().saturating_add(more).saturating_add(1)).unwrap_or(u32::MAX);
        let take = |left: u32| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|left| OverLog { left })?;
        let text = String::from_utf8(text).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        (self.sink.0)(&LogLine { tenant: self.tenant.clone(), event, level, text, fields });
        Ok(())
    }
}

/// The lines of one tenant, as they are logged, from when this was made: [`TenantRef::logs`](crate::TenantRef::logs). A reader
/// that is slow holds nobody up: it misses the oldest lines, and is told how many.
#[derive(Debug)]
pub struct LogFeed(broadcast::Receiver<Arc<LogLine>>);

/// What a [`LogFeed`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Logged {
    /// A line.
    Line(Arc<LogLine>),
    /// So many lines were dropped here, because they were not read in time.
    Dropped(u64),
}

impl LogFeed {
    /// The most lines that a feed can keep.
    pub const LINES_MAX: usize = 10_000;

    /// Waits for the next line. None when there will be no more.
    pub async fn next(&mut self) -> Option<Logged> {
        match self.0.recv().await {
            Ok(line) => Some(Logged::Line(line)),
            Err(RecvError::Lagged(lines)) => Some(Logged::Dropped(lines)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Who reads along, by tenant.
#[derive(Default)]
pub(crate) struct Feeds {
    /// How many tenants are read, to be looked at without the lock.
    read: AtomicUsize,
    senders: Mutex<HashMap<Tenant, broadcast::Sender<Arc<LogLine>>>>,
}

impl Feeds {
    fn senders(&self) -> MutexGuard<'_, HashMap<Tenant, broadcast::Sender<Arc<LogLine>>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Several readers of one tenant share what is kept: the first says how much.
    pub(crate) fn subscribe(&self, tenant: &Tenant, lines: usize) -> LogFeed {
        let mut senders = self.senders();
        let lines = lines.clamp(1, LogFeed::LINES_MAX);
        let sender = senders.entry(tenant.clone()).or_insert_with(|| broadcast::Sender::new(lines));
        let feed = LogFeed(sender.subscribe());
        self.read.store(senders.len(), Ordering::Release);
        feed
    }

    fn publish(&self, line: &LogLine) {
        let (Some(tenant), true) = (&line.tenant, self.read.load(Ordering::Acquire) > 0) else { return };
        let mut senders = self.senders();
        let unread = senders.get(tenant).is_some_and(|sender| sender.send(Arc::new(line.clone())).is_err());
        if unread {
            senders.remove(tenant); // nobody reads any more
            self.read.store(senders.len(), Ordering::Release);
        }
    }
}

/// Where lines go.
#[derive(Clone)]
pub(crate) struct LogSink(pub(crate) Arc<dyn Fn(&LogLine) + Send + Sync>);

impl LogSink {
    /// The same, for those who read along too.
    pub(crate) fn with(self, feeds: Arc<Feeds>) -> LogSink {
        LogSink(Arc::new(move |line| {
            feeds.publish(line);
            (self.0)(line);
        }))
    }

    /// To `tracing`, with the target `motu::script`.
    pub(crate) fn tracing() -> LogSink {
        LogSink(Arc::new(|line| {
            let tenant = line.tenant.as_ref().map(tracing::field::display);
            let (event, text) = (line.event.as_deref(), &line.text);
            let fields = line.fields.as_ref().map(tracing::field::display);
            match line.level {
                LogLevel::Debug => tracing::debug!(target: "motu::script", tenant, event, fields, "{text}"),
                LogLevel::Info => tracing::info!(target: "motu::script", tenant, event, fields, "{text}"),
                LogLevel::Warn => tracing::warn!(target: "motu::script", tenant, event, fields, "{text}"),
                LogLevel::Error => tracing::error!(target: "motu::script", tenant, event, fields, "{text}"),
            }
        }))
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}
