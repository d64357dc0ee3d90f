//! Motu itself: made once, loads bundles, holds no global state (M5).

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::bundle::Bundle;
use crate::engine::CompileCache;
use crate::error::{Error, ErrorKind};
use crate::guest::motu::guest::types::File as GuestFile;
use crate::image::Image;
use crate::instance::Instance;
use crate::limits::Limits;
use crate::log::{LogLine, LogSink};
use crate::outcome::Usage;
use crate::tenant::Tenant;
use crate::vm::{Budget, Factory, failed};

/// Runs bundles. Cheap to clone: clones share the compiled VM and its images.
#[derive(Clone)]
pub struct Motu {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) factory: Factory,
    pub(crate) limits: Limits,
    pub(crate) log: LogSink,
}

/// Sets a [`Motu`] up.
#[derive(Clone, Debug)]
#[must_use = "nothing is made until `build`"]
pub struct MotuBuilder {
    limits: Limits,
    cache: CompileCache,
    log: LogSink,
}

impl MotuBuilder {
    /// The limits of loading and of events. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> MotuBuilder {
        self.limits = limits;
        self
    }

    /// Where the compiled VM is kept. Default: [`CompileCache::User`].
    pub fn compile_cache(mut self, cache: CompileCache) -> MotuBuilder {
        self.cache = cache;
        self
    }

    /// Where the lines go that scripts log. Default: to `tracing`, target `motu::script`. Called while the script runs: a
    /// sink that blocks holds the script up.
    pub fn on_log(mut self, sink: impl Fn(&LogLine) + Send + Sync + 'static) -> MotuBuilder {
        self.log = LogSink(Arc::new(sink));
        self
    }

    /// Compiles the VM, or takes it from the cache, and starts one: about 2.5 s, or 10 ms.
    ///
    /// # Errors
    ///
    /// [`Usage`](ErrorKind::Usage) for a limit that can't be held to, [`Host`](ErrorKind::Host) when the machine refuses
    /// memory.
    pub fn build(self) -> Result<Motu, Error> {
        self.limits.check()?;
        let factory = Factory::new(&self.cache)?;
        Ok(Motu { shared: Arc::new(Shared { factory, limits: self.limits, log: self.log }) })
    }
}

impl Motu {
    /// Starts with the defaults.
    pub fn builder() -> MotuBuilder {
        MotuBuilder { limits: Limits::default(), cache: CompileCache::default(), log: LogSink::tracing() }
    }

    /// The SHA-256 of the VM that this library holds, as hexadecimal digits.
    pub fn guest_digest() -> &'static str {
        crate::guest::DIGEST
    }

    /// Loads a bundle: compiles its files, runs its top level once, and keeps the memory as the image that its instances
    /// start from. Cut into slices by fuel, so it doesn't hold the thread that awaits it.
    ///
    /// # Errors
    ///
    /// [`Compile`](ErrorKind::Compile) naming path and line, [`Script`](ErrorKind::Script) for an error at the top level,
    /// [`Fuel`](ErrorKind::Fuel), [`Deadline`](ErrorKind::Deadline), [`Memory`](ErrorKind::Memory) and
    /// [`Limit`](ErrorKind::Limit) for the limits of loading.
    pub async fn load(&self, bundle: &Bundle) -> Result<Loaded, Error> {
        let since = Instant::now();
        let Shared { factory, limits, log } = &*self.shared;
        check_source(bundle, limits)?;
        let mut vm = factory.empty(limits, bundle.digest().seed(), log.clone())?;
        let files = guest_files(bundle);
        let budget = Budget { fuel: limits.load_fuel, deadline: limits.load_deadline, since };
        let (loaded, mut usage) = vm
            .call(&budget, async |exports, store| {
                let loaded = exports.call_load(&mut *store, &files, bundle.entry()).await?;
                if loaded.is_ok() {
                    exports.call_settle(&mut *store).await?;
                }
                Ok(loaded)
            })
            .await;
        let loaded = loaded.and_then(|loaded| loaded.map_err(failed)).map_err(|error| error.with_usage(usage))?;
        // an event's name is text: a handler that no text names is none
        let names = loaded.handlers.len();
        let handlers: Vec<String> =
            loaded.handlers.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
        let only_handlers = loaded.only_handlers && handlers.len() == names;
        let image = vm.into_image().map_err(|error| error.with_usage(usage))?;
        usage.elapsed = since.elapsed();
        let inner = Bundled { shared: self.shared.clone(), image, handlers, only_handlers, usage };
        Ok(Loaded(Arc::new(inner)))
    }

    /// Compiles every file of a bundle and resolves every `require` of a constant string, running nothing. Returns what is
    /// wrong, sorted by path and line.
    ///
    /// # Errors
    ///
    /// The limits of loading, as for [`load`](Self::load).
    pub async fn check(&self, bundle: &Bundle) -> Result<Vec<Diagnostic>, Error> {
        let since = Instant::now();
        let Shared { factory, limits, log } = &*self.shared;
        check_source(bundle, limits)?;
        let mut vm = factory.empty(limits, bundle.digest().seed(), log.clone())?.without_image();
        let files = guest_files(bundle);
        let budget = Budget { fuel: limits.load_fuel, deadline: limits.load_deadline, since };
        let (diagnostics, usage) =
            vm.call(&budget, async |exports, store| Ok(Ok(exports.call_check(store, &files).await?))).await;
        let diagnostics =
            diagnostics.and_then(|found| found.map_err(failed)).map_err(|error| error.with_usage(usage))?;
        let diagnostic = |found: crate::guest::motu::guest::types::Diagnostic| Diagnostic {
            path: found.path,
            line: found.line,
            message: String::from_utf8_lossy(&found.message).into_owned(),
        };
        Ok(diagnostics.into_iter().map(diagnostic).collect())
    }
}

impl fmt::Debug for Motu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Motu").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

/// Something wrong with a bundle, found by [`Motu::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The file.
    pub path: String,
    /// The line in it, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

fn check_source(bundle: &Bundle, limits: &Limits) -> Result<(), Error> {
    let (bytes, most) = (bundle.source_bytes(), limits.source_bytes);
    if bytes > u64::from(most) {
        let message = format!("over the limit source_bytes of {most}: the files of the bundle have {bytes} bytes");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(())
}

fn guest_files(bundle: &Bundle) -> Vec<GuestFile> {
    let file = |(path, file): (&str, &crate::bundle::File)| GuestFile {
        path: path.to_owned(),
        contents: file.contents.clone(),
        opaque: file.opaque,
    };
    bundle.files().map(file).collect()
}

/// A bundle that has been loaded: what instances are made of. Cheap to clone.
#[derive(Clone)]
pub struct Loaded(pub(crate) Arc<Bundled>);

pub(crate) struct Bundled {
    pub(crate) shared: Arc<Shared>,
    pub(crate) image: Arc<Image>,
    pub(crate) handlers: Vec<String>,
    only_handlers: bool,
    usage: Usage,
}

impl Drop for Bundled {
    fn drop(&mut self) {
        self.shared.factory.forget(&self.image);
    }
}

impl Loaded {
    /// The events it handles, sorted. Functions under names that aren't UTF-8 are left out: no event has such a name.
    pub fn handlers(&self) -> &[String] {
        &self.0.handlers
    }

    /// Whether its entry returned a table of handlers and nothing else. When not, see [`Instance::value`].
    pub fn only_handlers(&self) -> bool {
        self.0.only_handlers
    }

    /// What loading used.
    pub fn usage(&self) -> Usage {
        self.0.usage
    }

    /// What its image takes, in bytes, shared by all its instances.
    pub fn image_bytes(&self) -> u64 {
        self.0.image.stored_bytes() as u64
    }

    /// An instance of it for a tenant. It takes no memory before its first event.
    pub fn instance(&self, tenant: Tenant) -> Instance {
        Instance::new(self.clone(), tenant)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("handlers", &self.0.handlers)
            .field("usage", &self.0.usage)
            .finish_non_exhaustive()
    }
}
