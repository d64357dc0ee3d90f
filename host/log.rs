//! What scripts print.

use std::fmt;
use std::sync::Arc;

use crate::tenant::Tenant;

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
}

/// Where lines go.
#[derive(Clone)]
pub(crate) struct LogSink(pub(crate) Arc<dyn Fn(&LogLine) + Send + Sync>);

impl LogSink {
    /// To `tracing`, with the target `motu::script`.
    pub(crate) fn tracing() -> LogSink {
        LogSink(Arc::new(|line| {
            let tenant = line.tenant.as_ref().map(tracing::field::display);
            let (event, text) = (line.event.as_deref(), &line.text);
            match line.level {
                LogLevel::Debug => tracing::debug!(target: "motu::script", tenant, event, "{text}"),
                LogLevel::Info => tracing::info!(target: "motu::script", tenant, event, "{text}"),
                LogLevel::Warn => tracing::warn!(target: "motu::script", tenant, event, "{text}"),
                LogLevel::Error => tracing::error!(target: "motu::script", tenant, event, "{text}"),
            }
        }))
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}
