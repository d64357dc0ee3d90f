//! Redirects that are followed.

use super::super::limits::HttpLimits;
use super::super::types::FailureKind::{InvalidUrl, Protocol, TooManyRedirects};
use super::super::types::Request;
use super::support::{LIMITS, Names, OPEN, Server, by, client, fails, get, headers, me, ok, redirect, send};

#[tokio::test]
async fn a_redirect_is_followed_from_where_it_came() {
    let server = Server::start(OPEN, |request| match request {
        request if request.starts_with("GET /a/b ") => redirect(302, "c?d#e"),
        request if request.starts_with("GET /a/c?d ") => ok("there"),
        request => panic!("{request}"),
    })
    .await;
    let response = get(&server.url("/a/b")).await.unwrap();
    assert_eq!((response.body.as_slice(), response.url), (b"there".as_slice(), server.url("/a/c?d")));
}

#[tokio::test]
async fn a_post_is_sent_again_or_becomes_a_get() {
    for (status, expected) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let server = Server::start(OPEN, move |request| match request.contains(" /from ") {
            true => redirect(status, "/to"),
            false => ok(request),
        })
        .await;
        let request = Request {
            method: Some("POST".to_owned()),
            headers: headers(&[("content-type", "text/plain"), ("authorization", "secret")]),
            body: Some(b"the body".to_vec()),
            ..Request::default()
        };
        let response = send(&server.url("/from"), request, &LIMITS).await.unwrap();
        let sent = String::from_utf8(response.body).unwrap();
        let is_post = expected == "POST";
        assert!(sent.starts_with(&format!("{expected} /to ")), "{status}: {sent}");
        assert!(sent.contains("authorization: secret"), "{status}: {sent}");
        for part in ["content-type", "content-length", "the body"] {
            assert_eq!(sent.contains(part), is_post, "{status}: {part} in {sent}");
        }
    }
}

#[tokio::test]
async fn credentials_are_not_sent_to_another_origin() {
    let other = Server::start(OPEN, ok).await;
    let there = other.url("/");
    let server = Server::start(OPEN, move |_| redirect(307, &there)).await;
    let list = [("authorization", "secret"), ("cookie", "secret"), ("x-own", "kept")];
    let request = Request { headers: headers(&list), ..Request::default() };
    let response = send(&server.url("/"), request, &LIMITS).await.unwrap();
    let sent = String::from_utf8(response.body).unwrap();
    assert!(sent.contains("x-own: kept") && !sent.contains("secret"), "{sent}");
    assert!(sent.contains(&format!("host: {}\r\n", other.address)), "{sent}");
    assert!(server.requests()[0].contains("authorization: secret"));
}

#[tokio::test]
async fn so_many_redirects_are_followed_and_no_more() {
    // /3 leads to /2, to /1, to /0
    let server = Server::start(OPEN, |request| match request.as_bytes()[5] {
        b'0' => ok("end"),
        digit => redirect(302, &format!("/{}", char::from(digit - 1))),
    })
    .await;
    let limits = HttpLimits { redirects: 3, ..LIMITS };
    assert_eq!(send(&server.url("/3"), Request::default(), &limits).await.unwrap().body, b"end");
    fails(send(&server.url("/4"), Request::default(), &limits).await, TooManyRedirects, "more than 3 redirects");
    assert_eq!(server.connections(), 8);

    let request = |redirects| Request { redirects: Some(redirects), ..Request::default() };
    assert_eq!(send(&server.url("/2"), request(2), &limits).await.unwrap().body, b"end");
    fails(send(&server.url("/2"), request(1), &limits).await, TooManyRedirects, "more than 1 redirects");
    let response = send(&server.url("/2"), request(0), &limits).await.unwrap();
    assert_eq!((response.status, response.headers["location"].as_slice()), (302, b"/1".as_slice()));
    let none = HttpLimits { redirects: 0, ..LIMITS };
    assert_eq!(send(&server.url("/2"), Request::default(), &none).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = Server::always(redirect(301, "/")).await;
    fails(get(&server.url("/")).await, TooManyRedirects, "more than 10");
    assert_eq!(server.connections(), 11);
}

#[tokio::test]
async fn what_leads_nowhere_is_not_followed() {
    for status in [300, 304, 305, 306] {
        let server = Server::always(redirect(status, "/x")).await;
        assert_eq!(get(&server.url("/")).await.unwrap().status, status);
    }
    let server = Server::always("HTTP/1.1 302 Found\r\ncontent-length: 4\r\n\r\nbody").await;
    assert_eq!(get(&server.url("/")).await.unwrap().body, b"body");
    let server = Server::always("HTTP/1.1 302 Found\r\nlocation: /a\r\nlocation: /b\r\n\r\n").await;
    fails(get(&server.url("/")).await, Protocol, "two places at once");
    let server = Server::always(redirect(302, "http://")).await;
    fails(get(&server.url("/")).await, InvalidUrl, "redirect 1: ");
}

/// A path in Latin-1 is asked for byte by byte; in a host's name it stands for nothing.
#[tokio::test]
async fn c15_a_location_in_another_encoding_is_followed_as_it_is() {
    let server = Server::start(OPEN, |request| match request.starts_with("GET /from ") {
        true => b"HTTP/1.1 302 Found\r\nlocation: /caf\xe9?\xff\r\n\r\n".to_vec(),
        false => ok(request.lines().next().unwrap()),
    })
    .await;
    assert_eq!(get(&server.url("/from")).await.unwrap().body, b"GET /caf%E9?%FF HTTP/1.1");
    let server = Server::always(b"HTTP/1.1 302 Found\r\nlocation: http://caf\xe9.test/\r\n\r\n".as_slice()).await;
    fails(get(&server.url("/")).await, InvalidUrl, "redirect 1: ");
}

#[tokio::test]
async fn the_body_of_a_redirect_is_not_read() {
    let server = Server::start(OPEN, |request| match request.starts_with("GET /from ") {
        true => {
            b"HTTP/1.1 302 Found\r\nlocation: /to\r\ncontent-length: 1000000000\r\n\r\nbegins, and never ends".to_vec()
        }
        false => ok("there"),
    })
    .await;
    assert_eq!(get(&server.url("/from")).await.unwrap().body, b"there");
}

#[tokio::test]
async fn each_host_on_the_way_is_asked_for() {
    let server = Server::start(OPEN, |request| {
        let port = request.split(':').nth(2).and_then(|rest| rest.split('\r').next()).unwrap().to_owned();
        match request.starts_with("GET /from ") {
            true => redirect(302, &format!("//b.test:{port}/to")),
            false => ok("there"),
        }
    })
    .await;
    let names = Names::new([("a.test", vec![vec![OPEN]]), ("b.test", vec![vec![OPEN]])]);
    let asked = std::sync::Mutex::new(Vec::new());
    let may = |host: &str| {
        asked.lock().unwrap().push(host.to_owned());
        true
    };
    let url = format!("http://a.test:{}/from", server.address.port());
    client(&names).fetch(&by(me()), &url, Request::default(), &LIMITS, &may).await.unwrap();
    assert_eq!(asked.into_inner().unwrap(), ["a.test", "b.test"]);
}
