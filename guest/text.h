// Text for messages, and the byte lists that the bindings take.
#pragma once

#include "guest.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace motu {

// The longest error message and the longest traceback. What is over is cut, and the text says how much it was.
constexpr size_t text_bytes_max = 16 * 1024;

// A copy of its own, at most `text_bytes_max` long, for the bindings to free.
guest_list_u8_t copy_text(std::string_view text);

// The text, with its end replaced by a note of how many bytes are missing if it's longer than `bytes_max`.
std::string cut(std::string_view text, size_t bytes_max);

// In double quotes, with quotes, backslashes and control characters escaped, at most about 64 bytes long.
std::string quoted(std::string_view text);

// Whether Luau takes it after a dot, if it is no keyword. Longer ones than 64 bytes are none.
bool is_identifier(std::string_view name);

} // namespace motu
