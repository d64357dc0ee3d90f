// Calls of host functions. What they are called with is checked by the host, against the WIT of their module.
//
// The coroutine that calls waits only if the host has no answer yet. What can't cross, or is too much, never leaves.

#include "call.h"

#include "codec.h"
#include "failure.h"
#include "lualib.h"
#include "scheduler.h"
#include "vm.h"

#include <exception>
#include <string>

namespace motu {
namespace {

using FailureKind = motu_guest_types_failure_kind_t;

[[noreturn]] void raise(lua_State *L, std::string_view message,
                        FailureKind kind = MOTU_GUEST_TYPES_FAILURE_KIND_SCRIPT) {
    luaL_where(L, 1);
    lua_pushlstring(L, message.data(), message.size());
    lua_concat(L, 2);
    remember_refusal(L, kind, nullptr);
    lua_error(L);
}

int call(lua_State *L);
int call_replaceable(lua_State *L);

// Whether the first argument is the table that the function is in: it was called as if it were a method.
bool is_given_its_module(lua_State *L, const HostFunction &function) {
    if (function.is_method || !lua_istable(L, 1))
        return false;
    lua_rawgetfield(L, 1, function.name.c_str());
    bool is_in_it = host_function_at(L, -1) != nullptr;
    lua_pop(L, 1);
    return is_in_it;
}

// Over the limit of bytes it doesn't return. What lies too deep is an ordinary error: none of it was copied.
guest_list_u8_t take_arguments(lua_State *L, const HostFunction &function) {
    uint32_t bytes_max = limits().result_bytes, depth_max = limits().result_depth;
    Encoded encoded = encode_arguments(L, 1, lua_gettop(L), function.shown.c_str(), bytes_max, depth_max);
    if (encoded.outcome == Crossing::too_many_bytes)
        exceeded(MOTU_GUEST_HOST_LIMIT_RESULT_BYTES,
                 "over " + std::to_string(bytes_max) + " bytes at " + encoded.detail);
    if (encoded.outcome == Crossing::too_deep) {
        std::string most = std::to_string(depth_max);
        raise(L, "over the limit result_depth of " + most + ": deeper than " + most + " tables at " + encoded.detail,
              MOTU_GUEST_TYPES_FAILURE_KIND_LIMIT);
    }
    if (encoded.outcome != Crossing::done && is_given_its_module(L, function))
        raise(L, function.shown + " is called with a colon, which gives it its module; write " + function.shown +
                     "(...), with a dot");
    if (encoded.outcome != Crossing::done)
        raise(L, encoded.detail);
    return encoded.bytes;
}

// Pushes the value that the bytes hold, or false and the reason.
bool push_value(lua_State *thread, const guest_list_u8_t &bytes) {
    int top = lua_gettop(thread);
    std::string reason;
    try {
        if (decode(thread, bytes.ptr, bytes.len, reason))
            return true;
    } catch (const std::exception &error) { // a table larger than Luau allows
        reason = error.what();
    }
    lua_settop(thread, top);
    reason = place_of(thread) + "the host's answer can't be decoded: " + reason;
    lua_pushlstring(thread, reason.data(), reason.size());
    return false;
}

int call(lua_State *L) {
    const auto &function = *static_cast<const HostFunction *>(lua_tolightuserdata(L, lua_upvalueindex(1)));
    motu_guest_host_called_t called;
    uint32_t wait = 0; // the host refuses what it can't answer at once
    if (!function.is_pure || can_wait(L)) {
        wait = next_wait();
        // whether the host will answer at once can't be known
        check_can_wait(L, function.shown.c_str(), "for all tenants; call it in a handler");
        check_calls(L);
    }
    guest_list_u8_t arguments = take_arguments(L, function);
    motu_guest_host_call(wait, function.number, &arguments, &called);
    guest_list_u8_free(&arguments);
    lua_settop(L, 0); // there may be as many as a stack can hold
    if (called.tag == MOTU_GUEST_HOST_CALLED_PENDING) {
        add_pending(L, Kind::call, true, wait).function = &function;
        return lua_yield(L, 0);
    }
    bool answered = push_answer(L, &function, called.val.ready);
    motu_guest_types_answer_free(&called.val.ready);
    if (!answered)
        lua_error(L);
    return 1;
}

int call_replaceable(lua_State *L) {
    luaL_checkstack(L, 3, "call");
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_rawget(L, lua_upvalueindex(2));
    if (lua_isfunction(L, -1)) {
        lua_insert(L, 1);
        return luaL_callyieldable(L, lua_gettop(L) - 1, LUA_MULTRET);
    }
    lua_pop(L, 1);
    return call(L); // with the same upvalue, and no frame between
}

int end_replaced(lua_State *L, int) { return lua_gettop(L); }

} // namespace

void push_replaceable(lua_State *L, const HostFunction &function, const std::string &name) {
    lua_pushlightuserdata(L, const_cast<HostFunction *>(&function));
    lua_pushvalue(L, -2);
    lua_pushlstring(L, name.data(), name.size());
    lua_pushcclosurek(L, call_replaceable, function.name.c_str(), 3, end_replaced);
}

void push_host_function(lua_State *L, const HostFunction &function) {
    lua_pushlightuserdata(L, const_cast<HostFunction *>(&function));
    lua_pushcclosure(L, call, function.name.c_str(), 1);
}

const HostFunction *host_function_at(lua_State *L, int index) {
    lua_CFunction found = lua_tocfunction(L, index);
    if (found != call && found != call_replaceable)
        return nullptr;
    lua_getupvalue(L, index, 1);
    auto *function = static_cast<const HostFunction *>(lua_tolightuserdata(L, -1));
    lua_pop(L, 1);
    return function;
}

bool push_answer(lua_State *thread, const HostFunction *function, const motu_guest_types_answer_t &answer) {
    if (!lua_checkstack(thread, 4)) // can't be, below a call that yielded
        __builtin_trap();
    switch (answer.tag) {
    case MOTU_GUEST_TYPES_ANSWER_VALUE:
        return push_value(thread, answer.val.value);
    case MOTU_GUEST_TYPES_ANSWER_REFUSED:
        if (!push_value(thread, answer.val.refused.value))
            return false;
        if (answer.val.refused.is_message) {
            size_t size = 0;
            const char *message = lua_tolstring(thread, -1, &size);
            std::string text = place_of(thread).append(message, size);
            lua_pushlstring(thread, text.data(), text.size());
            lua_remove(thread, -2);
        }
        remember_refusal(thread, answer.val.refused.kind, answer.val.refused.is_message ? nullptr : function);
        return false;
    default: // only a sleep ends so
        lua_pushnil(thread);
        return true;
    }
}

} // namespace motu
