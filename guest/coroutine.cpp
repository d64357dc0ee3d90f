// One coroutine for one event after the other; a fresh one after a script has got hold of it.

#include "coroutine.h"

#include "scheduler.h"

namespace motu {
namespace {

lua_State *event_coroutine; // the one that events use, now or next
int reference;
bool was_seen; // a script has it

} // namespace

void prepare_coroutine(lua_State *main) {
    if (event_coroutine)
        return;
    event_coroutine = lua_newthread(main);
    reference = lua_ref(main, -1);
    lua_pop(main, 1);
    was_seen = false;
}

lua_State *prepared_coroutine(lua_State *main) { return event_coroutine ? event_coroutine : main; }

lua_State *take_coroutine(lua_State *main) {
    prepare_coroutine(main);
    return event_coroutine;
}

void give_back_coroutine(lua_State *main, lua_State *coroutine) {
    lua_resetthread(coroutine);
    if (was_seen)
        leave_coroutine(main);
}

void leave_coroutine(lua_State *main) {
    lua_unref(main, reference);
    event_coroutine = nullptr;
}

bool is_coroutine_seen() { return was_seen; }

void take_back_coroutine(lua_State *main, lua_State *coroutine) {
    lua_resetthread(coroutine);
    if (event_coroutine)
        return;
    event_coroutine = coroutine;
    push_thread(main, coroutine);
    reference = lua_ref(main, -1);
    lua_pop(main, 1);
    was_seen = false;
}

int running(lua_State *L) {
    if (L == event_coroutine)
        was_seen = true;
    else
        mark_seen(L);
    if (lua_pushthread(L))
        lua_pushnil(L); // the main thread is no coroutine
    return 1;
}

} // namespace motu
