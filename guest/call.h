// Calls of host functions.
#pragma once

#include "guest.h"
#include "lua.h"
#include "module.h"

#include <string>

namespace motu {

// Pushes a function that calls the host's. The host function must stay where it is.
void push_host_function(lua_State *L, const HostFunction &function);

// The same, but what the table on top of the stack has under this name is called in its place, if it's a function: under
// test, where errors of the host's functions shall have the place and the frames that they have elsewhere.
void push_replaceable(lua_State *L, const HostFunction &function, const std::string &name);

// The host function that the value at `index` calls, or null.
const HostFunction *host_function_at(lua_State *L, int index);

// Pushes what the host answered on the stack of the coroutine that called `function`: the value, or what is to be
// thrown, and then it returns false. Raises nothing.
bool push_answer(lua_State *thread, const HostFunction *function, const motu_guest_types_answer_t &answer);

} // namespace motu
