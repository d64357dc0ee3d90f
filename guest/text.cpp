// Cutting, quoting and copying text.

#include "text.h"

#include "memory.h"

#include <cstdio>
#include <cstring>

namespace motu {
namespace {

constexpr size_t quoted_bytes_max = 64;

// Where to cut so that no UTF-8 character is split; any bytes are fine.
size_t cut_point(std::string_view text, size_t at) {
    size_t start = at;
    while (start > 0 && at - start < 4 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80)
        start--;
    return at - start < 4 ? start : at;
}

} // namespace

std::string cut(std::string_view text, size_t bytes_max) {
    if (text.size() <= bytes_max)
        return std::string(text);
    constexpr size_t note_bytes_max = 48;
    size_t kept = cut_point(text, bytes_max > note_bytes_max ? bytes_max - note_bytes_max : 0);
    std::string result(text.substr(0, kept));
    return result + "... (" + std::to_string(text.size() - kept) + " bytes cut)";
}

guest_list_u8_t copy_text(std::string_view text) {
    std::string shortened;
    if (text.size() > text_bytes_max) {
        shortened = cut(text, text_bytes_max);
        text = shortened;
    }
    if (text.empty())
        return {nullptr, 0};
    void *copy = allocate(text.size());
    memcpy(copy, text.data(), text.size());
    return {static_cast<uint8_t *>(copy), text.size()};
}

std::string quoted(std::string_view text) {
    bool whole = text.size() <= quoted_bytes_max;
    if (!whole)
        text = text.substr(0, cut_point(text, quoted_bytes_max));
    std::string result = "\"";
    for (char c : text) {
        unsigned char byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            result += '\\';
            result += c;
        } else if (byte < 0x20 || byte == 0x7F) {
            char escape[8];
            snprintf(escape, sizeof escape, "\\x%02x", byte);
            result += escape;
        } else {
            result += c;
        }
    }
    return result + (whole ? "\"" : "...\"");
}

bool is_identifier(std::string_view name) {
    if (name.empty() || name.size() > 64 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (char c : name)
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    return true;
}

} // namespace motu
