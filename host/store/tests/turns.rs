//! Whose turn it is, how much of an owner's makes one commit, and whose time that was (M8).

use std::time::Duration;

use super::super::blobs::{self, *};
use super::super::group::{Bounds, Job, Queue, Task};
use super::super::local::Room;
use super::super::meter::{Charge, Laps, Meter, Times};
use super::blobs::{append, bytes, done, put, remove};
use super::*;

fn job(task: Task) -> Job {
    let (answer, _) = tokio::sync::oneshot::channel();
    Job::new(task, answer, None, Room::default())
}

fn change(of: &str, change: Change) -> Task {
    Task::Blobs(blobs::Task::Change { owner: owner(of), quota: BlobQuota::default(), change })
}

fn list(of: &str, ops: Vec<Op>) -> Task {
    Task::Apply { owner: owner(of), quota: Quota::default(), ops }
}

/// A queue in which these wait.
fn queue(tasks: impl IntoIterator<Item = Task>) -> Queue {
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    for task in tasks {
        sender.send(job(task)).ok().unwrap();
    }
    Queue::new(coming)
}

fn names(group: &[Job]) -> Vec<&str> {
    group.iter().map(|job| job.task.owner().map_or("host", Owner::as_str)).collect()
}

/// A clock that goes on by a millisecond each time that somebody looks.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Meter for Ticks {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::SeqCst))
    }

    fn processor(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst) / 2)
    }
}

#[test]
fn t09_who_took_least_of_the_writers_time_is_next() {
    let small = |of: &'static str| (0..30).map(move |i| list(of, vec![set("s", &[i], b"")]));
    let mut queue = queue(small("heavy:1").chain(small("light:1")).chain(small("light:2")));
    let mut taken = std::collections::HashMap::<String, u32>::new();
    let mut order = Vec::new();
    for _ in 0..40 {
        let job = queue.next(&mut Bounds::default()).unwrap();
        let of = job.task.owner().unwrap().clone();
        // a change of the first takes ten times as long
        let cost = if of.as_str() == "heavy:1" { 10 } else { 1 };
        queue.took(&Some(of.clone()), Duration::from_millis(cost));
        *taken.entry(of.as_str().to_owned()).or_default() += 1;
        order.push(of.as_str().to_owned());
    }
    assert_eq!((taken["heavy:1"], taken["light:1"], taken["light:2"]), (2, 19, 19), "{order:?}");
}

#[test]
fn t09_who_rested_has_no_credit_and_who_comes_anew_pays_off_nothing() {
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let ask = |of: &str| sender.send(job(list(of, vec![set("s", b"k", b"")]))).ok().unwrap();
    let next = |queue: &mut Queue, cost| {
        let job = queue.next(&mut Bounds::default())?;
        let of = job.task.owner().unwrap().clone();
        queue.took(&Some(of.clone()), Duration::from_millis(cost));
        Some(of.as_str().to_owned())
    };
    for _ in 0..20 {
        ask("a:1");
        assert_eq!(next(&mut queue, 10).as_deref(), Some("a:1"));
    }
    ask("a:1");
    assert_eq!(next(&mut queue, 10).as_deref(), Some("a:1"));
    // it starts from where the others are: not 200 turns before the first
    (0..10).for_each(|_| ask("b:1"));
    (0..10).for_each(|_| ask("a:1"));
    let order: Vec<_> = std::iter::from_fn(|| next(&mut queue, 10)).collect();
    let firsts = order.iter().take(6).filter(|of| *of == "a:1").count();
    assert!((2..=3).contains(&firsts), "{order:?}");
    // one that went and came again at once is not before those who waited
    ask("b:1");
    assert_eq!(next(&mut queue, 1_000).as_deref(), Some("b:1"));
    ask("b:1");
    (0..5).for_each(|_| ask("a:1"));
    let order: Vec<_> = std::iter::from_fn(|| next(&mut queue, 10)).collect();
    assert_eq!(order.last().map(String::as_str), Some("b:1"), "{order:?}");
}

/// Eight owners that rested ask for a list of 66 keys each, all at once, while another goes on with small changes; one that comes a moment
/// later with a set waits for none of the lists that isn't begun. Nor do the lists wait for ever.
#[test]
fn m8_of_equal_owners_the_one_is_next_whose_change_takes_least() {
    let long = |of: &str| {
        let set = |i| Op::Set { scope: scope("s"), key: vec![i; 100], value: vec![1], expires: Some(1), resume: true };
        list(of, (0..66).map(set).collect())
    };
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let put = |task| sender.send(job(task)).ok().unwrap();
    let mut queue = Queue::new(coming);
    let mut next = || {
        let job = queue.next(&mut Bounds::default()).unwrap();
        let owner = job.task.owner().cloned();
        let name = owner.as_ref().unwrap().as_str().to_owned();
        queue.took(&owner, Duration::from_millis(if name.starts_with("list") { 4 } else { 1 }));
        name
    };
    (0..1_000).for_each(|_| put(list("busy:1", vec![set("s", b"k", b"")])));
    assert_eq!(next(), "busy:1");
    (0..8).for_each(|i| put(long(&format!("list:{i}"))));
    // once the busy one has had as much as a list takes, the lists are next
    let before = (0..10).take_while(|_| next() != "list:0").count();
    assert!((2..6).contains(&before), "{before}");
    assert_eq!(next(), "list:1");
    put(list("comes:1", vec![set("s", b"k", b"")]));
    assert_eq!(next(), "comes:1");
    let order: Vec<_> = (0..12).map(|_| next()).collect();
    assert_eq!(order.iter().filter(|name| name.starts_with("list")).count(), 6, "{order:?}");
}

/// Two lists that each take as long as a group share no commit, and such a list is not added to a group of small changes: they would wait for the
/// list before, and for this one. One that comes while the list is done is added.
#[test]
fn m8_two_long_changes_share_no_commit() {
    let heavy = |of: &str| {
        let set_at = |i: usize| Op::Set {
            scope: scope("s"),
            key: i.to_be_bytes().to_vec(),
            value: vec![1],
            expires: Some(u64::MAX),
            resume: true,
        };
        list(of, (0..66).map(set_at).collect())
    };
    let small = |of: &str| list(of, vec![set("s", b"k", b"v")]);
    let mut mixed = queue([small("guild:1"), heavy("guild:2"), small("guild:3"), heavy("guild:4")]);
    for group in [&["guild:1", "guild:3"][..], &["guild:2"], &["guild:4"]] {
        let mut bounds = Bounds::default();
        for of in group {
            assert_eq!(names(&[mixed.next(&mut bounds).unwrap()]), [*of]);
        }
        assert!(!bounds.is_full(Duration::from_micros(900)));
        assert!(mixed.next(&mut bounds).is_none());
    }
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let mut bounds = Bounds::default();
    sender.send(job(heavy("guild:1"))).ok().unwrap();
    assert_eq!(names(&[queue.next(&mut bounds).unwrap()]), ["guild:1"]);
    sender.send(job(small("guild:2"))).ok().unwrap();
    sender.send(job(heavy("guild:3"))).ok().unwrap();
    assert!(!bounds.is_full(Duration::from_micros(900)));
    assert_eq!(names(&[queue.next(&mut bounds).unwrap()]), ["guild:2"]);
    assert!(queue.next(&mut bounds).is_none());
}

/// Where only long changes come, more of them share a commit, until one comes that is short.
#[test]
fn m8_long_changes_share_commits_where_nobody_waits_with_short_ones() {
    let long = |i: u8| list(&format!("guild:{i}"), (0..100).map(|key| set("s", &[key], b"v")).collect());
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let mut round = |short: bool| {
        (0..20).for_each(|i| sender.send(job(long(i))).ok().unwrap());
        if short {
            sender.send(job(list("guild:20", vec![set("s", b"k", b"v")]))).ok().unwrap();
        }
        let (mut bounds, mut taken) = (Bounds::default(), 0_u32);
        queue.first(&mut bounds).unwrap();
        loop {
            taken += 1;
            if bounds.is_full(Duration::from_micros(250) * taken) || queue.next(&mut bounds).is_none() {
                break;
            }
        }
        while queue.next(&mut Bounds::default()).is_some() {} // all others
        taken
    };
    let taken: Vec<_> = (0..11).map(|group| round(group == 9)).collect();
    assert_eq!(taken[..8], [4; 8]);
    assert!(taken[8] >= 9, "{taken:?}");
    assert_eq!(taken[10], 4, "{taken:?}");
}

/// What a list left to be freed is freed by the next commit, of a small change alone. The list's owner pays for that, not who made the change;
/// what the commit waited for the disk is paid by who made the change.
#[test]
fn m8_who_left_much_for_the_next_commit_pays_for_its_time() {
    let ticks: Arc<dyn Meter> = Arc::new(Ticks::default());
    let (small, large) = (Some(owner("guild:1")), Some(owner("guild:2")));
    let before = Times::from([(large.clone(), Duration::from_millis(99))]);
    let mut laps = Laps::start(&ticks);
    laps.share();
    laps.lap(small.as_ref());
    let taken: std::collections::HashMap<_, _> = laps.finish(&before).into_iter().collect();
    // three ticks: one was its change, and one of the two others was processor time
    let (small, large) = (taken[&small], taken[&large]);
    let freeing = Duration::from_millis(1);
    let near = |time: Duration, what: Duration| time.abs_diff(what) < Duration::from_micros(1);
    assert!(near(large.shared, freeing * 99 / 100) && near(large.processor, freeing * 99 / 100), "{large:?}");
    assert!(near(small.shared, Duration::from_millis(2) - freeing * 99 / 100), "{small:?}");
    assert!(near(small.processor, Duration::from_millis(2) - freeing * 99 / 100), "{small:?}");
    assert_eq!(laps.into_times().values().sum::<Duration>(), Duration::from_millis(1));

    let told = Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let tell = told.clone();
    let charge = Charge::new(move |owner, time| {
        if owner.as_str() == "guild:2" {
            *tell.lock().unwrap() += time;
        }
    });
    let settings = Settings { meter: Arc::new(Ticks::default()), charge, ..Settings::default() };
    let store = Local::in_memory(&settings).unwrap();
    let apply = |of: &str, op| wait(store.apply(&owner(of), &Quota::default(), vec![op]));
    apply("guild:2", set("s", b"k", b"v")).unwrap();
    let list = *told.lock().unwrap();
    // what commits nothing frees nothing
    apply("guild:1", check("s", b"k", Expected::Revision(1))).unwrap_err();
    assert_eq!(*told.lock().unwrap(), list);
    apply("guild:1", set("s", b"k", b"v")).unwrap();
    let freed = *told.lock().unwrap();
    assert!(freed > list, "{list:?}");
    apply("guild:1", set("s", b"k", b"v")).unwrap();
    assert_eq!(*told.lock().unwrap(), freed, "only the next commit");
}

/// The machine stands still for a second while a small change is made, and again while it is committed. Nobody pays for that, or who made
/// the change would wait until all others have had as much.
#[test]
fn m8_that_the_machine_stands_still_is_paid_by_nobody() {
    /// Each look at the time is a second later; each at the processor's, half a second.
    struct Still(AtomicU64);
    impl Meter for Still {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(1, Ordering::SeqCst))
        }

        fn processor(&self) -> Duration {
            Duration::from_millis(500 * self.0.load(Ordering::SeqCst))
        }
    }
    let told = Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let tell = told.clone();
    let charge = Charge::new(move |_, time| *tell.lock().unwrap() += time);
    let settings = Settings { meter: Arc::new(Still(AtomicU64::new(0))), charge, ..Settings::default() };
    let store = Local::in_memory(&settings).unwrap();
    for i in 0..10 {
        wait(store.apply(&owner("guild:1"), &Quota::default(), vec![set("s", &[i], b"v")])).unwrap();
    }
    let each = *told.lock().unwrap() / 10;
    assert!(each > Duration::from_millis(1) && each < Duration::from_millis(10), "{each:?}");

    let mut laps = Laps::start(&(Arc::new(Still(AtomicU64::new(0))) as Arc<dyn Meter>));
    laps.at_most(Duration::from_millis(1));
    laps.lap(Some(&owner("guild:1")));
    laps.share();
    let taken = laps.finish(&Times::new());
    assert_eq!(taken.len(), 1);
    let (_, taken) = &taken[0];
    assert_eq!(taken.shared, Duration::from_millis(3), "as much as the lap, and 2 ms");
    assert_eq!(taken.processor, Duration::from_millis(4), "with the lap itself");
}

/// Fourteen lists come at once, and each takes twice as long as expected: what comes between them waits for one.
#[test]
fn m8_a_small_change_goes_between_long_ones_however_long_they_take() {
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let put = |of: &str, count: u8| {
        sender.send(job(list(of, (0..count).map(|i| set("s", &[i], b"v")).collect()))).ok().unwrap();
    };
    (0..14).for_each(|i| put(&format!("list:{i}"), 100));
    for _ in 0..14 {
        for (of, took) in [("list", 5_000), ("comes", 10)] {
            let job = queue.next(&mut Bounds::default()).unwrap();
            assert!(job.task.owner().unwrap().as_str().starts_with(of));
            queue.took(&job.task.owner().cloned(), Duration::from_micros(took));
            if of == "list" {
                put("comes:1", 1);
            }
        }
    }
}

/// Lists whose first check fails take little. They tell nothing of the next, which may be carried out.
#[test]
fn m8_what_was_refused_before_lets_nothing_go_before_others() {
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let ops = |fails: bool| {
        let checks = fails.then(|| check("s", b"k", Expected::Revision(1)));
        checks.into_iter().chain((0..100_u8).map(|i| set("s", &[i], b"v"))).collect()
    };
    for _ in 0..100 {
        sender.send(job(list("guild:1", ops(true)))).ok().unwrap();
        let job = queue.next(&mut Bounds::default()).unwrap();
        queue.took(&job.task.owner().cloned(), Duration::from_micros(20));
    }
    sender.send(job(list("guild:1", ops(false)))).ok().unwrap();
    sender.send(job(list("guild:2", vec![set("s", b"k", b"v"); 50]))).ok().unwrap();
    assert_eq!(names(&[queue.next(&mut Bounds::default()).unwrap()]), ["guild:2"]);
}

/// An owner whose changes are large and take nothing has one in each group, and others fill the rest. It has no credit for that, with which
/// its lists would go before all who come anew, for as long as the others took.
#[test]
fn m8_who_has_its_part_of_each_group_gets_no_credit_for_waiting() {
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let put = |of: &str, ops| sender.send(job(list(of, ops))).ok().unwrap();
    let fails = || vec![check("s", b"none", Expected::Revision(1)), set("s", b"large", &[0; 66_000])];
    for i in 0..100 {
        put("lags:1", fails());
        (0..5).for_each(|_| put("pushes:1", vec![set("s", &[i], &[0; 20_000]); 2]));
    }
    (0..20).for_each(|_| put("lags:1", vec![set("s", b"k", b"v"); 100]));
    let group = |queue: &mut Queue| {
        let (mut bounds, mut elapsed, mut served) = (Bounds::default(), Duration::ZERO, Vec::new());
        while !bounds.is_full(elapsed)
            && let Some(job) = queue.next(&mut bounds)
        {
            let of = job.task.owner().unwrap().as_str().to_owned();
            let is_list = matches!(&job.task, Task::Apply { ops, .. } if ops.len() == 100);
            let took = Duration::from_micros(if is_list || of == "pushes:1" { 1_000 } else { 10 });
            queue.took(&job.task.owner().cloned(), took);
            elapsed += took;
            served.push((of, is_list));
        }
        served
    };
    let lagged = (0..150).take_while(|_| !group(&mut queue).iter().any(|(_, is_list)| *is_list)).count();
    assert!((90..=101).contains(&lagged), "{lagged}");
    put("comes:1", vec![set("s", b"k", b"v")]);
    let served: Vec<_> = (0..3).flat_map(|_| group(&mut queue)).take_while(|(of, _)| of != "comes:1").collect();
    assert!(served.len() <= 3, "{served:?}");
}

/// Small changes that fill a group go before lists that don't fit, and bring the clock beyond these. A change of who comes then goes before
/// them, and the next after them.
#[test]
fn m8_who_comes_anew_goes_before_the_lists_of_who_is_behind() {
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let put = |of: &str, ops| sender.send(job(list(of, ops))).ok().unwrap();
    let small = || vec![set("s", b"k", b"v")];
    let long: Vec<_> = (0..50_u8).map(|i| set_until("s", &[i], &[0; 3_000], 1 << 40)).collect();
    assert!(super::super::list::check(&Quota::default(), &long).is_ok());
    (0..4).for_each(|i| put(&format!("list:{i}"), long.clone()));
    (0..20).for_each(|_| put("busy:1", small()));
    let group = |queue: &mut Queue| {
        let (mut bounds, mut elapsed, mut served) = (Bounds::default(), Duration::ZERO, Vec::new());
        while !bounds.is_full(elapsed)
            && let Some(job) = queue.next(&mut bounds)
        {
            let of = job.task.owner().unwrap().clone();
            let took = Duration::from_micros(if of.as_str().starts_with("list") { 5_000 } else { 250 });
            queue.took(&Some(of.clone()), took);
            elapsed += took;
            served.push(of.as_str().to_owned());
        }
        served
    };
    // the lists end at 2.35 ms, and the last of these began at 2.75
    (0..3).for_each(|_| assert_eq!(group(&mut queue), ["busy:1"; 4]));
    put("comes:1", small());
    assert_eq!(group(&mut queue).first().map(String::as_str), Some("comes:1"));
    put("comes:1", small());
    let before: Vec<_> = (0..4).flat_map(|_| group(&mut queue)).collect();
    assert_eq!(before, ["list:0", "list:1", "list:2", "list:3"]);
}

/// Once lists of an owner took eight times as long as was guessed, the next is added to no group of small changes. It is forgotten as others take
/// less, and never goes below what was guessed.
#[test]
fn m8_how_long_an_owners_lists_take_is_learnt() {
    let (sender, coming) = tokio::sync::mpsc::unbounded_channel();
    let mut queue = Queue::new(coming);
    let mut shares = |learnt: &[u32], changed| {
        sender.send(job(list("guild:1", vec![set("s", b"k", b"v")]))).ok().unwrap();
        let long = job(list("guild:2", (0..100_u8).map(|i| set("s", &[i], b"v")).collect()));
        learnt.iter().for_each(|times| queue.learn(&long, long.size.time * *times, changed));
        sender.send(long).ok().unwrap();
        let mut bounds = Bounds::default();
        assert_eq!(names(&[queue.next(&mut bounds).unwrap()]), ["guild:1"]);
        let beside = queue.next(&mut bounds).is_some();
        assert!(beside || queue.next(&mut Bounds::default()).is_some());
        beside
    };
    assert!(shares(&[], true));
    assert!(!shares(&[8], true));
    assert!(!shares(&[0, 0], true));
    // lists that are refused take nothing, and tell nothing of the next
    assert!(!shares(&[0; 30], false));
    assert!(shares(&[0; 30], true));
}

#[test]
fn t09_a_commit_is_bounded_by_bytes_of_each_owner_and_of_all() {
    // what is large comes alone
    let mut large = queue((0..16).map(|_| change("guild:1", put("a", &vec![0; 1 << 20]))));
    assert_eq!(large.gather().unwrap().len(), 1);
    let mut lists = queue((0..16).map(|_| list("guild:1", vec![set("s", b"k", &vec![0; 30_000]); 3])));
    assert_eq!(lists.gather().unwrap().len(), 1);
    // of what is small an owner has a part, and others have theirs beside it
    let flood = (0..200).map(|_| list("guild:1", vec![set("s", b"k", &[0; 20_000])]));
    let mut mixed = queue(flood.chain((0..20).map(|i| list("guild:2", vec![set("s", &[i], b"v")]))));
    let group = mixed.gather().unwrap();
    let own = names(&group).iter().filter(|name| **name == "guild:1").count();
    assert!((5..=6).contains(&own) && group.len() == own + 20, "{own} of {}", group.len());
    // a check counts what it compares with
    let check = |of: &str| list(of, vec![check("s", b"k", Expected::Value(vec![0; 20_000])); 5]);
    let mut checks = queue((0..100).map(|i| check(&format!("guild:{i}"))));
    assert!(checks.gather().unwrap().len() <= 5);
    // and a schedule what it takes to read it
    let plan = super::schedules::plan("* * * * *", crate::modules::cron::due::Missed::Once);
    let mut schedules =
        queue((0..90).map(|i| list("guild:1", vec![super::schedules::set_schedule(&i.to_string(), &plan)])));
    assert!(schedules.gather().unwrap().len() <= 8);
    // keys what their rows take, in each table
    let keys = |of: &str, resume| {
        let set = Op::Set { scope: scope("s"), key: vec![b'k'; 1_000], value: vec![1], expires: Some(1), resume };
        list(of, vec![set; 16])
    };
    let mut long = queue((0..16).map(|_| keys("guild:1", true)));
    assert_eq!(long.gather().unwrap().len(), 1);
    let mut long = queue((0..16).map(|i| keys(&format!("guild:{i}"), i % 2 == 0)));
    assert!((4..=8).contains(&long.gather().unwrap().len())); // the shorter ones first
    // appends to the end of a chunk are as long as that
    let size = CHUNK_BYTES - 1;
    let mut appends = queue((0..200).map(|_| change("guild:1", append("a", b"x", size))));
    assert!(appends.gather().unwrap().len() <= 2);
}

#[test]
fn t09_a_commit_is_bounded_by_time() {
    let settings = Settings { meter: Arc::new(Ticks::default()), ..Settings::default() };
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..settings }).unwrap();
    let still = gate.shut();
    let before = 1; // opening is a commit
    let asked: Vec<_> =
        (0..20_u8).map(|i| store.apply(&owner("guild:1"), &Quota::default(), vec![set("s", &[i], b"v")])).collect();
    drop(still);
    for asked in asked {
        wait(asked).unwrap();
    }
    assert_eq!(store.commits() - before, 20, "each of them took a millisecond and more");
}

/// Its own changes, and its own trash, whoever frees it; the commit by what each took.
#[test]
fn t09_time_is_charged_to_whose_changes_took_it() {
    let ticks: Arc<dyn Meter> = Arc::new(Ticks::default());
    let mut laps = Laps::start(&ticks);
    let (one, other) = (owner("guild:1"), owner("guild:2"));
    laps.share();
    laps.lap(Some(&one));
    for _ in 0..3 {
        laps.lap(Some(&other));
    }
    assert_eq!(laps.fresh().map(|(_, took)| took.as_millis()).sum::<u128>(), 4);
    let taken: std::collections::HashMap<_, _> = laps.finish(&Times::new()).into_iter().collect();
    let (one, other) = (taken[&Some(one)], taken[&Some(other)]);
    assert_eq!(other.shared, one.shared * 3);
    assert_eq!(one.shared + other.shared, Duration::from_millis(2), "the start and the end");
    assert_eq!(one.processor + other.processor, Duration::from_millis(3));

    let told = Arc::new(std::sync::Mutex::new(std::collections::HashMap::<String, Duration>::new()));
    let tell = told.clone();
    let charge = Charge::new(move |owner, time| {
        *tell.lock().unwrap().entry(owner.as_str().to_owned()).or_default() += time;
    });
    let settings = Settings { meter: Arc::new(Ticks::default()), charge, ..Settings::default() };
    let store = Local::in_memory(&settings).unwrap();
    let (many, few) = (owner("guild:1"), owner("guild:2"));
    done(store.changed(&many, put("a", &bytes(1, 20 * CHUNK_BYTES))));
    done(store.changed(&many, remove("a")));
    let before = told.lock().unwrap().clone();
    for i in 0..10_u8 {
        done(store.changed(&few, put("b", &[i])));
    }
    drop(store); // and what was done is told
    let after = told.lock().unwrap().clone();
    assert!(before.contains_key("guild:1") && !before.contains_key("guild:2"));
    assert!(after["guild:1"] > before["guild:1"], "what it left behind was freed in its time: {before:?} {after:?}");
    assert!(after["guild:2"] > Duration::from_millis(10));
}

/// 200 changes of 60 KiB wait; 20 small ones of another are all done before a tenth of those.
#[test]
fn t09_a_neighbour_is_done_long_before_a_flood() {
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..Settings::default() }).unwrap();
    let (flood, neighbour) = (owner("guild:1"), owner("guild:2"));
    let value = bytes(1, 60 << 10);
    let still = gate.shut();
    let lists = (0..200_u8).map(|i| store.apply(&flood, &Quota::default(), vec![set("s", &[i], &value)]));
    let flooded: Vec<_> = lists.collect();
    let asked: Vec<_> =
        (0..20_u8).map(|i| store.apply(&neighbour, &Quota::default(), vec![set("s", &[i], b"v")])).collect();
    drop(still);
    let revisions: Vec<_> = asked.into_iter().map(|asked| wait(asked).unwrap().revisions[0].unwrap()).collect();
    assert!(revisions.iter().all(|revision| *revision <= 40), "{revisions:?}");
    drop(flooded);
}

/// 20 owners have filled the queue, and wait for room in it: a small change of another's doesn't, and is done before most of theirs.
/// Who waited for room was first come, first served: beside 40 tenants that set megabytes, a `kv.set` took 150 ms.
#[test]
fn m8_a_small_change_waits_for_no_room_behind_large_ones() {
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..Settings::default() }).unwrap();
    let value = bytes(1, 1_000_000);
    let still = gate.shut();
    let mut flooded = Vec::new();
    for number in 0..20 {
        let of = owner(&format!("flood:{number}"));
        for key in 0..5_u8 {
            let mut asked = store.apply(&of, &Quota::default(), vec![set("s", &[key], &value)]);
            // in line
            let polled = asked.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
            assert!(polled.is_pending());
            flooded.push(asked);
        }
    }
    let asked: Vec<_> =
        (0..10_u8).map(|key| store.apply(&owner("guild:1"), &Quota::default(), vec![set("s", &[key], b"v")])).collect();
    drop(still);
    for asked in asked {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let soon = async { tokio::time::timeout(Duration::from_secs(20), asked).await };
        let revision = runtime.block_on(soon).expect("it waits for no room").unwrap().revisions[0].unwrap();
        assert!(revision <= 40, "{revision} of 100");
    }
    drop(flooded);
}

/// 16 owners have filled the queue. One has a large change that waits for room, and a small one behind it. The large one is given up, so
/// that the owner has little in the queue; what comes then still waits behind the small one. Another's doesn't.
#[test]
fn m8_changes_of_one_owner_keep_their_order_in_a_full_queue() {
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..Settings::default() }).unwrap();
    let still = gate.shut();
    let mut asked = Vec::new();
    let ask = |of: &str, value: &[u8], bytes: u64| {
        let mut asked = store.way.ask(list(of, vec![set("s", b"k", value)]), bytes);
        let polled = asked.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_pending());
        asked
    };
    for number in 0..16 {
        asked.push(ask(&format!("flood:{number}"), b"", 4 << 20));
    }
    let large = ask("guild:1", b"large", 100_000);
    asked.push(ask("guild:1", &[0], 10));
    drop(large);
    asked.extend((1..10).map(|value| ask("guild:1", &[value], 10)));
    asked.push(ask("guild:2", b"v", 10));
    drop(still);
    asked.into_iter().for_each(|asked| drop(wait(asked).unwrap()));
    assert_eq!(store.value(&owner("guild:1"), "s", b"k"), Some(vec![9]));
    let revision = |of: &str| store.get(&owner(of), &scope("s"), b"k").unwrap().unwrap().revision;
    assert!(revision("guild:2") < revision("guild:1"));
}

/// The fifth has its room when the first is answered, and is polled only after another was asked for: that one is still behind it.
#[test]
fn m8_a_change_overtakes_none_that_has_its_room_and_was_not_told_yet() {
    let gate = Gate::default();
    let store = Local::in_memory(&Settings { clock: gate.clock(), ..Settings::default() }).unwrap();
    let still = gate.shut(); // what is asked is polled before it can be done
    let ask = |value: u8, bytes| {
        let mut asked = store.way.ask(list("guild:1", vec![set("s", b"k", &[value])]), bytes);
        let polled = asked.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        (asked, polled.is_pending())
    };
    let mut asked: Vec<_> = (0..5).map(|value| ask(value, 900_000).0).collect();
    let fifth = asked.pop().unwrap();
    drop(still);
    asked.into_iter().for_each(|asked| drop(wait(asked).unwrap()));
    let (last, waits) = ask(5, 10);
    assert!(waits);
    for asked in [fifth, last] {
        wait(asked).unwrap();
    }
    assert_eq!(store.value(&owner("guild:1"), "s", b"k"), Some(vec![5]));
}
