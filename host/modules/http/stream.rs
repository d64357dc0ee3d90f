//! A connection: counted as it comes in, and as hyper wants it, between tokio's traits and hyper's, which are alike. What is read
//! goes through a buffer of its own, since to read into hyper's would be unsafe code.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits::{HEADER_BYTES_MAX, HttpLimits};
use crate::context::Spent;

/// The most bytes that hyper reads at once.
const READ_BYTES: usize = 8 << 10;

/// The most bytes that hyper reads at once while most of what the server sends is not body. Chunks of one byte take 65 ns a byte, so
/// 0.13 ms a read.
const READ_AROUND_BYTES: usize = 2 << 10;

/// Bytes that any response has outside its body, for its head and the handshake of TLS. They don't shorten reads.
const AROUND_USUAL_BYTES: u64 = 6 << 10;

/// The most bytes that are written at once.
const WRITE_BYTES: usize = 64 << 10;

/// A poll in which hyper has read so many bytes reads no more: the call gives way. With the last read a poll reads 12 KiB at most.
/// Of chunks of one byte, the slowest to read, it reads 6 KiB, in 0.4 ms.
const STEP_BYTES: u64 = 4 << 10;

/// Each read counts for so many bytes while no body has come: hyper may look through the whole head again, for 32 us.
const HEAD_READ_BYTES: u64 = 256;

/// So many bytes that are written count for one that is read: TLS takes 1 ns for each.
const WRITTEN_FOR_ONE: u64 = 32;

/// A poll in which so many bytes have come beneath TLS reads no more. It is more than a record of TLS has. The smallest records,
/// of 22 bytes, take less than 20 ns a byte.
const STEP_RECORD_BYTES: u64 = 20 << 10;

/// What TLS may have before there is a connection.
const CERTIFICATES_BYTES: u64 = 64 << 10;

/// Fuel for a byte that came and is not of the body. Heads, interim responses, chunks, and what TLS puts around it: with all of it
/// in chunks of one byte, such a byte takes 65 ns.
const AROUND_FUEL: u64 = 600;

/// Fuel for a byte of the body, beside what it costs to cross.
const BODY_FUEL: u64 = 20;

/// Counts what comes over a connection: for its limit, for what the call costs, and for when the call gives way.
#[derive(Clone)]
pub(crate) struct Received(Arc<Bytes>);

struct Bytes {
    spent: Arc<Spent>,
    /// What may come around any body, and around a long one.
    around_least: u64,
    around_most: u64,
    all: AtomicU64,
    body: AtomicU64,
    /// In this poll: what came, and what hyper has read.
    came: AtomicU64,
    read: AtomicU64,
}

impl Received {
    /// How much may come around the body of one response, headers included: what TLS puts there and certificates, interim
    /// responses, the lines of chunks. It is 64 KiB and four times the limit of the headers. Around a body that comes in small
    /// pieces it is two bytes more for each byte of the body, but no more than a quarter of the largest body: a body of any
    /// length may come in chunks of 24 bytes. With a record of TLS around each of those, 370 KiB may, under the default limits.
    pub(crate) fn new(spent: Arc<Spent>, limits: &HttpLimits) -> Received {
        let around_least = CERTIFICATES_BYTES + 4 * u64::from(limits.header_bytes.min(HEADER_BYTES_MAX));
        Received(Arc::new(Bytes {
            spent,
            around_least,
            around_most: around_least + u64::from(limits.response_bytes) / 4,
            all: AtomicU64::default(),
            body: AtomicU64::default(),
            came: AtomicU64::default(),
            read: AtomicU64::default(),
        }))
    }

    /// Does what reads from the connection, a step in each poll.
    pub(crate) async fn in_steps<T>(&self, reads: impl Future<Output = T>) -> T {
        let mut reads = pin!(reads);
        poll_fn(|context| {
            self.0.came.store(0, Ordering::Relaxed);
            self.0.read.store(0, Ordering::Relaxed);
            reads.as_mut().poll(context)
        })
        .await
    }

    /// Whether so much was done in this poll that the rest must wait for the next. The call gives way then: who polls it finds
    /// [`Spent::gave_way`] set.
    fn is_step_over(&self, context: &Context<'_>) -> bool {
        let Bytes { spent, came, read, .. } = &*self.0;
        let is_over = came.load(Ordering::Relaxed) >= STEP_RECORD_BYTES || read.load(Ordering::Relaxed) >= STEP_BYTES;
        if is_over {
            spent.gives_way_now(context);
        }
        is_over
    }

    /// What came that is not of the body.
    pub(crate) fn around(&self) -> u64 {
        self.0.all.load(Ordering::Relaxed).saturating_sub(self.0.body.load(Ordering::Relaxed))
    }

    /// Returns how many bytes the next read may have.
    fn most_at_once(&self) -> usize {
        let body = self.0.body.load(Ordering::Relaxed);
        if self.around() > body.saturating_add(AROUND_USUAL_BYTES) { READ_AROUND_BYTES } else { READ_BYTES }
    }

    fn is_too_much(&self) -> bool {
        let Bytes { around_least, around_most, body, .. } = &*self.0;
        self.around() >= around_least.saturating_add(2 * body.load(Ordering::Relaxed)).min(*around_most)
    }

    fn add(&self, bytes: usize) {
        self.0.all.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.came.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn add_read(&self, bytes: usize) {
        let is_head = self.0.body.load(Ordering::Relaxed) == 0;
        let work = bytes as u64 + if is_head { HEAD_READ_BYTES } else { 0 };
        self.0.read.fetch_add(work, Ordering::Relaxed);
    }

    fn add_written(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64 / WRITTEN_FOR_ONE, Ordering::Relaxed);
    }

    pub(crate) fn add_body(&self, bytes: usize) {
        self.0.body.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What it cost to read.
    pub(crate) fn fuel(&self) -> u64 {
        let body = self.0.body.load(Ordering::Relaxed);
        self.around().saturating_mul(AROUND_FUEL).saturating_add(body.saturating_mul(BODY_FUEL))
    }
}

/// A connection whose bytes are counted as they come, beneath TLS.
pub(crate) struct Counted<S> {
    inner: S,
    received: Received,
}

impl<S> Counted<S> {
    /// Who reads when too much has come around the body gets an error of the kind [`TOO_MUCH`]. Without it there would be no end
    /// to what is skipped: interim responses, the zeros before a chunk's length, records of TLS with nothing in them.
    pub(crate) fn new(inner: S, received: Received) -> Counted<S> {
        Counted { inner, received }
    }
}

/// No socket has this error.
pub(crate) const TOO_MUCH: io::ErrorKind = io::ErrorKind::FileTooLarge;

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.received.is_too_much() {
            return Poll::Ready(Err(TOO_MUCH.into()));
        }
        if this.received.is_step_over(cx) {
            return Poll::Pending;
        }
        let before = to.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, to))?;
        this.received.add(to.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    /// Tells the server nothing: the connection ends when this is dropped (`connect.rs` says how). Whoever tells first that it ends keeps
    /// the port.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }
}

/// As hyper wants it. What hyper does with it goes in steps.
pub(crate) struct Stream<S> {
    inner: S,
    received: Received,
    buffer: Box<[u8]>,
}

impl<S> Stream<S> {
    pub(crate) fn new(inner: S, received: Received) -> Stream<S> {
        Stream { inner, received, buffer: vec![0; READ_BYTES].into() }
    }
}

impl<S: AsyncRead + Unpin> Read for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.received.is_step_over(cx) {
            return Poll::Pending;
        }
        let bytes = to.remaining().min(this.received.most_at_once());
        let mut read = ReadBuf::new(this.buffer.get_mut(..bytes).unwrap_or_default());
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
        this.received.add_read(read.filled().len());
        to.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.received.is_step_over(cx) {
            return Poll::Pending;
        }
        let bytes = bytes.get(..WRITE_BYTES).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        this.received.add_written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).fold(0, usize::saturating_add);
        if bytes > WRITE_BYTES {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| &**slice));
        }
        let this = self.get_mut();
        if this.received.is_step_over(cx) {
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, slices))?;
        this.received.add_written(written);
        Poll::Ready(Ok(written))
    }
}
