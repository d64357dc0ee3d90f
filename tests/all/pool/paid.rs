//! Invariant M8: time is paid by whoever takes it. Shares, rates, deadlines, budgets and memory that a script got round once (t05, t12
//! to t17, t21 of the list of faults).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use motu::{
    Bundle, ErrorKind, Grants, HostModule, Limits, Metering, MockClock, MockMeter, Motu, MotuBuilder, TenantRef,
};
use tokio::sync::Semaphore;

use super::{deployed, on_both, workers};
use crate::support::{builder, bundle, limits, run, until};

trials![
    t05_turns_are_shared_by_time,
    t05_equal_tenants_get_equal_time_whatever_they_do,
    t05_a_slice_ends_by_its_time_between_two_calls,
    t05_a_panic_is_paid_too,
    t12_log_bytes_are_one_budget_for_an_event_and_what_it_leaves,
    t12_empty_lines_count,
    t13_a_rate_is_the_tenants_whatever_limits_its_instances_have,
    t14_a_share_is_not_changed_by_whoever_opens_an_instance_last,
    t15_answers_that_wait_are_the_instances_memory,
    t17_a_load_runs_at_the_share_of_whoever_waits_for_it,
    t21_a_mailbox_knows_the_memory_of_an_event_that_goes_on,
    t22_many_events_that_are_lost_at_once_hold_nobody_up,
    t22_a_pause_holds_for_an_instance_that_opens_meanwhile,
    t22_one_of_a_thousand_instances_costs_as_much_as_one_of_two,
    a_deadline_that_has_passed_is_never_answered_ok,
];

fn unlimited() -> Limits {
    Limits { event_fuel: None, event_deadline: None, restarts: None, ..limits() }
}

fn granted(tenant: TenantRef) -> TenantRef {
    tenant.set_grants(Some(Grants::parse(["*"]).unwrap()));
    tenant
}

/// A function that takes 25 us of its worker each time, by a clock of the test's; it counts its calls.
fn with_hog(builder: MotuBuilder, meter: &MockMeter, calls: &Arc<AtomicUsize>) -> MotuBuilder {
    let (meter_of, calls) = (meter.clone(), calls.clone());
    let hog = HostModule::from_wit("package test:hog; interface hog { take: func(); }").unwrap().function(
        "take",
        move |_, (): ()| {
            meter_of.advance(Duration::from_micros(25));
            calls.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, motu::Error>(()) }
        },
    );
    builder.host_module(hog).metering(Metering::Mock(meter.clone()))
}

const HOG: &str = "local hog = require('@test/hog')\nreturn { go = function() while true do hog.take() end end }";
const SPIN: &str = "return { go = function() while true do end end, quick = function() return 1 end }";

/// Beside a spinner, whose slice is a million units, a tenant whose calls take 25 us each for 10,000 units: by fuel alone it had
/// 100 of them in its turn, 2.5 ms to the spinner's 0.1. Each turn ends after 100 us now, and counts for its time.
fn t05_turns_are_shared_by_time() {
    let (meter, calls) = (MockMeter::new(), Arc::new(AtomicUsize::new(0)));
    let motu = with_hog(builder(unlimited()).placement(workers(1)), &meter, &calls).build().unwrap();
    let spinner = deployed(&motu, "t05:spinner", SPIN);
    let hog = granted(deployed(&motu, "t05:hog", HOG));
    spinner.post("go", &()).unwrap();
    hog.post("go", &()).unwrap();
    until("both run", || spinner.fuel() > 0 && calls.load(Ordering::Relaxed) > 0);
    let before = (spinner.fuel(), calls.load(Ordering::Relaxed));
    until("the hog has called 4,000 times", || calls.load(Ordering::Relaxed) - before.1 >= 4_000);
    let called = calls.load(Ordering::Relaxed) - before.1; // first: both go on
    let fuel = spinner.fuel() - before.0;
    // 4 calls a turn; for each turn of 100 us the spinner has about one of a million units, by the pace of the machine. By fuel
    // alone it were one for 100 calls
    let slices = fuel / Limits::SLICE_FUEL;
    assert!(slices as usize >= called / 8, "{slices} slices of the spinner's for {called} calls of 25 us");
    // but for the turn that was under way
    assert!(hog.time() >= Duration::from_micros(25 * (called as u64 - 8)), "{:?}", hog.time());
    spinner.kill();
    hog.kill();
}

/// Each beside a spinner on one worker, while both always have work: what each has had of the processor, by the threads' own time.
/// The bounds are wide, since it is a busy machine; `motu load` measures the 15 percent.
fn t05_equal_tenants_get_equal_time_whatever_they_do() {
    let others = [
        ("wait(0)", "while true do task.wait(0) end"),
        ("clock", "while true do os.clock() end"),
        ("errors", "while true do pcall(error, 'x') end"),
        (
            "deep throws",
            "local function deep(n) if n == 0 then error('x') end return (pcall(string.gsub, 'a', 'a', function() deep(n - 1) end)) end
             while true do pcall(deep, 60) end",
        ),
        ("delay and cancel", "while true do task.cancel(task.delay(9, print)) task.wait() end"),
        ("failing calls", "local time = require('@motu/time') while true do pcall(time.format, 0, 'x', 'Nowhere/Nothing') end"),
        ("denied calls", "local kv = require('@motu/kv') while true do pcall(kv.get, 's', 'k') end"),
        ("fills", "local b = buffer.create(6e6) while true do buffer.fill(b, 0, 1) end"),
        ("memory made and lost", "local t = {} while true do table.insert(t, buffer.create(1e6)) if #t > 20 then t = {} end end"),
    ];
    for (what, body) in others {
        let motu = builder(unlimited()).placement(workers(1)).build().unwrap();
        let spinner = deployed(&motu, "t05:spinner", SPIN);
        let other = deployed(&motu, "t05:other", &format!("return {{ go = function() {body} end }}"));
        other.set_grants(Some(Grants::parse(["motu:time/*"]).unwrap()));
        spinner.post("go", &()).unwrap();
        other.post("go", &()).unwrap();
        until("both run", || spinner.fuel() > 0 && other.fuel() > 0);
        let before = (spinner.time(), other.time());
        let since = || (spinner.time() - before.0, other.time() - before.1);
        until("some time was taken", || since().0 + since().1 > Duration::from_millis(300));
        let (own, others) = since();
        let part = own.as_secs_f64() / (own + others).as_secs_f64();
        assert!((0.35..0.65).contains(&part), "beside {what}: the spinner had {own:?}, the other {others:?}");
        spinner.kill();
        other.kill();
    }
}

/// A neighbour's events run between the calls of one that takes long, four calls at most before each.
fn t05_a_slice_ends_by_its_time_between_two_calls() {
    let (meter, calls) = (MockMeter::new(), Arc::new(AtomicUsize::new(0)));
    let motu = with_hog(builder(unlimited()).placement(workers(1)), &meter, &calls).build().unwrap();
    let hog = granted(deployed(&motu, "t05:hog", HOG));
    let neighbour = deployed(&motu, "t05:neighbour", SPIN);
    hog.post("go", &()).unwrap();
    until("it calls", || calls.load(Ordering::Relaxed) > 0);
    run(neighbour.dispatch::<u32>("quick", &())).unwrap();
    for _ in 0..50 {
        run(neighbour.dispatch::<u32>("quick", &())).unwrap();
    }
    let called = calls.load(Ordering::Relaxed); // first: it goes on
    let turns = hog.time().as_micros() as usize / 100;
    assert!(called <= 4 * (turns + 2), "{called} calls in {turns} turns of 100 us");
    hog.kill();
}

/// A job whose turn panics has had the worker too.
fn t05_a_panic_is_paid_too() {
    let meter = MockMeter::new();
    let of = meter.clone();
    let builder = builder(unlimited()).placement(workers(1)).metering(Metering::Mock(meter.clone()));
    let motu = builder
        .failpoint(move |stage| {
            if stage == motu::Stage::Started {
                of.advance(Duration::from_millis(7));
                panic!("as the test wants it");
            }
        })
        .build()
        .unwrap();
    let tenant = deployed(&motu, "t05:panics", SPIN);
    let before = tenant.time();
    let answer = run(tenant.dispatch::<u32>("quick", &())).unwrap().remove(0).result.map(drop);
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::InstanceLost);
    assert!(tenant.time() - before >= Duration::from_millis(7), "{:?}", tenant.time());
}

/// What one task that an event left behind prints, at each of its resumptions, is on the event's budget.
fn t12_log_bytes_are_one_budget_for_an_event_and_what_it_leaves() {
    let logged = Arc::new(Mutex::new(0));
    let sum = logged.clone();
    let motu = builder(Limits { restarts: None, ..limits() })
        .on_log(move |line| *sum.lock().unwrap() += line.text.len())
        .build()
        .unwrap();
    let source = "return { go = function(bytes)
        print(string.rep('e', 1000))
        task.spawn(function() while true do task.wait(0) print(string.rep('x', bytes)) end end)
        return 'left' end }";
    for bytes in [60_000, 600] {
        let tenant = deployed(&motu, &format!("t12:{bytes}"), source);
        *logged.lock().unwrap() = 0;
        let answer = run(tenant.dispatch::<String>("go", &bytes)).unwrap().remove(0).result.unwrap();
        assert_eq!(answer.value, "left");
        until("the task is ended by its budget", || !tenant.status()["main"].live);
        let logged = *logged.lock().unwrap();
        let lines = ((64 << 10) - 1001) / (bytes + 1); // of the budget, which the first line is of too
        assert_eq!(logged, 1000 + lines * bytes, "in lines of {bytes}");
        assert_eq!(tenant.status()["main"].starts, 1);
    }
}

/// A line's end counts: 100 bytes are 100 empty lines, in one entry or in many.
fn t12_empty_lines_count() {
    let lines = Arc::new(AtomicUsize::new(0));
    let counted = lines.clone();
    let motu = builder(Limits { log_bytes: 100, restarts: None, ..limits() })
        .on_log(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let source =
        "return { go = function(e) for i = 1, e.n do print() if e.wait then task.wait(0) end end return 'done' end }";
    let tenant = deployed(&motu, "t12:empty", source);
    for wait in [false, true] {
        for (n, ok) in [(100, true), (101, false)] {
            lines.store(0, Ordering::Relaxed);
            let payload = serde_json::json!({ "n": n, "wait": wait });
            let answer = run(tenant.dispatch::<String>("go", &payload)).unwrap().remove(0).result;
            assert_eq!(lines.load(Ordering::Relaxed), 100);
            match answer {
                Ok(_) => assert!(ok),
                Err(error) => {
                    assert!(!ok, "{error}");
                    assert_eq!(error.kind(), ErrorKind::Limit);
                    assert!(error.message().contains("log_bytes"), "{error}");
                }
            }
        }
    }
}

/// Three instances of a tenant under rates of 20, 19 and 18 a second had 57 calls at once.
fn t13_a_rate_is_the_tenants_whatever_limits_its_instances_have() {
    let clock = MockClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_577_880_000));
    let wit = "package test:rate; interface rate { hit: func(); }";
    let module = HostModule::from_wit(wit).unwrap().function("hit", |_, (): ()| async { Ok::<_, motu::Error>(()) });
    let motu = builder(limits()).host_module(module).clock(clock.clone()).build().unwrap();
    let source = "local rate = require('@test/rate')
        return { go = function(n) local ok = 0 for i = 1, n do if pcall(rate.hit) then ok += 1 end end return ok end }";
    let loaded = run(motu.load(&Bundle::from_files([("init.luau", source)]).unwrap())).unwrap();
    let instances: Vec<_> = [20, 19, 18]
        .iter()
        .map(|rate| {
            let calls_per_second = [("test:rate".to_owned(), *rate)].into_iter().collect();
            let instance = loaded.instance("t13:1".parse().unwrap()).with_grants(Grants::parse(["*"]).unwrap());
            instance.with_limits(Limits { calls_per_second, ..limits() }).unwrap()
        })
        .collect();
    let all = |each: u32| -> u32 {
        instances.iter().map(|instance| run(instance.dispatch::<u32>("go", &each)).unwrap().value).sum()
    };
    let at_once = all(7);
    assert!((18..=20).contains(&at_once), "{at_once} calls at once");
    assert_eq!(all(20), 0);
    clock.advance(Duration::from_secs(1));
    let again = all(20);
    assert!((18..=20).contains(&again), "{again} calls a second later");
    assert_eq!(all(20), 0);
}

/// A second instance, under a low `fuel_per_second`, held the first one to it: 5 ms of work took 39 s.
fn t14_a_share_is_not_changed_by_whoever_opens_an_instance_last() {
    on_both(&Limits { event_deadline: Some(Duration::from_secs(20)), ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let source =
            "return { go = function() for i = 1, 4e6 do end return 'done' end, quick = function() return 1 end }";
        let loaded = run(motu.load(&Bundle::from_files([("init.luau", source)]).unwrap())).unwrap();
        let first = loaded.instance("t14:1".parse().unwrap());
        run(first.dispatch::<u32>("quick", &())).unwrap();
        let slow = Limits { fuel_per_second: Some(1_000_000), weight: 1, ..limits() };
        let second = loaded.instance("t14:1".parse().unwrap()).with_limits(slow).unwrap();
        run(second.dispatch::<u32>("quick", &())).unwrap();
        let outcome = run(first.dispatch::<String>("go", &())).unwrap();
        assert!(
            outcome.usage.fuel > 30_000_000,
            "more than its 20 s would allow at the other's rate: {:?}",
            outcome.usage
        );
    });
}

/// Calls that answer while their instance is paused: what they answer is its memory.
fn t15_answers_that_wait_are_the_instances_memory() {
    const ANSWER: usize = 1 << 20;
    let (go, answered) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (waits, counts) = (go.clone(), answered.clone());
    let wit = "package test:slow; interface slow { get: func() -> string; }";
    let slow = HostModule::from_wit(wit).unwrap().function("get", move |_, (): ()| {
        let (go, answered) = (waits.clone(), counts.clone());
        async move {
            go.acquire().await.unwrap().forget();
            answered.fetch_add(1, Ordering::AcqRel);
            Ok::<_, motu::Error>("x".repeat(ANSWER - 64))
        }
    });
    let motu = builder(Limits { restarts: None, memory_bytes: 32 << 20, ..limits() })
        .host_module(slow)
        .placement(workers(1))
        .build()
        .unwrap();
    let source = "local slow = require('@test/slow')
        return { go = function(n) for i = 1, n do task.spawn(function() slow.get() end) end task.wait(60) return 1 end,
                 quick = function() return 1 end }";
    let tenant = granted(deployed(&motu, "t15:1", source));
    let status = || tenant.status().remove("main").unwrap();
    run(tenant.dispatch::<u32>("quick", &())).unwrap();
    let pending = tenant.clone();
    let event = std::thread::spawn(move || run(pending.dispatch::<u32>("go", &50)).unwrap().remove(0).result.map(drop));
    until("it waits", || status().started == 1 && status().waiting == 0);
    std::thread::sleep(Duration::from_millis(50));
    tenant.pause();
    std::thread::sleep(Duration::from_millis(20));
    let before = status().memory_bytes;
    go.add_permits(10);
    std::thread::sleep(Duration::from_millis(300));
    until("ten answers are held", || status().memory_bytes >= before + 9 * ANSWER as u64);
    assert!(status().live);
    go.add_permits(40);
    until("it is ended by what is held for it", || !status().live);
    let error = event.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
    assert!(error.message().contains("an answer of") && error.message().contains("33554432"), "{error}");
    until("nothing is held any more", || status().memory_bytes == 0);
    tenant.resume();
    run(tenant.dispatch::<u32>("quick", &())).unwrap().remove(0).result.unwrap();
}

/// A bundle whose loading a tenant began that is kept from running, and that another deploys too.
fn t17_a_load_runs_at_the_share_of_whoever_waits_for_it() {
    let limits = Limits { load_fuel: None, event_fuel: None, event_deadline: None, restarts: None, ..limits() };
    let motu = builder(limits.clone()).metering(Metering::Fuel).placement(workers(1)).build().unwrap();
    let busy = deployed(&motu, "t17:busy", SPIN);
    let source = "local n = 0 for i = 1, 2e7 do n += i end return { go = function() return n end }";
    let long = bundle(&[("init.luau", source)]);
    // so far ahead of the others that it isn't its turn for a long time
    busy.set_limits(Some(Limits { weight: 1, ..limits.clone() })).unwrap();
    busy.post("go", &()).unwrap();
    until("it spins", || busy.fuel() > 0);
    let rest = motu.tenant(&"t17:rest".parse().unwrap());
    rest.set_limits(Some(Limits { weight: 1000, ..limits.clone() })).unwrap();
    let (first, second) = (busy.clone(), long.clone());
    let deploying = std::thread::spawn(move || run(first.deploy("more", &second)));
    std::thread::sleep(Duration::from_millis(5));
    assert!(!deploying.is_finished(), "the load is over already");
    let before = busy.fuel();
    run(rest.deploy("main", &long)).unwrap();
    let spun = busy.fuel() - before;
    // the load is some 300 slices: at a weight of 1,000 it has nearly all of the worker; in the turns of the first alone, as many
    // slices of the spinner's were between them
    assert!(spun < 100 * Limits::SLICE_FUEL, "{spun} were burnt by the other meanwhile");
    deploying.join().unwrap().unwrap();
    busy.kill();
}

/// An event that has made 40 MB and goes on: the mailbox takes what is left of 64.
fn t21_a_mailbox_knows_the_memory_of_an_event_that_goes_on() {
    on_both(&Limits { memory_bytes: 64 << 20, restarts: None, ..limits() }, |builder| {
        let motu = builder.build().unwrap();
        let source = "return { make = function() kept = buffer.create(40e6) buffer.fill(kept, 0, 1) task.wait(600) end, big = function() end }";
        let tenant = deployed(&motu, "t21:1", source);
        tenant.post("make", &()).unwrap();
        until("it has made it", || tenant.status()["main"].memory_bytes > 40_000_000);
        tenant.pause();
        let payload = "x".repeat((1 << 20) - 16);
        let took = (0..100).take_while(|_| tenant.post("big", &payload).unwrap().remove(0).result.is_ok()).count();
        assert!((20..=25).contains(&took), "{took} MiB were taken beside 40 MB, under 64 MiB");
        tenant.kill();
        tenant.resume();
    });
}

/// 20,000 events that wait, and are lost with their instance: each ends once, and a neighbour is answered meanwhile. So do those that
/// a drain refuses.
fn t22_many_events_that_are_lost_at_once_hold_nobody_up() {
    let many = Limits { mailbox_events: 20_000, memory_bytes: 256 << 20, restarts: None, ..limits() };
    let motu = builder(many).placement(workers(1)).build().unwrap();
    let tenant = deployed(&motu, "t22:many", "return { go = function() task.wait(600) end }");
    let neighbour = deployed(&motu, "t22:neighbour", SPIN);
    run(neighbour.dispatch::<u32>("quick", &1)).unwrap().remove(0).result.unwrap();
    let events: u64 = 19_000;
    for _ in 0..events {
        tenant.post("go", &()).unwrap().remove(0).result.unwrap();
    }
    until("all wait", || tenant.status()["main"].waiting == 0);
    let failed = motu.stats().failed;
    tenant.kill();
    let mut answered = 0;
    until("all have ended", || {
        run(neighbour.dispatch::<u32>("quick", &1)).unwrap().remove(0).result.unwrap();
        let ended = motu.stats().failed - failed;
        answered += u64::from((1..events).contains(&ended));
        ended == events
    });
    assert!(answered >= 3, "a neighbour had {answered} answers while they ended");
    assert_eq!(tenant.status()["main"].started, 0);
    // and those that were never started
    tenant.pause();
    for _ in 0..events {
        tenant.post("go", &()).unwrap().remove(0).result.unwrap();
    }
    run(motu.drain(Duration::ZERO));
    until("all have ended", || motu.stats().failed == failed + 2 * events);
}

/// Events are dispatched while the tenant is paused: none runs, whichever came first.
fn t22_a_pause_holds_for_an_instance_that_opens_meanwhile() {
    let motu = builder(limits()).build().unwrap();
    for round in 0..200 {
        let tenant = deployed(&motu, &format!("t22:{round}"), SPIN);
        let posting = tenant.clone();
        let post = std::thread::spawn(move || drop(posting.post("quick", &()).unwrap()));
        tenant.pause();
        post.join().unwrap();
        tenant.post("quick", &()).unwrap();
        // what was taken before the pause may run; what comes after it doesn't
        until("it waits", || tenant.status()["main"].waiting >= 1);
        tenant.resume();
        until("it runs", || tenant.status()["main"].waiting == 0 && tenant.status()["main"].started == 0);
        motu.forget(&tenant.id().clone());
    }
}

/// A tenant with many instances that all want to run stands in the queue once.
fn t22_one_of_a_thousand_instances_costs_as_much_as_one_of_two() {
    let motu =
        builder(Limits { restarts: None, ..limits() }).metering(Metering::Fuel).placement(workers(1)).build().unwrap();
    let many = deployed(&motu, "t22:many", "return { go = function() for i = 1, 2e4 do end end }");
    let source = bundle(&[("init.luau", "return { go = function() for i = 1, 2e4 do end end }")]);
    for n in 0..300 {
        run(many.deploy(&format!("more-{n}"), &source)).unwrap();
    }
    let one = deployed(&motu, "t22:one", "return { quick = function() return 1 end }");
    for _ in 0..20 {
        many.post("go", &()).unwrap();
    }
    let before = many.fuel();
    for _ in 0..100 {
        run(one.dispatch::<u32>("quick", &())).unwrap().remove(0).result.unwrap();
    }
    let slices = (many.fuel() - before) / Limits::SLICE_FUEL;
    assert!(slices < 1_000, "{slices} slices of the many for 100 events of the one");
    until("all have run", || many.status().values().all(|status| status.waiting == 0 && status.started == 0));
}

/// The deadline passes within one slice, while a host function holds the worker: the answer that comes after it is none.
fn a_deadline_that_has_passed_is_never_answered_ok() {
    let wit = "package test:slow; interface slow { block: func(); }";
    let slow = HostModule::from_wit(wit).unwrap().function("block", |_, (): ()| async {
        std::thread::sleep(Duration::from_millis(120));
        Ok::<_, motu::Error>(())
    });
    let builder = builder(Limits { event_deadline: Some(Duration::from_millis(100)), ..limits() });
    let motu: Motu = builder.host_module(slow).build().unwrap();
    let source = "local slow = require('@test/slow') return { go = function() slow.block() return 'late' end }";
    let tenant = granted(deployed(&motu, "deadline:1", source));
    let answer = run(tenant.dispatch::<String>("go", &())).unwrap().remove(0).result;
    assert_eq!(answer.map(|outcome| outcome.value).unwrap_err().kind(), ErrorKind::Deadline);
}
