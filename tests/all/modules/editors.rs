//! U5: the types for editors come from the WIT, and never drift from it. What Motu's own modules have is golden; set
//! `MOTU_BLESS=1` to write it anew.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use motu::{Bundle, HostModule, Motu};

use crate::child::in_child;
use crate::support::{builder, bundle, limits, run};

trials![u5_types_of_the_own_modules, u5_luau_takes_the_types_with_each_example, c16_types_need_no_thread,];

pub(crate) const CHILDREN: &[crate::child::Body] = &[("types_without_threads", types_without_threads)];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/types")
}

fn u5_types_of_the_own_modules() {
    let files = Motu::builder().luau_types().unwrap();
    // the library for tests is what it is
    let own = |path: &str| path != "motu/test.luau" && !path.starts_with("motu/test/");
    for (path, text) in files.iter().filter(|(path, _)| own(path)) {
        let golden = golden().join(path);
        if std::env::var_os("MOTU_BLESS").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, text).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(*text == wanted, "the types of {path} are not those of {}; MOTU_BLESS=1 writes them", golden.display());
    }
    // an embedder's too, and each function of each
    let crm = "package acme:crm; interface crm { find-it: func(name: string) -> option<u32>; end: func(); }";
    let files = Motu::builder().host_module(HostModule::from_wit(crm).unwrap()).luau_types().unwrap();
    let text = &files["acme/crm.luau"];
    assert!(text.contains("function crm.find_it(name: string): number?") || text.contains("find_it"), "{text}");
    assert!(text.contains("end_"), "{text}");
    let motu = Motu::builder().compile_cache(crate::support::cache()).build().unwrap();
    for name in motu.host_functions() {
        let (package, function) = name.split_once('/').unwrap();
        let path = format!("{}.luau", package.split('@').next().unwrap().replace(':', "/"));
        let function = function.rsplit('.').next().unwrap().replace('-', "_");
        assert!(files[&path].contains(&format!(".{function}(")), "{name} in {path}");
    }
}

/// Luau's own parser and compiler take the files, and each of the examples beside them.
fn u5_luau_takes_the_types_with_each_example() {
    let motu = builder(limits()).build().unwrap();
    let types = Motu::builder().luau_types().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if !path.join("init.luau").is_file() {
            continue;
        }
        let found = run(motu.check(&Bundle::from_dir(&path).unwrap())).unwrap();
        assert!(found.diagnostics.is_empty(), "{path:?}: {:?}", found.diagnostics);
        seen += 1;
    }
    assert!(seen >= 3);
    let mut files: Vec<(String, String)> = types.into_iter().collect();
    let requires: String = files
        .iter()
        .filter(|(path, _)| !path.contains('@'))
        .map(|(path, _)| format!("assert(require('./types/{}') ~= nil)\n", path.trim_end_matches(".luau")))
        .collect();
    files.iter_mut().for_each(|(path, _)| path.insert_str(0, "types/"));
    files.push(("main.luau".to_owned(), requires + "return true"));
    files.push(("init.luau".to_owned(), "return require('@self/main')".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let bundle = bundle(&files);
    let found = run(motu.check(&bundle)).unwrap();
    assert!(found.diagnostics.is_empty(), "{:?}", found.diagnostics);
    run(motu.load(&bundle)).unwrap();
}

fn c16_types_need_no_thread() {
    in_child("types_without_threads");
}

/// Texts are made of texts: no thread is there meanwhile but the one that counts them.
fn types_without_threads() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let (before, is_over) = (threads(), AtomicBool::new(false));
    let most = std::thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::Acquire) {
                most = most.max(threads());
            }
            most
        });
        for _ in 0..50 {
            let _ = Motu::builder().luau_types().unwrap();
        }
        is_over.store(true, Ordering::Release);
        counter.join().unwrap()
    });
    assert_eq!(most, before + 1);
}
