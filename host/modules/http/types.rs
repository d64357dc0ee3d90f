//! The records of `http.wit`, as Rust has them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits::HEADERS_MAX;

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Request {
    pub(crate) method: Option<String>,
    pub(crate) headers: Option<Headers>,
    #[serde(default, with = "serde_bytes")]
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout: Option<f64>,
    pub(crate) redirects: Option<u32>,
}

/// The headers of a request. No more are kept than may be: to drop many would hold a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers {
    pub(crate) kept: BTreeMap<String, Vec<u8>>,
    /// How many there are.
    pub(crate) count: usize,
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Headers, D::Error> {
        struct Few;

        impl<'de> Visitor<'de> for Few {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::default();
                while headers.count < HEADERS_MAX {
                    let Some((name, value)) = map.next_entry()? else { return Ok(headers) };
                    headers.kept.insert(name, value);
                    headers.count += 1;
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    headers.count = headers.count.saturating_add(1);
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_map(Few)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
    pub(crate) set_cookie: Vec<Vec<u8>>,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
    pub(crate) url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    InvalidUrl,
    InvalidRequest,
    DeniedHost,
    DeniedAddress,
    Resolve,
    Connect,
    Tls,
    Timeout,
    TooLarge,
    TooManyRedirects,
    InsecureRedirect,
    Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }
}
