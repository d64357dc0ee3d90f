//! How the guest is compiled and linked: the flags, the files, their order.
//!
//! Every path that a compiler sees is relative to `OUT_DIR/src`, where all sources are laid out (zig's own as a link), so
//! that no byte of the result depends on where the build ran.

use crate::bindings::World;
use crate::compile::{self, Unit};
use crate::files::{self, Result, Tree};
use crate::zig::Zig;
use crate::{core_math, flags, luau, patch};
use std::path::Path;

/// Exceptions in the exnref form: wasmtime takes no other.
pub(crate) const EXCEPTIONS: [&str; 4] =
    ["-fwasm-exceptions", "-mexception-handling", "-mllvm", "-wasm-use-legacy-eh=false"];
const COMMON: [&str; 2] = ["-fno-sanitize=all", "-DNDEBUG"];
/// LUA_REGISTRYINDEX is computed from LUAI_MAXCSTACK, so every file needs the same; it is what mlua's build has.
/// The last four keep what an event changes of Luau's global state in one page each: the state itself, which Motu needs no
/// tags and memory categories in, and the table of strings, which with 1,024 buckets is exactly a page.
const LUAU: [&str; 10] = [
    "-O3",
    "-flto",
    "-std=c++17",
    "-fno-math-errno",
    "-DLUAI_MAXCSTACK=1000000",
    "-DLUA_VECTOR_SIZE=3",
    "-DLUA_UTAG_LIMIT=8",
    "-DLUA_LUTAG_LIMIT=8",
    "-DLUA_MEMORY_CATEGORIES=8",
    "-DLUA_MINSTRTABSIZE=1024",
];

/// The folder of Motu's own functions of C's `math.h`.
const MATH: &str = "guest/math/";
/// The error bounds of such functions hold for the roundings that the source asks for, so the compiler must not fuse a product and a sum.
const MATH_FLAGS: [&str; 5] = ["-O2", "-ffp-contract=off", "-msimd128", "-mrelaxed-simd", "-Iguest/math"];
/// The folder of those that CORE-MATH computes, a file each. The file `exp.c` defines `cr_exp`.
const CORE_MATH: &str = "core-math/";
const CORE_MATH_FLAGS: [&str; 3] = ["-w", "-include", "guest/math/wasm.h"];
/// Where `guest/math/trig.c` defines C's function, and calls CORE-MATH's by its own name.
const TRIG: [&str; 3] = ["sin", "cos", "tan"];

/// zig's C++ library for wasm is built without exceptions: these files of it have them.
const RUNTIME: [(&str, &str, &[&str]); 4] = [
    ("c++", "zig-lib/libcxxabi/src/cxa_aux_runtime.cpp", &CXXABI),
    ("c++", "zig-lib/libcxxabi/src/cxa_exception.cpp", &CXXABI),
    ("c++", "zig-lib/libcxxabi/src/cxa_personality.cpp", &CXXABI),
    ("cc", "zig-lib/libunwind/src/Unwind-wasm.c", &UNWIND),
];
const CXXABI: [&str; 13] = [
    "-O2",
    "-flto",
    "-w",
    "-std=c++23",
    "-D__WASM_EXCEPTIONS__",
    "-D_LIBCXXABI_HAS_NO_THREADS",
    "-D_LIBCPP_BUILDING_LIBRARY",
    "-D_LIBCXXABI_BUILDING_LIBRARY",
    "-Izig-lib/libcxxabi/include",
    "-Izig-lib/libcxxabi/src",
    "-Izig-lib/libcxx/src",
    "-Izig-lib/libcxx/include",
    "-Izig-lib/libunwind/include",
];
const UNWIND: [&str; 4] = ["-O2", "-w", "-D_LIBUNWIND_HIDE_SYMBOLS", "-Izig-lib/libunwind/include"];

/// The stack of C++ frames, below all data: an overflow is out of bounds, a trap.
const STACK: [&str; 2] = ["-z", "stack-size=1048576"];
const LINK: [&str; 14] = [
    "--error-limit=0",
    "--export-memory",
    "--export-table",
    "--strip-all",
    "--stack-first",
    "--build-id=none",
    "--export=cabi_realloc",
    "--entry=_initialize",
    "--wrap=strtod", // guest/number.c
    // zig's own driver leaves these three off when it links objects made with -flto, and the first throw traps.
    "-mllvm=-wasm-enable-eh",
    "-mllvm=-wasm-use-legacy-eh=false",
    "-mllvm=-exception-model=wasm",
    "--lto-O3",
    "-mllvm=-inline-threshold=500", // makes the interpreter 2 % faster; at 1500 it spills and is slower
];

/// Compiles and links the guest's core module.
pub(crate) fn core_module(root: &Path, out: &Path, world: &World) -> Result<Vec<u8>> {
    let zig = Zig::find(out)?;
    let mut luau = luau::sources()?;
    patch::apply(&mut luau)?;
    let mut ours = world.bindings.clone();
    files::add_folder(&mut ours, "guest", &root.join("guest"), &["cpp", "c", "S", "h"])?;
    ours.extend(core_math::sources(out)?);
    flags::check(&luau, &ours)?;
    let units = units(&luau, &ours);

    let source = out.join("src");
    luau.extend(ours);
    files::lay_out(&luau, &source)?;
    point(&source.join("zig-lib"), &zig.lib)?;

    let objects = compile::compile(&zig, &units, &source, &out.join("obj"))?;
    let core = link(&zig, &objects, out)?;
    zig.tidy()?;
    Ok(core)
}

/// Luau's files and ours by their extensions, then what zig's C++ library lacks.
fn units(luau: &Tree, ours: &Tree) -> Vec<Unit> {
    let luau_headers = headers(luau);
    let all_headers = files::digest(&[luau_headers.as_bytes(), headers(ours).as_bytes()]);
    let mut includes: Vec<String> = luau::include_folders().iter().map(|folder| format!("-I{folder}")).collect();
    let luau_flags = flags(&[&COMMON, &EXCEPTIONS, &LUAU], &includes);
    includes.extend(["-Ibindings".into(), "-Iguest".into()]);
    let guest_flags = flags(&[&COMMON, &EXCEPTIONS, &LUAU, &["-Wall"]], &includes);
    let c_flags = flags(&[&COMMON, &["-O2", "-Wall", "-flto"]], &["-Ibindings".into(), "-Iguest".into()]);
    let bindings_flags = flags(&[&COMMON, &["-O2", "-Wall", "-flto"]], &["-Ibindings".into()]);
    let tag_flags = flags(&[&["-mexception-handling"]], &[]);

    let mut units = Vec::new();
    for (tree, headers, cpp_flags) in [(luau, &luau_headers, &luau_flags), (ours, &all_headers, &guest_flags)] {
        for (source, contents) in tree {
            let (tool, flags) = match source.rsplit_once('.').map(|(_, extension)| extension) {
                Some("cpp") => ("c++", cpp_flags),
                Some("c") if source.starts_with("bindings/") => ("cc", &bindings_flags),
                Some("c") if source.starts_with(MATH) || source.starts_with(CORE_MATH) => ("cc", &math_flags(source)),
                Some("c") => ("cc", &c_flags),
                Some("S") => ("cc", &tag_flags),
                _ => continue,
            };
            let inputs = files::digest(&[contents, headers.as_bytes()]);
            let warnings = source.starts_with("guest/");
            units.push(Unit { source: source.clone(), tool, flags: flags.clone(), inputs, warnings });
        }
    }
    for (tool, source, own) in RUNTIME {
        let flags = flags(&[&COMMON, &EXCEPTIONS, own], &[]);
        let inputs = String::new(); // zig's version tells
        units.push(Unit { source: source.into(), tool, flags, inputs, warnings: false });
    }
    units
}

/// The flags of a file in either.
fn math_flags(source: &str) -> Vec<String> {
    if !source.starts_with(CORE_MATH) {
        return flags(&[&COMMON, &MATH_FLAGS, &["-Wall"]], &[]);
    }
    let name = Path::new(source).file_stem().unwrap_or_default().to_string_lossy();
    let renamed = (!TRIG.contains(&&*name)).then(|| format!("-Dcr_{name}={name}"));
    flags(&[&COMMON, &MATH_FLAGS, &CORE_MATH_FLAGS], renamed.as_slice())
}

fn headers(tree: &Tree) -> String {
    let headers = tree.iter().filter(|(path, _)| path.ends_with(".h"));
    let parts: Vec<&[u8]> = headers.flat_map(|(path, contents)| [path.as_bytes(), contents]).collect();
    files::digest(&parts)
}

fn flags(groups: &[&[&str]], more: &[String]) -> Vec<String> {
    let target = ["-target", "wasm32-wasi"];
    target
        .iter()
        .chain(groups.iter().copied().flatten())
        .map(|flag| flag.to_string())
        .chain(more.iter().cloned())
        .collect()
}

/// Makes `link` a symbolic link to `target`.
fn point(link: &Path, target: &Path) -> Result<()> {
    if std::fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    if link.is_symlink() {
        files::remove(link)?;
    }
    std::os::unix::fs::symlink(target, link).map_err(|error| format!("can't link {}: {error}", link.display()).into())
}

fn link(zig: &Zig, objects: &[String], out: &Path) -> Result<Vec<u8>> {
    let world_type = out.join("src/bindings/guest_component_type.o");
    let mut parts = vec![zig.version.as_bytes()];
    parts.extend(LINK.iter().chain(&STACK).map(|flag| flag.as_bytes()));
    parts.extend(objects.iter().map(|name| name.as_bytes())); // a name holds the digest of its contents
    let contents = files::read(&world_type)?;
    parts.push(&contents);
    let folder = out.join("linked");
    files::make_folder(&folder)?;
    let name = format!("{:.16}.wasm", files::digest(&parts));
    let core = folder.join(&name);
    if !core.is_file() {
        let part = folder.join("part");
        let mut command = zig.command("wasm-ld", &out.join("obj"));
        // Ours first: what they define is not looked for in the libraries.
        command.args(LINK).args(STACK).args(objects).arg(&world_type).args(zig.libraries()?).arg("-o").arg(&part);
        Zig::run(command, "linking the guest")?;
        files::rename(&part, &core)?;
    }
    files::keep_only(&folder, &[name])?;
    files::read(&core)
}
