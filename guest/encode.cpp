// Encodes a Luau value. No recursion: the tables that are open are kept in `frames`, so that a deep value can't overflow
// the stack.

#include "codec.h"
#include "memory.h"
#include "text.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace motu {
namespace {

constexpr double exact_max = 9007199254740992.0; // 2^53: integers up to it are exact in a double

// A table being written. On the Lua stack: the table at `base`, and for a map the current key at `base + 1`.
struct Frame {
    int base;
    int next; // arrays: the index being written; maps: the position of lua_rawiter
    int count;
    bool is_map;
    bool in_key = false;  // maps: it's the current key that is being written
    bool has_key = false; // maps: there is a current key
};

// The encoded bytes: one block, grown by doubling, that the bindings free in the end.
class Output {
public:
    explicit Output(size_t bytes_max) : bytes_max(bytes_max < longest ? bytes_max : longest) {}

    // Whether so many more bytes are within the limit. Asked before anything long is copied.
    bool fits(size_t more) const { return size <= bytes_max && more <= bytes_max - size; }

    // Makes room for a head, and for `more` bytes that fit.
    void reserve(size_t more = 0) {
        size_t needed = size + more + head_bytes_max;
        if (needed <= capacity)
            return;
        size_t doubled = capacity <= longest / 2 ? 2 * capacity : longest;
        capacity = needed > doubled ? needed : doubled;
        data = static_cast<uint8_t *>(reallocate(data, capacity));
    }

    // The caller has made room.
    void put(unsigned byte) { data[size++] = static_cast<uint8_t>(byte); }

    void put_bytes(const void *bytes, size_t count) {
        if (count)
            memcpy(data + size, bytes, count);
        size += count;
    }

    void put_big_endian(uint64_t value, int bytes) {
        for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
            put(static_cast<unsigned>(value >> shift) & 0xFF);
    }

    guest_list_u8_t release() { return {data, size}; }
    void drop() { free(data); }

private:
    static constexpr size_t head_bytes_max = 16; // and any value of fixed size
    static constexpr size_t longest = 0xF0000000; // so that sums stay within 32 bits

    uint8_t *data = nullptr;
    size_t size = 0;
    size_t capacity = 0;
    size_t bytes_max;
};

class Encoder {
public:
    Encoder(lua_State *L, const char *root, size_t bytes_max, size_t depth_max)
        : L(L), root(root), depth_max(depth_max), out(bytes_max) {}

    Encoded run(int index) {
        int top = lua_gettop(L);
        lua_rawcheckstack(L, 4);
        lua_pushvalue(L, index);
        Crossing outcome = write_top();
        while (outcome == Crossing::done && !frames.empty())
            outcome = step();
        lua_settop(L, top);
        if (outcome == Crossing::done)
            return {outcome, out.release(), {}};
        out.drop();
        return {outcome, {nullptr, 0}, std::move(detail)};
    }

private:
    // Writes the next piece of the innermost open table, or closes it.
    Crossing step() {
        Frame &frame = frames.back();
        if (!frame.is_map) {
            if (frame.next == frame.count)
                return close();
            lua_rawgeti(L, frame.base, ++frame.next);
            return write_top();
        }
        if (frame.in_key) { // the key is written, the value is on top
            frame.in_key = false;
            return write_top();
        }
        if (frame.has_key)
            lua_pop(L, 1);
        frame.next = lua_rawiter(L, frame.base, frame.next);
        if (frame.next < 0)
            return close();
        frame.has_key = true;
        frame.in_key = true;
        lua_pushvalue(L, -2);
        return write_top();
    }

    Crossing close() {
        lua_settop(L, frames.back().base - 1);
        frames.pop_back();
        return Crossing::done;
    }

    // Writes the value on top of the stack and pops it; a table becomes the innermost open table instead.
    Crossing write_top() {
        out.reserve();
        switch (lua_type(L, -1)) {
        case LUA_TNIL:
            out.put(0xC0);
            break;
        case LUA_TBOOLEAN:
            out.put(lua_toboolean(L, -1) ? 0xC3 : 0xC2);
            break;
        case LUA_TNUMBER:
            put_number(lua_tonumber(L, -1));
            break;
        case LUA_TINTEGER:
            put_integer64(lua_tointeger64(L, -1, nullptr));
            break;
        case LUA_TSTRING: {
            size_t size = 0;
            const char *text = lua_tolstring(L, -1, &size);
            if (!out.fits(size))
                return over(Crossing::too_many_bytes);
            put_string(text, size);
            break;
        }
        case LUA_TBUFFER: {
            size_t size = 0;
            const void *bytes = lua_tobuffer(L, -1, &size);
            if (!out.fits(size))
                return over(Crossing::too_many_bytes);
            put_buffer(bytes, size);
            break;
        }
        case LUA_TVECTOR:
            put_vector(lua_tovector(L, -1));
            break;
        case LUA_TTABLE:
            return open_table();
        default:
            return cannot_cross(lua_typename(L, lua_type(L, -1)));
        }
        if (!out.fits(0))
            return over(Crossing::too_many_bytes);
        lua_pop(L, 1);
        return Crossing::done;
    }

    Crossing open_table() {
        const void *table = lua_topointer(L, -1);
        for (const Frame &frame : frames)
            if (lua_topointer(L, frame.base) == table)
                return cannot_cross("table that contains itself");
        if (frames.size() >= depth_max || !lua_checkstack(L, 4))
            return over(Crossing::too_deep);

        Frame frame = {};
        frame.base = lua_gettop(L);
        frame.is_map = !count_entries(frame.base, frame.count);
        if (frames.empty())
            frames.reserve(8);
        frames.push_back(frame);
        unsigned count = static_cast<unsigned>(frame.count);
        if (count < 16)
            out.put((frame.is_map ? 0x80 : 0x90) | count);
        else if (count < 65536)
            put_head(frame.is_map ? 0xDE : 0xDC, count, 2);
        else
            put_head(frame.is_map ? 0xDF : 0xDD, count, 4);
        // Each entry takes a byte at least.
        return out.fits(count) ? Crossing::done : over(Crossing::too_many_bytes);
    }

    // Counts the entries of a table. True if its keys are exactly 1..count.
    bool count_entries(int table, int &count) {
        bool positions = true; // every key so far is a whole number from 1
        double largest = 0;
        count = 0;
        for (int at = 0; (at = lua_rawiter(L, table, at)) >= 0; lua_pop(L, 2)) {
            count++;
            if (!positions)
                continue;
            double key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
            positions = key >= 1 && key <= INT32_MAX && key == std::floor(key);
            if (key > largest)
                largest = key;
        }
        return positions && largest == count;
    }

    void put_head(unsigned byte, uint64_t value, int bytes) {
        out.put(byte);
        out.put_big_endian(value, bytes);
    }

    void put_number(double number) {
        bool whole = number >= -exact_max && number <= exact_max && number == std::trunc(number);
        if (whole && !(number == 0 && std::signbit(number))) {
            put_integer(static_cast<int64_t>(number));
        } else {
            uint64_t bits;
            memcpy(&bits, &number, sizeof bits);
            put_head(0xCB, bits, 8);
        }
    }

    // The shortest form.
    void put_integer(int64_t value) {
        uint64_t bits = static_cast<uint64_t>(value);
        if (value >= 0) {
            if (value < 0x80)
                out.put(static_cast<unsigned>(value));
            else if (value <= UINT8_MAX)
                put_head(0xCC, bits, 1);
            else if (value <= UINT16_MAX)
                put_head(0xCD, bits, 2);
            else if (value <= UINT32_MAX)
                put_head(0xCE, bits, 4);
            else
                put_head(0xCF, bits, 8);
        } else if (value >= -32) {
            out.put(static_cast<unsigned>(bits & 0xFF));
        } else if (value >= INT8_MIN) {
            put_head(0xD0, bits, 1);
        } else if (value >= INT16_MIN) {
            put_head(0xD1, bits, 2);
        } else if (value >= INT32_MIN) {
            put_head(0xD2, bits, 4);
        } else {
            put_head(0xD3, bits, 8);
        }
    }

    // Luau's integer type. A plain MessagePack integer comes back as a number if a double holds it, so such an integer
    // needs a form of its own.
    void put_integer64(int64_t value) {
        double nearest = static_cast<double>(value);
        bool exact = nearest < 9223372036854775808.0 && static_cast<int64_t>(nearest) == value;
        if (!exact) {
            put_integer(value);
        } else {
            out.put(0xD7);
            put_head(2, static_cast<uint64_t>(value), 8);
        }
    }

    void put_string(const char *text, size_t size) {
        out.reserve(size);
        if (size < 32)
            out.put(0xA0 | static_cast<unsigned>(size));
        else if (size <= UINT8_MAX)
            put_head(0xD9, size, 1);
        else if (size <= UINT16_MAX)
            put_head(0xDA, size, 2);
        else
            put_head(0xDB, size, 4);
        out.put_bytes(text, size);
    }

    void put_buffer(const void *bytes, size_t size) {
        out.reserve(size);
        if (size <= UINT8_MAX)
            put_head(0xC4, size, 1);
        else if (size <= UINT16_MAX)
            put_head(0xC5, size, 2);
        else
            put_head(0xC6, size, 4);
        out.put_bytes(bytes, size);
    }

    void put_vector(const float *vector) {
        out.put(0xC7);
        out.put(12);
        out.put(1);
        for (int i = 0; i < 3; i++) {
            uint32_t bits;
            memcpy(&bits, &vector[i], sizeof bits);
            out.put_big_endian(bits, 4);
        }
    }

    Crossing cannot_cross(const char *what) {
        bool is_key = !frames.empty() && frames.back().in_key;
        size_t length = frames.size() - (is_key ? 1 : 0);
        detail = (is_key ? "a key of " : "") + path(length) + " is a " + what + ", which can't cross";
        return Crossing::cannot_cross;
    }

    Crossing over(Crossing limit) {
        detail = path(frames.size());
        return limit;
    }

    // The way from the root through the first `length` open tables. The middle of a very long way is left out.
    std::string path(size_t length) {
        constexpr size_t ends = 12;
        std::string text = root;
        for (size_t i = 0; i < length; i++) {
            if (length > 2 * ends && i == ends) {
                text += "...";
                i = length - ends;
            }
            text += path_step(frames[i]);
        }
        return text;
    }

    std::string path_step(const Frame &frame) {
        if (!frame.is_map)
            return frame.next == 0 ? std::string() : "[" + std::to_string(frame.next) + "]";
        if (!frame.has_key)
            return {};
        int key = frame.base + 1;
        switch (lua_type(L, key)) {
        case LUA_TSTRING: {
            size_t size = 0;
            const char *text = lua_tolstring(L, key, &size);
            std::string_view name(text, size);
            return is_identifier(name) ? "." + std::string(name) : "[" + quoted(name) + "]";
        }
        case LUA_TNUMBER: {
            char number[40];
            snprintf(number, sizeof number, "[%.17g]", lua_tonumber(L, key));
            return number;
        }
        case LUA_TBOOLEAN:
            return lua_toboolean(L, key) ? "[true]" : "[false]";
        default:
            return "[key]";
        }
    }

    static bool is_identifier(std::string_view name) {
        if (name.empty() || name.size() > 64 || (name[0] >= '0' && name[0] <= '9'))
            return false;
        for (char c : name)
            if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
                return false;
        return true;
    }

    lua_State *L;
    const char *root;
    size_t depth_max;
    Output out;
    std::vector<Frame> frames;
    std::string detail;
};

} // namespace

Encoded encode(lua_State *L, int index, const char *root, size_t bytes_max, size_t depth_max) {
    return Encoder(L, root, bytes_max, depth_max).run(index);
}

} // namespace motu
