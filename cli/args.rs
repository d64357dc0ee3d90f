//! The command line, as clap sees it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand};
use motu::{Grant, Limits, Tenant};

use crate::file::DATA;
use crate::providers::Providers;
use crate::report;

/// Runs untrusted Luau in WebAssembly, with fuel, a memory cap and a deadline.
#[derive(Debug, Parser)]
#[command(name = "motu", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Write Motu's own log to stderr: level info. -vv writes level debug too, with a line for each event that ends
    /// before the program does.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load a bundle, and run one event.
    Run(Run),
    /// Compile every file but tests, resolve every require, run the top level, and list the handlers and the grants that the bundle needs.
    Check(Check),
    /// Run the tests (*.test.luau) of bundles.
    Test(Test),
    /// Start a bundle that works, in a new folder.
    New(New),
    /// Write the types of the host's modules for editors.
    Types(Types),
    /// Put many tenants under load, as a scenario says, and print what became of it.
    Load(Load),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// A bundle's folder, or a .luau or .lua file.
    pub(crate) path: PathBuf,
    /// The event to run. Without it, the bundle is only loaded.
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    #[arg(long, value_name = "JSON", requires = "event", allow_hyphen_values = true, help = data_help())]
    pub(crate) data: Option<String>,
    /// Fuel for loading, and as much for `start` and for the event, or `unlimited`. About one unit for each wasm
    /// instruction.
    #[arg(long, value_name = "N", default_value_t = Amount::fuel())]
    pub(crate) fuel: Amount,
    #[arg(long, value_name = "N", default_value_t = Amount::memory_mib(), help = memory_help("Memory"))]
    pub(crate) memory_mib: Amount,
    /// Time for loading, and as much for `start` and for the event, in milliseconds, or `unlimited`.
    #[arg(long, value_name = "N", default_value_t = Amount::deadline_ms())]
    pub(crate) deadline_ms: Amount,
    /// Whom the script runs for, as kind:id.
    #[arg(long, value_name = "KIND:ID", default_value = "cli:local")]
    pub(crate) tenant: Tenant,
    /// Let it call host functions: `motu:kv/store.get`, `motu:kv/*`, `*`. May be given many times. Without it, none.
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Vec<Grant>,
    #[command(flatten)]
    pub(crate) providers: Providers,
    /// The folder for what it keeps with motu:kv, motu:blob and motu:cron. Without it, that is in memory, and gone when the
    /// command ends.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// A folder, in which all files *.test.luau are run (but those in folders whose name starts with a dot), or one of them.
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// Run only cases with this in their full name, `path > group > case`, or declared at this `path:line`. May be given many
    /// times.
    #[arg(long = "filter", value_name = "TEXT")]
    pub(crate) filters: Vec<String>,
    /// List the cases, and run none.
    #[arg(long, conflicts_with = "junit")]
    pub(crate) list: bool,
    /// Write a report for machines too, as JUnit does.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// What `math.random` and `motu:random` start from, in each case. Without it another one each time, which is shown when a
    /// case fails.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many cases run at once. The default is the number of processors.
    #[arg(long, value_name = "N", default_value_t = processors(), value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)))]
    pub(crate) jobs: u16,
    /// What cases may call of the host, where it isn't mocked: `motu:kv/store.get`, `motu:kv/*`. May be given many times. Without
    /// it, everything.
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Vec<Grant>,
    #[command(flatten)]
    pub(crate) providers: Providers,
    /// Fuel for loading a file, and for each case, or `unlimited`.
    #[arg(long, value_name = "N", default_value_t = Amount::fuel())]
    pub(crate) fuel: Amount,
    #[arg(long, value_name = "N", default_value_t = Amount::memory_mib(), help = memory_help("Memory of a case"))]
    pub(crate) memory_mib: Amount,
    /// Time for loading a file, and for each case, in milliseconds, or `unlimited`.
    #[arg(long, value_name = "N", default_value_t = Amount::deadline_ms())]
    pub(crate) deadline_ms: Amount,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Types {
    /// The folder of a bundle. The types go into the folder `.motu/types` there, and their aliases into `.luaurc`, in which
    /// everything else stays as it is. Beside a `.config.luau` they are printed.
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) providers: Providers,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// A bundle's folder, or a .luau or .lua file.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) providers: Providers,
}

#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// The folder to make. It must not be there yet, or be empty.
    pub(crate) dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    /// Scenarios, .toml files, run one after the other. Some come with Motu, in the folder scenarios.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a limit is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    Unlimited,
    Of(u64),
}

impl FromStr for Amount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        // Large budgets are easier to read in thousands: 1_000_000.
        text.replace('_', "").parse().map(Self::Of).map_err(|_| "it takes a whole number, or `unlimited`")
    }
}

/// As it can be typed.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Of(amount) => f.write_str(&report::grouped(*amount, '_')),
        }
    }
}

/// The defaults, which are the library's.
impl Amount {
    fn new(limit: Option<u64>) -> Self {
        limit.map_or(Self::Unlimited, Self::Of)
    }

    fn fuel() -> Self {
        Self::new(Limits::default().event_fuel)
    }

    fn memory_mib() -> Self {
        Self::Of(Limits::default().memory_bytes / MIB)
    }

    fn deadline_ms() -> Self {
        let deadline = Limits::default().event_deadline;
        Self::new(deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)))
    }

    fn limit(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Of(amount) => Some(amount),
        }
    }
}

const MIB: u64 = 1 << 20;

fn memory_help(what: &str) -> String {
    format!("{what} in MiB, {} at most, or `unlimited`", Limits::MEMORY_BYTES_MAX / MIB)
}

fn data_help() -> String {
    format!(
        "The event's payload: JSON, `@` and the path of a file with JSON, or `-` for JSON from stdin; {} MiB of it at most. \
         What JSON lacks is tagged: {{\"$bytes\": base64}}, {{\"$vector\": [x, y, z]}}, ... Without it, the payload is nil",
        DATA.mib()
    )
}

/// The most cases that `motu test` can run at once.
const JOBS_MAX: u16 = 1024;

/// How many processors there are, as far as that many cases can run at once.
fn processors() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u16::try_from(processors).map_or(JOBS_MAX, |processors| processors.min(JOBS_MAX))
}

impl Run {
    /// The limits of loading and of the event.
    pub(crate) fn limits(&self) -> Result<Limits, String> {
        limits(self.fuel, self.memory_mib, self.deadline_ms)
    }
}

impl Test {
    /// The limits of loading and of each case.
    pub(crate) fn limits(&self) -> Result<Limits, String> {
        limits(self.fuel, self.memory_mib, self.deadline_ms)
    }
}

fn limits(fuel: Amount, memory_mib: Amount, deadline_ms: Amount) -> Result<Limits, String> {
    let deadline = deadline_ms.limit().map(Duration::from_millis);
    let most = Limits::MEMORY_BYTES_MAX / MIB;
    let memory_bytes = match memory_mib {
        Amount::Of(mib) if mib > most => return Err(format!("--memory-mib {mib}: {most} at most")),
        Amount::Of(mib) => mib * MIB,
        Amount::Unlimited => Limits::MEMORY_BYTES_MAX,
    };
    Ok(Limits {
        load_fuel: fuel.limit(),
        event_fuel: fuel.limit(),
        start_fuel: fuel.limit(),
        load_deadline: deadline,
        event_deadline: deadline,
        start_deadline: deadline,
        memory_bytes,
        ..Limits::default()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that fails may panic")]
mod tests {
    use super::*;

    #[test]
    fn clap_agrees() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    fn run(arguments: &str) -> Result<Limits, String> {
        let words = ["motu", "run", "x.luau"].into_iter().chain(arguments.split_whitespace());
        match Args::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Run(run) => run.limits(),
            _ => Err("not run".to_owned()),
        }
    }

    #[test]
    fn amounts() {
        assert_eq!(run("").unwrap(), Limits::default());
        let limits = run("--fuel unlimited --memory-mib 8 --deadline-ms 1_500").unwrap();
        assert_eq!((limits.load_fuel, limits.event_fuel, limits.memory_bytes), (None, None, 8 << 20));
        assert_eq!(limits.load_deadline, Some(Duration::from_millis(1500)));
        assert_eq!(run("--memory-mib unlimited").unwrap().memory_bytes, 4 << 30);
        assert!(run("--memory-mib 4097").unwrap_err().contains("4096 at most"));
        assert!(run("--fuel lots").unwrap_err().contains("unlimited"));
        assert!(run("--fuel -1").is_err());
        assert!(run("--data 1").is_err(), "--data without --event");
        assert!(run("--event e --data -1").is_ok());
    }
}
