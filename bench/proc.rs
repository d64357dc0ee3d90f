//! What the kernel says about this process: its memory, its mappings, its page faults.

use anyhow::Context;

/// Memory that no other mapping shares, in KiB: `Private_Dirty` and `Private_Clean` of `/proc/self/smaps_rollup`.
pub(crate) fn private_kib() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    Ok(field(&text, "Private_Dirty:")? + field(&text, "Private_Clean:")?)
}

/// What the kernel spends on page tables for it, in KiB. No `smaps` counts that, and it is real memory.
pub(crate) fn page_tables_kib() -> anyhow::Result<f64> {
    field(&std::fs::read_to_string("/proc/self/status")?, "VmPTE:")
}

/// How many mappings it has. The kernel allows 65,530 by default.
pub(crate) fn mappings() -> anyhow::Result<f64> {
    let lines = std::fs::read_to_string("/proc/self/maps")?.lines().count();
    Ok(f64::from(u32::try_from(lines)?))
}

/// Page faults so far that needed no disk.
pub(crate) fn page_faults() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // the name, in parentheses, may hold spaces; minflt is the eighth field after it
    let (_, rest) = text.rsplit_once(')').context("/proc/self/stat has no name")?;
    let faults = rest.split_whitespace().nth(7).context("/proc/self/stat is short")?;
    Ok(faults.parse()?)
}

fn field(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in /proc"))?;
    let number = line.split_whitespace().next().with_context(|| format!("{name} in /proc is empty"))?;
    Ok(number.parse()?)
}
