//! The scripts that are measured. Both sides run the very same text.

/// A bundle with state and a handler that does a little work: what most events look like.
pub(crate) const BUNDLE: &str = r#"
local events = 0
return {
    count = function(text)
        events += 1
        local words = 0
        for word in string.gmatch(text, "%w+") do
            words += 1
        end
        return `{words} words, event {events}`
    end,
}
"#;

/// The event of [`BUNDLE`], its payload, and the answer of a fresh instance.
pub(crate) const EVENT: &str = "count";
pub(crate) const PAYLOAD: &str = "hello big world";
pub(crate) const FIRST_ANSWER: &str = "3 words, event 1";

/// Catches `times` errors in one event.
pub(crate) const CATCHER: &str = r#"
local function fail()
    error("no")
end
return {
    run = function(times)
        local caught = 0
        for i = 1, times do
            if not pcall(fail) then
                caught += 1
            end
        end
        return caught
    end,
}
"#;

/// Nine scripts for the interpreter, each the body of a handler `run` that returns a number. They take some milliseconds:
/// short enough that even on a busy machine some rounds are not interrupted.
pub(crate) const INTERPRETER: [(&str, &str); 9] = [
    (
        "fib: calls",
        "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end return fib(22)",
    ),
    ("loop: arithmetic", "local s = 0 for i = 1, 5e5 do s = s + i % 7 end return s"),
    (
        "sieve: array",
        "local n = 50000 local t = table.create(n, true) \
         for i = 2, n do if t[i] then for j = i * i, n, i do t[j] = false end end end \
         local c = 0 for i = 2, n do if t[i] then c += 1 end end return c",
    ),
    (
        "strings: tostring, concat, gmatch",
        "local t = {} for i = 1, 10000 do t[#t + 1] = tostring(i) .. 'x' end \
         local c = 0 for w in string.gmatch(table.concat(t), '%d+') do c += 1 end return c",
    ),
    (
        "floats: fields",
        "local p, q = { x = 0, y = 0, z = 0 }, { x = 1, y = 2, z = 3 } \
         for i = 1, 100000 do p.x += q.x * 0.01 p.y += q.y * 0.01 p.z += q.z * 0.01 \
         q.x -= math.sqrt(p.x * p.x + p.y * p.y + p.z * p.z) * 1e-9 end return p.x",
    ),
    ("alloc: tables", "local c = 0 for i = 1, 50000 do local t = { i, i + 1, { i } } c += #t end return c"),
    (
        "methods: metatable",
        "local C = {} C.__index = C function C:inc(k) self.n += k end \
         local o = setmetatable({ n = 0 }, C) for i = 1, 200000 do o:inc(1) end return o.n",
    ),
    (
        "pcall",
        "local function f() return 1 end local c = 0 for i = 1, 50000 do if pcall(f) then c += 1 end end return c",
    ),
    (
        "errors: thrown and caught",
        "local function f() error('x') end local c = 0 for i = 1, 5000 do if not pcall(f) then c += 1 end end return c",
    ),
];
