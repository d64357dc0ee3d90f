// Calls of host functions.
#pragma once

#include "guest.h"
#include "lua.h"
#include "module.h"

namespace motu {

// Pushes a function that calls the host's. The host function must stay where it is.
void push_host_function(lua_State *L, const HostFunction &function);

// Pushes what the host answered on the stack of the coroutine that called: the value, or what is to be thrown, and then
// it returns false. Raises nothing.
bool push_answer(lua_State *thread, const motu_guest_types_answer_t &answer);

} // namespace motu
