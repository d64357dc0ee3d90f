//! How a service uses the library: futures that can be spawned, instances on many threads, instances that are kept or
//! thrown away, and handlers that do odd things with what they keep.

use std::sync::atomic::{AtomicUsize, Ordering};

use motu::{Bundle, Error, ErrorKind, Instance, Limits, Loaded, Motu, Outcome, Tenant, Value};

use crate::support::{
    builder, bundle, event, instance, instance_with, limits, load, motu, run, send, tenant, try_load,
};

trials![
    types_are_send_and_futures_can_be_spawned,
    threads_share_a_motu,
    threads_load_the_same_bundle,
    a_dropped_load_leaves_nothing,
    a_fresh_instance_for_every_event,
    a_thousand_live_instances,
    event_names_of_any_text,
    names_that_are_not_utf_8_are_no_events,
    handlers_are_looked_up_at_each_event,
    coroutines_live_on_after_their_event,
    threads_of_handlers_that_ended_do_no_harm,
    the_thread_of_the_load_does_no_harm,
    extreme_budgets,
    a_million_caught_errors,
    many_handlers,
    many_diagnostics,
    long_chains_of_modules,
    a_log_sink_that_panics_loses_only_its_instance,
    a_serializer_that_panics_loses_nothing,
];

fn types_are_send_and_futures_can_be_spawned() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    fn is_shared<T: Send + Sync + Clone + 'static>() {}
    fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_shared::<Motu>();
    is_shared::<Loaded>();
    is_shared::<Bundle>();
    is_shared::<Tenant>();
    is_shared::<Value>();
    is_error::<Error>();
    let motu = motu(limits());
    let bundle = bundle(&[("init.luau", "return { go = function(n) return n end }")]);
    run(async {
        let loaded = is_send(motu.load(&bundle)).await.unwrap();
        is_send(motu.check(&bundle)).await.unwrap();
        let instance = is_send(loaded.instance(tenant()));
        is_send(instance.dispatch_value("go", &Value::Nil)).await.unwrap();
        is_send(instance.value()).await.unwrap_err();
        let spawned = tokio::spawn(async move { instance.dispatch::<u32>("go", &7).await });
        assert_eq!(spawned.await.unwrap().unwrap().value, 7);
    });
}

fn threads_share_a_motu() {
    let source = "n = 0\nreturn { go = function(by) n += by return n end, spin = function() while true do end end }";
    let loaded = try_load(Limits { event_fuel: Some(5_000_000), ..limits() }, source).unwrap();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (loaded, answered) = (&loaded, &answered);
            scope.spawn(move || {
                for round in 0..50 {
                    let instance = loaded.instance(format!("thread:{thread}").parse().unwrap());
                    for n in 1..=5u32 {
                        assert_eq!(run(instance.dispatch::<u32>("go", &(thread + 1))).unwrap().value, n * (thread + 1));
                    }
                    if round % 5 == 0 {
                        assert_eq!(event(&instance, "spin").unwrap_err().kind(), ErrorKind::Fuel);
                        assert_eq!(run(instance.dispatch::<u32>("go", &1)).unwrap().value, 1);
                    }
                    answered.fetch_add(5, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 1000);
}

fn threads_load_the_same_bundle() {
    let motu = motu(limits());
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let motu = &motu;
            scope.spawn(move || {
                for round in 0..20u32 {
                    let source = format!(
                        "local text = '{}' return {{ go = function() return {round} end }}",
                        "x".repeat(thread as usize)
                    );
                    let loaded = run(motu.load(&bundle(&[("init.luau", &source)]))).unwrap();
                    assert_eq!(event(&loaded.instance(tenant()), "go").unwrap().value, Value::from(round));
                }
            });
        }
    });
}

fn a_dropped_load_leaves_nothing() {
    use std::future::Future;
    let motu = motu(limits());
    let slow = bundle(&[("init.luau", "for _ = 1, 1e7 do end return { go = function() return 1 end }")]);
    for polls in 0..5 {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut load = Box::pin(motu.load(&slow));
        assert!((0..polls).all(|_| load.as_mut().poll(&mut context).is_pending()));
        drop(load);
    }
    let loaded = run(motu.load(&slow)).unwrap();
    assert_eq!(event(&loaded.instance(tenant()), "go").unwrap().value, Value::from(1));
}

fn a_fresh_instance_for_every_event() {
    let loaded = load("n = 0\nreturn { go = function() n += 1 return n end }");
    for _ in 0..2000 {
        assert_eq!(event(&loaded.instance(tenant()), "go").unwrap().value, Value::from(1));
    }
}

fn a_thousand_live_instances() {
    let loaded = load("n = 0\nreturn { go = function(by) n += by return n end }");
    let instances: Vec<Instance> = (0..1000).map(|n| loaded.instance(format!("user:{n}").parse().unwrap())).collect();
    for round in 1..=3u32 {
        for (n, instance) in instances.iter().enumerate() {
            let value = send(instance, "go", &Value::from(n as u32)).unwrap().value;
            assert_eq!(value, Value::from(round * n as u32));
        }
    }
}

fn event_names_of_any_text() {
    let names = ["", " ", "a\0b", "\u{e9}t\u{e9}", "with \"quotes\"", "\n", &"long".repeat(1000), "__index", "1"];
    let source = r#"
        local function handler(name) return function() return name end end
        local all = {}
        for _, name in { "", " ", "a\0b", "\u{e9}t\u{e9}", 'with "quotes"', "\n", string.rep("long", 1000), "__index", "1" } do
            all[name] = handler(name)
        end
        return all
    "#;
    let loaded = load(source);
    assert_eq!(loaded.handlers().len(), names.len());
    assert!(loaded.handlers().is_sorted());
    let instance = loaded.instance(tenant());
    for name in names {
        assert_eq!(
            event(&instance, name).unwrap_or_else(|error| panic!("{name:?}: {error}")).value,
            Value::string(name)
        );
    }
    for missing in ["a", "a\0c", "go", "1 "] {
        let error = event(&instance, missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

fn names_that_are_not_utf_8_are_no_events() {
    let loaded = load(
        "return { z = print, ['\\xe9'] = print, ['\\xff\\xfe'] = print, ['\u{e9}'] = print, a = function() return 'a' end }",
    );
    let instance = loaded.instance(tenant());
    for name in loaded.handlers().to_vec() {
        let answer = event(&instance, &name);
        assert!(answer.is_ok(), "{name:?} is listed, but {}", answer.unwrap_err());
    }
    assert_eq!(event(&instance, "a").unwrap().value, Value::string("a"));
    event(&instance, "\u{e9}").unwrap();
    assert_eq!(event(&instance, "\u{fffd}").unwrap_err().kind(), ErrorKind::Usage);
}

fn handlers_are_looked_up_at_each_event() {
    let source = "local all = {}\n\
        all.go = function() return 'first' end\n\
        all.change = function() all.go = function() return 'second' end all.new = function() end end\n\
        all.remove = function() all.go = nil end\n\
        all.spoil = function() all.go = 'text' end\n\
        return all";
    let instance = instance(source);
    assert_eq!(event(&instance, "go").unwrap().value, Value::string("first"));
    event(&instance, "change").unwrap();
    assert_eq!(event(&instance, "go").unwrap().value, Value::string("second"));
    // the list is made when the bundle is loaded: what comes later is no event of it
    assert_eq!(event(&instance, "new").unwrap_err().kind(), ErrorKind::Usage);
    for (how, what) in [("remove", "nothing"), ("spoil", "a string")] {
        event(&instance, how).unwrap();
        let error = event(&instance, "go").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Script);
        assert!(error.message().contains("\"go\"") && error.message().contains(what), "{error}");
    }
    assert_eq!(instance.starts(), 1);
}

fn coroutines_live_on_after_their_event() {
    let source = "local co\nreturn {\n\
        begin = function() co = coroutine.create(function() for n = 1, 3 do coroutine.yield(n) end return 'end' end) end,\n\
        next = function() local ok, value = coroutine.resume(co) return { ok, value } end }";
    let instance = instance(source);
    event(&instance, "begin").unwrap();
    for value in [Value::from(1), Value::from(2), Value::from(3), Value::string("end")] {
        assert_eq!(event(&instance, "next").unwrap().value, Value::Array(vec![true.into(), value]));
    }
    let dead = event(&instance, "next").unwrap().value;
    assert_eq!(dead, Value::Array(vec![false.into(), "cannot resume dead coroutine".into()]));
}

/// What a script can try with a thread that the VM itself has run.
const MISUSE: &str = "local function misuse(co)\n\
    local out = {}\n\
    local function try(...) for i = 1, select('#', ...) do out[#out + 1] = tostring((select(i, ...))) end end\n\
    for _ = 1, 3 do\n\
      try(coroutine.status(co)) try(coroutine.resume(co)) try(coroutine.resume(co, 1, {}, print)) try(pcall(coroutine.close, co))\n\
      try(debug.traceback(co)) try(pcall(debug.info, co, 0, 'slnaf')) try(pcall(debug.info, co, 1, 'slnaf'))\n\
      try(pcall(coroutine.wrap(function() coroutine.resume(co) coroutine.close(co) end)))\n\
      try(pcall(task.spawn, co)) try(pcall(task.defer, co, {})) try(pcall(task.delay, 0, co, print)) try(pcall(task.cancel, co))\n\
    end\n\
    return table.concat(out, ' ')\nend\n";

fn threads_of_handlers_that_ended_do_no_harm() {
    let source = MISUSE.to_owned()
        + "local kept\nreturn {\n\
        returns = function() kept = coroutine.running() return 1, print, misuse end,\n\
        fails = function() kept = coroutine.running() error('x') end,\n\
        throws = function() kept = coroutine.running() error({ print }) end,\n\
        yields = function() kept = coroutine.running() coroutine.yield(print) end,\n\
        cannot = function() kept = coroutine.running() return print end,\n\
        overflows = function() kept = coroutine.running() local function f() return 1 + f() end return f() end,\n\
        itself = function() kept = coroutine.running() return misuse(kept) end,\n\
        nested = function() kept = coroutine.running() return coroutine.wrap(function() return misuse(kept) end)() end,\n\
        misuse = function() return misuse(kept) end }";
    let limits = Limits { event_deadline: Some(std::time::Duration::from_secs(1)), ..limits() };
    let instance = try_load(limits, source.as_str()).unwrap().instance(tenant());
    for name in ["returns", "fails", "throws", "yields", "cannot", "overflows", "itself", "nested"] {
        for _ in 0..3 {
            let ended: Result<Outcome<Value>, Error> = event(&instance, name);
            if let Err(error) = ended {
                // who yields waits for somebody to resume it
                let kind = if name == "yields" { ErrorKind::Deadline } else { ErrorKind::Script };
                assert_eq!(error.kind(), kind, "{name}: {error}");
            }
            match event(&instance, "misuse") {
                Ok(outcome) => assert!(outcome.value.as_str().is_some(), "{name}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Script, "{name}: {error}"),
            }
        }
    }
    assert_eq!(instance.starts(), 1);
    assert_eq!(event(&instance, "returns").unwrap().value, Value::from(1), "it still works");
}

fn the_thread_of_the_load_does_no_harm() {
    for result in [
        "all",
        "setmetatable(all, { __call = function() return all end })",
        "function() return misuse(kept) end",
        "nil",
        "kept",
    ] {
        let source = MISUSE.to_owned()
            + "kept = coroutine.running()\nlocal all = { misuse = function() return misuse(kept) end }\nreturn "
            + result;
        let loaded = match try_load(limits(), source) {
            Ok(loaded) => loaded,
            Err(error) => panic!("{result}: {error}"),
        };
        let instance = loaded.instance(tenant());
        for _ in 0..3 {
            let kind = run(instance.value()).map_or_else(|error| error.kind(), |_| ErrorKind::Script);
            assert_eq!(kind, ErrorKind::Script, "{result}");
            if !loaded.handlers().is_empty() {
                assert!(event(&instance, "misuse").unwrap().value.as_str().is_some(), "{result}");
            }
        }
        assert_eq!(instance.starts(), 1, "{result}");
    }
}

fn extreme_budgets() {
    let source = "return { go = function() return 1 end }";
    for fuel in [0, 1, 2, 100] {
        let loaded = try_load(Limits { event_fuel: Some(fuel), ..limits() }, source).unwrap();
        let error = event(&loaded.instance(tenant()), "go").unwrap_err();
        assert_eq!((error.kind(), error.usage().fuel), (ErrorKind::Fuel, fuel));
        let error = try_load(Limits { load_fuel: Some(fuel), ..limits() }, source).unwrap_err();
        assert_eq!((error.kind(), error.usage().fuel), (ErrorKind::Fuel, fuel));
    }
    for fuel in [Some(u64::MAX), Some(u64::MAX - 1), Some(1 << 63), None] {
        for deadline in [Some(std::time::Duration::MAX), None] {
            let limits = Limits {
                event_fuel: fuel,
                load_fuel: fuel,
                event_deadline: deadline,
                load_deadline: deadline,
                memory_bytes: Limits::MEMORY_BYTES_MAX,
                ..limits()
            };
            let outcome = event(&instance_with(limits, source), "go").unwrap();
            assert!(outcome.usage.fuel > 0 && outcome.usage.fuel < 1_000_000, "{fuel:?}: {:?}", outcome.usage);
        }
    }
}

fn a_million_caught_errors() {
    // what was thrown is in a heap of its own: it must be given back
    let body = "local n = 0 for i = 1, 1000000 do local ok = pcall(error, i, 0) if not ok then n += 1 end end return n";
    let source = format!("return {{ go = function() {body} end }}");
    let unlimited = Limits { event_fuel: None, ..limits() };
    let value = event(&instance_with(unlimited, &source), "go").unwrap().value;
    assert_eq!(value, Value::from(1_000_000));
    // and with many of them alive at once
    let nested = "local function deep(n) local ok, e = pcall(function() if n == 0 then error('x') end deep(n - 1) error(n) end) return e end\n\
        return { go = function() for i = 1, 200 do deep(150) end return 'done' end }";
    assert_eq!(event(&instance(nested), "go").unwrap().value, Value::string("done"));
}

fn many_handlers() {
    // short names, so that lists of them cost more than their text
    for count in [1000, 30_000, 90_000] {
        let source = format!("local all = {{}} for i = 1, {count} do all[tostring(i)] = print end return all");
        match try_load(limits(), source.as_str()) {
            Ok(loaded) => {
                assert_eq!(loaded.handlers().len(), count);
                event(&loaded.instance(tenant()), "7").unwrap();
                let error = event(&loaded.instance(tenant()), "no").unwrap_err();
                assert!(error.message().len() < 16 << 10, "the message lists {} bytes of names", error.message().len());
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{count}: {error}"),
        }
    }
}

fn many_diagnostics() {
    // also under limits that are much smaller than the diagnostics are
    let line = format!("local {} = = 1\n", "x".repeat(3000));
    let source = line.repeat(500);
    for bytes in [1, 1000, 1 << 20] {
        let motu = builder(Limits { result_bytes: bytes, log_bytes: bytes, payload_bytes: bytes, ..limits() })
            .build()
            .unwrap();
        let files = bundle(&[("init.luau", &source), ("b.luau", &source)]);
        let found = run(motu.check(&files)).unwrap().diagnostics;
        assert!(found.len() >= 100, "{bytes}: {}", found.len());
        assert!(found.iter().all(|found| found.message.len() < 4096));
        let error = run(motu.load(&files)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Compile, "{bytes}: {error}");
        assert!(error.message().len() <= 16 << 10);
    }
}

fn long_chains_of_modules() {
    let count = 60;
    let mut files: Vec<(String, String)> =
        (0..count).map(|n| (format!("m{n}.luau"), format!("return require('./m{}') + 1", n + 1))).collect();
    files.push((format!("m{count}.luau"), "return 0".into()));
    files.push(("init.luau".into(), "return require('@self/m0')".into()));
    let loaded = run(motu(limits()).load(&crate::support::owned(Bundle::from_files(files).unwrap()))).unwrap();
    assert_eq!(run(loaded.instance(tenant()).value()).unwrap().value, Value::from(count));
}

fn a_log_sink_that_panics_loses_only_its_instance() {
    let motu = builder(limits()).on_log(|line| assert!(line.text != "boom", "the sink's own fault")).build().unwrap();
    let source = "n = 0\nreturn { log = function(text) n += 1 pcall(print, text) return n end }";
    let loaded = run(motu.load(&bundle(&[("init.luau", source)]))).unwrap();
    let mut neighbour = loaded.instance(tenant());
    let instance = loaded.instance(tenant());
    let log = |instance: &Instance, text: &str| send(instance, "log", &text.into()).unwrap().value;
    assert_eq!(log(&mut neighbour, "fine"), Value::from(1));
    for _ in 0..3 {
        assert_eq!(log(&instance, "fine"), Value::from(1));
        let error = send(&instance, "log", &"boom".into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host, "a script can't catch it");
        assert_eq!(error.message(), "init.luau:2: the function given to on_log panicked: the sink's own fault");
        assert!(!instance.is_live());
    }
    assert_eq!(log(&instance, "fine"), Value::from(1));
    assert_eq!(log(&mut neighbour, "fine"), Value::from(2));
    // and while a bundle is loaded
    let error = run(motu.load(&bundle(&[("init.luau", "print('boom')")]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Host);
    run(motu.load(&bundle(&[("init.luau", "print('fine')")]))).unwrap();
}

fn a_serializer_that_panics_loses_nothing() {
    struct Panics;
    impl serde::Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("the payload's own fault")
        }
    }
    let instance = instance("n = 0\nreturn { go = function() n += 1 return n end }");
    assert_eq!(event(&instance, "go").unwrap().value, Value::from(1));
    let send = || run(instance.dispatch::<u32>("go", &Panics)).map(drop);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(send)).is_err());
    assert_eq!(event(&instance, "go").unwrap().value, Value::from(2));
}
