//! `motu check`: what is wrong with a bundle, without running its handlers.

use std::fmt::Write as _;
use std::process::ExitCode;

use motu::{Bundle, Diagnostic, Loaded, Motu, Tenant, Value};

use crate::args::Check;
use crate::failure::Failure;
use crate::{bundle, print, report, run};

pub(crate) async fn check(check: &Check) -> ExitCode {
    match checked(check).await {
        Ok((text, code)) => print(&text, code),
        Err(failure) => failure.show(),
    }
}

async fn checked(check: &Check) -> Result<(String, ExitCode), Failure> {
    let bundle = bundle::open(&check.path)?;
    let motu = check.providers.add_to(Motu::builder().on_log(run::log))?.build()?;
    let found = motu.check(&bundle).await?;
    let mut text = String::new();
    for diagnostic in &found.diagnostics {
        let _ = writeln!(text, "{diagnostic}");
        text.push_str(&pointed_at(diagnostic));
    }
    if found.left_out > 0 {
        let _ = writeln!(text, "and {} more", found.left_out);
    }
    if found.diagnostics.iter().any(|diagnostic| !diagnostic.warning) {
        return Ok((text, ExitCode::FAILURE));
    }
    // Only running the top level shows which events are handled, and what it raises.
    let loaded = match motu.load(&bundle).await {
        Ok(loaded) => loaded,
        Err(error) => {
            print(&text, ExitCode::FAILURE); // the warnings may say why
            return Err(error.into());
        }
    };
    let is_code = |path: &&str| {
        (path.ends_with(".luau") || path.ends_with(".lua")) && path.rsplit('/').next() != Some(".config.luau")
    };
    let files = match bundle.paths().filter(is_code).count() {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    let handlers = match loaded.handlers() {
        [] => format!("no handlers: {}", entry(&bundle, &loaded).await),
        names => format!("handlers: {}", report::one_line(&names.join(", "))),
    };
    // a table without any handler is told of as a whole
    for other in loaded.others().iter().filter(|_| !loaded.handlers().is_empty()) {
        let path = bundle.entry();
        let _ = writeln!(text, "{path}: warning: {}, and no function that handles an event", report::plain(other));
    }
    let _ = writeln!(text, "ok: {files}, {handlers}");
    if !found.grants.is_empty() {
        text.push_str("needs:\n");
        for grant in &found.grants {
            let _ = writeln!(text, "  {grant}");
        }
    }
    Ok((text, ExitCode::SUCCESS))
}

/// The line, and a mark below its column if that is known.
fn pointed_at(diagnostic: &Diagnostic) -> String {
    let Some(line) = &diagnostic.source else { return String::new() };
    let shown = format!("  {}\n", report::plain(line));
    let Some(column) = usize::try_from(diagnostic.column).ok().and_then(|column| column.checked_sub(1)) else {
        return shown;
    };
    let before = report::plain(line.get(..line.floor_char_boundary(column)).unwrap_or(line));
    let blanks: String = before.chars().map(|c| if c == '\t' { c } else { ' ' }).collect();
    format!("{shown}  {blanks}^\n")
}

/// What the entry returned, if that has no handlers.
async fn entry(bundle: &Bundle, loaded: &Loaded) -> String {
    let path = bundle.entry();
    let example = "a table of functions by event, as in `return { greet = greet }`";
    let Ok(tenant) = "motu:check".parse::<Tenant>() else { return String::new() };
    let returned = match loaded.instance(tenant).value().await.map(|outcome| outcome.value) {
        Ok(Value::Array(_) | Value::Map(_)) => return format!("{path} doesn't return {example}"),
        Ok(Value::Nil) => "nothing".to_owned(),
        Ok(value @ Value::Integer(_)) => format!("an {}", value.type_name()),
        Ok(value) => format!("a {}", value.type_name()),
        Err(_) => "a value that can't cross to the host".to_owned(), // a function, or a table with one
    };
    format!("{path} returns {returned}, where events need {example}")
}
