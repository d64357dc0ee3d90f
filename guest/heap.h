// The heap under malloc and new.
//
// zig's own rounds each block up to a power of two and never joins what was freed: a buffer of 34 MiB took 64, and a
// memory limit bit at half of what it says. Here a block takes what it needs, and free neighbours become one.
#pragma once

#include <cstddef>

namespace motu {

// These never come back null: without memory they end the instance. Blocks are aligned to 16 bytes, or to `alignment`, a
// power of two.
void *heap_allocate(size_t size);
void *heap_allocate_aligned(size_t alignment, size_t size);
void *heap_reallocate(void *contents, size_t size);
void heap_free(void *contents);

// How many bytes the contents of a block may have.
size_t heap_capacity(void *contents);

// An aligned block from what was freed, without making memory larger; null if there is none. Large holes stay whole, for
// large blocks.
void *heap_take_hole(size_t alignment, size_t size);

} // namespace motu
