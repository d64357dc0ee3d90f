// Free blocks are in lists by their size, and bits tell which lists hold any.
//
// Blocks lie one after the other, each with its size in front. The size of a free one is at its end too, so that a
// block that is freed finds both its neighbours. A block of size 0, the end marker, closes a region. Memory grows at
// its end only: when something else (the lists of Luau's pages) made it larger in between, a new region starts.

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

constexpr size_t is_free = 1, before_is_free = 2, flags = 3;
constexpr size_t granule = 16; // sizes are multiples of it, contents are aligned to it
constexpr size_t header = offsetof(Block, next);
constexpr size_t smallest = sizeof(Block);
constexpr size_t most = 0x7fff0000; // two of these and a page don't overflow
constexpr size_t page = 65536;
constexpr size_t large_hole = 1 << 20;
constexpr unsigned rows = 25, columns = 16; // lists for sizes below 256, then a row for each power of two
constexpr unsigned tries = 8;               // how many blocks of a list are looked at

Block *lists[rows][columns];
unsigned columns_used[rows];
unsigned rows_used;
Block *end; // the last region's marker; null before the first

size_t size_of(const Block *block) { return block->tag & ~flags; }
size_t address(const void *pointer) { return reinterpret_cast<size_t>(pointer); }
Block *at(size_t address) { return reinterpret_cast<Block *>(address); }
Block *block_of(void *contents) { return at(address(contents) - header); }
Block *after(const Block *block) { return at(address(block) + size_of(block)); }
size_t align_up(size_t address, size_t alignment) { return (address + alignment - 1) & ~(alignment - 1); }

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
    if (!block->next && (columns_used[row] &= ~(1u << column)) == 0)
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

void take(Block *block) {
    unlink(block);
    block->tag &= ~is_free;
    after(block)->tag &= ~before_is_free;
}

// Splits a block in use; both are in use then.
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
        row = __builtin_ctz(larger);
        fit = columns_used[row];
    }
    return lists[row][__builtin_ctz(fit)];
}

// Memory of 4 GiB ends at address 0.
size_t memory_end() { return __builtin_wasm_memory_size(0) * page; }
bool closes_memory(const Block *marker) { return marker && marker == end && address(end) + header == memory_end(); }

// Makes this memory the heap's: the last region's if it goes on there, else a region.
void add(size_t start, size_t stop) {
    Block *block = end;
    if (!end || address(end) + header != start) {
        block = at(start + granule - header);
        block->tag = 0;
    }
    end = at(stop - header);
    end->tag = 0;
    block->tag |= address(end) - address(block);
    release(block);
}

// Makes memory larger, by no more pages than needed for a free block of this size at the end of the heap.
Block *extend(size_t size) {
    size_t start = align_up(address(&__heap_base), granule);
    if (!end && address(&__heap_end) - start >= granule + smallest) {
        add(start, address(&__heap_end)); // what is left of the memory that the module starts with
        if (Block *block = find(size))
            return block;
    }
    if (!closes_memory(end))
        size += granule; // the marker, and what aligns the first block
    else if (end->tag & before_is_free)
        size -= end->before;
    start = memory_end();
    size_t more = align_up(size, page);
    if (__builtin_wasm_memory_grow(0, more / page) == SIZE_MAX)
        motu_out_of_memory();
    add(start, start + more);
    return at(address(end) - end->before);
}

// The size of a block with these contents. Their last bytes may lie in the next block's `before`.
size_t block_size(size_t size) {
    if (size > most)
        motu_out_of_memory();
    size_t whole = align_up(size + header - sizeof(Block::before), granule);
    return whole < smallest ? smallest : whole;
}

// Makes a block as large as this where it is, and says whether it could.
bool enlarge(Block *block, size_t size) {
    Block *next = after(block);
    bool joins = next->tag & is_free;
    if (size_of(block) + (joins ? size_of(next) : 0) < size) {
        // Memory gets larger only if there is no hole that the contents could move to.
        if (!closes_memory(joins ? after(next) : next) || find(size))
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
    Block *block = find(size);
    if (!block)
        block = extend(size);
    take(block);
    trim(block, size);
    return &block->next;
}

void *heap_allocate_aligned(size_t alignment, size_t size, bool from_hole) {
    if (alignment > most)
        motu_out_of_memory();
    size = block_size(size);
    size_t room = size + alignment + smallest;
    Block *block = find(room);
    if (from_hole && (!block || size_of(block) >= large_hole))
        return nullptr;
    if (!block)
        block = extend(room);
    take(block);
    if (address(&block->next) % alignment != 0) {
        size_t contents = align_up(address(&block->next) + smallest, alignment);
        Block *rest = split(block, contents - address(&block->next));
        release(block);
        block = rest;
    }
    trim(block, size);
    return &block->next;
}

void *heap_reallocate(void *contents, size_t size) {
    Block *block = block_of(contents);
    size_t whole = block_size(size);
    if (whole <= size_of(block) || enlarge(block, whole)) {
        trim(block, whole);
        return contents;
    }
    void *moved = heap_allocate(size);
    memcpy(moved, contents, heap_capacity(contents));
    release(block);
    return moved;
}

void heap_free(void *contents) { release(block_of(contents)); }

size_t heap_capacity(void *contents) { return size_of(block_of(contents)) - header + sizeof(Block::before); }

} // namespace motu
