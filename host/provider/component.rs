//! What a component is: its imports, its exports, and the WIT that it carries.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{PackageId, Resolve, WorldId, WorldItem};

use super::Export;
use crate::error::Error;
use crate::wit::{self, Function, Kind, Package, Ty};

/// Bytes of a component, at most.
const COMPONENT_BYTES_MAX: usize = 256 << 20;

/// What scripts can have of a component.
pub(super) struct Exported {
    pub(super) package: Package,
    /// The interfaces, each with its name in the component: `customers`, `acme:crm/customers@1.0.0`.
    interfaces: Vec<(String, String)>,
}

fn refuse<T>(message: impl std::fmt::Display) -> Result<T, Error> {
    Err(Error::usage_error(format!("this component can't be a provider: {message}")))
}

pub(super) fn check_size(bytes: &[u8]) -> Result<(), Error> {
    match bytes.len() {
        len if len > COMPONENT_BYTES_MAX => {
            refuse(format_args!("it has {len} bytes; {COMPONENT_BYTES_MAX} at most can be read"))
        }
        _ => Ok(()),
    }
}

/// Nothing may be imported but WASI's interfaces, and interfaces that only name types.
pub(super) fn check_imports(engine: &Engine, component: &Component) -> Result<(), Error> {
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            if let ComponentItem::Type(_) = import.ty {
                continue;
            }
            return refuse(format_args!("it imports {name}, and a provider is given nothing but WASI"));
        };
        let only_types = || instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)));
        if !name.starts_with("wasi:") && !only_types() {
            return refuse(format_args!("it imports {name}, and a provider is given nothing but WASI"));
        }
    }
    Ok(())
}

/// Reads the WIT that a component carries.
pub(super) fn read(bytes: &[u8]) -> Result<Exported, Error> {
    // the bytes are valid wasm, but need not be what the reader of WIT is made for
    let read = catch_unwind(AssertUnwindSafe(|| decode(bytes)));
    read.unwrap_or_else(|_| refuse("its types are not laid out as tools that make components do it"))
}

fn decode(bytes: &[u8]) -> Result<Exported, Error> {
    let (resolve, world) = match wit_component::decode(bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => return refuse("it is a WIT package, which has types and no code"),
        Err(error) => return refuse(format_args!("its WIT can't be read: {error:#}")),
    };
    let (id, interfaces) = interfaces(&resolve, world)?;
    let mut printer = WitPrinter::default();
    if let Err(error) = printer.print(&resolve, id, &[]) {
        return refuse(format_args!("its WIT can't be written out: {error:#}"));
    }
    let text = printer.output.to_string();
    let mut package = match wit::parse(&text) {
        Ok(package) => package,
        Err(error) => return refuse(format_args!("its WIT can't be had in Luau: {error}")),
    };
    // those that only name types come along; they are no part of the module
    package.interfaces.retain(|interface| interfaces.iter().any(|(name, _)| *name == interface.name.kebab));
    check(&package)?;
    Ok(Exported { package, interfaces })
}

/// The package that the component exports interfaces of, and those interfaces.
fn interfaces(resolve: &Resolve, world: WorldId) -> Result<(PackageId, Vec<(String, String)>), Error> {
    let Some(world) = resolve.worlds.get(world) else { return refuse("it has no world") };
    let mut found: Option<PackageId> = None;
    let mut interfaces = Vec::new();
    for (key, item) in &world.exports {
        let exported = resolve.name_world_key(key);
        let WorldItem::Interface { id, .. } = item else {
            return refuse(format_args!("it exports {exported} on its own; scripts can have what is in an interface"));
        };
        let interface = resolve.interfaces.get(*id);
        let named = interface.and_then(|interface| Some((interface.name.clone()?, interface.package?)));
        let Some((name, package)) = named else {
            return refuse(format_args!("it exports {exported}, an interface of no package: give it one"));
        };
        if exported.starts_with("wasi:") {
            return refuse(format_args!(
                "it exports {exported}, as programs do; a provider exports interfaces of its own"
            ));
        }
        match found.replace(package) {
            Some(other) if other != package => {
                let name = |id| resolve.packages.get(id).map(|package: &wit_parser::Package| package.name.to_string());
                let (one, other) = (name(other).unwrap_or_default(), name(package).unwrap_or_default());
                return refuse(format_args!("it exports interfaces of {one} and of {other}; a module is one package"));
            }
            _ => interfaces.push((name, exported)),
        }
    }
    match found {
        Some(package) => Ok((package, interfaces)),
        None => refuse("it exports no interface"),
    }
}

/// What can be in a host module, but not in a provider.
fn check(package: &Package) -> Result<(), Error> {
    for interface in &package.interfaces {
        for function in &interface.functions {
            let types = function.params.iter().map(|param| &param.ty).chain(&function.result);
            if types.into_iter().any(holds_any) {
                return refuse(format_args!(
                    "{} has a `value` of motu:value/types, which no component knows",
                    function.grant
                ));
            }
        }
    }
    Ok(())
}

fn holds_any(ty: &Ty) -> bool {
    let side = |ty: &Option<Ty>| ty.as_ref().is_some_and(holds_any);
    match ty.peeled() {
        Ty::Any => true,
        Ty::List(item) | Ty::Option(item) => holds_any(item),
        Ty::Map(entry) => holds_any(&entry.0) || holds_any(&entry.1),
        Ty::Tuple(items) => items.iter().any(holds_any),
        Ty::Record(record) => record.fields.iter().any(|field| holds_any(&field.ty)),
        Ty::Variant(variant) => variant.cases.iter().any(|case| side(&case.ty)),
        Ty::Result(either) => side(&either.ok) || side(&either.err),
        _ => false,
    }
}

/// As the component model writes it.
fn exported_name(function: &Function) -> String {
    let name = &function.name.kebab;
    match &function.kind {
        Kind::Plain => name.clone(),
        Kind::Constructor(of) => format!("[constructor]{}", of.name.kebab),
        Kind::Method(of) => format!("[method]{}.{name}", of.name.kebab),
        Kind::Static(of) => format!("[static]{}.{name}", of.name.kebab),
    }
}

/// Where the module's functions are in the component.
pub(super) fn exports(component: &Component, exported: &Exported) -> Result<Vec<Export>, Error> {
    let mut all = Vec::new();
    for interface in &exported.package.interfaces {
        let named = exported.interfaces.iter().find(|(name, _)| *name == interface.name.kebab);
        let instance = named.and_then(|(_, exported)| component.get_export_index(None, exported.as_str()));
        for function in &interface.functions {
            let index = |instance: ComponentExportIndex| {
                component.get_export_index(Some(&instance), exported_name(function).as_str())
            };
            match instance.and_then(index) {
                Some(index) => all.push(Export { grant: function.grant.clone(), index }),
                None => return refuse(format_args!("{} is in its WIT, but not exported", function.grant)),
            }
        }
    }
    Ok(all)
}
