//! The guest's side of `wit/guest.wit`: C bindings, and the names that a guest may import.

use crate::files::{Result, Tree};
use std::collections::BTreeSet;
use std::path::Path;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{Resolve, WorldItem};

pub(crate) struct World {
    /// `guest.h`, `guest.c`, and `guest_component_type.o`, which carries the world's type into the module.
    pub(crate) bindings: Tree,
    /// Module and name of every function that the world imports.
    pub(crate) imports: BTreeSet<(String, String)>,
}

impl World {
    pub(crate) fn read(wit: &Path) -> Result<World> {
        let fail = |error| format!("{}: {error:#}", wit.display());
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(wit).map_err(fail)?;
        let world = resolve.select_world(&[package], None).map_err(fail)?;

        let mut imports = BTreeSet::new();
        for (key, item) in resolve.worlds.get(world).into_iter().flat_map(|world| &world.imports) {
            let module = resolve.name_world_key(key);
            match item {
                WorldItem::Interface { id, .. } => {
                    let functions = resolve.interfaces.get(*id).map(|interface| interface.functions.keys());
                    imports.extend(functions.into_iter().flatten().map(|name| (module.clone(), name.clone())));
                }
                WorldItem::Function(function) => drop(imports.insert(("$root".into(), function.name.clone()))),
                WorldItem::Type { .. } => {}
            }
        }

        let mut files = Files::default();
        wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files).map_err(fail)?;
        let bindings = files.iter().map(|(name, contents)| (format!("bindings/{name}"), contents.to_vec())).collect();
        Ok(World { bindings, imports })
    }
}
