//! `motu:http`: requests to the world outside. `http.wit` says what scripts are promised.
//!
//! A script chooses the URL, and often what the name in it resolves to and what the server answers. So a request goes
//! through four gates, each again at every redirect: the URL (`target`), the grant (`may`), the addresses after they were
//! looked up (`address`), and the connection, which goes to one of these very addresses (`client`). What comes back is
//! bounded in size and time (`exchange`).

mod address;
mod certificates;
mod client;
mod connect;
mod deadline;
mod exchange;
mod grants;
mod limits;
mod networks;
mod prepare;
mod resolve;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod types;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::{By, Client};
pub use client::{HttpSettings, HttpSettingsError};
use limits::HttpLimits;
pub use networks::{NetworkError, Networks};
pub use resolve::{Lookup, Resolver, Resolving, SystemResolver};
use target::{Target, URL_BYTES_MAX};
use types::{Failure, Request, Response};

use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::module::HostModule;
use crate::tenant::Tenant;

/// Of a request, and of a response.
const HEADER_BYTES: u32 = 32 << 10;

pub(super) fn module(settings: HttpSettings) -> Result<HostModule, Error> {
    let under_way = UnderWay { most: settings.requests, all: Mutex::default() };
    let client = Client::new(settings).map_err(|error| Error::usage_error(format!("the settings of HTTP: {error}")))?;
    let http = Arc::new(Http { client, under_way });
    let host = |url: &str| Target::parse(url).ok().map(|target| target.host().to_owned());
    let fetch = move |context: CallContext, (url, options): (String, Option<Request>)| {
        let http = http.clone();
        async move { http.fetch(&context, &url, options.unwrap_or_default()).await }
    };
    let module = HostModule::from_wit(include_str!("http.wit"))?;
    Ok(module.function("fetch", fetch).narrowed_by("fetch", "host", "url", host).never_granted("fetch", grants::never))
}

/// Fuel to take a URL apart, and for each byte of it.
const URL_FUEL: u64 = 40_000;
const URL_BYTE_FUEL: u64 = 600;

struct Http {
    client: Client,
    under_way: UnderWay,
}

impl Http {
    async fn fetch(
        &self,
        context: &CallContext,
        url: &str,
        request: Request,
    ) -> Result<Result<Response, Failure>, Error> {
        let limits = context.limits();
        let _place = self.under_way.enter(context.tenant(), limits.http_in_flight)?;
        let limits = HttpLimits {
            request_bytes: limits.http_request_bytes,
            response_bytes: limits.http_response_bytes,
            header_bytes: HEADER_BYTES,
            redirects: limits.http_redirects,
            timeout_ms: u64::try_from(limits.http_timeout.as_millis()).unwrap_or(u64::MAX),
        };
        context.charge(URL_FUEL + URL_BYTE_FUEL * url.len().min(URL_BYTES_MAX) as u64);
        let may = |host: &str| context.allows("host", host);
        let by = By {
            tenant: context.tenant().clone(),
            spent: context.spent.clone(),
            gauge: context.local.gauge.clone(),
            memory_bytes: context.limits().memory_bytes,
            aside: context.function.aside.clone(),
        };
        Ok(self.client.fetch(&by, url, request, &limits, &may).await)
    }
}

/// A tenant may have one in `PARTS_LEFT` of the requests that are free. Of 256, a tenant alone has 15, and 69 tenants that take all they may, one
/// after the other, leave none for the next.
const PARTS_LEFT: u32 = 16;

/// The requests that are under way. Each has sockets, of which the process has so many.
struct UnderWay {
    most: u32,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    count: u32,
    by_tenant: HashMap<Tenant, u32>,
}

struct Place<'a> {
    under_way: &'a UnderWay,
    tenant: Tenant,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, tenant: &Tenant, most: u32) -> Result<Place<'_>, Error> {
        let mut all = self.lock();
        let now = all.by_tenant.get(tenant).copied().unwrap_or_default();
        let over = |message| Err(Error::new(ErrorKind::Limit, message));
        if now >= most {
            return over(format!(
                "{now} requests of this tenant are under way, the limit http_in_flight: wait for one"
            ));
        }
        let left = self.most.saturating_sub(all.count);
        if left == 0 || now >= (left / PARTS_LEFT).max(1) {
            return over(format!(
                "{now} requests of this tenant are under way, and there is room for {left} more of all tenants, of which one may have a {PARTS_LEFT}th: wait for one, or try again"
            ));
        }
        all.count += 1;
        all.by_tenant.insert(tenant.clone(), now + 1);
        Ok(Place { under_way: self, tenant: tenant.clone() })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.under_way.lock();
        all.count = all.count.saturating_sub(1);
        match all.by_tenant.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(all.by_tenant.remove(&self.tenant)),
        }
    }
}
