// The standard library as scripts see it.
#pragma once

#include "guest.h"
#include "lua.h"

#include <cstdint>
#include <string_view>

namespace motu {

// Opens the library in a fresh state, and freezes it: from here on no script can change what another tree sees.
void open_library(lua_State *L);

// Seeds `math.random`.
void seed_random(lua_State *L, uint64_t seed);

// From here on the script may log this many bytes, newlines counted.
void set_log_budget(uint32_t bytes);

// A line of the log, charged to what the script may log. Over that it doesn't return; `what` is for that message.
void log_line(motu_guest_host_log_level_t level, std::string_view text, const char *what);

} // namespace motu
