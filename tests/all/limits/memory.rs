//! I5 and I9: memory ends the instance, whatever asks for it and whatever is put round it, and the host holds no more on a
//! script's behalf than the limits say.

use motu::{Bundle, Error, ErrorKind, Limits, Value};
use serde::Serialize;

use crate::child::{in_child, peak_growth};
use crate::support::{
    assert_ends, builder, bundle, event, hostile, instance_with, limits, load, motu, run, send, tenant, try_load,
    unplaced,
};

trials![
    i5_accounted_memory_stays_within_the_limit,
    i5_pcall_round_an_allocation_changes_nothing,
    i5_a_huge_print_result_or_error_leaves_the_host_small,
    i5_a_huge_payload_leaves_the_host_small,
    i5_bombs_leave_the_process_small,
    i9_every_way_to_an_instance_has_its_limit,
    i9_a_limit_below_the_vm_is_refused,
    i9_an_instance_with_limits_of_its_own,
    i9_an_image_over_an_instance_s_limit_is_refused,
    memory_is_given_back_after_a_bomb,
];

pub(crate) const CHILDREN: &[crate::child::Body] =
    &[("huge_output", huge_output), ("huge_input", huge_input), ("bombs", bombs)];

const MIB: u64 = 1 << 20;

/// What takes memory without end when it is done again and again and kept in `kept`.
const BOMBS: &[&str] = &[
    "kept[#kept + 1] = {}",
    "kept[#kept + 1] = { 1, 2, 3, 4, 5, 6, 7, 8 }",
    "kept[#kept + 1] = table.create(1000, 1)",
    "kept[#kept + 1] = table.create(10000000)",
    "kept[#kept + 1] = string.rep('x', 100000) .. #kept",
    "kept[#kept + 1] = #kept .. ''",
    "kept[1] = (kept[1] or 'x') .. (kept[1] or 'x')",
    "kept[#kept + 1] = string.rep('x', 2 ^ 29)",
    "kept[#kept + 1] = buffer.create(100000)",
    "kept[#kept + 1] = buffer.create(2 ^ 29)",
    "kept[#kept + 1] = buffer.fromstring(string.rep('x', 1000))",
    "kept[#kept + 1] = coroutine.create(function() end)",
    "local co = coroutine.create(function(...) coroutine.yield(...) end) coroutine.resume(co, table.unpack({}, 1, 5000)) kept[#kept + 1] = co",
    "kept[#kept + 1] = coroutine.wrap(function() end)",
    "local n = #kept kept[n + 1] = function() return n end",
    "kept[#kept + 1] = setmetatable({}, {})",
    "kept['k' .. #kept] = 1 kept[#kept + 1] = 1",
    "kept[#kept + 1] = string.split(string.rep(',', 10000), ',')",
    "kept[#kept + 1] = table.pack(table.unpack({}, 1, 5000))",
    "kept[#kept + 1] = string.gsub(string.rep('x', 1000), 'x', string.rep('y', 1000)) .. #kept",
    "kept[#kept + 1] = table.concat(table.create(1000, 'xxxxxxxxxx')) .. #kept",
    "kept[#kept + 1] = string.format('%s%d', string.rep('x', 100000), #kept)",
    "kept[#kept + 1] = string.pack('s', string.rep('x', 100000)) .. #kept",
    "kept[#kept + 1] = utf8.char(table.unpack(table.create(5000, 0x20ac))) .. #kept",
    "kept[#kept + 1] = table.clone(table.create(10000, 1))",
    "local t = {} for i = 1, 2 ^ 30 do t[i] = i end",
    "local t = table.create(2 ^ 26)",
    "local s = 'x' while true do s ..= s end",
    "local t = {} while true do t = { t, t } kept[#kept + 1] = t end",
    "error(string.rep('x', 2 ^ 29))",
    "string.gsub(string.rep('x', 1000000), 'x', string.rep('y', 1000))",
    "table.concat(table.create(100000, string.rep('x', 10000)))",
    "string.rep(string.rep('x', 1000000), 1000)",
    "kept[#kept + 1] = debug.traceback(string.rep('x', 10000)) .. #kept",
    "kept[#kept + 1] = os.date('%c') .. #kept",
    "kept[#kept + 1] = select(2, pcall(error, string.rep('x', 10000) .. #kept))",
];

/// Bombs of the same kind that need a function round them.
const WRAPS: &[(&str, &str)] = &[
    ("while true do ", " end"),
    ("while true do pcall(function() ", " end) end"),
    ("while true do pcall(pcall, function() ", " end) end"),
    ("while true do xpcall(function() ", " end, function() end) end"),
    ("while true do xpcall(error, function() ", " end) end"),
    ("while true do pcall(coroutine.wrap(function() ", " end)) end"),
    (
        "local m = setmetatable({}, { __index = function() ",
        " end }) while true do pcall(function() return m.x end) end",
    ),
];

fn small() -> Limits {
    Limits { memory_bytes: 12 << 20, event_fuel: Some(20_000_000_000), load_fuel: Some(20_000_000_000), ..limits() }
}

fn assert_memory(body: &str) -> Error {
    let error =
        assert_ends(&instance_with(small(), &format!("kept = {{}}\n{}", hostile(body))), &[ErrorKind::Memory], body);
    let used = error.usage().memory_bytes;
    assert!(used <= small().memory_bytes + (64 << 10), "{body}: {used} bytes");
    assert!(unplaced(&error).starts_with("out of memory: "), "{body}: {error}");
    assert!(
        error.message().contains(&format!("the limit memory_bytes is {}", small().memory_bytes)),
        "{body}: {error}"
    );
    error
}

fn i5_accounted_memory_stays_within_the_limit() {
    for bomb in BOMBS {
        assert_memory(&format!("while true do {bomb} end"));
    }
}

fn i5_pcall_round_an_allocation_changes_nothing() {
    // every bomb in a pcall, and each wrap round a few of them
    for (n, bomb) in BOMBS.iter().enumerate() {
        for (open, close) in WRAPS.iter().skip(1).take(if n % 6 == 0 { WRAPS.len() } else { 1 }) {
            assert_memory(&format!("{open}{bomb}{close}"));
        }
    }
    let recursion =
        "local function f(...) return f(1, ...), 1 end while true do pcall(f, table.unpack({}, 1, 7000)) end";
    let instance = instance_with(small(), &hostile(recursion));
    assert_ends(&instance, &[ErrorKind::Memory, ErrorKind::Fuel], recursion);
}

/// A script that holds a text of 100 MiB, and then does something with it.
fn huge(body: &str) -> String {
    format!(
        "local text, bytes, list\n\
         return {{ make = function() text = string.rep('x', 100 * 2 ^ 20) end,\n\
           make_bytes = function() bytes = buffer.create(100 * 2 ^ 20) end,\n\
           make_list = function() list = table.create(3000000, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') end,\n\
           go = function() {body} end }}"
    )
}

/// The event is refused or its text cut, and the host's resident memory rises by no more than the payload limit and 1 MiB.
/// The guest's own growth, which its limit bounds, isn't the host's.
fn assert_host_small(limits: &Limits, make: &str, body: &str, kind: ErrorKind) {
    assert_grows(body, || {
        let instance = instance_with(limits.clone(), &huge(body));
        let before = event(&instance, make).unwrap().usage.memory_bytes;
        let (result, growth) = peak_growth(|| event(&instance, "go"));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{body}: {}", error.kind());
        assert!(error.message().len() <= 16 << 10 && error.traceback().len() <= 16 << 10, "{body}: long texts");
        let guest = error.usage().memory_bytes - before;
        println!("{body}: {growth} bytes, of them the guest's at most {guest}");
        (growth, u64::from(limits.payload_bytes) + MIB + guest)
    });
}

/// The process grows by no more than it may; `measure` gives both. The kernel brings in pages of the program's own file as it likes,
/// 2 MiB at once, so one of three tries must do: what the work itself needs shows in each.
fn assert_grows(what: &str, mut measure: impl FnMut() -> (u64, u64)) {
    let mut last = (0, 0);
    for _ in 0..3 {
        last = measure();
        if last.0 <= last.1 {
            return;
        }
    }
    let (growth, most) = last;
    panic!("{what}: the process grew by {growth} bytes, {most} at most");
}

fn i5_a_huge_print_result_or_error_leaves_the_host_small() {
    in_child("huge_output");
}

fn huge_output() {
    let limits = Limits { memory_bytes: 512 << 20, event_fuel: None, ..limits() };
    use ErrorKind::{Limit, Script};
    for (make, body, kind) in [
        ("make", "print(text)", Limit),
        ("make", "print(text, text, text)", Limit),
        ("make", "print(setmetatable({}, { __tostring = function() return text end }))", Limit),
        ("make", "pcall(print, text)", Limit),
        ("make", "return text", Limit),
        ("make", "return { a = { text } }", Limit),
        ("make", "return { [text] = 1 }", Limit),
        ("make_bytes", "return bytes", Limit),
        ("make_bytes", "return { 1, bytes }", Limit),
        ("make_list", "return list", Limit),
        ("make", "error(text, 0)", Script),
        ("make", "error(text)", Script),
        ("make", "error({ text })", Script),
        ("make", "error({ message = text })", Script),
        ("make", "error(setmetatable({}, { __tostring = function() return text end }))", Script),
        ("make", "assert(false, text)", Script),
        ("make", "local t = {} return t[text][text]", Script),
        ("make", "require(text)", Script),
        ("make", "return { [text] = print }", Limit),
        ("make_bytes", "error(bytes)", Script),
        ("make_list", "error(list)", Script),
    ] {
        assert_host_small(&limits, make, body, kind);
    }
    for source in [
        "print(string.rep('x', 100 * 2 ^ 20))",
        "error(string.rep('x', 100 * 2 ^ 20), 0)",
        "return { [string.rep('x', 100 * 2 ^ 20)] = function() end }",
        "local t = {} for i = 1, 1000000 do t[string.rep('x', 100) .. i] = print end return t",
    ] {
        let limits = Limits { load_fuel: None, ..limits.clone() };
        try_load(limits.clone(), "").unwrap(); // makes the Motu
        assert_grows(source, || {
            let (result, growth) = peak_growth(|| try_load(limits.clone(), source));
            let error = result.unwrap_err();
            assert!(matches!(error.kind(), Limit | Script), "{source}: {}", error.kind());
            (growth, u64::from(limits.payload_bytes) + MIB + error.usage().memory_bytes)
        });
    }
}

fn i5_a_huge_payload_leaves_the_host_small() {
    in_child("huge_input");
}

/// Serializes as a list without end, and holds nothing.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::repeat("one more text"))
    }
}

/// Serializes as a list in a list in a list.
struct Bottomless;

impl Serialize for Bottomless {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([Bottomless])
    }
}

fn huge_input() {
    let limits = limits();
    let instance = instance_with(limits.clone(), "return { go = function(value) return 1 end }");
    event(&instance, "go").unwrap();
    let most = u64::from(limits.payload_bytes) + MIB;

    let text = "x".repeat(100 << 20);
    let value = Value::string(text.as_str());
    let list = Value::Array(vec![Value::Number(0.5); 1_000_000]);
    assert_grows("refused", || {
        let (refused, growth) = peak_growth(|| {
            [
                run(instance.dispatch::<u32>("go", &text)).unwrap_err(),
                run(instance.dispatch::<u32>("go", &[[&text]])).unwrap_err(),
                run(instance.dispatch::<u32>("go", text.as_bytes())).unwrap_err(),
                run(instance.dispatch::<u32>("go", &Endless)).unwrap_err(),
                run(instance.dispatch::<u32>("go", &Bottomless)).unwrap_err(),
                send(&instance, "go", &value).unwrap_err(),
                send(&instance, "go", &list).unwrap_err(),
            ]
        });
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            assert!(error.message().contains("payload_"), "{error}");
        }
        (growth, most)
    });

    // as large as can be: once in the host, and in the guest
    let text = "x".repeat(limits.payload_bytes as usize - 5);
    assert_grows("as large as can be", || {
        let before = event(&instance, "go").unwrap().usage.memory_bytes;
        let (usage, growth) = peak_growth(|| run(instance.dispatch::<u32>("go", &text)).unwrap().usage);
        (growth, most + usage.memory_bytes - before + u64::from(limits.payload_bytes))
    });
}

fn i5_bombs_leave_the_process_small() {
    in_child("bombs");
}

fn bombs() {
    let limits = Limits { memory_bytes: 32 << 20, coroutines: Limits::COROUTINES_MAX, ..small() };
    // what is made once for the whole process is not the bombs'
    event(&instance_with(limits.clone(), &hostile("")), "go").unwrap();
    for round in 0..2 {
        for bomb in BOMBS {
            let source =
                format!("kept = {{}}\n{}", hostile(&format!("while true do pcall(function() {bomb} end) end")));
            assert_grows(&format!("round {round}, {bomb}"), || {
                let instance = instance_with(limits.clone(), &source);
                let (result, growth) = peak_growth(|| event(&instance, "go"));
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Memory, "{bomb}");
                (growth, limits.memory_bytes + 4 * MIB)
            });
        }
    }
}

fn i9_every_way_to_an_instance_has_its_limit() {
    let limits = Limits { memory_bytes: 8 << 20, result_bytes: 64 << 20, payload_bytes: 64 << 20, ..small() };
    let over = |result: Result<(), Error>, way: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory, "{way}: {error:?}");
        assert!(error.usage().memory_bytes <= limits.memory_bytes + (64 << 10), "{way}: {error:?}");
    };
    let large = "x".repeat(5 << 20);
    // the files of a bundle, before anything of it is compiled
    let halves =
        [("a.luau", large.get(..4 << 20).unwrap()), ("b.luau", large.get(..4 << 20).unwrap()), ("init.luau", "")];
    let files = crate::support::owned(Bundle::from_files(halves).unwrap());
    let roomy = Limits { source_bytes: 64 << 20, ..limits.clone() };
    over(run(motu(roomy.clone()).load(&files)).map(drop), "load: files");
    over(run(motu(roomy).check(&files)).map(drop), "check: files");
    // the parser
    let table = format!("return {{ {} }}", "{}, ".repeat(200_000));
    over(try_load(limits.clone(), table.as_str()).map(drop), "load: parser");
    over(run(motu(limits.clone()).check(&bundle(&[("init.luau", &table)]))).map(drop), "check: parser");
    // the top level
    over(try_load(limits.clone(), "kept = buffer.create(7 * 2 ^ 20)").map(drop), "load: top level");
    // an event's payload, handler and result
    let source =
        "return { go = function(n) return if n then buffer.create(n) else nil end, echo = function(v) return v end }";
    let loaded = try_load(limits.clone(), source).unwrap();
    over(send(&loaded.instance(tenant()), "echo", &Value::Buffer(vec![1; 7 << 20])).map(drop), "payload");
    over(run(loaded.instance(tenant()).dispatch::<()>("echo", &large)).map(drop), "payload of serde");
    over(send(&loaded.instance(tenant()), "go", &Value::Number(7e6)).map(drop), "handler");
    over(send(&loaded.instance(tenant()), "go", &Value::Number(4e6)).map(drop), "result");
    // the entry's value
    let loaded = try_load(limits.clone(), "return buffer.create(4000000)").unwrap();
    over(run(loaded.instance(tenant()).value()).map(drop), "value");
    // a fresh instance after a limit
    let instance = try_load(limits.clone(), source).unwrap().instance(tenant()).with_seed(1);
    for _ in 0..3 {
        over(send(&instance, "go", &Value::Number(7e6)).map(drop), "after a limit");
    }
    // another Motu of the same limits
    let other = builder(limits.clone()).build().unwrap();
    over(run(other.load(&bundle(&[("init.luau", "kept = buffer.create(7 * 2 ^ 20)")]))).map(drop), "another Motu");
}

fn i9_a_limit_below_the_vm_is_refused() {
    for memory_bytes in [0, 1, 65536, 1 << 20] {
        let motu = motu(Limits { memory_bytes, ..limits() });
        let bundle = bundle(&[("init.luau", "return {}")]);
        for error in [run(motu.load(&bundle)).unwrap_err(), run(motu.check(&bundle)).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Memory, "{error:?}");
            assert!(error.message().contains(&format!("the limit memory_bytes is {memory_bytes}")), "{error}");
            assert_eq!(error.usage().memory_bytes, 0, "nothing is mapped");
        }
    }
}

fn i9_an_instance_with_limits_of_its_own() {
    let source = "return { go = function(n) return if n then buffer.create(n) else nil end, echo = function(v) return v end,\n\
        spin = function() while true do end end, log = function() print('0123456789') end }";
    let loaded = try_load(Limits { result_bytes: 64 << 20, ..limits() }, source).unwrap();
    let own = Limits {
        event_fuel: Some(10_000_000),
        memory_bytes: 8 << 20,
        payload_bytes: 100,
        payload_depth: 2,
        result_bytes: 200,
        result_depth: 2,
        log_bytes: 10,
        ..limits()
    };
    let instance = loaded.instance(tenant()).with_limits(own).unwrap();
    let deep = Value::Array(vec![Value::Array(vec![Value::Array(vec![])])]);
    for (name, payload, kind, part) in [
        ("go", Value::from(8_400_000), ErrorKind::Memory, "the limit memory_bytes is 8388608"),
        ("go", Value::from(201), ErrorKind::Limit, "result_bytes of 200"),
        ("spin", Value::Nil, ErrorKind::Fuel, "the budget of 10000000"),
        ("log", Value::Nil, ErrorKind::Limit, "log_bytes of 10"),
        ("echo", Value::Buffer(vec![0; 200]), ErrorKind::Limit, "payload_bytes of 100"),
        ("echo", deep, ErrorKind::Limit, "payload_depth of 2"),
    ] {
        for _ in 0..2 {
            let error = send(&instance, name, &payload).unwrap_err();
            assert_eq!(error.kind(), kind, "{name}: {error:?}");
            assert!(error.message().contains(part), "{name}: {error}");
            event(&instance, "go").unwrap();
        }
    }
    // the others of the bundle keep theirs
    send(&loaded.instance(tenant()), "go", &Value::from(7_000_000)).unwrap();
    // given to one that runs already
    let instance = loaded.instance(tenant());
    send(&instance, "go", &Value::from(7_000_000)).unwrap();
    let instance = instance.with_limits(Limits { memory_bytes: 6 << 20, ..limits() }).unwrap();
    assert_eq!(send(&instance, "go", &Value::from(7_000_000)).unwrap_err().kind(), ErrorKind::Memory);
    assert_eq!(instance.starts(), 1, "counted anew");
    for limits in [
        Limits { memory_bytes: Limits::MEMORY_BYTES_MAX + 1, ..limits() },
        Limits { payload_depth: Limits::DEPTH_MAX + 1, ..limits() },
        Limits { result_bytes: Limits::BYTES_MAX + 1, ..limits() },
    ] {
        assert_eq!(loaded.instance(tenant()).with_limits(limits).unwrap_err().kind(), ErrorKind::Usage);
    }
}

fn i9_an_image_over_an_instance_s_limit_is_refused() {
    let source = "kept = buffer.create(20000000)\nreturn { go = function() return 1 end }";
    let loaded = load(source);
    for memory_bytes in [0, 1 << 20, 8 << 20, 20_000_000] {
        let instance = loaded.instance(tenant()).with_limits(Limits { memory_bytes, ..limits() }).unwrap();
        for _ in 0..2 {
            let error = event(&instance, "go").unwrap_err();
            assert_eq!((error.kind(), error.usage().fuel), (ErrorKind::Memory, 0), "{error:?}");
            assert!(error.message().contains(&format!("the limit memory_bytes is {memory_bytes}")), "{error}");
        }
    }
    let instance = loaded.instance(tenant()).with_limits(Limits { memory_bytes: 32 << 20, ..limits() }).unwrap();
    assert_eq!(event(&instance, "go").unwrap().value, Value::from(1));
}

fn memory_is_given_back_after_a_bomb() {
    let instance = instance_with(
        small(),
        &format!(
            "kept = {{}}\n{}",
            hostile("while true do pcall(function() kept[#kept + 1] = buffer.create(100000) end) end")
        ),
    );
    for _ in 0..50 {
        assert_ends(&instance, &[ErrorKind::Memory], "again");
        let fresh = event(&instance, "fresh").unwrap();
        assert!(fresh.usage.memory_bytes < 4 << 20, "{:?}", fresh.usage);
    }
}
