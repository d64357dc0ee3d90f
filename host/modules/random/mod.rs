//! `motu:random`: bytes that nobody can guess, from the operating system; and numbers that a seed repeats.

use std::future::ready;
use std::sync::{Mutex, PoisonError};

use fastrand::Rng;
use serde_bytes::ByteBuf;

use crate::context::{CallContext, Local};
use crate::error::{Error, ErrorKind};
use crate::module::HostModule;

/// The most bytes at once.
const BYTES_MAX: u32 = 65_536;

pub(super) fn module() -> Result<HostModule, Error> {
    Ok(HostModule::from_wit(include_str!("random.wit"))?
        .function("bytes", |context: CallContext, count: u32| ready(bytes(&context, count)))
        .function("uuid", |context: CallContext, (): ()| ready(uuid(&context)))
        .function("number", |context: CallContext, (): ()| ready(Ok::<_, Error>(seeded(&context, Rng::f64))))
        .function("integer", |context: CallContext, range: (i64, i64)| ready(integer(&context, range))))
}

/// What an instance's numbers come from: kept as long as its VM.
struct Seeded(Mutex<Rng>);

fn seeded<T>(context: &CallContext, draw: impl FnOnce(&mut Rng) -> T) -> T {
    let own = context.own(|local: &Local| Seeded(Mutex::new(Rng::with_seed(local.seed))));
    let mut rng = own.0.lock().unwrap_or_else(PoisonError::into_inner);
    draw(&mut rng)
}

fn integer(context: &CallContext, (min, max): (i64, i64)) -> Result<i64, Error> {
    if min > max {
        return Err(Error::new(ErrorKind::Script, format!("there is no number from {min} to {max}")));
    }
    Ok(seeded(context, |rng| rng.i64(min..=max)))
}

/// Fuel for a call of the system, and for each byte that it gives: it makes 300 MB a second.
const SYSTEM_FUEL: u64 = 10_000;
const BYTE_FUEL: u64 = 60;

fn bytes(context: &CallContext, count: u32) -> Result<ByteBuf, Error> {
    if count > BYTES_MAX {
        let message = format!("{count} bytes are asked for, and {BYTES_MAX} can be had at once");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    context.charge(SYSTEM_FUEL + BYTE_FUEL * u64::from(count));
    let mut bytes = vec![0; count as usize];
    fill(&mut bytes)?;
    Ok(ByteBuf::from(bytes))
}

fn uuid(context: &CallContext) -> Result<String, Error> {
    context.charge(SYSTEM_FUEL);
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    let mut number = u128::from_be_bytes(bytes);
    number = number & !(0xf << 76) | 4 << 76; // the version
    number = number & !(0x3 << 62) | 2 << 62; // the variant
    let digits = format!("{number:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes)
        .map_err(|error| Error::new(ErrorKind::Host, format!("the system gives no random bytes: {error}")))
}
