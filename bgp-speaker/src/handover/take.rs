//! The side that takes over.

use super::{Answer, Hello, Paths, Record, VERSION, channel};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The connection with the process that is taken over from.
pub(crate) struct Taking(UnixStream);

/// Listeners of the old process, by name.
#[derive(Default)]
pub(crate) struct Inherited(BTreeMap<String, OwnedFd>);

impl Inherited {
    /// The listener of this name, if the old process had it.
    pub(crate) fn take(&mut self, name: &str) -> Option<OwnedFd> {
        self.0.remove(name)
    }
}

impl Taking {
    /// The old process is at the other end of the standard input.
    pub(crate) fn begin() -> io::Result<(Self, Hello, Inherited)> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (hello, sockets): (Hello, _) = channel::receive(&stream)?;
        let taking = Self(stream);
        if hello.version != VERSION {
            let message = format!("a process of handover version {}, this one has {VERSION}", hello.version);
            taking.refuse(&message);
            return Err(io::Error::other(message));
        }
        let inherited = Inherited(hello.listeners.iter().cloned().zip(sockets).collect());
        Ok((taking, hello, inherited))
    }

    /// All is well so far.
    fn ready(&self) -> io::Result<()> {
        channel::send(&self.0, &Answer::Ready, &[])
    }

    /// The old process must go on.
    pub(crate) fn refuse(&self, why: &str) {
        let _ = channel::send(&self.0, &Answer::Refused(why.to_owned()), &[]);
    }

    pub(crate) fn record(&self) -> io::Result<(Record, Vec<OwnedFd>)> {
        self.ready()?;
        channel::receive(&self.0)
    }

    pub(crate) fn paths(&self) -> io::Result<(Paths, Vec<OwnedFd>)> {
        self.ready()?;
        channel::receive(&self.0)
    }

    /// Waits for the word to run. A process that ended instead has nobody else to go on.
    pub(crate) fn go(self) -> io::Result<()> {
        self.ready()?;
        match channel::receive::<()>(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(()),
        }
    }
}
