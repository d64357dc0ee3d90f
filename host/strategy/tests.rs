//! What crosses between those who dispatch and those who run could cross between processes: here all of it goes as bytes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Command, Front, Notice, Place, Spec, Strategy, ThreadPool};
use crate::queue::Queue;
use crate::{Bundle, CompileCache, Error, ErrorKind, Limits, Motu, TenantRef, Value};

fn through_bytes<T: Serialize + DeserializeOwned>(what: &T) -> T {
    serde_json::from_slice(&serde_json::to_vec(what).unwrap()).unwrap()
}

struct Far(ThreadPool);

struct FarPlace {
    place: Box<dyn Place>,
    _front: Arc<dyn Front>,
}

struct FarFront(Weak<dyn Front>);

impl Strategy for Far {
    fn open(&self, spec: Spec, front: Weak<dyn Front>) -> Result<Box<dyn Place>, Error> {
        let front: Arc<dyn Front> = Arc::new(FarFront(front));
        let place = self.0.open(through_bytes(&spec), Arc::downgrade(&front))?;
        Ok(Box::new(FarPlace { place, _front: front }))
    }

    fn loads(&self) -> &Arc<Queue> {
        self.0.loads()
    }
}

impl Place for FarPlace {
    fn send(&self, command: Command) {
        self.place.send(through_bytes(&command));
    }
}

impl Front for FarFront {
    fn notice(&self, notice: Notice) {
        if let Some(front) = self.0.upgrade() {
            front.notice(through_bytes(&notice));
        }
    }
}

/// Has no place for instances, as a machine that has no more threads.
struct Full(ThreadPool);

impl Strategy for Full {
    fn open(&self, _: Spec, _: Weak<dyn Front>) -> Result<Box<dyn Place>, Error> {
        Err(Error::new(ErrorKind::Host, "no thread can be started"))
    }

    fn loads(&self) -> &Arc<Queue> {
        self.0.loads()
    }
}

/// Whoever pauses an instance that can't be opened hears of it; what needs no place has nothing to do.
#[test]
fn c14_a_pause_that_fails_is_an_error() {
    let builder = Motu::builder().compile_cache(CompileCache::Off).on_log(|_| ());
    let motu = builder.build_on(|shared, _| Ok(Box::new(Full(ThreadPool::new(shared, 1)?)))).unwrap();
    let bundle = Bundle::from_files([("init.luau", SOURCE)]).unwrap();
    let instance = run(motu.load(&bundle)).unwrap().instance("far:1".parse().unwrap());
    let error = instance.pause().unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Host, "no thread can be started"));
    instance.resume();
    instance.kill();
    assert!(!instance.is_live());
}

const SOURCE: &str = "local n = 0\n\
    return { add = function(more) n += more return n end, same = function(value) return value end,\n\
    fail = function() error({ code = 7, bytes = buffer.fromstring('\\0\\255') }) end,\n\
    text = function() local x = nil return x.y end, spin = function() while true do end end,\n\
    sleep = function() task.wait(1e6) end }";

fn far(limits: Limits) -> (Motu, TenantRef) {
    let builder = Motu::builder().limits(limits).compile_cache(CompileCache::Off).on_log(|_| ());
    let motu = builder.build_on(|shared, _| Ok(Box::new(Far(ThreadPool::new(shared, 1)?)))).unwrap();
    let tenant = motu.tenant(&"far:1".parse().unwrap());
    let opaque = Bundle::from_files([("init.luau", "return 1")]).unwrap().opaque();
    let bundle = Bundle::from_files([("init.luau", SOURCE)]).unwrap().mount("inner", opaque).unwrap();
    run(tenant.deploy("main", &bundle)).unwrap();
    (motu, tenant)
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn ask(tenant: &TenantRef, event: &str, payload: &Value) -> Result<Value, Error> {
    let mut answers = run(tenant.dispatch_value(event, payload)).unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0).result.map(|outcome| outcome.value)
}

#[test]
fn what_crosses_the_strategy_crosses_as_bytes() {
    let fuel = Some(100_000_000);
    let (motu, tenant) = far(Limits { event_fuel: fuel, mailbox_events: 2, restarts: Some(3), ..Limits::default() });

    // values, bit for bit
    let value = Value::Array(vec![
        Value::Number(-0.0),
        Value::Number(f64::NAN),
        Value::Number(f64::INFINITY),
        Value::String(vec![0, 255, 10]),
        Value::Buffer(vec![1, 2]),
        Value::Vector([1.0, f32::NAN, -0.0]),
        Value::Integer(i64::MIN + 1),
    ]);
    assert_eq!(ask(&tenant, "same", &value).unwrap(), value);

    // errors, with all that belongs to them
    let error = ask(&tenant, "fail", &Value::Nil).unwrap_err();
    assert_eq!((error.kind(), error.event()), (ErrorKind::Script, Some("fail")));
    let thrown = error.value().unwrap();
    assert_eq!(thrown.get("code"), Some(&Value::Number(7.0)));
    assert_eq!(thrown.get("bytes"), Some(&Value::Buffer(vec![0, 255])));
    assert!(error.usage().fuel > 0 && error.usage().memory_bytes > 1 << 20);
    let error = ask(&tenant, "text", &Value::Nil).unwrap_err();
    assert!(error.traceback().contains("init.luau:4"), "{}", error.traceback());

    // limits, deadlines, and the state in between
    assert_eq!(ask(&tenant, "add", &Value::from(2)).unwrap(), Value::from(2));
    let deadline = Some(Duration::from_millis(20));
    let error = run(tenant.dispatch_within::<()>("sleep", &(), deadline)).unwrap().remove(0).result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert_eq!(ask(&tenant, "add", &Value::from(3)).unwrap(), Value::from(5));
    assert_eq!(ask(&tenant, "spin", &Value::Nil).unwrap_err().kind(), ErrorKind::Fuel);
    assert_eq!(ask(&tenant, "add", &Value::from(3)).unwrap(), Value::from(3), "in a fresh instance");
    tenant.kill();
    assert_eq!(ask(&tenant, "add", &Value::from(4)).unwrap(), Value::from(4));

    // what waits, and is taken back
    tenant.pause();
    let fills = |n: u32| tenant.post("add", &n).unwrap().remove(0).result.map_err(|error| error.kind());
    assert_eq!([fills(1), fills(1), fills(1)], [Ok(()), Ok(()), Err(ErrorKind::QueueFull)]);
    tenant.resume();
    while tenant.status()["main"].waiting > 0 {
        std::thread::yield_now();
    }
    assert_eq!(ask(&tenant, "add", &Value::from(0)).unwrap(), Value::from(6));

    // too often
    for _ in 0..3 {
        assert_eq!(ask(&tenant, "spin", &Value::Nil).unwrap_err().kind(), ErrorKind::Fuel);
    }
    assert_eq!(ask(&tenant, "add", &Value::from(1)).unwrap_err().kind(), ErrorKind::Quarantined);
    assert!(tenant.status()["main"].quarantine.as_ref().unwrap().contains("out of fuel"));
    tenant.resume();
    assert_eq!(ask(&tenant, "add", &Value::from(1)).unwrap(), Value::from(1));

    // to the end
    tenant.post("sleep", &()).unwrap();
    let drained = run(motu.drain(Duration::from_millis(10)));
    assert_eq!(drained.unfinished.len(), 1);
    assert_eq!(ask(&tenant, "add", &Value::from(1)).unwrap_err().kind(), ErrorKind::Stopped);
}
