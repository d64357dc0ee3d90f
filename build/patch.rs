//! What Motu changes in Luau's source. A text that isn't found, or is found too often, fails the build: Luau has changed, and
//! whoever moved to the new release decides anew.

use crate::files::{Result, Tree};

struct Patch {
    file: &'static str,
    why: &'static str,
    old: &'static str,
    new: &'static str,
}

const PATCHES: &[Patch] = &[
    Patch {
        file: "luau/VM/src/lmem.cpp",
        why: "pages of 1 KiB for small objects: four sizes of them share one of the host's pages, which is what an event copies",
        old: "const size_t kSmallPageSize = 16 * 1024 - kExternalAllocatorMetaDataReduction;",
        new: "const size_t kSmallPageSize = 1024;",
    },
    Patch {
        file: "luau/VM/src/lmem.cpp",
        why: "pages of 4 KiB for larger ones, for the same reason: no object lies across two",
        old: "const size_t kLargePageSize = 32 * 1024 - kExternalAllocatorMetaDataReduction;",
        new: "const size_t kLargePageSize = 4096;",
    },
    Patch {
        file: "luau/VM/src/lmem.cpp",
        why: "a page of 1 KiB holds four objects at least",
        old: "const size_t kLargePageThreshold = 512;",
        new: "const size_t kLargePageThreshold = 240;",
    },
    Patch {
        file: "luau/VM/src/lmem.cpp",
        why: "what is made after an image is taken lies together on fresh pages, not in gaps all over the image",
        old: "template<bool nothrow>\nstatic void* newblock(lua_State* L, int sizeClass)\n{",
        new: "void motu_leave_pages(lua_State* L)\n{\n    global_State* g = L->global;\n    \
              for (size_t klass = 0; klass < kSizeClasses; klass++)\n    {\n        \
              if (kSizeClassConfig.sizeOfClass[klass] > int(kLargePageThreshold))\n            continue;\n        \
              lua_Page** lists[] = {&g->freepages[klass], &g->freegcopages[klass]};\n        \
              for (lua_Page** list : lists)\n            \
              while (lua_Page* page = *list)\n            {\n                *list = page->next;\n                \
              page->prev = page->next = NULL;\n            }\n    }\n}\n\n\
              template<bool nothrow>\nstatic void* newblock(lua_State* L, int sizeClass)\n{",
    },
    Patch {
        file: "luau/VM/src/lmem.cpp",
        why: "running out of memory ends the instance; a script must not be able to catch it",
        old: "l_noret luaM_toobig(lua_State* L)\n{\n    luaG_runerror(L, \"memory allocation error: block too big\");\n}",
        new: "extern \"C\" [[noreturn]] void motu_out_of_memory(void);\n\n\
              l_noret luaM_toobig(lua_State*)\n{\n    motu_out_of_memory();\n}",
    },
    Patch {
        file: "luau/VM/src/lgc.cpp",
        why: "fuel is exact: when the collector runs must not depend on how long it took by the clock",
        old: "double allocationduration = g->gcstats.atomicstarttimestamp - g->gcstats.endtimestamp;",
        new: "double allocationduration = 0;",
    },
    Patch {
        file: "luau/VM/src/lgc.cpp",
        why: "a script that drops large blocks has them collected before its memory limit is reached",
        old: "    if ((FFlag::LuauBackedgeHeapCheck || LUA_VECTOR_DOUBLE == 1) && assist)\n    {\n        \
              size_t need = debt * g->gcstepmul / 100;\n",
        new: "    if (assist)\n    {\n        uint64_t wide = uint64_t(debt) * g->gcstepmul / 100; // 32 bits can't hold it\n        \
              size_t need = wide > UINT32_MAX ? UINT32_MAX : size_t(wide);\n",
    },
    Patch {
        file: "luau/VM/src/lgc.cpp",
        why: "the same: a step ends with each phase of a cycle, and large blocks are few steps apart",
        old: "    size_t work = gcstep(L, lim);\n",
        new: "    size_t work = gcstep(L, lim);\n    \
              while (lim > size_t(g->gcstepsize * g->gcstepmul / 100) && work < lim && g->gcstate != GCSpause)\n        \
              work += gcstep(L, lim - work);\n",
    },
    Patch {
        file: "luau/VM/src/ldebug.cpp",
        why: "an opaque file (compiled without lines) shows no line in its errors",
        old: "        int line = currentline(L, ci);\n        luaO_pushfstring(L, \"%s:%d: %s\", chunkid, line, msg);",
        new: "        if (!getluaproto(ci)->lineinfo)\n        {\n            luaO_pushfstring(L, \"%s: %s\", chunkid, msg);\n            return;\n        }\n        \
              int line = currentline(L, ci);\n        luaO_pushfstring(L, \"%s:%d: %s\", chunkid, line, msg);",
    },
    Patch {
        file: "luau/VM/src/ldebug.cpp",
        why: "an opaque file's errors show no names of its fields",
        old: "    if (key && key->len <= 64) //",
        new: "    if (isLua(L->ci) && !getluaproto(L->ci)->lineinfo)\n        key = nullptr;\n\n    if (key && key->len <= 64) //",
    },
    Patch {
        file: "luau/VM/src/ldebug.cpp",
        why: "an opaque file's errors show no names of its methods",
        old: "    luaG_runerror(L, \"attempt to call missing method '%s' of %s\", getstr(p2), t1);",
        new: "    if (isLua(L->ci) && !getluaproto(L->ci)->lineinfo)\n        luaG_runerror(L, \"attempt to call a missing method of %s\", t1);\n    \
              luaG_runerror(L, \"attempt to call missing method '%s' of %s\", getstr(p2), t1);",
    },
    Patch {
        file: "luau/VM/src/lvmexecute.cpp",
        why: "there is no interrupt hook, which was asked for at each call and each turn of a loop",
        old: "        void (*interrupt)(lua_State*, int) = L->global->cb.interrupt; \\\n        if (LUAU_UNLIKELY(!!interrupt)) \\\n        \
              { /* the interrupt hook is called right before we advance pc */ \\\n            \
              VM_PROTECT(L->ci->savedpc++; interrupt(L, -1)); \\\n            if (L->status != 0) \\\n            { \\\n                \
              L->ci->savedpc--; \\\n                goto exit; \\\n            } \\\n        } \\\n",
        new: "",
    },
    Patch {
        file: "luau/VM/src/laux.cpp",
        why: "each error has its place before it, and printf takes a quarter of the time of an error that is caught",
        old: "        lua_pushfstring(L, \"%s:%d: \", ar.short_src, ar.currentline);\n",
        new: "        char place[LUA_IDSIZE + LUAI_MAXNUM2STR + 3];\n        size_t size = strlen(ar.short_src);\n        \
              memcpy(place, ar.short_src, size);\n        place[size] = ':';\n        \
              char* end = luai_num2str(place + size + 1, ar.currentline);\n        memcpy(end, \": \", 2);\n        \
              lua_pushlstring(L, place, end + 2 - place);\n",
    },
    Patch {
        file: "luau/VM/src/lcorolib.cpp",
        why: "guest/scheduler.cpp says who may resume a coroutine",
        old: "    // error handling for edge cases\n    if (co->status != LUA_YIELD)\n",
        new: "    if (const char* refused = co->userdata ? motu_before_resume(co) : NULL)\n    {\n        \
              lua_pushstring(L, refused);\n        return CO_STATUS_ERROR;\n    }\n\n    \
              // error handling for edge cases\n    if (co->status != LUA_YIELD)\n",
    },
    Patch {
        file: "luau/VM/src/lcorolib.cpp",
        why: "an event has ended when its handler's coroutine has, whoever resumed that; its result is still there",
        old: "    int status = lua_resume(co, L, narg);\n",
        new: "    int status = lua_resume(co, L, narg);\n    if (co->userdata)\n        motu_after_resume(L, co, status);\n",
    },
    Patch {
        file: "luau/VM/src/lcorolib.cpp",
        why: "coroutines are limited in number",
        old: "    lua_State* NL = lua_newthread(L);\n",
        new: "    motu_before_create(L);\n    lua_State* NL = lua_newthread(L);\n",
    },
    Patch {
        file: "luau/VM/src/lcorolib.cpp",
        why: "a coroutine that is closed waits for nothing, and an event whose handler is closed has ended",
        old: "    if (co->status == LUA_OK || co->status == LUA_YIELD)\n    {\n        lua_pushboolean(L, true);\n",
        new: "    if (co->userdata)\n        motu_before_close(co);\n    \
              if (co->status == LUA_OK || co->status == LUA_YIELD)\n    {\n        lua_pushboolean(L, true);\n",
    },
    Patch {
        file: "luau/VM/src/lcorolib.cpp",
        why: "the four hooks above",
        old: "static int costatus(lua_State* L)\n",
        new: "const char* motu_before_resume(lua_State* co);\nvoid motu_after_resume(lua_State* L, lua_State* co, int status);\n\
              void motu_before_create(lua_State* L);\nvoid motu_before_close(lua_State* co);\n\nstatic int costatus(lua_State* L)\n",
    },
    Patch {
        file: "luau/Compiler/src/Types.cpp",
        why: "a long chain of type aliases must not take the stack; what lies deeper has no type in the bytecode",
        old: "            if (seenAliases.contains((*alias)->name))\n",
        new: "            if (seenAliases.contains((*alias)->name) || seenAliases.size() >= 100)\n",
    },
    Patch {
        file: "luau/VM/src/lstrlib.cpp",
        why: "a length of 64 bits is not cut to the 32 of a size here",
        old: "            size_t len = (size_t)unpackint(L, data + pos, h.islittle, size, 0);\n            \
              luaL_argcheck(L, len <= ld - pos - size, 2, \"data string too short\");\n",
        new: "            uint64_t wide = uint64_t(unpackint(L, data + pos, h.islittle, size, 0));\n            \
              luaL_argcheck(L, wide <= ld - pos - size, 2, \"data string too short\");\n            size_t len = size_t(wide);\n",
    },
    Patch {
        file: "luau/VM/src/lmathlib.cpp",
        why: "an upper limit beyond an int is an error: C++ doesn't say what it becomes, and processors differ",
        old: "        int u = luaL_checkinteger(L, 1);\n        luaL_argcheck(L, 1 <= u, 1, \"interval is empty\");\n",
        new: "        int u = luaL_checkinteger(L, 1);\n        \
              luaL_argcheck(L, lua_tonumber(L, 1) < 2147483648.0, 1, \"interval is too large\");\n        \
              luaL_argcheck(L, 1 <= u, 1, \"interval is empty\");\n",
    },
    Patch {
        file: "luau/VM/src/lmathlib.cpp",
        why: "the same, of both limits",
        old: "        luaL_argcheck(L, l <= u, 2, \"interval is empty\");\n",
        new: "        luaL_argcheck(L, lua_tonumber(L, 1) > -2147483649.0, 1, \"interval is too large\");\n        \
              luaL_argcheck(L, lua_tonumber(L, 2) < 2147483648.0, 2, \"interval is too large\");\n        \
              luaL_argcheck(L, l <= u, 2, \"interval is empty\");\n",
    },
    Patch {
        file: "luau/VM/src/lveclib.cpp",
        why: "an opaque file's errors show no names of a vector's parts",
        old: "    luaL_error(L, \"attempt to index vector with '%s'\", name);",
        new: "    lua_Debug caller = {};\n    if (lua_getinfo(L, 1, \"l\", &caller) && caller.currentline <= 0)\n        \
              luaL_error(L, \"attempt to index vector with an unknown part\");\n    \
              luaL_error(L, \"attempt to index vector with '%s'\", name);",
    },
];

// Without the interrupt hook and the look at a flag that is off, the interpreter is as fast as before it kept its place:
// `motu-bench --measure interp`, geometric mean of nine: 0.99 of Luau's own text, 1.05 where VM_INTERRUPT kept the place.
const BACK_EDGES: Patch = Patch {
    file: "luau/VM/src/lvmexecute.cpp",
    why: "where a loop is when it is stopped, for guest/trace.cpp; LuauBackedgeHeapCheck is off in guest/flags.cpp",
    old: "                VM_INTERRUPT();\n                if (FFlag::LuauBackedgeHeapCheck)\n                    VM_CHECK_GC(L);\n                \
          VM_CASE_INSTRUCTION insn = *pc++;\n",
    new: "                VM_CASE_INSTRUCTION insn = *pc++;\n                VM_PROTECT_PC();\n",
};
const BACK_EDGES_COUNT: usize = 4; // LOP_FORNLOOP, LOP_FORGLOOP, LOP_JUMPBACK, LOP_JUMPX

pub(crate) fn apply(tree: &mut Tree) -> Result<()> {
    let once = PATCHES.iter().map(|patch| (patch, 1));
    for (patch, times) in once.chain([(&BACK_EDGES, BACK_EDGES_COUNT)]) {
        let fail = |what: &str| {
            let (file, old, why) = (patch.file, patch.old, patch.why);
            format!("build/patch.rs changes Luau's source, but {what} in {file}:\n\n{old}\n\n(the change: {why})")
        };
        let contents = tree.get_mut(patch.file).ok_or_else(|| fail("there is no such file to find this text"))?;
        let text = std::str::from_utf8(contents).map_err(|_| fail("what isn't UTF-8 can't hold this text"))?;
        let changed = match text.matches(patch.old).count() {
            count if count == times => text.replace(patch.old, patch.new),
            0 => return Err(fail("this text is no longer").into()),
            count => return Err(fail(&format!("this text was found {count} times, and not {times},")).into()),
        };
        *contents = changed.into_bytes();
    }
    Ok(())
}
