use super::{ALL, function};
use crate::wit::package::Kind;
use crate::wit::types::Ty;
use crate::wit::{modules, parse};

fn refused(items: &str) -> String {
    parse(&format!("package a:t;\n{items}")).unwrap_err().to_string()
}

fn type_refused(ty: &str) -> String {
    refused(&format!("interface i {{\n  use motu:value/types.{{value}};\n  f: func(a: {ty});\n}}"))
}

#[test]
fn what_is_no_module() {
    assert_eq!(
        parse("interface i {}").unwrap_err().to_string(),
        "no `package` header was found in any WIT file for this package"
    );
    assert_eq!(refused("interface i {\n  f func();\n}"), "line 3: expected ':', found keyword `func`");
    assert_eq!(refused("interface i {\n  f: func(a: nowhere);\n}"), "line 3: name `nowhere` does not exist");
    assert_eq!(
        refused("\nworld w { }"),
        "line 3: the world w has no meaning here: a module is its interfaces; remove it"
    );
    assert_eq!(
        refused("package b:c { interface i {} }"),
        "the text holds the package b:c too; give each package a text of its own"
    );
    assert_eq!(
        refused("interface i {\n  use wasi:io/streams@0.2.0.{input-stream};\n}"),
        "line 3: wasi:io@0.2.0/streams is another package; only motu:value/types is known. Declare the types that are \
         needed here"
    );
    assert_eq!(
        refused("interface i {\n  use motu:value/types.{other};\n}"),
        "line 3: other: motu:value/types has only the type `value`"
    );
}

#[test]
fn types_that_cannot_cross() {
    assert_eq!(
        type_refused("option<option<u8>>"),
        "line 4: in an option of option<u8>, nil has two meanings: take one of them away"
    );
    assert_eq!(
        type_refused("list<option<value>>"),
        "line 4: in an option of value, nil has two meanings: take one of them away"
    );
    assert_eq!(
        type_refused("list<option<u8>>"),
        "line 4: a list of options ends at its first nil in Luau: put the option in a record"
    );
    assert_eq!(
        type_refused("map<string, option<u8>>"),
        "line 4: in Luau a key whose value is nil isn't there: put the option in a record"
    );
    assert_eq!(
        type_refused("map<bool, u8>"),
        "line 4: a map can be keyed by a string, a char or an integer, not by bool"
    );
    assert_eq!(
        type_refused("result<option<u8>, string>"),
        "line 4: in a result<option<u8>, string> that isn't the whole result of a function, nil for option<u8> would have no \
         key: put it in a record"
    );
    let next = "return the value, or a resource with a method that gives the next one";
    assert_eq!(type_refused("stream<u8>"), format!("line 4: a stream can't cross: {next}"));
    assert_eq!(type_refused("list<future<u8>>"), format!("line 4: a future can't cross: {next}"));
    assert_eq!(type_refused("error-context"), "line 4: an error-context can't cross: use a string or a variant");
    assert_eq!(
        type_refused("list<u8, 4>"),
        "line 4: a list of fixed length has no meaning in Luau: use a list or a tuple"
    );
    assert_eq!(
        refused("interface i {\n  record r {\n    a: u8,\n    b: list<stream>,\n  }\n}"),
        format!("line 5: r: b: a stream can't cross: {next}")
    );
    assert_eq!(
        refused("interface i {\n  resource s;\n  f: func() -> list<borrow<s>>;\n}"),
        "line 4: a function can't return what it borrows: return the resource itself"
    );
    assert_eq!(
        refused("interface i {\n  variant v { a-1, a1 }\n}"),
        "line 3: v: two names would both be `A1` in Rust: rename one"
    );
}

#[test]
fn names_that_meet() {
    assert_eq!(
        refused("interface i {\n  get-it: func();\n}\ninterface j {\n  get-it: func();\n}"),
        "line 6: i.get-it and j.get-it would both be `get_it` in Luau, where a module is one table of all its interfaces: \
         rename one"
    );
    assert_eq!(
        refused("interface i {\n  f: func();\n  resource f2 { constructor(); new: static func(); }\n}"),
        "line 4: i.f2.new and i.f2.new would both be `new` in Luau, where a module is one table of all its interfaces: \
         rename one"
    );
    assert!(
        refused("interface i {\n  resource f {}\n}\ninterface j {\n  f: func();\n}").starts_with("line 6: i.f and j.f")
    );
}

#[test]
fn bounds() {
    let huge = " ".repeat(1 << 20);
    assert_eq!(refused(&huge), "the WIT text has 1048589 bytes; 1048576 at most can be read");
    let deep = format!("{}u8{}", "list<".repeat(99), ">".repeat(99));
    assert_eq!(type_refused(&deep), "line 4: more than 64 types in each other: make it flatter");
    let deeper = format!("{}u8{}", "list<".repeat(9999), ">".repeat(9999));
    assert_eq!(type_refused(&deeper), "line 4: type nesting too deep");
    let aliases: String = (1..70).map(|index| format!("type a{index} = a{};\n", index - 1)).collect();
    assert_eq!(
        refused(&format!("interface i {{\ntype a0 = u8;\n{aliases}}}")),
        "line 66: a63: more than 64 types in each other: make it flatter"
    );
    let doubling: String = (1..30).map(|index| format!("type a{index} = tuple<a{0}, a{0}>;\n", index - 1)).collect();
    assert_eq!(
        refused(&format!("interface i {{\ntype a0 = u8;\n{doubling}}}")),
        "line 15: a12: written out it has more than 4096 parts: make it smaller"
    );
    let params: String = (0..65).map(|index| format!("p{index}: u8, ")).collect();
    assert_eq!(
        refused(&format!("interface i {{ f: func({params}); }}")),
        "line 2: f has more than 64 parameters: pass a record"
    );
    let fields: String = (0..300).map(|index| format!("g{index}: u8, ")).collect();
    assert_eq!(
        refused(&format!("interface i {{ record r {{ {fields} }} }}")),
        "line 2: r: more than 256 names: split it"
    );
}

#[test]
fn a_whole_package() {
    let package = parse(ALL).unwrap();
    assert_eq!(package.id(), "acme:crm@1.2.0");
    assert!(package.docs.starts_with("What the firm knows of its customers."));
    let interfaces: Vec<_> = package.interfaces.iter().map(|interface| interface.name.kebab.as_str()).collect();
    assert_eq!(interfaces, ["types", "contacts", "admin"]);
    let types: Vec<_> = package.interfaces[0].types.iter().map(|ty| ty.def().unwrap().name.kebab.clone()).collect();
    assert_eq!(types, ["customer-id", "standing", "rights", "customer", "change", "point"]);
    let types: Vec<_> = package.interfaces[1].types.iter().map(|ty| ty.def().unwrap().name.kebab.clone()).collect();
    assert_eq!(types, ["failure", "rows"]);

    let find = function(&package, "crm.find_customer");
    assert_eq!(find.to_string(), "find-customer: func(name: string, limit: option<u32>) -> option<customer>");
    assert_eq!(find.grant, "acme:crm/contacts.find-customer");
    assert_eq!(find.docs, "Finds a customer.\n\nNames are compared as they are.");
    assert_eq!(function(&package, "crm.end_").grant, "acme:crm/contacts.end");
    assert!(function(&package, "crm.count").is_async);
    assert!(matches!(function(&package, "crm.tag").result, Some(Ty::Any)));
    assert!(matches!(function(&package, "crm.session.new").kind, Kind::Constructor(_)));
    assert!(matches!(function(&package, "crm.session.close").kind, Kind::Static(_)));
    let query = function(&package, "crm.session:query");
    assert!(matches!(query.kind, Kind::Method(_)));
    assert_eq!(query.grant, "acme:crm/contacts.session.query");
    assert_eq!(query.to_string(), "query: func(sql: string, limit: option<u8>) -> rows");
    assert_eq!(parse("package a:b;").unwrap().version.to_string(), "0.0.0");
}

#[test]
fn versions_side_by_side() {
    let of = |version: &str| parse(&format!("package a:b@{version};")).unwrap();
    let packages = [of("2.1.0"), of("1.4.0"), of("3.0.0")];
    let named: Vec<_> = modules(&packages)
        .unwrap()
        .iter()
        .map(|module| format!("{} {}", module.name, module.package.version))
        .collect();
    assert_eq!(named, ["a/b 1.4.0", "a/b@1 1.4.0", "a/b@2 2.1.0", "a/b@3 3.0.0"]);
    let packages = [of("1.4.0"), of("1.5.0")];
    let error = modules(&packages).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        error,
        "a:b@1.4.0 and a:b@1.5.0 would both be the module @a/b@1: give one of them, or another major version"
    );
}
