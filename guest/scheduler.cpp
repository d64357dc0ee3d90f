// Resumes what waited: the exports `resume` and `run-deferred`, and the hooks in Luau's coroutine library. pending.cpp
// knows what there is to resume.

#include "scheduler.h"

#include "call.h"
#include "coroutine.h"
#include "event.h"
#include "failure.h"
#include "library.h"
#include "lgc.h"
#include "lobject.h"
#include "lstate.h"
#include "lualib.h"
#include "trace.h"
#include "vm.h"

#include <string>

namespace motu {
namespace {

void log_error(std::string text, const std::string &traceback) {
    if (!traceback.empty())
        text += "\n" + traceback;
    log_line(MOTU_GUEST_HOST_LOG_LEVEL_ERROR, text, "the error of a task");
}

// Not a part of `run`: coroutines that resume each other lie on the native stack, which this would take more of.
__attribute__((noinline)) void after_run(lua_State *from, lua_State *thread, int status) {
    Task *task = record(thread);
    if (status == LUA_YIELD) {
        if (task && task->is_handler && !task->is_seen && !task->first) {
            strand_event(*task);
            take_back_coroutine(main_state(), thread);
            return;
        }
        lua_settop(thread, 0); // what it yielded is for nobody
        return;
    }
    if (task && task->is_handler) {
        end_event(*task, from, status);
        if (task->is_ours && !task->is_seen && !task->first) {
            take_back_coroutine(main_state(), thread); // nobody else can have it
            return;
        }
    } else if (status != LUA_OK) {
        std::string traceback = traceback_of(thread); // before the message, whose text may close the coroutine
        log_error(message_of(thread, from), traceback);
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
    int arguments = pending->arguments;
    pending->arguments = LUA_NOREF; // they are let go of below
    drop(pending);

    const char *why = nullptr;
    if (is_first_run)
        count = lua_gettop(thread) - 1; // below them is the function
    else if (!(why = why_not_resumable(main, thread)) && !push_arguments(thread, arguments, count))
        why = "too many arguments to resume";
    lua_unref(main, arguments);
    if (why)
        log_error(why, {});
    else
        run(nullptr, thread, count);
    lua_pop(main, 1);
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
    const HostFunction *function = pending->function;
    push_thread(main, thread);
    drop(pending);
    if (push_answer(thread, function, answer))
        run(nullptr, thread, 1);
    else
        run_with_error(thread);
    lua_pop(main, 1);
}

} // namespace

void push_thread(lua_State *L, lua_State *thread) {
    lua_rawcheckstack(L, 1);
    luaC_threadbarrier(L);
    setthvalue(L, L->top, thread);
    L->top++;
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

void run(lua_State *from, lua_State *thread, int arguments) {
    after_run(from, thread, lua_resume(thread, from, arguments));
}

void run_with_error(lua_State *thread) { after_run(nullptr, thread, lua_resumeerror(thread, nullptr)); }

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
    if (!task || !task->is_handler)
        return;
    if (status == LUA_OK) {
        end_event(*task, L, status);
        return;
    }
    lua_rawcheckstack(L, 1);
    lua_xpush(co, L, -1); // the error value: its text may run script, which may close the coroutine
    end_event(*task, L, status);
    if (co->status == status)
        lua_pop(L, 1);
    else
        lua_xmove(L, co, 1);
}

void motu_before_create(lua_State *L) { check_coroutines(L); }

void motu_before_close(lua_State *co) { stop_waiting(co, "closed by coroutine.close"); }

void exports_motu_guest_vm_resume(uint32_t wait, exports_motu_guest_vm_answer_t *answer,
                                  exports_motu_guest_vm_step_t *ret) {
    begin(false);
    Pending *pending = find_wait(wait);
    WorksFor work(pending ? pending->task->thread : nullptr);
    if (pending) {
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
    while (Pending *pending = next_deferred()) {
        WorksFor work(pending->task->thread);
        run_pending(pending);
    }
    take_step(ret);
}
