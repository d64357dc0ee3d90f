//! What went wrong, of the script or before it, and how a person is told.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::process::ExitCode;

use motu::{ErrorKind, Usage, Value};

use crate::report;

const EXIT_SCRIPT: u8 = 1;
pub(crate) const EXIT_USAGE: u8 = 2;
const EXIT_LIMIT: u8 = 3;
const EXIT_DENIED: u8 = 4;
const EXIT_FAULT: u8 = 70;

/// The longest message of wrong usage: a parser may quote a whole line.
const USAGE_BYTES_MAX: usize = 8 << 10;

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) traceback: String,
    /// What the script threw, if that was not text.
    pub(crate) value: Option<Value>,
    pub(crate) usage: Usage,
}

impl From<motu::Error> for Failure {
    fn from(error: motu::Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.message().to_owned(),
            traceback: error.traceback().to_owned(),
            value: error.value().cloned(),
            usage: error.usage(),
        }
    }
}

impl Failure {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), traceback: String::new(), value: None, usage: Usage::default() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > USAGE_BYTES_MAX {
            let more = format!("... ({} bytes)", message.len());
            message.truncate(message.floor_char_boundary(USAGE_BYTES_MAX));
            message += &more;
        }
        Self::new(ErrorKind::Usage, message)
    }

    pub(crate) fn host(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Host, message)
    }

    /// The same failure, with where it happened before its message.
    pub(crate) fn of(mut self, place: impl Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same failure, with what was used before it.
    pub(crate) fn after(mut self, before: Usage) -> Self {
        self.usage = report::sum(before, self.usage);
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            ErrorKind::Compile | ErrorKind::Script => EXIT_SCRIPT,
            ErrorKind::Usage => EXIT_USAGE,
            ErrorKind::Fuel | ErrorKind::Deadline | ErrorKind::Memory | ErrorKind::Limit => EXIT_LIMIT,
            ErrorKind::InstanceLost | ErrorKind::Cancelled | ErrorKind::Quarantined | ErrorKind::QueueFull => {
                EXIT_LIMIT
            }
            ErrorKind::Denied => EXIT_DENIED,
            _ => EXIT_FAULT,
        })
    }

    /// Tells a person on stderr.
    pub(crate) fn show(&self) -> ExitCode {
        // Nothing can be done about a stderr that is closed.
        let _ = io::stderr().lock().write_all(report::plain(&self.text()).as_bytes());
        self.exit_code()
    }

    fn text(&self) -> String {
        let mut text = format!("error[{}]: {}\n", self.kind, self.message.replace('\n', "\n  "));
        for line in self.traceback.lines().filter(|line| !line.trim().is_empty()) {
            let _ = writeln!(text, "  {}", line.trim_end());
        }
        if let Some(value) = &self.value {
            let _ = writeln!(text, "  thrown: {}", report::value(value));
        }
        if let Some(help) = self.help() {
            let _ = writeln!(text, "help: {help}");
        }
        if self.usage != Usage::default() {
            let _ = writeln!(text, "used: {}", report::usage(self.usage));
        }
        text
    }

    fn help(&self) -> Option<&'static str> {
        match self.kind {
            ErrorKind::Compile => Some("`motu check` on the same path lists all that is wrong"),
            ErrorKind::Fuel => {
                Some("if the script is meant to work so long, give it more, with --fuel of `motu run` and `motu test`")
            }
            ErrorKind::Deadline => Some(
                "if the script is meant to take so long, give it more, with --deadline-ms of `motu run` and `motu test`",
            ),
            ErrorKind::Memory => Some(
                "if the script is meant to need so much, give it more, with --memory-mib of `motu run` and `motu test`",
            ),
            ErrorKind::Denied => {
                Some("`motu check` on the same path lists the grants that it needs; give them with --grant")
            }
            ErrorKind::Host => {
                Some("the machine failed, or a host function of the service's own, which a script can catch with pcall")
            }
            ErrorKind::Internal => Some("this is a fault in Motu; please report it with the bundle and the command"),
            _ => None,
        }
    }
}
