//! r01 to r09: packages as package managers lay them out, and what Luau elsewhere takes for granted.

use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex};

use motu::{Bundle, CallContext, Error, ErrorKind, Grants, Limits, Loaded, Value};

use crate::support::{builder, event, folder, limits, load_files, motu, run, tenant};

trials![
    r01_folders_with_a_dot_that_a_path_names,
    r01_other_folders_with_a_dot_are_left_out,
    r02_newproxy,
    r03_lua_files,
    r03_config_luau,
    r03_config_luau_is_read_and_never_run,
    r04_pure_functions_at_the_top_level,
    r04_pure_functions_where_nothing_can_wait,
    r04_pure_functions_of_embedders,
    r05_a_broken_file_that_nobody_requires,
    r05_a_broken_file_that_is_required,
    r06_an_empty_object_stays_one,
    r07_two_hundred_levels,
    r08_a_test_that_is_required,
    r09_warn,
    r09_globals_by_another_name,
    r03_a_program_that_runs_the_file,
    r01_links_that_are_no_code,
    r01_names_of_folders_with_a_dot,
    r01_a_folder_has_a_ceiling,
    r01_many_folders_with_a_dot,
    r05_a_broken_opaque_file,
    c06_host_modules_by_aliases,
];

fn paths(files: &[(&str, &str)]) -> Vec<String> {
    let folder = folder(files);
    Bundle::from_dir(folder.path()).unwrap().paths().map(str::to_owned).collect()
}

fn load_folder(files: &[(&str, &str)]) -> Result<Loaded, Error> {
    let folder = folder(files);
    run(motu(limits()).load(&Bundle::from_dir(folder.path())?))
}

fn value_of(loaded: &Loaded) -> Value {
    run(loaded.instance(tenant()).value()).unwrap().value
}

fn value(files: &[(&str, &str)]) -> Result<Value, Error> {
    load_folder(files).map(|loaded| value_of(&loaded))
}

fn refused(files: &[(&str, &str)], parts: &[&str]) {
    let error = value(files).unwrap_err();
    for part in parts {
        assert!(error.message().contains(part), "{files:?}: it should say {part:?}: {error}");
    }
}

/// pesde's layout, npm's, and one that only an alias names.
fn r01_folders_with_a_dot_that_a_path_names() {
    let pesde = [
        ("init.luau", "return require('@self/luau_packages/me')"),
        ("luau_packages/me.luau", "return require('./.pesde/me+x/1.0.0/x/src')"),
        ("luau_packages/.pesde/me+x/1.0.0/x/src/init.luau", "return require('./.inner/y')"),
        ("luau_packages/.pesde/me+x/1.0.0/x/.inner/y.lua", "return 'deep'"),
    ];
    assert_eq!(value(&pesde).unwrap(), Value::string("deep"));
    let npm = [
        ("init.luau", "return require('@x/y')"),
        (".luaurc", r#"{ "aliases": { "x": "./node_modules/.luau-aliases" } }"#),
        ("node_modules/.luau-aliases/y.luau", "return 'npm'"),
    ];
    assert_eq!(value(&npm).unwrap(), Value::string("npm"));
}

fn r01_other_folders_with_a_dot_are_left_out() {
    let files = [
        ("init.luau", "return require('./.motu/types/x') -- /.git/ /.vscode, and ../.."),
        (".git/a.luau", ""),
        (".gitx/a.luau", ""),
        (".hg/a.luau", ""),
        (".motu/types/x.luau", ""),
        ("lib/.git.luau", ""),
        ("lib/.luau/a.luau", ""),
    ];
    assert_eq!(paths(&files), ["init.luau"]);
    // a link out of the bundle is refused as ever
    let outside = folder(&[("a.luau", "")]);
    let linked = folder(&[("init.luau", "return require('@self/.packages/a')")]);
    std::os::unix::fs::symlink(outside.path(), linked.path().join(".packages")).unwrap();
    let error = Bundle::from_dir(linked.path()).unwrap_err();
    assert!(error.message().contains(".packages leaves the bundle"), "{error}");
}

fn r02_newproxy() {
    let source = "local plain, proxy = newproxy(), newproxy(true)
        local meta = getmetatable(proxy)
        meta.__index = function(_, key) return key .. '!' end
        meta.__tostring = function() return 'a proxy' end
        meta.__gc = function() error('no finalizers') end
        return { type(plain), typeof(proxy), tostring(getmetatable(plain)), proxy.field, tostring(proxy), tostring(proxy == newproxy(true)) }";
    let expected = ["userdata", "userdata", "nil", "field!", "a proxy", "false"].map(Value::string);
    assert_eq!(value(&[("init.luau", source)]).unwrap(), Value::Array(expected.to_vec()));
    let error = value_error("return newproxy()");
    assert!(error.message().contains("value is a userdata, which can't cross"), "{error}");
}

fn value_error(source: &str) -> Error {
    run(load_folder(&[("init.luau", source)]).unwrap().instance(tenant()).value()).unwrap_err()
}

fn r03_lua_files() {
    let files = [
        ("init.lua", "return require('@self/inspect') .. require('@self/lib')"),
        ("inspect.lua", "return 'inspect '"),
        ("lib/init.lua", "return require('@self/part')"),
        ("lib/part.luau", "return 'part'"),
    ];
    assert_eq!(value(&files).unwrap(), Value::string("inspect part"));
    let both = |path: &'static str, other: &'static str| {
        let files = [("init.luau", "return require('@self/a')"), (path, ""), (other, "")];
        refused(&files, &[&format!("both {path} and {other} exist")]);
    };
    both("a.luau", "a.lua");
    both("a.lua", "a/init.luau");
    both("a/init.luau", "a/init.lua");
    refused(&[("init.luau", ""), ("init.lua", "")], &["both init.luau and init.lua exist"]);
}

fn r03_config_luau() {
    let files = [
        ("init.luau", "return require('@x/part') .. require('@self/lib')"),
        (
            ".config.luau",
            "--!strict\nreturn {\n luau = { languagemode = 'strict', aliases = { x = './one', [`Y`] = './two' } },\n}",
        ),
        ("one/part.luau", "return 'one'"),
        ("two/part.luau", "return ' two'"),
        ("lib/init.luau", "return require('@y/part')"),
    ];
    assert_eq!(value(&files).unwrap(), Value::string("one two"));
    let both = [files[0], files[1], files[2], files[3], files[4], (".luaurc", "{}")];
    refused(&both, &["both .luaurc and .config.luau exist"]);
    // without aliases it is as good as none
    for config in ["return {}", "return { luau = {} }", "return { other = { aliases = 1 } }"] {
        let files = [("init.luau", "return require('@self/a')"), (".config.luau", config), ("a.luau", "return 1")];
        assert_eq!(value(&files).unwrap(), Value::from(1), "{config}");
    }
}

fn r03_config_luau_is_read_and_never_run() {
    for (config, line, what) in [
        ("while true do end", 1, "it must end with `return` and a table"),
        ("return setmetatable({}, {})", 1, "it must end with `return` and a table"),
        ("local x = './one'\nreturn { luau = { aliases = { x = x } } }", 2, "its aliases must be constants"),
        ("return {\n luau = { aliases = { './one' } } }", 2, "its aliases must be constants"),
        ("return { luau = { aliases =\n make() } }", 2, "its aliases must be constants"),
        ("return { luau = make() }", 1, "its aliases must be constants"),
        ("return { luau = { aliases = { x = '\\n' } } }", 1, "an alias has no quotes"),
        ("return {", 1, "Expected"),
    ] {
        let files = [("init.luau", "return require('@x/a')"), (".config.luau", config), ("one/a.luau", "")];
        refused(&files, &[&format!(".config.luau, at line {line}: "), what]);
        let bundle = Bundle::from_files(files).unwrap();
        let checked = run(motu(limits()).check(&bundle)).unwrap();
        let found = checked.diagnostics.iter().find(|found| found.path == ".config.luau").unwrap();
        assert_eq!(found.line, line, "{found:?}");
        assert!(found.message.contains(what), "{found:?}");
    }
}

/// Without a grant, for whoever loads: the tenants come later.
fn r04_pure_functions_at_the_top_level() {
    let source = "local json, codec, time, log = require('@motu/json'), require('@motu/codec'), require('@motu/time'), require('@motu/log')
        local config = json.decode('{\"a\":[1,2]}')
        log.info('loaded', { with = 'fields' })
        local _, refused = pcall(time.now)
        return { config.a[2], json.encode(config), codec.decode_hex('4d'), time.add(0, { days = 1 }, 'UTC'),
            (pcall(json.decode, '{')), string.match(refused, 'time.now can.t be used at the top level') ~= nil }";
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = lines.clone();
    let logging = builder(limits()).on_log(move |line: &motu::LogLine| seen.lock().unwrap().push(line.clone()));
    let bundle = Bundle::from_files([("init.luau", source)]).unwrap();
    let loaded = run(logging.build().unwrap().load(&bundle)).unwrap();
    let expected = [
        Value::from(2),
        Value::string("{\"a\":[1,2]}"),
        Value::string("M"),
        Value::from(86_400),
        Value::from(false),
        Value::from(true),
    ];
    assert_eq!(value_of(&loaded), Value::Array(expected.to_vec()));
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0].tenant, &lines[0].event, lines[0].text.as_str()), (&None, &None, "loaded"));
    assert_eq!(lines[0].fields, Some(Value::from([("with", "fields")])));
    // what it takes is counted: a load has its fuel
    let source = "local json = require('@motu/json') local text = '[' .. string.rep('1,', 4000) .. '1]' while true do json.decode(text) end";
    let limits = Limits { load_fuel: Some(50_000_000), ..limits() };
    let error = load_files(limits.clone(), &[("init.luau", source)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fuel, "{error}");
    // too much to be read on the spot
    let source = "local log = require('@motu/log') return select(2, pcall(log.info, 'long', table.create(9000, 1)))";
    let loaded = load_files(Limits { load_fuel: None, ..limits }, &[("init.luau", source)]).unwrap();
    let text = value_of(&loaded);
    assert!(text.as_str().unwrap().contains("log.info: it can't be answered at once"), "{text}");
}

fn r04_pure_functions_where_nothing_can_wait() {
    let source = "local json, log = require('@motu/json'), require('@motu/log')
        local function by_text(a, b) return json.encode(a) < json.encode(b) end
        return {
            sort = function()
                local all = { { 3 }, { 1 }, { 2 } }
                table.sort(all, by_text)
                return json.encode(all)
            end,
            late = function() return require('@self/late') end,
            denied = function() return json.encode(1) end,
            long = function()
                local long = table.create(9000, 1)
                return select(2, pcall(table.sort, { 1, 2 }, function() log.info('x', long) return false end))
            end,
        }";
    let loaded =
        load_files(limits(), &[("init.luau", source), ("late.luau", "return require('@motu/json').encode({ 1 })")])
            .unwrap();
    let instance = loaded.instance(tenant()).with_grants(Grants::parse(["motu:json/*", "motu:log/*"]).unwrap());
    assert_eq!(event(&instance, "sort").unwrap().value, Value::string("[[1],[2],[3]]"));
    assert_eq!(event(&instance, "late").unwrap().value, Value::string("[1]"));
    let text = event(&instance, "long").unwrap().value;
    assert!(text.as_str().unwrap().contains("log.info: it can't be answered at once"), "{text}");
    // in an event it needs its grant as ever
    assert_eq!(event(&loaded.instance(tenant()), "denied").unwrap_err().kind(), ErrorKind::Denied);
}

fn r04_pure_functions_of_embedders() {
    let wit = "package acme:pure; interface all { resource thing { constructor(); } two: func() -> f64; waits: func() -> f64; panics: func() -> f64; }";
    let module = || {
        motu::HostModule::from_wit(wit)
            .unwrap()
            .function("thing.new", |context: CallContext, (): ()| async move { context.open("thing", ()) })
            .function("two", |_, (): ()| async { Ok::<_, Error>(2.0) })
            .function("waits", |_, (): ()| async {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                Ok::<_, Error>(2.0)
            })
            .function("panics", |_, (): ()| async { if true { panic!("its own fault") } else { Ok::<_, Error>(2.0) } })
    };
    let pure = ["thing.new", "two", "waits", "panics"].into_iter().fold(module(), motu::HostModule::pure);
    let motu = builder(limits()).host_module(pure).build().unwrap();
    let load = |body: &str| {
        let source = format!("local pure = require('@acme/pure') {body}");
        run(motu.load(&Bundle::from_files([("init.luau", source)]).unwrap()))
    };
    assert_eq!(value_of(&load("return pure.two()").unwrap()), Value::from(2));
    for (body, why) in [
        ("return pure.waits()", "init.luau:1: pure.waits: it can't be answered at once: it waits, or has more"),
        ("return pure.thing.new()", "a resource can't be opened at the top level of a bundle"),
        ("return pure.panics()", "panicked: its own fault"),
    ] {
        let error = load(body).unwrap_err();
        assert!(error.message().contains(why), "{body}: {error}");
    }
    let error = builder(limits()).host_module(module().pure("nope")).build().err().unwrap();
    assert!(error.message().contains("no function nope in its WIT, but it is said to be pure"), "{error}");
}

fn r05_a_broken_file_that_nobody_requires() {
    let files =
        [("init.luau", "return require('@self/fine')"), ("fine.luau", "return 1"), ("spec.luau", "local x = = 1")];
    assert_eq!(value(&files).unwrap(), Value::from(1));
    let checked = run(motu(limits()).check(&Bundle::from_files(files).unwrap())).unwrap();
    let found: Vec<_> =
        checked.diagnostics.iter().map(|found| (found.path.as_str(), found.line, found.warning)).collect();
    assert_eq!(found, [("spec.luau", 1, false)]);
}

fn r05_a_broken_file_that_is_required() {
    let broken = ("broken.luau", "local x =\n= 1");
    let error = value(&[("init.luau", "return require('@self/a')"), ("a.luau", "return require('./broken')"), broken])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compile, "{error}");
    assert!(error.message().starts_with("broken.luau:2: "), "{error}");
    // caught, it is an error as any other, and what fails then is another
    let caught = value(&[("init.luau", "return select(2, pcall(require, '@self/broken'))"), broken]).unwrap();
    let caught = caught.as_str().unwrap();
    assert!(caught.contains("can't require") && caught.contains("it doesn't compile:\nbroken.luau:2: "), "{caught}");
    let error = value(&[("init.luau", "pcall(require, '@self/broken') error('other')"), broken]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script, "{error}");
    // and in a handler
    let loaded =
        load_folder(&[("init.luau", "return { go = function() return require('@self/broken') end }"), broken]).unwrap();
    let error = event(&loaded.instance(tenant()), "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Script, "{error}");
    assert!(
        error.message().starts_with(
            "init.luau:1: can't require \"@self/broken\" from init.luau: it doesn't compile:\nbroken.luau:2: "
        ),
        "{error}"
    );
    let error = value(&[("init.luau", "return = 1")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compile, "{error}");
}

fn r06_an_empty_object_stays_one() {
    let source = r#"local json = require('@motu/json')
        local function again(text) return json.encode(json.decode(text)) end
        local object = json.decode('{}')
        local filled = json.decode('{}')
        filled[1] = 'a'
        local emptied = json.decode('{"a":1}')
        emptied.a = nil
        local other = setmetatable(json.decode('{}'), { __len = function() return 5 end })
        return {
            again('{"a":{},"b":[]}'), again('{}'), again('[]'), again('[{},[],[[],{}]]'), again('{"a":null}'),
            json.encode({ object, {} }), json.encode(filled), json.encode(emptied), json.encode(other),
            json.encode({ {}, object }, { empty_as_object = true }), json.encode(table.clone(object)),
            tostring(next(object)), tostring(#object), tostring(table.isfrozen(getmetatable(object) :: any)),
        }"#;
    let expected = [
        r#"{"a":{},"b":[]}"#,
        "{}",
        "[]",
        "[{},[],[[],{}]]",
        "{}",
        "[{},[]]",
        r#"["a"]"#,
        "[]",
        "[]",
        "[{},{}]",
        "{}",
        "nil",
        "0",
        "true",
    ];
    assert_eq!(value(&[("init.luau", source)]).unwrap(), Value::from_iter(expected));
    // it crosses as an empty map
    let source = "local json = require('@motu/json')
        local object = json.decode('{}')
        return {
            go = function() return { object, json.encode(object), ({ [object] = true })[object] } end,
        }";
    let loaded = load_files(limits(), &[("init.luau", source)]).unwrap();
    let instance = loaded.instance(tenant()).with_grants(Grants::parse(["*"]).unwrap());
    let outcome = event(&instance, "go").unwrap();
    assert_eq!(outcome.value, Value::Array(vec![Value::Map(Vec::new()), Value::string("{}"), Value::from(true)]));
}

fn r07_two_hundred_levels() {
    let source = "local json = require('@motu/json')
        return { go = function(levels)
            local text = string.rep('[', levels) .. string.rep(']', levels)
            local value = json.decode(text)
            return json.encode(value) == text
        end }";
    let loaded = load_files(limits(), &[("init.luau", source)]).unwrap();
    let instance = loaded.instance(tenant()).with_grants(Grants::parse(["motu:json/*"]).unwrap());
    for levels in [64, 65, 199, 200] {
        let outcome = run(instance.dispatch_value("go", &Value::from(levels))).unwrap();
        assert_eq!(outcome.value, Value::from(true), "{levels}");
    }
    let error = run(instance.dispatch_value("go", &Value::from(201))).unwrap_err();
    assert!(error.message().contains("200"), "{error}");
}

fn r08_a_test_that_is_required() {
    refused(
        &[("init.luau", "return require('@self/spec.test')"), ("spec.test.luau", "return 1")],
        &["there is no spec.test.luau; files named *.test.luau are tests, which are left out of a bundle"],
    );
}

fn r09_warn() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = lines.clone();
    let motu = builder(limits())
        .on_log(move |line: &motu::LogLine| seen.lock().unwrap().push((line.level, line.text.clone())))
        .build()
        .unwrap();
    let bundle = Bundle::from_files([("init.luau", "warn('careful', 1)")]).unwrap();
    run(motu.load(&bundle)).unwrap();
    assert_eq!(*lines.lock().unwrap(), [(motu::LogLevel::Warn, "careful\t1".to_owned())]);
}

fn r09_globals_by_another_name() {
    let files = [("init.luau", "_G.config = 1 return require('@self/use')"), ("use.luau", "return config + _G.config")];
    assert_eq!(value(&files).unwrap(), Value::from(2));
    let checked = run(motu(limits()).check(&Bundle::from_files(files).unwrap())).unwrap();
    assert!(checked.diagnostics.is_empty(), "{checked:?}");
}

fn r03_a_program_that_runs_the_file() {
    let error = value(&[("init.lua", "#!/usr/bin/env luau\nerror('line 2')")]).unwrap_err();
    assert!(error.message().starts_with("init.lua:2: line 2"), "{error}");
    assert_eq!(value(&[("init.lua", "#!/usr/bin/env luau\nreturn 1")]).unwrap(), Value::from(1));
}

/// A virtual environment's, and one that leads nowhere.
fn r01_links_that_are_no_code() {
    let folder = folder(&[("init.luau", "-- by ./.venv/bin/python"), (".venv/bin/a.txt", "")]);
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, folder.path().join(at)).unwrap();
    link("/usr/bin/env", ".venv/bin/python");
    link("/nowhere", "doc.md");
    assert_eq!(Bundle::from_dir(folder.path()).unwrap().paths().collect::<Vec<_>>(), ["init.luau"]);
    link("/usr/bin/env", "lib.luau");
    assert!(Bundle::from_dir(folder.path()).unwrap_err().message().contains("lib.luau leaves the bundle"));
}

/// With spaces, after backslashes; and what is said of those that are not read.
fn r01_names_of_folders_with_a_dot() {
    for (wanted, path) in [
        ("@self/.my pkgs/x", ".my pkgs/x.luau"),
        ("@self/.a b c/.d e/x", ".a b c/.d e/x.luau"),
        (r"@self\\.pkgs\\x", ".pkgs/x.luau"),
    ] {
        let source = format!("return require(\"{wanted}\")");
        assert_eq!(value(&[("init.luau", &source), (path, "return 'x'")]).unwrap(), Value::string("x"), "{wanted}");
    }
    for source in ["local p = '.pkgs' return require(`@self/{p}/x`)", "return require('@self/.git/x')"] {
        let files = [("init.luau", source), (".pkgs/x.luau", ""), (".git/x.luau", "")];
        refused(&files, &["; a folder with a dot is of a bundle only if a file has its name in full"]);
    }
    // in a comment
    let folder = folder(&[("init.luau", "-- by https://example.com/.venv for all"), (".venv/a/b.txt", "")]);
    std::os::unix::fs::symlink("/", folder.path().join(".venv/lib64")).unwrap();
    let named = std::ffi::OsStr::from_bytes(b"\xff.txt");
    std::fs::write(folder.path().join(named), "").unwrap();
    assert_eq!(Bundle::from_dir(folder.path()).unwrap().paths().collect::<Vec<_>>(), ["init.luau"]);
}

/// Links to one file of 4 MiB: each counts.
fn r01_a_folder_has_a_ceiling() {
    let folder = folder(&[("init.luau", "return 1")]);
    std::fs::write(folder.path().join("a.luau"), vec![b' '; 4 << 20]).unwrap();
    for i in 0..400 {
        std::os::unix::fs::symlink("a.luau", folder.path().join(format!("b{i}.luau"))).unwrap();
    }
    let error = Bundle::from_dir(folder.path()).unwrap_err();
    assert!(error.message().ends_with("have more than 64 MiB in all"), "{error}");
}

/// Each names the next; and there are as many others.
fn r01_many_folders_with_a_dot() {
    let many: Vec<_> = (0..500).map(|i| (format!(".c{i}/x.luau"), format!("-- './.c{}/x'", i + 1))).collect();
    let mut files: Vec<(&str, &str)> = many.iter().map(|(path, source)| (path.as_str(), source.as_str())).collect();
    let others: Vec<_> = (0..500).map(|i| format!(".other{i}/x.luau")).collect();
    files.extend(others.iter().map(|path| (path.as_str(), "")));
    files.push(("init.luau", "-- './.c0/x'"));
    assert_eq!(paths(&files).len(), 501);
}

fn r05_a_broken_opaque_file() {
    let secret = Bundle::from_files([("init.luau", "return 1"), ("broken.luau", "local secret =\n= 1")]).unwrap();
    let files = [("init.luau", "return select(2, pcall(require, '@lib/broken'))")];
    let bundle = Bundle::from_files(files).unwrap().mount("lib", secret.opaque()).unwrap();
    let value = value_of(&run(motu(limits()).load(&bundle)).unwrap());
    let text = value.as_str().unwrap();
    assert!(text.ends_with("@lib/broken.luau: syntax error (the source is opaque)"), "{text}");
}

fn c06_host_modules_by_aliases() {
    let config = (".luaurc", r#"{ "aliases": { "motu": "./.motu/types/motu", "store": "@motu/kv", "all": "@Motu" } }"#);
    for wanted in ["@motu/kv", "@Motu/kv", "@MOTU/kv", "@store", "@Store", "@all/kv"] {
        let source = format!("local kv = require('{wanted}') return {{ type(kv.get), kv == require('@motu/kv') }}");
        let files = [("init.luau", source.as_str()), config];
        let expected = Value::Array(vec![Value::string("function"), Value::from(true)]);
        assert_eq!(value(&files).unwrap(), expected, "{wanted}");
        let source = format!("local kv = require('{wanted}') return {{ go = function() return kv.get('a', 'b') end }}");
        let checked =
            run(motu(limits()).check(&Bundle::from_files([("init.luau", source.as_str()), config]).unwrap())).unwrap();
        assert!(checked.diagnostics.is_empty(), "{checked:?}");
        let grants: Vec<String> = checked.grants.iter().map(ToString::to_string).collect();
        assert_eq!(grants, ["motu:kv/store.get"], "{wanted}");
    }
    // what an alias of the bundle's has, although a host module lies beside it
    let config = (".luaurc", r#"{ "aliases": { "acme": "./acme", "x": "@acme/util", "send": "@acme/crm" } }"#);
    let source = "return { require('@acme/util'), require('@x'), type(require('@send').send) }";
    let files = [("init.luau", source), config, ("acme/util.luau", "return 'util'")];
    assert_eq!(value(&files).unwrap(), Value::from_iter(["util", "util", "function"]));
    let config = (".luaurc", r#"{ "aliases": { "all": "@Motu" } }"#);
    for wanted in ["@Motu/kvv", "@all/kvv"] {
        let source = format!("return require('{wanted}')");
        refused(&[("init.luau", &source), config], &["there is no host module", "there are @motu/blob"]);
    }
}
