//! The memory of a VM that is gone, given back in steps. The next VM waits until that is done: else a tenant whose VMs die at
//! once would have several memories at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::{Actor, Message};
use crate::give_back;
use crate::image::Heir;

/// How many memories of an instance are being given back.
#[derive(Clone, Default)]
pub(super) struct GivingBack(Arc<AtomicUsize>);

impl GivingBack {
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// Keeps the next VM from being started for as long as it is kept.
    pub(super) fn until(&self, actor: &Actor) -> Until {
        until(&self.0, &actor.this)
    }

    /// Gives memory back at the cost of the actor's tenant: where it runs, or where loads run if the instance was closed, since
    /// its own worker may end with it.
    pub(super) fn heir(&self, actor: &Actor) -> Heir {
        let (under_way, this) = (self.0.clone(), actor.this.clone());
        let (loads, share) = (actor.loads.clone(), actor.share.clone());
        Heir::new(move |remains| {
            let open = this.upgrade().filter(|actor| !actor.inbox().closed);
            let queue = open.map_or_else(|| loads.clone(), |actor| actor.queue.clone());
            give_back::start(&queue, &share, remains, until(&under_way, &this));
        })
    }
}

fn until(under_way: &Arc<AtomicUsize>, actor: &Weak<Actor>) -> Until {
    under_way.fetch_add(1, Ordering::AcqRel);
    Until { under_way: under_way.clone(), actor: actor.clone() }
}

/// Dropped when a memory was given back.
pub(super) struct Until {
    under_way: Arc<AtomicUsize>,
    actor: Weak<Actor>,
}

impl Drop for Until {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
        if let Some(actor) = self.actor.upgrade() {
            actor.send(Message::GivenBack);
        }
    }
}
