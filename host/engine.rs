//! The one way to make a wasmtime engine, for the library, tests, fuzzing and benchmarks alike.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Config, Engine, Inlining, OperatorCost, Strategy};

use crate::image::{EXCEPTION_HEAP_BYTES_MAX, MEMORY_RESERVATION_BYTES, Memories, Stacks};

/// The native stack that wasm code may use. Source that nests as deep as Luau takes it (1,000 levels) needs more than 1 MiB of it.
const WASM_STACK_BYTES: usize = 2 << 20;

/// The stack of a fiber: wasm code's, and the host functions' that it calls.
const FIBER_STACK_BYTES: usize = 3 << 20;

/// The fuel of a `nop`, which is no code and costs nothing otherwise. The only ones in the guest are those that
/// `build/bulk.rs` puts where memory grows: 800 for each 64 KiB, so 200,000 fuel for what the kernel does for them.
const NOP_FUEL: u8 = 250;

/// Where the compiled VM is kept, so that only the first start on a machine spends a second or two compiling it.
///
/// The cache holds native code that is run as it is found: who can write to the folder can run code in your process. It is
/// made with mode 0700. A cache that can't be read or written costs time and nothing else. What was compiled, and why it
/// isn't kept, is told through `tracing`, with the target `motu::compile`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileCache {
    /// `motu` in the user's cache folder: `$XDG_CACHE_HOME`, else `~/.cache`.
    #[default]
    User,
    /// A folder named `compiled` in this one.
    Folder(PathBuf),
    /// None: compile at each start.
    Off,
}

pub(crate) fn engine(cache: &OpenCache, memories: &Memories) -> wasmtime::Result<Engine> {
    let mut config = config(cache.cache.clone());
    config.with_host_memory(Arc::new(memories.clone()));
    // `guest/math/` needs a fused multiply-add, an instruction of relaxed SIMD. `deterministic` makes its result the same on
    // every machine; processors without the instruction call a function.
    config.wasm_relaxed_simd(true).relaxed_simd_deterministic(true);
    config.operator_cost(OperatorCost { Nop: NOP_FUEL, ..OperatorCost::new() });
    // of the guest's own functions, which have no names: an end tells of the script's frames (`vm/trace.rs`)
    config.wasm_backtrace_max_frames(None);
    Engine::new(&config)
}

/// An engine for components that aren't Motu's own: wasmtime makes their memories itself.
#[cfg(feature = "providers")]
pub(crate) fn provider_engine(cache: &CompileCache) -> wasmtime::Result<Engine> {
    let cache = OpenCache::open(cache);
    if let Some(why) = &cache.why_not {
        tracing::warn!(target: COMPILE, "providers are compiled at each start: {why}");
    }
    Engine::new(&config(cache.cache))
}

fn config(cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift) // on Winch, a throw can't be caught
        .consume_fuel(true)
        .wasm_exceptions(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .compiler_inlining(Inlining::No) // LLVM has inlined; this takes 1.3 GB and twice the time to gain nothing
        .concurrency_support(false) // 800 ns a call with it, 300 or less without
        .generate_address_map(false) // with these two on, a caught error costs 9 us instead of 2.8
        .native_unwind_info(false)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .memory_reservation(MEMORY_RESERVATION_BYTES as u64) // with less, explicit bounds checks: 2.5 times slower
        .gc_heap_initial_size(64 << 10) // else it grows at the first throw
        .gc_heap_reservation(EXCEPTION_HEAP_BYTES_MAX as u64)
        .gc_heap_guard_size(0)
        .gc_heap_may_move(false)
        .with_host_stack(Arc::new(Stacks::new(FIBER_STACK_BYTES)))
        .cache(cache);
    config
}

/// The compile cache, or why there is none.
pub(crate) struct OpenCache {
    cache: Option<Cache>,
    /// It is where the user's is.
    is_users: bool,
    folder: PathBuf,
    why_not: Option<String>,
}

impl OpenCache {
    pub(crate) fn open(cache: &CompileCache) -> OpenCache {
        let folder = match cache {
            CompileCache::Off => {
                return OpenCache { cache: None, is_users: false, folder: PathBuf::new(), why_not: None };
            }
            CompileCache::Folder(folder) => Some(folder.clone()),
            CompileCache::User => user_folder(),
        };
        let Some(folder) = folder else {
            let why = "neither XDG_CACHE_HOME nor HOME names a folder, from / on";
            return OpenCache { cache: None, is_users: true, folder: PathBuf::new(), why_not: Some(why.to_owned()) };
        };
        // a folder below it that is nobody else's: wasmtime's cache removes whatever it finds there and doesn't know
        let opened =
            private_folder(&folder).and_then(|folder| private_folder(&folder.join("compiled"))).and_then(|folder| {
                let mut config = CacheConfig::new();
                config.with_directory(folder);
                Cache::new(config).map_err(|error| error.to_string())
            });
        let why = |error: &String| format!("{} can't be used as the compile cache: {error}", folder.display());
        let is_users = *cache == CompileCache::User;
        OpenCache { is_users, why_not: opened.as_ref().err().map(why), cache: opened.ok(), folder }
    }

    /// What to do about a VM that can't be set up: files that were kept may be damaged, and nothing else tells.
    pub(crate) fn help(&self) -> String {
        match &self.cache {
            Some(cache) => format!("; if that stays so, delete {}", cache.directory().display()),
            None => String::new(),
        }
    }

    /// Says that the VM was compiled, if it was, and whether the next start has to do it again.
    pub(crate) fn tell(&self, elapsed: Duration) {
        let (ms, folder) = (elapsed.as_millis(), self.folder.display());
        let help = match self.is_users {
            true => "set XDG_CACHE_HOME to a folder that only this user can write to",
            false => "name another folder as the compile cache, one that only this user can write to",
        };
        match (&self.cache, &self.why_not) {
            (Some(cache), _) if cache.cache_hits() >= COMPILED => (),
            // only what was written is a miss, for wasmtime
            (Some(cache), _) => match cache.cache_hits() + cache.cache_misses() >= COMPILED {
                true => {
                    tracing::info!(target: COMPILE, "the VM was compiled for this machine in {ms} ms, once: it is kept in {folder}")
                }
                false => {
                    tracing::warn!(target: COMPILE, "the VM was compiled in {ms} ms, and each start does so again: {folder} can't be written to, or the disk is full; {help}")
                }
            },
            (None, Some(why)) => {
                tracing::warn!(target: COMPILE, "the VM was compiled in {ms} ms, and each start does so again: {why}; {help}");
            }
            (None, None) => (), // as it was asked for
        }
    }
}

/// What is compiled, or found: the VM's module, and its component.
const COMPILED: usize = 2;

/// The `tracing` target of messages about compiling.
const COMPILE: &str = "motu::compile";

fn user_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?.join("motu"))
}

/// The folder, made for its owner alone; refused when others can write to it, for they could have put code there.
fn private_folder(folder: &Path) -> Result<PathBuf, String> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| error.to_string())?;
    let folder = folder.canonicalize().map_err(|error| error.to_string())?;
    let metadata = folder.metadata().map_err(|error| error.to_string())?;
    let process = std::fs::metadata("/proc/self").map_err(|error| error.to_string())?;
    if metadata.uid() != process.uid() {
        return Err(format!("it belongs to user {}, not to {}", metadata.uid(), process.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!("others can write to it (mode {:o})", metadata.mode() & 0o777));
    }
    Ok(folder)
}
