// Makes the record of what a script died of. Everything in it is bounded: an error message, a traceback and an error
// value may each be as large as a script likes.

#include "failure.h"

#include "call.h"
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

constexpr size_t wrapped_max = 200; // as many as Luau lets run in each other
constexpr size_t frame_bytes_max = text_bytes_max / (first_frames + last_frames + 1);

struct Refusal {
    motu_guest_types_failure_kind_t kind = MOTU_GUEST_TYPES_FAILURE_KIND_SCRIPT;
    const HostFunction *function = nullptr; // that threw it
};

// What was refused last. Only that one: a script that catches many rethrows the last, or says something of its own.
char refusal_key; // its address is the key of the value in the registry
Refusal last_refusal;

// The host function that is the innermost call of a coroutine, or null.
const HostFunction *innermost(lua_State *coroutine) {
    lua_Debug frame = {};
    lua_rawcheckstack(coroutine, 2);
    if (!lua_getinfo(coroutine, 0, "f", &frame))
        return nullptr;
    const HostFunction *function = host_function_at(coroutine, -1);
    lua_pop(coroutine, 1);
    return function;
}

// What is known of the error value on top of the stack.
Refusal refusal_of(lua_State *coroutine) {
    lua_rawcheckstack(coroutine, 1);
    lua_rawgetp(coroutine, LUA_REGISTRYINDEX, &refusal_key);
    bool same = lua_rawequal(coroutine, -1, -2);
    lua_pop(coroutine, 1);
    if (!same)
        return {};
    // an equal number or text may be the script's own, unlike the same table
    bool may_be_another = lua_type(coroutine, -1) <= LUA_TSTRING;
    if (last_refusal.function && may_be_another && innermost(coroutine) != last_refusal.function)
        return {};
    return last_refusal;
}

// A line of a traceback, or "" for a frame that isn't shown.
std::string frame_text(lua_State *coroutine, int level) {
    lua_Debug frame = {};
    if (!lua_getinfo(coroutine, level, "sln", &frame))
        return {};
    std::string_view name = frame.name ? frame.name : "";
    if (frame.what[0] == 'C')
        return name.empty() ? std::string() : "[C] " + cut(name, frame_bytes_max); // without a name it's one of ours
    std::string text = frame.source[0] == '=' ? frame.source + 1 : frame.short_src;
    if (frame.currentline > 0) // opaque code has no lines
        text += ":" + std::to_string(frame.currentline);
    if (!name.empty())
        text.append(" function ").append(name);
    return cut(text, frame_bytes_max);
}

// The coroutine that this one's innermost call resumed, if that is one of `coroutine.wrap` and the coroutine has
// failed, now or before.
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

// The text on top of the stack, or "" if there is another value or none.
std::string_view string_on_top(lua_State *coroutine) {
    if (lua_gettop(coroutine) == 0 || lua_type(coroutine, -1) != LUA_TSTRING)
        return {};
    size_t size = 0;
    const char *text = lua_tolstring(coroutine, -1, &size);
    return {text, size};
}

bool is_not_resumed(std::string_view message) {
    return message == "cannot resume dead coroutine" || message == "cannot resume normal coroutine" ||
           message == "cannot resume running coroutine";
}

// The coroutine that failed, after those that its error came out of. Each `coroutine.wrap` between them put its place
// before an error that is text. Without those, the error says whether the last one wasn't resumed at all: what that may
// have died of before is another error.
std::vector<lua_State *> failed_chain(lua_State *coroutine) {
    std::vector<lua_State *> chain = {coroutine};
    std::string_view message = string_on_top(coroutine);
    while (lua_State *inner = chain.size() < wrapped_max ? failed_in(chain.back()) : nullptr) {
        lua_rawcheckstack(chain.back(), 1);
        luaL_where(chain.back(), 1);
        std::string_view place = string_on_top(chain.back());
        if (message.substr(0, place.size()) == place)
            message.remove_prefix(place.size());
        lua_pop(chain.back(), 1);
        if (is_not_resumed(message))
            break;
        chain.push_back(inner);
    }
    std::reverse(chain.begin(), chain.end());
    return chain;
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

std::string string_message(lua_State *coroutine) { return cut(string_on_top(coroutine), text_bytes_max); }

// "path:line: module.function: " if the error value is a host function's and doesn't say so itself.
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
    std::vector<lua_State *> chain = failed_chain(coroutine);
    int depth = 0, at = 0;
    for (lua_State *each : chain)
        depth += lua_stackdepth(each);
    int left_out_to = std::max(first_frames, depth - last_frames);
    std::string text;
    for (lua_State *each : chain)
        for (int level = 0, levels = lua_stackdepth(each); level < levels; level++, at++) {
            if (at == first_frames && at < left_out_to)
                text += "... (" + std::to_string(left_out_to - at) + " frames)\n";
            if (at >= first_frames && at < left_out_to)
                continue;
            std::string frame = frame_text(each, level);
            if (!frame.empty())
                text += frame + "\n";
        }
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
    std::string before = before_message(coroutine);
    if (lua_type(coroutine, -1) == LUA_TSTRING)
        return before + string_message(coroutine);
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
    std::string before = before_message(coroutine);
    exports_motu_guest_vm_failure_t failure;
    if (lua_type(coroutine, -1) == LUA_TSTRING) {
        failure = script_failure(before + string_message(coroutine), traceback);
    } else {
        lua_State *helper = push_helper(coroutine, from);
        failure = script_failure(before + message_in(helper), traceback);
        failure.value = encode_error_value(helper);
        lua_pop(main_state(), 1);
    }
    failure.kind = kind;
    return failure;
}

} // namespace motu
