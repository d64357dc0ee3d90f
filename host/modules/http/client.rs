//! The client: each hop of a call is checked as if it were the first, and goes over a connection of its own to an address
//! that was checked itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::SET_COOKIE;
use rustix::process::{Resource, getrlimit};

use super::address::Reach;
use super::connect::{Tls, connect};
use super::deadline::Deadline;
use super::exchange::{Answer, Call, exchange};
use super::limits::HttpLimits;
use super::networks::Networks;
use super::prepare::Prepared;
use super::resolve::{LOOKUPS, LOOKUPS_EACH, Lookup, Resolver, SystemResolver};
use super::stream::{Counted, Received};
use super::target::Target;
use super::types::{Failure, FailureKind, Request, Response};
use crate::context::Spent;
use crate::functions::Aside;
use crate::tenant::Tenant;
use crate::turns::Places;
use crate::vm::{Gauge, Held};

/// How scripts reach the network through `motu:http`, whatever they were granted.
#[derive(Clone)]
pub struct HttpSettings {
    /// Networks that may be reached although they aren't public: an intranet's, for instance. Default: none.
    pub allowed: Networks,
    /// Networks that may not be reached, though they be public or `allowed`: public addresses of your own, prefixes of your
    /// own that translate to IPv4. Default: none.
    pub refused: Networks,
    /// Certificate authorities that are trusted beside those that Mozilla trusts: PEM, each with one certificate or more.
    pub roots: Vec<Vec<u8>>,
    /// What looks up hosts. Default: the system.
    pub resolver: Arc<dyn Resolver>,
    /// How many requests of all tenants of one Motu may be under way at once. A tenant may have a sixteenth of those that are left, at least
    /// one while any is, and [`http_in_flight`](crate::Limits::http_in_flight) at most: one more is refused with the kind `limit`. Each takes up
    /// to three sockets. Default: a quarter of the files that the process may have open (the soft limit `RLIMIT_NOFILE`) when the settings are
    /// made. With several Motus in a process, set less, but not under 32: a tenant has one at a time then.
    pub requests: u32,
}

/// Settings that can't be used: what is wrong, and with what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpSettingsError(String);

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            allowed: Networks::default(),
            refused: Networks::default(),
            roots: Vec::new(),
            resolver: Arc::new(SystemResolver),
            requests: getrlimit(Resource::Nofile)
                .current
                .map_or(u32::MAX, |files| u32::try_from(files / 4).unwrap_or(u32::MAX))
                .max(1),
        }
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("allowed", &self.allowed)
            .field("refused", &self.refused)
            .field("roots", &self.roots.len())
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// What a connection takes beside its bytes, in fuel: 100 us. A secure one takes seven times as much.
const FUEL: u64 = 2_000_000;
const SECURE_FUEL: u64 = 14_000_000;

/// What a connection takes of the instance's memory beside the body, in bytes: the head, hyper's buffers, and those of TLS.
const CONNECTION_BYTES: usize = 64 << 10;

/// Who makes a request, and what it costs them.
pub(crate) struct By {
    pub(crate) tenant: Tenant,
    pub(crate) spent: Arc<Spent>,
    /// What the host holds for the instance, and the most that this and its memory may be.
    pub(crate) gauge: Gauge,
    pub(crate) memory_bytes: u64,
    /// Where what takes long is done.
    pub(crate) aside: Arc<Aside>,
}

impl By {
    /// Counts what a response takes as memory of the instance (M4).
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held, Failure> {
        self.gauge.hold_within(bytes as u64, self.memory_bytes).ok_or_else(|| {
            let most = self.memory_bytes;
            let message = format!("a response takes {bytes} bytes more, over the limit memory_bytes of {most}");
            Failure::new(FailureKind::TooLarge, message)
        })
    }
}

/// Whether a host may be reached, as [`Target::host`] writes it.
pub(crate) type May<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// Makes requests for any tenant. It keeps nothing from one to the next.
pub(crate) struct Client {
    reach: Reach,
    resolver: Arc<dyn Resolver>,
    lookups: Places,
    tls: Tls,
}

impl Client {
    pub(crate) fn new(settings: HttpSettings) -> Result<Client, HttpSettingsError> {
        let HttpSettings { allowed, refused, roots, resolver, requests: _ } = settings;
        let tls = Tls::new(&roots).map_err(HttpSettingsError)?;
        let lookups = Places::new(LOOKUPS, LOOKUPS_EACH);
        Ok(Client { reach: Reach { allowed, refused }, resolver, lookups, tls })
    }

    /// Does a request, on the tokio runtime that polls it. When the future is dropped, the connection is closed.
    pub(crate) async fn fetch(
        &self,
        by: &By,
        url: &str,
        request: Request,
        limits: &HttpLimits,
        may: May<'_>,
    ) -> Result<Response, Failure> {
        let mut prepared = Prepared::new(request, limits)?;
        let mut target = Target::parse(url)?;
        let deadline = Deadline::new(prepared.timeout);
        let mut followed = 0_u32;
        loop {
            let call = Call { prepared: &prepared, limits, deadline: &deadline, by };
            let received = Received::new(by.spent.clone(), limits);
            let hop = received.in_steps(self.hop(&target, &call, may, &received)).await;
            by.spent.charge(received.fuel());
            let answer = hop.map_err(|failure| at(followed, failure))?;
            let Some(location) = &answer.location else { return Ok(response(answer, &target)) };
            if followed == prepared.redirects {
                let message = format!("there were more than {followed} redirects");
                return Err(Failure::new(FailureKind::TooManyRedirects, message));
            }
            followed = followed.saturating_add(1);
            let next = target.redirect(location.as_bytes()).map_err(|failure| at(followed, failure))?;
            if target.is_https() && !next.is_https() {
                let message = format!("{} redirects from https to http", target.host());
                return Err(Failure::new(FailureKind::InsecureRedirect, message));
            }
            prepared.redirect(answer.status, target.is_same_origin(&next));
            target = next;
        }
    }

    async fn hop(
        &self,
        target: &Target,
        call: &Call<'_>,
        may: May<'_>,
        received: &Received,
    ) -> Result<Answer, Failure> {
        let (host, deadline) = (target.host(), call.deadline);
        if !may(host) {
            return Err(Failure::new(FailureKind::DeniedHost, format!("no grant allows the host {host}")));
        }
        call.by.spent.charge(if target.is_https() { SECURE_FUEL } else { FUEL });
        let addresses = self.addresses(&call.by.tenant, target, deadline).await?;
        let _held = call.by.hold(CONNECTION_BYTES)?;
        let connected = deadline.hold("a connection", connect(&addresses)).await?;
        let stream = connected
            .map_err(|error| Failure::new(FailureKind::Connect, format!("{host} can't be connected to: {error}")))?;
        let stream = Counted::new(stream, received.clone());
        if !target.is_https() {
            return exchange(stream, target, call, received).await;
        }
        let secured = deadline.hold("a secure connection", self.tls.connect(call.by, host, stream)).await??;
        exchange(secured, target, call, received).await
    }

    /// The addresses of a host, all of them checked.
    ///
    /// One that may not be reached refuses the host, whatever else the answer has. To leave such a one out would be as safe,
    /// since only checked addresses are connected to; but no honest name is public and private at once, the answer would
    /// depend on what the server of names mixed, and somebody who tries rebinding would be helped to the other address.
    async fn addresses(
        &self,
        tenant: &Tenant,
        target: &Target,
        deadline: &Deadline,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let (host, port) = (target.host(), target.port());
        let found = match target.address() {
            Some(address) => vec![address],
            None => {
                let place = deadline.hold("a turn to look up the host", self.lookups.enter(tenant)).await?;
                let lookup = Lookup { host: host.to_owned(), place };
                let found = deadline.hold("the address of the host", self.resolver.resolve(lookup)).await?;
                found.map_err(|error| {
                    Failure::new(FailureKind::Resolve, format!("the address of {host} can't be looked up: {error}"))
                })?
            }
        };
        if found.is_empty() {
            return Err(Failure::new(FailureKind::Resolve, format!("{host} has no address")));
        }
        let checked = |address: IpAddr| match self.reach.check(address) {
            Ok(address) => Ok(SocketAddr::new(address, port)),
            // the address itself isn't told: what names stand for in the embedder's network is none of a script's business
            Err(what) => {
                let message = format!("{host} may not be reached: it has an address that isn't public ({what})");
                Err(Failure::new(FailureKind::DeniedAddress, message))
            }
        };
        found.into_iter().map(checked).collect()
    }
}

fn response(answer: Answer, target: &Target) -> Response {
    let mut headers = BTreeMap::<String, Vec<u8>>::new();
    for (name, value) in answer.headers.iter().filter(|(name, _)| **name != SET_COOKIE) {
        let values = headers.entry(name.as_str().to_owned());
        let joined = |values: &mut Vec<u8>| {
            values.extend_from_slice(b", ");
            values.extend_from_slice(value.as_bytes());
        };
        values.and_modify(joined).or_insert_with(|| value.as_bytes().to_vec());
    }
    let cookies = answer.headers.get_all(SET_COOKIE).iter();
    Response {
        status: answer.status.as_u16(),
        headers,
        set_cookie: cookies.map(|value| value.as_bytes().to_vec()).collect(),
        body: answer.body,
        url: target.url().to_owned(),
    }
}

/// Says which redirect it was at.
fn at(redirect: u32, failure: Failure) -> Failure {
    match redirect {
        0 => failure,
        number => Failure { message: format!("redirect {number}: {}", failure.message), ..failure },
    }
}
