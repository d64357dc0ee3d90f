//! A request as scripts give it, checked, before anything is asked of the network.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use super::limits::{HEADERS_MAX, HttpLimits};
use super::types::{Failure, FailureKind, Headers, Request};
use crate::value::Shown;

/// The longest name of a method.
const METHOD_BYTES_MAX: usize = 32;

/// A timer can't be set for longer: a year.
const TIMEOUT_MS_MAX: u64 = 365 * 86_400_000;

/// Headers that say where a message ends, what the connection is or how it goes on: they are the host's to send. So is
/// everything that begins with `proxy-`.
const FORBIDDEN: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Meant for one server, and left out for another.
const CREDENTIALS: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// They describe a body, and go with it.
const OF_BODY: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION];

/// A request without its target.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) timeout: Duration,
    pub(crate) redirects: u32,
}

impl Prepared {
    pub(crate) fn new(request: Request, limits: &HttpLimits) -> Result<Prepared, Failure> {
        let method = method(request.method.as_deref().unwrap_or("GET"))?;
        let redirects = request.redirects.unwrap_or(limits.redirects);
        if redirects > limits.redirects {
            let most = limits.redirects;
            return Err(invalid(format!("{redirects} redirects are to be followed, and {most} may be")));
        }
        Ok(Prepared {
            body: body(&method, request.body, limits.request_bytes)?,
            method,
            headers: headers(request.headers.unwrap_or_default(), limits.header_bytes)?,
            timeout: timeout(request.timeout, limits.timeout_ms)?,
            redirects,
        })
    }

    /// The request that follows a redirect: without its body, as a GET, where browsers do so.
    pub(crate) fn redirect(&mut self, status: StatusCode, is_same_origin: bool) {
        let is_post = self.method == Method::POST;
        let becomes_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => is_post,
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            OF_BODY.iter().for_each(|name| drop(self.headers.remove(name)));
        }
        if !is_same_origin {
            CREDENTIALS.iter().for_each(|name| drop(self.headers.remove(name)));
        }
    }
}

fn method(name: &str) -> Result<Method, Failure> {
    let start: String = name.chars().take(METHOD_BYTES_MAX).collect();
    if name.len() > METHOD_BYTES_MAX {
        return Err(invalid(format!("the method {start}... is longer than {METHOD_BYTES_MAX} bytes")));
    }
    let name = name.to_ascii_uppercase();
    if matches!(name.as_str(), "CONNECT" | "TRACE" | "TRACK") {
        return Err(invalid(format!("the method {name} is not allowed")));
    }
    Method::from_bytes(name.as_bytes()).map_err(|_| invalid(format!("{start:?} is no method, such as GET or POST")))
}

/// A POST without a body still says that it has none.
fn body(method: &Method, body: Option<Vec<u8>>, bytes_max: u32) -> Result<Option<Bytes>, Failure> {
    let takes_none = matches!(*method, Method::GET | Method::HEAD);
    match body {
        Some(body) if body.len() > bytes_max as usize => {
            let message = format!("the body has {} bytes, and may have {bytes_max}", body.len());
            Err(Failure::new(FailureKind::TooLarge, message))
        }
        Some(body) if takes_none && body.is_empty() => Ok(None),
        Some(_) if takes_none => Err(invalid(format!("a {method} has no body: use POST"))),
        Some(body) => Ok(Some(body.into())),
        None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Ok(Some(Bytes::new())),
        None => Ok(None),
    }
}

fn headers(given: Headers, bytes_max: u32) -> Result<HeaderMap, Failure> {
    let large = |message| Err(Failure::new(FailureKind::TooLarge, message));
    if given.count > HEADERS_MAX {
        return large(format!("there are {} headers, and may be {HEADERS_MAX}", given.count));
    }
    let given = given.kept;
    let bytes = given.iter().map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(4));
    let bytes = bytes.fold(0, usize::saturating_add);
    if bytes > bytes_max as usize {
        return large(format!("the headers have {bytes} bytes, and may have {bytes_max}"));
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let start: String = name.chars().take(64).collect();
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(invalid(format!("{start:?} is no name of a header")));
        };
        if FORBIDDEN.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
            return Err(invalid(format!("the header {name} may not be set: it is the connection's own")));
        }
        let value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| {
            invalid(format!("the value of the header {name} has a line break or another control character"))
        })?;
        if headers.contains_key(&name) {
            return Err(invalid(format!("the header {name} is there twice, in upper and in lower case")));
        }
        headers.insert(name, value);
    }
    Ok(headers)
}

fn timeout(seconds: Option<f64>, most: u64) -> Result<Duration, Failure> {
    let most = Duration::from_millis(most.min(TIMEOUT_MS_MAX));
    let Some(seconds) = seconds else { return Ok(most) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if timeout.is_zero() => Err(invalid("a timeout of 0 seconds leaves no time")),
        Ok(timeout) if timeout > most => {
            Err(invalid(format!("the timeout is {} seconds, and may be {}", Shown(seconds), most.as_secs_f64())))
        }
        Ok(timeout) => Ok(timeout),
        Err(_) => Err(invalid(format!("{} is no timeout: give seconds, more than 0", Shown(seconds)))),
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::InvalidRequest, message)
}
