//! Events that end all at once, with the VM or the mailbox that they were in. They may be many, so they are answered by and by, in
//! the turns of their tenant: no worker is held by them.

use std::collections::{BTreeMap, VecDeque, btree_map};
use std::sync::Arc;

use super::run::LOOK_EVERY;
use super::{Account, Actor, Body, LARGE_BYTES, Mailbox, Waiting, over};
use crate::error::{Error, ErrorKind};
use crate::metering::Turn;
use crate::strategy::{EventId, Notice};

/// What is told of a cause to each of many events, in bytes.
const CAUSE_BYTES_MAX: usize = 512;

/// Events that have ended and weren't answered yet.
#[derive(Default)]
pub(super) struct Endings {
    all: VecDeque<Ending>,
    /// The payloads among them.
    bytes: u64,
}

enum Ending {
    /// They were started, and went with their VM.
    Lost { events: btree_map::IntoIter<EventId, Account>, cause: Arc<str> },
    /// They were never started.
    Refused { events: btree_map::IntoIter<EventId, Box<Waiting>>, error: Arc<Error> },
}

impl Endings {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        let events = |ending: &Ending| match ending {
            Ending::Lost { events, .. } => events.len(),
            Ending::Refused { events, .. } => events.len(),
        };
        self.all.iter().map(events).sum()
    }

    /// What the payloads of those take that were never started.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn lose(&mut self, events: BTreeMap<EventId, Account>, cause: &str) {
        if !events.is_empty() {
            let cause = cause.get(..cause.floor_char_boundary(CAUSE_BYTES_MAX)).unwrap_or(cause).into();
            self.all.push_back(Ending::Lost { events: events.into_iter(), cause });
        }
    }

    pub(super) fn refuse(&mut self, events: Mailbox, error: &Error) {
        if !events.is_empty() {
            self.bytes += events.values().map(|waiting| waiting.payload.len() as u64).sum::<u64>();
            self.all.push_back(Ending::Refused { events: events.into_iter(), error: Arc::new(error.clone()) });
        }
    }
}

impl Body {
    /// Answers events that have ended, until the turn is over. Whether that were all.
    pub(super) fn end_some(&mut self, actor: &Actor, turn: &Turn) -> bool {
        let mut ended = 0;
        while let Some(first) = self.endings.all.front_mut() {
            if ended == LOOK_EVERY && turn.is_over() {
                return false;
            }
            ended = ended % LOOK_EVERY + 1;
            match first {
                Ending::Lost { events, cause } => {
                    if let Some((event, account)) = events.next() {
                        if let Some(at) = over(account.since, account.time) {
                            self.deadlines.remove(&(at, event));
                        }
                        let usage = account.usage(&actor.gauge);
                        let error = Error::new(ErrorKind::InstanceLost, format!("the instance was lost: {cause}"));
                        let answer = Err(error.with_usage(usage));
                        actor.notice(Notice::Ended { event, unstarted_bytes: None, answer, usage });
                        continue;
                    }
                }
                Ending::Refused { events, error } => {
                    if let Some((event, waiting)) = events.next() {
                        if let Some(at) = waiting.over() {
                            self.deadlines.remove(&(at, event));
                        }
                        self.endings.bytes -= waiting.payload.len() as u64;
                        if waiting.payload.len() as u64 > LARGE_BYTES {
                            ended = LOOK_EVERY; // it takes long to be dropped
                        }
                        let error = Error::clone(error);
                        Body::refuse(actor, &waiting, error);
                        continue;
                    }
                }
            }
            self.endings.all.pop_front();
        }
        true
    }
}
