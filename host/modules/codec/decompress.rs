//! Decompression: deflate by miniz_oxide, and what gzip and zlib have around it.
//!
//! Three things make hostile data dear. It can become a thousand times as large: no more is made than the limit. It can be
//! nothing but empty blocks, ten bits each, and for each the decompressor builds its tables anew, which takes two
//! microseconds: so it stops after each block, and blocks have a price. And a gzip file can have any number of members:
//! each has a block.

use crc32fast::Hasher;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER as ZLIB, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY as EACH_BLOCK,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF as KEEP,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate};

use super::gzip::{self, Header};
use super::out::Out;
use super::price;
use super::types::{Bytes, Format};
use super::work::{STEP_FUEL, Step, Work};

/// What is made at a time, at most. It bounds what is read too: two bytes of a block for each, and its tables.
const ROOM: usize = 16 << 10;

/// The most that a byte of deflate data becomes: two bits give 258 bytes.
const GROWTH_MAX: usize = 258 * 4;

/// `limit` is the script's, `max` is what it can have at most.
pub(crate) fn decompress(format: Format, data: Vec<u8>, limit: Option<u32>, max: usize) -> Result<Decompress, String> {
    let own = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit < max);
    let limit = own.unwrap_or(max);
    let out = Out::new(data.len().saturating_mul(GROWTH_MAX), limit)?;
    Ok(Decompress {
        format,
        data,
        at: 0,
        part: Part::Head,
        decompressor: Box::new(DecompressorOxide::new()),
        checksum: Hasher::new(),
        member: 0,
        blocks: 0,
        limit,
        is_own: own.is_some(),
        out,
    })
}

pub(crate) struct Decompress {
    format: Format,
    data: Vec<u8>,
    /// How much of it was read.
    at: usize,
    part: Part,
    decompressor: Box<DecompressorOxide>,
    /// Of the gzip member.
    checksum: Hasher,
    /// Where in the output the gzip member begins: it can't refer to what is before.
    member: usize,
    /// Those that were begun, and heads and ends.
    blocks: u64,
    limit: usize,
    /// The limit is the script's own.
    is_own: bool,
    out: Out,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Body,
    Tail,
}

impl Decompress {
    fn rest(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    /// Reads a head.
    fn head(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let length = match self.format {
            Format::Deflate => 0,
            // only looked at: the decompressor reads it
            Format::Zlib => match *rest {
                [method, flags, ..] if gzip::is_zlib(method, flags) && flags & 0x20 == 0 => 0,
                [method, flags, ..] if gzip::is_zlib(method, flags) => {
                    return Err("this zlib data needs a dictionary, which can't be given".to_owned());
                }
                [_, _, ..] => return Err(self.other()),
                _ => return Err(self.short()),
            },
            Format::Gzip => match gzip::header(rest) {
                Ok(length) => length,
                Err(Header::Short) => return Err(self.short()),
                Err(Header::Other) if self.at > 0 => return Err(self.more()),
                Err(Header::Other) => return Err(self.other()),
                Err(Header::Long) => {
                    let max = gzip::HEADER_BYTES_MAX;
                    return Err(format!("the gzip header at byte {} has more than {max} bytes", self.at + 1));
                }
                Err(Header::Unknown) => {
                    return Err(format!("the gzip header at byte {} needs what RFC 1952 doesn't have", self.at + 1));
                }
                Err(Header::Damaged) => {
                    return Err(format!("the gzip header at byte {} is damaged: its checksum is another", self.at + 1));
                }
            },
        };
        self.at += length;
        self.member = self.out.made();
        self.checksum = Hasher::new();
        self.decompressor.init();
        self.part = Part::Body;
        Ok(())
    }

    /// Makes at most `ROOM` bytes, of one block.
    fn body(&mut self) -> Result<(), String> {
        let made = self.out.made();
        let flags = KEEP | EACH_BLOCK | if self.format == Format::Zlib { ZLIB } else { 0 };
        let data = self.data.get(self.at..).unwrap_or_default();
        let member = self.out.since_with_room(self.member, ROOM);
        let (status, read, wrote) = inflate(&mut self.decompressor, data, member, made - self.member, flags);
        self.out.grow(wrote);
        self.at += read;
        if self.format == Format::Gzip {
            self.checksum.update(self.out.since(made));
        }
        match status {
            TINFLStatus::Done => self.part = Part::Tail,
            TINFLStatus::BlockBoundary => self.blocks += 1,
            TINFLStatus::HasMoreOutput if self.out.is_full() => return Err(self.over()),
            TINFLStatus::HasMoreOutput if read > 0 || wrote > 0 => (),
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => return Err(self.short()),
            TINFLStatus::Adler32Mismatch => return Err(self.damaged("checksum")),
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    /// Reads what is after the data; whether that is the end.
    fn tail(&mut self) -> Result<bool, String> {
        if self.format == Format::Gzip {
            let Some(found) = self.rest().first_chunk().copied() else { return Err(self.short()) };
            let made = self.out.made() - self.member;
            let expected: [u8; gzip::TRAILER_BYTES] = gzip::trailer(self.checksum.clone().finalize(), made);
            if found != expected {
                let what = if found.first_chunk::<4>() == expected.first_chunk() { "length" } else { "checksum" };
                return Err(self.damaged(what));
            }
            self.at += expected.len();
        }
        match self.rest() {
            [] => Ok(true),
            [..] if self.format == Format::Gzip => {
                self.part = Part::Head;
                Ok(false)
            }
            [..] => Err(self.more()),
        }
    }

    fn over(&self) -> String {
        let Decompress { limit, format, .. } = self;
        let name = format.name();
        let what = format!("the {name} data becomes more than {limit} bytes");
        match self.is_own {
            true => {
                format!("{what}, the limit of this call: raise it if the data may be that large, else refuse the data")
            }
            false => format!("{what}, the most that can be returned at once: have it compressed in smaller parts"),
        }
    }

    fn short(&self) -> String {
        let (name, length, made) = (self.format.name(), self.data.len(), self.out.made());
        format!("the {name} data ends too soon, after {length} bytes, from which {made} were made: a part is missing")
    }

    fn wrong(&self) -> String {
        let (name, at, made) = (self.format.name(), self.at, self.out.made());
        let hint = match gzip::looks_like(&self.data).filter(|format| *format != self.format) {
            Some(format) => format!("; it looks like the format \"{}\"", format.name()),
            None => String::new(),
        };
        format!(
            "the {name} data is damaged, or isn't {name} data, at about byte {at}, after {made} bytes were made{hint}"
        )
    }

    fn damaged(&self, what: &str) -> String {
        let (name, at, made) = (self.format.name(), self.at, self.out.made() - self.member);
        format!(
            "the {name} data that ends at byte {at} is damaged: {made} bytes were made, and their {what} is another"
        )
    }

    fn more(&self) -> String {
        let (name, more, at) = (self.format.name(), self.rest().len(), self.at);
        format!("the {name} data ends at byte {at}, and {more} bytes follow that don't belong to it: cut them off")
    }

    fn other(&self) -> String {
        let name = self.format.name();
        let hint = match gzip::looks_like(&self.data) {
            Some(format) => format!("it looks like the format \"{}\"", format.name()),
            None => "it may be of another format, or not be compressed".to_owned(),
        };
        format!("this isn't {name} data, which begins otherwise: {hint}")
    }
}

impl Work for Decompress {
    type Output = Bytes;

    fn step(&mut self) -> Result<Step<Bytes>, String> {
        let until = self.fuel().saturating_add(STEP_FUEL);
        while self.fuel() < until {
            match self.part {
                Part::Head => {
                    self.blocks += 1;
                    self.head()?;
                }
                Part::Body => self.body()?,
                Part::Tail => {
                    if self.tail()? {
                        return Ok(Step::Done(self.out.take()));
                    }
                }
            }
        }
        Ok(Step::More)
    }

    fn fuel(&self) -> u64 {
        price::DECOMPRESS.cost(self.at, self.out.made()).saturating_add(self.blocks.saturating_mul(price::BLOCK))
    }
}
