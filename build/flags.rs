//! Luau's switches: `guest/flags.cpp` says of each whether it is on, and why.

use crate::files::{Result, Tree};
use std::collections::BTreeSet;

const NAMED_IN: &str = "guest/flags.cpp";

/// Fails when Luau defines a flag that isn't named there, or when one is named that Luau doesn't have.
pub(crate) fn check(luau: &Tree, ours: &Tree) -> Result<()> {
    let text = |contents: &[u8]| String::from_utf8_lossy(contents).into_owned();
    let mut defined = BTreeSet::new();
    for (path, contents) in luau.iter().filter(|(path, _)| path.ends_with(".cpp")) {
        for line in text(contents).lines() {
            let kinds = ["LUAU_FASTFLAGVARIABLE(", "LUAU_DYNAMIC_FASTFLAGVARIABLE(", "LUAU_FASTINTVARIABLE("];
            let after = kinds.iter().find_map(|kind| line.strip_prefix(kind));
            if let Some(name) = after.and_then(|after| after.split([',', ')']).next()) {
                defined.insert(name.to_owned());
            } else if line.starts_with("LUAU_") && line.contains("VARIABLE(") {
                return Err(format!("build/flags.rs can't read what {path} defines:\n\n{line}").into());
            }
        }
    }
    let named = text(ours.get(NAMED_IN).ok_or("there is no guest/flags.cpp")?);
    let is_name =
        |word: &&str| word.len() > 4 && ["Luau", "DebugLuau", "Fix"].iter().any(|start| word.starts_with(start));
    let words = named.split(|c: char| !c.is_alphanumeric() && c != '_').filter(is_name);
    let named: BTreeSet<String> = words.map(str::to_owned).collect();
    for flag in &defined {
        if !named.contains(flag) {
            return Err(
                format!("Luau has the flag {flag}: read what it does, and say in {NAMED_IN} whether it is on").into()
            );
        }
    }
    match named.difference(&defined).next() {
        Some(flag) => Err(format!("{NAMED_IN} names {flag}, and Luau has no flag of that name any more").into()),
        None => Ok(()),
    }
}
