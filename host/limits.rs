//! The limits of loading and of an event. The operator sets them; nothing a script does renews or postpones one (M3).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What one bundle may use. Every field has a default and may be changed with struct update syntax:
///
/// ```
/// # use motu::Limits;
/// let limits = Limits { event_fuel: Some(100_000_000), ..Limits::default() };
/// ```
///
/// `None` means unlimited. What goes over a limit ends with an error of the kind that the field names, and the next event
/// is answered by a fresh instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel for loading a bundle: compiling it and running its top level. Default 5,000,000,000 (0.4 to 1.1 s of
    /// plain code). Over it: [`Fuel`](crate::ErrorKind::Fuel).
    pub load_fuel: Option<u64>,
    /// Fuel for an event. Default 5,000,000,000. Over it: [`Fuel`](crate::ErrorKind::Fuel).
    pub event_fuel: Option<u64>,
    /// Fuel for the handler `start`, which runs once in each fresh instance. Default 5,000,000,000. Over it:
    /// [`Fuel`](crate::ErrorKind::Fuel), for the events that wait for it.
    pub start_fuel: Option<u64>,
    /// Fuel each time that a task is resumed which an event left behind when it ended. Default 100,000,000. Over it, the
    /// instance is lost.
    pub background_fuel: Option<u64>,
    /// Wall-clock time for loading a bundle. Default 5 s. Over it: [`Deadline`](crate::ErrorKind::Deadline), noticed
    /// within a slice of [`SLICE_FUEL`](Self::SLICE_FUEL).
    pub load_deadline: Option<Duration>,
    /// Wall-clock time for an event. Default 5 s. Over it: [`Deadline`](crate::ErrorKind::Deadline).
    pub event_deadline: Option<Duration>,
    /// Wall-clock time for the handler `start`. Default 5 s. Over it: [`Deadline`](crate::ErrorKind::Deadline).
    pub start_deadline: Option<Duration>,
    /// Memory of an instance in bytes: the VM (about 1.4 MiB), the bundle and all that the script makes, and what the host
    /// holds for it: payloads in its mailbox, sleeps (256 bytes each), calls that wait (2 KiB or so
    /// each, and their arguments). Not counted: the
    /// heap of exceptions (at most 1 MiB) and the stack (3 MiB of address space). Default 64 MiB, at most 4 GiB. Over it:
    /// [`Memory`](crate::ErrorKind::Memory).
    pub memory_bytes: u64,
    /// The size of an event's payload on the wire, in bytes. Default 1 MiB, at most 1 GiB. Over it:
    /// [`Limit`](crate::ErrorKind::Limit), and nothing runs.
    pub payload_bytes: u32,
    /// How deep tables may lie in each other in a payload. Default 200, which is the most. Over it:
    /// [`Limit`](crate::ErrorKind::Limit), and nothing runs.
    pub payload_depth: u32,
    /// The size of a result, or of an error value, on the wire, in bytes. Default 1 MiB, at most 1 GiB. A result over it:
    /// [`Limit`](crate::ErrorKind::Limit); an error value over it is left out.
    pub result_bytes: u32,
    /// How deep tables may lie in each other in a result, and in the arguments of a host function. Default 200, which is the
    /// most. A result over it: [`Limit`](crate::ErrorKind::Limit); arguments over it are an error that the script can catch.
    pub result_depth: u32,
    /// What one event and the tasks that it leaves behind, or loading, may log, in bytes; the end of each line counts as one, and a byte that isn't
    /// UTF-8 as the three that replace it. Default 64
    /// KiB, at most 1 GiB. Over it:
    /// [`Limit`](crate::ErrorKind::Limit).
    pub log_bytes: u32,
    /// How many coroutines that scripts made may be alive in an instance, garbage not counted. Default 20,000, at most
    /// 1,000,000. One more is an error that the script can catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit).
    pub coroutines: u32,
    /// How many sleeps (`task.wait`, `task.delay`) may be under way in an instance. Default 20,000, at most 1,000,000. One
    /// more is an error that the script can catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit).
    pub timers: u32,
    /// How many calls of host functions may be under way in an instance. Default 1,000, at most 100,000. One more is an
    /// error that the script can catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit).
    pub calls_in_flight: u32,
    /// How many handles of the host's resources an instance may have open. Default 1,000, at most 1,000,000. One more is an
    /// error that the script can catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit).
    pub handles: u32,
    /// How many keys a tenant may have in `motu:kv`, those counted that expired a moment ago. Default 100,000; no ceiling. One
    /// more is an error that the script can catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit). So for the next three.
    pub kv_keys: u64,
    /// What a tenant's keys may take in `motu:kv`, in bytes: scopes, keys, values, and 64 for each. Default 100 MiB; no ceiling.
    pub kv_bytes: u64,
    /// The size of a value in `motu:kv`, in bytes. Default 1 MiB, at most 1 GiB.
    pub kv_value_bytes: u32,
    /// How many operations a tenant may do in a second with `motu:kv`, all its instances together. Default 10,000; `None` is
    /// no limit.
    pub kv_operations_per_second: Option<u32>,
    /// How many operations a tenant may do in a second with `motu:blob`, all its instances together: each call is one. Default
    /// 1,000; `None` is no limit. One more is an error that the script can catch; if it doesn't:
    /// [`Limit`](crate::ErrorKind::Limit).
    pub blob_operations_per_second: Option<u32>,
    /// How many blobs a tenant may have on disk with `motu:blob`. Default 10,000; no ceiling. One more is an error that the script
    /// can catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit). So for the next three.
    pub blobs: u64,
    /// What a tenant's blobs may take on disk, in bytes: scopes, names, contents, and 256 for each. Default 256 MiB; no ceiling.
    pub blobs_bytes: u64,
    /// The size of a blob, in bytes. Default 64 MiB; no ceiling.
    pub blob_bytes: u64,
    /// What a tenant's blobs in memory may take, in bytes, counted as on disk; 1,000 of them at most. Default 16 MiB; no ceiling
    /// but that all tenants share 256 MiB.
    pub blobs_memory_bytes: u64,
    /// How many operations a tenant may do in a second with the schedules of `motu:cron`, all its instances together: each call of
    /// `set`, `delete`, `get` and `list` is one. Default 200; `None` is no limit. One more is an error that the script can catch; if
    /// it doesn't: [`Limit`](crate::ErrorKind::Limit).
    pub cron_operations_per_second: Option<u32>,
    /// How many schedules a tenant may have with `motu:cron`. Default 100; no ceiling. One more is an error that the script can
    /// catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit). So for the next.
    pub schedules: u64,
    /// What a tenant's schedules may take, in bytes: names, expressions, payloads, and 64 for each. Default 1 MiB; no ceiling.
    pub schedule_bytes: u64,
    /// How many calls a tenant may make of a host module's functions in a second, all its instances together, by the module's
    /// package: `motu:http`. As many may come at once after a second without. What isn't here has no limit. Default: 20 of
    /// `motu:http`. One more is an error that the script can catch; if it doesn't: [`Limit`](crate::ErrorKind::Limit).
    ///
    /// Instances of a tenant under different limits share its second: a call under a limit of 20 takes a twentieth of it.
    pub calls_per_second: BTreeMap<String, u32>,
    /// The body of a request with `motu:http`, in bytes. Default 1 MiB, at most 1 GiB. Over it the call fails, with a value that the
    /// script can catch. So for the next three.
    pub http_request_bytes: u32,
    /// The body of a response, in bytes. It has to cross too, so `payload_bytes` bounds it as well. Default 960 KiB, at most 1 GiB.
    /// What has come of it counts as memory of the instance.
    pub http_response_bytes: u32,
    /// How many redirects of a request are followed. Default 5; no ceiling.
    pub http_redirects: u32,
    /// How long a request may take, redirects included. Default 30 s; no ceiling. An event's deadline may come before.
    pub http_timeout: Duration,
    /// How many requests of a tenant may be under way. Default 16; no ceiling. One more is an error that the script can catch;
    /// if it doesn't: [`Limit`](crate::ErrorKind::Limit).
    pub http_in_flight: u32,
    /// The size of all files of a bundle, in bytes. Default 8 MiB, at most 1 GiB. Over it:
    /// [`Limit`](crate::ErrorKind::Limit), and nothing is compiled.
    pub source_bytes: u32,
    /// How many events may wait in an instance's mailbox. Default 1,000, at most 1,000,000. Over it:
    /// [`QueueFull`](crate::ErrorKind::QueueFull), at once.
    pub mailbox_events: u32,
    /// How large the tenant's share of the workers is, to the shares of others who want to run at the same time. Default 1,
    /// from 1 to 1,000. It holds nobody back when nobody else wants to run.
    pub weight: u32,
    /// Fuel that the tenant may burn in a second, all its instances together; it may save up one second's. Default `None`,
    /// at least 1,000,000. Over it, events wait.
    pub fuel_per_second: Option<u64>,
    /// How long an instance keeps its VM, and its globals, with nothing to do. Default 10 minutes; `None` keeps it.
    pub idle_after: Option<Duration>,
    /// How often an instance may be ended by what its scripts did (a limit, a trap) within `restart_window`. Default 1,000;
    /// `None` is no limit. Over it: [`Quarantined`](crate::ErrorKind::Quarantined).
    pub restarts: Option<u32>,
    /// Default 10 s.
    pub restart_window: Duration,
    /// How long an instance that was ended too often is given nothing to do. Default 1 minute.
    pub quarantine: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            load_fuel: Some(5_000_000_000),
            event_fuel: Some(5_000_000_000),
            start_fuel: Some(5_000_000_000),
            background_fuel: Some(100_000_000),
            start_deadline: Some(Duration::from_secs(5)),
            load_deadline: Some(Duration::from_secs(5)),
            event_deadline: Some(Duration::from_secs(5)),
            memory_bytes: 64 << 20,
            payload_bytes: 1 << 20,
            payload_depth: 200,
            result_bytes: 1 << 20,
            result_depth: 200,
            log_bytes: 64 << 10,
            coroutines: 20_000,
            timers: 20_000,
            calls_in_flight: 1_000,
            handles: 1_000,
            kv_keys: 100_000,
            kv_bytes: 100 << 20,
            kv_value_bytes: 1 << 20,
            kv_operations_per_second: Some(10_000),
            blob_operations_per_second: Some(1_000),
            blobs: 10_000,
            blobs_bytes: 256 << 20,
            blob_bytes: 64 << 20,
            blobs_memory_bytes: 16 << 20,
            cron_operations_per_second: Some(200),
            schedules: 100,
            schedule_bytes: 1 << 20,
            calls_per_second: BTreeMap::from([("motu:http".to_owned(), 20)]),
            http_request_bytes: 1 << 20,
            http_response_bytes: 960 << 10,
            http_redirects: 5,
            http_timeout: Duration::from_secs(30),
            http_in_flight: 16,
            source_bytes: 8 << 20,
            mailbox_events: 1_000,
            weight: 1,
            fuel_per_second: None,
            idle_after: Some(Duration::from_secs(600)),
            restarts: Some(1_000),
            restart_window: Duration::from_secs(10),
            quarantine: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The most memory an instance can have: what 32 bits address.
    pub const MEMORY_BYTES_MAX: u64 = 4 << 30;
    /// The largest payload, result, log or source that can be asked for.
    pub const BYTES_MAX: u32 = 1 << 30;
    /// The longest mailbox that can be asked for.
    pub const MAILBOX_EVENTS_MAX: u32 = 1_000_000;
    /// The largest weight.
    pub const WEIGHT_MAX: u32 = 1_000;
    /// The deepest payload or result that can be asked for.
    pub const DEPTH_MAX: u32 = 200;
    /// The most coroutines, and the most sleeps, that can be asked for.
    pub const COROUTINES_MAX: u32 = 1_000_000;
    /// The most calls in flight that can be asked for.
    pub const CALLS_IN_FLIGHT_MAX: u32 = 100_000;
    /// The most handles that can be asked for.
    pub const HANDLES_MAX: u32 = 1_000_000;
    /// Fuel after which a running script makes room for others and its deadline is looked at: about 50 us.
    pub const SLICE_FUEL: u64 = 1_000_000;
    /// How many calls may be under way in a coroutine. One more is an error that the script can catch: it takes no memory
    /// that isn't counted. Fixed when Luau is built.
    pub const CALL_DEPTH: u32 = 20_000;

    /// These limits as whoever has `parent` may pass them on: nothing of them is above the parent's. A time for which something
    /// is held against an instance (`restart_window`, `quarantine`) is not below the parent's.
    #[must_use]
    pub fn within(&self, parent: &Limits) -> Limits {
        fn least<T: Ord>(own: Option<T>, parent: Option<T>) -> Option<T> {
            own.into_iter().chain(parent).min() // none is no limit
        }
        fn lowest(own: &BTreeMap<String, u32>, parent: &BTreeMap<String, u32>) -> BTreeMap<String, u32> {
            let mut rates = parent.clone();
            for (package, rate) in own {
                rates.entry(package.clone()).and_modify(|lowest| *lowest = (*lowest).min(*rate)).or_insert(*rate);
            }
            rates
        }
        Limits {
            load_fuel: least(self.load_fuel, parent.load_fuel),
            event_fuel: least(self.event_fuel, parent.event_fuel),
            start_fuel: least(self.start_fuel, parent.start_fuel),
            background_fuel: least(self.background_fuel, parent.background_fuel),
            load_deadline: least(self.load_deadline, parent.load_deadline),
            event_deadline: least(self.event_deadline, parent.event_deadline),
            start_deadline: least(self.start_deadline, parent.start_deadline),
            kv_operations_per_second: least(self.kv_operations_per_second, parent.kv_operations_per_second),
            blob_operations_per_second: least(self.blob_operations_per_second, parent.blob_operations_per_second),
            cron_operations_per_second: least(self.cron_operations_per_second, parent.cron_operations_per_second),
            fuel_per_second: least(self.fuel_per_second, parent.fuel_per_second),
            idle_after: least(self.idle_after, parent.idle_after),
            restarts: least(self.restarts, parent.restarts),
            memory_bytes: self.memory_bytes.min(parent.memory_bytes),
            payload_bytes: self.payload_bytes.min(parent.payload_bytes),
            payload_depth: self.payload_depth.min(parent.payload_depth),
            result_bytes: self.result_bytes.min(parent.result_bytes),
            result_depth: self.result_depth.min(parent.result_depth),
            log_bytes: self.log_bytes.min(parent.log_bytes),
            coroutines: self.coroutines.min(parent.coroutines),
            timers: self.timers.min(parent.timers),
            calls_in_flight: self.calls_in_flight.min(parent.calls_in_flight),
            handles: self.handles.min(parent.handles),
            kv_keys: self.kv_keys.min(parent.kv_keys),
            kv_bytes: self.kv_bytes.min(parent.kv_bytes),
            kv_value_bytes: self.kv_value_bytes.min(parent.kv_value_bytes),
            blobs: self.blobs.min(parent.blobs),
            blobs_bytes: self.blobs_bytes.min(parent.blobs_bytes),
            blob_bytes: self.blob_bytes.min(parent.blob_bytes),
            blobs_memory_bytes: self.blobs_memory_bytes.min(parent.blobs_memory_bytes),
            schedules: self.schedules.min(parent.schedules),
            schedule_bytes: self.schedule_bytes.min(parent.schedule_bytes),
            calls_per_second: lowest(&self.calls_per_second, &parent.calls_per_second),
            http_request_bytes: self.http_request_bytes.min(parent.http_request_bytes),
            http_response_bytes: self.http_response_bytes.min(parent.http_response_bytes),
            http_redirects: self.http_redirects.min(parent.http_redirects),
            http_timeout: self.http_timeout.min(parent.http_timeout),
            http_in_flight: self.http_in_flight.min(parent.http_in_flight),
            source_bytes: self.source_bytes.min(parent.source_bytes),
            mailbox_events: self.mailbox_events.min(parent.mailbox_events),
            weight: self.weight.min(parent.weight),
            restart_window: self.restart_window.max(parent.restart_window),
            quarantine: self.quarantine.max(parent.quarantine),
        }
    }

    /// Refuses what can't be held to.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let at_most = |name: &str, value: u64, most: u64| {
            if value <= most {
                return Ok(());
            }
            Err(Error::usage_error(format!("the limit {name} is {value}, but can be {most} at most")))
        };
        at_most("memory_bytes", self.memory_bytes, Self::MEMORY_BYTES_MAX)?;
        for (name, bytes) in [
            ("payload_bytes", self.payload_bytes),
            ("result_bytes", self.result_bytes),
            ("log_bytes", self.log_bytes),
            ("source_bytes", self.source_bytes),
            ("kv_value_bytes", self.kv_value_bytes),
            ("http_request_bytes", self.http_request_bytes),
            ("http_response_bytes", self.http_response_bytes),
        ] {
            at_most(name, bytes.into(), Self::BYTES_MAX.into())?;
        }
        for (name, depth) in [("payload_depth", self.payload_depth), ("result_depth", self.result_depth)] {
            at_most(name, depth.into(), Self::DEPTH_MAX.into())?;
        }
        for package in self.calls_per_second.keys() {
            let is_name = |name: &str| !name.is_empty() && !name.contains([':', '/', '@', '*']);
            if !package.split_once(':').is_some_and(|(namespace, name)| is_name(namespace) && is_name(name)) {
                let message =
                    format!("the limit calls_per_second names {package:?}, which is no package: write motu:http");
                return Err(Error::usage_error(message));
            }
        }
        at_most("coroutines", self.coroutines.into(), Self::COROUTINES_MAX.into())?;
        at_most("timers", self.timers.into(), Self::COROUTINES_MAX.into())?;
        at_most("calls_in_flight", self.calls_in_flight.into(), Self::CALLS_IN_FLIGHT_MAX.into())?;
        at_most("handles", self.handles.into(), Self::HANDLES_MAX.into())?;
        at_most("mailbox_events", self.mailbox_events.into(), Self::MAILBOX_EVENTS_MAX.into())?;
        at_most("weight", self.weight.into(), Self::WEIGHT_MAX.into())?;
        if self.weight == 0 {
            return Err(Error::usage_error("the limit weight is 0, but must be 1 at least"));
        }
        match self.fuel_per_second {
            Some(fuel) if fuel < Self::SLICE_FUEL => {
                let least = Self::SLICE_FUEL;
                Err(Error::usage_error(format!("the limit fuel_per_second is {fuel}, but must be {least} at least")))
            }
            _ => Ok(()),
        }
    }
}
