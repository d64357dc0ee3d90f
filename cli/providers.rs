//! `--provider`: wasm components whose functions scripts may call as a module's.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use motu::{CompileCache, HostModule, MotuBuilder, Provider, ProviderLimits};

use crate::failure::Failure;
use crate::file;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Providers {
    /// A wasm component whose functions scripts may call as a module's, if they are granted. May be given many times.
    #[arg(long = "provider", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Providers {
    /// Adds them to the host's own modules.
    pub(crate) fn add_to(&self, builder: MotuBuilder) -> Result<MotuBuilder, Failure> {
        self.files.iter().try_fold(builder, |builder, file| Ok(builder.host_module(module(file)?)))
    }
}

fn module(path: &Path) -> Result<HostModule, Failure> {
    let failed = |problem: &dyn Display| Failure::usage(format!("--provider {}: {problem}", path.display()));
    let bytes = file::read(path, file::PROVIDER).map_err(|error| failed(&format!("it can't be read: {error}")))?;
    let provider = Provider::from_component(&bytes, ProviderLimits::default(), &CompileCache::User);
    Ok(provider.map_err(|error| failed(&error.message()))?.module())
}
