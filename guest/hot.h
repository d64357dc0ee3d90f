// What an event changes of our own, in one page of the host's: an instance copies each page of its image that it changes.
#pragma once

#include "guest.h"
#include "lua.h"

#include <cstddef>
#include <cstdint>

namespace motu {

struct FreeBlock {
    FreeBlock *next;
};

// Blocks of one size: those given back, then those never used of the run that was cut last.
struct Blocks {
    FreeBlock *free;
    char *next;
    char *end;
};

struct File;

// As many coroutines as Luau lets run in each other.
constexpr uint32_t running_max = 200;

// For whom something is done outside of any coroutine: a Lua function, a line of a file, a coroutine at rest, or nobody.
struct Work {
    const void *function;
    const File *file;
    int line;
    lua_State *coroutine;
};

struct alignas(4096) Hot {
    alignas(16) char arena[1024]; // small blocks that cross the boundary, one after the other
    size_t arena_used;            // 0 again when the last of them is freed
    size_t arena_blocks;
    Blocks quarters; // of 1 KiB, cut from pages
    Blocks pages;    // of 4 KiB, cut from chunks
    uint64_t log_left; // bytes that the script may still log
    uint64_t random_seed;
    exports_motu_guest_vm_limits_t limits;
    uint32_t coroutines; // that scripts made and that are not collected
    exports_motu_guest_vm_list_ended_t ended; // what the host is told at the end of this entry
    size_t ended_capacity;
    size_t ended_taken;   // of its first, which the host was told before
    uint64_t ended_bytes; // what the host copies for the others
    lua_State *runs[running_max]; // the coroutines that run: each but the first was resumed by the one before
    uint32_t running;             // their number
    Work work;
    Work ended_work; // what the last work of this entry was for, until the next entry
};

extern Hot hot;

} // namespace motu
