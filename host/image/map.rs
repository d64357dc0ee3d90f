//! Ranges of address space: thin safe wrappers of `mmap` and its like.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

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

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The address of a range of ours, checked.
    fn at(&self, start: usize, len: usize) -> io::Result<*mut libc::c_void> {
        match start.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.base.wrapping_add(start).cast()),
            _ => Err(io::Error::other("a range outside of its mapping")),
        }
    }

    /// Maps the first `len` bytes of a file for reading. The file is sealed: nobody can cut it short under the mapping.
    pub(super) fn of_file(file: &File, len: usize) -> io::Result<Mapping> {
        Mapping::new(len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd())
    }

    /// Maps the first `len` bytes of a file at `start`, private and writable, in place of what was there.
    pub(super) fn overlay(&self, start: usize, len: usize, file: &File) -> io::Result<()> {
        let at = self.at(start, len)?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: the range is ours (checked), and the users of this module map images only where no reference is held.
        let mapped = unsafe { libc::mmap(at, len, prot, flags, file.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has the kernel use small pages only: with huge ones, the first touch of a page would take 2 MiB. Kernels without huge
    /// pages refuse, which does no harm.
    pub(super) fn small_pages(&self) {
        // SAFETY: the range is this mapping, and its contents stay as they are.
        if unsafe { libc::madvise(self.base.cast(), self.len, libc::MADV_NOHUGEPAGE) } != 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "huge pages could not be refused");
        }
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

    /// Gives the pages of a range back, and leaves it as it was when it was mapped: zero, or the file's bytes.
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
