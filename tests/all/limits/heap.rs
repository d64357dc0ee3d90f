//! The guest's heap: what a script keeps is what it finds, what it drops is used again, and the same work takes the same
//! memory for ever.

use motu::{Limits, Value};

use crate::support::{event, full, instance_with, limits, send};

trials![
    contents_are_kept,
    memory_is_used_again,
    large_blocks_are_used_again,
    garbage_is_collected_in_time,
    odd_sizes_and_their_neighbours
];

fn roomy() -> Limits {
    Limits { event_fuel: None, memory_bytes: 128 << 20, ..limits() }
}

/// Buffers, strings and tables of random sizes come and go; each holds what tells it from all others.
const CHURN: &str = r#"
    local slots = {}
    local function size()
        return math.floor(2 ^ (math.random() * 17))
    end
    local makes = {
        function(mark)
            local b = buffer.create(size() + 8)
            for at = 0, buffer.len(b) - 4, 61 do buffer.writeu32(b, at, mark) end
            buffer.writeu32(b, buffer.len(b) - 4, mark)
            return b
        end,
        function(mark) return string.rep(string.char(mark % 251), size()) .. mark end,
        function(mark)
            local t = {}
            for i = 1, size() // 64 + 1 do t[i] = mark + i end
            return t
        end,
        function(mark)
            local t = {}
            for i = 1, size() // 512 + 1 do t["k" .. i] = mark end
            return t
        end,
        function(mark)
            local co = coroutine.wrap(function(...)
                coroutine.yield()
                return ...
            end)
            co(mark, table.unpack(table.create(size() // 512, mark)))
            return co
        end,
    }
    local function check(slot)
        local mark, kind, value = slot[1], slot[2], slot[3]
        if kind == 1 then
            for at = 0, buffer.len(value) - 8, 61 do
                local held = buffer.readu32(value, at)
                assert(held == mark or at + 4 > buffer.len(value) - 4, "a buffer has changed")
            end
            assert(buffer.readu32(value, buffer.len(value) - 4) == mark, "the end of a buffer has changed")
        elseif kind == 2 then
            local text = tostring(mark)
            assert(string.sub(value, -#text) == text, "a string has changed")
            assert(string.byte(value, 1) == mark % 251 or #value == #text, "the start of a string has changed")
        elseif kind == 3 then
            for i = 1, #value, 7 do assert(value[i] == mark + i, "a list has changed") end
        elseif kind == 4 then
            for _, held in value do assert(held == mark, "a table has changed") end
        else
            for _, held in { value() } do assert(held == mark, "a coroutine's stack has changed") end
            slot[3] = makes[5](mark)
        end
    end
    return {
        churn = function(steps)
            for step = 1, steps do
                local kind = math.random(#makes)
                slots[math.random(200)] = { step, kind, makes[kind](step) }
                local other = slots[math.random(200)]
                if other then check(other) end
            end
            for _, slot in slots do check(slot) end
            return collectgarbage("count")
        end,
        clear = function() table.clear(slots) end,
    }
"#;

fn contents_are_kept() {
    for seed in 0..if full() { 100 } else { 4 } {
        let instance = instance_with(roomy(), CHURN).with_seed(seed);
        for _ in 0..4 {
            send(&instance, "churn", &Value::from(3000)).unwrap();
        }
        assert_eq!(instance.starts(), 1);
    }
}

fn memory_is_used_again() {
    let instance = instance_with(roomy(), CHURN).with_seed(1);
    let memory = || {
        let memory = send(&instance, "churn", &Value::from(1500)).unwrap().usage.memory_bytes;
        event(&instance, "clear").unwrap();
        memory
    };
    let first = memory();
    let last = (0..20).fold(first, |_, _| memory());
    assert!(last < first * 2, "the same work took {first} bytes at first, and {last} in the end");
}

fn large_blocks_are_used_again() {
    let source = "local kept return { go = function(n) kept = nil kept = buffer.create(n) return buffer.len(kept) end,\n\
        grow = function() local s = '' for i = 1, 300 do s = s .. string.rep('x', 10000) end return #s end }";
    let instance = instance_with(Limits { memory_bytes: 64 << 20, ..roomy() }, source);
    for round in 0..200u32 {
        // never the same size twice
        let bytes = 10_000_000 + round * 1001;
        assert_eq!(send(&instance, "go", &Value::from(bytes)).unwrap().value, Value::from(bytes));
    }
    for _ in 0..10 {
        assert_eq!(event(&instance, "grow").unwrap().value, Value::from(3_000_000));
    }
    assert_eq!(instance.starts(), 1);
}

/// What a script has dropped doesn't count for long, however large the pieces are.
fn garbage_is_collected_in_time() {
    for body in [
        "for i = 1, 50 do local b = buffer.create(10 * 2 ^ 20) end",
        "local s = '' for i = 1, 300 do s = s .. string.rep('x', 10000) end",
        "local s = '' for i = 1, 30 do s = string.rep('x', 3000000) .. i end",
        "for i = 1, 300 do local t = table.create(300000, i) end",
        "for i = 1, 30 do local s = table.concat(table.create(100000, 'xxxxxxxxxxxxxxxxxxxx'), i) end",
        "for i = 1, 300000 do local t = { { {} } } end",
        "for i = 1, 100000 do coroutine.wrap(function() coroutine.yield() end)() end",
    ] {
        let source = format!("return {{ go = function() {body} return 'done' end }}");
        let instance = instance_with(Limits { memory_bytes: 64 << 20, ..roomy() }, &source);
        for _ in 0..3 {
            event(&instance, "go").unwrap_or_else(|error| panic!("{body}: {error}"));
        }
    }
}

fn odd_sizes_and_their_neighbours() {
    // each size to 2,100 and round every power of two: filled to its last byte, beside others
    let source = r#"
        local function block(n)
            local b = buffer.create(n)
            if n > 0 then buffer.fill(b, 0, n % 256) end
            return b
        end
        local function check(b, n)
            assert(buffer.len(b) == n)
            for at = 0, n - 1, math.max(1, n // 50) do assert(buffer.readu8(b, at) == n % 256) end
            if n > 0 then assert(buffer.readu8(b, n - 1) == n % 256) end
        end
        return { go = function()
            local sizes = {}
            for n = 0, 2100 do table.insert(sizes, n) end
            for power = 11, 20 do
                for off = -33, 33 do table.insert(sizes, 2 ^ power + off) end
            end
            local kept = {}
            for i, n in sizes do
                kept[i] = block(n)
                if i % 3 == 0 then kept[i - 1] = nil end -- holes
            end
            for i, n in sizes do
                if not kept[i] then kept[i] = block(n) end
            end
            for i, n in sizes do check(kept[i], n) end
            return #sizes
        end }
    "#;
    let instance = instance_with(Limits { memory_bytes: 512 << 20, ..roomy() }, source);
    for _ in 0..2 {
        assert_eq!(event(&instance, "go").unwrap().value, Value::from(2101 + 10 * 67));
    }
}
