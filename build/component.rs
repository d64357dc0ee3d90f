//! The component around the VM's module. It doesn't embed the module but imports it as `motu-vm`: the module is compiled
//! once, and a component for one bundle can carry more code beside it.

use crate::bindings::World;
use crate::files::Result;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    Component, ComponentImportSection, ComponentTypeRef, CoreTypeSection, EntityType, ModuleType, RawSection,
};
use wasmparser::{ExternalKind, FuncType, Instance, Parser, Payload, TypeRef, Validator};

/// The only way out of the guest is its world: anything else it imports is a mistake in it. What the world promises must
/// be there, or `MOTU_GUEST` names another module.
pub(crate) fn check(core: &[u8], world: &World) -> Result<()> {
    let shape = Shape::of(core)?;
    let foreign =
        shape.imports.iter().filter(|(module, name, _)| !world.imports.contains(&(module.clone(), name.clone())));
    let foreign: String = foreign.map(|(module, name, _)| format!("\n  {module} {name}")).collect();
    if !foreign.is_empty() {
        return Err(format!(
            "the guest imports what is not in wit/guest.wit:{foreign}\n\
             (From wasi_snapshot_preview1: a function of the C library that needs a system. Leave it off, or define its \
             import in guest/libc.c.)"
        )
        .into());
    }
    let needed =
        world.exports.iter().map(String::as_str).chain(["memory", "__indirect_function_table", "cabi_realloc"]);
    let missing = needed.filter(|needed| !shape.exports.iter().any(|(name, ..)| name == needed));
    let missing: String = missing.map(|name| format!("\n  {name}")).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("the guest lacks these exports:{missing}").into()) }
}

/// The component of `vm`, which carries its world's type.
pub(crate) fn importing(vm: &[u8]) -> Result<Vec<u8>> {
    let encoder = wit_component::ComponentEncoder::default().validate(true).module(vm);
    let embedding = encoder
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("the guest does not fit its world, wit/guest.wit: {error:#}"))?;
    let component = replace(&embedding, vm)?;
    Validator::new()
        .validate_all(&component)
        .map_err(|error| format!("the guest's component is not valid: {error}"))?;
    Ok(component)
}

/// Puts an import of the module in the place of the module, the first in the component.
fn replace(component: &[u8], vm: &[u8]) -> Result<Vec<u8>> {
    let mut types = CoreTypeSection::new();
    types.ty().module(&Shape::of(vm)?.module_type()?);
    let mut imports = ComponentImportSection::new();
    imports.import("motu-vm", ComponentTypeRef::Module(0));
    let mut out = Component::new();
    out.section(&types).section(&imports);

    // Whatever stands inside a module or component is copied with it; depth tells where we are.
    let (mut depth, mut modules, mut instantiated) = (0, 0, false);
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        let section = match &payload {
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                depth += 1;
                let is_module = matches!(payload, Payload::ModuleSection { .. });
                modules += u32::from(is_module && depth == 1);
                let is_vm = is_module && modules == 1;
                let id = if is_module { 1 } else { 4 };
                (depth == 1 && !is_vm).then(|| (id, unchecked_range.clone()))
            }
            Payload::End(_) => {
                depth -= 1;
                None
            }
            _ if depth > 0 => None,
            Payload::CustomSection(_) => None,
            Payload::CoreTypeSection(_) => {
                return Err("the component has core types of its own, whose indices the import would move".into());
            }
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    instantiated |= matches!(instance?, Instance::Instantiate { module_index: 0, .. });
                }
                payload.as_section()
            }
            _ => payload.as_section(),
        };
        if let Some((id, range)) = section {
            let data = component.get(range).ok_or("a section of the component is cut short")?;
            out.section(&RawSection { id, data });
        }
    }
    if !instantiated {
        return Err("the component's first module, the VM, is never instantiated".into());
    }
    Ok(out.finish())
}

/// What a core module imports and exports, and what their types need.
#[derive(Default)]
struct Shape {
    imports: Vec<(String, String, TypeRef)>,
    exports: Vec<(String, ExternalKind, u32)>,
    types: Vec<FuncType>,
    functions: Vec<u32>,
    memories: Vec<wasmparser::MemoryType>,
    tables: Vec<wasmparser::TableType>,
    globals: Vec<wasmparser::GlobalType>,
}

impl Shape {
    fn of(module: &[u8]) -> Result<Shape> {
        let mut shape = Shape::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(|error| format!("the guest isn't a wasm module: {error}"))? {
                Payload::TypeSection(types) => {
                    for ty in types.into_iter_err_on_gc_types() {
                        shape.types.push(ty?);
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if let TypeRef::Func(ty) = import.ty {
                            shape.functions.push(ty);
                        }
                        shape.imports.push((import.module.into(), import.name.into(), import.ty));
                    }
                }
                Payload::FunctionSection(functions) => {
                    for ty in functions {
                        shape.functions.push(ty?);
                    }
                }
                Payload::TableSection(tables) => {
                    for table in tables {
                        shape.tables.push(table?.ty);
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        shape.memories.push(memory?);
                    }
                }
                Payload::GlobalSection(globals) => {
                    for global in globals {
                        shape.globals.push(global?.ty);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        shape.exports.push((export.name.into(), export.kind, export.index));
                    }
                }
                _ => {}
            }
        }
        Ok(shape)
    }

    /// The type that a component gives to an import of this module.
    fn module_type(&self) -> Result<ModuleType> {
        let mut out = ModuleType::new();
        let mut types = 0;
        for (module, name, ty) in &self.imports {
            let TypeRef::Func(ty) = ty else {
                return Err(format!("the guest imports {module} {name}, which is not a function").into());
            };
            let ty = self.add_function(&mut out, &mut types, *ty)?;
            out.import(module, name, ty);
        }
        for (name, kind, index) in &self.exports {
            let unknown = || format!("the guest's export {name} has no type");
            let at = usize::try_from(*index)?;
            let ty = match kind {
                ExternalKind::Func => {
                    self.add_function(&mut out, &mut types, *self.functions.get(at).ok_or_else(unknown)?)?
                }
                ExternalKind::Memory => {
                    EntityType::Memory(RoundtripReencoder.memory_type(*self.memories.get(at).ok_or_else(unknown)?)?)
                }
                ExternalKind::Table => {
                    EntityType::Table(RoundtripReencoder.table_type(*self.tables.get(at).ok_or_else(unknown)?)?)
                }
                ExternalKind::Global => {
                    EntityType::Global(RoundtripReencoder.global_type(*self.globals.get(at).ok_or_else(unknown)?)?)
                }
                _ => return Err(format!("the guest exports {name}, which a component can't import").into()),
            };
            out.export(name, ty);
        }
        Ok(out)
    }

    fn add_function(&self, out: &mut ModuleType, types: &mut u32, ty: u32) -> Result<EntityType> {
        let ty = self.types.get(usize::try_from(ty)?).ok_or("a function of the guest has no type")?;
        let values = |values: &[wasmparser::ValType]| {
            values.iter().map(|ty| RoundtripReencoder.val_type(*ty)).collect::<std::result::Result<Vec<_>, _>>()
        };
        out.ty().function(values(ty.params())?, values(ty.results())?);
        *types += 1;
        Ok(EntityType::Function(*types - 1))
    }
}
