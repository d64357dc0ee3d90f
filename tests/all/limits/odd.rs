//! Every function of the library with every odd argument: whatever comes of it, it is an outcome that a script may have,
//! never a fault of Motu's own.

use motu::{ErrorKind, Limits, Value};

use crate::support::{event, full, limits, send, tenant, try_load};

trials![i4_every_library_function_takes_odd_arguments, i4_every_metamethod_takes_odd_operands];

/// `count` says how many functions there are; `go` calls one of them with one first argument and all others after it.
const WALK: &str = r#"
    local libraries = {
        string = string, table = table, math = math, coroutine = coroutine, bit32 = bit32, utf8 = utf8, os = os,
        debug = debug, buffer = buffer, vector = vector, integer = integer,
    }
    local functions = {}
    for name, library in libraries do
        for key, value in library do
            if type(value) == "function" then functions[#functions + 1] = { name .. "." .. key, value } end
        end
    end
    for key, value in _G do
        -- `print` would only fill the log
        if type(value) == "function" and key ~= "print" then functions[#functions + 1] = { key, value } end
    end
    table.sort(functions, function(a, b) return a[1] < b[1] end)

    local function odd()
        local cycle = {}
        cycle.cycle = cycle
        return {
            0, 1, -1, 2, 0.5, 1e15, -1e15, 2 ^ 31, -2 ^ 31, 2 ^ 53, 1e308, 1 / 0, -1 / 0, 0 / 0,
            "", "x", "%", "%d%s%q", "[", "(", "\0\255", string.rep("ab", 50), "2", "slnaf", "<!i4z", "%Y %c %",
            true, {}, { 1, 2, 3 }, { n = 1, year = 1e10, month = -5, day = 0 / 0 }, cycle, table.freeze({ 1 }),
            setmetatable({}, { __index = error, __len = function() return 1e9 end, __tostring = error, __eq = error }),
            function(...) return ... end, print, buffer.create(0), buffer.create(16), vector.create(1, 0 / 0, 1 / 0),
            coroutine.create(function() coroutine.yield() end), coroutine.running(), _G,
        }
    end

    return {
        count = function() return { #functions, #odd() } end,
        name = function(n) return functions[n][1] end,
        go = function(at)
            local f = functions[at[1]][2]
            local first = odd()[at[2]]
            -- on a thread of its own, since some of them yield
            local function try(...)
                coroutine.resume(coroutine.create(f), ...)
            end
            try(first)
            for _, second in odd() do
                try(first, second)
                for _, third in odd() do
                    if at[3] == 1 or math.random() < 0.05 then try(first, second, third) end
                end
            end
            for _ = 1, 50 do
                local args = {}
                local all = odd()
                for i = 1, math.random(1, 6) do args[i] = all[math.random(#all)] end
                try(first, table.unpack(args))
            end
            return "done"
        end,
    }
"#;

fn i4_every_library_function_takes_odd_arguments() {
    let limits = Limits { event_fuel: Some(300_000_000), memory_bytes: 32 << 20, ..limits() };
    let loaded = try_load(limits, WALK).unwrap();
    let instance = loaded.instance(tenant()).with_seed(5);
    let Value::Array(counts) = event(&instance, "count").unwrap().value else { panic!() };
    let (functions, odds) = (counts[0].as_f64().unwrap() as u32, counts[1].as_f64().unwrap() as u32);
    assert!(functions > 150 && odds > 38, "{functions} functions, {odds} odd arguments");
    for function in 1..=functions {
        for odd in 1..=odds {
            // of three arguments, one combination in twenty: all of them take minutes
            let payload = Value::from_iter([function, odd, u32::from(full())]);
            let Err(error) = send(&instance, "go", &payload) else { continue };
            let name = send(&instance, "name", &Value::from(function)).unwrap().value;
            use ErrorKind::{Fuel, Memory, Script};
            assert!(matches!(error.kind(), Fuel | Memory | Script), "{name} of the odd argument {odd}: {error:?}");
        }
    }
}

fn i4_every_metamethod_takes_odd_operands() {
    let source = r#"
        local function odd()
            return {
                0, -1, 0 / 0, 1 / 0, 2 ^ 53, "", "x", "10", true, {}, print, buffer.create(1), vector.create(1, 2, 3),
                coroutine.running(), setmetatable({}, { __index = error, __call = error, __eq = error, __lt = error, __concat = error }),
            }
        end
        local operators = {
            function(a, b) return a + b end, function(a, b) return a - b end, function(a, b) return a * b end,
            function(a, b) return a / b end, function(a, b) return a // b end, function(a, b) return a % b end,
            function(a, b) return a ^ b end, function(a, b) return a .. b end, function(a, b) return a == b end,
            function(a, b) return a < b end, function(a, b) return a <= b end, function(a, b) return a[b] end,
            function(a, b) a[b] = b end, function(a, b) return a(b) end, function(a, b) return #a end,
            function(a, b) return -a end, function(a, b) return a:x(b) end, function(a, b) a.x = b end,
            function(a, b) for x in a, b do break end end, function(a, b) for i = a, b do break end end,
            function(a, b) for i = 1, a, b do break end end, function(a, b) return `{a}{b}` end,
            function(a, b) return { [a] = b } end, function(a, b) a += b end, function(a, b) a[1] ..= b end,
            function(a, b) return setmetatable(a, b) end, function(a, b) return select(a, b, a) end,
        }
        return { go = function()
            local n = 0
            for _, operator in operators do
                for _, a in odd() do for _, b in odd() do pcall(operator, a, b) n += 1 end end
            end
            return n
        end }
    "#;
    let instance = try_load(limits(), source).unwrap().instance(tenant());
    assert_eq!(event(&instance, "go").unwrap().value, Value::from(27 * 15 * 15));
    assert_eq!(instance.starts(), 1);
}
