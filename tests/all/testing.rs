//! U7: the bundle of a test file, as `motu::testing` makes it: stand-ins for host modules in the real VM, what is mocked and
//! for how long, and what the library and the VM say to each other. What the library says of values is in `cli/tests/cases`.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use motu::{Bundle, CallContext, Error, ErrorKind, Grants, Handle, HostModule, Instance, Loaded, Motu, Value, testing};

use crate::support::{builder, folder, limits, run, send, tenant};

trials![
    u7_mocks_before_and_after_a_require,
    u7_mocks_of_the_top_and_of_a_case,
    u7_mocks_of_a_resource,
    u7_mocks_while_the_bundle_is_loaded,
    u7_rows_that_are_never_cases,
    u7_every_name_of_a_module_is_the_same,
    u7_spies_see_what_files_pass,
    u7_stand_ins_are_denied_as_the_host_is,
    u7_modules_that_are_not_there,
    u7_a_case_starts_anew,
    u7_a_list_in_pages,
    u7_failures_are_values,
    u7_errors_of_any_type_end_a_case,
    u7_the_library_is_frozen,
    u7_only_the_test_itself_is_in_its_bundle,
    u7_bundles_that_cannot_be,
    u7_nothing_of_it_is_in_other_bundles,
];

const OLDER: &str = "package acme:books@1.0.0; interface shelf { find: func(title: string) -> string; }";
const NEWER: &str = "package acme:books@2.1.0;
interface shelf {
  resource session { open: static func(name: string) -> session; name: func() -> string; }
  find: func(title: string) -> string;
}";

/// With two versions of a module; the newer one's `find` takes its time.
fn motu() -> Motu {
    static MADE: OnceLock<Motu> = OnceLock::new();
    MADE.get_or_init(make).clone()
}

fn make() -> Motu {
    let older = HostModule::from_wit(OLDER).unwrap();
    let older = older.function("find", |_, title: String| async move { Ok::<_, Error>(format!("old {title}")) });
    let newer = HostModule::from_wit(NEWER).unwrap();
    let newer = newer
        .function("find", |_, title: String| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok::<_, Error>(format!("real {title}"))
        })
        .function("session.open", |context: CallContext, name: String| {
            let opened = context.open("session", name);
            async move { opened }
        })
        .function("session.name", |context: CallContext, session: Handle| async move {
            Ok::<_, Error>(context.get::<String>(session).unwrap().as_ref().clone())
        });
    builder(limits()).host_module(older).host_module(newer).build().unwrap()
}

fn load_from(motu: &Motu, folder: &Path, test: &str) -> Result<Loaded, Error> {
    run(motu.load(&testing::bundle(motu, folder, test)?))
}

/// The test file `x.test.luau` beside these, with what it needs before it.
fn load(motu: &Motu, source: &str, files: &[(&str, &str)]) -> Result<Loaded, Error> {
    let source =
        format!("local test = require('@motu/test') local it, expect, mock = test.it, test.expect, test.mock {source}");
    let all = [files, &[("x.test.luau", source.as_str())]].concat();
    load_from(motu, folder(&all).path(), "x.test.luau")
}

fn instance(loaded: &Loaded, grants: &str) -> Instance {
    loaded.instance(tenant()).with_grants(Grants::parse([grants]).unwrap())
}

/// What a case raises, in a fresh instance, with what runs after it.
fn problems(loaded: &Loaded, case: u32, grants: &str) -> Vec<Error> {
    let instance = instance(loaded, grants);
    let mut problems: Vec<Error> = send(&instance, "run", &Value::from(case)).err().into_iter().collect();
    for _ in 0..100 {
        match send(&instance, "finish", &Value::Nil) {
            Ok(left) if left.value == Value::from(0) => return problems,
            Ok(_) => {}
            Err(error) => problems.push(error),
        }
    }
    panic!("finish never came to its end: {problems:?}");
}

/// All cases of a file pass, each by itself.
fn pass(motu: &Motu, source: &str, files: &[(&str, &str)], cases: u32) {
    let loaded = load(motu, source, files).unwrap();
    for case in 1..=cases {
        let problems = problems(&loaded, case, "*");
        assert!(problems.is_empty(), "case {case}: {problems:?}");
    }
}

const SHOP: (&str, &str) = (
    "shop.luau",
    "local books = require('@acme/books@2') local find = books.find local shop = {}\n\
     function shop.direct(title) return find(title) end\n\
     function shop.late(title) return books.find(title) end\n\
     function shop.later(title) return require('@acme/books@2').find(title) end\n\
     return shop",
);

fn u7_mocks_before_and_after_a_require() {
    let all = "for _, name in { 'direct', 'late', 'later' } do expect(shop[name]('x')).to_be('mocked x') end";
    let mock = "mock('@acme/books@2', { find = function(title) return `mocked {title}` end })";
    let motu = motu();
    pass(&motu, &format!("{mock} local shop = require('./shop') it('x', function() {all} end)"), &[SHOP], 1);
    pass(&motu, &format!("local shop = require('./shop') {mock} it('x', function() {all} end)"), &[SHOP], 1);
    pass(&motu, &format!("local shop = require('./shop') it('x', function() {mock} {all} end)"), &[SHOP], 1);
    // in a hook, and of a module that is first required while the case runs
    pass(
        &motu,
        &format!(
            "test.before_each(function() {mock} end) it('x', function() local shop = require('./shop') {all} end)"
        ),
        &[SHOP],
        1,
    );
}

/// Cases run in any order see the same.
fn u7_mocks_of_the_top_and_of_a_case() {
    let source = "local shop = require('./shop')
        local top = mock('@acme/books@2', { find = function() return 'top' end })
        it('has the top\\'s', function() expect(shop.late()).to_be('top') expect(top.find.calls).to_have_length(1) end)
        it('has its own', function()
            mock('@acme/books@2', { find = function() return 'own' end })
            expect(shop.late()).to_be('own')
            expect(top.find.calls).to_have_length(0)
        end)
        it('has the top\\'s again', function() expect(shop.direct()).to_be('top') expect(top.find.calls).to_have_length(1) end)";
    pass(&motu(), source, &[SHOP], 3);
    let source = "local shop = require('./shop')
        it('mocks', function() mock('@acme/books@2', { find = function() return 'own' end }) expect(shop.late('x')).to_be('own') end)
        it('has the host\\'s, which waits', function() expect(shop.late('x')).to_be('real x') end)
        it('waits in a mock', function()
            mock('@acme/books@2', { find = function() task.wait() return shop and 'waited' end })
            expect(shop.direct('x')).to_be('waited')
        end)";
    pass(&motu(), source, &[SHOP], 3);
}

/// What is pure may be called at the top level, mocked or not.
fn u7_mocks_while_the_bundle_is_loaded() {
    let mocked = "mock('@motu/json', { decode = function() return 'mocked' end })";
    let config = ("config.luau", "return { kept = require('@motu/json').decode('1') }");
    let test = "it('x', function() expect(require('./config').kept).to_be('mocked') end)";
    pass(&motu(), &format!("{mocked} require('./config') {test}"), &[config], 1);
    let source =
        format!("local config = require('./config') it('x', function() expect(config.kept).to_be(1) {mocked} end)");
    pass(&motu(), &source, &[config], 1);
}

/// Else a file passes with nothing of it run.
fn u7_rows_that_are_never_cases() {
    let never = "it('x', function() end) it.each({ 1, 2 }";
    for (source, said) in [
        (format!("{never}, 'is {{}}', function() end)"), "it.each takes a list of rows alone"),
        (format!("{never})"), "it.each(rows) has no cases: write it.each(rows)(name, function(row) ... end)"),
    ] {
        let error = load(&motu(), &source, &[]).unwrap_err();
        assert!(error.message().contains(said), "{source}: {error}");
    }
    pass(&motu(), "it.each({ 1, 2 })('is {}', function(n) expect(n).to_be_a('number') end)", &[], 2);
}

fn u7_mocks_of_a_resource() {
    let source = "local books = require('@acme/books@2')
        it('is the host\\'s', function() expect(books.session.open('Ada'):name()).to_be('Ada') end)
        it('is mocked', function()
            local spies = mock('@acme/books@2', { session = { open = function(name) return { name = function() return 'no ' .. name end } end } })
            expect(books.session.open('Ada'):name()).to_be('no Ada')
            expect(spies.session.open.calls).to_equal({ { 'Ada' } })
            expect(books.find('x')).to_be('real x')
        end)
        it('is no function', function()
            local wrong = expect(function() mock('@acme/books@2', { session = function() end }) end).to_throw('a table of functions')
            expect(wrong).to_match('^x.test.luau:10: ')
        end)
        it('has what it has', function()
            expect(function() mock('@acme/books@2', { session = { close = function() end } }) end).to_throw('it has open')
        end)";
    pass(&motu(), source, &[], 4);
}

fn u7_every_name_of_a_module_is_the_same() {
    let source = "it('x', function()
            expect(require('@acme/books')).to_be(require('@acme/books@1'))
            expect(require('@acme/books')).never.to_be(require('@acme/books@2'))
            mock('@acme/books', { find = function() return 1 end })
            expect(require('@acme/books@1').find('x')).to_be(1)
            expect(require('@acme/books@2').find('x')).to_be('real x')
            mock('@acme/books@1', { find = function() return 2 end })
            expect(require('@acme/books').find('x')).to_be(2)
        end)
        it('is frozen', function()
            local books = require('@acme/books@2')
            expect(table.isfrozen(books) and table.isfrozen(books.session)).to_be(true)
            expect(function() books.find = nil end).to_throw('readonly')
        end)";
    pass(&motu(), source, &[], 2);
}

fn u7_spies_see_what_files_pass() {
    let source = "local shop = require('./shop')
        it('x', function()
            local given = { 1 }
            local spies = mock('@acme/books@2', { find = function(...) return select('#', ...) end })
            expect(shop.direct(given)).to_be(1)
            expect(shop.late(nil)).to_be(1)
            expect(spies.find.calls).to_have_length(2)
            expect(spies.find.calls[1][1]).to_be(given)
            spies.find(5)
            expect(spies.find.calls[3]).to_equal({ 5 })
        end)
        it('raises what it raises', function()
            mock('@acme/books@2', { find = function() error({ code = 7 }) end })
            expect(expect(shop.direct).to_throw().code).to_be(7)
        end)";
    pass(&motu(), source, &[SHOP], 2);
}

fn u7_stand_ins_are_denied_as_the_host_is() {
    let source = "local shop = require('./shop') it('x', function() shop.direct('x') end)
        it('mocked', function() mock('@acme/books@2', { find = function() return 1 end }) shop.direct('x') end)";
    let loaded = load(&motu(), source, &[SHOP]).unwrap();
    let denied = problems(&loaded, 1, "motu:kv/*").remove(0);
    assert_eq!(denied.kind(), ErrorKind::Denied, "{denied:?}");
    assert!(denied.message().contains("needs the grant acme:books/shelf.find"), "{denied}");
    assert!(denied.traceback().contains("shop.luau:2"), "{}", denied.traceback());
    assert!(problems(&loaded, 2, "motu:kv/*").is_empty(), "what is mocked needs no grant");
    assert!(problems(&loaded, 1, "*").is_empty());
    // neither the host's functions nor mocks can be called while the bundle is loaded
    let at_top = |mock: &str| load(&motu(), &format!("{mock} require('@acme/books').find('x')"), &[]).unwrap_err();
    assert!(at_top("").message().contains("top level"), "{}", at_top(""));
    let error = at_top("mock('@acme/books', { find = function() end })");
    assert!(error.message().contains("can't be called while the bundle is loaded"), "{error}");
}

/// Known by the types that were written of them.
fn u7_modules_that_are_not_there() {
    let uses = ("uses.luau", "local crm = require('@other/crm') return function(name) return crm.find(name) end");
    let types =
        [(".motu/types/other/crm.luau", ""), (".motu/types/other/crm@3.luau", ""), (".motu/types/other/it's.luau", "")];
    let files = [&[uses][..], &types].concat();
    let source = "local uses = require('./uses')
        it('x', function()
            mock('@other/crm@3', { find = function(name) return name .. '!' end })
            expect(uses('Ada')).to_be('Ada!')
        end)
        it('not mocked', function()
            expect(function() uses('Ada') end).to_throw(\"@other/crm.find isn't mocked, and there is no such host module here\")
        end)";
    pass(&motu(), source, &files, 2);
    let error = load(&motu(), "require('./uses')", &[uses]).unwrap_err();
    assert!(error.message().contains("there is no alias and no host module @other"), "{error}");
}

fn u7_a_case_starts_anew() {
    let source = "local seen = 0 shared = (shared or 0) + 1
        for i = 1, 3 do it('x', function()
            seen += 1
            expect(seen).to_be(1)
            expect(shared).to_be(1)
            shared += 1
            test.after_each(function() end)
        end) end";
    let loaded = load(&motu(), &source.replace("test.after_each(function() end)", ""), &[]).unwrap();
    for case in [3, 1, 1, 2] {
        assert!(problems(&loaded, case, "*").is_empty());
    }
    let loaded = load(&motu(), source, &[]).unwrap();
    let error = problems(&loaded, 1, "*").remove(0);
    assert!(error.message().contains("after_each can't be called while a case runs"), "{error}");
    assert!(problems(&loaded, 4, "*").remove(0).message().contains("there is no case 4"));
}

fn u7_a_list_in_pages() {
    let source =
        "for i = 1, 3000 do it(`case {i} {string.rep('\\255', 60)}`, function() expect(i).to_be(3000) end) end";
    let loaded = load(&motu(), source, &[]).unwrap();
    assert_eq!(loaded.handlers(), ["finish", "list", "run"]);
    let instance = instance(&loaded, "*");
    let (mut seen, mut pages) = (0u32, 0);
    loop {
        let page = send(&instance, "list", &Value::from(seen + 1)).unwrap().value;
        assert_eq!(page.get("total").unwrap().as_f64(), Some(3000.0));
        let Some(Value::Array(cases)) = page.get("cases") else { panic!("{page}") };
        seen += cases.len() as u32;
        pages += 1;
        if seen == 3000 {
            let Some(Value::Array(names)) = cases[cases.len() - 1].get("names") else { panic!("{page}") };
            assert!(names[0].as_str().unwrap().starts_with("case 3000 \\xff\\xff"), "{}", names[0]);
            break;
        }
    }
    assert!((2..30).contains(&pages), "{pages}");
    assert!(problems(&loaded, 3000, "*").is_empty());
    assert_eq!(problems(&loaded, 2999, "*").len(), 1);
}

fn u7_failures_are_values() {
    let source = "local function check(value)\nexpect(value).to_equal({ a = 1 })\nend
        it('x', function() task.wait() check({ a = 2 }) end)
        it('caught', function() pcall(check, 5) end)
        it('late', function() task.spawn(function() task.wait() check(6) end) end)
        test.after_each(function() task.wait() task.wait() task.wait() end)";
    let loaded = load(&motu(), source, &[]).unwrap();
    for case in 1..=3 {
        let found = problems(&loaded, case, "*");
        assert_eq!((found.len(), found[0].kind()), (1, ErrorKind::Script), "{found:?}");
        let value = found[0].value().unwrap();
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!((text("motu_test"), text("expected")), ("failure".to_owned(), "{ a = 1 }".to_owned()));
        assert_eq!((text("path"), value.get("line").unwrap().as_f64()), ("x.test.luau".to_owned(), Some(2.0)));
    }
    // an error at the top carries one too
    let error = load(&motu(), "\nexpect(1).to_be(2)", &[]).unwrap_err();
    assert_eq!(error.value().unwrap().get("line"), Some(&Value::from(2)));
}

fn u7_errors_of_any_type_end_a_case() {
    let values = [
        "nil",
        "5",
        "true",
        "{}",
        "print",
        "vector.zero",
        "coroutine.create(print)",
        "setmetatable({}, { __tostring = error })",
    ];
    let cases: String = values.iter().map(|value| format!("it('x', function() error({value}) end) ")).collect();
    let loaded = load(&motu(), &cases, &[]).unwrap();
    for (case, value) in (1..).zip(values) {
        assert_eq!(problems(&loaded, case, "*").len(), 1, "{value}");
    }
}

fn u7_the_library_is_frozen() {
    for change in ["test.it = 1", "test.it.skip = 1", "expect(1).x = 1", "test.spy().calls = {}"] {
        let error = load(&motu(), change, &[]).unwrap_err();
        assert!(error.message().contains("readonly"), "{change}: {error}");
    }
}

fn u7_only_the_test_itself_is_in_its_bundle() {
    let files = [
        ("init.luau", "return {}"),
        ("lib/it's \"odd\".test.luau", "require('@motu/test').it('x', function() end)"),
        ("other.test.luau", "no Luau"),
    ];
    let folder = folder(&files);
    let motu = motu();
    let bundle = testing::bundle(&motu, folder.path(), files[1].0).unwrap();
    let paths: Vec<&str> = bundle.paths().filter(|path| !path.starts_with(testing::TREE)).collect();
    assert_eq!(paths, [testing::ENTRY, "init.luau", "lib/it's \"odd\".test.luau"]);
    assert_eq!(bundle.entry(), testing::ENTRY);
    for stand_in in ["@@acme/books.luau", "@@acme/books@2.luau", "@@motu/kv.luau", "@@motu/test.luau"] {
        assert!(bundle.paths().any(|path| path == stand_in), "{stand_in}");
    }
    let loaded = run(motu.load(&bundle)).unwrap();
    assert!(problems(&loaded, 1, "*").is_empty());
    assert!(run(motu.check(&bundle)).unwrap().diagnostics.is_empty());
    assert_eq!(Bundle::from_dir(folder.path()).unwrap().paths().collect::<Vec<_>>(), ["init.luau"]);
}

fn u7_bundles_that_cannot_be() {
    let folder = folder(&[("init.luau", "return {}"), ("x.test.luau", ""), ("y.luau", "")]);
    let motu = motu();
    let refused = |at: &Path, test: &str, why: &str| {
        let error = testing::bundle(&motu, at, test).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().contains(why), "{test}: {error}");
    };
    refused(folder.path(), "z.test.luau", "there is no test file z.test.luau in ");
    refused(folder.path(), "y.luau", "there is no test file y.luau");
    refused(folder.path(), "./x.test.luau", "there is no test file ./x.test.luau");
    refused(&folder.path().join("nowhere"), "x.test.luau", "can't be read");
    refused(&folder.path().join("y.luau"), "x.test.luau", "is not a folder");
}

/// Neither the library nor a stand-in can be reached, or made, by a bundle that is none of a test's.
fn u7_nothing_of_it_is_in_other_bundles() {
    let motu = motu();
    let load = |source: &str| run(motu.load(&Bundle::from_files([("init.luau", source)]).unwrap()));
    let error = load("require('@motu/test')").unwrap_err();
    assert!(error.message().contains("it is there for tests, files named *.test.luau"), "{error}");
    for path in ["@@acme/books.luau", "@/acme.luau", "@acme/books.luau"] {
        assert!(Bundle::from_files([("init.luau", "return 1"), (path, "return 2")]).is_err(), "{path}");
    }
    let part = Bundle::from_files([("init.luau", "return 1"), ("books.luau", "return 'mine'")]).unwrap();
    let main = Bundle::from_files([("init.luau", "return require('@acme/books')")]).unwrap();
    assert!(main.clone().mount("@acme", part.clone()).is_err());
    // a mount of a namespace's name stands behind the host's module
    let loaded = run(motu.load(&main.mount("acme", part).unwrap())).unwrap();
    assert_eq!(loaded.handlers(), ["find"]);
}
