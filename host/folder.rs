//! Reads a bundle from the file system. What lies there is as hostile as any input: links, huge files, odd names.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::bundle::{Bundle, TEST_ENDING, too_large};
use crate::error::Error;

/// How deep folders may lie in each other.
const FOLDER_DEPTH_MAX: usize = 32;

/// The folders and files looked at, at most: a bundle has no more files than that by far.
const ENTRIES_MAX: usize = 65_536;

/// The bytes of all files together, at most: what is read is in memory before anybody asks for a limit `source_bytes`.
const BYTES_MAX: u64 = 64 << 20;

/// Folders that are never of a bundle: Motu's own, with the types that editors read, and those of version control.
const NEVER: [&str; 5] = [".motu", ".git", ".hg", ".jj", ".svn"];

/// The longest name that a file system has.
const NAME_BYTES_MAX: usize = 255;

type Files = Vec<(String, Vec<u8>)>;

/// The files of a folder that belong to a bundle, with paths relative to it; of its tests only this one.
pub(crate) fn read(folder: &Path, test: Option<&str>) -> Result<Files, Error> {
    let root = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
    if !root.is_dir() {
        return Err(Error::usage_error(format!("{} is not a folder", folder.display())));
    }
    let mut reader = Reader {
        root,
        test,
        entries: 0,
        bytes: 0,
        is_in_hidden: false,
        files: Vec::new(),
        hidden: HashMap::new(),
        named: HashSet::new(),
        ready: Vec::new(),
    };
    reader.folder(folder, "", 0)?;
    reader.hidden_that_are_named()?;
    Ok(reader.files)
}

/// Whether a file is code, by its name.
fn is_luau(name: &str) -> bool {
    (name.ends_with(".luau") || name.ends_with(".lua")) && !is_config(name)
}

/// Whether a file has the aliases of its folder, by its name.
fn is_config(name: &str) -> bool {
    name == ".luaurc" || name == ".config.luau"
}

/// One Luau file: its name, and its bytes.
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
    if !is_luau(name) {
        return Err(Error::usage_error(format!("{shown} is not a .luau or .lua file, nor a folder with an init.luau")));
    }
    Ok((name.to_owned(), contents(path)?))
}

struct Reader<'a> {
    root: PathBuf,
    test: Option<&'a str>,
    entries: usize,
    bytes: u64,
    /// What is looked at now is in a folder whose name starts with a dot.
    is_in_hidden: bool,
    files: Files,
    /// Folders whose names start with a dot and that no file has named so far, by their names.
    hidden: HashMap<String, Vec<Hidden>>,
    /// Names that start with a dot, in the files that were looked at.
    named: HashSet<String>,
    /// Folders that are named, to be read.
    ready: Vec<Hidden>,
}

struct Hidden {
    path: PathBuf,
    name: String,
    /// Of the folder that it is in, in the bundle: empty, or with a `/` at its end.
    prefix: String,
    depth: usize,
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

    /// Folders whose names start with a dot are no part of a bundle, but for those that a path in one of its files names:
    /// package managers put packages there.
    ///
    /// Each file is looked at once, and each folder is: the time is that of their bytes and their number.
    fn hidden_that_are_named(&mut self) -> Result<(), Error> {
        if self.hidden.is_empty() {
            return Ok(());
        }
        self.is_in_hidden = true;
        let mut looked_at = 0;
        loop {
            while let Some((_, contents)) = self.files.get(looked_at) {
                looked_at += 1;
                for name in hidden_names(contents) {
                    if !self.named.contains(name) {
                        if self.named.len() >= ENTRIES_MAX {
                            let shown = self.root.display();
                            return Err(Error::usage_error(format!(
                                "the files of {shown} have more than {ENTRIES_MAX} names that start with a dot"
                            )));
                        }
                        self.ready.extend(self.hidden.remove(name).unwrap_or_default());
                        self.named.insert(name.to_owned());
                    }
                }
            }
            let Some(Hidden { path, name, prefix, depth }) = self.ready.pop() else { return Ok(()) };
            self.shown(&path, &name, &prefix, depth)?;
        }
    }

    fn entry(&mut self, path: &Path, prefix: &str, depth: usize) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        let Some(name) = name.to_str() else {
            let is_code = [&b".luau"[..], b".lua"].iter().any(|end| name.as_encoded_bytes().ends_with(end));
            let may_have_code = is_code || fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
            if is_hidden || !may_have_code {
                return Ok(());
            }
            return Err(Error::usage_error(format!("the name of {} is not UTF-8", path.display())));
        };
        if is_hidden && !is_config(name) {
            if !NEVER.contains(&name) && fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
                let prefix = prefix.to_owned();
                let folder = Hidden { path: path.to_owned(), name: name.to_owned(), prefix, depth };
                match self.named.contains(name) {
                    true => self.ready.push(folder),
                    false => self.hidden.entry(name.to_owned()).or_default().push(folder),
                }
            }
            return Ok(());
        }
        self.shown(path, name, prefix, depth)
    }

    /// What has a name that doesn't start with a dot, or is read all the same.
    fn shown(&mut self, path: &Path, name: &str, prefix: &str, depth: usize) -> Result<(), Error> {
        let of_bundle = is_luau(name) || is_config(name);
        let link = fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?.is_symlink();
        // what can't be of the bundle may lead anywhere
        if link && !of_bundle && !fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(());
        }
        if link {
            let target = path.canonicalize().map_err(|error| unreadable(path, &error))?;
            if !target.starts_with(&self.root) {
                if self.is_in_hidden && !of_bundle && !name.starts_with('.') {
                    return Ok(()); // as that of a virtual environment, which a comment names, to the system's
                }
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
        let other_test = name.ends_with(TEST_ENDING) && self.test != Some(inner.as_str());
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
        let contents = contents(path)?;
        self.bytes += contents.len() as u64;
        if self.bytes > BYTES_MAX {
            let (shown, most) = (self.root.display(), BYTES_MAX >> 20);
            return Err(Error::usage_error(format!("the Luau files of {shown} have more than {most} MiB in all")));
        }
        self.files.push((inner, contents));
        Ok(())
    }
}

/// The names in a file that start with a dot and stand after a `/` or a `\`, as in `"./.packages/a"`. That is all that the
/// host looks for in a file (M1).
fn hidden_names(contents: &[u8]) -> impl Iterator<Item = &str> {
    let is_end = |byte: &u8| matches!(byte, b'/' | b'"' | b'\'' | b'`' | b'\\' | b']' | 0..b' ');
    let starts =
        contents.windows(2).enumerate().filter(|(_, two)| matches!(two, [b'/' | b'\\', b'.'])).map(|(at, _)| at + 1);
    let names = starts.filter_map(move |at| {
        let word = contents.get(at..)?;
        let word = word.get(..word.len().min(NAME_BYTES_MAX))?;
        word.split(is_end).next().and_then(|name| str::from_utf8(name).ok())
    });
    // in a text that is no path, a name ends at a space
    let both = names.flat_map(|name| [Some(name), name.split_once(' ').map(|(name, _)| name)]).flatten();
    both.filter(|name| !matches!(*name, "." | ".."))
}

/// A file's bytes, never more than a bundle's file can have.
fn contents(path: &Path) -> Result<Vec<u8>, Error> {
    // it may have become a pipe since it was looked at
    let open = || {
        let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
        }
        Ok(file)
    };
    let file = open().map_err(|error| unreadable(path, &error))?;
    let mut contents = Vec::new();
    file.take(Bundle::FILE_BYTES_MAX + 1).read_to_end(&mut contents).map_err(|error| unreadable(path, &error))?;
    if contents.len() as u64 > Bundle::FILE_BYTES_MAX {
        let bytes = fs::metadata(path).map_or(contents.len() as u64, |metadata| metadata.len());
        return Err(too_large(&path.display().to_string(), bytes));
    }
    Ok(contents)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::usage_error(format!("{} can't be read: {error}", path.display()))
}
