//! From names to addresses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Looks up the addresses of a host. What it says is checked afterwards: it can't open a way to an address that may not be
/// reached. It is asked once for each request and each redirect, and the connection goes to an address of that answer.
pub trait Resolver: Send + Sync {
    /// The addresses of a host's name, the best first. The name is in lower case and ASCII, without a dot at the end.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// A lookup under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Asks the system, as other programs on the machine do.
///
/// That blocks a thread of the runtime's for each lookup, also when nobody waits for it any more; so only so many are under
/// way at a time. Otherwise a script could fill all such threads with names whose servers don't answer.
#[derive(Clone)]
pub struct SystemResolver {
    slots: Arc<Semaphore>,
}

impl SystemResolver {
    /// How many lookups are under way at a time. Others wait.
    pub const LOOKUPS_MAX: usize = 64;
}

impl Default for SystemResolver {
    fn default() -> SystemResolver {
        SystemResolver { slots: Arc::new(Semaphore::new(SystemResolver::LOOKUPS_MAX)) }
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let slot = self.slots.clone().acquire_owned().await.map_err(io::Error::other)?;
            let host = host.to_owned();
            let lookup = spawn_blocking(move || {
                let _slot = slot; // until the lookup ends, not until nobody waits for it
                let found = (host.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemResolver")
    }
}
