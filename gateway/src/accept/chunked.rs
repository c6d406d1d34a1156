//! A client's connection while a body of chunks comes in on it: each byte that is read is checked beside
//! the decoder, which is more lenient than the one behind the next server may be.

use async_trait::async_trait;
use gateway_core::strict::chunks::Chunks;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
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

#[async_trait]
impl Shutdown for Chunked {
    async fn shutdown(&mut self) {
        self.io.shutdown().await;
    }
}

impl UniqueID for Chunked {
    fn id(&self) -> UniqueIDType {
        self.io.id()
    }
}

impl Ssl for Chunked {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ssl_digest()
    }
}

#[async_trait]
impl Peek for Chunked {}

impl GetTimingDigest for Chunked {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_timing_digest()
    }
}

impl GetProxyDigest for Chunked {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.io.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.io.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Chunked {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.io.set_socket_digest(digest);
    }
}
