//! Killed at any time (K1, K3): a child process writes until it gets a SIGKILL, and another goes on from there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::schedules::{plan, set_schedule};
use super::*;
use crate::modules::cron::due::Missed;

/// Set for the child: which folder to write in.
const FOLDER: &str = "KV_CRASH_FOLDER";

/// What the child writes in one list.
const KEYS: u64 = 5;

fn child(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("{}::{test}", module_path!().split_once("::").unwrap().1),
            "--nocapture",
            "--include-ignored",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The lines it says until it is killed: so long after the first, or after it was started.
pub(super) fn lines_until_killed(mut child: Child, opened: bool, life: Duration) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let first = if opened { lines.find(|line| line.starts_with("ack ")) } else { None };
    assert_eq!(first.is_some(), opened, "the child did not open the store");
    std::thread::sleep(life);
    assert!(child.try_wait().unwrap().is_none(), "the child gave up by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    // a line that was cut off by the kill has no end
    first.into_iter().chain(lines.filter(|line| line.starts_with("ack ") && line.ends_with(" ."))).collect()
}

pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[test]
#[ignore = "is killed by the test below"]
fn writes_numbered_lists() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = Local::open(Path::new(&folder), &Settings::default()).unwrap();
    let me = owner("guild:1");
    let start = store.value(&me, "n", b"last").map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()) + 1);
    say("\nack -1 .\n");
    for number in start.. {
        let key = |i: u64| (number * KEYS + i).to_be_bytes();
        let mut ops: Vec<_> = (0..KEYS).map(|i| set("s", &key(i), &vec![i as u8; number as usize % 3_000])).collect();
        ops.extend([set("n", b"last", &number.to_be_bytes()), delete("s", &number.saturating_sub(40).to_be_bytes())]);
        store.done(&me, ops).unwrap();
        say(&format!("ack {number} .\n"));
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_nothing_by_halves() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    let mut seen = -1;
    for kill in 0..24_u64 {
        // every third is killed while it opens the store
        let (opened, life) = (kill % 3 != 0, Duration::from_micros(kill * 2_100));
        let said = lines_until_killed(child("writes_numbered_lists", folder.path()), opened, life);
        let acknowledged: i64 = said.last().map_or(-1, |line| line.split(' ').nth(1).unwrap().parse().unwrap());
        let store = Local::open(folder.path(), &Settings::default()).unwrap();
        let last = store.value(&me, "n", b"last").map_or(-1, |value| i64::from_be_bytes(value.try_into().unwrap()));
        // at most one that was done and not yet said
        assert!((0..=1).contains(&(last - acknowledged.max(seen))), "{last}, {acknowledged}, {seen}");
        seen = last;
        let mut expected = BTreeMap::new();
        for number in (0..=last).map(|number| number as u64) {
            for i in 0..KEYS {
                expected.insert((number * KEYS + i).to_be_bytes().to_vec(), vec![i as u8; number as usize % 3_000]);
            }
            expected.remove(number.saturating_sub(40).to_be_bytes().as_slice());
        }
        let (mut found, mut after) = (BTreeMap::new(), None);
        loop {
            let page = store.list(&me, &scope("s"), &Query { after: after.as_deref(), ..all() }).unwrap();
            found.extend(page.entries.into_iter().map(|(key, entry)| (key, entry.value)));
            after = page.more_after;
            if after.is_none() {
                break;
            }
        }
        assert!(found == expected, "after kill {kill}, up to {last}");
        let bytes: usize = found.iter().map(|(key, value)| 1 + key.len() + value.len()).sum::<usize>();
        let (keys, bytes) = (found.len() as u64, bytes as u64);
        let extra = u64::from(last >= 0);
        let usage = Usage { keys: keys + extra, bytes: bytes + extra * 13 + (keys + extra) * Quota::ENTRY_BYTES };
        assert_eq!(store.usage(&me).unwrap(), usage);
    }
    println!("{seen} lists in all");
    assert!(seen > 20);
}

/// A host in small: sets entries that expire, dispatches their events to a "handler" that counts in the store and settles in the
/// same list.
#[test]
#[ignore = "is killed by the test below"]
fn dispatches_events() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let settings = Settings::default();
    let store = Local::open(Path::new(&folder), &settings).unwrap();
    let me = owner("guild:1");
    say("\nack 0 .\n");
    loop {
        let now = (settings.clock)();
        let name = store.get(&me, &scope("n"), b"next").unwrap().map_or(0, |entry| entry.revision);
        let mut ops = vec![set("n", b"next", b"")];
        ops.extend((0..4).map(|i| {
            let expires = now + i * 7;
            set_until("timers", format!("{name}-{i}").as_bytes(), &expires.to_be_bytes(), expires)
        }));
        store.done(&me, ops).unwrap();
        dispatch(&store, &me);
    }
}

/// Claims once, and handles what it is given. An event that comes early, or finds that it was handled, is a failure.
fn dispatch(store: &Local, me: &Owner) {
    for event in wait(store.claim(3)).unwrap() {
        let expires = u64::from_be_bytes(event.value.clone().try_into().unwrap());
        assert!((Settings::default().clock)() >= expires, "early");
        let ops = vec![
            Op::Settle { event: event.number },
            check("marks", &event.place.key, Expected::Absent),
            set("marks", &event.place.key, &event.attempt.to_be_bytes()),
        ];
        store.done(me, ops).expect("the event was handled before");
    }
}

#[test]
fn an_event_has_its_effect_once_wherever_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    for kill in 0..20_u64 {
        lines_until_killed(
            child("dispatches_events", folder.path()),
            kill % 4 != 0,
            Duration::from_micros(15_000 + kill * 2_300),
        );
    }
    let store = Local::open(folder.path(), &Settings::default()).unwrap();
    // what was due, what was claimed and not settled, and what is to come
    let started = std::time::Instant::now();
    while store.due().borrow().is_some() {
        dispatch(&store, &me);
    }
    println!("the rest came within {:?} of the restart", started.elapsed());
    let keys = |name| -> Vec<_> {
        let page = store.list(&me, &scope(name), &all()).unwrap();
        page.entries.into_iter().map(|(key, entry)| (key, entry.value)).collect()
    };
    let marks = keys("marks");
    let again = marks.iter().filter(|(_, attempt)| attempt != &1_u32.to_be_bytes()).count();
    println!("{} events, {again} of them after a kill between claim and settle", marks.len());
    // each timer that was set has one mark, and no timer is left
    assert!(marks.len() > 40 && marks.len().is_multiple_of(4) && keys("timers").is_empty());
    assert_eq!(store.usage(&me).unwrap().keys, marks.len() as u64 + 1);
}

/// A clock a thousand times as fast as the system's, so that a schedule has many runs in the life of a child.
fn fast(settings: Settings) -> Settings {
    let clock = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        // microseconds of the last hundred days or so, as milliseconds
        1_700_000_000_000 + since.as_micros() as u64 % 10_000_000_000_000
    };
    Settings { clock: Arc::new(clock), ..settings }
}

/// Runs a schedule, and marks what it is given in the list that settles it.
#[test]
#[ignore = "is killed by the test below"]
fn t2_runs_a_schedule() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let settings = fast(Settings::default());
    let store = Local::open(Path::new(&folder), &settings).unwrap();
    let me = owner("guild:1");
    // as a script does that sets its schedules whenever it starts
    store.done(&me, vec![set_schedule("a", &plan("*/5 * * * * *", Missed::All))]).unwrap();
    say("\nack 0 .\n");
    loop {
        run_claimed(&store, &me, &settings);
    }
}

/// A run that comes early, or finds that it was marked, is a failure.
fn run_claimed(store: &Local, me: &Owner, settings: &Settings) -> usize {
    let claimed = wait(store.claim(7)).unwrap();
    let count = claimed.len();
    for event in claimed {
        let run = event.run.unwrap();
        assert!((settings.clock)() >= run.at, "early");
        let key = run.at.to_be_bytes();
        let mark = [run.missed.to_be_bytes(), event.attempt.to_be_bytes()].concat();
        let ops =
            vec![Op::Settle { event: event.number }, check("marks", &key, Expected::Absent), set("marks", &key, &mark)];
        store.done(me, ops).expect("the run was handled before");
    }
    count
}

#[test]
fn t2_a_run_has_its_effect_once_wherever_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    for kill in 0..20_u64 {
        let life = Duration::from_micros(15_000 + kill * 2_300);
        lines_until_killed(child("t2_runs_a_schedule", folder.path()), kill % 4 != 0, life);
    }
    let settings = fast(Settings::default());
    let store = Local::open(folder.path(), &settings).unwrap();
    // until then; what was claimed and not settled is among it
    let end = (settings.clock)();
    while store.schedule(&me, "a").unwrap().unwrap().last < end - 5_000 || *store.due().borrow() == Some(0) {
        run_claimed(&store, &me, &settings);
    }
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let marks: Vec<_> = store
        .list(&me, &scope("marks"), &all())
        .unwrap()
        .entries
        .into_iter()
        .map(|(key, entry)| {
            (u64::from_be_bytes(key.try_into().unwrap()), number(&entry.value[..4]), number(&entry.value[4..]))
        })
        .collect();
    let again = marks.iter().filter(|(.., attempt)| *attempt > 1).count();
    let missed: u64 = marks.iter().map(|(_, missed, _)| u64::from(*missed)).sum();
    println!(
        "{} runs, {again} of them after a kill between claim and settle, {missed} too many to make up",
        marks.len()
    );
    // each instant from the first on is marked once, or counted as missed by the next
    assert!(marks.len() > 40);
    for pair in marks.windows(2) {
        assert_eq!(pair[1].0 - pair[0].0, 5_000 * u64::from(pair[1].1 + 1), "{pair:?}");
    }
}
