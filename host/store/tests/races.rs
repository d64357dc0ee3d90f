//! Many at once (K1): one winner; and futures that nobody waits for.

use super::*;

#[test]
fn of_eight_that_check_and_set_one_wins_each_round() {
    let store = Arc::new(memory());
    let (me, rounds) = (owner("guild:1"), 100_u64);
    let barrier = Arc::new(std::sync::Barrier::new(8));
    let threads: Vec<_> = (0..8_u8)
        .map(|thread| {
            let (store, me, barrier) = (store.clone(), me.clone(), barrier.clone());
            std::thread::spawn(move || {
                let mut won = 0_u64;
                for _ in 0..rounds {
                    let entry = store.get(&me, &scope("s"), b"k").unwrap();
                    let expected = entry.map_or(Expected::Absent, |entry| Expected::Revision(entry.revision));
                    barrier.wait(); // all have read
                    match store.done(&me, vec![check("s", b"k", expected), set("s", b"k", &[thread])]) {
                        Ok(applied) => {
                            won += 1;
                            // read your writes: nobody else writes before the next round
                            let entry = store.get(&me, &scope("s"), b"k").unwrap().unwrap();
                            assert_eq!((entry.value, Some(entry.revision)), (vec![thread], applied.revisions[1]));
                        }
                        Err(error) => assert_eq!(error, StoreError::Conflict { index: 0 }),
                    }
                    barrier.wait(); // all have written
                }
                won
            })
        })
        .collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>(), rounds);
}

#[test]
fn who_goes_away_leaves_whole_lists_and_an_empty_queue() {
    let store = memory();
    let me = owner("guild:1");
    let big = vec![0; 1 << 20];
    // more than the queue holds: some wait for room, and are dropped there
    for round in 0..30_u8 {
        let list = |i: u8| {
            vec![
                set("s", &[round, i, 0], &big),
                set("s", &[round, i, 1], &big),
                delete("s", &[round, i, 0]),
                delete("s", &[round, i, 1]),
                set("s", &[i, 0], b""),
                set("s", &[i, 1], b""),
            ]
        };
        let quota = Quota::default();
        drop((0..4).map(|i| store.apply(&me, &quota, list(i))).collect::<Vec<_>>());
    }
    store.done(&me, vec![set("s", b"last", b"")]).unwrap();
    let page = store.list(&me, &scope("s"), &all()).unwrap();
    let revisions: Vec<_> =
        page.entries.iter().filter(|(key, _)| key.len() == 2).map(|(_, entry)| entry.revision).collect();
    assert!(
        !revisions.is_empty() && revisions.chunks(2).all(|pair| pair.len() == 2 && pair[0] + 1 == pair[1]),
        "{revisions:?}"
    );
    assert_eq!(store.usage(&me).unwrap().keys, page.entries.len() as u64);
}

/// One owner asks for thousands of changes and gives all of them up; the thread stands still meanwhile. Not many of them are left in
/// the queue, and who asks then doesn't wait for those.
#[test]
fn owners_have_turns() {
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..Settings::default() }).unwrap();
    let (many, one) = (owner("guild:1"), owner("guild:2"));
    let still = gate.shut();
    for number in 0..5_000_u32 {
        drop(store.apply(&many, &Quota::default(), vec![set("s", &number.to_be_bytes(), b"")]));
    }
    let asked = store.apply(&one, &Quota::default(), vec![set("s", b"k", b"v")]);
    drop(still);
    wait(asked).unwrap();
    // at most two groups of 256 were before it
    let revision = store.get(&one, &scope("s"), b"k").unwrap().unwrap().revision;
    assert!(revision <= 520, "{revision}");
    store.done(&many, vec![set("s", b"last", b"")]).unwrap();
    let keys = store.usage(&many).unwrap().keys;
    assert!((500..=1_025).contains(&keys), "{keys} of 5,000 that were given up were done");
}

#[test]
fn a_store_that_is_closed_answers_who_still_waits() {
    let store = memory();
    let me = owner("guild:1");
    let big = vec![0; 1 << 20];
    let lists: Vec<_> = (0..40_u8)
        .map(|i| {
            store.apply(
                &me,
                &Quota::default(),
                vec![set("s", &[i], &big), set("s", &[i, i], &big), set("t", &[i], &big)],
            )
        })
        .collect();
    let erase = store.delete_owner(&me);
    drop(store);
    for list in lists {
        match wait(list) {
            Ok(applied) => assert_eq!(applied.revisions.len(), 3),
            Err(error) => assert!(error.to_string().contains("closed"), "{error}"),
        }
    }
    assert!(wait(erase).unwrap_err().to_string().contains("closed"));
}
