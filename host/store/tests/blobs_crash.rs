//! Killed at any time (K5): a child process changes blobs until it gets a SIGKILL, and another goes on from there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::super::blobs::*;
use super::blobs::{append, bytes, done, every, put, remove, rename};
use super::crash::{lines_until_killed, say};
use super::*;

/// Set for the child: which folder to write in, and from which change on.
const FOLDER: &str = "BLOB_CRASH_FOLDER";
const START: &str = "BLOB_CRASH_START";

type Held = BTreeMap<&'static str, Vec<u8>>;

/// The change of this number, where the blobs are so; and makes them what they are after it.
fn change(number: u64, blobs: &mut Held) -> Change {
    let content = bytes(number, (number as usize * 7_919) % (3 * CHUNK_BYTES));
    let mut set = |name, content: Vec<u8>| {
        blobs.insert(name, content.clone());
        put(name, &content)
    };
    match number % 6 {
        0 => set("a", content),
        2 => set("b", content),
        5 if number.is_multiple_of(4) => set("d", vec![number as u8; 3]),
        3 => {
            let moved = blobs.remove("b").unwrap();
            blobs.insert("c", moved);
            rename("b", "c")
        }
        5 => {
            blobs.remove("a");
            remove("a")
        }
        _ => {
            let name = if number % 6 == 1 { "a" } else { "c" };
            let whole = blobs.get_mut(name).unwrap();
            let size = whole.len();
            whole.extend_from_slice(&content);
            append(name, &content, size)
        }
    }
}

/// The blobs after so many changes.
fn after(count: u64) -> Held {
    let mut blobs = Held::new();
    for number in 0..count {
        change(number, &mut blobs);
    }
    blobs
}

#[test]
#[ignore = "is killed by the test below"]
fn changes_numbered_blobs() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let start: u64 = std::env::var(START).unwrap().parse().unwrap();
    let store = Local::open(Path::new(&folder), &Settings::default()).unwrap();
    let me = owner("guild:1");
    let mut blobs = after(start);
    say(&format!("\nack {start} .\n"));
    for number in start.. {
        done(store.changed(&me, change(number, &mut blobs)));
        if number % 3 == 0 {
            wait(store.claim(1)).unwrap(); // frees
        }
        say(&format!("ack {} .\n", number + 1));
    }
}

#[test]
fn k5_what_was_acknowledged_is_there_after_a_kill_and_no_chunk_is_lost_or_left() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    let mut count = 0;
    for kill in 0..24_u64 {
        // every third is killed while it opens the store
        let (opened, life) = (kill % 3 != 0, Duration::from_micros(kill * 3_100));
        let test = format!("{}::changes_numbered_blobs", module_path!().split_once("::").unwrap().1);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture", "--include-ignored"])
            .env(FOLDER, folder.path())
            .env(START, count.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = lines_until_killed(child, opened, life);
        let acknowledged: u64 = said.last().map_or(count, |line| line.split(' ').nth(1).unwrap().parse().unwrap());
        let store = Local::open(folder.path(), &Settings::default()).unwrap();
        let listed = store.blobs(&me, &scope("s"), &every()).unwrap().blobs;
        let found: BTreeMap<_, _> = listed
            .iter()
            .map(|(name, _)| str::from_utf8(name).unwrap())
            .map(|name| (name, store.content(&me, name).unwrap()))
            .collect();
        // at most one that was done and not yet said
        count = (acknowledged..=acknowledged + 1)
            .find(|count| {
                after(*count).iter().map(|(name, bytes)| (*name, bytes)).eq(found.iter().map(|(n, b)| (*n, b)))
            })
            .unwrap_or_else(|| panic!("after kill {kill} the blobs are not those of {acknowledged}: {listed:?}"));
        let bytes: u64 = found.values().map(|bytes| bytes.len() as u64 + 2 + BlobQuota::BLOB_BYTES).sum();
        assert_eq!(store.blob_usage(&me).unwrap(), BlobUsage { blobs: found.len() as u64, bytes });
        if kill % 2 == 0 {
            store.swept();
            let chunks: usize = found.values().map(|bytes| bytes.len().div_ceil(CHUNK_BYTES)).sum();
            assert_eq!(store.chunks(), chunks as u64);
        }
    }
    println!("{count} changes in all");
    assert!(count > 20);
}
