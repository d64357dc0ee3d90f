// The library `task`, with the meaning that it has on Roblox: spawn, defer, delay, wait, cancel. The top level of a
// bundle can use none of it.

#include "task.h"

#include "lstate.h"
#include "lualib.h"
#include "scheduler.h"

namespace motu {
namespace {

constexpr double seconds_max = 1e9;

// What is neither a positive number nor infinite is as good as none.
uint64_t nanoseconds(lua_State *L, int argument) {
    double seconds = luaL_optnumber(L, argument, 0);
    if (!(seconds > 0))
        return 0;
    return static_cast<uint64_t>((seconds < seconds_max ? seconds : seconds_max) * 1e9);
}

// What a task resumes: the thread that was given, or a new one that has the function on its stack.
struct Target {
    lua_State *thread;
    bool is_new;
};

// The thread is where the argument was.
Target take_target(lua_State *L, int argument) {
    if (lua_State *thread = lua_tothread(L, argument))
        return {thread, false};
    luaL_argexpected(L, lua_isfunction(L, argument), argument, "function or thread");
    check_coroutines(L);
    lua_State *thread = lua_newthread(L);
    lua_xpush(L, thread, argument);
    lua_replace(L, argument);
    return {thread, true};
}

// Moves the arguments above `argument` to the thread.
int move_arguments(lua_State *L, lua_State *thread, int argument) {
    int count = lua_gettop(L) - argument;
    if (!lua_checkstack(thread, count))
        luaL_error(L, "too many arguments to resume");
    lua_xmove(L, thread, count);
    return count;
}

// Notes that the target is to be resumed. A thread that was given may be resumed by others before; so its arguments lie
// in a table meanwhile, not on its stack.
void resume_later(lua_State *L, const Target &target, int argument, Kind kind, uint32_t wait) {
    if (target.is_new) {
        move_arguments(L, target.thread, argument);
        add_pending(target.thread, kind, true, wait);
        return;
    }
    int count = lua_gettop(L) - argument;
    if (count) {
        lua_createtable(L, count, 0);
        lua_insert(L, argument + 1);
        for (int i = count; i > 0; i--)
            lua_rawseti(L, argument + 1, i);
    }
    Pending &pending = add_pending(target.thread, kind, false, wait);
    pending.count = count;
    if (count)
        pending.arguments = lua_ref(L, argument + 1);
}

// task.spawn(f | thread, ...): resumes it at once. Its error goes to the log.
int spawn(lua_State *L) {
    check_not_loading(L, "task.spawn");
    if (L->nCcalls >= LUAI_MAXCCALLS)
        luaL_error(L, "C stack overflow"); // here, where it can be caught
    Target target = take_target(L, 1);
    if (const char *why = target.is_new ? nullptr : why_not_resumable(L, target.thread))
        luaL_error(L, "%s", why);
    run(L, target.thread, move_arguments(L, target.thread, 1));
    lua_settop(L, 1);
    return 1;
}

// task.defer(f | thread, ...): resumes it when what runs now has come to rest, in the order of the calls.
int defer(lua_State *L) {
    check_not_loading(L, "task.defer");
    Target target = take_target(L, 1);
    resume_later(L, target, 1, Kind::defer, 0);
    lua_settop(L, 1);
    return 1;
}

// task.delay(seconds, f | thread, ...)
int delay(lua_State *L) {
    check_not_loading(L, "task.delay");
    uint64_t time = nanoseconds(L, 1);
    check_timers(L);
    Target target = take_target(L, 2);
    uint32_t wait = next_wait();
    resume_later(L, target, 2, Kind::delay, wait);
    motu_guest_host_sleep(wait, time);
    lua_settop(L, 2);
    return 1;
}

// task.wait(seconds?): how long it was. It yields to whoever resumed this coroutine; the scheduler resumes it.
int wait(lua_State *L) {
    check_can_wait(L, "task.wait");
    uint64_t time = nanoseconds(L, 1);
    check_timers(L);
    Pending &pending = add_pending(L, Kind::sleep, true, next_wait());
    pending.since = motu_guest_host_monotonic_clock();
    motu_guest_host_sleep(pending.wait, time);
    return lua_yield(L, 0);
}

// task.cancel(thread): it never runs again. Nothing, if it has ended.
int cancel(lua_State *L) {
    check_not_loading(L, "task.cancel");
    luaL_checktype(L, 1, LUA_TTHREAD);
    lua_State *thread = lua_tothread(L, 1);
    int status = lua_costatus(L, thread);
    if (status == LUA_CORUN || status == LUA_CONOR)
        luaL_error(L, "cannot cancel %s coroutine", status == LUA_CORUN ? "running" : "normal");
    stop_waiting(thread, "cancelled by task.cancel");
    if (status == LUA_COSUS)
        lua_resetthread(thread);
    return 0;
}

const luaL_Reg functions[] = {
    {"spawn", spawn}, {"defer", defer}, {"delay", delay}, {"wait", wait}, {"cancel", cancel}, {nullptr, nullptr},
};

} // namespace

void open_task(lua_State *L) {
    luaL_register(L, "task", functions);
    lua_pop(L, 1);
}

} // namespace motu
