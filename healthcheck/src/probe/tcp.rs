//! The connection of a probe: it is accepted, or it is not.

use super::by;
use base::Clock;
use base_core::Time;
use healthcheck_core::CheckStatus;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tokio::net::{TcpStream, UnixStream};

/// Connects to `target`, or says what stood in the way.
pub(super) async fn connect(
    target: SocketAddr,
    clock: Clock,
    deadline: Time,
) -> Result<TcpStream, CheckStatus> {
    match by(clock, deadline, TcpStream::connect(target)).await {
        None => Err(CheckStatus::L4Timeout),
        Some(stream) => stream.map_err(|error| classify(&error)),
    }
}

/// The same to the UNIX socket at `path`.
pub(super) async fn connect_on(path: &Path, clock: Clock, deadline: Time) -> Result<UnixStream, CheckStatus> {
    match by(clock, deadline, UnixStream::connect(path)).await {
        None => Err(CheckStatus::L4Timeout),
        Some(stream) => stream.map_err(|error| classify(&error)),
    }
}

/// Takes what has already arrived of an answer: closing a socket with unread bytes resets the connection, which
/// many servers log as an error.
pub(super) fn discard(stream: &TcpStream) {
    let mut buffer = [0; READ_SIZE];
    for _ in 0..MAX_DISCARDS {
        if !matches!(stream.try_read(&mut buffer), Ok(1..)) {
            return;
        }
    }
}

/// Tells what says something about the server from what is wrong on this side.
fn classify(error: &io::Error) -> CheckStatus {
    use io::ErrorKind::{AddrNotAvailable, OutOfMemory, TimedOut};
    match (error.kind(), error.raw_os_error()) {
        (TimedOut, _) => CheckStatus::L4Timeout,
        (AddrNotAvailable | OutOfMemory, _) | (_, Some(EMFILE | ENFILE | ENOBUFS)) => {
            CheckStatus::SocketError
        }
        _ => CheckStatus::L4Connection,
    }
}

/// Bytes taken at once.
const READ_SIZE: usize = 2048;
/// Reads of what is left at most: 64 KiB, what a socket buffer holds of an answer that came at once.
const MAX_DISCARDS: usize = 32;
// The standard library has no `ErrorKind` for these; the numbers are Linux's on every architecture it builds for.
/// This process has no file descriptor left.
const EMFILE: i32 = 24;
/// The system has no file descriptor left.
const ENFILE: i32 = 23;
/// The system has no memory left for a socket.
const ENOBUFS: i32 = 105;
