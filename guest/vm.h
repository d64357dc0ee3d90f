// The VM's global state. All of it is in linear memory: an image of the memory is an image of the VM.
#pragma once

#include "guest.h"
#include "lua.h"

#include <string>
#include <string_view>

namespace motu {

// The main state. Its globals are the frozen library; scripts run on threads of the trees.
lua_State *main_state();

// What `configure` set last.
const exports_motu_guest_vm_limits_t &limits();

// What the bundle's entry returned.
struct Entry {
    std::string path;
    int value = 0; // its reference in the registry
};
Entry &entry();

// Whether the top level of the bundle runs.
bool is_loading();

// Seeds `math.random` and starts the log's budget anew, as every exported function that runs a script does first.
void begin(bool reseed);

// Ends the instance through the host: a limit that no script can catch.
[[noreturn]] void exceeded(motu_guest_host_limit_t limit, std::string_view detail);

} // namespace motu
