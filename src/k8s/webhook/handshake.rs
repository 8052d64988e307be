//! Bounds what a client sends before its TLS handshake is complete. Until a handshake message is complete, rustls keeps
//! up to 64 KiB of it, so many connections that never complete one would occupy much memory (`connections`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes of a client's part of a handshake. One with post-quantum keys has about 2 KiB. rustls reads 4 KiB at a
/// time, so a request that follows at once does not reach the limit.
const MAX_HANDSHAKE: usize = 16 << 10;

/// A stream that fails when more has been read from it than a handshake has, until [`Bounded::lift`].
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    /// How many bytes may still be read; `None` after the handshake.
    left: Option<usize>,
}

impl<S> Bounded<S> {
    /// Wraps a stream whose handshake has not begun.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: Some(MAX_HANDSHAKE) }
    }

    /// Removes the limit: the handshake is complete.
    pub(super) fn lift(&mut self) {
        self.left = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(buffer.filled().len() - before);
            if *left == 0 {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}
