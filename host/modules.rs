//! Motu's own host modules. Each is a folder: its WIT, its functions, its tests; and a line here. They go through the same
//! door as an embedder's.

/// Registers methods of an object, shared by all calls, as a module's functions. What is a `value` in the WIT, they take unread.
macro_rules! methods {
    ($module:expr, $object:ident: { $($name:literal => $method:ident,)* }) => {{
        let module = $module;
        $(
            let own = $object.clone();
            let module = module.unread_function($name, move |context: CallContext, arguments| {
                let own = own.clone();
                async move { own.$method(&context, arguments).await }
            });
        )*
        module
    }};
}

pub(crate) mod blob;
mod codec;
pub(crate) mod cron;
#[cfg(feature = "http")]
pub(crate) mod http;
mod json;
pub(crate) mod kept;
mod kv;
mod log;
mod random;
mod time;

use std::sync::Arc;

use crate::error::Error;
use crate::kept::Kept;
use crate::module::HostModule;
use crate::wit::Package;

/// What an embedder says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    #[cfg(feature = "http")]
    pub(crate) http: http::HttpSettings,
}

/// What scripts may call of them, by their WIT. Starts nothing: the types for editors are made of it.
pub(crate) fn packages() -> Result<Vec<Arc<Package>>, Error> {
    let wits = [
        include_str!("modules/blob/blob.wit"),
        include_str!("modules/codec/codec.wit"),
        include_str!("modules/cron/cron.wit"),
        #[cfg(feature = "http")]
        include_str!("modules/http/http.wit"),
        include_str!("modules/json/json.wit"),
        include_str!("modules/kv/kv.wit"),
        include_str!("modules/log/log.wit"),
        include_str!("modules/random/random.wit"),
        include_str!("modules/time/time.wit"),
    ];
    wits.iter().map(|wit| Ok(HostModule::from_wit(wit)?.package().clone())).collect()
}

pub(crate) fn all(kept: &Arc<Kept>, settings: Settings) -> Result<Vec<HostModule>, Error> {
    let Settings {
        #[cfg(feature = "http")]
        http,
    } = settings;
    Ok(vec![
        blob::module(kept)?,
        codec::module()?,
        cron::module(kept)?,
        #[cfg(feature = "http")]
        http::module(http)?,
        json::module()?,
        kv::module(kept)?,
        log::module()?,
        random::module()?,
        time::module()?,
    ])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn c16_the_packages_are_those_of_all_modules() {
        let kept = Arc::new(Kept::open(None, Clock::default(), |_, _| ()).unwrap());
        let ids = |packages: &[Arc<Package>]| packages.iter().map(|package| package.id()).collect::<Vec<_>>();
        let all: Vec<_> =
            all(&kept, Settings::default()).unwrap().iter().map(|module| module.package().clone()).collect();
        assert_eq!(ids(&packages().unwrap()), ids(&all));
    }
}
