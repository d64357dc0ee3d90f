//! The interpreter in wasm, with fuel, beside the native one: nine scripts and their geometric mean.

use anyhow::ensure;
use motu::Instance;

use crate::native::Native;
use crate::ours::{Ours, tenant};
use crate::report::Row;
use crate::scripts::INTERPRETER;
use crate::stats::{best, geometric_mean, timed};

const GROUP: &str = "interpreter (best of all rounds; the sides take turns; one round to warm up)";

struct Contest {
    name: &'static str,
    instance: Instance,
    native: Native,
    ours_ms: Vec<f64>,
    native_ms: Vec<f64>,
}

impl Contest {
    fn new(ours: &Ours, name: &'static str, body: &str) -> anyhow::Result<Contest> {
        let source = format!("return {{ run = function() {body} end }}");
        let instance = ours.load(&source)?.instance(tenant()?);
        let native = Native::from_source(&source, "run")?;
        Ok(Contest { name, instance, native, ours_ms: Vec::new(), native_ms: Vec::new() })
    }

    fn round(&mut self, ours: &Ours, counts: bool) -> anyhow::Result<()> {
        let (outcome, ours_us) = timed(|| Ok(ours.run(self.instance.dispatch::<f64>("run", &()))?))?;
        let (expected, native_us) = timed(|| Ok(self.native.handler.call::<f64>(())?))?;
        ensure!(outcome.value == expected, "{}: motu answers {}, native {expected}", self.name, outcome.value);
        if counts {
            self.ours_ms.push(ours_us / 1e3);
            self.native_ms.push(native_us / 1e3);
        }
        Ok(())
    }
}

pub(crate) fn rows(quick: bool) -> anyhow::Result<Vec<Row>> {
    let ours = Ours::new()?;
    let mut contests =
        INTERPRETER.iter().map(|(name, body)| Contest::new(&ours, name, body)).collect::<anyhow::Result<Vec<_>>>()?;
    for round in 0..if quick { 16 } else { 121 } {
        for contest in &mut contests {
            contest.round(&ours, round > 0)?;
        }
    }
    let pairs: Vec<(f64, f64)> =
        contests.iter().map(|contest| (best(&contest.ours_ms), best(&contest.native_ms))).collect();
    let mut rows: Vec<Row> = contests
        .iter()
        .zip(&pairs)
        .map(|(contest, (ours, native))| Row::new(GROUP, contest.name, *ours, *native, "ms"))
        .collect();
    let (ours, native): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let mean = Row::new(GROUP, "geometric mean of the nine", geometric_mean(&ours), geometric_mean(&native), "ms");
    rows.push(mean.id("interp_geomean").goal(1.25));
    Ok(rows)
}
