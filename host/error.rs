//! The one error of the library: opaque, with its context, and a small kind to match on.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::outcome::Usage;
use crate::value::Value;

/// What went wrong. New kinds may come. In serde's formats, the word of [`as_str`](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file of the bundle that loading needs isn't Luau. One that is required later is an error of kind
    /// [`Script`](Self::Script).
    Compile,
    /// The script raised an error that nothing caught, or returned what can't cross. Also an error of a host function that nothing caught: one
    /// that the function's WIT has, or arguments that don't fit the WIT.
    Script,
    /// Motu was called wrongly: an unreadable bundle, a payload that can't cross, an event that nothing handles.
    Usage,
    /// The fuel of the event, or of loading, is used up.
    Fuel,
    /// The time of the event, or of loading, is used up.
    Deadline,
    /// The instance asked for more memory than its limit.
    Memory,
    /// Another limit; the message names it.
    Limit,
    /// A host function was called without a grant.
    Denied,
    /// The mailbox is full: nothing was run. Try again later, or slower.
    QueueFull,
    /// The instance ended while the event was under way, for a reason that is not the event's own: the message says which.
    /// The event was started and is not run again.
    InstanceLost,
    /// Nobody waits for the event's answer any more: whoever dispatched it gave it up.
    Cancelled,
    /// The instance was ended too often in too short a time, and is given nothing to do for a while. The message has the
    /// reason.
    Quarantined,
    /// Motu is being drained, or the tenant's bundle is gone: nothing was run.
    Stopped,
    /// The machine failed Motu: no memory could be mapped, say. Or a host function failed in a way that its WIT doesn't have, and the script
    /// didn't catch it.
    Host,
    /// A fault of Motu's own. Please report it.
    Internal,
}

impl ErrorKind {
    /// The word for it, as `motu run --json` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Compile => "compile",
            ErrorKind::Script => "script",
            ErrorKind::Usage => "usage",
            ErrorKind::Fuel => "fuel",
            ErrorKind::Deadline => "deadline",
            ErrorKind::Memory => "memory",
            ErrorKind::Limit => "limit",
            ErrorKind::Denied => "denied",
            ErrorKind::QueueFull => "queue_full",
            ErrorKind::InstanceLost => "instance_lost",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Quarantined => "quarantined",
            ErrorKind::Stopped => "stopped",
            ErrorKind::Host => "host",
            ErrorKind::Internal => "internal",
        }
    }

    /// Who has to change something.
    pub fn fault(self) -> Fault {
        match self {
            ErrorKind::Compile
            | ErrorKind::Script
            | ErrorKind::Fuel
            | ErrorKind::Deadline
            | ErrorKind::Memory
            | ErrorKind::Limit
            | ErrorKind::InstanceLost
            | ErrorKind::Quarantined => Fault::Script,
            ErrorKind::Usage
            | ErrorKind::Denied
            | ErrorKind::QueueFull
            | ErrorKind::Cancelled
            | ErrorKind::Stopped
            | ErrorKind::Host => Fault::Operator,
            ErrorKind::Internal => Fault::Motu,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The tenant's script, or what it was given too little of.
    Script,
    /// The service that embeds Motu, or its machine.
    Operator,
    /// Motu itself.
    Motu,
}

/// Where scripts were, as text.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// `path:line: ` of the innermost function that has a file; empty if none has.
    pub(crate) place: String,
    /// A frame a line, the innermost first.
    pub(crate) frames: String,
}

impl Trace {
    /// Adds the next frame outwards, or a note.
    pub(crate) fn add_line(&mut self, line: &str) {
        if !self.frames.is_empty() {
            self.frames.push('\n');
        }
        self.frames.push_str(line);
    }
}

/// Why an event, a load or a call failed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Error(Box<Inner>);

#[derive(Clone, Serialize, Deserialize)]
struct Inner {
    kind: ErrorKind,
    message: String,
    traceback: String,
    value: Option<Thrown>,
    event: Option<String>,
    usage: Usage,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            traceback: String::new(),
            value: None,
            event: None,
            usage: Usage::default(),
        }))
    }

    pub(crate) fn usage_error(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    /// `value` is what the script threw, as it crossed: it is not read here.
    pub(crate) fn with_script(mut self, traceback: String, value: Option<Vec<u8>>) -> Error {
        self.0.traceback = traceback;
        self.0.value = value.map(Thrown::new);
        self
    }

    /// Where the script was: the place goes before the message.
    /// With something more at the message's end.
    pub(crate) fn saying(mut self, more: &str) -> Error {
        self.0.message.push_str(more);
        self
    }

    pub(crate) fn with_trace(mut self, trace: Trace) -> Error {
        self.0.message.insert_str(0, &trace.place);
        self.0.traceback = trace.frames;
        self
    }

    pub(crate) fn with_event(mut self, event: &str) -> Error {
        self.0.event = Some(event.to_owned());
        self
    }

    pub(crate) fn with_usage(mut self, usage: Usage) -> Error {
        self.0.usage = usage;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.0.kind.fault()
    }

    /// What happened and where, for people. A script's message is cut after 16 KiB; bytes of it that aren't UTF-8 are
    /// replaced.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where the script was, a frame a line, the innermost first: the first 20 and the last 10, and about 16 KiB at most. Empty where no
    /// script was under way, and for ends by limits, traps and deadlines of a tenant's instances beyond ten a second; SECURITY.md
    /// lists what else has none.
    pub fn traceback(&self) -> &str {
        &self.0.traceback
    }

    /// What the script threw, when that was not a string and could cross.
    ///
    /// An error keeps the bytes that crossed, no more than the limit `result_bytes`. The first call reads them, on the caller's
    /// thread: a value may take 40 times as much memory as its bytes, and a tenth of a second.
    pub fn value(&self) -> Option<&Value> {
        self.0.value.as_ref().and_then(Thrown::value)
    }

    /// The event that failed; none when it was loading.
    pub fn event(&self) -> Option<&str> {
        self.0.event.as_deref()
    }

    /// What was used until then.
    pub fn usage(&self) -> Usage {
        self.0.usage
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("traceback", &self.0.traceback)
            .field("value", &self.value())
            .field("event", &self.0.event)
            .field("usage", &self.0.usage)
            .finish()
    }
}

impl std::error::Error for Error {}

/// What a script threw: as it crossed, and as a value once somebody has asked for it. Clones share both.
#[derive(Clone)]
struct Thrown(Arc<(Vec<u8>, OnceLock<Option<Value>>)>);

impl Thrown {
    fn new(bytes: Vec<u8>) -> Thrown {
        Thrown(Arc::new((bytes, OnceLock::new())))
    }

    /// None if the bytes are no value, which only a guest that is broken sends.
    fn value(&self) -> Option<&Value> {
        let (bytes, read) = &*self.0;
        read.get_or_init(|| Value::decode(bytes).ok()).as_ref()
    }
}

/// As the bytes that it crossed as.
impl Serialize for Thrown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Thrown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Thrown, D::Error> {
        let thrown = Thrown::new(Vec::deserialize(deserializer)?);
        match Value::decode(&thrown.0.0) {
            Ok(_) => Ok(thrown),
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]

    use super::{Error, ErrorKind, Value};

    /// Whether somebody has read what was thrown.
    fn is_read(error: &Error) -> bool {
        error.0.value.as_ref().unwrap().0.1.get().is_some()
    }

    #[test]
    fn t06_what_was_thrown_is_read_when_it_is_asked_for() {
        let thrown: Value = (0..100_000).map(|_| true).collect();
        let bytes = thrown.encode().unwrap();
        let error = Error::new(ErrorKind::Script, "a").with_script(String::new(), Some(bytes.clone())).with_event("b");
        let clone = error.clone();
        // neither a clone, nor text, nor serde reads it
        let json = serde_json::to_vec(&error).unwrap();
        assert!(error.to_string().contains('a') && !is_read(&error) && !is_read(&clone));
        assert_eq!(clone.value(), Some(&thrown));
        assert!(is_read(&error), "clones share it");
        assert_eq!(serde_json::to_vec(&error).unwrap(), json);
        let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(read.get("value"), Some(&serde_json::json!(bytes)));
        assert_eq!(serde_json::from_slice::<Error>(&json).unwrap().value(), Some(&thrown));
    }

    #[test]
    fn t06_bytes_that_are_no_value_are_none() {
        let error = Error::new(ErrorKind::Script, "a").with_script(String::new(), Some(vec![0xc1]));
        assert_eq!(error.value(), None);
        assert!(format!("{error:?}").contains("value: None"));
        assert!(serde_json::from_slice::<Error>(&serde_json::to_vec(&error).unwrap()).is_err());
        assert_eq!(Error::new(ErrorKind::Script, "a").value(), None);
    }
}
