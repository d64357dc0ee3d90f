//! The guest's world, entry by entry: what a host sees that answers calls later, has several events under way, and
//! cancels some. The trials in `tests/all` see an event as a whole.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod bulk;
mod chaos;
mod trace;

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock};

use super::*;
use crate::guest::exports::motu::guest::vm::Guest as VmExports;
use crate::guest::motu::guest::host::Called;
use crate::guest::motu::guest::types::Refusal;
use crate::log::LogLine;
use crate::{Bundle, CallContext, HostModule, Motu};

/// What the host functions of a test do: they are pending, or answer at once what stands here.
#[derive(Default)]
pub(super) struct Scripted {
    on: bool,
    ready: Vec<Answer>,
    calls: Vec<(u32, String, Value)>,
    pub(super) abandoned: Vec<u32>,
}

impl Scripted {
    pub(super) fn answer(&mut self, wait: u32, function: u32, arguments: &[u8]) -> Option<Called> {
        if !self.on {
            return None;
        }
        let name = ["first", "second"][function as usize].to_owned();
        self.calls.push((wait, name, Value::decode(arguments).unwrap()));
        Some(self.ready.pop().map_or(Called::Pending, Called::Ready))
    }
}

struct World {
    vm: Vm,
    lines: Arc<Mutex<Vec<String>>>,
}

/// What a step came to, in short: the events that ended, with their results as shown or their failures' messages.
fn ended(step: &Step) -> Vec<(u64, String)> {
    let text = |outcome: &Result<Vec<u8>, Failure>| match outcome {
        Ok(bytes) => Value::decode(bytes).unwrap().to_string(),
        Err(failure) => format!("{:?}: {}", failure.kind, String::from_utf8_lossy(&failure.message)),
    };
    step.ended.iter().map(|ended| (ended.event, text(&ended.outcome))).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn motu() -> &'static Motu {
    static MOTU: OnceLock<Motu> = OnceLock::new();
    MOTU.get_or_init(|| {
        let wit = "package acme:fns; interface fns { first: func(); second: func(); }";
        let done = |_: CallContext, (): ()| async { Ok::<(), Error>(()) };
        let fns = HostModule::from_wit(wit).unwrap().function("first", done).function("second", done);
        Motu::builder().compile_cache(CompileCache::Off).only_host_module(fns).build().unwrap()
    })
}

impl World {
    fn new(source: &str) -> World {
        World::with(source, |_| ())
    }

    fn with(source: &str, change: impl FnOnce(&mut Limits)) -> World {
        World::seeded(source, 1, change)
    }

    fn seeded(source: &str, seed: u64, change: impl FnOnce(&mut Limits)) -> World {
        World::of(&Bundle::from_files([("init.luau", source)]).unwrap(), seed, change)
    }

    fn of(bundle: &Bundle, seed: u64, change: impl FnOnce(&mut Limits)) -> World {
        let motu = motu();
        let loaded = block_on(motu.load(bundle)).unwrap();
        let mut limits = Limits { event_deadline: None, ..Limits::default() };
        change(&mut limits);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let sink = LogSink(Arc::new(move |line: &LogLine| kept.lock().unwrap().push(line.text.clone())));
        let inner = &loaded.bundled;
        let (factory, limits) = (&motu.shared().factory, Arc::new(limits));
        let mut vm = factory.start(&inner.image, &limits, seed, sink, None, Gauge::default()).unwrap();
        vm.store.data_mut().scripted.on = true;
        World { vm, lines }
    }

    fn enter<T>(&mut self, call: impl AsyncFnOnce(&VmExports, &mut Store<State>) -> wasmtime::Result<T>) -> T {
        let state = self.vm.store.data_mut();
        state.log.set_left(state.limits.log_bytes);
        let owner = Owner { event: 0, name: "test".into(), origin: None, log_left: AtomicU32::default() };
        state.owner = Some(Arc::new(owner));
        self.vm.store.set_fuel(1_000_000_000).unwrap();
        let bindings = self.vm.bindings.clone();
        block_on(call(bindings.motu_guest_vm(), &mut self.vm.store)).unwrap()
    }

    fn start(&mut self, event: u64, name: &str) -> Step {
        let payload = Value::from(i32::try_from(event).unwrap()).encode().unwrap();
        self.enter(async |exports, store| exports.call_start(store, event, name.as_bytes(), &payload).await)
    }

    /// For a handler that goes on.
    fn begin(&mut self, event: u64, name: &str) {
        assert_eq!(ended(&self.start(event, name)), []);
    }

    fn resume(&mut self, wait: u32, answer: &Answer) -> Step {
        self.enter(async |exports, store| exports.call_resume(store, wait, answer).await)
    }

    fn answer(&mut self, wait: u32, value: impl Into<Value>) -> Step {
        self.resume(wait, &Answer::Value(value.into().encode().unwrap()))
    }

    fn run_deferred(&mut self) -> Step {
        self.enter(async |exports, store| exports.call_run_deferred(store).await)
    }

    fn cancel(&mut self, event: u64) {
        self.enter(async |exports, store| exports.call_cancel(store, event).await);
    }

    fn state(&mut self) -> &mut State {
        self.vm.store.data_mut()
    }

    /// The wait of the last call.
    fn last_wait(&mut self) -> u32 {
        self.state().scripted.calls.last().unwrap().0
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

const CALLS: &str = r#"
    local fns = require("@acme/fns")
    return {
        twice = function(n)
            local a = fns.first(n, nil, { deep = { n } }, nil)
            local b = fns.second(a)
            return { a, b }
        end,
        caught = function()
            local ok, e = pcall(fns.first)
            local again, e2 = xpcall(function() fns.second() return 1 end, function(e) return { "handled", e } end)
            return { ok, e, again, e2 }
        end,
        task = function()
            task.spawn(function() fns.first() end)
            return "done"
        end,
        kept = function() kept = { fns.first() } return kept end,
    }
"#;

fn refused(kind: FailureKind, value: impl Into<Value>) -> Answer {
    let value = value.into();
    let is_message = matches!(value, Value::String(_));
    Answer::Refused(Refusal { kind, value: value.encode().unwrap(), is_message })
}

#[test]
fn pending_calls_are_answered_later() {
    let mut world = World::new(CALLS);
    world.begin(7, "twice");
    let (first, name, arguments) = world.state().scripted.calls[0].clone();
    assert_eq!((name.as_str(), arguments.to_string().as_str()), ("first", "{7, nil, {deep = {7}}, nil}"));
    assert_eq!(ended(&world.answer(first, "one")), []);
    let (second, name, arguments) = world.state().scripted.calls[1].clone();
    assert_eq!((name.as_str(), arguments.to_string().as_str()), ("second", r#"{"one"}"#));
    assert!(first != 0 && second != 0 && first != second);
    // an answer that nobody waits for any more is none
    assert_eq!(ended(&world.answer(first, "late")), []);
    assert_eq!(ended(&world.answer(second, "two")), [(7, r#"{"one", "two"}"#.to_owned())]);
}

#[test]
fn calls_that_are_ready_do_not_wait() {
    let mut world = World::new(CALLS);
    let value = |text: &str| Answer::Value(Value::string(text).encode().unwrap());
    world.state().scripted.ready = vec![value("two"), value("one")];
    assert_eq!(ended(&world.start(1, "twice")), [(1, r#"{"one", "two"}"#.to_owned())]);
}

#[test]
fn refusals_are_thrown_where_the_call_stands() {
    let mut world = World::new(CALLS);
    // uncaught: the failure has the refusal's kind, with its place and traceback
    for (kind, name) in [(FailureKind::Denied, "Denied"), (FailureKind::Host, "Host"), (FailureKind::Limit, "Limit")] {
        for ready in [false, true] {
            let answer = refused(kind, "no");
            let step = if ready {
                world.state().scripted.ready = vec![answer];
                world.start(1, "twice")
            } else {
                world.begin(1, "twice");
                let wait = world.last_wait();
                world.resume(wait, &answer)
            };
            assert_eq!(ended(&step), [(1, format!("FailureKind::{name}: init.luau:5: no"))], "ready: {ready}");
            let Err(failure) = &step.ended[0].outcome else { panic!("it failed") };
            let traceback = String::from_utf8_lossy(&failure.traceback);
            assert!(traceback.starts_with("[C] first\ninit.luau:5 function twice"), "{traceback}");
        }
    }
    // a value that is no string is thrown as it is
    world.begin(2, "twice");
    let wait = world.last_wait();
    let step = world.resume(wait, &refused(FailureKind::Host, Value::from([("message", Value::string("what"))])));
    assert_eq!(ended(&step), [(2, "FailureKind::Host: init.luau:5: fns.first: what".to_owned())]);
    // caught, also by a handler of errors
    world.begin(3, "caught");
    let wait = world.last_wait();
    assert_eq!(ended(&world.resume(wait, &refused(FailureKind::Denied, "one"))), []);
    let wait = world.last_wait();
    let step = world.resume(wait, &refused(FailureKind::Denied, "two"));
    let expected = r#"{false, "init.luau:10: one", false, {"handled", "init.luau:11: two"}}"#;
    assert_eq!(ended(&step), [(3, expected.to_owned())]);
    // in a task, it goes to the log
    assert_eq!(ended(&world.start(4, "task")), [(4, "\"done\"".to_owned())]);
    let wait = world.last_wait();
    assert_eq!(ended(&world.resume(wait, &refused(FailureKind::Host, "three"))), []);
    assert_eq!(world.log(), ["init.luau:15: three\n[C] first\ninit.luau:15"]);
}

#[test]
fn answers_that_cannot_be_read_are_errors() {
    let mut world = World::new(CALLS);
    for bytes in [vec![], vec![0xc1], vec![0xdd, 0xff, 0xff, 0xff, 0xff], vec![0x01, 0x01]] {
        world.begin(1, "twice");
        let wait = world.last_wait();
        let step = world.resume(wait, &Answer::Value(bytes));
        let (_, text) = &ended(&step)[0];
        assert!(text.starts_with("FailureKind::Script: init.luau:5: the host's answer can't be decoded: "), "{text}");
    }
}

#[test]
fn events_interleave() {
    let mut world = World::new(CALLS);
    let mut waits = Vec::new();
    for event in 1..=50 {
        world.begin(event, "twice");
        waits.push(world.last_wait());
    }
    // the second calls, from the last event to the first
    for wait in waits.iter().rev() {
        world.answer(*wait, "a");
    }
    let calls: Vec<u32> = world.state().scripted.calls.iter().skip(50).map(|call| call.0).collect();
    for (n, wait) in calls.iter().enumerate() {
        let event = 50 - n as u64;
        assert_eq!(ended(&world.answer(*wait, "b")), [(event, r#"{"a", "b"}"#.to_owned())]);
    }
}

#[test]
fn one_entry_may_end_many_events() {
    let mut world = World::new(
        "local waiting = {}\n\
         return {\n\
           wait = function(n) waiting[n] = coroutine.running() local how = coroutine.yield() if how == 'fail' then error(how, 0) end return n end,\n\
           all = function() coroutine.resume(waiting[1]) task.spawn(waiting[2], 'fail') task.defer(waiting[3])\n\
             task.cancel(waiting[4]) coroutine.close(waiting[5]) return 'all' end }",
    );
    for event in 1..=5 {
        world.begin(event, "wait");
    }
    let step = world.start(9, "all");
    let closed = |how: &str| format!("FailureKind::Script: init.luau:5: the handler's coroutine was {how}");
    let expected = [
        (1, "1".to_owned()),
        (2, "FailureKind::Script: fail".to_owned()),
        (4, closed("cancelled by task.cancel")),
        (5, closed("closed by coroutine.close")),
        (9, "\"all\"".to_owned()),
    ];
    assert_eq!(ended(&step), expected);
    assert!(step.deferred);
    let step = world.run_deferred();
    assert_eq!(ended(&step), [(3, "3".to_owned())]);
    assert!(!step.deferred);
    assert_eq!(world.log(), [""; 0], "what ends an event isn't logged too");
}

#[test]
fn many_large_results_at_once_come_in_parts() {
    let mut world = World::new(
        "local waiting = {}\n\
         return {\n\
           wait = function(n) table.insert(waiting, coroutine.running()) coroutine.yield() return string.rep('x', 900_000) end,\n\
           fail = function(n) table.insert(waiting, coroutine.running()) coroutine.yield() error(string.rep('x', 20_000)) end,\n\
           all = function() for _, thread in waiting do task.spawn(thread) end return 'all' end }",
    );
    for event in 1..=3 {
        world.begin(event, "wait");
    }
    for event in 4..=300 {
        world.begin(event, "fail");
    }
    let (mut step, mut events, mut steps) = (world.start(1000, "all"), Vec::new(), 1);
    loop {
        events.extend(step.ended.iter().map(|ended| ended.event));
        if !step.deferred {
            break;
        }
        assert!(!step.ended.is_empty());
        step = world.run_deferred();
        steps += 1;
    }
    assert_eq!(events, (1..=300).chain([1000]).collect::<Vec<_>>());
    assert!((5..30).contains(&steps), "{steps}");
}

#[test]
fn t22_many_events_that_end_at_once_come_in_parts() {
    let mut world = World::new(
        "local waiting = {}\n\
         return {\n\
           wait = function(n) table.insert(waiting, coroutine.running()) coroutine.yield() return n end,\n\
           all = function() for _, thread in waiting do task.spawn(thread) end waiting = {} return 'all' end }",
    );
    for (first, count, parts) in [(1, 127, 1), (1_000, 128, 2), (2_000, 1_279, 10), (4_000, 1_280, 11)] {
        for event in first..first + count {
            world.begin(event, "wait");
        }
        let (mut step, mut events, mut steps) = (world.start(999, "all"), Vec::new(), 1);
        loop {
            assert!(step.ended.len() <= 128, "{}", step.ended.len());
            events.extend(step.ended.iter().map(|ended| ended.event));
            if !step.deferred {
                break;
            }
            step = world.run_deferred();
            steps += 1;
        }
        assert_eq!(events, (first..first + count).chain([999]).collect::<Vec<_>>());
        assert_eq!(steps, parts, "{count} and one");
    }
}

#[test]
fn cancelled_events_never_run_again() {
    let mut world = World::new(
        "local fns = require('@acme/fns')\n\
         return {\n\
           call = function() pcall(fns.first) print('ran') end,\n\
           wait = function() pcall(task.wait, 60) print('ran') end,\n\
           yields = function() kept = coroutine.running() task.defer(kept) task.delay(1, kept) coroutine.yield() print('ran') end,\n\
           status = function() return { coroutine.status(kept), (coroutine.resume(kept)) } end }",
    );
    world.begin(1, "call");
    world.begin(2, "wait");
    let step = world.start(3, "yields");
    assert!(ended(&step).is_empty() && step.deferred);
    let call = world.last_wait();
    assert_eq!(world.state().waits.len(), 2);
    for event in [1, 2, 3, 3, 4] {
        world.cancel(event);
    }
    assert!(world.state().waits.is_empty());
    assert!(world.state().scripted.abandoned.contains(&call));
    assert_eq!(world.state().scripted.abandoned.len(), 3);
    assert_eq!(ended(&world.answer(call, "late")), []);
    assert_eq!(ended(&world.run_deferred()), []);
    assert_eq!(ended(&world.start(5, "status")), [(5, r#"{"dead", false}"#.to_owned())]);
    assert_eq!(world.log(), [""; 0]);
}

#[test]
fn calls_in_flight_are_limited() {
    let mut world = World::with(CALLS, |limits| limits.calls_in_flight = 3);
    for event in 1..=3 {
        world.begin(event, "twice");
    }
    let refused = "FailureKind::Limit: init.luau:5: over the limit calls_in_flight of 3".to_owned();
    assert_eq!(ended(&world.start(4, "twice")), [(4, refused.clone())]);
    assert_eq!(world.state().scripted.calls.len(), 3, "the host was told nothing");
    // one that is answered, and one that is cancelled, make room
    let wait = world.state().scripted.calls[0].0;
    world.resume(wait, &super::tests::refused(FailureKind::Host, "no"));
    world.cancel(2);
    world.begin(5, "twice");
    world.begin(6, "twice");
    assert_eq!(ended(&world.start(7, "twice")), [(7, refused)]);
}

#[test]
fn waits_are_not_known_before_they_are_given() {
    let mut world = World::new(CALLS);
    for wait in [0, 1, 2, u32::MAX] {
        for answer in [Answer::Elapsed, refused(FailureKind::Host, "x"), Answer::Value(vec![0xc0])] {
            let step = world.resume(wait, &answer);
            assert!(step.ended.is_empty() && !step.deferred);
        }
    }
}

#[test]
fn the_same_entries_cost_the_same() {
    let cost = || {
        let mut world = World::new(CALLS);
        let mut costs = Vec::new();
        for event in 1..=20 {
            world.begin(event, "twice");
            let wait = world.last_wait();
            world.answer(wait, "a");
            costs.push(world.vm.store.get_fuel().unwrap());
        }
        world.cancel(3);
        costs.push(world.vm.store.get_fuel().unwrap());
        costs
    };
    assert_eq!(cost(), cost());
}
