//! Reads a bundle from the file system. What lies there is as hostile as any input: links, huge files, odd names.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bundle::{Bundle, too_large};
use crate::error::Error;
use crate::testing::ENDING;

/// How deep folders may lie in each other.
const FOLDER_DEPTH_MAX: usize = 32;

/// The folders and files looked at, at most: a bundle has no more files than that by far.
const ENTRIES_MAX: usize = 65_536;

type Files = Vec<(String, Vec<u8>)>;

/// The files of a folder that belong to a bundle, with paths relative to it; of its tests only this one.
pub(crate) fn read(folder: &Path, test: Option<&str>) -> Result<Files, Error> {
    let root = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
    if !root.is_dir() {
        return Err(Error::usage_error(format!("{} is not a folder", folder.display())));
    }
    let mut reader = Reader { root, test, entries: 0, files: Vec::new() };
    reader.folder(folder, "", 0)?;
    Ok(reader.files)
}

/// One `.luau` file: its name, and its bytes.
pub(crate) fn read_file(path: &Path) -> Result<(String, Vec<u8>), Error> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_file() {
        return Err(Error::usage_error(format!("{shown} is neither a file nor a folder")));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        return Err(Error::usage_error(format!("the name of {shown} is not UTF-8")));
    };
    if !name.ends_with(".luau") {
        return Err(Error::usage_error(format!("{shown} is not a .luau file, nor a folder with an init.luau")));
    }
    Ok((name.to_owned(), contents(path)?))
}

struct Reader<'a> {
    root: PathBuf,
    test: Option<&'a str>,
    entries: usize,
    files: Files,
}

impl Reader<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), Error> {
        if depth > FOLDER_DEPTH_MAX {
            let most = FOLDER_DEPTH_MAX;
            return Err(Error::usage_error(format!("{} lies more than {most} folders deep", folder.display())));
        }
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, &error))?.path();
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(Error::usage_error(format!(
                    "{} holds more than {ENTRIES_MAX} files and folders; is it a bundle?",
                    self.root.display()
                )));
            }
            self.entry(&path, prefix, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, prefix: &str, depth: usize) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default();
        let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".luaurc";
        if hidden {
            return Ok(());
        }
        let Some(name) = name.to_str() else {
            return Err(Error::usage_error(format!("the name of {} is not UTF-8", path.display())));
        };
        let of_bundle = name.ends_with(".luau") || name == ".luaurc";
        let link = fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?.is_symlink();
        if link {
            let target = path.canonicalize().map_err(|error| unreadable(path, &error))?;
            if !target.starts_with(&self.root) {
                return Err(Error::usage_error(format!(
                    "the link {} leaves the bundle; copy what it points to into the bundle",
                    path.display()
                )));
            }
        }
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        let inner = format!("{prefix}{name}");
        if metadata.is_dir() {
            return self.folder(path, &format!("{inner}/"), depth + 1);
        }
        let other_test = name.ends_with(ENDING) && self.test != Some(inner.as_str());
        if !of_bundle || other_test {
            return Ok(());
        }
        if !metadata.is_file() {
            return Err(Error::usage_error(format!("{} is not a plain file", path.display())));
        }
        if self.files.len() >= Bundle::FILES_MAX {
            let most = Bundle::FILES_MAX;
            return Err(Error::usage_error(format!("{} holds more than {most} Luau files", self.root.display())));
        }
        self.files.push((inner, contents(path)?));
        Ok(())
    }
}

/// A file's bytes, never more than a bundle's file can have.
fn contents(path: &Path) -> Result<Vec<u8>, Error> {
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut contents = Vec::new();
    file.take(Bundle::FILE_BYTES_MAX + 1).read_to_end(&mut contents).map_err(|error| unreadable(path, &error))?;
    if contents.len() as u64 > Bundle::FILE_BYTES_MAX {
        let bytes = fs::metadata(path).map_or(contents.len() as u64, |metadata| metadata.len());
        return Err(too_large(&path.display().to_string(), bytes));
    }
    Ok(contents)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::usage_error(format!("{} can't be read: {error}", path.display()))
}
