//! U2: `require` by the rules of Luau's RFCs, over the files of the bundle and nothing else. Each error names the file.

use motu::{Error, ErrorKind, Value};

use crate::support::{bundle, event, limits, load_files, motu, run, tenant};

trials![
    u2_relative_paths,
    u2_self,
    u2_init_stands_for_its_folder,
    u2_aliases,
    u2_alias_chains,
    u2_aliases_of_inner_folders_come_first,
    u2_luaurc_errors_name_the_file,
    u2_cycles_show_the_chain,
    u2_escapes_are_refused,
    u2_ambiguous_names_are_refused,
    u2_malformed_paths_are_refused,
    u2_missing_modules_say_what_was_looked_for,
    u2_mounted_bundles,
    u2_mounted_bundles_are_trees_of_their_own,
    u2_a_module_runs_once,
    u2_a_module_returns_one_value,
    u2_an_error_in_a_module_is_told_each_time,
    u2_require_in_a_handler,
    u2_require_through_other_calls,
    u2_globals_are_shared_by_the_tree,
    u2_check_finds_the_same_errors,
    u2_compile_errors_of_all_files_are_listed,
];

type Files<'a> = &'a [(&'a str, &'a str)];

fn value(files: Files<'_>) -> Result<Value, Error> {
    run(load_files(limits(), files)?.instance(tenant()).value()).map(|outcome| outcome.value)
}

fn gives(files: Files<'_>, text: &str) {
    let value = value(files).unwrap_or_else(|error| panic!("{files:?}: {error}"));
    assert_eq!(value, Value::string(text), "{files:?}");
}

fn fails(files: Files<'_>, parts: &[&str]) {
    let error = match value(files) {
        Ok(value) => panic!("{files:?}: should fail, but gave {value}"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Script, "{files:?}: {error}");
    for part in parts {
        assert!(error.message().contains(part), "{files:?}: it should say {part:?}: {error}");
    }
}

fn u2_relative_paths() {
    let lib = ("lib/part.luau", "return 'part'");
    let main = ("init.luau", "return require('@self/lib/main')");
    gives(&[main, lib, ("lib/main.luau", "return require('./part')")], "part");
    gives(&[main, ("part.luau", "return 'upper'"), ("lib/main.luau", "return require('../part')")], "upper");
    gives(&[main, ("a/b/c.luau", "return 'c'"), ("lib/main.luau", "return require('../a/b/c')")], "c");
    gives(&[main, lib, ("lib/main.luau", "return require('./../lib/./part')")], "part");
    gives(&[main, lib, ("lib/main.luau", "return require(\"./part\")")], "part");
    gives(&[main, lib, ("lib/main.luau", "return require('./' .. 'part')")], "part");
    gives(&[main, ("lib/x.y.luau", "return 'dots'"), ("lib/main.luau", "return require('./x.y')")], "dots");
    gives(
        &[main, ("lib/with space.luau", "return 'space'"), ("lib/main.luau", "return require('./with space')")],
        "space",
    );
}

fn u2_self() {
    gives(&[("init.luau", "return require('@self/part')"), ("part.luau", "return 'part'")], "part");
    gives(&[("init.luau", "return require('@self/a/b')"), ("a/b.luau", "return 'b'")], "b");
    gives(
        &[
            ("init.luau", "return require('@self/lib')"),
            ("lib/init.luau", "return require('@self/part')"),
            ("lib/part.luau", "return 'inner'"),
            ("part.luau", "return 'outer'"),
        ],
        "inner",
    );
    // no alias takes its meaning
    gives(
        &[
            ("init.luau", "return require('@self/part')"),
            ("part.luau", "return 'part'"),
            ("other/part.luau", "return 'other'"),
            (".luaurc", "{ \"aliases\": { \"self\": \"./other\" } }"),
        ],
        "part",
    );
    // a file that is no init.luau has nothing inside of it
    fails(
        &[("init.luau", "return require('@self/a')"), ("a.luau", "return require('@self/b')"), ("b.luau", "return 1")],
        &["a.luau:1: can't require \"@self/b\" from a.luau", "write \"./b\""],
    );
}

fn u2_init_stands_for_its_folder() {
    let lib = ("lib/init.luau", "return 'lib'");
    gives(&[("init.luau", "return require('@self/lib')"), lib], "lib");
    // ./ is beside the folder
    gives(
        &[
            ("init.luau", "return require('@self/lib')"),
            ("lib/init.luau", "return require('./part')"),
            ("part.luau", "return 'beside the folder'"),
            ("lib/part.luau", "return 'inside'"),
        ],
        "beside the folder",
    );
    fails(
        &[
            ("init.luau", "return require('@self/lib')"),
            ("lib/init.luau", "return require('./part')"),
            ("lib/part.luau", "return 1"),
        ],
        &["lib/init.luau:1: can't require \"./part\" from lib/init.luau", "write \"@self/part\""],
    );
    fails(
        &[("init.luau", "return require('./part')"), ("part.luau", "return 1")],
        &["init.luau:1: ", "write \"@self/part\""],
    );
    fails(&[("init.luau", "return require('@self/lib/init')"), lib], &["init.luau:1: ", "lib/init"]);
    fails(
        &[("init.luau", "return require('@self/lib')"), ("lib/part.luau", "return 1")],
        &["the folder lib has no init.luau"],
    );
    // the parent's own module, by its folder
    fails(
        &[("init.luau", "return require('@self/lib/part')"), ("lib/part.luau", "return require('../')")],
        &["init.luau -> lib/part.luau -> init.luau"],
    );
}

fn u2_aliases() {
    let luaurc = (
        ".luaurc",
        "{ \"aliases\": { \"lib\": \"./source/lib\", \"Deep-1\": \"./source/lib/deep\", \"root\": \"./\" } }",
    );
    let files = [
        luaurc,
        ("source/lib/part.luau", "return 'part'"),
        ("source/lib/init.luau", "return 'lib'"),
        ("source/lib/deep/x.luau", "return 'deep'"),
    ];
    let with = |path: &str| format!("return require('{path}')");
    for (path, text) in [
        ("@lib/part", "part"),
        ("@lib", "lib"),
        ("@LIB/part", "part"),
        ("@Lib", "lib"),
        ("@deep-1/x", "deep"),
        ("@root/source/lib/part", "part"),
        ("@lib/../lib/part", "part"),
        ("@lib/./part", "part"),
    ] {
        // from the root's entry, and from a file far down
        let (entry, down) = (with(path), with("@self/a/b/c"));
        gives(&[&files[..], &[("init.luau", entry.as_str())]].concat(), text);
        gives(&[&files[..], &[("init.luau", down.as_str()), ("a/b/c.luau", entry.as_str())]].concat(), text);
    }
    let missing = |path: &str, parts: &[&str]| {
        let entry = with(path);
        fails(&[&files[..], &[("init.luau", entry.as_str())]].concat(), parts);
    };
    missing(
        "@nothing",
        &["init.luau:1: can't require \"@nothing\" from init.luau: there is no alias and no host module @nothing"],
    );
    missing("@lib/missing", &["there is no source/lib/missing.luau and no folder source/lib/missing"]);
    let modules =
        "@motu/blob, @motu/codec, @motu/cron, @motu/http, @motu/json, @motu/kv, @motu/log, @motu/random, @motu/time";
    let none = |path: &str| format!("from init.luau: there is no host module {path}; there are {modules}");
    missing("@motu/none", &[&none("@motu/none")]);
    missing("@motu/kv@7", &[&none("@motu/kv@7")]);
    missing("@motu", &[&none("@motu")]);
    missing("@motu/test", &["there is no host module @motu/test; it is there for tests, files named *.test.luau"]);
    // an alias for the types that editors read leads nowhere here; one that leads somewhere is what is meant
    let entry = ("init.luau", "return require('@motu/none')");
    let types = (".luaurc", "{ \"aliases\": { \"motu\": \"./.motu/types/motu\" } }");
    fails(&[types, entry], &[&none("@motu/none")]);
    let mine = (".luaurc", "{ \"aliases\": { \"motu\": \"./lib\" } }");
    fails(&[mine, entry, ("lib/part.luau", "")], &["there is no lib/none.luau and no folder lib/none"]);
}

fn u2_alias_chains() {
    let files = [("lib/part.luau", "return 'part'"), ("init.luau", "return require('@a/part')")];
    let with = |config: &'static str| [&files[..], &[(".luaurc", config)]].concat();
    gives(&with("{ \"aliases\": { \"a\": \"@b\", \"b\": \"@c\", \"c\": \"./lib\" } }"), "part");
    gives(&with("{ \"aliases\": { \"a\": \"@b/lib\", \"b\": \"./\" } }"), "part");
    fails(
        &with("{ \"aliases\": { \"a\": \"@b\", \"b\": \"@a\" } }"),
        &["init.luau:1: can't require \"@a/part\" from init.luau: "],
    );
    fails(&with("{ \"aliases\": { \"a\": \"@a\" } }"), &["init.luau:1: "]);
    fails(&with("{ \"aliases\": { \"a\": \"@missing\" } }"), &["@missing"]);
    fails(&with("{ \"aliases\": { \"a\": \"@self/lib\" } }"), &["@self"]);
    fails(&with("{ \"aliases\": { \"a\": \"/etc\" } }"), &["\"/etc\"", ".luaurc"]);
    fails(&with("{ \"aliases\": { \"a\": \"lib\" } }"), &["\"lib\"", "must start with"]);
    fails(&with("{ \"aliases\": { \"a\": \"../../lib\" } }"), &["init.luau:1: ", "the path leads out of the bundle"]);
}

fn u2_aliases_of_inner_folders_come_first() {
    let files = [
        (".luaurc", "{ \"aliases\": { \"x\": \"./outer\", \"only\": \"./outer\" } }"),
        ("lib/.luaurc", "{ \"aliases\": { \"x\": \"./inner\" } }"),
        ("outer/part.luau", "return 'outer'"),
        ("lib/inner/part.luau", "return 'inner'"),
        ("lib/main.luau", "return require('@x/part')"),
        ("lib/other.luau", "return require('@only/part')"),
        ("lib/deep/main.luau", "return require('@x/part')"),
    ];
    let from = |entry: &'static str| [&files[..], &[("init.luau", entry)]].concat();
    gives(&from("return require('@self/lib/main')"), "inner");
    gives(&from("return require('@self/lib/deep/main')"), "inner");
    gives(&from("return require('@self/lib/other')"), "outer");
    gives(&from("return require('@x/part')"), "outer");
}

fn u2_luaurc_errors_name_the_file() {
    for (config, part) in [
        ("{", "lib/.luaurc"),
        ("", "lib/.luaurc"),
        ("[]", "lib/.luaurc"),
        ("{ \"aliases\": 1 }", "lib/.luaurc"),
        ("{ \"aliases\": { \"x\": 1 } }", "lib/.luaurc"),
        ("{ \"aliases\": { \"a b\": \"./x\" } }", "lib/.luaurc"),
        ("{ \"aliases\": { \"../x\": \"./x\" } }", "lib/.luaurc"),
    ] {
        fails(
            &[
                ("init.luau", "return require('@self/lib/main')"),
                ("lib/main.luau", "return require('@x/y')"),
                ("lib/.luaurc", config),
            ],
            &["lib/main.luau:1: ", part],
        );
    }
}

fn u2_cycles_show_the_chain() {
    fails(&[("init.luau", "\nreturn require('../init')")], &["init.luau:2: "]);
    fails(
        &[
            ("init.luau", "return require('@self/a')"),
            ("a.luau", "\nreturn require('./b')"),
            ("b.luau", "\n\nreturn require('./c')"),
            ("c.luau", "\n\n\nreturn require('./a')"),
        ],
        &[
            "c.luau:4: can't require \"./a\" from c.luau: the modules require each other: a.luau -> b.luau -> c.luau -> a.luau",
        ],
    );
    fails(
        &[("init.luau", "return require('@self/a')"), ("a.luau", "return require('./')")],
        &["the modules require each other: init.luau -> a.luau -> init.luau"],
    );
    fails(
        &[("init.luau", "return require('@self/a')"), ("a.luau", "return require('./a')")],
        &["a.luau:1: can't require \"./a\" from a.luau: the modules require each other: a.luau -> a.luau"],
    );
    // in a coroutine, and caught: the modules are whole again afterwards
    fails(
        &[
            ("init.luau", "return require('@self/a')"),
            ("a.luau", "return coroutine.wrap(function() return require('./a') end)()"),
        ],
        &["the modules require each other: a.luau -> a.luau"],
    );
    gives(
        &[
            ("init.luau", "return require('@self/a')"),
            ("a.luau", "local ok = pcall(require, './b') return if ok then 'ran' else 'caught'"),
            ("b.luau", "return require('./a')"),
        ],
        "caught",
    );
    // a diamond is no cycle
    gives(
        &[
            ("init.luau", "return require('@self/a') .. require('@self/b')"),
            ("a.luau", "return require('./c')"),
            ("b.luau", "return require('./c')"),
            ("c.luau", "return 'c'"),
        ],
        "cc",
    );
    // nor is a require that comes later
    gives(
        &[
            ("init.luau", "return require('@self/a').late()"),
            ("a.luau", "return { late = function() return require('./b') end }"),
            ("b.luau", "return type(require('./a').late)"),
        ],
        "function",
    );
}

fn u2_escapes_are_refused() {
    for (path, from) in [
        ("../x", "init.luau"),
        ("./../x", "init.luau"),
        ("@self/../../x", "init.luau"),
        ("@self/lib/../../../x", "init.luau"),
        ("../../x", "lib/part.luau"),
        ("../../../../etc/passwd", "lib/part.luau"),
        ("@root/../../x", "lib/part.luau"),
    ] {
        let source = format!("return require('{path}')");
        let files = [
            (".luaurc", "{ \"aliases\": { \"root\": \"./\" } }"),
            ("x.luau", "return 'x'"),
            ("lib/y.luau", "return 'y'"),
            (from, source.as_str()),
            ("init.luau", "return require('@self/lib/part')"),
        ];
        let files = if from == "init.luau" { &files[..4] } else { &files[..] };
        fails(files, &[&format!("{from}:1: can't require \"{path}\" from {from}: the path leads out of the bundle")]);
    }
    for path in ["/etc/passwd", "C:/x", "file:///x", "~/.bashrc", "\\\\..\\\\..\\\\x"] {
        let source = format!("return require('{path}')");
        fails(&[("init.luau", &source)], &["init.luau:1: can't require "]);
    }
}

fn u2_ambiguous_names_are_refused() {
    let both = [("lib.luau", "return 1"), ("lib/init.luau", "return 2"), ("lib/part.luau", "return 3")];
    for path in ["@self/lib", "@self/lib/part"] {
        let source = format!("return require('{path}')");
        fails(
            &[&both[..], &[("init.luau", source.as_str())]].concat(),
            &["init.luau:1: ", "both lib.luau and lib/init.luau exist: rename or remove one of them"],
        );
    }
    // a folder without an init.luau beside a file of its name is fine
    let files = [("lib.luau", "return 'file'"), ("lib/part.luau", "return 'part'")];
    gives(&[&files[..], &[("init.luau", "return require('@self/lib')")]].concat(), "file");
    gives(&[&files[..], &[("init.luau", "return require('@self/lib/part')")]].concat(), "part");
}

fn u2_malformed_paths_are_refused() {
    for (argument, part) in [
        ("''", "the path is empty"),
        ("'lib'", "a path must start with"),
        ("'lib/part'", "write \"@self/lib/part\""),
        ("'.'", "a path must start with"),
        ("'..'", "a path must start with"),
        ("'@'", "a name must follow"),
        ("'@/x'", "a name must follow"),
        ("string.rep('./', 3000) .. 'x'", "longer than 4096 bytes"),
        ("'./a\\0b'", "\\x00"),
        ("nil", "string expected"),
        ("{}", "string expected"),
        ("", "string expected"),
        ("print", "string expected"),
    ] {
        let source = format!("return require({argument})");
        fails(&[("init.luau", &source), ("lib/part.luau", "return 1")], &[part]);
    }
}

fn u2_missing_modules_say_what_was_looked_for() {
    let files = [("lib/x.luau", "return 1")];
    for (path, part) in [
        ("@self/missing", "there is no missing.luau and no folder missing"),
        ("@self/lib/missing", "there is no lib/missing.luau and no folder lib/missing"),
        ("@self/lib/x.luau", "leave out the extension .luau"),
        ("@self/lib/x.lua", "leave out the extension .lua"),
        ("@self/Lib/x", "there is no Lib.luau"),
        ("@self/lib/x/", "x"),
    ] {
        let source = format!("return require('{path}')");
        let files = [&files[..], &[("init.luau", source.as_str())]].concat();
        if path.ends_with('/') {
            let _ = value(&files); // allowed or not, as Luau has it
            continue;
        }
        fails(&files, &[&format!("init.luau:1: can't require \"{path}\" from init.luau"), part]);
    }
}

fn mounted(main: Files<'_>, mounts: &[(&str, Files<'_>)]) -> Result<Value, Error> {
    let mut whole = bundle(main);
    for (alias, files) in mounts {
        whole = whole.mount(alias, bundle(files)).unwrap();
    }
    let loaded = run(motu(limits()).load(&whole))?;
    run(loaded.instance(tenant()).value()).map(|outcome| outcome.value)
}

fn u2_mounted_bundles() {
    let lib: Files<'_> = &[
        ("init.luau", "return 'lib ' .. require('@self/part')"),
        ("part.luau", "return 'part'"),
        ("deep/main.luau", "return require('../part') .. require('@inner/x')"),
        ("deep/x.luau", "return 'x'"),
        (".luaurc", "{ \"aliases\": { \"inner\": \"./deep\" } }"),
    ];
    for (path, text) in
        [("@lib", "lib part"), ("@lib/part", "part"), ("@lib/deep/main", "partx"), ("@LIB/part", "part")]
    {
        let source = format!("return require('{path}')");
        assert_eq!(mounted(&[("init.luau", &source)], &[("lib", lib)]).unwrap(), Value::string(text), "{path}");
    }
    // mounts see each other
    let other: Files<'_> = &[("init.luau", "return require('@lib/part')")];
    let value = mounted(&[("init.luau", "return require('@other')")], &[("lib", lib), ("other", other)]);
    match value {
        Ok(value) => assert_eq!(value, Value::string("part")),
        Err(error) => assert!(error.message().contains("@lib"), "{error}"),
    }
}

fn u2_mounted_bundles_are_trees_of_their_own() {
    let fails = |main: Files<'_>, lib: Files<'_>, part: &str| {
        let error = mounted(main, &[("lib", lib)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script);
        assert!(error.message().contains(part), "it should say {part:?}: {error}");
    };
    let main: Files<'_> = &[
        ("init.luau", "secret = 1 return require('@lib')"),
        ("own.luau", "return 'own'"),
        ("lib.luau", "return 'file'"),
    ];
    for path in ["../own", "../../own", "@self/../own", "@self/../../init", "./own"] {
        let source = format!("return require('{path}')");
        fails(main, &[("init.luau", &source)], "@lib/init.luau:1: can't require ");
    }
    fails(main, &[("init.luau", "return require('@own')")], "no alias and no host module @own");
    // nor does the main tree go round the alias
    for path in ["@self/@lib/init", "@self/@lib", "./@lib", "@self/lib/../@lib/part"] {
        let source = format!("return require('{path}')");
        fails(&[("init.luau", &source)], &[("init.luau", "return 1"), ("part.luau", "return 1")], "can't require ");
    }
    // the aliases of one don't reach into the other
    let aliased: Files<'_> = &[
        ("init.luau", "return require('@lib')"),
        (".luaurc", "{ \"aliases\": { \"x\": \"./\" } }"),
        ("own.luau", "return 'own'"),
    ];
    fails(aliased, &[("init.luau", "return require('@x/own')")], "no alias and no host module @x");
    // globals of its own
    let lib: Files<'_> = &[("init.luau", "local seen = secret theirs = 2 return { seen = seen == nil }")];
    let main: Files<'_> =
        &[("init.luau", "secret = 1 local lib = require('@lib') return { lib.seen, theirs == nil, secret }")];
    let value = mounted(main, &[("lib", lib)]).unwrap();
    assert_eq!(value, Value::Array(vec![true.into(), true.into(), 1.into()]));
}

fn u2_a_module_runs_once() {
    let files: Files<'_> = &[
        (
            "init.luau",
            "ran = 0\nlocal a, b = require('@self/lib/x'), require('@self/y')\n\
            return { go = function() return { a == b, a == require('@self/lib/x'), ran, require('@self/none') == nil, nones } end }",
        ),
        ("lib/x.luau", "ran += 1 return {}"),
        ("y.luau", "return require('./lib/x')"),
        ("none.luau", "nones = (nones or 0) + 1 return nil"),
    ];
    let loaded = load_files(limits(), files).unwrap();
    for _ in 0..2 {
        let instance = loaded.instance(tenant());
        for _ in 0..2 {
            let value = event(&instance, "go").unwrap().value;
            assert_eq!(value, Value::Array(vec![true.into(), true.into(), 1.into(), true.into(), 1.into()]));
        }
    }
}

fn u2_a_module_returns_one_value() {
    let with = |module: &'static str| [("init.luau", "return type(require('@self/m'))"), ("m.luau", module)];
    for (module, text) in [
        ("return 1", "number"),
        ("return nil", "nil"),
        ("return false", "boolean"),
        ("return function() end", "function"),
    ] {
        gives(&with(module), text);
    }
    for module in ["", "return", "return 1, 2", "local x = 1"] {
        fails(&with(module), &["a module must return one value: m.luau returned"]);
    }
}

fn u2_an_error_in_a_module_is_told_each_time() {
    let files: Files<'_> = &[
        (
            "init.luau",
            "ran = 0\nlocal function try() return select(2, pcall(require, '@self/bad')) end return try() .. '|' .. try() .. '|' .. ran",
        ),
        ("bad.luau", "ran += 1\nerror('broken')"),
    ];
    gives(files, "bad.luau:2: broken|bad.luau:2: broken|2");
    fails(
        &[("init.luau", "return require('@self/bad')"), ("bad.luau", "\n\nerror('broken')")],
        &["bad.luau:3: broken"],
    );
}

fn u2_require_in_a_handler() {
    let files: Files<'_> = &[
        ("init.luau", "return { go = function(path) return require(path) end, n = function() return ran or 0 end }"),
        ("late.luau", "ran = (ran or 0) + 1 return 'late'"),
        ("yields.luau", "coroutine.yield() return 1"),
    ];
    let instance = load_files(limits(), files).unwrap().instance(tenant());
    for _ in 0..3 {
        let value = crate::support::send(&instance, "go", &"@self/late".into()).unwrap().value;
        assert_eq!(value, Value::string("late"));
    }
    assert_eq!(event(&instance, "n").unwrap().value, Value::from(1));
    let error = crate::support::send(&instance, "go", &"@self/nowhere".into()).unwrap_err();
    assert!(error.message().starts_with("init.luau:1: can't require \"@self/nowhere\" from init.luau: "), "{error}");
    let error = crate::support::send(&instance, "go", &"@self/yields".into()).unwrap_err();
    assert!(error.message().contains("yield"), "{error}");
    assert_eq!(instance.starts(), 1);
}

fn u2_require_through_other_calls() {
    // the path is relative to the nearest Luau function, whatever lies between
    let part = ("lib/part.luau", "return 'part'");
    for call in [
        "pcall(require, './part')",
        "xpcall(require, print, './part')",
        "coroutine.resume(coroutine.create(function() return require('./part') end))",
        "coroutine.resume(coroutine.create(require), './part')",
        "true, coroutine.wrap(function() return require('./part') end)()",
        "true, (function() return (require('./part')) end)()",
        "true, select(2, string.gsub('./part', '.+', function(path) found = require(path) return nil end)) and found",
    ] {
        let source = format!("local _, value = {call} return value");
        let files = [("init.luau", "return require('@self/lib/main')"), ("lib/main.luau", source.as_str()), part];
        match value(&files) {
            Ok(value) => assert!(value == Value::string("part") || call.contains("create(require)"), "{call}: {value}"),
            Err(error) => panic!("{call}: {error}"),
        }
    }
}

fn u2_globals_are_shared_by_the_tree() {
    gives(
        &[
            ("init.luau", "shared = 'a'\nrequire('@self/m')\nreturn shared .. other()"),
            ("m.luau", "shared = shared .. 'b'\nfunction other() return 'c' .. shared end\nreturn true"),
        ],
        "abcab",
    );
    // A name of the library's is bound when a file is loaded, as in native Luau: another file's assignment isn't seen.
    gives(
        &[
            ("init.luau", "require('@self/m') return type(print) .. type(math)"),
            ("m.luau", "print = 'mine' math = 1 return true"),
        ],
        "functiontable",
    );
}

fn u2_check_finds_the_same_errors() {
    let found = |files: Files<'_>| {
        run(motu(limits()).check(&bundle(files)))
            .unwrap()
            .diagnostics
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert!(found(&[("init.luau", "return require('@self/a')"), ("a.luau", "return 1")]).is_empty());
    let all = found(&[
        (
            "init.luau",
            "local a = require('@self/a')\nlocal b = require('@self/missing')\nreturn function(path) return require(path) end",
        ),
        ("a.luau", "local x = \nreturn 1"),
        ("b.luau", "return function() return require('../out') end"),
        ("c.luau", "return require('./d')"),
        ("d.luau", "\nreturn require('./c')"),
        ("lib/.luaurc", "{ \"aliases\": 1 }"),
        ("lib/x.luau", "return require('@nothing')"),
    ]);
    assert_eq!(all.len(), 6, "{all:#?}");
    for (line, start, part) in [
        (0, "a.luau:", "xpected"),
        (1, "b.luau:1:34: can't require \"../out\" from b.luau: the path leads out of the bundle", ""),
        (2, "d.luau:2:16: the modules require each other: c.luau -> d.luau -> c.luau", ""),
        (3, "init.luau:2:19: can't require \"@self/missing\" from init.luau: there is no missing.luau", ""),
        (4, "lib/.luaurc:", ""),
        (5, "lib/x.luau:1:16: can't require \"@nothing\" from lib/x.luau", ""),
    ] {
        assert!(all[line].starts_with(start) && all[line].contains(part), "{start}: {all:#?}");
    }
    // what check finds, load finds
    for files in [
        &[("init.luau", "return require('@self/missing')")][..],
        &[("init.luau", "return require('../x')")],
        &[("init.luau", "return require('@x')"), (".luaurc", "{")],
    ] {
        let error = value(files).unwrap_err();
        assert!(
            found(files)
                .iter()
                .any(|line| line.replacen(":16:", ":", 1) == error.message() || line.starts_with(".luaurc")),
            "{error}: {:?}",
            found(files)
        );
    }
}

fn u2_compile_errors_of_all_files_are_listed() {
    let error = load_files(
        limits(),
        &[
            ("init.luau", "return require('@self/fine')"),
            ("b.luau", "x ="),
            ("a.luau", "local\n= 1"),
            ("fine.luau", "return require('./b')"),
        ],
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compile);
    let lines: Vec<&str> = error.message().lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].starts_with("b.luau:1: ") && lines[1].starts_with("a.luau:2: "), "{error}");
}
