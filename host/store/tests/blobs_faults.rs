//! A disk that fails after n operations, for every n (K5): all of a change or nothing, and what is answered is true.

use super::super::blobs::*;
use super::blobs::{append, bytes, done, every, put, put_until, remove, rename};
use super::faults::{Disk, FOREVER};
use super::*;

const OLD: usize = 2 * CHUNK_BYTES + 9;

/// Names and contents.
type Held = Vec<(&'static str, Vec<u8>)>;

/// What is done while the disk fails, and what the owner has then.
fn cases() -> Vec<(Change, Held)> {
    let (old, other, new) = (bytes(1, OLD), bytes(2, 10), bytes(3, CHUNK_BYTES + 1));
    vec![
        (put("a", &new), vec![("a", new.clone()), ("b", other.clone())]),
        (append("a", &new, OLD), vec![("a", [old.clone(), new].concat()), ("b", other.clone())]),
        (rename("a", "b"), vec![("b", old)]),
        (remove("a"), vec![("b", other)]),
    ]
}

fn before() -> Held {
    vec![("a", bytes(1, OLD)), ("b", bytes(2, 10))]
}

fn setup(store: &Local, me: &Owner) {
    done(store.changed(me, put_until("a", &bytes(1, OLD), u64::MAX)));
    done(store.changed(me, put("b", &bytes(2, 10))));
}

/// Whether the change was made: it is all there, or all that was before.
fn is_after(store: &Local, me: &Owner, after: &[(&'static str, Vec<u8>)]) -> bool {
    let listed = store.blobs(me, &scope("s"), &every()).unwrap().blobs;
    let found: Vec<_> = listed
        .iter()
        .map(|(name, _)| (str::from_utf8(name).unwrap(), store.content(me, str::from_utf8(name).unwrap()).unwrap()))
        .collect();
    let bytes: u64 = found.iter().map(|(_, bytes)| bytes.len() as u64 + 2 + BlobQuota::BLOB_BYTES).sum();
    assert_eq!(store.blob_usage(me).unwrap(), BlobUsage { blobs: found.len() as u64, bytes });
    assert!(found == after || found == before(), "{:?}", listed);
    found == after
}

/// No chunk is left over, and none is missing.
fn is_sound(store: &Local, me: &Owner) {
    store.swept();
    let listed = store.blobs(me, &scope("s"), &every()).unwrap().blobs;
    let chunks: u64 = listed.iter().map(|(_, stat)| stat.size.div_ceil(CHUNK_BYTES as u64)).sum();
    assert_eq!(store.chunks(), chunks);
}

#[test]
fn k5_a_change_is_done_or_not_wherever_the_disk_fails() {
    let me = owner("guild:1");
    for (change, after) in cases() {
        for dies in [false, true] {
            let (mut failures, mut n) = (0, 0);
            loop {
                let disk = Disk::new(FOREVER, dies);
                let store = disk.open().unwrap();
                setup(&store, &me);
                disk.fails_after(n);
                let answer = store.changed(&me, change.clone());
                let failed = disk.failed.load(Ordering::SeqCst);
                if !dies {
                    disk.fails_after(FOREVER);
                    assert_eq!(is_after(&store, &me, &after), answer.is_ok(), "{n}: {answer:?}");
                }
                let lost = disk.synced.lock().unwrap().clone();
                disk.dies.store(true, Ordering::SeqCst);
                disk.fails_after(0);
                drop(store);
                let kept = disk.bytes.lock().unwrap().clone();
                for bytes in [kept, lost] {
                    let disk = Disk::new(FOREVER, false);
                    *disk.bytes.lock().unwrap() = bytes;
                    let store = disk.open().unwrap();
                    let (is_after, unknown) =
                        (is_after(&store, &me, &after), matches!(answer, Err(StoreError::Unknown(_))));
                    assert!(unknown || is_after == answer.is_ok(), "{n}: {answer:?}, but after the restart {is_after}");
                    is_sound(&store, &me);
                    done(store.changed(&me, put("more", b"x")));
                }
                failures += u32::from(answer.is_err());
                n += 1;
                if !failed {
                    break;
                }
            }
            println!("dies: {dies}; {n} places to fail, {failures} refusals");
            assert!(failures > 5);
        }
    }
}

#[test]
fn k5_freeing_and_deleting_go_on_after_any_failure() {
    let me = owner("guild:1");
    for dies in [false, true] {
        for n in 0.. {
            let disk = Disk::new(FOREVER, dies);
            let store = disk.open().unwrap();
            setup(&store, &me);
            done(store.changed(&me, put("c", &bytes(5, 6 * CHUNK_BYTES))));
            done(store.changed(&me, remove("c"))); // some of it is trash
            disk.fails_after(n);
            let deleted = wait(store.delete_owner(&me));
            let failed = disk.failed.load(Ordering::SeqCst);
            disk.dies.store(true, Ordering::SeqCst);
            disk.fails_after(0);
            drop(store);
            let disk_after = Disk::new(FOREVER, false);
            *disk_after.bytes.lock().unwrap() = disk.bytes.lock().unwrap().clone();
            let store = disk_after.open().unwrap();
            let blobs = store.blobs(&me, &scope("s"), &every()).unwrap().blobs.len() as u64;
            assert_eq!(store.blob_usage(&me).unwrap().blobs, blobs);
            assert!(deleted.is_err() || blobs == 0);
            is_sound(&store, &me);
            wait(store.delete_owner(&me)).unwrap();
            store.swept();
            assert_eq!(store.chunks(), 0);
            if !failed {
                assert!(deleted.is_ok() && n > 5);
                break;
            }
        }
    }
}
