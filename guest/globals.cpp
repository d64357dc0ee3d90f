#include "globals.h"

#include "lua.h"
#include "module.h"
#include "vm.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <utility>

namespace motu {
namespace {

// What other systems and languages have, and what is here instead.
constexpr std::pair<std::string_view, std::string_view> others[] = {
    {"False", "did you mean false?"},
    {"None", "did you mean nil?"},
    {"True", "did you mean true?"},
    {"bit", "did you mean bit32?"},
    {"delay", "did you mean task.delay?"},
    {"dofile", "code comes from the bundle's files only, by require"},
    {"game", "Roblox has it, and Motu hasn't"},
    {"getfenv", "functions have no environments here"},
    {"io", "there are no files here"},
    {"load", "code comes from the bundle's files only, by require"},
    {"loadstring", "code comes from the bundle's files only, by require"},
    {"null", "did you mean nil?"},
    {"script", "Roblox has it, and Motu hasn't"},
    {"setfenv", "functions have no environments here"},
    {"shared", "Roblox has it; what the files of a bundle share is in _G, or in a module"},
    {"spawn", "did you mean task.spawn?"},
    {"tick", "did you mean os.clock, or os.time?"},
    {"undefined", "did you mean nil?"},
    {"wait", "did you mean task.wait?"},
    {"workspace", "Roblox has it, and Motu hasn't"},
};

constexpr size_t suggested_max = 50;         // so many globals are compared with the names that there are
constexpr size_t suggested_bytes_max = 32;   // if they are no longer than this
constexpr size_t suggested_from_max = 1'000; // with so many names
constexpr size_t read_max = 10'000;          // names of globals that are kept for a file
constexpr size_t members_max = 1'000;        // members of globals that are kept for a file
constexpr size_t far_max = 2;                // a suggestion differs from the name in no more letters

std::string member(const std::string &table, const std::string &name) { return table + "." + name; }

class Visitor : public Luau::AstVisitor {
public:
    Visitor(const Globals::Library &library, Globals::Uses &uses, Globals::Assigned &assigned)
        : library_(library), uses_(uses), assigned_(assigned) {}

    using Luau::AstVisitor::visit;

    bool visit(Luau::AstExprGlobal *global) override {
        if (is_globals(global))
            assigned_.anything = true; // by whoever has the table
        else if (uses_.read.size() < read_max)
            uses_.read.emplace(global->name.value, global->location.begin);
        return true;
    }

    bool visit(Luau::AstExprIndexName *index) override {
        if (is_globals(index->expr))
            return false;
        auto *global = index->expr->as<Luau::AstExprGlobal>();
        auto table = global ? library_.tables.find(global->name.value) : library_.tables.end();
        if (table != library_.tables.end() && !table->second.count(index->index.value) &&
            uses_.members.size() < members_max)
            uses_.members.emplace(std::pair(table->first, index->index.value), index->indexLocation.begin);
        return true;
    }

    bool visit(Luau::AstExprIndexExpr *index) override {
        if (!is_globals(index->expr))
            return true;
        index->index->visit(this);
        return false;
    }

    bool visit(Luau::AstExprCall *call) override {
        auto *global = call->func->as<Luau::AstExprGlobal>();
        for (const char *name : {"type", "typeof", "pcall", "assert"})
            if (global && global->name == name)
                for (Luau::AstExpr *argument : call->args)
                    test(argument);
        return true;
    }

    bool visit(Luau::AstExprBinary *binary) override {
        using Binary = Luau::AstExprBinary;
        for (Binary::Op op : {Binary::And, Binary::Or, Binary::CompareEq, Binary::CompareNe})
            if (binary->op == op) {
                test(binary->left);
                test(binary->right);
            }
        return true;
    }

    bool visit(Luau::AstExprUnary *unary) override {
        test(unary->expr); // `not`: the others fail on nil
        return true;
    }

    bool visit(Luau::AstStatIf *branch) override {
        test(branch->condition);
        return true;
    }

    bool visit(Luau::AstExprIfElse *branch) override {
        test(branch->condition);
        return true;
    }

    bool visit(Luau::AstStatAssign *assign) override {
        for (Luau::AstExpr *to : assign->vars)
            assign_to(to);
        for (Luau::AstExpr *value : assign->values)
            value->visit(this);
        return false;
    }

    bool visit(Luau::AstStatFunction *function) override {
        assign_to(function->name);
        function->func->visit(this);
        return false;
    }

    bool visit(Luau::AstStatLocal *local) override {
        for (Luau::AstLocal *var : local->vars)
            name(var);
        return true;
    }

    bool visit(Luau::AstStatLocalFunction *function) override {
        name(function->name);
        return true;
    }

    bool visit(Luau::AstExprFunction *function) override {
        for (Luau::AstLocal *arg : function->args)
            name(arg);
        return true;
    }

    // Runs with the type checker's own globals, or never, as here.
    bool visit(Luau::AstStatTypeFunction *) override { return false; }

    bool visit(Luau::AstStatFor *loop) override {
        name(loop->var);
        return true;
    }

    bool visit(Luau::AstStatForIn *loop) override {
        for (Luau::AstLocal *var : loop->vars)
            name(var);
        return true;
    }

private:
    static bool is_globals(const Luau::AstExpr *expr) {
        auto *global = expr->as<Luau::AstExprGlobal>();
        return global && global->name == "_G";
    }

    void assign_to(Luau::AstExpr *to) {
        auto *name = to->as<Luau::AstExprIndexName>();
        auto *index = to->as<Luau::AstExprIndexExpr>();
        if (auto *global = to->as<Luau::AstExprGlobal>())
            assigned_.names.insert(global->name.value);
        else if (name && is_globals(name->expr))
            assigned_.names.insert(name->index.value);
        else if (name && name->expr->is<Luau::AstExprGlobal>())
            name->expr->visit(this);
        else if (index && is_globals(index->expr))
            assign_to_globals(index->index);
        else
            to->visit(this);
    }

    void assign_to_globals(Luau::AstExpr *key) {
        if (auto *name = key->as<Luau::AstExprConstantString>())
            assigned_.names.emplace(name->value.data, name->value.size);
        else
            assigned_.anything = true;
        key->visit(this);
    }

    // Who asks whether something is there knows that it may not be.
    void test(const Luau::AstExpr *expr) {
        auto *index = expr->as<Luau::AstExprIndexName>();
        auto *global = (index ? index->expr : expr)->as<Luau::AstExprGlobal>();
        if (global && uses_.tested.size() < read_max)
            uses_.tested.insert(index ? member(global->name.value, index->index.value) : global->name.value);
    }

    void name(Luau::AstLocal *local) {
        if (uses_.local.size() < suggested_from_max)
            uses_.local.insert(local->name.value);
    }

    const Globals::Library &library_;
    Globals::Uses &uses_;
    Globals::Assigned &assigned_;
};

// The names that are texts in the table on top of the stack, which is popped.
std::set<std::string> pop_names(lua_State *L) {
    std::set<std::string> names;
    for (int at = 0; (at = lua_rawiter(L, -1, at)) >= 0; lua_pop(L, 2))
        if (lua_type(L, -2) == LUA_TSTRING)
            names.insert(lua_tostring(L, -2));
    lua_pop(L, 1);
    return names;
}

Globals::Library library() {
    lua_State *L = main_state();
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    Globals::Library library = {{"_G"}, {}}; // of a tree
    for (const std::string &name : pop_names(L)) {
        lua_rawgetfield(L, LUA_GLOBALSINDEX, name.c_str());
        if (lua_istable(L, -1))
            library.tables.emplace(name, pop_names(L));
        else
            lua_pop(L, 1);
        library.names.insert(name);
    }
    return library;
}

// How many letters are to be changed, added, left out or swapped with the next one; `most` if they are as many or more.
// `name` is at most `suggested_bytes_max` long.
size_t distance(std::string_view name, std::string_view other, size_t most) {
    constexpr size_t other_bytes_max = suggested_bytes_max + far_max;
    size_t longer = std::max(name.size(), other.size()), shorter = std::min(name.size(), other.size());
    if (longer - shorter >= most || other.size() > other_bytes_max)
        return most;
    size_t rows[3][other_bytes_max + 2];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= other.size(); j++)
        last[j] = j;
    for (size_t i = 1; i <= name.size(); i++) {
        // beside these columns it is `most` or more
        size_t first = i < most ? 1 : i - most + 1, end = std::min(other.size(), i + most - 1);
        size_t least = row[first - 1] = first == 1 ? i : most;
        row[end + 1] = most;
        for (size_t j = first; j <= end; j++) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (name[i - 1] != other[j - 1])});
            if (i > 1 && j > 1 && name[i - 1] == other[j - 2] && name[i - 2] == other[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
            least = std::min(least, row[j]);
        }
        if (least >= most)
            return most;
        std::swap(before, last);
        std::swap(last, row);
    }
    return std::min(last[other.size()], most);
}

// The name that it may be, if one is near.
std::optional<std::string> near(const std::string &name, std::initializer_list<const std::set<std::string> *> known) {
    size_t best = std::min(far_max, name.size() / 3) + 1, looked_at = 0;
    std::optional<std::string> found;
    for (const std::set<std::string> *names : known)
        for (const std::string &other : *names) {
            if (++looked_at > suggested_from_max)
                return found;
            size_t far = distance(name, other, best);
            if (far > 0 && far < best) {
                best = far;
                found = other;
            }
        }
    return found;
}

} // namespace

Globals::Globals() : library_(library()) {}

void Globals::add(const File &file, Luau::AstStatBlock &root) {
    Tree &tree = trees_[tree_of(file.path)];
    Uses uses = {&file, {}, {}, {}, {}};
    Visitor visitor(library_, uses, tree.assigned);
    root.visit(&visitor);
    if (!file.opaque)
        tree.uses.push_back(std::move(uses));
}

void Globals::add_broken(const File &file) { trees_[tree_of(file.path)].assigned.anything = true; }

void Globals::report(Findings &findings) const {
    size_t suggested = 0;
    for (const auto &[path, tree] : trees_) {
        if (tree.assigned.anything)
            continue;
        for (const Uses &uses : tree.uses) {
            for (const auto &read : uses.read) {
                const std::string &name = read.first;
                if (library_.names.count(name) || tree.assigned.names.count(name))
                    continue;
                bool is_tested = uses.tested.count(name) > 0;
                std::string hint;
                auto other = std::find_if(std::begin(others), std::end(others),
                                          [&](const auto &other) { return other.first == name; });
                if (other != std::end(others)) {
                    if (!is_tested)
                        hint = other->second;
                } else if (name.size() <= suggested_bytes_max && suggested++ < suggested_max) {
                    if (std::string module = host_module_named(name); !module.empty())
                        hint = "did you mean local " + name + " = require(\"" + module + "\")?";
                    else if (auto meant = near(name, {&library_.names, &tree.assigned.names, &uses.local}))
                        hint = "did you mean " + *meant + "?";
                }
                if (is_tested && hint.empty())
                    continue;
                std::string message = "there is no global " + name + " here, so it is nil";
                findings.add(uses.file->path, read.second, hint.empty() ? message : message + ": " + hint, true);
            }
            for (const auto &[names, at] : uses.members) {
                const auto &[table, name] = names;
                if (tree.assigned.names.count(table) || uses.tested.count(member(table, name)))
                    continue;
                std::string message = "there is no " + member(table, name) + " here, so it is nil";
                if (name.size() <= suggested_bytes_max && suggested++ < suggested_max)
                    if (auto meant = near(name, {&library_.tables.at(table)}))
                        message += ": did you mean " + member(table, *meant) + "?";
                findings.add(uses.file->path, at, message, true);
            }
        }
    }
}

} // namespace motu
