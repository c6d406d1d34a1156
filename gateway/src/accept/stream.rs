//! A client's connection whose small writes go out together: the head of an answer and the start of
//! its body are one segment and one system call. A client that takes nothing of what is written loses it.

use super::socket::Accepted;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The connection. What it holds back goes out with a flush, or when it no longer fits.
#[derive(Debug)]
pub(crate) struct Buffered {
    io: BufWriter<Accepted>,
    /// Longest that the client may take nothing.
    patience: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What was read too much, and comes first again.
    unread: Bytes,
    /// Whether nothing goes out any more, not even its end.
    vanished: Arc<AtomicBool>,
    /// What the stages of a request find here.
    shared: Option<Arc<ProxyDigest>>,
    socket: Option<Arc<SocketDigest>>,
}

impl Buffered {
    pub(crate) fn new(io: Accepted, patience: Duration) -> Self {
        let vanished = Arc::default();
        let io = BufWriter::with_capacity(SEGMENT, io);
        Self { io, patience, stalled: None, unread: Bytes::new(), vanished, shared: None, socket: None }
    }

    /// Set it to have nothing go out any more.
    pub(crate) fn vanished(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.vanished)
    }

    fn has_vanished(&self) -> bool {
        self.vanished.load(Ordering::Relaxed)
    }

    /// Whether something of what the client has sent waits here.
    pub(crate) fn holds_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Gives back what was read too much.
    pub(crate) fn unread(&mut self, bytes: BytesMut) {
        self.unread = bytes.freeze();
    }

    /// What a write came to, or an error if the client has taken nothing for too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Buffered {
    /// An answer that breaks off may leave its head behind: it goes out as far as the socket takes it at
    /// once, so that the client sees the answer begin that the log tells of.
    fn drop(&mut self) {
        if !self.has_vanished() {
            let _ = Pin::new(&mut self.io).poll_flush(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl AsyncRead for Buffered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let length = buf.remaining().min(self.unread.len());
            let first = self.unread.split_to(length);
            buf.put_slice(&first);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_vanished() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.in_time(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.in_time(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_vanished() {
            return Poll::Ready(Ok(()));
        }
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.in_time(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_vanished() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Buffered {
    async fn shutdown(&mut self) {
        // The client may be gone; there is nobody to tell.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut self.io).await;
    }
}

impl UniqueID for Buffered {
    fn id(&self) -> UniqueIDType {
        self.io.get_ref().as_raw_fd()
    }
}

impl Ssl for Buffered {}

#[async_trait]
impl Peek for Buffered {}

impl GetTimingDigest for Buffered {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Nobody asks: timers of requests are our own.
        Vec::new()
    }
}

impl GetProxyDigest for Buffered {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.shared.clone()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.shared = Some(Arc::new(digest));
    }
}

impl GetSocketDigest for Buffered {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.socket.clone()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.socket = Some(Arc::new(digest));
    }
}

/// What fits one segment on an Ethernet.
const SEGMENT: usize = 1460;
