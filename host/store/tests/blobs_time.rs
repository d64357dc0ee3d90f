//! Numbers for this machine: `cargo test --release k5_time -- --ignored --nocapture`. KV_BENCH names a folder on the disk to measure.

use std::time::{Duration, Instant};

use super::super::blobs::*;
use super::blobs::{append, bytes, done, name, put, range, remove};
use super::*;

fn median(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("median {:.2} ms, most {:.2} ms", ms(times[times.len() / 2]), ms(times[times.len() - 1]))
}

#[test]
#[ignore = "measures"]
fn k5_time() {
    let base = std::env::var_os("KV_BENCH").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base).unwrap();
    let store = Arc::new(Local::open(&folder.path().join("kv"), &Settings::default()).unwrap());
    let me = owner("guild:1");
    let quota = BlobQuota { bytes: u64::MAX, blob_bytes: u64::MAX, ..BlobQuota::default() };
    let timed = |what: &dyn Fn()| {
        let started = Instant::now();
        what();
        started.elapsed()
    };
    let key = || drop(store.done(&me, vec![set("s", b"k", b"v")]).unwrap());
    println!("a key alone: {}", median((0..100).map(|_| timed(&key)).collect()));
    for kib in [1, 64, 256, 1_024, 4_096] {
        let content = bytes(1, kib << 10);
        let times = (0..20).map(|_| timed(&|| drop(done(store.changed(&me, put("a", &content))))));
        println!("put of {kib} KiB over another: {}", median(times.collect()));
    }
    store.swept();
    let file = || std::fs::metadata(folder.path().join("kv/data.redb")).unwrap().len() >> 10;
    println!("file: {} KiB", file());
    let piece = bytes(1, 4 << 20);
    let whole = timed(&|| {
        done(store.changed(&me, put("big", &piece)));
        for part in 1..16 {
            done(wait(store.change_blob(&me, &quota, append("big", &piece, part * piece.len()))));
        }
    });
    println!("64 MiB in pieces of 4 MiB: {whole:?}; file: {} KiB", file());
    let read = |offset, length| {
        let read = || drop(store.blob(&me, &scope("s"), &name("big"), &range(offset, length)).unwrap().unwrap());
        (0..20).map(|_| timed(&read)).collect()
    };
    println!("read 1 MiB of it: {}", median(read(30 << 20, Some(1 << 20))));
    println!("read 100 bytes of it: {}", median(read(40 << 20, Some(100))));
    println!("delete: {:?}", timed(&|| drop(done(store.changed(&me, remove("big"))))));
    let mut steps = Vec::new();
    while *store.due().borrow() == Some(0) {
        steps.push(timed(&|| drop(wait(store.claim(1)).unwrap())));
    }
    println!("freeing it, {} steps: {}", steps.len(), median(steps));
    // keys while another owner puts as much as it can
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, stop, content) = (store.clone(), stop.clone(), bytes(1, 1 << 20));
            std::thread::spawn(move || {
                let mut puts = 0;
                while !stop.load(Ordering::SeqCst) {
                    done(store.changed(&owner("guild:2"), put(&format!("{writer}"), &content)));
                    puts += 1;
                }
                puts
            })
        })
        .collect();
    println!("a key while 8 puts of 1 MiB are always under way: {}", median((0..60).map(|_| timed(&key)).collect()));
    stop.store(true, Ordering::SeqCst);
    let puts: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    println!("{puts} puts meanwhile; file: {} KiB", file());
}
