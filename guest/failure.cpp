// Makes the record of what a script died of. Everything in it is bounded: an error message, a traceback and an error
// value may each be as large as a script likes.

#include "failure.h"

#include "codec.h"
#include "lstate.h"
#include "lualib.h"
#include "show.h"
#include "text.h"
#include "trace.h"
#include "vm.h"

#include <algorithm>
#include <vector>

namespace motu {
namespace {

constexpr int first_frames = 20;
constexpr int last_frames = 10;
constexpr size_t wrapped_max = 200; // as many as Luau lets run in each other

struct Refusal {
    motu_guest_types_failure_kind_t kind = MOTU_GUEST_TYPES_FAILURE_KIND_SCRIPT;
    const HostFunction *function = nullptr; // that threw it
};

// What was refused last. Only that one: a script that catches many rethrows the last, or says something of its own.
char refusal_key; // its address is the key of the value in the registry
Refusal last_refusal;

// What is known of the error value on top of the stack.
Refusal refusal_of(lua_State *coroutine) {
    lua_rawcheckstack(coroutine, 1);
    lua_rawgetp(coroutine, LUA_REGISTRYINDEX, &refusal_key);
    bool same = lua_rawequal(coroutine, -1, -2);
    lua_pop(coroutine, 1);
    return same ? last_refusal : Refusal();
}

// A line of a traceback, or "" for a frame that isn't shown.
std::string frame_text(lua_State *coroutine, int level) {
    lua_Debug frame = {};
    if (!lua_getinfo(coroutine, level, "sln", &frame))
        return {};
    std::string_view name = frame.name ? frame.name : "";
    if (frame.what[0] == 'C')
        return name.empty() ? std::string() : "[C] " + std::string(name); // without a name it's one of ours
    std::string text = frame.source[0] == '=' ? frame.source + 1 : frame.short_src;
    if (frame.currentline > 0) // opaque code has no lines
        text += ":" + std::to_string(frame.currentline);
    if (!name.empty())
        text += " function " + std::string(name);
    return text;
}

// The coroutine whose error came out of this one's innermost call, if that was made by `coroutine.wrap`.
lua_State *failed_in(lua_State *coroutine) {
    lua_Debug frame = {};
    lua_rawcheckstack(coroutine, 2);
    if (!lua_getinfo(coroutine, 0, "f", &frame))
        return nullptr;
    lua_State *inner = nullptr;
    if (lua_iscfunction(coroutine, -1) && lua_getupvalue(coroutine, -1, 1)) {
        inner = lua_tothread(coroutine, -1);
        lua_pop(coroutine, 1);
    }
    lua_pop(coroutine, 1);
    bool failed = inner && inner->status >= LUA_ERRRUN && inner->status <= LUA_ERRERR;
    return failed ? inner : nullptr;
}

// Whether the error value on top of the stack says that a coroutine was dead already: what it had died of is another error.
bool was_dead(lua_State *coroutine) {
    static const char dead[] = "cannot resume dead coroutine";
    size_t size = 0;
    const char *message = lua_type(coroutine, -1) == LUA_TSTRING ? lua_tolstring(coroutine, -1, &size) : "";
    return std::string_view(message, size).find(dead) != std::string_view::npos;
}

std::string frames_of(lua_State *coroutine) {
    std::string text;
    int depth = lua_stackdepth(coroutine);
    for (int level = 0; level < depth; level++) {
        if (depth > first_frames + last_frames && level == first_frames) {
            level = depth - last_frames;
            text += "... (" + std::to_string(level - first_frames) + " frames)\n";
        }
        std::string frame = frame_text(coroutine, level);
        if (!frame.empty())
            text += frame + "\n";
    }
    return text;
}

// Leaves the text of the value that is its argument.
int to_text(lua_State *L) {
    luaL_tolstring(L, 1, nullptr);
    return 1;
}

// A thread of its own for the error value, its first: the one that failed can't run anything any more, and what is run
// for the text may close it. It's on the main thread's stack.
lua_State *push_helper(lua_State *coroutine, lua_State *from) {
    lua_State *main = main_state();
    lua_rawcheckstack(main, 1);
    lua_State *helper = lua_newthread(main);
    helper->nCcalls = helper->baseCcalls = from ? from->nCcalls : 0; // or each level would have all of the stack
    lua_xpush(coroutine, helper, -1);
    return helper;
}

// The value's `__tostring` may fail in any way; then there is no text.
bool push_text(lua_State *helper) {
    lua_pushcfunction(helper, to_text, "tostring");
    lua_pushvalue(helper, 1);
    Runs runs(helper);
    if (lua_pcall(helper, 1, 1, 0) == LUA_OK)
        return true;
    lua_pop(helper, 1);
    return false;
}

// Pushes the message of an error value that is no string, or returns false.
bool push_message(lua_State *helper) {
    int type = lua_type(helper, 1);
    if (type == LUA_TNUMBER || type == LUA_TINTEGER || type == LUA_TBOOLEAN || type == LUA_TVECTOR)
        return push_text(helper);
    if (luaL_getmetafield(helper, 1, "__tostring")) {
        lua_pop(helper, 1);
        if (push_text(helper))
            return true;
    }
    if (type != LUA_TTABLE)
        return false;
    lua_rawgetfield(helper, 1, "message");
    return lua_type(helper, -1) == LUA_TSTRING;
}

std::string message_in(lua_State *helper) {
    if (!push_message(helper))
        return "error value " + show(helper, 1);
    size_t size = 0;
    const char *message = lua_tolstring(helper, -1, &size);
    return cut({message, size}, text_bytes_max);
}

std::string string_message(lua_State *coroutine) {
    size_t size = 0;
    const char *message = lua_tolstring(coroutine, -1, &size);
    return cut({message, size}, text_bytes_max);
}

// "path:line: module.function: " if the error value, which is no string, is a host function's. A string has both itself.
std::string before_message(lua_State *coroutine) {
    const HostFunction *function = refusal_of(coroutine).function;
    return function ? place_of(coroutine) + function->shown + ": " : std::string();
}

guest_option_list_u8_t encode_error_value(lua_State *helper) {
    Encoded value = encode(helper, 1, "error value", limits().result_bytes, limits().result_depth);
    return {value.outcome == Crossing::done, value.bytes};
}

} // namespace

std::string traceback_of(lua_State *coroutine) {
    std::vector<lua_State *> chain = {coroutine};
    if (lua_gettop(coroutine) > 0 && !was_dead(coroutine))
        while (lua_State *inner = chain.size() < wrapped_max ? failed_in(chain.back()) : nullptr) {
            if (std::find(chain.begin(), chain.end(), inner) != chain.end())
                break; // each may have called the other, in vain
            chain.push_back(inner);
        }
    std::string text;
    for (auto inner = chain.rbegin(); inner != chain.rend() && text.size() <= text_bytes_max; ++inner)
        text += frames_of(*inner);
    if (!text.empty())
        text.pop_back();
    return text;
}

std::string place_of(lua_State *coroutine) {
    int depth = lua_stackdepth(coroutine);
    for (int level = 0; level < depth; level++) {
        lua_Debug frame = {};
        if (!lua_getinfo(coroutine, level, "sl", &frame) || frame.what[0] == 'C')
            continue;
        std::string text = frame.source[0] == '=' ? frame.source + 1 : frame.short_src;
        if (frame.currentline > 0)
            text += ":" + std::to_string(frame.currentline);
        return text + ": ";
    }
    return {};
}

exports_motu_guest_vm_failure_t script_failure(std::string_view message, std::string_view traceback) {
    exports_motu_guest_vm_failure_t failure = {};
    failure.kind = MOTU_GUEST_TYPES_FAILURE_KIND_SCRIPT;
    failure.message = copy_text(message);
    failure.traceback = copy_text(traceback);
    return failure;
}

exports_motu_guest_vm_failure_t compile_failure(std::string_view message) {
    exports_motu_guest_vm_failure_t failure = script_failure(message);
    failure.kind = MOTU_GUEST_TYPES_FAILURE_KIND_COMPILE;
    return failure;
}

std::string message_of(lua_State *coroutine, lua_State *from) {
    if (lua_type(coroutine, -1) == LUA_TSTRING)
        return string_message(coroutine);
    std::string before = before_message(coroutine);
    std::string message = message_in(push_helper(coroutine, from));
    lua_pop(main_state(), 1);
    return before + message;
}

void remember_refusal(lua_State *L, motu_guest_types_failure_kind_t kind, const HostFunction *function) {
    lua_rawcheckstack(L, 1);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &refusal_key);
    last_refusal = {kind, function};
}

exports_motu_guest_vm_failure_t failure_of(lua_State *coroutine, lua_State *from) {
    std::string traceback = traceback_of(coroutine);
    motu_guest_types_failure_kind_t kind = refusal_of(coroutine).kind;
    exports_motu_guest_vm_failure_t failure;
    if (lua_type(coroutine, -1) == LUA_TSTRING) {
        failure = script_failure(string_message(coroutine), traceback);
    } else {
        std::string before = before_message(coroutine);
        lua_State *helper = push_helper(coroutine, from);
        failure = script_failure(before + message_in(helper), traceback);
        failure.value = encode_error_value(helper);
        lua_pop(main_state(), 1);
    }
    failure.kind = kind;
    return failure;
}

} // namespace motu
