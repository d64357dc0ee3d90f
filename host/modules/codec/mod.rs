//! `motu:codec`: Base64, hex, percent-encoding, hashes, checksums and compression. `codec.wit` says what each function
//! promises; `price.rs` has what each costs.
//!
//! Each call is a `Work`, done in steps of about a slice of fuel, because it runs on a worker that many tenants share.
//!
//! Invariant: all input is a script's, and hostile. No work holds more than its input, an output of at most the limit, and
//! a constant (400 KiB while compressing, 16 KiB while decompressing); and no step takes longer than about 200 us, which is
//! the compressor's end of a block.

mod base64;
mod compress;
mod decompress;
mod gzip;
mod hash;
mod hex;
mod out;
mod price;
#[cfg(test)]
mod tests;
mod types;
mod url;
mod work;

use base64::{decode_base64, encode_base64};
use compress::compress;
use decompress::decompress;
use hash::{crc32, equal, hash, hmac};
use hex::{decode_hex, encode_hex};
use types::{Algorithm, Base64Options, Bytes, Format};
use url::{decode_url, encode_url};
use work::{Step, Work};

use crate::context::CallContext;
use crate::error::Error;
use crate::module::HostModule;

/// What an answer takes beside its bytes.
const AROUND: usize = 16;

pub(super) fn module() -> Result<HostModule, Error> {
    type Packing = (Format, Bytes, Option<u8>);
    type Unpacking = (Format, Bytes, Option<u32>);
    let mut module = HostModule::from_wit(include_str!("codec.wit"))?;
    // what fails with a text, by the most bytes of its result
    macro_rules! fallible {
        ($name:literal, $arguments:ty, |$pattern:pat_param, $max:ident| $work:expr) => {
            module = module.function($name, |context: CallContext, $pattern: $arguments| async move {
                let $max = (context.limits().payload_bytes as usize).saturating_sub(AROUND);
                Ok::<_, Error>(match $work {
                    Ok(work) => done(&context, work).await,
                    Err(text) => Err(text),
                })
            });
        };
    }
    // what does not
    macro_rules! sure {
        ($name:literal, $arguments:ty, |$pattern:pat_param| $work:expr) => {
            module = module.function($name, |context: CallContext, $pattern: $arguments| async move {
                done(&context, $work).await.map_err(Error::internal)
            });
        };
    }
    type Base64 = (Bytes, Option<Base64Options>);
    fallible!("encode-base64", Base64, |(bytes, options), max| encode_base64(bytes.0, options, max));
    fallible!("decode-base64", Base64, |(text, options), max| decode_base64(text.0, options, max));
    fallible!("encode-hex", Bytes, |bytes, max| encode_hex(bytes.0, max));
    fallible!("decode-hex", Bytes, |text, max| decode_hex(text.0, max));
    fallible!("encode-url", Bytes, |bytes, max| encode_url(bytes.0, max));
    fallible!("decode-url", Bytes, |text, max| decode_url(text.0, max));
    sure!("hash", (Algorithm, Bytes), |(algorithm, bytes)| hash(algorithm, bytes.0));
    fallible!("hmac", (Algorithm, Bytes, Bytes), |(algorithm, key, message), _max| hmac(algorithm, &key.0, message.0));
    sure!("equal", (Bytes, Bytes), |(a, b)| equal(a.0, b.0));
    sure!("crc32", Bytes, |bytes| crc32(bytes.0));
    fallible!("compress", Packing, |(format, bytes, level), max| compress(format, bytes.0, level, max));
    fallible!("decompress", Unpacking, |(format, data, limit), max| decompress(format, data.0, limit, max));
    Ok(module.all_pure())
}

/// Does a work to its end, and lets others run between its steps. What a step has cost is charged also when it fails; the event
/// ends there if it can't pay.
async fn done<W: Work>(context: &CallContext, mut work: W) -> Result<W::Output, String> {
    let mut charged = 0;
    loop {
        let step = work.step();
        let fuel = work.fuel();
        context.charge(fuel.saturating_sub(charged));
        charged = fuel;
        match step {
            Ok(Step::Done(output)) => return Ok(output),
            Ok(Step::More) => context.give_way().await,
            Err(text) => return Err(text),
        }
    }
}
