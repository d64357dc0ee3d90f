//! The core module, made fit for memory images: its data leaves it, since every memory starts as a copy of an image.

use crate::files::Result;
use wasm_encoder::{DataSection, ExportSection, Module, RawSection, RefType, TableSection, TableType};
use wasmparser::{Data, DataKind, Operator, Parser, Payload};

const PAGE_BYTES: u64 = 65536;
/// A guest that starts with more memory than this is a mistake.
const IMAGE_BYTES_MAX: u64 = 64 << 20;

/// Takes the data segments out of a module. Gives the module, and its memory as it is before anything has run.
///
/// `_initialize` is no longer exported: it runs constructors, which the guest's `init` does, once, before the first image.
/// Run again in a restored memory, they would undo it.
pub(crate) fn split(module: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut out = Module::new();
    let mut image = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| format!("the guest isn't a wasm module: {error}"))?;
        match &payload {
            Payload::MemorySection(memories) => {
                let memories = memories.clone().into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
                let [memory] = memories.as_slice() else {
                    return Err(format!("the guest has {} memories where 1 is expected", memories.len()).into());
                };
                let bytes = memory.initial.saturating_mul(PAGE_BYTES);
                if bytes > IMAGE_BYTES_MAX {
                    return Err(
                        format!("the guest starts with {bytes} bytes of memory; {IMAGE_BYTES_MAX} at most").into()
                    );
                }
                image.resize(usize::try_from(bytes)?, 0);
            }
            Payload::ExportSection(exports) => {
                let mut section = ExportSection::new();
                for export in exports.clone() {
                    let export = export?;
                    if export.name != "_initialize" {
                        section.export(export.name, export.kind.into(), export.index);
                    }
                }
                out.section(&section);
                continue;
            }
            Payload::DataSection(segments) => {
                let mut section = DataSection::new();
                for segment in segments.clone() {
                    let segment = segment?;
                    match segment.kind {
                        DataKind::Active { .. } => {
                            place(&mut image, &segment)?;
                            section.passive([]); // the other segments keep their indices
                        }
                        DataKind::Passive => drop(section.passive(segment.data.iter().copied())),
                    }
                }
                out.section(&section);
                continue;
            }
            Payload::StartSection { .. } => {
                return Err("the guest has a start function, which would run in every restored memory".into());
            }
            _ => {}
        }
        copy(&mut out, &payload, module)?;
    }
    Ok((out.finish(), image))
}

/// Writes an active segment where it would be at the start.
fn place(image: &mut [u8], segment: &Data<'_>) -> Result<()> {
    let DataKind::Active { memory_index: 0, offset_expr } = &segment.kind else {
        return Err("a data segment of the guest is for another memory than its own".into());
    };
    let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
        return Err("a data segment of the guest has no constant offset".into());
    };
    let start = usize::try_from(value.cast_unsigned())?;
    let end = start.saturating_add(segment.data.len());
    let target = image.get_mut(start..end).ok_or("a data segment of the guest is outside its memory")?;
    target.copy_from_slice(segment.data);
    Ok(())
}

/// Gives the module's table one more slot and no maximum: what runs beside the VM can add functions.
pub(crate) fn grow_table(module: &[u8]) -> Result<Vec<u8>> {
    let mut out = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        let Payload::TableSection(tables) = &payload else {
            copy(&mut out, &payload, module)?;
            continue;
        };
        let tables = tables.clone().into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
        let [table] = tables.as_slice() else {
            return Err(format!("the guest has {} tables where 1 is expected", tables.len()).into());
        };
        let mut section = TableSection::new();
        section.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: table.ty.initial + 1,
            maximum: None,
            shared: false,
        });
        out.section(&section);
    }
    Ok(out.finish())
}

/// Copies a section as it is.
pub(crate) fn copy(out: &mut Module, payload: &Payload<'_>, module: &[u8]) -> Result<()> {
    if let Some((id, range)) = payload.as_section() {
        let data = module.get(range).ok_or("a section of the guest is cut short")?;
        out.section(&RawSection { id, data });
    }
    Ok(())
}
