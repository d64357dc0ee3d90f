//! The types of `codec.wit`, as Rust has them.

use serde::{Deserialize, Serialize};

/// A `list<u8>` that crosses as one string: a `Vec<u8>` crosses byte by byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bytes(#[serde(with = "serde_bytes")] pub(crate) Vec<u8>);

/// The record `base64-options`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base64Options {
    pub(crate) url_safe: Option<bool>,
    pub(crate) padding: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
    Sha1,
    Md5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Format {
    Gzip,
    Zlib,
    Deflate,
}

impl Format {
    /// As errors name data of this format.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Gzip => "gzip",
            Format::Zlib => "zlib",
            Format::Deflate => "deflate",
        }
    }
}
