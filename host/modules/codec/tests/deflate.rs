//! Compression: what is written, and what is read.

use std::io::{Read, Write};

use flate2::{Compression, GzBuilder};
use proptest::prelude::*;

use super::super::compress::compress;
use super::super::decompress::decompress;
use super::super::types::Format::{self, Deflate, Gzip, Zlib};
use super::{Bits, PLENTY, done, noise, steps, wrong};

const ALL: [Format; 3] = [Gzip, Zlib, Deflate];

fn packed(format: Format, data: &[u8]) -> Vec<u8> {
    done(compress(format, data.to_vec(), None, PLENTY)).unwrap().0
}

fn unpacked(format: Format, data: &[u8]) -> Result<Vec<u8>, String> {
    done(decompress(format, data.to_vec(), None, PLENTY)).map(|bytes| bytes.0)
}

#[test]
fn an_end_that_is_missing() {
    for format in ALL {
        let whole = packed(format, &noise(300, 1));
        for end in 0..whole.len() {
            wrong(unpacked(format, &whole[..end]), &format!("data ends too soon, after {end} bytes"));
        }
        wrong(unpacked(format, b""), "data ends too soon, after 0 bytes, from which 0 were made");
    }
}

#[test]
fn bytes_after_the_end() {
    for format in ALL {
        let mut data = packed(format, b"hello");
        let end = data.len();
        data.extend_from_slice(b"more");
        wrong(unpacked(format, &data), &format!("data ends at byte {end}, and 4 bytes follow"));
    }
    // padding of zeros too, and half a header
    let mut data = packed(Gzip, b"hello");
    data.push(0);
    wrong(unpacked(Gzip, &data), "1 bytes follow");
    data.pop();
    data.push(0x1f);
    wrong(unpacked(Gzip, &data), "ends too soon");
}

#[test]
fn what_was_changed() {
    let gzip = packed(Gzip, b"hello hello hello");
    let end = gzip.len();
    let changed = |at: usize| {
        let mut data = gzip.clone();
        data[at] ^= 0x10;
        data
    };
    wrong(unpacked(Gzip, &changed(end - 8)), &format!("that ends at byte {} is damaged: 17 bytes were made", end - 8));
    wrong(unpacked(Gzip, &changed(end - 8)), "their checksum is another");
    wrong(unpacked(Gzip, &changed(end - 1)), "their length is another");
    wrong(unpacked(Gzip, &changed(0)), "this isn't gzip data");
    wrong(unpacked(Gzip, &changed(2)), "the gzip header at byte 1 needs what RFC 1952 doesn't have");
    let mut zlib = packed(Zlib, b"hello hello hello");
    *zlib.last_mut().unwrap() ^= 1;
    wrong(unpacked(Zlib, &zlib), "their checksum is another");
    // a change is seen, wherever it is, or means nothing
    for format in [Gzip, Zlib] {
        let plain = b"hello hello hello, hello";
        let whole = packed(format, plain);
        for bit in 0..whole.len() * 8 {
            let mut data = whole.clone();
            data[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = unpacked(format, &data) {
                assert_eq!(read, plain, "bit {bit}");
            }
        }
    }
}

#[test]
fn other_formats() {
    wrong(
        unpacked(Gzip, &packed(Zlib, b"x")),
        "this isn't gzip data, which begins otherwise: it looks like the format \"zlib\"",
    );
    wrong(unpacked(Zlib, &packed(Gzip, b"x")), "it looks like the format \"gzip\"");
    wrong(unpacked(Deflate, &packed(Gzip, b"x")), "it looks like the format \"gzip\"");
    wrong(unpacked(Zlib, b"plain text"), "this isn't zlib data");
    wrong(unpacked(Zlib, &[0x78, 0xbb, 0, 0, 0, 1]), "this zlib data needs a dictionary");
}

#[test]
fn damaged_deflate_data_says_where() {
    // a block of a type that isn't one; a distance to before the start
    wrong(unpacked(Deflate, &[7]), "is damaged, or isn't deflate data, at about byte 1, after 0 bytes were made");
    let mut bits = Bits::default();
    bits.put(1, 1).put(1, 2).put(0x0c, 8).put(0x40, 7).put(8, 5);
    wrong(unpacked(Deflate, &bits.end()), "is damaged");
}

#[test]
fn a_member_cannot_refer_to_the_one_before() {
    let first = packed(Gzip, b"secret");
    let mut bits = Bits::default();
    bits.put(1, 1).put(1, 2).put(0x40, 7).put(0x10, 5).put(0, 1).put(0, 7);
    let mut data = first.clone();
    data.extend_from_slice(&first[..10]);
    data.extend(bits.end());
    data.extend([0; 8]);
    wrong(unpacked(Gzip, &data), "is damaged");
}

#[test]
fn members_follow_each_other() {
    let mut data = packed(Gzip, b"one, ");
    data.extend(packed(Gzip, b""));
    data.extend(packed(Gzip, b"two"));
    assert_eq!(unpacked(Gzip, &data).unwrap(), b"one, two");
    let last = data.len() - 6;
    data[last] ^= 1;
    wrong(unpacked(Gzip, &data), "3 bytes were made, and their checksum is another");
}

#[test]
fn gzip_headers_with_all_there_is() {
    let mut writer = GzBuilder::new()
        .filename("name.txt")
        .comment("a comment")
        .extra(vec![1, 2, 0, 0])
        .mtime(1_700_000_000)
        .write(Vec::new(), Compression::default());
    writer.write_all(b"hello").unwrap();
    let mut data = writer.finish().unwrap();
    assert_eq!(unpacked(Gzip, &data).unwrap(), b"hello");
    // the same with a checksum of the header
    let end = 10 + 2 + 4 + 9 + 10;
    data[3] |= 2;
    let [a, b, ..] = crc32fast::hash(&data[..end]).to_le_bytes();
    data.splice(end..end, [a, b]);
    assert_eq!(unpacked(Gzip, &data).unwrap(), b"hello");
    for end in 0..data.len() {
        wrong(unpacked(Gzip, &data[..end]), "ends too soon");
    }
    data[end] ^= 1;
    wrong(unpacked(Gzip, &data), "the gzip header at byte 1 is damaged");
    // a name without an end
    let mut long = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0];
    long.extend([b'a'; 40_000]);
    wrong(unpacked(Gzip, &long), "the gzip header at byte 1 has more than 16384 bytes");
}

#[test]
fn data_of_other_programs() {
    // gzip -n, with the example of its manual; zlib's of RFC 1950 with an Adler-32
    let gzip = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 2, 0, 0x20, 0x30, 0x3a, 0x36, 6, 0, 0,
        0,
    ];
    assert_eq!(unpacked(Gzip, &gzip).unwrap(), b"hello\n");
    let zlib = [0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 6, 0x2c, 2, 0x15];
    assert_eq!(unpacked(Zlib, &zlib).unwrap(), b"hello");
    // a stored block, as in RFC 1951
    assert_eq!(unpacked(Deflate, &[1, 5, 0, 0xfa, 0xff, b'h', b'e', b'l', b'l', b'o']).unwrap(), b"hello");
    wrong(unpacked(Deflate, &[1, 5, 0, 0xfb, 0xff, b'h', b'e', b'l', b'l', b'o']), "is damaged");
}

#[test]
fn what_is_written_is_read_by_others() {
    for size in [0, 1, 1000, 300_000] {
        let data: Vec<u8> = noise(size, 4).iter().map(|byte| byte % 20).collect();
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&*packed(Gzip, &data)).read_to_end(&mut read).unwrap();
        assert_eq!(read, data);
        read.clear();
        flate2::read::ZlibDecoder::new(&*packed(Zlib, &data)).read_to_end(&mut read).unwrap();
        assert_eq!(read, data);
        read.clear();
        flate2::read::DeflateDecoder::new(&*packed(Deflate, &data)).read_to_end(&mut read).unwrap();
        assert_eq!(read, data);
    }
}

#[test]
fn levels() {
    let data: Vec<u8> = noise(100_000, 5).chunks(2).map(|pair| pair[0] % 4).collect();
    let sizes: Vec<usize> = (1..=9)
        .map(|level| {
            let packed = done(compress(Gzip, data.clone(), Some(level), PLENTY)).unwrap().0;
            assert_eq!(unpacked(Gzip, &packed).unwrap(), data);
            packed.len()
        })
        .collect();
    assert!(sizes[8] < sizes[5] && sizes[5] < sizes[0], "{sizes:?}");
    for level in [0, 10, 255] {
        wrong(done(compress(Gzip, Vec::new(), Some(level), PLENTY)), "they go from 1 (fast) to 9 (small)");
    }
}

#[test]
fn the_result_of_compressing_has_a_most() {
    for format in ALL {
        for size in [0, 5, 100, 40_000, 200_000] {
            let data = noise(size, 6);
            let bytes = packed(format, &data).len();
            assert!(bytes <= size + size / 512 + 256, "{size} becomes {bytes}");
            assert_eq!(done(compress(format, data.clone(), None, bytes)).unwrap().0.len(), bytes);
            for less in [1, 2, 7, 9, bytes] {
                let Some(max) = bytes.checked_sub(less) else { continue };
                wrong(done(compress(format, data.clone(), None, max)), &format!("more than {max} bytes, and {max} is"));
            }
        }
    }
}

#[test]
fn work_is_done_in_steps() {
    for level in [1, 6, 9] {
        let data: Vec<u8> = noise(200_000, 7).iter().map(|byte| byte % 30).collect();
        let (result, fuel, count) = steps(compress(Gzip, data.clone(), Some(level), PLENTY).unwrap());
        let packed = result.unwrap();
        assert!(fuel / count < 2_000_000, "{fuel} in {count} steps");
        let (result, fuel, count) = steps(decompress(Gzip, packed.0, None, PLENTY).unwrap());
        assert_eq!(result.unwrap().0, data);
        assert!(count > 10 && fuel / count < 4_000_000, "{fuel} in {count} steps");
    }
}

proptest! {
    #[test]
    fn round_trips(data in proptest::collection::vec(0_u8..4, 0..3000), level in 1_u8..=9, format in 0..3_usize) {
        let packed = done(compress(ALL[format], data.clone(), Some(level), PLENTY)).unwrap().0;
        prop_assert_eq!(unpacked(ALL[format], &packed).unwrap(), data.clone());
        let exact = u32::try_from(data.len()).unwrap();
        prop_assert!(done(decompress(ALL[format], packed.clone(), Some(exact), PLENTY)).is_ok());
        if let Some(less) = exact.checked_sub(1) {
            wrong(done(decompress(ALL[format], packed, Some(less), PLENTY)), "the limit of this call");
        }
    }

    #[test]
    fn any_data_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..200), format in 0..3_usize) {
        let _ = done(decompress(ALL[format], data, Some(10_000), PLENTY));
    }

    /// What others write and then is changed somewhere is read as they read it, or refused.
    #[test]
    fn changed_data(at in any::<prop::sample::Index>(), byte in any::<u8>(), seed in any::<u64>()) {
        let data: Vec<u8> = noise(2000, seed).iter().map(|byte| byte % 7).collect();
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        writer.write_all(&data).unwrap();
        let mut packed = writer.finish().unwrap();
        let at = at.index(packed.len());
        packed[at] = byte;
        let ours = done(decompress(Deflate, packed.clone(), Some(1 << 20), PLENTY));
        let mut theirs = Vec::new();
        let read = flate2::read::DeflateDecoder::new(&*packed).read_to_end(&mut theirs);
        if let Ok(bytes) = ours {
            prop_assert!(read.is_ok());
            prop_assert_eq!(bytes.0, theirs);
        }
    }
}
