//! What scripts ask for, before anything is sent.

use hyper::StatusCode;
use hyper::header::HeaderName;
use proptest::prelude::*;

use super::super::limits::HttpLimits;
use super::super::prepare::Prepared;
use super::super::types::FailureKind::{InvalidRequest, TooLarge};
use super::super::types::{Headers, Request};
use super::support::{LIMITS, fails, headers};

fn method(method: &str) -> Request {
    Request { method: Some(method.to_owned()), ..Request::default() }
}

fn header(name: &str, value: &str) -> Request {
    Request { headers: headers(&[(name, value)]), ..Request::default() }
}

fn timeout(seconds: f64) -> Request {
    Request { timeout: Some(seconds), ..Request::default() }
}

#[test]
fn what_is_not_allowed_says_why() {
    let cases = [
        (method(""), "is no method"),
        (method("G ET"), "is no method"),
        (method("GET / HTTP/1.1\r\nhost: evil"), "is no method"),
        (method("connect"), "CONNECT is not allowed"),
        (method("TRACE"), "TRACE is not allowed"),
        (method(&"A".repeat(33)), "longer than 32 bytes"),
        (Request { body: Some(vec![1]), ..method("GET") }, "a GET has no body"),
        (Request { body: Some(vec![1]), ..method("head") }, "a HEAD has no body"),
        (header("", "x"), "\"\" is no name"),
        (header("a b", "x"), "is no name"),
        (header("a:b", "x"), "is no name"),
        (header("a\r\nb", "x"), "is no name"),
        (header("m\u{fc}ll", "x"), "is no name"),
        (header("a", "x\r\nb: y"), "value of the header a has a line break"),
        (header("a", "x\ny"), "line break"),
        (header("a", "x\0y"), "control character"),
        (header("Host", "evil.test"), "the header host may not be set"),
        (header("Content-Length", "1"), "may not be set"),
        (header("transfer-encoding", "chunked"), "may not be set"),
        (header("CONNECTION", "upgrade"), "may not be set"),
        (header("keep-alive", "1"), "may not be set"),
        (header("upgrade", "websocket"), "may not be set"),
        (header("http2-settings", "x"), "may not be set"),
        (header("te", "trailers"), "may not be set"),
        (header("trailer", "x"), "may not be set"),
        (header("expect", "100-continue"), "may not be set"),
        (header("via", "x"), "may not be set"),
        (header("Proxy-Authorization", "x"), "may not be set"),
        (header("proxy-connection", "x"), "may not be set"),
        (
            Request { headers: headers(&[("Accept", "a"), ("accept", "b")]), ..Request::default() },
            "accept is there twice",
        ),
        (timeout(0.0), "no time"),
        (timeout(1e-12), "no time"),
        (timeout(-1.0), "-1 is no timeout"),
        (timeout(f64::NAN), "NaN is no timeout"),
        (timeout(f64::INFINITY), "inf is no timeout"),
        (timeout(1e300), "is no timeout"),
        (timeout(20.1), "20.1 seconds, and may be 20"),
        (Request { redirects: Some(11), ..Request::default() }, "11 redirects are to be followed, and 10 may be"),
    ];
    for (request, part) in cases {
        fails(Prepared::new(request, &LIMITS), InvalidRequest, part);
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = HttpLimits { request_bytes: 3, header_bytes: 12, ..LIMITS };
    let body = |bytes| Prepared::new(Request { body: Some(vec![0; bytes]), ..method("POST") }, &limits);
    assert_eq!(body(3).unwrap().body.unwrap().len(), 3);
    fails(body(4), TooLarge, "the body has 4 bytes, and may have 3");
    assert!(Prepared::new(header("name", "1234"), &limits).is_ok());
    fails(Prepared::new(header("name", "12345"), &limits), TooLarge, "the headers have 13 bytes, and may have 12");
    let many = |count: usize| {
        let list: Vec<_> = (0..count).map(|index| (format!("x{index}"), Vec::new())).collect();
        let headers = Headers { kept: list.into_iter().collect(), count };
        Prepared::new(Request { headers: Some(headers), ..Request::default() }, &LIMITS)
    };
    assert_eq!(many(100).unwrap().headers.len(), 100);
    fails(many(101), TooLarge, "101 headers");
    assert!(Prepared::new(timeout(20.0), &LIMITS).is_ok());
    assert!(Prepared::new(Request { redirects: Some(10), ..Request::default() }, &LIMITS).is_ok());
    assert!(Prepared::new(Request::default(), &HttpLimits { timeout_ms: u64::MAX, ..LIMITS }).is_ok());
}

#[test]
fn a_body_is_announced_where_one_is_expected() {
    let body = |request| Prepared::new(request, &LIMITS).unwrap().body.map(|body| body.len());
    assert_eq!(body(method("post")), Some(0));
    assert_eq!(body(method("PUT")), Some(0));
    assert_eq!(body(method("delete")), None);
    assert_eq!(body(Request { body: Some(vec![]), ..method("GET") }), None);
    assert_eq!(body(Request { body: Some(vec![1]), ..method("DELETE") }), Some(1));
}

#[test]
fn redirects_change_requests_as_browsers_do() {
    let changed = |name: &str, status: u16| {
        let headers = headers(&[("content-type", "x"), ("authorization", "y"), ("cookie", "z"), ("x-own", "w")]);
        let body = (name == "POST" || name == "PUT").then(|| vec![1]);
        let request = Request { headers, body, ..method(name) };
        let mut prepared = Prepared::new(request, &LIMITS).unwrap();
        prepared.redirect(StatusCode::from_u16(status).unwrap(), true);
        format!("{} {} {}", prepared.method, prepared.body.is_some(), prepared.headers.len())
    };
    for status in [301, 302] {
        assert_eq!(changed("POST", status), "GET false 3");
        assert_eq!(changed("PUT", status), "PUT true 4");
        assert_eq!(changed("HEAD", status), "HEAD false 4");
    }
    assert_eq!(changed("POST", 303), "GET false 3");
    assert_eq!(changed("PUT", 303), "GET false 3");
    assert_eq!(changed("HEAD", 303), "HEAD false 4");
    for status in [307, 308] {
        assert_eq!(changed("POST", status), "POST true 4");
    }
}

#[test]
fn credentials_stay_with_their_origin() {
    let list = [("Authorization", "a"), ("COOKIE", "b"), ("x-own", "c"), ("content-type", "d")];
    let mut prepared = Prepared::new(Request { headers: headers(&list), ..Request::default() }, &LIMITS).unwrap();
    prepared.redirect(StatusCode::TEMPORARY_REDIRECT, true);
    assert_eq!(prepared.headers.len(), 4);
    prepared.redirect(StatusCode::TEMPORARY_REDIRECT, false);
    let mut left: Vec<_> = prepared.headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-type", "x-own"]);
}

proptest! {
    #[test]
    fn no_header_breaks_out_of_its_line(name in ".{0,16}", value in prop::collection::vec(any::<u8>(), 0..32)) {
        let request = Request { headers: Some(Headers { kept: [(name, value)].into(), count: 1 }), ..Request::default() };
        if let Ok(prepared) = Prepared::new(request, &LIMITS) {
            for (name, value) in &prepared.headers {
                prop_assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
                prop_assert!(value.as_bytes().iter().all(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
    }
}
