//! Each limit of a response: so much works, one more doesn't.

use super::super::limits::HttpLimits;
use super::super::types::FailureKind::TooLarge;
use super::super::types::Request;
use super::support::{LIMITS, Server, fails, ok, send};

/// However a body ends, it may have so many bytes.
#[tokio::test]
async fn a_body_may_have_so_many_bytes() {
    let limits = HttpLimits { response_bytes: 5000, ..LIMITS };
    let chunked = |bytes: usize| {
        let chunks = "1\r\nx\r\n".repeat(bytes);
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").into_bytes()
    };
    let to_the_end = |bytes| format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(bytes)).into_bytes();
    let announced = |bytes| ok(&"x".repeat(bytes));
    let all: [&dyn Fn(usize) -> Vec<u8>; 3] = [&chunked, &to_the_end, &announced];
    for bytes in all {
        let server = Server::always(bytes(5000)).await;
        assert_eq!(send(&server.url("/"), Request::default(), &limits).await.unwrap().body.len(), 5000);
        let server = Server::always(bytes(5001)).await;
        fails(send(&server.url("/"), Request::default(), &limits).await, TooLarge, "larger than 5000 bytes");
    }
    let none = HttpLimits { response_bytes: 0, ..LIMITS };
    let server = Server::always(ok("")).await;
    assert!(send(&server.url("/"), Request::default(), &none).await.is_ok());
}

/// A large body takes many reads.
#[tokio::test]
async fn a_body_may_be_large() {
    let limits = HttpLimits { response_bytes: 9 << 20, ..LIMITS };
    let server = Server::always(ok(&"x".repeat(9 << 20))).await;
    assert_eq!(send(&server.url("/"), Request::default(), &limits).await.unwrap().body.len(), 9 << 20);
}

#[tokio::test]
async fn headers_may_have_so_many_bytes() {
    // from less than the smallest buffer of hyper's to the most that can be asked for
    for most in [64, 1000, 8192, 20_000, 65_535] {
        let limits = HttpLimits { header_bytes: most, ..LIMITS };
        let start = "HTTP/1.1 200 OK\r\na: ";
        let response = |bytes: u32| {
            let value = "x".repeat(bytes as usize - start.len() - 4);
            format!("{start}{value}\r\n\r\nbody{}", "y".repeat(1000)).into_bytes()
        };
        let server = Server::always(response(most)).await;
        let got = send(&server.url("/"), Request::default(), &limits).await.unwrap();
        assert_eq!(got.body.len(), 1004, "{most}");
        let server = Server::always(response(most + 1)).await;
        fails(
            send(&server.url("/"), Request::default(), &limits).await,
            TooLarge,
            &format!("larger than {most} bytes"),
        );
    }
    let all = HttpLimits { header_bytes: u32::MAX, ..LIMITS };
    let server = Server::always(format!("HTTP/1.1 200 OK\r\n{}: x\r\n\r\n", "a".repeat(70_000))).await;
    fails(send(&server.url("/"), Request::default(), &all).await, TooLarge, "larger than 65535 bytes");
}

#[tokio::test]
async fn there_may_be_so_many_headers() {
    let response = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count)).into_bytes();
    let server = Server::always(response(100)).await;
    assert!(send(&server.url("/"), Request::default(), &LIMITS).await.is_ok());
    let server = Server::always(response(101)).await;
    fails(send(&server.url("/"), Request::default(), &LIMITS).await, TooLarge, "more than 100");
}

#[tokio::test]
async fn a_large_request_arrives_whole() {
    let server = Server::start(super::support::OPEN, |request| ok(&request.len().to_string())).await;
    let request = Request { method: Some("PUT".to_owned()), body: Some(vec![b'x'; 1 << 20]), ..Request::default() };
    let response = send(&server.url("/"), request, &LIMITS).await.unwrap();
    let bytes: usize = String::from_utf8(response.body).unwrap().parse().unwrap();
    assert!(bytes > 1 << 20 && bytes < (1 << 20) + 500);
}
