#include "resolver.h"

#include "Luau/RequireNavigator.h"
#include "config.h"
#include "module.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace motu {
namespace {

// Longer than any path that is meant; it bounds what one call can cost, and how long its error is.
constexpr size_t wanted_bytes_max = 4096;
// Luau follows an alias to the next by recursion.
constexpr int alias_hops_max = 32;
constexpr size_t shown_bytes_max = 200;
constexpr size_t shown_modules_max = 16;

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; }

std::string lower_case(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), lower);
    return text;
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// A string that a script made, fit for one line of an error.
std::string shown(std::string_view text) {
    static const char digits[] = "0123456789abcdef";
    std::string_view head = text.substr(0, shown_bytes_max);
    while (head.size() < text.size() && !head.empty() && (text[head.size()] & 0xc0) == 0x80)
        head.remove_suffix(1); // never half a UTF-8 character
    std::string out;
    for (unsigned char c : head) {
        if (c < 0x20 || c == 0x7f) {
            out += "\\x";
            out += digits[c >> 4];
            out += digits[c & 15];
        } else {
            out += char(c);
        }
    }
    return head.size() < text.size() ? out + "..." : out;
}

std::string join(std::string_view folder, std::string_view name) {
    return folder.empty() ? std::string(name) : std::string(folder) + "/" + std::string(name);
}

bool is_folder(const std::string &path) {
    std::string prefix = path + "/";
    const std::vector<File> &all = files();
    auto it = std::lower_bound(all.begin(), all.end(), prefix,
                               [](const File &file, const std::string &key) { return file.path < key; });
    return it != all.end() && starts_with(it->path, prefix);
}

// The path without `.luau` or `.lua`.
std::string_view without_extension(std::string_view path) { return path.substr(0, path.rfind('.')); }

bool is_init(const File &file) {
    std::string_view path = without_extension(file.path);
    return path == "init" || ends_with(path, "/init");
}

// Aliases ignore case, but this release of Luau forgets it for an alias that is another's value.
std::string with_lower_case_aliases(std::string config) {
    for (size_t at = 0; (at = config.find("\"@", at)) != std::string::npos;)
        for (++at; at < config.size() && config[at] != '/' && config[at] != '"'; ++at)
            config[at] = lower(config[at]);
    return config;
}

// The place of a file in its tree: its path without the extension, and the folder itself for an `init.luau`.
std::string place_of(const File &file) {
    std::string_view path = without_extension(file.path);
    if (is_init(file))
        path = path.substr(0, path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/'));
    return std::string(path);
}

// The files that a place can mean: one at most, or it's ambiguous. `init.luau` is reached as its folder only.
struct Candidates {
    const File *file = nullptr, *other = nullptr;

    explicit Candidates(const std::string &place) {
        if (!place.empty() && place != "init" && !ends_with(place, "/init"))
            add(place);
        add(join(place, "init"));
    }

    std::string both() const {
        return "both " + file->path + " and " + other->path + " exist: rename or remove one of them";
    }

private:
    void add(const std::string &path) {
        for (const char *extension : {".luau", ".lua"})
            if (const File *found = find_file(path + extension))
                (file ? other : file) = found;
    }
};

// Where the Navigator is, and what is there. A place is a path as in Candidates; a tree's root is the tree's name. When
// a move fails, `why` says so better than Luau could.
class BundleNavigation : public Luau::Require::NavigationContext {
public:
    // Aliases that lead to aliases lead to host modules first, unless they are to stay in the bundle.
    explicit BundleNavigation(const File &requirer, bool in_bundle = false)
        : requirer_(requirer), in_bundle_(in_bundle) {}

    mutable std::string why;
    // The last file of aliases that was read. When Luau's own words are all there is, they are about what it says.
    mutable std::string config_path;

    // The module at the place the Navigator came to, or null with `why`.
    const File *module() const {
        Candidates at(place_);
        if (at.other) {
            why = at.both();
            return nullptr;
        }
        if (!at.file)
            why = (place_.empty() ? "the bundle" : "the folder " + place_) + " has no init.luau; name a module in it";
        return at.file;
    }

    // The host module at that place, which is among them and not in the bundle, or "".
    std::string host_module() const { return in_host_ && find_host_module(place_) ? place_ : ""; }

    bool is_in_host() const { return in_host_; }

    const std::string &place() const { return place_; }

    NavigateResult resetToRequirer() override {
        tree_ = tree_of(requirer_.path);
        place_ = place_of(requirer_);
        at_requirer_ = true;
        searches_alias_ = in_host_ = false;
        return NavigateResult::Success;
    }

    NavigateResult toParent() override {
        bool from_requirer = std::exchange(at_requirer_, false);
        if (in_host_) {
            why = "a host module has nothing beside it";
            return NavigateResult::NotFound;
        }
        if (place_ == tree_) {
            // A `.luaurc` is for what is below its folder, which leaves out the folder's own `init.luau`. Only in the
            // root it is for `init.luau` too, which otherwise could have no aliases at all.
            if (from_requirer && searches_alias_)
                return NavigateResult::Success;
            why = "the path leads out of " + (tree_.empty() ? "the bundle" : tree_);
            return NavigateResult::NotFound;
        }
        size_t slash = place_.rfind('/');
        place_.resize(slash == std::string::npos ? 0 : slash);
        return NavigateResult::Success;
    }

    NavigateResult toChild(const std::string &name) override {
        at_requirer_ = false;
        std::string next = join(place_, name);
        if (in_host_) {
            place_ = std::move(next);
            return NavigateResult::Success;
        }
        Candidates at(next);
        if (at.other) {
            why = at.both();
            return NavigateResult::Ambiguous;
        }
        // `./@alias` is not a way to a mounted tree, and `.config.luau` is Luau's name for a configuration file.
        bool hidden = (place_.empty() && starts_with(name, "@")) || name == ".config";
        if (hidden || (!at.file && !is_folder(next))) {
            why = missing(name, next);
            return NavigateResult::NotFound;
        }
        place_ = std::move(next);
        why.clear();
        return NavigateResult::Success;
    }

    // Called first for each alias, also for one that another alias leads to.
    NavigateResult toAliasOverride(const std::string &alias) override {
        if (++alias_hops_ > alias_hops_max) {
            why = "its alias leads to another more than " + std::to_string(alias_hops_max) + " times";
            return NavigateResult::Ambiguous;
        }
        // what editors have of it is in an alias too, which leads to its types
        if (alias_hops_ > 1 && !in_bundle_ && enter_host(alias))
            return NavigateResult::Success;
        if (same_ignoring_case(alias, "self")) {
            if (at_requirer_)
                return NavigateResult::Success; // no `.luaurc` can give it another meaning
            why = "its alias leads to @self, which has a meaning in a require only";
            return NavigateResult::Ambiguous;
        }
        searches_alias_ = at_requirer_;
        return NavigateResult::NotFound;
    }

    // Called last, for an alias that no `.luaurc` defines.
    NavigateResult toAliasFallback(const std::string &alias) override {
        const File *mounted = nullptr;
        for (const File &file : files()) {
            std::string_view tree = tree_of(file.path);
            if (tree.empty() || !same_ignoring_case(tree.substr(1), alias))
                continue;
            if (mounted && tree_of(mounted->path) != tree) {
                why = "two bundles are mounted as @" + shown(alias);
                return NavigateResult::Ambiguous;
            }
            mounted = &file;
        }
        if (!mounted && enter_host(alias)) {
            why.clear();
            return NavigateResult::Success;
        }
        if (!mounted) {
            why = no_such_alias(alias);
            return NavigateResult::NotFound;
        }
        tree_ = tree_of(mounted->path);
        place_ = tree_;
        why.clear(); // what stopped the search for a `.luaurc`
        return NavigateResult::Success;
    }

    // Called for an alias whose value is no relative path and no other alias.
    NavigateResult jumpToAlias(const std::string &value) override {
        why = "its alias in " + config_path + " is \"" + shown(value) +
              "\", but an alias must start with \"./\", \"../\" or \"@\"";
        return NavigateResult::NotFound;
    }

    ConfigStatus getConfigStatus() const override {
        const File *json = find_file(join(place_, ".luaurc")), *luau = find_file(join(place_, ".config.luau"));
        if (json && luau) {
            why = "both " + json->path + " and " + luau->path + " exist: rename or remove one of them";
            return ConfigStatus::Ambiguous; // makes the Navigator stop
        }
        return json || luau ? ConfigStatus::PresentJson : ConfigStatus::Absent;
    }

    ConfigBehavior getConfigBehavior() const override { return ConfigBehavior::GetConfig; }

    std::optional<std::string> getConfig() const override {
        const File *file = find_file(join(place_, ".luaurc"));
        file = file ? file : find_file(join(place_, ".config.luau"));
        if (!file)
            return std::nullopt;
        why.clear();
        config_path = file->path;
        std::optional<std::string> text = aliases_text(*file, why);
        if (!text) {
            why = file->path + ", " + (file->opaque ? "whose source is opaque, is broken" : why);
            return std::nullopt;
        }
        return with_lower_case_aliases(std::move(*text));
    }

private:
    bool enter_host(const std::string &alias) {
        std::string space = "@" + lower_case(alias);
        if (host_modules_under(space).empty())
            return false;
        in_host_ = true;
        place_ = std::move(space);
        return true;
    }

    std::string missing(const std::string &name, const std::string &place) const {
        for (std::string_view extension : {".luau", ".lua"})
            if (ends_with(name, extension) && name.size() > extension.size())
                return "leave out the extension " + std::string(extension);
        if (ends_with(name, ".test"))
            return "there is no " + shown(place) +
                   ".luau; files named *.test.luau are tests, which are left out of a bundle";
        for (const char *extension : {".luau", ".lua"})
            if (name == "init" && find_file(place + extension))
                return place + extension + " is required as its folder: leave out \"/init\"";
        std::string text = "there is no " + shown(place) + ".luau and no folder " + shown(place);
        if (!name.empty() && name[0] == '.')
            text += "; a folder with a dot is of a bundle only if a file has its name in full, in a path as "
                    "\"./.packages/a\", and .git, .hg, .jj, .motu and .svn never are";
        return text;
    }

    std::string no_such_alias(const std::string &alias) const {
        std::string text = "there is no alias and no host module @" + shown(alias);
        std::string place = place_of(requirer_), beside = join(place, ".luaurc");
        if (!find_file(beside))
            beside = join(place, ".config.luau");
        if (is_init(requirer_) && place != tree_of(requirer_.path) && find_file(beside))
            text += " (" + beside + " is for what is in its folder, not for its init.luau; define it one folder up)";
        return text;
    }

    const File &requirer_;
    bool in_bundle_;
    std::string tree_;
    std::string place_;
    int alias_hops_ = 0;
    bool at_requirer_ = false;
    bool searches_alias_ = false;
    bool in_host_ = false; // the place is a host module's, or its namespace
};

class LastError : public Luau::Require::ErrorHandler {
public:
    std::string message;

    void reportError(std::string text) override { message = std::move(text); }
};

// What is wrong with `@motu/nope`, where there are host modules under `@motu`.
std::string no_host_module(const std::string &wanted) {
    std::string text = "there is no host module " + shown(wanted);
    if (wanted == "@motu/test")
        return text;
    std::vector<std::string> names = host_modules_under(wanted.substr(0, wanted.find('/')));
    for (size_t i = 0; i < names.size() && i < shown_modules_max; i++)
        text += (i == 0 ? "; there are " : ", ") + shown(names[i]);
    if (names.size() > shown_modules_max)
        text += " and " + std::to_string(names.size() - shown_modules_max) + " more";
    return text;
}

// A file or a host module, or neither and why not.
Resolution navigate(const File &requirer, const std::string &wanted, bool in_bundle = false) {
    Resolution result;
    std::string &why = result.error;
    BundleNavigation navigation(requirer, in_bundle);
    LastError error;
    Luau::Require::Navigator navigator(navigation, error);
    if (navigator.navigate(wanted) == Luau::Require::Navigator::Status::Success) {
        if (navigation.is_in_host()) {
            result.host = navigation.host_module();
            if (!result.host.empty())
                return result;
            why = no_host_module(navigation.place());
            Resolution other = in_bundle ? Resolution() : navigate(requirer, wanted, true);
            return other.file ? other : result;
        }
        result.file = navigation.module();
        why = navigation.why;
    } else if (!navigation.why.empty()) {
        why = navigation.why;
    } else {
        why = (navigation.config_path.empty() ? "" : navigation.config_path + ": ") + shown(error.message);
    }
    return result;
}

// Whether an alias, or a mounted bundle, has that name and leads to a file or a folder.
bool leads_somewhere(const File &requirer, const std::string &alias) {
    BundleNavigation navigation(requirer);
    LastError error;
    Luau::Require::Navigator navigator(navigation, error);
    return navigator.navigate(alias) == Luau::Require::Navigator::Status::Success && !navigation.is_in_host();
}

// What is wrong with the string itself, or "".
std::string malformed(const File &requirer, std::string_view wanted) {
    if (wanted.empty())
        return "the path is empty";
    if (wanted.size() > wanted_bytes_max)
        return "the path is longer than " + std::to_string(wanted_bytes_max) + " bytes";
    if (wanted == "@" || starts_with(wanted, "@/"))
        return "a name must follow the \"@\"";
    if (starts_with(wanted, "./") || starts_with(wanted, "../") || wanted[0] == '@')
        return "";
    std::string text = "a path must start with \"./\", \"../\" or \"@\"";
    if (wanted == "." || wanted == "..")
        return text + "; write \"" + std::string(wanted) + "/\"";
    if (wanted[0] == '/')
        return text;
    text += "; write \"" + std::string(is_init(requirer) ? "@self/" : "./") + shown(wanted) + "\"";
    return text + " for a file beside this one";
}

// The two ways to mistake what `./` means to an `init.luau`: what was meant if `wanted` is one of them, else "".
std::string meant(const File &requirer, std::string_view wanted) {
    if (is_init(requirer) && starts_with(wanted, "./"))
        return "@self/" + std::string(wanted.substr(2));
    if (!is_init(requirer) && starts_with(wanted, "@self/"))
        return "./" + std::string(wanted.substr(6));
    return "";
}

std::string hint(const File &requirer, std::string_view wanted) {
    if (wanted == "@motu/test")
        return "; it is there for tests, files named *.test.luau, when `motu test` runs them";
    std::string other = meant(requirer, wanted);
    if (other.empty())
        return "";
    bool in_root = is_init(requirer) && place_of(requirer) == tree_of(requirer.path);
    bool plain = other.find("..") == std::string::npos; // from the root it can't have meant anything else
    if (!(in_root && plain) && !navigate(requirer, other).file)
        return "";
    std::string write = "; write \"" + shown(other) + "\"";
    return is_init(requirer) ? write + " (an init.luau stands for its folder, and \"./\" is beside that)"
                             : write + " (\"@self\" is inside this module)";
}

} // namespace

std::string require_error(const File &requirer, std::string_view wanted, std::string_view why) {
    if (requirer.opaque)
        return "can't resolve a require of " + requirer.path + " (its source is opaque)";
    return "can't require \"" + shown(wanted) + "\" from " + requirer.path + ": " + std::string(why);
}

Resolution resolve(const File &requirer, std::string_view wanted) {
    std::string path(wanted.substr(0, wanted_bytes_max + 1));
    std::replace(path.begin(), path.end(), '\\', '/'); // as the Navigator does
    Resolution result;
    result.error = malformed(requirer, path);
    if (result.error.empty()) {
        // a host module comes before what an alias of the bundle's has in its place, and an alias has no case
        std::transform(path.begin(), path.begin() + std::min(path.find('/'), path.size()), path.begin(), lower);
        if (find_host_module(path)) {
            result.host = path;
            return result;
        }
        result = navigate(requirer, path);
        std::string space = path.substr(0, path.find('/'));
        if (!result.file && result.host.empty() && !host_modules_under(space).empty() &&
            !leads_somewhere(requirer, space))
            result.error = no_host_module(path);
    }
    if (result.file || !result.host.empty())
        return result;
    if (!requirer.opaque)
        result.error += hint(requirer, path);
    result.error = require_error(requirer, wanted, result.error);
    return result;
}

} // namespace motu
