// Holding, compiling and loading the files of a bundle. M1: this is the only place where source becomes code, and it
// runs inside the sandbox.

#include "bundle.h"

#include "lualib.h"
#include "text.h"
#include "trace.h"
#include "vm.h"

#include "Luau/BytecodeBuilder.h"
#include "Luau/Compiler.h"
#include "Luau/Parser.h"

#include <algorithm>

namespace motu {
namespace {

bool ends_with(std::string_view path, std::string_view ending) {
    return path.size() > ending.size() && path.substr(path.size() - ending.size()) == ending;
}

struct Tree {
    std::string name;
    lua_State *thread; // holds the globals; runs nothing
};

std::vector<File> held_files;
std::vector<Tree> trees;
lua_State *loader;

void report(std::vector<Diagnostic> &diagnostics, const File &file, const Luau::Location &location, const char *what) {
    constexpr size_t message_bytes_max = 1024;
    std::string message = file.opaque ? "syntax error (the source is opaque)" : cut(what, message_bytes_max);
    diagnostics.push_back({file.path, location.begin.line + 1, location.begin.column + 1, std::move(message)});
}

void compile_file(File &file, std::vector<Diagnostic> &diagnostics) {
    Luau::CompileOptions options;
    options.optimizationLevel = 2;
    options.debugLevel = file.opaque ? 0 : 1;
    options.typeInfoLevel = 1;

    // Luau's lexer takes a NUL for the end of the file, and would pass over what follows
    size_t nul = file.source.find('\0');
    if (nul != std::string::npos) {
        unsigned line = static_cast<unsigned>(std::count(file.source.begin(), file.source.begin() + nul, '\n'));
        unsigned column = static_cast<unsigned>(nul - (file.source.rfind('\n', nul) + 1));
        report(diagnostics, file, Luau::Location(Luau::Position(line, column), 0),
               "a NUL byte can't stand in Luau source");
        return;
    }

    Luau::Allocator allocator;
    Luau::AstNameTable names(allocator);
    Luau::ParseResult parsed = Luau::Parser::parse(file.source.data(), file.source.size(), names, allocator);
    unsigned last = ~0u;
    for (const Luau::ParseError &error : parsed.errors) {
        unsigned line = error.getLocation().begin.line;
        if (line != last) // what the parser makes of the rest of a line is a guess
            report(diagnostics, file, error.getLocation(), error.what());
        last = line;
        if (file.opaque)
            break; // its errors all read the same
    }
    if (!parsed.errors.empty())
        return;
    try {
        Luau::BytecodeBuilder builder;
        Luau::compileOrThrow(builder, parsed, names, options);
        file.bytecode = builder.getBytecode();
    } catch (const Luau::CompileError &error) {
        report(diagnostics, file, error.getLocation(), error.what());
    }
}

lua_State *new_globals() {
    lua_State *main = main_state();
    lua_State *thread = lua_newthread(main);
    luaL_sandboxthread(thread);
    lua_ref(main, -1); // for good
    lua_pop(main, 1);
    return thread;
}

lua_State *tree_thread(std::string_view name) {
    for (const Tree &tree : trees)
        if (tree.name == name)
            return tree.thread;
    lua_State *thread = new_globals();
    lua_pushvalue(thread, LUA_GLOBALSINDEX);
    lua_setglobal(thread, "_G");
    trees.push_back({std::string(name), thread});
    return thread;
}

// Where code is loaded: a thread whose globals are the library and never anything else. Luau looks up the globals that
// code reads when it's loaded, for speed. That is right for the library, and would be wrong for a global that another
// file assigns later; not finding those here, it looks them up each time.
lua_State *loading_thread() {
    if (!loader)
        loader = new_globals();
    return loader;
}

} // namespace

void take_files(exports_motu_guest_vm_list_file_t *incoming) {
    held_files.clear();
    trees.clear();
    for (size_t i = 0; i < incoming->len; i++) {
        exports_motu_guest_vm_file_t &from = incoming->ptr[i];
        File file;
        file.path.assign(reinterpret_cast<const char *>(from.path.ptr), from.path.len);
        file.source.assign(reinterpret_cast<const char *>(from.contents.ptr), from.contents.len);
        file.opaque = from.opaque;
        if (file.source.compare(0, 2, "#!") == 0) // the name of a program that runs the file elsewhere
            file.source.replace(0, 2, "--");
        guest_list_u8_free(&from.contents); // at once: sources are held twice for as short as can be
        from.contents = {nullptr, 0};
        held_files.push_back(std::move(file));
    }
    exports_motu_guest_vm_list_file_free(incoming);
    std::sort(held_files.begin(), held_files.end(), [](const File &a, const File &b) { return a.path < b.path; });
}

const std::vector<File> &files() { return held_files; }

const File *find_file(std::string_view path) {
    auto found = std::lower_bound(held_files.begin(), held_files.end(), path,
                                  [](const File &file, std::string_view wanted) { return file.path < wanted; });
    return found != held_files.end() && found->path == path ? &*found : nullptr;
}

const File *find_stand_in(std::string_view wanted) {
    constexpr size_t path_bytes_max = 512; // the host's, for files
    if (wanted.empty() || wanted[0] != '@' || wanted.size() > path_bytes_max)
        return nullptr;
    return find_file("@" + std::string(wanted) + ".luau");
}

bool is_luau(std::string_view path) {
    return (ends_with(path, ".luau") || ends_with(path, ".lua")) && !is_config(path);
}

bool is_config(std::string_view path) {
    std::string_view name = path.substr(path.rfind('/') + 1); // npos + 1 is 0
    return name == ".luaurc" || name == ".config.luau";
}

std::string_view tree_of(std::string_view path) {
    return !path.empty() && path[0] == '@' ? path.substr(0, path.find('/')) : std::string_view();
}

std::vector<Diagnostic> compile_files(bool drop_sources) {
    std::vector<Diagnostic> diagnostics;
    for (File &file : held_files) {
        if (!is_luau(file.path))
            continue;
        WorksFor work(&file, 0);
        std::vector<Diagnostic> found;
        compile_file(file, found);
        if (!found.empty()) // of opaque files no line is shown to scripts
            file.broken = file.opaque ? file.path + ": " + found.front().message : list_diagnostics(found);
        diagnostics.insert(diagnostics.end(), found.begin(), found.end());
        if (drop_sources)
            std::string().swap(file.source);
    }
    return diagnostics;
}

std::string list_diagnostics(const std::vector<Diagnostic> &diagnostics) {
    constexpr size_t shown_max = 20;
    std::string text;
    for (size_t i = 0; i < diagnostics.size(); i++) {
        if (i == shown_max) {
            text += "\n... and " + std::to_string(diagnostics.size() - shown_max) + " more";
            break;
        }
        const Diagnostic &diagnostic = diagnostics[i];
        text += (i ? "\n" : "") + diagnostic.path + ":" + std::to_string(diagnostic.line) + ": " + diagnostic.message;
    }
    return text;
}

std::string chunk_name(const File &file) { return "=" + file.path; }

void push_main_function(lua_State *L, const File &file) {
    luaL_checkstack(L, 2, "no stack left to load a module");
    lua_State *loading = loading_thread();
    int status = luau_load(loading, chunk_name(file).c_str(), file.bytecode.data(), file.bytecode.size(), 0);
    lua_xmove(loading, L, 1);
    if (status != 0)
        lua_error(L); // can't happen with bytecode of our own compiler

    lua_State *tree = tree_thread(tree_of(file.path));
    lua_pushvalue(tree, LUA_GLOBALSINDEX);
    lua_xmove(tree, L, 1);
    lua_setfenv(L, -2);
}

void run_module(lua_State *L, const File &file) {
    int top = lua_gettop(L);
    push_main_function(L, file);
    lua_call(L, 0, LUA_MULTRET);
    int results = lua_gettop(L) - top;
    if (results == 0 && (file.path == entry().path || ends_with(file.path, ".test.luau")))
        lua_pushnil(L); // the entry may return nothing, and so may a file of tests
    else if (results != 1)
        luaL_error(L, "a module must return one value: %s returned %d", file.path.c_str(), results);
}

} // namespace motu
