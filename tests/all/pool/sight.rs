//! What an operator sees: a span and counters for each event.

use std::collections::HashMap;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use motu::{Error, Grants, HostModule, Limits, TenantRef};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};

use super::deployed;
use crate::child::in_child;
use crate::support::{builder, limits, run, until};

trials![each_event_has_a_span, counters_have_no_tenant];

pub(crate) const CHILDREN: &[crate::child::Body] = &[("counters", counters), ("spans", spans)];

const SOURCE: &str = "local gate, worked = require('@test/gate'), 0\n\
     return { go = function() return 1 end, no = function() error('no') end, spin = function() while true do end end,\n\
     wait = function() task.wait(3600) end, worked = function() return worked end,\n\
     work = function() while not gate.is_open() do end worked += 1 task.wait(3600) end }";

type Fields = HashMap<String, String>;

/// Keeps the fields of the spans of events.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Fields>>>);

struct Keep<'a>(&'a mut Fields);

impl Visit for Keep<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "motu::event"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        spans.push(Fields::new());
        span.record(&mut Keep(spans.last_mut().unwrap()));
        Id::from_u64(spans.len() as u64)
    }
    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Keep(&mut self.0.lock().unwrap()[span.into_u64() as usize - 1]));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What is enabled is found out once for a whole process, so this runs in one of its own.
fn each_event_has_a_span() {
    in_child("spans");
}

fn spans() {
    let limits = Limits { event_fuel: Some(5_000_000), ..limits() };
    let motu = builder(limits).host_module(Gate::default().module()).build().unwrap();
    let tenant = deployed(&motu, "v3:1", SOURCE);
    let spans = Spans::default();
    let used = tracing::subscriber::with_default(spans.clone(), || {
        ["go", "no", "spin"].map(|event| match &run(tenant.dispatch::<u32>(event, &())).unwrap()[0].result {
            Ok(outcome) => outcome.usage,
            Err(error) => error.usage(),
        })
    });
    let spans = spans.0.lock().unwrap();
    for ((fields, used), (event, outcome)) in
        spans.iter().zip(used).zip([("go", "ok"), ("no", "script"), ("spin", "fuel")])
    {
        let wanted = [
            ("tenant", "v3:1".to_owned()),
            ("bundle", "main".to_owned()),
            ("event", event.to_owned()),
            ("outcome", outcome.to_owned()),
            ("fuel", used.fuel.to_string()),
            ("memory_bytes", used.memory_bytes.to_string()),
            ("elapsed_us", used.elapsed.as_micros().to_string()),
        ];
        assert_eq!(*fields, wanted.map(|(name, value)| (name.to_owned(), value)).into());
    }
    assert_eq!(spans.len(), 3);
}

/// Sums what is counted, by name and labels.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<HashMap<String, Arc<Sum>>>>);

#[derive(Default)]
struct Sum(AtomicU64);

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }
    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<String> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(","));
        Counter::from_arc(self.0.lock().unwrap().entry(name.trim_end().to_owned()).or_default().clone())
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.lock().unwrap().entry(format!("{} seen", key.name())).or_default().0.fetch_add(1, Ordering::Relaxed);
        Histogram::noop()
    }
}

/// A recorder is the process's, so this runs in one of its own.
fn counters_have_no_tenant() {
    in_child("counters");
}

impl Sums {
    fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |sum| sum.0.load(Ordering::Relaxed))
    }

    fn all(&self) -> Vec<(String, u64)> {
        let sums = self.0.lock().unwrap();
        let mut all: Vec<_> = sums.iter().map(|(name, sum)| (name.clone(), sum.0.load(Ordering::Relaxed))).collect();
        all.sort_unstable();
        all
    }
}

/// Lets scripts go on when it is open, and counts how often they ask.
#[derive(Clone, Default)]
struct Gate {
    asked: Arc<AtomicU64>,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    fn module(&self) -> HostModule {
        let gate = self.clone();
        HostModule::from_wit("package test:gate; interface gate { is-open: func() -> bool; }").unwrap().function(
            "is-open",
            move |_, (): ()| {
                gate.asked.fetch_add(1, Ordering::AcqRel);
                let is_open = gate.is_open.load(Ordering::Acquire);
                async move { Ok::<_, Error>(is_open) }
            },
        )
    }
}

/// Sends an event, and drops its future once the event is where it should be.
fn give_up(tenant: &TenantRef, event: &str, is_there: impl Fn() -> bool) {
    run(async {
        let mut event = pin!(tenant.dispatch::<Option<u32>>(event, &()));
        let pending = poll_fn(|context| Poll::Ready(event.as_mut().poll(context).is_pending())).await;
        assert!(pending);
        until("the event is sent", is_there);
    });
}

fn counters() {
    let (sums, gate) = (Sums::default(), Gate::default());
    metrics::set_global_recorder(sums.clone()).unwrap();
    let full = Limits { event_fuel: Some(5_000_000), mailbox_events: 0, ..limits() };
    let motu = builder(full).host_module(gate.module()).build().unwrap();
    let tenant = deployed(&motu, "v3:2", SOURCE);
    tenant.set_grants(Some(Grants::parse(["test:gate/*"]).unwrap()));
    run(tenant.dispatch::<u32>("go", &())).unwrap();
    tenant.set_limits(Some(Limits { event_fuel: Some(5_000_000), ..limits() })).unwrap();
    let mut fuel = 0;
    for event in ["go", "go", "no", "spin"] {
        fuel += match &run(tenant.dispatch::<u32>(event, &())).unwrap()[0].result {
            Ok(outcome) => outcome.usage.fuel,
            Err(error) => error.usage().fuel,
        };
    }
    let wanted = [
        ("motu_event_seconds seen", 4),
        ("motu_events_total outcome=fuel", 1),
        ("motu_events_total outcome=ok", 2),
        ("motu_events_total outcome=script", 1),
        ("motu_fuel_total", fuel),
        ("motu_refused_total kind=queue_full", 1),
        ("motu_starts_total", 1),
    ];
    assert_eq!(sums.all(), wanted.map(|(name, sum)| (name.to_owned(), sum)));
    // w06: a caller who goes is no loss of the instance's
    let ended = |events: u64| until("it has ended", || sums.get("motu_event_seconds seen") == events);
    tenant.set_limits(Some(limits())).unwrap();
    tenant.pause();
    give_up(&tenant, "wait", || tenant.status()["main"].waiting == 1);
    tenant.resume();
    ended(5);
    assert_eq!((sums.get("motu_starts_total"), sums.get("motu_fuel_total")), (1, fuel), "it was never started");
    give_up(&tenant, "wait", || tenant.status()["main"].started == 1);
    ended(6);
    // it computes: the instance sees that its caller is gone, and ends it when it waits
    give_up(&tenant, "work", || gate.asked.load(Ordering::Acquire) > 0);
    let asked = gate.asked.load(Ordering::Acquire);
    until("it has had some turns", || gate.asked.load(Ordering::Acquire) > asked + 3_000);
    assert_eq!(sums.get("motu_event_seconds seen"), 6, "it goes on");
    gate.is_open.store(true, Ordering::Release);
    ended(7);
    assert_eq!(run(tenant.dispatch::<u32>("worked", &())).unwrap()[0].result.as_ref().unwrap().value, 1);
    let wanted = [
        ("motu_event_seconds seen", 8),
        ("motu_events_total outcome=cancelled", 3),
        ("motu_events_total outcome=fuel", 1),
        ("motu_events_total outcome=ok", 3),
        ("motu_events_total outcome=script", 1),
        ("motu_fuel_total", sums.get("motu_fuel_total")),
        ("motu_refused_total kind=queue_full", 1),
        ("motu_starts_total", 2),
    ];
    assert_eq!(sums.all(), wanted.map(|(name, sum)| (name.to_owned(), sum)));
}
