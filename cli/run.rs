//! `motu run`: loads a bundle, and runs one event of it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;

use motu::{ErrorKind, FunctionName, Grants, LogLine, Motu, Tier, Value};

use crate::args::Run;
use crate::failure::Failure;
use crate::report::{self, Success};
use crate::{bundle, file, json};

pub(crate) async fn run(run: &Run) -> ExitCode {
    let outcome = outcome(run).await;
    if run.json { report::json(&outcome) } else { report::person(&outcome) }
}

async fn outcome(run: &Run) -> Result<Success, Failure> {
    // All that may be wrong with the command is found before anything runs.
    let limits = run.limits().map_err(Failure::usage)?;
    let payload = match &run.data {
        Some(given) => {
            let text = data(given).map_err(|error| Failure::usage(format!("--data {given} can't be read: {error}")))?;
            json::parse(&text, limits.payload_depth).map_err(|problem| Failure::usage(format!("--data: {problem}")))?
        }
        None => Value::Nil,
    };
    let bundle = bundle::open(&run.path)?;

    let mut builder = Motu::builder().limits(limits.clone()).on_log(log);
    if let Some(folder) = &run.state {
        builder = builder.state(folder);
    }
    let motu = run.providers.add_to(builder)?.build()?;
    let grants: Grants = run.grants.iter().cloned().collect();
    refuse_vain(&motu, &grants)?;
    if run.state.is_none() {
        let modules: Vec<&str> = may_keep(&grants).collect();
        if !modules.is_empty() {
            let modules = modules.join(", ");
            note(&format!(
                "what {modules} keeps is in memory and gone when this command ends; keep it in a folder with --state DIR"
            ));
        }
    }
    let loaded = motu.load(&bundle).await?;
    let before = loaded.usage();
    // with a handler in it, a table is no value that can cross
    if run.event.is_none() && !loaded.handlers().is_empty() {
        let handlers = Some(loaded.handlers().to_vec());
        return Ok(Success { value: Value::Nil, handlers, tier: Tier::Interpreter, usage: before });
    }

    let instance = loaded.instance(run.tenant.clone()).with_limits(limits)?;
    let instance = instance.with_grants(grants);
    let answered = match &run.event {
        Some(event) => instance.dispatch_value(event, &payload).await,
        None => instance.value().await,
    };
    let waits = instance.status().waits;
    // the handler's own wait, of an event that ran out of time, is no task that it left behind
    let is_late = answered.as_ref().is_err_and(|error| error.kind() == ErrorKind::Deadline);
    if waits > 0 && !is_late {
        let tasks = if waits == 1 { "1 sleep or call" } else { &format!("{waits} sleeps or calls") };
        note(&format!(
            "{tasks} of tasks that the event left behind had not ended, and are given up as this command ends"
        ));
    }
    let outcome = answered.map_err(|error| Failure::from(error).after(before))?;
    // An empty table is a value, and a list of no handlers.
    let handlers = (run.event.is_none() && outcome.value == Value::Array(Vec::new())).then(Vec::new);
    let usage = report::sum(before, outcome.usage);
    Ok(Success { value: outcome.value, handlers, tier: outcome.tier, usage })
}

/// The JSON that `--data` gives: its text, that of a file after `@`, or stdin's if it is `-`. Neither mark begins JSON.
fn data(given: &str) -> io::Result<Cow<'_, str>> {
    match given.strip_prefix('@') {
        Some(path) => file::read_stream(File::open(path)?, file::DATA).map(Cow::Owned),
        None if given == "-" => file::read_stream(io::stdin().lock(), file::DATA).map(Cow::Owned),
        None => Ok(Cow::Borrowed(given)),
    }
}

/// A grant that allows nothing is a mistake of whoever types it.
pub(crate) fn refuse_vain(motu: &Motu, grants: &Grants) -> Result<(), Failure> {
    match motu.vain_grants(grants).first() {
        Some(vain) => Err(Failure::usage(vain.to_string())),
        None => Ok(()),
    }
}

/// The modules with which it may keep something.
fn may_keep(grants: &Grants) -> impl Iterator<Item = &'static str> {
    let all = [
        ("motu:kv", "kv", "store", "set"),
        ("motu:blob", "blob", "blobs", "put"),
        ("motu:cron", "cron", "schedules", "set"),
    ];
    let granted = all.into_iter().filter(|(_, package, interface, function)| {
        let name = FunctionName { namespace: "motu", package, major: 1, interface, function };
        grants.allows(&name, &|_| Some("".into()))
    });
    granted.map(|(module, ..)| module)
}

fn note(text: &str) {
    // Nothing can be done about a stderr that is closed.
    let _ = writeln!(io::stderr().lock(), "note: {}", report::plain(text));
}

/// A line of the script's log, as one line on stderr.
pub(crate) fn log(line: &LogLine) {
    // Nothing can be done about a stderr that is closed.
    let _ = writeln!(io::stderr().lock(), "{}", logged(line, &line.text));
}

/// A line of the script's log with its fields, as one line. The text may be another.
pub(crate) fn logged(line: &LogLine, text: &str) -> String {
    let text = report::plain(text).replace('\n', "\\n");
    let level = format!("{:?}", line.level).to_lowercase();
    let fields = line.fields.as_ref().map(|fields| format!(" {}", report::value(fields))).unwrap_or_default();
    format!("[{level}] {text}{fields}")
}
