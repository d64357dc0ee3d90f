//! The HTTP server that a scenario's scripts fetch from: on loopback, with the same short answer for each request.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::Failure;

/// The network that scripts may reach beside the public internet while the server runs.
pub(super) const NETWORK: &str = "127.0.0.1";

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// The most bytes that a request's head may have, and the longest that a connection may take.
const HEAD_BYTES_MAX: usize = 64 << 10;
const CONNECTION_MAX: Duration = Duration::from_secs(30);

/// Starts the server on a free port and returns its URL. It runs until the runtime ends.
pub(super) async fn start() -> Result<String, Failure> {
    let no = |error| Failure::host(format!("no server could be started on loopback: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no)?;
    let address = listener.local_addr().map_err(no)?;
    drop(tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(tokio::time::timeout(CONNECTION_MAX, answer(stream)))),
                // too many files are open, for example: some will be closed
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }));
    Ok(format!("http://{address}"))
}

/// Answers one request. A client that goes away is its own business.
async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    if stream.write_all(ANSWER).await.is_ok() && stream.shutdown().await.is_ok() {
        // what the client still sends is read: a reset could overtake the answer
        let mut rest = [0; 1024];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    }
}
