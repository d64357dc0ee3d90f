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

/// What an embedder says of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    #[cfg(feature = "http")]
    pub(crate) http: http::HttpSettings,
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
