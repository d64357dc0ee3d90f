//! I4: the loops inside library calls, the parser and the codec are metered like any other: each stops in budget.

use std::time::{Duration, Instant};

use motu::{Error, ErrorKind, Limits, Value};

use crate::support::{event, hostile, instance_with, limits, run, send, small, tenant, try_load};

trials![
    i4_string_loops_stop_in_budget,
    i4_pattern_loops_stop_in_budget,
    i4_table_loops_stop_in_budget,
    i4_buffer_and_text_loops_stop_in_budget,
    i4_block_moves_are_paid_for,
    i4_one_call_is_stopped_in_the_middle,
    l01_an_array_never_gets_a_negative_size,
    l02_types_that_refer_to_themselves_compile,
    l03_a_sparse_table_moves_in_the_time_of_its_elements,
    i4_a_deadline_stops_block_moves,
    i4_parser_loops_stop_in_budget,
    i4_results_and_payloads_stop_in_budget,
];

/// What is a loop in C++ is metered, so a budget of a hundredth of a second is over in far less than this.
const BOUND: Duration = Duration::from_secs(10);

/// Runs each, for ever and inside of pcall, until a limit ends it; then the next event is answered by a fresh VM.
fn all_stop(limits: &Limits, bodies: &[&str]) {
    for body in bodies {
        for source in [format!("while true do {body} end"), format!("while true do pcall(function() {body} end) end")] {
            let instance = instance_with(limits.clone(), &hostile(&source));
            let since = Instant::now();
            let error = event(&instance, "go").unwrap_err();
            assert!(since.elapsed() < BOUND, "{source}: took {:?}", since.elapsed());
            if error.kind() == ErrorKind::Script {
                assert!(!source.contains("pcall"), "{source}: {error:?}");
                continue;
            }
            assert!(matches!(error.kind(), ErrorKind::Fuel | ErrorKind::Memory), "{source}: {error:?}");
            assert!(error.usage().memory_bytes <= limits.memory_bytes, "{source}: {error:?}");
            assert_eq!(event(&instance, "fresh").unwrap().value, Value::Boolean(true), "{source}");
            assert_eq!(instance.starts(), 2, "{source}");
        }
    }
}

fn i4_string_loops_stop_in_budget() {
    all_stop(
        &small(),
        &[
            "string.rep('x', 1000000)",
            "string.rep('x', 2 ^ 30)",
            "string.rep('', 2 ^ 31 - 1)",
            "string.rep('ab', 1000, string.rep('c', 1000))",
            "string.reverse(string.rep('x', 100000))",
            "string.upper(string.rep('x', 100000))",
            "string.byte(string.rep('x', 5000), 1, -1)",
            "string.char(string.byte(string.rep('x', 5000), 1, -1))",
            "string.format('%099d', 1)",
            "string.format(string.rep('%d', 100), table.unpack(table.create(100, 1)))",
            "string.format('%s', string.rep('x', 1000000))",
            "string.format('%q', string.rep('\\0', 100000))",
            "string.split(string.rep(',', 10000), ',')",
            "string.split(string.rep('x', 10000), '')",
            "local s = 'x' while true do s = s .. s end",
            "local s = '' while true do s ..= 'x' end",
            "local s = string.rep('x', 100000) local _ = s < s .. 'y', s == s .. 'y'",
            "string.pack('z', string.rep('x', 1000000))",
            "string.unpack(string.rep('b', 5000), string.rep('x', 5000))",
            "string.packsize(string.rep('i8', 10000))",
            "tostring(1e308 * math.random())",
            "tonumber(string.rep('1', 100000))",
            "tonumber(string.rep('z', 1000), 36)",
            "local _ = `{string.rep('x', 10000)}{string.rep('y', 10000)}`",
        ],
    );
}

fn i4_pattern_loops_stop_in_budget() {
    all_stop(
        &small(),
        &[
            "string.find(string.rep('a', 3000), string.rep('a*', 30) .. 'b')",
            "string.find(string.rep('a', 30), string.rep('a?', 30) .. string.rep('a', 30))",
            "string.find(string.rep('a', 100000), '.-b')",
            "string.find(string.rep('a', 50000), string.rep('a', 25000) .. 'b', 1, true)",
            "string.match(string.rep('(', 5000), '%b()')",
            "string.match(string.rep('a', 1000), '(.-)(.-)(.-)(.-)(.-)x')",
            "string.gsub(string.rep('a', 10000), '', 'bbbbbbbbbb')",
            "string.gsub(string.rep('a', 10000), 'a', string.rep('%0', 1000))",
            "string.gsub(string.rep('a', 100000), '.', '%0%0')",
            "string.gsub(string.rep('a', 10000), 'a', function(c) return c end)",
            "string.gsub(string.rep('a', 1000), '%f[a].', { a = 'b' })",
            "for _ in string.gmatch(string.rep('a', 10000), '.-') do end",
            "string.find(string.rep('a', 100000), '[' .. string.rep('b', 10000) .. ']')",
            "string.match(string.rep('a', 10000), string.rep('(', 30) .. 'a' .. string.rep(')', 30))",
            "string.find(string.rep('a', 200000), '^' .. string.rep('.-', 50) .. '$b')",
        ],
    );
}

fn i4_table_loops_stop_in_budget() {
    all_stop(
        &small(),
        &[
            "table.sort(table.create(10000, 1), function() return true end)",
            "table.sort(table.create(10000, 1), function(a, b) return math.random() < 0.5 end)",
            "local t = table.create(5000) for i = 1, 5000 do t[i] = (i * 7919) % 5003 end table.sort(t)",
            "table.sort(table.create(1000, 'x'), function() error('no') end)",
            "table.concat(table.create(10000, 'xxxxxxxxxx'), string.rep('y', 100))",
            "table.concat({}, 'x', 1, 2 ^ 31 - 1)",
            "table.concat(table.create(100000, 1))",
            "table.unpack({}, 1, 7000)",
            "table.unpack({}, 1, 1e9)",
            "table.unpack({}, -2 ^ 31, 2 ^ 31 - 1)",
            "table.pack(table.unpack(table.create(7000, 1)))",
            "select('#', table.unpack({}, 1, 7000))",
            "select(-1, table.unpack({}, 1, 7000))",
            "table.move({}, 1, 2 ^ 31 - 2, 2)",
            "table.move(table.create(10000, 1), 1, 10000, 2)",
            "table.move({}, 1, 1000000, 2, {})",
            "table.create(1000000, 1)",
            "table.create(2 ^ 26, 1)",
            "table.create(1e15)",
            "table.insert(table.create(10000, 1), 1, 1)",
            "table.remove(table.create(10000, 1), 1)",
            "table.find(table.create(100000, 1), 2)",
            "table.find({}, nil)",
            "table.clear(table.create(100000, 1))",
            "table.clone(table.create(100000, 1))",
            "table.maxn(table.create(100000, 1))",
            "table.freeze(table.create(1000, 1))",
            "local t = {} for i = 1, 10000 do t[i * 2] = i end",
            "local t = {} for i = 1, 10000 do t[i .. ''] = i end for k in t do t[k] = nil end",
            "local t = {} for i = 1, 1000 do t[{}] = 1 end",
            "for k, v in pairs(table.create(10000, 1)) do end",
            "local t = setmetatable({}, { __len = function() return 2 ^ 53 end }) table.insert(t, 1) table.unpack(t)",
            "local t = setmetatable({}, { __mode = 'kv' }) for i = 1, 1000 do t[{}] = {} end",
        ],
    );
}

fn i4_buffer_and_text_loops_stop_in_budget() {
    all_stop(
        &small(),
        &[
            "buffer.create(1000000)",
            "buffer.create(2 ^ 30)",
            "buffer.fromstring(string.rep('x', 100000))",
            "buffer.tostring(buffer.create(100000))",
            "local b = buffer.create(1000) for i = 0, 999 do buffer.writeu8(b, i, 1) end",
            "buffer.writestring(buffer.create(100000), 0, string.rep('x', 100000))",
            "buffer.readbits(buffer.create(8), 0, 32)",
            "utf8.len(string.rep('x', 100000))",
            "utf8.len(string.rep('\\u{20ac}', 10000))",
            "for _ in utf8.codes(string.rep('x', 10000)) do end",
            "utf8.codepoint(string.rep('x', 5000), 1, -1)",
            "utf8.char(table.unpack(table.create(5000, 0x20ac)))",
            "utf8.offset(string.rep('\\u{20ac}', 10000), 9999)",
            "bit32.band(table.unpack(table.create(5000, 1)))",
            "math.max(table.unpack(table.create(5000, 1)))",
            "math.noise(math.random(), math.random(), math.random())",
            "vector.normalize(vector.create(1, 2, 3))",
            "os.date('%c') os.time() os.clock()",
            "os.date(string.rep('%c', 100))",
            "coroutine.create(function() end)",
            "coroutine.wrap(function(...) coroutine.yield(...) end)(table.unpack(table.create(5000, 1)))",
            "debug.info(1, 'slnaf') debug.traceback()",
            "pcall(require, '@self/' .. string.rep('x/', 1000))",
            "pcall(require, string.rep('../', 1000))",
            "collectgarbage('count')",
            "setmetatable({}, {}) getmetatable('') typeof(1) rawlen({}) next({})",
        ],
    );
}

/// Instructions of wasm that move a block of any size.
const MOVES: &[&str] = &[
    "buffer.fill(b, 0, 255)",
    "buffer.copy(b, 1, b, 0, 14999999)",
    "buffer.tostring(b)",
    "buffer.fromstring(s)",
    "string.rep(s, 2)",
    "string.rep('x', 15000000)",
    "local _ = s .. 'x'",
    "buffer.create(15000000)",
    "table.clone(t)",
    "table.concat({ s, s })",
    "string.format('%s%s', s, 'x')",
    "string.sub(s, 2)",
    "buffer.writestring(b, 0, s)",
    "buffer.readstring(b, 0, 15000000)",
    "local _ = s == s2",
    "local _ = s < s2",
    "string.find(s, 'y', 1, true)",
];

fn moves(each: &str) -> String {
    format!(
        "local b, s = buffer.create(15000000), string.rep('x', 15000000)\n\
         local s2, t = string.rep('x', 14999999) .. 'y', table.create(500000, 1)\n\
         while true do {each} end"
    )
}

/// 15 MB move in about a millisecond. With the default budget, a quarter of a second of instructions, a loop of them must
/// not take a minute.
fn i4_block_moves_are_paid_for() {
    let limits = Limits { event_fuel: Limits::default().event_fuel, memory_bytes: 128 << 20, ..limits() };
    for each in MOVES {
        let instance = instance_with(limits.clone(), &hostile(&moves(each)));
        let error = event(&instance, "go").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Fuel | ErrorKind::Memory), "{each}: {error:?}");
        assert!(error.usage().elapsed < BOUND, "{each}: took {:?}", error.usage().elapsed);
    }
}

/// One call that alone is worth more than the budget.
/// Luau's own issue 2970: it wrote over the whole memory.
fn l01_an_array_never_gets_a_negative_size() {
    let go = "local d = {} d[-2147483648] = 1 return (pcall(table.move, { 1 }, 1, 2147483647, 1, d))";
    let instance = instance_with(limits(), &hostile(go));
    assert_eq!(event(&instance, "go").unwrap().value, Value::Boolean(false));
    let uncaught = go.replace("return (pcall(table.move, ", "return (table.move(");
    let error = event(&instance_with(limits(), &hostile(&uncaught)), "go").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Script, "table overflow"), "{error:?}");
}

fn l02_types_that_refer_to_themselves_compile() {
    let chain: String = (1..10_000).map(|i| format!("type A{i} = A{}\n", i - 1)).collect();
    for types in [
        "type A0 = A0 | A0",
        "type A0 = { A0 } | B | A0 type B = A0 | B",
        &format!("type A0 = number\n{chain}type A = A9999"),
        &format!("type A0 = A9999\n{chain}"),
    ] {
        let last = if types.contains("type A =") { "A" } else { "A0" };
        let source =
            format!("{types}\nlocal function f(x: {last}) return x end\nreturn {{ go = function() return f(7) end }}");
        assert_eq!(event(&instance_with(limits(), &source), "go").unwrap().value, Value::Number(7.0), "{types:.60}");
    }
}

fn l03_a_sparse_table_moves_in_the_time_of_its_elements() {
    let fuel = |body: &str| {
        let ended = event(&instance_with(limits(), &hostile(body)), "go").unwrap();
        assert_eq!(ended.value, Value::Boolean(true), "{body}");
        ended.usage.fuel
    };
    // of Luau's own conformance tests
    let moved = fuel("return table.move({ [2147483647] = 1 }, 1, 2147483647, -2147483646)[0] == 1");
    let few = fuel("return table.move({ [100] = 1 }, 1, 100, -99)[0] == 1");
    assert!(moved < 3 * few, "{moved} beside {few}");
}

fn i4_one_call_is_stopped_in_the_middle() {
    let limits = Limits { event_fuel: Some(20_000_000), memory_bytes: 64 << 20, ..limits() };
    for body in [
        "return pcall(string.find, string.rep('a', 3000), string.rep('a*', 30) .. 'b')",
        "return pcall(string.find, string.rep('a', 2000000), string.rep('a', 1000000) .. 'b', 1, true)",
        "return pcall(table.sort, table.create(1000000, 1), function() return false end)",
        "return pcall(table.move, table.create(1000000, 1), 1, 1000000, 2 ^ 30)",
        "return pcall(table.concat, table.create(1000000, ''), '')",
        "return pcall(string.gsub, string.rep('a', 10000000), 'a', 'b')",
        "return pcall(string.rep, 'ab', 20000000, 'c')",
        "return pcall(string.upper, string.rep('x', 20000000))",
        "return pcall(utf8.len, string.rep('x', 20000000))",
    ] {
        let instance = instance_with(limits.clone(), &hostile(body));
        let error = crate::support::assert_ends(&instance, &[ErrorKind::Fuel, ErrorKind::Memory], body);
        assert!(error.usage().elapsed < BOUND, "{body}: {error:?}");
    }
}

fn i4_a_deadline_stops_block_moves() {
    let deadline = Duration::from_millis(100);
    let limits = Limits { event_fuel: None, event_deadline: Some(deadline), memory_bytes: 128 << 20, ..limits() };
    for each in MOVES {
        let instance = instance_with(limits.clone(), &hostile(&moves(each)));
        let error = event(&instance, "go").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Memory), "{each}: {error:?}");
        assert!(error.usage().elapsed < Duration::from_secs(5), "{each}: took {:?}", error.usage().elapsed);
    }
}

fn i4_parser_loops_stop_in_budget() {
    let line = |text: &str, times: usize| text.repeat(times);
    let sources = [
        line("local x = 1 ", 100_000),
        line("x = x + 1\n", 100_000),
        format!("return {{ {} }}", line("1, ", 300_000)),
        format!("return {{ {} }}", line("a = 1, ", 200_000)),
        format!("return {}1", line("1 + ", 200_000)),
        format!("return '{}'", line("x", 3_000_000)),
        format!("--[[{}]]", line("x\n", 1_000_000)),
        format!("return \"{}\"", line("\\u{10FFFF}", 100_000)),
        line("if x then y() end ", 50_000),
        line("local function f() end ", 50_000),
        line("type T = { a: number } ", 50_000),
        format!("local x: {}nil", line("number | ", 100_000)),
        line("goto ", 100_000),
        line("local \u{1F600} = 1\n", 100_000),
        line("\0", 1_000_000),
        line("`{", 1000),
        line("`", 100_000),
        line("x.", 300_000),
        line("x:y(", 10_000),
        line("@native function f() end ", 20_000),
        line("return ", 100_000),
        line("...", 100_000),
        line("[==[", 100_000),
        line("0x", 500_000),
        line("9", 1_000_000),
        line("function f(", 30_000),
        line("for i = 1, 2 do ", 30_000),
    ];
    let limits = Limits { load_fuel: Some(300_000_000), memory_bytes: 32 << 20, ..limits() };
    for source in sources {
        let head: String = source.chars().take(40).collect();
        let since = Instant::now();
        let bound = |result: Result<(), Error>| {
            assert!(since.elapsed() < BOUND, "{head:?} took {:?}", since.elapsed());
            let Err(error) = result else { return };
            use ErrorKind::{Compile, Fuel, Memory, Script};
            assert!(matches!(error.kind(), Compile | Script | Fuel | Memory), "{head:?}: {error:?}");
            assert!(error.message().len() <= 16 << 10, "{head:?}: a message of {} bytes", error.message().len());
        };
        bound(try_load(limits.clone(), source.as_str()).map(drop));
        let bundle = crate::support::owned(motu::Bundle::from_files([("init.luau", source.as_str())]).unwrap());
        bound(run(crate::support::motu(limits.clone()).check(&bundle)).map(drop));
    }
}

fn i4_results_and_payloads_stop_in_budget() {
    let limits = Limits {
        event_fuel: Some(20_000_000),
        payload_bytes: 64 << 20,
        result_bytes: 64 << 20,
        memory_bytes: 256 << 20,
        ..limits()
    };
    let source = "local t = table.create(2000000, 1)\n\
        return { big = function() return t end, take = function(t) return #t end, small = function() return 1 end }";
    let instance = try_load(limits, source).unwrap().instance(tenant());
    let payload = Value::Array(vec![Value::Boolean(true); 3_000_000]);
    let ends = [event(&instance, "big"), send(&instance, "take", &payload)];
    for end in ends {
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Fuel);
    }
    assert_eq!(event(&instance, "small").unwrap().value, Value::Number(1.0));
    assert_eq!(instance.starts(), 3);
}
