//! What is around the deflate data of a gzip member, as in RFC 1952.

use super::types::Format;

/// The header that is written: no name, no time, an unknown system, so that equal data gives equal bytes.
pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A checksum and a length.
pub(crate) const TRAILER_BYTES: usize = 8;

const HEADER_CHECKED: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// The most that a header may have: names are short, and the header is read in one step.
pub(crate) const HEADER_BYTES_MAX: usize = 16 << 10;

/// How long the header is with which `member` begins; or what is wrong with it, for a message.
pub(crate) fn header(member: &[u8]) -> Result<usize, Header> {
    let head = member.get(..HEADER_BYTES_MAX).unwrap_or(member);
    match end_of_header(head) {
        Err(Header::Short) if head.len() < member.len() => Err(Header::Long),
        end => end,
    }
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// It isn't one.
    Other,
    /// There is less of it than it says.
    Short,
    /// It has more than `HEADER_BYTES_MAX`.
    Long,
    /// It needs what RFC 1952 doesn't have.
    Unknown,
    /// Its checksum is another.
    Damaged,
}

fn end_of_header(head: &[u8]) -> Result<usize, Header> {
    let starts = |with: &[u8]| head.iter().zip(with).all(|(a, b)| a == b);
    if !starts(&HEADER[..2]) {
        return Err(Header::Other);
    }
    let [_, _, method, flags, ..] = *head else { return Err(Header::Short) };
    if method != 8 || flags & RESERVED != 0 {
        return Err(Header::Unknown);
    }
    let mut end = HEADER.len();
    if flags & EXTRA != 0 {
        end += 2 + usize::from(u16::from_le_bytes(array(head, end)?));
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let text = head.get(end..).ok_or(Header::Short)?;
            end += text.iter().position(|byte| *byte == 0).ok_or(Header::Short)? + 1;
        }
    }
    if flags & HEADER_CHECKED != 0 {
        let checked = head.get(..end).ok_or(Header::Short)?;
        let [a, b, ..] = crc32fast::hash(checked).to_le_bytes();
        if array(head, end)? != [a, b] {
            return Err(Header::Damaged);
        }
        end += 2;
    }
    if end > head.len() { Err(Header::Short) } else { Ok(end) }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Header> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(Header::Short)
}

/// What follows the data.
pub(crate) fn trailer(checksum: u32, bytes: usize) -> [u8; TRAILER_BYTES] {
    let [a, b, c, d] = checksum.to_le_bytes();
    // modulo 2^32, as the RFC says
    let [e, f, g, h, ..] = (bytes as u64).to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Which format some data seems to be in, to help with a wrong one.
pub(crate) fn looks_like(data: &[u8]) -> Option<Format> {
    match *data {
        [0x1f, 0x8b, ..] => Some(Format::Gzip),
        [method, flags, ..] if is_zlib(method, flags) => Some(Format::Zlib),
        _ => None,
    }
}

/// Whether data that begins so is zlib's (RFC 1950).
pub(crate) fn is_zlib(method: u8, flags: u8) -> bool {
    method & 0x0f == 8 && method >> 4 <= 7 && (u16::from(method) << 8 | u16::from(flags)) % 31 == 0
}
