//! Text for people's terminals and for reports.

pub(crate) use crate::report::{plain, time};

/// A script's text on a line of its own.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\n").replace('\t', "\\t")
}
