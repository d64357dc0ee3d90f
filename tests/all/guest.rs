//! The guest, as far as it can be seen from outside.

use motu::Motu;

trials![digest_is_a_sha_256];

fn digest_is_a_sha_256() {
    let digest = Motu::guest_digest();
    assert_eq!(digest.len(), 64);
    assert!(digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{digest}");
    assert_ne!(digest, "0".repeat(64));
}
