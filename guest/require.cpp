#include "require.h"

#include "lualib.h"
#include "module.h"
#include "resolver.h"

#include <algorithm>
#include <string>
#include <vector>

namespace motu {
namespace {

// Their addresses are keys: of the registry's table from path to result, of a result that is nil, and of the error of the
// last require of a file that doesn't compile.
char results_key;
char nil_result;
char broken_error;

const File *broken; // that file

// The modules that are running their top level, each required by the one before. A module can't yield, so they end in
// reverse order, whatever coroutines they use.
std::vector<const File *> running;

class Running {
public:
    explicit Running(const File &file) { running.push_back(&file); }
    ~Running() { running.pop_back(); } // also when the module raises: Luau's errors are C++ exceptions
    Running(const Running &) = delete;
    Running &operator=(const Running &) = delete;
};

// "a.luau -> b.luau -> a.luau" if `file` is running, else "".
std::string cycle_to(const File &file) {
    auto it = std::find(running.begin(), running.end(), &file);
    if (it == running.end())
        return "";
    std::string chain;
    for (; it != running.end(); ++it)
        chain += (*it)->path + " -> ";
    return chain + file.path;
}

// Pushes the kept result and returns true, or pushes nothing.
bool push_kept(lua_State *L, const File &file) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &results_key);
    lua_pushlstring(L, file.path.data(), file.path.size());
    lua_rawget(L, -2);
    lua_remove(L, -2);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    if (lua_islightuserdata(L, -1) && lua_tolightuserdata(L, -1) == &nil_result) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    return true;
}

// Keeps the value on top of the stack.
void keep(lua_State *L, const File &file) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &results_key);
    lua_pushlstring(L, file.path.data(), file.path.size());
    if (lua_isnil(L, -3))
        lua_pushlightuserdata(L, &nil_result);
    else
        lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void keep_broken_error(lua_State *L) {
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &broken_error);
}

// The code that called `require`: past `pcall` and other C functions to the nearest Luau function.
struct Caller {
    const File *file = nullptr;
    int line = 0; // 0 in opaque code
};

Caller find_caller(lua_State *L) {
    lua_Debug info = {};
    for (int level = 1; lua_getinfo(L, level, "sl", &info); ++level) {
        if (info.what && info.what[0] == 'C')
            continue;
        Caller caller;
        if (info.source && info.source[0] == '=')
            caller.file = find_file(info.source + 1);
        caller.line = info.currentline > 0 ? info.currentline : 0;
        return caller;
    }
    return {};
}

// Pushes an error message with the caller's place before it.
void push_error(lua_State *L, const Caller &caller, const std::string &text) {
    std::string message;
    if (caller.line > 0)
        message = caller.file->path + ":" + std::to_string(caller.line) + ": ";
    message += text;
    lua_pushlstring(L, message.data(), message.size());
}

// What is to be run or fetched, or neither with an error pushed. A function of its own, so that no string of it is alive
// while the module runs.
struct Found {
    const File *file = nullptr;
    HostModule *host = nullptr;
};

Found find_module(lua_State *L, std::string_view wanted) {
    Caller caller = find_caller(L);
    if (!caller.file) {
        lua_pushliteral(L, "require was called by no file of the bundle");
        return {};
    }
    Resolution found = resolve(*caller.file, wanted);
    if (!found.host.empty()) {
        const File *stand_in = find_stand_in(found.host);
        return {stand_in, stand_in ? nullptr : find_host_module(found.host)};
    }
    if (!found.file) {
        push_error(L, caller, found.error);
        return {};
    }
    std::string cycle = cycle_to(*found.file);
    if (!cycle.empty()) {
        push_error(L, caller, require_error(*caller.file, wanted, "the modules require each other: " + cycle));
        return {};
    }
    if (!found.file->broken.empty()) {
        broken = found.file;
        push_error(L, caller, require_error(*caller.file, wanted, "it doesn't compile:\n" + found.file->broken));
        keep_broken_error(L);
        return {};
    }
    return {found.file, nullptr};
}

int require_function(lua_State *L) {
    size_t length = 0;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *wanted = lua_tolstring(L, 1, &length);
    const File *stand_in = find_stand_in({wanted, length});
    if (stand_in && find_caller(L).file != stand_in) {
        require_file(L, *stand_in);
        return 1;
    }
    if (HostModule *module = find_host_module({wanted, length})) {
        if (stand_in) { // itself
            push_replaceable_module(L, *module);
            return 3;
        }
        push_host_module(L, *module);
        return 1;
    }
    Found found = find_module(L, std::string_view(wanted, length));
    if (found.host)
        push_host_module(L, *found.host);
    else if (found.file)
        require_file(L, *found.file);
    else
        lua_error(L);
    return 1;
}

} // namespace

const File *broken_module(lua_State *L) {
    if (!broken || lua_type(L, -1) != LUA_TSTRING)
        return nullptr;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &broken_error);
    bool is_it = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    return is_it ? broken : nullptr;
}

void push_require(lua_State *L) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &results_key);
    lua_pushcfunction(L, require_function, "require");
}

void require_file(lua_State *L, const File &file) {
    luaL_checkstack(L, 8, "require");
    if (push_kept(L, file))
        return;
    {
        Running guard(file);
        run_module(L, file);
    }
    keep(L, file);
}

} // namespace motu
