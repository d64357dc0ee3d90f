//! Whether Rust types fit a function's WIT, found out when Motu is built rather than at the first call that goes wrong:
//! samples of each argument and result are given to them.
//!
//! Every case of every variant, both sides of every result, some and none of every option and both ends of every integer
//! are in some sample. Parts vary side by side, not each with each, so there are no more samples than the largest part has.

pub(super) mod anything;

use serde::de::DeserializeOwned;

use super::de::{Guard, read_arguments, read_result};
use super::handle::{Handles, Held};
use super::mismatch::Mismatch;
use super::package::Function;
use super::types::{Int, Record, Ty};
use crate::wire::WireError;
use crate::wire::writer::Writer;

/// Whether `A` fits a function's parameters and `R` its result. A Rust type that is stricter by its own code (an address
/// for a string) fits.
///
/// # Errors
/// The text names the function with its WIT types, the Rust type, and what doesn't fit.
pub(crate) fn fits<A: DeserializeOwned, R: DeserializeOwned>(function: &Function) -> Result<(), String> {
    let guard = Guard { handles: &Every, fitting: true };
    let samples = function.params.iter().map(|param| count(&param.ty)).max().unwrap_or(1);
    for index in 0..samples {
        let bytes = written(|writer| {
            writer.array(function.params.len())?;
            function.params.iter().try_for_each(|param| sample(writer, &param.ty, index))
        });
        judge::<A>(function, bytes.map_err(|error| Mismatch::argument(function, None, error)), |bytes| {
            read_arguments::<A>(function, bytes, guard).map(drop)
        })?;
    }
    for index in 0..function.result.as_ref().map_or(1, count) {
        let bytes = written(|writer| match &function.result {
            Some(ty) => sample(writer, ty, index),
            None => writer.nil(),
        });
        judge::<R>(function, bytes.map_err(|error| Mismatch::result(function, error)), |bytes| {
            read_result::<R>(function, bytes, guard).map(drop)
        })?;
    }
    Ok(())
}

fn judge<T>(
    function: &Function,
    bytes: Result<Vec<u8>, Mismatch>,
    read: impl FnOnce(&[u8]) -> Result<(), Mismatch>,
) -> Result<(), String> {
    match bytes.and_then(|bytes| read(&bytes)) {
        Err(error) if !error.is_refused() => {
            let rust = std::any::type_name::<T>();
            Err(format!("{function} ({}) doesn't fit the Rust type {rust}: {error}", function.grant))
        }
        _ => Ok(()),
    }
}

/// All handles there could be.
struct Every;

impl Handles for Every {
    fn is_of(&self, _: u32, _: &str) -> Held {
        Held::Yes
    }
}

fn written(write: impl FnOnce(&mut Writer) -> Result<(), WireError>) -> Result<Vec<u8>, WireError> {
    let mut writer = Writer::new(u32::MAX);
    write(&mut writer)?;
    Ok(writer.into_bytes())
}

/// How many samples there are of a type.
fn count(ty: &Ty) -> usize {
    match ty.peeled() {
        Ty::Bool | Ty::Int(_) | Ty::F32 | Ty::F64 | Ty::Flags(_) => 2,
        Ty::Char | Ty::String | Ty::Bytes | Ty::Any | Ty::Own(_) | Ty::Borrow(_) | Ty::Alias(_) => 1,
        Ty::List(item) => count(item),
        Ty::Map(entry) => count(&entry.0).max(count(&entry.1)),
        Ty::Tuple(items) => items.iter().map(count).max().unwrap_or(1),
        Ty::Record(record) => record.fields.iter().map(|field| count(&field.ty)).max().unwrap_or(1),
        Ty::Option(inner) => count(inner).saturating_add(1),
        Ty::Result(either) => side(&either.ok).saturating_add(side(&either.err)),
        Ty::Variant(variant) | Ty::Enum(variant) => variant.cases.iter().map(|case| side(&case.ty)).sum(),
    }
}

fn side(ty: &Option<Ty>) -> usize {
    ty.as_ref().map_or(1, count)
}

/// Writes one of the samples; beyond the last comes the first again.
fn sample(writer: &mut Writer, ty: &Ty, index: usize) -> Result<(), WireError> {
    let index = index % count(ty).max(1);
    match ty.peeled() {
        Ty::Bool => writer.boolean(index == 0),
        Ty::Int(int) => writer.int(match (index, int) {
            (0, int) => int.range().0,
            // What a double holds.
            (_, Int::U64) => 1 << 63,
            (_, int) => int.range().1,
        }),
        Ty::F32 => writer.number(if index == 0 { 0.5 } else { f32::MAX.into() }),
        Ty::F64 => writer.number(if index == 0 { 0.5 } else { f64::MAX }),
        Ty::Char | Ty::String => writer.string(b"a"),
        Ty::Bytes => writer.string(b"\xff"),
        Ty::Any | Ty::Alias(_) => writer.nil(),
        Ty::Own(_) | Ty::Borrow(_) => writer.handle(1),
        Ty::List(item) => {
            writer.array(1)?;
            sample(writer, item, index)
        }
        Ty::Map(entry) => {
            writer.map(1)?;
            sample(writer, &entry.0, index)?;
            sample(writer, &entry.1, index)
        }
        Ty::Tuple(items) => {
            writer.array(items.len())?;
            items.iter().try_for_each(|item| sample(writer, item, index))
        }
        Ty::Record(record) | Ty::Flags(record) => fields(writer, record, index),
        Ty::Option(_) if index == 0 => writer.nil(),
        Ty::Option(inner) => sample(writer, inner, index - 1),
        Ty::Result(either) => {
            writer.map(1)?;
            let oks = side(&either.ok);
            let (key, ty, index) =
                if index < oks { ("ok", &either.ok, index) } else { ("err", &either.err, index - oks) };
            writer.string(key.as_bytes())?;
            match ty {
                Some(ty) => sample(writer, ty, index),
                None => writer.boolean(true),
            }
        }
        Ty::Enum(variant) => match variant.cases.get(index) {
            Some(case) => writer.string(case.name.snake.as_bytes()),
            None => writer.nil(),
        },
        Ty::Variant(variant) => {
            let mut index = index;
            for case in &variant.cases {
                let samples = side(&case.ty);
                if index >= samples {
                    index -= samples;
                    continue;
                }
                writer.map(if case.ty.is_some() { 2 } else { 1 })?;
                writer.string(b"tag")?;
                writer.string(case.name.snake.as_bytes())?;
                let Some(ty) = &case.ty else { return Ok(()) };
                writer.string(b"value")?;
                return sample(writer, ty, index);
            }
            writer.nil()
        }
    }
}

fn fields(writer: &mut Writer, record: &Record, index: usize) -> Result<(), WireError> {
    writer.map(record.fields.len())?;
    record.fields.iter().try_for_each(|field| {
        writer.string(field.name.luau.as_bytes())?;
        sample(writer, &field.ty, index)
    })
}
