//! Finds the test files under a path, and the bundle that each belongs to.
//!
//! Which bundle a test belongs to does not depend on PATH: see [`Search::bundle_of`].

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use motu::testing::ENDING;

/// The files that a bundle's folder is known by.
const INITS: [&str; 2] = ["init.luau", "init.lua"];
/// What the folder of a package is known by, to package managers.
const PACKAGES: [&str; 4] = ["pesde.toml", "wally.toml", "rotriever.toml", "node_modules/.luau-aliases"];
/// What the folder of a library is known by that is no package.
const CONFIGS: [&str; 2] = [".luaurc", ".config.luau"];
/// What a repository's folder is known by: no bundle reaches beyond it.
const REPOSITORY: &str = ".git";
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
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    find_from(path, here.ok().as_deref())
}

/// With the folder that the program runs in, if that is known.
fn find_from(path: &Path, here: Option<&Path>) -> Result<Vec<Found>, DiscoverError> {
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
        let bundle = Search::new(folder, here)?.bundle_of(folder, 0)?;
        return Ok(vec![bundle.found(&folder.join(name))?]);
    }
    if !metadata.is_dir() {
        return refuse(format!("{} is neither a file nor a folder", path.display()));
    }
    let mut search = Search::new(path, here)?;
    search.folder(path, 0)?;
    let mut tests = search.tests;
    tests.sort();
    Ok(tests)
}

struct Search<'a> {
    path: &'a Path,
    /// Where to look for a bundle's folder at most, without a repository: the working directory if PATH lies in it, else PATH.
    top: PathBuf,
    entries: usize,
    tests: Vec<Found>,
}

/// What the tests of a folder belong to.
struct InBundle {
    /// As people write it.
    root: PathBuf,
    /// From the root to the folder.
    within: PathBuf,
}

impl InBundle {
    fn found(&self, test: &Path) -> Result<Found, DiscoverError> {
        let within = self.within.join(test.file_name().unwrap_or_default());
        let parts: Option<Vec<&str>> = within.iter().map(OsStr::to_str).collect();
        match parts {
            Some(parts) => Ok(Found { root: self.root.clone(), test: parts.join("/") }),
            None => refuse(format!("the path of {} is not UTF-8", test.display())),
        }
    }
}

impl<'a> Search<'a> {
    fn new(path: &'a Path, here: Option<&Path>) -> Result<Self, DiscoverError> {
        let full = path.canonicalize().map_err(|error| unreadable(path, &error))?;
        let top = here.filter(|here| full.starts_with(here)).map_or(full, Path::to_owned);
        Ok(Self { path, top, entries: 0, tests: Vec::new() })
    }

    /// `depth` folders below PATH.
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), DiscoverError> {
        if depth > FOLDER_DEPTH_MAX {
            return refuse(format!("{} lies more than {FOLDER_DEPTH_MAX} folders deep", folder.display()));
        }
        let mut bundle = None;
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
                self.folder(&path, depth + 1)?;
            } else if is_test(&name) && fs::metadata(&path).map_err(|error| unreadable(&path, &error))?.is_file() {
                if self.tests.len() >= TESTS_MAX {
                    return refuse(format!("{} holds more than {TESTS_MAX} test files", self.path.display()));
                }
                let bundle = match &bundle {
                    Some(bundle) => bundle,
                    None => bundle.insert(self.bundle_of(folder, depth)?),
                };
                self.tests.push(bundle.found(&path)?);
            }
        }
        Ok(())
    }

    /// The nearest folder around the test that is a package, for its files require what lies beside them; or else the
    /// outermost one with an `init.luau`, or else the nearest one with aliases: in the test's repository (the nearest folder
    /// with a `.git`). Without a repository that is looked for as far as the working directory, or PATH; if there is none, the
    /// nearest one above counts, and then as long as the next folder above has an `init.luau` too: one that lies far above has
    /// nothing to do with it. Without any, it is PATH itself.
    fn bundle_of(&self, folder: &Path, depth: usize) -> Result<InBundle, DiscoverError> {
        // `..` and links can't be walked up
        let full = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
        let has_init = |folder: &Path| INITS.iter().any(|init| folder.join(init).is_file());
        let repository = full.ancestors().find(|above| above.join(REPOSITORY).exists());
        let top = repository.unwrap_or(&self.top);
        let below = || full.ancestors().take_while(|above| above.starts_with(top));
        let has_one_of =
            |names: &'static [&str]| move |folder: &&Path| names.iter().any(|name| folder.join(name).exists());
        let package = below().find(has_one_of(&PACKAGES));
        let within = package.or_else(|| below().filter(|above| has_init(above)).last());
        let above = || full.ancestors().find(|above| repository.is_none() && has_init(above));
        let mut root = within.or_else(above);
        if repository.is_none() && package.is_none() {
            while let Some(above) = root.and_then(Path::parent).filter(|above| has_init(above)) {
                root = Some(above);
            }
        }
        let root = root.or_else(|| below().find(has_one_of(&CONFIGS)));
        let up = match root.and_then(|root| full.strip_prefix(root).ok()) {
            Some(within) => within.components().count(),
            None => depth,
        };
        let names: Vec<&OsStr> = full.iter().collect();
        let within = names.get(names.len().saturating_sub(up)..).unwrap_or_default().iter().collect();
        // nothing between PATH and the folder is a link
        let written =
            if up <= depth { folder.ancestors().nth(up).map(Path::to_owned) } else { folder_above(folder, up) };
        let root = written.or_else(|| full.ancestors().nth(up).map(Path::to_owned)).unwrap_or(full);
        Ok(InBundle { root, within })
    }
}

fn is_test(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() > ENDING.len() && name.ends_with(ENDING.as_bytes())
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

fn refuse<T>(message: String) -> Result<T, DiscoverError> {
    Err(DiscoverError(message))
}

fn unreadable(path: &Path, error: &io::Error) -> DiscoverError {
    DiscoverError(format!("{} can't be read: {error}", path.display()))
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
