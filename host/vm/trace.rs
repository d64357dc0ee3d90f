//! Where scripts are when something ends them that no script raises: a limit, a trap, a deadline.
//!
//! A VM that was stopped is never entered again. So its memory, as it is, goes to a fresh instance, which has no caller, no log, no
//! growth and little fuel, and can only tell of the frames that it finds there: the *autopsy*. The host reads none of Luau's
//! structures (M1), and believes what it is told only as far as the bundle has such files. A VM that is at rest is asked itself.

use std::borrow::Cow;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, TypedFunc};

use super::{Entering, Factory, Gauge, State, Stop, Vm};
use crate::bundle::Bundle;
use crate::error::{Error, Trace};
use crate::guest::exports::motu::guest::vm::Traceable;
use crate::image::{DeadMemory, Start};
use crate::log::LogSink;

/// The fuel of one trace, which is on nobody's bill: its time is the tenant's, its fuel isn't. 30 frames take 5,000.
pub(super) const FUEL: u64 = 200_000;

/// As many frames as the guest tells of: the first 20, the last 10, and one between that has the place.
pub(super) const FRAMES_MAX: usize = 31;

/// As many bytes of a name as the guest tells.
const NAME_BYTES_MAX: usize = 100;

/// The most bytes of paths and names that one trace may have.
const BYTES_MAX: usize = FRAMES_MAX * (Bundle::PATH_BYTES_MAX + NAME_BYTES_MAX);

/// The most bytes of frames that are shown.
const SHOWN_BYTES_MAX: usize = 16 << 10;

/// What one call of an autopsy's guest may copy to the host, in bytes.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// What a guest has told of its frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    all: Vec<Frame>,
    bytes: usize,
}

#[derive(Debug)]
struct Frame {
    left_out: u32,
    path: Vec<u8>,
    line: u32,
    name: Vec<u8>,
}

impl Frames {
    pub(super) fn add(&mut self, left_out: u32, path: Vec<u8>, line: u32, name: Vec<u8>) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(path.len()).saturating_add(name.len());
        if self.all.len() >= FRAMES_MAX || self.bytes > BYTES_MAX {
            return Err(Stop::Guest { error: "it tells of more frames than it is asked for".to_owned() });
        }
        self.all.push(Frame { left_out, path, line, name });
        Ok(())
    }

    pub(super) fn shown(self, bundle: &Bundle) -> Trace {
        let mut trace = Trace::default();
        for frame in self.all {
            if trace.frames.len() > SHOWN_BYTES_MAX {
                trace.add_line("... (the others are left out)");
                break;
            }
            if frame.left_out > 0 {
                trace.add_line(&format!("... ({} frames)", frame.left_out));
            }
            // what isn't so was found in memory that is broken
            let is_name = !frame.name.is_empty() && frame.name.iter().all(u8::is_ascii_graphic);
            let cut = if frame.name.len() == NAME_BYTES_MAX { "..." } else { "" };
            let name = if is_name { String::from_utf8_lossy(&frame.name) + cut } else { Cow::default() };
            if frame.path.is_empty() {
                if !name.is_empty() {
                    trace.add_line(&format!("[C] {name}"));
                }
                continue;
            }
            let Some((path, opaque)) = std::str::from_utf8(&frame.path).ok().and_then(|path| bundle.find(path)) else {
                continue;
            };
            let line = if frame.line == 0 || opaque { String::new() } else { format!(":{}", frame.line) };
            let name = if name.is_empty() || opaque { String::new() } else { format!(" function {name}") };
            if trace.place.is_empty() {
                trace.place = format!("{path}{line}: ");
            }
            trace.add_line(&format!("{path}{line}{name}"));
        }
        trace
    }
}

impl Entering {
    /// Ends the entry, unless it has ended, and finds out where its scripts were. For one that came to an error, or that has to be
    /// stopped.
    pub(crate) fn autopsy(self, factory: &Factory, bundle: &Bundle) -> Trace {
        let Entering { running, memory, waits, .. } = self;
        drop(running); // the store, which has the memory too
        memory.into_dead().map_or_else(Trace::default, |dead| factory.autopsy(dead, waits, bundle))
    }
}

impl Factory {
    pub(super) fn autopsy(&self, dead: DeadMemory, waits: Option<Traceable>, bundle: &Bundle) -> Trace {
        match self.start_over_dead(dead) {
            Ok(mut autopsy) => {
                let (mut frames, mut told) = autopsy.tell(Traceable::Running);
                if let Some(waits) = waits.filter(|_| told.is_ok() && frames.all.is_empty()) {
                    (frames, told) = autopsy.tell(waits);
                }
                if let Err(error) = told {
                    tracing::debug!(error = format!("{error:#}"), "an autopsy came to no end");
                }
                frames.shown(bundle)
            }
            Err(error) => {
                tracing::debug!(%error, "no autopsy could be made");
                Trace::default()
            }
        }
    }

    /// An instance over the memory of one that was stopped.
    pub(super) fn start_over_dead(&self, dead: DeadMemory) -> Result<Autopsy, Error> {
        let mut state = State::new(self, &Arc::default(), LogSink::none(), None, Gauge::default());
        state.memory.limit = dead.len() as u64;
        state.hostcall_bytes = COPIED_BYTES_MAX;
        let (mut store, instance, _) = self.instance(Start::Dead(dead), state)?;
        let trace = instance.get_typed_func(&mut store, self.trace).map_err(|error| super::no_instance(&error))?;
        Ok(Autopsy { store, trace })
    }
}

/// The export that tells of frames.
pub(super) fn export_of(component: &Component) -> Option<ComponentExportIndex> {
    let exports = component.get_export_index(None, "motu:guest/vm")?;
    component.get_export_index(Some(&exports), "trace")
}

/// An instance over dead memory, of which only the export `trace` can be called.
pub(super) struct Autopsy {
    pub(super) store: Store<State>,
    trace: TypedFunc<(Traceable,), ()>,
}

impl Autopsy {
    pub(super) fn tell(&mut self, what: Traceable) -> (Frames, wasmtime::Result<()>) {
        let trace = self.trace;
        frames_told(&mut self.store, async |store| trace.call_async(store, (what,)).await)
    }
}

impl Vm {
    /// Tells the frames of what waits in a VM at rest. Returns the VM, unless the guest trapped.
    pub(crate) fn trace(mut self, what: Traceable, bundle: &Bundle) -> (Option<Vm>, Trace) {
        let bindings = self.bindings.clone();
        let (frames, told) =
            frames_told(&mut self.store, async |store| bindings.motu_guest_vm().call_trace(store, what).await);
        let vm = match told {
            Ok(()) => Some(self),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "a guest did not tell what it waits for");
                None
            }
        };
        (vm, frames.shown(bundle))
    }
}

/// Calls the export `trace`, and takes what it tells.
fn frames_told(
    store: &mut Store<State>,
    trace: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<()>,
) -> (Frames, wasmtime::Result<()>) {
    store.data_mut().frames = Some(Frames::default());
    let told = match store.set_fuel(FUEL) {
        Ok(()) => super::poll_to_end(trace(store)),
        Err(error) => Err(error),
    };
    (store.data_mut().frames.take().unwrap_or_default(), told)
}
