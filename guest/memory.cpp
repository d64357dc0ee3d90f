// The allocators: Luau's, and C's and C++'s, which are the heap's.
//
// Luau asks for its pages in blocks of exactly 1024 or 4096 bytes. They come from free lists of blocks aligned to their
// size: an image is copied on write by the page of 4 KiB, so a Luau page then dirties one page of the host's, not two.

#include "memory.h"

#include "heap.h"
#include "hot.h"
#include "vm.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" void motu_out_of_memory() {
    motu::exceeded(MOTU_GUEST_HOST_LIMIT_MEMORY, "the allocator has no memory left");
}

namespace motu {
namespace {

constexpr size_t page_bytes = 4096;
constexpr size_t quarter_bytes = 1024;
constexpr size_t chunk_bytes = 65536; // what is taken from the system at once: one wasm page

Blocks &quarters = hot.quarters;
Blocks &pages = hot.pages;

// Whole pages, and what takes most of one: Luau's global state is of that size, and changes with each event.
bool is_page(size_t size) { return size > page_bytes / 2 && size <= page_bytes; }
bool is_quarter(size_t size) { return size == quarter_bytes; }
bool is_ours(size_t size) { return is_page(size) || is_quarter(size); }

bool in_arena(const void *block) {
    return reinterpret_cast<size_t>(block) - reinterpret_cast<size_t>(hot.arena) < sizeof(hot.arena);
}

char *new_chunk() {
    if (void *hole = heap_allocate_aligned(page_bytes, chunk_bytes, true))
        return static_cast<char *>(hole);
    size_t page = __builtin_wasm_memory_grow(0, 1);
    if (page == SIZE_MAX)
        motu_out_of_memory();
    return reinterpret_cast<char *>(page * chunk_bytes);
}

void give(Blocks &blocks, void *block) {
    FreeBlock *freed = static_cast<FreeBlock *>(block);
    freed->next = blocks.free;
    blocks.free = freed;
}

char *take(Blocks &blocks, size_t size, char *(*new_run)(), size_t run_bytes) {
    if (FreeBlock *block = blocks.free) {
        blocks.free = block->next;
        return reinterpret_cast<char *>(block);
    }
    if (blocks.next == blocks.end) {
        blocks.next = new_run();
        blocks.end = blocks.next + run_bytes;
    }
    char *block = blocks.next;
    blocks.next += size;
    return block;
}

char *take_page() { return take(pages, page_bytes, new_chunk, chunk_bytes); }

void *take_ours(size_t size) {
    return is_quarter(size) ? take(quarters, quarter_bytes, take_page, page_bytes) : take_page();
}

void give_ours(void *block, size_t size) { give(is_quarter(size) ? quarters : pages, block); }

} // namespace

Hot hot;

void *allocate_crossing(size_t size) {
    size_t aligned = (size + 15) & ~static_cast<size_t>(15);
    if (aligned < size || aligned > sizeof(hot.arena) - hot.arena_used)
        return malloc(size);
    void *block = hot.arena + hot.arena_used;
    hot.arena_used += aligned;
    hot.arena_blocks++;
    return block;
}

void leave_quarters() { quarters = {}; }

void *luau_allocate(void *, void *block, size_t old_size, size_t new_size) {
    bool was_ours = block && is_ours(old_size);
    if (new_size == 0) {
        if (was_ours)
            give_ours(block, old_size);
        else
            free(block);
        return nullptr;
    }
    if (block && old_size == new_size)
        return block;
    if (!was_ours && !is_ours(new_size))
        return realloc(block, new_size);

    void *moved = is_ours(new_size) ? take_ours(new_size) : malloc(new_size);
    if (block) {
        memcpy(moved, block, old_size < new_size ? old_size : new_size);
        luau_allocate(nullptr, block, old_size, 0);
    }
    return moved;
}

} // namespace motu

// C's allocators, all of them: a block of one that zig brings could not be freed here.
//
// Not inlined: a compiler that saw a block's header being written, and then the block freed, would drop the writing.
// Used: the compiler makes calls of its own to these, after it has decided which functions the program needs.
#define MOTU_EXPORT extern "C" __attribute__((noinline, used))

MOTU_EXPORT void *malloc(size_t size) { return motu::heap_allocate(size); }

MOTU_EXPORT void free(void *block) {
    if (motu::in_arena(block)) {
        if (--motu::hot.arena_blocks == 0)
            motu::hot.arena_used = 0;
    } else if (block) {
        motu::heap_free(block);
    }
}

MOTU_EXPORT void *calloc(size_t count, size_t each) {
    size_t size;
    if (__builtin_mul_overflow(count, each, &size))
        motu_out_of_memory();
    return memset(motu::heap_allocate(size), 0, size);
}

// Of size 0 it is a small block: null would say that there is no memory.
MOTU_EXPORT void *realloc(void *block, size_t size) {
    if (!motu::in_arena(block))
        return block ? motu::heap_reallocate(block, size) : motu::heap_allocate(size);
    size_t rest = static_cast<size_t>(motu::hot.arena + motu::hot.arena_used - static_cast<char *>(block));
    void *moved = motu::heap_allocate(size);
    memcpy(moved, block, size < rest ? size : rest); // its own bytes, and those of blocks after it
    free(block);
    return moved;
}

// Where the host puts what it sends.
extern "C" void *cabi_realloc(void *block, size_t, size_t align, size_t size) {
    motu::hot.ended_work = {}; // an entry's arguments come before anything else of it
    if (block)
        return realloc(block, size);
    return size ? motu::allocate_crossing(size) : reinterpret_cast<void *>(align);
}

MOTU_EXPORT void *reallocarray(void *block, size_t count, size_t each) {
    size_t size;
    if (__builtin_mul_overflow(count, each, &size))
        motu_out_of_memory();
    return realloc(block, size);
}

MOTU_EXPORT void *aligned_alloc(size_t alignment, size_t size) { return motu::heap_allocate_aligned(alignment, size); }
MOTU_EXPORT void *memalign(size_t alignment, size_t size) { return motu::heap_allocate_aligned(alignment, size); }
MOTU_EXPORT void *valloc(size_t size) { return motu::heap_allocate_aligned(motu::chunk_bytes, size); }

MOTU_EXPORT int posix_memalign(void **block, size_t alignment, size_t size) {
    *block = motu::heap_allocate_aligned(alignment, size);
    return 0;
}

MOTU_EXPORT size_t malloc_usable_size(void *block) { return block ? motu::heap_capacity(block) : 0; }

// The other forms of new and delete are built on these by the C++ library.

void *operator new(size_t size) { return malloc(size); }
void *operator new(size_t size, std::align_val_t alignment) {
    return aligned_alloc(static_cast<size_t>(alignment), size);
}

void operator delete(void *block) noexcept { free(block); }
void operator delete(void *block, size_t) noexcept { free(block); }
void operator delete(void *block, std::align_val_t) noexcept { free(block); }
void operator delete(void *block, size_t, std::align_val_t) noexcept { free(block); }
