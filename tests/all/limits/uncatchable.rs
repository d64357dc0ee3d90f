//! I3: whatever a script puts round a spin, it dies in its budget: of fuel, of time, at load and at an event.

use std::time::Duration;

use motu::{ErrorKind, Limits};

use crate::support::{assert_ends, hostile, instance_with, limits, small, try_load};

trials![
    i3_pcall_round_a_spin_dies_in_budget,
    i3_coroutines_round_a_spin_die_in_budget,
    i3_metamethods_round_a_spin_die_in_budget,
    i3_callbacks_round_a_spin_die_in_budget,
    i3_errors_round_a_spin_die_in_budget,
    i3_a_deadline_is_not_caught_either,
    i3_a_spin_at_load_dies_in_budget,
    i3_a_budget_is_not_renewed_by_a_coroutine,
    i3_the_budget_is_the_same_after_a_limit,
];

const PCALLS: &[&str] = &[
    "while true do end",
    "repeat until false",
    "for i = 1, math.huge do end",
    "while true do pcall(function() while true do end end) end",
    "local function spin() while true do end end while true do pcall(pcall, pcall, pcall, spin) end",
    "local function nest(n) if n == 0 then while true do end end pcall(nest, n - 1) nest(n) end nest(150)",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "xpcall(error, function() while true do end end)",
    "while true do xpcall(error, function() error('again') end) end",
    "local function handle() xpcall(error, handle) while true do end end xpcall(error, handle)",
    "while true do pcall(error) end",
    "while true do pcall(error, {}) end",
    "while true do pcall(nil) end",
    "while true do pcall(string.rep) end",
    "local function twice(n) pcall(twice, n + 1) pcall(twice, n + 1) end twice(0)",
    "while true do (function() pcall(function() end) end)() end",
];

const COROUTINES: &[&str] = &[
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "while true do coroutine.resume(coroutine.create(function() pcall(function() while true do end end) end)) end",
    "local spin = coroutine.wrap(function() while true do coroutine.yield() end end) while true do spin() end",
    "local co = coroutine.create(function() while true do pcall(coroutine.yield) end end) while true do pcall(coroutine.resume, co) end",
    "while true do local co = coroutine.create(function() coroutine.yield() end) coroutine.resume(co) coroutine.close(co) end",
    "local function nest(n) return coroutine.wrap(function() if n == 0 then while true do end end nest(n - 1)() end) end pcall(nest(20))",
    "local co co = coroutine.create(function() while true do coroutine.resume(co) end end) while true do pcall(coroutine.resume, co) end",
    "while true do pcall(coroutine.isyieldable) pcall(coroutine.running) pcall(coroutine.status, coroutine.running()) end",
];

/// A table with every metamethod, each of which spins inside a pcall; then a use of one.
const METAMETHODS: &[&str] = &[
    "m.x = m.y",
    "m[1] = 1",
    "return m.y",
    "return m()",
    "return m + 1",
    "return 1 - m",
    "return m * m",
    "return m / 2",
    "return m // 2",
    "return m % 2",
    "return m ^ 2",
    "return -m",
    "return m .. 'x'",
    "return m == o",
    "return m ~= o",
    "return m < o",
    "return m <= o",
    "return m > o",
    "return #m",
    "return tostring(m)",
    "print(m)",
    "for _ in m do end",
    "return string.format('%*', m)",
    "return `{m}`",
    "return table.concat({ m })",
    "return { m, m + 1 }",
    "return rawequal(m, o) or m == o",
    "return m:method()",
    "return (m + 1)()",
    "return string.rep(tostring(m), 2)",
];

const CALLBACKS: &[&str] = &[
    "string.gsub(string.rep('x', 1000), 'x', function() pcall(function() while true do end end) end)",
    "string.gsub('x', 'x', setmetatable({}, { __index = function() while true do end end }))",
    "table.sort({ 3, 2, 1 }, function() while true do end end)",
    "pcall(table.sort, table.create(100, 1), function() pcall(function() while true do end end) return true end)",
    "table.foreach({ 1 }, function() while true do end end)",
    "table.foreachi({ 1 }, function() while true do end end)",
    "for _ in function() while true do end end do end",
    "for _ in function() return 1 end do end",
    "for _ in string.gmatch(string.rep('x', 1000), 'x') do while true do end end",
    "for _ in coroutine.wrap(function() while true do end end) do end",
    "table.sort(setmetatable({ 1, 2, 3 }, {}), function() while true do coroutine.isyieldable() end end)",
];

/// The spin comes when the failure is put into words.
const ERRORS: &[&str] = &[
    "error(setmetatable({}, { __tostring = function() while true do end end }))",
    "error(setmetatable({}, { __tostring = function() while true do pcall(error) end end }))",
    "error(setmetatable({}, { __tostring = function() pcall(function() while true do end end) end }))",
    "local e = setmetatable({}, {}) getmetatable(e).__tostring = function() error(e) while true do end end pcall(error, e) while true do end",
    "return setmetatable({}, { __tostring = function() while true do end end, __index = function() while true do end end }), (function() while true do end end)()",
    "while true do xpcall(function() error(setmetatable({}, { __tostring = function() while true do end end })) end, tostring) end",
    "while true do xpcall(function() local function f() f() end f() end, debug.traceback or tostring) end",
];

fn all_die(bodies: &[&str]) {
    for body in bodies {
        let instance = instance_with(small(), &hostile(body));
        let error = assert_ends(&instance, &[ErrorKind::Fuel], body);
        assert_eq!(Some(error.usage().fuel), small().event_fuel, "{body}: all of the budget, no more: {error:?}");
    }
}

fn i3_pcall_round_a_spin_dies_in_budget() {
    all_die(PCALLS);
}

fn i3_coroutines_round_a_spin_die_in_budget() {
    all_die(COROUTINES);
}

fn metamethod(body: &str) -> String {
    let names = "__index __newindex __call __add __sub __mul __div __idiv __mod __pow __unm __concat __eq __lt __le __len __tostring __iter __namecall";
    format!(
        "local function spin() while true do pcall(function() while true do end end) end end\n\
         local meta = {{}} for name in string.gmatch('{names}', '%S+') do meta[name] = spin end\n\
         local m, o = setmetatable({{}}, meta), setmetatable({{}}, meta)\n\
         while true do pcall(function() {body} end) end"
    )
}

fn i3_metamethods_round_a_spin_die_in_budget() {
    let bodies: Vec<String> = METAMETHODS.iter().map(|body| metamethod(body)).collect();
    all_die(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
}

fn i3_callbacks_round_a_spin_die_in_budget() {
    all_die(CALLBACKS);
}

fn i3_errors_round_a_spin_die_in_budget() {
    all_die(ERRORS);
}

fn i3_a_deadline_is_not_caught_either() {
    // the event after it has to be answered in that time, also on a busy machine
    let deadline = Duration::from_millis(100);
    let limits = Limits { event_fuel: None, event_deadline: Some(deadline), ..small() };
    let metamethods: Vec<String> = METAMETHODS.iter().step_by(5).map(|body| metamethod(body)).collect();
    let bodies = [PCALLS, COROUTINES, CALLBACKS, ERRORS].into_iter().flatten().copied();
    for body in bodies.chain(metamethods.iter().map(String::as_str)).step_by(3) {
        let instance = instance_with(limits.clone(), &hostile(body));
        let error = assert_ends(&instance, &[ErrorKind::Deadline], body);
        let elapsed = error.usage().elapsed;
        // generous, for a busy machine: what is shown is that it ends at all
        assert!(elapsed >= deadline && elapsed < Duration::from_secs(10), "{body}: {elapsed:?}");
    }
}

fn i3_a_spin_at_load_dies_in_budget() {
    let metamethods: Vec<String> = METAMETHODS.iter().step_by(7).map(|body| metamethod(body)).collect();
    let bodies = [PCALLS, COROUTINES, CALLBACKS, ERRORS].into_iter().flatten().copied();
    for body in bodies.chain(metamethods.iter().map(String::as_str)) {
        let limits = Limits { load_fuel: Some(50_000_000), ..small() };
        let error = try_load(limits, format!("local payload {body}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fuel, "{body}: {error:?}");
        assert_eq!(error.usage().fuel, 50_000_000, "{body}: {error:?}");
    }
}

fn i3_a_budget_is_not_renewed_by_a_coroutine() {
    // each resume works a little: in sum it is what one loop would have had
    let work = |body: &str| {
        let instance = instance_with(small(), &format!("n = 0\n{}", hostile(body)));
        assert_ends(&instance, &[ErrorKind::Fuel], body).usage().fuel
    };
    let plain = work("while true do n += 1 end");
    let resumed = work("while true do coroutine.wrap(function() for _ = 1, 1000 do n += 1 end end)() end");
    assert_eq!(plain, resumed);
}

fn i3_the_budget_is_the_same_after_a_limit() {
    let instance = instance_with(Limits { event_fuel: Some(50_000_000), ..limits() }, &hostile("while true do end"));
    for _ in 0..20 {
        let error = assert_ends(&instance, &[ErrorKind::Fuel], "again and again");
        assert_eq!(error.usage().fuel, 50_000_000);
    }
    assert_eq!(instance.starts(), 21);
}
