// Decodes MessagePack into Luau values. The host has checked the bytes before; nothing here relies on it. No recursion:
// the tables that are open are kept in `frames`.

#include "codec.h"
#include "handle.h"
#include "object.h"

#include <cmath>
#include <cstring>
#include <vector>

namespace motu {
namespace {

constexpr size_t string_bytes_max = 1 << 30;          // Luau's own limit, for buffers too
constexpr double integer_end = 9223372036854775808.0; // 2^63

// A table being read. On the Lua stack: the table at `base`, and for a map that has its key, the key at `base + 1`.
struct Frame {
    int base;
    uint32_t next; // arrays: the index of the next value
    uint32_t left; // values (of a map: pairs) still to come
    bool is_map;
    bool has_key;
};

class Decoder {
public:
    Decoder(lua_State *L, const uint8_t *bytes, size_t size) : L(L), start(bytes), at(bytes), end(bytes + size) {}

    bool run() {
        do {
            if (!read_value() || !attach())
                return false;
        } while (!frames.empty());
        return at == end || fail("there are bytes after the value");
    }

    std::string reason;

private:
    // Puts the value that was just read where it belongs, and closes the tables that it completes.
    bool attach() {
        if (opened) { // what was read is the head of a table with entries to come
            opened = false;
            return true;
        }
        while (!frames.empty()) {
            Frame &frame = frames.back();
            if (!frame.is_map) {
                lua_rawseti(L, frame.base, static_cast<int>(frame.next++));
            } else if (!frame.has_key) {
                frame.has_key = true;
                return is_key() || fail("a map has nil or NaN as a key");
            } else {
                lua_rawset(L, frame.base);
                frame.has_key = false;
            }
            if (--frame.left > 0)
                return true;
            frames.pop_back();
        }
        return true;
    }

    // Luau takes no nil as a key, and no NaN, in a vector neither.
    bool is_key() {
        switch (lua_type(L, -1)) {
        case LUA_TNIL:
            return false;
        case LUA_TNUMBER:
            return !std::isnan(lua_tonumber(L, -1));
        case LUA_TVECTOR: {
            const float *vector = lua_tovector(L, -1);
            return !std::isnan(vector[0]) && !std::isnan(vector[1]) && !std::isnan(vector[2]);
        }
        default:
            return true;
        }
    }

    // Pushes a scalar or an empty table, or opens a table.
    bool read_value() {
        if (at == end)
            return fail("it ends too early");
        unsigned head = *at++;
        if (head < 0x80)
            return push_number(head);
        if (head < 0x90)
            return open_table(head & 0x0F, true);
        if (head < 0xA0)
            return open_table(head & 0x0F, false);
        if (head < 0xC0)
            return read_string(head & 0x1F);
        if (head >= 0xE0)
            return push_number(static_cast<int>(head) - 256);

        uint64_t length = 0;
        switch (head) {
        case 0xC0:
            lua_pushnil(L);
            return true;
        case 0xC2:
        case 0xC3:
            lua_pushboolean(L, head == 0xC3);
            return true;
        case 0xC4:
        case 0xC5:
        case 0xC6:
            return read_unsigned(1 << (head - 0xC4), length) && read_buffer(length);
        case 0xC7:
        case 0xC8:
        case 0xC9:
            return read_unsigned(1 << (head - 0xC7), length) && read_extension(length);
        case 0xCA:
            return read_float();
        case 0xCB:
            return read_double();
        case 0xCC:
        case 0xCD:
        case 0xCE:
        case 0xCF:
            return read_positive(1 << (head - 0xCC));
        case 0xD0:
        case 0xD1:
        case 0xD2:
        case 0xD3:
            return read_signed(1 << (head - 0xD0));
        case 0xD4:
        case 0xD5:
        case 0xD6:
        case 0xD7:
        case 0xD8:
            return read_extension(static_cast<uint64_t>(1) << (head - 0xD4));
        case 0xD9:
        case 0xDA:
        case 0xDB:
            return read_unsigned(1 << (head - 0xD9), length) && read_string(length);
        case 0xDC:
        case 0xDD:
            return read_unsigned(2 << (head - 0xDC), length) && open_table(length, false);
        case 0xDE:
        case 0xDF:
            return read_unsigned(2 << (head - 0xDE), length) && open_table(length, true);
        default:
            return fail("a byte that no value starts with");
        }
    }

    bool open_table(uint64_t count, bool is_map) {
        // Each value takes a byte at least: a length that lies never allocates more than the bytes could fill.
        if (count * (is_map ? 2 : 1) > left())
            return fail("it ends too early");
        if (!lua_checkstack(L, 4))
            return fail("it is nested too deep");
        int size = static_cast<int>(count);
        lua_createtable(L, is_map ? 0 : size, is_map ? size : 0);
        if (count == 0 && is_map)
            mark_object(L);
        if (count == 0)
            return true;
        frames.push_back({lua_gettop(L), 1, static_cast<uint32_t>(count), is_map, false});
        opened = true;
        return true;
    }

    bool read_string(uint64_t length) {
        if (!take(length))
            return false;
        lua_pushlstring(L, reinterpret_cast<const char *>(at - length), static_cast<size_t>(length));
        return true;
    }

    bool read_buffer(uint64_t length) {
        if (!take(length))
            return false;
        void *buffer = lua_newbuffer(L, static_cast<size_t>(length));
        if (length)
            memcpy(buffer, at - length, static_cast<size_t>(length));
        return true;
    }

    bool read_extension(uint64_t length) {
        uint64_t type = 0;
        if (!read_unsigned(1, type))
            return false;
        if (type == 1 && length == 12)
            return read_vector();
        uint64_t bits = 0;
        if (type == 2 && length == 8) {
            if (!read_unsigned(8, bits))
                return false;
            lua_pushinteger64(L, static_cast<int64_t>(bits));
            return true;
        }
        if (type == 3 && length == 4) {
            if (!read_unsigned(4, bits))
                return false;
            return push_handle(L, static_cast<uint32_t>(bits)) || fail("a handle of no resource");
        }
        return fail("an extension type that Motu doesn't have");
    }

    bool read_vector() {
        float vector[3];
        for (float &part : vector) {
            uint64_t wide = 0;
            if (!read_unsigned(4, wide))
                return false;
            uint32_t bits = static_cast<uint32_t>(wide);
            memcpy(&part, &bits, sizeof part);
        }
        lua_pushvector(L, vector[0], vector[1], vector[2]);
        return true;
    }

    bool read_float() {
        uint64_t wide = 0;
        if (!read_unsigned(4, wide))
            return false;
        uint32_t bits = static_cast<uint32_t>(wide);
        float number;
        memcpy(&number, &bits, sizeof number);
        return push_number(number);
    }

    bool read_double() {
        uint64_t bits = 0;
        if (!read_unsigned(8, bits))
            return false;
        double number;
        memcpy(&number, &bits, sizeof number);
        return push_number(number);
    }

    // An integer is a number if a double holds it exactly, else it's of Luau's integer type.
    bool read_positive(int bytes) {
        uint64_t value = 0;
        if (!read_unsigned(bytes, value))
            return false;
        double nearest = static_cast<double>(value);
        bool exact = nearest < 2 * integer_end && static_cast<uint64_t>(nearest) == value;
        if (exact)
            return push_number(nearest);
        if (value > INT64_MAX)
            return fail("an integer that neither a number nor an integer holds exactly");
        lua_pushinteger64(L, static_cast<int64_t>(value));
        return true;
    }

    bool read_signed(int bytes) {
        uint64_t bits = 0;
        if (!read_unsigned(bytes, bits))
            return false;
        int shift = 64 - 8 * bytes;
        int64_t value = static_cast<int64_t>(bits << shift) >> shift;
        double nearest = static_cast<double>(value);
        if (nearest < integer_end && static_cast<int64_t>(nearest) == value)
            return push_number(nearest);
        lua_pushinteger64(L, value);
        return true;
    }

    bool push_number(double number) {
        lua_pushnumber(L, number);
        return true;
    }

    bool read_unsigned(int bytes, uint64_t &value) {
        if (left() < static_cast<size_t>(bytes))
            return fail("it ends too early");
        value = 0;
        for (int i = 0; i < bytes; i++)
            value = value << 8 | *at++;
        return true;
    }

    // Moves past `length` bytes of a string or buffer.
    bool take(uint64_t length) {
        if (length > left())
            return fail("it ends too early");
        if (length > string_bytes_max)
            return fail("a string that is longer than Luau allows");
        at += length;
        return true;
    }

    size_t left() const { return static_cast<size_t>(end - at); }

    bool fail(const char *what) {
        reason = std::string(what) + " (at byte " + std::to_string(at - start) + ")";
        return false;
    }

    lua_State *L;
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    std::vector<Frame> frames;
    bool opened = false;
};

} // namespace

bool decode(lua_State *L, const uint8_t *bytes, size_t size, std::string &reason) {
    int top = lua_gettop(L);
    lua_rawcheckstack(L, 4);
    Decoder decoder(L, bytes, size);
    if (decoder.run())
        return true;
    lua_settop(L, top);
    reason = std::move(decoder.reason);
    return false;
}

} // namespace motu
