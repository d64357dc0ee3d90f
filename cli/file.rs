//! Reads the files that the program is pointed to, never more of them than a ceiling. `Bundle` reads those of a bundle.
//!
//! Files that are named on the command line or found in a folder must be plain files: opening a pipe waits for a writer that
//! may never come, and a device such as /dev/zero has no end. `--data` alone may come through a pipe.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use motu::Bundle;
use rustix::fs::{Mode, OFlags};

/// The most bytes of one kind of file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ceiling {
    /// What the file is, with its article.
    what: &'static str,
    mib: u64,
}

/// Of a scenario for `motu load`.
pub(crate) const SCENARIO: Ceiling = Ceiling { what: "a scenario", mib: 16 };
/// Of a wasm component. Those that carry an interpreter of their language have some 10 MiB.
pub(crate) const PROVIDER: Ceiling = Ceiling { what: "a provider", mib: 256 };
/// Of a `.luaurc`, as of every file of a bundle.
pub(crate) const CONFIG: Ceiling = Ceiling { what: "a .luaurc", mib: Bundle::FILE_BYTES_MAX >> 20 };
/// Of the JSON of a payload. The payload itself has a limit of its own, and its JSON may be some times longer.
pub(crate) const DATA: Ceiling = Ceiling { what: "--data", mib: 16 };

impl Ceiling {
    /// In MiB.
    pub(crate) fn mib(self) -> u64 {
        self.mib
    }

    fn bytes(self) -> u64 {
        self.mib << 20
    }

    fn exceeded(self) -> io::Error {
        let Ceiling { what, mib } = self;
        io::Error::new(ErrorKind::FileTooLarge, format!("{what} can have {mib} MiB at most, and this has more"))
    }
}

/// Reads a plain file. Waits for nothing, whatever the path is.
pub(crate) fn read(path: &Path, ceiling: Ceiling) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no plain file"));
    }
    if metadata.len() > ceiling.bytes() {
        return Err(ceiling.exceeded());
    }
    read_all(file, ceiling)
}

/// Reads a plain file that is text.
pub(crate) fn read_text(path: &Path, ceiling: Ceiling) -> io::Result<String> {
    text(read(path, ceiling)?)
}

/// Reads text to its end, from whatever it comes.
pub(crate) fn read_stream(stream: impl Read, ceiling: Ceiling) -> io::Result<String> {
    text(read_all(stream, ceiling)?)
}

fn read_all(stream: impl Read, ceiling: Ceiling) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(ceiling.bytes() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ceiling.bytes() {
        return Err(ceiling.exceeded());
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 after its first {valid} bytes"))
    })
}
