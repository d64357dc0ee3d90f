//! Strings as they stand in a text.

use super::text::{Fault, Result, Text, wrote};
use crate::wire::writer::Writer;

/// How much of a string without escapes is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// Escapes that are read at once.
const ESCAPES: usize = 512;

/// Reads a piece of a string, whose first quote was read: UTF-8. Whether it is the last, with the closing quote.
pub(super) fn read(text: &mut Text<'_>, out: &mut Writer) -> Result<bool> {
    for _ in 0..ESCAPES {
        let start = text.at();
        let is_plain = |byte| byte >= b' ' && byte != b'"' && byte != b'\\';
        let plain = text.take_some(PIECE_BYTES, is_plain);
        let is_cut = plain.len() == PIECE_BYTES;
        let valid = match std::str::from_utf8(plain) {
            Ok(_) => plain,
            // a character that goes on in the next piece
            Err(error) if is_cut && error.error_len().is_none() => {
                text.back(plain.len() - error.valid_up_to());
                plain.get(..error.valid_up_to()).unwrap_or_default()
            }
            Err(error) => {
                let at = error.valid_up_to();
                let byte = plain.get(at).copied().unwrap_or_default();
                return Err(Fault::new(start + at, format!("the byte 0x{byte:02X} in a string is not UTF-8")));
            }
        };
        wrote(text.at(), out.append(valid))?;
        if is_cut && !valid.is_empty() {
            return Ok(false);
        }
        let end = text.at();
        match text.peek() {
            Some(b'"') => {
                text.skip(b'"');
                return Ok(true);
            }
            Some(b'\\') => escape(text, out)?,
            Some(control) => {
                let escape = match control {
                    b'\n' => "\\n".to_owned(),
                    b'\r' => "\\r".to_owned(),
                    b'\t' => "\\t".to_owned(),
                    _ => format!("\\u{control:04x}"),
                };
                let message = format!("the control character U+{control:04X} in a string; write it `{escape}`");
                return Err(Fault::new(end, message));
            }
            None => return Err(text.unexpected("the closing quote of a string")),
        }
    }
    Ok(false)
}

fn escape(text: &mut Text<'_>, out: &mut Writer) -> Result {
    let start = text.at();
    text.skip(b'\\');
    let byte = match text.peek() {
        Some(byte @ (b'"' | b'\\' | b'/')) => byte,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => {
            let character = unicode(text, start)?;
            return wrote(text.at(), out.append(character.encode_utf8(&mut [0; 4]).as_bytes()));
        }
        _ => return Err(text.unexpected("one of `\"`, `\\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\\`")),
    };
    text.take();
    wrote(text.at(), out.append(&[byte]))
}

/// Reads `uXXXX`, or both halves of a surrogate pair, which began at `start`.
fn unicode(text: &mut Text<'_>, start: usize) -> Result<char> {
    text.skip(b'u');
    let unit = hexadecimal(text)?;
    let is_first_half = (0xd800..0xdc00).contains(&unit);
    let other = if is_first_half && text.skip(b'\\') && text.skip(b'u') { Some(hexadecimal(text)?) } else { None };
    match char::decode_utf16([unit].into_iter().chain(other)).next() {
        Some(Ok(character)) => Ok(character),
        _ => Err(Fault::new(start, format!("`\\u{unit:04x}` is half of a surrogate pair, without its other half"))),
    }
}

fn hexadecimal(text: &mut Text<'_>) -> Result<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit =
            text.peek().and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u16::try_from(digit).ok());
        let digit = digit.ok_or_else(|| text.unexpected("four hexadecimal digits after `\\u`"))?;
        text.take();
        unit = unit << 4 | digit;
    }
    Ok(unit)
}
