// The library `task`.
#pragma once

#include "lua.h"

namespace motu {

// Makes the global `task`, before the library is frozen.
void open_task(lua_State *L);

} // namespace motu
