//! Percent-encoding, as in RFC 3986, of one component of a URL.

use super::hex;
use super::price;
use super::types::Bytes;
use super::work::{Convert, Pieces, output, over, taken};

pub(crate) fn encode_url(bytes: Vec<u8>, max: usize) -> Result<Pieces<Encode>, String> {
    if bytes.len() > max {
        return Err(over(&format!("{} bytes or more", bytes.len()), max));
    }
    let most = bytes.len().saturating_mul(3).min(max);
    Ok(Pieces::new(bytes, price::ENCODE_URL, Encode { max, out: output(Some(most), max)? }))
}

pub(crate) struct Encode {
    max: usize,
    out: Vec<u8>,
}

impl Convert for Encode {
    type Output = Bytes;

    fn piece(&mut self, _: usize, piece: &[u8], _: bool) -> Result<(), String> {
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + (value - 10) };
        for byte in piece {
            let triple = [b'%', digit(byte >> 4), digit(byte & 15)];
            let written: &[u8] = if is_unreserved(*byte) { std::slice::from_ref(byte) } else { &triple };
            if written.len() > self.max.saturating_sub(self.out.len()) {
                return Err(over(&format!("more than {} bytes", self.max), self.max));
            }
            self.out.extend_from_slice(written);
        }
        Ok(())
    }

    fn finish(&mut self) -> Bytes {
        taken(&mut self.out)
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

pub(crate) fn decode_url(text: Vec<u8>, max: usize) -> Result<Pieces<Decode>, String> {
    if text.len() / 3 > max {
        return Err(over(&format!("{} bytes or more", text.len() / 3), max));
    }
    let out = output(Some(text.len().min(max)), max)?;
    Ok(Pieces::new(text, price::DECODE_URL, Decode { max, open: Open::No, out }))
}

pub(crate) struct Decode {
    max: usize,
    open: Open,
    out: Vec<u8>,
}

/// How much of a `%XX` was read.
#[derive(Clone, Copy)]
enum Open {
    No,
    Percent,
    High(u8),
}

impl Convert for Decode {
    type Output = Bytes;

    fn piece(&mut self, at: usize, piece: &[u8], last: bool) -> Result<(), String> {
        for (index, byte) in piece.iter().enumerate() {
            let written = match (self.open, hex::value(*byte)) {
                (Open::No, _) if *byte == b'%' => {
                    self.open = Open::Percent;
                    continue;
                }
                (Open::No, _) => *byte,
                (Open::Percent, Some(high)) => {
                    self.open = Open::High(high);
                    continue;
                }
                (Open::High(high), Some(low)) => high << 4 | low,
                (Open::Percent, None) => return Err(unfinished(at + index)),
                (Open::High(_), None) => return Err(unfinished(at + index - 1)),
            };
            self.open = Open::No;
            if self.out.len() >= self.max {
                return Err(over(&format!("more than {} bytes", self.max), self.max));
            }
            self.out.push(written);
        }
        let end = at + piece.len();
        match self.open {
            Open::Percent if last => Err(unfinished(end)),
            Open::High(_) if last => Err(unfinished(end - 1)),
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Bytes {
        taken(&mut self.out)
    }
}

/// `percent`: which byte it is, counted from 1.
fn unfinished(percent: usize) -> String {
    format!(
        "byte {percent} of the text is \"%\", and two hex digits must follow it; for a percent sign itself write %25"
    )
}
