//! Blobs in memory: bounded for each and for all, gone in time, nobody's but their owner's.

use super::super::memory::Memory;
use super::*;
use crate::store::StoreError;
use crate::store::blobs::{BlobQuota, BlobUsage, Changed, Names, Stat, Stats};

const COST: u64 = 2 + BlobQuota::BLOB_BYTES;

fn put(memory: &Memory, who: &str, of: &str, bytes: &[u8], expires: u64) -> Result<Stat, StoreError> {
    put_within(memory, &Memory::QUOTA, who, of, bytes, expires)
}

fn put_within(
    memory: &Memory,
    quota: &BlobQuota,
    who: &str,
    of: &str,
    bytes: &[u8],
    expires: u64,
) -> Result<Stat, StoreError> {
    memory.put((&owner(who), &scope("s"), &name(of)), quota, (bytes.to_vec(), None, expires), || Ok(()))
}

fn get(memory: &Memory, who: &str, of: &str) -> Option<Vec<u8>> {
    memory.get(&owner(who), &scope("s"), &name(of), &all()).unwrap().map(|part| part.bytes)
}

fn append(memory: &Memory, of: &str, bytes: &[u8], size: u64) -> Result<Changed, StoreError> {
    memory.append((&owner("a:1"), &scope("s"), &name(of)), &Memory::QUOTA, bytes, size)
}

fn usage(memory: &Memory, who: &str) -> (u64, u64) {
    let BlobUsage { blobs, bytes } = memory.usage(&owner(who));
    (blobs, bytes)
}

fn names(memory: &Memory, names: &Names<'_>) -> (Vec<String>, Option<String>) {
    let Stats { blobs, more_after, .. } = memory.list(&owner("a:1"), &scope("s"), names);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (blobs.into_iter().map(|(name, _)| text(name)).collect(), more_after.map(text))
}

#[test]
fn k5_memory_forgets_in_time() {
    let (time, clock) = clock(1_000);
    let memory = Memory::new(clock, 10 << 20);
    put(&memory, "a:1", "x", b"hello", 2_000).unwrap();
    put(&memory, "a:1", "y", b"hello", 3_000).unwrap();
    time.store(1_999, Ordering::SeqCst);
    assert_eq!(get(&memory, "a:1", "x").unwrap(), b"hello");
    time.store(2_000, Ordering::SeqCst);
    assert_eq!((get(&memory, "a:1", "x"), usage(&memory, "a:1")), (None, (1, COST + 5)));
    assert_eq!(append(&memory, "x", b"", 5).unwrap(), Changed::Absent);
    assert_eq!(memory.delete(&owner("a:1"), &scope("s"), &name("x")), None);
    // put again, it has the new end alone
    put(&memory, "a:1", "x", b"again", 5_000).unwrap();
    put(&memory, "a:1", "x", b"and again", 4_000).unwrap();
    assert_eq!(memory.sweep(), Some(3_000));
    time.store(4_500, Ordering::SeqCst);
    assert_eq!((get(&memory, "a:1", "x"), memory.sweep()), (None, None));
    // too late for anyone
    put(&memory, "a:1", "z", b"late", 4_500).unwrap();
    assert_eq!((get(&memory, "a:1", "z"), usage(&memory, "a:1")), (None, (0, 0)));
}

#[test]
fn k5_memory_is_bounded_for_each_and_for_all() {
    let (time, clock) = clock(1_000);
    let quota = BlobQuota { blobs: 3, bytes: 3 * (COST + 10), blob_bytes: 10 };
    let memory = Memory::new(clock, 5 * (COST + 10));
    let put = |who: &str, of: &str, bytes: &[u8]| put_within(&memory, &quota, who, of, bytes, 2_000);
    for of in ["a", "b", "c"] {
        put("a:1", of, &[1; 10]).unwrap();
    }
    assert_eq!(usage(&memory, "a:1"), (3, 3 * (COST + 10)));
    assert!(put("a:1", "d", b"").unwrap_err().to_string().contains("quota of blobs is 3, and this would make it 4"));
    assert!(put("a:1", "a", &[1; 11]).unwrap_err().to_string().contains("bytes in a blob is 10"));
    assert!(append(&memory, "a", b"x", 10).is_ok(), "of a larger quota");
    assert!(put("a:1", "b", &[1; 10]).is_ok(), "no more than before");
    let at = (&owner("a:1"), &scope("s"), &name("b"));
    assert!(memory.append(at, &quota, b"x", 10).unwrap_err().to_string().contains("bytes in a blob is 10"));
    assert!(memory.rename(at, &name("bb"), &quota, || Ok(())).unwrap_err().to_string().contains("bytes of all blobs"));
    assert_eq!(get(&memory, "a:1", "b").unwrap(), [1; 10]);
    // what others hold counts for all together
    put("a:2", "a", &[1; 10]).unwrap();
    let full = put("a:2", "b", &[1; 10]).unwrap_err();
    assert!(matches!(full, StoreError::MemoryFull { limit } if limit == 5 * (COST + 10)), "{full}");
    put("a:2", "b", &[1; 9]).unwrap();
    memory.delete(&owner("a:1"), &scope("s"), &name("a")).unwrap();
    put("a:2", "c", &[1; 10]).unwrap();
    // in time all of it is there again, though nobody asked for it meanwhile
    time.store(2_000, Ordering::SeqCst);
    for of in ["a", "b", "c"] {
        put_within(&memory, &quota, "a:1", of, &[1; 10], 3_000).unwrap();
    }
    memory.delete_owner(&owner("a:1"));
    assert_eq!((usage(&memory, "a:1"), memory.sweep()), ((0, 0), None));
    for who in ["a:3", "a:4", "a:5", "a:6", "a:7"] {
        put_within(&memory, &quota, who, "a", &[1; 10], 3_000).unwrap();
    }
    assert!(put_within(&memory, &quota, "a:8", "a", &[1; 10], 3_000).is_err());
}

#[test]
fn k5_a_sweep_is_bounded_and_the_owner_is_not_held_to_what_is_left() {
    let (time, clock) = clock(1_000);
    let memory = Memory::new(clock, 100 << 20);
    let quota = BlobQuota { blobs: 1_000, ..Memory::QUOTA };
    for who in ["a:1", "a:2"] {
        for i in 0..1_000 {
            put_within(&memory, &quota, who, &format!("{i}"), b"x", 2_000).unwrap();
        }
    }
    time.store(2_000, Ordering::SeqCst);
    // the last to come is the last to go, and may put at once
    for i in 0..1_000 {
        put_within(&memory, &quota, "a:2", &format!("new{i}"), b"x", 9_000).unwrap();
    }
    assert!(put_within(&memory, &quota, "a:2", "more", b"x", 9_000).is_err());
    assert_eq!((usage(&memory, "a:1").0, usage(&memory, "a:2").0), (0, 1_000));
}

/// Nobody holds the lock for as many as there are, whose they may be.
#[test]
fn m8_what_expired_goes_a_few_at_a_time() {
    let (time, clock) = clock(1_000);
    let memory = Memory::new(clock, 100 << 20);
    for who in ["a:1", "a:2"] {
        for i in 0..1_000 {
            put(&memory, who, &format!("{i}"), b"x", 2_000).unwrap();
        }
    }
    time.store(2_000, Ordering::SeqCst);
    let a1 = owner("a:1");
    assert!(memory.sweep_owner(&a1));
    let of_two = |memory: &Memory| memory.usage(&owner("a:2")).blobs;
    assert_eq!(of_two(&memory), 1_000 - 32, "its own, and no more of them");
    let left = (0..100).take_while(|_| memory.sweep_owner(&a1)).count();
    assert_eq!((left, usage(&memory, "a:1")), (30, (0, 0)));
    // another's change takes as few; whoever has the time for it takes some
    put(&memory, "a:3", "x", b"x", 9_000).unwrap();
    assert_eq!(of_two(&memory), 1_000 - 3 * 32);
    memory.sweep();
    assert_eq!(of_two(&memory), 1_000 - 12 * 32);
}

#[test]
fn k5_memory_takes_pieces_and_new_names() {
    let (_, clock) = clock(1_000);
    let memory = Memory::new(clock, 100 << 20);
    let first = put(&memory, "a:1", "x", b"", 9_000).unwrap();
    assert!(first.revision > 1_000 << 10);
    assert!(matches!(append(&memory, "x", b"hello", 0).unwrap(), Changed::Done(stat) if stat.size == 5));
    assert_eq!(append(&memory, "x", b"hello", 0).unwrap(), Changed::OtherSize(5));
    assert!(matches!(append(&memory, "x", b" you", 5).unwrap(), Changed::Done(stat) if stat.revision > first.revision));
    assert!(append(&memory, "x", &vec![0; 4 << 20], 9).unwrap_err().to_string().contains("bytes in a blob"));
    put(&memory, "a:1", "y", b"old", 9_000).unwrap();
    let rename = |from: &str, to: &str| {
        let (owner, scope, from) = (owner("a:1"), scope("s"), name(from));
        memory.rename((&owner, &scope, &from), &name(to), &Memory::QUOTA, || Ok(())).unwrap()
    };
    assert!(matches!(rename("x", "y"), Changed::Done(stat) if stat.expires == Some(9_000)));
    assert_eq!((get(&memory, "a:1", "x"), get(&memory, "a:1", "y").unwrap()), (None, b"hello you".to_vec()));
    assert!(matches!(rename("y", "y"), Changed::Done(_)));
    assert_eq!(rename("x", "y"), Changed::Absent);
    assert_eq!((usage(&memory, "a:1"), get(&memory, "a:10", "y")), ((1, COST + 9), None));
    let part = Range { offset: 6, length: Some(99), bytes_max: 3 };
    assert_eq!(memory.get(&owner("a:1"), &scope("s"), &name("y"), &part).unwrap().unwrap().bytes, b"you");
    let part = Range { bytes_max: 2, ..part };
    assert!(memory.get(&owner("a:1"), &scope("s"), &name("y"), &part).is_err());
    assert_eq!(memory.delete(&owner("a:1"), &scope("s"), &name("y")).unwrap().size, 9);
    assert_eq!((usage(&memory, "a:1"), memory.sweep()), ((0, 0), None));
}

#[test]
fn k5_memory_is_listed_a_page_at_a_time() {
    let (time, clock) = clock(1_000);
    let memory = Memory::new(clock, 100 << 20);
    for (of, expires) in [("a", 9), ("b/1", 9), ("b/2", 2), ("b/3", 9), ("b/4", 9), ("c", 9)] {
        put(&memory, "a:1", of, b"x", expires * 1_000).unwrap();
    }
    time.store(2_000, Ordering::SeqCst);
    let query = Names { prefix: b"b/", after: None, max: 2 };
    assert_eq!(names(&memory, &query), (vec!["b/1".into(), "b/3".into()], Some("b/3".into())));
    assert_eq!(names(&memory, &Names { after: Some(b"b/3"), ..query }), (vec!["b/4".into()], None));
    assert_eq!(names(&memory, &Names { after: Some(b"a"), max: 3, ..query }).0.len(), 3);
    assert_eq!(names(&memory, &Names { after: Some(b"c"), ..query }), (vec![], None));
    assert_eq!(names(&memory, &Names { prefix: b"", after: None, max: 9 }).0.len(), 5);
}

#[test]
fn k5_pieces_from_many_threads_are_each_there_once() {
    let (_, clock) = clock(1_000);
    let memory = Memory::new(clock, 100 << 20);
    put(&memory, "a:1", "x", b"", 9_000).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..4_u8 {
            let memory = &memory;
            threads.spawn(move || {
                let mut size = 0;
                for _ in 0..200 {
                    while let Changed::OtherSize(found) = append(memory, "x", &[thread], size).unwrap() {
                        size = found;
                    }
                }
            });
        }
    });
    let whole = get(&memory, "a:1", "x").unwrap();
    assert!((0..4).all(|thread| whole.iter().filter(|byte| **byte == thread).count() == 200) && whole.len() == 800);
    assert_eq!(usage(&memory, "a:1"), (1, COST + 800));
}
