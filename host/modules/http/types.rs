//! The records of `http.wit`, as Rust has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) method: Option<String>,
    pub(crate) headers: Option<BTreeMap<String, Vec<u8>>>,
    #[serde(default, with = "serde_bytes")]
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout: Option<f64>,
    pub(crate) redirects: Option<u32>,
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
