//! From the text of a WIT package to what it says, or to the line that can't be a host module.

mod resolve;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use semver::Version;
use wit_parser::{self as wit, AstItem, FunctionKind, Span, UnresolvedPackage, UnresolvedPackageGroup};

use super::WitError;
use super::names::Name;
use super::package::{Function, Interface, Kind, Package, Param};
use resolve::Types;

/// Bytes of a WIT text, at most.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;

/// Parameters of a function, at most.
const PARAMS_MAX: usize = 64;

type Result<T = ()> = std::result::Result<T, WitError>;

/// Reads one WIT package that is to be a host module.
///
/// Its interfaces may use types of each other, and `value` of `motu:value/types`; no other package is known. What has no
/// sense here is refused: worlds, other packages in the same text, streams, futures, and types in which nil would have two
/// meanings.
///
/// # Errors
/// The text is not WIT, is over a bound (1 MiB; 64 types in each other; 4,096 parts of a type; 256 fields;
/// 64 parameters), or can't be a module. The
/// error names the line.
pub(crate) fn parse(text: &str) -> Result<Package> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the WIT text has {} bytes; {TEXT_BYTES_MAX} at most can be read", text.len());
        return Err(WitError::new(None, message));
    }
    let group = UnresolvedPackageGroup::parse("wit", text).map_err(|(_, error)| {
        let message = error.kind().to_string().replace('\n', "; ");
        at(text, error.kind().span(), message)
    })?;
    if let Some(nested) = group.nested.first() {
        let message = format!("the text holds the package {} too; give each package a text of its own", nested.name);
        return Err(WitError::new(None, message));
    }
    let package = group.main;
    if let Some((_, world)) = package.worlds.iter().next() {
        let message = format!("the world {} has no meaning here: a module is its interfaces; remove it", world.name);
        return Err(at(text, world.span, message));
    }
    Reading { text, package: &package }.read()
}

/// An error at the line where the span starts.
fn at(text: &str, span: Span, message: impl Into<String>) -> WitError {
    let line = span.is_known().then(|| {
        let before = text.as_bytes().iter().take(span.start() as usize);
        before.filter(|byte| **byte == b'\n').count() + 1
    });
    WitError::new(line, message)
}

/// For sorting; what has no place comes last.
fn start(span: Span) -> u32 {
    if span.is_known() { span.start() } else { u32::MAX }
}

pub(super) struct Reading<'a> {
    text: &'a str,
    package: &'a UnresolvedPackage,
}

impl Reading<'_> {
    fn at(&self, span: Span, message: impl Into<String>) -> WitError {
        at(self.text, span, message)
    }

    fn read(&self) -> Result<Package> {
        let id = &self.package.name;
        let name = Name::new(&id.name);
        let foreign = self.foreign()?;
        let types = Types::build(self, foreign)?;
        let mut own: Vec<_> =
            self.package.interfaces.iter().filter(|(interface, _)| Some(*interface) != foreign).collect();
        own.sort_by_key(|(_, interface)| start(interface.span));
        let mut interfaces = Vec::new();
        let mut taken = Taken::default();
        for (_, interface) in own {
            let Some(named) = &interface.name else { continue };
            interfaces.push(self.interface(&name, named, interface, &types, &mut taken)?);
        }
        Ok(Package {
            namespace: id.namespace.clone(),
            name,
            version: id.version.clone().unwrap_or(Version::new(0, 0, 0)),
            docs: docs(&self.package.docs),
            interfaces,
        })
    }

    /// The one interface of another package that is known.
    fn foreign(&self) -> Result<Option<wit::InterfaceId>> {
        let mut known = None;
        for (package, items) in &self.package.foreign_deps {
            for (name, (item, _)) in items {
                let AstItem::Interface(interface) = item else { continue };
                if package.to_string() == "motu:value" && name == "types" {
                    known = Some(*interface);
                    continue;
                }
                let span = self.package.interfaces.get(*interface).and_then(|found| {
                    let first = found.types.values().next()?;
                    Some(self.package.types.get(*first)?.span)
                });
                let message = format!(
                    "{package}/{name} is another package; only motu:value/types is known. Declare the types that are needed \
                     here"
                );
                return Err(self.at(span.unwrap_or_default(), message));
            }
        }
        Ok(known)
    }

    fn interface(
        &self,
        package: &Name,
        name: &str,
        interface: &wit::Interface,
        types: &Types,
        taken: &mut Taken,
    ) -> Result<Interface> {
        let (named, resources) = types.of(self, interface);
        for resource in &resources {
            taken.module(self, &resource.name.luau, &format!("{name}.{}", resource.name.kebab), Span::default())?;
        }
        let mut all: Vec<_> = interface.functions.values().collect();
        all.sort_by_key(|function| start(function.span));
        let mut functions = Vec::with_capacity(all.len());
        for function in all {
            let read = self.function(package, name, function, types)?;
            taken.function(self, &read, function.span)?;
            functions.push(Arc::new(read));
        }
        Ok(Interface { name: Name::new(name), docs: docs(&interface.docs), functions, types: named, resources })
    }

    fn function(&self, package: &Name, interface: &str, function: &wit::Function, types: &Types) -> Result<Function> {
        let resource = match function.kind.resource() {
            Some(id) => Some(types.resource(self, id, function.span)?),
            None => None,
        };
        let (kind, name) = match (&function.kind, resource) {
            (FunctionKind::Constructor(_), Some(resource)) => (Kind::Constructor(resource), "new"),
            (FunctionKind::Method(_) | FunctionKind::AsyncMethod(_), Some(resource)) => {
                (Kind::Method(resource), function.item_name())
            }
            (FunctionKind::Static(_) | FunctionKind::AsyncStatic(_), Some(resource)) => {
                (Kind::Static(resource), function.item_name())
            }
            _ => (Kind::Plain, function.name.as_str()),
        };
        let name = Name::new(name);
        if function.params.len() > PARAMS_MAX {
            let message = format!("{} has more than {PARAMS_MAX} parameters: pass a record", name.kebab);
            return Err(self.at(function.span, message));
        }
        let mut params: Vec<Param> = Vec::with_capacity(function.params.len());
        for param in &function.params {
            let ty = types.param(self, &param.ty, if param.span.is_known() { param.span } else { function.span })?;
            let named = Name::new(&param.name);
            if let Some(other) = params.iter().find(|other| other.name.luau == named.luau) {
                return Err(self.alike(param.span, "parameters", &other.name.kebab, &named));
            }
            params.push(Param { name: named, ty });
        }
        let result = function.result.as_ref().map(|ty| types.result(self, ty, function.span)).transpose()?;
        let id = &self.package.name;
        let (before, called) = match &kind {
            Kind::Plain => (String::new(), format!(".{}", name.luau)),
            Kind::Constructor(resource) | Kind::Static(resource) => {
                (format!("{}.", resource.name.kebab), format!(".{}.{}", resource.name.luau, name.luau))
            }
            Kind::Method(resource) => {
                (format!("{}.", resource.name.kebab), format!(".{}:{}", resource.name.luau, name.luau))
            }
        };
        Ok(Function {
            grant: format!("{}:{}/{interface}.{before}{}", id.namespace, id.name, name.kebab),
            called: format!("{}{called}", package.luau),
            docs: docs(&function.docs),
            params,
            result,
            is_async: function.kind.is_async(),
            kind,
            name,
        })
    }

    fn alike(&self, span: Span, what: &str, one: &str, other: &Name) -> WitError {
        let message =
            format!("the {what} {one} and {} would both be `{}` in Luau: rename one", other.kebab, other.luau);
        self.at(span, message)
    }
}

/// The names in a module's table, and in the tables of its resources, with what has them.
#[derive(Default)]
struct Taken {
    module: HashMap<String, String>,
    resources: BTreeMap<(String, String), String>,
}

impl Taken {
    fn module(&mut self, reading: &Reading<'_>, luau: &str, what: &str, span: Span) -> Result {
        match self.module.insert(luau.to_owned(), what.to_owned()) {
            Some(other) => Err(reading.at(span, clash(&other, what, luau))),
            None => Ok(()),
        }
    }

    fn function(&mut self, reading: &Reading<'_>, function: &Function, span: Span) -> Result {
        let what = function.grant.split_once('/').map_or("", |(_, what)| what);
        let resource = match &function.kind {
            Kind::Plain => return self.module(reading, &function.name.luau, what, span),
            Kind::Constructor(resource) | Kind::Method(resource) | Kind::Static(resource) => resource,
        };
        match self.resources.insert((resource.id.clone(), function.name.luau.clone()), what.to_owned()) {
            Some(other) => Err(reading.at(span, clash(&other, what, &function.name.luau))),
            None => Ok(()),
        }
    }
}

fn clash(one: &str, other: &str, luau: &str) -> String {
    format!(
        "{one} and {other} would both be `{luau}` in Luau, where a module is one table of all its interfaces: rename one"
    )
}

pub(super) fn docs(docs: &wit::Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().to_owned()
}
