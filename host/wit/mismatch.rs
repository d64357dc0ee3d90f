//! What didn't match the WIT, said for whoever can mend it: the function, the argument, the place in it.

use std::fmt;

use super::package::Function;
use crate::wire::WireError;

/// What the limits on what crosses are called, as fields of `Limits` begin.
const LIMITS: &str = "payload";

/// Arguments or a result that are not as the WIT says.
#[derive(thiserror::Error)]
#[error("{text}")]
pub(crate) struct Mismatch {
    text: String,
    error: WireError,
}

impl Mismatch {
    /// Of an argument, by its index among the WIT's parameters; of none, if it is about all of them.
    #[cold]
    pub(super) fn argument(function: &Function, index: Option<usize>, error: WireError) -> Mismatch {
        let root = match index.and_then(|index| Some((index, function.params.get(index)?))) {
            None => function.called.clone(),
            Some((0, _)) if function.is_method() => format!("{}: self", function.called),
            Some((index, param)) => {
                let number = if function.is_method() { index } else { index + 1 };
                format!("{}: argument {number} ({})", function.called, param.name.luau)
            }
        };
        Mismatch::at(&root, error)
    }

    #[cold]
    pub(super) fn result(function: &Function, error: WireError) -> Mismatch {
        let root = format!("{}: result", function.called);
        Mismatch::at(&root, error)
    }

    fn at(root: &str, error: WireError) -> Mismatch {
        let text = printable(&error.placed(root, LIMITS).to_string());
        Mismatch { text, error }
    }

    /// The bytes are no MessagePack, or no list of arguments. Scripts can't cause it.
    pub(crate) fn is_malformed(&self) -> bool {
        self.error.is_malformed()
    }

    /// A result is over the limits.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.error.is_over_limit()
    }

    /// A result is more values than were asked for.
    pub(crate) fn is_too_many(&self) -> bool {
        self.error.is_too_many()
    }

    /// It is as the WIT says, but a Rust type's own code would not have it.
    pub(crate) fn is_refused(&self) -> bool {
        self.error.is_refused()
    }
}

impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mismatch({})", self.text)
    }
}

/// Some names, for a message: `a, b or c`.
pub(super) fn one_of(names: &[&str], quote: &str) -> String {
    const NAMES_MAX: usize = 12;
    let shown = names.len().min(NAMES_MAX);
    let mut out = String::new();
    for (index, name) in names.iter().take(shown).enumerate() {
        match index {
            0 => (),
            _ if index + 1 == names.len() => out.push_str(" or "),
            _ => out.push_str(", "),
        }
        out.extend([quote, name, quote]);
    }
    match names.len() - shown {
        0 if names.is_empty() => "none".to_owned(),
        0 => out,
        more => format!("{out} or {more} more"),
    }
}

/// Messages of serde's may quote a script's text as it is.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' | '\'' | '\\' => out.push(char),
            _ => out.extend(char.escape_debug()),
        }
    }
    out
}
