// The heap under malloc and new.
//
// zig's own rounds each block up to a power of two and never joins what was freed: a buffer of 34 MiB took 64, and a
// memory limit bit at half of what it says. Here a block takes what it needs, and free neighbours become one.
#pragma once

#include <cstddef>

namespace motu {

// These never come back null: without memory they end the instance. Contents are aligned to 16 bytes.
void *heap_allocate(size_t size);
void *heap_reallocate(void *contents, size_t size);
void heap_free(void *contents);

// `alignment` is a power of two. With `from_hole`, only what was freed will do, and null is what comes back if there is
// none: memory doesn't grow. Large holes stay whole, for large blocks.
void *heap_allocate_aligned(size_t alignment, size_t size, bool from_hole = false);

// How many bytes there are for the contents.
size_t heap_capacity(void *contents);

} // namespace motu
