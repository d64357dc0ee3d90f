//! Bytes as hex digits.

use super::price;
use super::types::Bytes;
use super::work::{Convert, Pieces, output, shown, taken};

pub(crate) fn encode_hex(bytes: Vec<u8>, max: usize) -> Result<Pieces<Encode>, String> {
    let out = output(bytes.len().checked_mul(2), max)?;
    Ok(Pieces::new(bytes, price::ENCODE_HEX, Encode { out }))
}

pub(crate) struct Encode {
    out: Vec<u8>,
}

impl Convert for Encode {
    type Output = Bytes;

    fn piece(&mut self, _: usize, piece: &[u8], _: bool) -> Result<(), String> {
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + (value - 10) };
        self.out.extend(piece.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        Ok(())
    }

    fn finish(&mut self) -> Bytes {
        taken(&mut self.out)
    }
}

pub(crate) fn decode_hex(text: Vec<u8>, max: usize) -> Result<Pieces<Decode>, String> {
    let out = output(Some(text.len() / 2), max)?;
    Ok(Pieces::new(text, price::DECODE_HEX, Decode { out }))
}

pub(crate) struct Decode {
    out: Vec<u8>,
}

impl Convert for Decode {
    type Output = Bytes;

    fn piece(&mut self, at: usize, piece: &[u8], _: bool) -> Result<(), String> {
        let (pairs, rest) = piece.as_chunks();
        for (index, [high, low]) in pairs.iter().enumerate() {
            match (value(*high), value(*low)) {
                (Some(high), Some(low)) => self.out.push(high << 4 | low),
                (None, _) => return Err(unexpected(at + index * 2, *high)),
                (_, None) => return Err(unexpected(at + index * 2 + 1, *low)),
            }
        }
        match *rest {
            [digit] if value(digit).is_none() => Err(unexpected(at + piece.len() - 1, digit)),
            [_] => {
                let digits = at + piece.len();
                Err(format!("the text ends after {digits} hex digits, in the middle of a byte: two digits make one"))
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Bytes {
        taken(&mut self.out)
    }
}

fn unexpected(at: usize, byte: u8) -> String {
    format!("byte {} of the text is {}, and a hex digit was expected (0 to 9, a to f, A to F)", at + 1, shown(byte))
}

/// What each byte stands for, `NONE` if it is no hex digit. A table: branches would be guessed wrong for most digits.
static VALUES: [u8; 256] = values();

const NONE: u8 = 0xff;

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "it runs when Motu is built")]
const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// What a hex digit stands for.
pub(crate) fn value(digit: u8) -> Option<u8> {
    VALUES.get(usize::from(digit)).copied().filter(|value| *value != NONE)
}
