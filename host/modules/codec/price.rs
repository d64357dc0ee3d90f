//! What each function costs, in fuel: 20 for a nanosecond, 1,000,000 for 50 us. Fuel depends on the arguments alone, never on
//! the machine or the time that it took.
//!
//! Measured on one core of an EPYC (Zen 4) in a release build, with the slowest data that was found for each (random search,
//! for compression); what is paid is 1.2 to 3 times that, 1 ns at least: there are slower machines, and slower data. The hashes are
//! priced for a processor without instructions for them; with them, SHA-256 takes 0.6 ns and SHA-1 0.5.
//!
//! | function | ns for a byte of input | paid | ns for a call | paid |
//! |---|---|---|---|---|
//! | encode-base64, decode-base64 | 0.8, 0.7 | 2 | 70 | 200 |
//! | encode-hex, decode-hex | 0.2, 0.5 | 1, 2 | 40 | 200 |
//! | encode-url, decode-url | 6.3, 1.7 | 10, 5 | 60 | 200 |
//! | hash, hmac: SHA-256 | 2.8 | 5 | 280, 850 | 1,000, 2,000 |
//! | hash, hmac: SHA-384, SHA-512 | 1.8 | 4 | 340, 1,100 | 1,000, 2,000 |
//! | hash, hmac: SHA-1 | 1.3 | 3 | 160, 440 | 1,000, 2,000 |
//! | hash, hmac: MD5 | 1.8 | 3 | 190, 530 | 1,000, 2,000 |
//! | equal | 1.5 | 3 | 40 | 200 |
//! | crc32 | 0.2 (0.04 with SIMD) | 1 | 40 | 200 |
//! | compress, level 1 | 12 | 20 | 72,000 | 100,000 |
//! | compress, level 2 | 31 | 40 | | |
//! | compress, levels 3 to 5 | 41 | 50 | | |
//! | compress, level 6 | 48 | 60 | | |
//! | compress, level 7 | 79 | 100 | | |
//! | compress, level 8 | 167 | 200 | | |
//! | compress, level 9 | 187 | 230 | | |
//!
//! A byte that compress gives costs 1 ns more. A call of it takes its time for 300 KiB of fresh memory. Text takes
//! a twentieth to two fifths of what is paid for it.
//!
//! | decompress | ns | paid |
//! |---|---|---|
//! | a byte of output, of data of two letters at level 1 (0.24 bytes of input) | 5.2 | 9.9 |
//! | a byte of output, of codes of 15 bits (1.6 bytes of input) | 12.4 | 20.5 |
//! | a block of fixed codes, with nothing in it (1.3 bytes) | 1,800 | 5,000 |
//! | a block of full tables (38 bytes) | 2,800 | 5,300 |
//! | a gzip member with nothing in it (20 bytes) | 1,800 | 5,200 |
//! | the call | 2,300 | 7,000 |

use super::types::Algorithm;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Price {
    /// Of the call.
    pub(crate) call: u64,
    /// Of each byte of input.
    pub(crate) input: u64,
    /// Of each byte of output, where the input doesn't say how many there are.
    pub(crate) output: u64,
}

impl Price {
    /// In fuel.
    pub(crate) fn cost(self, input_bytes: usize, output_bytes: usize) -> u64 {
        let input = self.input.saturating_mul(input_bytes as u64);
        let output = self.output.saturating_mul(output_bytes as u64);
        self.call.saturating_add(input).saturating_add(output)
    }
}

const fn by_input(call: u64, input: u64) -> Price {
    Price { call, input, output: 0 }
}

pub(crate) const ENCODE_BASE64: Price = by_input(4_000, 40);
pub(crate) const DECODE_BASE64: Price = by_input(4_000, 40);
pub(crate) const ENCODE_HEX: Price = by_input(4_000, 20);
pub(crate) const DECODE_HEX: Price = by_input(4_000, 40);
pub(crate) const ENCODE_URL: Price = by_input(4_000, 200);
pub(crate) const DECODE_URL: Price = by_input(4_000, 100);
pub(crate) const EQUAL: Price = by_input(4_000, 60);
pub(crate) const CRC32: Price = by_input(4_000, 20);

pub(crate) fn hash(algorithm: Algorithm) -> Price {
    let input = match algorithm {
        Algorithm::Sha256 => 100,
        Algorithm::Sha384 | Algorithm::Sha512 => 80,
        Algorithm::Sha1 | Algorithm::Md5 => 60,
    };
    by_input(20_000, input)
}

pub(crate) fn hmac(algorithm: Algorithm, key_bytes: usize) -> Price {
    let hash = hash(algorithm);
    Price { call: hash.cost(key_bytes, 0).saturating_add(hash.call), ..hash }
}

/// Of a level from 1 to 9.
pub(crate) fn compress(level: u8) -> Price {
    let input = match level {
        1 => 400,
        2 => 800,
        3..=5 => 1_000,
        6 => 1_200,
        7 => 2_000,
        8 => 4_000,
        _ => 4_600,
    };
    Price { call: 2_000_000, input, output: 20 }
}

/// And for each block a `BLOCK`.
pub(crate) const DECOMPRESS: Price = Price { call: 40_000, input: 160, output: 160 };

/// A block of deflate data: the tables for its codes are built, even if nothing is in it.
pub(crate) const BLOCK: u64 = 100_000;
