//! Numbers: digits to a number or an `integer`, and a number to digits.

use super::text::{Fault, Result, Text, shortened};
use crate::value::Value;

/// Digits of the largest double, and a sign: an integer with more is too large.
const DIGITS_MAX: usize = 310;

/// More digits than these make a number hard: 5 to 20 us, and not 0.1.
const EASY_DIGITS_MAX: usize = 19;

/// Characters of a number, at most: each reader of JSON has such a bound somewhere, and this is a step.
const LEN_MAX: usize = 1_000;

/// A number that was read, and whether it was hard.
pub(super) fn read(text: &mut Text<'_>) -> Result<(Value, bool)> {
    let start = text.at();
    text.skip(b'-');
    let zero = text.at();
    let mut said = 0;
    if !text.skip(b'0') {
        said = digits(text, "a digit after `-`")?;
    } else if text.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new(zero, "a number has no zeros in front"));
    }
    let mut is_integer = true;
    if text.skip(b'.') {
        is_integer = false;
        said += digits(text, "a digit after `.`")?;
    }
    if text.skip(b'e') || text.skip(b'E') {
        is_integer = false;
        if !text.skip(b'+') {
            text.skip(b'-');
        }
        digits(text, "a digit in the exponent")?;
    }
    let literal = std::str::from_utf8(text.since(start)).unwrap_or_default();
    if literal.len() > LEN_MAX {
        let literal = shortened(literal.as_bytes());
        return Err(Fault::new(
            start,
            format!("{literal} has more than {LEN_MAX} characters; no number needs so many"),
        ));
    }
    let value = if is_integer { integer(literal) } else { number(literal).map(Value::Number) };
    value.map(|value| (value, said > EASY_DIGITS_MAX)).map_err(|message| Fault::new(start, message))
}

/// Reads digits, and says how many.
fn digits(text: &mut Text<'_>, expected: &str) -> Result<usize> {
    match text.take_some(LEN_MAX + 1, |byte| byte.is_ascii_digit()).len() {
        0 => Err(text.unexpected(expected)),
        count => Ok(count),
    }
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
