//! U3: no script, and no reader of an error, sees the source of an opaque bundle.

use std::sync::{Arc, Mutex};

use motu::{Bundle, Error, ErrorKind, Instance, Value};

use crate::support::{builder, bundle, event, limits, motu, run, send, tenant};

trials![
    u3_no_script_reads_the_source_of_what_it_requires,
    u3_errors_of_all_kinds_show_nothing,
    u3_compile_errors_show_nothing,
    u3_check_shows_nothing,
    u3_require_failures_show_nothing,
    u3_an_opaque_main_bundle_shows_nothing,
    u3_debug_has_only_info_and_traceback,
    u3_what_an_opaque_bundle_returns_is_there,
    u3_its_errors_still_name_the_file,
];

/// Every secret word stands in the source: in names of locals, upvalues, globals, functions, fields, methods, parameters,
/// in comments, types and strings that aren't returned.
const SECRET: &str = r#"
    -- secretcomment
    --[[ secretblock ]]
    type secrettype = { secretfield: number }
    local secretlocal = "secretstring"
    local secretupvalue = { secretkey = "secretvalue" }
    secretglobal = 1
    local function secretfunction(secretparameter: secrettype?)
        local secretinner = secretupvalue.secretkey .. secretlocal
        if secretparameter == 1 then
            local secretnil = nil
            return secretnil.secretindex
        elseif secretparameter == 2 then
            return secretlocal + {}
        elseif secretparameter == 3 then
            return secretmissing()
        elseif secretparameter == 4 then
            return secretupvalue:secretmethod()
        elseif secretparameter == 5 then
            return #secretinner < secretupvalue
        elseif secretparameter == 6 then
            return secretfunction .. "secretconcat"
        elseif secretparameter == 7 then
            for secretloop in 5 do end
        elseif secretparameter == 8 then
            secretupvalue[nil] = 1
        elseif secretparameter == 9 then
            return string.rep(secretupvalue, 1)
        elseif secretparameter == 10 then
            return math.floor("secretargument")
        elseif secretparameter == 11 then
            error("public text")
        elseif secretparameter == 12 then
            error({ public = true })
        elseif secretparameter == 13 then
            error()
        elseif secretparameter == 14 then
            assert(secretlocal == 1)
        elseif secretparameter == 15 then
            require("./secretmodule")
        elseif secretparameter == 16 then
            require("@secretalias")
        elseif secretparameter == 17 then
            return coroutine.wrap(function() local secretco = nil; secretco.secretx = 1 end)()
        elseif secretparameter == 18 then
            coroutine.yield()
        elseif secretparameter == 19 then
            return setmetatable({}, { __index = function(_, secretk) error("public") end }).x
        elseif secretparameter == 20 then
            local function secretrecursion() return 1 + secretrecursion() end
            return secretrecursion()
        elseif secretparameter == 21 then
            return string.format("%d", "secretformat")
        elseif secretparameter == 22 then
            local secretfor = "x"
            for secreti = 1, secretfor do end
        elseif secretparameter == 23 then
            return -secretupvalue
        elseif secretparameter == 24 then
            return (secretglobal)()
        elseif secretparameter == 25 then
            return vector.create(1, 2, 3).secretcomponent
        elseif secretparameter == 26 then
            table.freeze(secretupvalue).secretfrozen = 1
        elseif secretparameter == 27 then
            return ("x"):secretmissing()
        elseif secretparameter == 28 then
            return buffer.create(1).secretbuffer
        elseif secretparameter == 29 then
            return (5).secretnumber
        elseif secretparameter == 30 then
            return (true).secretboolean
        elseif secretparameter == 31 then
            return print.secretprint
        elseif secretparameter == 32 then
            return coroutine.running().secretthread
        elseif secretparameter == 33 then
            local secretn = nil; secretn.secretassign = 1
        elseif secretparameter == 34 then
            local secretn = 5; secretn.secretset = 1
        elseif secretparameter == 35 then
            return vector.create(1, 2, 3):secretvector()
        elseif secretparameter == 36 then
            return string.format("%secretformat", 1)
        elseif secretparameter == 37 then
            return collectgarbage("secretoption")
        elseif secretparameter == 38 then
            return os.date("%secretdate")
        elseif secretparameter == 39 then
            local secretn = nil; return secretn:secretmethod()
        elseif secretparameter == 40 then
            return string.pack("secretpack", 1)
        elseif secretparameter == 41 then
            vector.create(1, 2, 3).secretvector = 1
        elseif secretparameter == 42 then
            return secretmissing.secretfield.secretother
        elseif secretparameter == 43 then
            return select("secretselect", 1)
        elseif secretparameter == 44 then
            return debug.info(1, "secretinfo")
        elseif secretparameter == 45 then
            return tonumber("1", "secretbase")
        elseif secretparameter == 46 then
            return buffer.create(1):secretbuffer()
        elseif secretparameter == 47 then
            return (print):secretprint()
        elseif secretparameter == 48 then
            return string.unpack("secretunpack", "")
        elseif secretparameter == 49 then
            secretmissing.secretfield()
        elseif secretparameter == 50 then
            return secretupvalue.secretkey.secretkey.secretdeep.secretdeeper
        elseif secretparameter == 51 then
            return secretupvalue["secret" .. 1].x
        elseif secretparameter == 52 then
            return string.gsub("x", "(secretpattern", "")
        elseif secretparameter == 53 then
            return utf8.char("secretutf8")
        elseif secretparameter == 54 then
            return math.secretmath(1)
        elseif secretparameter == 55 then
            return string.secretstring(1)
        elseif secretparameter == 56 then
            string.secretwrite = 1
        elseif secretparameter == 57 then
            return require("@self/secretfile")
        elseif secretparameter == 58 then
            return coroutine.wrap("secretwrap")
        elseif secretparameter == 59 then
            return setmetatable({}, "secretmeta")
        elseif secretparameter == 60 then
            return secretlocal.secretlocal.secretlocal
        elseif secretparameter == 61 then
            return table.concat({ secretupvalue })
        elseif secretparameter == 62 then
            return secretlocal()
        elseif secretparameter == 63 then
            return secretglobal.secretg
        elseif secretparameter == 64 then
            return table.unpack("secretunpack")
        end
        return 0
    end
    local secretobject = {}
    secretobject.__index = secretobject
    function secretobject.secretstatic(secretarg) return secretfunction(secretarg) end
    function secretobject:secretmethod(secretarg) return self.secretstatic(secretarg) end
    return {
        run = secretfunction,
        nested = function(...) return (secretfunction(...)) end,
        method = function(n) return secretobject:secretmethod(n) end,
        call = function(secretcallback, ...) return (secretcallback(...)) end,
    }
"#;

/// A script that tries all it can with a function of the opaque bundle.
const PRYING: &str = r##"
    local lib = require("@lib")
    local function all(...)
        local texts = {}
        for i = 1, select("#", ...) do texts[i] = tostring((select(i, ...))) end
        return table.concat(texts, " ")
    end
    local function look()
        local texts = { debug.traceback(), debug.traceback("text", 2) }
        for level = 0, 10 do
            texts[#texts + 1] = all(pcall(debug.info, level, "slnaf"))
            texts[#texts + 1] = all(pcall(debug.info, level, "n"))
        end
        return table.concat(texts, "\n")
    end
    local function pry()
        local texts = {}
        local function add(...) texts[#texts + 1] = all(...) end
        for name, f in lib do
            add(name, f, debug.info(f, "s"), debug.info(f, "l"), debug.info(f, "n"), debug.info(f, "a"), debug.info(f, "f"))
            add(string.format("%*", f), string.format("%s", tostring(f)), pcall(string.format, "%q", f))
            add(pcall(function() return f.x end)) add(pcall(function() return f .. "" end)) add(pcall(function() return f + 1 end))
            add(pcall(getmetatable, f)) add(pcall(next, f)) add(pcall(rawget, f, 1)) add(typeof(f))
            for n = 0, 64 do
                if name ~= "call" then
                    -- the one that yields is only for the coroutine
                    if n ~= 18 then add(pcall(f, n)) end
                    if n ~= 18 then add(xpcall(f, function(e) return all(e) .. debug.traceback(all(e)) .. look() end, n)) end
                    local co = coroutine.create(f)
                    add(coroutine.resume(co, n))
                    add(debug.traceback(co)) add(debug.traceback(co, "m", 0)) add(pcall(debug.info, co, 0, "slna"))
                    add(pcall(coroutine.close, co))
                end
            end
        end
        add(lib.call(look)) add(lib.call(lib.call, look))
        add(pcall(lib.call, error)) add(pcall(lib.call, nil)) add(pcall(lib.call))
        for name, value in _G do add(name, value) end
        for name in getmetatable(_G) or {} do add(name) end
        add(secretglobal == nil) add(rawget(_G, "secret" .. "global") == nil)
        add(pcall(require, "@lib/secretfile")) add(pcall(require, "@lib/init")) add(pcall(require, "@lib/.luaurc"))
        add(pcall(require, "@lib/broken"))
        -- each text once: they are the same for many
        local once, short = {}, {}
        for _, text in texts do
            if not once[text] then
                once[text] = true
                short[#short + 1] = string.sub(text, 1, 2000)
            end
        end
        return table.concat(short, "\n")
    end
    return { pry = pry, run = function(n) return lib.run(n) end, method = function(n) return lib.method(n) end }
"##;

/// Whether a text shows a piece of the source. The names that the reader's own script uses don't count.
fn assert_shows_nothing(text: &str, what: &str) {
    let own = ["secretglobal == nil", "secretfile"];
    let mut text = text.to_owned();
    for own in own {
        text = text.replace(own, "");
    }
    if let Some(at) = text.find("secret") {
        let from = at.saturating_sub(100);
        let piece: String = text.chars().skip(from).take(300).collect();
        panic!("{what} shows the source: ...{piece}...");
    }
}

fn assert_error_shows_nothing(error: &Error, what: &str) {
    assert_shows_nothing(&format!("{error}\n{}\n{error:?}\n{:?}", error.traceback(), error.value()), what);
}

/// The text of an error that shows the source.
fn leak(error: &Error) -> Option<String> {
    let text = format!("{error}\n{}\n{:?}", error.traceback(), error.value());
    text.contains("secret").then(|| error.message().to_owned())
}

fn library() -> Bundle {
    bundle(&[("init.luau", SECRET), (".luaurc", "{ \"aliases\": { \"secretalias\": \"./secretfolder\" } }")]).opaque()
}

fn prying() -> Instance {
    let whole = bundle(&[("init.luau", PRYING)]).mount("lib", library()).unwrap();
    run(motu(limits()).load(&whole)).unwrap().instance(tenant())
}

fn u3_no_script_reads_the_source_of_what_it_requires() {
    let instance = prying();
    let value = event(&instance, "pry").unwrap().value;
    let text = String::from_utf8_lossy(match &value {
        Value::String(bytes) => bytes,
        other => panic!("{other}"),
    })
    .into_owned();
    assert!(text.contains("public text") && text.contains("@lib/init.luau"), "it looked: {text}");
    assert_shows_nothing(&text, "what a script can reach");
}

fn u3_errors_of_all_kinds_show_nothing() {
    let instance = prying();
    let mut leaks = Vec::new();
    for name in ["run", "method"] {
        for n in 1..=64 {
            let Err(error) = send(&instance, name, &Value::from(n)) else { continue };
            assert_eq!(error.kind(), ErrorKind::Script, "{n}: {error:?}");
            leaks.extend(leak(&error).map(|text| format!("{name}({n}): {text}")));
        }
    }
    assert!(leaks.is_empty(), "errors show the source:\n{}", leaks.join("\n"));
}

fn u3_compile_errors_show_nothing() {
    for source in [
        "local secretlocal = ",
        "return 'secretstring",
        "secretfunction(",
        "local secretx: = 1",
        "return secrety secretz",
        "--[[ secretcomment",
        "goto secretlabel",
        "break secret",
        "local function secretf(secreta, secreta) end end",
        "return `secret{",
        "if secretcondition the",
        "@secretattribute function f() end",
        "continue secretlabel",
        "local secretconst <const> = 1",
        "return 0xsecret",
        "type secrettype = ",
        "export type secret<",
    ] {
        let lib = bundle(&[("init.luau", "return 1"), ("broken.luau", source)]).opaque();
        let whole = bundle(&[("init.luau", "return require('@lib/broken')")]).mount("lib", lib).unwrap();
        let error = run(motu(limits()).load(&whole)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Compile, "{source}: {error}");
        assert!(error.message().starts_with("@lib/broken.luau:"), "{error}");
        assert_error_shows_nothing(&error, source);
    }
    // what only the compiler finds, not the parser
    let locals: String = (0..300).map(|n| format!("local secret{n} = secretf() ")).collect();
    let lib = bundle(&[("init.luau", &locals)]).opaque();
    let whole = bundle(&[("init.luau", "return require('@lib')")]).mount("lib", lib).unwrap();
    let error = run(motu(limits()).load(&whole)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compile, "{error}");
    assert_error_shows_nothing(&error, "too many locals");
}

fn u3_check_shows_nothing() {
    for (source, config) in [
        ("local secretlocal = ", "{}"),
        ("return require('@self/secretmissing')", "{}"),
        ("return require('@secretalias')", "{ \"aliases\": { \"secretalias\": \"secretvalue\" } }"),
        ("return require('../secretout')", "{}"),
        ("return 1", "{ \"secretkey\": secretvalue }"),
        ("return require('@self')", "{}"),
    ] {
        let lib = bundle(&[("init.luau", source), (".luaurc", config)]).opaque();
        let whole = bundle(&[("init.luau", "return require('@lib')")]).mount("lib", lib).unwrap();
        for found in run(motu(limits()).check(&whole)).unwrap().diagnostics {
            assert!(found.path.starts_with("@lib/"), "{found}");
            assert_shows_nothing(&found.to_string(), source);
        }
    }
}

fn u3_require_failures_show_nothing() {
    for source in [
        "return require('./secretmissing')",
        "return require('@self/secretmissing')",
        "return require('@secretalias/x')",
        "return require('../../secretout')",
        "return require('secretplain')",
        "local secretpath = './x' return require(secretpath)",
        "return require('@self/secretfolder/x')",
        "return require('@self/a')",
    ] {
        let lib = bundle(&[
            ("init.luau", source),
            ("a.luau", "return require('./b') -- secretcycle"),
            ("b.luau", "return require('./a')"),
            (".luaurc", "{ \"aliases\": { \"secretalias\": \"secretvalue\" } }"),
        ])
        .opaque();
        let whole = bundle(&[("init.luau", "return require('@lib')")]).mount("lib", lib).unwrap();
        let error = run(motu(limits()).load(&whole)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script, "{source}: {error}");
        assert_error_shows_nothing(&error, source);
    }
}

fn u3_an_opaque_main_bundle_shows_nothing() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let motu = builder(limits()).on_log(move |line| sink.lock().unwrap().push(line.text.clone())).build().unwrap();
    let main = bundle(&[("init.luau", &format!("print(debug.traceback())\n{SECRET}"))]).opaque();
    let loaded = run(motu.load(&main)).unwrap();
    let instance = loaded.instance(tenant());
    for name in ["run", "nested", "method"] {
        for n in 1..=64 {
            let Err(error) = send(&instance, name, &Value::from(n)) else { continue };
            assert_error_shows_nothing(&error, &format!("error {n} of {name}"));
        }
    }
    assert_shows_nothing(&lines.lock().unwrap().join("\n"), "the log");
}

fn u3_debug_has_only_info_and_traceback() {
    let source = "local names = {} for name in debug do names[#names + 1] = name end table.sort(names) return names";
    let value = run(crate::support::instance(source).value()).unwrap().value;
    assert_eq!(value, Value::from_iter(["info", "traceback"]));
    let source = "return { getfenv == nil, setfenv == nil, loadstring == nil, load == nil, dofile == nil, loadfile == nil, string.dump == nil }";
    let value = run(crate::support::instance(source).value()).unwrap().value;
    assert_eq!(value, Value::from_iter([true; 7]));
}

fn u3_what_an_opaque_bundle_returns_is_there() {
    let lib =
        bundle(&[("init.luau", "local n = 0 return { add = function(by) n += by return n end, text = 'public' }")])
            .opaque();
    let main = "local lib = require('@lib') return { go = function() lib.add(1) return { lib.add(2), lib.text } end }";
    let whole = bundle(&[("init.luau", main)]).mount("lib", lib).unwrap();
    let instance = run(motu(limits()).load(&whole)).unwrap().instance(tenant());
    assert_eq!(event(&instance, "go").unwrap().value, Value::Array(vec![3.into(), "public".into()]));
}

fn u3_its_errors_still_name_the_file() {
    let instance = prying();
    let error = send(&instance, "run", &Value::from(11)).unwrap_err();
    assert!(error.message().ends_with("public text"), "{error}");
    assert!(error.traceback().contains("@lib/init.luau"), "{error:?}");
    assert!(error.traceback().contains("init.luau:"), "the main bundle isn't opaque: {error:?}");
    let error = send(&instance, "run", &Value::from(12)).unwrap_err();
    assert_eq!(error.value(), Some(&Value::from([("public", true)])));
}
