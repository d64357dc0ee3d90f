//! What a guest can call. A host function's call is more than a function of the state: it charges fuel, and gives the worker
//! to others when that was as much as a slice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{StoreContextMut, Trap};

use super::{State, Stop, panic_text};
use crate::functions::tariff::Crossing;
use crate::functions::{Admission, Arguments, Begun, Call, Caller, Outcome, Trying, tariff};
use crate::guest::motu::guest::host::{Called, Host, Limit, LogLevel as GuestLevel, add_to_linker};
use crate::guest::motu::guest::types::Answer;
use crate::log::LogLevel;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    linker.allow_shadowing(true);
    linker.instance("motu:guest/host")?.func_wrap_async("call", |store, (wait, function, arguments)| {
        Box::new(async move { Ok((called(store, wait, function, arguments).await?,)) })
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Calls a host function. Its arguments are charged before, its answer and what it charged itself after, so that a script
/// can't have for nothing what a worker spends time on.
async fn called(
    mut store: StoreContextMut<'_, State>,
    wait: u32,
    function: u32,
    arguments: Vec<u8>,
) -> wasmtime::Result<Called> {
    let mut fuel = tariff::call(arguments.len());
    let mut arguments = Arguments::new(arguments);
    loop {
        let counted = arguments.count();
        fuel = fuel.saturating_add(counted.fuel);
        if counted.is_done {
            break;
        }
        charge(&mut store, std::mem::take(&mut fuel))?;
        store.data().meter.pause().await;
    }
    #[cfg(test)]
    if let Some(called) = store.data_mut().scripted.answer(wait, function, arguments.bytes()) {
        return Ok(called);
    }
    let mut trying = Trying::new(function, &arguments);
    let admission = loop {
        let (admission, tried) = store.data_mut().caller()?.admit(&mut trying);
        charge(&mut store, fuel.saturating_add(tried))?;
        fuel = 0;
        match admission {
            Admission::More => store.data().meter.pause().await,
            admission => break admission,
        }
    };
    let outcome = match admission {
        Admission::Refused(answer) => Outcome::Ready(answer, 0),
        _ => store.data_mut().call(wait, function, arguments)?,
    };
    match computed(&mut store, outcome).await? {
        Ok(answer) => Ok(Called::Ready(answer)),
        Err(call) if wait == 0 => {
            drop(call);
            Ok(Called::Ready(store.data_mut().caller()?.not_at_once(function)))
        }
        Err(call) => {
            let state = store.data_mut();
            let owner = state.owner()?;
            let kept = state.waits.call(wait, call, owner, state.limits.calls_in_flight);
            kept.map_err(|error| Stop::Guest { error })?;
            state.memory.check(state.memory.gauge.bytes())?;
            Ok(Called::Pending)
        }
    }
}

/// Goes on with a call that has waited, and computes now. None: it waits again.
pub(super) async fn go_on(
    mut store: StoreContextMut<'_, State>,
    wait: u32,
    begun: Begun,
) -> wasmtime::Result<Option<Answer>> {
    let outcome = store.data_mut().caller()?.go_on(begun);
    let computed = computed(&mut store, outcome).await?;
    let waits = &mut store.data_mut().waits;
    Ok(match computed {
        Ok(answer) => {
            waits.take(wait);
            Some(answer)
        }
        Err(call) => {
            waits.wait_again(wait, call);
            None
        }
    })
}

/// Polls a call for as long as it computes, and lets others run in between. It has its answer then, or waits.
async fn computed(
    store: &mut StoreContextMut<'_, State>,
    mut outcome: Outcome,
) -> wasmtime::Result<Result<Answer, Call>> {
    loop {
        match outcome {
            Outcome::GivesWay(begun, fuel) => {
                charge(store, fuel)?;
                store.data().meter.pause().await;
                outcome = store.data_mut().caller()?.go_on(begun);
            }
            Outcome::Ready(answer, fuel) => {
                let mut fuel = fuel.saturating_add(tariff::answer(&answer));
                let mut crossing = Crossing::default();
                loop {
                    let counted = crossing.step(tariff::crossing(&answer), |_, _, _| ());
                    fuel = fuel.saturating_add(counted.fuel);
                    charge(store, std::mem::take(&mut fuel))?;
                    give_way(store).await;
                    if counted.is_done {
                        return Ok(Ok(answer));
                    }
                }
            }
            Outcome::Pending(call, fuel) => {
                charge(store, fuel)?;
                give_way(store).await;
                return Ok(Err(call));
            }
            Outcome::Panicked { what, message } => return Err(Stop::Panicked { what, message }.into()),
        }
    }
}

/// Takes fuel from the entry.
///
/// A charge starts wasmtime's count of the slice anew, so the slice is counted here too.
fn charge(store: &mut StoreContextMut<'_, State>, fuel: u64) -> wasmtime::Result<()> {
    let Some(left) = store.get_fuel()?.checked_sub(fuel) else {
        store.set_fuel(0)?;
        return Err(Trap::OutOfFuel.into());
    };
    store.set_fuel(left)?;
    store.data().meter.charged(left);
    Ok(())
}

/// Lets others run if the slice or the turn is over.
async fn give_way(store: &mut StoreContextMut<'_, State>) {
    let meter = &store.data().meter;
    if meter.is_full() {
        meter.pause().await;
    }
}

impl State {
    fn caller(&mut self) -> Result<&mut Caller, Stop> {
        self.caller.as_mut().ok_or_else(calls_too_soon)
    }

    /// Makes a call for whoever the entry is made for.
    fn call(&mut self, wait: u32, function: u32, arguments: Arguments) -> Result<Outcome, Stop> {
        let (Some(caller), owner) = (&mut self.caller, &self.owner) else { return Err(calls_too_soon()) };
        let (event, origin) = owner.as_ref().map_or_else(Default::default, |owner| (owner.name.clone(), owner.origin));
        Ok(caller.call(wait, function, arguments, event, origin))
    }
}

fn calls_too_soon() -> Stop {
    Stop::Guest { error: "it calls while it is checked".to_owned() }
}

impl crate::guest::motu::guest::types::Host for State {}

impl Host for State {
    fn log(&mut self, level: GuestLevel, text: Vec<u8>) -> wasmtime::Result<()> {
        let level = match level {
            GuestLevel::Debug => LogLevel::Debug,
            GuestLevel::Info => LogLevel::Info,
            GuestLevel::Warn => LogLevel::Warn,
            GuestLevel::Error => LogLevel::Error,
        };
        let event = self.owner.as_ref().map(|owner| owner.name.clone());
        let text = match self.log.take(text, 0) {
            Ok(text) => text,
            Err(over) => return self.exceeded(Limit::LogBytes, over.to_string().into_bytes()),
        };
        match catch_unwind(AssertUnwindSafe(|| self.log.write(event, level, text, None))) {
            Ok(()) => Ok(()),
            Err(panic) => {
                let message = panic_text(&*panic);
                Err(Stop::Panicked { what: "the function given to on_log".to_owned(), message }.into())
            }
        }
    }

    fn wall_clock(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.clock.since_1970().as_nanos()).unwrap_or(u64::MAX))
    }

    fn monotonic_clock(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX))
    }

    fn sleep(&mut self, wait: u32, nanoseconds: u64) -> wasmtime::Result<()> {
        let due = self.clock.now().checked_add(Duration::from_nanos(nanoseconds));
        let due = due.ok_or_else(|| Stop::Guest { error: format!("it sleeps for {nanoseconds} ns") })?;
        let owner = self.owner()?;
        self.waits.sleep(wait, due, owner, self.limits.timers).map_err(|error| Stop::Guest { error })?;
        Ok(self.memory.check(self.memory.gauge.bytes())?)
    }

    /// [`called`] stands in its place.
    fn call(&mut self, _: u32, _: u32, _: Vec<u8>) -> wasmtime::Result<Called> {
        Err(Stop::Guest { error: "it calls without a way to wait".to_owned() }.into())
    }

    fn abandon(&mut self, wait: u32) -> wasmtime::Result<()> {
        #[cfg(test)]
        self.scripted.abandoned.push(wait);
        self.waits.take(wait);
        Ok(())
    }

    fn close(&mut self, handle: u32) -> wasmtime::Result<()> {
        if let Some(caller) = &self.caller {
            caller.local.close(handle);
        }
        Ok(())
    }

    fn traced(&mut self, left_out: u32, path: Vec<u8>, line: u32, name: Vec<u8>) -> wasmtime::Result<()> {
        let unasked = || Stop::Guest { error: "it tells of its frames unasked".to_owned() };
        Ok(self.frames.as_mut().ok_or_else(unasked)?.add(left_out, path, line, name)?)
    }

    fn exceeded(&mut self, limit: Limit, detail: Vec<u8>) -> wasmtime::Result<()> {
        let detail = String::from_utf8_lossy(detail.get(..detail.len().min(1024)).unwrap_or_default()).into_owned();
        let (limit, most) = match limit {
            Limit::Memory => {
                return Err(Stop::Memory { wanted: "a block larger than any memory was".to_owned() }.into());
            }
            Limit::ResultBytes => ("result_bytes", self.limits.result_bytes),
            Limit::ResultDepth => ("result_depth", self.limits.result_depth),
            Limit::LogBytes => ("log_bytes", self.limits.log_bytes),
        };
        Err(Stop::Limit { limit, most, detail }.into())
    }
}
