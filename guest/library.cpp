// Opens, trims and freezes the standard library: no loading of code, no environments, and a `print` that goes to the
// log.

#include "library.h"

#include "coroutine.h"
#include "handle.h"
#include "hot.h"
#include "lstate.h"
#include "ltm.h"
#include "lualib.h"
#include "memory.h"
#include "object.h"
#include "require.h"
#include "scheduler.h"
#include "task.h"
#include "vm.h"

#include <cstdlib>
#include <cstring>
#include <string>

namespace motu {
namespace {

int randomseed = -1; // reference of math.randomseed: the field of that name is the script's, the function is not

[[noreturn]] void over_log_budget(const char *what, uint64_t size) {
    exceeded(MOTU_GUEST_HOST_LIMIT_LOG_BYTES, std::string(what) + " of " + std::to_string(size) + " bytes with " +
                                                  std::to_string(hot.log_left) + " left");
}

// print(...) and warn(...): one line of the log. The size is known before anything is put together.
int log_values(lua_State *L, motu_guest_host_log_level_t level, const char *what) {
    int count = lua_gettop(L);
    uint64_t size = 1; // the line's end
    for (int i = 1; i <= count; i++) {
        size_t length = 0;
        luaL_tolstring(L, i, &length);
        lua_replace(L, i);
        size += length + (i > 1 ? 1 : 0);
        if (size > hot.log_left)
            over_log_budget(what, size);
    }
    if (size > hot.log_left)
        over_log_budget(what, size);
    hot.log_left -= size;

    guest_list_u8_t line = {nullptr, 0};
    if (count == 1) {
        line.ptr = reinterpret_cast<uint8_t *>(const_cast<char *>(lua_tolstring(L, 1, &line.len)));
        motu_guest_host_log(level, &line);
        return 0;
    }
    line.ptr = static_cast<uint8_t *>(allocate(static_cast<size_t>(size)));
    for (int i = 1; i <= count; i++) {
        size_t length = 0;
        const char *text = lua_tolstring(L, i, &length);
        if (i > 1)
            line.ptr[line.len++] = '\t';
        memcpy(line.ptr + line.len, text, length);
        line.len += length;
    }
    motu_guest_host_log(level, &line);
    free(line.ptr);
    return 0;
}

int print(lua_State *L) { return log_values(L, MOTU_GUEST_HOST_LOG_LEVEL_INFO, "print"); }

int warn(lua_State *L) { return log_values(L, MOTU_GUEST_HOST_LOG_LEVEL_WARN, "warn"); }

// collectgarbage("count"): the KiB that Luau has in use. collectgarbage() collects all there is, at the script's cost.
// The other options would let a script steer the collector.
int collectgarbage(lua_State *L) {
    const char *option = luaL_optstring(L, 1, "collect");
    if (strcmp(option, "collect") == 0) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        lua_pushnumber(L, 0);
        return 1;
    }
    if (strcmp(option, "count") != 0)
        luaL_error(L, "collectgarbage takes only \"collect\" and \"count\" here");
    lua_pushnumber(L, static_cast<double>(lua_totalbytes(L, -1)) / 1024);
    return 1;
}

// Has the strings' metatable remember that it lacks __namecall, as the first method call on a string would: the image then
// has it, and events don't change the metatable's page.
void prime_string_methods(lua_State *L) { (void)fasttm(L, L->global->mt[LUA_TSTRING], TM_NAMECALL); }

void remove_global(lua_State *L, const char *name) {
    lua_pushnil(L);
    lua_setglobal(L, name);
}

} // namespace

void open_library(lua_State *L) {
    open_scheduler(L);
    luaL_openlibs(L);

    remove_global(L, "getfenv");
    remove_global(L, "setfenv");
    remove_global(L, "_G"); // each tree of files has its own: bundle.cpp
    lua_pushcfunction(L, print, "print");
    lua_setglobal(L, "print");
    lua_pushcfunction(L, warn, "warn");
    lua_setglobal(L, "warn");
    lua_pushcfunction(L, collectgarbage, "collectgarbage");
    lua_setglobal(L, "collectgarbage");
    lua_getglobal(L, "coroutine");
    lua_pushcfunction(L, running, "running");
    lua_setfield(L, -2, "running");
    lua_pop(L, 1);
    push_require(L);
    lua_setglobal(L, "require");
    open_task(L);
    open_handles(L);
    make_object_mark(L);

    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    randomseed = lua_ref(L, -1);
    lua_pop(L, 2);
    prime_string_methods(L);
    luaL_sandbox(L);
}

void seed_random(lua_State *L, uint64_t seed) {
    lua_getref(L, randomseed);
    lua_pushnumber(L, static_cast<int32_t>(seed ^ seed >> 32)); // it takes 32 bits
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        lua_pop(L, 1);
}

void log_line(motu_guest_host_log_level_t level, std::string_view text, const char *what) {
    uint64_t size = static_cast<uint64_t>(text.size()) + 1; // the line's end
    if (size > hot.log_left)
        over_log_budget(what, size);
    hot.log_left -= size;
    guest_list_u8_t line = {reinterpret_cast<uint8_t *>(const_cast<char *>(text.data())), text.size()};
    motu_guest_host_log(level, &line);
}

void set_log_budget(uint32_t bytes) { hot.log_left = bytes; }

} // namespace motu
