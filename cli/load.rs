//! `motu load`: many tenants at once, some of them hostile, as a scenario in a file says.

mod drive;
mod expect;
mod report;
mod scenario;
mod server;

use std::process::ExitCode;

use motu::{HostModule, HttpSettings, Limits, Motu, Networks, Placement};

use crate::args::Load;
use crate::failure::Failure;
use crate::print;
use report::Report;
use scenario::Scenario;

pub(crate) fn load(load: &Load) -> ExitCode {
    match loaded(load) {
        Ok((text, held)) => print(&text, if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Err(failure) if load.json => crate::report::json(&Err(failure)),
        Err(failure) => failure.show(),
    }
}

fn loaded(load: &Load) -> Result<(String, bool), Failure> {
    // all of them are read and checked before the first one runs: a mistake in the last should not cost minutes
    let scenarios: Vec<_> = load.files.iter().map(|file| Scenario::read(file)).collect::<Result<_, _>>()?;
    if let Some(first) = scenarios.first() {
        let motu = motu(first)?; // all scenarios have the same functions
        for (file, scenario) in load.files.iter().zip(&scenarios) {
            drive::check_grants(&motu, scenario).map_err(|failure| failure.of(file.display()))?;
        }
    }
    let mut reports = Vec::new();
    for (file, scenario) in load.files.iter().zip(&scenarios) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Failure::host(format!("no runtime could be made: {error}")))?;
        let motu = motu(scenario)?;
        let results = runtime.block_on(async {
            let url = if scenario.serve { Some(server::start().await?) } else { None };
            drive::run(&motu, scenario, url.as_deref(), !load.json).await
        });
        let results = results.map_err(|failure| failure.of(file.display()))?;
        reports.push(Report::new(&file.to_string_lossy(), scenario, results));
        runtime.shutdown_background();
    }
    let held = reports.iter().all(Report::holds);
    Ok((if load.json { report::json(&reports) } else { report::table(&reports) }, held))
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
    let mut builder = Motu::builder().limits(limits).placement(placement).on_log(|_| ());
    if let Some(mib) = scenario.image_mib {
        builder = builder.image_bytes(u64::from(mib) << 20);
    }
    if scenario.serve {
        let allowed = Networks::parse([server::NETWORK]).map_err(|error| Failure::host(error.to_string()))?;
        builder = builder.http(HttpSettings { allowed, ..HttpSettings::default() });
    }
    Ok(builder.host_module(slow).build()?)
}
