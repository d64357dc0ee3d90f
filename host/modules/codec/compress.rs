//! Compression: deflate by miniz_oxide, and what gzip puts around it.
//!
//! The levels are our own. How often the compressor looks for a better match is what makes it slow, and hostile input
//! makes it look as often as it may: zlib's level 9 would cost eight times as much, for half a percent of the size.

use crc32fast::Hasher;
use miniz_oxide::deflate::core::deflate_flags::{TDEFL_GREEDY_PARSING_FLAG as GREEDY, TDEFL_WRITE_ZLIB_HEADER as ZLIB};
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress as deflate};

use super::gzip;
use super::out::Out;
use super::price::{self, Price};
use super::types::{Bytes, Format};
use super::work::{Step, Work, over, step_bytes};

/// How often a match is looked for, from level 1 on.
const PROBES: [u32; 9] = [1 | GREEDY, 2 | GREEDY, 4 | GREEDY, 8 | GREEDY, 8, 16, 32, 64, 96];

pub(crate) const LEVEL: u8 = 6;

/// How much room for output there is in a step.
const ROOM: usize = 32 << 10;

pub(crate) fn compress(format: Format, bytes: Vec<u8>, level: Option<u8>, max: usize) -> Result<Compress, String> {
    let level = level.unwrap_or(LEVEL);
    let probes = usize::from(level).checked_sub(1).and_then(|index| PROBES.get(index));
    let Some(probes) = probes else {
        return Err(format!("there is no level {level}: they go from 1 (fast) to {} (small)", PROBES.len()));
    };
    let flags = if format == Format::Zlib { probes | ZLIB } else { *probes };
    // what doesn't compress grows by less than this
    let mut out = Out::new(bytes.len().saturating_add(bytes.len() / 512 + 256), max)?;
    if format == Format::Gzip && !out.push(&gzip::HEADER) {
        return Err(larger(max));
    }
    Ok(Compress {
        bytes,
        at: 0,
        checksum: (format == Format::Gzip).then(Hasher::new),
        compressor: Box::new(CompressorOxide::new(flags)),
        price: price::compress(level),
        max,
        out,
    })
}

pub(crate) struct Compress {
    bytes: Vec<u8>,
    at: usize,
    /// Only gzip has one that isn't the compressor's.
    checksum: Option<Hasher>,
    compressor: Box<CompressorOxide>,
    price: Price,
    max: usize,
    out: Out,
}

fn larger(max: usize) -> String {
    over(&format!("more than {max} bytes"), max)
}

impl Work for Compress {
    type Output = Bytes;

    fn step(&mut self) -> Result<Step<Bytes>, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let piece = rest.get(..step_bytes(self.price)).unwrap_or(rest);
        let flush = if piece.len() == rest.len() { TDEFLFlush::Finish } else { TDEFLFlush::None };
        let made = self.out.made();
        let room = self.out.since_with_room(made, ROOM);
        let (status, read, wrote) = deflate(&mut self.compressor, piece, room, flush);
        self.out.grow(wrote);
        if let (Some(checksum), Some(read)) = (&mut self.checksum, piece.get(..read)) {
            checksum.update(read);
        }
        self.at += read;
        match status {
            TDEFLStatus::Done => {
                let trailer = self.checksum.take().map(|checksum| gzip::trailer(checksum.finalize(), self.bytes.len()));
                match trailer {
                    Some(trailer) if !self.out.push(&trailer) => Err(larger(self.max)),
                    _ => Ok(Step::Done(self.out.take())),
                }
            }
            TDEFLStatus::Okay if read > 0 || wrote > 0 => Ok(Step::More),
            TDEFLStatus::Okay if self.out.is_full() => Err(larger(self.max)),
            status => Err(format!("the data can't be compressed: {status:?}")),
        }
    }

    fn fuel(&self) -> u64 {
        self.price.cost(self.at, self.out.made())
    }
}
