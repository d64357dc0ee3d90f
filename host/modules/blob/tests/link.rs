//! Tokens: every change of one is refused, and what was signed comes back.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::super::link::{Claim, Key, LinkError, TOKEN_BYTES_MAX, sign, verify};
use super::{name, owner, scope};
use crate::store::blobs::{LinkSecret, Name};
use crate::store::{Owner, Scope};

fn key(number: u32, byte: u8) -> Key {
    Key::new(&LinkSecret { number, secret: [byte; 32] })
}

fn claim() -> Claim {
    Claim {
        owner: owner("guild:42"),
        scope: scope("avatars"),
        name: name("ada/1.png"),
        expires: 1_700_000_000_000,
        revision: Some(7),
    }
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

fn refused(keys: &[Key], token: &str) -> LinkError {
    let error = verify(keys, token, at(0)).expect_err(token);
    assert_ne!(error, LinkError::Expired, "{token}");
    error
}

fn raw(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token).unwrap()
}

#[test]
fn k5_a_token_is_what_its_header_says() {
    let (key, claim) = (key(5, 9), claim());
    let token = sign(&key, &claim);
    let mut expected = vec![1, 0, 0, 0, 5];
    expected.extend(claim.expires.to_be_bytes());
    expected.extend(7_u64.to_be_bytes());
    expected.extend(b"\0\x08guild:42\x07avatars\0\x09ada/1.png");
    let mut mac = Hmac::<Sha256>::new_from_slice(&[9; 32]).unwrap();
    mac.update(b"motu:blob link to read\0");
    mac.update(&expected);
    expected.extend(mac.finalize().into_bytes());
    assert_eq!(token, URL_SAFE_NO_PAD.encode(expected));
    assert!(!format!("{key:?}").contains('9'));
}

#[test]
fn k5_every_flipped_bit_is_refused() {
    let keys = [key(1, 1), key(2, 2)];
    for revision in [None, Some(7)] {
        // of each length that base64 treats differently
        for name_of in ["a", "ab", "abc"] {
            let token = sign(&keys[0], &Claim { revision, name: name(name_of), ..claim() });
            assert!(verify(&keys, &token, at(0)).is_ok());
            for bit in 0..token.len() * 8 {
                let mut bytes = token.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                refused(&keys, &String::from_utf8_lossy(&bytes));
            }
            let bytes = raw(&token);
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                refused(&keys, &URL_SAFE_NO_PAD.encode(bytes));
            }
        }
    }
}

#[test]
fn k5_any_other_text_for_a_token_is_refused() {
    let keys = [key(1, 1)];
    for name_of in ["a", "ab", "abc"] {
        let token = sign(&keys[0], &Claim { name: name(name_of), ..claim() });
        for end in 0..token.len() {
            refused(&keys, &token[..end]);
            refused(&keys, &token[end + 1..]);
        }
        // one byte longer at either end, any character in the last place, and what other decoders let pass
        for byte in 0..=127_u8 {
            let byte = char::from(byte);
            refused(&keys, &format!("{token}{byte}"));
            refused(&keys, &format!("{byte}{token}"));
            let other = format!("{}{byte}", &token[..token.len() - 1]);
            assert!(other == token || verify(&keys, &other, at(0)).is_err(), "{other}");
        }
        let bytes = raw(&token);
        for same in [format!("{token}="), format!("{token}=="), format!("{token}\n"), format!(" {token}")] {
            assert_eq!(refused(&keys, &same), LinkError::Malformed);
        }
        for same in [URL_SAFE.encode(&bytes), STANDARD.encode(&bytes)] {
            assert!(same == token || verify(&keys, &same, at(0)).is_err());
        }
        for bytes in [[&bytes[..], &[0]].concat(), [&bytes[..], &bytes].concat(), [&[0][..], &bytes].concat()] {
            refused(&keys, &URL_SAFE_NO_PAD.encode(bytes));
        }
    }
    for text in ["", "A", "AA", "\u{e9}", &"A".repeat(43), &"A".repeat(TOKEN_BYTES_MAX), &"A".repeat(100_000)] {
        assert_eq!(refused(&keys, text), LinkError::Malformed);
    }
}

#[test]
fn k5_what_sha256_alone_would_let_be_extended_is_refused() {
    let keys = [key(1, 1)];
    let token = sign(&keys[0], &claim());
    let bytes = raw(&token);
    let (signed, tag) = bytes.split_at(bytes.len() - 32);
    // the padding that SHA-256 puts after what was hashed, for keys and domains of any length, then more name, and the old tag
    for ahead in 0..200 {
        let length = (ahead + signed.len()) * 8;
        let mut padding = vec![0x80];
        while (ahead + signed.len() + padding.len()) % 64 != 56 {
            padding.push(0);
        }
        padding.extend((length as u64).to_be_bytes());
        for more in [&b""[..], b"x", b"/etc"] {
            refused(&keys, &URL_SAFE_NO_PAD.encode([signed, &padding, more, tag].concat()));
        }
    }
}

#[test]
fn k5_parts_of_two_tokens_make_none() {
    let keys = [key(1, 1), key(2, 2)];
    let others = [
        Claim { owner: owner("guild:43"), ..claim() },
        Claim { scope: scope("secrets"), ..claim() },
        Claim { name: name("ada/2.png"), ..claim() },
        Claim { expires: u64::MAX, ..claim() },
        Claim { revision: None, ..claim() },
    ];
    let one = raw(&sign(&keys[0], &claim()));
    for other in &others {
        for key in &keys {
            let two = raw(&sign(key, other));
            for cut in 0..one.len().min(two.len()) {
                for mixed in [[&one[..cut], &two[cut..]].concat(), [&two[..cut], &one[cut..]].concat()] {
                    assert!(
                        mixed == one || mixed == two || {
                            refused(&keys, &URL_SAFE_NO_PAD.encode(mixed));
                            true
                        }
                    );
                }
            }
        }
    }
    // a byte more of the tenant, one less of the scope: the same bytes in a row, but not the same claim
    let a = Claim { owner: owner("guild:4"), scope: scope("2avatars"), ..claim() };
    let b = Claim { owner: owner("guild:42"), scope: scope("avatars"), ..claim() };
    let (a, b) = (raw(&sign(&keys[0], &a)), raw(&sign(&keys[0], &b)));
    assert_ne!(a[a.len() - 32..], b[b.len() - 32..]);
}

#[test]
fn k5_only_a_key_that_is_known_counts_and_only_as_itself() {
    let token = sign(&key(1, 1), &claim());
    assert!(verify(&[key(2, 2), key(1, 1)], &token, at(0)).is_ok());
    for keys in [&[][..], &[key(2, 1)], &[key(1, 2)], &[key(0, 1), key(u32::MAX, 1)]] {
        assert_eq!(refused(keys, &token), LinkError::Forged);
    }
    // signed with the secret, but for another purpose
    let bytes = raw(&token);
    let signed = &bytes[..bytes.len() - 32];
    for domain in [&b""[..], b"motu:blob link to read", b"motu:blob link to write\0"] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&[1; 32]).unwrap();
        mac.update(domain);
        mac.update(signed);
        let other = [signed, &mac.finalize().into_bytes()[..]].concat();
        assert_eq!(refused(&[key(1, 1)], &URL_SAFE_NO_PAD.encode(other)), LinkError::Forged);
    }
    // the secret's owner can't make one that holds what can't be, either
    for (owner_of, scope_of, name_of) in [("", "s", "n"), ("o", "", "n"), ("o", "s", ""), ("o", "s\n", "n")] {
        let mut signed = vec![1, 0, 0, 0, 1];
        signed.extend([0xff; 16]);
        signed.extend([0, owner_of.len() as u8]);
        signed.extend(owner_of.bytes());
        signed.push(scope_of.len() as u8);
        signed.extend(scope_of.bytes());
        signed.extend([0, name_of.len() as u8]);
        signed.extend(name_of.bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(&[1; 32]).unwrap();
        mac.update(b"motu:blob link to read\0");
        mac.update(&signed);
        signed.extend(mac.finalize().into_bytes());
        assert_eq!(refused(&[key(1, 1)], &URL_SAFE_NO_PAD.encode(signed)), LinkError::Malformed);
    }
}

#[test]
fn k5_a_link_ends_at_its_millisecond() {
    let keys = [key(1, 1)];
    let is_good = |expires, now| match verify(&keys, &sign(&keys[0], &Claim { expires, ..claim() }), now) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, LinkError::Expired);
            false
        }
    };
    let nanosecond = Duration::from_nanos(1);
    assert!(is_good(5_000, at(4_999)) && is_good(5_000, at(5_000) - nanosecond));
    assert!(!is_good(5_000, at(5_000)) && !is_good(5_000, at(5_001)) && !is_good(0, at(0)));
    assert!(is_good(1, at(0)) && is_good(u64::MAX, at(1 << 52)));
    // a clock before 1970 is wrong, and no reason to let anyone in
    for before in [nanosecond, Duration::from_secs(1), Duration::from_secs(1 << 33)] {
        assert!(!is_good(u64::MAX, UNIX_EPOCH - before) && !is_good(0, UNIX_EPOCH - before));
    }
    // and who forges isn't told about times
    let forged = sign(&key(1, 2), &Claim { expires: 0, ..claim() });
    assert_eq!(verify(&keys, &forged, at(9)), Err(LinkError::Forged));
}

#[test]
fn k5_the_longest_claim_has_the_longest_token() {
    let claim = Claim {
        owner: owner(&"o".repeat(Owner::BYTES_MAX)),
        scope: scope(&"s".repeat(Scope::BYTES_MAX)),
        name: Name::new(&[0xff; Name::BYTES_MAX]).unwrap(),
        expires: u64::MAX,
        revision: Some(u64::MAX),
    };
    let key = key(u32::MAX, 0xff);
    let token = sign(&key, &claim);
    assert_eq!(token.len(), TOKEN_BYTES_MAX);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    assert_eq!(verify(&[key], &token, at(0)), Ok(claim));
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let text = prop::collection::vec(prop::char::range('!', '\u{2fff}'), 1..20).prop_map(String::from_iter);
    let name = prop::collection::vec(any::<u8>(), 1..=Name::BYTES_MAX);
    let revision = prop::option::of(1..=u64::MAX);
    (text.clone(), text, name, 1..=u64::MAX, revision).prop_filter_map("names", |(o, s, n, expires, revision)| {
        let (owner, scope) = (Owner::new(&o).ok()?, Scope::new(&s).ok()?);
        Some(Claim { owner, scope, name: Name::new(&n).ok()?, expires, revision })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn k5_what_was_signed_comes_back(claim in any_claim(), number in any::<u32>(), secret in any::<[u8; 32]>()) {
        let key = Key::new(&LinkSecret { number, secret });
        let token = sign(&key, &claim);
        prop_assert!(token.len() <= TOKEN_BYTES_MAX);
        prop_assert_eq!(verify(&[key], &token, at(0)), Ok(claim));
    }

    #[test]
    fn k5_two_claims_have_two_tokens(a in any_claim(), b in any_claim(), c in any_claim()) {
        let tokens: HashSet<_> = [&a, &b, &c].into_iter().map(|claim| sign(&key(1, 1), claim)).collect();
        let claims: HashSet<_> = [&a, &b, &c].into_iter().map(|claim| format!("{claim:?}")).collect();
        prop_assert_eq!(tokens.len(), claims.len());
    }

    #[test]
    fn k5_a_changed_token_is_refused(
        claim in any_claim(), changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..5)
    ) {
        let keys = [key(1, 1), key(2, 2)];
        let token = raw(&sign(&keys[0], &claim));
        let mut bytes = token.clone();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        prop_assume!(bytes != token);
        prop_assert!(verify(&keys, &URL_SAFE_NO_PAD.encode(bytes), at(0)).is_err());
    }

    #[test]
    fn k5_no_text_is_a_token_by_chance(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let keys = [key(1, 1), key(0, 0)];
        prop_assert!(verify(&keys, &text, at(0)).is_err());
        prop_assert!(verify(&keys, &URL_SAFE_NO_PAD.encode(bytes), at(0)).is_err());
    }
}
