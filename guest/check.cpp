// The export `check`: what is wrong with a bundle, as far as can be known without running it. That is syntax and
// compile errors, requires of a constant string that resolve to nothing, requires in a circle, broken `.luaurc` and
// `.config.luau` files, and as warnings globals and members of the library that are not there.
//
// A file that nothing requires is checked like any other, and its being unused is not an error.
#include "bundle.h"
#include "config.h"
#include "findings.h"
#include "globals.h"
#include "guest.h"
#include "memory.h"
#include "module.h"
#include "resolver.h"
#include "text.h"
#include "trace.h"

#include "Luau/Ast.h"
#include "Luau/Config.h"
#include "Luau/Parser.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace motu {
namespace {

// From a file's path to the files that it requires while its top level runs, with the place of the first such require.
using Edges = std::map<const File *, Luau::Position>;
using Graph = std::map<std::string_view, Edges>;

// Finds the calls of the global `require`, and what is used of the host's modules: by the name of a local that a
// `require` was put into, or of the call itself. It recurses as deep as the syntax tree, which the parser keeps to the
// depth that the compiler can take.
class RequireVisitor : public Luau::AstVisitor {
public:
    RequireVisitor(const File &file, Findings &findings, Graph &graph, std::set<uint32_t> &calls)
        : file_(file), findings_(findings), graph_(graph), calls_(calls) {}

    using Luau::AstVisitor::visit;

    bool visit(Luau::AstExprFunction *function) override {
        ++function_depth_;
        function->body->visit(this);
        --function_depth_;
        return false;
    }

    // Of a type function nothing ever runs.
    bool visit(Luau::AstStatTypeFunction *) override { return false; }

    bool visit(Luau::AstExprCall *call) override {
        if (Luau::AstExprConstantString *path = required(call))
            check({path->value.data, path->value.size}, path->location.begin);
        return true;
    }

    bool visit(Luau::AstStatLocal *local) override {
        for (size_t i = 0; i < local->vars.size && i < local->values.size; i++)
            if (const HostModule *module = module_of(local->values.data[i]))
                modules_[local->vars.data[i]] = module;
        return true;
    }

    bool visit(Luau::AstExprIndexName *index) override {
        use(index->expr, {index->index.value, strlen(index->index.value)}, index->indexLocation.begin);
        return true;
    }

    bool visit(Luau::AstExprIndexExpr *index) override {
        if (auto *name = index->index->as<Luau::AstExprConstantString>())
            use(index->expr, {name->value.data, name->value.size}, name->location.begin);
        return true;
    }

private:
    static Luau::AstExpr *inner(Luau::AstExpr *expr) {
        for (;;) {
            if (auto *group = expr->as<Luau::AstExprGroup>())
                expr = group->expr;
            else if (auto *assertion = expr->as<Luau::AstExprTypeAssertion>())
                expr = assertion->expr;
            else
                return expr;
        }
    }

    // The constant string that the global `require` is called with, or null.
    static Luau::AstExprConstantString *required(Luau::AstExprCall *call) {
        Luau::AstExprGlobal *global = call->func->as<Luau::AstExprGlobal>();
        if (!global || global->name != "require" || call->args.size != 1)
            return nullptr;
        return inner(call->args.data[0])->as<Luau::AstExprConstantString>();
    }

    const HostModule *module_of(Luau::AstExpr *expr) const {
        expr = inner(expr);
        if (auto *local = expr->as<Luau::AstExprLocal>()) {
            auto found = modules_.find(local->local);
            return found == modules_.end() ? nullptr : found->second;
        }
        auto *call = expr->as<Luau::AstExprCall>();
        Luau::AstExprConstantString *path = call ? required(call) : nullptr;
        return path ? host_module_of({path->value.data, path->value.size}) : nullptr;
    }

    const HostModule *host_module_of(std::string_view wanted) const {
        const HostModule *module = find_host_module(wanted);
        return module || wanted.empty() || wanted[0] != '@' ? module : find_host_module(resolve(file_, wanted).host);
    }

    void use(Luau::AstExpr *expr, std::string_view name, const Luau::Position &at) {
        const HostModule *module = module_of(expr);
        if (!module)
            return;
        bool found = false;
        for (const HostFunction &function : module->functions) // of a resource, all: its handles' methods too
            if (function.table.empty() ? function.name == name : function.table == name) {
                calls_.insert(function.number);
                found = true;
            }
        if (found)
            return;
        if (file_.opaque)
            return findings_.add(file_.path, at, "there is no such host function (the source is opaque)");
        std::string message = "there is no function " + quoted(name) + " in " + module->path + ", which has ";
        std::set<std::string_view> names;
        for (const HostFunction &function : module->functions)
            names.insert(function.table.empty() ? function.name : function.table);
        for (std::string_view known : names)
            message.append(known == *names.begin() ? "" : ", ").append(known);
        findings_.add(file_.path, at, message);
    }

    void check(std::string_view wanted, const Luau::Position &at) {
        if (find_host_module(wanted) || find_stand_in(wanted))
            return;
        Resolution found = resolve(file_, wanted);
        if (!found.host.empty())
            return;
        if (!found.file)
            findings_.add(file_.path, at, found.error);
        else if (function_depth_ == 0)
            graph_[file_.path].emplace(found.file, at);
    }

    const File &file_;
    Findings &findings_;
    Graph &graph_;
    std::set<uint32_t> &calls_;
    std::map<Luau::AstLocal *, const HostModule *> modules_;
    int function_depth_ = 0;
};

// A file with a syntax error has no requires to speak of: what the parser makes of it is a guess. A NUL is one: the
// parser stops there, and says nothing.
void check_source(const File &file, Findings &findings, Graph &graph, std::set<uint32_t> &calls, Globals &globals) {
    if (file.source.find('\0') != std::string::npos)
        return globals.add_broken(file);
    Luau::Allocator allocator;
    Luau::AstNameTable names(allocator);
    Luau::ParseResult parsed = Luau::Parser::parse(file.source.data(), file.source.size(), names, allocator);
    if (!parsed.errors.empty() || !parsed.root)
        return globals.add_broken(file);
    RequireVisitor visitor(file, findings, graph, calls);
    parsed.root->visit(&visitor);
    globals.add(file, *parsed.root);
}

// From 0. Luau names the line, when it does, in the text of the error.
unsigned line_in(const std::string &message) {
    static const char word[] = "at line ";
    size_t at = message.find(word);
    unsigned long line = at == std::string::npos ? 0 : std::strtoul(message.c_str() + at + strlen(word), nullptr, 10);
    return line ? unsigned(line - 1) : 0;
}

void check_config(const File &file, Findings &findings) {
    Luau::Config config;
    Luau::ConfigOptions options;
    options.aliasOptions = Luau::ConfigOptions::AliasOptions{std::nullopt, false};
    std::string why;
    std::optional<std::string> text = aliases_text(file, why), error = why;
    if (text)
        error = Luau::parseConfig(*text, config, options);
    if (error)
        findings.add(file.path, {line_in(*error), Findings::no_column},
                     file.opaque ? "syntax error (the source is opaque)" : *error);
}

// Walks the graph depth first, with a stack of its own: a chain of requires can be as long as the bundle has files. A
// require of a file that is still on the stack closes a circle, and each circle is closed by one require.
class CycleFinder {
public:
    CycleFinder(const Graph &graph, Findings &findings) : graph_(graph), findings_(findings) {}

    void run() {
        for (const File &file : files())
            if (state_[&file] == State::New)
                walk_from(file);
    }

private:
    enum class State { New, OnStack, Done };

    struct Frame {
        const File *file;
        Edges::const_iterator next, end;
    };

    void push(const File &file) {
        static const Edges none;
        auto found = graph_.find(file.path);
        const Edges &edges = found == graph_.end() ? none : found->second;
        stack_.push_back({&file, edges.begin(), edges.end()});
        state_[&file] = State::OnStack;
    }

    void walk_from(const File &file) {
        push(file);
        while (!stack_.empty()) {
            Frame &top = stack_.back();
            if (top.next == top.end) {
                state_[top.file] = State::Done;
                stack_.pop_back();
                continue;
            }
            auto [target, at] = *top.next++;
            State state = state_[target];
            if (state == State::OnStack)
                report(*top.file, at, *target);
            else if (state == State::New)
                push(*target);
        }
    }

    void report(const File &requirer, const Luau::Position &at, const File &target) {
        auto first = std::find_if(stack_.begin(), stack_.end(), [&](const Frame &f) { return f.file == &target; });
        std::string chain;
        for (auto it = first; it != stack_.end(); ++it)
            chain += it->file->path + " -> ";
        findings_.add(requirer.path, at, "the modules require each other: " + chain + target.path);
    }

    const Graph &graph_;
    Findings &findings_;
    std::map<const File *, State> state_;
    std::vector<Frame> stack_;
};

Findings check_files(std::set<uint32_t> &calls) {
    Findings findings;
    Graph graph;
    Globals globals;
    for (const Diagnostic &error : compile_files(false))
        findings.add(error.path, {error.line - 1, error.column - 1}, error.message);
    for (const File &file : files()) {
        WorksFor work(&file, 0);
        if (is_config(file.path))
            check_config(file, findings);
        else if (is_luau(file.path))
            check_source(file, findings, graph, calls, globals);
    }
    CycleFinder(graph, findings).run();
    globals.report(findings);
    return findings;
}

} // namespace
} // namespace motu

namespace {

exports_motu_guest_vm_list_diagnostic_t list(const motu::Findings &findings) {
    exports_motu_guest_vm_list_diagnostic_t result = {nullptr, findings.all().size()};
    if (result.len == 0)
        return result;
    result.ptr = static_cast<exports_motu_guest_vm_diagnostic_t *>(motu::allocate(result.len * sizeof *result.ptr));
    auto *next = result.ptr;
    for (const motu::Finding &found : findings.all()) {
        guest_string_dup_n(&next->path, found.path.data(), found.path.size());
        next->line = found.line;
        next->column = found.column;
        next->warning = found.warning;
        next->message = motu::copy_text(found.message);
        ++next;
    }
    return result;
}

} // namespace

void exports_motu_guest_vm_check(exports_motu_guest_vm_list_file_t *incoming,
                                 exports_motu_guest_vm_list_module_t *modules, exports_motu_guest_vm_checked_t *ret) {
    using namespace motu;
    take_files(incoming);
    take_modules(modules);
    std::set<uint32_t> calls;
    Findings findings = check_files(calls);
    ret->diagnostics = list(findings);
    ret->left_out = findings.left_out();
    ret->calls = {nullptr, calls.size()};
    if (calls.empty())
        return;
    ret->calls.ptr = static_cast<uint32_t *>(allocate(calls.size() * sizeof(uint32_t)));
    std::copy(calls.begin(), calls.end(), ret->calls.ptr);
}
