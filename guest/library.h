// The standard library as scripts see it.
#pragma once

#include "lua.h"

#include <cstdint>

namespace motu {

// Opens the library in a fresh state, and freezes it: from here on no script can change what another tree sees.
void open_library(lua_State *L);

// Seeds `math.random`.
void seed_random(lua_State *L, uint64_t seed);

// From here on the script may log this many bytes, newlines counted.
void set_log_budget(uint32_t bytes);

} // namespace motu
