// The export `load`: compiles the bundle, runs its entry, keeps what that returned.

#include "bundle.h"
#include "failure.h"
#include "lualib.h"
#include "memory.h"
#include "module.h"
#include "require.h"
#include "text.h"
#include "trace.h"
#include "vm.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace motu {
namespace {

bool loading;

// The first function of the entry's coroutine. The entry goes through `require`'s own door: if one of its modules
// requires it in turn, that is a cycle.
int run_entry(lua_State *L) {
    const File *file = static_cast<const File *>(lua_tolightuserdata(L, 1));
    require_file(L, *file);
    return 1;
}

// A file that is needed doesn't compile: what is wrong with it, then with the others.
exports_motu_guest_vm_failure_t broken_bundle(const File &file, std::vector<Diagnostic> diagnostics) {
    std::stable_partition(diagnostics.begin(), diagnostics.end(),
                          [&](const Diagnostic &diagnostic) { return diagnostic.path == file.path; });
    return compile_failure(list_diagnostics(diagnostics));
}

// What a yield out of the top level raises says nothing about why it's forbidden.
exports_motu_guest_vm_failure_t load_failure(lua_State *coroutine, const std::vector<Diagnostic> &diagnostics) {
    if (const File *broken = broken_module(coroutine))
        return broken_bundle(*broken, diagnostics);
    static const char yielded[] = "attempt to yield across metamethod/C-call boundary";
    size_t size = 0;
    const char *text = lua_type(coroutine, -1) == LUA_TSTRING ? lua_tolstring(coroutine, -1, &size) : "";
    std::string_view message(text, size);
    if (size > text_bytes_max || message.find(yielded) == std::string_view::npos)
        return failure_of(coroutine);
    std::string explained = place_of(coroutine) +
                            "the top level of a bundle can't yield: it runs once, when the bundle's image is made, and "
                            "nothing would resume it";
    return script_failure(explained, traceback_of(coroutine));
}

guest_list_list_u8_t sorted_list(std::vector<std::string_view> names) {
    std::sort(names.begin(), names.end());
    guest_list_list_u8_t list = {nullptr, names.size()};
    if (names.empty())
        return list;
    list.ptr = static_cast<guest_list_u8_t *>(allocate(names.size() * sizeof(guest_list_u8_t)));
    for (size_t i = 0; i < names.size(); i++) {
        list.ptr[i] = {nullptr, names[i].size()};
        if (names[i].empty())
            continue;
        list.ptr[i].ptr = static_cast<uint8_t *>(allocate(names[i].size()));
        memcpy(list.ptr[i].ptr, names[i].data(), names[i].size());
    }
    return list;
}

// The handlers among what the entry returned, which is on top of the stack.
exports_motu_guest_vm_loaded_t list_handlers(lua_State *L) {
    exports_motu_guest_vm_loaded_t loaded = {{nullptr, 0}, false, {nullptr, 0}};
    constexpr size_t told_max = 20, told_bytes_max = 64;
    std::vector<std::string> told;
    if (!lua_istable(L, -1))
        return loaded;
    std::vector<std::string_view> names; // they point into Luau strings, which the table keeps alive
    bool others = false;
    uint64_t bytes = 0;
    int table = lua_gettop(L);
    for (int at = 0; (at = lua_rawiter(L, table, at)) >= 0; lua_pop(L, 2)) {
        bool is_named = lua_type(L, -2) == LUA_TSTRING;
        size_t size = 0;
        const char *name = is_named ? lua_tolstring(L, -2, &size) : nullptr; // which would make a number's key a string
        if (!is_named || !lua_isfunction(L, -1)) {
            others = true;
            if (is_named && told.size() < told_max)
                told.push_back(std::string(name, std::min(size, told_bytes_max)) + " is a " + luaL_typename(L, -1));
            continue;
        }
        bytes += size + 32; // what the host counts for a list's item
        if (bytes > limits().result_bytes)
            exceeded(MOTU_GUEST_HOST_LIMIT_RESULT_BYTES, "the names of the entry's handlers");
        names.emplace_back(name, size);
    }
    loaded.only_handlers = !others && !names.empty();
    loaded.handlers = sorted_list(std::move(names));
    loaded.others = sorted_list({told.begin(), told.end()});
    return loaded;
}

} // namespace

bool is_loading() { return loading; }

} // namespace motu

using namespace motu;

bool exports_motu_guest_vm_load(exports_motu_guest_vm_list_file_t *incoming, guest_string_t *entry_path,
                                exports_motu_guest_vm_list_module_t *modules, exports_motu_guest_vm_loaded_t *ret,
                                exports_motu_guest_vm_failure_t *err) {
    begin(true);
    entry().path.assign(reinterpret_cast<const char *>(entry_path->ptr), entry_path->len);
    guest_string_free(entry_path);
    take_files(incoming);
    take_modules(modules);

    std::vector<Diagnostic> diagnostics = compile_files(true);
    const File *file = find_file(entry().path);
    if (!file || !is_luau(file->path)) {
        *err = compile_failure("the bundle has no entry " + entry().path);
        return false;
    }
    if (!file->broken.empty()) {
        *err = broken_bundle(*file, diagnostics);
        return false;
    }

    lua_State *main = main_state();
    int top = lua_gettop(main);
    lua_State *coroutine = lua_newthread(main);
    lua_pushcfunction(coroutine, run_entry, nullptr);
    lua_pushlightuserdata(coroutine, const_cast<File *>(file));
    loading = true;
    int status = lua_resume(coroutine, nullptr, 1);
    loading = false;
    bool loaded = status == LUA_OK;
    if (loaded) {
        WorksFor work(file, 0);
        entry().value = lua_ref(coroutine, -1);
        *ret = list_handlers(coroutine);
    } else {
        *err = load_failure(coroutine, diagnostics);
    }
    lua_settop(main, top);
    return loaded;
}
