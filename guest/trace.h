// Where scripts are, for ends that no script raises: a limit, a deadline. The host asks with the export `trace`, also in
// a fresh instance over the memory of one that was stopped at any instruction.
#pragma once

#include "bundle.h"
#include "hot.h"
#include "lua.h"

namespace motu {

// Has Luau note which coroutines run. Once, when the VM is made.
void note_coroutines(lua_State *main);

// A coroutine that runs without having been resumed, as long as this lives.
class Runs {
public:
    explicit Runs(lua_State *coroutine);
    ~Runs();
    Runs(const Runs &) = delete;
    Runs &operator=(const Runs &) = delete;
};

// What is done outside of any coroutine as long as this lives is done for a place: of a file (line 0: all of it), of the Lua
// function at an index, or where a coroutine waits or has failed.
class WorksFor {
public:
    WorksFor(const File *file, int line);
    WorksFor(lua_State *L, int index);
    explicit WorksFor(lua_State *coroutine);
    ~WorksFor();
    WorksFor(const WorksFor &) = delete;
    WorksFor &operator=(const WorksFor &) = delete;

private:
    Work before_;
};

} // namespace motu
