//! Which pages of a private mapping have been written to: the kernel's `PAGEMAP_SCAN` (Linux 6.7).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::map::page_bytes;

/// A run of dirty pages, in bytes from the start of the range that was scanned.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) len: usize,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGEMAP_SCAN: libc::c_ulong = 0xC060_6610;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// Asks the kernel for dirty pages of this process.
pub(super) struct DirtyPages {
    pagemap: File,
    /// The process that `pagemap` tells of, also when it is read by a fork of it.
    process: u32,
}

impl DirtyPages {
    /// None where the kernel can't tell, tried on a page of our own.
    pub(super) fn new() -> Option<DirtyPages> {
        let dirty = DirtyPages { pagemap: File::open("/proc/self/pagemap").ok()?, process: std::process::id() };
        let probe = super::Mapping::zeroed(2 * page_bytes()).ok()?;
        // SAFETY: the first byte of a mapping that is readable, writable and ours alone.
        unsafe { probe.base().write_volatile(1) };
        let runs = dirty.scan(probe.base() as usize, 2 * page_bytes()).ok()?;
        matches!(runs.as_slice(), [run] if run.start == 0 && run.len == page_bytes()).then_some(dirty)
    }

    /// The runs of pages in `base..base + len` that are private to this process: written to since they were mapped.
    pub(super) fn scan(&self, base: usize, len: usize) -> io::Result<Vec<Run>> {
        if self.process != std::process::id() {
            return Err(io::Error::other("the process was forked, and its pages are not this process's"));
        }
        let mut regions = [PageRegion::default(); 64];
        let mut runs = Vec::new();
        let (mut start, end) = (base as u64, (base + len) as u64);
        while start < end {
            let mut arg = ScanArg {
                size: size_of::<ScanArg>() as u64,
                start,
                end,
                vec: regions.as_mut_ptr() as u64,
                vec_len: regions.len() as u64,
                category_inverted: PAGE_IS_FILE,
                category_mask: PAGE_IS_FILE,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                return_mask: PAGE_IS_PRESENT,
                ..ScanArg::default()
            };
            // SAFETY: the argument is as linux/fs.h describes it, and `vec` points to `vec_len` regions that outlive the call.
            let found = unsafe { libc::ioctl(self.pagemap.as_raw_fd(), PAGEMAP_SCAN as _, &mut arg) };
            let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
            for region in regions.iter().take(found) {
                let bytes = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
                runs.push(Run { start: bytes(base as u64, region.start), len: bytes(region.start, region.end) });
            }
            if arg.walk_end <= start {
                return Err(io::Error::other("PAGEMAP_SCAN made no progress"));
            }
            start = arg.walk_end;
        }
        Ok(runs)
    }
}
