//! Finds the test files under a path, and the bundle that each belongs to.
//!
//! A test's bundle is the outermost folder with an `init.luau` around it, as far as PATH reaches; if PATH lies within a
//! bundle, the nearest above it. Without any, it is PATH itself, or the file's folder.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use motu::testing::ENDING;

/// The file that a bundle's folder is known by.
const INIT: &str = "init.luau";
const FOLDER_DEPTH_MAX: usize = 32;
/// Folders and files that are looked at, at most.
const ENTRIES_MAX: usize = 65_536;
const TESTS_MAX: usize = 4096;

/// A test file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// The bundle's folder.
    pub(crate) root: PathBuf,
    /// The path in the bundle, with `/` between names.
    pub(crate) test: String,
}

impl Found {
    /// A path of the bundle, as people open it from where the program runs.
    pub(crate) fn shown(&self, path: &str) -> String {
        let full = self.root.join(path);
        full.strip_prefix(".").unwrap_or(&full).display().to_string()
    }
}

/// Why no tests could be looked for. The message names the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiscoverError(String);

impl fmt::Display for DiscoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DiscoverError {}

/// The test files under a folder, or the one that is named, sorted. Names that start with a dot are passed over, links to
/// folders aren't followed.
///
/// # Errors
///
/// What can't be read, a file that is no test, a test whose path isn't UTF-8, and too much of anything.
pub(crate) fn find(path: &Path) -> Result<Vec<Found>, DiscoverError> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_file() {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let name = path.file_name().unwrap_or_default();
        if !is_test(name) {
            return refuse(format!("{} is no test: the name of a test ends with {ENDING}", path.display()));
        }
        return Ok(vec![found(folder, &folder.join(name), folder)?]);
    }
    if !metadata.is_dir() {
        return refuse(format!("{} is neither a file nor a folder", path.display()));
    }
    let mut search = Search { path, entries: 0, tests: Vec::new() };
    search.folder(path, None, 0)?;
    let mut tests = search.tests;
    tests.sort();
    Ok(tests)
}

struct Search<'a> {
    path: &'a Path,
    entries: usize,
    tests: Vec<Found>,
}

impl Search<'_> {
    /// `root` is the outermost folder with an `init.luau` so far.
    fn folder(&mut self, folder: &Path, root: Option<&Path>, depth: usize) -> Result<(), DiscoverError> {
        if depth > FOLDER_DEPTH_MAX {
            return refuse(format!("{} lies more than {FOLDER_DEPTH_MAX} folders deep", folder.display()));
        }
        let root = root.or_else(|| folder.join(INIT).is_file().then_some(folder));
        for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                let shown = self.path.display();
                return refuse(format!("{shown} holds more than {ENTRIES_MAX} files and folders; name a folder in it"));
            }
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
            if kind.is_dir() {
                self.folder(&path, root, depth + 1)?;
            } else if is_test(&name) && fs::metadata(&path).map_err(|error| unreadable(&path, &error))?.is_file() {
                if self.tests.len() >= TESTS_MAX {
                    return refuse(format!("{} holds more than {TESTS_MAX} test files", self.path.display()));
                }
                let test = match root {
                    Some(root) => in_bundle(root, &path)?,
                    None => found(folder, &path, self.path)?,
                };
                self.tests.push(test);
            }
        }
        Ok(())
    }
}

fn is_test(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() > ENDING.len() && name.ends_with(ENDING.as_bytes())
}

/// A test with no `init.luau` around it, as far as was looked: the nearest above, or `otherwise`.
fn found(folder: &Path, test: &Path, otherwise: &Path) -> Result<Found, DiscoverError> {
    // `..` and links can't be walked up
    let full = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
    match full.ancestors().take(FOLDER_DEPTH_MAX).enumerate().find(|(_, above)| above.join(INIT).is_file()) {
        None => in_bundle(otherwise, test),
        Some((0, _)) => in_bundle(folder, test),
        Some((up, root)) => {
            let name = Path::new(test.file_name().unwrap_or_default());
            let found = in_bundle(root, &full.join(name))?;
            Ok(Found { root: folder_above(folder, up).unwrap_or_else(|| root.to_owned()), ..found })
        }
    }
}

/// So many folders up, as people write it, if that is plain to see.
fn folder_above(folder: &Path, up: usize) -> Option<PathBuf> {
    use std::path::Component::{CurDir, Normal};
    let plain = folder.components().all(|part| matches!(part, Normal(_) | CurDir));
    let names = folder.components().filter(|part| matches!(part, Normal(_))).count();
    let linked = folder.ancestors().take(up).any(Path::is_symlink);
    if !plain || linked || names < up {
        return None;
    }
    let above = folder.ancestors().nth(up)?;
    Some(if above == Path::new("") { PathBuf::from(".") } else { above.to_owned() })
}

fn in_bundle(root: &Path, test: &Path) -> Result<Found, DiscoverError> {
    let relative = test
        .strip_prefix(root)
        .map_err(|_| DiscoverError(format!("{} is not in {}", test.display(), root.display())))?;
    let parts: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
    let Some(parts) = parts else {
        return refuse(format!("the path of {} is not UTF-8", test.display()));
    };
    Ok(Found { root: root.to_owned(), test: parts.join("/") })
}

fn refuse<T>(message: String) -> Result<T, DiscoverError> {
    Err(DiscoverError(message))
}

fn unreadable(path: &Path, error: &io::Error) -> DiscoverError {
    DiscoverError(format!("{} can't be read: {error}", path.display()))
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
