use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn make(root: &Path, files: &[&str]) -> io::Result<()> {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, "")?;
    }
    Ok(())
}

/// What is found under a path, as `root : test`, the roots relative to `base`.
fn names(base: &Path, path: &Path) -> Result<Vec<String>, DiscoverError> {
    let shown = |found: Found| {
        let root = found.root.strip_prefix(base).unwrap_or(&found.root).display().to_string();
        format!("{root} : {}", found.test)
    };
    Ok(find(path)?.into_iter().map(shown).collect())
}

#[test]
fn each_test_is_in_its_bundle() -> Outcome {
    let folder = tempfile::tempdir()?;
    let base = folder.path().canonicalize()?;
    make(
        &base,
        &[
            "a/init.luau",
            "a/init.test.luau",
            "a/lib/check.test.luau",
            "a/lib/sub/init.luau",
            "a/lib/sub/x.test.luau",
            "b/b.test.luau",
            "a/.motu/types/y.test.luau",
            ".git/z.test.luau",
            "b/.test.luau",
            "b/b.test.lua",
            "b/test.luau",
        ],
    )?;
    let all = ["a : init.test.luau", "a : lib/check.test.luau", "a : lib/sub/x.test.luau", " : b/b.test.luau"];
    let mut found = names(&base, &base)?;
    found.sort();
    let mut all = all.map(str::to_owned).to_vec();
    all.sort();
    assert_eq!(found, all);

    assert_eq!(names(&base, &base.join("b"))?, ["b : b.test.luau"]);
    assert_eq!(names(&base, &base.join("b/b.test.luau"))?, ["b : b.test.luau"]);
    assert_eq!(names(&base, &base.join("a/lib/check.test.luau"))?, ["a : lib/check.test.luau"]);
    Ok(())
}

/// A library without an `init.luau`, and its tests in a folder of their own.
#[test]
fn r08_tests_beside_a_library_are_in_its_package() -> Outcome {
    for manifest in PACKAGES.into_iter().chain(CONFIGS) {
        let folder = tempfile::tempdir()?;
        let base = folder.path().canonicalize()?;
        let manifest = format!("lib/{manifest}");
        make(&base, &[&manifest, "lib/src/lib.luau", "lib/tests/unit/x.test.luau", "other/y.test.luau", ".git/x"])?;
        for path in ["lib/tests", "lib/tests/unit", "lib/tests/unit/x.test.luau", "lib"] {
            assert_eq!(names(&base, &base.join(path))?, ["lib : tests/unit/x.test.luau"], "{manifest}, {path}");
        }
        // a package's tests may lie in the folder of its `init.luau`, and require what is beside that
        make(&base, &["lib/tests/init.luau"])?;
        let is_package = PACKAGES.iter().any(|package| manifest.ends_with(package));
        let expected = if is_package { "lib : tests/unit/x.test.luau" } else { "lib/tests : unit/x.test.luau" };
        assert_eq!(names(&base, &base.join("lib"))?, [expected], "{manifest}");
        assert_eq!(names(&base, &base.join("other"))?, ["other : y.test.luau"], "{manifest}");
    }
    Ok(())
}

/// The same, whatever PATH is, and wherever the program runs.
#[test]
fn a_bundle_does_not_depend_on_the_path() -> Outcome {
    let folder = tempfile::tempdir()?;
    let base = folder.path().canonicalize()?;
    let tests = ["app/lib/deep/x.test.luau", "app/lib/init.test.luau", "app/src/part/y.test.luau"];
    make(&base, &["init.luau", "app/init.luau", "app/lib/init.luau", "app/src/part/init.luau"])?;
    make(&base, &tests)?;
    fs::create_dir(base.join("app/.git"))?;
    for here in ["", "app", "app/lib", "app/src/part"] {
        for path in ["", "app", "app/lib", "app/lib/deep", "app/lib/deep/x.test.luau", "app/src", "app/src/part"] {
            for found in find_from(&base.join(path), Some(&base.join(here)))? {
                assert_eq!(found.root, base.join("app"), "{path}, from {here}");
                assert!(tests.contains(&format!("app/{}", found.test).as_str()), "{found:?}");
            }
        }
    }
    // without a repository: as far as the working directory, and on as long as there is no gap
    fs::remove_dir(base.join("app/.git"))?;
    fs::rename(base.join("init.luau"), base.join("other.luau"))?;
    let roots = |path: &str, here: &str| -> Result<Vec<PathBuf>, DiscoverError> {
        Ok(find_from(&base.join(path), Some(&base.join(here)))?.into_iter().map(|found| found.root).collect())
    };
    for (path, here) in
        [("app", ""), ("app/lib", ""), ("app/lib/deep", "app/lib/deep"), ("app/src", ""), ("app/src", "app")]
    {
        assert!(roots(path, here)?.iter().all(|root| *root == base.join("app")), "{path}, from {here}");
    }
    assert_eq!(roots("app/src/part", "app/src/part")?, [base.join("app/src/part")]);
    fs::remove_file(base.join("app/init.luau"))?;
    fs::write(base.join("init.luau"), "")?;
    assert_eq!(roots("app/lib/deep", "app/lib")?, [base.join("app/lib")], "one far above is none");
    // a repository of a library that has aliases alone, in a folder that is a bundle
    fs::create_dir(base.join("app/src/.git"))?;
    fs::write(base.join("app/src/.luaurc"), "{}")?;
    fs::remove_file(base.join("app/src/part/init.luau"))?;
    assert_eq!(roots("app/src/part", "app/src")?, [base.join("app/src")], "the repository ends it");
    Ok(())
}

#[test]
fn what_is_no_test_is_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let base = folder.path();
    make(base, &["init.luau", ".test.luau"])?;
    for (path, why) in [("none", "can't be read"), ("init.luau", "is no test"), (".test.luau", "is no test")] {
        let error = find(&base.join(path)).map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.contains(why) && error.contains(path)), "{error:?}");
    }
    assert_eq!(find(base)?, []);
    Ok(())
}

#[test]
fn links_make_no_loops() -> Outcome {
    let folder = tempfile::tempdir()?;
    let base = folder.path().canonicalize()?;
    make(&base, &["a/x.test.luau", "a/init.luau", "elsewhere/real.luau"])?;
    symlink(&base, base.join("a/loop"))?;
    symlink(base.join("elsewhere/real.luau"), base.join("a/link.test.luau"))?;
    assert_eq!(names(&base, &base)?, ["a : link.test.luau", "a : x.test.luau"]);
    symlink(base.join("nowhere"), base.join("a/broken.test.luau"))?;
    let error = find(&base).map_err(|error| error.to_string());
    assert!(error.is_err_and(|error| error.contains("broken.test.luau can't be read")));
    Ok(())
}

#[test]
fn too_deep_and_odd_names() -> Outcome {
    let folder = tempfile::tempdir()?;
    let deep = folder.path().join("d/".repeat(FOLDER_DEPTH_MAX + 1));
    fs::create_dir_all(&deep)?;
    let error = find(folder.path()).map_err(|error| error.to_string());
    assert!(error.is_err_and(|error| error.contains("more than 32 folders deep")));

    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff.test.luau")), "")?;
    let error = find(folder.path()).map_err(|error| error.to_string());
    assert!(error.is_err_and(|error| error.contains("is not UTF-8")));
    Ok(())
}

#[test]
fn a_path_stays_as_people_wrote_it() {
    let found = |root: &str| Found { root: PathBuf::from(root), test: "x.test.luau".to_owned() };
    assert_eq!(found(".").shown("lib/a.luau"), "lib/a.luau");
    assert_eq!(found("examples/counter").shown("lib/a.luau"), "examples/counter/lib/a.luau");
    assert_eq!(folder_above(Path::new("a/b/c"), 2), Some(PathBuf::from("a")));
    assert_eq!(folder_above(Path::new("a"), 1), Some(PathBuf::from(".")));
    for (folder, up) in [("../a", 1), ("a", 2), (".", 1), ("/a", 1)] {
        assert_eq!(folder_above(Path::new(folder), up), None, "{folder}");
    }
}
