//! What things take, to be held against `price.rs`:
//! `cargo test --release prices -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use super::super::base64::{decode_base64, encode_base64};
use super::super::compress::compress;
use super::super::decompress::decompress;
use super::super::hash::{crc32, equal, hash, hmac};
use super::super::hex::{decode_hex, encode_hex};
use super::super::types::{Algorithm, Bytes, Format};
use super::super::url::{decode_url, encode_url};
use super::super::work::{Step, Work};
use super::{Bits, PLENTY, done, empty_blocks, noise, steps};

/// Nanoseconds and fuel of the fastest of some runs, and what came of it.
fn measured<W: Work>(make: impl Fn() -> W) -> (f64, u64, W::Output) {
    (0..7)
        .map(|_| {
            let start = Instant::now();
            let work = make();
            let (result, fuel, _) = steps(work);
            (start.elapsed().as_nanos() as f64, fuel, result.unwrap())
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

/// Nanoseconds of the longest step.
fn longest<W: Work>(mut work: W) -> u128 {
    let mut longest = 0;
    loop {
        let start = Instant::now();
        let step = work.step();
        longest = longest.max(start.elapsed().as_nanos());
        if !matches!(step, Ok(Step::More)) {
            return longest;
        }
    }
}

fn row<W: Work>(name: &str, bytes: usize, make: impl Fn(Vec<u8>) -> W, data: &[u8]) {
    let (nanos, fuel, _) = measured(|| make(data.to_vec()));
    let longest = (0..5).map(|_| longest(make(data.to_vec()))).min().unwrap_or_default();
    let paid = fuel as f64 / 20.0;
    let each = nanos / bytes.max(1) as f64;
    let note = if paid < nanos { "TOO CHEAP" } else { "" };
    let times = paid / nanos;
    println!(
        "{name:36} {nanos:12.0} ns {each:9.2} ns/B, paid {paid:12.0} ns, {times:5.1} times, longest step {longest:9} ns {note}"
    );
}

const ALL: [Algorithm; 5] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512, Algorithm::Sha1, Algorithm::Md5];

#[test]
#[ignore = "it measures"]
fn prices_of_texts_and_hashes() {
    for size in [0, 64, 1 << 20] {
        let data = noise(size, 1);
        let base64 = done(encode_base64(data.clone(), None, PLENTY)).unwrap().0;
        let hex = done(encode_hex(data.clone(), PLENTY)).unwrap().0;
        let url = done(encode_url(vec![b'%'; size / 3], PLENTY)).unwrap().0;
        let mixed = done(encode_url(data.clone(), PLENTY)).unwrap().0;
        row("encode-base64", size, |data| encode_base64(data, None, PLENTY).unwrap(), &data);
        row("decode-base64", base64.len(), |data| decode_base64(data, None, PLENTY).unwrap(), &base64);
        row("encode-hex", size, |data| encode_hex(data, PLENTY).unwrap(), &data);
        row("decode-hex", hex.len(), |data| decode_hex(data, PLENTY).unwrap(), &hex);
        row("encode-url", size, |data| encode_url(data, PLENTY).unwrap(), &data);
        row("decode-url, all encoded", url.len(), |data| decode_url(data, PLENTY).unwrap(), &url);
        row("decode-url, mixed", mixed.len(), |data| decode_url(data, PLENTY).unwrap(), &mixed);
        row("equal", size, |data| equal(data.clone(), data), &data);
        row("crc32", size, crc32, &data);
        for algorithm in ALL {
            row(&format!("hash {algorithm:?}"), size, |data| hash(algorithm, data), &data);
            let key = noise(size.min(4096), 2);
            row(&format!("hmac {algorithm:?}"), size, |data| hmac(algorithm, &key, data).unwrap(), &data);
        }
    }
}

/// What compressors find hard: few letters; letters whose threes fall together in the table of matches; text; noise.
fn hard() -> Vec<(&'static str, Vec<u8>)> {
    let size = 256 << 10;
    let noise = noise(size * 2, 3);
    let of = |letters: u8, times: u8, skew: bool| -> Vec<u8> {
        let letter = |pair: &[u8]| if skew && pair[1] & 1 == 1 { 0 } else { (pair[0] % letters).wrapping_mul(times) };
        noise.chunks(2).map(letter).collect()
    };
    let mut rows = vec![
        ("2 letters", of(2, 1, false)),
        ("3 letters", of(3, 1, false)),
        ("5 letters", of(5, 1, false)),
        ("16 letters", of(16, 1, false)),
        ("64 letters", of(64, 37, false)),
        ("64 letters, skew", of(64, 37, true)),
        ("8 letters that fall together", of(8, 32, false)),
        ("8 such, skew", of(8, 32, true)),
        ("noise", noise[..size].to_vec()),
        ("zeros", vec![0; size]),
    ];
    let runs: Vec<u8> = noise.iter().flat_map(|byte| [0, 0, 0, *byte]).take(size).collect();
    rows.push(("runs", runs));
    rows
}

#[test]
#[ignore = "it measures"]
fn prices_of_compression() {
    for level in 1..=9 {
        row(
            &format!("compress {level}: nothing"),
            0,
            |data| compress(Format::Gzip, data, Some(level), PLENTY).unwrap(),
            b"",
        );
        for (name, data) in hard() {
            let make = |data| compress(Format::Gzip, data, Some(level), PLENTY).unwrap();
            row(&format!("compress {level}: {name}"), data.len(), make, &data);
        }
    }
}

#[test]
#[ignore = "it measures"]
fn prices_of_decompression() {
    let make = |data| decompress(Format::Deflate, data, None, PLENTY).unwrap();
    for level in [1, 6, 9] {
        for (name, data) in hard() {
            let Bytes(packed) = done(compress(Format::Deflate, data.clone(), Some(level), PLENTY)).unwrap();
            row(&format!("decompress {level}: {name}"), data.len(), make, &packed);
            let Bytes(packed) = done(compress(Format::Gzip, data.clone(), Some(level), PLENTY)).unwrap();
            let gzip = |data| decompress(Format::Gzip, data, None, PLENTY).unwrap();
            row(&format!("decompress gzip {level}: {name}"), data.len(), gzip, &packed);
        }
    }
    row("decompress empty blocks", 0, make, &empty_blocks(1));
    row("decompress empty blocks", 125_000, make, &empty_blocks(100_000));
    let mut stored = [0, 0, 0, 0xff, 0xff].repeat(50_000);
    stored.extend([1, 0, 0, 0xff, 0xff]);
    row("decompress empty stored blocks", stored.len(), make, &stored);
    let tables = full_tables(20_000);
    row("decompress blocks of tables", tables.len(), make, &tables);
    let long = long_codes(200_000);
    row("decompress codes of 15 bits", long.len(), make, &long);
    let member = done(compress(Format::Gzip, Vec::new(), None, PLENTY)).unwrap().0;
    let members = member.repeat(20_000);
    row("decompress members", members.len(), |data| decompress(Format::Gzip, data, None, PLENTY).unwrap(), &members);
}

/// The codes of the lengths of codes, in the order of the format.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Blocks of tables that are as full as can be, with nothing else in them.
fn full_tables(count: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    for block in 1..=count {
        bits.put(u64::from(block == count), 1).put(2, 2).put(29, 5).put(29, 5).put(14, 4);
        let lengths = |code| match code {
            8 | 9 | 16 => 2,
            4 | 5 => 3,
            _ => 0,
        };
        for code in &ORDER[..18] {
            bits.put(lengths(*code), 3);
        }
        let mut times = |code: (u64, u32), times: u64| {
            bits.put(code.0, code.1);
            let mut left = times - 1;
            while left > 0 {
                let now = if left > 8 { 6 } else { left.min(if left > 6 { 4 } else { 6 }) };
                if now < 3 {
                    bits.put(code.0, code.1);
                    left -= 1;
                } else {
                    bits.put(1, 2).put(now - 3, 2);
                    left -= now;
                }
            }
        };
        times((0, 2), 226); // 8 bits each
        times((2, 2), 60); // 9 bits
        times((3, 3), 2); // 4 bits
        times((7, 3), 28); // 5 bits
        bits.put((482_u64 << 55).reverse_bits(), 9);
    }
    bits.end()
}

/// Literals with codes of 11 to 15 bits, which are looked up twice.
fn long_codes(count: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(1, 1).put(2, 2).put(0, 5).put(0, 5).put(15, 4);
    for code in ORDER {
        bits.put(if matches!(code, 1..=15 | 18) { 4 } else { 0 }, 3);
    }
    let length = |bits: &mut Bits, code: u64| {
        let index = if code == 18 { 15 } else { code - 1 };
        bits.put((index << 60).reverse_bits(), 4);
    };
    (1..=15).for_each(|code| length(&mut bits, code));
    length(&mut bits, 18);
    bits.put(127, 7); // 138 zeros
    length(&mut bits, 18);
    bits.put(92, 7); // 103 zeros: 256 in all
    length(&mut bits, 15);
    length(&mut bits, 1);
    for byte in noise(count, 4) {
        let ones = 10 + u32::from(byte % 4);
        bits.put((1 << ones) - 1, ones).put(0, 1);
    }
    bits.put((1 << 15) - 1, 15);
    bits.end()
}
