//! V1: levels, fields and feeds. A reader that is slow holds nobody up, and is told what it missed.

use std::sync::{Arc, Mutex};

use motu::{ErrorKind, Limits, LogLevel, Logged, Value};

use super::{ask, tenant};
use crate::support::{builder, limits, run};

trials![
    v1_levels_and_fields,
    v1_a_slow_reader_blocks_nobody,
    v1_a_feed_has_the_lines_of_its_tenant,
    what_an_event_logs_is_bounded,
];

fn v1_levels_and_fields() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let motu = builder(limits()).on_log(move |line| kept.lock().unwrap().push(line.clone())).build().unwrap();
    let source = "local log = require('@motu/log')\nreturn { go = function()\n\
        log.debug('a') log.info('b', { n = 1 }) log.warn('c', 'text') log.error('d', { 1, 2 }) print('e') end }";
    let tenant = tenant(&motu, "v1:1", source, &["motu:log/*"]);
    ask(&tenant, "go", ()).unwrap();
    let lines = lines.lock().unwrap();
    let seen: Vec<_> = lines.iter().map(|line| (line.level, line.text.as_str(), line.fields.clone())).collect();
    let expected = [
        (LogLevel::Debug, "a", None),
        (LogLevel::Info, "b", Some(Value::from([("n", Value::from(1))]))),
        (LogLevel::Warn, "c", Some(Value::string("text"))),
        (LogLevel::Error, "d", Some(Value::from_iter([1, 2]))),
        (LogLevel::Info, "e", None),
    ];
    assert_eq!(seen, expected);
    assert!(lines.iter().all(|line| line.event.as_deref() == Some("go") && line.tenant.as_ref() == Some(tenant.id())));
}

fn v1_a_slow_reader_blocks_nobody() {
    let motu = builder(limits()).build().unwrap();
    let source = "local log = require('@motu/log')\n\
        return { go = function(n) for i = 1, n do log.info(tostring(i)) end end }";
    let tenant = tenant(&motu, "v1:1", source, &["motu:log/*"]);
    let mut feed = tenant.logs(64);
    ask(&tenant, "go", 10_000).unwrap();
    run(async {
        assert_eq!(feed.next().await, Some(Logged::Dropped(10_000 - 64)));
        for n in 10_000 - 63..=10_000 {
            let Some(Logged::Line(line)) = feed.next().await else { panic!("line {n}") };
            assert_eq!(line.text, n.to_string());
        }
    });
}

fn v1_a_feed_has_the_lines_of_its_tenant() {
    let motu = builder(limits()).build().unwrap();
    let source = "return { go = function(text) print(text) end }";
    let (one, other) = (tenant(&motu, "v1:1", source, &[]), tenant(&motu, "v1:2", source, &[]));
    let mut feed = one.logs(10);
    ask(&other, "go", "theirs").unwrap();
    ask(&one, "go", "mine").unwrap();
    let Some(Logged::Line(line)) = run(feed.next()) else { panic!() };
    assert_eq!(line.text, "mine");
    drop(feed);
    ask(&one, "go", "nobody reads").unwrap();
    let mut again = one.logs(10);
    ask(&one, "go", "again").unwrap();
    let Some(Logged::Line(line)) = run(again.next()) else { panic!() };
    assert_eq!(line.text, "again");
}

/// All of an event's entries share one budget: waiting doesn't renew it.
fn what_an_event_logs_is_bounded() {
    let motu = builder(Limits { log_bytes: 1000, ..limits() }).build().unwrap();
    let source = "local log = require('@motu/log')\nlocal text = string.rep('x', 100)\nreturn {\n\
        print = function() for _ = 1, 100 do print(text) task.wait() end end,\n\
        log = function() local n = 0 while pcall(log.info, text) do n += 1 task.wait() end return n end,\n\
        fields = function() log.info('', { text = string.rep('x', 1000) }) end }";
    let tenant = tenant(&motu, "v1:1", source, &["motu:log/*"]);
    let error = ask(&tenant, "print", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("log_bytes of 1000"), "{error}");
    // a line's end counts too
    assert_eq!(ask(&tenant, "log", ()).unwrap(), Value::from(9));
    let error = ask(&tenant, "fields", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.message().contains("over the limit log_bytes"), "{error}");
}
