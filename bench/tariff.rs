//! What host functions take of a worker beside what they are charged: microseconds for each million of fuel, next to those of a
//! script that calls nothing. A ratio above 1 is time that its tenant had for too little.

use std::time::Duration;

use anyhow::Context;
use motu::{Bundle, Error, Grants, HostModule, Limits, Motu};
use serde_json::Value as Json;

use crate::provider;
use crate::report::Row;
use crate::stats::{median, timed};

const GROUP: &str = "the tariff: us for a million of fuel, beside a script without calls";

const WIT: &str = "package bench:fns; interface fns {
    record point { x: f64, y: f64, name: string }
    nothing: func();
    denied: func();
    numbers: func(all: list<f64>) -> u32;
    points: func(all: list<point>) -> list<point>;
}";

#[derive(serde::Serialize, serde::Deserialize)]
struct Point {
    x: f64,
    y: f64,
    name: String,
}

/// A name, what is made once, and the call that is repeated so often.
const CASES: &[(&str, &str, &str, u32)] = &[
    ("a call of nothing", "nil", "fns.nothing()", 100_000),
    ("a call that is refused", "nil", "pcall(fns.denied)", 20_000),
    ("100,000 numbers in", "table.create(100000, 1.5)", "fns.numbers(made)", 4),
    ("10,000 records in and out", "table.create(10000, { x = 1, y = 2, name = 'a' })", "fns.points(made)", 4),
    ("json.decode, empty lists", "'[' .. string.rep('[],', 60000) .. '[]]'", "pcall(json.decode, made)", 2),
    ("json.decode, integers", "'[' .. string.rep('1,', 60000) .. '1]'", "pcall(json.decode, made)", 2),
    (
        "json.decode, fractions",
        "'[' .. string.rep('0.1234567890123456789e-7,', 40000) .. '1]'",
        "pcall(json.decode, made)",
        2,
    ),
    ("json.decode, short strings", "'[' .. string.rep('\"a\",', 60000) .. '1]'", "pcall(json.decode, made)", 2),
    ("json.decode, one string", "'\"' .. string.rep('a', 900000) .. '\"'", "pcall(json.decode, made)", 20),
    ("json.decode, escapes", "'\"' .. string.rep('\\\\u00e9', 100000) .. '\"'", "pcall(json.decode, made)", 10),
    (
        "json.decode, keys",
        "(function() local t = {} for i = 1, 40000 do t[i] = '\"' .. (i * 7919) % 40009 .. '\":1' end \
         return '{' .. table.concat(t, ',') .. '}' end)()",
        "pcall(json.decode, made)",
        2,
    ),
    ("json.decode, wrong at the end", "'[' .. string.rep('[],', 60000) .. 'x'", "pcall(json.decode, made)", 2),
    ("json.encode, integers", "table.create(100000, 7)", "json.encode(made)", 4),
    ("json.encode, fractions", "table.create(40000, 0.1234567890123)", "json.encode(made)", 4),
    ("json.encode, short strings", "table.create(100000, 'a')", "json.encode(made)", 4),
    ("json.encode, empty tables", "table.create(60000, {})", "json.encode(made)", 4),
    (
        "json.encode, keys",
        "(function() local t = {} for i = 1, 40000 do t['k' .. (i * 7919) % 40009] = 1 end return t end)()",
        "json.encode(made)",
        4,
    ),
    ("kv.get, small", "kv.set('s', 'a', 1)", "kv.get('s', 'a')", 20_000),
    ("kv.get, a text of 900 KB", "kv.set('s', 'b', string.rep('a', 900000))", "kv.get('s', 'b')", 10),
    ("kv.get, 100,000 numbers", "kv.set('s', 'c', table.create(100000, 1.5))", "kv.get('s', 'c')", 4),
    (
        "kv.list, 1,000 entries",
        "(function() for l = 0, 9 do local ops = {} for i = 1, 100 do \
         ops[i] = { tag = 'set', value = { key = 'k' .. l * 100 + i, value = i } } end kv.apply('l', ops) end end)()",
        "kv.list('l', { limit = 1000 })",
        20,
    ),
    ("log.info", "nil", "log.info('a line', { n = i })", 5_000),
    ("random.bytes, 64 KiB", "nil", "random.bytes(65536)", 100),
    ("codec.encode_base64, 500 KB", "string.rep('ab', 250000)", "codec.encode_base64(made)", 10),
    ("codec.hash, 900 KB", "string.rep('ab', 450000)", "codec.hash('sha512', made)", 10),
    ("codec.hash, nothing", "nil", "codec.hash('sha256', '')", 10_000),
    (
        "codec.compress, a text at 6",
        "string.rep('the quick brown fox ' .. tostring(math.random()), 4000)",
        "codec.compress('gzip', made)",
        2,
    ),
    ("codec.compress, nothing", "nil", "codec.compress('gzip', '')", 1_000),
    (
        "codec.decompress",
        "codec.compress('zlib', string.rep('the quick brown fox ' .. tostring(math.random()), 4000))",
        "codec.decompress('zlib', made)",
        20,
    ),
    ("time.format", "nil", "time.format(i, 'Europe/Berlin', '%Y-%m-%d %H:%M:%S %Z')", 5_000),
    ("time.in_zone", "nil", "time.in_zone(i * 1e5, 'America/New_York')", 5_000),
    ("time.parse", "nil", "time.parse('2026-03-29T02:30:00', 'Europe/Berlin')", 5_000),
    ("time.zones", "nil", "time.zones()", 100),
    ("a provider: nothing", "nil", "provider.nothing()", 20_000),
    ("a provider: spins", "nil", "provider.spin(1000000)", 4),
    ("a provider: 25,000 numbers in", "table.create(25000, 1.5)", "provider.numbers(made)", 10),
    ("a provider: 250 KB there and back", "string.rep('a', 250000)", "provider.bytes(made)", 10),
    ("a provider: 40,000 texts there and back", "table.create(40000, 'abc')", "provider.texts(made)", 4),
    ("a provider: asks for the time", "nil", "provider.clock(10000)", 4),
    ("a provider: 1 KiB of randomness", "nil", "provider.dice(10000)", 2),
];

fn script() -> String {
    let handlers: Vec<String> = CASES
        .iter()
        .enumerate()
        .map(|(n, (_, make, call, _))| {
            format!(
                "make{n} = function() kept[{n}] = {make} end,\n\
                 call{n} = function(n) local made = kept[{n}] for i = 1, n do {call} end end"
            )
        })
        .collect();
    let modules =
        ["bench/fns", "bench/provider", "motu/codec", "motu/json", "motu/kv", "motu/log", "motu/random", "motu/time"];
    let requires: Vec<String> = modules
        .iter()
        .map(|path| format!("local {} = require('@{path}')", path.split('/').next_back().unwrap_or_default()))
        .collect();
    format!(
        "{}\nlocal kept = {{}}\nreturn {{ spin = function(n) local x = 0 for i = 1, n do x = bit32.bxor(x, i) end return x end,\n{} }}",
        requires.join("\n"),
        handlers.join(",\n")
    )
}

pub(crate) fn rows(quick: bool) -> anyhow::Result<Vec<Row>> {
    let rounds = if quick { 3 } else { 9 };
    let fns = HostModule::from_wit(WIT)?
        .function("nothing", |_, (): ()| std::future::ready(Ok::<_, Error>(())))
        .function("denied", |_, (): ()| std::future::ready(Ok::<_, Error>(())))
        .function("numbers", |_, all: Vec<f64>| {
            std::future::ready(Ok::<_, Error>(u32::try_from(all.len()).unwrap_or(u32::MAX)))
        })
        .function("points", |_, all: Vec<Point>| std::future::ready(Ok::<_, Error>(all)));
    let limits = Limits {
        event_fuel: None,
        event_deadline: Some(Duration::from_secs(600)),
        kv_operations_per_second: None,
        blob_operations_per_second: None,
        cron_operations_per_second: None,
        payload_bytes: 8 << 20,
        result_bytes: 8 << 20,
        log_bytes: 64 << 20,
        memory_bytes: 512 << 20,
        ..Limits::default()
    };
    let motu =
        Motu::builder().limits(limits).host_module(fns).host_module(provider::module()?).on_log(|_| ()).build()?;
    let tenant = motu.tenant(&"bench:1".parse()?);
    tenant.set_grants(Some(Grants::parse([
        "motu:*/*",
        "bench:fns/fns.nothing",
        "bench:fns/fns.numbers",
        "bench:fns/fns.points",
        "bench:provider/*",
    ])?));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(tenant.deploy("main", &Bundle::from_files([("init.luau", script())])?))?;
    // the time and the fuel of an event
    let run = |event: &str, n: u32| -> anyhow::Result<(f64, f64)> {
        let (answer, us) = timed(|| Ok(runtime.block_on(tenant.dispatch::<Json>(event, &n))?))?;
        let outcome = answer.into_iter().next().context("it is handled")?;
        let outcome = outcome.result?;
        Ok((us, outcome.usage.fuel as f64 / 1e6))
    };
    let mut rows = Vec::new();
    for (n, (name, _, _, times)) in CASES.iter().enumerate() {
        run(&format!("make{n}"), 0)?;
        let (mut calls, mut spins) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (us, fuel) = run(&format!("call{n}"), *times)?;
            calls.push(us / fuel);
            let (us, fuel) = run("spin", 200_000)?;
            spins.push(us / fuel);
        }
        rows.push(Row::new(GROUP, name, median(&calls), median(&spins), "us"));
    }
    Ok(rows)
}
