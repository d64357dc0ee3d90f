//! Calls of host functions: what one that is ready costs a script over an empty function of its own, and the key-value store.
//!
//! The peer is the same Rust function, registered with mlua. It has nothing like the store.

use std::time::Duration;

use anyhow::{Context, ensure};
use motu::{Bundle, Error, Grants, HostModule, Limits, Motu, TenantRef};

use crate::native::compiler;
use crate::provider;
use crate::report::Row;
use crate::stats::{median, timed};

const GROUP: &str =
    "calls of host functions from a script, over an empty function there (a million, and a kv of its own)";

const WIT: &str = "package bench:fns; interface fns { add: func(a: f64, b: f64) -> f64; join: func(a: string, b: string) -> string; }";

/// A loop of calls; `%` is the call.
fn source(prelude: &str, calls: &[(&str, &str)]) -> String {
    let handlers: Vec<String> = calls
        .iter()
        .map(|(name, call)| format!("{name} = function(n) local r for i = 1, n do r = {call} end return r end"))
        .collect();
    format!("{prelude}\nlocal function empty(a, b) return a end\nreturn {{ {} }}", handlers.join(",\n"))
}

const CALLS: [(&str, &str); 5] = [
    ("empty_add", "empty(i, 1)"),
    ("add", "fns.add(i, 1)"),
    ("provider_add", "provider.add(i, 1)"),
    ("empty_join", "empty('ab', 'cd')"),
    ("join", "fns.join('ab', 'cd')"),
];

fn open(state: Option<&std::path::Path>) -> anyhow::Result<Motu> {
    let fns = HostModule::from_wit(WIT)?
        .function("add", |_, (a, b): (f64, f64)| std::future::ready(Ok::<_, Error>(a + b)))
        .function("join", |_, (a, b): (String, String)| std::future::ready(Ok::<_, Error>(a + &b)));
    let limits = Limits {
        event_fuel: None,
        event_deadline: Some(Duration::from_secs(600)),
        kv_operations_per_second: None,
        blob_operations_per_second: None,
        cron_operations_per_second: None,
        ..Limits::default()
    };
    let builder = Motu::builder().limits(limits).host_module(fns).host_module(provider::module()?);
    Ok(match state {
        Some(folder) => builder.state(folder),
        None => builder,
    }
    .build()?)
}

async fn tenant(motu: &Motu, name: &str, source: &str) -> anyhow::Result<TenantRef> {
    let tenant = motu.tenant(&name.parse()?);
    tenant.set_grants(Some(Grants::parse(["*"])?));
    tenant.deploy("main", &Bundle::from_files([("init.luau", source)])?).await?;
    Ok(tenant)
}

async fn run(tenant: &TenantRef, event: &str, times: u32) -> anyhow::Result<()> {
    let answer = tenant.dispatch::<Option<serde_json::Value>>(event, &times).await?.pop().context("it is handled")?;
    answer.result?;
    Ok(())
}

pub(crate) fn rows(quick: bool) -> anyhow::Result<Vec<Row>> {
    let (rounds, calls): (u32, u32) = if quick { (5, 20_000) } else { (15, 100_000) };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let motu = open(None)?;
    let prelude = "local fns, provider = require('@bench/fns'), require('@bench/provider')";
    let script = source(prelude, &CALLS);
    let ours = runtime.block_on(tenant(&motu, "bench:1", &script))?;

    let lua = mlua::Lua::new();
    lua.set_compiler(compiler());
    let fns = lua.create_table()?;
    fns.set("add", lua.create_function(|_, (a, b): (f64, f64)| Ok(a + b))?)?;
    fns.set("join", lua.create_function(|_, (a, b): (String, String)| Ok(a + &b))?)?;
    lua.globals().set("fns", fns.clone())?;
    lua.globals().set("provider", fns)?; // the same: it has no providers
    lua.sandbox(true)?;
    let native: mlua::Table = lua.load(source("", &CALLS)).set_name("=init.luau").eval()?;

    let mut rows = Vec::new();
    for (name, empty, event, goal) in [
        ("two numbers, one back", "empty_add", "add", "host_call"),
        ("two strings, one back", "empty_join", "join", "host_call_strings"),
        ("two numbers, one back, by a provider", "empty_add", "provider_add", "provider_call"),
    ] {
        let (mut ours_ns, mut native_ns) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ((), base) = timed(|| runtime.block_on(run(&ours, empty, calls)))?;
            let ((), all) = timed(|| runtime.block_on(run(&ours, event, calls)))?;
            ours_ns.push((all - base) * 1e3 / f64::from(calls));
            let (empty, full): (mlua::Function, mlua::Function) = (native.get(empty)?, native.get(event)?);
            let ((), base) = timed(|| Ok(empty.call::<()>(calls)?))?;
            let ((), all) = timed(|| Ok(full.call::<()>(calls)?))?;
            native_ns.push((all - base) * 1e3 / f64::from(calls));
        }
        rows.push(Row::new(GROUP, name, median(&ours_ns), median(&native_ns), "ns").id(goal));
    }
    Ok(rows)
}

/// Gets of a warm key, and lists of 100 that set keys, by 16 tenants at once, on disk.
pub(crate) fn store(quick: bool) -> anyhow::Result<Vec<Row>> {
    const TENANTS: u32 = 16;
    const LIST: u32 = 100;
    let (rounds, gets, lists): (u32, u32, u32) = if quick { (3, 20_000, 10) } else { (9, 100_000, 40) };
    let folder = std::env::temp_dir().join(format!("motu-bench-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let motu = open(Some(&folder))?;
    let script = "local kv = require('@motu/kv')\n\
        local function empty() end\n\
        return { empty = function(n) for i = 1, n do empty('s', 'key') end end,\n\
        get = function(n) for i = 1, n do kv.get('s', 'key') end end,\n\
        one = function() kv.set('s', 'key', 'value') end,\n\
        set = function(n) for l = 1, n do local ops = table.create(100)\n\
            for i = 1, 100 do ops[i] = { tag = 'set', value = { key = 'k' .. i, value = i } } end kv.apply('s', ops) end end }";
    let mut tenants = Vec::new();
    for n in 0..TENANTS {
        tenants.push(runtime.block_on(tenant(&motu, &format!("bench:{n}"), script))?);
    }
    let first = tenants.first().context("there are some")?;
    runtime.block_on(run(first, "one", 0))?;
    let (mut get_us, mut sets) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let ((), base) = timed(|| runtime.block_on(run(first, "empty", gets)))?;
        let ((), all) = timed(|| runtime.block_on(run(first, "get", gets)))?;
        get_us.push((all - base) / f64::from(gets));
        let ((), us) = timed(|| {
            runtime.block_on(async {
                let mut set = tokio::task::JoinSet::new();
                for tenant in tenants.clone() {
                    set.spawn(async move { run(&tenant, "set", lists).await });
                }
                while let Some(done) = set.join_next().await {
                    done??;
                }
                Ok(())
            })
        })?;
        sets.push(f64::from(TENANTS * LIST * lists) / us * 1e6);
    }
    drop((tenants, motu));
    std::fs::remove_dir_all(&folder)?;
    ensure!(!sets.is_empty(), "nothing was measured");
    let name = format!("kv set, a second ({TENANTS} tenants, lists of {LIST}, on disk)");
    Ok(vec![
        Row::new(GROUP, "kv get, warm", median(&get_us), 0.0, "us").id("kv_get"),
        Row::new(GROUP, &name, median(&sets), 0.0, "1").id("kv_sets_per_second"),
    ])
}
