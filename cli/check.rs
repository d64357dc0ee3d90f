//! `motu check`: what is wrong with a bundle, without running its handlers.

use std::fmt::Write as _;
use std::process::ExitCode;

use motu::Motu;

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
    if !found.diagnostics.is_empty() {
        let mut text = String::new();
        for diagnostic in &found.diagnostics {
            let _ = writeln!(text, "{}", report::plain(&diagnostic.to_string()));
        }
        if found.left_out > 0 {
            let _ = writeln!(text, "and {} more, in these files and in those after them", found.left_out);
        }
        return Ok((text, ExitCode::FAILURE));
    }
    // Only running the top level shows which events are handled, and what it raises.
    let loaded = motu.load(&bundle).await?;
    let files = match bundle.paths().filter(|path| path.ends_with(".luau")).count() {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    let handlers = match loaded.handlers() {
        [] => "no handlers".to_owned(),
        names => format!("handlers: {}", report::plain(&names.join(", "))),
    };
    let mut text = format!("ok: {files}, {handlers}\n");
    if !found.grants.is_empty() {
        text.push_str("needs:\n");
        for grant in &found.grants {
            let _ = writeln!(text, "  {grant}");
        }
    }
    Ok((text, ExitCode::SUCCESS))
}
