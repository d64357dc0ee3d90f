//! From nothing to the first answer: an instance from a bundle's image, beside a native VM that loads the bundle.
//!
//! Motu keeps the memories of instances that are gone and puts them right, so one instance after another is its best case.
//! The figure that is followed is the other one: every instance stays, and each is made on memory that was never used.

use std::time::Instant;

use anyhow::ensure;

use crate::native::{Native, compiler};
use crate::ours::{Ours, answered, tenant};
use crate::proc::page_faults;
use crate::report::Row;
use crate::scripts::{BUNDLE, EVENT, FIRST_ANSWER, PAYLOAD};
use crate::stats::{median, timed};

const KEPT: &str = "a new instance and its first event, each on fresh memory (medians; all stay alive)";
const CHURN: &str = "the same, one after another (medians; create, answer, drop: Motu's memories are warm)";

/// The sides take turns block by block: short enough to share the machine's moods, long enough for warm caches.
const BLOCK: usize = 50;

/// One way to make what answers an event.
struct Side<'a, T> {
    make: Box<dyn FnMut() -> anyhow::Result<(T, String)> + 'a>,
    kept: Vec<T>,
    us: Vec<f64>,
    faults: f64,
}

impl<'a, T> Side<'a, T> {
    fn new(make: impl FnMut() -> anyhow::Result<(T, String)> + 'a) -> Side<'a, T> {
        Side { make: Box::new(make), kept: Vec::new(), us: Vec::new(), faults: 0.0 }
    }

    fn make(&mut self) -> anyhow::Result<T> {
        let (made, answer) = (self.make)()?;
        ensure!(answer == FIRST_ANSWER, "the first answer is {answer:?}, not {FIRST_ANSWER:?}");
        Ok(made)
    }

    fn keep_block(&mut self) -> anyhow::Result<()> {
        let before = page_faults()?;
        for _ in 0..BLOCK {
            let (made, us) = timed(|| self.make())?;
            self.kept.push(made);
            self.us.push(us);
        }
        self.faults += page_faults()? - before;
        Ok(())
    }

    fn churn_block(&mut self) -> anyhow::Result<()> {
        for _ in 0..BLOCK {
            let ((), us) = timed(|| self.make().map(drop))?;
            self.us.push(us);
        }
        Ok(())
    }

    /// The median, leaving no samples.
    fn take_median(&mut self) -> f64 {
        median(&std::mem::take(&mut self.us))
    }

    /// Drops all that was kept; returns what one took, in microseconds.
    fn drop_kept(&mut self) -> f64 {
        let count = f64::from(u32::try_from(self.kept.len()).unwrap_or(u32::MAX));
        let start = Instant::now();
        self.kept.clear();
        start.elapsed().as_secs_f64() * 1e6 / count
    }
}

pub(crate) fn rows(quick: bool) -> anyhow::Result<Vec<Row>> {
    let blocks = if quick { 4 } else { 20 };
    let made = f64::from(blocks) * f64::from(u32::try_from(BLOCK)?);
    let (ours, tenant) = (Ours::new()?, tenant()?);
    let loaded = ours.load(BUNDLE)?;
    let bytecode = compiler().compile(BUNDLE)?;

    let native = |native: Native| -> anyhow::Result<(Native, String)> {
        let answer = native.handler.call(PAYLOAD)?;
        Ok((native, answer))
    };
    let mut motu = Side::new(|| ours.run(answered(&loaded, &tenant, EVENT, PAYLOAD)));
    let mut source = Side::new(|| native(Native::from_source(BUNDLE, EVENT)?));
    let mut binary = Side::new(|| native(Native::from_bytecode(&bytecode, EVENT)?));

    // warm up: code paged in, lazily made things made
    for _ in 0..20 {
        drop((motu.make()?, source.make()?, binary.make()?));
    }
    for _ in 0..blocks {
        motu.keep_block()?;
        source.keep_block()?;
        binary.keep_block()?;
    }
    let kept = [motu.take_median(), source.take_median(), binary.take_median()];
    let drops = [motu.drop_kept(), source.drop_kept()];
    for _ in 0..blocks {
        motu.churn_block()?;
        source.churn_block()?;
        binary.churn_block()?;
    }
    let churn = [motu.take_median(), source.take_median(), binary.take_median()];

    Ok(vec![
        Row::new(KEPT, "native from source", kept[0], kept[1], "us").id("create_first_event").goal(0.25),
        Row::new(KEPT, "native from bytecode", kept[0], kept[2], "us").id("create_first_event_bytecode"),
        Row::new(KEPT, "its page faults", motu.faults / made, source.faults / made, "each"),
        Row::new(KEPT, "dropping it", drops[0], drops[1], "us"),
        Row::new(CHURN, "native from source", churn[0], churn[1], "us"),
        Row::new(CHURN, "native from bytecode", churn[0], churn[2], "us"),
    ])
}
