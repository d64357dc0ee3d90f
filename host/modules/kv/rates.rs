//! How many operations a tenant may do in a second: its own count, whatever instances it has.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::tenant::Tenant;

/// By tenant, each with the rate that it is for.
#[derive(Default)]
pub(super) struct Rates(Mutex<HashMap<Tenant, (NonZeroU32, Arc<DefaultDirectRateLimiter>)>>);

impl Rates {
    /// Takes room for so many operations, or says that there is none now.
    pub(super) fn take(&self, context: &CallContext, operations: usize) -> Result<(), Error> {
        let Some(most) = context.limits().kv_operations_per_second else { return Ok(()) };
        let over = || {
            Error::new(
                ErrorKind::Limit,
                format!("over the limit kv_operations_per_second of {most}: wait, and try again"),
            )
        };
        let most = NonZeroU32::new(most).ok_or_else(over)?;
        let operations = u32::try_from(operations).ok().and_then(NonZeroU32::new).ok_or_else(over)?;
        match self.limiter(context.tenant(), most).check_n(operations) {
            Ok(Ok(())) => Ok(()),
            _ => Err(over()),
        }
    }

    fn limiter(&self, tenant: &Tenant, most: NonZeroU32) -> Arc<DefaultDirectRateLimiter> {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((for_rate, limiter)) = rates.get(tenant)
            && *for_rate == most
        {
            return limiter.clone();
        }
        let full =
            |most: NonZeroU32| move |limiter: &DefaultDirectRateLimiter| matches!(limiter.check_n(most), Ok(Ok(())));
        if rates.len() == rates.capacity() {
            // those that have all their room again are as good as new ones; asking takes it, so they go
            rates.retain(|_, (most, limiter)| !full(*most)(limiter));
        }
        let limiter = Arc::new(RateLimiter::direct(Quota::per_second(most)));
        rates.insert(tenant.clone(), (most, limiter.clone()));
        limiter
    }
}
