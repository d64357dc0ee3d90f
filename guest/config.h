// The aliases of a folder, as text that Luau's own parser of `.luaurc` takes.
#pragma once

#include "bundle.h"

#include <optional>
#include <string>

namespace motu {

// A `.luaurc` is that text itself. Of a `.config.luau`, which is Luau, the constants are read, and nothing runs. Null with
// `why`, which doesn't name the file.
std::optional<std::string> aliases_text(const File &file, std::string &why);

} // namespace motu
