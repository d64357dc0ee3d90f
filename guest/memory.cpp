// The allocators: Luau's, and C's and C++'s, which are the heap's.
//
// Luau asks for its pages in blocks of exactly 4096 or 8192 bytes. They come from free lists of blocks aligned to 4
// KiB: an image is copied on write by the page, so one Luau page then dirties one page of the host's, not two.

#include "memory.h"

#include "heap.h"
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
constexpr size_t chunk_bytes = 65536; // what is taken from the system at once: one wasm page

struct FreeBlock {
    FreeBlock *next;
};

FreeBlock *free_singles; // blocks of one page
FreeBlock *free_pairs;   // blocks of two
char *chunk_next;        // what is left of the last chunk
char *chunk_end;

bool is_paged(size_t size) { return size == page_bytes || size == 2 * page_bytes; }

char *new_chunk() {
    if (void *hole = heap_allocate_aligned(page_bytes, chunk_bytes, true))
        return static_cast<char *>(hole);
    size_t page = __builtin_wasm_memory_grow(0, 1);
    if (page == SIZE_MAX)
        motu_out_of_memory();
    return reinterpret_cast<char *>(page * chunk_bytes);
}

void give_pages(void *block, size_t size) {
    FreeBlock *&list = size == page_bytes ? free_singles : free_pairs;
    FreeBlock *freed = static_cast<FreeBlock *>(block);
    freed->next = list;
    list = freed;
}

void *take_pages(size_t size) {
    FreeBlock *&list = size == page_bytes ? free_singles : free_pairs;
    if (list) {
        FreeBlock *block = list;
        list = block->next;
        return block;
    }
    if (size == page_bytes && free_pairs) {
        FreeBlock *pair = free_pairs;
        free_pairs = pair->next;
        give_pages(reinterpret_cast<char *>(pair) + page_bytes, page_bytes);
        return pair;
    }
    if (static_cast<size_t>(chunk_end - chunk_next) < size) {
        if (chunk_next != chunk_end)
            give_pages(chunk_next, page_bytes); // one page is left, two are wanted
        chunk_next = new_chunk();
        chunk_end = chunk_next + chunk_bytes;
    }
    char *block = chunk_next;
    chunk_next += size;
    return block;
}

} // namespace

void *luau_allocate(void *, void *block, size_t old_size, size_t new_size) {
    bool was_paged = block && is_paged(old_size);
    if (new_size == 0) {
        if (was_paged)
            give_pages(block, old_size);
        else
            free(block);
        return nullptr;
    }
    if (block && old_size == new_size)
        return block;
    if (!was_paged && !is_paged(new_size))
        return realloc(block, new_size);

    void *moved = is_paged(new_size) ? take_pages(new_size) : malloc(new_size);
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
    if (block)
        motu::heap_free(block);
}

MOTU_EXPORT void *calloc(size_t count, size_t each) {
    size_t size;
    if (__builtin_mul_overflow(count, each, &size))
        motu_out_of_memory();
    return memset(motu::heap_allocate(size), 0, size);
}

// Of size 0 it is a small block: null would say that there is no memory.
MOTU_EXPORT void *realloc(void *block, size_t size) {
    return block ? motu::heap_reallocate(block, size) : motu::heap_allocate(size);
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
