//! Lists, their refusals, quotas (K1, K6).

use super::*;

#[test]
fn what_cannot_be_is_refused_by_name() {
    let store = memory();
    let me = owner("guild:1");
    for (key, says) in [(vec![], "must not be empty"), (vec![b'k'; 1025], "at most 1024 bytes, this one has 1025")] {
        let refused = store.done(&me, vec![set("s", &key, b"v")]).unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
        assert!(store.get(&me, &scope("s"), &key).unwrap_err().to_string().contains(says));
    }
    assert!(store.done(&me, vec![set("s", &[b'k'; 1024], b"v")]).is_ok());
    assert!(Scope::new("").is_err() && Scope::new(&"s".repeat(65)).is_err() && Scope::new("a\nb").is_err());
    assert!(Scope::new(&"s".repeat(64)).is_ok());
    assert!(Owner::new("").is_err() && Owner::new(&"o".repeat(301)).is_err() && Owner::new(&"o".repeat(300)).is_ok());
}

#[test]
fn a_list_that_fails_at_any_place_leaves_nothing() {
    let store = memory();
    let me = owner("guild:1");
    store.done(&me, vec![set("s", b"a", b"1"), set("s", b"b", b"1")]).unwrap();
    let (before, usage) = (store.list(&me, &scope("s"), &all()).unwrap(), store.usage(&me).unwrap());
    for place in 0..5 {
        let mut ops = vec![set("s", b"a", b"2"), delete("s", b"b"), set("s", b"c", b"3"), set("t", b"a", b"4")];
        ops.insert(place, check("s", b"never", Expected::Revision(1)));
        assert_eq!(store.done(&me, ops).unwrap_err(), StoreError::Conflict { index: place });
        assert_eq!(store.list(&me, &scope("s"), &all()).unwrap(), before);
        assert_eq!((store.usage(&me).unwrap(), store.value(&me, "t", b"a")), (usage, None));
    }
}

#[test]
fn operations_see_those_before_them() {
    let store = memory();
    let me = owner("guild:1");
    let ops = vec![
        check("s", b"k", Expected::Absent),
        set("s", b"k", b"1"),
        check("s", b"k", Expected::Value(b"1".to_vec())),
        set("s", b"k", b"2"),
        check("s", b"k", Expected::Value(b"2".to_vec())),
        delete("s", b"k"),
        check("s", b"k", Expected::Absent),
        set("s", b"k", b"3"),
    ];
    let applied = store.done(&me, ops).unwrap();
    assert_eq!(applied.revisions, [None, Some(1), None, Some(2), None, None, None, Some(3)]);
    let entry = store.get(&me, &scope("s"), b"k").unwrap().unwrap();
    assert_eq!((entry.value.as_slice(), entry.revision), (&b"3"[..], 3));
    for expected in [Expected::Absent, Expected::Value(b"2".to_vec()), Expected::Revision(2)] {
        let refused = store.done(&me, vec![delete("s", b"k"), set("s", b"k", b"4"), check("s", b"k", expected)]);
        assert_eq!(refused.unwrap_err(), StoreError::Conflict { index: 2 });
    }
    let ok = vec![check("s", b"k", Expected::Revision(3)), check("s", b"k", Expected::Value(b"3".to_vec()))];
    assert_eq!(store.done(&me, ok).unwrap().revisions, [None, None]);
    // a revision is never used again, though the entry is gone
    store.done(&me, vec![delete("s", b"k")]).unwrap();
    assert_eq!(store.done(&me, vec![set("s", b"k", b"3")]).unwrap().revisions, [Some(4)]);
}

#[test]
fn quotas_allow_n_and_refuse_one_more() {
    let store = memory();
    let me = owner("guild:1");
    let cost = Quota::ENTRY_BYTES + 1 + 2 + 10; // scope, key, value
    let quota = Quota {
        keys: 3,
        bytes: 3 * cost,
        value_bytes: 10,
        key_bytes: 2,
        list_ops: 4,
        list_bytes: 48,
        ..Quota::default()
    };
    let apply = |ops: Vec<Op>| wait(store.apply(&me, &quota, ops));
    let refused = |quantity, limit, asked| Err(StoreError::Quota { quantity, limit, asked });
    let three = || vec![set("s", b"k1", &[0; 10]), set("s", b"k2", &[0; 10]), set("s", b"k3", &[0; 10])];
    apply(three()).unwrap();
    assert_eq!(store.usage(&me).unwrap(), Usage { keys: 3, bytes: 3 * cost });
    apply(three()).unwrap(); // the same room again
    assert_eq!(apply(vec![set("s", b"k4", b"")]), refused(Quantity::Keys, 3, 4));
    assert_eq!(apply(vec![set("s", b"k1", &[0; 11])]), refused(Quantity::ValueBytes, 10, 11));
    assert_eq!(apply(vec![set("s", b"k11", b"")]), refused(Quantity::KeyBytes, 2, 3));
    assert_eq!(apply([three(), vec![delete("s", b"k1"); 2]].concat()), refused(Quantity::ListOps, 4, 5));
    assert_eq!(apply([three(), vec![set("s", b"k1", &[0; 11][..10])]].concat()).unwrap().revisions.len(), 4);
    let long = Quota { list_bytes: 47, ..quota.clone() };
    let list = [three(), vec![set("s", b"k1", &[0; 10])]].concat();
    assert_eq!(wait(store.apply(&me, &long, list)), refused(Quantity::ListBytes, 47, 48));
    // what is freed in a list may be used in it, before or after
    apply(vec![set("s", b"k4", &[0; 10]), delete("s", b"k1")]).unwrap();
    apply(vec![delete("s", b"k2"), delete("s", b"no")]).unwrap();
    assert_eq!(store.usage(&me).unwrap(), Usage { keys: 2, bytes: 2 * cost });
    let tight = Quota { bytes: 3 * cost - 1, ..quota.clone() };
    assert_eq!(
        wait(store.apply(&me, &tight, vec![set("s", b"k2", &[0; 10])])),
        refused(Quantity::Bytes, 3 * cost - 1, 3 * cost)
    );
    // lowered below what is there: less is allowed, more is not
    let none = Quota { keys: 0, bytes: 0, ..quota.clone() };
    wait(store.apply(&me, &none, vec![set("s", b"k3", &[0; 9])])).unwrap();
    assert_eq!(wait(store.apply(&me, &none, vec![set("s", b"k3", &[0; 10])])), refused(Quantity::Bytes, 0, 2 * cost));
    wait(store.apply(&me, &none, vec![delete("s", b"k3"), delete("s", b"k4")])).unwrap();
    assert_eq!(store.usage(&me).unwrap(), Usage::default());
    // another's quota is its own
    wait(store.apply(&owner("guild:2"), &quota, three())).unwrap();
}

#[test]
fn pages_end_where_they_say_and_go_on_from_there() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let keys: Vec<Vec<u8>> = (0..90_u8).map(|i| [b"k", &[i, 0xff][..]].concat()).collect();
    store.done(&me, keys.iter().map(|key| set("s", key, b"value")).collect()).unwrap();
    store.done(&me, vec![set("s", b"j", b"before"), set("s", b"l", b"after"), set("t", b"k", b"elsewhere")]).unwrap();
    for (entries_max, bytes_max) in [(1, usize::MAX), (7, usize::MAX), (1_000, 1), (1_000, 20), (90, 10_000)] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = Query { prefix: b"k", after: after.as_deref(), values: true, entries_max, bytes_max };
            let page = store.list(&me, &scope("s"), &query).unwrap();
            assert!(page.entries.len() <= entries_max && (page.entries.len() <= 1 || bytes_max > 1));
            seen.extend(page.entries.into_iter().map(|(key, _)| key));
            match page.more_after {
                Some(key) => after = Some(key),
                None => break,
            }
        }
        assert_eq!(seen, keys);
    }
    let keys_only = Query { values: false, ..all() };
    assert!(store.list(&me, &scope("s"), &keys_only).unwrap().entries.iter().all(|(_, entry)| entry.value.is_empty()));
    // from before the prefix, and from after it
    let from = |after| Query { prefix: b"k", after: Some(after), ..all() };
    assert_eq!(store.list(&me, &scope("s"), &from(b"a")).unwrap().entries.len(), 90);
    assert_eq!(store.list(&me, &scope("s"), &from(b"z")).unwrap(), Page::default());
    // many that have expired are passed over in pieces, not in one go
    for part in 0..13_u16 {
        let key = |i: u16| [b"x".as_slice(), &(part * 100 + i).to_be_bytes()].concat();
        store.done(&me, (0..100).map(|i| set_until("s", &key(i), b"", 2_000)).collect()).unwrap();
    }
    time.store(2_000, Ordering::SeqCst);
    let query = Query { prefix: b"x", ..all() };
    let first = store.list(&me, &scope("s"), &query).unwrap();
    assert!(first.entries.is_empty());
    let second = store.list(&me, &scope("s"), &Query { after: first.more_after.as_deref(), ..query }).unwrap();
    assert_eq!((first.more_after.is_some(), first.passed), (true, 1_000));
    assert_eq!(second, Page { passed: 300, ..Page::default() });
}

#[test]
fn resumes_are_listed_in_pages_with_what_was_set_last() {
    let store = memory();
    let resumed = |key: &[u8], resume| Op::Set {
        scope: scope("jobs"),
        key: key.to_vec(),
        value: key.to_vec(),
        expires: None,
        resume,
    };
    for id in 0..5 {
        let ops = vec![resumed(b"a", true), resumed(b"b", false), resumed(b"c", true), resumed(b"d", true)];
        store.done(&owner(&format!("user:{id}")), ops).unwrap();
    }
    store.done(&owner("user:3"), vec![resumed(b"a", false), delete("jobs", b"c"), resumed(b"b", true)]).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.resumes(after.as_ref(), 3).unwrap();
        assert!(page.entries.iter().all(|(place, entry)| entry.resume && entry.value == place.key));
        seen.extend(page.entries.into_iter().map(|(place, _)| (place.owner.as_str().to_owned(), place.key)));
        after = page.more_after;
        if after.is_none() {
            break;
        }
    }
    let keys = |id: u8| if id == 3 { vec!["b", "d"] } else { vec!["a", "c", "d"] };
    let expected: Vec<_> = (0..5)
        .flat_map(|id| keys(id).into_iter().map(move |key| (format!("user:{id}"), key.as_bytes().to_vec())))
        .collect();
    assert_eq!(seen, expected);
}

/// A hundred keys of 1,000 bytes held the writer for 11 ms and more.
#[test]
fn m8_the_keys_of_a_list_are_bounded() {
    let store = memory();
    let me = owner("guild:1");
    let list = |count: usize, bytes: usize| -> Vec<Op> {
        let key = |i: usize| format!("{i:0>bytes$}").into_bytes();
        (0..count)
            .map(|i| Op::Set { scope: scope("s"), key: key(i), value: vec![1], expires: Some(9 << 40), resume: true })
            .collect()
    };
    for (count, bytes) in [(66, 16), (66, 240), (16, 1_023)] {
        assert!(store.done(&me, list(count, bytes)).is_ok(), "{count} of {bytes}");
    }
    let refused = |asked| StoreError::Quota { quantity: Quantity::ListKeyBytes, limit: 16 << 10, asked };
    assert_eq!(store.done(&me, list(66, 248)).unwrap_err(), refused(66 * 249));
    assert_eq!(store.done(&me, list(16, 1_024)).unwrap_err(), refused(16 * 1_025));
    let checks = vec![check("scope", &[b'k'; 1_000], Expected::Absent); 17];
    assert_eq!(store.done(&me, checks).unwrap_err(), refused(17 * 1_005));
    let deletes = vec![delete("s", &[b'k'; 1_000]); 17];
    let error = store.done(&me, deletes).unwrap_err();
    assert_eq!(error, refused(17 * 1_001));
    assert!(
        error.to_string().contains("bytes of keys, each with its scope, in a list of operations is 16384"),
        "{error}"
    );
    // and a step of deleting them has as few
    let commits = store.commits();
    wait(store.delete_owner(&me)).unwrap();
    let rows = 66 * 16 + 66 * 240 + 16 * 1_023;
    assert!(store.commits() - commits >= rows / (10 << 10), "{}", store.commits() - commits);
    assert_eq!(store.usage(&me).unwrap(), Usage::default());
}

/// 100 values of 2,100 bytes with `ttl` and `resume` held the writer for 8 ms and more: they are 500 rows.
#[test]
fn m8_the_rows_of_a_list_are_bounded() {
    let store = memory();
    let me = owner("guild:1");
    let list = |count: usize, bytes: usize, expires, resume| -> Vec<Op> {
        let set = |i: usize| Op::Set {
            scope: scope("s"),
            key: i.to_be_bytes().to_vec(),
            value: vec![1; bytes],
            expires,
            resume,
        };
        (0..count).map(set).collect()
    };
    let later = Some(9 << 40);
    for (count, bytes, expires, resume, rows) in [
        (100, row::INLINE_BYTES_MAX, None, false, 100),
        (100, 1, later, false, 200),
        (100, 1, None, true, 200),
        (66, 1, later, true, 198),
        (67, 1, later, true, 201),
        (100, 1, later, true, 300),
        (66, row::INLINE_BYTES_MAX + 1, None, false, 198),
        (67, row::INLINE_BYTES_MAX + 1, None, false, 201),
        (40, row::INLINE_BYTES_MAX + 1, later, true, 200),
        (100, 2_100, later, true, 500),
    ] {
        let done = store.done(&me, list(count, bytes, expires, resume));
        let refused = StoreError::Quota { quantity: Quantity::ListRows, limit: 200, asked: rows };
        assert_eq!(done.err(), (rows > 200).then_some(refused), "{rows}");
    }
    // checks write none
    let mut checked: Vec<_> = (100..134).map(|i: usize| check("s", &i.to_be_bytes(), Expected::Absent)).collect();
    checked.extend(list(66, 1, later, true));
    assert!(store.done(&me, checked).is_ok());
    let keys = |count: usize| (0..count).map(usize::to_be_bytes);
    assert!(store.done(&me, keys(100).map(|key| delete("s", &key)).collect()).is_ok());
    let mut mixed: Vec<Op> = keys(99).map(|key| delete("s", &key)).collect();
    mixed.extend(list(1, 2_100, later, false));
    let error = store.done(&me, mixed).unwrap_err().to_string();
    assert!(error.contains("rows that a list writes (a set is one;") && error.contains("202"), "{error}");
}

#[test]
fn a_deleted_owner_leaves_nothing_and_takes_nobody_along() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let (gone, near) = (owner("guild:1"), owner("guild:10"));
    for part in 0..25 {
        let ops =
            |name: &'static str| (0..100).map(move |i| set(name, format!("{part}-{i}").as_bytes(), b"v")).collect();
        store.done(&gone, ops("s")).unwrap();
        store.done(&near, ops("s")).unwrap();
    }
    for who in [&gone, &near] {
        store.done(who, vec![set_until("t", b"due", b"v", 1_500), set_until("t", b"late", b"v", 9_000)]).unwrap();
    }
    time.store(2_000, Ordering::SeqCst);
    assert_eq!(wait(store.claim(10)).unwrap().len(), 2); // dropped, so given back
    wait(store.delete_owner(&gone)).unwrap();
    assert_eq!(store.usage(&gone).unwrap(), Usage::default());
    assert_eq!(store.list(&gone, &scope("s"), &all()).unwrap(), Page::default());
    assert_eq!(store.usage(&near).unwrap().keys, 2_502);
    time.store(10_000, Ordering::SeqCst);
    let events: Vec<_> = wait(store.claim(10)).unwrap().collect();
    let settled = |event: &Event| store.done(&event.place.owner, vec![Op::Settle { event: event.number }]);
    for event in &events {
        assert_eq!(settled(event).is_ok(), event.place.owner == near, "{event:?}");
    }
    assert_eq!(store.usage(&near).unwrap().keys, 2_500);
}
