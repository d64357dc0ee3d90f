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
