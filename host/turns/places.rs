//! Turns of tenants, for futures that wait for theirs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Turns;
use crate::tenant::Tenant;

type Waiting = Turns<Tenant, oneshot::Sender<Place>>;

/// Places that tenants share.
#[derive(Clone)]
pub(crate) struct Places(Arc<Mutex<Waiting>>);

/// A place. It is another's when this is dropped.
pub(crate) struct Place {
    places: Places,
    tenant: Tenant,
    /// Nobody took it, and it was given back.
    is_returned: bool,
}

impl Places {
    pub(crate) fn new(places: u32, each: u32) -> Places {
        Places(Arc::new(Mutex::new(Turns::new(places, each))))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, when it is this tenant's turn. Dropped before that, it is as if it hadn't asked.
    pub(crate) async fn enter(&self, tenant: &Tenant) -> Place {
        loop {
            if let Ok(place) = self.ask(tenant).await {
                return place;
            }
        }
    }

    fn ask(&self, tenant: &Tenant) -> oneshot::Receiver<Place> {
        let (tell, told) = oneshot::channel();
        let mut turns = self.lock();
        turns.forget(tenant, oneshot::Sender::is_closed);
        turns.put(tenant, tell);
        drop(turns);
        self.hand_out();
        told
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn hand_out(&self) {
        loop {
            let next = self.lock().next();
            let Some((tenant, tell)) = next else { return };
            let place = Place { places: self.clone(), tenant, is_returned: false };
            // without the lock: who is woken may be dropped here, with the place. One that has gone is no recursion
            if let Err(mut place) = tell.send(place) {
                place.is_returned = true;
                self.lock().leave(&place.tenant);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_returned {
            self.places.lock().leave(&self.tenant);
            self.places.hand_out();
        }
    }
}
