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
        let _ = writeln!(text, "{}", report::plain(&diagnostic.to_string()));
        text.push_str(&pointed_at(diagnostic));
    }
    if found.left_out > 0 {
        let _ = writeln!(text, "and {} more, in these files and in those after them", found.left_out);
    }
    if found.diagnostics.iter().any(|diagnostic| !diagnostic.warning) {
        return Ok((text, ExitCode::FAILURE));
    }
    // Only running the top level shows which events are handled, and what it raises.
    let loaded = motu.load(&bundle).await?;
    let files = match bundle.paths().filter(|path| path.ends_with(".luau")).count() {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    let handlers = match loaded.handlers() {
        [] => format!("no handlers: {}", entry(&bundle, &loaded).await),
        names => format!("handlers: {}", report::plain(&names.join(", "))),
    };
    let _ = writeln!(text, "ok: {files}, {handlers}");
    if !found.grants.is_empty() {
        text.push_str("needs:\n");
        for grant in &found.grants {
            let _ = writeln!(text, "  {grant}");
        }
    }
    Ok((text, ExitCode::SUCCESS))
}

/// The line, and a mark below its column.
fn pointed_at(diagnostic: &Diagnostic) -> String {
    let Some(line) = &diagnostic.source else { return String::new() };
    let column = usize::try_from(diagnostic.column).unwrap_or(usize::MAX).saturating_sub(1);
    let before = line.get(..column).unwrap_or(line);
    let blanks: String = before.chars().map(|c| if c == '\t' { c } else { ' ' }).collect();
    format!("  {}\n  {blanks}^\n", report::plain(line))
}

/// What the entry returned, if that has no handlers.
async fn entry(bundle: &Bundle, loaded: &Loaded) -> String {
    let path = bundle.entry();
    let example = "a table of functions by event, as in `return { greet = greet }`";
    let Ok(tenant) = "motu:check".parse::<Tenant>() else { return String::new() };
    match loaded.instance(tenant).value().await.map(|outcome| outcome.value) {
        Ok(Value::Nil) => format!("{path} returns nothing, where events need {example}"),
        Ok(Value::Array(_) | Value::Map(_)) | Err(_) => format!("{path} returns no {example}"),
        Ok(value) => format!("{path} returns a {}, where events need {example}", value.type_name()),
    }
}
