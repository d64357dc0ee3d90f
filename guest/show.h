// How a value looks to a person, on a line: like the Luau that would make it, cut short.
#pragma once

#include "lua.h"

#include <string>

namespace motu {

// The value at `index`, in at most about 300 bytes. Runs no script: what a metatable says of it is left out.
std::string show(lua_State *L, int index);

} // namespace motu
