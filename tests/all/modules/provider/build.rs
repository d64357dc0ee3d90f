//! Makes the tests' providers: one in C and one in Zig, with the compiler that makes Motu's own guest, and others in wasm text.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use motu::{HostModule, Provider, ProviderLimits};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::{ComponentEncoder, StringEncoding};

use crate::support::cache;
use crate::zig::Zig;

/// Of `tests/providers`.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/providers").join(name)
}

fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("providers")
}

/// The provider in C: `acme:kinds`.
pub(super) fn kinds_bytes() -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| compile_c().unwrap());
    &BYTES
}

fn compile_c() -> crate::files::Result<Vec<u8>> {
    let folder = scratch().join("kinds");
    let mut resolve = Resolve::default();
    resolve.push_path(source("sockets.wit"))?;
    resolve.push_path(source("kinds.wit"))?;
    let (package, _) = resolve.push_path(source("world.wit"))?;
    let world = resolve.select_world(&[package], Some("kinds"))?;
    let mut bindings = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut bindings)?;
    let c = crate::files::read(&source("kinds.c"))?;
    let mut inputs: Vec<&[u8]> = vec![&c];
    for (name, contents) in bindings.iter() {
        crate::files::write(&folder.join(name), contents)?;
        inputs.push(contents);
    }
    crate::files::write(&folder.join("provider.c"), &c)?;
    once(&folder, &inputs, |zig| {
        let mut command = zig.command("cc", &folder);
        command.args(["-target", "wasm32-wasi", "-mexec-model=reactor", "-O1", "-s", "-fno-sanitize=all", "-I."]);
        command.args(["-Wl,-z,stack-size=65536", "provider.c", "kinds.c", "kinds_component_type.o", "-o", "core.wasm"]);
        Zig::run(command, "compiling the provider in C")?;
        let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        let core = crate::files::read(&folder.join("core.wasm"))?;
        let encoder = ComponentEncoder::default().validate(true).module(&core)?;
        Ok(encoder.adapter("wasi_snapshot_preview1", adapter)?.encode()?)
    })
}

/// The provider in Zig: `test:words`, which has no library and imports nothing.
pub(super) fn words() -> Provider {
    let bytes = compile_zig().unwrap();
    Provider::from_component(&bytes, ProviderLimits::default(), &cache()).unwrap()
}

fn compile_zig() -> crate::files::Result<Vec<u8>> {
    let folder = scratch().join("words");
    let (zig, wit) = (crate::files::read(&source("words.zig"))?, std::fs::read_to_string(source("words.wit"))?);
    once(&folder, &[&zig, wit.as_bytes()], |zig| {
        let mut command = zig.command("build-exe", &folder);
        command.args(["-target", "wasm32-freestanding", "-fno-entry", "-rdynamic", "-OReleaseSmall", "-fstrip"]);
        command.args(["--stack", "65536", "-femit-bin=core.wasm"]).arg(source("words.zig"));
        Zig::run(command, "compiling the provider in Zig")?;
        encode(&wit, crate::files::read(&folder.join("core.wasm"))?)
    })
}

/// What was made of these inputs before, or is made now.
fn once(
    folder: &Path,
    inputs: &[&[u8]],
    make: impl FnOnce(&Zig) -> crate::files::Result<Vec<u8>>,
) -> crate::files::Result<Vec<u8>> {
    let made = folder.join(format!("{:.16}.wasm", crate::files::digest(inputs)));
    if made.is_file() {
        return crate::files::read(&made);
    }
    let zig = Zig::find(folder)?;
    let component = make(&zig)?;
    zig.tidy()?;
    let part = folder.join(format!("{}.part", std::process::id()));
    crate::files::write(&part, &component)?;
    crate::files::rename(&part, &made)?;
    Ok(component)
}

pub(super) fn kinds_wit() -> String {
    std::fs::read_to_string(source("kinds.wit")).unwrap()
}

/// The provider in C under the usual limits, compiled once.
pub(super) fn kinds() -> Provider {
    static MADE: OnceLock<Provider> = OnceLock::new();
    MADE.get_or_init(|| kinds_with(ProviderLimits::default())).clone()
}

pub(super) fn kinds_with(limits: ProviderLimits) -> Provider {
    Provider::from_component(kinds_bytes(), limits, &cache()).unwrap()
}

pub(super) fn kinds_module(limits: ProviderLimits) -> HostModule {
    kinds_with(limits).module()
}

/// A component of a core module in wasm text and the world that it fits.
pub(super) fn component(wit: &str, core: &str) -> Vec<u8> {
    encode(wit, wat::parse_str(core).unwrap()).unwrap()
}

fn encode(wit: &str, mut core: Vec<u8>) -> crate::files::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit)?;
    let world = resolve.select_world(&[package], None)?;
    wit_component::embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().validate(true).module(&core)?.encode()?)
}
