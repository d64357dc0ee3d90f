use proptest::prelude::*;

use super::{ALL, Some3};
use crate::value::Value;
use crate::wit::{arguments, parse};

proptest! {
    /// Whatever the bytes are, each function reads them or says why not.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..4) {
        let package = parse(ALL).unwrap();
        // Half of them look like a list of so many arguments.
        let bytes = [&[0x90 + cut as u8][..], &bytes].concat();
        for function in package.interfaces.iter().flat_map(|interface| &interface.functions) {
            let _ = arguments::<Value>(function, &bytes, &Some3);
            let _ = arguments::<(Value, Value)>(function, &bytes, &Some3);
            let _ = arguments::<serde::de::IgnoredAny>(function, bytes.get(1..).unwrap(), &Some3);
        }
    }

    /// Whatever the text is, it is a package or an error.
    #[test]
    fn any_text(text in ".{0,200}", at in any::<prop::sample::Index>(), len in 0usize..20) {
        let _ = parse(&text);
        let at = at.index(ALL.len());
        let (Some(before), Some(after)) = (ALL.get(..at), ALL.get((at + len).min(ALL.len())..)) else { return Ok(()) };
        if let Err(error) = parse(&format!("{before}{after}")) {
            prop_assert!(!error.to_string().is_empty());
        }
        let _ = parse(&format!("{before}{}{after}", text.get(..text.len().min(3)).unwrap_or("<")));
    }

    /// Pieces of WIT in any order.
    #[test]
    fn any_pieces(pieces in proptest::collection::vec(prop::sample::select(ALL.split_inclusive(' ').collect::<Vec<_>>()), 0..60)) {
        let _ = parse(&format!("package a:b;\ninterface i {{ {} }}", pieces.concat()));
    }
}

#[test]
fn tables_in_tables() {
    let f = super::of("use motu:value/types.{value}; f: func(a: value);");
    let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
    assert!(arguments::<Value>(&f, &deep, &Some3).is_err());
    assert!(arguments::<serde_json::Value>(&f, &deep, &Some3).is_err());
}

#[test]
fn large_texts_take_no_time() {
    for (head, item, tail) in [
        ("interface i {", "f%: func(a: u8) -> string;\n", "}"),
        ("interface i {", "record r% { a: u8, b: list<string> }\n", "}"),
        ("interface i {", "type r% = u8;\n", "}"),
        ("interface i { resource r { ", "f%: func();\n", "} }"),
        ("interface i { f: func(", "a%: u8, ", "); }"),
        ("interface i { enum e { ", "a%, ", "} }"),
        ("", "interface i% { }\n", ""),
        ("/*", "/*", ""),
        ("interface i {", "///\n", "}"),
        ("interface i { use motu:value/types.{", "value as v%, ", "}; }"),
    ] {
        let mut text = format!("package a:b;\n{head}");
        let mut index = 0;
        while text.len() < (1 << 20) - 100 {
            index += 1;
            text.push_str(&item.replace('%', &index.to_string()));
        }
        text.push_str(tail);
        let began = std::time::Instant::now();
        let _ = std::hint::black_box(parse(&text));
        assert!(began.elapsed().as_secs() < 30, "{item:?} took {:?}", began.elapsed());
    }
}
