//! Numbers: digits to a number or an `integer`, and a number to digits.

use super::text::{Fault, Result, Text, shortened};
use crate::value::Value;

/// Digits of the largest double, and a sign: an integer with more is too large.
const DIGITS_MAX: usize = 310;

pub(super) fn read(text: &mut Text<'_>) -> Result<Value> {
    let start = text.at();
    text.skip(b'-');
    let zero = text.at();
    if !text.skip(b'0') {
        digits(text, "a digit after `-`")?;
    } else if text.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new(zero, "a number has no zeros in front"));
    }
    let mut is_integer = true;
    if text.skip(b'.') {
        is_integer = false;
        digits(text, "a digit after `.`")?;
    }
    if text.skip(b'e') || text.skip(b'E') {
        is_integer = false;
        if !text.skip(b'+') {
            text.skip(b'-');
        }
        digits(text, "a digit in the exponent")?;
    }
    let literal = std::str::from_utf8(text.since(start)).unwrap_or_default();
    let value = if is_integer { integer(literal) } else { number(literal).map(Value::Number) };
    value.map_err(|message| Fault::new(start, message))
}

fn digits(text: &mut Text<'_>, expected: &str) -> Result {
    if text.take_while(|byte| byte.is_ascii_digit()).is_empty() { Err(text.unexpected(expected)) } else { Ok(()) }
}

/// The nearest double; what is nearer to 0 than any is 0.
fn number(literal: &str) -> std::result::Result<f64, String> {
    match literal.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("{} is too large for a number", shortened(literal.as_bytes()))),
    }
}

/// Exactly what the digits say, or what says the same digits.
fn integer(literal: &str) -> std::result::Result<Value, String> {
    if literal == "-0" {
        return Ok(Value::Number(-0.0));
    }
    if let Ok(integer) = literal.parse::<i64>() {
        return Ok(Value::from(integer));
    }
    let number = number(literal)?;
    // Many programs write a large double with the fewest digits that mean it, and then zeros.
    let is_said = literal.len() <= DIGITS_MAX && (format!("{number:.0}") == literal || number.to_string() == literal);
    if is_said {
        return Ok(Value::Number(number));
    }
    let literal = shortened(literal.as_bytes());
    Err(format!("{literal} is neither a double nor a 64-bit integer, and would be rounded; have it sent as a string"))
}

/// From here on, integers are written with an exponent.
pub(super) const INTEGERS_MAX: f64 = 1e21;

/// The fewest digits that are read back as this finite number; all of them if it is an integer below 1e21, and an exponent
/// from there on and below 1e-6. The sign of -0 stays.
#[allow(clippy::cast_possible_truncation, reason = "it is an integer below 1e21")]
pub(super) fn write(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 && number.is_sign_negative() {
        "-0.0".to_owned()
    } else if size < 1e18 && number.trunc() == number {
        (number as i64).to_string()
    } else if size < INTEGERS_MAX && number.trunc() == number {
        (number as i128).to_string()
    } else if (1e-6..INTEGERS_MAX).contains(&size) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}
