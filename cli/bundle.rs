//! PATH: a bundle's folder, or one file.

use std::path::Path;

use motu::Bundle;
use motu::testing::ENDING;

use crate::failure::Failure;

pub(crate) fn open(path: &Path) -> Result<Bundle, Failure> {
    let is_test = path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(ENDING.as_bytes()));
    if is_test && path.is_file() {
        return Err(Failure::usage(format!("{0} is a test: motu test {0}", path.display())));
    }
    let bundle = if path.is_dir() { Bundle::from_dir(path) } else { Bundle::from_file(path) };
    bundle.map_err(Failure::from)
}
