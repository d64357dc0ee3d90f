// The allocators: Luau's, C++'s, and ours.
//
// Luau asks for its pages in blocks of exactly 4096 or 8192 bytes. They come from free lists of blocks aligned to 4
// KiB: an image is copied on write by the page, so one Luau page then dirties one page of the host's, not two.

#include "memory.h"

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
#ifdef __wasm__
    size_t page = __builtin_wasm_memory_grow(0, 1);
    return page == SIZE_MAX ? nullptr : reinterpret_cast<char *>(page * chunk_bytes);
#else
    return static_cast<char *>(aligned_alloc(page_bytes, chunk_bytes));
#endif
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
        if (!chunk_next)
            motu_out_of_memory();
        chunk_end = chunk_next + chunk_bytes;
    }
    char *block = chunk_next;
    chunk_next += size;
    return block;
}

} // namespace

void *allocate(size_t size) {
    void *block = malloc(size ? size : 1);
    if (!block)
        motu_out_of_memory();
    return block;
}

void *reallocate(void *block, size_t size) {
    void *moved = realloc(block, size ? size : 1);
    if (!moved)
        motu_out_of_memory();
    return moved;
}

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
        return reallocate(block, new_size);

    void *moved = is_paged(new_size) ? take_pages(new_size) : allocate(new_size);
    if (block) {
        memcpy(moved, block, old_size < new_size ? old_size : new_size);
        luau_allocate(nullptr, block, old_size, 0);
    }
    return moved;
}

} // namespace motu

// The other forms of new and delete are built on these by the C++ library.

void *operator new(size_t size) { return motu::allocate(size); }

void *operator new(size_t size, std::align_val_t alignment) {
    size_t align = static_cast<size_t>(alignment);
    void *block = aligned_alloc(align, (size + align - 1) / align * align);
    if (!block)
        motu_out_of_memory();
    return block;
}

void operator delete(void *block) noexcept { free(block); }
void operator delete(void *block, size_t) noexcept { free(block); }
void operator delete(void *block, std::align_val_t) noexcept { free(block); }
void operator delete(void *block, size_t, std::align_val_t) noexcept { free(block); }
