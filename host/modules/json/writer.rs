//! JSON that is being written: never more bytes than it may have.

pub(super) type Result<T = ()> = std::result::Result<T, String>;

pub(super) struct Writer {
    out: Vec<u8>,
    bytes_max: usize,
}

impl Writer {
    pub(super) fn new(bytes_max: usize) -> Writer {
        Writer { out: Vec::new(), bytes_max }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
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

    /// Text in quotes. What JSON doesn't make one escape stays as it is.
    pub(super) fn string(&mut self, text: &str) -> Result {
        self.put(b"\"")?;
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| *byte < b' ' || *byte == b'"' || *byte == b'\\') {
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
                control => self.put(format!("\\u{control:04x}").as_bytes())?,
            }
            rest = after;
        }
        self.put(rest)?;
        self.put(b"\"")
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
