// How a value looks to a person, on a line: like the Luau that would make it, cut short.
#pragma once

#include "lua.h"

#include <string>

namespace motu {

// The value at `index`, in at most about 800 bytes: past 256, one more key and value are shown, and each is 64 characters,
// of which one that is escaped takes four bytes. Runs no script: what a metatable says of it is left out.
std::string show(lua_State *L, int index);

} // namespace motu
