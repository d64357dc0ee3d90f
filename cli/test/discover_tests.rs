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
    // inside of a bundle: the nearest above
    assert_eq!(names(&base, &base.join("a/lib"))?, ["a : lib/check.test.luau", "a/lib/sub : x.test.luau"]);
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
