//! Motu, as a service would use it: through its public API, awaited on a current-thread runtime.

use std::future::Future;

use motu::{Bundle, Instance, Limits, Loaded, Motu, Tenant};
use tokio::runtime::Runtime;

/// A Motu and the runtime that it is awaited on.
pub(crate) struct Ours {
    motu: Motu,
    runtime: Runtime,
}

impl Ours {
    /// With metering on and a budget that no measurement uses up.
    pub(crate) fn new() -> anyhow::Result<Ours> {
        let limits = Limits {
            load_fuel: Some(u64::MAX / 2),
            event_fuel: Some(u64::MAX / 2),
            load_deadline: None,
            event_deadline: None,
            memory_bytes: 1 << 30,
            ..Limits::default()
        };
        let motu = Motu::builder().limits(limits).build()?;
        Ok(Ours { motu, runtime: tokio::runtime::Builder::new_current_thread().build()? })
    }

    /// Loads a bundle of one file.
    pub(crate) fn load(&self, source: &str) -> anyhow::Result<Loaded> {
        let bundle = Bundle::from_files([("init.luau", source)])?;
        Ok(self.run(self.motu.load(&bundle))?)
    }

    /// Runs a future to its end.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

/// The one tenant of the benchmark.
pub(crate) fn tenant() -> anyhow::Result<Tenant> {
    Ok("bench:1".parse()?)
}

/// A new instance that has answered its first event.
pub(crate) async fn answered(
    loaded: &Loaded,
    tenant: &Tenant,
    event: &str,
    payload: &str,
) -> anyhow::Result<(Instance, String)> {
    let instance = loaded.instance(tenant.clone());
    let outcome = instance.dispatch::<String>(event, payload).await?;
    Ok((instance, outcome.value))
}
