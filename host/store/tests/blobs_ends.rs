//! Blobs (K5): what expires, what is deleted, what readers see meanwhile, who waits for whom.

use super::super::blobs::{self, *};
use super::super::group::{Job, Queue, Task};
use super::super::local::Room;
use super::blobs::{append, bytes, done, every, put, put_until, remove, rename, used};
use super::*;

#[test]
fn k5_an_expired_blob_is_gone_at_once_and_freed_later() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let size = 3 * CHUNK_BYTES;
    for of in 0..20 {
        done(store.changed(&me, put_until(&format!("a{of}"), &bytes(of, size), 2_000)));
    }
    done(store.changed(&me, put_until("b", b"later", 3_000)));
    assert_eq!(*store.due().borrow(), Some(2_000));
    time.store(1_999, Ordering::SeqCst);
    assert_eq!(store.content(&me, "a7").unwrap().len(), size);
    done(store.changed(&me, append("a7", b"x", size)));
    time.store(2_000, Ordering::SeqCst);
    assert_eq!(store.content(&me, "a7"), None);
    assert_eq!(store.blobs(&me, &scope("s"), &every()).unwrap().blobs.len(), 1);
    assert_eq!((store.blob_usage(&me).unwrap().blobs, store.chunks()), (21, 62));
    assert_eq!(store.changed(&me, append("a7", b"x", size + 1)).unwrap(), Changed::Absent);
    // whoever changes anything discharges all of them, and frees a little
    assert_eq!(store.blob_usage(&me).unwrap(), used(1, 7 + BlobQuota::BLOB_BYTES));
    assert!(store.chunks() > 50 && *store.due().borrow() == Some(0));
    store.swept();
    assert_eq!((store.chunks(), *store.due().borrow()), (1, Some(3_000)));
    // no event came of any
    time.store(9_000, Ordering::SeqCst);
    assert_eq!(wait(store.claim(10)).unwrap().len(), 0);
    assert_eq!((store.chunks(), store.blob_usage(&me).unwrap()), (0, used(0, 0)));
    assert_eq!(*store.due().borrow(), None);
    // one that is put too late is there for nobody
    done(store.changed(&me, put_until("c", b"late", 9_000)));
    assert_eq!(store.content(&me, "c"), None);
}

#[test]
fn k5_a_deleted_owner_leaves_no_byte_and_takes_nobody_along() {
    let store = memory();
    let (gone, near, far) = (owner("guild:1"), owner("guild:10"), owner("guild:0"));
    for who in [&gone, &near, &far] {
        for i in 0..30 {
            done(store.changed(who, put(&format!("small{i}"), b"x")));
        }
        for part in 0..6 {
            done(store.changed(who, put_until(&format!("big{part}"), &bytes(part, 4 << 20), u64::MAX)));
        }
        done(store.changed(who, remove("big0"))); // it is trash now
    }
    store.done(&gone, vec![set("s", b"k", b"v")]).unwrap();
    wait(store.delete_owner(&gone)).unwrap();
    assert_eq!((store.blob_usage(&gone).unwrap(), store.usage(&gone).unwrap()), (used(0, 0), Usage::default()));
    assert_eq!(store.blobs(&gone, &scope("s"), &every()).unwrap(), Stats::default());
    store.swept();
    let each = 30 + 5 * (4_u64 << 20).div_ceil(CHUNK_BYTES as u64);
    assert_eq!(store.chunks(), 2 * each);
    for who in [&near, &far] {
        assert_eq!(
            (store.content(who, "big5"), store.content(who, "small7")),
            (Some(bytes(5, 4 << 20)), Some(b"x".into()))
        );
    }
    done(store.changed(&gone, put("again", b"x")));
    assert_eq!(store.content(&gone, "again").unwrap(), b"x");
}

#[test]
fn k5_what_an_owner_is_given_while_it_is_deleted_is_whole_or_gone() {
    let store = Arc::new(memory());
    let me = owner("guild:1");
    for part in 0..10 {
        done(store.changed(&me, put(&format!("big{part}"), &bytes(part, 4 << 20))));
    }
    let writer = {
        let (store, me) = (store.clone(), me.clone());
        std::thread::spawn(move || {
            for i in 0..60 {
                done(store.changed(&me, put(&format!("new{i}"), &bytes(i, 2 * CHUNK_BYTES))));
            }
        })
    };
    wait(store.delete_owner(&me)).unwrap();
    writer.join().unwrap();
    let left = store.blobs(&me, &scope("s"), &every()).unwrap().blobs;
    for (name, _) in &left {
        let of = str::from_utf8(name).unwrap();
        let seed = of.strip_prefix("new").expect("old ones are gone").parse().unwrap();
        assert_eq!(store.content(&me, of).unwrap(), bytes(seed, 2 * CHUNK_BYTES));
    }
    assert_eq!(store.blob_usage(&me).unwrap().blobs, left.len() as u64);
    store.swept();
    assert_eq!(store.chunks(), 2 * left.len() as u64);
}

#[test]
fn k5_readers_see_the_old_blob_or_the_new_one_whole() {
    let store = Arc::new(memory());
    let me = owner("guild:1");
    let size = |seed: u64| (seed as usize % 4 + 1) * CHUNK_BYTES + seed as usize;
    done(store.changed(&me, put("a", &bytes(0, size(0)))));
    let writer = {
        let (store, me) = (store.clone(), me.clone());
        std::thread::spawn(move || {
            for seed in 1..150 {
                done(store.changed(&me, put("b", &bytes(seed, size(seed)))));
                let changed = if seed % 2 == 0 { rename("b", "a") } else { put("a", &bytes(seed, size(seed))) };
                done(store.changed(&me, changed));
            }
        })
    };
    let mut reads = 0;
    while !writer.is_finished() {
        let found = store.content(&me, "a").unwrap();
        assert_eq!(found, bytes(found[0].into(), size(found[0].into())));
        reads += 1;
    }
    writer.join().unwrap();
    assert!(reads > 0);
}

#[test]
fn k5_trash_never_outgrows_what_there_was() {
    let store = memory();
    let me = owner("guild:1");
    let whole = bytes(1, 10 * CHUNK_BYTES);
    for round in 0..40 {
        done(store.changed(&me, put("a", &whole)));
        if round % 2 == 0 {
            done(store.changed(&me, remove("a")));
        }
        assert!(store.chunks() <= 30, "{}", store.chunks());
    }
}

#[test]
fn k5_who_changes_keys_waits_for_a_bounded_number_of_bytes() {
    // of a commit
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let job = |change| {
        let (owner, quota) = (owner("guild:1"), BlobQuota::default());
        let (answer, _) = tokio::sync::oneshot::channel();
        Job::new(Task::Blobs(blobs::Task::Change { owner, quota, change }), answer, None, Room::default())
    };
    for _ in 0..16 {
        sender.send(job(put("a", &vec![0; 1 << 20]))).ok().unwrap();
    }
    assert_eq!(queue.gather().unwrap().len(), 1);
    // of the queue: content has its own room in it. The thread stands still until it is filled
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..Settings::default() }).unwrap();
    let me = owner("guild:1");
    let still = gate.shut();
    let puts: Vec<_> = (0..40)
        .map(|i| store.change_blob(&me, &BlobQuota::default(), put(&format!("{i}"), &vec![0; 1 << 20])))
        .collect();
    let key = store.apply(&me, &Quota::default(), vec![set("s", b"k", b"v")]);
    drop(still);
    wait(key).unwrap();
    assert_eq!(store.blob_usage(&me).unwrap().blobs, 3, "so many are one owner's at most");
    for put in puts {
        done(wait(put));
    }
    assert_eq!(store.blob_usage(&me).unwrap().blobs, 40);
}

#[test]
fn k5_secrets_of_links_are_kept_and_retired() {
    let folder = tempfile::tempdir().unwrap();
    let store = Local::open(folder.path(), &Settings::default()).unwrap();
    assert!(store.link_secrets().unwrap().is_empty());
    for number in 1..=10_u8 {
        assert_eq!(wait(store.add_link_secret([number; 32], usize::MAX)).unwrap(), u32::from(number));
    }
    drop(store);
    let store = Local::open(folder.path(), &Settings::default()).unwrap();
    let secrets = store.link_secrets().unwrap();
    let expected: Vec<_> = (3..=10).map(|n| LinkSecret { number: n.into(), secret: [n; 32] }).collect();
    assert_eq!(secrets, expected);
    assert!(!format!("{secrets:?}").contains("10, 10"));
    wait(store.add_link_secret([11; 32], 0)).unwrap();
    assert_eq!(store.link_secrets().unwrap(), [LinkSecret { number: 11, secret: [11; 32] }]);
}
