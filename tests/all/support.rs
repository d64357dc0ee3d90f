//! What the trials share: Motus by their limits, and short ways to run a script.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use motu::{
    Bundle, CompileCache, Error, ErrorKind, HostModule, Instance, Limits, Loaded, Motu, Outcome, Placement, Tenant,
    Value,
};

/// Lists a module's trials: functions without arguments. One that is left out is dead code, which clippy finds.
macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
            vec![$(crate::support::trial(module_path!(), stringify!($name), $name)),*]
        }
    };
}

pub(crate) fn trial(module: &str, name: &str, test: fn()) -> Trial {
    let module = module.split_once("::").map_or(module, |(_, module)| module);
    let name = format!("{module}::{name}");
    Trial::test(name.clone(), move || {
        crate::steps::begin(&name);
        test();
        Ok(())
    })
}

/// Whether the reduced trials run at their full size.
pub(crate) fn full() -> bool {
    std::env::var_os("MOTU_FULL").is_some()
}

/// Within `target/`, so that tests leave nothing behind and find it warm.
pub(crate) fn cache() -> CompileCache {
    CompileCache::Folder(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compile-cache"))
}

/// On the placement that `MOTU_PLACEMENT` asks for (`thread-per-tenant`), so that the whole suite can run on each; trials
/// whose matter is the placement set it themselves.
pub(crate) fn builder(limits: Limits) -> motu::MotuBuilder {
    let builder = Motu::builder().limits(limits).compile_cache(cache()).on_log(|_| ()).host_module(crm());
    // what a child measures is its memory
    let is_child = std::env::var_os(crate::child::VARIABLE).is_some();
    let builder = if is_child { builder } else { builder.on_step(crate::steps::recorder()) };
    match std::env::var("MOTU_PLACEMENT").as_deref() {
        Ok("thread-per-tenant") => builder.placement(Placement::ThreadPerTenant),
        Ok(other) => panic!("MOTU_PLACEMENT={other}: there is thread-per-tenant; leave it out for the pool"),
        Err(_) => builder,
    }
}

/// What scripts of the corpus call that is refused: nothing is granted to them.
fn crm() -> HostModule {
    let wit = "package acme:crm; interface contacts { use motu:value/types.{value};
               send: func(a: value, b: value, c: value); }";
    type Three = (Value, Value, Value);
    HostModule::from_wit(wit).unwrap().function("send", |_, _: Three| async { Ok::<_, Error>(()) })
}

/// The Motu with these limits, made once for all trials. Making one compiles the VM if the cache is cold, so they are made
/// one after the other.
pub(crate) fn motu(limits: Limits) -> Motu {
    static MADE: Mutex<Vec<(Limits, Motu)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, motu)) = made.iter().find(|(of, _)| *of == limits) {
        return motu.clone();
    }
    let motu = builder(limits.clone()).build().unwrap();
    made.push((limits, motu.clone()));
    motu
}

/// The defaults, with a deadline that a slow machine doesn't reach.
pub(crate) fn limits() -> Limits {
    let long = Some(Duration::from_secs(120));
    Limits { load_deadline: long, event_deadline: long, ..Limits::default() }
}

/// Enough for a short script, little enough that a hostile one ends soon.
pub(crate) fn small() -> Limits {
    Limits { event_fuel: Some(200_000_000), load_fuel: Some(200_000_000), memory_bytes: 16 << 20, ..limits() }
}

pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn tenant() -> Tenant {
    "test:1".parse().unwrap()
}

pub(crate) fn bundle(files: &[(&str, &str)]) -> Bundle {
    owned(Bundle::from_files(files.iter().map(|(path, text)| (*path, *text))).unwrap())
}

/// A folder with these files, that is gone when this is dropped.
pub(crate) fn folder<C: AsRef<[u8]>>(files: &[(&str, C)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (path, contents) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
    folder
}

/// A bundle made otherwise, whose steps are the test's.
pub(crate) fn owned(bundle: Bundle) -> Bundle {
    crate::steps::own(bundle.digest());
    bundle
}

pub(crate) fn load_files(limits: Limits, files: &[(&str, &str)]) -> Result<Loaded, Error> {
    run(motu(limits).load(&bundle(files)))
}

pub(crate) fn try_load(limits: Limits, source: impl Into<Vec<u8>>) -> Result<Loaded, Error> {
    let bundle = owned(Bundle::from_files([("init.luau", source)]).unwrap());
    run(motu(limits).load(&bundle))
}

/// A bundle of one file under the usual limits.
pub(crate) fn load(source: &str) -> Loaded {
    try_load(limits(), source).unwrap()
}

pub(crate) fn instance(source: &str) -> Instance {
    load(source).instance(tenant())
}

pub(crate) fn instance_with(limits: Limits, source: &str) -> Instance {
    try_load(limits, source).unwrap().instance(tenant())
}

/// One event without a payload.
pub(crate) fn event(instance: &Instance, name: &str) -> Result<Outcome<Value>, Error> {
    send(instance, name, &Value::Nil)
}

pub(crate) fn send(instance: &Instance, name: &str, payload: &Value) -> Result<Outcome<Value>, Error> {
    run(instance.dispatch_value(name, payload))
}

/// What `return EXPRESSION` gives, by way of a handler.
pub(crate) fn eval(expression: &str) -> Value {
    let instance = instance(&format!("return {{ go = function() return {expression} end }}"));
    event(&instance, "go").unwrap_or_else(|error| panic!("{expression}: {error}")).value
}

/// A bundle whose event `go` runs `body`, and whose event `fresh` tells whether `go` has not run in this VM.
pub(crate) fn hostile(body: &str) -> String {
    format!(
        "local function go(payload)\n touched = true\n {body}\nend\n\
         return {{ go = go, fresh = function() return touched == nil end }}"
    )
}

/// `go` ends with this kind of error, and the next event is answered by a fresh VM.
pub(crate) fn assert_ends(instance: &Instance, kinds: &[ErrorKind], what: &str) -> Error {
    let starts = instance.starts();
    let error = match event(instance, "go") {
        Ok(outcome) => panic!("{what}: should end in {kinds:?}, but returned {}", outcome.value),
        Err(error) => error,
    };
    assert!(kinds.contains(&error.kind()), "{what}: should end in {kinds:?}, but got {error:?}");
    assert!(!instance.is_live(), "{what}: no VM is left after {error}");
    let next = event(instance, "fresh").unwrap_or_else(|error| panic!("{what}: the next event: {error}"));
    assert_eq!(next.value, Value::Boolean(true), "{what}: the next event is answered by a fresh VM");
    assert_eq!(instance.starts(), starts.max(1) + 1, "{what}: it was started once more");
    error
}

/// An error's message without the place before it. Of a tenant's ends by limits, ten a second have one.
pub(crate) fn unplaced(error: &Error) -> &str {
    let message = error.message();
    let rest = message.split_once(": ").filter(|(place, _)| place.contains(".luau"));
    rest.map_or(message, |(_, rest)| rest)
}

/// `go` fails as an ordinary error of the script, and the VM goes on.
pub(crate) fn assert_raises(instance: &Instance, what: &str) -> Error {
    let error = match event(instance, "go") {
        Ok(outcome) => panic!("{what}: should raise, but returned {}", outcome.value),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Script, "{what}: {error:?}");
    let next = event(instance, "fresh").unwrap_or_else(|error| panic!("{what}: the next event: {error}"));
    assert_eq!(next.value, Value::Boolean(false), "{what}: the VM is kept");
    assert_eq!(instance.starts(), 1, "{what}: the VM is kept");
    error
}

/// Waits for something, a minute at most.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}
