//! `motu load`: many tenants at once, some of them hostile, as a scenario in a file says.

mod drive;
mod report;
mod scenario;

use std::process::ExitCode;

use motu::{HostModule, Limits, Motu, Placement};

use crate::args::Load;
use crate::failure::Failure;
use crate::print;
use scenario::Scenario;

pub(crate) fn load(load: &Load) -> ExitCode {
    match loaded(load) {
        Ok((text, held)) => print(&text, if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Err(failure) if load.json => crate::report::json(&Err(failure)),
        Err(failure) => failure.show(),
    }
}

fn loaded(load: &Load) -> Result<(String, bool), Failure> {
    let scenario = Scenario::read(&load.file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .map_err(|error| Failure::host(format!("no runtime could be made: {error}")))?;
    let motu = motu(&scenario)?;
    let results = runtime.block_on(drive::run(&motu, &scenario, !load.json))?;
    let broken = scenario::broken(&scenario, &results);
    let text = if load.json { report::json(&scenario, &results, &broken) } else { report::table(&results, &broken) };
    runtime.shutdown_background();
    Ok((text, broken.is_empty()))
}

/// What scenarios have beside Motu's own modules.
const SLOW: &str = "package load:slow; interface slow { sleep: func(seconds: f64); }";

fn motu(scenario: &Scenario) -> Result<Motu, Failure> {
    let placement = match (scenario.thread_per_tenant, scenario.workers) {
        (true, _) => Placement::ThreadPerTenant,
        (false, Some(workers)) => Placement::ThreadPool(workers),
        (false, None) => Placement::default(),
    };
    // a call that takes as many seconds as it is asked to: what a slow database looks like
    let slow = HostModule::from_wit(SLOW)?.function("sleep", |_, seconds: f64| async move {
        if !(0.0..=3600.0).contains(&seconds) {
            return Err(std::io::Error::other("it takes 0 to 3,600 seconds"));
        }
        tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
        Ok(())
    });
    let limits = Limits { restarts: None, ..Limits::default() };
    let builder = Motu::builder().limits(limits).placement(placement).on_log(|_| ());
    Ok(builder.host_module(slow).build()?)
}
