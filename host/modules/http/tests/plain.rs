//! What goes over the wire, and what comes back.

use std::collections::BTreeMap;

use super::super::types::FailureKind::{Connect, Resolve, Timeout};
use super::super::types::Request;
use super::support::{LIMITS, Names, OPEN, Server, by, client, client_with, fails, get, headers, me, ok, send};

#[tokio::test]
async fn a_get_says_no_more_than_it_must() {
    let server = Server::always(ok("hello")).await;
    let response = get(&server.url("/a/b?c=d#e")).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(response.url, server.url("/a/b?c=d"));
    let version = env!("CARGO_PKG_VERSION");
    let host = server.address;
    let expected = format!(
        "GET /a/b?c=d HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\naccept: */*\r\nuser-agent: motu/{version}\r\n\r\n"
    );
    assert_eq!(server.requests(), [expected]);
}

#[tokio::test]
async fn a_post_has_its_headers_and_its_body() {
    let server = Server::always(ok("")).await;
    let request = Request {
        method: Some("post".to_owned()),
        headers: headers(&[("Content-Type", "application/json"), ("User-Agent", "mine"), ("accept", "a, b")]),
        body: Some(b"{}".to_vec()),
        ..Request::default()
    };
    send(&server.url("/"), request, &LIMITS).await.unwrap();
    let sent = server.requests().concat();
    let lines =
        ["POST / HTTP/1.1\r\n", "content-type: application/json\r\n", "user-agent: mine\r\n", "accept: a, b\r\n"];
    for part in lines.into_iter().chain(["content-length: 2\r\n", "\r\n\r\n{}"]) {
        assert!(sent.contains(part), "{part} is not in {sent}");
    }
    assert_eq!(sent.matches("user-agent").count(), 1);

    send(&server.url("/"), Request { method: Some("POST".to_owned()), ..Request::default() }, &LIMITS).await.unwrap();
    assert!(server.requests()[1].contains("content-length: 0\r\n"));
}

#[tokio::test]
async fn headers_come_back_by_name() {
    let server = Server::always(
        "HTTP/1.1 404 Whatever\r\nContent-Type: text/plain\r\nX-Many: 1\r\nSet-Cookie: a=1, 2\r\nx-many: 2\r\n\
         X-Raw: \u{fc}\r\nSET-COOKIE: b\r\nX-Empty:\r\n\r\nbody",
    )
    .await;
    let response = get(&server.url("/")).await.unwrap();
    let expected: BTreeMap<_, _> =
        [("content-type", "text/plain"), ("x-many", "1, 2"), ("x-raw", "\u{fc}"), ("x-empty", "")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect();
    assert_eq!(response.headers, expected);
    assert_eq!(response.set_cookie, [b"a=1, 2".to_vec(), b"b".to_vec()]);
    assert_eq!((response.status, response.body.as_slice()), (404, b"body".as_slice()));
}

#[tokio::test]
async fn responses_end_as_http_says() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nx-late: 1\r\n\r\n", "abc"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.0 200 OK\r\n\r\nto the end", "to the end"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", "x"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc", "a"),
        ("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nraw", "raw"),
    ];
    for (bytes, body) in cases {
        let server = Server::always(bytes).await;
        let response = get(&server.url("/")).await.unwrap();
        assert_eq!(response.body, body.as_bytes(), "{bytes}");
        assert!(!response.headers.contains_key("x-late") && !response.headers.contains_key("link"));
    }
    let server = Server::always("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
    let head = Request { method: Some("HEAD".to_owned()), ..Request::default() };
    assert_eq!(send(&server.url("/"), head, &LIMITS).await.unwrap().body, b"");
}

#[tokio::test]
async fn each_request_has_a_connection_of_its_own() {
    let server = Server::always("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n").await;
    let client = client(&Names::new([]));
    for _ in 0..3 {
        client.fetch(&by(me()), &server.url("/"), Request::default(), &LIMITS, &|_| true).await.unwrap();
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_does_not_answer() {
    let server = Server::always(ok("second")).await;
    let names = Names::new([("two.test", vec![vec!["127.0.0.5", OPEN]])]);
    let url = format!("http://two.test:{}/", server.address.port());
    let client = client_with(&["127.0.0.0/28"], &names, Vec::new());
    let response = client.fetch(&by(me()), &url, Request::default(), &LIMITS, &|_| true).await.unwrap();
    assert_eq!(response.body, b"second");
    assert!(server.requests()[0].contains(&format!("host: two.test:{}\r\n", server.address.port())));
}

#[tokio::test]
async fn what_can_not_be_reached_says_so() {
    let address = std::net::TcpListener::bind((OPEN, 0)).unwrap().local_addr().unwrap(); // closed again
    let url = format!("http://{address}/");
    fails(get(&url).await, Connect, "127.0.0.2 can't be connected to");
    fails(get("http://nobody.test/").await, Resolve, "the address of nobody.test can't be looked up: no such name");
}

/// A resolver that never answers.
struct Silent;

impl super::super::resolve::Resolver for Silent {
    fn resolve(&self, lookup: super::super::resolve::Lookup) -> super::super::resolve::Resolving<'_> {
        Box::pin(async move {
            let _lookup = lookup;
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn looking_up_counts_as_time() {
    let settings = super::super::HttpSettings { resolver: std::sync::Arc::new(Silent), ..Default::default() };
    let client = super::super::client::Client::new(settings).unwrap();
    let request = Request { timeout: Some(0.05), ..Request::default() };
    let got = client.fetch(&by(me()), "http://slow.test/", request, &LIMITS, &|_| true).await;
    fails(got, Timeout, "it took longer than 0.05 seconds; the address of the host was waited for");
}

#[tokio::test]
async fn the_system_knows_this_machine() {
    use super::super::resolve::{Lookup, Resolver as _, SystemResolver};
    let place = crate::turns::Places::new(1, 1).enter(&me()).await;
    let found = SystemResolver.resolve(Lookup { host: "localhost".to_owned(), place }).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(std::net::IpAddr::is_loopback), "{found:?}");
    // and what it says is checked like any other answer
    let client = super::super::client::Client::new(super::super::HttpSettings::default()).unwrap();
    let got = client.fetch(&by(me()), "http://localhost/", Request::default(), &LIMITS, &|_| true).await;
    fails(got, super::super::types::FailureKind::DeniedAddress, "localhost may not be reached");
}
