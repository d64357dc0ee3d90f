//! The script corpus: every `.luau` file under `tests/scripts`, and every folder with an `init.luau`, is a trial. What is to
//! come of it stands in its head, in lines that start with `--!`:
//!
//! ```text
//! --! event: greet                    the event; without it, what the entry returned is asked for
//! --! data: {"name": "Ada"}           its payload
//! --! limits: event_fuel=1000000 memory_bytes=8000000
//! --! log: hello                      a line that is logged, in each run; in order; a line break in it is written \n
//! --! expect: ok "Hello, Ada!"        JSON; nothing after `ok` means null
//! --! expect: error script "stack overflow"
//! --! traceback: "init.luau:3"        a part of the traceback
//! --! once                            don't run it again on the warm instance
//! ```
//!
//! Each runs on a fresh instance, and again on that same instance, now warm; the result must be the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use motu::{Bundle, Error, Limits, Motu, Placement, Value};
use serde_json::Value as Json;

use crate::json::{from_value, to_value};
use crate::pool::workers;
use crate::support::{builder, full, limits, motu, run, tenant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

fn corpus() -> Vec<PathBuf> {
    let mut found = Vec::new();
    find(&root(), &mut found);
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().with_extension("").display().to_string()
}

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |path: PathBuf| {
        let name = format!("scripts::{}", name(&path));
        Trial::test(name.clone(), move || {
            crate::steps::begin(&name);
            check(&path)
        })
    };
    let same = "scripts::r2_the_corpus_costs_the_same_on_every_placement";
    let same = Trial::test(same, move || {
        crate::steps::begin(same);
        r2_the_corpus_costs_the_same_on_every_placement();
        Ok(())
    });
    corpus().into_iter().map(trial).chain([same]).collect()
}

/// reduced: each script runs twice on each placement, and not a hundred times, which takes a quarter of an hour.
fn r2_the_corpus_costs_the_same_on_every_placement() {
    let rounds = if full() { 100 } else { 2 };
    let (mut made, mut different) = (Vec::<(Limits, [Motu; 3])>::new(), Vec::new());
    let mut runs = 0;
    for path in corpus() {
        let (bundle, head) = read(&path).unwrap();
        let limits = head.limits.clone().unwrap_or_else(limits);
        if limits.event_fuel.is_none() {
            continue; // a deadline ends it, which is no matter of fuel
        }
        if !made.iter().any(|(of, _)| *of == limits) {
            let placements = [workers(2), workers(1), Placement::ThreadPerTenant];
            made.push((
                limits.clone(),
                placements.map(|placement| builder(limits.clone()).placement(placement).build().unwrap()),
            ));
        }
        let motus = made.iter().find(|(of, _)| *of == limits).map(|(_, motus)| motus).unwrap();
        let payload: Value = to_value(&head.data);
        let mut costs = BTreeSet::new();
        for motu in motus {
            let loaded = match run(motu.load(&bundle)) {
                Ok(loaded) => loaded,
                Err(error) => {
                    costs.insert(error.usage().fuel);
                    continue;
                }
            };
            for _ in 0..rounds {
                let instance = loaded.instance(tenant()).with_seed(1);
                let ended = run(async {
                    match &head.event {
                        Some(event) => instance.dispatch_value(event, &payload).await,
                        None => instance.value().await,
                    }
                });
                costs.insert(match &ended {
                    Ok(outcome) => outcome.usage.fuel,
                    Err(error) => error.usage().fuel,
                });
                runs += 1;
            }
        }
        if costs.len() != 1 {
            different.push((name(&path), costs));
        }
    }
    println!("{runs} runs");
    assert!(runs > 100 * 3 * rounds, "{runs} runs");
    assert!(different.is_empty(), "{different:#?}");
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.join("init.luau").is_file() || path.extension().is_some_and(|extension| extension == "luau") {
            found.push(path);
        } else if path.is_dir() {
            find(&path, found);
        }
    }
}

#[derive(Default)]
struct Head {
    event: Option<String>,
    data: Json,
    limits: Option<Limits>,
    log: Vec<String>,
    expected: Option<Expected>,
    traceback: Option<String>,
    once: bool,
}

enum Expected {
    Ok(Json),
    Error { kind: String, part: String },
}

fn read_head(source: &str) -> Result<Head, Failed> {
    let mut head = Head::default();
    for line in source.lines().map_while(|line| line.strip_prefix("--!")) {
        let line = line.trim();
        let (name, rest) = line.split_once(':').map_or((line, ""), |(name, rest)| (name, rest.trim()));
        match name {
            "event" => head.event = Some(rest.to_owned()),
            "data" => head.data = json(rest)?,
            "limits" => head.limits = Some(read_limits(rest)?),
            "log" => head.log.push(rest.to_owned()),
            "expect" => head.expected = Some(read_expected(rest)?),
            "traceback" => head.traceback = json(rest)?.as_str().map(str::to_owned),
            "once" => head.once = true,
            // a hot comment of Luau's own
            "strict" | "nonstrict" | "nocheck" | "native" | "optimize 0" | "optimize 1" | "optimize 2" => (),
            other => return Err(format!("the head has an unknown line: --! {other}").into()),
        }
    }
    Ok(head)
}

fn json(text: &str) -> Result<Json, Failed> {
    serde_json::from_str(text).map_err(|error| format!("the head has bad JSON: {text}: {error}").into())
}

fn read_expected(text: &str) -> Result<Expected, Failed> {
    if let Some(rest) = text.strip_prefix("error ") {
        let (kind, part) = rest.split_once(' ').unwrap_or((rest, "\"\""));
        let part = json(part)?.as_str().unwrap_or_default().to_owned();
        return Ok(Expected::Error { kind: kind.to_owned(), part });
    }
    match text.strip_prefix("ok").map(str::trim) {
        Some("") => Ok(Expected::Ok(Json::Null)),
        Some(value) => Ok(Expected::Ok(json(value)?)),
        None => Err(format!("the head expects neither ok nor an error: {text}").into()),
    }
}

fn read_limits(text: &str) -> Result<Limits, Failed> {
    let mut limits = limits();
    for (name, number) in text.split_whitespace().filter_map(|part| part.split_once('=')) {
        let number: u64 = number.replace('_', "").parse().map_err(|error| format!("the limit {name}: {error}"))?;
        let bytes = u32::try_from(number).unwrap_or(u32::MAX);
        match name {
            "load_fuel" => limits.load_fuel = Some(number),
            "event_fuel" => limits.event_fuel = Some(number),
            "event_deadline_ms" => {
                (limits.event_fuel, limits.event_deadline) = (None, Some(Duration::from_millis(number)))
            }
            "memory_bytes" => limits.memory_bytes = number,
            "payload_bytes" => limits.payload_bytes = bytes,
            "payload_depth" => limits.payload_depth = bytes,
            "result_bytes" => limits.result_bytes = bytes,
            "result_depth" => limits.result_depth = bytes,
            "log_bytes" => limits.log_bytes = bytes,
            "coroutines" => limits.coroutines = bytes,
            "timers" => limits.timers = bytes,
            "calls_in_flight" => limits.calls_in_flight = bytes,
            "source_bytes" => limits.source_bytes = bytes,
            _ => return Err(format!("the head has an unknown limit {name}").into()),
        }
    }
    Ok(limits)
}

fn read(path: &Path) -> Result<(Bundle, Head), Failed> {
    let (bundle, entry) = if path.is_dir() {
        (Bundle::from_dir(path)?, path.join("init.luau"))
    } else {
        // under the name of an entry, so that every script has the same path in its errors
        (Bundle::from_files([("init.luau", fs::read(path)?)])?, path.to_owned())
    };
    crate::steps::own(bundle.digest());
    let head = read_head(&String::from_utf8_lossy(&fs::read(entry)?))?;
    Ok((bundle, head))
}

fn check(path: &Path) -> Result<(), Failed> {
    let (bundle, head) = read(path)?;
    let expected = head.expected.as_ref().ok_or("the head has no line `--! expect: ...`")?;

    let lines = Arc::new(Mutex::new(Vec::new()));
    let limits = head.limits.clone().unwrap_or_else(limits);
    let motu = if head.log.is_empty() {
        motu(limits)
    } else {
        let sink = lines.clone();
        builder(limits).on_log(move |line| sink.lock().unwrap().push(line.text.replace('\n', "\\n"))).build()?
    };
    let loaded = match run(motu.load(&bundle)) {
        Ok(loaded) => loaded,
        Err(error) => return compare("load", Err(error), expected, &head),
    };
    let instance = loaded.instance(tenant()).with_seed(1);
    let payload: Value = to_value(&head.data);
    for round in ["cold", "warm"] {
        let at_load = std::mem::take(&mut *lines.lock().unwrap());
        let result = run(async {
            match &head.event {
                Some(event) => instance.dispatch_value(event, &payload).await,
                None => instance.value().await,
            }
        });
        compare(round, result.map(|outcome| outcome.value), expected, &head)?;
        // what the event left behind runs when it has been answered
        for _ in 0..5000 {
            if head.event.is_none() || lines.lock().unwrap().len() >= head.log.len() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let logged = std::mem::take(&mut *lines.lock().unwrap());
        let logged = if head.event.is_some() { logged } else { at_load };
        if round == "cold" || head.event.is_some() {
            same(round, &logged, &head.log)?;
        }
        if head.once {
            break;
        }
    }
    Ok(())
}

fn same(round: &str, logged: &[String], wanted: &[String]) -> Result<(), Failed> {
    if wanted.is_empty() || logged == wanted {
        return Ok(());
    }
    Err(format!("{round}: logged {logged:#?} instead of {wanted:#?}").into())
}

fn compare(round: &str, result: Result<Value, Error>, expected: &Expected, head: &Head) -> Result<(), Failed> {
    match (result, expected) {
        (Ok(value), Expected::Ok(wanted)) => {
            let got = from_value(&value);
            if got == *wanted { Ok(()) } else { Err(format!("{round}: got {got}\nexpected {wanted}").into()) }
        }
        (Err(error), Expected::Error { kind, part }) => {
            let traceback = head.traceback.as_deref().unwrap_or_default();
            if error.kind().as_str() == kind && error.message().contains(part) && error.traceback().contains(traceback)
            {
                return Ok(());
            }
            Err(format!("{round}: got {error}\n{}\nexpected error {kind}: {part} {traceback}", error.traceback())
                .into())
        }
        (Ok(value), Expected::Error { kind, .. }) => Err(format!("{round}: got {value}\nexpected error {kind}").into()),
        (Err(error), Expected::Ok(wanted)) => {
            Err(format!("{round}: got {error}\n{}\nexpected {wanted}", error.traceback()).into())
        }
    }
}
