//! From names to addresses.

use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;

use tokio::task::spawn_blocking;

use crate::turns::Place;

/// How many lookups are under way at a time, of all tenants, and of one. Others wait for their turn.
pub(super) const LOOKUPS: u32 = 64;
pub(super) const LOOKUPS_EACH: u32 = 8;

/// Looks up the addresses of a host. What it says is checked afterwards: it can't open a way to an address that may not be
/// reached. It is asked once for each request and each redirect, and the connection goes to an address of that answer.
pub trait Resolver: Send + Sync {
    /// The addresses of a host, the best first. 64 lookups are under way at a time, 8 of one tenant; others wait for their turn.
    fn resolve(&self, lookup: Lookup) -> Resolving<'_>;
}

/// A lookup under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// What is to be looked up. It has one of the tenant's places: whoever goes on with a lookup that nobody waits for any more keeps
/// this until it ends, lest there be more than 64.
pub struct Lookup {
    pub(super) host: String,
    pub(super) place: Place,
}

impl Lookup {
    /// The host's name, in lower case and ASCII, without a dot at the end.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Asks the system, as other programs on the machine do. That blocks a thread of the runtime's for each lookup, also when nobody
/// waits for it any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, lookup: Lookup) -> Resolving<'_> {
        Box::pin(async move {
            let found = spawn_blocking(move || {
                let found = (lookup.host(), 0).to_socket_addrs()?.map(|address| address.ip()).collect();
                drop(lookup.place); // not before
                Ok(found)
            });
            found.await.map_err(io::Error::other)?
        })
    }
}
