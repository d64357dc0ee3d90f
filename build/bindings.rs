//! The guest's side of `wit/guest.wit`: C bindings, and the names that a guest may import.

use crate::files::{Result, Tree};
use std::collections::BTreeSet;
use std::path::Path;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{Resolve, WorldItem, WorldKey};

pub(crate) struct World {
    /// `guest.h`, `guest.c`, and `guest_component_type.o`, which carries the world's type into the module.
    pub(crate) bindings: Tree,
    /// Module and name of every function that the world imports.
    pub(crate) imports: BTreeSet<(String, String)>,
    /// The name, in a core module, of every function that it exports.
    pub(crate) exports: BTreeSet<String>,
}

impl World {
    pub(crate) fn read(wit: &Path) -> Result<World> {
        let fail = |error| format!("{}: {error:#}", wit.display());
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(wit).map_err(fail)?;
        let world = resolve.select_world(&[package], None).map_err(fail)?;

        let found = resolve.worlds.get(world).ok_or("wit/guest.wit has no world")?;
        let imports = functions(&resolve, &found.imports);
        let exports = functions(&resolve, &found.exports).into_iter().map(|(module, name)| format!("{module}#{name}"));
        let exports = exports.collect();

        let mut files = Files::default();
        wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files).map_err(fail)?;
        let bindings = files.iter().map(|(name, contents)| (format!("bindings/{name}"), contents.to_vec())).collect();
        Ok(World { bindings, imports, exports })
    }
}

/// Interface and name of every function.
fn functions<'a>(
    resolve: &Resolve,
    items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> BTreeSet<(String, String)> {
    let mut names = BTreeSet::new();
    for (key, item) in items {
        if let WorldItem::Interface { id, .. } = item
            && let Some(interface) = resolve.interfaces.get(*id)
        {
            let module = resolve.name_world_key(key);
            names.extend(interface.functions.keys().map(|name| (module.clone(), name.clone())));
        }
    }
    names
}
