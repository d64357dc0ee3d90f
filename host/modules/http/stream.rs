//! A connection: counted as it comes in, and as hyper wants it, between tokio's traits and hyper's, which are alike. What is read
//! goes through a buffer of its own, since to read into hyper's would be unsafe code.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once.
const READ_BYTES: usize = 16 << 10;

/// Fuel for a byte that came and is not of the body. Heads, interim responses, chunks, and what TLS puts around it: with all of it
/// in chunks of one byte, such a byte takes 65 ns.
const AROUND_FUEL: u64 = 600;

/// Fuel for a byte of the body, beside what it costs to cross.
const BODY_FUEL: u64 = 20;

/// What came over a connection.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<Bytes>);

#[derive(Default)]
struct Bytes {
    all: AtomicU64,
    body: AtomicU64,
}

impl Received {
    pub(crate) fn add_body(&self, bytes: usize) {
        self.0.body.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What it cost to read.
    pub(crate) fn fuel(&self) -> u64 {
        let (all, body) = (self.0.all.load(Ordering::Relaxed), self.0.body.load(Ordering::Relaxed));
        let around = all.saturating_sub(body);
        around.saturating_mul(AROUND_FUEL).saturating_add(body.saturating_mul(BODY_FUEL))
    }
}

/// A connection whose bytes are counted as they come, beneath TLS.
pub(crate) struct Counted<S> {
    inner: S,
    received: Received,
    bytes_max: u64,
}

impl<S> Counted<S> {
    /// Who reads when `bytes_max` have come gets an error of the kind [`TOO_MUCH`]. Without it there would be no end to what is
    /// skipped: interim responses, the zeros before a chunk's length, records of TLS with nothing in them.
    pub(crate) fn new(inner: S, received: Received, bytes_max: u64) -> Counted<S> {
        Counted { inner, received, bytes_max }
    }
}

/// No socket has this error.
pub(crate) const TOO_MUCH: io::ErrorKind = io::ErrorKind::FileTooLarge;

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let all = &this.received.0.all;
        if all.load(Ordering::Relaxed) >= this.bytes_max {
            return Poll::Ready(Err(TOO_MUCH.into()));
        }
        let before = to.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, to))?;
        all.fetch_add(to.filled().len().saturating_sub(before) as u64, Ordering::Relaxed);
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
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }
}

/// As hyper wants it.
pub(crate) struct Stream<S> {
    inner: S,
    buffer: Box<[u8]>,
}

impl<S> Stream<S> {
    pub(crate) fn new(inner: S) -> Stream<S> {
        Stream { inner, buffer: vec![0; READ_BYTES].into() }
    }
}

impl<S: AsyncRead + Unpin> Read for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let bytes = to.remaining().min(this.buffer.len());
        let mut read = ReadBuf::new(this.buffer.get_mut(..bytes).unwrap_or_default());
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
        to.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
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
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }
}
