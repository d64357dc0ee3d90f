// The records of tasks and of what they wait for, and the exports that resume them: `resume` and `run-deferred`.
//
// Nothing here is ordered by an address or decided by a clock, so that the same entries cost the same fuel.

#include "scheduler.h"

#include "call.h"
#include "coroutine.h"
#include "event.h"
#include "failure.h"
#include "hot.h"
#include "library.h"
#include "lgc.h"
#include "lobject.h"
#include "lstate.h"
#include "lualib.h"
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

Task *record(lua_State *thread) {
    Task *task = static_cast<Task *>(lua_getthreaddata(thread));
    return task == &ours ? nullptr : task;
}

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

void log_error(std::string text, const std::string &traceback) {
    if (!traceback.empty())
        text += "\n" + traceback;
    log_line(MOTU_GUEST_HOST_LOG_LEVEL_ERROR, text, "the error of a task");
}

// Not a part of `run`: coroutines that resume each other lie on the native stack, which this would take more of.
__attribute__((noinline)) void after_run(lua_State *from, lua_State *thread, int status) {
    if (status == LUA_YIELD) {
        lua_settop(thread, 0); // what it yielded is for nobody
        return;
    }
    Task *task = record(thread);
    if (task && task->is_handler) {
        end_event(*task, from, status);
        if (task->is_ours && !task->is_seen && !task->first) {
            take_back_coroutine(main_state(), thread); // nobody else can have it
            return;
        }
    } else if (status != LUA_OK) {
        log_error(message_of(thread, from), traceback_of(thread));
    }
    if (status == LUA_OK)
        lua_settop(thread, 0); // with its results it would look like one that never ran
}

// Puts the arguments on the coroutine's stack. False if there is no room.
bool push_arguments(lua_State *thread, int reference, int count) {
    if (!lua_checkstack(thread, count + 1))
        return false;
    if (count == 0)
        return true;
    lua_getref(thread, reference);
    int table = lua_gettop(thread);
    for (int i = 1; i <= count; i++)
        lua_rawgeti(thread, table, i);
    lua_remove(thread, table);
    return true;
}

// A delayed or deferred task is due.
void run_pending(Pending *pending) {
    lua_State *main = main_state();
    lua_State *thread = pending->task->thread;
    push_thread(main, thread); // alive until it yields or ends
    bool is_first_run = pending->holds;
    int count = pending->count;
    lua_getref(main, pending->arguments); // and so are its arguments
    int arguments = pending->arguments;
    pending->arguments = LUA_NOREF;
    drop(pending);

    if (is_first_run)
        run(nullptr, thread, lua_gettop(thread) - 1);
    else if (const char *why = why_not_resumable(main, thread))
        log_error(why, {});
    else if (push_arguments(thread, arguments, count))
        run(nullptr, thread, count);
    else
        log_error("too many arguments to resume", {});
    lua_unref(main, arguments);
    lua_pop(main, 2);
}

void run_sleeper(Pending *pending) {
    lua_State *main = main_state();
    lua_State *thread = pending->task->thread;
    uint64_t now = motu_guest_host_monotonic_clock();
    double elapsed = now > pending->since ? static_cast<double>(now - pending->since) / 1e9 : 0;
    push_thread(main, thread);
    drop(pending);
    lua_pushnumber(thread, elapsed);
    run(nullptr, thread, 1);
    lua_pop(main, 1);
}

void run_caller(Pending *pending, exports_motu_guest_vm_answer_t &answer) {
    lua_State *main = main_state();
    lua_State *thread = pending->task->thread;
    push_thread(main, thread);
    drop(pending);
    if (push_answer(thread, answer))
        run(nullptr, thread, 1);
    else
        run_with_error(thread);
    lua_pop(main, 1);
}

[[noreturn]] void refuse(lua_State *L, const char *limit, uint32_t most) {
    luaL_where(L, 1);
    lua_pushfstring(L, "over the limit %s of %s", limit, std::to_string(most).c_str());
    lua_concat(L, 2);
    remember_refusal(L, MOTU_GUEST_TYPES_FAILURE_KIND_LIMIT);
    lua_error(L);
}

} // namespace

void open_scheduler(lua_State *main) {
    ours.is_ours = true;
    lua_callbacks(main)->userthread = on_thread;
}

void push_thread(lua_State *L, lua_State *thread) {
    lua_rawcheckstack(L, 1);
    luaC_threadbarrier(L);
    setthvalue(L, L->top, thread);
    L->top++;
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

const char *why_not_resumable(lua_State *L, lua_State *thread) {
    switch (lua_costatus(L, thread)) {
    case LUA_CORUN:
        return "cannot resume running coroutine";
    case LUA_CONOR:
        return "cannot resume normal coroutine";
    case LUA_COSUS: {
        Task *task = record(thread);
        return task && task->holding ? "cannot resume a coroutine that waits" : nullptr;
    }
    default:
        return "cannot resume dead coroutine";
    }
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

void check_not_loading(lua_State *L, const char *name) {
    if (is_loading())
        luaL_error(L,
                   "%s can't be used at the top level of a bundle: that runs once, when the bundle's image is made, "
                   "and nothing would resume a task of it",
                   name);
}

void check_can_wait(lua_State *L, const char *name) {
    check_not_loading(L, name);
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

void run(lua_State *from, lua_State *thread, int arguments) {
    after_run(from, thread, lua_resume(thread, from, arguments));
}

void run_with_error(lua_State *thread) { after_run(nullptr, thread, lua_resumeerror(thread, nullptr)); }

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

bool has_deferred() { return first_deferred; }

} // namespace motu

using namespace motu;

// The hooks that build/patch.rs puts into Luau's coroutine library; the first two for coroutines with a record only.

const char *motu_before_resume(lua_State *co) {
    Task *task = record(co);
    return task && task->holding ? "cannot resume a coroutine that waits" : nullptr;
}

void motu_after_resume(lua_State *L, lua_State *co, int status) {
    if (status == LUA_YIELD || status != co->status) // of another status than its own, it wasn't resumed at all
        return;
    Task *task = record(co);
    if (task && task->is_handler)
        end_event(*task, L, status);
}

void motu_before_create(lua_State *L) { check_coroutines(L); }

void motu_before_close(lua_State *co) { stop_waiting(co, "closed by coroutine.close"); }

void exports_motu_guest_vm_resume(uint32_t wait, exports_motu_guest_vm_answer_t *answer,
                                  exports_motu_guest_vm_step_t *ret) {
    begin(false);
    auto found = waits.find(wait);
    if (found != waits.end()) {
        Pending *pending = found->second;
        if (pending->kind == Kind::sleep)
            run_sleeper(pending);
        else if (pending->kind == Kind::delay)
            run_pending(pending);
        else
            run_caller(pending, *answer);
    }
    exports_motu_guest_vm_answer_free(answer);
    take_step(ret);
}

void exports_motu_guest_vm_run_deferred(exports_motu_guest_vm_step_t *ret) {
    begin(false);
    while (first_deferred)
        run_pending(first_deferred);
    take_step(ret);
}
