// What tells an empty table that was an object from one that was a list: a metatable that does nothing. On the wire it is an
// empty map, and every other empty table an empty list.
#pragma once

#include "lua.h"
#include "lobject.h"

namespace motu {

// Makes the metatable. Once, when the VM is made.
void make_object_mark(lua_State *L);

// Gives it to the table on top of the stack.
void mark_object(lua_State *L);

bool is_marked_object(const LuaTable *table);

} // namespace motu
