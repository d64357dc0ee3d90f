//! JSON that is being written: never more bytes than it may have.

pub(super) type Result<T = ()> = std::result::Result<T, String>;

pub(super) struct Writer {
    out: Vec<u8>,
    bytes_max: usize,
}

/// Whether a byte of a text needs an escape.
static IS_SPECIAL: [bool; 256] = special();

#[allow(clippy::indexing_slicing, reason = "it runs when Motu is built")]
const fn special() -> [bool; 256] {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
}

impl Writer {
    pub(super) fn new(bytes_max: usize) -> Writer {
        Writer { out: Vec::new(), bytes_max }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// All that was written.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result {
        self.make_room(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn spaces(&mut self, count: usize) -> Result {
        self.make_room(count)?;
        self.out.resize(self.out.len() + count, b' ');
        Ok(())
    }

    /// Text within quotes. What JSON doesn't make one escape stays as it is.
    pub(super) fn escaped(&mut self, text: &str) -> Result {
        let is_special = |byte: &u8| IS_SPECIAL.get(usize::from(*byte)).copied().unwrap_or_default();
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(is_special) {
            let (plain, special) = rest.split_at_checked(at).unwrap_or_default();
            self.put(plain)?;
            let Some((byte, after)) = special.split_first() else { break };
            match byte {
                b'"' => self.put(b"\\\"")?,
                b'\\' => self.put(b"\\\\")?,
                0x08 => self.put(b"\\b")?,
                0x0c => self.put(b"\\f")?,
                b'\n' => self.put(b"\\n")?,
                b'\r' => self.put(b"\\r")?,
                b'\t' => self.put(b"\\t")?,
                control => {
                    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + (value - 10) };
                    self.put(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control & 15)])?;
                }
            }
            rest = after;
        }
        self.put(rest)
    }

    /// Room for so many bytes more, and for nothing past the most.
    fn make_room(&mut self, more: usize) -> Result {
        let left = self.bytes_max.saturating_sub(self.out.len());
        if more > left {
            return Err(format!("the JSON up to here takes more than {} bytes", self.bytes_max));
        }
        if more > self.out.capacity() - self.out.len() {
            self.out.reserve_exact(self.out.len().max(more).max(128).min(left));
        }
        Ok(())
    }
}
