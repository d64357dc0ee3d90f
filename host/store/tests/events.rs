//! Expiry and its events (K3), without a crash; with one they are in `crash`.

use super::*;

fn numbers(claimed: Claimed) -> Vec<(u64, u32)> {
    claimed.map(|event| (event.number, event.attempt)).collect()
}

#[test]
fn an_entry_is_gone_at_its_time_and_its_event_comes_once() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    assert_eq!(*store.due().borrow(), None);
    let at = store.done(&me, vec![set_until("s", b"k", b"v", 2_000), set_until("s", b"later", b"", 3_000)]).unwrap();
    assert_eq!(*store.due().borrow(), Some(2_000));
    time.store(1_999, Ordering::SeqCst);
    assert!(store.value(&me, "s", b"k").is_some());
    assert_eq!(wait(store.claim(10)).unwrap().len(), 0);
    time.store(2_000, Ordering::SeqCst);
    assert_eq!(store.value(&me, "s", b"k"), None);
    assert_eq!(store.list(&me, &scope("s"), &all()).unwrap().entries.len(), 1);
    let usage = store.usage(&me).unwrap();
    let events: Vec<_> = wait(store.claim(10)).unwrap().collect();
    let place = Place { owner: me.clone(), scope: scope("s"), key: b"k".to_vec() };
    let number = at.revisions[0].unwrap();
    assert_eq!(events, [Event { number, place, value: b"v".to_vec(), attempt: 1, run: None }]);
    assert_eq!(store.event(number).unwrap().as_ref(), events.first());
    assert_eq!(store.event(number + 1).unwrap(), None);
    assert_eq!((wait(store.claim(10)).unwrap().len(), *store.due().borrow()), (0, Some(3_000)));
    // it is charged until it is settled, which goes once, and only by its owner
    assert_eq!(store.usage(&me).unwrap(), usage);
    let settle = || vec![set("s", b"seen", b""), Op::Settle { event: events[0].number }];
    assert_eq!(store.done(&owner("guild:2"), settle()).unwrap_err(), StoreError::NoEvent { index: 1 });
    store.done(&me, settle()).unwrap();
    assert_eq!(store.event(number).unwrap(), None);
    assert_eq!(store.usage(&me).unwrap().keys, 2);
    assert_eq!(store.done(&me, settle()).unwrap_err(), StoreError::NoEvent { index: 1 });
    let twice = vec![Op::Settle { event: 2 }, Op::Settle { event: 2 }];
    time.store(3_000, Ordering::SeqCst);
    assert_eq!(numbers(wait(store.claim(10)).unwrap()), [(2, 1)]);
    assert_eq!(store.done(&me, twice).unwrap_err(), StoreError::NoEvent { index: 1 });
    assert_eq!(store.done(&owner("guild:2"), vec![]).unwrap().revisions, []);
}

#[test]
fn what_is_written_over_after_its_time_has_its_event_and_before_it_none() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let ops =
        vec![set_until("s", b"a", b"old", 2_000), set_until("s", b"b", b"", 2_000), set_until("s", b"c", b"", 2_000)];
    store.done(&me, ops).unwrap();
    store.done(&me, vec![set("s", b"b", b"new"), delete("s", b"c")]).unwrap();
    time.store(2_000, Ordering::SeqCst);
    let again = vec![check("s", b"a", Expected::Absent), delete("s", b"a"), set_until("s", b"a", b"new", 9_000)];
    store.done(&me, again).unwrap();
    assert_eq!((store.usage(&me).unwrap().keys, *store.due().borrow()), (3, Some(0)));
    let events: Vec<_> =
        wait(store.claim(10)).unwrap().map(|event| (event.number, event.value, event.attempt)).collect();
    assert_eq!(events, [(1, b"old".to_vec(), 1)]);
    assert_eq!(store.value(&me, "s", b"a").as_deref(), Some(&b"new"[..]));
    assert_eq!(*store.due().borrow(), Some(9_000));
}

#[test]
fn a_list_may_set_over_what_expired_and_take_it_away_again() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    store.done(&me, vec![set_until("s", b"a", b"old", 2_000)]).unwrap();
    time.store(2_000, Ordering::SeqCst);
    store.done(&me, vec![set("s", b"a", b"new"), delete("s", b"a"), check("s", b"a", Expected::Absent)]).unwrap();
    assert_eq!(numbers(wait(store.claim(10)).unwrap()), [(1, 1)]);
    store.done(&me, vec![Op::Settle { event: 1 }]).unwrap();
    assert_eq!((store.usage(&me).unwrap(), *store.due().borrow()), (Usage::default(), None));
}

#[test]
fn events_that_nobody_took_are_handed_out_again_in_the_same_attempt() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    store.done(&me, (0..5_u8).map(|i| set_until("s", &[i], b"", 2_000)).collect()).unwrap();
    time.store(2_000, Ordering::SeqCst);
    let mut some = wait(store.claim(4)).unwrap();
    assert_eq!(some.next().map(|event| event.number), Some(1));
    drop(some);
    drop(store.claim(10)); // done, but nobody waits
    assert_eq!(*store.due().borrow(), Some(0));
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(numbers(wait(store.claim(2)).unwrap()));
    }
    seen.sort_unstable();
    assert_eq!(seen, [(2, 1), (3, 1), (4, 1), (5, 1)]);
    assert_eq!((wait(store.claim(10)).unwrap().len(), *store.due().borrow()), (0, None));
}

#[test]
fn the_next_process_is_given_what_was_not_settled_and_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    let (time, settings) = clock(1_000);
    let open = || Local::open(folder.path(), &settings).unwrap();
    let store = open();
    store.done(&me, (0..4_u8).map(|i| set_until("s", &[i], b"v", 2_000)).collect()).unwrap();
    time.store(2_000, Ordering::SeqCst);
    assert_eq!(numbers(wait(store.claim(3)).unwrap()), [(1, 1), (2, 1), (3, 1)]);
    store.done(&me, vec![Op::Settle { event: 2 }]).unwrap();
    drop(store);
    let store = open();
    assert_eq!(*store.due().borrow(), Some(0));
    // not before it is claimed by this process
    assert_eq!(store.done(&me, vec![Op::Settle { event: 1 }]).unwrap_err(), StoreError::NoEvent { index: 0 });
    assert_eq!(numbers(wait(store.claim(10)).unwrap()), [(1, 2), (3, 2), (4, 1)]);
    drop(store);
    let store = open();
    assert_eq!(numbers(wait(store.claim(10)).unwrap()), [(1, 3), (3, 3), (4, 2)]);
    store.done(&me, [1, 3, 4].map(|event| Op::Settle { event }).to_vec()).unwrap();
    assert_eq!(store.usage(&me).unwrap(), Usage::default());
    drop(store);
    assert_eq!(*open().due().borrow(), None);
}
