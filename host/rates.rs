//! How often a tenant may do something in a second: its own count for each thing, whatever instances it has, under whatever limits,
//! and however often they are started anew.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::tenant::Tenant;

type Limiter = RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<std::time::Instant>>;

/// What a tenant has of each thing: a second, in nanoseconds, which comes back as time passes. Who may do something `most` times in a second takes
/// that part of it each time. So instances under different limits share it, and none fills it again for another.
const SECOND: NonZeroU32 = NonZeroU32::new(1_000_000_000).unwrap();

/// By thing and tenant.
pub(crate) struct Rates<K> {
    clock: Clock,
    all: Mutex<HashMap<(K, Tenant), Arc<Limiter>>>,
}

/// There is no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    /// There will be in so much time, if nobody else takes it. None: never, it is more than fits in a second.
    pub(crate) wait: Option<Duration>,
    most: u32,
}

/// What the caller may do about it.
impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wait {
            Some(wait) => write!(f, "try again in {:.3} s", wait.as_secs_f64().max(0.001)),
            None if self.most == 0 => f.write_str("none is allowed"),
            None => write!(f, "one call can take {} at most", self.most),
        }
    }
}

impl<K: Eq + std::hash::Hash> Rates<K> {
    pub(crate) fn new(clock: Clock) -> Rates<K> {
        Rates { clock, all: Mutex::default() }
    }

    /// Takes room for so many, of `most` in a second; as many may come at once after a second without.
    pub(crate) fn take(&self, what: K, tenant: &Tenant, most: u32, count: usize) -> Result<(), Over> {
        let never = Over { wait: None, most };
        let count = u64::try_from(count).map_err(|_| never)?;
        if count == 0 || count > u64::from(most) {
            return Err(never);
        }
        let part = (u64::from(SECOND.get()) * count / u64::from(most)).max(1);
        let part = u32::try_from(part).ok().and_then(NonZeroU32::new).ok_or(never)?;
        match self.limiter(what, tenant).check_n(part) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Over { wait: Some(not_until.wait_time_from(self.clock.now())), most }),
            Err(_) => Err(never),
        }
    }

    fn limiter(&self, what: K, tenant: &Tenant) -> Arc<Limiter> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (what, tenant.clone());
        if let Some(limiter) = all.get(&key) {
            return limiter.clone();
        }
        let full = |limiter: &Limiter| matches!(limiter.check_n(SECOND), Ok(Ok(())));
        if all.len() == all.capacity() {
            // those that have all their room again are as good as new ones; asking takes it, so they go
            all.retain(|_, limiter| !full(limiter));
            let live = all.len();
            all.reserve(live); // else each newcomer would look through all, while few go
        }
        let limiter = Arc::new(RateLimiter::direct_with_clock(Quota::per_second(SECOND), self.clock.clone()));
        all.insert(key, limiter.clone());
        limiter
    }
}
