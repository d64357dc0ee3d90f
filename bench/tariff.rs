//! What host functions take of the host's threads beside what they are charged: microseconds of processor time for each million of
//! fuel, next to those of a script that calls nothing. A ratio above 1 is time that its tenant had for too little.
//!
//! Processor time is the whole process's: of the worker, of the store's writer and of the runtime. Nothing else runs meanwhile, but
//! a worker that has nothing to do looks for work for 50 us before it sleeps.

mod cases;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use motu::{Bundle, Error, Grants, HostModule, HttpSettings, Limits, Motu, Networks, TenantRef};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value as Json;

use crate::provider;
use crate::report::Row;
use crate::stats::median;
use cases::{By, Case, How};

const GROUP: &str = "the tariff: us of processor time for a million of fuel, beside a script without calls";

/// The most that a call may take, in parts of what a plain script takes for its fuel.
pub(crate) const RATIO_MAX: f64 = 3.0;

/// Coroutines of a case that is called at once.
const LANES: u32 = 64;

/// How long a round of a case takes, about.
const ROUND_US: f64 = 5_000.0;

const WIT: &str = "package bench:fns; interface fns {
    record point { x: f64, y: f64, name: string }
    nothing: func();
    numbers: func(all: list<f64>) -> u32;
    points: func(all: list<point>) -> list<point>;
}";

/// Modules by the path that scripts require them by.
const MODULES: [&str; 11] = [
    "bench/fns",
    "bench/provider",
    "motu/blob",
    "motu/codec",
    "motu/cron",
    "motu/http",
    "motu/json",
    "motu/kv",
    "motu/log",
    "motu/random",
    "motu/time",
];

#[derive(serde::Serialize, serde::Deserialize)]
struct Point {
    x: f64,
    y: f64,
    name: String,
}

/// Rows for all cases, the worst ratio first.
pub(crate) fn rows(quick: bool) -> anyhow::Result<Vec<Row>> {
    let tariff = Tariff::new()?;
    let functions = tariff.functions();
    let mut cases = cases::written();
    let missing: Vec<_> = functions
        .iter()
        .filter(|function| {
            !cases.iter().any(|case| [&case.name, &case.call].iter().any(|text| text.contains(*function)))
        })
        .collect();
    if !missing.is_empty() {
        bail!("no case of bench/tariff/cases.rs measures {missing:?}");
    }
    cases.extend(functions.iter().flat_map(|function| cases::generic(function)));
    let rounds = if quick { 3 } else { 5 };
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for case in &cases {
        match tariff.row(case, rounds, ROUND_US) {
            // a busy machine disturbs a round, so a suspect is measured again, for longer
            Ok(row) if row.ratio().is_some_and(|ratio| ratio > RATIO_MAX) => {
                rows.push(tariff.row(case, 5, 2.0 * ROUND_US)?);
            }
            Ok(row) => rows.push(row),
            Err(error) => wrong.push(format!("{}: {error:#}", case.name)),
        }
    }
    if !wrong.is_empty() {
        bail!("what can't be measured:\n{}", wrong.join("\n"));
    }
    rows.sort_by(|a, b| b.ratio().unwrap_or(0.0).total_cmp(&a.ratio().unwrap_or(0.0)));
    Ok(rows)
}

/// A Motu with the tenants that call, and one that spins.
struct Tariff {
    motu: Motu,
    runtime: tokio::runtime::Runtime,
    tenants: BTreeMap<By, TenantRef>,
    spinner: TenantRef,
}

/// What some repetitions took.
#[derive(Clone, Copy)]
struct Took {
    us: f64,
    million_fuel: f64,
}

impl Took {
    fn each(self) -> f64 {
        self.us / self.million_fuel.max(1e-6)
    }
}

impl Tariff {
    fn new() -> anyhow::Result<Tariff> {
        let fns = HostModule::from_wit(WIT)?
            .function("nothing", |_, (): ()| std::future::ready(Ok::<_, Error>(())))
            .function("numbers", |_, all: Vec<f64>| {
                std::future::ready(Ok::<_, Error>(u32::try_from(all.len()).unwrap_or(u32::MAX)))
            })
            .function("points", |_, all: Vec<Point>| std::future::ready(Ok::<_, Error>(all)));
        let limits = Limits {
            event_fuel: None,
            event_deadline: Some(Duration::from_secs(60)),
            background_fuel: None,
            kv_operations_per_second: None,
            blob_operations_per_second: None,
            cron_operations_per_second: None,
            calls_per_second: BTreeMap::new(),
            http_in_flight: 1000,
            blobs_bytes: 1 << 30,
            kv_bytes: 1 << 30,
            log_bytes: 1 << 30,
            memory_bytes: 512 << 20,
            restarts: None,
            ..Limits::default()
        };
        let http = HttpSettings { allowed: Networks::parse(["127.0.0.1"])?, ..HttpSettings::default() };
        let motu = Motu::builder()
            .limits(limits.clone())
            .http(http)
            .host_module(fns)
            .host_module(provider::module()?)
            .on_log(|_| ())
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let packages = MODULES.iter().map(|path| (path.replace('/', ":"), 1));
        let small = Limits { memory_bytes: Limits::default().memory_bytes, ..limits.clone() };
        let over_rate = Limits { calls_per_second: packages.collect(), ..limits.clone() };
        let over_operations = Limits { kv_operations_per_second: Some(1), ..limits.clone() };
        let narrowed = (0..20).flat_map(|n| {
            [
                format!("motu:kv/store.*[scope=a{n}*a*b]"),
                format!("motu:kv/store.*[scope=*a{n}*b]"),
                format!("motu:blob/blobs.*[scope=a*{n}*b]"),
                format!("motu:http/client.fetch[host=api{n}.example.org]"),
            ]
        });
        let mut tenants = BTreeMap::new();
        for (by, id, limits, grants) in [
            (By::Granted, "bench:granted", limits.clone(), Grants::parse(["*"])?),
            (By::Small, "bench:small", small, Grants::parse(["*"])?),
            (By::Denied, "bench:denied", limits.clone(), Grants::parse([] as [&str; 0])?),
            (By::OverRate, "bench:over-rate", over_rate, Grants::parse(["*"])?),
            (By::OverOperations, "bench:over-operations", over_operations, Grants::parse(["*"])?),
            (By::Narrowed, "bench:narrowed", limits.clone(), Grants::parse(narrowed)?),
        ] {
            let tenant = motu.tenant(&id.parse()?);
            tenant.set_limits(Some(limits))?;
            tenant.set_grants(Some(grants));
            tenants.insert(by, tenant);
        }
        let spinner = motu.tenant(&"bench:spinner".parse()?);
        let spin = "return { run = function(n) local x = 0 for i = 1, n do x = bit32.bxor(x, i) end return x end }";
        runtime.block_on(spinner.deploy("main", &Bundle::from_files([("init.luau", spin)])?))?;
        Ok(Tariff { motu, runtime, tenants, spinner })
    }

    /// Motu's own host functions, as Luau writes them: `kv.compare_and_set`.
    fn functions(&self) -> Vec<String> {
        let names = self.motu.host_functions();
        let own = names.iter().filter_map(|name| name.strip_prefix("motu:"));
        own.filter_map(|name| {
            let (package, rest) = name.split_once('/')?;
            let module = package.split('@').next()?; // without its version
            let function = rest.rsplit_once('.').map_or(rest, |(_, function)| function);
            Some(format!("{module}.{}", function.replace('-', "_")))
        })
        .collect()
    }

    fn row(&self, case: &Case, rounds: usize, round_us: f64) -> anyhow::Result<Row> {
        let tenant = self.tenants.get(&case.by).context("the tenant is there")?.clone();
        self.runtime.block_on(tenant.deploy("main", &Bundle::from_files([("init.luau", script(case))])?))?;
        self.event(&tenant, "make", 0)?.context("what is made")?;
        let spinner = self.spinner.clone();
        let mut times = 1;
        let mut took = self.take(&tenant, case, times)?;
        while took.us < round_us && times < 1 << 20 {
            let more = (round_us / took.us.max(1.0)).clamp(2.0, 16.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 2 to 16")]
            let more = more.ceil() as u32;
            times *= more;
            took = self.take(&tenant, case, times)?;
        }
        let (mut calls, mut spins) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            calls.push(self.take(&tenant, case, times)?.each());
            spins.push(self.measure(&spinner, || self.event(&spinner, "run", 200_000)?.map(drop))?.each());
        }
        let _ = tenant.remove("main");
        let row = Row::new(GROUP, &case.name, median(&calls), median(&spins), "us");
        Ok(if case.is_held { row.goal(RATIO_MAX) } else { row })
    }

    /// Repeats a case so often.
    fn take(&self, tenant: &TenantRef, case: &Case, times: u32) -> anyhow::Result<Took> {
        self.measure(tenant, || {
            match case.how {
                // what is measured may be how it fails
                How::Event => (0..times).try_for_each(|_| self.event(tenant, "call", 1).map(drop)),
                How::AtOnce => self.event(tenant, "call", times.div_ceil(LANES))?.map(drop),
                How::InTurn => self.event(tenant, "call", times)?.map(drop),
            }
        })
    }

    fn measure(&self, tenant: &TenantRef, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Took> {
        let (us, fuel) = (processor_us(), tenant.fuel());
        run()?;
        // an answer comes before its slice is counted, and before what it leaves behind is given back
        std::thread::sleep(Duration::from_micros(300));
        Ok(Took { us: processor_us() - us, million_fuel: tenant.fuel().saturating_sub(fuel) as f64 / 1e6 })
    }

    /// Dispatches an event. The outer error is Motu's, the inner one the event's.
    fn event(&self, tenant: &TenantRef, event: &str, times: u32) -> anyhow::Result<anyhow::Result<Json>> {
        let answers = self.runtime.block_on(tenant.dispatch::<Json>(event, &times))?;
        let answer = answers.into_iter().next().context("it is handled")?;
        Ok(answer.result.map(|outcome| outcome.value).map_err(anyhow::Error::from))
    }
}

/// The processor time of all threads of this process, in microseconds.
fn processor_us() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The bundle of a case: `make` makes what its calls need, `call` repeats them.
fn script(case: &Case) -> String {
    let requires: Vec<String> = MODULES
        .iter()
        .map(|path| format!("local {} = require('@{path}')", path.split('/').next_back().unwrap_or_default()))
        .collect();
    let Case { make, call, .. } = case;
    let repeat = match case.how {
        How::InTurn => format!("for i = 1, times do {call} end"),
        How::Event => format!("local i = times {call}"),
        How::AtOnce => format!(
            "local me, left, waits, problem = coroutine.running(), {LANES}, false, nil\n\
             for lane = 1, {LANES} do task.spawn(function()\n\
               local fine, thrown = pcall(function() for i = 1, times do {call} end end)\n\
               if not fine then problem = thrown end\n\
               left -= 1\n\
               if left == 0 and waits then task.spawn(me) end\n\
             end) end\n\
             waits = left > 0\n\
             if waits then coroutine.yield() end\n\
             if problem then error(problem) end"
        ),
    };
    format!(
        "{}\nlocal made\nreturn {{ make = function() made = {make} end, call = function(times) {repeat} end }}",
        requires.join("\n")
    )
}
