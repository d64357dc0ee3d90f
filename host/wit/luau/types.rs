//! WIT types as types of Luau.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::comment;
use crate::wit::package::{Package, Resource};
use crate::wit::types::{Case, Def, Int, Record, Ty, Variant};

/// Cases that take more than this many bytes get lines of their own.
const LINE_MAX: usize = 80;

/// Where a type stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A parameter of a function, which takes more than results give.
    Argument,
    Elsewhere,
}

/// What the types of a package are called, by interface and name.
pub(super) struct Names {
    types: HashMap<(String, String), String>,
    /// The tables of methods, by resource.
    methods: HashMap<String, String>,
}

impl Names {
    pub(super) fn new(package: &Package) -> Names {
        let mut all = Vec::new();
        for interface in &package.interfaces {
            let resources = interface.resources.iter().map(|resource| &resource.name);
            let named = interface.types.iter().filter_map(|ty| ty.def().map(|def| &def.name));
            all.extend(resources.chain(named).map(|name| (&interface.name, name)));
        }
        let mut count: HashMap<&str, usize> = HashMap::new();
        for (_, name) in &all {
            *count.entry(&name.pascal).or_default() += 1;
        }
        let mut names = Names { types: HashMap::new(), methods: HashMap::new() };
        let mut taken = HashSet::new();
        for (interface, name) in &all {
            let is_only = count.get(name.pascal.as_str()).is_some_and(|count| *count == 1);
            let before = if is_only { "" } else { &interface.pascal };
            let called = free(&mut taken, format!("{before}{}", name.pascal));
            names.types.insert((interface.kebab.clone(), name.kebab.clone()), called);
        }
        for resource in package.interfaces.iter().flat_map(|interface| &interface.resources) {
            let called = free(&mut taken, format!("{}Methods", names.resource(resource)));
            names.methods.insert(resource.id.clone(), called);
        }
        names
    }

    fn named(&self, interface: &str, kebab: &str) -> String {
        self.types.get(&(interface.to_owned(), kebab.to_owned())).cloned().unwrap_or_else(|| "any".to_owned())
    }

    pub(super) fn resource(&self, resource: &Resource) -> String {
        self.named(&resource.interface, &resource.name.kebab)
    }

    pub(super) fn methods(&self, resource: &Resource) -> String {
        self.methods.get(&resource.id).cloned().unwrap_or_default()
    }

    /// Declares a type that has a name.
    pub(super) fn define(&self, out: &mut String, ty: &Ty) {
        let Some(def) = ty.def() else { return };
        comment(out, "", "---", &def.docs);
        let name = self.named(&def.interface, &def.name.kebab);
        match ty {
            Ty::Alias(alias) => {
                let _ = writeln!(out, "export type {name} = {}", self.show(&alias.ty, Place::Elsewhere));
            }
            Ty::Record(record) | Ty::Flags(record) => self.record(out, &name, record, matches!(ty, Ty::Flags(_))),
            Ty::Variant(variant) => self.cases(out, &name, variant, |case| match &case.ty {
                None => format!("{{ tag: \"{}\" }}", case.name.snake),
                Some(ty) => {
                    format!("{{ tag: \"{}\", value: {} }}", case.name.snake, self.show(ty, Place::Elsewhere))
                }
            }),
            Ty::Enum(variant) => self.cases(out, &name, variant, |case| format!("\"{}\"", case.name.snake)),
            _ => (),
        }
    }

    fn record(&self, out: &mut String, name: &str, record: &Record, is_flags: bool) {
        let _ = writeln!(out, "export type {name} = {{");
        for field in &record.fields {
            comment(out, "\t", "---", &field.docs);
            let optional = if is_flags { "?" } else { "" };
            let _ = writeln!(out, "\t{}: {}{optional},", field.name.luau, self.show(&field.ty, Place::Elsewhere));
        }
        out.push_str("}\n");
    }

    fn cases(&self, out: &mut String, name: &str, variant: &Variant, show: impl Fn(&Case) -> String) {
        for case in variant.cases.iter().filter(|case| !case.docs.is_empty()) {
            comment(out, "", "---", &format!("- `{}`: {}", case.name.snake, case.docs));
        }
        let shown: Vec<_> = variant.cases.iter().map(show).collect();
        let line = shown.join(" | ");
        let shown = if line.len() > LINE_MAX { shown.join("\n\t| ") } else { line };
        let _ = writeln!(out, "export type {name} = {shown}");
    }

    pub(super) fn show(&self, ty: &Ty, place: Place) -> String {
        if let Some(Def { name, interface, .. }) = ty.def() {
            return self.named(interface, &name.kebab);
        }
        let part = |ty: &Ty| self.show(ty, Place::Elsewhere);
        let side = |ty: &Option<Ty>| ty.as_ref().map_or_else(|| "true".to_owned(), part);
        match ty {
            Ty::Bool => "boolean".to_owned(),
            Ty::Int(Int::U64 | Int::S64) => "number | integer".to_owned(),
            Ty::Int(_) | Ty::F32 | Ty::F64 => "number".to_owned(),
            Ty::Char | Ty::String => "string".to_owned(),
            Ty::Bytes if place == Place::Argument => "string | buffer".to_owned(),
            Ty::Bytes => "string".to_owned(),
            Ty::List(item) => format!("{{ {} }}", part(item)),
            Ty::Map(entry) => format!("{{ [{}]: {} }}", part(&entry.0), part(&entry.1)),
            // Luau has no tuples.
            Ty::Tuple(items) => {
                let mut kinds: Vec<String> = Vec::new();
                for item in items.iter().map(part) {
                    if !kinds.contains(&item) {
                        kinds.push(item);
                    }
                }
                format!("{{ {} }}", kinds.join(" | "))
            }
            Ty::Option(inner) => optional(&self.show(inner, place)),
            Ty::Result(either) => {
                format!("{{ ok: {}, err: nil }} | {{ ok: nil, err: {} }}", side(&either.ok), side(&either.err))
            }
            Ty::Own(resource) | Ty::Borrow(resource) => self.resource(resource),
            Ty::Any | Ty::Record(_) | Ty::Flags(_) | Ty::Variant(_) | Ty::Enum(_) | Ty::Alias(_) => "any".to_owned(),
        }
    }
}

/// The name, with underscores until nothing else has it.
fn free(taken: &mut HashSet<String>, mut name: String) -> String {
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

fn optional(shown: &str) -> String {
    // A union inside of braces needs no parentheses, but they do no harm.
    if shown.contains(" | ") { format!("({shown})?") } else { format!("{shown}?") }
}
