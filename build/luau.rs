//! Luau's source: the very release that mlua links, out of the `luau0-src` crate.

use crate::files::{self, Result, Tree};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What the guest is made of. Not CodeGen (native code) nor what only serves it.
const PARTS: [&str; 7] = ["Ast", "Bytecode", "Common", "Compiler", "Config", "Require", "VM"];

/// Where headers are found, for Luau's own files and for ours (which use some of Luau's internal headers).
pub(crate) fn include_folders() -> Vec<String> {
    let mut folders: Vec<String> = PARTS.iter().map(|part| format!("luau/{part}/include")).collect();
    folders.extend(["VM", "Require"].map(|part| format!("luau/{part}/src")));
    folders
}

/// Luau's sources and headers, as `luau/VM/src/lapi.cpp` and so on.
pub(crate) fn sources() -> Result<Tree> {
    let folder = find()?;
    let mut tree = Tree::new();
    for part in PARTS {
        for kind in ["include", "src"] {
            let path = folder.join(part).join(kind);
            if path.is_dir() {
                files::add_folder(&mut tree, &format!("luau/{part}/{kind}"), &path, &["cpp", "h"])?;
            }
        }
    }
    Ok(tree)
}

fn find() -> Result<PathBuf> {
    let file = source_of_crate().ok_or("the crate luau0-src no longer tells where its source is (build/luau.rs)")?;
    // A path inside a workspace is relative to the workspace, which isn't known here: try every folder above.
    let mut bases = vec![PathBuf::new()];
    for name in ["CARGO_MANIFEST_DIR", "OUT_DIR"] {
        let base = std::env::var_os(name).map(PathBuf::from).unwrap_or_default();
        bases.extend(base.ancestors().map(Path::to_path_buf));
    }
    for base in bases {
        let path = base.join(&file);
        let Some(package) = path.parent().and_then(Path::parent) else { continue };
        if package.join("luau/VM/src/lapi.cpp").is_file() {
            return Ok(package.join("luau"));
        }
    }
    Err(format!(
        "Luau's source isn't beside {}, where the crate luau0-src says it was compiled from. \
         (If compiler flags such as --remap-path-prefix change that path, leave them off build scripts.)",
        file.display()
    )
    .into())
}

/// The path of luau0-src's `src/lib.rs`. The crate has no function that tells; but it asserts that a vector's size is 3
/// or 4, and a panic carries the place it was raised at.
fn source_of_crate() -> Option<PathBuf> {
    let place = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&place);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let (Some(location), Ok(mut seen)) = (info.location(), seen.lock()) {
            *seen = Some(PathBuf::from(location.file()));
        }
    }));
    let outcome = panic::catch_unwind(|| {
        luau0_src::Build::new().set_vector_size(0);
    });
    panic::set_hook(hook);
    outcome.err()?;
    place.lock().ok()?.take()
}
