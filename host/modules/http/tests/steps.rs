//! A server can't hold a thread: what it sends is read in steps, between which the call gives way, and counts as memory as it comes.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::rt::{Read as _, Write as _};
use serde::Deserialize as _;
use serde::de::value::{Error as ValueError, MapDeserializer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::super::client::By;
use super::super::deadline::Deadline;
use super::super::exchange::{Answer, Call, exchange};
use super::super::limits::{HEADERS_MAX, HttpLimits};
use super::super::prepare::Prepared;
use super::super::stream::{Counted, Received, Stream};
use super::super::target::Target;
use super::super::types::FailureKind::{Protocol, TooLarge};
use super::super::types::{Failure, Headers, Request};
use super::support::{LIMITS, Names, OPEN, Server, by, client, fails, me, ok, read_request};

/// What one poll may read: a step, and the read that goes beyond it.
const STEP: usize = 12 << 10;

/// A connection that is never waited for. It gives `at_once` bytes at a read, and takes all that is written.
struct Ready {
    bytes: Vec<u8>,
    at: usize,
    at_once: usize,
    /// So much is written to it before it gives anything.
    after: usize,
    /// Every second poll finds nothing to read.
    is_slow: bool,
    /// The last read of a slow server found something.
    has_read: bool,
    /// What was read and written.
    moved: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

impl Ready {
    fn new(bytes: Vec<u8>, at_once: usize) -> Ready {
        Ready {
            bytes,
            at: 0,
            at_once,
            after: 0,
            is_slow: false,
            has_read: false,
            moved: Arc::default(),
            reads: Arc::default(),
        }
    }
}

impl AsyncRead for Ready {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.after > 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.has_read = !this.has_read;
        if this.is_slow && !this.has_read {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bytes = to.remaining().min(this.at_once).min(this.bytes.len() - this.at);
        to.put_slice(&this.bytes[this.at..this.at + bytes]);
        this.at += bytes;
        this.moved.fetch_add(bytes, Ordering::Relaxed);
        this.reads.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ready {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.after = self.after.saturating_sub(bytes.len());
        self.moved.fetch_add(bytes.len(), Ordering::Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a call came to, what each poll moved and how often it read at most, and in how many polls it gave way.
struct Polled {
    answer: Result<Answer, Failure>,
    most: usize,
    most_reads: usize,
    gave_way: usize,
}

async fn polled(mut server: Ready, request: Request, limits: &HttpLimits) -> Polled {
    server.after = server.after.max(1); // no server answers before it is asked
    let by = by(me());
    let (prepared, target) = (Prepared::new(request, limits).unwrap(), Target::parse("http://x.test/").unwrap());
    let deadline = Deadline::new(Duration::from_secs(60));
    let call = Call { prepared: &prepared, limits, deadline: &deadline, by: &by };
    let received = Received::new(by.spent.clone(), limits);
    let (moved, reads) = (server.moved.clone(), server.reads.clone());
    let mut exchanged =
        pin!(received.in_steps(exchange(Counted::new(server, received.clone()), &target, &call, &received)));
    let (mut most, mut most_reads, mut gave_way) = (0, 0, 0);
    let answer = poll_fn(|context| {
        moved.store(0, Ordering::Relaxed);
        reads.store(0, Ordering::Relaxed);
        let polled = exchanged.as_mut().poll(context);
        most = most.max(moved.load(Ordering::Relaxed));
        most_reads = most_reads.max(reads.load(Ordering::Relaxed));
        gave_way += usize::from(by.spent.gave_way());
        polled
    })
    .await;
    Polled { answer, most, most_reads, gave_way }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// What is no body: zeros before a chunk's length, interim responses, a body in chunks of one byte.
fn around(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let zeros = format!("{CHUNKED}{}1\r\nx\r\n0\r\n\r\n", "0".repeat(bytes));
    let interim = "HTTP/1.1 100 \r\n\r\n".repeat(bytes / 17) + "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
    let pieces = format!("{CHUNKED}{}0\r\n\r\n", "1\r\nx\r\n".repeat(bytes / 6));
    [("zeros", zeros), ("interim", interim), ("pieces", pieces)].map(|(what, text)| (what, text.into_bytes())).into()
}

#[tokio::test]
async fn what_is_not_of_the_body_is_read_in_steps() {
    for (what, bytes) in around(100_000) {
        let server = Ready::new(bytes, usize::MAX);
        let Polled { answer, most, gave_way, .. } = polled(server, Request::default(), &LIMITS).await;
        assert!(answer.unwrap().body.starts_with(b"x"), "{what}");
        assert!(most <= STEP, "{what}: {most} bytes in one poll");
        // after the first reads, steps are half as long
        assert!(gave_way >= 100_000 / (STEP / 2) - 2, "{what}: gave way {gave_way} times");
    }
}

/// Far less than the largest body may come without one.
#[tokio::test]
async fn what_is_not_of_the_body_is_bounded_by_what_is() {
    let limits = HttpLimits { response_bytes: 1 << 20, ..LIMITS };
    for (what, bytes) in around(1_300_000) {
        let by = by(me());
        let server = Server::always(bytes).await;
        let got = client(&Names::new([])).fetch(&by, &server.url("/"), Request::default(), &limits, &|_| true).await;
        fails(got, TooLarge, "bytes that are not of the body, and that was no whole response");
        let fuel = by.spent.take_fuel();
        // 128 KiB, what was read beyond, and for pieces two bytes more for each of the body
        let most = if what == "pieces" { 240 << 10 } else { 144 << 10 };
        assert!(fuel < 2_000_000 + 600 * most, "{what}: {fuel}");
    }
    for count in [2_000, 40_000] {
        let piece = format!("18\r\n{}\r\n", "x".repeat(24));
        let whole = format!("{CHUNKED}{}0\r\n\r\n", piece.repeat(count)).into_bytes();
        let answer = polled(Ready::new(whole, usize::MAX), Request::default(), &limits).await.answer;
        assert_eq!(answer.unwrap().body.len(), 24 * count, "chunks of 24 bytes, whatever the length");
    }
}

/// The whole head is looked at again for each of these reads.
#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_read_in_steps() {
    let blank = "\r\n".repeat(4_000) + "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
    let polled = polled(Ready::new(blank.into_bytes(), 1), Request::default(), &LIMITS).await;
    assert_eq!(polled.answer.unwrap().body, b"x");
    assert!(polled.most_reads <= 16, "{} reads in one poll", polled.most_reads);
}

/// An honest body gives way as it did: each 128 KiB.
#[tokio::test]
async fn a_body_costs_no_more_turns_than_before() {
    for (at_once, is_slow) in [(usize::MAX, false), (1_448, false), (usize::MAX, true), (1_448, true)] {
        let server = Ready { is_slow, ..Ready::new(ok(&"x".repeat(960 << 10)), at_once) };
        let Polled { answer, gave_way, .. } = polled(server, Request::default(), &LIMITS).await;
        assert_eq!(answer.unwrap().body.len(), 960 << 10);
        assert!(gave_way <= 10, "{at_once} bytes at once, slow: {is_slow}: gave way {gave_way} times");
    }
}

#[tokio::test]
async fn a_request_is_written_in_steps() {
    let body = Some(vec![b'x'; 1 << 20]);
    let request = Request { method: Some("POST".to_owned()), body, ..Request::default() };
    let server = Ready { after: 1 << 20, ..Ready::new(ok(""), usize::MAX) };
    let Polled { answer, most, gave_way, .. } = polled(server, request, &LIMITS).await;
    answer.unwrap();
    assert!(most <= 192 << 10 && gave_way >= 5, "{most} bytes in one poll, gave way {gave_way} times");
}

/// Beneath TLS a record may be read at once, and no more of them.
#[tokio::test]
async fn a_connection_gives_a_step_in_each_poll() {
    let by = by(me());
    let received = Received::new(by.spent.clone(), &LIMITS);
    let mut server = Counted::new(Ready::new(vec![b'0'; 100_000], 4 << 10), received.clone());
    let mut steps = Vec::new();
    let mut reading = Box::pin(received.in_steps(poll_fn(|context| {
        let mut bytes = 0;
        let polled = loop {
            let mut space = [0; 4 << 10];
            let mut to = ReadBuf::new(&mut space);
            match Pin::new(&mut server).poll_read(context, &mut to) {
                Poll::Ready(Ok(())) if to.filled().is_empty() => break Poll::Ready(()),
                Poll::Ready(Ok(())) => bytes += to.filled().len(),
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => break Poll::Pending,
            }
        };
        // whoever polls again within the same poll, as a handshake does, gets no more
        let mut space = [0; 1];
        assert!(
            polled.is_ready() || Pin::new(&mut server).poll_read(context, &mut ReadBuf::new(&mut space)).is_pending()
        );
        steps.push(bytes);
        polled
    })));
    let mut context = Context::from_waker(Waker::noop());
    while reading.as_mut().poll(&mut context).is_pending() {
        assert!(by.spent.gave_way());
    }
    drop(reading);
    assert_eq!(steps, [20 << 10, 20 << 10, 20 << 10, 20 << 10, 100_000 - (80 << 10)]);
}

/// What hyper does beside reading waits too.
#[tokio::test]
async fn what_gave_way_moves_nothing_until_it_is_polled_again() {
    let by = by(me());
    let received = Received::new(by.spent.clone(), &LIMITS);
    let mut stream = Stream::new(Counted::new(Ready::new(vec![b'0'; 100_000], usize::MAX), received.clone()), received);
    let mut context = Context::from_waker(Waker::noop());
    let mut space = vec![0; 64 << 10];
    let mut to = hyper::rt::ReadBuf::new(&mut space);
    assert!(Pin::new(&mut stream).poll_read(&mut context, to.unfilled()).is_ready());
    assert_eq!(to.filled().len(), 8 << 10);
    assert!(!by.spent.gave_way());
    assert!(Pin::new(&mut stream).poll_read(&mut context, to.unfilled()).is_pending());
    assert!(Pin::new(&mut stream).poll_write(&mut context, b"x").is_pending());
    assert!(by.spent.gave_way());
}

/// A server that sends the first half of a body of `bytes`, and the rest when it is told to.
async fn halting(bytes: usize) -> (Server, mpsc::UnboundedSender<()>) {
    let (go_on, told) = mpsc::unbounded_channel();
    let told = Arc::new(tokio::sync::Mutex::new(told));
    let server = Server::raw(OPEN, move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            read_request(&mut stream).await;
            let whole = ok(&"x".repeat(bytes));
            let (first, second) = whole.split_at(whole.len() - bytes / 2);
            let _ = stream.write_all(first).await;
            told.lock().await.recv().await;
            let _ = stream.write_all(second).await;
        }
    })
    .await;
    (server, go_on)
}

#[tokio::test]
async fn m4_a_body_that_is_still_coming_is_memory_of_the_instance() {
    let (server, go_on) = halting(600_000).await;
    let by = By { memory_bytes: 1 << 20, ..by(me()) };
    let gauge = by.gauge.clone();
    let url = server.url("/");
    let call =
        tokio::spawn(
            async move { client(&Names::new([])).fetch(&by, &url, Request::default(), &LIMITS, &|_| true).await },
        );
    while gauge.held() < 300_000 + (64 << 10) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(gauge.held() < 600_000, "only what has come, and its growth: {}", gauge.held());
    go_on.send(()).unwrap();
    assert_eq!(call.await.unwrap().unwrap().body.len(), 600_000);
    assert_eq!(gauge.held(), 0);

    // given up, it is let go
    let (server, _go_on) = halting(600_000).await;
    let by = By { memory_bytes: 1 << 20, ..super::support::by(me()) };
    let (gauge, url) = (by.gauge.clone(), server.url("/"));
    let call =
        tokio::spawn(
            async move { client(&Names::new([])).fetch(&by, &url, Request::default(), &LIMITS, &|_| true).await },
        );
    while gauge.held() < 300_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(gauge.held(), 0);
}

#[tokio::test]
async fn m4_a_body_for_which_there_is_no_memory_is_a_failure() {
    let server = Server::always(ok(&"x".repeat(600_000))).await;
    let fetch = async |memory_bytes, held: u64| {
        let by = By { memory_bytes, ..by(me()) };
        by.gauge.hold(held);
        let got = client(&Names::new([])).fetch(&by, &server.url("/"), Request::default(), &LIMITS, &|_| true).await;
        assert_eq!(by.gauge.held(), held);
        got
    };
    assert_eq!(fetch(700_000, 0).await.unwrap().body.len(), 600_000);
    fails(fetch(600_000, 0).await, TooLarge, "over the limit memory_bytes of 600000");
    fails(fetch(1 << 20, 500_000).await, TooLarge, "over the limit memory_bytes of 1048576");
    fails(fetch(60_000, 0).await, TooLarge, "a response takes 65536 bytes more, over the limit memory_bytes of 60000");
    assert_eq!(server.connections(), 3, "without memory for a connection there is none");
}

#[test]
fn no_more_headers_are_kept_than_may_be() {
    let read = |count: usize| {
        let list = (0..count).map(|n| (format!("x{n}"), vec![1_u8]));
        Headers::deserialize(MapDeserializer::<_, ValueError>::new(list)).unwrap()
    };
    for count in [0, 1, HEADERS_MAX, HEADERS_MAX + 1, 60_000] {
        let headers = read(count);
        assert_eq!((headers.count, headers.kept.len()), (count, count.min(HEADERS_MAX)));
    }
    let got = Prepared::new(Request { headers: Some(read(60_000)), ..Request::default() }, &LIMITS);
    fails(got, TooLarge, "there are 60000 headers, and may be 100");
}

#[tokio::test]
async fn what_breaks_off_after_it_gave_way_is_told() {
    let zeros = format!("{CHUNKED}{}", "0".repeat(50_000)).into_bytes();
    let Polled { answer, gave_way, .. } = polled(Ready::new(zeros, usize::MAX), Request::default(), &LIMITS).await;
    fails(answer, Protocol, "closed the connection before the response was whole");
    assert!(gave_way >= 4, "{gave_way}");
}
