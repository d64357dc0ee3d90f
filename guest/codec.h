// Luau values as MessagePack, both ways. ARCHITECTURE.md has the table of types.
#pragma once

#include "guest.h"
#include "lua.h"

#include <string>

namespace motu {

enum class Crossing {
    done,
    cannot_cross,   // `detail` is the whole message
    too_many_bytes, // `detail` is the path where it went over
    too_deep,       // the same
};

struct Encoded {
    Crossing outcome;
    guest_list_u8_t bytes; // only if done; freed by its owner with `guest_list_u8_free`
    std::string detail;
};

// Encodes the value at `index`. Reads tables raw, so that no script runs. `root` is what paths start with. The limit on
// bytes is checked before anything is copied. Raises no Lua error.
Encoded encode(lua_State *L, int index, const char *root, size_t bytes_max, size_t depth_max);

// Encodes `count` values from `first` on as one list; a path starts with "argument 2 of NAME", and each value may be as
// deep as `depth_max`.
Encoded encode_arguments(lua_State *L, int first, int count, const char *name, size_t bytes_max, size_t depth_max);

// Pushes the one value that the bytes hold, or returns false with the reason and pushes nothing. May raise a Lua error
// for a table that is larger than Luau allows.
bool decode(lua_State *L, const uint8_t *bytes, size_t size, std::string &reason);

} // namespace motu
