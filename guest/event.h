// The events that go on: their handlers wait. And what an entry tells the host of those that ended.
#pragma once

#include "guest.h"
#include "lua.h"
#include "scheduler.h"

namespace motu {

// The handler has returned or failed: what it came to is on its stack. `from` is the coroutine that resumed it, or
// null.
void end_event(Task &task, lua_State *from, int status);

// The handler has yielded, nothing is to resume it, and no script has its coroutine: the event has failed.
void strand_event(Task &task);

// A script has closed the handler's coroutine, which never ends by itself now.
void close_event(Task &task, const char *how);

// The coroutine of an event whose handler has not ended, or null.
lua_State *handler_of(uint64_t event);

// What the host is told at the end of an entry.
void take_step(exports_motu_guest_vm_step_t *step);

} // namespace motu
