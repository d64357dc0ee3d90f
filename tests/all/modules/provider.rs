//! Providers: wasm components as host modules, under limits of their own.

mod build;
mod bytes;
mod life;
mod limits;
mod sessions;
mod types;
mod wasi;

pub(crate) use life::CHILDREN;

use libtest_mimic::Trial;
use motu::{ErrorKind, Motu, ProviderLimits, TenantRef, Value};

use super::{ask, tenant};
use crate::support::builder;

pub(crate) fn trials() -> Vec<Trial> {
    let all = [bytes::trials(), life::trials(), limits::trials(), sessions::trials(), types::trials(), wasi::trials()];
    all.into_iter().flatten().collect()
}

/// Has the provider in C, under these limits, and nothing granted.
fn motu_with(limits: ProviderLimits) -> Motu {
    builder(crate::support::limits()).host_module(build::kinds_module(limits)).build().unwrap()
}

/// A tenant who may call all of the provider in C, whose event `go` gives what `body` returns.
fn caller(motu: &Motu, name: &str, body: &str) -> TenantRef {
    tenant(motu, name, &source(body), &["acme:kinds/*"])
}

fn source(body: &str) -> String {
    format!(
        "local kinds = require('@acme/kinds')\nreturn {{ go = function(given)\n{body}\nend, quick = function() return 1 end }}"
    )
}

/// What `body` returns, for a tenant of its own.
fn go(motu: &Motu, name: &str, body: &str) -> Value {
    ask(&caller(motu, name, body), "go", Value::Nil).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// The kind and the text of the error that `body` ends with.
fn fails(motu: &Motu, name: &str, body: &str) -> (ErrorKind, String) {
    match ask(&caller(motu, name, body), "go", Value::Nil) {
        Ok(value) => panic!("{body}: {value}"),
        Err(error) => (error.kind(), error.to_string()),
    }
}

/// A text, whole.
fn text(value: &Value) -> String {
    let Value::String(text) = value else { panic!("{value} is no text") };
    String::from_utf8(text.clone()).unwrap()
}
