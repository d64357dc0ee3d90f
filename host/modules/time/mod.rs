//! `motu:time`: a clock, zones, a calendar, texts. `time.wit` says what each function promises. Nothing but `now`,
//! `monotonic` and `parse-rfc2822` knows what time it is.
//!
//! An instant is a number of seconds, which scripts compute with; inside it is a whole number of milliseconds. Zones come
//! from the database that is built into the program, never from the machine's, nor from the variable `TZ`: so the same call
//! has the same answer everywhere.

mod calendar;
mod difference;
mod duration;
mod instant;
mod pattern;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod zone;

use std::future::{Ready, ready};

use calendar::{add, from_parts, in_zone, start_of, with};
use difference::difference;
use duration::{format_duration, parse_duration};
use pattern::parse_pattern;
use text::{format, parse, parse_rfc2822};
use types::{Changes, DateTime, Disambiguation, Period, Span, Unit};
use zone::{zone_exists, zones};

#[cfg(test)]
use types::Parts;

use crate::context::CallContext;
use crate::error::Error;
use crate::module::HostModule;

const WIT: &str = include_str!("time.wit");

/// What a WIT function has: its result, or a text that is thrown.
type Answer<T> = Ready<Result<Result<T, String>, Error>>;

fn answer<T>(result: Result<T, String>) -> Answer<T> {
    ready(Ok(result))
}

/// Fuel for each byte of a text that is read, and of a pattern, whose directives take 100 ns each.
const TEXT_BYTE: u64 = 400;
const PATTERN_BYTE: u64 = 1_000;

/// Charges for a text and a pattern as far as they are looked at.
fn charge(context: &CallContext, text: &str, pattern: &str) {
    let bytes = |text: &str| text.len().min(text::TEXT_MAX) as u64;
    context.charge(TEXT_BYTE * bytes(text) + PATTERN_BYTE * bytes(pattern));
}

pub(super) fn module() -> Result<HostModule, Error> {
    type How = Option<Disambiguation>;
    let module = HostModule::from_wit(WIT)?
        .function("now", |context: CallContext, (): ()| {
            ready(Ok::<_, Error>(context.local.clock.since_1970().as_secs_f64()))
        })
        .function("monotonic", |context: CallContext, (): ()| {
            ready(Ok::<_, Error>(context.local.clock.monotonic().as_secs_f64()))
        })
        .function("in-zone", |_, (at, zone): (f64, String)| answer(in_zone(at, &zone)))
        .function("from-parts", |_, (parts, zone, how): (DateTime, String, How)| answer(from_parts(&parts, &zone, how)))
        .function("with", |_, (at, changes, zone, how): (f64, Changes, String, How)| {
            answer(with(at, &changes, &zone, how))
        })
        .function("add", |_, (at, span, zone): (f64, Span, String)| answer(add(at, &span, &zone)))
        .function("difference", |_, (from, to, largest, zone): (f64, f64, Unit, String)| {
            answer(difference(from, to, largest, &zone))
        })
        .function("start-of", |_, (at, period, zone): (f64, Period, String)| answer(start_of(at, period, &zone)))
        .function("parse", |context: CallContext, (text, zone): (String, Option<String>)| {
            charge(&context, &text, "");
            answer(parse(&text, zone.as_deref()))
        })
        .function("parse-rfc2822", |context: CallContext, text: String| {
            charge(&context, &text, "");
            answer(parse_rfc2822(&text, context.local.clock.since_1970().as_secs_f64()))
        })
        .function("parse-pattern", |context: CallContext, (text, pattern, zone): (String, String, Option<String>)| {
            charge(&context, &text, &pattern);
            answer(parse_pattern(&text, &pattern, zone.as_deref()))
        })
        .function("format", |context: CallContext, (at, zone, pattern): (f64, String, Option<String>)| {
            charge(&context, "", pattern.as_deref().unwrap_or_default());
            answer(format(at, &zone, pattern.as_deref()))
        })
        .function("parse-duration", |context: CallContext, text: String| {
            charge(&context, &text, "");
            answer(parse_duration(&text))
        })
        .function("format-duration", |_, seconds: f64| answer(format_duration(seconds)))
        .function("zone-exists", |_, name: String| ready(Ok::<_, Error>(zone_exists(&name))))
        .function("zones", |_, (): ()| ready(Ok::<_, Error>(zones())));
    Ok(module.pure_but(&BY_THE_CLOCK))
}

/// What these come to depends on when they are called: for a year of two digits, that of `parse-rfc2822` too. The others are
/// pure.
const BY_THE_CLOCK: [&str; 3] = ["now", "monotonic", "parse-rfc2822"];
