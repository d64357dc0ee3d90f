//! Hashes, HMAC, CRC-32, and the comparison that tells nothing by its time.

use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::{Digest, FixedOutput, Update};
use sha2::{Sha256, Sha384, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::price;
use super::types::{Algorithm, Bytes};
use super::work::{Convert, Pieces};

/// The longest key of an HMAC: it is taken at once.
pub(crate) const KEY_BYTES_MAX: usize = 4096;

pub(crate) fn hash(algorithm: Algorithm, bytes: Vec<u8>) -> Pieces<Hashing> {
    let running: Box<dyn Running> = match algorithm {
        Algorithm::Sha256 => Box::new(Sha256::new()),
        Algorithm::Sha384 => Box::new(Sha384::new()),
        Algorithm::Sha512 => Box::new(Sha512::new()),
        Algorithm::Sha1 => Box::new(Sha1::new()),
        Algorithm::Md5 => Box::new(Md5::new()),
    };
    Pieces::new(bytes, price::hash(algorithm), Hashing(Some(running)))
}

pub(crate) fn hmac(algorithm: Algorithm, key: &[u8], message: Vec<u8>) -> Result<Pieces<Hashing>, String> {
    if key.len() > KEY_BYTES_MAX {
        return Err(format!(
            "the key has {} bytes, and {KEY_BYTES_MAX} is the most: pass its hash by the same algorithm, which is as good",
            key.len()
        ));
    }
    let running = match algorithm {
        Algorithm::Sha256 => keyed::<Hmac<Sha256>>(key),
        Algorithm::Sha384 => keyed::<Hmac<Sha384>>(key),
        Algorithm::Sha512 => keyed::<Hmac<Sha512>>(key),
        Algorithm::Sha1 => keyed::<Hmac<Sha1>>(key),
        Algorithm::Md5 => keyed::<Hmac<Md5>>(key),
    }?;
    Ok(Pieces::new(message, price::hmac(algorithm, key.len()), Hashing(Some(running))))
}

fn keyed<M: Mac + hmac::digest::KeyInit + Running + 'static>(key: &[u8]) -> Result<Box<dyn Running>, String> {
    let keyed = <M as Mac>::new_from_slice(key).map_err(|error| format!("the key can't be used: {error}"))?;
    Ok(Box::new(keyed))
}

/// A hash or an HMAC that is being computed.
trait Running: Send {
    fn update(&mut self, bytes: &[u8]);
    fn finish(self: Box<Self>) -> Vec<u8>;
}

impl<T: Update + FixedOutput + Send> Running for T {
    fn update(&mut self, bytes: &[u8]) {
        Update::update(self, bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.finalize_fixed().to_vec()
    }
}

pub(crate) struct Hashing(Option<Box<dyn Running>>);

impl Convert for Hashing {
    type Output = Bytes;

    fn piece(&mut self, _: usize, piece: &[u8], _: bool) -> Result<(), String> {
        if let Some(running) = &mut self.0 {
            running.update(piece);
        }
        Ok(())
    }

    fn finish(&mut self) -> Bytes {
        Bytes(self.0.take().map(Running::finish).unwrap_or_default())
    }
}

pub(crate) fn crc32(bytes: Vec<u8>) -> Pieces<Crc32> {
    Pieces::new(bytes, price::CRC32, Crc32(crc32fast::Hasher::new()))
}

pub(crate) struct Crc32(crc32fast::Hasher);

impl Convert for Crc32 {
    type Output = u32;

    fn piece(&mut self, _: usize, piece: &[u8], _: bool) -> Result<(), String> {
        self.0.update(piece);
        Ok(())
    }

    fn finish(&mut self) -> u32 {
        self.0.clone().finalize()
    }
}

/// Whether two texts are equal; how long it takes depends on their lengths alone.
pub(crate) fn equal(mut a: Vec<u8>, b: Vec<u8>) -> Pieces<Equal> {
    let equal = Choice::from(u8::from(a.len() == b.len()));
    if a.len() != b.len() {
        a.clear();
    }
    Pieces::new(a, price::EQUAL, Equal { b, equal })
}

pub(crate) struct Equal {
    b: Vec<u8>,
    equal: Choice,
}

impl Convert for Equal {
    type Output = bool;

    fn piece(&mut self, at: usize, piece: &[u8], _: bool) -> Result<(), String> {
        let b = self.b.get(at..at + piece.len()).unwrap_or_default();
        self.equal &= piece.ct_eq(b);
        Ok(())
    }

    fn finish(&mut self) -> bool {
        self.equal.into()
    }
}
