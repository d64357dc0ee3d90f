//! What can't be a provider: each is an error that says why, and nothing else happens.

use motu::{Error, ErrorKind, Provider, ProviderLimits, Value};

use super::build::{component, kinds_bytes};
use super::{tenant, text};
use crate::support::{builder, cache};

trials![
    p7_wasm_text_makes_a_provider_too,
    p7_what_is_no_component_is_refused,
    p7_components_that_can_not_be_modules_are_refused,
    p7_hostile_bytes_are_refused,
];

fn load(bytes: &[u8]) -> Result<Provider, Error> {
    Provider::from_component(bytes, ProviderLimits::default(), &cache())
}

fn refusal(bytes: &[u8], what: &str) -> String {
    let Err(error) = load(bytes) else { panic!("{what} is no provider") };
    assert_eq!(error.kind(), ErrorKind::Usage, "{what}: {error}");
    error.to_string()
}

fn p7_wasm_text_makes_a_provider_too() {
    let wit = "package test:text@0.3.0;
        interface sums { add: func(a: u32, b: u32) -> u32; grow: func() -> s32; start-fails: func(); }
        world it { export sums; }";
    let core = r#"(module
        (memory (export "memory") 1 3)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "test:text/sums@0.3.0#add") (param i32 i32) (result i32)
            (i32.add (local.get 0) (local.get 1)))
        (func (export "test:text/sums@0.3.0#grow") (result i32) (memory.grow (i32.const 1)))
        (func (export "test:text/sums@0.3.0#start-fails") (drop (i32.load (i32.const -1)))))"#;
    let provider = load(&component(wit, core)).unwrap();
    let motu = builder(crate::support::limits()).host_module(provider.module()).build().unwrap();
    let source = "local text = require('@test/text')
        return { go = function()
            local ok, why = pcall(text.start_fails)
            return { text.add(4294967295, 2), text.grow(), text.grow(), text.grow(), tostring(why) }
        end }";
    let tenant = tenant(&motu, "text:1", source, &["test:text/*"]);
    let Value::Array(said) = super::ask(&tenant, "go", Value::Nil).unwrap() else { panic!("a list") };
    let numbers: Vec<Value> = [1.0, 1.0, 2.0, -1.0].map(Value::Number).to_vec();
    assert_eq!(said[..4], numbers, "its own maximum is its own affair");
    assert!(text(&said[4]).contains("out of bounds memory access"), "{}", said[4]);
    let of_three_pages = provider.usage().memory_bytes;
    assert!((3 * 65536..4 * 65536).contains(&of_three_pages), "{of_three_pages}: what couldn't be had isn't charged");
}

fn p7_what_is_no_component_is_refused() {
    for (bytes, what) in [
        (Vec::new(), "nothing"),
        (b"hello".to_vec(), "a text"),
        (b"\0asm\x01\0\0\0".to_vec(), "a core module"),
        (wat::parse_str("(module (func (export \"f\")))").unwrap(), "a core module"),
    ] {
        let text = refusal(&bytes, what);
        assert!(text.contains("no wasm component"), "{what}: {text}");
    }
    let text = refusal(&wat::parse_str("(component)").unwrap(), "an empty component");
    assert!(text.contains("can't be a provider"), "{text}");
}

fn p7_components_that_can_not_be_modules_are_refused() {
    const REALLOC: &str = r#"(memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#;
    let of = |wit: &str, rest: &str| component(wit, &format!("(module {rest} {REALLOC})"));
    for (wit, core, wanted) in [
        (
            "package test:odd; interface host { log: func(); } interface f { f: func(); }
             world it { import host; export f; }",
            r#"(import "test:odd/host" "log" (func)) (func (export "test:odd/f#f") (call 0))"#,
            "it imports test:odd/host, and a provider is given nothing but WASI",
        ),
        (
            "package test:odd; interface f { f: func(); } world it { import log: func(); export f; }",
            r#"(import "$root" "log" (func)) (func (export "test:odd/f#f") (call 0))"#,
            "it imports log, and a provider is given nothing but WASI",
        ),
        ("package test:odd; world it { export run: func(); }", r#"(func (export "run"))"#, "it exports run on its own"),
        (
            "package test:odd; world it { export f: interface { f: func(); } }",
            r#"(func (export "f#f"))"#,
            "it exports f, an interface of no package",
        ),
        ("package test:odd; world it { }", "", "it exports no interface"),
        (
            "package test:odd; interface f { f: func(a: option<option<u8>>); } world it { export f; }",
            r#"(func (export "test:odd/f#f") (param i32 i32 i32))"#,
            "its WIT can't be had in Luau: ",
        ),
    ] {
        let text = refusal(&of(wit, core), wit);
        assert!(text.contains(wanted), "{wit}: {text}");
    }

    let two = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $x (export "f" (func $f)))
        (export "test:one/f@1.0.0" (instance $x))
        (export "test:two/f@1.0.0" (instance $x)))"#;
    let text = refusal(&wat::parse_str(two).unwrap(), "two packages");
    assert!(text.contains("test:one@1.0.0 and of test:two@1.0.0; a module is one package"), "{text}");
    let program = two.replace("test:one/f@1.0.0", "wasi:cli/run@0.2.0");
    let text = refusal(&wat::parse_str(program).unwrap(), "a program");
    assert!(text.contains("it exports wasi:cli/run@0.2.0, as programs do"), "{text}");
    let http = r#"(component (import "wasi:http/types@0.2.0" (instance (export "f" (func)))))"#;
    let text = refusal(&wat::parse_str(http).unwrap(), "http");
    assert!(text.contains("wasi:http/types@0.2.0") || text.contains("exports no interface"), "{text}");
}

fn p7_hostile_bytes_are_refused() {
    let good = kinds_bytes();
    let lens = (0..good.len()).step_by(good.len() / 40 + 1);
    let whole = lens.filter(|len| match load(&good[..*len]) {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Usage, "the first {len} bytes: {error}");
            false
        }
        Ok(_) => true,
    });
    assert!(whole.count() <= 2, "only what the tools write behind it can be cut off");
    // a byte here and there: refused, or another component; never a panic
    let mut seed = 7u64;
    for _ in 0..60 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = good.to_vec();
        let at = (seed >> 33) as usize % bytes.len();
        bytes[at] ^= (seed >> 20) as u8 | 1;
        let changed = Provider::from_component(&bytes, ProviderLimits::default(), &motu::CompileCache::Off);
        if let Err(error) = changed {
            assert_eq!(error.kind(), ErrorKind::Usage, "byte {at}: {error}");
        }
    }
    let mut random = vec![0; 100_000];
    for (at, byte) in random.iter_mut().enumerate() {
        *byte = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0];
    }
    refusal(&random, "noise");
    let head = &good[..8];
    refusal(&[head, &random].concat(), "noise behind a head");
    let text = refusal(&vec![0; (256 << 20) + 1], "too much");
    assert!(text.contains("it has 268435457 bytes; 268435456 at most can be read"), "{text}");
}
