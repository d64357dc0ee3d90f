// The tasks: which coroutine waits, for what, and who may resume it meanwhile.
//
// A coroutine has a record only from the first time that it waits, is deferred or delayed, or turns out to be the
// handler of an event that goes on: an event that ends at once touches nothing of this.
#pragma once

#include "bundle.h"
#include "guest.h"
#include "lua.h"
#include "module.h"

#include <cstdint>

namespace motu {

struct Task;

enum class Kind : uint8_t {
    sleep, // task.wait
    delay, // task.delay
    call,  // a host function
    defer, // task.defer
};

// Something that is to resume a coroutine.
struct Pending {
    Kind kind;
    bool holds;     // nothing else may resume the coroutine before
    uint32_t wait;  // the host's number for it; 0 for a defer
    uint64_t since; // sleep: when it began, by the monotonic clock
    int arguments;  // reference of a table with `count` of them; else they lie on the coroutine's own stack
    int count;
    const HostFunction *function; // call: which
    Task *task;
    Pending *next, *previous;             // of the same task, the oldest first
    Pending *queue_next, *queue_previous; // the deferred ones, the oldest first
};

struct Task {
    lua_State *thread;
    Pending *first, *last;
    Pending *holding; // the pending one that holds, if any
    int reference;    // keeps the coroutine alive: while anything is pending, and while its event goes on
    bool is_ours;     // not counted against the limit on coroutines
    bool is_seen;     // a script has got hold of the coroutine; noted for ours only
    bool is_handler;  // of an event that goes on; what follows is for those
    uint64_t event;
    const File *file; // where the handler's function is, null if in none
    int line;
};

// Before any coroutine is made.
void open_scheduler(lua_State *main);

// The record of a coroutine: null if there is none; or it's made then.
Task *record(lua_State *thread);
Task &task_of(lua_State *thread);

// Pushes a coroutine. The main thread's stack is what keeps things alive during an entry.
void push_thread(lua_State *L, lua_State *thread);

// Keeps the coroutine alive, and lets it go again when nothing is pending and it's no event's handler.
void retain(Task &task);
void release(Task &task);

// Why the coroutine can't be resumed now, or null.
const char *why_not_resumable(lua_State *L, lua_State *thread);

// Raise when one more would be over the limit.
void check_coroutines(lua_State *L);
void check_timers(lua_State *L);
void check_calls(lua_State *L);

// Raise where no task can be used; `name` is what can't.
constexpr char no_task_here[] = "and nothing would resume a task of it";
void check_not_loading(lua_State *L, const char *name, const char *why = no_task_here);
void check_can_wait(lua_State *L, const char *name, const char *why = no_task_here);

// Whether what is called may wait.
bool can_wait(lua_State *L);

// A number for the host that no wait has.
uint32_t next_wait();

// Notes what is to resume the coroutine. `wait` is 0 for a defer.
Pending &add_pending(lua_State *thread, Kind kind, bool holds, uint32_t wait);

// What is pending under the host's number, or null.
Pending *find_wait(uint32_t wait);

// The deferred task that is next, or null.
Pending *next_deferred();

// It will not resume its coroutine: it has done so, or never does.
void drop(Pending *pending);

// Resumes a coroutine with what is on top of its stack, and deals with how that ends: a task's error goes to the log,
// and an event whose handler it is has its outcome. `from` is the coroutine that resumes it, or null. The caller keeps
// it alive.
void run(lua_State *from, lua_State *thread, int arguments);
void run_with_error(lua_State *thread);

// Drops all that is pending, and tells the host. If the coroutine is an event's handler, the event has failed: `how` it
// was closed.
void stop_waiting(lua_State *thread, const char *how);

// A script gets hold of the coroutine.
void mark_seen(lua_State *thread);

} // namespace motu
