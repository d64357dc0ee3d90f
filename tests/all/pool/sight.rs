//! What an operator sees: a span and counters for each event.

use std::collections::HashMap;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use motu::{Limits, TenantRef};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};

use super::deployed;
use crate::child::in_child;
use crate::support::{builder, limits, run};

trials![each_event_has_a_span, counters_have_no_tenant];

pub(crate) const CHILDREN: &[crate::child::Body] = &[("counters", counters), ("spans", spans)];

const SOURCE: &str = "return { go = function() return 1 end, no = function() error('no') end, spin = function() while true do end end, \
     wait = function() task.wait(3600) end }";

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
    let motu = builder(Limits { event_fuel: Some(5_000_000), ..limits() }).build().unwrap();
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

/// Drops the future of an event that waits.
fn w06_give_up(tenant: &TenantRef, sums: &Sums) {
    let ended = || sums.0.lock().unwrap().contains_key("motu_events_total outcome=cancelled");
    run(async {
        let mut event = pin!(tenant.dispatch::<Option<u32>>("wait", &()));
        let pending = poll_fn(|context| Poll::Ready(event.as_mut().poll(context).is_pending())).await;
        assert!(pending);
    });
    let since = Instant::now();
    while !ended() {
        assert!(since.elapsed() < Duration::from_secs(60), "{:?}", sums.0.lock().unwrap().keys());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn counters() {
    let sums = Sums::default();
    metrics::set_global_recorder(sums.clone()).unwrap();
    let motu = builder(Limits { event_fuel: Some(5_000_000), mailbox_events: 0, ..limits() }).build().unwrap();
    let full = deployed(&motu, "v3:2", SOURCE);
    run(full.dispatch::<u32>("go", &())).unwrap();
    full.set_limits(Some(Limits { event_fuel: Some(5_000_000), ..limits() })).unwrap();
    let mut fuel = 0;
    for event in ["go", "go", "no", "spin"] {
        fuel += match &run(full.dispatch::<u32>(event, &())).unwrap()[0].result {
            Ok(outcome) => outcome.usage.fuel,
            Err(error) => error.usage().fuel,
        };
    }
    // w06: whose caller goes is no loss of the instance's
    w06_give_up(&full, &sums);
    let sums = sums.0.lock().unwrap();
    let mut counted: Vec<(String, u64)> =
        sums.iter().map(|(name, sum)| (name.clone(), sum.0.load(Ordering::Relaxed))).collect();
    counted.sort_unstable();
    let counted_fuel = counted.iter().find(|(name, _)| name == "motu_fuel_total").unwrap().1;
    // given up before it was started or after, as it comes: `spin` had ended the VM
    let starts = counted.last().unwrap().1;
    assert!((1..=2).contains(&starts));
    assert!(counted_fuel >= fuel, "{counted:?}");
    let wanted = [
        ("motu_event_seconds seen", 5),
        ("motu_events_total outcome=cancelled", 1),
        ("motu_events_total outcome=fuel", 1),
        ("motu_events_total outcome=ok", 2),
        ("motu_events_total outcome=script", 1),
        ("motu_fuel_total", counted_fuel),
        ("motu_refused_total kind=queue_full", 1),
        ("motu_starts_total", starts),
    ];
    assert_eq!(counted, wanted.map(|(name, sum)| (name.to_owned(), sum)));
}
