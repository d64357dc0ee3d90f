//! Loads and instances on a queue whose only worker is the test: what they do between two looks at it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use crate::actor::Actor;
use crate::grant::Grants;
use crate::load::Load;
use crate::metering::{Pace, Turn};
use crate::motu::Bundled;
use crate::queue::{Job, Queue, Ran};
use crate::share::Share;
use crate::strategy::{Command, Front, Notice, Place, Spec};
use crate::{Bundle, CompileCache, Error, ErrorKind, Limits, Motu, Tenant};

const MIB: u64 = 1 << 20;

fn motu() -> &'static Motu {
    static MOTU: OnceLock<Motu> = OnceLock::new();
    MOTU.get_or_init(|| {
        let limits = Limits { load_deadline: None, event_deadline: None, ..Limits::default() };
        let builder = Motu::builder().compile_cache(CompileCache::Off).limits(limits).image_bytes(16 * MIB);
        builder.on_log(|_| ()).build().unwrap()
    })
}

fn bundle(source: &str) -> Bundle {
    Bundle::from_files([("init.luau", source)]).unwrap()
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

/// Another tenant's job, run once.
struct Probe {
    share: Share,
    has_run: AtomicBool,
}

impl Probe {
    fn new() -> Arc<Probe> {
        Arc::new(Probe { share: Share::new(Pace::USUAL), has_run: AtomicBool::new(false) })
    }

    fn has_run(&self) -> bool {
        self.has_run.load(Ordering::Relaxed)
    }
}

impl Job for Probe {
    fn share(&self) -> &Share {
        &self.share
    }

    #[cfg(debug_assertions)]
    fn what(&self) -> String {
        "a probe".to_owned()
    }

    fn run(self: Arc<Self>, _: &Turn) -> Ran {
        self.has_run.store(true, Ordering::Relaxed);
        Ran { fuel: 0, more: false }
    }

    fn due(self: Arc<Self>) {}

    fn lost(self: Arc<Self>, _: &str) {}
}

/// A queue, and one tenant's share of it.
struct Worker {
    queue: Arc<Queue>,
    share: Share,
    /// Behind all that is in the queue.
    /// What ran last and has more to do.
    again: RefCell<Option<Arc<dyn Job>>>,
    last: Arc<Probe>,
}

impl Worker {
    fn new() -> Worker {
        let worker = Worker {
            queue: Arc::new(Queue::new()),
            share: Share::new(Pace::USUAL),
            again: RefCell::default(),
            last: Probe::new(),
        };
        worker.push_last();
        worker
    }

    fn push_last(&self) {
        self.last.has_run.store(false, Ordering::Relaxed);
        self.last.share.took(1 << 40, 0);
        self.queue.push(self.last.clone());
    }

    /// Runs what is next. Returns the fuel that it burnt; none if there was nothing to run.
    fn step(&self) -> Option<u64> {
        let job = self.queue.next(self.again.take()).unwrap();
        let Ran { fuel, more } = job.clone().run(&Turn::default());
        job.share().took(fuel, fuel);
        if more {
            self.again.replace(Some(job));
        }
        if self.last.has_run() {
            self.push_last();
            return None;
        }
        Some(fuel)
    }

    /// Runs until nothing is left. Returns how many steps that took.
    fn run_out(&self) -> usize {
        std::iter::from_fn(|| self.step()).count()
    }

    /// Runs one step of the tenant's, and one of another's that comes in now. Returns the fuel that was burnt, and whether the other
    /// had its turn.
    fn step_beside_another(&self) -> (u64, bool) {
        let other = Probe::new();
        self.queue.push(other.clone());
        let fuel = self.step().unwrap() + self.step().unwrap();
        (fuel, other.has_run())
    }
}

/// Loads a bundle by hand. Returns the result, how many steps burnt no fuel at its end, and at how many of these another tenant
/// had a turn.
fn load(worker: &Worker, source: &str) -> (Result<Arc<Bundled>, Error>, usize, usize) {
    let (bundle, shared) = (bundle(source), motu().shared().clone());
    let found = Arc::new(Mutex::new(None));
    let (told, of, made) = (found.clone(), shared.clone(), bundle.clone());
    let done = Box::new(move |left: Result<_, Error>, usage| {
        *told.lock().unwrap() = Some(Bundled::new(&of, &made, left, usage).map(Arc::new));
    });
    Load::start(&shared, &worker.queue, &worker.share, &bundle, false, (Arc::new(|| true), Box::new(|| false)), done)
        .unwrap();
    let (mut free, mut beside) = (0, 0);
    loop {
        let (fuel, other) = worker.step_beside_another();
        (free, beside) = if fuel > 0 { (0, 0) } else { (free + 1, beside + usize::from(other)) };
        if let Some(result) = found.lock().unwrap().take() {
            return (result, free, beside);
        }
    }
}

#[test]
fn t10_a_load_goes_on_in_steps_while_its_image_is_taken() {
    let worker = Worker::new();
    let source =
        "kept = buffer.create(50000000) for at = 0, 49999999, 100 do buffer.writeu8(kept, at, 1) end return {}";
    let (loaded, steps, beside) = load(&worker, source);
    let loaded = loaded.unwrap();
    assert!(loaded.image_bytes() > 50_000_000);
    assert!(steps >= 190, "{steps} steps for the image");
    assert!(beside >= 190, "others had {beside} turns");
    // the memory of the VM goes in steps, and then the image
    let steps = worker.run_out();
    assert!(steps >= 45, "{steps} steps for the memory");
    drop(loaded);
    let steps = worker.run_out();
    assert!(steps >= 10, "{steps} steps for the image");
}

#[test]
fn t04_a_load_that_fails_gives_its_memory_back_in_steps() {
    for end in ["error('no')", "while true do kept[#kept + 1] = buffer.create(1000000) end"] {
        let worker = Worker::new();
        let source = format!("kept = {{}} for i = 1, 58 do kept[i] = buffer.create(1000000) end {end}");
        let (loaded, ..) = load(&worker, &source);
        assert!(matches!(loaded.map(drop).unwrap_err().kind(), ErrorKind::Script | ErrorKind::Memory));
        let steps = worker.run_out();
        assert!(steps >= 50, "{end}: {steps} steps");
    }
}

#[test]
fn t10_a_load_s_deadline_holds_while_its_image_is_taken() {
    let worker = Worker::new();
    let limits = Limits { load_deadline: Some(Duration::from_secs(3)), ..Limits::default() };
    let motu = Motu::builder().compile_cache(CompileCache::Off).limits(limits).on_log(|_| ()).build().unwrap();
    let found = Arc::new(Mutex::new(None));
    let told = found.clone();
    let done = Box::new(move |left: Result<_, Error>, _| *told.lock().unwrap() = Some(left.map(drop)));
    let source = bundle("kept = buffer.create(20000000) return {}");
    let (shared, share) = (motu.shared(), worker.share.clone());
    Load::start(shared, &worker.queue, &share, &source, false, (Arc::new(|| true), Box::new(|| false)), done).unwrap();
    while worker.step().unwrap() > 0 {} // until its image is begun
    let mut slept = false;
    let error = loop {
        if let Some(result) = found.lock().unwrap().take() {
            break result.unwrap_err();
        }
        if !std::mem::replace(&mut slept, true) {
            std::thread::sleep(Duration::from_secs(3));
        }
        worker.step();
    };
    assert_eq!(error.kind(), ErrorKind::Deadline);
}

/// Keeps what an instance tells.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Front for Told {
    fn notice(&self, notice: Notice) {
        let text = match notice {
            Notice::Ended { event, answer, .. } => match answer {
                Ok(_) => format!("{event} ok"),
                Err(error) => format!("{event} {:?}", error.kind()),
            },
            Notice::Live { starts } => format!("live {starts}"),
            Notice::Gone => "gone".to_owned(),
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Told {
    fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|told| told == text)
    }
}

const GROWS: &str = "local kept = {} return {
    grow = function() for i = 1, 58 do kept[i] = buffer.create(1000000) end end,
    burst = function() while true do kept[#kept + 1] = buffer.create(1000000) end end,
    small = function() return 1 end }";

fn open(worker: &Worker) -> (impl Place, Arc<Told>) {
    let limits = Limits { event_deadline: None, restarts: None, ..Limits::default() };
    let spec = Spec {
        tenant: tenant("grows:1"),
        name: "main".into(),
        bundle: bundle(GROWS),
        limits: Arc::new(limits),
        seed: Some(1),
        grants: Grants::default(),
    };
    let told = Arc::new(Told::default());
    let front: Weak<dyn Front> = Arc::downgrade(&(told.clone() as Arc<dyn Front>));
    let (shared, queue) = (motu().shared(), &worker.queue);
    (Actor::open(shared, spec, worker.share.clone(), front, queue, queue), told)
}

fn send(place: &impl Place, event: u64, name: &str) {
    let payload = vec![0xc0];
    place.send(Command::Start { event, name: name.into(), payload, time: None, origin: None });
}

#[test]
fn t04_a_fresh_vm_starts_once_the_memory_of_the_last_is_given_back() {
    let worker = Worker::new();
    let (place, told) = open(&worker);
    for round in 1..=3 {
        let starts = format!("live {}", round + 1);
        send(&place, 2 * round, "burst");
        send(&place, 2 * round + 1, "small");
        while !told.has(&format!("{} Memory", 2 * round)) {
            worker.step().unwrap();
        }
        let (mut steps, mut beside) = (0, 0);
        while !told.has(&starts) {
            let (_, other) = worker.step_beside_another();
            (steps, beside) = (steps + 1, beside + usize::from(other));
        }
        assert!(steps >= 50 && beside >= 50, "round {round}: {steps} steps, others had {beside} turns");
        worker.run_out();
        assert!(told.has(&format!("{} ok", 2 * round + 1)));
    }
}

#[test]
fn t04_a_small_vm_is_given_back_at_once() {
    let worker = Worker::new();
    let (place, told) = open(&worker);
    send(&place, 1, "small");
    worker.run_out();
    assert!(told.has("1 ok"));
    place.send(Command::Kill { cause: "a test".to_owned() });
    send(&place, 2, "small");
    assert_eq!(worker.run_out(), 1, "all in one slice");
    assert!(told.has("2 ok"));
}

#[test]
fn t04_who_closes_an_instance_gives_nothing_large_back() {
    let worker = Worker::new();
    let (place, told) = open(&worker);
    send(&place, 1, "grow");
    worker.run_out();
    assert!(told.has("1 ok"));
    drop(place);
    let steps = worker.run_out();
    assert!(steps >= 50, "{steps} steps");
    // closed while it was in the queue
    let (place, told) = open(&worker);
    send(&place, 1, "grow");
    worker.run_out();
    assert!(told.has("1 ok"));
    send(&place, 2, "small");
    drop(place);
    let steps = worker.run_out();
    assert!(steps >= 50, "{steps} steps");
}

#[test]
fn t04_a_queue_that_is_closed_gives_all_back() {
    let worker = Worker::new();
    let (place, told) = open(&worker);
    send(&place, 1, "grow");
    worker.run_out();
    assert!(told.has("1 ok"));
    worker.queue.close();
    drop(place);
    assert_eq!(Arc::strong_count(&worker.queue), 1, "no job is left that holds it");
}

#[test]
fn t22_who_keeps_many_images_evicts_their_own() {
    let worker = Worker::new();
    let bundles = &motu().shared().bundles;
    let image = |n: usize, bytes: usize| {
        let source = format!(
            "kept = buffer.create({bytes}) for at = 0, {bytes} - 1, 100 do buffer.writeu8(kept, at, {n}) end return {{}}"
        );
        let (loaded, ..) = load(&worker, &source);
        loaded.unwrap()
    };
    let (few, many) = (tenant("few:1"), tenant("many:1"));
    let own = image(1, 2_000_000);
    bundles.keep(&own, &few);
    let kept = Arc::downgrade(&own);
    drop(own);
    let mut others = Vec::new();
    for n in 2..20 {
        let other = image(n, 1_000_000);
        bundles.keep(&other, &many);
        others.push(Arc::downgrade(&other));
    }
    let left: Vec<bool> = others.iter().map(|other| other.strong_count() > 0).collect();
    assert!(kept.strong_count() > 0, "the other's image stays");
    assert!(!left[0] && left[17], "its own go, those used longest ago first: {left:?}");
    // whoever else uses it is not charged for it
    let own = kept.upgrade().unwrap();
    bundles.keep(&own, &many);
    drop(own);
    for n in 20..26 {
        bundles.keep(&image(n, 1_000_000), &many);
    }
    assert!(kept.strong_count() > 0);
    worker.run_out();
}
