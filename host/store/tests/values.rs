//! What values cost to read, write and free, in their rows and apart from them.

use super::super::blobs::{CHUNK_BYTES, TAIL_BYTES};
use super::blobs::{append, bytes, done, put, remove};
use super::faults::{Disk, FOREVER};
use super::*;

fn open_disk() -> (Arc<Disk>, Local) {
    let disk = Disk::new(FOREVER, false);
    // pages are read anew each time
    let store = disk.open_with(&Settings { cache_bytes: 0, ..Settings::default() }).unwrap();
    (disk, store)
}

impl Disk {
    fn read_by<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let before = self.read.load(Ordering::SeqCst);
        let did = work();
        (did, self.read.load(Ordering::SeqCst) - before)
    }
}

#[test]
fn t16_a_check_reads_no_more_than_it_is_given() {
    let (disk, store) = open_disk();
    let me = owner("guild:1");
    let large = bytes(1, 1 << 20);
    for i in 0..10_u8 {
        store.done(&me, vec![set("s", &[i], &large)]).unwrap();
    }
    let revision = store.get(&me, &scope("s"), &[0]).unwrap().unwrap().revision;
    let (_, of_nothing) = disk.read_by(|| store.done(&me, vec![check("t", b"k", Expected::Absent)]).unwrap());
    // neither what is expected nor absent: nothing of the value is read
    let odd = [Expected::Absent, Expected::Revision(1), Expected::Value(b"x".to_vec())];
    for expected in odd {
        let checks: Vec<_> = (0..10).map(|i| check("s", &[i], expected.clone())).collect();
        let (refused, read) = disk.read_by(|| store.done(&me, checks));
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
        assert!(read < of_nothing + 64_000, "{expected:?}: {read} bytes, and {of_nothing} of nothing");
    }
    let hundred = vec![check("s", &[0], Expected::Revision(revision)); 100];
    let (_, read) = disk.read_by(|| store.done(&me, hundred).unwrap());
    assert!(read < of_nothing + 1_000_000, "{read} bytes, and {of_nothing} of nothing");
    // the same value is found the same, and one that differs at its end isn't
    store.done(&me, vec![check("s", &[9], Expected::Value(large.clone()))]).unwrap();
    let mut other = large.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(store.done(&me, vec![check("s", &[9], Expected::Value(other))]).is_err());
    assert!(store.done(&me, vec![check("s", &[9], Expected::Value(large[1..].to_vec()))]).is_err());
}

#[test]
fn t20_keys_are_listed_without_their_values() {
    let (disk, store) = open_disk();
    let me = owner("guild:1");
    let sizes =
        [0, 1, row::INLINE_BYTES_MAX, row::INLINE_BYTES_MAX + 1, 300_000, CHUNK_BYTES, CHUNK_BYTES + 1, 1 << 20];
    for (key, size) in (0_u8..).zip(sizes) {
        store.done(&me, vec![set("s", &[key], &bytes(key.into(), size))]).unwrap();
    }
    for i in 0..8_u8 {
        store.done(&me, vec![set("s", &[100, i], &bytes(1, 1 << 20))]).unwrap();
    }
    let query = Query { values: false, ..all() };
    let (page, read) = disk.read_by(|| store.list(&me, &scope("s"), &query).unwrap());
    assert_eq!((page.entries.len(), page.more_after), (16, None));
    assert!(page.entries.iter().all(|(_, entry)| entry.value.is_empty() && entry.revision > 0));
    assert!(read < 64_000, "{read} bytes for 16 keys");
    // and with them, whatever their size
    let page = store.list(&me, &scope("s"), &all()).unwrap();
    for (key, size) in (0_u8..).zip(sizes) {
        assert_eq!(page.entries[usize::from(key)].1.value, bytes(key.into(), size));
        assert_eq!(store.value(&me, "s", &[key]).unwrap(), bytes(key.into(), size));
    }
}

/// A large value is replaced, deleted, expires, comes as an event, is settled, and its owner is deleted: it is what it was, and
/// nothing is left of it.
#[test]
fn t20_a_large_value_leaves_nothing_behind() {
    leaves_nothing_behind(3 * CHUNK_BYTES + 7, 4);
}

/// As long as it is a page at most, it goes with what replaces it.
#[test]
fn t20_a_value_that_is_little_more_than_a_rows_leaves_nothing_behind() {
    leaves_nothing_behind(3_000, 1);
    leaves_nothing_behind(4_096, 1);
    leaves_nothing_behind(4_097, 1);
    let store = memory();
    let me = owner("guild:1");
    let all = |bytes: usize| (0..60_u8).map(|i| set("s", &[i], &vec![i; bytes])).collect::<Vec<_>>();
    store.done(&me, all(3_000)).unwrap();
    assert_eq!(store.chunks(), 60);
    store.done(&me, all(3_000)).unwrap();
    assert_eq!((store.chunks(), *store.due().borrow()), (60, None));
    store.done(&me, all(1)).unwrap();
    assert_eq!((store.chunks(), *store.due().borrow()), (0, None));
}

fn leaves_nothing_behind(size: usize, chunks: u64) {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let large = |seed| bytes(seed, size);
    store.done(&me, vec![set("s", b"a", &large(1)), set("s", b"b", &large(2))]).unwrap();
    store.done(&me, vec![set("s", b"a", &large(3)), set("s", b"a", &large(4)), delete("s", b"b")]).unwrap();
    assert_eq!((store.value(&me, "s", b"a"), store.value(&me, "s", b"b")), (Some(large(4)), None));
    store.swept();
    assert_eq!(store.chunks(), chunks);
    store.done(&me, vec![set("s", b"a", b"small"), set_until("s", b"e", &large(5), 2_000)]).unwrap();
    store.done(&me, vec![set_until("s", b"f", &large(6), 2_000)]).unwrap();
    time.store(2_000, Ordering::SeqCst);
    // one becomes an event because its key is set again, the other because it is claimed
    store.done(&me, vec![set("s", b"e", b"new")]).unwrap();
    let mut numbers: Vec<_> = wait(store.claim(10)).unwrap().map(|event| event.number).collect();
    numbers.sort_unstable();
    let found: Vec<_> = numbers.iter().map(|number| store.event(*number).unwrap().unwrap().value).collect();
    assert_eq!(found, [large(5), large(6)]);
    store.done(&me, vec![Op::Settle { event: numbers[0] }]).unwrap();
    store.swept();
    assert_eq!(store.chunks(), chunks);
    store.done(&me, vec![set("s", b"g", &large(7))]).unwrap();
    wait(store.delete_owner(&me)).unwrap();
    assert_eq!((store.chunks(), store.usage(&me).unwrap()), (0, Usage::default()));
    store.swept();
    assert_eq!(*store.due().borrow(), None);
}

/// A store that an earlier version wrote has large values in their rows.
#[test]
fn t20_values_in_rows_stay_readable() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    let large = bytes(1, 500_000);
    Local::open(folder.path(), &Settings::default()).unwrap().done(&me, vec![set("s", b"a", b"x")]).unwrap();
    let database = redb::Database::open(folder.path().join("data.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let entries = redb::TableDefinition::<'_, &[u8], &[u8]>::new("entries");
    let row = [&[0_u8][..], &1_u64.to_be_bytes(), &large].concat();
    transaction
        .open_table(entries)
        .unwrap()
        .insert(row::place(&me, &scope("s"), b"a").as_slice(), row.as_slice())
        .unwrap();
    let usage = redb::TableDefinition::<'_, &str, (u64, u64)>::new("usage");
    let cost = Quota::ENTRY_BYTES + 2 + large.len() as u64;
    transaction.open_table(usage).unwrap().insert("guild:1", (1, cost)).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = Local::open(folder.path(), &Settings::default()).unwrap();
    assert_eq!(store.value(&me, "s", b"a").unwrap(), large);
    assert_eq!(store.list(&me, &scope("s"), &all()).unwrap().entries[0].1.value, large);
    store.done(&me, vec![check("s", b"a", Expected::Value(large.clone())), set("s", b"a", &large)]).unwrap();
    assert_eq!(store.value(&me, "s", b"a").unwrap(), large);
    assert_eq!(store.usage(&me).unwrap(), Usage { keys: 1, bytes: cost });
}

#[test]
fn t09_a_byte_that_is_appended_rewrites_little() {
    let disk = Disk::new(FOREVER, false);
    let store = disk.open().unwrap();
    let me = owner("guild:1");
    let appended = |name: &str, size: usize| {
        done(store.changed(&me, put(name, &bytes(1, size))));
        let before = disk.written.load(Ordering::SeqCst);
        for i in 0..100 {
            done(store.changed(&me, append(name, b"x", size + i)));
        }
        (disk.written.load(Ordering::SeqCst) - before) / 100
    };
    let (small, large) = (appended("small", 1), appended("large", 50_000));
    assert!(large < small + 8_000, "{large} bytes are written for one, and {small} where there is only one");
    let whole = [bytes(1, 50_000), vec![b'x'; 100]].concat();
    assert_eq!(store.content(&me, "large").unwrap(), whole);
}

/// Pieces of all sizes at all places: what is read is what was written.
#[test]
fn t09_tails_and_chunks_are_one_content() {
    let store = memory();
    let me = owner("guild:1");
    let tail = TAIL_BYTES;
    let mut whole = bytes(1, 10);
    done(store.changed(&me, put("a", &whole)));
    let pieces = [1, tail - 1, tail, 1, 2, tail + 1, CHUNK_BYTES - 3, 7, 1, tail, 3 * CHUNK_BYTES, 5, 0, tail - 5, 1];
    for (seed, piece) in (0..).zip(pieces.into_iter().cycle().take(60)) {
        let more = bytes(seed, piece);
        done(store.changed(&me, append("a", &more, whole.len())));
        whole.extend(more);
        assert_eq!(store.content(&me, "a").unwrap(), whole);
    }
    for start in [0, 1, CHUNK_BYTES - 1, whole.len() - tail - 1, whole.len() - 2] {
        for length in [1, 2, tail, CHUNK_BYTES + 1] {
            let part = super::blobs::range(start as u64, Some(length as u64));
            let found = store.blob(&me, &scope("s"), &super::blobs::name("a"), &part).unwrap().unwrap().bytes;
            assert_eq!(found, whole[start..(start + length).min(whole.len())]);
        }
    }
    done(store.changed(&me, remove("a")));
    store.swept();
    assert_eq!(store.chunks(), 0);
}

/// Many at once each count, and take no more turns than one each: there is nothing to try again.
#[test]
fn t19_many_that_add_to_one_key_each_count() {
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..Settings::default() }).unwrap();
    let me = owner("guild:1");
    let add = |by| Op::Add { scope: scope("s"), key: b"k".to_vec(), by };
    let still = gate.shut();
    let asked: Vec<_> = (0..200).map(|_| store.apply(&me, &Quota::default(), vec![add(1.0)])).collect();
    drop(still);
    let mut sums: Vec<_> = asked.into_iter().flat_map(|asked| wait(asked).unwrap().sums).collect();
    sums.sort_by(f64::total_cmp);
    assert_eq!(sums, (1..=200).map(f64::from).collect::<Vec<_>>());
    // t23: they were one tenant's, and none had a commit of its own
    assert!(store.commits() <= 40, "{} commits for 200", store.commits());
    let odd = store.done(&me, vec![add(0.5), set("s", b"k", &[0xc0]), delete("s", b"k"), add(-2.0), add(1.0)]);
    assert_eq!(odd.unwrap().sums, [200.5, -2.0, -1.0]);
    store.done(&me, vec![set("s", b"k", b"\xa1x")]).unwrap();
    let refused = store.done(&me, vec![add(1.0)]).unwrap_err();
    assert_eq!(refused, StoreError::Invalid("the key has a string, not a number".into()));
    store.done(&me, vec![set("s", b"k", &bytes(1, 5_000))]).unwrap();
    assert!(matches!(store.done(&me, vec![add(1.0)]), Err(StoreError::Invalid(_))));
}

#[test]
fn t19_what_is_added_to_stays_as_long_as_it_was_to() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let add = || vec![Op::Add { scope: scope("s"), key: b"k".to_vec(), by: 1.0 }];
    store.done(&me, vec![set_until("s", b"k", &[5], 2_000)]).unwrap();
    assert_eq!(store.done(&me, add()).unwrap().sums, [6.0]);
    assert_eq!(store.get(&me, &scope("s"), b"k").unwrap().unwrap().expires, Some(2_000));
    time.store(2_000, Ordering::SeqCst);
    // it has expired: its event comes, and the sum begins anew
    assert_eq!(store.done(&me, add()).unwrap().sums, [1.0]);
    let entry = store.get(&me, &scope("s"), b"k").unwrap().unwrap();
    assert_eq!((entry.value, entry.expires), (vec![1], None));
    assert_eq!(wait(store.claim(10)).unwrap().map(|event| event.value).collect::<Vec<_>>(), [vec![6]]);
}
