//! `motu types`: writes the types of the host's modules and of providers, and of the library for tests, into a bundle's folder, for editors.
//! Nothing of it is run: `.motu` is no part of a bundle.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use motu::Motu;

use crate::args::Types;
use crate::failure::Failure;
use crate::file;
use crate::print;
use crate::providers::Providers;

/// Where the types are, in the bundle's folder.
const FOLDER: &str = ".motu/types";

pub(crate) fn types(types: &Types) -> ExitCode {
    match write(&types.dir, &types.providers) {
        Ok(Written { files, aliases: None }) => {
            let shown = types.dir.display();
            print(
                &format!("{files} files of types in {shown}/{FOLDER}, and their aliases in {shown}/.luaurc\n"),
                ExitCode::SUCCESS,
            )
        }
        Ok(Written { files, aliases: Some(aliases) }) => {
            let shown = types.dir.display();
            let what = format!("put their aliases into {shown}/{CONFIG}, if it lacks them: {aliases}");
            print(&format!("{files} files of types in {shown}/{FOLDER}; {what}\n"), ExitCode::SUCCESS)
        }
        Err(failure) => failure.show(),
    }
}

/// Has aliases in place of `.luaurc`: beside it, that would be one file too many. It is Luau, so nothing is written to it.
const CONFIG: &str = ".config.luau";

pub(crate) struct Written {
    files: usize,
    /// What is to be added to `.config.luau`, if the bundle has that.
    aliases: Option<String>,
}

/// Writes them.
pub(crate) fn write(dir: &Path, providers: &Providers) -> Result<Written, Failure> {
    let failed =
        |path: &Path, error: &io::Error| Failure::usage(format!("{} can't be written: {error}", path.display()));
    if !dir.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", dir.display())));
    }
    let config = dir.join(".luaurc");
    let files = providers.add_to(Motu::builder())?.luau_types()?;
    let namespaces: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    let is_luau = dir.join(CONFIG).exists();
    // first what may be refused
    let paths = files.keys().map(|path| dir.join(FOLDER).join(path));
    for path in paths.chain((!is_luau).then(|| config.clone())) {
        stays(dir, &path)?;
    }
    let text = if is_luau { None } else { with_aliases(&config, &namespaces)? };
    for (path, contents) in &files {
        let path = dir.join(FOLDER).join(path);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        fs::write(&path, contents).map_err(|error| failed(&path, &error))?;
    }
    if let Some(text) = text {
        fs::write(&config, text).map_err(|error| failed(&config, &error))?;
    }
    // a namespace may have a `-`
    let alias = |name: &&str| match name.contains('-') {
        true => format!("[\"{name}\"] = \"./{FOLDER}/{name}\""),
        false => format!("{name} = \"./{FOLDER}/{name}\""),
    };
    let aliases = is_luau.then(|| namespaces.iter().map(alias).collect::<Vec<_>>().join(", "));
    Ok(Written { files: files.len(), aliases })
}

/// Refuses to write through a link that leaves the folder, which may be a stranger's.
fn stays(dir: &Path, path: &Path) -> Result<(), Failure> {
    let root = dir.canonicalize().ok();
    for path in path.ancestors().take_while(|path| *path != dir) {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if is_link && !path.canonicalize().ok().zip(root.as_ref()).is_some_and(|(path, root)| path.starts_with(root)) {
            let shown = path.display();
            return Err(Failure::usage(format!("{shown} is a link that leaves the folder; nothing was written")));
        }
    }
    Ok(())
}

/// The text of the `.luaurc` with an alias for each namespace, if it lacks one. All else that is in it stays as it is
/// written, comments too.
fn with_aliases(config: &Path, namespaces: &BTreeSet<&str>) -> Result<Option<String>, Failure> {
    let refuse = |why: &str| {
        let aliases: Vec<String> = namespaces.iter().map(|name| format!("\"{name}\": \"./{FOLDER}/{name}\"")).collect();
        let shown = config.display();
        Failure::usage(format!("{shown} {why}; nothing was written. Put these aliases there: {}", aliases.join(", ")))
    };
    let text = match file::read_text(config, file::CONFIG) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => "{}\n".to_owned(),
        Err(error) => return Err(refuse(&format!("can't be read ({error})"))),
    };
    // Luau's own reader takes comments and trailing commas, too.
    let root = CstRootNode::parse(&text, &ParseOptions::default())
        .map_err(|error| refuse(&format!("can't be read as JSON with comments ({error})")))?;
    let settings = root.object_value().ok_or_else(|| refuse("is no object"))?;
    let tables = settings.properties().into_iter().filter(|property| is_named(property, "aliases"));
    let tables: Option<Vec<CstObject>> = tables.map(|property| property.object_value()).collect();
    let tables = tables.ok_or_else(|| refuse("has aliases that are no object"))?;
    let mut missing = Vec::new();
    for name in namespaces {
        let path = format!("./{FOLDER}/{name}");
        // Luau takes the first, if there are several.
        match tables.iter().flat_map(CstObject::properties).find(|alias| is_alias(alias, name)) {
            Some(alias) if text_of(&alias).as_ref() == Some(&path) => {}
            Some(_) => return Err(refuse(&format!("has an alias {name} for something else"))),
            None => missing.push((name, path)),
        }
    }
    if missing.is_empty() {
        return Ok(None);
    }
    let aliases = tables.into_iter().next().unwrap_or_else(|| settings.object_value_or_set("aliases"));
    for (name, path) in missing {
        aliases.append(name, CstInputValue::String(path));
    }
    Ok(Some(root.to_string()))
}

/// Luau looks aliases up without regard to case.
fn is_alias(property: &CstObjectProp, name: &str) -> bool {
    property.decoded_name().is_some_and(|decoded| decoded.eq_ignore_ascii_case(name))
}

fn is_named(property: &CstObjectProp, name: &str) -> bool {
    property.decoded_name().as_deref() == Some(name)
}

fn text_of(property: &CstObjectProp) -> Option<String> {
    property.value()?.as_string_lit()?.decoded_value().ok()
}
