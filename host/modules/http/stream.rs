//! A connection as hyper wants it: between tokio's traits and hyper's, which are alike. What is read goes through a buffer
//! of its own, since to read into hyper's would be unsafe code.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once.
const READ_BYTES: usize = 16 << 10;

pub(crate) struct Stream<S> {
    inner: S,
    buffer: Box<[u8]>,
    /// What may still come.
    bytes_left: u64,
}

impl<S> Stream<S> {
    /// Who reads more than `bytes_max` gets an error of the kind [`TOO_MUCH`]. Without it there would be no end to what hyper
    /// skips: interim responses, or the zeros before a chunk's length.
    pub(crate) fn new(inner: S, bytes_max: u64) -> Stream<S> {
        Stream { inner, buffer: vec![0; READ_BYTES].into(), bytes_left: bytes_max }
    }
}

/// No socket has this error.
pub(crate) const TOO_MUCH: io::ErrorKind = io::ErrorKind::FileTooLarge;

impl<S: AsyncRead + Unpin> Read for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.bytes_left == 0 {
            return Poll::Ready(Err(TOO_MUCH.into()));
        }
        let most = usize::try_from(this.bytes_left).unwrap_or(usize::MAX);
        let bytes = to.remaining().min(this.buffer.len()).min(most);
        let mut read = ReadBuf::new(this.buffer.get_mut(..bytes).unwrap_or_default());
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
        this.bytes_left = this.bytes_left.saturating_sub(read.filled().len() as u64);
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
