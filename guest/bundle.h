// The bundle that this VM has loaded: its files, compiled, and the globals of its trees.
//
// A tree is the main bundle, or one bundle mounted under an `@alias`. Its modules share one sandboxed globals table,
// and nothing in it is seen by another tree. Paths are as the host gave them: relative to the bundle's root, `/`
// between names, never `.` or `..`; a mounted file's path starts with its tree's name (`@alias/sub/init.luau`).
//
// All of it lives in linear memory, so that an image of the memory is the whole bundle.
#pragma once

#include "guest.h"
#include "lua.h"

#include <string>
#include <string_view>
#include <vector>

namespace motu {

struct File {
    std::string path;
    std::string source;   // emptied for code once it's compiled; kept for any other file (.luaurc)
    std::string bytecode; // empty unless it's code that compiled
    std::string broken;   // why code didn't compile
    bool opaque = false;  // no source text in any message; compiled without names or lines
};

struct Diagnostic {
    std::string path;
    unsigned line = 0; // from 1
    unsigned column = 1;
    std::string message;
};

// Takes over what the host sent, in place of any files held before, sorted by path. Frees the incoming list.
void take_files(exports_motu_guest_vm_list_file_t *incoming);

const std::vector<File> &files();

// The file of exactly this path, or null. Binary search.
const File *find_file(std::string_view path);

// The file of a test's bundle that stands in for a host module, or null: `@@motu/kv.luau` for `@motu/kv`. Only that file
// itself gets the module. No mounted bundle can have one, for no alias begins with an "@".
const File *find_stand_in(std::string_view wanted);

// Whether the file is code, by its path: `.luau` or `.lua`, but no `.config.luau`.
bool is_luau(std::string_view path);

// Whether the file has aliases: `.luaurc` or `.config.luau`.
bool is_config(std::string_view path);

// The tree that a path belongs to: "" for the main bundle, "@alias" for a mounted one.
std::string_view tree_of(std::string_view path);

// Compiles all code, and drops the sources if `drop_sources`. Returns what is wrong: an empty list when each file has its
// bytecode. For an opaque file the message is fixed text.
std::vector<Diagnostic> compile_files(bool drop_sources);

// "lib/a.luau:3: what is wrong", a line each, and how many there are more than twenty.
std::string list_diagnostics(const std::vector<Diagnostic> &diagnostics);

// The name Luau knows the file's code by: "=" and the path. `lua_Debug::source` gives it back, so the file that calls
// `require` is `find_file(source + 1)`.
std::string chunk_name(const File &file);

// Pushes the file's main function, with its tree's globals. May raise.
void push_main_function(lua_State *L, const File &file);

// Runs a compiled file as a module, on the caller's own coroutine (so that a traceback shows the whole chain): pushes
// its one result, or raises a Lua error. Only the entry may return nothing; that gives nil. Not cached: `require` does
// that.
void run_module(lua_State *L, const File &file);

} // namespace motu
