//! Schedules (T2): once for each instant, across restarts too; never early; an owner's own. What kills do is in `crash`.

use super::*;
use crate::modules::cron::due::Missed;

/// 2026-01-01T00:00:00Z.
pub(super) const START: u64 = 1_767_225_600_000;
pub(super) const MINUTE: u64 = 60_000;

pub(super) fn plan(expression: &str, missed: Missed) -> Plan {
    Plan {
        expression: expression.into(),
        zone: "Europe/Berlin".into(),
        event: "tick".into(),
        payload: b"payload".to_vec(),
        missed,
    }
}

pub(super) fn set_schedule(name: &str, plan: &Plan) -> Op {
    Op::SetSchedule { name: name.into(), plan: plan.clone() }
}

fn delete_schedule(name: &str) -> Op {
    Op::DeleteSchedule { name: name.into() }
}

fn settle(event: u64) -> Op {
    Op::Settle { event }
}

/// Name, minutes after the start, missed, attempt.
fn runs(claimed: impl Iterator<Item = Event>) -> Vec<(String, u64, u32, u32)> {
    let told = |event: Event| {
        let run = event.run.unwrap();
        assert_eq!((run.event.as_str(), event.value.as_slice()), ("tick", &b"payload"[..]));
        (String::from_utf8(event.place.key).unwrap(), (run.at - START) / MINUTE, run.missed, event.attempt)
    };
    claimed.map(told).collect()
}

/// What there is to claim, as `runs` tells it; then it is settled.
fn settled_runs(store: &Local, owner: &Owner, limit: usize) -> Vec<(String, u64, u32, u32)> {
    let claimed = wait(store.claim(limit)).unwrap();
    runs(claimed.inspect(|event| assert!(store.done(owner, vec![settle(event.number)]).is_ok())))
}

fn run(name: &str, minute: u64, missed: u32, attempt: u32) -> (String, u64, u32, u32) {
    (name.into(), minute, missed, attempt)
}

#[test]
fn t2_a_run_comes_at_its_time_once_and_then_the_next() {
    let (time, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let every = plan("*/5 * * * *", Missed::Once);
    assert_eq!(store.schedule(&me, "a").unwrap(), None);
    assert_eq!(store.done(&me, vec![set_schedule("a", &every)]).unwrap().revisions, [Some(1)]);
    let scheduled = Scheduled { plan: every, revision: 1, last: START, next: Some(START + 5 * MINUTE) };
    assert_eq!(store.schedule(&me, "a").unwrap().as_ref(), Some(&scheduled));
    assert_eq!(*store.due().borrow(), scheduled.next);
    time.store(START + 5 * MINUTE - 1, Ordering::SeqCst);
    assert_eq!(wait(store.claim(10)).unwrap().len(), 0);
    time.store(START + 5 * MINUTE, Ordering::SeqCst);
    let usage = store.schedules_usage(&me).unwrap();
    let events: Vec<_> = wait(store.claim(10)).unwrap().collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].run, Some(Run { event: "tick".into(), at: START + 5 * MINUTE, missed: 0 }));
    assert_eq!(
        (events[0].attempt, events[0].place.owner.clone(), events[0].place.key.as_slice()),
        (1, me.clone(), &b"a"[..])
    );
    assert_eq!((wait(store.claim(10)).unwrap().len(), *store.due().borrow()), (0, None));
    // neither the run nor its settling is charged for
    let only = |who: &Owner, event| store.done(who, vec![set("s", b"k", b"v"), settle(event)]);
    assert_eq!(only(&owner("guild:2"), events[0].number).unwrap_err(), StoreError::NoEvent { index: 1 });
    only(&me, events[0].number).unwrap();
    assert_eq!(*store.due().borrow(), Some(START + 10 * MINUTE));
    assert_eq!(only(&me, events[0].number).unwrap_err(), StoreError::NoEvent { index: 1 });
    assert_eq!(store.usage(&me).unwrap().keys, 1);
    assert_eq!(store.schedules_usage(&me).unwrap(), usage);
    let after = Scheduled { last: START + 5 * MINUTE, next: Some(START + 10 * MINUTE), ..scheduled };
    assert_eq!(store.schedule(&me, "a").unwrap(), Some(after));
    // a clock that is set back makes no run come again
    time.store(START, Ordering::SeqCst);
    assert_eq!(wait(store.claim(10)).unwrap().len(), 0);
}

#[test]
fn t2_setting_it_again_keeps_what_is_due_unless_it_runs_at_other_times() {
    let (time, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let every = plan("* * * * *", Missed::All);
    store.done(&me, vec![set_schedule("a", &every), set_schedule("b", &every), set_schedule("c", &every)]).unwrap();
    time.store(START + 2 * MINUTE, Ordering::SeqCst);
    // the same; another payload; other times
    let other = Plan { missed: Missed::Once, ..every.clone() };
    let times = Plan { zone: "UTC".into(), ..every.clone() };
    let list = vec![
        set_schedule("a", &every),
        set_schedule("b", &other),
        set_schedule("c", &times),
        set_schedule("c", &times),
    ];
    assert_eq!(store.done(&me, list).unwrap().revisions, [Some(1), Some(4), Some(5), Some(5)]);
    assert_eq!(*store.due().borrow(), Some(START + MINUTE));
    let mut found = settled_runs(&store, &me, 10);
    found.extend(settled_runs(&store, &me, 10));
    found.sort();
    assert_eq!(found, [run("a", 1, 0, 1), run("a", 2, 0, 1), run("b", 2, 1, 1)]);
    // deleted, with what is due; and deleted and set in one list, which is another from now on
    time.store(START + 3 * MINUTE, Ordering::SeqCst);
    store
        .done(&me, vec![delete_schedule("a"), delete_schedule("b"), set_schedule("b", &other), delete_schedule("no")])
        .unwrap();
    assert_eq!(settled_runs(&store, &me, 10), [run("c", 3, 0, 1)]);
    assert_eq!(store.schedule(&me, "a").unwrap(), None);
    assert_eq!(store.schedule(&me, "b").unwrap().unwrap().last, START + 3 * MINUTE);
    store
        .done(&me, vec![set_schedule("a", &every), delete_schedule("a"), delete_schedule("b"), delete_schedule("c")])
        .unwrap();
    assert_eq!((store.schedules_usage(&me).unwrap(), *store.due().borrow()), (Usage::default(), None));
}

#[test]
fn t2_after_a_restart_each_instant_comes_as_the_policy_says() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    let (time, settings) = clock(START);
    let open = || Local::open(folder.path(), &settings).unwrap();
    let store = open();
    let three = [("all", Missed::All), ("once", Missed::Once), ("skip", Missed::Skip)];
    store.done(&me, three.map(|(name, missed)| set_schedule(name, &plan("*/10 * * * *", missed))).to_vec()).unwrap();
    time.store(START + 10 * MINUTE, Ordering::SeqCst);
    let first: Vec<_> = wait(store.claim(10)).unwrap().collect();
    let numbers: Vec<_> = first.iter().map(|event| event.number).collect();
    assert_eq!(first.len(), 3);
    store.done(&me, vec![settle(numbers[0])]).unwrap();
    drop(store);
    // what was not settled comes again, in its next attempt, and what was missed once
    time.store(START + 45 * MINUTE, Ordering::SeqCst);
    let store = open();
    assert_eq!(*store.due().borrow(), Some(0));
    let found: Vec<_> = wait(store.claim(10)).unwrap().collect();
    assert_eq!(
        found[..2].iter().map(|event| (event.number, event.attempt)).collect::<Vec<_>>(),
        [(numbers[1], 2), (numbers[2], 2)]
    );
    assert_eq!(runs(found[2..].iter().cloned()), [run("all", 20, 0, 1)]);
    store.done(&me, found.iter().map(|event| settle(event.number)).collect()).unwrap();
    assert_eq!(settled_runs(&store, &me, 10), [run("once", 40, 2, 1), run("all", 30, 0, 1)]);
    assert_eq!(settled_runs(&store, &me, 10), [run("all", 40, 0, 1)]);
    assert_eq!((wait(store.claim(10)).unwrap().len(), *store.due().borrow()), (0, Some(START + 50 * MINUTE)));
    drop(store);
    assert_eq!(*open().due().borrow(), Some(START + 50 * MINUTE));
}

#[test]
fn t2_what_is_only_passed_over_is_noted_and_does_not_come_up_again() {
    let (time, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    store.done(&me, (0..5).map(|i| set_schedule(&format!("{i}"), &plan("0 * * * *", Missed::Skip))).collect()).unwrap();
    time.store(START + 125 * MINUTE, Ordering::SeqCst);
    // three of five, for each is work
    assert_eq!((wait(store.claim(3)).unwrap().len(), *store.due().borrow()), (0, Some(START + 60 * MINUTE)));
    assert_eq!((wait(store.claim(3)).unwrap().len(), *store.due().borrow()), (0, Some(START + 180 * MINUTE)));
    assert_eq!(store.schedule(&me, "4").unwrap().unwrap().last, START + 120 * MINUTE);
    let commits = store.commits();
    assert_eq!((wait(store.claim(3)).unwrap().len(), store.commits()), (0, commits));
}

#[test]
fn t2_runs_and_keys_come_in_the_order_of_their_time_and_in_parts() {
    let (time, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let ops = vec![
        set_schedule("early", &plan("1 * * * *", Missed::All)),
        set_until("s", b"key", b"", START + 2 * MINUTE),
        set_schedule("late", &plan("3,4,5 * * * *", Missed::All)),
    ];
    store.done(&me, ops).unwrap();
    time.store(START + 10 * MINUTE, Ordering::SeqCst);
    let mut names = Vec::new();
    for _ in 0..4 {
        let claimed = wait(store.claim(2)).unwrap();
        let settled = claimed.inspect(|event| assert!(store.done(&me, vec![settle(event.number)]).is_ok()));
        names.push(settled.map(|event| String::from_utf8(event.place.key).unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(names, [vec!["early", "key"], vec!["late"], vec!["late"], vec!["late"]]);
    // large payloads are not all claimed at once
    let large = Plan { payload: vec![7; 900_000], ..plan("* * * * *", Missed::All) };
    store.done(&me, vec![delete_schedule("early"), delete_schedule("late")]).unwrap();
    let quota = Quota { schedule_bytes: u64::MAX, list_bytes: usize::MAX, ..Quota::default() };
    let set = (0..20).map(|number| set_schedule(&format!("{number}"), &large)).collect();
    wait(store.apply(&me, &quota, set)).unwrap();
    time.store(START + 30 * MINUTE, Ordering::SeqCst);
    let mut parts = Vec::new();
    while store.due().borrow().is_some_and(|due| due <= START + 30 * MINUTE) {
        parts.push(wait(store.claim(64)).unwrap().inspect(|event| assert_eq!(event.value.len(), 900_000)).count());
    }
    assert_eq!((parts.iter().sum::<usize>(), parts.iter().max()), (20, Some(&5)));
}

#[test]
fn t2_a_schedule_has_one_run_at_a_time_and_what_comes_meanwhile_is_missed() {
    let (time, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let three = [("all", Missed::All), ("once", Missed::Once), ("skip", Missed::Skip)];
    store.done(&me, three.map(|(name, missed)| set_schedule(name, &plan("* * * * *", missed))).to_vec()).unwrap();
    time.store(START + MINUTE, Ordering::SeqCst);
    let first: Vec<_> = wait(store.claim(10)).unwrap().collect();
    assert_eq!(first.len(), 3);
    for minute in 2..150 {
        time.store(START + minute * MINUTE, Ordering::SeqCst);
        assert_eq!((wait(store.claim(10)).unwrap().len(), *store.due().borrow()), (0, None));
    }
    // set anew it waits for the run too, and has only what comes from then on
    store.done(&me, vec![set_schedule("once", &plan("*/2 * * * *", Missed::Once))]).unwrap();
    time.store(START + 151 * MINUTE + MINUTE / 2, Ordering::SeqCst);
    assert_eq!(*store.due().borrow(), None);
    store.done(&me, first.iter().map(|event| settle(event.number)).collect()).unwrap();
    let mut found = settled_runs(&store, &me, 10);
    found.sort();
    assert_eq!(found, [run("all", 52, 50, 1), run("once", 150, 0, 1), run("skip", 151, 149, 1)]);
    assert_eq!(settled_runs(&store, &me, 10), [run("all", 53, 0, 1)]);
}

#[test]
fn t2_a_schedule_that_is_deleted_is_charged_until_its_run_is_settled() {
    let (time, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let every = plan("* * * * *", Missed::Once);
    let quota = Quota { schedules: 2, ..Quota::default() };
    let apply = |ops| wait(store.apply(&me, &quota, ops));
    apply(vec![set_schedule("a", &every), set_schedule("b", &every)]).unwrap();
    let full = store.schedules_usage(&me).unwrap();
    time.store(START + MINUTE, Ordering::SeqCst);
    let numbers: Vec<_> = wait(store.claim(10)).unwrap().map(|event| event.number).collect();
    apply(vec![delete_schedule("a")]).unwrap();
    assert_eq!((store.schedules_usage(&me).unwrap(), store.schedule(&me, "a").unwrap()), (full, None));
    let too_many = StoreError::Quota { quantity: Quantity::Schedules, limit: 2, asked: 3 };
    assert_eq!(apply(vec![set_schedule("c", &every)]).unwrap_err(), too_many);
    // in one list: what settles it makes room
    apply(vec![set_schedule("c", &every), settle(numbers[0])]).unwrap();
    assert_eq!(store.schedules_usage(&me).unwrap(), full);
    // deleted and set in one list it goes on waiting for the run, and in the list that settles that it doesn't
    apply(vec![delete_schedule("b"), set_schedule("b", &every)]).unwrap();
    time.store(START + 2 * MINUTE, Ordering::SeqCst);
    assert_eq!(settled_runs(&store, &me, 10), [run("c", 2, 0, 1)]);
    apply(vec![delete_schedule("b"), set_schedule("b", &every), settle(numbers[1])]).unwrap();
    assert_eq!((store.schedules_usage(&me).unwrap(), *store.due().borrow()), (full, Some(START + 3 * MINUTE)));
    time.store(START + 3 * MINUTE, Ordering::SeqCst);
    let numbers: Vec<_> = wait(store.claim(10)).unwrap().map(|event| event.number).collect();
    // deleted, and set anew with a run of its own, which the one before has nothing to do with
    apply(vec![delete_schedule("b"), delete_schedule("c")]).unwrap();
    assert_eq!(apply(vec![set_schedule("b", &every)]).unwrap_err(), too_many);
    store.done(&me, vec![set_schedule("b", &every)]).unwrap();
    time.store(START + 4 * MINUTE, Ordering::SeqCst);
    let again: Vec<_> = wait(store.claim(10)).unwrap().map(|event| event.number).collect();
    apply(numbers.iter().map(|event| settle(*event)).collect()).unwrap();
    assert_eq!((store.schedules_usage(&me).unwrap().keys, *store.due().borrow()), (1, None));
    apply(vec![delete_schedule("b"), settle(again[0])]).unwrap();
    assert_eq!((store.schedules_usage(&me).unwrap(), *store.due().borrow()), (Usage::default(), None));
}

#[test]
fn t2_a_list_of_keys_and_schedules_is_done_whole_or_not() {
    let (_, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let good = plan("* * * * *", Missed::Once);
    store.done(&me, vec![set_schedule("a", &good), set("s", b"k", b"1")]).unwrap();
    let before = (store.schedule(&me, "a").unwrap(), store.schedules_usage(&me).unwrap());
    for place in 0..4 {
        let mut ops = vec![set_schedule("b", &good), delete_schedule("a"), set("s", b"k", b"2")];
        ops.insert(place, check("s", b"never", Expected::Revision(1)));
        assert_eq!(store.done(&me, ops).unwrap_err(), StoreError::Conflict { index: place });
        assert_eq!((store.schedule(&me, "a").unwrap(), store.schedules_usage(&me).unwrap()), before);
        assert_eq!((store.schedule(&me, "b").unwrap(), store.value(&me, "s", b"k")), (None, Some(b"1".to_vec())));
    }
    let refused = |name: &str, plan: &Plan| store.done(&me, vec![set_schedule(name, plan)]).unwrap_err().to_string();
    assert!(refused("", &good).contains("the schedule's name has 1 to 64 bytes, this one has 0"));
    assert!(refused(&"n".repeat(65), &good).contains("this one has 65"));
    assert!(refused("a\nb", &good).contains("control characters"));
    assert!(
        refused("a", &Plan { event: String::new(), ..good.clone() }).contains("the event's name has 1 to 64 bytes")
    );
    assert!(
        refused("a", &Plan { zone: "Mars/Base".into(), ..good.clone() })
            .contains("there is no time zone \"Mars/Base\"")
    );
    assert!(refused("a", &plan("0 0 30 2 *", Missed::All)).contains("never runs"));
    assert!(refused("a", &plan("* 2 25-31 3 +SUN", Missed::All)).contains("never runs in Europe/Berlin"));
    assert!(store.schedule(&me, "").is_err());
    assert_eq!(store.schedule(&me, "a").unwrap(), before.0);
}

#[test]
fn t2_quotas_of_schedules_allow_n_and_refuse_one_more() {
    let store = memory();
    let me = owner("guild:1");
    let plan = plan("* * * * *", Missed::Once);
    let cost = Quota::ENTRY_BYTES + 1 + plan.bytes() as u64;
    let quota = Quota { schedules: 2, schedule_bytes: 2 * cost, keys: 0, bytes: 0, ..Quota::default() };
    let apply = |quota: &Quota, ops| wait(store.apply(&me, quota, ops));
    apply(&quota, vec![set_schedule("a", &plan), set_schedule("b", &plan)]).unwrap();
    let full = Usage { keys: 2, bytes: 2 * cost };
    assert_eq!(store.schedules_usage(&me).unwrap(), full);
    let refused = |quantity, limit, asked| Err(StoreError::Quota { quantity, limit, asked });
    assert_eq!(apply(&quota, vec![set_schedule("c", &plan)]), refused(Quantity::Schedules, 2, 3));
    let longer = Plan { payload: b"payload.".to_vec(), ..plan.clone() };
    assert_eq!(
        apply(&quota, vec![set_schedule("a", &longer)]),
        refused(Quantity::ScheduleBytes, 2 * cost, 2 * cost + 1)
    );
    apply(&quota, vec![set_schedule("c", &plan), delete_schedule("a")]).unwrap();
    // lowered below what is there: what takes no more is allowed
    let none = Quota { schedules: 0, schedule_bytes: 0, ..quota };
    apply(&none, vec![set_schedule("c", &plan)]).unwrap();
    assert_eq!(apply(&none, vec![set_schedule("b", &longer)]), refused(Quantity::ScheduleBytes, 0, 2 * cost + 1));
    let long = Quota { list_bytes: 10, ..Quota::default() };
    assert!(matches!(
        apply(&long, vec![set_schedule("a", &plan)]),
        Err(StoreError::Quota { quantity: Quantity::ListBytes, .. })
    ));
    assert_eq!((store.schedules_usage(&me).unwrap(), store.usage(&me).unwrap()), (full, Usage::default()));
    apply(&none, vec![delete_schedule("b"), delete_schedule("c")]).unwrap();
    assert_eq!(store.schedules_usage(&me).unwrap(), Usage::default());
}

#[test]
fn t2_a_deleted_owner_has_no_schedules_and_no_runs_and_takes_nobody_along() {
    let (time, settings) = clock(START);
    let store = Local::in_memory(&settings).unwrap();
    let (gone, near) = (owner("guild:1"), owner("guild:10"));
    let every = plan("* * * * *", Missed::Once);
    let quota = Quota { schedules: 5_000, ..Quota::default() };
    for part in 0..12 {
        let ops = |who: &Owner| {
            (0..100).map(|i| set_schedule(&format!("{}{part}-{i}", who.as_str()), &every)).collect::<Vec<_>>()
        };
        wait(store.apply(&gone, &quota, ops(&gone))).unwrap();
        if part == 0 {
            wait(store.apply(&near, &quota, ops(&near))).unwrap();
        }
    }
    store.done(&gone, vec![set("s", b"k", b"v")]).unwrap();
    let names: Vec<_> = store.schedules(&near, None).unwrap().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() == 100 && names.is_sorted() && names.iter().all(|name| name.starts_with("guild:100-")));
    assert_eq!(store.schedules(&near, Some(&names[97])).unwrap().len(), 2);
    assert_eq!(store.schedules(&near, Some(&names[99])).unwrap(), []);
    assert_eq!(store.list(&near, &scope("s"), &all()).unwrap(), Page::default());
    time.store(START + MINUTE, Ordering::SeqCst);
    // some of both are claimed and not settled
    let claimed: Vec<Event> = wait(store.claim(1_250)).unwrap().collect();
    let usage = store.schedules_usage(&near).unwrap();
    wait(store.delete_owner(&gone)).unwrap();
    assert_eq!(
        (store.schedules(&gone, None).unwrap(), store.schedules_usage(&gone).unwrap()),
        (vec![], Usage::default())
    );
    assert_eq!((store.usage(&gone).unwrap(), store.schedules_usage(&near).unwrap()), (Usage::default(), usage));
    let rest: Vec<Event> = wait(store.claim(5_000)).unwrap().collect();
    assert!(rest.iter().all(|event| event.place.owner == near));
    for event in claimed.iter().chain(&rest) {
        let settled = store.done(&event.place.owner, vec![settle(event.number)]).is_ok();
        assert_eq!(settled, event.place.owner == near);
    }
    assert_eq!(*store.due().borrow(), Some(START + 2 * MINUTE));
}
