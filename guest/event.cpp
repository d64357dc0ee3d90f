// The exports `start`, which runs a handler, and `entry-value`. This is the warm path: what an event costs beside the
// handler itself is here and in the codec.

#include "bundle.h"
#include "codec.h"
#include "coroutine.h"
#include "failure.h"
#include "text.h"
#include "vm.h"

#include <exception>
#include <string>
#include <string_view>

namespace motu {
namespace {

// "path:line: " of the function on top of the stack, for an error that comes after it has returned.
std::string place_of_function(lua_State *L) {
    lua_Debug info = {};
    if (!lua_getinfo(L, -1, "sl", &info) || info.source[0] != '=' || info.what[0] == 'C')
        return {};
    const File *file = find_file(info.source + 1);
    if (!file)
        return {};
    return file->path + (file->opaque ? "" : ":" + std::to_string(info.currentline)) + ": ";
}

// Encodes the result for the bindings. If something in it can't cross, `reason` says what and where. Over a limit it
// doesn't return.
bool give_result(lua_State *L, int index, const char *root, guest_list_u8_t *ret, std::string &reason) {
    Encoded encoded = encode(L, index, root, limits().result_bytes, limits().result_depth);
    if (encoded.outcome == Crossing::too_many_bytes)
        exceeded(MOTU_GUEST_HOST_LIMIT_RESULT_BYTES,
                 "over " + std::to_string(limits().result_bytes) + " bytes at " + encoded.detail);
    if (encoded.outcome == Crossing::too_deep)
        exceeded(MOTU_GUEST_HOST_LIMIT_RESULT_DEPTH,
                 "deeper than " + std::to_string(limits().result_depth) + " tables at " + encoded.detail);
    *ret = encoded.bytes;
    reason = std::move(encoded.detail);
    return encoded.outcome == Crossing::done;
}

// Pushes the handler of the event, or returns false with the reason.
bool push_handler(lua_State *L, const guest_list_u8_t &event, std::string &reason) {
    lua_getref(L, entry().value);
    std::string_view name(reinterpret_cast<const char *>(event.ptr), event.len);
    if (!lua_istable(L, -1)) {
        reason = "no handler for " + quoted(name) + ": " + entry().path + " returned no table of handlers";
        return false;
    }
    lua_pushlstring(L, name.data(), name.size());
    lua_rawget(L, -2);
    if (lua_isfunction(L, -1))
        return true;
    reason = "no handler for " + quoted(name) + ": what " + entry().path + " returned has " +
             (lua_isnil(L, -1) ? "nothing" : std::string("a ") + lua_typename(L, lua_type(L, -1))) + " of that name";
    return false;
}

bool run_handler(lua_State *L, lua_State *coroutine, const guest_list_u8_t &event, const guest_list_u8_t &payload,
                 guest_list_u8_t *ret, exports_motu_guest_vm_failure_t *err) {
    std::string reason;
    if (!push_handler(L, event, reason)) {
        *err = script_failure(reason);
        return false;
    }
    lua_xpush(L, coroutine, -1); // the handler stays on top of L
    if (!decode(coroutine, payload.ptr, payload.len, reason)) {
        *err = script_failure("the payload can't be decoded: " + reason);
        return false;
    }

    int status = lua_resume(coroutine, nullptr, 1);
    if (status == LUA_OK) {
        if (lua_gettop(coroutine) == 0)
            lua_pushnil(coroutine);
        if (give_result(coroutine, 1, "result", ret, reason))
            return true;
        *err = script_failure(place_of_function(L) + reason);
    } else if (status == LUA_YIELD || status == LUA_BREAK) {
        *err = script_failure(place_of(coroutine) + "the handler yielded, and nothing will resume it",
                              traceback_of(coroutine));
    } else {
        *err = failure_of(coroutine);
    }
    return false;
}

} // namespace
} // namespace motu

using namespace motu;

bool exports_motu_guest_vm_start(guest_list_u8_t *event, guest_list_u8_t *payload, guest_list_u8_t *ret,
                                 exports_motu_guest_vm_failure_t *err) {
    begin(false);
    lua_State *main = main_state();
    int top = lua_gettop(main);
    lua_State *coroutine = take_coroutine(main);
    bool done;
    try {
        done = run_handler(main, coroutine, *event, *payload, ret, err);
    } catch (const std::exception &error) { // a payload's table larger than Luau allows
        *err = script_failure(error.what());
        done = false;
    }
    give_back_coroutine(main, coroutine);
    lua_settop(main, top);
    guest_list_u8_free(event);
    guest_list_u8_free(payload);
    return done;
}

bool exports_motu_guest_vm_entry_value(guest_list_u8_t *ret, exports_motu_guest_vm_failure_t *err) {
    lua_State *main = main_state();
    int top = lua_gettop(main);
    lua_getref(main, entry().value);
    std::string reason;
    bool done = give_result(main, -1, "value", ret, reason);
    if (!done)
        *err = script_failure(entry().path + ": " + reason);
    lua_settop(main, top);
    return done;
}
