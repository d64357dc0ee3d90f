#include "object.h"

namespace motu {
namespace {

int reference = LUA_NOREF;
const LuaTable *mark;

} // namespace

void make_object_mark(lua_State *L) {
    lua_newtable(L);
    lua_setreadonly(L, -1, true);
    mark = static_cast<const LuaTable *>(lua_topointer(L, -1));
    reference = lua_ref(L, -1);
    lua_pop(L, 1);
}

void mark_object(lua_State *L) {
    lua_getref(L, reference);
    lua_setmetatable(L, -2);
}

bool is_marked_object(const LuaTable *table) { return table->metatable == mark; }

} // namespace motu
