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
        std::set<std::string> tested; // globals and `table.name`s that the file asks for
        // What is read of the library's tables, and they lack.
        std::map<std::pair<std::string, std::string>, Luau::Position> members;
    };

    // What the files of a tree assign.
    struct Assigned {
        std::set<std::string> names;
        bool anything = false; // a file can't be read, or passes the table of globals on
    };

    struct Library {
        std::set<std::string> names;
        std::map<std::string, std::set<std::string>> tables; // and what they have
    };

private:
    // Files that share their globals.
    struct Tree {
        Assigned assigned;
        std::vector<Uses> uses;
    };

    const Library library_;
    std::map<std::string_view, Tree> trees_;
};

} // namespace motu
