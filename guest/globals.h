// Globals that aren't there: the library hasn't them, and no file of their tree assigns them. And what isn't in the
// library's tables.
#pragma once

#include "bundle.h"
#include "findings.h"

#include "Luau/Ast.h"

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace motu {

class Globals {
public:
    Globals();

    // Notes what a file reads, and what it assigns.
    void add(const File &file, Luau::AstStatBlock &root);

    // A file that can't be parsed may assign anything.
    void add_broken(const File &file);

    // Warns of each global and each member of the library that is not there, once for each file.
    void report(Findings &findings) const;

    // Where a file reads which globals first, and the names that it gives to what it has.
    struct Uses {
        const File *file;
        std::map<std::string, Luau::Position> read;
        std::set<std::string> local;
        std::map<std::pair<std::string, std::string>, Luau::Position>
            members; // of the library's tables, which lack them
    };

    struct Library {
        std::set<std::string> names;
        std::map<std::string, std::set<std::string>> tables; // and what they have
    };

private:
    // Files that share their globals.
    struct Tree {
        std::set<std::string> assigned;
        std::vector<Uses> uses;
        bool anything = false; // a file of it can't be read
    };

    const Library library_;
    std::map<std::string_view, Tree> trees_;
};

} // namespace motu
