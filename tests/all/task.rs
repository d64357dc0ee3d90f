//! Tasks as a whole: what an event leaves behind, what a deadline finds, and that any mix of them costs the same, leaks
//! nothing and breaks nothing. The corpus under `tests/scripts/task` has each function by itself.

use std::time::{Duration, Instant};

use motu::{ErrorKind, Limits, Value};

use crate::support::{event, full, instance, instance_with, limits};

trials![
    tasks_live_on_after_their_event,
    a_deadline_finds_a_handler_that_waits,
    a_cancelled_event_leaves_the_others,
    memory_stays_when_events_wait,
    a_thread_that_a_script_has_is_not_used_again,
];

fn tasks_live_on_after_their_event() {
    let source = "seen = {}\nreturn {\n\
        leave = function() task.delay(0, table.insert, seen, 'delayed') task.spawn(function() task.wait() table.insert(seen, 'waited') end) return 'left' end,\n\
        look = function() task.wait(0.002) return seen end }";
    let instance = instance(source);
    assert_eq!(event(&instance, "leave").unwrap().value, Value::string("left"));
    assert_eq!(event(&instance, "look").unwrap().value, Value::from_iter(["delayed", "waited"]));
    assert_eq!(instance.starts(), 1);
}

fn a_deadline_finds_a_handler_that_waits() {
    let deadline = Duration::from_millis(50);
    let limits = Limits { event_deadline: Some(deadline), event_fuel: None, ..limits() };
    let source =
        "return { go = function() pcall(task.wait, 3600) return 'caught' end, on = function() return 'on' end }";
    let instance = instance_with(limits, source);
    let since = Instant::now();
    let error = event(&instance, "go").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert!(since.elapsed() >= deadline && since.elapsed() < Duration::from_secs(60));
    assert_eq!(event(&instance, "on").unwrap().value, Value::string("on"));
}

fn a_cancelled_event_leaves_the_others() {
    // the event that nobody resumes ends at its deadline; what it had spawned goes on
    let source = "seen = {}\nreturn {\n\
        lost = function() kept = coroutine.running() task.spawn(function() coroutine.yield() end)\n\
          other = task.spawn(function() table.insert(seen, coroutine.yield()) end) pcall(coroutine.yield) table.insert(seen, 'no') end,\n\
        look = function() task.spawn(other, 'yes') return { seen[1], coroutine.status(kept), #seen } end }";
    let instance = instance_with(Limits { event_deadline: Some(Duration::from_millis(50)), ..limits() }, source);
    let error = event(&instance, "lost").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    let expected = Value::from_iter([Value::string("yes"), Value::string("dead"), Value::from(1)]);
    assert_eq!(event(&instance, "look").unwrap().value, expected);
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
        let instance = instance_with(limits.clone(), source);
        let after = |events: usize| {
            (0..events)
                .map(|_| event(&instance, name).map_or_else(|error| error.usage(), |outcome| outcome.usage))
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
    let instance = instance(source);
    for _ in 0..5 {
        for name in ["before", "plain", "after", "at_once", "plain", "plain", "before"] {
            assert_eq!(event(&instance, name).unwrap().value, Value::Boolean(true), "{name}");
        }
    }
}
