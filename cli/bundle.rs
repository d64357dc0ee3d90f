//! PATH: a bundle's folder, or one file.

use std::path::Path;

use motu::Bundle;

use crate::failure::Failure;

pub(crate) fn open(path: &Path) -> Result<Bundle, Failure> {
    let bundle = if path.is_dir() { Bundle::from_dir(path) } else { Bundle::from_file(path) };
    bundle.map_err(Failure::from)
}
