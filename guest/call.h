// Calls of host functions.
#pragma once

#include "guest.h"
#include "lua.h"

#include <string_view>

namespace motu {

// Makes the function that `require` gives, which scripts can't change.
void open_call(lua_State *L);

// Whether a string of a `require` means a module of the host's, not a file.
bool is_host_module(std::string_view wanted);

void push_host_module(lua_State *L);

// Pushes what the host answered on the stack of the coroutine that called: the value, or what is to be thrown, and then
// it returns false. Raises nothing.
bool push_answer(lua_State *thread, const motu_guest_types_answer_t &answer);

} // namespace motu
