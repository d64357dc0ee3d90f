//! What scripts log: where lines go, and how much one event may write.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::tenant::Tenant;
use crate::value::Value;
use crate::wire::weigh;

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

/// The text of a line for which there was room.
pub(crate) struct Text(String);

/// A line of so many bytes is longer than what the event may still log.
#[derive(Debug)]
pub(crate) struct OverLog {
    bytes: usize,
    left: u32,
}

impl fmt::Display for OverLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a line of {} bytes and its end, with {} left", self.bytes, self.left)
    }
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

    /// Takes room for a line: for its text, so many bytes of fields, and its end. What takes the place of bytes that aren't UTF-8 counts,
    /// three bytes for each.
    pub(crate) fn take(&self, text: Vec<u8>, more: usize) -> Result<Text, OverLog> {
        let text = String::from_utf8(text);
        let bytes =
            text.as_ref().map_or_else(|error| rewritten_bytes(error.as_bytes()), String::len).saturating_add(more);
        let counted = u32::try_from(bytes.saturating_add(1)).unwrap_or(u32::MAX);
        let take = |left: u32| left.checked_sub(counted);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_err(|left| OverLog { bytes, left })?;
        Ok(Text(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())))
    }

    /// Hands a line to the sink.
    pub(crate) fn write(&self, event: Option<Arc<str>>, level: LogLevel, Text(text): Text, fields: Option<Value>) {
        (self.sink.0)(&LogLine { tenant: self.tenant.clone(), event, level, text, fields });
    }
}

/// What a text takes once all that isn't UTF-8 in it was replaced.
fn rewritten_bytes(text: &[u8]) -> usize {
    let replaced = |invalid: &[u8]| if invalid.is_empty() { 0 } else { char::REPLACEMENT_CHARACTER.len_utf8() };
    text.utf8_chunks().map(|chunk| chunk.valid().len() + replaced(chunk.invalid())).sum()
}

/// The lines of one tenant, as they are logged, from when this was made: [`TenantRef::logs`](crate::TenantRef::logs). A reader
/// that is slow holds nobody up: it misses the oldest lines, and is told how many.
#[derive(Debug)]
pub struct LogFeed {
    shared: Arc<Shared>,
    /// The number of the line that is next.
    next: u64,
}

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

    /// The most memory that a tenant's lines take which are kept for its feeds, in bytes: texts, fields, and about 150 for each
    /// line. A line that takes more than a sixteenth of it is dropped at once.
    pub const BYTES_MAX: u64 = 4 << 20;

    /// Waits for the next line. None when there will be no more.
    pub async fn next(&mut self) -> Option<Logged> {
        loop {
            // before the look: what is logged after it ends the wait
            let changed = self.shared.changed.notified();
            {
                let kept = self.shared.kept();
                let logged = kept.after(&mut self.next);
                if logged.is_some() || kept.is_over {
                    return logged;
                }
            }
            changed.await;
        }
    }
}

/// What the feeds of a tenant share. It is gone with the last of them.
#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    changed: Notify,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.kept());
        self.changed.notify_waiters();
    }
}

/// The last lines of a tenant that is read. They stay until newer ones take their place, whether they were read or not.
#[derive(Debug)]
struct Kept {
    /// None for a line that was too large, which takes nothing.
    lines: VecDeque<(Option<Arc<LogLine>>, u64)>,
    lines_max: usize,
    /// What the lines take.
    bytes: u64,
    /// The number of the first line.
    first: u64,
    /// Whether there will be no more lines.
    is_over: bool,
}

impl Kept {
    fn new(lines: usize) -> Kept {
        let lines_max = lines.clamp(1, LogFeed::LINES_MAX);
        Kept { lines: VecDeque::new(), lines_max, bytes: 0, first: 0, is_over: false }
    }

    /// The number of the line that is logged next.
    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    fn add(&mut self, line: Option<Arc<LogLine>>, bytes: u64) {
        self.lines.push_back((line, bytes));
        self.bytes += bytes;
        while self.lines.len() > self.lines_max || self.bytes > LogFeed::BYTES_MAX {
            let Some((_, bytes)) = self.lines.pop_front() else { break };
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    /// What a reader has whose next line is this one.
    fn after(&self, next: &mut u64) -> Option<Logged> {
        let Some(index) = next.checked_sub(self.first) else {
            let dropped = self.first - *next;
            *next = self.first;
            return Some(Logged::Dropped(dropped));
        };
        let (line, _) = self.lines.get(usize::try_from(index).ok()?)?;
        *next += 1;
        Some(line.as_ref().map_or(Logged::Dropped(1), |line| Logged::Line(line.clone())))
    }
}

/// The most that a line takes: one that is new does away with so many bytes of older ones, which takes a bounded time.
const LINE_BYTES_MAX: u64 = LogFeed::BYTES_MAX / 16;

/// About how much memory a line takes; more than [`LINE_BYTES_MAX`] if it has too many values.
fn weight(line: &LogLine) -> u64 {
    let fields = line.fields.as_ref().map_or(0, |fields| weigh(fields, LINE_BYTES_MAX));
    let bytes = size_of::<LogLine>() + line.text.len() + line.event.as_ref().map_or(0, |event| event.len());
    fields.saturating_add(bytes as u64)
}

/// Who reads along, by tenant.
#[derive(Default)]
pub(crate) struct Feeds {
    /// How many tenants are read, to be looked at without the lock.
    read: AtomicUsize,
    shared: Mutex<HashMap<Tenant, Weak<Shared>>>,
}

impl Feeds {
    fn shared(&self) -> MutexGuard<'_, HashMap<Tenant, Weak<Shared>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Several readers of one tenant share what is kept: the first says how much.
    pub(crate) fn subscribe(&self, tenant: &Tenant, lines: usize) -> LogFeed {
        let mut all = self.shared();
        let shared = all.get(tenant).and_then(Weak::upgrade).unwrap_or_else(|| {
            let shared = Arc::new(Shared { kept: Mutex::new(Kept::new(lines)), changed: Notify::new() });
            all.insert(tenant.clone(), Arc::downgrade(&shared));
            shared
        });
        self.read.store(all.len(), Ordering::Release);
        let next = shared.kept().end();
        LogFeed { shared, next }
    }

    fn publish(&self, line: &LogLine) {
        let (Some(tenant), true) = (&line.tenant, self.read.load(Ordering::Acquire) > 0) else { return };
        let mut all = self.shared();
        let Some(shared) = all.get(tenant) else { return };
        if let Some(shared) = shared.upgrade() {
            drop(all);
            let (line, bytes) = match weight(line) {
                bytes @ 0..=LINE_BYTES_MAX => (Some(Arc::new(line.clone())), bytes),
                _ => (None, 0),
            };
            shared.change(|kept| kept.add(line, bytes));
        } else {
            all.remove(tenant); // nobody reads any more
            self.read.store(all.len(), Ordering::Release);
        }
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        let feeds = self.shared().values().filter_map(Weak::upgrade).collect::<Vec<_>>();
        feeds.iter().for_each(|shared| shared.change(|kept| kept.is_over = true));
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

    /// Drops all lines.
    pub(crate) fn none() -> LogSink {
        LogSink(Arc::new(|_| ()))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        "guild:1".parse().unwrap()
    }

    fn line(text: String, fields: Option<Value>) -> LogLine {
        LogLine { tenant: Some(tenant()), event: None, level: LogLevel::Info, text, fields }
    }

    /// All that is there now.
    fn read(feed: &mut LogFeed) -> (u64, Vec<Arc<LogLine>>) {
        let (mut dropped, mut lines) = (0, Vec::new());
        while let Some(logged) = feed.shared.kept().after(&mut feed.next) {
            match logged {
                Logged::Dropped(more) => dropped += more,
                Logged::Line(line) => lines.push(line),
            }
        }
        (dropped, lines)
    }

    /// Bytes that aren't UTF-8 become three each, and count as those.
    #[test]
    fn m8_a_line_counts_as_it_is_handed_on() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let sink = LogSink(Arc::new(move |line| kept.lock().unwrap().push(line.text.clone())));
        let log = Log::new(sink, None);
        log.set_left(3_000);
        let write = |text: &[u8]| {
            let text = log.take(text.to_vec(), 0).map_err(|over| over.to_string())?;
            log.write(None, LogLevel::Info, text, None);
            Ok(())
        };
        let over = |bytes, left| Err(format!("a line of {bytes} bytes and its end, with {left} left"));
        assert_eq!(write(&[0xff; 1_000]), over(3_000, 3_000));
        assert_eq!(write(&[0xff; 999]), Ok(()));
        assert_eq!(write(b"ab"), over(2, 2));
        assert_eq!(write(b"a"), Ok(()));
        assert_eq!(*lines.lock().unwrap(), ["\u{fffd}".repeat(999), "a".to_owned()]);
    }

    #[test]
    fn a_feed_keeps_so_many_bytes() {
        let feeds = Feeds::default();
        let mut feed = feeds.subscribe(&tenant(), LogFeed::LINES_MAX);
        for n in 0..1000 {
            feeds.publish(&line(format!("{n}{}", "x".repeat(64 << 10)), None));
        }
        let bytes = feed.shared.kept().bytes;
        assert!(bytes <= LogFeed::BYTES_MAX && bytes > LogFeed::BYTES_MAX - (128 << 10), "{bytes}");
        let (dropped, lines) = read(&mut feed);
        assert_eq!(dropped + lines.len() as u64, 1000);
        assert!(lines.first().unwrap().text.starts_with(&format!("{dropped}x")), "the last ones are kept");
        assert_eq!(read(&mut feed), (0, Vec::new()));
        // short lines are bounded by their number
        for n in 0..LogFeed::LINES_MAX + 5 {
            feeds.publish(&line(n.to_string(), None));
        }
        let (dropped, lines) = read(&mut feed);
        assert_eq!((dropped, lines.len()), (5, LogFeed::LINES_MAX));
    }

    #[test]
    fn fields_count_as_what_they_take() {
        let feeds = Feeds::default();
        let mut feed = feeds.subscribe(&tenant(), LogFeed::LINES_MAX);
        let values: Value = (0..10_000).map(Value::from).collect(); // 24 bytes each
        for _ in 0..100 {
            feeds.publish(&line(String::new(), Some(values.clone())));
        }
        let (dropped, lines) = read(&mut feed);
        assert_eq!((dropped, lines.len()), (83, 17));
    }

    #[test]
    fn a_line_that_is_too_large_is_dropped_and_counted_and_no_other() {
        let feeds = Feeds::default();
        let mut feed = feeds.subscribe(&tenant(), 10);
        let publish = |text: &str| feeds.publish(&line(text.to_owned(), None));
        publish("before");
        let bytes = feed.shared.kept().bytes;
        publish(&"x".repeat(256 << 10));
        feeds.publish(&line(String::new(), Some((0..20_000).map(Value::from).collect())));
        assert_eq!(feed.shared.kept().bytes, bytes);
        publish("after");
        let (dropped, lines) = read(&mut feed);
        assert_eq!(dropped, 2);
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["before", "after"]);
    }

    #[test]
    fn a_feed_ends_with_what_it_reads_from_and_lines_with_their_feeds() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let feeds = Feeds::default();
        let mut feed = feeds.subscribe(&tenant(), 10);
        feeds.publish(&line("last".to_owned(), None));
        let kept = Arc::downgrade(&feeds.subscribe(&tenant(), 10).shared);
        drop(feeds);
        assert!(matches!(runtime.block_on(feed.next()), Some(Logged::Line(_))));
        assert_eq!(runtime.block_on(feed.next()), None);
        drop(feed);
        assert!(kept.upgrade().is_none());
    }
}
