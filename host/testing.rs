//! Tests of scripts: the bundle of a test file, which has more than the files under test in it. `motu test` runs such bundles,
//! and so can whoever embeds Motu, with host modules of their own.
//!
//! A test file, `name.test.luau`, requires `@motu/test` and declares cases; `@motu/test`'s own file says how. Its bundle
//! handles three events:
//!
//! | event | payload | result |
//! |---|---|---|
//! | `list` | a number, from 1 | `{ total, cases }`: how many cases there are, and those from that number on, as many as fit |
//! | `run` | a case's number | nothing; what the case raised is the event's error |
//! | `finish` | nothing | runs one thing that is to be done after the case; how many are left |
//!
//! A case in a list is `{ names, path, line, skip }`: its groups' names and its own, where it is declared, and `"skip"` or `"only"`
//! if it isn't to be run. Each case is to be run in an instance of its own, and then `finish` in the same, whatever came of
//! it, until that returns 0. Every error of these is a problem of the case. That of a failed expectation has a table as its
//! [`value`](crate::Error::value): `{ motu_test = "failure", message, expected, actual, difference, path, line }`, as far as
//! they are known.
//!
//! Beside the files under test the bundle has the library, a stand-in for each host module, and an entry of its own. The guest
//! gives the file `@@motu/kv.luau` to whoever requires `@motu/kv`, but for that file itself, which gets the host's module, and a
//! table: a function in it is called in place of the host's of that name, so that what isn't mocked is called, and fails, as
//! it is elsewhere. No other bundle can have such a path: no file's path may begin with an `@`, and no alias has one in it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::bundle::Bundle;
use crate::error::Error;
use crate::motu::Motu;

/// How the names of test files end. [`Bundle::from_dir`] leaves them out.
pub const ENDING: &str = crate::bundle::TEST_ENDING;

/// The entry of a test's bundle. A folder's files with such names are not read, so it hides none.
pub const ENTRY: &str = ".motu-test.luau";

/// The paths of the library and of the stand-ins begin with this: frames of them are of no interest to a test's author.
pub const TREE: &str = "@@";

const LIBRARY: &[(&str, &str)] = &[
    ("motu/test.luau", include_str!("testing/test.luau")),
    ("motu/test/cases.luau", include_str!("testing/test/cases.luau")),
    ("motu/test/difference.luau", include_str!("testing/test/difference.luau")),
    ("motu/test/entry.luau", include_str!("testing/test/entry.luau")),
    ("motu/test/equal.luau", include_str!("testing/test/equal.luau")),
    ("motu/test/expect.luau", include_str!("testing/test/expect.luau")),
    ("motu/test/failure.luau", include_str!("testing/test/failure.luau")),
    ("motu/test/lines.luau", include_str!("testing/test/lines.luau")),
    ("motu/test/matchers.luau", include_str!("testing/test/matchers.luau")),
    ("motu/test/mock.luau", include_str!("testing/test/mock.luau")),
    ("motu/test/place.luau", include_str!("testing/test/place.luau")),
    ("motu/test/show.luau", include_str!("testing/test/show.luau")),
];

/// Modules that types were written of, at most.
const TYPES_MAX: usize = 1000;

/// The bundle of a test file: a folder's files as [`Bundle::from_dir`] reads them, but that no `init.luau` is needed; of the test
/// files this one alone, by its path in the folder; and what lets it run. There is a stand-in for each host module of `motu`, and
/// for each that the folder has types of (`.motu/types`, which `motu types` writes): a module that isn't there can be mocked
/// all the same.
///
/// # Errors
///
/// Of kind [`Usage`](crate::ErrorKind::Usage): those of [`Bundle::from_dir`], and a test file that isn't there.
pub fn bundle(motu: &Motu, folder: impl AsRef<Path>, test: &str) -> Result<Bundle, Error> {
    let folder = folder.as_ref();
    let files = crate::folder::read(folder, Some(test))?;
    if !test.ends_with(ENDING) || !files.iter().any(|(path, _)| path == test) {
        return Err(Error::usage_error(format!("there is no test file {test} in {}", folder.display())));
    }
    let mut modules: BTreeMap<String, bool> = named_types(folder)?.into_iter().map(|path| (path, false)).collect();
    modules.extend(motu.shared().functions.modules().iter().map(|module| (module.path.clone(), true)));
    let mut own: BTreeMap<String, String> = stand_ins(&modules).collect();
    own.extend(types().map(|(path, source)| (format!("{TREE}{path}"), source.to_owned())));
    own.insert(ENTRY.to_owned(), entry(test));
    Bundle::with_own(ENTRY, files, own)
}

/// The library's files as those of types are, for editors.
pub(crate) fn types() -> impl Iterator<Item = (&'static str, &'static str)> {
    LIBRARY.iter().copied()
}

/// The modules that a bundle's folder has types of, as `require` takes their paths.
fn named_types(folder: &Path) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    let types = folder.join(".motu/types");
    for namespace in names_in(&types)?.into_iter().filter(|name| is_name(name)) {
        for file in names_in(&types.join(&namespace))? {
            let Some(name) = file.strip_suffix(".luau") else { continue };
            let (package, major) = name.split_once('@').unwrap_or((name, "0"));
            if is_name(package) && major.parse::<u64>().is_ok() {
                found.push(format!("@{namespace}/{name}"));
            }
            if found.len() > TYPES_MAX {
                let shown = types.display();
                return Err(Error::usage_error(format!("{shown} has the types of more than {TYPES_MAX} modules")));
            }
        }
    }
    Ok(found)
}

/// What is in a folder; nothing if there is none.
fn names_in(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |error: io::Error| Error::usage_error(format!("{} can't be read: {error}", folder.display()));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let names = entries.take(TYPES_MAX).map(|entry| Ok(entry.map_err(failed)?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The files that stand in for modules, of which the host has some.
fn stand_ins(modules: &BTreeMap<String, bool>) -> impl Iterator<Item = (String, String)> {
    // without a version, the lowest is meant: what is mocked is mocked under both names
    let mut lowest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for path in modules.keys() {
        let Some((name, major)) = version(path) else { continue };
        let kept = lowest.entry(name).or_insert((major, path));
        *kept = (major, path.as_str()).min(*kept);
    }
    modules.iter().map(move |(path, is_there)| match version(path) {
        Some((name, _))
            if modules.contains_key(name) && lowest.get(name).is_some_and(|(_, lowest)| *lowest == path) =>
        {
            same_stand_in(path, name)
        }
        _ => stand_in(path, *is_there),
    })
}

/// `@motu/kv@1` as its name and its version.
fn version(path: &str) -> Option<(&str, u64)> {
    let (name, major) = path.rsplit_once('@').filter(|(name, _)| !name.is_empty())?;
    Some((name, major.parse().ok()?))
}

fn stand_in(module: &str, is_there: bool) -> (String, String) {
    let quoted = quoted(module);
    let real = if is_there { format!("require({quoted})") } else { "nil".to_owned() };
    (format!("@{module}.luau"), format!("return require(\"@motu/test/mock\").stand_in({quoted}, {real})\n"))
}

fn same_stand_in(module: &str, of: &str) -> (String, String) {
    (format!("@{module}.luau"), format!("return require({})\n", quoted(of)))
}

fn entry(test: &str) -> String {
    let module = test.strip_suffix(".luau").unwrap_or(test);
    let module = quoted(&format!("./{module}"));
    format!("return require(\"@motu/test/entry\")(function()\n\trequire({module})\nend)\n")
}

/// A Luau string of one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test that fails may panic")]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(quoted("a\"b\\c\n\u{9b}é"), "\"a\\\"b\\\\c\\u{a}\\u{9b}é\"");
        assert!(entry("lib/o\"dd.test.luau").contains("require(\"./lib/o\\\"dd.test\")"));
        assert_eq!(stand_in("@acme/crm", false).0, "@@acme/crm.luau");
        assert_eq!(same_stand_in("@motu/kv@1", "@motu/kv").1, "return require(\"@motu/kv\")\n");
    }

    #[test]
    fn each_name_of_a_module_has_the_same_stand_in() {
        let paths = ["@a/b", "@a/b@2", "@a/b@10", "@a/c@1", "@a/d"];
        let modules = paths.map(|path| (path.to_owned(), path != "@a/d")).into();
        let made: BTreeMap<String, String> = stand_ins(&modules).collect();
        let is_other = |path: &str, of: &str| made[path] == format!("return require(\"{of}\")\n");
        assert!(is_other("@@a/b@2.luau", "@a/b"));
        for path in ["@@a/b.luau", "@@a/b@10.luau", "@@a/c@1.luau", "@@a/d.luau"] {
            assert!(made[path].contains(".stand_in("), "{path}: {}", made[path]);
        }
        assert!(made["@@a/d.luau"].ends_with("(\"@a/d\", nil)\n"));
        assert_eq!(made.len(), 5);
    }
}
