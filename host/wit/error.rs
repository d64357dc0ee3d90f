//! Why a WIT text can't be a host module.

/// A WIT text that can't be a host module. Its text says in which line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", self.place())]
pub struct WitError {
    line: Option<usize>,
    message: String,
}

impl WitError {
    /// `line` counts from 1.
    pub(crate) fn new(line: Option<usize>, message: impl Into<String>) -> WitError {
        WitError { line, message: message.into() }
    }

    /// The line of the text, from 1; none if it is about the text, or several texts, as a whole.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    fn place(&self) -> String {
        self.line.map(|line| format!("line {line}: ")).unwrap_or_default()
    }
}
