//! How an outcome is printed: for people, or as one JSON object.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use motu::{Tier, Usage, Value};

use crate::failure::Failure;
use crate::{json, print};

const VALUE_BYTES_MAX: usize = 2000;

/// What `motu run` came to.
#[derive(Debug)]
pub(crate) struct Success {
    pub(crate) value: Value,
    /// When the bundle was only loaded, and is a table of handlers (or of nothing).
    pub(crate) handlers: Option<Vec<String>>,
    pub(crate) tier: Tier,
    pub(crate) usage: Usage,
}

/// One line on stdout, and the exit status.
pub(crate) fn json(outcome: &Result<Success, Failure>) -> ExitCode {
    let (text, code) = match outcome {
        Ok(success) => {
            let handlers = success.handlers.as_ref().map(|names| {
                let names: Vec<String> = names.iter().map(|name| json::quoted(name)).collect();
                format!(",\"handlers\":[{}]", names.join(","))
            });
            let (value, tier) = (json::compact(&success.value), json::quoted(&success.tier.to_string()));
            let handlers = handlers.unwrap_or_default();
            let text =
                format!("{{\"outcome\":\"ok\",\"value\":{value}{handlers},\"tier\":{tier},{}", numbers(success.usage));
            (text, ExitCode::SUCCESS)
        }
        Err(failure) => {
            let value = failure.value.as_ref().map(|value| format!(",\"value\":{}", json::compact(value)));
            let text = format!(
                "{{\"outcome\":\"error\",\"kind\":{},\"message\":{},\"traceback\":{}{},{}",
                json::quoted(failure.kind.as_str()),
                json::quoted(&failure.message),
                json::quoted(&failure.traceback),
                value.unwrap_or_default(),
                numbers(failure.usage)
            );
            (text, failure.exit_code())
        }
    };
    print(&text, code)
}

fn numbers(usage: Usage) -> String {
    let Usage { fuel, memory_bytes, elapsed, .. } = usage;
    format!("\"fuel\":{fuel},\"memory_bytes\":{memory_bytes},\"elapsed_us\":{}}}\n", elapsed.as_micros())
}

/// The value and a line of numbers on stdout, or the error on stderr.
pub(crate) fn person(outcome: &Result<Success, Failure>) -> ExitCode {
    let success = match outcome {
        Ok(success) => success,
        Err(failure) => return failure.show(),
    };
    let mut out = match (&success.handlers, &success.value) {
        (Some(names), Value::Nil) => format!("handlers: {}", one_line(&names.join(", "))),
        (_, value) => value.as_str().map_or_else(|| json::pretty(value), str::to_owned),
    };
    let _ = write!(out, "\nok: {}, {}\n", usage(success.usage), success.tier);
    print(&out, ExitCode::SUCCESS)
}

/// Two stretches of work, one after the other.
pub(crate) fn sum(first: Usage, then: Usage) -> Usage {
    let mut sum = first;
    sum.fuel = first.fuel.saturating_add(then.fuel);
    sum.memory_bytes = first.memory_bytes.max(then.memory_bytes);
    sum.elapsed = first.elapsed.saturating_add(then.elapsed);
    sum
}

/// `12,345 fuel, 1.6 MiB, 0.3 ms`.
pub(crate) fn usage(usage: Usage) -> String {
    let mib = usage.memory_bytes as f64 / f64::from(1 << 20);
    format!("{} fuel, {mib:.1} MiB, {}", thousands(usage.fuel), time(usage.elapsed))
}

fn thousands(number: u64) -> String {
    grouped(number, ',')
}

/// A number's digits, with a mark between thousands.
pub(crate) fn grouped(number: u64, mark: char) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(mark);
        }
        out.push(digit);
    }
    out
}

pub(crate) fn time(elapsed: Duration) -> String {
    let ms = elapsed.as_secs_f64() * 1e3;
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.2} s", ms / 1e3) }
}

/// Whether a character is not seen but obeyed: it steers a terminal, breaks a line, or changes the direction of what
/// follows. There is none above U+FFFF.
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text that may be a script's, for people: all that [would not be seen](is_unseen) is escaped, but line breaks and tabs.
/// Text that was escaped before stays the same.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if is_unseen(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// [Plain](plain) text on a line of its own.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).replace('\n', "\\n").replace('\t', "\\t")
}

/// A script's value on a line, as far as it is short.
pub(crate) fn value(value: &Value) -> String {
    let text = one_line(&value.to_string());
    match text.get(..text.floor_char_boundary(VALUE_BYTES_MAX)) {
        Some(start) if start.len() < text.len() => format!("{start}... ({} bytes)", text.len()),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_on_a_line() {
        assert_eq!(value(&Value::from("a\x1b[31m\nb")), "\"a\\u{1b}[31m\\nb\"");
        let names = (0..8).map(|at| Value::Array((0..8).map(|_| Value::from("é".repeat(40 + at))).collect()));
        let shown = value(&Value::Array(names.collect()));
        assert!(shown.len() < VALUE_BYTES_MAX + 30 && shown.ends_with(" bytes)"), "{shown}");
    }

    #[test]
    fn for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(time(Duration::from_micros(340)), "0.3 ms");
        assert_eq!(time(Duration::from_millis(2500)), "2.50 s");
        assert_eq!(plain("a\x1b[31m\tb\nc\u{9b}"), "a\\u{1b}[31m\tb\nc\\u{9b}");
        assert_eq!(plain("\u{202e}é\u{2066}"), "\\u{202e}é\\u{2066}");
        assert_eq!(plain("a\u{7f}\u{85}\u{2028}\u{200f}\u{61c}\r"), "a\\u{7f}\\u{85}\\u{2028}\\u{200f}\\u{61c}\\r");
        assert_eq!(plain(&plain("\\\u{9b}")), plain("\\\u{9b}"));
    }
}
