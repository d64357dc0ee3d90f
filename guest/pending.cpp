// The records of tasks and of what they wait for; the limits on how many there may be.
//
// Nothing here is ordered by an address or decided by a clock, so that the same entries cost the same fuel.

#include "event.h"
#include "failure.h"
#include "hot.h"
#include "lualib.h"
#include "scheduler.h"
#include "vm.h"

#include <string>
#include <unordered_map>

namespace motu {
namespace {

std::unordered_map<uint32_t, Pending *> waits; // by the host's number
uint32_t last_wait;
uint32_t timers; // of the waits, those that sleep
uint32_t calls;  // and those for a host function
Pending *first_deferred, *last_deferred;

// What coroutines that Motu made for itself have in place of a record.
Task ours;

// Luau calls it when a coroutine is made (by `parent`), and when one is collected (`parent` is null). What the main
// thread makes is Motu's own: no script runs on it.
void on_thread(lua_State *parent, lua_State *thread) {
    if (parent) {
        if (parent == main_state())
            lua_setthreaddata(thread, &ours);
        else
            hot.coroutines++;
        return;
    }
    Task *task = static_cast<Task *>(lua_getthreaddata(thread));
    if (!task || !task->is_ours)
        hot.coroutines--;
    if (task != &ours)
        delete task;
}

uint32_t &counter(Kind kind) { return kind == Kind::call ? calls : timers; }

[[noreturn]] void refuse(lua_State *L, const char *limit, uint32_t most) {
    luaL_where(L, 1);
    lua_pushfstring(L, "over the limit %s of %s", limit, std::to_string(most).c_str());
    lua_concat(L, 2);
    remember_refusal(L, MOTU_GUEST_TYPES_FAILURE_KIND_LIMIT, nullptr);
    lua_error(L);
}

} // namespace

void open_scheduler(lua_State *main) {
    ours.is_ours = true;
    lua_callbacks(main)->userthread = on_thread;
}

Task *record(lua_State *thread) {
    Task *task = static_cast<Task *>(lua_getthreaddata(thread));
    return task == &ours ? nullptr : task;
}

Task &task_of(lua_State *thread) {
    if (Task *task = record(thread))
        return *task;
    Task *task = new Task();
    task->thread = thread;
    task->is_ours = lua_getthreaddata(thread) == &ours;
    task->reference = LUA_NOREF;
    lua_setthreaddata(thread, task);
    return *task;
}

void retain(Task &task) {
    if (task.reference != LUA_NOREF)
        return;
    lua_State *main = main_state();
    push_thread(main, task.thread);
    task.reference = lua_ref(main, -1);
    lua_pop(main, 1);
}

void release(Task &task) {
    if (task.first || task.is_handler || task.reference == LUA_NOREF)
        return;
    lua_unref(main_state(), task.reference);
    task.reference = LUA_NOREF;
}

void drop(Pending *pending) {
    Task &task = *pending->task;
    (pending->previous ? pending->previous->next : task.first) = pending->next;
    (pending->next ? pending->next->previous : task.last) = pending->previous;
    if (task.holding == pending)
        task.holding = nullptr;
    if (pending->kind == Kind::defer) {
        (pending->queue_previous ? pending->queue_previous->queue_next : first_deferred) = pending->queue_next;
        (pending->queue_next ? pending->queue_next->queue_previous : last_deferred) = pending->queue_previous;
    } else {
        waits.erase(pending->wait);
        counter(pending->kind)--;
    }
    lua_unref(main_state(), pending->arguments);
    delete pending;
    release(task);
}

void check_coroutines(lua_State *L) {
    uint32_t most = limits().coroutines;
    if (hot.coroutines < most)
        return;
    lua_gc(L, LUA_GCCOLLECT, 0); // what is counted may be garbage
    if (hot.coroutines >= most)
        refuse(L, "coroutines", most);
}

void check_timers(lua_State *L) {
    if (timers >= limits().timers)
        refuse(L, "timers", limits().timers);
}

void check_calls(lua_State *L) {
    if (calls >= limits().calls)
        refuse(L, "calls_in_flight", limits().calls);
}

void check_not_loading(lua_State *L, const char *name, const char *why) {
    if (is_loading())
        luaL_error(L,
                   "%s can't be used at the top level of a bundle: that runs once, when the bundle's image is made, %s",
                   name, why);
}

bool can_wait(lua_State *L) { return !is_loading() && lua_isyieldable(L); }

void check_can_wait(lua_State *L, const char *name, const char *why) {
    check_not_loading(L, name, why);
    if (!lua_isyieldable(L))
        luaL_error(L,
                   "%s can't be used here: what called it (a metamethod, a callback of the standard library, a "
                   "require) can't yield",
                   name);
}

uint32_t next_wait() {
    do
        last_wait++;
    while (last_wait == 0 || waits.count(last_wait));
    return last_wait;
}

Pending &add_pending(lua_State *thread, Kind kind, bool holds, uint32_t wait) {
    Task &task = task_of(thread);
    retain(task);
    Pending *pending = new Pending();
    pending->kind = kind;
    pending->holds = holds;
    pending->wait = wait;
    pending->arguments = LUA_NOREF;
    pending->task = &task;
    pending->previous = task.last;
    (task.last ? task.last->next : task.first) = pending;
    task.last = pending;
    if (holds)
        task.holding = pending;
    if (kind == Kind::defer) {
        pending->queue_previous = last_deferred;
        (last_deferred ? last_deferred->queue_next : first_deferred) = pending;
        last_deferred = pending;
    } else {
        waits.emplace(wait, pending);
        counter(kind)++;
    }
    return *pending;
}

void stop_waiting(lua_State *thread, const char *how) {
    Task *task = record(thread);
    if (!task)
        return;
    while (Pending *pending = task->first) {
        if (pending->wait)
            motu_guest_host_abandon(pending->wait);
        drop(pending);
    }
    if (task->is_handler)
        close_event(*task, how);
}

void mark_seen(lua_State *thread) {
    if (Task *task = record(thread))
        task->is_seen = true;
}

Pending *find_wait(uint32_t wait) {
    auto found = waits.find(wait);
    return found == waits.end() ? nullptr : found->second;
}

Pending *next_deferred() { return first_deferred; }

} // namespace motu
