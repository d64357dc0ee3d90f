#include "show.h"

#include "text.h"

#include "lualib.h"

#include <cstring>
#include <string_view>

namespace motu {
namespace {

constexpr int entries_max = 8;
constexpr int depth_max = 3;
constexpr size_t bytes_max = 256;

// Numbers, booleans, nil and vectors, as `tostring` has them.
std::string plain(lua_State *L, int index) {
    size_t size = 0;
    const char *text = luaL_tolstring(L, index, &size);
    std::string result(text, size);
    lua_pop(L, 1);
    return result;
}

std::string_view text_at(lua_State *L, int index) {
    size_t size = 0;
    const char *text = lua_tolstring(L, index, &size);
    return {text, size};
}

void add_value(std::string &to, lua_State *L, int index, int depth);

void add_key(std::string &to, lua_State *L, int index, int depth) {
    if (lua_type(L, index) == LUA_TSTRING && is_identifier(text_at(L, index))) {
        to += text_at(L, index);
        return;
    }
    to += '[';
    add_value(to, L, index, depth);
    to += ']';
}

void add_table(std::string &to, lua_State *L, int table, int depth) {
    to += '{';
    int list = lua_objlen(L, table); // what lies in order is shown without its keys
    int count = 0;
    for (int at = 0; (at = lua_rawiter(L, table, at)) >= 0; lua_pop(L, 2)) {
        if (count)
            to += ", ";
        if (count++ == entries_max || to.size() > bytes_max) {
            to += "...";
            lua_pop(L, 2);
            break;
        }
        bool is_next = lua_type(L, -2) == LUA_TNUMBER && count <= list && lua_tonumber(L, -2) == count;
        if (!is_next) {
            add_key(to, L, lua_gettop(L) - 1, depth);
            to += " = ";
        }
        add_value(to, L, lua_gettop(L), depth);
    }
    to += '}';
}

void add_value(std::string &to, lua_State *L, int index, int depth) {
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TINTEGER:
        to += plain(L, index);
        break;
    case LUA_TVECTOR:
        to += "vector(" + plain(L, index) + ")";
        break;
    case LUA_TSTRING:
        to += quoted(text_at(L, index));
        break;
    case LUA_TTABLE:
        if (depth >= depth_max)
            to += "{...}";
        else
            add_table(to, L, index, depth + 1);
        break;
    default:
        to += std::string("of type ") + lua_typename(L, lua_type(L, index));
    }
}

} // namespace

std::string show(lua_State *L, int index) {
    lua_rawcheckstack(L, 2 * depth_max + 4);
    std::string text;
    add_value(text, L, lua_absindex(L, index), 0);
    return text;
}

} // namespace motu
