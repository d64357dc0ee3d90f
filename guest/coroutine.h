// The coroutine that an event's handler runs in.
//
// Each event has a coroutine of its own, as far as a script can tell: one that no script has got hold of is emptied and
// used again, because a new one for every event would be most of what the garbage collector has to do.
#pragma once

#include "lua.h"

namespace motu {

// Makes the first coroutine, while there is no hurry and before an image is taken.
void prepare_coroutine(lua_State *main);

// The coroutine of the next event if it's there already, else `main`: to run what changes no pages that the event won't.
lua_State *prepared_coroutine(lua_State *main);

// An empty coroutine. It stays alive until it's given back.
lua_State *take_coroutine(lua_State *main);

// Closes the coroutine: whoever has kept it finds it dead.
void give_back_coroutine(lua_State *main, lua_State *coroutine);

// Lets go of the coroutine that was taken: its event goes on, and the next has another.
void leave_coroutine(lua_State *main);

// Whether a script has got hold of the coroutine that was taken.
bool is_coroutine_seen();

// The event of a coroutine that was left has ended, and no script has got hold of it: it's for the next event, if there
// is no other.
void take_back_coroutine(lua_State *main, lua_State *coroutine);

// `coroutine.running`, which is how a script gets hold of the coroutine it runs in.
int running(lua_State *L);

} // namespace motu
