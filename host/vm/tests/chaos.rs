//! R2: any mix of tasks that do anything to each other comes to the same, at the same cost.

use std::time::{Duration, Instant};

use super::*;

/// Tasks that do anything to each other, as the seed has it. Delays of 0 only: the order is then that of the calls.
const CHAOS: &str = r#"
    local pool, left, ran = {}, 0, 0
    local act
    local function body(depth)
        return function(...)
            ran += 1
            for _ = 1, math.random(0, 5) do act(depth + 1) end
            if math.random(8) == 1 then error("by chance") end
            return ...
        end
    end
    local function any() return pool[math.random(#pool)] or coroutine.running() end
    local function keep(thread) pool[math.random(40)] = thread return thread end
    local acts = {
        function(depth) keep(task.spawn(body(depth), 1, nil)) end,
        function(depth) keep(task.defer(body(depth), nil, depth)) end,
        function(depth) keep(task.delay(0, body(depth), {}, depth, nil)) end,
        function(depth) keep(coroutine.create(body(depth))) end,
        function(depth) coroutine.wrap(body(depth))("x") end,
        function() task.wait() end,
        function() task.wait() end,
        function() coroutine.yield(1, 2, 3) end,
        function() coroutine.resume(any(), {}, nil) end,
        function() task.spawn(any(), 1) end,
        function() task.defer(any(), 1, nil, {}) end,
        function() task.delay(0, any(), 1, nil, {}) end,
        function() task.cancel(any()) end,
        function() coroutine.close(any()) end,
        function() keep(coroutine.running()) end,
        function(depth) setmetatable({}, { __index = function() act(depth) end }).x() end,
        function(depth) table.sort({ 3, 1, 2 }, function(a, b) act(depth) return a < b end) end,
        function() for i = 1, 20 do local _ = { i, {} } end pool[math.random(40)] = nil end,
        function() error(setmetatable({}, { __tostring = function() task.spawn(any()) return "text" end })) end,
    }
    act = function(depth)
        left -= 1
        if left < 0 or depth > 30 then return end
        pcall(acts[math.random(#acts)], depth)
    end
    local function close_all()
        for at in pool do
            pcall(task.cancel, pool[at])
            pool[at] = nil
        end
    end
    -- how many of a kind there may still be
    local function room(make, unmake)
        local made = {}
        for _ = 1, 1000 do
            local ok, one = pcall(make)
            if not ok then break end
            table.insert(made, one)
        end
        for _, one in made do unmake(one) end
        return #made
    end
    return {
        go = function(acts)
            left = acts
            for _ = 1, acts do act(0) end
            return ran
        end,
        rest = function()
            left = 0
            for _ = 1, 20 do
                close_all()
                task.wait()
            end
            return {
                room(function() return task.delay(0, print) end, task.cancel),
                room(function() return coroutine.create(print) end, coroutine.close),
            }
        end,
    }
"#;

/// Runs an event to its end as a host would that has nothing else to do: what is deferred first, then what sleeps, the
/// earliest first. A handler that is left with nothing to wait for is closed. The result or the message, and the fuel.
fn go(world: &mut World, event: u64, name: &str, payload: u32) -> (String, u64) {
    const FUEL: u64 = 1_000_000_000;
    let payload = Value::from(payload).encode().unwrap();
    let mut fuel = 0;
    let mut outcome = None;
    let mut step =
        world.enter(async |exports, store| exports.call_start(store, event, name.as_bytes(), &payload).await);
    loop {
        fuel += FUEL - world.vm.store.get_fuel().unwrap();
        outcome = outcome.or(ended(&step).into_iter().find(|(number, _)| *number == event));
        let later = Instant::now() + Duration::from_secs(3600);
        step = if step.deferred {
            world.run_deferred()
        } else if let Some((_, text)) = outcome {
            return (text, fuel);
        } else if let Some((wait, _)) = world.vm.waits().take_due(later) {
            world.resume(wait, &Answer::Elapsed)
        } else {
            world.cancel(event);
            return ("left".to_owned(), fuel);
        };
    }
}

fn chaos(seed: u64) -> Vec<(String, u64)> {
    let mut world = World::seeded(CHAOS, seed, |limits| {
        limits.coroutines = 300;
        limits.timers = 80;
        limits.log_bytes = 1 << 24;
    });
    let mut seen: Vec<_> = (1..=6).map(|event| go(&mut world, event, "go", 60)).collect();
    // handlers that wait may be cancelled by what is left of the others
    let rest = (7..27).map(|event| go(&mut world, event, "rest", 0)).find(|(text, _)| text.starts_with('{'));
    assert_eq!(rest.as_ref().map(|(text, _)| text.as_str()), Some("{80, 300}"), "seed {seed}: {seen:?}");
    seen.extend(rest);
    seen
}

/// Also that the totals return to 0: all timers and coroutines can be had again. `MOTU_FULL=1` takes more seeds.
#[test]
fn r2_any_mix_of_tasks_costs_the_same() {
    let seeds = if std::env::var_os("MOTU_FULL").is_some() { 3000 } else { 100 };
    let (mut numbers, mut other) = (0, 0);
    for seed in 0..seeds {
        let first = chaos(seed);
        assert_eq!(chaos(seed), first, "seed {seed}");
        for (text, _) in first {
            *if text.parse::<f64>().is_ok() { &mut numbers } else { &mut other } += 1;
        }
    }
    assert!(numbers > seeds && other > seeds, "both ends are seen: {numbers}, {other}");
}
