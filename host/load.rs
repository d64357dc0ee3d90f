//! Loads and checks, as jobs on a queue: sliced like any event, so that none holds a worker. Their fuel is charged to a
//! share, but no rate holds them up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bundle::Bundle;
use crate::error::{Error, ErrorKind};
use crate::guest::motu::guest::types::File as GuestFile;
use crate::limits::Limits;
use crate::metering::Turn;
use crate::motu::Shared;
use crate::outcome::Usage;
use crate::queue::{Job, Queue, Ran};
use crate::share::Share;
use crate::vm::{Entering, Entry, Exit, Gauge, Left, Vm};

/// What becomes of it: the exit and the VM it left, and what was used.
pub(crate) type Done = Box<dyn FnOnce(Result<(Exit, Vm), Error>, Usage) + Send>;

/// Whether nobody waits for it any more.
pub(crate) type Unwanted = Box<dyn Fn() -> bool + Send>;

/// One entry into an empty VM.
pub(crate) struct Load {
    #[cfg(debug_assertions)]
    bundle: crate::bundle::Digest,
    share: Share,
    deadline: Option<Duration>,
    since: Instant,
    gauge: Gauge,
    work: Mutex<Work>,
}

struct Work {
    entering: Option<Entering>,
    /// Fuel of the slices that were run, as long as the exact figure isn't known.
    fuel: u64,
    done: Option<Done>,
    unwanted: Unwanted,
}

impl Load {
    /// Starts a load (`check`: a check) on a queue. `done` is called once, unless it gets unwanted before.
    pub(crate) fn start(
        shared: &Shared,
        queue: &Arc<Queue>,
        share: Share,
        bundle: &Bundle,
        check: bool,
        unwanted: Unwanted,
        done: Done,
    ) -> Result<(), Error> {
        let limits = &shared.limits;
        let (since, gauge) = (Instant::now(), Gauge::default());
        check_source(bundle, limits)?;
        let vm = shared.factory.empty(limits, bundle.digest().seed(), shared.log.clone(), gauge.clone())?;
        let (files, modules) = (guest_files(bundle), shared.functions.modules().to_vec());
        let entering = if check {
            vm.without_image().enter(Entry::Check { files, modules }, limits.load_fuel, limits.log_bytes, None)
        } else {
            vm.enter(
                Entry::Load { files, entry: bundle.entry().to_owned(), modules },
                limits.load_fuel,
                limits.log_bytes,
                None,
            )
        };
        let work = Work { entering: Some(entering), fuel: 0, done: Some(done), unwanted };
        let deadline = limits.load_deadline;
        let load = Load {
            #[cfg(debug_assertions)]
            bundle: bundle.digest(),
            share,
            deadline,
            since,
            gauge,
            work: Mutex::new(work),
        };
        queue.push(Arc::new(load));
        Ok(())
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, work: &mut Work, result: Result<(Exit, Vm), Error>) {
        work.entering = None;
        let usage = Usage { fuel: work.fuel, memory_bytes: self.gauge.bytes(), elapsed: self.since.elapsed() };
        if let Some(done) = work.done.take() {
            done(result.map_err(|error| error.with_usage(usage)), usage);
        }
    }
}

impl Job for Load {
    fn share(&self) -> &Share {
        &self.share
    }

    #[cfg(debug_assertions)]
    fn what(&self) -> String {
        format!("{} load", self.bundle)
    }

    fn run(self: Arc<Self>, turn: &Turn) -> Ran {
        let mut work = self.work();
        let ended = |fuel| Ran { fuel, more: false };
        if (work.unwanted)() {
            work.entering = None;
            work.done = None;
            return ended(0);
        }
        let over = || self.deadline.filter(|deadline| self.since.elapsed() >= *deadline);
        if let Some(deadline) = over() {
            self.finish(&mut work, Err(out_of_time(deadline)));
            return ended(0);
        }
        let Some(entering) = &mut work.entering else { return ended(0) };
        match entering.poll(turn) {
            None => {
                let fuel = entering.fuel();
                let burnt = fuel.saturating_sub(std::mem::replace(&mut work.fuel, fuel));
                self.share.burn(burnt);
                Ran { fuel: burnt, more: true }
            }
            Some(Left { vm, exit, fuel }) => {
                let burnt = fuel.saturating_sub(work.fuel);
                self.share.burn(burnt);
                work.fuel = fuel;
                let vm = vm.ok_or_else(|| Error::internal("a VM was lost without a reason"));
                let exit = match over() {
                    Some(deadline) if exit.is_ok() => Err(out_of_time(deadline)),
                    _ => exit,
                };
                let result = exit.and_then(|exit| Ok((exit, vm?)));
                self.finish(&mut work, result);
                ended(burnt)
            }
        }
    }

    fn due(self: Arc<Self>) {} // it asks for no time

    fn lost(self: Arc<Self>, cause: &str) {
        let mut work = self.work();
        self.finish(&mut work, Err(Error::internal(cause)));
    }
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
