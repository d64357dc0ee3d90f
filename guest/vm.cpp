// The life of the VM: made once, configured after each restore, collected before an image is taken. load.cpp and
// event.cpp run scripts in it.

#include "vm.h"

#include "coroutine.h"
#include "flags.h"
#include "hot.h"
#include "library.h"
#include "memory.h"
#include "trace.h"

extern "C" void __wasm_call_ctors();

void motu_leave_pages(lua_State *L); // in lmem.cpp, by build/patch.rs

namespace motu {
namespace {

lua_State *main_thread;
Entry the_entry;

} // namespace

lua_State *main_state() { return main_thread; }

const exports_motu_guest_vm_limits_t &limits() { return hot.limits; }

Entry &entry() { return the_entry; }

void begin(bool reseed) {
    hot.ended_work = {};
    set_log_budget(hot.limits.log_bytes);
    if (reseed)
        seed_random(prepared_coroutine(main_thread), hot.random_seed);
}

void exceeded(motu_guest_host_limit_t limit, std::string_view detail) {
    guest_list_u8_t text = {reinterpret_cast<uint8_t *>(const_cast<char *>(detail.data())), detail.size()};
    motu_guest_host_exceeded(limit, &text);
    __builtin_trap(); // the host doesn't return
}

} // namespace motu

using namespace motu;

// The module has no `_initialize`: a restored image must not run its constructors again.
void exports_motu_guest_vm_init() {
    __wasm_call_ctors();
    set_flags();
    main_thread = lua_newstate(luau_allocate, nullptr);
    note_coroutines(main_thread);
    open_library(main_thread);
    lua_gc(main_thread, LUA_GCCOLLECT, 0);
}

void exports_motu_guest_vm_configure(uint64_t seed, exports_motu_guest_vm_limits_t *limits) {
    hot.limits = *limits;
    hot.random_seed = seed;
    begin(true);
}

void exports_motu_guest_vm_settle() {
    lua_gc(main_thread, LUA_GCCOLLECT, 0);
    motu_leave_pages(main_thread);
    leave_quarters();
    prepare_coroutine(main_thread);
}
