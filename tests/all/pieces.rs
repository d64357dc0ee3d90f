//! Large copies, fills and growths: in pieces, to the same bytes, at a cost that depends on their size alone (t03).

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use motu::{ErrorKind, Limits, Value};
use wasmtime::{Config, Engine, Func, Instance, Memory, Module, Store, Val};

use crate::support::{event, instance_with, limits, tenant, try_load};

trials![
    t03_copies_in_pieces_come_to_the_same_bytes,
    t03_fills_in_pieces_come_to_the_same_bytes,
    t03_what_is_out_of_bounds_traps_before_the_first_byte,
    t03_memory_grows_as_the_instruction_says,
    t03_pieces_can_be_interrupted,
    t03_what_cant_be_done_in_pieces_is_refused,
    t03_the_pass_gives_the_same_bytes_each_time,
    t03_scripts_copy_to_the_same_bytes,
    t03_growth_costs_the_same_on_any_memory,
    t03_growth_costs_in_proportion,
    t03_a_deadline_interrupts_a_large_allocation,
];

const BULK: &str = r#"(module
    (memory (export "memory") 16 40)
    (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
    (func (export "fill") (param i32 i32 i32) (local i64 f32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    (func (export "copy_small") (memory.copy (i32.const 5) (i32.const 9) (i32.const 65536)))
    (func (export "copy_large") (memory.copy (i32.const 5) (i32.const 9) (i32.const 65537)))
    (func (export "fill_large") (memory.fill (i32.const 1) (i32.const 7) (i32.const 300000)))
    (func (export "size") (result i32) nop (memory.size))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A module's instance, as it was written or in pieces.
struct Made {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
}

impl Made {
    fn new(in_pieces: bool) -> Made {
        let mut config = Config::new();
        config.consume_fuel(true).concurrency_support(false);
        let engine = Engine::new(&config).unwrap();
        let bytes = if in_pieces { crate::bulk::in_pieces(&parse(BULK)).unwrap() } else { parse(BULK) };
        let module = Module::new(&engine, bytes).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_fuel(1 << 40).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        // no two bytes near each other are the same for long
        for (at, byte) in memory.data_mut(&mut store).iter_mut().enumerate() {
            *byte = (at ^ (at >> 8) ^ (at >> 15)) as u8;
        }
        Made { store, instance, memory }
    }

    fn func(&mut self, name: &str) -> Func {
        self.instance.get_func(&mut self.store, name).unwrap()
    }

    /// Whether it ended without a trap.
    fn call(&mut self, name: &str, arguments: &[u32]) -> bool {
        let arguments: Vec<Val> = arguments.iter().map(|number| Val::I32(number.cast_signed())).collect();
        self.func(name).call(&mut self.store, &arguments, &mut []).is_ok()
    }

    fn ask(&mut self, name: &str, arguments: &[u32]) -> i32 {
        let arguments: Vec<Val> = arguments.iter().map(|number| Val::I32(number.cast_signed())).collect();
        let mut results = [Val::I32(0)];
        self.func(name).call(&mut self.store, &arguments, &mut results).unwrap();
        results[0].unwrap_i32()
    }

    fn bytes(&self) -> &[u8] {
        self.memory.data(&self.store)
    }
}

/// Does the same to both, one after the other, and compares all of memory each time.
fn alike(calls: impl IntoIterator<Item = (&'static str, Vec<u32>)>) {
    let (mut plain, mut pieces) = (Made::new(false), Made::new(true));
    for (name, arguments) in calls {
        let expected = plain.call(name, &arguments);
        assert_eq!(pieces.call(name, &arguments), expected, "{name}{arguments:?}");
        assert!(pieces.bytes() == plain.bytes(), "{name}{arguments:?}: other bytes");
    }
}

/// Round the boundaries of pieces.
const LENGTHS: [u32; 14] =
    [0, 1, 100, 65535, 65536, 65537, 65543, 131_071, 131_072, 131_073, 196_608, 262_147, 400_000, 524_288];

fn t03_copies_in_pieces_come_to_the_same_bytes() {
    let distances = [0, 1, 7, 4096, 65535, 65536, 65537, 131_072, 200_000, 400_000];
    let near = LENGTHS.into_iter().flat_map(|length| {
        distances.into_iter().flat_map(move |distance| {
            [("copy", vec![3, 3 + distance, length]), ("copy", vec![3 + distance, 3, length])]
        })
    });
    alike(near.chain([("copy_small", vec![]), ("copy_large", vec![])]));
}

fn t03_fills_in_pieces_come_to_the_same_bytes() {
    let each = LENGTHS.into_iter().enumerate().map(|(n, length)| ("fill", vec![11, 0x100 + n as u32, length]));
    alike(each.chain([("fill_large", vec![])]));
}

fn t03_what_is_out_of_bounds_traps_before_the_first_byte() {
    let end = 16 << 16;
    let mut calls = Vec::new();
    for (start, length) in
        [(end - 200_000, 200_000), (end, 0), (end - 100_000, 100_001), (end - 65_536, 65_537), (5, u32::MAX)]
    {
        calls.push(("fill", vec![start, 1, length]));
        calls.push(("copy", vec![start, 0, length]));
        calls.push(("copy", vec![0, start, length]));
    }
    for start in [u32::MAX, u32::MAX - 65_535, 1 << 31, end + 1] {
        for length in [0, 1, 65_536, 65_537, 200_000] {
            calls.push(("fill", vec![start, 1, length]));
            calls.push(("copy", vec![start, 7, length]));
            calls.push(("copy", vec![7, start, length]));
        }
    }
    alike(calls);
}

fn t03_memory_grows_as_the_instruction_says() {
    let (mut plain, mut pieces) = (Made::new(false), Made::new(true));
    for pages in [0, 1, 3, 0, 2, 100, 18, u32::MAX, 1, 0] {
        let (expected, before) = (plain.ask("grow", &[pages]), plain.ask("size", &[]));
        assert_eq!(pieces.ask("grow", &[pages]), expected, "grow({pages})");
        assert_eq!(pieces.ask("size", &[]), before, "size after grow({pages})");
        assert!(pieces.bytes() == plain.bytes(), "grow({pages}): other bytes");
    }
}

/// How often a call of `name` gives way, with a slice of this much fuel.
fn pauses(in_pieces: bool, name: &str, arguments: &[Val], results: &mut [Val]) -> usize {
    let mut made = Made::new(in_pieces);
    made.store.fuel_async_yield_interval(Some(100_000)).unwrap();
    let func = made.func(name);
    let mut running = pin!(func.call_async(&mut made.store, arguments, results));
    let mut pauses = 0;
    while running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        pauses += 1;
    }
    pauses
}

fn t03_pieces_can_be_interrupted() {
    let arguments = |length: i32| [Val::I32(0), Val::I32(1), Val::I32(length)];
    let end = (16 << 16) - 1;
    for name in ["copy", "fill"] {
        assert_eq!(pauses(false, name, &arguments(end), &mut []), 1, "{name}: one instruction is one step");
        // a look after each 64 KiB: a slice of 100,000 units is over after two
        let in_pieces = pauses(true, name, &arguments(end), &mut []);
        assert!((7..=16).contains(&in_pieces), "{name}: {in_pieces} pauses for 16 pieces");
        assert_eq!(pauses(true, name, &arguments(65_536), &mut []), 0, "{name}: a small one is an instruction still");
    }
}

fn t03_what_cant_be_done_in_pieces_is_refused() {
    for (text, what) in [
        ("(memory 1) (data \"x\") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1)))", "MemoryInit"),
        ("(table 1 funcref) (func (drop (table.grow (ref.null func) (i32.const 1))))", "TableGrow"),
        ("(table 1 funcref) (func (table.fill (i32.const 0) (ref.null func) (i32.const 1)))", "TableFill"),
        ("(table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 1)))", "TableCopy"),
    ] {
        let error = crate::bulk::in_pieces(&parse(&format!("(module {text})"))).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("can't do in pieces"), "{error}");
    }
}

fn t03_the_pass_gives_the_same_bytes_each_time() {
    let once = || crate::bulk::in_pieces(&parse(BULK)).unwrap();
    assert_eq!(once(), once());
}

/// Copies to every byte as loops do, and then what else copies.
const SAME: &str = r#"
    local function made(size)
        local b = buffer.create(size)
        for i = 0, size - 4, 4 do buffer.writeu32(b, i, i * 2654435761 % 4294967296) end
        return b
    end
    local function by_hand(b, to, from, count)
        local step, first, last = 1, 0, count - 1
        if to > from then step, first, last = -1, last, first end
        for i = first, last, step do buffer.writeu8(b, to + i, buffer.readu8(b, from + i)) end
    end
    local function check(size, to, from, count)
        local one, other = made(size), made(size)
        buffer.copy(one, to, one, from, count)
        by_hand(other, to, from, count)
        assert(buffer.tostring(one) == buffer.tostring(other), `{size} {to} {from} {count}`)
        buffer.fill(one, to, 77, count)
        assert(buffer.readstring(one, to, count) == string.rep("M", count))
        assert(to == 0 or buffer.readu8(one, to - 1) == buffer.readu8(other, to - 1))
    end
    return { go = function()
        for _, count in { 65535, 65536, 65537, 131073 } do
            for _, apart in { 1, 65536, 100000 } do
                check(240000, 0, apart, count)
                check(240000, apart, 0, count)
            end
        end
        local text = string.rep("0123456789", 20000) .. "x"
        assert(#text == 200001 and string.sub(text, -5) == "6789x" and string.sub(text, 131070, 131075) == "901234")
        local b = buffer.fromstring(text)
        assert(buffer.tostring(b) == text)
        assert(table.concat({ text, text }) == text .. text)
        local t = table.create(200000, 1)
        for i = 1, #t do t[i] = i end
        local c = table.clone(t)
        table.move(c, 1, 150000, 20000)
        for i = 1, 19999 do assert(c[i] == i) end
        for i = 20000, 169999 do assert(c[i] == i - 19999) end
        for i = 170000, 200000 do assert(c[i] == i) end
    end }
"#;

fn t03_scripts_copy_to_the_same_bytes() {
    event(&instance_with(limits(), SAME), "go").unwrap();
}

fn t03_growth_costs_the_same_on_any_memory() {
    let source = "return { go = function() return #buffer.tostring(buffer.create(4e6)) + #string.rep('ab', 3e6) end }";
    let loaded = try_load(limits(), source).unwrap();
    let cost = |instance: &motu::Instance| event(instance, "go").unwrap().usage.fuel;
    let alive: Vec<_> = (0..5).map(|_| loaded.instance(tenant()).with_seed(1)).collect();
    let cold: Vec<u64> = alive.iter().map(cost).collect();
    drop(alive);
    let warm: Vec<u64> = (0..5).map(|_| cost(&loaded.instance(tenant()).with_seed(1))).collect();
    assert!(cold.iter().chain(&warm).all(|fuel| *fuel == cold[0]), "{cold:?}, {warm:?}");
}

/// What the kernel's part costs for each 64 KiB by which memory grows.
const FUEL_PER_PAGE: u64 = 200_000;

fn t03_growth_costs_in_proportion() {
    let source = "return { go = function(bytes) kept = nil kept = buffer.create(bytes) end }";
    let loaded = try_load(limits(), source).unwrap();
    let cost = |bytes: u32| {
        let instance = loaded.instance(tenant()).with_seed(1);
        let payload = Value::from(bytes);
        crate::support::send(&instance, "go", &payload).unwrap().usage.fuel
    };
    let (base, one, two) = (cost(10 << 20), cost(20 << 20), cost(40 << 20));
    // the bytes are written too, at one unit each
    let expected = 160 * (FUEL_PER_PAGE + 65_536);
    for (more, times) in [(one - base, 1), (two - one, 2)] {
        let (least, most) = (times * expected, times * expected * 105 / 100);
        assert!((least..most).contains(&more), "{more} fuel for {} MiB", times * 10);
    }
    // what the VM has already costs nothing again
    let instance = loaded.instance(tenant()).with_seed(1);
    let again = || crate::support::send(&instance, "go", &Value::from(10 << 20)).unwrap().usage;
    let all: Vec<_> = (0..8).map(|_| again()).collect();
    assert_eq!(all[7].memory_bytes, all[6].memory_bytes);
    assert!(all[7].fuel < all[0].fuel - 150 * FUEL_PER_PAGE, "{all:?}");
}

fn t03_a_deadline_interrupts_a_large_allocation() {
    let deadline = Some(Duration::from_millis(2));
    let limits =
        Limits { memory_bytes: 1000 << 20, event_fuel: None, event_deadline: deadline, restarts: None, ..limits() };
    let instance = instance_with(limits, "return { go = function() kept = buffer.create(9e8) end }");
    let error = event(&instance, "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    let whole = 9e8 as u64 / 65_536 * FUEL_PER_PAGE;
    assert!(error.usage().fuel < whole, "it was interrupted on the way: {} of {whole} fuel", error.usage().fuel);
}
