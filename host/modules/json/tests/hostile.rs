//! Texts and values that are made to cost time, memory or stack. Each here would take hours if its cost grew with the
//! square of its size.

use std::time::{Duration, Instant};

use super::super::VALUES_A_STEP;
use super::{Decoder, EncodeOptions, Encoder, SyntaxError, Value, decode, encode, json};

const MEBIBYTE: usize = 1 << 20;

/// Far more than any of it takes in a debug build on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(20);

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let took = start.elapsed();
    assert!(took < TIME_MAX, "{what} took {took:?}");
    result
}

/// A mebibyte of `part` between two others.
fn long(before: &str, part: &str, after: &str) -> Vec<u8> {
    [before, &part.repeat(MEBIBYTE / part.len()), after].concat().into_bytes()
}

fn read(text: &[u8]) -> Result<Value, SyntaxError> {
    timed(&text.get(..40).unwrap_or(text).escape_ascii().to_string(), || decode(text, &Value::Nil, 200, 256 << 20))
}

fn refused(text: &[u8]) -> (usize, String) {
    let error = read(text).unwrap_err();
    assert!(error.message.len() < 300, "{}", error.message);
    (error.offset as usize, error.message)
}

#[test]
fn depth() {
    for part in ["[", "[ ", "{\"a\":", "[{\"\":", "[\n"] {
        let (at, message) = refused(&long("", part, ""));
        assert!(at <= 1000);
        assert_eq!(message, "arrays and objects lie more than 200 deep in each other");
    }
    assert!(read(&long("[", "[],", "[]]")).is_ok());
    assert!(read(&long("[", &format!("{}{},", "[".repeat(199), "]".repeat(199)), "1]")).is_ok());
}

#[test]
fn the_stack_is_small() {
    let small = std::thread::Builder::new().stack_size(64 * 1024);
    let thread = small.spawn(|| {
        let text = format!("{}1{}", "{\"a\":[".repeat(100), "]}".repeat(100));
        let mut decoder = Decoder::new(text.as_bytes(), &Value::Nil, 200, 1 << 20).unwrap();
        let value = decoder.step(1000).unwrap().unwrap();
        let options = EncodeOptions::default();
        let mut encoder = Encoder::new(&value, &options, 200, 1 << 20).unwrap();
        assert_eq!(encoder.step().unwrap().unwrap(), text.as_bytes());
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn long_strings() {
    for (part, bytes) in [("\\u0000", 1), ("\\ud83d\\ude00", 4), ("\\n", 1), ("\\u00e9a", 3), ("x", 1), ("é", 2)] {
        let value = read(&long("\"", part, "\"")).unwrap();
        let Value::String(text) = &value else { panic!("{value}") };
        assert_eq!(text.len(), MEBIBYTE / part.len() * bytes);
        assert!(text.capacity() <= 2 * MEBIBYTE);
        timed(part, || json(&value));
    }
    for part in ["\\u0000", "x", "\\\"", "é"] {
        let text = long("\"", part, "");
        assert_eq!(refused(&text).0, text.len());
    }
    assert_eq!(refused(&long("\"\\ud800", "x", "\"")).0, 1);
    assert_eq!(refused(&long("\"", "x", "\u{1}\"")).0, MEBIBYTE + 1);
}

#[test]
fn long_numbers_and_words() {
    for (before, part, after) in [
        ("", "1", ""),
        ("-", "9", ""),
        ("1e", "9", ""),
        ("0.", "7", ""),
        ("0.", "0", "1"),
        ("1e-", "9", ""),
        ("1e", "0", "2"),
    ] {
        let (at, message) = refused(&long(before, part, after));
        assert_eq!(at, 0);
        assert!(message.ends_with("... has more than 1000 characters; no number needs so many"), "{message}");
        let at_most = [before, &part.repeat(1000 - before.len() - after.len()), after].concat();
        assert!(
            !decode(at_most.as_bytes(), &Value::Nil, 0, 1 << 20).is_err_and(|error| error.message.contains("1000"))
        );
    }
    assert_eq!(refused(&long("0", "0", "")).0, 0);
    assert_eq!(read(&["0.", &"0".repeat(997), "1"].concat().into_bytes()).unwrap(), Value::Number(0.0));
    assert!(read(&long("[", "123456789012345678901.5e-30,", "1]")).is_ok());
    assert!(read(&long("[", "0.00000000000000000000000000000000000001,", "1]")).is_ok());
    assert_eq!(refused(&long("[", "x", "]")).0, 1);
    assert_eq!(refused(&long("1 ", "x", "")).0, 2);
}

#[test]
fn long_nothing() {
    for part in [" ", "\n", "\t", "\r\n"] {
        assert_eq!(refused(&long("", part, "")).0, 1 << 20);
        assert!(read(&long("[", part, "]")).is_ok());
    }
    let error = read(&long("[", "\n", "?")).unwrap_err();
    assert_eq!((error.offset as usize, error.line as usize, error.column), (MEBIBYTE + 1, MEBIBYTE + 1, 1));
    for part in ["\0", "\u{feff}", "]", "}", ",", ":", "'", "-", "+", "\\", "é", "/"] {
        assert_eq!(refused(&long("", part, "")).0, usize::from(part == "-"));
    }
}

#[test]
fn many_entries() {
    let count = MEBIBYTE / 16;
    for prefix in ["", "the same long beginning of each of the keys in here, so that comparing two costs more/"] {
        let keys: Vec<String> = (0..count).map(|index| format!("\"{prefix}{index:06}\":0")).collect();
        let text = format!("{{{}}}", keys.join(","));
        let value = read(text.as_bytes()).unwrap();
        assert_eq!(timed("sorting", || json(&value)), text);
        let twice = format!("{{{},{}}}", keys.join(","), keys[0]);
        let (at, message) = refused(twice.as_bytes());
        assert_eq!(at, text.len());
        assert!(message.starts_with("the key \"") && message.ends_with("is there twice in an object"), "{message}");
        let backwards: Vec<&str> = keys.iter().rev().map(String::as_str).collect();
        assert_eq!(read(format!("{{{}}}", backwards.join(",")).as_bytes()).unwrap(), value);
    }
    let long_key = "k".repeat(MEBIBYTE / 4);
    assert_eq!(refused(format!("{{\"{long_key}\":1,\"{long_key}\":2}}").as_bytes()).0, MEBIBYTE / 4 + 6);
}

/// A `null` can be as much as the caller's stand-in: no more of them are written than may cross, and each is a step of its own if it is
/// long. Sixteen times what may cross was held, and a step of a thousand of them took 17 ms.
#[test]
fn m8_what_stands_for_null_is_bounded_and_paid() {
    let large = Value::String(vec![b'x'; 100_000]);
    let text = long("[", "null,", "0]");
    let mut decoder = Decoder::new(&text, &large, 200, 1 << 20).unwrap();
    let (mut steps, mut held) = (0, 0);
    let error = loop {
        steps += 1;
        held = held.max(decoder.held_bytes());
        if let Some(read) = decoder.step(VALUES_A_STEP) {
            break read.unwrap_err();
        }
    };
    assert_eq!((error.offset, steps), (11 * 5, 11));
    assert_eq!(error.message, "the value up to here: over the limit payload_bytes of 1048576");
    assert!((1_000_000..=1 << 20).contains(&held), "{held}");
    assert_eq!(decoder.moved(), 11 * 100_000);
    // keys are held beside what is written
    let keys: Vec<String> = (0..10_000).map(|key| format!("\"{key}\":0")).collect();
    let text = format!("{{{},", keys.join(","));
    let mut decoder = Decoder::new(text.as_bytes(), &Value::Nil, 200, 1 << 20).unwrap();
    while decoder.step(VALUES_A_STEP).is_none() {}
    assert!(decoder.held_bytes() >= 10_000 * 32 + 50_000, "{}", decoder.held_bytes());
}

#[test]
fn comparing_with_null_is_cheap() {
    let chain = |end: i32| (0..200).fold(Value::from(end), |inner, _| Value::from([("a", inner)]));
    let options = |null: Value| EncodeOptions { null, ..EncodeOptions::default() };
    assert!(timed("a chain", || encode(&chain(1), &options(chain(2)), 200, 1 << 20)).is_err());
    assert!(timed("a chain", || encode(&chain(1), &options("x".into()), 200, 1 << 20)).is_ok());
    let strings: Value = (0..100).map(|_| Value::String(vec![b'x'; 10_000])).collect();
    let null = Value::String([vec![b'x'; 9_999], vec![b'y']].concat());
    assert!(timed("strings", || encode(&strings, &options(null), 200, 2 << 20)).is_ok());
}

#[test]
fn writing_stops_at_once() {
    let wide: Value = (0..1000).map(|_| Value::from("\0".repeat(1000))).collect();
    assert!(encode(&wide, &EncodeOptions::default(), 200, 100).unwrap_err().starts_with("value[1]: "));
    let deep = (0..200).fold(Value::from(1), |inner, _| Value::Array(vec![inner]));
    let indented = EncodeOptions { indent: Some(u8::MAX), ..EncodeOptions::default() };
    assert!(encode(&deep, &indented, 200, 1 << 20).is_err());
    assert!(encode(&deep, &indented, 200, 16 << 20).is_ok());
}
