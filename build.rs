//! Makes the guest: Luau and `guest/` become one wasm module, and that module becomes the component the library embeds.
//!
//! In `OUT_DIR`, for `host/`: `vm.wasm` (the VM's code), `vm.image` (its memory at the start), `component.wasm` (imports
//! the VM's module), and `core.wasm`, what the three were made of and what `MOTU_GUEST` may name to skip the compilers.
//! Two builds of the same inputs give the same bytes, wherever they run and whatever the profile.

#[path = "build/bindings.rs"]
mod bindings;
#[path = "build/bulk.rs"]
mod bulk;
#[path = "build/compile.rs"]
mod compile;
#[path = "build/component.rs"]
mod component;
#[path = "build/core_math.rs"]
mod core_math;
#[path = "build/files.rs"]
mod files;
#[path = "build/flags.rs"]
mod flags;
#[path = "build/luau.rs"]
mod luau;
#[path = "build/module.rs"]
mod module;
#[path = "build/patch.rs"]
mod patch;
#[path = "build/recipe.rs"]
mod recipe;
#[path = "build/zig.rs"]
mod zig;

use files::Result;
use std::path::{Path, PathBuf};

fn main() {
    if let Err(error) = run() {
        eprintln!("\nMotu's guest could not be built: {error}\n");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    for path in ["build.rs", "build", "guest", "wit/guest.wit"] {
        println!("cargo:rerun-if-changed={path}");
    }
    for name in ["MOTU_GUEST", "MOTU_ZIG", "DOCS_RS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let root = folder("CARGO_MANIFEST_DIR")?;
    let out = folder("OUT_DIR")?;
    if std::env::var_os("DOCS_RS").is_some() {
        return write_outputs(&out, &Outputs::default()); // the docs need no guest, and are built without a network
    }

    let world = bindings::World::read(&root.join("wit/guest.wit"))?;
    let core = match std::env::var_os("MOTU_GUEST") {
        Some(path) => {
            let path = root.join(path);
            println!("cargo:rerun-if-changed={}", path.display());
            files::read(&path).map_err(|error| format!("MOTU_GUEST: {error}"))?
        }
        None => recipe::core_module(&root, &out, &world)?,
    };
    component::check(&core, &world)?;
    let in_pieces = bulk::in_pieces(&core)?;
    let (module, image) = module::split(&in_pieces)?;
    let vm = module::grow_table(&module)?;
    let component = component::importing(&vm)?;
    write_outputs(&out, &Outputs { digest: files::digest(&[&in_pieces]), core, vm, image, component })
}

#[derive(Default)]
struct Outputs {
    digest: String,
    core: Vec<u8>,
    vm: Vec<u8>,
    image: Vec<u8>,
    component: Vec<u8>,
}

fn write_outputs(out: &Path, outputs: &Outputs) -> Result<()> {
    files::write(&out.join("core.wasm"), &outputs.core)?;
    files::write(&out.join("vm.wasm"), &outputs.vm)?;
    files::write(&out.join("vm.image"), &outputs.image)?;
    files::write(&out.join("component.wasm"), &outputs.component)?;
    println!("cargo:rustc-env=MOTU_GUEST_DIGEST={}", outputs.digest);
    Ok(())
}

fn folder(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))?;
    Ok(PathBuf::from(path))
}
