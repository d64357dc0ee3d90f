// What wasi-libc would import from WASI. Defined here, they leave a module whose only way out is its WIT world: the
// clocks are the host's, and there are no files.

#include "guest.h"

#include <time.h>

#define WASI_BADF 8
#define WASI_CLOCK_REALTIME 0

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t file, int32_t parts, int32_t count, int32_t written) {
    (void)file, (void)parts, (void)count, (void)written;
    return WASI_BADF;
}

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t file, int64_t offset, int32_t whence, int32_t position) {
    (void)file, (void)offset, (void)whence, (void)position;
    return WASI_BADF;
}

int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t file, int32_t stat) {
    (void)file, (void)stat;
    return WASI_BADF;
}

int32_t __imported_wasi_snapshot_preview1_clock_time_get(int32_t clock, int64_t precision, int32_t time) {
    (void)precision;
    *(uint64_t *)time = clock == WASI_CLOCK_REALTIME ? motu_guest_host_wall_clock() : motu_guest_host_monotonic_clock();
    return 0;
}

// wasi-libc counts from the time of its own start, which an image would keep: in a restored one it may lie ahead.
clock_t clock(void) { return (clock_t)motu_guest_host_monotonic_clock(); }

int close(int file) {
    (void)file;
    return -1;
}
