//! `motu types`: writes the types of the host's modules and of providers, and of the library for tests, into a bundle's folder, for editors.
//! Nothing of it is run: folders whose name starts with a dot are no part of a bundle.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use motu::Motu;
use serde_json::{Map, Value};

use crate::args::Types;
use crate::failure::Failure;
use crate::print;
use crate::providers::Providers;

/// Where the types are, in the bundle's folder.
const FOLDER: &str = ".motu/types";

pub(crate) fn types(types: &Types) -> ExitCode {
    match write(&types.dir, &types.providers) {
        Ok(files) => {
            let shown = types.dir.display();
            print(
                &format!("{files} files of types in {shown}/{FOLDER}, and their aliases in {shown}/.luaurc\n"),
                ExitCode::SUCCESS,
            )
        }
        Err(failure) => failure.show(),
    }
}

/// Writes them, and says how many there are.
pub(crate) fn write(dir: &Path, providers: &Providers) -> Result<usize, Failure> {
    let failed =
        |path: &Path, error: &io::Error| Failure::usage(format!("{} can't be written: {error}", path.display()));
    if !dir.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", dir.display())));
    }
    let config = dir.join(".luaurc");
    let files = providers.add_to(Motu::builder())?.luau_types()?;
    let namespaces: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    // first what may be refused
    let text = with_aliases(&config, &namespaces)?;
    for (path, contents) in &files {
        let path = dir.join(FOLDER).join(path);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        fs::write(&path, contents).map_err(|error| failed(&path, &error))?;
    }
    fs::write(&config, text).map_err(|error| failed(&config, &error))?;
    Ok(files.len())
}

/// The `.luaurc` with an alias for each namespace; what else is in it stays.
fn with_aliases(config: &Path, namespaces: &BTreeSet<&str>) -> Result<String, Failure> {
    let refuse = |why: &str| {
        let aliases: Vec<String> = namespaces.iter().map(|name| format!("\"{name}\": \"./{FOLDER}/{name}\"")).collect();
        let shown = config.display();
        Failure::usage(format!("{shown} {why}; nothing was written. Put these aliases there: {}", aliases.join(", ")))
    };
    let mut settings = match fs::read_to_string(config) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| refuse(&format!("can't be read as JSON ({error})")))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Object(Map::new()),
        Err(error) => return Err(refuse(&format!("can't be read ({error})"))),
    };
    let table = settings.as_object_mut().ok_or_else(|| refuse("is no object"))?;
    let aliases = table.entry("aliases").or_insert_with(|| Value::Object(Map::new()));
    let aliases = aliases.as_object_mut().ok_or_else(|| refuse("has aliases that are no object"))?;
    for name in namespaces {
        let path = Value::String(format!("./{FOLDER}/{name}"));
        if aliases.get(*name).is_some_and(|other| *other != path) {
            return Err(refuse(&format!("has an alias {name} for something else")));
        }
        aliases.insert((*name).to_owned(), path);
    }
    let mut text = serde_json::to_string_pretty(&settings).map_err(|error| refuse(&error.to_string()))?;
    text.push('\n');
    Ok(text)
}
