#include "module.h"

#include "call.h"
#include "handle.h"
#include "lualib.h"

#include <algorithm>

namespace motu {
namespace {

// Not changed once they are taken: Luau keeps pointers to the names.
std::vector<HostModule> modules;

std::string text(const guest_string_t &from) { return {reinterpret_cast<const char *>(from.ptr), from.len}; }

// "kv" of "@motu/kv@1".
std::string short_name(const std::string &path) {
    size_t slash = path.find('/');
    std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    return name.substr(0, name.find('@'));
}

// Pushes the table of that name in the table on top, made if it isn't there.
void push_subtable(lua_State *L, const std::string &name) {
    lua_getfield(L, -1, name.c_str());
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, name.c_str());
}

// Makes the table on top read-only, and those in it.
void freeze(lua_State *L) {
    for (int at = 0; (at = lua_rawiter(L, -1, at)) >= 0; lua_pop(L, 2))
        if (lua_istable(L, -1))
            lua_setreadonly(L, -1, true);
    lua_setreadonly(L, -1, true);
}

// Pushes a module's table, with what `push` pushes for each function.
template <class Push> void push_functions(lua_State *L, const HostModule &module, Push push) {
    lua_createtable(L, 0, static_cast<int>(module.functions.size()));
    for (const HostFunction &function : module.functions) {
        if (function.is_method)
            continue;
        if (!function.table.empty())
            push_subtable(L, function.table);
        push(L, function);
        lua_setfield(L, -2, function.name.c_str());
        if (!function.table.empty())
            lua_pop(L, 1);
    }
    freeze(L);
}

} // namespace

void take_modules(exports_motu_guest_vm_list_module_t *incoming) {
    modules.clear();
    forget_resources();
    modules.reserve(incoming->len);
    for (size_t i = 0; i < incoming->len; i++) {
        const exports_motu_guest_vm_module_t &from = incoming->ptr[i];
        HostModule module;
        module.path = text(from.path);
        module.functions.reserve(from.functions.len);
        for (size_t j = 0; j < from.functions.len; j++) {
            const exports_motu_guest_vm_host_function_t &function = from.functions.ptr[j];
            std::string name = text(function.name), shown = short_name(module.path), table;
            if (function.resource.is_some)
                table = text(function.resource.val.name);
            shown += (table.empty() ? "" : "." + table) + (function.is_method ? ":" : ".") + name;
            module.functions.push_back({name, shown, function.number, table, function.is_method, function.is_pure});
            if (function.resource.is_some)
                take_resource(table, function.resource.val.number,
                              function.is_method ? &module.functions.back() : nullptr);
        }
        modules.push_back(std::move(module));
    }
    exports_motu_guest_vm_list_module_free(incoming);
}

HostModule *find_host_module(std::string_view path) {
    for (HostModule &module : modules)
        if (module.path == path)
            return &module;
    return nullptr;
}

void push_host_module(lua_State *L, HostModule &module) {
    if (module.table) {
        lua_getref(L, module.table);
        return;
    }
    luaL_checkstack(L, 6, "require");
    push_functions(L, module, push_host_function);
    module.table = lua_ref(L, -1);
}

void push_replaceable_module(lua_State *L, const HostModule &module) {
    luaL_checkstack(L, 10, "require");
    lua_newtable(L);
    int replaced = lua_gettop(L);
    lua_newtable(L);
    int pure = lua_gettop(L);
    push_functions(L, module, [replaced, pure](lua_State *L, const HostFunction &function) {
        std::string name = function.table.empty() ? function.name : function.table + "." + function.name;
        lua_pushboolean(L, function.is_pure);
        lua_rawsetfield(L, pure, name.c_str());
        lua_pushvalue(L, replaced);
        push_replaceable(L, function, name);
        lua_remove(L, -2);
    });
    lua_insert(L, replaced);
}

std::string host_module_named(std::string_view name) {
    for (const std::string &path : host_modules_under("@motu"))
        if (std::string_view(path).substr(path.find('/') + 1) == name)
            return path;
    return {};
}

std::vector<std::string> host_modules_under(std::string_view space) {
    std::vector<std::string> names;
    for (const HostModule &module : modules) {
        std::string_view path = module.path;
        if (path.size() <= space.size() || path.substr(0, space.size()) != space || path[space.size()] != '/')
            continue;
        std::string_view name = path.substr(0, path.find('@', 1));
        names.emplace_back(find_host_module(name) ? name : path);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

} // namespace motu
