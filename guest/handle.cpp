#include "handle.h"

#include "call.h"
#include "lualib.h"

#include <vector>

namespace motu {
namespace {

constexpr int handle_tag = 1; // of Luau's userdata; scripts can make none

constexpr int slot_bits = 20; // the host's: what is above them is the resource's number

struct Resource {
    std::string name;
    uint32_t number;
    std::vector<const HostFunction *> methods;
    int metatable = 0; // its reference, once there was a handle
};

std::vector<Resource> resources;
char open_key; // its address is the key of the registry's table of open handles, which keeps none alive

uint32_t &number_in(void *userdata) { return *static_cast<uint32_t *>(userdata); }

// The collector found nothing that refers to it.
void collected(lua_State *, void *userdata) {
    if (number_in(userdata))
        motu_guest_host_close(number_in(userdata));
}

// handle:close()
int close(lua_State *L) {
    void *userdata = lua_touserdatatagged(L, 1, handle_tag);
    if (!userdata)
        luaL_typeerror(L, 1, "handle");
    if (number_in(userdata))
        motu_guest_host_close(number_in(userdata));
    number_in(userdata) = 0;
    return 0;
}

Resource *find_resource(uint32_t number) {
    for (Resource &resource : resources)
        if (resource.number == number)
            return &resource;
    return nullptr;
}

void push_metatable(lua_State *L, Resource &resource) {
    if (resource.metatable) {
        lua_getref(L, resource.metatable);
        return;
    }
    lua_newtable(L);
    lua_newtable(L);
    lua_pushcfunction(L, close, "close"); // a method of that name takes its place
    lua_setfield(L, -2, "close");
    for (const HostFunction *method : resource.methods) {
        push_host_function(L, *method);
        lua_setfield(L, -2, method->name.c_str());
    }
    lua_setreadonly(L, -1, true);
    lua_setfield(L, -2, "__index");
    lua_pushlstring(L, resource.name.data(), resource.name.size());
    lua_setfield(L, -2, "__type");
    lua_pushliteral(L, "The metatable is locked");
    lua_setfield(L, -2, "__metatable");
    lua_setreadonly(L, -1, true);
    resource.metatable = lua_ref(L, -1);
}

} // namespace

void open_handles(lua_State *main) {
    lua_setuserdatadtor(main, handle_tag, collected);
    lua_newtable(main);
    lua_newtable(main);
    lua_pushliteral(main, "v");
    lua_setfield(main, -2, "__mode");
    lua_setmetatable(main, -2);
    lua_rawsetp(main, LUA_REGISTRYINDEX, &open_key);
}

void forget_resources() { resources.clear(); }

void take_resource(std::string name, uint32_t number, const HostFunction *method) {
    Resource *known = find_resource(number);
    if (!known) {
        resources.push_back({std::move(name), number, {}, 0});
        known = &resources.back();
    }
    if (method)
        known->methods.push_back(method);
}

bool push_handle(lua_State *L, uint32_t handle) {
    Resource *resource = find_resource(handle >> slot_bits);
    if (!resource)
        return false;
    luaL_checkstack(L, 6, "a handle");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &open_key);
    lua_rawgeti(L, -1, static_cast<int>(handle));
    void *open = lua_touserdatatagged(L, -1, handle_tag);
    if (open && number_in(open) == handle) {
        lua_remove(L, -2);
        return true;
    }
    lua_pop(L, 1);
    number_in(lua_newuserdatatagged(L, sizeof(uint32_t), handle_tag)) = handle;
    push_metatable(L, *resource);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, static_cast<int>(handle));
    lua_remove(L, -2);
    return true;
}

uint32_t handle_of(const void *userdata, int tag) {
    return tag == handle_tag ? *static_cast<const uint32_t *>(userdata) : 0;
}

} // namespace motu
