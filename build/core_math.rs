//! The source of CORE-MATH, functions of C's `math.h` that are rounded correctly: out of the crate `core-math-sys`, which cargo
//! fetches by name and version. As a dependency of Motu's it would be compiled for the machine that builds, for nothing.

use crate::files::{self, Result, Tree};
use crate::zig::Zig;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package that needs the crate and is never built.
const MANIFEST: &str = "[package]\nname = \"motu-core-math\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[lib]\npath = \"lib.rs\"\n\n\
                        [dependencies]\ncore-math-sys = \"=1.4.0\"\n\n[workspace]\n";

/// The digest of the files that are used, as the crate has them.
const DIGEST: &str = "04b2813347249d4b1ef0e34ba10afe6fb67db07aeddc0168482f6877877ec761";

/// What scripts reach. Each is a folder of the crate with a file of that name.
const FUNCTIONS: [&str; 15] = [
    "acos", "asin", "atan", "atan2", "cos", "cosh", "exp", "log", "log10", "log2", "pow", "sin", "sinh", "tan", "tanh",
];

/// Replaced wherever they stand in a file, which must have them: a `long` of wasm32 has 32 bits, and there are no flags.
const CHANGES: [(&str, &str, &str); 14] = [
    ("cosh/cosh.c", "~0ul>>", "~0ull>>"),
    ("sinh/sinh.c", "~0ul>>", "~0ull>>"),
    ("tanh/tanh.c", "~0ul", "~0ull"),
    ("asin/asin.c", "long dn = tl.u", "int64_t dn = tl.u"),
    ("cos/cos.c", "e.u = 1l <<", "e.u = 1ll <<"),
    ("sin/sin.c", "e.u = 1l <<", "e.u = 1ll <<"),
    ("tan/tan.c", "e.u = 1l <<", "e.u = 1ll <<"),
    (
        "pow/pow.h",
        "static inline long dtoi(double x) { return (long)x; }",
        "static inline int64_t dtoi(double x) { return (int64_t)x; }",
    ),
    // `__builtin_roundeven`
    ("acos/acos.c", "defined(__i386__)", "defined(__i386__) || defined(__wasm__)"),
    ("asin/asin.c", "defined(__i386__)", "defined(__i386__) || defined(__wasm__)"),
    ("exp/exp.c", "defined(__i386__)", "defined(__i386__) || defined(__wasm__)"),
    ("pow/pow.h", "defined(__i386__)", "defined(__i386__) || defined(__wasm__)"),
    // a slow look, which is needed only after the fast way out between the two
    (
        "pow/pow.c",
        "  int exact = is_exact (x, y);\n  if (exact)\n    // restore inexact flag\n    set_flag (flag);\n",
        "",
    ),
    ("pow/pow.c", "  // Easy cases\n", "  int exact = is_exact (x, y);\n  // Easy cases\n"),
];

/// The files as `core-math/exp/exp.c` and so on.
pub(crate) fn sources(out: &Path) -> Result<Tree> {
    let folder = find(out)?.join("vendor/src/binary64");
    let mut tree = Tree::new();
    for function in FUNCTIONS {
        files::add_folder(&mut tree, function, &folder.join(function), &["c", "h"])?;
    }
    tree.retain(|path, _| is_used(path));
    let parts: Vec<&[u8]> = tree.iter().flat_map(|(path, contents)| [path.as_bytes(), contents]).collect();
    let digest = files::digest(&parts);
    if digest != DIGEST {
        let folder = folder.display();
        return Err(format!(
            "CORE-MATH's files in {folder} are not those of core-math-sys 1.4.0 (their digest is {digest})"
        )
        .into());
    }
    for (path, old, new) in CHANGES {
        let contents = tree.get_mut(path).ok_or_else(|| format!("CORE-MATH has no file {path}"))?;
        let text = std::str::from_utf8(contents).map_err(|_| format!("CORE-MATH's {path} isn't UTF-8"))?;
        if !text.contains(old) {
            return Err(format!(
                "build/core_math.rs changes CORE-MATH's {path}, which no longer has this text:\n\n{old}"
            )
            .into());
        }
        *contents = text.replace(old, new).into_bytes();
    }
    Ok(tree.into_iter().map(|(path, contents)| (format!("core-math/{path}"), contents)).collect())
}

/// A function's own file, and headers: the folders have programs for tests, too.
fn is_used(path: &str) -> bool {
    let (folder, file) = path.split_once('/').unwrap_or_default();
    let is_header = file.ends_with(".h") && file != "function_under_test.h";
    is_header || file.strip_suffix(".c") == Some(folder)
}

/// Where cargo has the crate.
fn find(out: &Path) -> Result<PathBuf> {
    let folder = out.join("core-math");
    files::write(&folder.join("Cargo.toml"), MANIFEST.as_bytes())?;
    files::write(&folder.join("lib.rs"), b"")?;
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments).current_dir(&folder);
        Zig::run(command, "fetching the crate core-math-sys")
    };
    let ask = ["metadata", "--format-version", "1", "--offline", "--quiet"];
    let said = match cargo(&ask) {
        Ok(said) => said,
        Err(offline) => {
            let help = "The build fetches the crate core-math-sys once, for its source: that needs the network. MOTU_GUEST names a guest that is built.";
            cargo(&["fetch", "--quiet"])
                .map_err(|error| format!("{error}\n\n{help}\n\nBefore that, offline: {offline}"))?;
            cargo(&ask)?
        }
    };
    let mut manifests = said.stdout.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let manifest =
        manifests.find(|path| path.contains("core-math-sys")).ok_or("cargo doesn't say where core-math-sys is")?;
    Ok(Path::new(manifest).parent().unwrap_or(Path::new("")).to_path_buf())
}
