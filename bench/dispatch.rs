//! Events from another thread than the one that the VM is on: one at a time, and many at once; and what a kill costs.
//!
//! The peer is what a service builds on mlua for this: a thread that owns the VM, a channel to it, and a channel back for
//! each event.

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use motu::{Bundle, ErrorKind, Instance, Limits, Loaded, Motu, Placement, Tenant};
use tokio::sync::oneshot;

use crate::native::Native;
use crate::ours::awake;
use crate::report::Row;
use crate::stats::{median, timed};

const GROUP: &str = "events from another thread (one worker, through the public API; an empty handler)";
const KILLS: &str = "an instance that a limit ends (one worker; native has no such thing)";

const SOURCE: &str = "return { empty = function() end, spin = function() while true do end end }";

/// How many events are under way at once when throughput is measured.
const AT_ONCE: usize = 64;

fn instance(limits: Limits) -> anyhow::Result<(Instance, tokio::runtime::Runtime)> {
    let (loaded, runtime) = loaded(limits)?;
    Ok((loaded.instance("bench:1".parse()?), runtime))
}

fn loaded(limits: Limits) -> anyhow::Result<(Loaded, tokio::runtime::Runtime)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let motu = Motu::builder().limits(limits).placement(Placement::ThreadPool(NonZeroUsize::MIN)).build()?;
    let bundle = Bundle::from_files([("init.luau", SOURCE)])?;
    let loaded = runtime.block_on(motu.load(&bundle))?;
    Ok((loaded, runtime))
}

/// mlua as an actor.
struct Thread(mpsc::Sender<oneshot::Sender<()>>);

impl Thread {
    fn start() -> anyhow::Result<Thread> {
        let (sender, events) = mpsc::channel::<oneshot::Sender<()>>();
        thread::spawn(move || {
            // a VM of mlua's stays on its thread; without one nobody is answered, which the caller reports
            let Ok(native) = Native::from_source(SOURCE, "empty") else { return };
            for answer in events {
                let result: mlua::Result<()> = native.handler.call(());
                if result.is_ok() {
                    let _ = answer.send(()); // nobody waits for it any more
                }
            }
        });
        Ok(Thread(sender))
    }

    async fn dispatch(&self) -> anyhow::Result<()> {
        let (sender, answer) = oneshot::channel();
        self.0.send(sender)?;
        answer.await.context("the thread answers")
    }
}

pub(crate) fn rows(quick: bool) -> anyhow::Result<Vec<Row>> {
    let (blocks, events): (u32, u32) = if quick { (9, 1000) } else { (31, 4000) };
    let (instance, runtime) = instance(Limits { mailbox_events: 10_000, ..Limits::default() })?;
    let native = Thread::start()?;
    runtime.block_on(async {
        instance.dispatch::<()>("empty", &()).await?;
        native.dispatch().await
    })?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut ours_asleep, mut theirs_asleep) = (Vec::new(), Vec::new());
    let (mut ours_each, mut theirs_each) = (Vec::new(), Vec::new());
    for _ in 0..blocks {
        let mine = async || Ok(instance.dispatch::<()>("empty", &()).await.map(drop)?);
        awake(one_by_one(events, &mut ours, mine))?;
        awake(one_by_one(events, &mut theirs, async || native.dispatch().await))?;
        runtime.block_on(one_by_one(events, &mut ours_asleep, mine))?;
        runtime.block_on(one_by_one(events, &mut theirs_asleep, async || native.dispatch().await))?;
        let total = events * 4;
        let ((), us) = timed(|| {
            runtime.block_on(pipelined(total, || async { Ok(instance.dispatch::<()>("empty", &()).await.map(drop)?) }))
        })?;
        ours_each.push(us / f64::from(total));
        let ((), us) = timed(|| runtime.block_on(pipelined(total, || native.dispatch())))?;
        theirs_each.push(us / f64::from(total));
    }
    let name = format!("each, {AT_ONCE} under way at once");
    let mut rows = vec![
        Row::new(GROUP, "one at a time, the caller awake", median(&ours), median(&theirs), "us").id("dispatch"),
        Row::new(GROUP, "the caller's thread sleeps meanwhile", median(&ours_asleep), median(&theirs_asleep), "us"),
        Row::new(GROUP, &name, median(&ours_each), median(&theirs_each), "us").id("dispatch_throughput"),
    ];
    rows.extend(kills(quick)?);
    Ok(rows)
}

/// So many calls, one after the other, and how long each took.
async fn one_by_one(events: u32, us: &mut Vec<f64>, call: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    for _ in 0..events {
        let since = Instant::now();
        call().await?;
        us.push(since.elapsed().as_secs_f64() * 1e6);
    }
    Ok(())
}

/// So many calls, [`AT_ONCE`] under way at once.
async fn pipelined<F: Future<Output = anyhow::Result<()>>>(total: u32, call: impl Fn() -> F) -> anyhow::Result<()> {
    let left = std::cell::Cell::new(total);
    let lane = async || {
        while left.get() > 0 {
            left.set(left.get() - 1);
            call().await?;
        }
        anyhow::Ok(())
    };
    let mut lanes: Vec<_> = (0..AT_ONCE).map(|_| Some(Box::pin(lane()))).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for slot in &mut lanes {
            let Some(lane) = slot else { continue };
            match lane.as_mut().poll(context) {
                std::task::Poll::Ready(Ok(())) => *slot = None,
                std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error)),
                std::task::Poll::Pending => pending = true,
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(Ok(())) }
    })
    .await
}

/// How many ends of a tenant's have a place in a second.
const PLACES: u32 = 10;

/// A budget of a slice is spun away, and the next event is answered by a fresh instance. Of one tenant, whose ends have no place when
/// there are many, and of tenants that are seldom ended.
fn kills(quick: bool) -> anyhow::Result<Vec<Row>> {
    let rounds = if quick { 500 } else { 5_000 };
    let limits = Limits { event_fuel: Some(100_000), restarts: None, ..Limits::default() };
    let (loaded, _runtime) = loaded(limits)?;
    let (mut kill, mut back) = (Vec::new(), Vec::new());
    let (mut placed, mut back_placed) = (Vec::new(), Vec::new());
    awake(async {
        let often = loaded.instance("bench:1".parse()?);
        for number in 0..rounds / PLACES {
            for _ in 0..PLACES {
                killed(&often, &mut kill, &mut back).await?;
            }
            let tenant: Tenant = format!("bench:seldom-{number}").parse()?;
            let seldom = loaded.instance(tenant);
            seldom.dispatch::<()>("empty", &()).await?;
            for _ in 0..PLACES {
                let error = killed(&seldom, &mut placed, &mut back_placed).await?;
                ensure!(error.message().starts_with("init.luau:1: "), "{error}");
            }
        }
        Ok(())
    })?;
    Ok(vec![
        Row::new(KILLS, "from its event to its end, 100,000 fuel", median(&kill), 0.0, "us").id("kill"),
        Row::new(KILLS, "from its end to the next answer", median(&back), 0.0, "us").id("back_in_service"),
        Row::new(KILLS, "to its end, with its place in the script", median(&placed), 0.0, "us").id("kill_placed"),
        Row::new(KILLS, "from that to the next answer", median(&back_placed), 0.0, "us").id("back_placed"),
    ])
}

/// One end, and one answer after it.
async fn killed(instance: &Instance, kill: &mut Vec<f64>, back: &mut Vec<f64>) -> anyhow::Result<motu::Error> {
    let since = Instant::now();
    let Err(error) = instance.dispatch::<()>("spin", &()).await else { anyhow::bail!("it spins for ever") };
    ensure!(error.kind() == ErrorKind::Fuel, "{error}");
    kill.push(since.elapsed().as_secs_f64() * 1e6);
    let since = Instant::now();
    instance.dispatch::<()>("empty", &()).await?;
    back.push(since.elapsed().as_secs_f64() * 1e6);
    Ok(error)
}
