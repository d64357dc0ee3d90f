//! How often a tenant may do something in a second: its own count for each thing, whatever instances it has, and however often
//! they are started anew. Instances with other limits have a count of their own, for all that have the same.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::tenant::Tenant;

type Limiter = RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<std::time::Instant>>;

/// By thing, tenant and rate. Not one for all rates, made anew when another rate comes: who has two could have it full again and
/// again.
pub(crate) struct Rates<K> {
    clock: Clock,
    all: Mutex<HashMap<(K, Tenant, NonZeroU32), Arc<Limiter>>>,
}

/// There is no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    /// There will be in so much time, if nobody else takes it. None: never, it is more than fits in a second.
    pub(crate) wait: Option<Duration>,
}

impl<K: Eq + std::hash::Hash> Rates<K> {
    pub(crate) fn new(clock: Clock) -> Rates<K> {
        Rates { clock, all: Mutex::default() }
    }

    /// Takes room for so many, of `most` in a second; as many may come at once after a second without.
    pub(crate) fn take(&self, what: K, tenant: &Tenant, most: u32, count: usize) -> Result<(), Over> {
        let never = Over { wait: None };
        let most = NonZeroU32::new(most).ok_or(never)?;
        let count = u32::try_from(count).ok().and_then(NonZeroU32::new).ok_or(never)?;
        match self.limiter(what, tenant, most).check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Over { wait: Some(not_until.wait_time_from(self.clock.now())) }),
            Err(_) => Err(never),
        }
    }

    fn limiter(&self, what: K, tenant: &Tenant, most: NonZeroU32) -> Arc<Limiter> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (what, tenant.clone(), most);
        if let Some(limiter) = all.get(&key) {
            return limiter.clone();
        }
        let full = |most: NonZeroU32| move |limiter: &Limiter| matches!(limiter.check_n(most), Ok(Ok(())));
        if all.len() == all.capacity() {
            // those that have all their room again are as good as new ones; asking takes it, so they go
            all.retain(|(_, _, most), limiter| !full(*most)(limiter));
        }
        let limiter = Arc::new(RateLimiter::direct_with_clock(Quota::per_second(most), self.clock.clone()));
        all.insert(key, limiter.clone());
        limiter
    }
}
