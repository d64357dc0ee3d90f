// The failure records that go to the host: message, traceback and error value.
#pragma once

#include "guest.h"
#include "lua.h"
#include "module.h"

#include <string>
#include <string_view>

namespace motu {

// A failure of the script's that is no Lua error. `traceback` may be empty.
exports_motu_guest_vm_failure_t script_failure(std::string_view message, std::string_view traceback = {});

exports_motu_guest_vm_failure_t compile_failure(std::string_view message);

// What a coroutine died of: the error value is on top of its stack. May run the value's `__tostring`, as deep as `from`
// is in calls: the coroutine that resumed this one, or null.
exports_motu_guest_vm_failure_t failure_of(lua_State *coroutine, lua_State *from = nullptr);

// The message of the same: at most `text_bytes_max` of the error value, after the place and the name of a host
// function.
std::string message_of(lua_State *coroutine, lua_State *from);

// The value on top of the stack is about to be thrown because something was refused. If it ends a handler as it is,
// that failure is of this kind, and its message begins with the place and the name of the host function (or null).
void remember_refusal(lua_State *L, motu_guest_types_failure_kind_t kind, const HostFunction *function);

// Of a longer traceback, the middle is left out.
constexpr int first_frames = 20;
constexpr int last_frames = 10;

// The frames of a coroutine that failed or yielded, innermost first, one a line; before them those of the coroutines of
// `coroutine.wrap` that its error came out of. At most about `text_bytes_max` long.
std::string traceback_of(lua_State *coroutine);

// "path:line: " of the innermost Lua function of a coroutine that failed or yielded; "" if there is none.
std::string place_of(lua_State *coroutine);

} // namespace motu
