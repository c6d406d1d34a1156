//! One session: bytes in, bytes out, and what is between them in `gateway-core`.

use super::{PeerState, Stream, count};
use base_core::Time;
use gateway_core::peers::{Cluster, Control, Event, Fault, Frame, Incoming, Outgoing, Progress, With, frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

/// A connection on which both sides have said who they are.
pub(super) struct Accepted {
    pub(super) stream: Box<dyn Stream>,
    /// What came behind the hello.
    pub(super) rest: Vec<u8>,
    /// It understands timed messages.
    pub(super) timed: bool,
    /// It is another Headgate.
    pub(super) headgate: bool,
}

/// A session at work.
pub(super) struct Session {
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of the output has been written.
    written: usize,
    /// Bytes that have gone.
    sent: u64,
    incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

/// Something that a session did.
pub(super) enum Progressed {
    /// Bytes have come; there are whole frames to be read.
    Read,
    /// Bytes have gone.
    Wrote,
}

impl Session {
    pub(super) fn new(accepted: Accepted, cluster: &Cluster, with: With<'_>, progress: &Progress) -> Self {
        let (read, write) = tokio::io::split(accepted.stream);
        Self {
            read,
            write,
            input: accepted.rest,
            output: Vec::new(),
            written: 0,
            sent: 0,
            incoming: Incoming::default(),
            outgoing: Outgoing::new(cluster, with, progress, accepted.timed),
        }
    }

    /// The other side is a Headgate, too.
    pub(super) fn is_headgate(&mut self) {
        self.incoming.is_headgate();
    }

    /// Sends a message without a body.
    pub(super) fn send(&mut self, control: Control) {
        control.encode(&mut self.output);
    }

    /// Goes on with a lesson as long as there is room for it. True when it has ended.
    pub(super) fn teach(&mut self, cluster: &Cluster, now: Time) -> bool {
        while self.outgoing.is_teaching() && self.has_room() {
            if !self.outgoing.go_on_teaching(cluster, now, &mut self.output) {
                return true;
            }
        }
        false
    }

    /// Lines up what has changed, as long as there is room for it.
    pub(super) fn push(&mut self, cluster: &Cluster, now: Time) {
        while !self.outgoing.is_teaching()
            && self.has_room()
            && self.outgoing.push(cluster, now, AT_ONCE, &mut self.output)
        {}
    }

    /// Whether there is room in the output for more.
    pub(super) fn has_room(&self) -> bool {
        self.output.len() - self.written <= FULL
    }

    /// Reads or writes, whichever is possible first. Nothing is lost if it is dropped.
    pub(super) async fn go_on(&mut self) -> io::Result<Progressed> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Progressed>> {
        if self.written < self.output.len() {
            let pending = &self.output[self.written..];
            if let Poll::Ready(written) = Pin::new(&mut self.write).poll_write(context, pending) {
                let written = written?;
                self.written += written;
                self.sent += written as u64;
                if self.written == self.output.len() {
                    self.output.clear();
                    self.output.shrink_to(FULL);
                    self.written = 0;
                }
                return Poll::Ready(Ok(Progressed::Wrote));
            }
        } else if let Poll::Ready(Err(error)) = Pin::new(&mut self.write).poll_flush(context) {
            return Poll::Ready(Err(error));
        }
        // Who takes no answers is not listened to either; it then counts as silent.
        if self.output.len() - self.written > STUCK {
            return Poll::Pending;
        }
        let start = self.input.len();
        self.input.resize(start + READ, 0);
        let mut buffer = ReadBuf::new(&mut self.input[start..]);
        let polled = Pin::new(&mut self.read).poll_read(context, &mut buffer);
        let filled = buffer.filled().len();
        self.input.truncate(start + filled);
        match polled {
            Poll::Ready(Ok(())) if filled == 0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Progressed::Read)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes the frames that are whole; `event` gets what concerns the link.
    pub(super) fn take(
        &mut self,
        cluster: &Cluster,
        with: With<'_>,
        state: &PeerState,
        progress: &mut Progress,
        now: Time,
        mut event: impl FnMut(Event),
    ) -> Result<(), Fault> {
        let mut used = 0;
        let (updates, refused) = (self.incoming.updates, self.incoming.refused);
        let outcome = loop {
            let (frame, length) = match frame::take(&self.input[used..]) {
                Ok(Some(next)) => next,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            };
            let taken = match frame {
                Frame::Control(control) => {
                    event(Event::Control(control));
                    Ok(())
                }
                Frame::Define(body) => self.incoming.define(body, cluster, with, now).map(|is_run| {
                    if is_run {
                        event(Event::IsHeadgate);
                    }
                }),
                Frame::Switch(body) => {
                    self.incoming.switch(body);
                    Ok(())
                }
                Frame::Update(update, body) => {
                    self.incoming.update(update, body, cluster, with, progress, now)
                }
                Frame::Ack(body) => {
                    self.outgoing.acknowledged(body, progress);
                    Ok(())
                }
                Frame::Unknown => Ok(()),
            };
            if let Err(fault) = taken {
                break Err(fault);
            }
            used += length;
        };
        self.input.drain(..used);
        self.incoming.acknowledge(&mut self.output);
        if refused == 0 && self.incoming.refused > 0 {
            tracing::warn!(?with, "it names more tables than there can be: the rest is skipped");
        }
        count(&state.received, self.incoming.updates - updates);
        count(&state.sent, std::mem::take(&mut self.sent));
        outcome
    }
}

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Bytes of output beyond which nothing more is lined up.
const FULL: usize = 256 * 1024;
/// Bytes of output beyond which nothing more is read: what has been asked for is not taken.
const STUCK: usize = 1024 * 1024;
/// Entries of a table that are lined up at once.
const AT_ONCE: usize = 1024;
