//! Numbers for this machine: `cargo test --release bench -- --ignored --nocapture`. KV_BENCH names a folder on the disk to measure.

use std::time::Instant;

use super::*;

#[test]
#[ignore = "measures"]
fn bench() {
    let base = std::env::var_os("KV_BENCH").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base).unwrap();
    let store = Arc::new(Local::open(&folder.path().join("kv"), &Settings::default()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let quota = Quota { keys: u64::MAX, bytes: u64::MAX, ..Quota::default() };

    for (callers, list) in [(1, 100), (4, 100), (16, 100), (64, 100), (64, 10), (256, 1)] {
        let started = Instant::now();
        let lists_each = (100_000 / (callers * list)).max(4);
        let commits = store.commits();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (store, quota) = (store.clone(), quota.clone());
                runtime.spawn(async move {
                    let owner = owner(&format!("guild:{caller}"));
                    for round in 0..lists_each {
                        let ops =
                            (0..list).map(|i| set("notes", format!("k{}", round * list + i).as_bytes(), &[7; 100]));
                        store.apply(&owner, &quota, ops.collect()).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
        let (took, sets) = (started.elapsed(), callers * list * lists_each);
        let commits = store.commits() - commits;
        println!(
            "{callers} callers, lists of {list}: {:.0} sets/s, {:.2} ms a commit, {:.0} sets a commit",
            sets as f64 / took.as_secs_f64(),
            took.as_secs_f64() * 1e3 / commits as f64,
            sets as f64 / commits as f64,
        );
    }

    let (owner, scope) = (owner("guild:0"), scope("notes"));
    let keys: Vec<_> = (0..400).map(|i| format!("k{i}")).collect();
    for value in ["warm up", "get"] {
        let started = Instant::now();
        for round in 0..200_000 {
            let key = &keys[round * 7919 % keys.len()];
            assert!(store.get(&owner, &scope, key.as_bytes()).unwrap().is_some());
        }
        println!("{value}: {} ns", started.elapsed().as_nanos() / 200_000);
    }
    println!("file: {} KiB", std::fs::metadata(folder.path().join("kv/data.redb")).unwrap().len() >> 10);
}

/// How long a small change waits beside another owner's: `cargo test --release floods -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn floods() {
    use super::super::blobs::BlobQuota;
    use super::blobs::{append, bytes, done, put};

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let folder =
        tempfile::tempdir_in(std::env::var_os("KV_BENCH").map_or_else(std::env::temp_dir, Into::into)).unwrap();
    for disk in [false, true] {
        for (flood, at_once) in
            [("none", 0), ("values of 1 MiB", 20), ("values of 60 KiB", 64), ("appends", 200), ("checks", 50)]
        {
            let path = folder.path().join(flood);
            let store = Arc::new(match disk {
                true => Local::open(&path, &Settings::default()).unwrap(),
                false => memory(),
            });
            let (hostile, near) = (owner("guild:1"), owner("guild:2"));
            let (large, some) = (bytes(1, 1 << 20), bytes(1, 60 << 10));
            store.done(&hostile, vec![set("s", b"large", &large)]).unwrap();
            let tasks: Vec<_> = (0..at_once)
                .map(|number: usize| {
                    let (store, hostile, large, some) = (store.clone(), hostile.clone(), large.clone(), some.clone());
                    runtime.spawn(async move {
                        let (key, mut size) = (number.to_be_bytes(), some.len());
                        let name = number.to_string();
                        if flood == "appends" {
                            done(store.change_blob(&hostile, &BlobQuota::default(), put(&name, &some)).await);
                        }
                        loop {
                            let ops = match flood {
                                "values of 1 MiB" => vec![set("s", &key[7..], &large)],
                                "values of 60 KiB" => vec![set("s", &key[7..], &some)],
                                "checks" => vec![check("s", b"large", Expected::Absent); 100],
                                _ => {
                                    let one = append(&name, b"x", size);
                                    done(store.change_blob(&hostile, &BlobQuota::default(), one).await);
                                    size += 1;
                                    continue;
                                }
                            };
                            let _ = store.apply(&hostile, &Quota::default(), ops).await;
                        }
                    })
                })
                .collect();
            std::thread::sleep(std::time::Duration::from_millis(200));
            let mut times: Vec<_> = (0..300_u16)
                .map(|i| {
                    let since = Instant::now();
                    store.done(&near, vec![set("s", &i.to_be_bytes(), b"v")]).unwrap();
                    since.elapsed()
                })
                .collect();
            times.sort();
            println!("disk {disk}, beside {flood}: p50 {:?}, p99 {:?}, most {:?}", times[150], times[297], times[299]);
            tasks.iter().for_each(tokio::task::JoinHandle::abort);
        }
    }
}

/// How long the longest lists hold the writer, by their keys and values: `cargo test --release long_lists -- --ignored --nocapture`.
/// Keys are spread over 40,000, half of which there are. LISTS_OF names the bytes of values to measure.
#[test]
#[ignore = "measures"]
fn long_lists() {
    /// What is measured is set like what is there, without all its rows, or deleted.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Then {
        Same,
        Plain,
        Deleted,
    }
    const PAST: Option<u64> = Some(1_000_000);
    const LATER: Option<u64> = Some(9_000_000_000_000);

    let folder =
        tempfile::tempdir_in(std::env::var_os("KV_BENCH").map_or_else(std::env::temp_dir, Into::into)).unwrap();
    let quota = Quota { keys: u64::MAX, bytes: u64::MAX, ..Quota::default() };
    let owner = owner("guild:1");
    let sizes = std::env::var("LISTS_OF").unwrap_or_else(|_| "1 1900".into());
    let sizes: Vec<usize> = sizes.split(' ').map(|bytes| bytes.parse().unwrap()).collect();
    for (disk, bytes) in [false, true].into_iter().flat_map(|disk| sizes.iter().map(move |bytes| (disk, *bytes))) {
        for (length, expires, resume, then) in [
            (16, None, false, Then::Same),
            (16, LATER, true, Then::Same),
            (105, None, false, Then::Same),
            (105, LATER, false, Then::Same),
            (105, LATER, true, Then::Same),
            (105, PAST, true, Then::Same),
            (105, LATER, true, Then::Plain),
            (105, LATER, true, Then::Deleted),
            (320, LATER, true, Then::Same),
            (1_000, None, false, Then::Same),
            (1_000, LATER, true, Then::Same),
        ] {
            let set = |key, expires| Op::Set { scope: scope("s"), key, value: vec![1; bytes], expires, resume };
            let count = (200 / set(Vec::new(), expires).rows()).min(100).min((16 << 10) / (length + 1));
            let path = folder.path().join(format!("{bytes} {length} {expires:?} {resume} {then:?}"));
            let store = match disk {
                true => Local::open(&path, &Settings::default()).unwrap(),
                false => memory(),
            };
            let mut random = 1_u64;
            let mut draw = |of: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % of
            };
            let mut list = |then, count: usize| {
                let ops = (0..count).map(|_| {
                    let key = format!("{:0>length$}", draw(40_000)).into_bytes();
                    let expires = expires.map(|from| from + draw(1_700_000_000));
                    match then {
                        Then::Same => set(key, expires),
                        Then::Plain => super::set("s", &key, b"v"),
                        Then::Deleted => delete("s", &key),
                    }
                });
                ops.collect::<Vec<_>>()
            };
            for _ in 0..30_000 / count {
                wait(store.apply(&owner, &quota, list(Then::Same, count))).unwrap();
            }
            let mut times: Vec<_> = (0..100)
                .map(|_| {
                    let ops = list(then, if then == Then::Same { count } else { 100 });
                    let since = Instant::now();
                    wait(store.apply(&owner, &quota, ops)).unwrap();
                    since.elapsed()
                })
                .collect();
            times.sort();
            let kind = match expires {
                None => "no ttl",
                PAST => "expired",
                _ => "ttl",
            };
            println!(
                "disk {disk}, {count} keys of {length} with {bytes} bytes, {kind}, resume {resume}, {then:?}: p50 {:?}, p90 {:?}, most {:?}",
                times[50], times[90], times[99]
            );
        }
    }
}
