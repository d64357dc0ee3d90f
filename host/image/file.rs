//! Images: the memory of a VM at rest, in sealed files in memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::Lent;
use super::map::{Mapping, page_bytes};
use super::remains::{Heir, Remains};
use super::scan::Run;

/// The most that one file of an image holds. The kernel frees a file's pages when it is closed, in one go: about half a
/// millisecond for one of this size. Each file costs each memory a mapping, of the 65,530 that a process may have.
const FILE_BYTES_MAX: usize = 4 << 20;

/// How much of a memory is looked at, and copied where it isn't zero, in a step. 50 to 200 us.
const STEP_BYTES: usize = 256 << 10;

/// The memory of a VM at rest, never changed after it was made.
pub(crate) struct Image {
    files: Vec<Sealed>,
    len: usize,
    stored_bytes: usize,
    pub(super) usual: Mutex<Usual>,
    /// No VM will start from it any more, so no memory is kept warm for it.
    forgotten: AtomicBool,
    /// Who closes the files in steps when the image is dropped, and unmaps the memories that were kept for it. None: whoever
    /// drops it does, at once.
    heir: Option<Heir>,
}

/// A file that nobody can change, and its bytes. All files of an image but the last have `FILE_BYTES_MAX` bytes.
pub(super) struct Sealed {
    file: File,
    read: Mapping,
}

/// The pages that an instance usually writes to, soon after its start.
#[derive(Default)]
pub(super) enum Usual {
    /// So far, there is this instance to look at, or none.
    #[default]
    Unknown,
    Watched(Weak<Lent>),
    Known(Vec<Run>),
}

impl Image {
    /// An image of these bytes, a whole number of pages. Pages of zeros take no memory.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Arc<Image>> {
        let mut writer = Writer::new(bytes.len(), None)?;
        loop {
            if let Some(image) = writer.step(bytes)? {
                return Ok(image);
            }
        }
    }

    /// The bytes of memory that it describes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes that it keeps: its pages that aren't zero.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    pub(super) fn heir(&self) -> Option<&Heir> {
        self.heir.as_ref()
    }

    pub(super) fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Maps it at the start of a mapping, private and writable.
    pub(super) fn overlay(&self, map: &Mapping) -> io::Result<()> {
        let mut start = 0;
        for sealed in &self.files {
            map.overlay(start, sealed.read.len(), &sealed.file)?;
            start += sealed.read.len();
        }
        Ok(())
    }

    /// The bytes from `start` on, at most `len`: fewer where its files meet, none past its end.
    pub(super) fn bytes(&self, start: usize, len: usize) -> &[u8] {
        let Some(sealed) = self.files.get(start / FILE_BYTES_MAX) else { return &[] };
        let bytes = sealed.bytes();
        let start = (start % FILE_BYTES_MAX).min(bytes.len());
        bytes.get(start..(start + len).min(bytes.len())).unwrap_or_default()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        Remains::of_files(std::mem::take(&mut self.files)).pass_on(self.heir.as_ref());
    }
}

impl Sealed {
    fn new(file: File, len: usize) -> io::Result<Sealed> {
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
        // SAFETY: sealing a file of ours; from here on nobody can change its bytes or its length.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let read = Mapping::of_file(&file, len)?;
        Ok(Sealed { file, read })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable for `len` bytes as long as `self` lives, and the file is sealed.
        unsafe { std::slice::from_raw_parts(self.read.base(), self.read.len()) }
    }
}

/// Makes an image, a step at a time. Dropped half way, it leaves what it has to the heir of the image.
pub(crate) struct Writer {
    /// Those that are whole.
    files: Vec<Sealed>,
    /// The one that is being written.
    file: Option<File>,
    at: usize,
    len: usize,
    stored_bytes: usize,
    zeros: Vec<u8>,
    heir: Option<Heir>,
}

impl Writer {
    /// For an image of `len` bytes, a whole number of pages.
    pub(super) fn new(len: usize, heir: Option<Heir>) -> io::Result<Writer> {
        let page = page_bytes();
        if len == 0 || !len.is_multiple_of(page) {
            return Err(io::Error::other(format!("an image of {len} bytes is not a whole number of pages")));
        }
        Ok(Writer { files: Vec::new(), file: None, at: 0, len, stored_bytes: 0, zeros: vec![0; page], heir })
    }

    /// Takes the next [`STEP_BYTES`] of `memory`, the bytes of all of the image: the same ones at each step. Returns the
    /// image once it has them all.
    pub(super) fn step(&mut self, memory: &[u8]) -> io::Result<Option<Arc<Image>>> {
        let file_at = self.at % FILE_BYTES_MAX;
        let file_bytes = FILE_BYTES_MAX.min(self.len - (self.at - file_at));
        let step_bytes = STEP_BYTES.min(file_bytes - file_at);
        let Some(content) = memory.get(self.at..self.at + step_bytes) else {
            return Err(io::Error::other("a memory is shorter than when its image was begun"));
        };
        let file = match self.file.take() {
            Some(file) => file,
            None => new_file(file_bytes)?,
        };
        self.stored_bytes += write_but_zeros(&file, file_at, content, &self.zeros)?;
        self.at += step_bytes;
        if file_at + step_bytes < file_bytes {
            self.file = Some(file);
            return Ok(None);
        }
        self.files.push(Sealed::new(file, file_bytes)?);
        if self.at < self.len {
            return Ok(None);
        }
        Ok(Some(Arc::new(Image {
            files: std::mem::take(&mut self.files),
            len: self.len,
            stored_bytes: self.stored_bytes,
            usual: Mutex::default(),
            forgotten: AtomicBool::new(false),
            heir: self.heir.take(),
        })))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        Remains::of_files(std::mem::take(&mut self.files)).pass_on(self.heir.as_ref());
    }
}

fn new_file(len: usize) -> io::Result<File> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"motu-image".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(len as u64)?;
    Ok(file)
}

/// Writes pages at `at`, but for those that equal `zeros`, a page of zeros. Returns the number of bytes written.
fn write_but_zeros(file: &File, at: usize, content: &[u8], zeros: &[u8]) -> io::Result<usize> {
    let pages: Vec<(usize, bool)> = content.chunks(zeros.len()).map(|page| (page.len(), page == zeros)).collect();
    let (mut start, mut written) = (0, 0);
    // pages side by side in one call
    for run in pages.chunk_by(|(_, a), (_, b)| a == b) {
        let len: usize = run.iter().map(|(len, _)| len).sum();
        if let (Some((_, false)), Some(bytes)) = (run.first(), content.get(start..start + len)) {
            file.write_all_at(bytes, (at + start) as u64)?;
            written += len;
        }
        start += len;
    }
    Ok(written)
}
