//! The guest as the build made it, and its WIT world as Rust.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]

wasmtime::component::bindgen!({
    path: "wit/guest.wit",
    world: "guest",
    imports: { default: trappable },
    // on a fiber, cut into slices by fuel
    exports: { default: async },
});

/// The VM's core module, without its data.
pub(crate) const VM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vm.wasm"));

/// The VM's data: its memory before anything has run.
pub(crate) const VM_IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vm.image"));

/// The component that imports the core module under the name [`VM_NAME`].
pub(crate) const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/component.wasm"));

pub(crate) const VM_NAME: &str = "motu-vm";

/// The SHA-256 of the guest, as hexadecimal digits: what images and caches are keyed by.
pub(crate) const DIGEST: &str = env!("MOTU_GUEST_DIGEST");
