//! What crosses, both ways, and what is said of what can't.

use std::sync::LazyLock;

use motu::{ErrorKind, Motu, ProviderLimits, Value};

use super::build::{kinds, kinds_wit, words};
use super::{fails, go, motu_with};
use crate::support::builder;

trials![
    p7_providers_may_be_in_any_language,
    p7_every_type_crosses_both_ways,
    p7_mismatches_name_the_function_and_the_argument,
    p7_without_a_grant_nothing_is_called,
    p7_a_wit_that_does_not_match_is_an_error_that_names_both_types,
    p7_a_wit_that_matches_is_the_modules,
    p7_editors_see_the_components_types,
];

static MOTU: LazyLock<Motu> = LazyLock::new(|| motu_with(ProviderLimits::default()));

/// In Zig here, and in C and wasm text elsewhere.
fn p7_providers_may_be_in_any_language() {
    let motu = builder(crate::support::limits()).host_module(words().module()).build().unwrap();
    let source = "local words = require('@test/words')
        return { go = function()
            local ok, why = pcall(words.shout, 'é')
            local many = table.create(1000, 'word')
            many[500] = 'longest'
            for _ = 1, 100 do assert(words.longest(many) == 'longest') end
            return { words.shout('hello'), ok, why, words.longest({ 'a', 'bcd', 'efg' }), words.longest({}) == nil }
        end }";
    let tenant = super::tenant(&motu, "types:zig", source, &["test:words/*"]);
    let wanted = [
        "HELLO".into(),
        false.into(),
        "init.luau:3: words.shout: only ASCII can be shouted".into(),
        "bcd".into(),
        true.into(),
    ];
    assert_eq!(super::ask(&tenant, "go", Value::Nil).unwrap(), Value::Array(wanted.to_vec()));
}

fn p7_every_type_crosses_both_ways() {
    let body = "
        local function same(one, other)
            if type(one) ~= 'table' then return one == other end
            for key, value in one do if not same(value, other[key]) then return false end end
            for key in other do if one[key] == nil then return false end end
            return true
        end
        local function check(what, got, wanted) assert(same(got, wanted), what) end
        for _, value in { true, false } do check('bool', kinds.bools(value), value) end
        for _, all in { { 0, 0, 0, 0 }, { 255, 65535, 4294967295, 9007199254740992 }, { 1, 2, 3, 4 } } do
            check('unsigned', kinds.unsigned(table.unpack(all)), all)
        end
        for _, all in { { -128, -32768, -2147483648, -9007199254740992 }, { 127, 32767, 2147483647, 9007199254740992 } } do
            check('signed', kinds.signed(table.unpack(all)), all)
        end
        check('floats', kinds.floats(0.5, 0.1), { 0.5, 0.1 })
        check('infinity', kinds.floats(math.huge, -math.huge), { math.huge, -math.huge })
        local nan = kinds.floats(0 / 0, 0 / 0)
        assert(nan[1] ~= nan[1] and nan[2] ~= nan[2], 'nan')
        for _, all in { { 'a', '' }, { 'é', 'Grüße' }, { '🦀', string.rep('x', 100000) } } do
            check('texts', kinds.texts(table.unpack(all)), all)
        end
        check('bytes', kinds.bytes('\\0\\255\\128'), '\\0\\255\\128')
        check('no bytes', kinds.bytes(''), '')
        check('buffer', kinds.bytes(buffer.fromstring('abc')), 'abc')
        local points = { { x = 1, y = -1, end_ = 'here' }, { x = 2147483647, y = 0 } }
        check('points', kinds.points(points), points)
        check('no points', kinds.points({}), {})
        for _, color in { 'red', 'green', 'deep_blue' } do
            check('paint', kinds.paint(color, { read = true, run_it = true }), { color, { read = true, write = false, run_it = true } })
        end
        check('no flags', kinds.paint('red', {})[2], { read = false, write = false, run_it = false })
        for _, shape in { { tag = 'empty' }, { tag = 'circle', value = 1.5 }, { tag = 'path', value = points } } do
            check('shape ' .. shape.tag, kinds.reshape(shape), shape)
        end
        check('some', kinds.maybe(7), 7)
        check('none', kinds.maybe(nil), nil)
        check('ok', kinds.either({ ok = 255 }), { { ok = 255 } })
        check('err', kinds.either({ err = 'no' }), { { err = 'no' } })
        check('divide', kinds.divide(7, -2), -3)
        local ok, why = pcall(kinds.divide, 1, 0)
        assert(not ok and string.find(why, 'by zero$'), 'error')
        check('nothing', kinds.nothing(), nil)
        return 'all'";
    assert_eq!(go(&MOTU, "types:all", body), Value::from("all"));
}

fn p7_mismatches_name_the_function_and_the_argument() {
    for (call, wanted) in [
        ("kinds.bools(1)", "kinds.bools: argument 1 (a): expected a boolean, got a number"),
        ("kinds.unsigned(256, 0, 0, 0)", "kinds.unsigned: argument 1 (a): 256 is out of the range of u8, 0 to 255"),
        ("kinds.signed(0, 0, 0, 0.5)", "kinds.signed: argument 4 (d): expected an integer, got 0.5"),
        ("kinds.floats(1e39, 0)", "out of the range of f32"),
        ("kinds.texts('ab', '')", "kinds.texts: argument 1 (a): expected one character, got \"ab\""),
        ("kinds.texts('a', '\\255')", "kinds.texts: argument 2 (b): "),
        ("kinds.points({ { x = 1 } })", "kinds.points: argument 1 (a)[1].y: expected a number, got nil"),
        ("kinds.points({ { x = 1, y = 2, z = 3 } })", "unknown field \"z\""),
        (
            "kinds.paint('blue', {})",
            "kinds.paint: argument 1 (a): expected \"red\", \"green\" or \"deep_blue\", got \"blue\"",
        ),
        ("kinds.paint('red', { read = 1 })", "kinds.paint: argument 2 (b).read: expected a boolean"),
        ("kinds.reshape({ tag = 'square' })", "kinds.reshape: argument 1 (a).tag: expected "),
        ("kinds.reshape({ tag = 'circle' })", "kinds.reshape: argument 1 (a).value: expected a number, got nil"),
        ("kinds.either({ ok = 256 })", "kinds.either: argument 1 (a).ok: 256 is out of the range"),
        ("kinds.nothing(1)", "kinds.nothing: takes 0 arguments, got 1"),
    ] {
        let (kind, text) = fails(&MOTU, "types:wrong", &format!("return {call}"));
        assert_eq!(kind, ErrorKind::Script, "{call}: {text}");
        assert!(text.contains(wanted), "{call}: {text}");
    }
}

fn p7_without_a_grant_nothing_is_called() {
    let source = super::source("return kinds.count()");
    let tenant = super::tenant(&MOTU, "types:denied", &source, &[]);
    let error = super::ask(&tenant, "go", Value::Nil).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("kinds.count needs the grant acme:kinds/tries.count"), "{error}");
    tenant.set_grants(Some(motu::Grants::parse(["acme:kinds/tries.count"]).unwrap()));
    assert_eq!(super::ask(&tenant, "go", Value::Nil).unwrap(), Value::Number(0.0), "granted");
    tenant.set_grants(Some(motu::Grants::default()));
    assert_eq!(super::ask(&tenant, "go", Value::Nil).unwrap_err().kind(), ErrorKind::Denied, "revoked");
}

fn p7_a_wit_that_does_not_match_is_an_error_that_names_both_types() {
    let wit = kinds_wit();
    for (from, to, wanted) in [
        (
            "bools: func(a: bool) -> bool",
            "bools: func(a: bool) -> u8",
            "acme:kinds/echo.bools is `bools: func(a: bool) -> u8` in the WIT and `bools: func(a: bool) -> bool` in the \
             component: result is u8 there, bool here",
        ),
        ("bools: func(a: bool)", "bools: func(b: bool)", "the parameter b there, a here"),
        ("bools: func(a: bool)", "bools: func(a: bool, b: bool)", "2 parameters there, 1 here"),
        ("y: s32,", "y: s64,", "acme:kinds/echo.points is `points: func(a: list<point>) -> list<point>` in the WIT"),
        ("y: s32,", "z: s32,", "a.item is {x, z, end} there, {x, y, end} here"),
        ("circle(f64)", "circle(f32)", "acme:kinds/echo.reshape"),
        ("green, deep-blue", "deep-blue, green", "acme:kinds/echo.paint"),
        ("nothing: func();", "nothing: func(); more: func();", "acme:kinds/echo.more is in the WIT, but the component"),
        ("acme:kinds@1.2.0", "acme:kinds@2.0.0", "the WIT is of the package acme:kinds@2.0.0, the provider's"),
        ("result<s32, string>", "result<s32>", "acme:kinds/echo.divide"),
        ("a: borrow<counter>", "a: counter", "acme:kinds/sessions.sum"),
        ("add: func(by: u32)", "add: func(by: u64)", "acme:kinds/sessions.counter.add"),
    ] {
        assert!(wit.contains(from), "{from}");
        let error = kinds().held_to(&wit.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{to}: {error}");
        assert!(error.to_string().contains(wanted), "{to}: {error}");
    }
    let error = kinds().held_to("package acme:kinds@1.2.0; interface {").unwrap_err();
    assert!(error.to_string().contains("the WIT of a provider: line 1"), "{error}");
}

fn p7_a_wit_that_matches_is_the_modules() {
    let module = kinds().held_to(&kinds_wit()).unwrap().module();
    let motu = builder(crate::support::limits()).host_module(module).build().unwrap();
    assert_eq!(go(&motu, "types:whole", "return kinds.counter.new(1):add(1)"), Value::Number(2.0));
    // other names of types, and fewer functions
    let wit = "package acme:kinds@1.2.0; interface echo {
        type yes-no = bool;
        /// As it was written down.
        bools: func(a: yes-no) -> yes-no;
    }";
    let module = kinds().held_to(wit).unwrap().module();
    let motu = builder(crate::support::limits()).host_module(module).build().unwrap();
    assert_eq!(go(&motu, "types:held", "return kinds.bools(true)"), Value::Boolean(true));
    assert_eq!(go(&motu, "types:held", "return kinds.count"), Value::Nil, "what the WIT doesn't have, scripts don't");
}

fn p7_editors_see_the_components_types() {
    let types = builder(crate::support::limits()).host_module(kinds().module()).luau_types().unwrap();
    let text = &types["acme/kinds.luau"];
    for wanted in ["export type Point = ", "function kinds.reshape(a: Shape): Shape", "deep_blue"] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
}
