//! Motu, as a service would use it: through its public API.

use std::future::Future;

use motu::{Bundle, Instance, Limits, Loaded, Motu, Tenant};

/// A Motu.
pub(crate) struct Ours {
    motu: Motu,
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
        Ok(Ours { motu })
    }

    /// Loads a bundle of one file.
    pub(crate) fn load(&self, source: &str) -> anyhow::Result<Loaded> {
        let bundle = Bundle::from_files([("init.luau", source)])?;
        Ok(self.run(self.motu.load(&bundle))?)
    }

    /// Runs a future to its end, awake.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        awake(future)
    }
}

/// Polls a future until it is done, without ever sleeping. Waking a thread that sleeps is the kernel's work, and takes
/// several times as long as an event, so it would be most of what is measured.
pub(crate) fn awake<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
        std::hint::spin_loop();
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
