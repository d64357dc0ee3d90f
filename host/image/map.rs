//! Ranges of address space, and images in files in memory: thin safe wrappers of `mmap` and `memfd_create`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::Slot;
use super::scan::Run;

/// The kernel's page size in bytes.
pub(crate) fn page_bytes() -> usize {
    static PAGE: OnceLock<usize> = OnceLock::new();
    // SAFETY: sysconf reads a constant.
    *PAGE.get_or_init(|| usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Address space that this process has reserved, unmapped on drop.
pub(super) struct Mapping {
    base: *mut u8,
    len: usize,
}

// SAFETY: a mapping is a range of addresses of the process; what is stored there is used under the rules of its users.
unsafe impl Send for Mapping {}
// SAFETY: as above; the methods that change the mapping call the kernel, which synchronises them.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves `len` bytes that can't be touched yet.
    pub(super) fn reserve(len: usize) -> io::Result<Mapping> {
        Mapping::new(len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1)
    }

    /// `len` zero bytes, real memory only where touched.
    pub(super) fn zeroed(len: usize) -> io::Result<Mapping> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        Mapping::new(len, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1)
    }

    fn new(len: usize, prot: libc::c_int, flags: libc::c_int, fd: libc::c_int) -> io::Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { base: base.cast(), len })
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.base
    }

    /// The address of a range of ours, checked.
    fn at(&self, start: usize, len: usize) -> io::Result<*mut libc::c_void> {
        match start.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.base.wrapping_add(start).cast()),
            _ => Err(io::Error::other("a range outside of its mapping")),
        }
    }

    /// Maps an image at the start, private and writable, in place of what was there.
    pub(super) fn overlay_image(&self, image: &Image) -> io::Result<()> {
        let at = self.at(0, image.len())?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: the range is ours (checked), and the users of this module map images only where no reference is held.
        let mapped = unsafe { libc::mmap(at, image.len(), prot, flags, image.file.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has the kernel copy the pages of a range now that would be copied when they are first written to (Linux 5.14).
    pub(super) fn populate(&self, start: usize, len: usize) -> io::Result<()> {
        const MADV_POPULATE_WRITE: libc::c_int = 23;
        let at = self.at(start, len)?;
        // SAFETY: the range is ours (checked), and its contents stay as they are.
        check(unsafe { libc::madvise(at, len, MADV_POPULATE_WRITE) })
    }

    /// Lets a range be read and written.
    pub(super) fn allow(&self, start: usize, len: usize) -> io::Result<()> {
        let at = self.at(start, len)?;
        // SAFETY: the range is ours (checked), and more access invalidates nothing.
        check(unsafe { libc::mprotect(at, len, libc::PROT_READ | libc::PROT_WRITE) })
    }

    /// Gives the memory of a range back, and forbids touching it.
    pub(super) fn drop_pages(&self, start: usize, len: usize) -> io::Result<()> {
        let at = self.at(start, len)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        // SAFETY: the range is ours (checked); the users of this module hold no reference into it.
        let mapped = unsafe { libc::mmap(at, len, libc::PROT_NONE, flags, -1, 0) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Forbids touching a range, keeping the mapping in one piece where the kernel can (Linux 6.13).
    pub(super) fn guard(&self, start: usize, len: usize) -> io::Result<()> {
        const MADV_GUARD_INSTALL: libc::c_int = 102;
        let at = self.at(start, len)?;
        // SAFETY: the range is ours (checked); the users of this module hold no reference into it.
        if unsafe { libc::madvise(at, len, MADV_GUARD_INSTALL) } == 0 {
            return Ok(());
        }
        // SAFETY: as above.
        check(unsafe { libc::mprotect(at, len, libc::PROT_NONE) })
    }

    /// Makes a range of zeroed memory zero again, by giving its pages back.
    pub(super) fn forget_pages(&self, start: usize, len: usize) -> io::Result<()> {
        let at = self.at(start, len)?;
        // SAFETY: the range is ours (checked); the users of this module hold no reference into it.
        check(unsafe { libc::madvise(at, len, libc::MADV_DONTNEED) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, and whoever drops the mapping holds no reference into it.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// The memory of a VM at rest, never changed after it was made.
pub(crate) struct Image {
    file: File,
    read: Mapping,
    stored_bytes: usize,
    pub(super) usual: Mutex<Usual>,
}

/// The pages that an instance usually writes to, soon after its start.
#[derive(Default)]
pub(super) enum Usual {
    /// So far, there is this instance to look at, or none.
    #[default]
    Unknown,
    Watched(Weak<Slot>),
    Known(Vec<Run>),
}

impl Image {
    /// An image of these bytes, a whole number of pages. Pages of zeros take no memory.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Arc<Image>> {
        let page = page_bytes();
        if bytes.is_empty() || !bytes.len().is_multiple_of(page) {
            return Err(io::Error::other(format!("an image of {} bytes is not a whole number of pages", bytes.len())));
        }
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"motu-image".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(bytes.len() as u64)?;
        let mut stored_bytes = 0;
        let zeros = vec![0; page];
        for (index, content) in bytes.chunks(page).enumerate() {
            if content != zeros {
                file.write_all_at(content, (index * page) as u64)?;
                stored_bytes += page;
            }
        }
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
        // SAFETY: sealing a file of ours; from here on nobody can change its bytes or its length.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let read = Mapping::new(bytes.len(), libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd())?;
        Ok(Arc::new(Image { file, read, stored_bytes, usual: Mutex::default() }))
    }

    /// The bytes of memory that it describes.
    pub(crate) fn len(&self) -> usize {
        self.read.len
    }

    /// The bytes that it keeps: its pages that aren't zero.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is readable for `len` bytes as long as `self` lives, and the file is sealed.
        unsafe { std::slice::from_raw_parts(self.read.base, self.read.len) }
    }
}
