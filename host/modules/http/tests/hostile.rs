//! Servers that mean harm: each call ends, and says why.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::super::limits::HttpLimits;
use super::super::types::FailureKind::{Protocol, Timeout, TooLarge};
use super::super::types::{Failure, Request, Response};
use super::support::{LIMITS, Names, OPEN, Server, by, client, fails, get, me, read_request, send};

/// A server that sends `first`, then `more` again and again until the client has had enough.
async fn endless(first: &'static str, more: &'static str, pause: Duration) -> Server {
    Server::raw(OPEN, move |mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        if stream.write_all(first.as_bytes()).await.is_err() {
            return;
        }
        let block = if pause.is_zero() { more.repeat(10_000 / more.len()) } else { more.to_owned() };
        while stream.write_all(block.as_bytes()).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    })
    .await
}

async fn briefly(server: &Server, seconds: f64) -> Result<Response, Failure> {
    let request = Request { timeout: Some(seconds), ..Request::default() };
    send(&server.url("/"), request, &LIMITS).await
}

#[tokio::test]
async fn what_never_ends_is_ended() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let cases = [
        ("", "HTTP/1.1 100 Continue\r\n\r\n", TooLarge, "and that was no whole response"),
        ("", "HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n", TooLarge, "and that was no whole response"),
        ("HTTP/1.1 200 ", "x", TooLarge, "headers"),
        (ok, "a: b\r\n", TooLarge, "headers"),
        (ok, "a", TooLarge, "headers"),
        ("HTTP/1.1 200 OK\r\na: ", "b", TooLarge, "headers"),
        ("HTTP/1.1 200 OK\r\n\r\n", "body", TooLarge, "body"),
        (chunked, "4\r\nbody\r\n", TooLarge, "body"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "x", Protocol, ""),
        (chunked, "0", TooLarge, "and that was no whole response"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", Protocol, ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n", "x", TooLarge, ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9999999999999999\r\n\r\n", "x", TooLarge, "body"),
    ];
    for (first, more, kind, part) in cases {
        let server = endless(first, more, Duration::ZERO).await;
        let limits = HttpLimits { response_bytes: 64 << 10, ..LIMITS };
        fails(send(&server.url("/"), Request::default(), &limits).await, kind, part);
    }
}

/// Whoever else reads such a response may take another part of it for the body.
#[tokio::test]
async fn c15_a_body_with_two_ends_or_in_another_coding_is_refused() {
    let body = "4\r\nbody\r\n0\r\n\r\n";
    for (headers, part) in [
        ("transfer-encoding: chunked\r\ncontent-length: 4", "both transfer-encoding and content-length"),
        ("content-length: 14\r\ntransfer-encoding: chunked", "both transfer-encoding and content-length"),
        ("transfer-encoding: gzip, chunked", "other transfer codings than chunked"),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", "other transfer codings than chunked"),
        ("transfer-encoding: gzip", "other transfer codings than chunked"),
        ("transfer-encoding: chunked, chunked", "other transfer codings than chunked"),
        ("content-length: 4\r\ncontent-length: 5", ""),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}");
        let server = Server::start(OPEN, move |_| answer.clone().into_bytes()).await;
        fails(get(&server.url("/")).await, Protocol, part);
    }
    let server = Server::start(OPEN, move |_| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n{body}").into_bytes()
    })
    .await;
    assert_eq!(get(&server.url("/")).await.unwrap().body, b"body");
}

/// What a request to this server costs: what came of it, and the fuel.
async fn costs(answer: Vec<u8>, limits: &HttpLimits) -> (Result<Response, Failure>, u64) {
    let server = Server::start(OPEN, move |_| answer.clone()).await;
    let (by, names) = (by(me()), Names::new([]));
    let got = client(&names).fetch(&by, &server.url("/"), Request::default(), limits, &|_| true).await;
    (got, by.spent.take_fuel())
}

/// Small pieces take a hundred times as long as their bytes do: whoever asked for them pays for that, and not much of it comes.
#[tokio::test]
async fn what_comes_in_small_pieces_costs_more() {
    let limits = HttpLimits { response_bytes: 1 << 20, ..LIMITS };
    let in_chunks = |count: usize, size: usize| {
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(count)).into_bytes()
    };
    let (got, whole) = costs(super::support::ok(&"x".repeat(1_000_000)), &limits).await;
    assert_eq!(got.unwrap().body.len(), 1_000_000);
    assert!((20_000_000..30_000_000).contains(&whole), "{whole}");

    let (got, pieces) = costs(in_chunks(30_000, 1), &limits).await;
    assert_eq!(got.unwrap().body.len(), 30_000);
    // five bytes around each
    assert!((90_000_000..100_000_000).contains(&pieces), "{pieces}");

    // twelve megabytes, if all of it could come
    let (got, most) = costs(in_chunks(1_000_000, 1), &limits).await;
    fails(got, TooLarge, "and that was no whole response");
    assert!(most < 1_000_000_000, "{most}");
    let (got, of_24) = costs(in_chunks(1_000_000 / 24, 24), &limits).await;
    assert!(got.is_ok() && of_24 < 250_000_000, "{of_24}");

    // interim responses, of which nothing is seen
    let mut interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(4_000).into_bytes();
    interim.extend(super::support::ok("end"));
    let (got, fuel) = costs(interim, &limits).await;
    assert_eq!(got.unwrap().body, b"end");
    assert!((60_000_000..70_000_000).contains(&fuel), "{fuel}");
}

#[tokio::test]
async fn each_connection_costs() {
    let server = Server::start(OPEN, |request| {
        let next = if request.starts_with("GET /3") {
            "/4"
        } else if request.starts_with("GET /2") {
            "/3"
        } else {
            "/2"
        };
        if request.starts_with("GET /4") { super::support::ok("") } else { super::support::redirect(302, next) }
    })
    .await;
    let names = Names::new([]);
    let cost = async |url: &str| {
        let (by, request) = (by(me()), Request { timeout: Some(0.3), ..Request::default() });
        let _ = client(&names).fetch(&by, url, request, &LIMITS, &|_| true).await;
        by.spent.take_fuel()
    };
    let (one, four) = (cost(&server.url("/4")).await, cost(&server.url("/1")).await);
    assert!((2_000_000..2_100_000).contains(&one), "{one}");
    assert!((8_000_000..8_400_000).contains(&four), "{four}");
    // however it is written; nobody answers with TLS there
    for url in [server.url("/4").replace("http:", "https:"), server.url("/4").replace("http:", "HTTPS:")] {
        let secure = cost(&url).await;
        assert!(secure >= 14_000_000, "{url}: {secure}");
    }
    assert_eq!(cost("no url").await, 0);
}

#[tokio::test]
async fn what_drips_runs_out_of_time() {
    let cases = [
        ("", "", "the response was"),
        ("HTTP/1.1 200 OK\r\n", "", "the response was"),
        ("HTTP/1.1 200 OK\r\na: ", "b", "the response was"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "", "the response was"),
        ("HTTP/1.1 200 OK\r\n\r\n", "", "the response's body was"),
        ("HTTP/1.1 200 OK\r\n\r\n", "x", "the response's body was"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx", "", "the response's body was"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n", "the response's body was"),
    ];
    let drip = |(first, more, part)| async move {
        let server = endless(first, more, Duration::from_millis(5)).await;
        (briefly(&server, 1.0).await, part)
    };
    let calls: Vec<_> = cases.into_iter().map(drip).map(tokio::spawn).collect(); // all at once: each takes its second
    for call in calls {
        let (got, part) = call.await.unwrap();
        fails(got, Timeout, part);
    }
}

/// The time is that of the whole call.
#[tokio::test]
async fn redirects_have_no_time_of_their_own() {
    let server = Server::raw(OPEN, |mut stream: TcpStream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let _ = stream.write_all(&super::support::redirect(302, "/")).await;
    })
    .await;
    fails(briefly(&server, 0.2).await, Timeout, "");
    assert!(server.connections() < 5);
}

/// A server that doesn't read what it is sent.
#[tokio::test]
async fn a_request_that_is_not_taken_runs_out_of_time() {
    let server = Server::raw(OPEN, |stream: TcpStream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let limits = HttpLimits { request_bytes: 64 << 20, ..LIMITS };
    let request = Request {
        method: Some("POST".to_owned()),
        body: Some(vec![0; 64 << 20]),
        timeout: Some(0.3),
        ..Request::default()
    };
    fails(send(&server.url("/"), request, &limits).await, Timeout, "");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "no HTTP/1"),
        (b"220 mail.test ESMTP\r\n", "no HTTP/1"),
        (b"<html>", "no HTTP/1"),
        (b"\0\0\0\0\0\0", "no HTTP/1"),
        (b"\x16\x03\x01\x02\x00", "no HTTP/1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "no HTTP/1"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "no HTTP/1"),
        (b"HTTP/0.9 200 OK\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 99 Low\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 -20 OK\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "no HTTP/1"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "before the response was whole"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "the connection broke"),
        (b"HTTP/1.1 200 OK\r\ncontent-len", "closed the connection"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed the connection"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "another protocol"),
    ];
    for (bytes, part) in cases {
        let server = Server::always(*bytes).await;
        let got = get(&server.url("/")).await;
        fails(got, Protocol, part);
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_closes_its_connection() {
    let (told, mut closed) = mpsc::unbounded_channel();
    let (came, mut started) = mpsc::unbounded_channel();
    let server = Server::raw(OPEN, move |mut stream: TcpStream| {
        let (told, came) = (told.clone(), came.clone());
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbegins").await.unwrap();
            came.send(()).unwrap();
            let ended = stream.read(&mut [0; 1]).await;
            told.send(matches!(ended, Ok(0) | Err(_))).unwrap();
        }
    })
    .await;
    let url = server.url("/");
    let call = tokio::spawn(async move { get(&url).await });
    started.recv().await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert!(closed.recv().await.unwrap());
}

/// The same after a failure: nobody goes on reading.
#[tokio::test]
async fn a_call_that_failed_closes_its_connection() {
    let (told, mut closed) = mpsc::unbounded_channel();
    let server = Server::raw(OPEN, move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n").await.unwrap();
            while stream.read(&mut [0; 1]).await.is_ok_and(|bytes| bytes > 0) {}
            told.send(()).unwrap();
        }
    })
    .await;
    fails(get(&server.url("/")).await, TooLarge, "body");
    closed.recv().await.unwrap();
}
