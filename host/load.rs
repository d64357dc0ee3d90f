//! Loads and checks, as jobs on a queue: sliced like any event, so that none holds a worker. Their fuel is charged to a
//! share, but no rate holds them up. A load ends with the image of its VM, which is taken in steps too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::bundle::Bundle;
use crate::context::Local;
use crate::error::{Error, ErrorKind};
use crate::functions::{Caller, Decided, Life};
use crate::give_back;
use crate::guest::motu::guest::types::File as GuestFile;
use crate::image::Image;
use crate::limits::Limits;
use crate::metering::Turn;
use crate::module::Bounds;
use crate::motu::Shared;
use crate::outcome::Usage;
use crate::queue::{Job, Queue, Ran};
use crate::share::Share;
use crate::vm::{Capturing, Entering, Entry, Exit, Factory, Gauge, Left, Vm};

/// The exit, and the image if a bundle was loaded.
type Loaded = Result<(Exit, Option<Arc<Image>>), Error>;

/// What becomes of it, and what was used.
pub(crate) type Done = Box<dyn FnOnce(Loaded, Usage) + Send>;

/// Whether nobody waits for it any more.
pub(crate) type Unwanted = Box<dyn Fn() -> bool + Send>;

/// Whether one of those who wait still does.
pub(crate) type Wanted = Arc<dyn Fn() -> bool + Send + Sync>;

/// One entry into an empty VM, and the image of what it left.
pub(crate) struct Load {
    factory: Arc<Factory>,
    bundle: Bundle,
    deadline: Option<Duration>,
    since: Instant,
    gauge: Gauge,
    /// Held by the worker that runs a slice of it.
    work: Mutex<Work>,
    tickets: Mutex<Tickets>,
}

#[derive(Default)]
struct Tickets {
    /// Who waits, by the shares of the tenants. Each of them has a ticket.
    payers: HashMap<usize, Vec<Wanted>>,
    /// Tickets whose turn came while another's slice was run.
    parked: Vec<Arc<Ticket>>,
}

/// One tenant's turns for a load.
struct Ticket {
    load: Arc<Load>,
    queue: Arc<Queue>,
    share: Share,
}

struct Work {
    doing: Doing,
    /// Fuel of the slices that were run, as long as the exact figure isn't known.
    fuel: u64,
    done: Option<Done>,
    unwanted: Unwanted,
}

enum Doing {
    Entry(Entering),
    /// The bundle is loaded, and its image is being taken.
    Image(Exit, Box<Capturing>),
    /// It has ended, or was given up.
    Nothing,
}

impl Load {
    /// Starts a load (`check`: a check) on a queue, for whom `wanted` says that it waits. `done` is called once, unless it gets
    /// unwanted before.
    pub(crate) fn start(
        shared: &Shared,
        queue: &Arc<Queue>,
        share: &Share,
        bundle: &Bundle,
        check: bool,
        (wanted, unwanted): (Wanted, Unwanted),
        done: Done,
    ) -> Result<Arc<Load>, Error> {
        let limits = &shared.limits;
        let (since, gauge) = (Instant::now(), Gauge::default());
        check_source(bundle, limits)?;
        let mut vm = shared.factory.empty(limits, bundle.digest().seed(), shared.log.clone(), gauge.clone())?;
        vm.leave_to(give_back::heir(queue, share));
        if !check {
            let caller = caller(shared, &vm, bundle, gauge.clone())?;
            vm = vm.with_caller(caller);
        }
        let (files, modules) = (guest_files(bundle), shared.functions.modules().to_vec());
        let entering = if check {
            vm.enter(Entry::Check { files, modules }, limits.load_fuel, limits.log_bytes, None)
        } else {
            vm.enter(
                Entry::Load { files, entry: bundle.entry().to_owned(), modules },
                limits.load_fuel,
                limits.log_bytes,
                None,
            )
        };
        let work = Work { doing: Doing::Entry(entering), fuel: 0, done: Some(done), unwanted };
        let load = Arc::new(Load {
            factory: shared.factory.clone(),
            bundle: bundle.clone(),
            deadline: limits.load_deadline,
            since,
            gauge,
            work: Mutex::new(work),
            tickets: Mutex::default(),
        });
        load.join(queue, share, wanted);
        Ok(load)
    }

    /// Has it run in the turns of one more, who waits for it too.
    pub(crate) fn join(self: &Arc<Load>, queue: &Arc<Queue>, share: &Share, wanted: Wanted) {
        let mut tickets = self.tickets();
        let waiting = tickets.payers.entry(share.id()).or_default();
        waiting.push(wanted);
        let is_first = waiting.len() == 1;
        drop(tickets);
        if is_first {
            queue.push(Arc::new(Ticket { load: self.clone(), queue: queue.clone(), share: share.clone() }));
        }
    }

    /// Whether a tenant still waits. If it doesn't, it is forgotten, and has no ticket any more.
    fn is_payer(&self, share: &Share) -> bool {
        let mut tickets = self.tickets();
        let Some(waiting) = tickets.payers.get_mut(&share.id()) else { return false };
        while waiting.last().is_some_and(|wanted| !wanted()) {
            waiting.pop();
        }
        let waits = !waiting.is_empty();
        if !waits {
            tickets.payers.remove(&share.id());
        }
        waits
    }

    /// Puts back the tickets whose turn came while it was run.
    fn unpark(&self) {
        let parked = std::mem::take(&mut self.tickets().parked);
        parked.into_iter().for_each(|ticket| ticket.queue.clone().push(ticket));
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, work: &mut Work, result: Loaded) {
        work.doing = Doing::Nothing;
        let usage = Usage { fuel: work.fuel, memory_bytes: self.gauge.bytes(), elapsed: self.since.elapsed() };
        if let Some(done) = work.done.take() {
            done(result.map_err(|error| error.with_usage(usage)), usage);
        }
    }

    /// Does what is next, at the cost of a share, and returns the result once there is one.
    fn step(&self, work: &mut Work, share: &Share, turn: &Turn) -> Option<Loaded> {
        match std::mem::replace(&mut work.doing, Doing::Nothing) {
            Doing::Entry(mut entering) => {
                let left = entering.poll(turn);
                let fuel = left.as_ref().map_or_else(|| entering.fuel(), |left| left.fuel);
                share.burn(fuel.saturating_sub(std::mem::replace(&mut work.fuel, fuel)));
                let Some(Left { vm, exit, .. }) = left else {
                    work.doing = Doing::Entry(entering);
                    return None;
                };
                let exit = match exit {
                    Ok(exit) => exit,
                    Err(error) => return Some(Err(error.with_trace(entering.autopsy(&self.factory, &self.bundle)))),
                };
                match begin_image(exit, vm) {
                    Ok((exit, None)) => return Some(Ok((exit, None))),
                    Ok((exit, Some(capturing))) => work.doing = Doing::Image(exit, Box::new(capturing)),
                    Err(error) => return Some(Err(error)),
                }
            }
            Doing::Image(exit, mut capturing) => match capturing.step() {
                Ok(None) => work.doing = Doing::Image(exit, capturing),
                Ok(image) => return Some(Ok((exit, image))),
                Err(error) => return Some(Err(error)),
            },
            Doing::Nothing => (),
        }
        None
    }
}

/// Begins to take an image if the exit is that of a bundle that was loaded.
fn begin_image(exit: Exit, vm: Option<Vm>) -> Result<(Exit, Option<Capturing>), Error> {
    let vm = vm.ok_or_else(|| Error::internal("a VM was lost without a reason"))?;
    let capturing = if let Exit::Loaded(Ok(_)) = exit { Some(vm.into_image()?) } else { None };
    Ok((exit, capturing))
}

impl Load {
    /// Runs a slice for a tenant that waits.
    fn run(&self, work: &mut Work, share: &Share, turn: &Turn) -> Ran {
        let ended = |fuel| Ran { fuel, more: false };
        if !self.is_payer(share) {
            if (work.unwanted)() {
                (work.doing, work.done) = (Doing::Nothing, None);
            }
            return ended(0);
        }
        let over = || self.deadline.filter(|deadline| self.since.elapsed() >= *deadline);
        if let Some(deadline) = over() {
            let error = match std::mem::replace(&mut work.doing, Doing::Nothing) {
                Doing::Entry(entering) => {
                    out_of_time(deadline).with_trace(entering.autopsy(&self.factory, &self.bundle))
                }
                _ => out_of_time(deadline),
            };
            self.finish(work, Err(error));
            return ended(0);
        }
        let before = work.fuel;
        let result = self.step(work, share, turn);
        let fuel = work.fuel.saturating_sub(before);
        match (result, over()) {
            (Some(Ok(_)), Some(deadline)) => self.finish(work, Err(out_of_time(deadline))),
            (Some(result), _) => self.finish(work, result),
            (None, _) => return Ran { fuel, more: !matches!(work.doing, Doing::Nothing) },
        }
        ended(fuel)
    }
}

impl Job for Ticket {
    fn share(&self) -> &Share {
        &self.share
    }

    #[cfg(debug_assertions)]
    fn what(&self) -> String {
        format!("{} load", self.load.bundle.digest())
    }

    fn run(self: Arc<Self>, turn: &Turn) -> Ran {
        let ran = match self.load.work.try_lock() {
            Ok(mut work) => self.load.run(&mut work, &self.share, turn),
            Err(TryLockError::Poisoned(work)) => self.load.run(&mut work.into_inner(), &self.share, turn),
            Err(TryLockError::WouldBlock) => {
                // whoever runs it puts this one back; unless that one was done just before this one was parked
                self.load.tickets().parked.push(self.clone());
                if !matches!(self.load.work.try_lock(), Err(TryLockError::WouldBlock)) {
                    self.load.unpark();
                }
                return Ran { fuel: 0, more: false };
            }
        };
        self.load.unpark();
        ran
    }

    fn due(self: Arc<Self>) {} // it asks for no time

    fn lost(self: Arc<Self>, cause: &str) {
        let mut work = self.load.work();
        self.load.finish(&mut work, Err(Error::internal(cause)));
        drop(work);
        self.load.unpark();
    }
}

/// Who calls pure functions while a bundle loads.
fn caller(shared: &Shared, vm: &Vm, bundle: &Bundle, gauge: Gauge) -> Result<Caller, Error> {
    let (functions, limits) = (shared.functions.clone(), &shared.limits);
    let tenant = "motu:load".parse()?;
    let (seed, log, clock) = (bundle.digest().seed(), vm.log().clone(), shared.clock.clone());
    let local = Local::new((tenant, Arc::default()), seed, limits.clone(), log, clock, gauge).for_load();
    Ok(Caller {
        seat: functions.seat(),
        functions,
        bounds: Bounds { depth: limits.payload_depth, bytes: limits.payload_bytes },
        decided: Decided::default(),
        local: Arc::new(local),
        spent: Arc::default(),
        answer: Arc::new(|_, _| ()), // what would wait is refused
        life: Life::default(),
    })
}

pub(crate) fn out_of_time(deadline: Duration) -> Error {
    Error::new(ErrorKind::Deadline, format!("out of time: the deadline of {} ms has passed", deadline.as_millis()))
}

fn check_source(bundle: &Bundle, limits: &Limits) -> Result<(), Error> {
    let (bytes, most) = (bundle.source_bytes(), limits.source_bytes);
    if bytes > u64::from(most) {
        let message = format!("over the limit source_bytes of {most}: the files of the bundle have {bytes} bytes");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(())
}

fn guest_files(bundle: &Bundle) -> Vec<GuestFile> {
    let file = |(path, file): (&str, &crate::bundle::File)| GuestFile {
        path: path.to_owned(),
        contents: file.contents.clone(),
        opaque: file.opaque,
    };
    bundle.files().map(file).collect()
}
