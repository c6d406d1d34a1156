//! A client's connection while a body of chunks comes in on it: each byte that is read is checked beside
//! the decoder, which is more lenient than the one behind the next server may be.

use super::passes::passes_on;
use gateway_core::strict::chunks::Chunks;
use pingora::protocols::Stream;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection, and how far its body is.
#[derive(Debug)]
pub(super) struct Chunked {
    io: Stream,
    chunks: Chunks,
}

impl Chunked {
    /// `chunks` has seen already what was read of the body together with its head.
    pub(super) fn watch(io: Stream, chunks: Chunks) -> Stream {
        Box::new(Self { io, chunks })
    }

    /// The connection itself, when the request is over.
    pub(super) fn unwrap(stream: Stream) -> Stream {
        if !stream.as_any().is::<Self>() {
            return stream;
        }
        match stream.into_any().downcast::<Self>() {
            Ok(chunked) => chunked.io,
            Err(_) => unreachable!("it was asked right before"),
        }
    }
}

impl AsyncRead for Chunked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let checked = self.chunks.advance(read);
        Poll::Ready(checked.map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason)))
    }
}

impl AsyncWrite for Chunked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

passes_on!(Chunked);
