// A heap of segregated fits: free blocks are in lists by their size, and bits tell which lists hold any.
//
// Blocks lie one after the other, each with its size in front; the size of a free one is at its end too, so both
// neighbours of a block are found and joined when it is freed. An end marker, a block of size 0, closes a region. Memory
// only ever grows at its end: when something else (the lists of Luau's pages) grew it in between, a new region starts.

#include "heap.h"

#include "memory.h"

#include <cstdint>
#include <cstring>
#include <utility>

// The linker's: where data ends, and where memory ends at first.
extern "C" unsigned char __heap_base, __heap_end;

namespace motu {
namespace {

struct Block {
    size_t before; // the size of the block before if that is free; else the last bytes of its contents
    size_t tag;    // the size, header and all, and the flags
    Block *next;   // in its list, when free; when not, contents start here
    Block *previous;
};

constexpr size_t is_free = 1;
constexpr size_t before_is_free = 2;
constexpr size_t flags = 15;

constexpr size_t granule = 16; // sizes are multiples of it; contents are aligned to it
constexpr size_t header = offsetof(Block, next);
constexpr size_t smallest = sizeof(Block);
constexpr size_t most = 0x7fff0000; // two of these and a page don't overflow
constexpr size_t page = 65536;
constexpr size_t large_hole = 1 << 20;

// 16 lists for sizes below 256, then 16 for each power of two.
constexpr unsigned columns = 16;
constexpr unsigned rows = 25;
constexpr unsigned tries = 32; // how many blocks of a list are looked at

Block *lists[rows][columns];
unsigned columns_used[rows];
unsigned rows_used;
Block *end; // the last region's marker; null before the first

size_t size_of(const Block *block) { return block->tag & ~flags; }
size_t address(const Block *block) { return reinterpret_cast<size_t>(block); }
Block *at(size_t address) { return reinterpret_cast<Block *>(address); }
Block *after(const Block *block) { return at(address(block) + size_of(block)); }
Block *block_of(void *contents) { return at(reinterpret_cast<size_t>(contents) - header); }
void *contents_of(Block *block) { return &block->next; }
size_t capacity_of(const Block *block) { return size_of(block) - header + sizeof(block->before); }

std::pair<unsigned, unsigned> list_of(size_t size) {
    if (size < 256)
        return {0, size / granule};
    unsigned log = 31 - __builtin_clz(static_cast<unsigned>(size));
    return {log - 7, (size >> (log - 4)) % columns};
}

void link(Block *block) {
    auto [row, column] = list_of(size_of(block));
    Block *&first = lists[row][column];
    block->next = first;
    block->previous = nullptr;
    if (first)
        first->previous = block;
    first = block;
    columns_used[row] |= 1u << column;
    rows_used |= 1u << row;
}

void unlink(Block *block) {
    if (block->next)
        block->next->previous = block->previous;
    if (block->previous) {
        block->previous->next = block->next;
        return;
    }
    auto [row, column] = list_of(size_of(block));
    lists[row][column] = block->next;
    if (block->next)
        return;
    columns_used[row] &= ~(1u << column);
    if (columns_used[row] == 0)
        rows_used &= ~(1u << row);
}

// Makes a block free, as one with its free neighbours.
void release(Block *block) {
    size_t size = size_of(block);
    Block *next = after(block);
    if (next->tag & is_free) {
        unlink(next);
        size += size_of(next);
        next = after(next);
    }
    if (block->tag & before_is_free) {
        size += block->before;
        block = at(address(block) - block->before);
        unlink(block);
    }
    block->tag = size | is_free;
    next->before = size;
    next->tag |= before_is_free;
    link(block);
}

// Splits a block in use; the new one is in use as well.
Block *split(Block *block, size_t size) {
    Block *rest = at(address(block) + size);
    rest->tag = size_of(block) - size;
    block->tag = size | (block->tag & flags);
    return rest;
}

void trim(Block *block, size_t size) {
    if (size_of(block) - size >= smallest)
        release(split(block, size));
}

void take(Block *block) {
    unlink(block);
    block->tag &= ~is_free;
    after(block)->tag &= ~before_is_free;
}

// A free block of at least this size. Its own list holds smaller ones too; any in a list of larger ones will do.
Block *find(size_t size) {
    auto [row, column] = list_of(size);
    unsigned left = tries;
    for (Block *block = lists[row][column]; block && left; block = block->next, left--)
        if (size_of(block) >= size)
            return block;
    unsigned fit = columns_used[row] & (~1u << column);
    if (!fit) {
        unsigned larger = rows_used & (~1u << row);
        if (!larger)
            return nullptr;
        row = static_cast<unsigned>(__builtin_ctz(larger));
        fit = columns_used[row];
    }
    return lists[row][__builtin_ctz(fit)];
}

// Memory of 4 GiB ends at address 0.
size_t memory_end() { return __builtin_wasm_memory_size(0) * page; }
bool at_memory_end(const Block *marker) { return marker && marker == end && address(end) + header == memory_end(); }

// Makes this memory the heap's: of the last region if it follows on that, else a region.
void add(size_t start, size_t stop) {
    bool follows = end && address(end) + header == start;
    Block *block = follows ? end : at(start + granule - header);
    if (!follows)
        block->tag = 0;
    end = at(stop - header);
    end->tag = 0;
    block->tag |= address(end) - address(block);
    release(block);
}

// Makes memory larger, by no more pages than needed for a free block of this size at the end of the heap.
Block *extend(size_t size) {
    bool follows = at_memory_end(end);
    if (follows && end->tag & before_is_free)
        size -= end->before;
    if (!follows)
        size += granule; // the marker, and what aligns the first block
    size_t pages = (size + page - 1) / page;
    size_t start = memory_end();
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX)
        motu_out_of_memory();
    add(start, start + pages * page);
    return at(address(end) - end->before);
}

Block *find_or_extend(size_t size) {
    if (!end) { // what is left of the memory that the module starts with
        size_t start = (reinterpret_cast<size_t>(&__heap_base) + granule - 1) & ~(granule - 1);
        size_t stop = reinterpret_cast<size_t>(&__heap_end);
        if (stop - start > granule + smallest)
            add(start, stop);
    }
    Block *block = find(size);
    return block ? block : extend(size);
}

// The size of a block with these contents. Their last bytes may lie in the next block's `before`.
size_t block_size(size_t size) {
    if (size > most)
        motu_out_of_memory();
    size_t whole = (size + header - sizeof(size_t) + granule - 1) & ~(granule - 1);
    return whole < smallest ? smallest : whole;
}

void *use(Block *block, size_t size) {
    take(block);
    trim(block, size);
    return contents_of(block);
}

// How large a block is in which one of this size and alignment fits.
size_t room_for(size_t alignment, size_t size) {
    if (alignment > most)
        motu_out_of_memory();
    return size + alignment + smallest;
}

void *use_aligned(Block *block, size_t alignment, size_t size) {
    take(block);
    size_t contents = address(block) + header;
    size_t aligned = (contents + alignment - 1) & ~(alignment - 1);
    if (aligned != contents) {
        while (aligned - contents < smallest)
            aligned += alignment;
        Block *rest = split(block, aligned - contents);
        release(block);
        block = rest;
    }
    trim(block, size);
    return contents_of(block);
}

// Makes a block as large as this where it is, and says whether it could.
bool enlarge(Block *block, size_t size) {
    Block *next = after(block);
    bool joins = next->tag & is_free;
    if (size_of(block) + (joins ? size_of(next) : 0) < size) {
        // Memory gets larger only if there is no hole that the contents could move to.
        if (!at_memory_end(joins ? after(next) : next) || find(size))
            return false;
        next = extend(size - size_of(block));
    }
    take(next);
    block->tag += size_of(next);
    return true;
}

} // namespace

void *heap_allocate(size_t size) {
    size = block_size(size);
    return use(find_or_extend(size), size);
}

void *heap_allocate_aligned(size_t alignment, size_t size) {
    if (alignment <= granule)
        return heap_allocate(size);
    size = block_size(size);
    return use_aligned(find_or_extend(room_for(alignment, size)), alignment, size);
}

void *heap_take_hole(size_t alignment, size_t size) {
    size = block_size(size);
    Block *block = find(room_for(alignment, size));
    return block && size_of(block) < large_hole ? use_aligned(block, alignment, size) : nullptr;
}

void *heap_reallocate(void *contents, size_t size) {
    size = block_size(size);
    Block *block = block_of(contents);
    if (size <= size_of(block) || enlarge(block, size)) {
        trim(block, size);
        return contents;
    }
    void *moved = use(find_or_extend(size), size);
    memcpy(moved, contents, capacity_of(block));
    release(block);
    return moved;
}

void heap_free(void *contents) { release(block_of(contents)); }

size_t heap_capacity(void *contents) { return capacity_of(block_of(contents)); }

} // namespace motu
