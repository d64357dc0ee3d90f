//! Where in a value something is, as a script would write it: `value.items[3]`.

use crate::value::Value;

/// A path longer than this keeps its two ends; a key longer than this is cut.
const PARTS_MAX: usize = 16;
const KEY_CHARS_MAX: usize = 40;

/// A step from a table to what is in it.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// Counted from 1, as the script does.
    Item(usize),
    Field(&'a str),
}

pub(super) fn path<'a>(steps: impl ExactSizeIterator<Item = Step<'a>>) -> String {
    let mut path = "value".to_owned();
    let all = steps.len();
    for (index, step) in steps.enumerate() {
        if all <= PARTS_MAX || index < PARTS_MAX / 2 || index >= all - PARTS_MAX / 2 {
            path.push_str(&part(step));
        } else if index == PARTS_MAX / 2 {
            path.push_str(" ... ");
        }
    }
    path
}

fn part(step: Step<'_>) -> String {
    let name = match step {
        Step::Item(index) => return format!("[{index}]"),
        Step::Field(name) => name,
    };
    let (name, dots) = match name.char_indices().nth(KEY_CHARS_MAX) {
        Some((end, _)) => (name.get(..end).unwrap_or_default(), "..."),
        None => (name, ""),
    };
    match Value::is_identifier(name) {
        true => format!(".{name}{dots}"),
        false => format!("[\"{}{dots}\"]", name.escape_debug()),
    }
}
