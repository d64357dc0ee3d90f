// Handles of the host's resources: what a script holds of a socket, a session, a file.
#pragma once

#include "lua.h"
#include "module.h"

#include <cstdint>
#include <string>

namespace motu {

// Before any script runs.
void open_handles(lua_State *main);

// Takes the host's resources over: what methods their handles have.
void take_resource(std::string name, uint32_t number, const HostFunction *method);

// Forgets all resources.
void forget_resources();

// Pushes what a script holds of the handle: the same for the same handle. False, and nothing, for one of no resource.
// May raise.
bool push_handle(lua_State *L, uint32_t handle);

// The handle of a userdata, or 0: it's something else, or closed.
uint32_t handle_of(const void *userdata, int tag);

} // namespace motu
