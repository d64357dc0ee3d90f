//! `motu:json`: JSON for scripts. `json.wit` says what each function promises.
//!
//! The reader is our own. The errors are why: each has the exact byte, integers are read from their digits, and a key that
//! is there twice is found where it stands.
//!
//! | JSON | Luau |
//! |---|---|
//! | `null` | nil, or what the option `null` says |
//! | an integer | a number if a double holds it, else an `integer` if 64 bits do, else an error (`number.rs`) |
//! | any other number | the nearest double |
//! | a string | UTF-8 on both sides |
//! | an array, an object | a table; an object without entries remembers that it is one (`guest/object.h`) |
//!
//! Invariant: texts, values and options are a script's, and hostile. Nothing here recurses, no more memory is taken than the
//! caller allows (and a few times the text while it is read), time is linear but for the sorting of keys, and values are
//! only compared when one of them is no table.

mod decode;
mod encode;
mod number;
mod path;
mod string;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use decode::Decoder;
use encode::Encoder;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::context::CallContext;
use crate::error::Error;
use crate::module::HostModule;
use crate::value::Value;
use crate::wire::Encoded;

pub(super) fn module() -> Result<HostModule, Error> {
    Ok(HostModule::from_wit(include_str!("json.wit"))?
        .function("decode", |context: CallContext, (text, options): (ByteBuf, Option<DecodeOptions>)| async move {
            decode(&context, &text, options.unwrap_or_default()).await
        })
        .unread_function(
            "encode",
            |context: CallContext, (value, options): (Encoded, Option<EncodeOptions>)| async move {
                let text = encode(&context, &value, options.unwrap_or_default()).await?;
                Ok::<_, Error>(text.map(ByteBuf::from))
            },
        )
        .all_pure())
}

/// Reads a text in steps. What was read is charged, also of a text that is wrong further on.
async fn decode(
    context: &CallContext,
    text: &[u8],
    options: DecodeOptions,
) -> Result<Result<Encoded, SyntaxError>, Error> {
    let limits = context.limits();
    let mut decoder = match Decoder::new(text, &options.null, limits.payload_depth, limits.payload_bytes) {
        Ok(decoder) => decoder,
        Err(error) => return Ok(Err(error)),
    };
    let (mut from, mut moved_before, mut hard_before) = (0, 0, 0);
    loop {
        let step = decoder.step(VALUES_A_STEP);
        let moved = MOVE_FUEL.saturating_mul((decoder.moved() - moved_before) as u64);
        let hard = HARD_FUEL.saturating_mul((decoder.hard() - hard_before) as u64);
        let values = decode_fuel(text.get(from..decoder.at()).unwrap_or_default());
        context.charge(values.saturating_add(moved).saturating_add(hard));
        (from, moved_before, hard_before) = (decoder.at(), decoder.moved(), decoder.hard());
        match step {
            Some(Err(error)) => {
                context.charge(PLACE_FUEL.saturating_mul(error.offset.into()));
                return Ok(Err(error));
            }
            Some(read) => return Ok(read),
            None => context.give_way_with(decoder.held_bytes()).await?,
        }
    }
}

/// Writes a text in steps. What was written is charged, also of a value that can't be written further on.
async fn encode(
    context: &CallContext,
    value: &Encoded,
    options: EncodeOptions,
) -> Result<Result<Vec<u8>, String>, Error> {
    let limits = context.limits();
    let mut encoder = match Encoder::new(value, &options, limits.result_depth, limits.payload_bytes as usize) {
        Ok(encoder) => encoder,
        Err(error) => return Ok(Err(error)),
    };
    let mut charged = 0;
    loop {
        let step = encoder.step();
        context.charge(encoder.fuel().saturating_sub(charged));
        charged = encoder.fuel();
        match step {
            Some(text) => return Ok(text),
            None => context.give_way_with(encoder.held_bytes()).await?,
        }
    }
}

/// How many values are read, at most, until others have the worker: about a slice.
const VALUES_A_STEP: usize = 1_000;

/// Fuel for each byte of a table that is moved when it ends, or of what stands for `null`: 0.05 ns.
const MOVE_FUEL: u64 = 1;

/// Fuel for a number of more than 19 digits: 9 us, and 20 for an integer of 309.
const HARD_FUEL: u64 = 150_000;

/// Fuel for each byte before an error, whose line and column are counted.
const PLACE_FUEL: u64 = 20;

/// What reading a part of a text costs beside what crosses: fuel for its values, keys and escapes, as if none of their signs
/// stood in a string.
fn decode_fuel(text: &[u8]) -> u64 {
    let fuel = |byte: &u8| match byte {
        b',' | b'[' | b'{' => 500,
        b':' => 4_000,
        b'\\' => 400,
        _ => 0,
    };
    text.iter().map(fuel).sum()
}

/// Tables in tables, at most, whatever the caller says: values are dropped and cross by recursion on the host's stack.
pub(crate) const DEPTH_MAX: u32 = 200;

/// The record `decode-options`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DecodeOptions {
    /// What `null` becomes: anything but a table. `Nil` drops the key, and is refused in an array.
    pub(crate) null: Value,
}

/// The record `encode-options`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EncodeOptions {
    /// A value that is written as `null`, as nil is: anything but a table.
    pub(crate) null: Value,
    /// Every empty table is `{}`; without it, `[]`, but for those that were objects.
    pub(crate) empty_as_object: Option<bool>,
    /// Spaces for each level, every entry on a line of its own. None or 0: all on one line.
    pub(crate) indent: Option<u8>,
}

/// The record `syntax-error`: what is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    /// Bytes before what is wrong; those of the whole text if it ends too soon.
    pub(crate) offset: u32,
    /// From 1; lines end with a line feed.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
}

/// What stands for `null`, if anything but nil does. Tables are copied when they cross, so a script couldn't tell one that
/// stands for `null` from one that is like it; nor is it cheap to compare them.
fn stand_in(null: &Value) -> Result<Option<&Value>, &'static str> {
    match null {
        Value::Nil => Ok(None),
        Value::Array(_) | Value::Map(_) => Err(
            "the option `null` is a table; give it a value of another type, a string that the text can't hold for one",
        ),
        value => Ok(Some(value)),
    }
}
