// Memory that never comes back null. A script could catch Luau's "not enough memory"; running out here ends the
// instance instead. In practice the host refuses the growth first, and that is a trap; these calls cover what is left.
#pragma once

#include <cstddef>
#include <cstdlib>

extern "C" [[noreturn]] void motu_out_of_memory();

namespace motu {

// malloc and realloc, which never come back null: for what the bindings free, or `free` does.
inline void *allocate(size_t size) { return malloc(size); }
inline void *reallocate(void *block, size_t size) { return realloc(block, size); }

// A block for what crosses the boundary, freed like any other. Small ones lie in the page that events change anyway.
void *allocate_crossing(size_t size);

// Gives up the gaps of 1 KiB, so that what is made after an image is taken lies together.
void leave_quarters();

// The lua_Alloc of the VM.
void *luau_allocate(void *context, void *block, size_t old_size, size_t new_size);

} // namespace motu
