// Encodes a Luau value. It reads Luau's own structures, not its C interface, which would cost ten times as much an
// entry; nothing is allocated or run in Luau meanwhile, so no pointer goes stale. No recursion: the tables that are
// open are kept in `frames`, so that a deep value can't overflow the stack.

#include "codec.h"
#include "handle.h"
#include "object.h"
#include "memory.h"
#include "text.h"

#include "lapi.h"
#include "lobject.h"
#include "lstate.h"
#include "ltable.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace motu {
namespace {

constexpr double exact_max = 9007199254740992.0; // 2^53: integers up to it are exact in a double

// A table being written. Its entries are the array part and then the nodes of the hash part, as Luau keeps them.
struct Frame {
    const LuaTable *table;
    int next;  // arrays: the index of the next value; maps: the position of the next entry
    int count; // arrays only
    bool is_map;
    bool in_key;         // maps: it's the key of the current entry that is being written
    const TValue *value; // maps: the value of the current entry, null before the first
    TValue key;          // maps: its key
};

// The encoded bytes: one block, grown by doubling, that the bindings free in the end.
class Output {
    static constexpr size_t first_bytes = 256;

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
        if (!data && capacity < first_bytes)
            capacity = first_bytes;
        data = static_cast<uint8_t *>(data ? reallocate(data, capacity) : allocate_crossing(capacity));
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
    static constexpr size_t head_bytes_max = 16;  // and any value of fixed size
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

    Encoded run(int index) { return finish(write_all(index)); }

    Encoded run_arguments(int first, int count) {
        out.reserve();
        put_table(static_cast<unsigned>(count), false);
        Crossing outcome = Crossing::done;
        for (argument = 1; outcome == Crossing::done && argument <= count; argument++)
            outcome = write_all(first + argument - 1);
        return finish(outcome);
    }

private:
    // Writes a value and all that is in it.
    Crossing write_all(int index) {
        Crossing outcome = write(luaA_toobject(L, index));
        while (outcome == Crossing::done && !frames.empty())
            outcome = frames.back().is_map ? step_map(frames.back()) : step_array(frames.back());
        return outcome;
    }

    Encoded finish(Crossing outcome) {
        if (outcome == Crossing::done)
            return {outcome, out.release(), {}};
        out.drop();
        return {outcome, {nullptr, 0}, std::move(detail)};
    }

    // Writes the next values of the innermost open table, up to one that is a table itself, or closes it.
    Crossing step_array(Frame &frame) {
        size_t depth = frames.size();
        while (frame.next <= frame.count) {
            Crossing outcome = write(luaH_getnum(const_cast<LuaTable *>(frame.table), frame.next));
            if (outcome != Crossing::done || frames.size() != depth)
                return outcome; // `frame` may be gone
            frame.next++;
        }
        return close();
    }

    Crossing step_map(Frame &frame) {
        if (frame.in_key) { // the key is written
            frame.in_key = false;
            return write(frame.value);
        }
        if (!next_entry(frame))
            return close();
        frame.in_key = true;
        return write(&frame.key);
    }

    // Moves on to the next entry of a map.
    static bool next_entry(Frame &frame) {
        const LuaTable *table = frame.table;
        for (; frame.next < table->sizearray; frame.next++) {
            const TValue *value = &table->array[frame.next];
            if (ttisnil(value))
                continue;
            frame.value = value;
            setnvalue(&frame.key, ++frame.next);
            return true;
        }
        for (; frame.next - table->sizearray < sizenode(table); frame.next++) {
            const LuaNode *node = &table->node[frame.next - table->sizearray];
            if (ttisnil(&node->val))
                continue;
            frame.value = &node->val;
            frame.key.value = node->key.value;
            memcpy(frame.key.extra, node->key.extra, sizeof frame.key.extra);
            frame.key.tt = node->key.tt;
            frame.next++;
            return true;
        }
        return false;
    }

    // In an array, the table that contains the closed one is still at it.
    Crossing close() {
        frames.pop_back();
        if (!frames.empty() && !frames.back().is_map)
            frames.back().next++;
        return Crossing::done;
    }

    // Writes a scalar, or opens a table.
    Crossing write(const TValue *value) {
        out.reserve();
        switch (ttype(value)) {
        case LUA_TNIL:
            out.put(0xC0);
            break;
        case LUA_TBOOLEAN:
            out.put(bvalue(value) ? 0xC3 : 0xC2);
            break;
        case LUA_TNUMBER:
            put_number(nvalue(value));
            break;
        case LUA_TINTEGER:
            put_integer64(lvalue(value));
            break;
        case LUA_TSTRING: {
            const TString *string = tsvalue(value);
            if (!out.fits(string->len))
                return over(Crossing::too_many_bytes);
            put_string(getstr(string), string->len);
            break;
        }
        case LUA_TBUFFER: {
            const Buffer *buffer = bufvalue(value);
            if (!out.fits(buffer->len))
                return over(Crossing::too_many_bytes);
            put_buffer(buffer->data, buffer->len);
            break;
        }
        case LUA_TVECTOR:
            put_vector(vvalue(value));
            break;
        case LUA_TTABLE:
            return open_table(hvalue(value));
        case LUA_TUSERDATA: {
            const Udata *userdata = uvalue(value);
            if (userdata->tag == UTAG_PROXY)
                return cannot_cross("userdata");
            uint32_t handle = argument ? handle_of(userdata->data, userdata->tag) : 0; // only the host knows it
            if (!handle)
                return cannot_cross(argument ? "handle that was closed" : "handle");
            out.put(0xD6);
            out.put(3);
            out.put_big_endian(handle, 4);
            break;
        }
        default:
            return cannot_cross(lua_typename(L, ttype(value)));
        }
        return out.fits(0) ? Crossing::done : over(Crossing::too_many_bytes);
    }

    Crossing open_table(const LuaTable *table) {
        for (const Frame &frame : frames)
            if (frame.table == table)
                return cannot_cross("table that contains itself");
        if (frames.size() >= depth_max)
            return over(Crossing::too_deep);

        Frame frame = {};
        frame.table = table;
        frame.is_map = !count_entries(table, frame.count);
        frame.next = frame.is_map ? 0 : 1;
        unsigned count = static_cast<unsigned>(frame.count);
        put_table(count, count ? frame.is_map : is_marked_object(table));
        if (!out.fits(count)) // each entry takes a byte at least
            return over(Crossing::too_many_bytes);
        if (frames.empty())
            frames.reserve(8);
        frames.push_back(frame);
        return Crossing::done;
    }

    // Counts the entries of a table. True if its keys are exactly 1..count.
    static bool count_entries(const LuaTable *table, int &count) {
        bool positions = true; // every key is a whole number from 1
        double largest = 0;
        count = 0;
        for (int i = 0; i < table->sizearray; i++) {
            if (ttisnil(&table->array[i]))
                continue;
            count++;
            largest = i + 1;
        }
        for (int i = 0; i < sizenode(table); i++) {
            const LuaNode *node = &table->node[i];
            if (ttisnil(&node->val))
                continue;
            count++;
            double key = node->key.tt == LUA_TNUMBER ? node->key.value.n : 0;
            positions = positions && key >= 1 && key <= INT32_MAX && key == std::floor(key);
            if (key > largest)
                largest = key;
        }
        return positions && largest == count;
    }

    // The head of a table.
    void put_table(unsigned count, bool is_map) {
        if (count < 16)
            out.put((is_map ? 0x80 : 0x90) | count);
        else if (count < 65536)
            put_head(is_map ? 0xDE : 0xDC, count, 2);
        else
            put_head(is_map ? 0xDF : 0xDD, count, 4);
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
    std::string path(size_t length) const {
        constexpr size_t ends = 12;
        std::string text = argument ? "argument " + std::to_string(argument) + " of " + root : root;
        for (size_t i = 0; i < length; i++) {
            if (length > 2 * ends && i == ends) {
                text += "...";
                i = length - ends;
            }
            text += frames[i].is_map ? key_text(frames[i].key) : "[" + std::to_string(frames[i].next) + "]";
        }
        return text;
    }

    static std::string key_text(const TValue &key) {
        switch (ttype(&key)) {
        case LUA_TSTRING: {
            std::string_view name(svalue(&key), tsvalue(&key)->len);
            return is_identifier(name) ? "." + std::string(name) : "[" + quoted(name) + "]";
        }
        case LUA_TNUMBER: {
            char number[40];
            snprintf(number, sizeof number, "[%.17g]", nvalue(&key));
            return number;
        }
        case LUA_TBOOLEAN:
            return bvalue(&key) ? "[true]" : "[false]";
        default:
            return "[key]";
        }
    }

    lua_State *L;
    const char *root;
    size_t depth_max;
    int argument = 0; // the one being written, of a list of them
    Output out;
    std::vector<Frame> frames;
    std::string detail;
};

} // namespace

Encoded encode(lua_State *L, int index, const char *root, size_t bytes_max, size_t depth_max) {
    return Encoder(L, root, bytes_max, depth_max).run(index);
}

Encoded encode_arguments(lua_State *L, int first, int count, const char *name, size_t bytes_max, size_t depth_max) {
    return Encoder(L, name, bytes_max, depth_max).run_arguments(first, count);
}

} // namespace motu
