//! I10: nothing of one instance is left for the next, and two instances of one bundle share nothing.

use std::time::Duration;

use motu::{ErrorKind, Instance, Limits, Loaded, Value};

use crate::child::in_child;
use crate::support::{builder, bundle, event, instance, limits, load, motu, run, send, tenant, try_load};

trials![
    i10_ten_thousand_reuses_show_nothing,
    i10_no_byte_of_another_tenant_is_in_a_reused_memory,
    i10_memories_of_other_bundles_are_not_mixed_up,
    i10_memory_after_a_limit_is_clean,
    instances_of_a_bundle_share_nothing,
    instances_do_not_see_what_others_do_meanwhile,
    libraries_are_read_only,
    the_string_metatable_is_locked,
    two_motus_know_nothing_of_each_other,
    an_instance_outlives_its_motu,
];

pub(crate) const CHILDREN: &[crate::child::Body] = &[("scan", scan)];

/// `soil` writes a text all over its memory and keeps it in every place that a script has; `look` tells what a fresh
/// script can see.
const SOIL: &str = r#"
    local count, list, hidden = 0, {}, nil
    shared = { n = 0 }
    local function marker()
        local bytes = {}
        for i = 1, 24 do bytes[i] = string.char(bit32.bxor(0x55, 40 + i)) end
        return table.concat(bytes)
    end
    return {
        soil = function(turns)
            local text = marker()
            count += 1
            shared.n += 1
            leaked = text
            g1, g2, g3, g4, print = text, { text }, text .. 1, function() return text end, text
            hidden = { [text] = text }
            for i = 1, turns do
                list[i] = text .. i
            end
            local b = buffer.create(100 * turns)
            for at = 0, buffer.len(b) - 24, 24 do buffer.writestring(b, at, text) end
            list.buffer = b
            list.co = coroutine.wrap(function(...) coroutine.yield(...) end)
            list.co(text, table.unpack(list))
            pcall(error, text)
            return { count, shared.n }
        end,
        look = function()
            local b = buffer.create(50000)
            local sum = 0
            for at = 0, buffer.len(b) - 4, 4 do sum += buffer.readu32(b, at) end
            local names = if g1 or g2 or g3 or g4 or type(print) ~= "function" then 1 else 0
            return {
                zero = sum, names = names, count = count, n = shared.n, leaked = tostring(leaked), hidden = tostring(hidden),
                list = #list, created = #table.create(100), kib = collectgarbage("count"), random = math.random(1, 2 ^ 30),
            }
        end,
    }
"#;

fn seeded(loaded: &Loaded) -> Instance {
    loaded.instance(tenant()).with_seed(9)
}

fn look(instance: &Instance) -> (Value, u64, u64) {
    let outcome = event(instance, "look").unwrap();
    (outcome.value, outcome.usage.fuel, outcome.usage.memory_bytes)
}

fn i10_ten_thousand_reuses_show_nothing() {
    let loaded = load(SOIL);
    let clean = look(&seeded(&loaded));
    assert_eq!(clean.0.get("leaked"), Some(&Value::string("nil")));
    for (name, zero) in [("zero", 0), ("names", 0), ("count", 0), ("n", 0), ("list", 0), ("created", 0)] {
        assert_eq!(clean.0.get(name), Some(&Value::from(zero)), "{name}");
    }
    for round in 0..10_000 {
        let soiled = seeded(&loaded);
        // few pages and many: what is copied back, and what is mapped anew
        let turns = if round % 100 == 0 { 5000 } else { 1 + round % 20 };
        assert_eq!(
            send(&soiled, "soil", &Value::from(turns)).unwrap().value,
            Value::from_iter([1, 1]),
            "round {round}"
        );
        drop(soiled);
        // the same values, the same fuel, the same memory: to a script there is no difference
        assert_eq!(look(&seeded(&loaded)), clean, "round {round}");
    }
}

fn i10_no_byte_of_another_tenant_is_in_a_reused_memory() {
    in_child("scan");
}

/// Looks for the marker in all of the process's memory.
///
/// The marker is made by the script alone; here it stands only in `needle`, whose own page is left out.
fn scan() {
    let loaded = load(SOIL);
    let rounds = if crate::support::full() { 10_000 } else { 200 }; // each looks through all of the memory
    let needle: Vec<u8> = (1..=24).map(|i| 0x55 ^ (40 + i)).collect();
    for round in 0..rounds {
        let soiled = seeded(&loaded);
        let turns = if round % 5 == 0 { 5000 } else { 1 + round % 20 };
        send(&soiled, "soil", &Value::from(turns)).unwrap();
        if round < 2 {
            let found = found(&needle);
            assert!(found > 5, "the search finds what is there: {found}");
        }
        drop(soiled);
        let fresh = seeded(&loaded);
        event(&fresh, "look").unwrap();
        // a worker may still be about to let go of the memory
        let gone = (0..1000).any(|wait| {
            std::thread::sleep(Duration::from_millis(wait.min(10)));
            found(&needle) == 0
        });
        assert!(gone, "round {round}: bytes of the instance before");
    }
}

/// How often the needle stands in the writable memory of this process, but for the heap and the stack that hold it here.
fn found(needle: &[u8]) -> usize {
    use std::os::unix::fs::FileExt;
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut chunk = vec![0u8; 1 << 16];
    let own = [needle.as_ptr() as u64, chunk.as_ptr() as u64];
    let mut count = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        if !rights.starts_with("rw") || line.ends_with("[heap]") || line.ends_with("[stack]") {
            continue;
        }
        if own.iter().any(|address| (from..to).contains(address)) {
            continue;
        }
        let mut at = from;
        while at < to {
            let wanted = chunk.len().min((to - at) as usize);
            let Ok(read) = memory.read_at(&mut chunk[..wanted], at) else { break };
            count += memchr::memmem::find_iter(&chunk[..read], needle).count();
            // the next chunk starts in this one, for a needle across the border
            at += if wanted == chunk.len() { (read - needle.len()) as u64 } else { read.max(1) as u64 };
        }
    }
    chunk.fill(0);
    count
}

fn i10_memories_of_other_bundles_are_not_mixed_up() {
    let motu = motu(limits());
    let loaded: Vec<Loaded> = (0..4)
        .map(|n| {
            let filler = "x".repeat(n * 100_000);
            let source = format!("local text = '{filler}'\nreturn {{ go = function() kept = (kept or 0) + 1 return {{ {n}, #text, kept }} end }}");
            run(motu.load(&bundle(&[("init.luau", &source)]))).unwrap()
        })
        .collect();
    for round in 0..500 {
        let n = (round * 7 + round / 3) % 4;
        let instance = loaded[n].instance(tenant());
        assert_eq!(event(&instance, "go").unwrap().value, Value::from_iter([n as u32, n as u32 * 100_000, 1]));
    }
}

fn i10_memory_after_a_limit_is_clean() {
    let limits = Limits { event_fuel: Some(500_000_000), memory_bytes: 8 << 20, ..limits() };
    let source = SOIL.replace(
        "return {\n        soil",
        "return { spin = function() leaked = marker() while true do list[#list % 1000 + 1] = marker() end end,\n\
         bomb = function() leaked = marker() while true do list[#list + 1] = string.rep(marker(), 2000) .. #list end end,\n        soil",
    );
    let loaded = try_load(limits, source).unwrap();
    let clean = look(&seeded(&loaded));
    for round in 0..30 {
        let instance = seeded(&loaded);
        let (name, kind) = [("spin", ErrorKind::Fuel), ("bomb", ErrorKind::Memory)][round % 2];
        assert_eq!(event(&instance, name).unwrap_err().kind(), kind);
        assert_eq!(look(&instance), clean, "round {round}");
        // killed in the middle
        let mut future = Box::pin(instance.dispatch_value("spin", &Value::Nil));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        drop(future);
        instance.kill();
        assert_eq!(look(&instance), clean, "round {round}");
    }
}

fn instances_of_a_bundle_share_nothing() {
    let loaded = crate::support::load_files(
        limits(),
        &[
            (
                "init.luau",
                "local module = require('@self/module')\nlocal n = 0\nglobal = {}\n\
              return { add = function(by) n += by global[by] = by module.list[by] = by module.add(by)\n\
                return { n, module.n(), global, module.list } end }",
            ),
            (
                "module.luau",
                "local n = 0\nreturn { list = {}, add = function(by) n += by end, n = function() return n end }",
            ),
        ],
    )
    .unwrap();
    let instances: Vec<Instance> = (1..=10).map(|n| loaded.instance(format!("user:{n}").parse().unwrap())).collect();
    for _ in 0..3 {
        for (n, instance) in instances.iter().enumerate() {
            send(instance, "add", &Value::from(n as u32 + 1)).unwrap();
        }
    }
    for (n, instance) in instances.iter().enumerate() {
        let by = n as u32 + 1;
        let only = if by == 1 { Value::from_iter([1]) } else { Value::from([(by, by)]) };
        let expected = Value::Array(vec![(4 * by).into(), (4 * by).into(), only.clone(), only]);
        assert_eq!(send(instance, "add", &Value::from(by)).unwrap().value, expected);
    }
}

fn instances_do_not_see_what_others_do_meanwhile() {
    // one is in the middle of an event while the other runs
    let source = "n = 0\nreturn { slow = function() n = 1 for _ = 1, 3e6 do end n += 1 return n end, get = function() return n end }";
    let loaded = load(source);
    run(async {
        let (one, other) = (loaded.instance(tenant()), loaded.instance(tenant()));
        let mut slow = Box::pin(one.dispatch::<u32>("slow", &()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        use std::future::Future;
        assert!(slow.as_mut().poll(&mut context).is_pending());
        assert_eq!(other.dispatch::<u32>("get", &()).await.unwrap().value, 0);
        assert_eq!(slow.await.unwrap().value, 2);
        assert_eq!(other.dispatch::<u32>("get", &()).await.unwrap().value, 0);
    });
}

fn libraries_are_read_only() {
    let body = r#"
        local refused = {}
        for name, library in pairs(getfenv and {} or {
            string = string, table = table, math = math, coroutine = coroutine, bit32 = bit32, utf8 = utf8, os = os,
            debug = debug, buffer = buffer, vector = vector, integer = integer,
        }) do
            if not table.isfrozen(library) or pcall(function() library.hacked = 1 end) or pcall(rawset, library, "x", 1)
                or pcall(function() library[next(library)] = nil end) or pcall(setmetatable, library, {})
                or pcall(table.insert, library, 1) or pcall(table.clear, library) then
                refused[#refused + 1] = name
            end
        end
        return refused
    "#;
    let instance = instance(&format!("return {{ go = function() {body} end }}"));
    assert_eq!(event(&instance, "go").unwrap().value, Value::Array(vec![]), "these can be changed");
}

fn the_string_metatable_is_locked() {
    let body = r#"
        local meta = getmetatable("")
        local changed = type(meta) == "table" and (pcall(function() meta.__index = {} end) or not table.isfrozen(meta))
        return { changed, pcall(setmetatable, "", {}), ("x"):upper() }
    "#;
    let instance = instance(&format!("return {{ go = function() {body} end }}"));
    let Value::Array(value) = event(&instance, "go").unwrap().value else { panic!() };
    assert_eq!(value[0], Value::Boolean(false));
    assert_eq!(value[1], Value::Boolean(false));
    assert_eq!(value.last(), Some(&Value::string("X")));
}

fn two_motus_know_nothing_of_each_other() {
    let tight = Limits { event_fuel: Some(10_000_000), log_bytes: 10, ..limits() };
    let (one, two) = (builder(limits()).build().unwrap(), builder(tight).build().unwrap());
    let source = "n = 0\nreturn { go = function() n += 1 local sum = 0 for i = 1, 1e6 do sum += i end return n end, get = function() return n end }";
    let files = bundle(&[("init.luau", source)]);
    let in_one = run(one.load(&files)).unwrap().instance(tenant());
    let in_two = run(two.load(&files)).unwrap().instance(tenant());
    for n in 1..=3 {
        assert_eq!(event(&in_one, "go").unwrap().value, Value::from(n));
        assert_eq!(event(&in_two, "go").unwrap_err().kind(), ErrorKind::Fuel, "its own limits");
    }
    drop((two, in_two));
    assert_eq!(event(&in_one, "get").unwrap().value, Value::from(3), "nor does the end of one touch the other");
}

fn an_instance_outlives_its_motu() {
    let motu = builder(limits()).build().unwrap();
    let loaded =
        run(motu.load(&bundle(&[("init.luau", "n = 0\nreturn { go = function() n += 1 return n end }")]))).unwrap();
    let instance = loaded.instance(tenant());
    event(&instance, "go").unwrap();
    drop((motu, loaded));
    assert_eq!(event(&instance, "go").unwrap().value, Value::from(2));
}
