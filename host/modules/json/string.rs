//! Strings as they stand in a text.

use super::text::{Fault, Result, Text};

/// Reads a string, from its first quote to its last: UTF-8, without more room than it takes unless it has escapes.
pub(super) fn read(text: &mut Text<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    text.skip(b'"');
    loop {
        let start = text.at();
        let plain = text.take_while(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        if let Err(error) = std::str::from_utf8(plain) {
            let at = error.valid_up_to();
            let byte = plain.get(at).copied().unwrap_or_default();
            return Err(Fault::new(start + at, format!("the byte 0x{byte:02X} in a string is not UTF-8")));
        }
        out.extend_from_slice(plain);
        let end = text.at();
        match text.peek() {
            Some(b'"') => {
                text.skip(b'"');
                return Ok(out);
            }
            Some(b'\\') => escape(text, &mut out)?,
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
}

fn escape(text: &mut Text<'_>, out: &mut Vec<u8>) -> Result {
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
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        _ => return Err(text.unexpected("one of `\"`, `\\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\\`")),
    };
    text.take();
    out.push(byte);
    Ok(())
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
