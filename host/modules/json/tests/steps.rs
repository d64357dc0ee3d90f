//! t07: whatever the value or the text is, it is written and read in steps, and paid by what is done.

use super::super::{VALUES_A_STEP, decode_fuel};
use super::{Decoder, EncodeOptions, Encoder, PLENTY, Value, encoded};

/// More than a step costs: what it is meant to, and one piece of a string that is all escapes, or a long key.
const STEP_FUEL_MAX: u64 = 8_000_000;

/// The text, what it cost, and the steps that it took.
fn written(value: &Value) -> (Result<Vec<u8>, String>, u64, u64) {
    let (value, options) = (encoded(value), EncodeOptions::default());
    let mut encoder = Encoder::new(&value, &options, 200, PLENTY as usize).unwrap();
    let (mut steps, mut before) = (0, 0);
    loop {
        let done = encoder.step();
        steps += 1;
        assert!(encoder.fuel() - before <= STEP_FUEL_MAX, "{}", encoder.fuel() - before);
        before = encoder.fuel();
        if let Some(done) = done {
            return (done, encoder.fuel(), steps);
        }
    }
}

/// What was read, and the steps that it took.
fn read(text: &[u8]) -> (Result<Value, String>, usize) {
    let mut decoder = Decoder::new(text, &Value::Nil, 200, PLENTY).unwrap();
    let (mut steps, mut before) = (0, 0);
    loop {
        let done = decoder.step(VALUES_A_STEP);
        steps += 1;
        assert!(decoder.at() - before <= 128 << 10, "{} bytes in a step", decoder.at() - before);
        before = decoder.at();
        if let Some(done) = done {
            return (done.map(|value| value.decode().unwrap()).map_err(|error| error.message), steps);
        }
    }
}

#[test]
fn t07_a_value_is_written_in_steps_and_paid_by_its_text() {
    let keys = |count: usize| {
        let key = |index: usize| (Value::from(format!("key{:06}", index * 7919 % count)), Value::from(true));
        Value::Map((0..count).map(key).collect())
    };
    for value in [
        Value::from("\u{1}".repeat(170_000)),
        (0..1_000_000).map(|_| true).collect(),
        (0..100_000).map(|index| f64::from(index) / 7.0).collect(),
        Value::from("\u{e9}".repeat(200_000)),
        keys(100_003),
        Value::Array(vec![Value::Array(Vec::new()); 200_000]),
        Value::Map(vec![("k".repeat(300_000).into(), 1.into()), ("k".repeat(300_001).into(), 2.into())]),
    ] {
        let (text, fuel, steps) = written(&value);
        let bytes = text.unwrap().len() as u64;
        assert!(fuel >= bytes * 20, "{fuel} for {bytes} bytes");
        assert!(steps >= fuel / STEP_FUEL_MAX && steps >= 3, "{steps} steps for {fuel}");
    }
}

/// A table in tables whose keys are sorted is looked at once, not once for each of them.
#[test]
fn t07_tables_in_tables_cost_no_more_than_beside_each_other() {
    let list: Value = (0..50_000).map(|_| true).collect();
    let nested = (0..190).fold(list.clone(), |inner, _| Value::from([("a", inner), ("b", 1.into())]));
    let (alone, around) = (written(&list), written(&nested));
    assert!(around.1 - alone.1 < 190 * 40_000, "{} and {}", alone.1, around.1);
    let text = String::from_utf8(around.0.unwrap()).unwrap();
    assert!(text.starts_with("{\"a\":{\"a\":") && text.ends_with("},\"b\":1},\"b\":1}"), "{}", &text[..20]);
}

#[test]
fn t07_what_was_written_is_paid_also_if_the_rest_cannot_be() {
    let list: Vec<Value> = (0..10_000).map(|_| Value::from("text")).collect();
    let whole = written(&Value::Array(list.clone())).1;
    let (text, fuel, _) = written(&Value::Array([list, vec![f64::NAN.into()]].concat()));
    assert_eq!(text.unwrap_err(), "value[10001]: JSON has no NaN; leave it out, or write it as a string");
    assert!(fuel * 10 > whole * 9, "{fuel} of {whole}");
}

#[test]
fn t07_a_text_is_read_in_steps() {
    let object = |end: &str| {
        let keys: Vec<String> = (0..100_000).map(|index| format!("\"{:x}\":0", index * 7919 % 100_003)).collect();
        format!("{{{}{end}", keys.join(","))
    };
    for (text, is_value) in [
        (format!("[{}0]", "0,".repeat(500_000)), true),
        (format!("\"{}\"", "\\n".repeat(500_000)), true),
        (format!("\"{}\"", "\u{20ac}".repeat(300_000)), true),
        (object("}"), true),
        (object("x"), false),
        (format!("[{}[]]", "[],".repeat(300_000)), true),
        (format!("{}{}0]{}", "[".repeat(200), "0,".repeat(200_000), "]".repeat(199)), true),
    ] {
        let (value, steps) = read(text.as_bytes());
        assert_eq!(value.is_ok(), is_value, "{:?}", value.err());
        assert!(steps >= text.len() / (128 << 10), "{steps} steps for {} bytes", text.len());
    }
    // a long string in tables that are moved as they end: one of them in a step, and paid
    let deep = format!("{}\"{}\"{}", "[".repeat(100), "x".repeat(500_000), format!("{}]", ",0".repeat(16)).repeat(100));
    assert!(read(deep.as_bytes()).1 >= 100, "a step each");
    let mut decoder = Decoder::new(deep.as_bytes(), &Value::Nil, 200, PLENTY).unwrap();
    while decoder.step(VALUES_A_STEP).is_none() {}
    assert!(decoder.moved() >= 100 * 500_000);
    let text = object("}");
    let parts: u64 = text.as_bytes().chunks(1000).map(decode_fuel).sum();
    assert_eq!(parts, decode_fuel(text.as_bytes()), "in parts it costs the same");
}

/// A string that is read in pieces is what it would be at once, and so is what is wrong with it.
#[test]
fn t07_pieces_of_strings_fit_together() {
    for (unit, count) in [("\u{20ac}", 20_000), ("ab\u{1d11e}", 20_000), ("\u{e9}\\n", 30_000), ("x", 70_000)] {
        for before in 0..5 {
            let start = "a".repeat(before);
            let text = format!("[\"{start}{}\"]", unit.repeat(count));
            let (value, _) = read(text.as_bytes());
            let expected = format!("{start}{}", unit.replace("\\n", "\n").repeat(count));
            assert_eq!(value.unwrap(), Value::Array(vec![expected.clone().into()]));
            assert_eq!(written(&Value::from(expected.clone())).0.unwrap(), serde_json::to_vec(&expected).unwrap());
        }
    }
    let mut bytes = format!("\"{}\"", "\u{20ac}".repeat(20_000)).into_bytes();
    bytes.truncate(50_000);
    let cut = bytes.len() - (bytes.len() - 1) % 3;
    let (error, _) = read(&bytes);
    assert_eq!(error.unwrap_err(), "the byte 0xE2 in a string is not UTF-8", "at {cut}");
}
