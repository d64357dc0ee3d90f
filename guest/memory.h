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

// The lua_Alloc of the VM.
void *luau_allocate(void *context, void *block, size_t old_size, size_t new_size);

} // namespace motu
