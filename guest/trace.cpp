// The export `trace`. It may run over memory that was left half changed, so it keeps nothing: it allocates no memory,
// calls nothing through a pointer, and tells of each frame as soon as it has it. What it reads is only believed by the
// host if the bundle has such a file.

#include "trace.h"

#include "event.h"
#include "failure.h"
#include "guest.h"
#include "hot.h"
#include "ldebug.h"
#include "lobject.h"
#include "lstate.h"

#include <algorithm>

namespace motu {
namespace {

void resumed(lua_State *coroutine) {
    if (hot.running < running_max)
        hot.runs[hot.running] = coroutine;
    hot.running++;
}

void left(lua_State *) { hot.running--; }

constexpr size_t path_bytes_max = 512; // the host's, for files
constexpr size_t name_bytes_max = 100; // the host shows that a name was cut there

// A part of the string, or nothing. That it lies in memory is looked at by the host's runtime.
guest_list_u8_t bytes_of(TString *text, size_t from, size_t bytes_max) {
    if (!text || text->len < from)
        return {nullptr, 0};
    return {reinterpret_cast<uint8_t *>(getstr(text) + from), std::min<size_t>(text->len - from, bytes_max)};
}

guest_list_u8_t path_of(const Proto &code) { return bytes_of(code.source, 1, path_bytes_max); } // after the "="

guest_list_u8_t name_of(TString *name) { return bytes_of(name, 0, name_bytes_max); }

class Trace {
public:
    explicit Trace(uint32_t frames) : frames_(frames) {}

    void add(lua_State *coroutine) {
        uint32_t depth = static_cast<uint32_t>(lua_stackdepth(coroutine));
        for (uint32_t level = 0; level < depth; level++, at_++) {
            const CallInfo &call = *(coroutine->ci - level);
            bool is_first = at_ < static_cast<uint32_t>(first_frames);
            bool is_last = frames_ - at_ <= static_cast<uint32_t>(last_frames);
            if (is_first || is_last) {
                tell(call);
            } else if (has_place_) {
                uint32_t more = std::min(frames_ - last_frames - at_, depth - level) - 1;
                left_out_ += more + 1;
                level += more;
                at_ += more;
            } else if (clvalue(call.func)->isC) {
                left_out_++;
            } else {
                tell(call); // the place is never left out
            }
        }
    }

    void tell(const CallInfo &call) {
        const Closure *function = clvalue(call.func);
        if (function->isC)
            tell({nullptr, 0}, 0, name_of(function->c.debugname)); // without a name it's one of ours
        else
            tell(*call.p, luaG_getline(call.p, pcRel(call.savedpc, call.p)));
    }

    void tell(const Proto &code, int line) {
        tell(path_of(code), line, name_of(code.debugname));
    }

    void tell(guest_list_u8_t path, int line, guest_list_u8_t name) {
        if (path.len == 0 && name.len == 0)
            return;
        motu_guest_host_traced(left_out_, &path, line > 0 ? static_cast<uint32_t>(line) : 0, &name);
        left_out_ = 0;
        has_place_ = has_place_ || path.len > 0;
    }

private:
    uint32_t frames_;
    uint32_t at_ = 0;
    uint32_t left_out_ = 0;
    bool has_place_ = false;
};

void trace_function(const Closure &function) {
    if (!function.isC)
        Trace(1).tell(*function.l.p, function.l.p->linedefined);
}

// What a coroutine runs, or is to run: before it was entered, that lies below the arguments.
const Closure *main_function(const lua_State *coroutine) {
    bool is_fresh = coroutine->ci == coroutine->base_ci;
    if (is_fresh && coroutine->top == coroutine->base)
        return nullptr;
    const TValue *function = is_fresh ? coroutine->base : coroutine->base_ci[1].func;
    return ttisfunction(function) ? clvalue(function) : nullptr;
}

bool has_frames(const lua_State *coroutine) { return coroutine->ci != coroutine->base_ci; }

void trace_at_rest(lua_State *coroutine) {
    if (!coroutine)
        return;
    if (has_frames(coroutine))
        Trace(static_cast<uint32_t>(lua_stackdepth(coroutine))).add(coroutine);
    else if (const Closure *function = main_function(coroutine))
        trace_function(*function);
}

// Outside of any coroutine: the place that the work is for. A coroutine that has ended has no frames any more.
void trace_work(const Work &work) {
    if (work.coroutine && has_frames(work.coroutine)) {
        trace_at_rest(work.coroutine);
    } else if (auto *function = static_cast<const Closure *>(work.function)) {
        trace_function(*function);
    } else if (const File *file = work.file) {
        auto *path = reinterpret_cast<uint8_t *>(const_cast<char *>(file->path.data()));
        Trace(1).tell({path, file->path.size()}, file->opaque ? 0 : work.line, {nullptr, 0});
    }
}

bool is_for_nobody(const Work &work) { return !work.function && !work.file && !work.coroutine; }

void trace_running() {
    uint32_t count = std::min(hot.running, running_max);
    uint32_t frames = 0;
    for (uint32_t i = 0; i < count; i++)
        frames += static_cast<uint32_t>(lua_stackdepth(hot.runs[i]));
    if (frames == 0)
        return trace_work(is_for_nobody(hot.work) ? hot.ended_work : hot.work); // none is entered yet, or the last is left
    Trace trace(frames);
    for (uint32_t i = count; i > 0; i--)
        trace.add(hot.runs[i - 1]);
}

} // namespace

void note_coroutines(lua_State *main) {
    lua_callbacks(main)->preresume = resumed;
    lua_callbacks(main)->postresume = left;
}

Runs::Runs(lua_State *coroutine) { resumed(coroutine); }

Runs::~Runs() { left(nullptr); }

WorksFor::WorksFor(const File *file, int line) : before_(hot.work) { hot.work = {nullptr, file, line, nullptr}; }

WorksFor::WorksFor(lua_State *L, int index) : before_(hot.work) {
    hot.work = {lua_topointer(L, index), nullptr, 0, nullptr};
}

WorksFor::WorksFor(lua_State *coroutine) : before_(hot.work) {
    hot.work = {coroutine ? main_function(coroutine) : nullptr, nullptr, 0, coroutine};
}

WorksFor::~WorksFor() {
    if (is_for_nobody(before_))
        hot.ended_work = hot.work;
    hot.work = before_;
}

} // namespace motu

void exports_motu_guest_vm_trace(exports_motu_guest_vm_traceable_t *what) {
    using namespace motu;
    switch (what->tag) {
    case EXPORTS_MOTU_GUEST_VM_TRACEABLE_EVENT:
        return trace_at_rest(handler_of(what->val.event));
    case EXPORTS_MOTU_GUEST_VM_TRACEABLE_WAIT:
        if (Pending *pending = find_wait(what->val.wait))
            trace_at_rest(pending->task->thread);
        return;
    default:
        return trace_running();
    }
}
