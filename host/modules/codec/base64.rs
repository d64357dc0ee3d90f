//! Base64 as in RFC 4648, both alphabets. Our own, because of the errors: each has the very byte.

use super::price;
use super::types::{Base64Options, Bytes};
use super::work::{Convert, Pieces, output, shown, taken};

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a byte stands for that is in no alphabet.
const NONE: u8 = 0xff;

static STANDARD_VALUES: [u8; 256] = values(STANDARD);
static URL_SAFE_VALUES: [u8; 256] = values(URL_SAFE);

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "it runs when Motu is built")]
const fn values(alphabet: &[u8; 64]) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 64 {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values
}

pub(crate) fn encode_base64(
    bytes: Vec<u8>,
    options: Option<Base64Options>,
    max: usize,
) -> Result<Pieces<Encode>, String> {
    let options = options.unwrap_or_default();
    let padding = options.padding.unwrap_or(true);
    let symbols = match (padding, bytes.len() % 3) {
        (true, 1 | 2) => 4,
        (_, rest) => rest + usize::from(rest > 0),
    };
    let size = (bytes.len() / 3).checked_mul(4).and_then(|size| size.checked_add(symbols));
    let alphabet = if options.url_safe.unwrap_or(false) { URL_SAFE } else { STANDARD };
    Ok(Pieces::new(bytes, price::ENCODE_BASE64, Encode { alphabet, padding, out: output(size, max)? }))
}

pub(crate) struct Encode {
    alphabet: &'static [u8; 64],
    padding: bool,
    out: Vec<u8>,
}

impl Encode {
    /// The four symbols of three bytes.
    fn symbols(&self, [a, b, c]: [u8; 3]) -> [u8; 4] {
        let symbol = |value: u8| self.alphabet.get(usize::from(value & 63)).copied().unwrap_or_default();
        [symbol(a >> 2), symbol(a << 4 | b >> 4), symbol(b << 2 | c >> 6), symbol(c)]
    }
}

impl Convert for Encode {
    type Output = Bytes;

    fn piece(&mut self, _: usize, piece: &[u8], _: bool) -> Result<(), String> {
        let (threes, rest) = piece.as_chunks();
        for three in threes {
            let symbols = self.symbols(*three);
            self.out.extend_from_slice(&symbols);
        }
        let (symbols, count) = match *rest {
            [a] => (self.symbols([a, 0, 0]), 2),
            [a, b] => (self.symbols([a, b, 0]), 3),
            _ => return Ok(()),
        };
        self.out.extend(symbols.iter().take(count));
        if self.padding {
            self.out.extend(std::iter::repeat_n(b'=', 4 - count));
        }
        Ok(())
    }

    fn finish(&mut self) -> Bytes {
        taken(&mut self.out)
    }
}

pub(crate) fn decode_base64(
    mut text: Vec<u8>,
    options: Option<Base64Options>,
    max: usize,
) -> Result<Pieces<Decode>, String> {
    let options = options.unwrap_or_default();
    let url_safe = options.url_safe.unwrap_or(false);
    let pads = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    text.truncate(text.len() - pads);
    let size = text.len() / 4 * 3 + (text.len() % 4).saturating_sub(1);
    let out = output(Some(size), max)?;
    Ok(Pieces::new(text, price::DECODE_BASE64, Decode { url_safe, padding: options.padding, pads, out }))
}

pub(crate) struct Decode {
    url_safe: bool,
    /// Whether padding must be there; either will do if nothing is said.
    padding: Option<bool>,
    pads: usize,
    out: Vec<u8>,
}

impl Decode {
    /// The value of each of four symbols, `NONE` where it is none.
    fn values(&self, symbols: [u8; 4]) -> [u8; 4] {
        let values = if self.url_safe { &URL_SAFE_VALUES } else { &STANDARD_VALUES };
        symbols.map(|symbol| values.get(usize::from(symbol)).copied().unwrap_or(NONE))
    }

    /// What is wrong with the first of some symbols that isn't one.
    fn unexpected(&self, at: usize, symbols: &[u8; 4]) -> String {
        let values = self.values(*symbols);
        let found = (at..).zip(symbols.iter().zip(values)).find(|(_, (_, value))| *value == NONE);
        let Some((at, (byte, _))) = found else {
            return "the text isn't Base64".to_owned();
        };
        let why = match byte {
            b'-' | b'_' => "which is of the alphabet for URLs: give the option url_safe = true",
            b'+' | b'/' => "which isn't of the alphabet for URLs: leave out the option url_safe",
            b'=' => "which is padding: it can only be at the end, and fill up the last four symbols",
            b' ' | b'\t' | b'\r' | b'\n' => {
                "but white space isn't Base64: take it out, with string.gsub(text, \"%s\", \"\")"
            }
            _ => "which isn't Base64: letters, digits and two signs are",
        };
        format!("byte {} of the text is {}, {why}", at + 1, shown(*byte))
    }

    /// The end: none to three symbols, and the padding.
    fn tail(&mut self, at: usize, rest: &[u8]) -> Result<(), String> {
        let mut symbols = [b'A'; 4];
        symbols.iter_mut().zip(rest).for_each(|(symbol, byte)| *symbol = *byte);
        let values = self.values(symbols);
        if values.contains(&NONE) {
            return Err(self.unexpected(at, &symbols));
        }
        let end = at + rest.len();
        let needed = match rest.len() {
            0 => 0,
            1 => return Err(format!("the text ends too soon: one symbol is left at byte {end}, and two make a byte")),
            symbols => 4 - symbols,
        };
        match self.padding {
            Some(false) if self.pads > 0 => {
                let at = end + 1;
                return Err(format!(
                    "byte {at} of the text is padding: leave out the option padding = false to allow it"
                ));
            }
            Some(true) if self.pads < needed => {
                return Err(format!("after byte {end} the text lacks padding: leave out the option padding = true"));
            }
            _ if self.pads > 0 && self.pads != needed => {
                let pads = self.pads;
                return Err(format!(
                    "after byte {end} of the text should be {needed} of the padding \"=\", not {pads}"
                ));
            }
            _ => (),
        }
        // a byte too many if there are symbols, and two if there are two
        let [a, b, c] = joined(values);
        let (bytes, left): (&[u8], u8) = match needed {
            2 => (&[a], b),
            1 => (&[a, b], c),
            _ => (&[], 0),
        };
        if left != 0 {
            return Err(format!("byte {end} of the text has bits that belong to no byte: the text was cut or changed"));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

impl Convert for Decode {
    type Output = Bytes;

    fn piece(&mut self, at: usize, piece: &[u8], last: bool) -> Result<(), String> {
        let (fours, rest) = piece.as_chunks();
        for (index, four) in fours.iter().enumerate() {
            let values = self.values(*four);
            if values.iter().any(|value| *value > 63) {
                return Err(self.unexpected(at + index * 4, four));
            }
            self.out.extend_from_slice(&joined(values));
        }
        if last { self.tail(at + fours.len() * 4, rest) } else { Ok(()) }
    }

    fn finish(&mut self) -> Bytes {
        taken(&mut self.out)
    }
}

/// Four times six bits.
fn joined([a, b, c, d]: [u8; 4]) -> [u8; 3] {
    [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]
}
