//! Runs any bytes as a script and panics when Motu breaks a promise. An ordinary function: the fuzz target calls it, and so
//! does `cargo test`, over the corpus.
//!
//! The promises: every outcome is a value or an error of a kind that a script may cause (never Motu's own fault, never
//! wrong use); results and messages keep to their limits; and the same bytes come to the same end with the same fuel.

use std::time::Duration;

use motu::{Bundle, Error, ErrorKind, Limits, Motu, MotuBuilder, Outcome, Value};
use tokio::runtime::Builder;

/// How many handlers of one script are called: a script may have thousands.
const HANDLERS_MAX: usize = 4;

/// A message or a traceback is cut after 16 KiB; a byte of it that isn't UTF-8 becomes three.
const TEXT_BYTES_MAX: usize = 3 * (16 << 10) + 1024;

/// The limits that scripts run under: small, so that one run is short and what goes wrong goes wrong soon.
pub fn limits() -> Limits {
    Limits {
        load_fuel: Some(20_000_000),
        event_fuel: Some(20_000_000),
        load_deadline: Some(Duration::from_secs(2)),
        event_deadline: Some(Duration::from_millis(500)), // a script may sleep as long as it likes
        memory_bytes: 16 << 20,
        payload_bytes: 64 << 10,
        result_bytes: 64 << 10,
        log_bytes: 4 << 10,
        source_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// The Motu that scripts run in.
pub fn builder() -> MotuBuilder {
    Motu::builder().limits(limits()).on_log(|_| {})
}

/// Runs the bytes as the one file of a bundle, twice.
///
/// # Panics
///
/// When a promise is broken.
pub fn run(motu: &Motu, bytes: &[u8]) {
    let runtime = Builder::new_current_thread().build().expect("a runtime starts");
    let bundle = Bundle::from_files([("init.luau", bytes)]).expect("one file is a bundle");
    let first = runtime.block_on(ends(motu, &bundle, bytes));
    let second = runtime.block_on(ends(motu, &bundle, bytes));
    let in_time = |ends: &[End]| ends.iter().all(|end| end.kind != Some(ErrorKind::Deadline));
    if repeatable(bytes) && in_time(&first) && in_time(&second) {
        assert_eq!(first, second, "the same script came to another end");
    }
}

/// How a load or a call ended.
#[derive(Debug, PartialEq)]
struct End {
    of: String,
    /// None is success.
    kind: Option<ErrorKind>,
    /// What it came to: the value, or the error's value.
    value: Option<Value>,
    fuel: u64,
    memory_bytes: u64,
}

/// Loads the bundle, asks for its value, calls its first handlers, and once more the first of them.
async fn ends(motu: &Motu, bundle: &Bundle, bytes: &[u8]) -> Vec<End> {
    let loaded = match motu.load(bundle).await {
        Ok(loaded) => loaded,
        Err(error) => return vec![failed("load", &error)],
    };
    let usage = loaded.usage();
    let (fuel, memory_bytes) = (usage.fuel, usage.memory_bytes);
    let mut ends = vec![End { of: "load".into(), kind: None, value: None, fuel, memory_bytes }];

    let instance = loaded.instance("fuzz:1".parse().expect("a tenant's name")).with_seed(7);
    ends.push(end("value", instance.value().await));
    let tail = &bytes[bytes.len().saturating_sub(256)..];
    let payloads = [
        Value::String(tail.to_vec()),
        Value::decode(tail).unwrap_or(Value::Nil),
        Value::Array(tail.iter().map(|byte| Value::Number(f64::from(*byte) - 0.5)).collect()),
        Value::Map(vec![(Value::String(b"tail".to_vec()), Value::Buffer(tail.to_vec()))]),
    ];
    let names = loaded.handlers().iter().take(HANDLERS_MAX);
    for (name, payload) in names.clone().chain(names.take(1)).zip(payloads.iter().cycle()) {
        ends.push(end(name, instance.dispatch_value(name, payload).await));
    }
    ends
}

fn end(of: &str, outcome: Result<Outcome<Value>, Error>) -> End {
    let Outcome { value, usage, .. } = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return failed(of, &error),
    };
    let encoded = value.encode().expect("a result can be sent on");
    assert!(encoded.len() <= limits().result_bytes as usize, "{of} returned {} bytes", encoded.len());
    assert!(Value::decode(&encoded).is_ok_and(|back| back == value), "the result of {of} does not survive the wire");
    End { of: of.into(), kind: None, value: Some(value), fuel: usage.fuel, memory_bytes: usage.memory_bytes }
}

fn failed(of: &str, error: &Error) -> End {
    use ErrorKind::{Compile, Deadline, Fuel, InstanceLost, Limit, Memory, Script};
    assert!(
        matches!(error.kind(), Compile | Script | Fuel | Memory | Limit | Deadline | InstanceLost),
        "{of} ended with what no script may cause: {error:?}"
    );
    assert!(!error.message().is_empty(), "{of} failed without a word");
    assert!(error.message().len() <= TEXT_BYTES_MAX, "{of} has a message of {} bytes", error.message().len());
    assert!(error.traceback().len() <= TEXT_BYTES_MAX, "{of} has a traceback of {} bytes", error.traceback().len());
    let usage = error.usage();
    assert!(usage.fuel <= 20_000_000, "{of} used {} fuel", usage.fuel);
    assert!(usage.memory_bytes <= limits().memory_bytes, "{of} used {} bytes", usage.memory_bytes);
    End {
        of: of.into(),
        kind: Some(error.kind()),
        value: error.value().cloned(),
        fuel: usage.fuel,
        memory_bytes: usage.memory_bytes,
    }
}

/// Whether the script can't know the time, which is another at the second run: `os` is not named, nor is the table that it
/// could be found in.
fn repeatable(bytes: &[u8]) -> bool {
    let clock = bytes.windows(2).any(|two| two == b"os" || two == b"_G");
    !clock && !bytes.windows(4).any(|four| four == b"task")
}
