//! One connection with a neighbor: bytes in, cut into messages, and bytes out, as far as it takes them.
//!
//! Both directions have fixed room. Input is one buffer that is reused; output holds what the session
//! machine wrote in one go, and the machine writes no routes while the link is blocked.

use bgp_core::wire::{self, MAX_MESSAGE, Notification};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

pub(crate) struct Link {
    stream: TcpStream,
    input: Box<[u8; INPUT]>,
    /// Messages up to here were taken.
    start: usize,
    /// Bytes up to here were read.
    filled: usize,
    output: Vec<u8>,
    /// The kernel refused bytes, and has not taken all of them since.
    blocked: bool,
}

/// What became of the bytes to be written.
pub(crate) enum Flushed {
    /// All are written.
    All,
    /// All are written, at last.
    Unblocked,
    /// The kernel takes no more for now.
    Blocked,
    /// Nor does it yet.
    StillBlocked,
}

impl Link {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, input: Box::new([0; INPUT]), start: 0, filled: 0, output: Vec::new(), blocked: false }
    }

    /// A connection that another process had, with what it had read and not yet written.
    pub(crate) fn resume(socket: OwnedFd, read: &[u8], output: Vec<u8>) -> io::Result<Self> {
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        let mut link = Self::new(TcpStream::from_std(stream)?);
        let room = link.input.get_mut(..read.len());
        room.ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(read);
        link.filled = read.len();
        link.blocked = !output.is_empty();
        link.output = output;
        Ok(link)
    }

    /// What another process goes on with: the connection, what was read of it and is no whole message, and what is still to
    /// be written.
    pub(crate) fn save(&self) -> io::Result<(OwnedFd, Vec<u8>, Vec<u8>)> {
        let read = self.input.get(self.start..self.filled).unwrap_or_default().to_vec();
        Ok((self.stream.as_fd().try_clone_to_owned()?, read, self.output.clone()))
    }

    /// Does the kernel refuse bytes for now?
    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Our address in the connection.
    pub(crate) fn local(&self) -> io::Result<IpAddr> {
        self.stream.local_addr().map(|address| address.ip().to_canonical())
    }

    /// Waits until there is something to read, or room for what waits to be written.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        let interest =
            if self.output.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        self.stream.ready(interest).await.map(drop)
    }

    /// Reads once, if there is something. `Ok(true)` if bytes came; an error also says that the end came.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        let Some(room) = self.input.get_mut(self.filled..).filter(|room| !room.is_empty()) else {
            return Ok(false);
        };
        match self.stream.try_read(room) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.filled += count;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next whole message that was read, or the answer to bytes that are none. `None`: read more.
    pub(crate) fn message(&mut self) -> Option<Result<&[u8], Notification>> {
        let framed = wire::frame(self.input.get(self.start..self.filled).unwrap_or_default());
        match framed {
            Ok(None) => {
                self.input.copy_within(self.start..self.filled, 0);
                self.filled -= self.start;
                self.start = 0;
                None
            }
            Ok(Some(length)) => {
                let message = self.start..self.start + length;
                self.start = message.end;
                Some(Ok(self.input.get(message).unwrap_or_default()))
            }
            Err(notification) => {
                self.start = self.filled;
                Some(Err(notification))
            }
        }
    }

    /// Takes bytes to be written by [`Link::flush`].
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Writes what the kernel takes, and says what became of it.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        let mut sent = 0;
        let outcome = loop {
            let rest = self.output.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(true);
            }
            match self.stream.try_write(rest) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        self.output.drain(..sent);
        let before = std::mem::replace(&mut self.blocked, !outcome?);
        Ok(match (before, self.blocked) {
            (false, false) => Flushed::All,
            (true, false) => Flushed::Unblocked,
            (false, true) => Flushed::Blocked,
            (true, true) => Flushed::StillBlocked,
        })
    }

    /// Says goodbye in a way that the last message is not lost: a close with unread data would be a reset,
    /// which throws away what the other side has not read yet.
    pub(crate) async fn close(mut self) {
        let farewell = async {
            self.stream.write_all(&self.output).await?;
            self.stream.shutdown().await?;
            while self.stream.read(&mut self.input[..]).await? > 0 {}
            io::Result::Ok(())
        };
        // A neighbor that does not take part in the goodbye is left to its fate.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

/// Room for several of the longest messages.
const INPUT: usize = 16 * MAX_MESSAGE;
/// How long a goodbye may take; the whole process has two seconds to end.
const FAREWELL: Duration = Duration::from_secs(1);
