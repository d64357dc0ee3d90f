//! The provider that is measured, `provider.wat`.

use motu::{CompileCache, HostModule, Provider, ProviderLimits};

pub(crate) fn module() -> anyhow::Result<HostModule> {
    let bytes = wat::parse_str(include_str!("provider.wat"))?;
    let limits = ProviderLimits { values: 1 << 20, ..ProviderLimits::default() };
    Ok(Provider::from_component(&bytes, limits, &CompileCache::User)?.module())
}
