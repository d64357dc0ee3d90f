//! Motu runs untrusted Luau for many tenants: each script in a WebAssembly instance of its own, with a fuel meter, a
//! memory cap and no way out but what it was granted. What would be a panic, a hang or a corrupted heap in a native VM is
//! a trap in one instance, and its neighbours never notice.
//!
//! ```
//! use motu::{Bundle, Motu};
//!
//! # fn main() -> Result<(), motu::Error> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let motu = Motu::builder().build()?;
//! let bundle = Bundle::from_files([("init.luau", "return { greet = function(name) return `Hello, {name}!` end }")])?;
//! let loaded = motu.load(&bundle).await?;
//!
//! let instance = loaded.instance("user:7".parse()?);
//! let outcome = instance.dispatch::<String>("greet", "Ada").await?;
//! assert_eq!(outcome.value, "Hello, Ada!");
//! println!("{} fuel, {} bytes", outcome.usage.fuel, outcome.usage.memory_bytes);
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! Scripts run on Motu's own threads; the futures need no particular runtime.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("motu runs on Linux, on x86-64 and aarch64: it needs memory files and copy-on-write maps");

#[cfg(panic = "abort")]
compile_error!("motu needs panic = \"unwind\": a panic in one host function must not end the process");

mod actor;
mod bundle;
mod bundles;
mod clock;
mod context;
mod door;
mod engine;
mod error;
mod folder;
mod functions;
mod give_back;
mod grant;
mod guest;
mod image;
mod instance;
mod kept;
mod limits;
mod load;
mod log;
mod metering;
mod module;
mod modules;
mod motu;
mod outcome;
#[cfg(feature = "providers")]
mod provider;
mod queue;
mod rates;
mod share;
mod sight;
mod store;
mod strategy;
mod tenant;
mod tenants;
pub mod testing;
mod turns;
mod value;
mod vm;
mod waits;
mod wire;
mod wit;
mod worker;

#[doc(hidden)]
pub use actor::Stage;
pub use bundle::{Bundle, Digest};
pub use clock::MockClock;
pub use context::CallContext;
pub use door::Status;
pub use engine::CompileCache;
pub use error::{Error, ErrorKind, Fault};
pub use grant::{FunctionName, Grant, GrantError, Grants, GrantsError, NotCovered};
pub use instance::Instance;
pub use limits::Limits;
pub use log::{LogFeed, LogLevel, LogLine, Logged};
pub use metering::{Metering, MockMeter};
pub use module::HostModule;
pub use modules::blob::LinkedBlob;
#[cfg(feature = "http")]
pub use modules::http::{
    HttpSettings, HttpSettingsError, Lookup, NetworkError, Networks, Resolver, Resolving, SystemResolver,
};
pub use motu::{Checked, Diagnostic, Loaded, Motu, MotuBuilder, Placement, Stats, VainGrant};
pub use outcome::{Outcome, Tier, Usage};
#[cfg(feature = "providers")]
pub use provider::{Provider, ProviderLimits, ProviderUsage};
pub use tenant::Tenant;
pub use tenants::{Answer, Drained, TenantRef, Unfinished};
pub use value::Value;
pub use wire::WireError;
pub use wit::{Handle, WitError};
#[doc(hidden)]
pub use worker::Step;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
