// Which file a `require` string means: the semantics of the Luau RFCs, over the files of the bundle and nothing else.
//
// Luau's own Navigator (Require/RequireNavigator.h) walks the string; what is here tells it what exists. Asked when a
// script runs (require.cpp) and when a bundle is checked (check.cpp), so both say the same.
#pragma once

#include "bundle.h"

#include <string>
#include <string_view>

namespace motu {

// What one `require` string came to: a file, a host module, or an error for the script's author. The error names the
// string, the requiring file and the reason; of an opaque requiring file it gives away only the path.
struct Resolution {
    const File *file = nullptr;
    std::string host; // as it is required without aliases: "@motu/kv"
    std::string error;
};

Resolution resolve(const File &requirer, std::string_view wanted);

// "can't require "./x" from lib/a.luau: why", the form of every error of a require.
std::string require_error(const File &requirer, std::string_view wanted, std::string_view why);

} // namespace motu
