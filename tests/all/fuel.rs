//! R2, for one event: the same image, events and seed cost the same fuel, wherever and on whatever memory they run.

use motu::{Error, Instance, Loaded, Outcome, Value};

use crate::support::{builder, bundle, event, instance, limits, load, motu, run, send, tenant};

trials![
    r2_one_event_costs_the_same_a_hundred_times,
    r2_a_sequence_of_events_costs_the_same,
    r2_any_mix_of_events_costs_the_same,
    r2_an_error_costs_the_same,
    r2_another_motu_counts_the_same,
    r2_slices_do_not_count,
    fuel_grows_with_work,
    fuel_of_loading_is_the_same,
    c02_a_check_of_many_unknown_names_is_cheap,
];

/// Strings, tables, sorting, garbage, coroutines, errors, random numbers: what could differ from run to run.
const MIXED: &str = r#"
    state = {}
    return {
        go = function(payload)
            local words = {}
            for i = 1, 300 do
                words[i] = string.format("%d:%s", math.random(1, 1000), string.rep("w", i % 17))
            end
            table.sort(words)
            local seen = {}
            for _, word in words do seen[word] = (seen[word] or 0) + 1 end
            for key in seen do state[#state + 1] = key end
            local co = coroutine.wrap(function() for i = 1, 50 do coroutine.yield({ i }) end end)
            for _ = 1, 50 do co() end
            for i = 1, 20 do pcall(error, { i }) end
            local text = string.gsub(table.concat(words, ","), "w+", "<%0>")
            local b = buffer.create(1000)
            for i = 0, 999 do buffer.writeu8(b, i, i % 256) end
            return { #text, payload, buffer.tostring(b), words[1], #state }
        end,
        fail = function() local t = nil; return t.field end,
        yields = function() coroutine.yield() end,
        keeps = function() kept = coroutine.running() return 1 end,
        deep = function() local function f(...) return 1 + f(...) end return f() end,
    }
"#;

fn payload() -> Value {
    Value::from([("name", Value::string("Ada")), ("list", Value::from_iter(0..100))])
}

fn cost(result: Result<Outcome<Value>, Error>) -> (Value, u64) {
    let outcome = result.unwrap();
    (outcome.value, outcome.usage.fuel)
}

fn go(instance: &Instance) -> (Value, u64) {
    cost(send(instance, "go", &payload()))
}

fn seeded(loaded: &Loaded) -> Instance {
    loaded.instance(tenant()).with_seed(42)
}

fn r2_one_event_costs_the_same_a_hundred_times() {
    let loaded = load(MIXED);
    let first = go(&seeded(&loaded));
    std::thread::scope(|scope| {
        // each thread: some on memories mapped anew, since all of them are alive, then some on memories given back
        let halves: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let alive: Vec<Instance> = (0..15).map(|_| seeded(&loaded)).collect();
                    let cold: Vec<_> = alive.iter().map(go).collect();
                    drop(alive);
                    let warm: Vec<_> = (0..35).map(|_| go(&seeded(&loaded))).collect();
                    [cold, warm].concat()
                })
            })
            .collect();
        let all: Vec<_> = halves.into_iter().flat_map(|half| half.join().unwrap()).collect();
        assert_eq!(all.len(), 100);
        for (n, other) in all.into_iter().enumerate() {
            assert_eq!(other, first, "run {n}");
        }
    });
}

fn r2_a_sequence_of_events_costs_the_same() {
    let loaded = load(MIXED);
    let sequence = |instance: &Instance| (0..20).map(|_| go(instance)).collect::<Vec<_>>();
    let first = sequence(&seeded(&loaded));
    let mut kept = seeded(&loaded);
    assert_eq!(sequence(&mut kept), first);
    for _ in 0..5 {
        assert_eq!(sequence(&seeded(&loaded)), first);
    }
}

fn r2_any_mix_of_events_costs_the_same() {
    let loaded = load(MIXED);
    let names = ["go", "fail", "keeps", "yields", "go", "deep", "keeps", "fail", "go"];
    let costs = |instance: &Instance| {
        let cost = |name: &&str| event(instance, name).map_or_else(|error| error.usage(), |outcome| outcome.usage);
        names.iter().map(cost).map(|usage| (usage.fuel, usage.memory_bytes)).collect::<Vec<_>>()
    };
    let first = costs(&seeded(&loaded));
    for _ in 0..20 {
        assert_eq!(costs(&seeded(&loaded)), first);
    }
}

fn r2_an_error_costs_the_same() {
    let loaded = load(MIXED);
    let fail = || event(&seeded(&loaded), "fail").unwrap_err().usage().fuel;
    let first = fail();
    assert!(first > 0);
    assert!((0..100).all(|_| fail() == first));
}

fn r2_another_motu_counts_the_same() {
    let here = go(&seeded(&load(MIXED)));
    let other = builder(limits()).build().unwrap();
    let loaded = run(other.load(&bundle(&[("init.luau", MIXED)]))).unwrap();
    assert_eq!(go(&seeded(&loaded)), here);
}

fn r2_slices_do_not_count() {
    // the same work as part of a longer event, cut elsewhere; and on a runtime that polls others in between
    let source = "local function work() local n = 0 for i = 1, 300000 do n += i % 7 end return n end\n\
        return { once = work, twice = function() work() return work() end, thrice = function() work() work() return work() end }";
    let loaded = load(source);
    let fuel = |name: &str| event(&seeded(&loaded), name).unwrap().usage.fuel;
    let (once, twice, thrice) = (fuel("once"), fuel("twice"), fuel("thrice"));
    assert!(once > motu::Limits::SLICE_FUEL, "it takes more than a slice: {once}");
    assert_eq!(thrice - twice, fuel("thrice") - fuel("twice"));
    let shared = run(async {
        let (one, other) = (seeded(&loaded), seeded(&loaded));
        let (a, b) =
            tokio::join!(one.dispatch_value("thrice", &Value::Nil), other.dispatch_value("twice", &Value::Nil));
        (a.unwrap().usage.fuel, b.unwrap().usage.fuel)
    });
    assert_eq!(shared, (thrice, twice));
}

fn fuel_grows_with_work() {
    let instance = instance("return { go = function(n) local sum = 0 for i = 1, n do sum += i end return sum end }");
    let mut fuel = |n: u32| cost(send(&instance, "go", &Value::from(n))).1;
    fuel(0);
    let costs: Vec<u64> = [0, 1, 10, 100, 1000, 10_000, 100_000].map(&mut fuel).into();
    assert!(costs.is_sorted_by(|a, b| a < b), "{costs:?}");
    let each = (costs[6] - costs[5]) as f64 / 90_000.0;
    assert!((2.0..200.0).contains(&each), "a turn of the loop costs {each}");
    assert_eq!(fuel(20_000) - fuel(10_000), fuel(30_000) - fuel(20_000), "in proportion");
}

fn fuel_of_loading_is_the_same() {
    let fuel = || load(MIXED).usage().fuel;
    let first = fuel();
    assert!(first > 0);
    assert!((0..20).all(|_| fuel() == first));
}

/// Names that are as long as those that they may have been meant to be, and far from all of them.
fn c02_a_check_of_many_unknown_names_is_cheap() {
    let name = |n: usize| format!("{n:030b}").replace('0', "o").replace('1', "l");
    let locals: String = (0..1_000).map(|n| format!("do local a{} = 1 end\n", name(n * 7919))).collect();
    let unknown: String = (0..3_000).map(|n| format!("_ = b{}\n", name((n + 1) * 104_729 % (1 << 30)))).collect();
    let bundle = bundle(&[("init.luau", &format!("{locals}{unknown}"))]);
    let limits = motu::Limits { load_fuel: Some(500_000_000), ..limits() };
    let found = run(motu(limits).check(&bundle)).unwrap();
    assert_eq!((found.diagnostics.len(), found.left_out), (200, 2_800));
}
