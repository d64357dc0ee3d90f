//! Files and digests, with errors that name the path.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The text of files by path, relative and with `/`: sorted, so that whatever is made of it has one order.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("can't read {}: {error}", path.display()).into())
}

/// Writes a file unless it holds these bytes already, so that nothing looks changed that isn't.
pub(crate) fn write(path: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    fs::write(path, contents).map_err(|error| format!("can't write {}: {error}", path.display()).into())
}

pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| format!("can't make the folder {}: {error}", path.display()).into())
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|error| format!("can't remove {}: {error}", path.display()).into())
}

pub(crate) fn rename(old: &Path, new: &Path) -> Result<()> {
    fs::rename(old, new).map_err(|error| format!("can't rename {} to {}: {error}", old.display(), new.display()).into())
}

/// Removes what is in a folder under other names than these.
pub(crate) fn keep_only(folder: &Path, names: &[String]) -> Result<()> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    for path in list(folder)? {
        if !names.contains(&*path.file_name().unwrap_or_default().to_string_lossy()) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The entries of a folder, sorted.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |error: std::io::Error| format!("can't list {}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Adds the files under `folder` that end in one of `extensions` to `tree`, as `prefix/...`.
pub(crate) fn add_folder(tree: &mut Tree, prefix: &str, folder: &Path, extensions: &[&str]) -> Result<()> {
    for path in list(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let key = format!("{prefix}/{name}");
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if path.is_dir() {
            add_folder(tree, &key, &path, extensions)?;
        } else if extensions.contains(&extension) {
            tree.insert(key, read(&path)?);
        }
    }
    Ok(())
}

/// Makes `folder` hold the tree's files and no others. Symbolic links are left alone.
pub(crate) fn lay_out(tree: &Tree, folder: &Path) -> Result<()> {
    for (path, contents) in tree {
        write(&folder.join(path), contents)?;
    }
    remove_others(tree, folder, "")
}

fn remove_others(tree: &Tree, folder: &Path, prefix: &str) -> Result<()> {
    for path in list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let key = format!("{prefix}{name}");
        if path.is_symlink() {
            continue;
        } else if path.is_dir() {
            remove_others(tree, &path, &format!("{key}/"))?;
        } else if !tree.contains_key(&key) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// SHA-256 of the parts, each with its length before it, in hex; of a single part, of its bytes alone.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        if parts.len() > 1 {
            hash.update((part.len() as u64).to_le_bytes());
        }
        hash.update(part);
    }
    format!("{:x}", hash.finalize())
}
