//! Compiles many files with zig, each at most once: an object's name holds the digest of all that went into it.
//!
//! Not through the `cc` crate: it compiles all files anew when one has changed, and obeys the `CXXFLAGS` of whoever builds,
//! so that the bytes would depend on the machine.

use crate::files::{self, Result};
use crate::zig::Zig;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One file to compile.
pub(crate) struct Unit {
    /// Relative to the folder that the compiler runs in.
    pub(crate) source: String,
    /// `c++` or `cc`.
    pub(crate) tool: &'static str,
    pub(crate) flags: Vec<String>,
    /// Digest of the file and of every header that it may include.
    pub(crate) inputs: String,
    /// Ours, so its warnings are for us to see.
    pub(crate) warnings: bool,
}

impl Unit {
    fn object(&self, zig: &Zig) -> String {
        let stem = self.source.replace(['/', '.'], "_");
        let flags = self.flags.join("\0");
        let parts = [zig.version.as_str(), self.tool, &flags, &self.source, &self.inputs];
        let key = files::digest(&parts.map(str::as_bytes));
        format!("{stem}-{key:.16}.o")
    }
}

/// Compiles what isn't in `objects` yet, with sources taken from `folder`. Gives the objects' names in the units' order.
pub(crate) fn compile(zig: &Zig, units: &[Unit], folder: &Path, objects: &Path) -> Result<Vec<String>> {
    files::make_folder(objects)?;
    let names: Vec<String> = units.iter().map(|unit| unit.object(zig)).collect();
    let missing: Vec<(&Unit, &String)> =
        units.iter().zip(&names).filter(|(_, name)| !objects.join(name).is_file()).collect();

    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs().min(missing.len()) {
            scope.spawn(|| {
                while let Some((unit, name)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = compile_one(zig, unit, folder, &objects.join(name)) {
                        failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(error.to_string());
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !failures.is_empty() {
        return Err(failures.join("\n").into());
    }
    files::keep_only(objects, &names)?;
    Ok(names)
}

fn compile_one(zig: &Zig, unit: &Unit, folder: &Path, object: &Path) -> Result<()> {
    // Under another name until it is whole: a build that is killed must not leave half an object behind.
    let part = object.with_extension("part");
    let mut command = zig.command(unit.tool, folder);
    command.args(&unit.flags).arg("-c").arg(&unit.source).arg("-o").arg(&part);
    let said = Zig::run(command, &format!("compiling {}", unit.source))?;
    if unit.warnings {
        for line in said.stderr.lines() {
            println!("cargo:warning={line}");
        }
    }
    files::rename(&part, object)
}

fn jobs() -> usize {
    let told = std::env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok());
    told.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1).max(1)
}
