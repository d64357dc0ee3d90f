//! The types of host modules for editors: for each module a file of Luau that the analyser reads in its place.
//!
//! A project's `.luaurc` has the alias of a namespace point at its folder (`"aliases": { "acme": "types/acme" }`); then
//! `require("@acme/crm")` finds `types/acme/crm.luau`. Functions are written as functions, because that is where editors show
//! what a comment says of them. No file is ever run.

mod types;

use std::borrow::Borrow;
use std::fmt::Write as _;

use super::WitError;
use super::package::{Function, Kind, Module, Package, Resource, modules};
use super::types::Ty;
use types::{Names, Place};

/// The files of some packages: the path under the folder that the aliases are in, and the text.
///
/// # Errors
/// Two packages have the same name and major version.
pub(crate) fn luau_types<P: Borrow<Package>>(packages: &[P]) -> Result<Vec<(String, String)>, WitError> {
    Ok(modules(packages)?.iter().map(|module| (format!("{}.luau", module.name), file(module))).collect())
}

fn file(module: &Module<'_>) -> String {
    let package = module.package;
    let mut out = format!(
        "--!strict\n-- The types of @{}, made by Motu from the WIT of {}: what is changed here is lost.\n",
        module.name,
        package.id()
    );
    comment(&mut out, "", "--", &package.docs);
    let names = Names::new(package);
    for interface in &package.interfaces {
        comment(&mut out, "", "--", &interface.docs);
        for resource in &interface.resources {
            methods(&mut out, package, resource, &names);
        }
        for ty in &interface.types {
            out.push('\n');
            names.define(&mut out, ty);
        }
    }
    functions(&mut out, package, &names);
    out
}

/// A resource: a type that nothing but its methods is known of.
fn methods(out: &mut String, package: &Package, resource: &Resource, names: &Names) {
    let name = names.resource(resource);
    let own = names.methods(resource);
    let _ = writeln!(out, "\ntype {own} = {{\n\t__index: {own},");
    for function in functions_of(package) {
        if !matches!(&function.kind, Kind::Method(of) if of.id == resource.id) {
            continue;
        }
        about(out, "\t", function, names);
        let mut params = vec![format!("self: {name}")];
        params.extend(
            function
                .params
                .iter()
                .skip(1)
                .map(|param| format!("{}: {}", param.name.luau, names.show(&param.ty, Place::Argument))),
        );
        let result = returned(function, names);
        let _ = writeln!(out, "\t{}: ({}) -> {result},", function.name.luau, params.join(", "));
    }
    out.push_str("}\n");
    comment(out, "", "---", &resource.docs);
    let _ = writeln!(out, "export type {name} = typeof(setmetatable({{}} :: {{}}, {{}} :: {own}))");
}

fn functions_of(package: &Package) -> impl Iterator<Item = &Function> {
    package.interfaces.iter().flat_map(|interface| &interface.functions).map(|function| &**function)
}

fn functions(out: &mut String, package: &Package, names: &Names) {
    let module = &package.name.luau;
    let _ = writeln!(out, "\nlocal {module} = {{}}");
    for function in functions_of(package) {
        if let Kind::Plain = function.kind {
            write_function(out, module, function, names);
        }
    }
    for interface in &package.interfaces {
        for resource in &interface.resources {
            let of_it = |function: &&Function| match &function.kind {
                Kind::Constructor(of) | Kind::Static(of) => of.id == resource.id,
                Kind::Plain | Kind::Method(_) => false,
            };
            let mut own = functions_of(package).filter(of_it).peekable();
            if own.peek().is_none() {
                continue;
            }
            let clash = if resource.name.luau == *module { "_" } else { "" };
            let table = format!("{}{clash}", resource.name.luau);
            let _ = writeln!(out, "\nlocal {table} = {{}}");
            own.for_each(|function| write_function(out, &table, function, names));
            let _ = writeln!(out, "\n{module}.{} = {table}", resource.name.luau);
        }
    }
    let _ = writeln!(out, "\nreturn {module}");
}

fn write_function(out: &mut String, table: &str, function: &Function, names: &Names) {
    out.push('\n');
    about(out, "", function, names);
    let params: Vec<_> = function
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name.luau, names.show(&param.ty, Place::Argument)))
        .collect();
    let result = returned(function, names);
    let _ = writeln!(out, "function {table}.{}({}): {result}", function.name.luau, params.join(", "));
    out.push_str(if result == "()" { "end\n" } else { "\treturn nil :: any\nend\n" });
}

fn returned(function: &Function, names: &Names) -> String {
    let ty = match function.result.as_ref().map(|ty| (ty, ty.peeled())) {
        Some((_, Ty::Result(either))) => either.ok.as_ref(),
        Some((ty, _)) => Some(ty),
        None => None,
    };
    ty.map_or_else(|| "()".to_owned(), |ty| names.show(ty, Place::Elsewhere))
}

/// What is said about a function.
fn about(out: &mut String, indent: &str, function: &Function, names: &Names) {
    comment(out, indent, "---", &function.docs);
    if let Some(Ty::Result(either)) = function.result.as_ref().map(Ty::peeled) {
        let raised = either.err.as_ref().map_or_else(|| "nil".to_owned(), |ty| names.show(ty, Place::Elsewhere));
        let _ = writeln!(out, "{indent}--- @error {raised}");
    }
    let _ = writeln!(out, "{indent}--- Grant: `{}`", function.grant);
}

/// A comment of any text, each line of it behind the mark.
fn comment(out: &mut String, indent: &str, mark: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    // Luau ends a comment at either.
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        let line: String = line.trim_end().chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let space = if line.is_empty() { "" } else { " " };
        let _ = writeln!(out, "{indent}{mark}{space}{line}");
    }
}
