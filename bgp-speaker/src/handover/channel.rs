//! Messages with descriptors over a UNIX socket: lengths, then the descriptors in batches with one byte each, then JSON.

use crate::sys;
use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// Says one thing.
pub(crate) fn send<T: Serialize>(
    mut to: &UnixStream,
    what: &T,
    sockets: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(what)?;
    let length = |count| u32::try_from(count).map_err(io::Error::other);
    to.write_all(&length(body.len())?.to_be_bytes())?;
    to.write_all(&length(sockets.len())?.to_be_bytes())?;
    for batch in sockets.chunks(BATCH) {
        let raw: Vec<RawFd> = batch.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        sendmsg::<UnixAddr>(to.as_raw_fd(), &[IoSlice::new(b"+")], &rights, MsgFlags::empty(), None)?;
    }
    to.write_all(&body)
}

/// Hears one thing.
pub(crate) fn receive<T: DeserializeOwned>(mut from: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut number = || -> io::Result<usize> {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes)?;
        usize::try_from(u32::from_be_bytes(bytes)).map_err(io::Error::other)
    };
    let (length, count) = (number()?, number()?);
    if length > MAX_MESSAGE || count > MAX_SOCKETS {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more than any process hands over"));
    }
    let mut sockets = Vec::with_capacity(count);
    while sockets.len() < count {
        let before = sockets.len();
        sockets.extend(batch(from)?);
        if sockets.len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok((serde_json::from_slice(&body)?, sockets))
}

fn batch(from: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let (mut byte, mut control) = ([0], cmsg_space!([RawFd; BATCH]));
    let mut parts = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<UnixAddr>(from.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut sockets = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            sockets.extend(raw.into_iter().map(sys::own));
        }
    }
    Ok(sockets)
}

/// Descriptors in one message; the kernel takes 253.
const BATCH: usize = 200;
/// Longest message in bytes: the routes of 256 neighbors with 4096 VIPs, and room to spare.
const MAX_MESSAGE: usize = 1 << 30;
/// Most descriptors: two for each neighbor, and the listeners.
const MAX_SOCKETS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_message_comes_whole_with_more_descriptors_than_one_batch_holds() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let (mut left, right) = UnixStream::pair().expect("another");
        let many = vec![right.as_fd(); 450];
        let sender = std::thread::scope(|scope| {
            let sender = scope.spawn(|| send(&here, &vec!["x".repeat(1 << 20)], &many));
            let (text, sockets): (Vec<String>, _) = receive(&there).expect("a message");
            assert_eq!((text[0].len(), sockets.len()), (1 << 20, 450));
            let mut last = UnixStream::from(sockets.into_iter().next_back().expect("a socket"));
            last.write_all(b"hello").expect("it is the same socket");
            sender.join().expect("no panic")
        });
        sender.expect("sent");
        let mut word = [0; 5];
        left.read_exact(&mut word).expect("a word");
        assert_eq!(&word, b"hello");
    }
}
