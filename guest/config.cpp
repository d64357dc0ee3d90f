#include "config.h"

#include "Luau/Ast.h"
#include "Luau/Parser.h"

#include <algorithm>
#include <string_view>

namespace motu {
namespace {

using Item = Luau::AstExprTable::Item;

std::string_view text_of(const Luau::AstExprConstantString &text) { return {text.value.data, text.value.size}; }

// The constant that an item of a table has for a key, or null.
const Luau::AstExprConstantString *key_of(const Item &item) {
    return item.key ? item.key->as<Luau::AstExprConstantString>() : nullptr;
}

// The last value of a key that is written out, or null.
Luau::AstExpr *find(const Luau::AstExprTable &table, std::string_view key) {
    Luau::AstExpr *found = nullptr;
    for (const Item &item : table.items)
        if (const auto *name = key_of(item); name && text_of(*name) == key)
            found = item.value;
    return found;
}

// What the file returns, if nothing but a table can come of it.
Luau::AstExprTable *returned_table(Luau::AstStatBlock &root) {
    auto *last = root.body.size ? root.body.data[root.body.size - 1]->as<Luau::AstStatReturn>() : nullptr;
    Luau::AstExpr *value = last && last->list.size == 1 ? last->list.data[0] : nullptr;
    while (value) {
        if (auto *assertion = value->as<Luau::AstExprTypeAssertion>())
            value = assertion->expr;
        else if (auto *group = value->as<Luau::AstExprGroup>())
            value = group->expr;
        else
            return value->as<Luau::AstExprTable>();
    }
    return nullptr;
}

bool is_plain(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == '"' || c == '\\'; });
}

class Reader {
public:
    explicit Reader(std::string &why) : why_(why) {}

    std::optional<std::string> read(Luau::AstStatBlock &root) {
        Luau::AstExprTable *config = returned_table(root);
        if (!config)
            return refuse(root.location.end, "it must end with `return` and a table");
        Luau::AstExpr *found = find(*config, "luau");
        Luau::AstExprTable *luau = found ? found->as<Luau::AstExprTable>() : nullptr;
        if (!luau)
            return none_of(found);
        found = find(*luau, "aliases");
        Luau::AstExprTable *aliases = found ? found->as<Luau::AstExprTable>() : nullptr;
        if (!aliases)
            return none_of(found);
        std::string text;
        for (const Item &item : aliases->items) {
            const auto *name = key_of(item), *path = item.value->as<Luau::AstExprConstantString>();
            if (!name || !path)
                return refuse(item.value->location.begin, written_out);
            if (!is_plain(text_of(*name)) || !is_plain(text_of(*path)))
                return refuse(item.value->location.begin, "an alias has no quotes, backslashes or line breaks in it");
            text.append(text.empty() ? "" : ",").append("\"").append(text_of(*name)).append("\":\"");
            text.append(text_of(*path)).append("\"");
        }
        return "{\"aliases\":{" + text + "}}";
    }

    std::nullopt_t refuse(const Luau::Position &at, std::string_view what) {
        why_ = "at line " + std::to_string(at.line + 1) + ": ";
        why_.append(what);
        return std::nullopt;
    }

private:
    // There is no such table; or something else, which may come to one if it's run.
    std::optional<std::string> none_of(const Luau::AstExpr *found) {
        if (found)
            return refuse(found->location.begin, written_out);
        return "{}";
    }

    static constexpr std::string_view written_out =
        "it is read and never run, so its aliases must be constants: luau = { aliases = { name = \"./path\" } }";

    std::string &why_;
};

} // namespace

std::optional<std::string> aliases_text(const File &file, std::string &why) {
    std::string_view path = file.path;
    if (path.substr(path.rfind('.')) == ".luaurc")
        return file.source;
    Luau::Allocator allocator;
    Luau::AstNameTable names(allocator);
    Luau::ParseResult parsed = Luau::Parser::parse(file.source.data(), file.source.size(), names, allocator);
    Reader reader(why);
    if (!parsed.errors.empty())
        return reader.refuse(parsed.errors.front().getLocation().begin, parsed.errors.front().what());
    return reader.read(*parsed.root);
}

} // namespace motu
