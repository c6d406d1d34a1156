//! A client's connection of HTTP/2, whose frames are counted in the bytes that go by on both ways. Where a client has
//! sent one too many, it reads no more, and says so: who serves the connection ends it.

use super::passes::passes_on;
use base::Clock;
use gateway_core::h2::frames::Frames;
use gateway_core::h2::glitches::{Glitches, Policy};
use pingora::protocols::Stream;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why there was one frame too many, once there was.
pub(super) type Excess = Arc<OnceLock<&'static str>>;

/// The connection, and how far both its ways are.
#[derive(Debug)]
pub(super) struct Framed {
    io: Stream,
    received: Frames,
    sent: Frames,
    glitches: Glitches,
    clock: Clock,
    excess: Excess,
}

impl Framed {
    /// From the first byte of the preface on.
    pub(super) fn watch(io: Stream, policy: Policy, clock: Clock) -> (Stream, Excess) {
        let excess = Excess::default();
        let framed = Self {
            io,
            received: Frames::of_client(),
            sent: Frames::of_server(),
            glitches: Glitches::new(policy),
            clock,
            excess: Arc::clone(&excess),
        };
        (Box::new(framed), excess)
    }

    fn has_sent(&mut self, bytes: &[u8]) {
        let Self { sent, glitches, .. } = self;
        let Ok(()) = sent.advance(bytes, |frame| {
            glitches.sent(frame);
            Ok::<(), std::convert::Infallible>(())
        });
    }
}

impl AsyncRead for Framed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, received, glitches, clock, excess, .. } = &mut *self;
        if excess.get().is_some() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(io).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let mut now = None;
        let told =
            received.advance(read, |frame| glitches.received(frame, *now.get_or_insert_with(|| clock.now())));
        if let Err(reason) = told {
            let _ = excess.set(reason);
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Framed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.has_sent(buf.get(..written).unwrap_or(buf));
        Poll::Ready(Ok(written))
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
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let part = buf.get(..left.min(buf.len())).unwrap_or_default();
            self.has_sent(part);
            left -= part.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

passes_on!(Framed);
