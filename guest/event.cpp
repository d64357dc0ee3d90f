// The exports `start`, which runs a handler, `cancel` and `entry-value`. This is the warm path: what an event costs
// beside the handler itself is here and in the codec.

#include "event.h"

#include "bundle.h"
#include "codec.h"
#include "coroutine.h"
#include "failure.h"
#include "hot.h"
#include "memory.h"
#include "text.h"
#include "trace.h"
#include "vm.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <unordered_map>

namespace motu {
namespace {

std::unordered_map<uint64_t, Task *> waiting; // the events whose handlers have not ended, by number

// The place of a function, for an error that comes after it has returned.
struct Place {
    const File *file = nullptr;
    int line = 0;

    // "path:line: "
    std::string text() const {
        return file ? file->path + (file->opaque ? "" : ":" + std::to_string(line)) + ": " : std::string();
    }
};

// Of the function on top of the stack.
Place place_of_function(lua_State *L) {
    lua_Debug info = {};
    if (!lua_getinfo(L, -1, "sl", &info) || info.source[0] != '=' || info.what[0] == 'C')
        return {};
    return {find_file(info.source + 1), info.currentline};
}

// What the host copies for an item of the list, at most.
uint64_t bytes_of(const exports_motu_guest_vm_ended_t &ended) {
    constexpr uint64_t item_bytes = 256;
    if (!ended.outcome.is_err)
        return item_bytes + ended.outcome.val.ok.len;
    const exports_motu_guest_vm_failure_t &failure = ended.outcome.val.err;
    size_t value = failure.value.is_some ? failure.value.val.len : 0;
    return item_bytes + failure.message.len + failure.traceback.len + value;
}

void add_ended(const exports_motu_guest_vm_ended_t &ended) {
    auto &list = hot.ended;
    if (list.len == hot.ended_capacity) {
        size_t capacity = list.len ? 2 * list.len : 1;
        size_t size = capacity * sizeof(ended);
        void *block = list.ptr ? reallocate(list.ptr, size) : allocate_crossing(size);
        list.ptr = static_cast<exports_motu_guest_vm_ended_t *>(block);
        hot.ended_capacity = capacity;
    }
    list.ptr[list.len++] = ended;
    hot.ended_bytes += bytes_of(ended);
}

void add_failure(uint64_t event, const exports_motu_guest_vm_failure_t &failure) {
    exports_motu_guest_vm_ended_t ended;
    ended.event = event;
    ended.outcome.is_err = true;
    ended.outcome.val.err = failure;
    add_ended(ended);
}

void add_result(uint64_t event, guest_list_u8_t bytes) {
    exports_motu_guest_vm_ended_t ended;
    ended.event = event;
    ended.outcome.is_err = false;
    ended.outcome.val.ok = bytes;
    add_ended(ended);
}

// As many events as the host answers at once: each takes 2.5 us of it.
constexpr size_t ended_max = 128;

// Takes as much of the list as the host copies and answers at once, and leaves the rest.
exports_motu_guest_vm_list_ended_t take_some_ended(uint64_t bytes_max) {
    const exports_motu_guest_vm_ended_t *first = hot.ended.ptr + hot.ended_taken;
    size_t left = hot.ended.len - hot.ended_taken;
    size_t count = 0;
    uint64_t bytes = 0;
    while (count < left && count < ended_max) {
        uint64_t more = bytes_of(first[count]);
        if (count > 0 && bytes + more > bytes_max)
            break;
        bytes += more;
        count++;
    }
    size_t size = count * sizeof(*first);
    auto *some = static_cast<exports_motu_guest_vm_ended_t *>(allocate(size));
    memcpy(some, first, size);
    hot.ended_taken += count;
    hot.ended_bytes -= bytes;
    return {some, count};
}

// Takes all that is left of the list, with its block.
exports_motu_guest_vm_list_ended_t take_all_ended() {
    exports_motu_guest_vm_list_ended_t all = {hot.ended.ptr, hot.ended.len - hot.ended_taken};
    if (hot.ended_taken > 0)
        memmove(all.ptr, all.ptr + hot.ended_taken, all.len * sizeof(*all.ptr));
    hot.ended = {nullptr, 0};
    hot.ended_capacity = hot.ended_taken = 0;
    hot.ended_bytes = 0;
    return all;
}

// Encodes the result for the bindings. If something in it can't cross, `reason` says what and where. Over a limit it
// doesn't return.
bool give_result(lua_State *L, int index, const char *root, guest_list_u8_t *ret, std::string &reason) {
    Encoded encoded = encode(L, index, root, limits().result_bytes, limits().result_depth);
    if (encoded.outcome == Crossing::too_many_bytes)
        exceeded(MOTU_GUEST_HOST_LIMIT_RESULT_BYTES,
                 "over " + std::to_string(limits().result_bytes) + " bytes at " + encoded.detail);
    if (encoded.outcome == Crossing::too_deep)
        exceeded(MOTU_GUEST_HOST_LIMIT_RESULT_DEPTH,
                 "deeper than " + std::to_string(limits().result_depth) + " tables at " + encoded.detail);
    *ret = encoded.bytes;
    reason = std::move(encoded.detail);
    return encoded.outcome == Crossing::done;
}

// Pushes the handler of the event, or returns false with the reason.
bool push_handler(lua_State *L, const guest_list_u8_t &event, std::string &reason) {
    lua_getref(L, entry().value);
    std::string_view name(reinterpret_cast<const char *>(event.ptr), event.len);
    if (!lua_istable(L, -1)) {
        reason = "no handler for " + quoted(name) + ": " + entry().path + " returned no table of handlers";
        return false;
    }
    lua_pushlstring(L, name.data(), name.size());
    lua_rawget(L, -2);
    if (lua_isfunction(L, -1))
        return true;
    reason = "no handler for " + quoted(name) + ": what " + entry().path + " returned has " +
             (lua_isnil(L, -1) ? "nothing" : std::string("a ") + lua_typename(L, lua_type(L, -1))) + " of that name";
    return false;
}

// The coroutine has returned: its first result is the event's. False, with the reason, if that can't cross.
bool add_result_of(lua_State *coroutine, uint64_t event, std::string &reason) {
    bool returned = lua_gettop(coroutine) > 0;
    if (!returned)
        lua_pushnil(coroutine);
    guest_list_u8_t bytes;
    bool done = give_result(coroutine, 1, "result", &bytes, reason);
    if (done)
        add_result(event, bytes);
    if (!returned)
        lua_pop(coroutine, 1); // whoever resumed it gets no result
    return done;
}

// From here on, the event ends when its coroutine does.
void wait_for(lua_State *coroutine, uint64_t event, const Place &place) {
    lua_settop(coroutine, 0); // what it yielded is for nobody
    Task &task = task_of(coroutine);
    retain(task);
    task.is_handler = true;
    task.is_seen = is_coroutine_seen();
    task.event = event;
    task.file = place.file;
    task.line = place.line;
    waiting.emplace(event, &task);
}

void forget(Task &task) {
    waiting.erase(task.event);
    task.is_handler = false;
    release(task);
}

bool is_waiting(lua_State *coroutine) {
    Task *task = record(coroutine);
    return task && task->first;
}

// It yielded to nobody: nothing is to resume it, and no script has it to do so.
exports_motu_guest_vm_failure_t stranded(lua_State *coroutine) {
    return script_failure(place_of(coroutine) + "the handler yielded, and nothing will resume it",
                          traceback_of(coroutine));
}

// Whether the coroutine goes on.
bool run_handler(lua_State *L, lua_State *coroutine, uint64_t event, const guest_list_u8_t &name,
                 const guest_list_u8_t &payload) {
    std::string reason;
    if (!push_handler(L, name, reason)) {
        add_failure(event, script_failure(reason));
        return false;
    }
    WorksFor work(L, -1);        // what comes before it, and after
    lua_xpush(L, coroutine, -1); // the handler stays on top of L
    if (!decode(coroutine, payload.ptr, payload.len, reason)) {
        add_failure(event, script_failure("the payload can't be decoded: " + reason));
        return false;
    }

    int status = lua_resume(coroutine, nullptr, 1);
    if (status == LUA_YIELD) {
        if (!is_coroutine_seen() && !is_waiting(coroutine)) {
            add_failure(event, stranded(coroutine));
            return false;
        }
        wait_for(coroutine, event, place_of_function(L));
        return true;
    }
    if (status != LUA_OK)
        add_failure(event, failure_of(coroutine));
    else if (!add_result_of(coroutine, event, reason))
        add_failure(event, script_failure(place_of_function(L).text() + reason));
    return false;
}

} // namespace

void end_event(Task &task, lua_State *from, int status) {
    WorksFor work(task.file, task.line);
    forget(task); // first: a failure's text may run script, which may close the coroutine
    std::string reason;
    if (status != LUA_OK)
        add_failure(task.event, failure_of(task.thread, from));
    else if (!add_result_of(task.thread, task.event, reason))
        add_failure(task.event, script_failure(Place{task.file, task.line}.text() + reason));
}

void strand_event(Task &task) {
    add_failure(task.event, stranded(task.thread));
    forget(task);
}

void close_event(Task &task, const char *how) {
    lua_State *closer = hot.running ? hot.runs[std::min(hot.running, running_max) - 1] : nullptr;
    std::string what = std::string("the handler's coroutine was ") + how;
    add_failure(task.event, closer ? script_failure(place_of(closer) + what, traceback_of(closer)) : script_failure(what));
    forget(task);
}

lua_State *handler_of(uint64_t event) {
    auto found = waiting.find(event);
    return found == waiting.end() ? nullptr : found->second->thread;
}

void take_step(exports_motu_guest_vm_step_t *step) {
    // The host copies the result limit and 1 MiB in one call. One event always fits; when many end at once, those that
    // don't are for the next entry.
    uint64_t bytes_max = static_cast<uint64_t>(limits().result_bytes) + (512 << 10);
    size_t left = hot.ended.len - hot.ended_taken;
    bool is_all = left <= 1 || (left <= ended_max && hot.ended_bytes <= bytes_max);
    step->ended = is_all ? take_all_ended() : take_some_ended(bytes_max);
    step->deferred = next_deferred() || hot.ended.len > 0;
}

} // namespace motu

using namespace motu;

void exports_motu_guest_vm_start(uint64_t event, guest_list_u8_t *name, guest_list_u8_t *payload,
                                 exports_motu_guest_vm_step_t *ret) {
    begin(false);
    lua_State *main = main_state();
    int top = lua_gettop(main);
    lua_State *coroutine = take_coroutine(main);
    WorksFor work(coroutine); // once it waits
    bool goes_on = false;
    try {
        goes_on = run_handler(main, coroutine, event, *name, *payload);
    } catch (const std::exception &error) { // a payload's table larger than Luau allows
        add_failure(event, script_failure(error.what()));
    }
    if (goes_on)
        leave_coroutine(main);
    else
        give_back_coroutine(main, coroutine);
    lua_settop(main, top);
    guest_list_u8_free(name);
    guest_list_u8_free(payload);
    take_step(ret);
}

void exports_motu_guest_vm_cancel(uint64_t event) {
    auto found = waiting.find(event);
    if (found == waiting.end())
        return;
    Task &task = *found->second;
    lua_State *thread = task.thread;
    waiting.erase(found);
    task.is_handler = false; // nothing is listed
    stop_waiting(thread, nullptr);
    lua_resetthread(thread);
    release(task);
}

bool exports_motu_guest_vm_entry_value(guest_list_u8_t *ret, exports_motu_guest_vm_failure_t *err) {
    lua_State *main = main_state();
    int top = lua_gettop(main);
    lua_getref(main, entry().value);
    WorksFor work(find_file(entry().path), 0);
    std::string reason;
    bool done = give_result(main, -1, "value", ret, reason);
    if (!done)
        *err = script_failure(entry().path + ": " + reason);
    lua_settop(main, top);
    return done;
}
