//! Bundles: the files of a script, as bytes. Luau itself is only ever parsed inside the sandbox (M1).

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// An immutable set of files, path to bytes, with an entry. Named by the digest of its content.
///
/// Paths are relative to the bundle's root, with `/` between names. Cheap to clone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Parts", try_from = "Parts")]
pub struct Bundle {
    entry: String,
    files: Arc<BTreeMap<String, File>>,
    digest: Digest,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) contents: Vec<u8>,
    pub(crate) opaque: bool,
}

/// A bundle on its way to another process. The digest is not believed but made again.
#[derive(Serialize, Deserialize)]
struct Parts {
    entry: String,
    files: BTreeMap<String, File>,
}

impl From<Bundle> for Parts {
    fn from(bundle: Bundle) -> Parts {
        Parts { entry: bundle.entry, files: Arc::unwrap_or_clone(bundle.files) }
    }
}

impl TryFrom<Parts> for Bundle {
    type Error = Error;

    fn try_from(Parts { entry, files }: Parts) -> Result<Bundle, Error> {
        Bundle::digested(entry, files)
    }
}

/// The SHA-256 of a bundle's files, as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// A number that is the same for the same bundle, to seed its load with.
    pub(crate) fn seed(&self) -> u64 {
        self.0.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Bundle {
    /// The name of the file that a bundle starts with; `init.lua` is one too.
    pub const ENTRY: &str = "init.luau";
    /// The other name that this file may have.
    const OTHER_ENTRY: &str = "init.lua";
    /// The largest file, in bytes.
    pub const FILE_BYTES_MAX: u64 = 4 << 20;
    /// The most files.
    pub const FILES_MAX: usize = 4096;
    /// The longest path, in bytes.
    pub const PATH_BYTES_MAX: usize = 512;

    /// Reads a folder: its `.luau` and `.lua` files, and its `.luaurc` and `.config.luau` files. Other files and tests
    /// (`*.test.luau`) are left out. So is what is in folders whose name starts with a dot, unless a path in one of the
    /// files names that folder, as in `require("./.pesde/a")`; but never what is in `.motu`, `.git`, `.hg`, `.jj` or `.svn`.
    /// Symbolic links are followed inside of the folder only. All files together can have 64 MiB.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](crate::ErrorKind::Usage), naming the file: what can't be read, isn't UTF-8 (paths, `.luaurc`
    /// and `.config.luau`), leaves the folder, is too large, has no `init.luau` or `init.lua`, or has both; more than 4,096
    /// files, more than 65,536 files and folders that are looked at, folders more than 32 deep.
    pub fn from_dir(folder: impl AsRef<Path>) -> Result<Bundle, Error> {
        let files = crate::folder::read(folder.as_ref(), None)?;
        Bundle::new(None, files)
            .map_err(|error| Error::usage_error(format!("{}: {}", folder.as_ref().display(), error.message())))
    }

    /// A bundle of one file, which is its entry.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](crate::ErrorKind::Usage): the file can't be read, isn't named `*.luau` or `*.lua`, or is too large.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Bundle, Error> {
        let (name, contents) = crate::folder::read_file(path.as_ref())?;
        Bundle::new(Some(name.clone()), vec![(name, contents)])
    }

    /// A bundle of files that are in memory already.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](crate::ErrorKind::Usage), naming the file: a path that is absolute, starts with `@`, is given twice,
    /// is longer than 512 bytes, or has empty names, `.`, `..`, `\` or control characters in it; a file that is too large, more
    /// than 4,096 files, a `.luaurc` or `.config.luau` that isn't UTF-8; no `init.luau` or `init.lua`, or both.
    pub fn from_files<P, C>(files: impl IntoIterator<Item = (P, C)>) -> Result<Bundle, Error>
    where
        P: Into<String>,
        C: Into<Vec<u8>>,
    {
        let files = files.into_iter().map(|(path, contents)| (path.into(), contents.into())).collect();
        Bundle::new(None, files)
    }

    /// Without an entry, it is what the files have of the two that it can be.
    fn new(entry: Option<String>, files: Vec<(String, Vec<u8>)>) -> Result<Bundle, Error> {
        let by_path = Bundle::checked(files)?;
        let has = |name: &str| by_path.contains_key(name);
        let entry = match entry {
            Some(entry) => entry,
            None if has(Self::ENTRY) && has(Self::OTHER_ENTRY) => {
                let (one, other) = (Self::ENTRY, Self::OTHER_ENTRY);
                return Err(Error::usage_error(format!("both {one} and {other} exist: rename or remove one of them")));
            }
            None if has(Self::OTHER_ENTRY) => Self::OTHER_ENTRY.to_owned(),
            None if has(Self::ENTRY) => Self::ENTRY.to_owned(),
            None => {
                let entry = Self::ENTRY;
                return Err(Error::usage_error(format!("the bundle has no {entry}, which is where it starts")));
            }
        };
        Bundle::digested(entry, by_path)
    }

    /// With files of Motu's own, the entry among them, whose paths are not for others.
    pub(crate) fn with_own(
        entry: &str,
        files: Vec<(String, Vec<u8>)>,
        own: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Bundle, Error> {
        let mut by_path = Bundle::checked(files)?;
        let own = own.into_iter().map(|(path, source)| (path, File { contents: source.into_bytes(), opaque: false }));
        by_path.extend(own);
        Bundle::digested(entry.to_owned(), by_path)
    }

    fn checked(files: Vec<(String, Vec<u8>)>) -> Result<BTreeMap<String, File>, Error> {
        let mut by_path = BTreeMap::new();
        for (path, contents) in files {
            check_path(&path)?;
            if contents.len() as u64 > Self::FILE_BYTES_MAX {
                return Err(too_large(&path, contents.len() as u64));
            }
            if matches!(path.rsplit('/').next(), Some(".luaurc" | ".config.luau"))
                && std::str::from_utf8(&contents).is_err()
            {
                return Err(Error::usage_error(format!("{path} is not UTF-8")));
            }
            if by_path.insert(path.clone(), File { contents, opaque: false }).is_some() {
                return Err(Error::usage_error(format!("{path} is in the bundle twice")));
            }
        }
        Ok(by_path)
    }

    fn digested(entry: String, files: BTreeMap<String, File>) -> Result<Bundle, Error> {
        if files.len() > Self::FILES_MAX {
            let (files, most) = (files.len(), Self::FILES_MAX);
            return Err(Error::usage_error(format!("the bundle has {files} files, but can have {most} at most")));
        }
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(entry.as_bytes());
        for (path, file) in &files {
            add(path.as_bytes());
            add(&[u8::from(file.opaque)]);
            add(&file.contents);
        }
        Ok(Bundle { entry, files: Arc::new(files), digest: Digest(hash.finalize().into()) })
    }

    /// Makes the source unreadable for scripts: what requires this bundle gets its values, and no error, traceback or
    /// `debug` function shows a name, a line or a piece of its text.
    #[must_use]
    pub fn opaque(self) -> Bundle {
        let mut files = Arc::unwrap_or_clone(self.files);
        files.values_mut().for_each(|file| file.opaque = true);
        match Bundle::digested(self.entry, files) {
            Ok(bundle) => bundle,
            Err(_) => unreachable!("the number of files has not changed"),
        }
    }

    /// Puts another bundle beside this one's files, to be required as `@alias` and `@alias/name`. It keeps its opacity, its
    /// own aliases and globals of its own; it can't require what is outside of it.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](crate::ErrorKind::Usage): an alias of other characters than `a-z`, `0-9`, `-` and `_`, the alias
    /// `self` or one that is taken; a bundle that doesn't start with `init.luau` or `init.lua`, or with bundles mounted in itself;
    /// paths or files that are too many or too long together.
    pub fn mount(self, alias: &str, bundle: Bundle) -> Result<Bundle, Error> {
        let in_alias = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if alias.is_empty() || alias == "self" || !alias.chars().all(in_alias) {
            return Err(Error::usage_error(format!("the alias {alias:?} is not of a-z, 0-9, - and _, or is `self`")));
        }
        let root = format!("@{alias}/");
        if self.files.keys().any(|path| path.starts_with(&root)) {
            return Err(Error::usage_error(format!("a bundle is mounted as @{alias} already")));
        }
        if ![Self::ENTRY, Self::OTHER_ENTRY].contains(&bundle.entry.as_str())
            || bundle.files.keys().any(|path| path.starts_with('@'))
        {
            return Err(Error::usage_error(format!(
                "the bundle for @{alias} must start with {} or {} and have no bundle mounted in it",
                Self::ENTRY,
                Self::OTHER_ENTRY
            )));
        }
        let mut files = Arc::unwrap_or_clone(self.files);
        for (path, file) in Arc::unwrap_or_clone(bundle.files) {
            let path = root.clone() + &path;
            if path.len() > Self::PATH_BYTES_MAX {
                let most = Self::PATH_BYTES_MAX;
                return Err(Error::usage_error(format!("the path {path:?} is longer than {most} bytes")));
            }
            files.insert(path, file);
        }
        Bundle::digested(self.entry, files)
    }

    /// The path of the file that it starts with.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The paths of its files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Its name by content: the same files have the same digest, wherever they lie.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of all its files, in bytes.
    pub fn source_bytes(&self) -> u64 {
        self.files.values().map(|file| file.contents.len() as u64).sum()
    }

    /// The path of a file of it, and whether that is opaque.
    pub(crate) fn find(&self, path: &str) -> Option<(&str, bool)> {
        self.files.get_key_value(path).map(|(path, file)| (path.as_str(), file.opaque))
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }
}

/// Finds lines of a bundle's files: those of a file in their order, in one walk through it.
pub(crate) struct Lines<'b> {
    bundle: &'b Bundle,
    path: String,
    /// The number of the line that `rest` begins with, from 1.
    line: u32,
    rest: &'b [u8],
}

impl<'b> Lines<'b> {
    /// No longer ones are given.
    const BYTES_MAX: usize = 200;

    pub(crate) fn of(bundle: &'b Bundle) -> Lines<'b> {
        Lines { bundle, path: String::new(), line: 1, rest: &[] }
    }

    pub(crate) fn find(&mut self, path: &str, line: u32) -> Option<&'b str> {
        if path != self.path || line < self.line {
            let file = self.bundle.files.get(path).filter(|file| !file.opaque)?;
            (self.path, self.line, self.rest) = (path.to_owned(), 1, &file.contents);
        }
        while self.line < line {
            let end = self.rest.iter().position(|byte| *byte == b'\n')?;
            self.rest = self.rest.get(end + 1..)?;
            self.line += 1;
        }
        let text = self.rest.split(|byte| *byte == b'\n').next()?;
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.len() > Self::BYTES_MAX { None } else { str::from_utf8(text).ok() }
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("entry", &self.entry).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// How the names of test files end.
pub(crate) const TEST_ENDING: &str = ".test.luau";

pub(crate) fn too_large(path: &str, bytes: u64) -> Error {
    let most = Bundle::FILE_BYTES_MAX;
    Error::usage_error(format!("{path} has {bytes} bytes, but a file of a bundle can have {most} at most"))
}

fn check_path(path: &str) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::usage_error(format!("the path {path:?} of a bundle's file {why}")));
    if path.len() > Bundle::PATH_BYTES_MAX {
        return refuse(&format!("is longer than {} bytes", Bundle::PATH_BYTES_MAX));
    }
    if path.starts_with(['/', '@']) {
        return refuse("starts with / or @: paths are relative to the bundle, and with @ begin aliases");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return refuse("has a \\ or a control character in it");
    }
    if path.split('/').any(|name| matches!(name, "" | "." | "..")) {
        return refuse("has an empty name, . or .. in it");
    }
    Ok(())
}
