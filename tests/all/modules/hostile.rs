//! Every function of Motu's own modules, with anything for arguments: an error that says what is wrong, and never more.

use std::collections::BTreeMap;

use motu::{ErrorKind, Limits, Value};

use super::{ask, tenant};
use crate::support::{builder, limits};

trials![every_function_takes_odd_arguments, calls_in_a_loop_stop_in_budget];

/// Calls a function with each of many values in each of its first places, and says what was thrown, by its kind of text.
const SOURCE: &str = r"
local deep = {}
for _ = 1, 60 do deep = { deep } end
local wide = table.create(2000, 1)
local odd = {
    true, 0, -1, 1.5, 2 ^ 53, -2 ^ 63, 1e308, 0 / 0, 1 / 0, '', 'a', 's', '\0', '\255\254', string.rep('x', 70000), 'UTC', '%Y', '1h',
    '9999999999999999999', '[[[[', '{}', {}, { 1, 2 }, { a = 1 }, { tag = 'set' }, { tag = 'set', value = {} }, { tag = 7 },
    { { tag = 'delete', value = 'k' } }, { limit = 4294967296 }, { ttl = 0 / 0 }, { ttl = 1e300 }, { years = 1e9 }, { year = 0 },
    deep, wide, buffer.create(8), vector.create(1, 0 / 0, 3), print, coroutine.create(print), { print }, { [{}] = 1 }, { [1.5] = 2 },
}
return {
    go = function(what)
        local fn = require(what.module)[what.name]
        local calls, errors = 0, 0
        local function try(...)
            calls += 1
            if not pcall(fn, ...) then errors += 1 end
        end
        try()
        for _, one in odd do
            try(one)
            try('s', one)
            try(one, one)
            try(0, one, 'UTC')
            try('s', 'k', one)
            try('s', 'k', one, one)
        end
        try(table.unpack(wide))
        return { calls, errors }
    end,
}
";

fn every_function_takes_odd_arguments() {
    let roomy = Limits {
        log_bytes: 1 << 30,
        kv_operations_per_second: None,
        blob_operations_per_second: None,
        cron_operations_per_second: None,
        memory_bytes: 256 << 20,
        ..limits()
    };
    let motu = builder(roomy).build().unwrap();
    let tenant = tenant(&motu, "odd:1", SOURCE, &["*"]);
    let mut called = BTreeMap::new();
    for name in motu.host_functions().iter().filter(|name| name.starts_with("motu:")) {
        let (package, function) = name.split_once('/').unwrap();
        let module = format!("@{}", package.split('@').next().unwrap().replace(':', "/"));
        let luau = function.split_once('.').unwrap().1.replace('-', "_");
        let what = Value::from([("module", Value::string(module)), ("name", Value::string(luau))]);
        let Value::Array(counts) = ask(&tenant, "go", what).unwrap_or_else(|error| panic!("{name}: {error}")) else {
            panic!("{name}")
        };
        called.insert(name.clone(), (counts[0].as_f64().unwrap(), counts[1].as_f64().unwrap()));
    }
    assert_eq!(called.len(), 62);
    assert!(called.values().all(|(calls, errors)| *calls > 200.0 && *errors > 0.0), "{called:?}");
    assert_eq!(tenant.status()["main"].starts, 1, "none of it cost the instance");
}

fn calls_in_a_loop_stop_in_budget() {
    let motu = builder(Limits { event_fuel: Some(20_000_000), ..limits() }).build().unwrap();
    let source = "local modules = { require('@motu/random'), require('@motu/time'), require('@motu/json') }\n\
        return { number = function() while true do pcall(modules[1].number) end end,\n\
        zones = function() while true do pcall(modules[2].zones) end end,\n\
        decode = function() local text = '[' .. string.rep('1,', 50000) .. '1]' while true do pcall(modules[3].decode, text) end end,\n\
        wait = function() while true do pcall(require('@motu/kv').set, 's', 'k', 1) end end }";
    let tenant = tenant(&motu, "odd:1", source, &["*"]);
    for event in ["number", "zones", "decode", "wait"] {
        let error = ask(&tenant, event, ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fuel, "{event}: {error}");
    }
}
