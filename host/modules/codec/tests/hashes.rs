//! Hashes by NIST's and the RFCs' vectors, HMAC by RFC 4231 and RFC 2202.

use proptest::prelude::*;

use super::super::hash::{KEY_BYTES_MAX, crc32, equal, hash, hmac};
use super::super::types::Algorithm::{self, Md5, Sha1, Sha256, Sha384, Sha512};
use super::{done, noise, steps, wrong};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hashed(algorithm: Algorithm, bytes: &[u8]) -> String {
    hex(&done(Ok(hash(algorithm, bytes.to_vec()))).unwrap().0)
}

fn keyed(algorithm: Algorithm, key: &[u8], message: &[u8]) -> String {
    hex(&done(hmac(algorithm, key, message.to_vec())).unwrap().0)
}

#[test]
fn hashes_of_the_standards() {
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let million = vec![b'a'; 1_000_000];
    for (algorithm, input, expected) in [
        (Md5, &b""[..], "d41d8cd98f00b204e9800998ecf8427e"),
        (Md5, b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        (Sha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (Sha1, two_blocks, "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        (Sha1, &million, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
        (Sha256, b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (Sha256, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (Sha256, two_blocks, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (Sha256, &million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        (
            Sha384,
            b"abc",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Sha512,
            b"abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        assert_eq!(hashed(algorithm, input), expected, "{algorithm:?}");
    }
}

#[test]
fn hmacs_of_the_rfcs() {
    let (jefe, what) = (&b"Jefe"[..], &b"what do ya want for nothing?"[..]);
    let (long, larger) = ([0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
    for (algorithm, key, message, expected) in [
        (Md5, jefe, what, "750c783e6ab0b503eaa86e310a5db738"),
        (Sha1, jefe, what, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (Sha256, &[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (Sha256, jefe, what, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (Sha256, &[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (Sha256, &long, larger, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        (
            Sha384,
            jefe,
            what,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            Sha512,
            jefe,
            what,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        (
            Sha512,
            &long,
            larger,
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352\
             6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        ),
    ] {
        assert_eq!(keyed(algorithm, key, message), expected, "{algorithm:?}");
    }
}

#[test]
fn a_long_key_is_refused_and_its_hash_is_the_same() {
    let key = noise(KEY_BYTES_MAX + 1, 1);
    assert!(done(hmac(Sha256, &key[1..], Vec::new())).is_ok());
    wrong(done(hmac(Sha256, &key, Vec::new())), "the key has 4097 bytes, and 4096 is the most: pass its hash");
    for algorithm in [Sha256, Sha384, Sha512, Sha1, Md5] {
        let short = done(Ok(hash(algorithm, key[1..].to_vec()))).unwrap().0;
        assert_eq!(keyed(algorithm, &key[1..], b"x"), keyed(algorithm, &short, b"x"));
    }
}

#[test]
fn checksums() {
    assert_eq!(done(Ok(crc32(b"123456789".to_vec()))).unwrap(), 0xcbf4_3926);
    assert_eq!(done(Ok(crc32(Vec::new()))).unwrap(), 0);
    let data = noise(1 << 20, 2);
    assert_eq!(done(Ok(crc32(data.clone()))).unwrap(), crc32fast::hash(&data));
}

#[test]
fn equality() {
    let same = |a: &[u8], b: &[u8]| done(Ok(equal(a.to_vec(), b.to_vec()))).unwrap();
    assert!(same(b"", b""));
    assert!(same(b"abc", b"abc"));
    for other in [&b""[..], b"ab", b"abcd", b"abd", b"Abc"] {
        assert!(!same(b"abc", other) && !same(other, b"abc"));
    }
    let mut long = noise(200_000, 3);
    let copy = long.clone();
    assert!(same(&long, &copy));
    for at in [0, 70_000, 199_999] {
        long[at] ^= 1;
        assert!(!same(&long, &copy), "{at}");
        long[at] ^= 1;
    }
}

#[test]
fn long_inputs_take_steps_of_a_slice() {
    for algorithm in [Sha256, Sha512, Md5] {
        let (result, fuel, count) = steps(hash(algorithm, vec![1; 1 << 20]));
        assert!(result.is_ok() && count > 50 && fuel / count <= 1_100_000, "{fuel} in {count} steps");
    }
}

proptest! {
    #[test]
    fn equality_is_equality(a in proptest::collection::vec(0_u8..2, 0..4), b in proptest::collection::vec(0_u8..2, 0..4)) {
        prop_assert_eq!(done(Ok(equal(a.clone(), b.clone()))).unwrap(), a == b);
    }
}
