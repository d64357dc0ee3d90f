//! Motu beside native mlua of the same Luau release, in one run: same scripts, same inputs, results compared.
//!
//! Each measurement runs in a process of its own (this program, started again with `--measure`), so that none meets the
//! heap, or the warm memories, that another left behind. Inside one measurement the two sides take turns, so that a busy
//! machine disturbs both alike: trust the ratios, not the times.

mod call;
mod create;
mod dispatch;
mod event;
mod interp;
mod memory;
mod native;
mod ours;
mod proc;
mod provider;
mod report;
mod scripts;
mod stats;
mod tariff;

use std::process::Command;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use serde::de::DeserializeOwned;

/// Measures Motu beside native mlua of the same Luau release and prints a table.
#[derive(Parser)]
struct Arguments {
    /// Print a JSON list of {"id","motu","peer","ratio","unit"} and nothing else
    #[arg(long)]
    json: bool,
    /// Fewer rounds: a look in some seconds, with more noise
    #[arg(long)]
    quick: bool,
    /// Measure only what calls, errors and dear arguments take beside what they are charged, the worst first
    #[arg(long)]
    tariff: bool,
    /// Exit with status 1 if a call of a host function takes more than 3 times what a plain script takes for its fuel
    #[arg(long, requires = "tariff")]
    check: bool,
    /// One measurement, in this process; prints what the parent reads
    #[arg(long, hide = true, value_name = "WHICH")]
    measure: Option<Measure>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Measure {
    Interp,
    Create,
    MemoryMotu,
    MemoryPeer,
    Warm,
    Caught,
    Dispatch,
    Call,
    Store,
    Tariff,
}

/// How the peer was built.
const PEER: &str = if cfg!(feature = "jit") { "built with its JIT, interpreter" } else { "interpreter" };

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let quick = arguments.quick;
    native::set_flags()?;
    if let Some(which) = arguments.measure {
        println!("{}", measure(which, quick)?);
        return Ok(());
    }
    if arguments.tariff {
        return tariff_alone(&arguments);
    }
    let mut rows: Vec<report::Row> = Vec::new();
    rows.extend(child::<Vec<_>>(Measure::Interp, quick)?);
    rows.extend(child::<Vec<_>>(Measure::Create, quick)?);
    rows.extend(memory::rows(&child(Measure::MemoryMotu, quick)?, &child(Measure::MemoryPeer, quick)?));
    rows.extend(child::<Vec<_>>(Measure::Warm, quick)?);
    rows.extend(child::<Vec<_>>(Measure::Caught, quick)?);
    rows.extend(child::<Vec<_>>(Measure::Dispatch, quick)?);
    rows.extend(child::<Vec<_>>(Measure::Call, quick)?);
    rows.extend(child::<Vec<_>>(Measure::Store, quick)?);
    if arguments.json {
        println!("{}", report::json(&rows)?);
    } else {
        rows.extend(child::<Vec<_>>(Measure::Tariff, quick)?);
        println!("Motu beside {} in this process (mlua 0.12.2, {}). A ratio is", native::version()?, PEER);
        println!("motu to native: smaller is better. VM {}.\n", motu::Motu::guest_digest());
        print!("{}", report::table(&rows));
    }
    Ok(())
}

fn tariff_alone(arguments: &Arguments) -> anyhow::Result<()> {
    let rows: Vec<report::Row> = child(Measure::Tariff, arguments.quick)?;
    let over = rows.iter().filter(|row| row.is_over()).count();
    if arguments.json {
        let named = |row: report::Row| {
            let name = row.name.clone();
            row.id(&name)
        };
        println!("{}", report::json(&rows.into_iter().map(named).collect::<Vec<_>>())?);
    } else {
        print!("{}", report::table(&rows));
    }
    if arguments.check && over > 0 {
        bail!("{over} rows are over {} times what a plain script takes for its fuel", tariff::RATIO_MAX);
    }
    Ok(())
}

fn measure(which: Measure, quick: bool) -> anyhow::Result<String> {
    let text = match which {
        Measure::Interp => serde_json::to_string(&interp::rows(quick)?),
        Measure::Create => serde_json::to_string(&create::rows(quick)?),
        Measure::MemoryMotu => serde_json::to_string(&memory::motu(quick)?),
        Measure::MemoryPeer => serde_json::to_string(&memory::peer(quick)?),
        Measure::Warm => serde_json::to_string(&event::warm(quick)?),
        Measure::Caught => serde_json::to_string(&event::caught(quick)?),
        Measure::Dispatch => serde_json::to_string(&dispatch::rows(quick)?),
        Measure::Call => serde_json::to_string(&call::rows(quick)?),
        Measure::Store => serde_json::to_string(&call::store(quick)?),
        Measure::Tariff => serde_json::to_string(&tariff::rows(quick)?),
    };
    Ok(text?)
}

/// Measures in a process of its own.
fn child<T: DeserializeOwned>(which: Measure, quick: bool) -> anyhow::Result<T> {
    let name = which.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--measure", &name]).stderr(std::process::Stdio::inherit());
    if quick {
        command.arg("--quick");
    }
    let output = command.output().with_context(|| format!("the measurement {name} can't be started"))?;
    if !output.status.success() {
        bail!("the measurement {name} failed: {}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("the measurement {name} printed something else"))
}
