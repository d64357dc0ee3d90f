//! The C++ compiler: zig, one pinned version of it, found on this machine or installed in a cache folder.

use crate::files::{self, Result};
use crate::recipe::EXCEPTIONS;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "0.17.1";
/// The wheels that pip may install: x86-64, then aarch64.
const REQUIREMENTS: &str = "ziglang==0.17.1 \
    --hash=sha256:ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54 \
    --hash=sha256:b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e\n";

pub(crate) struct Zig {
    program: PathBuf,
    pub(crate) version: String,
    /// zig's folder of headers and of the sources of its C and C++ libraries.
    pub(crate) lib: PathBuf,
    /// The libraries that zig compiles; shared by all builds of a user.
    global_cache: PathBuf,
    /// Whatever else zig leaves behind; gone after the build.
    local_cache: PathBuf,
}

/// What a program printed.
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Zig {
    pub(crate) fn find(out: &Path) -> Result<Zig> {
        let cache = cache_folder(out);
        if let Some(path) = std::env::var_os("MOTU_ZIG") {
            // A bare name is looked for on PATH; a relative path is from this package's folder.
            let path = if Path::new(&path).components().count() > 1 { std::path::absolute(path)? } else { path.into() };
            let zig = Zig::ask(Command::new(&path), &cache, out)
                .map_err(|error| format!("MOTU_ZIG names {}, which isn't a zig that works: {error}", path.display()))?;
            if zig.version != VERSION {
                println!("cargo:warning=MOTU_ZIG is zig {}; Motu is made and tested with {VERSION}", zig.version);
            }
            return Ok(zig);
        }
        let mut python = Command::new("python3");
        python.args(["-m", "ziglang"]);
        for command in [Command::new("zig"), python] {
            if let Ok(zig) = Zig::ask(command, &cache, out)
                && zig.version == VERSION
            {
                return Ok(zig);
            }
        }
        let program = install(&cache)?;
        Zig::ask(Command::new(&program), &cache, out)
    }

    /// Asks a zig who it is.
    fn ask(mut command: Command, cache: &Path, out: &Path) -> Result<Zig> {
        // In a folder of its own: zig gives paths under the current folder as relative.
        let local_cache = out.join("zig-cache");
        files::make_folder(&local_cache)?;
        command.arg("env").current_dir(&local_cache);
        prepare(&mut command, &local_cache, &local_cache);
        let env = Zig::run(command, "asking zig for its version")?.stdout;
        let field = |name: &str| {
            let (_, rest) = env.split_once(&format!(".{name} = \""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let (Some(program), Some(lib), Some(version)) = (field("zig_exe"), field("lib_dir"), field("version")) else {
            return Err(format!("`zig env` says nothing of zig_exe, lib_dir, version:\n{env}").into());
        };
        let global_cache = cache.join(format!("zig-{version}-libraries"));
        Ok(Zig { program: local_cache.join(program), version, lib: local_cache.join(lib), global_cache, local_cache })
    }

    /// `zig <tool>`, run in `folder`.
    pub(crate) fn command(&self, tool: &str, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(tool).current_dir(folder);
        prepare(&mut command, &self.global_cache, &self.local_cache);
        command
    }

    /// The libraries of a C++ program for wasm, compiled by zig when they are first asked for.
    pub(crate) fn libraries(&self) -> Result<Vec<PathBuf>> {
        // zig has no command that names them: link a program that does nothing, and read what zig says it linked.
        let folder = self.local_cache.join("probe");
        files::write(&folder.join("probe.cpp"), b"extern \"C\" void probe() {}\n")?;
        let mut command = self.command("c++", &folder);
        command.args(["-target", "wasm32-wasi", "-O3", "-s", "-fno-sanitize=all"]).args(EXCEPTIONS);
        command.args(["-mexec-model=reactor", "probe.cpp", "-o", "probe.wasm"]).env("ZIG_VERBOSE_LINK", "1");
        let said = Zig::run(command, "asking zig for its C++ libraries")?.stderr;

        // It shows how it makes the libraries, too; the program's own line is the one with the start-up file. Split at the
        // cache's path, not at blanks: the path may hold some.
        let line = said.lines().rfind(|line| line.contains("crt1-reactor.o")).unwrap_or_default();
        let cache = self.global_cache.to_string_lossy();
        let names = line.split(&*cache).skip(1).filter_map(|rest| rest.split_whitespace().next());
        let libraries: Vec<PathBuf> = names.map(|name| PathBuf::from(format!("{cache}{name}"))).collect();
        for needed in ["crt1-reactor.o", "libc.a", "libc++.a", "libc++abi.a", "libcompiler_rt.a"] {
            if !libraries.iter().any(|path| path.ends_with(needed)) {
                return Err(format!("zig did not link its {needed}; what it said:\n{said}").into());
            }
        }
        Ok(libraries)
    }

    /// Runs a command; its failure is an error that shows everything it said.
    pub(crate) fn run(mut command: Command, doing: &str) -> Result<Output> {
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{doing}: can't run {:?}: {error}", command.get_program()))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Ok(Output { stdout, stderr });
        }
        Err(format!("{doing} failed ({}):\n{stdout}{stderr}", output.status).into())
    }

    /// Removes what only the compilers needed.
    pub(crate) fn tidy(&self) -> Result<()> {
        files::remove(&self.local_cache)
    }
}

/// Names zig's caches, and takes away what a shell may have set for other compilers: it would change the bytes.
fn prepare(command: &mut Command, global_cache: &Path, local_cache: &Path) {
    command.env("ZIG_GLOBAL_CACHE_DIR", global_cache).env("ZIG_LOCAL_CACHE_DIR", local_cache);
    let foreign = ["CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "ZIG_LIB_DIR", "ZIG_LIBC"];
    for name in foreign.into_iter().chain(["NIX_CFLAGS_COMPILE", "NIX_CFLAGS_LINK", "NIX_LDFLAGS"]) {
        command.env_remove(name);
    }
}

/// `~/.cache/motu-build`, or a folder in `OUT_DIR` for a user who has no home that can be written.
///
/// Not `~/.cache/motu`: that is where compiled components are kept, and wasmtime removes whatever else it finds there.
fn cache_folder(out: &Path) -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    match cache.map(|cache| cache.join("motu-build")) {
        Some(cache) if can_write(&cache) => cache,
        _ => out.join("cache"),
    }
}

fn can_write(folder: &Path) -> bool {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    files::write(&probe, b"probe").and_then(|()| files::remove(&probe)).is_ok()
}

/// Installs the pinned zig with pip, unless an earlier build did, and gives the path of its program.
fn install(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join(format!("zig-{VERSION}"));
    let program = folder.join("ziglang/zig");
    if program.is_file() {
        return Ok(program);
    }
    files::make_folder(cache)?;
    // One build installs, others wait. The lock goes with its process, so one that is killed holds up nobody.
    let lock_path = cache.join(format!("zig-{VERSION}.lock"));
    let lock = File::create(&lock_path).and_then(|lock| lock.lock().map(|()| lock));
    let lock = lock.map_err(|error| format!("can't lock {}: {error}", lock_path.display()))?;
    if program.is_file() {
        return Ok(program);
    }

    println!("cargo:warning=Motu installs zig {VERSION} (100 MB, once) in {}", folder.display());
    // What a killed build left goes; a name of our own, since its pip may still be writing there.
    let part_of = format!("zig-{VERSION}.part-");
    for old in files::list(cache)? {
        if old.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&part_of)) {
            files::remove(&old).ok();
        }
    }
    let part = cache.join(format!("{part_of}{}", std::process::id()));
    let requirements = cache.join(format!("zig-{VERSION}.txt"));
    files::write(&requirements, REQUIREMENTS.as_bytes())?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes"]).env("PIP_USER", "0");
    pip.arg("--requirement").arg(&requirements).arg("--target").arg(&part);
    Zig::run(pip, "installing zig with `python3 -m pip`").map_err(|error| {
        format!(
            "no zig {VERSION} was found, and it could not be installed. Any one of these helps: Python 3 with pip (and \
             network); zig {VERSION} on PATH or named by MOTU_ZIG; a guest built before (core.wasm) named by MOTU_GUEST.\n\
             \n{error}"
        )
    })?;
    if !part.join("ziglang/zig").is_file() {
        return Err(format!("pip installed ziglang {VERSION} in {}, but there is no zig in it", part.display()).into());
    }
    files::rename(&part, &folder)?; // only a whole folder ever gets this name
    drop(lock);
    Ok(program)
}
