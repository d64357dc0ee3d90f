//! A provider in Zig, without any library: what the canonical ABI asks for, by its names.

const Text = extern struct { ptr: [*]const u8, len: usize };

/// `option<string>` and `result<string, string>` alike: which it is, and the text.
const Answer = extern struct { case: u32, text: Text };

var memory: [1 << 16]u8 align(16) = undefined;
var used: usize = 0;
var answer: Answer = undefined;

/// Memory for one call.
export fn cabi_realloc(_: usize, _: usize, alignment: usize, size: usize) [*]u8 {
    const start = (used + alignment - 1) & ~(alignment - 1);
    if (size > memory.len or start > memory.len - size) @trap();
    used = start + size;
    return memory[start..].ptr;
}

fn done(_: *const Answer) callconv(.c) void {
    used = 0;
}

comptime {
    @export(&done, .{ .name = "cabi_post_test:words/words@0.1.0#shout" });
    @export(&done, .{ .name = "cabi_post_test:words/words@0.1.0#longest" });
}

export fn @"test:words/words@0.1.0#shout"(ptr: [*]u8, len: usize) *const Answer {
    const text = ptr[0..len];
    for (text) |*byte| {
        if (byte.* >= 0x80) {
            const refusal = "only ASCII can be shouted";
            answer = .{ .case = 1, .text = .{ .ptr = refusal, .len = refusal.len } };
            return &answer;
        }
        if (byte.* >= 'a' and byte.* <= 'z') byte.* -= 'a' - 'A';
    }
    answer = .{ .case = 0, .text = .{ .ptr = ptr, .len = len } };
    return &answer;
}

export fn @"test:words/words@0.1.0#longest"(ptr: [*]const Text, len: usize) *const Answer {
    answer = .{ .case = 0, .text = undefined };
    for (ptr[0..len]) |word| {
        if (answer.case == 0 or word.len > answer.text.len) answer = .{ .case = 1, .text = word };
    }
    return &answer;
}
