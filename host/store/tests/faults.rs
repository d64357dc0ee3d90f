//! A disk that fails after n operations, for every n (K1): all of a list or nothing, and what is answered is true.

use std::io::{Error, Result};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use redb::{Database, DatabaseError, StorageBackend};

use super::super::disk::Medium;
use super::schedules::{MINUTE, START, plan, set_schedule};
use super::*;
use crate::modules::cron::due::Missed;

/// Bytes that outlive the database on them, and how many operations on them succeed before one fails.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) bytes: Mutex<Vec<u8>>,
    /// As they were at the last sync.
    pub(super) synced: Mutex<Vec<u8>>,
    left: AtomicU64,
    /// After the first failure nothing works.
    pub(super) dies: AtomicBool,
    pub(super) failed: AtomicBool,
    /// How many bytes were read.
    pub(super) read: AtomicU64,
    /// And written.
    pub(super) written: AtomicU64,
}

pub(super) const FOREVER: u64 = u64::MAX / 2;

impl Disk {
    pub(super) fn new(left: u64, dies: bool) -> Arc<Disk> {
        Arc::new(Disk { left: left.into(), dies: dies.into(), ..Disk::default() })
    }

    pub(super) fn fails_after(&self, left: u64) {
        self.left.store(left, Ordering::SeqCst);
    }

    fn step(&self) -> Result<()> {
        let dies = self.dies.load(Ordering::SeqCst);
        let next = |left| match left {
            0 if dies => None,
            0 => Some(FOREVER),
            left => Some(left - 1),
        };
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) {
            Ok(0) | Err(_) => {
                self.failed.store(true, Ordering::SeqCst);
                Err(Error::other("the disk failed"))
            }
            Ok(_) => Ok(()),
        }
    }

    pub(super) fn open(self: &Arc<Disk>) -> std::result::Result<Local, OpenError> {
        self.open_with(&Settings::default())
    }

    pub(super) fn open_with(self: &Arc<Disk>, settings: &Settings) -> std::result::Result<Local, OpenError> {
        Local::start(Box::new(Bus(self.clone())), std::path::Path::new("test"), settings)
    }
}

/// A cable to the disk.
#[derive(Debug)]
pub(super) struct Bus(pub(super) Arc<Disk>);

impl StorageBackend for Bus {
    fn len(&self) -> Result<u64> {
        self.0.step()?;
        Ok(self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0.step()?;
        let bytes = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let found = bytes.get(offset as usize..offset as usize + out.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        self.0.read.fetch_add(out.len() as u64, Ordering::SeqCst);
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.step()?;
        self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.0.step()?;
        let bytes = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *self.0.synced.lock().unwrap() = bytes;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let failed = self.0.step();
        self.0.written.fetch_add(data.len() as u64, Ordering::SeqCst);
        let half = if failed.is_err() { data.len() / 2 } else { data.len() };
        let mut bytes = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes[offset as usize..][..half].copy_from_slice(&data[..half]);
        failed
    }
}

impl Medium for Bus {
    fn open(&mut self, cache_bytes: usize) -> std::result::Result<Database, DatabaseError> {
        Database::builder().set_cache_size(cache_bytes).create_with_backend(Bus(self.0.clone()))
    }
}

fn before() -> Vec<Op> {
    vec![set("s", b"a", b"1"), set("s", b"b", b"1"), set("t", b"a", &[1; 5_000]), set_until("s", b"e", b"1", u64::MAX)]
}

fn five() -> Vec<Op> {
    vec![
        set("s", b"a", &[2; 9_000]),
        delete("s", b"b"),
        set("t", b"c", b"2"),
        delete("s", b"e"),
        set_until("u", b"f", b"2", u64::MAX),
    ]
}

/// What the owner has: all of before, or all of after, and the usage that goes with it.
fn is_after(store: &Local, me: &Owner) -> bool {
    let content = || -> Vec<_> {
        let list = |name| store.list(me, &scope(name), &all()).unwrap().entries;
        ["s", "t", "u"]
            .into_iter()
            .flat_map(|name| list(name).into_iter().map(move |(key, entry)| (name, key, entry.value)))
            .collect()
    };
    let found = content();
    let bytes: usize = found.iter().map(|(name, key, value)| name.len() + key.len() + value.len()).sum();
    let keys = found.len() as u64;
    assert_eq!(store.usage(me).unwrap(), Usage { keys, bytes: bytes as u64 + keys * Quota::ENTRY_BYTES });
    let short: Vec<_> = found.iter().map(|(name, key, value)| (*name, key.as_slice(), value[0])).collect();
    let (old, new) = (
        [("s", &b"a"[..], b'1'), ("s", b"b", b'1'), ("s", b"e", b'1'), ("t", b"a", 1)],
        [("s", &b"a"[..], 2), ("t", b"a", 1), ("t", b"c", b'2'), ("u", b"f", b'2')],
    );
    assert!(short == old || short == new, "{short:?}");
    short == new
}

/// For each n: what was answered, with a disk that then goes on or is dead, and what lies there after a restart, also one
/// without what was not synced.
#[test]
fn a_list_is_done_or_not_wherever_the_disk_fails() {
    let me = owner("guild:1");
    for dies in [false, true] {
        let (mut failures, mut unknown, mut n) = (0, 0, 0);
        loop {
            let disk = Disk::new(FOREVER, dies);
            let store = disk.open().unwrap();
            store.done(&me, before()).unwrap();
            disk.fails_after(n);
            let answer = store.done(&me, five());
            let failed = disk.failed.load(Ordering::SeqCst);
            if !dies {
                // it serves on in the same process
                disk.fails_after(FOREVER);
                assert_eq!(is_after(&store, &me), answer.is_ok(), "{n}: {answer:?}");
                store.done(&me, vec![set("v", b"on", b"")]).unwrap();
                store.done(&me, vec![delete("v", b"on")]).unwrap();
            }
            // killed: nothing is closed in order, for the dead disk takes nothing more
            let lost = disk.synced.lock().unwrap().clone();
            disk.dies.store(true, Ordering::SeqCst);
            disk.fails_after(0);
            drop(store);
            let kept = disk.bytes.lock().unwrap().clone();
            for bytes in [kept, lost] {
                let disk = Disk::new(FOREVER, false);
                *disk.bytes.lock().unwrap() = bytes;
                let store = disk.open().unwrap();
                match (&answer, is_after(&store, &me)) {
                    (Ok(_), true) | (Err(StoreError::Unavailable(_)), false) | (Err(StoreError::Unknown(_)), _) => (),
                    (answer, after) => panic!("{n}: {answer:?}, but after the restart {after}"),
                }
                assert_eq!(store.done(&me, vec![set("s", b"more", b"")]).unwrap().revisions.len(), 1);
            }
            failures += u32::from(answer.is_err());
            unknown += u32::from(matches!(answer, Err(StoreError::Unknown(_))));
            n += 1;
            if !failed {
                break;
            }
        }
        println!("dies: {dies}; {n} places to fail, {failures} refusals, {unknown} of them unknown");
        assert!(failures > 5 && (dies || unknown == 0));
    }
}

#[test]
fn an_event_is_claimed_or_not_wherever_the_disk_fails() {
    let me = owner("guild:1");
    for n in 0..80 {
        let disk = Disk::new(FOREVER, n % 2 == 0);
        let store = disk.open().unwrap();
        store.done(&me, (1..=3_u8).map(|i| set_until("s", &[i], b"v", 1)).collect()).unwrap();
        disk.fails_after(n / 2);
        let first: Vec<_> = wait(store.claim(2)).map(Iterator::collect).unwrap_or_default();
        disk.fails_after(FOREVER);
        let rest: Vec<Event> = retried(|| wait(store.claim(10))).collect();
        let mut seen: Vec<_> = first.iter().chain(&rest).map(|event| (event.number, event.attempt)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(1, 1), (2, 1), (3, 1)], "{n}");
        store.done(&me, [1, 2, 3].map(|event| Op::Settle { event }).to_vec()).unwrap();
        assert_eq!(store.usage(&me).unwrap(), Usage::default());
    }
}

/// Minutes after the start, number, attempt.
fn told(event: &Event) -> (u64, u64, u32) {
    ((event.run.as_ref().unwrap().at - START) / MINUTE, event.number, event.attempt)
}

/// A disk that fails at each operation of a claim: in this process each instant comes once, and after a kill, also one that
/// loses what was not synced, what was handed out comes again in its second attempt, and the rest in its first.
#[test]
fn t2_a_run_comes_once_and_none_is_lost_wherever_the_disk_fails() {
    let me = owner("guild:1");
    for dies in [false, true] {
        let (mut failures, mut n) = (0, 0);
        loop {
            let (time, settings) = clock(START);
            let disk = Disk::new(FOREVER, dies);
            let store = disk.open_with(&settings).unwrap();
            let settle = |events: &[Event]| events.iter().map(|event| Op::Settle { event: event.number }).collect();
            let four = (1..=4).map(|n| set_schedule(&format!("{n}"), &plan(&format!("{n} * * * *"), Missed::All)));
            store.done(&me, four.chain([set("s", b"k", b"v")]).collect()).unwrap();
            time.store(START + 4 * MINUTE + 1, Ordering::SeqCst);
            disk.fails_after(n);
            let first: Vec<Event> = wait(store.claim(2)).map(Iterator::collect).unwrap_or_default();
            let failed = disk.failed.load(Ordering::SeqCst);
            let (kept, lost) = (disk.bytes.lock().unwrap().clone(), disk.synced.lock().unwrap().clone());
            for bytes in [kept, lost] {
                let disk = Disk::new(FOREVER, false);
                *disk.bytes.lock().unwrap() = bytes;
                let store = disk.open_with(&settings).unwrap();
                let all: Vec<Event> = wait(store.claim(10)).unwrap().collect();
                assert_eq!(all.iter().map(|event| told(event).0).collect::<Vec<_>>(), [1, 2, 3, 4], "{n}");
                for event in &all {
                    let given = first.iter().find(|given| given.number == event.number);
                    // one that was noted and not handed out has its second attempt too
                    assert!(given.is_none_or(|given| given.run == event.run && event.attempt == 2), "{n}");
                }
                store.done(&me, settle(&all)).unwrap();
                assert_eq!(*store.due().borrow(), Some(START + 61 * MINUTE));
            }
            disk.fails_after(FOREVER);
            let rest: Vec<Event> = retried(|| wait(store.claim(10))).collect();
            let mut seen: Vec<_> = first.iter().chain(&rest).map(told).collect();
            seen.sort_unstable();
            assert_eq!(
                seen.iter().map(|(at, _, attempt)| (*at, *attempt)).collect::<Vec<_>>(),
                [(1, 1), (2, 1), (3, 1), (4, 1)],
                "{n}"
            );
            retried(|| store.done(&me, settle(&first)));
            store.done(&me, settle(&rest)).unwrap();
            failures += u32::from(first.is_empty());
            n += 1;
            if !failed {
                break;
            }
        }
        println!("dies: {dies}; {n} places to fail, {failures} claims that did");
        assert!(failures > 5);
    }
}

/// What a handler does is one with the settling of its run, wherever the disk fails.
#[test]
fn t2_a_run_is_settled_with_its_effects_or_neither_wherever_the_disk_fails() {
    let me = owner("guild:1");
    let mut n = 0;
    loop {
        let (time, settings) = clock(START);
        let disk = Disk::new(FOREVER, true);
        let store = disk.open_with(&settings).unwrap();
        store.done(&me, vec![set_schedule("a", &plan("* * * * *", Missed::All))]).unwrap();
        time.store(START + MINUTE, Ordering::SeqCst);
        let event = wait(store.claim(1)).unwrap().next().unwrap();
        disk.fails_after(n);
        let other = plan("*/5 * * * *", Missed::Once);
        let list = vec![Op::Settle { event: event.number }, set("s", b"done", b""), set_schedule("a", &other)];
        let answer = store.done(&me, list);
        let failed = disk.failed.load(Ordering::SeqCst);
        for bytes in [disk.bytes.lock().unwrap().clone(), disk.synced.lock().unwrap().clone()] {
            let disk = Disk::new(FOREVER, false);
            *disk.bytes.lock().unwrap() = bytes;
            let store = disk.open_with(&settings).unwrap();
            let is_done = store.value(&me, "s", b"done").is_some();
            assert!(if answer.is_ok() { is_done } else { !is_done || matches!(answer, Err(StoreError::Unknown(_))) });
            let scheduled = store.schedule(&me, "a").unwrap().unwrap();
            assert_eq!(scheduled.plan == other, is_done, "{n}");
            let again: Vec<_> = wait(store.claim(10)).unwrap().map(|event| event.attempt).collect();
            assert_eq!(again, if is_done { vec![] } else { vec![2] }, "{n}");
            assert_eq!(*store.due().borrow(), is_done.then_some(START + 5 * MINUTE));
        }
        n += 1;
        if !failed {
            break;
        }
    }
    assert!(n > 5);
}

/// Until it works: a database that could not be opened anew is left alone for half a second.
fn retried<T>(mut what: impl FnMut() -> std::result::Result<T, StoreError>) -> T {
    let started = std::time::Instant::now();
    loop {
        match what() {
            Ok(done) => return done,
            Err(error) => assert!(started.elapsed().as_secs() < 20, "{error}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_dead_disk_is_an_error_to_all_and_a_disk_that_comes_back_serves_again() {
    let disk = Disk::new(FOREVER, true);
    let (me, big) = (owner("guild:1"), vec![7; 1 << 20]);
    let settings = Settings { cache_bytes: 0, ..Settings::default() };
    let store = Local::start(Box::new(Bus(disk.clone())), std::path::Path::new("test"), &settings).unwrap();
    store.done(&me, vec![set("s", b"k", b"v"), set("s", b"big", &big)]).unwrap();
    disk.fails_after(0);
    let lists: Vec<_> = (0..20_u8).map(|i| store.apply(&me, &Quota::default(), vec![set("s", &[i], b"")])).collect();
    for list in lists {
        let error = wait(list).unwrap_err();
        assert!(error.to_string().contains("the disk failed"), "{error}");
    }
    assert!(store.get(&me, &scope("s"), b"big").is_err());
    disk.fails_after(FOREVER);
    retried(|| store.done(&me, vec![set("s", b"back", b"")]));
    assert_eq!(store.value(&me, "s", b"big").as_ref(), Some(&big));
    // a page that can't be read is one caller's error, and heals without a write
    disk.dies.store(false, Ordering::SeqCst);
    disk.fails_after(0);
    assert!(store.get(&me, &scope("s"), b"big").is_err());
    assert_eq!(retried(|| store.get(&me, &scope("s"), b"big")).map(|entry| entry.value), Some(big));
    // nor does one that dies while nobody writes keep readers out when it is back
    disk.dies.store(true, Ordering::SeqCst);
    disk.fails_after(0);
    for _ in 0..100 {
        assert!(store.get(&me, &scope("s"), b"big").is_err());
    }
    disk.fails_after(FOREVER);
    assert!(retried(|| store.get(&me, &scope("s"), b"big")).is_some());
}
