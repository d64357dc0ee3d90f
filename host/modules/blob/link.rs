//! Signed links: who has one may read one blob until it expires, and nobody can make one, or change one, without the secret.
//!
//! A token is the URL-safe base64, without padding, of
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 4 | number of the key |
//! | 8 | when it expires, in milliseconds since 1970 |
//! | 8 | revision of the blob; 0: any |
//! | 2, n | tenant |
//! | 1, n | scope |
//! | 2, n | name |
//! | 32 | HMAC-SHA256 of [`DOMAIN`] and all before |
//!
//! with numbers big-endian. A claim has one token for each key, and a token is read only in the form in which it was written.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::store::blobs::{LinkSecret, Name};
use crate::store::{Owner, Scope};

/// No other use of the secret signs what starts so.
const DOMAIN: &[u8] = b"motu:blob link to read\0";

const VERSION: u8 = 1;

/// Version and the three numbers.
const HEAD_BYTES: usize = 21;
const TAG_BYTES: usize = 32;
const BYTES_MAX: usize = HEAD_BYTES + 5 + Owner::BYTES_MAX + Scope::BYTES_MAX + Name::BYTES_MAX + TAG_BYTES;

/// The longest token: four characters for three bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = (BYTES_MAX * 4).div_ceil(3);

/// What a link allows: reading this blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) owner: Owner,
    pub(crate) scope: Scope,
    pub(crate) name: Name,
    /// From this time on it is worth nothing, in milliseconds since 1970.
    pub(crate) expires: u64,
    /// The only one that may be read. None: whatever blob has the name when it is read.
    pub(crate) revision: Option<u64>,
}

/// Why a token is worth nothing. It doesn't say how far it got: that would help only who tries to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// No token looks so.
    #[error("this is not a link to a blob")]
    Malformed,
    /// It was not signed here, or is no longer what was signed, or its key was retired.
    #[error("this link is not genuine, or has been withdrawn")]
    Forged,
    /// It was good until some time ago; or the clock is before 1970 and tells nothing.
    #[error("this link has expired")]
    Expired,
}

/// What links are signed with.
#[derive(Clone)]
pub(crate) struct Key {
    number: u32,
    /// With the secret and the domain already in it.
    mac: Hmac<Sha256>,
}

impl Key {
    /// A secret is 32 random bytes. No two secrets may have the same number.
    pub(crate) fn new(secret: &LinkSecret) -> Key {
        // SHA-256 takes up to 64 bytes as they are: this is what `new_from_slice` does with 32, but can't fail
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(secret.secret) {
            *to = from;
        }
        let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
        mac.update(DOMAIN);
        Key { number: secret.number, mac }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.number)
    }
}

/// The link's token: ASCII letters, digits, `-` and `_`, at most [`TOKEN_BYTES_MAX`].
pub(crate) fn sign(key: &Key, claim: &Claim) -> String {
    let mut bytes = claim.written(key.number);
    let tag = key.mac.clone().chain_update(&bytes).finalize().into_bytes();
    bytes.extend_from_slice(&tag);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the token allows, if one of the keys signed it and it hasn't expired.
///
/// # Errors
/// See [`LinkError`].
pub(crate) fn verify(keys: &[Key], token: &str, now: SystemTime) -> Result<Claim, LinkError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(LinkError::Malformed);
    }
    // refuses padding, and bits left over that aren't 0
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| LinkError::Malformed)?;
    let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(LinkError::Malformed)?;
    let (number, claim) = head(signed).ok_or(LinkError::Malformed)?;
    let key = keys.iter().find(|key| key.number == number).ok_or(LinkError::Forged)?;
    // takes as long wherever the first difference is
    key.mac.clone().chain_update(signed).verify_slice(tag).map_err(|_| LinkError::Forged)?;
    let claim = Claim::read(claim).ok_or(LinkError::Malformed)?;
    let now = now.duration_since(UNIX_EPOCH).map_err(|_| LinkError::Expired)?;
    if now.as_millis() >= u128::from(claim.expires) {
        return Err(LinkError::Expired);
    }
    Ok(claim)
}

/// The number of the key, and what lies after it.
fn head(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let ([version], rest) = bytes.split_first_chunk()?;
    let (key, rest) = rest.split_first_chunk()?;
    (*version == VERSION).then_some((u32::from_be_bytes(*key), rest))
}

impl Claim {
    fn written(&self, key: u32) -> Vec<u8> {
        let (owner, scope, name) = (self.owner.as_str(), self.scope.as_str(), self.name.as_bytes());
        let mut bytes = Vec::with_capacity(BYTES_MAX);
        bytes.push(VERSION);
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&self.expires.to_be_bytes());
        bytes.extend_from_slice(&self.revision.unwrap_or_default().to_be_bytes());
        // their types keep these lengths in range
        bytes.extend_from_slice(&u16::try_from(owner.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(owner.as_bytes());
        bytes.push(u8::try_from(scope.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(scope.as_bytes());
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(name);
        bytes
    }

    /// From what lies after the head. None if it isn't, byte for byte, what would be written.
    fn read(bytes: &[u8]) -> Option<Claim> {
        let (expires, rest) = bytes.split_first_chunk()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (owner, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let ([length], rest) = rest.split_first_chunk()?;
        let (scope, rest) = rest.split_at_checked((*length).into())?;
        let (length, name) = rest.split_first_chunk()?;
        if name.len() != usize::from(u16::from_be_bytes(*length)) {
            return None;
        }
        let revision = u64::from_be_bytes(*revision);
        Some(Claim {
            owner: Owner::new(str::from_utf8(owner).ok()?).ok()?,
            scope: Scope::new(str::from_utf8(scope).ok()?).ok()?,
            name: Name::new(name).ok()?,
            expires: u64::from_be_bytes(*expires),
            revision: (revision > 0).then_some(revision),
        })
    }
}
