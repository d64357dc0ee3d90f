// The host's modules: what a `require` of `@motu/kv` gives, as the host described it when the bundle was loaded.
#pragma once

#include "guest.h"
#include "lua.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace motu {

struct HostFunction {
    std::string name;
    std::string shown; // with the module's name, for messages
    uint32_t number;   // the host's
    std::string table; // of a function of a resource: the name of the table that it's in
    bool is_method;    // on handles, not in the module
    bool is_pure;      // may be called where nothing can wait
};

struct HostModule {
    std::string path; // as `require` takes it
    std::vector<HostFunction> functions;
    int table = 0; // its reference, once it was required
};

// Takes over what the host sent. Frees the incoming list.
void take_modules(exports_motu_guest_vm_list_module_t *incoming);

// The module of exactly this path, or null.
HostModule *find_host_module(std::string_view path);

// Pushes its table, which no script can change. May raise.
void push_host_module(lua_State *L, HostModule &module);

// Pushes a table of its own, whose functions can be replaced, the table that they are replaced in, and one that says
// which are pure: by name, `table.name` for a resource's. What the second holds is called in place of the host's
// function.
void push_replaceable_module(lua_State *L, const HostModule &module);

// The paths of the modules under `@motu`, sorted; without their versions where they can be required so.
std::vector<std::string> host_modules_under(std::string_view space);

// The path of Motu's own module of that name; empty if there is none.
std::string host_module_named(std::string_view name);

} // namespace motu
