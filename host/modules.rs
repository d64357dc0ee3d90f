//! Motu's own host modules. Each is a folder: its WIT, its functions, its tests; and a line here. They go through the same
//! door as an embedder's.

mod json;
pub(crate) mod kv;
mod log;
mod random;
mod time;

use std::sync::Arc;

use crate::error::Error;
use crate::kept::Kept;
use crate::module::HostModule;

pub(crate) fn all(kept: &Arc<Kept>) -> Result<Vec<HostModule>, Error> {
    Ok(vec![json::module()?, kv::module(kept)?, log::module()?, random::module()?, time::module()?])
}
