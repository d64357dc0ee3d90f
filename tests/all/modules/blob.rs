//! K5: `motu:blob` as scripts have it. What the store and links promise in depth is tested beside their code.

use std::path::Path;

use motu::{ErrorKind, Limits, Motu, Value};

use super::{ask, tenant};
use crate::support::{builder, limits, run};

trials![
    k5_blobs_outlive_the_process,
    k5_ranges_and_appends,
    k5_quotas_are_kept,
    k5_links_cannot_be_forged,
    k5_blobs_in_memory_expire,
];

const SOURCE: &str = "local blob = require('@motu/blob')\nreturn {\n\
    put = function(e) return blob.put('s', e.name, e.bytes, e.options) end,\n\
    get = function(name) local part = blob.get('s', name) return part and part.bytes end,\n\
    part = function(e) return blob.get('s', e.name, { offset = e.offset, length = e.length }).bytes end,\n\
    grow = function(n) blob.put('s', 'grown', '') local size = 0 for i = 1, n do size = blob.append('s', 'grown', string.rep(tostring(i), 1000), size) end\n\
        local ok, why = pcall(blob.append, 's', 'grown', 'again', 0) assert(not ok and why.size == size)\n\
        assert(blob.rename('s', 'grown', 'whole') and not blob.rename('s', 'grown', 'whole')) return size end,\n\
    names = function() local names = {} for _, info in blob.list('s').blobs do table.insert(names, info.name) end return names end,\n\
    delete = function(name) return blob.delete('s', name) end,\n\
    fill = function() local n = 0 while true do local ok, why = pcall(blob.put, 's', 'b' .. n, 'x') if not ok then return { n, why } end n += 1 end end,\n\
    usage = function() local u = blob.usage() return { u.disk.blobs, u.memory.blobs } end,\n\
    link = function(e) return blob.link('s', e.name, { seconds = e.seconds }) end }";

fn blob(name: &str, bytes: &str) -> Value {
    Value::from([("name", Value::string(name)), ("bytes", Value::string(bytes))])
}

fn on_disk(folder: &Path) -> Motu {
    builder(limits()).state(folder).build().unwrap()
}

fn k5_blobs_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let large = "0123456789".repeat(90_000);
    {
        let motu = on_disk(folder.path());
        let one = tenant(&motu, "k5:1", SOURCE, &["motu:blob/*"]);
        let other = tenant(&motu, "k5:2", SOURCE, &["motu:blob/*"]);
        ask(&one, "put", blob("large", &large)).unwrap();
        assert_eq!(ask(&other, "get", "large").unwrap(), Value::Nil, "another tenant's are others");
    }
    let motu = on_disk(folder.path());
    let one = tenant(&motu, "k5:1", SOURCE, &["motu:blob/*"]);
    assert_eq!(ask(&one, "get", "large").unwrap(), Value::string(large));
    run(one.delete_state()).unwrap();
    assert_eq!(ask(&one, "get", "large").unwrap(), Value::Nil);
}

fn k5_ranges_and_appends() {
    // a fast machine appends 1,500 times before the default would allow it
    let motu = builder(Limits { blob_operations_per_second: None, ..limits() }).build().unwrap();
    let tenant = tenant(&motu, "k5:1", SOURCE, &["motu:blob/*"]);
    ask(&tenant, "put", blob("digits", "0123456789")).unwrap();
    for (offset, length, part) in [(0, 3, "012"), (8, 5, "89"), (10, 1, ""), (1_000_000, 1, "")] {
        let range = Value::from([
            ("name", Value::string("digits")),
            ("offset", Value::from(offset)),
            ("length", Value::from(length)),
        ]);
        assert_eq!(ask(&tenant, "part", range).unwrap(), Value::string(part));
    }
    // larger than one answer
    assert_eq!(ask(&tenant, "grow", 1500).unwrap(), Value::from((9 + 90 * 2 + 900 * 3 + 501 * 4) * 1000));
    assert!(ask(&tenant, "get", "whole").unwrap_err().message().contains("piece by piece"));
    let range =
        Value::from([("name", Value::string("whole")), ("offset", Value::from(8_500)), ("length", Value::from(1_001))]);
    let wanted = format!("{}{}{}", "9".repeat(500), "10".repeat(250), "1");
    assert_eq!(ask(&tenant, "part", range).unwrap(), Value::string(wanted));
    assert_eq!(ask(&tenant, "names", ()).unwrap(), Value::from_iter(["digits", "whole"].map(Value::string)));
}

fn k5_quotas_are_kept() {
    let motu = builder(Limits { blobs: 5, blob_bytes: 100, ..limits() }).build().unwrap();
    let tenant = tenant(&motu, "k5:1", SOURCE, &["motu:blob/*"]);
    let Value::Array(filled) = ask(&tenant, "fill", ()).unwrap() else { panic!() };
    assert_eq!(filled[0], Value::from(5), "the fifth works");
    assert!(filled[1].as_str().unwrap().contains("quota of blobs is 5"), "{}", filled[1]);
    assert_eq!(ask(&tenant, "delete", "b0").unwrap(), Value::Boolean(true));
    ask(&tenant, "put", blob("again", &"x".repeat(100))).unwrap();
    let error = ask(&tenant, "put", blob("again", &"x".repeat(101))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("bytes in a blob"), "{error}");
    assert_eq!(ask(&tenant, "usage", ()).unwrap(), Value::from_iter([5, 0]));
}

fn k5_links_cannot_be_forged() {
    let motu = builder(limits()).build().unwrap();
    let tenant = tenant(&motu, "k5:1", SOURCE, &["motu:blob/*"]);
    ask(&tenant, "put", blob("report", "all is well")).unwrap();
    let link = |seconds: f64| {
        ask(&tenant, "link", Value::from([("name", Value::string("report")), ("seconds", Value::Number(seconds))]))
    };
    let made = link(60.0).unwrap();
    let made = made.as_str().unwrap();
    let opened = motu.open_link(made, 0, None).unwrap().unwrap();
    assert_eq!((opened.bytes.as_slice(), opened.size), (b"all is well".as_slice(), 11));
    assert_eq!(motu.open_link(made, 4, Some(2)).unwrap().unwrap().bytes, b"is");
    let refused = |link: &str| motu.open_link(link, 0, None).unwrap_err().kind();
    for at in 0..made.len() {
        let mut forged = made.as_bytes().to_vec();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(refused(std::str::from_utf8(&forged).unwrap()), ErrorKind::Denied, "the byte {at}");
    }
    assert_eq!(refused(""), ErrorKind::Denied);
    // that of another Motu
    let other = builder(limits()).build().unwrap();
    assert_eq!(other.open_link(made, 0, None).unwrap_err().kind(), ErrorKind::Denied);
    for wrong in [0.0, -1.0, 604_801.0, f64::NAN] {
        assert!(link(wrong).is_err(), "{wrong}");
    }
    let soon = link(0.001).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(refused(soon.as_str().unwrap()), ErrorKind::Denied, "it has expired");
    ask(&tenant, "delete", "report").unwrap();
    assert_eq!(motu.open_link(made, 0, None).unwrap(), None);
    run(motu.end_links(0)).unwrap();
    assert_eq!(refused(made), ErrorKind::Denied);
}

fn k5_blobs_in_memory_expire() {
    let folder = tempfile::tempdir().unwrap();
    let in_memory = |ttl: f64| {
        let options = Value::from([("ttl", Value::Number(ttl)), ("memory", Value::Boolean(true))]);
        Value::from([("name", Value::string("m")), ("bytes", Value::string("x")), ("options", options)])
    };
    {
        let motu = on_disk(folder.path());
        let tenant = tenant(&motu, "k5:1", SOURCE, &["motu:blob/*"]);
        ask(&tenant, "put", in_memory(3600.0)).unwrap();
        assert_eq!(ask(&tenant, "get", "m").unwrap(), Value::string("x"));
        assert_eq!(ask(&tenant, "usage", ()).unwrap(), Value::from_iter([0, 1]));
        ask(&tenant, "put", in_memory(0.001)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(ask(&tenant, "get", "m").unwrap(), Value::Nil);
        ask(&tenant, "put", in_memory(3600.0)).unwrap();
    }
    let motu = on_disk(folder.path());
    let tenant = tenant(&motu, "k5:1", SOURCE, &["motu:blob/*"]);
    assert_eq!(ask(&tenant, "get", "m").unwrap(), Value::Nil, "it is gone with the process");
}
