//! Bytes both ways between a client and a server. Each side may end its half before the other
//! (RFC 9293 §3.6): the end goes through like a byte, and the other half goes on.
//!
//! What is read goes out from a buffer that the whole worker shares; only what the other side does not
//! take at once is kept, and nothing more is read before that has gone. So a connection that is silent
//! holds no buffer, and one whose reader is slow holds no more than [`CHUNK`] for each way.

use super::Traffic;
use base::Clock;
use gateway_core::record::Termination;
use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

/// How long nothing may go through, and what it is called when that was too long.
pub(super) struct Patience {
    /// While both sides go on.
    pub(super) both: (Duration, Termination),
    /// When only the client has not ended (HAProxy manual, "timeout client-fin").
    pub(super) client: (Duration, Termination),
    /// When only the server has not ended (HAProxy manual, "timeout server-fin").
    pub(super) server: (Duration, Termination),
}

/// Goes on until both sides have ended, one breaks off, or nothing has gone through for too long.
pub(super) async fn relay<C, S>(
    client: &mut C,
    server: &mut S,
    patience: Patience,
    clock: &Clock,
    traffic: &mut Traffic,
) -> Termination
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Way::default(), Way::default());
    let mut last = clock.now();
    let mut allowed = patience.both;
    let mut silence = std::pin::pin!(sleep(allowed.0));
    std::future::poll_fn(|cx| {
        let before = up.passed + down.passed;
        let ended = both(&mut up, &mut down, cx, client, server);
        if up.passed + down.passed != before {
            last = clock.now();
            (traffic.to_server, traffic.to_client) = (up.passed, down.passed);
        }
        if ended.is_ready() {
            return ended;
        }
        let now_allowed = patience.after(&up, &down);
        if now_allowed != allowed {
            (allowed, last) = (now_allowed, clock.now());
            silence.set(sleep(allowed.0));
        }
        // Set anew only when it has run out: that is rarer than bytes are.
        while silence.as_mut().poll(cx).is_ready() {
            let waited = clock.now() - last;
            if waited >= allowed.0 {
                return Poll::Ready(allowed.1);
            }
            silence.set(sleep(allowed.0 - waited));
        }
        Poll::Pending
    })
    .await
}

impl Patience {
    /// What holds when one way has ended, or none.
    fn after(&self, up: &Way, down: &Way) -> (Duration, Termination) {
        match (up.ended.is_some(), down.ended.is_some()) {
            (true, false) => self.server,
            (false, true) => self.client,
            _ => self.both,
        }
    }
}

fn both<C, S>(
    up: &mut Way,
    down: &mut Way,
    cx: &mut Context<'_>,
    client: &mut C,
    server: &mut S,
) -> Poll<Termination>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let to_server = up.pass(cx, client, server);
    if let Poll::Ready(Err(Fault::Reader)) = to_server {
        return Poll::Ready(Termination::ClientInData);
    }
    // A server that takes nothing more may have said its last word before.
    match (down.pass(cx, server, client), to_server) {
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Termination::Normal),
        (Poll::Ready(Ok(())), Poll::Ready(Err(_))) | (Poll::Ready(Err(Fault::Reader)), _) => {
            Poll::Ready(Termination::ServerInData)
        }
        (Poll::Ready(Err(Fault::Writer)), _) => Poll::Ready(Termination::ClientInData),
        (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
    }
}

/// One of the two ways.
#[derive(Default)]
struct Way {
    /// What was read and not taken yet, from `taken` on.
    held: Vec<u8>,
    taken: usize,
    /// Bytes that the writer's side may still hold back.
    unflushed: bool,
    /// Whether the reader has ended.
    read_all: bool,
    /// How the way has ended, once it has.
    ended: Option<Result<(), Fault>>,
    passed: u64,
}

/// Which side broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Reader,
    Writer,
}

impl Way {
    /// Passes on what there is, and in the end the end. The same from then on.
    fn pass<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.ended.is_none() {
            self.ended = Some(ready!(self.advance(cx, reader, writer)));
        }
        self.ended.map_or(Poll::Pending, Poll::Ready)
    }

    fn advance<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while let Some(rest) = self.held.get(self.taken..).filter(|rest| !rest.is_empty()) {
                match ready!(Pin::new(&mut *writer).poll_write(cx, rest)) {
                    Ok(written @ 1..) => self.wrote(written),
                    Ok(0) | Err(_) => return Poll::Ready(Err(Fault::Writer)),
                }
            }
            (self.held, self.taken) = (Vec::new(), 0);
            if self.read_all {
                let shut = ready!(Pin::new(&mut *writer).poll_shutdown(cx));
                return Poll::Ready(shut.map_err(|_| Fault::Writer));
            }
            match self.read(cx, reader, writer) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => {
                    if self.unflushed && ready!(Pin::new(&mut *writer).poll_flush(cx)).is_err() {
                        return Poll::Ready(Err(Fault::Writer));
                    }
                    self.unflushed = false;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Reads once, and writes what came as far as it is taken.
    fn read<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        CHUNK_OF_WORKER.with_borrow_mut(|chunk| {
            let mut buffer = ReadBuf::new(chunk);
            if ready!(Pin::new(reader).poll_read(cx, &mut buffer)).is_err() {
                return Poll::Ready(Err(Fault::Reader));
            }
            let mut bytes = buffer.filled();
            self.read_all = bytes.is_empty();
            while !bytes.is_empty() {
                match Pin::new(&mut *writer).poll_write(cx, bytes) {
                    Poll::Ready(Ok(written @ 1..)) => {
                        self.passed += written as u64;
                        self.unflushed = true;
                        bytes = bytes.get(written..).unwrap_or_default();
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::Writer)),
                    Poll::Pending => {
                        self.held = bytes.to_vec();
                        break;
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    fn wrote(&mut self, written: usize) {
        self.passed += written as u64;
        self.taken += written;
        self.unflushed = true;
    }
}

thread_local! {
    static CHUNK_OF_WORKER: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
}

/// Bytes that are read at once: few system calls for a large transfer, and little where a reader is slow.
const CHUNK: usize = 32 * 1024;

#[cfg(test)]
mod tests;
