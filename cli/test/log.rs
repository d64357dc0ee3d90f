//! What cases log, kept until they are done: shown with those that went wrong.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use motu::{LogLevel, LogLine, Tenant};

use super::outcome::{without_own_frames, without_own_place};

/// Lines that are kept of a case: the last ones. Each is no longer than what an event may log.
const LINES_MAX: usize = 1000;

/// By the tenant that a case runs for; none while a file is loaded.
#[derive(Debug, Default)]
pub(super) struct Logs(Mutex<HashMap<Option<Tenant>, VecDeque<String>>>);

impl Logs {
    fn kept(&self) -> MutexGuard<'_, HashMap<Option<Tenant>, VecDeque<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on keeps what is logged for this one.
    pub(super) fn open(&self, tenant: Option<Tenant>) {
        self.kept().insert(tenant, VecDeque::new());
    }

    pub(super) fn add(&self, line: &LogLine) {
        if let Some(lines) = self.kept().get_mut(&line.tenant) {
            if lines.len() >= LINES_MAX {
                lines.pop_front();
            }
            // the error of a task comes with its traceback
            let text = if line.level == LogLevel::Error { task_error(&line.text) } else { line.text.clone() };
            lines.push_back(crate::run::logged(line, &text));
        }
    }

    /// Gives what was logged, and keeps no more.
    pub(super) fn close(&self, tenant: &Option<Tenant>) -> Vec<String> {
        self.kept().remove(tenant).map(Vec::from).unwrap_or_default()
    }
}

/// The message as it is, but for a place in the library, and the traceback but for the library's frames.
fn task_error(text: &str) -> String {
    let (message, traceback) = text.split_once('\n').unwrap_or((text, ""));
    let message = without_own_place(message);
    std::iter::once(message).chain(without_own_frames(traceback)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_task_keeps_its_message() {
        let text = "@@motu/test/mock.luau:69: kv.get: no\n[C] get\n@@motu/test/mock.luau:69\nx.test.luau:4 function go";
        assert_eq!(task_error(text), "kv.get: no\nx.test.luau:4 function go");
        assert_eq!(task_error("@@motu\nx.luau:1"), "@@motu\nx.luau:1");
        assert_eq!(task_error(".motu-test.luau is mine"), ".motu-test.luau is mine");
    }
}
