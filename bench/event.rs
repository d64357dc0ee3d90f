//! What one event costs once the instance is there, and one caught error in it.

use anyhow::ensure;

use crate::native::Native;
use crate::ours::{Ours, answered, tenant};
use crate::report::Row;
use crate::scripts::{BUNDLE, CATCHER, EVENT, FIRST_ANSWER, PAYLOAD};
use crate::stats::{median, timed};

const GROUP: &str = "a live instance at work (medians of blocks; the sides take turns)";

/// An event with a small string there and back.
pub(crate) fn warm(quick: bool) -> anyhow::Result<Vec<Row>> {
    const EVENTS: u32 = 2_000;
    let (ours, tenant) = (Ours::new()?, tenant()?);
    let (instance, answer) = ours.run(answered(&ours.load(BUNDLE)?, &tenant, EVENT, PAYLOAD))?;
    ensure!(answer == FIRST_ANSWER, "the first answer is {answer:?}, not {FIRST_ANSWER:?}");
    let native = Native::from_source(BUNDLE, EVENT)?;
    native.handler.call::<String>(PAYLOAD)?;

    let (mut ours_us, mut native_us) = (Vec::new(), Vec::new());
    for _ in 0..if quick { 11 } else { 61 } {
        let (last, us) = timed(|| {
            ours.run(async {
                let mut last = String::new();
                for _ in 0..EVENTS {
                    last = instance.dispatch::<String>(EVENT, PAYLOAD).await?.value;
                }
                Ok(last)
            })
        })?;
        ours_us.push(us / f64::from(EVENTS));
        let (expected, us) = timed(|| {
            let mut last = String::new();
            for _ in 0..EVENTS {
                last = native.handler.call::<String>(PAYLOAD)?;
            }
            Ok(last)
        })?;
        native_us.push(us / f64::from(EVENTS));
        ensure!(last == expected, "motu answers {last:?}, native {expected:?}");
    }
    Ok(vec![Row::new(GROUP, "warm event", median(&ours_us), median(&native_us), "us").id("warm_event")])
}

/// One `pcall` of a function that raises, among many in an event.
pub(crate) fn caught(quick: bool) -> anyhow::Result<Vec<Row>> {
    const ERRORS: u32 = 10_000;
    let ours = Ours::new()?;
    let instance = ours.load(CATCHER)?.instance(tenant()?);
    let native = Native::from_source(CATCHER, "run")?;

    let (mut ours_us, mut native_us) = (Vec::new(), Vec::new());
    for round in 0..if quick { 6 } else { 26 } {
        let (outcome, us) = timed(|| Ok(ours.run(instance.dispatch::<u32>("run", &ERRORS))?))?;
        let (expected, native_took_us) = timed(|| Ok(native.handler.call::<u32>(ERRORS)?))?;
        ensure!(outcome.value == ERRORS && expected == ERRORS, "not every error was caught");
        // the first round warms up
        if round > 0 {
            ours_us.push(us / f64::from(ERRORS));
            native_us.push(native_took_us / f64::from(ERRORS));
        }
    }
    Ok(vec![Row::new(GROUP, "caught error", median(&ours_us), median(&native_us), "us").id("caught_error")])
}
