//! Tasks as a whole: what an event leaves behind, what a deadline finds, and that any mix of them costs the same, leaks
//! nothing and breaks nothing. The corpus under `tests/scripts/task` has each function by itself.

use std::time::{Duration, Instant};

use motu::{ErrorKind, Limits, Loaded, Value};

use crate::support::{event, full, instance, instance_with, limits, send, tenant, try_load};

trials![
    tasks_live_on_after_their_event,
    a_deadline_finds_a_handler_that_waits,
    a_cancelled_event_leaves_the_others,
    memory_stays_when_events_wait,
    a_thread_that_a_script_has_is_not_used_again,
    r2_any_mix_of_tasks_costs_the_same,
];

fn tasks_live_on_after_their_event() {
    let source = "seen = {}\nreturn {\n\
        leave = function() task.delay(0, table.insert, seen, 'delayed') task.spawn(function() task.wait() table.insert(seen, 'waited') end) return 'left' end,\n\
        look = function() task.wait(0.002) return seen end }";
    let mut instance = instance(source);
    assert_eq!(event(&mut instance, "leave").unwrap().value, Value::string("left"));
    assert_eq!(event(&mut instance, "look").unwrap().value, Value::from_iter(["delayed", "waited"]));
    assert_eq!(instance.starts(), 1);
}

fn a_deadline_finds_a_handler_that_waits() {
    let deadline = Duration::from_millis(50);
    let limits = Limits { event_deadline: Some(deadline), event_fuel: None, ..limits() };
    let source =
        "return { go = function() pcall(task.wait, 3600) return 'caught' end, on = function() return 'on' end }";
    let mut instance = instance_with(limits, source);
    let since = Instant::now();
    let error = event(&mut instance, "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert!(since.elapsed() >= deadline && since.elapsed() < Duration::from_secs(60));
    assert_eq!(event(&mut instance, "on").unwrap().value, Value::string("on"));
}

fn a_cancelled_event_leaves_the_others() {
    // the event that nobody resumes is cancelled; what it had spawned goes on
    let source = "seen = {}\nreturn {\n\
        lost = function() kept = coroutine.running() task.spawn(function() coroutine.yield() end)\n\
          other = task.spawn(function() table.insert(seen, coroutine.yield()) end) pcall(coroutine.yield) table.insert(seen, 'no') end,\n\
        look = function() task.spawn(other, 'yes') return { seen[1], coroutine.status(kept), #seen } end }";
    let mut instance = instance(source);
    let error = event(&mut instance, "lost").unwrap_err();
    assert_eq!(error.message(), "the handler yielded, and nothing will resume it");
    let expected = Value::from_iter([Value::string("yes"), Value::string("dead"), Value::from(1)]);
    assert_eq!(event(&mut instance, "look").unwrap().value, expected);
    assert_eq!(instance.starts(), 1);
}

fn memory_stays_when_events_wait() {
    let source = "return {\n\
        wait = function() task.wait() end,\n\
        fail = function() task.wait() error('x') end,\n\
        cancel = function() task.cancel(task.delay(3600, print, {})) task.cancel(task.defer(print, {})) end,\n\
        thread = function() local co = coroutine.create(function() end) task.defer(co, {}, {}) task.delay(3600, co, {}) task.wait() task.cancel(co) end,\n\
        lost = function() coroutine.yield() end,\n\
        closed = function() task.defer(coroutine.close, coroutine.running()) coroutine.yield() end,\n\
        refused = function() for _ = 1, 10 do pcall(task.delay, 'x') end error('x') end }";
    let limits = Limits { coroutines: 100, timers: 100, ..limits() };
    for name in ["wait", "fail", "cancel", "thread", "lost", "closed", "refused"] {
        let mut instance = instance_with(limits.clone(), source);
        let mut after = |events: usize| {
            (0..events)
                .map(|_| event(&mut instance, name).map_or_else(|error| error.usage(), |outcome| outcome.usage))
                .last()
                .unwrap()
                .memory_bytes
        };
        let first = after(1000);
        assert_eq!(after(if full() { 100_000 } else { 5000 }), first, "{name}");
    }
}

fn a_thread_that_a_script_has_is_not_used_again() {
    let source = "local seen = {}\n\
        local function is_new() local this = coroutine.running() local new = not seen[this] seen[this] = true return new end\n\
        return {\n\
        before = function() local new = is_new() task.wait() return new end,\n\
        after = function() task.wait() return is_new() end,\n\
        at_once = is_new,\n\
        plain = function() task.wait() return true end }";
    let mut instance = instance(source);
    for _ in 0..5 {
        for name in ["before", "plain", "after", "at_once", "plain", "plain", "before"] {
            assert_eq!(event(&mut instance, name).unwrap().value, Value::Boolean(true), "{name}");
        }
    }
}

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

fn chaos(loaded: &Loaded, seed: u64) -> Vec<(String, u64)> {
    let mut instance = loaded.instance(tenant()).with_seed(seed);
    let mut go = |name: &str, payload: u32| match send(&mut instance, name, &Value::from(payload)) {
        Ok(outcome) => (outcome.value.to_string(), outcome.usage.fuel),
        Err(error) => {
            // its handler was closed, cancelled or left by one of the others
            assert_eq!(error.kind(), ErrorKind::Script, "seed {seed}: {error:?}");
            (error.message().to_owned(), error.usage().fuel)
        }
    };
    let mut seen: Vec<_> = (0..6).map(|_| go("go", 60)).collect();
    // handlers that wait may be cancelled by what is left of the others
    let rest = (0..20).map(|_| go("rest", 0)).find(|(text, _)| text.starts_with('{'));
    assert_eq!(rest.as_ref().map(|(text, _)| text.as_str()), Some("{80, 300}"), "seed {seed}: {seen:?}");
    seen.extend(rest);
    assert_eq!(instance.starts(), 1, "seed {seed}");
    seen
}

fn r2_any_mix_of_tasks_costs_the_same() {
    let limits = Limits { coroutines: 300, timers: 80, log_bytes: 1 << 24, ..limits() };
    let loaded = try_load(limits, CHAOS).unwrap();
    let seeds = if full() { 3000 } else { 100 };
    let (mut ended, mut other) = (0, 0);
    for seed in 0..seeds {
        let first = chaos(&loaded, seed);
        assert_eq!(chaos(&loaded, seed), first, "seed {seed}");
        for (text, _) in first {
            *if text.parse::<f64>().is_ok() { &mut ended } else { &mut other } += 1;
        }
    }
    assert!(ended > seeds && other > seeds, "both ends are seen: {ended}, {other}");
}
