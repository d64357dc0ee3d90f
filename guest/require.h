// The `require` of scripts: finds the file (resolver.h), runs it once, keeps its result, and refuses cycles.
#pragma once

#include "bundle.h"
#include "lua.h"

namespace motu {

// Pushes the function `require`, and forgets the result of every module. One function serves all trees: it goes by the
// file that its caller's code stands in.
void push_require(lua_State *L);

// Pushes the file's result: kept from before, or run now. Raises what the module raises; a module that failed runs
// again when it's next required. For the entry too, so that requiring it from below is a cycle.
void require_file(lua_State *L, const File &file);

// The file that doesn't compile, if the value on top of the stack is the error of the last require of one; or null.
const File *broken_module(lua_State *L);

} // namespace motu
