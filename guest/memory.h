// Memory that never comes back null. A script could catch Luau's "not enough memory"; running out here ends the
// instance instead. In practice the host refuses the growth first, and that is a trap; these calls cover what is left.
#pragma once

#include <cstddef>

extern "C" [[noreturn]] void motu_out_of_memory();

namespace motu {

// Like malloc and realloc, for what is handed to the bindings (they free it) or freed with `free`.
void *allocate(size_t size);
void *reallocate(void *block, size_t size);

// The lua_Alloc of the VM.
void *luau_allocate(void *context, void *block, size_t old_size, size_t new_size);

} // namespace motu
