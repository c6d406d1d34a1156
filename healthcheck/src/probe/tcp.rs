//! A TCP probe: the connection is accepted, or it is not.

use super::by;
use base::Clock;
use base_core::Time;
use healthcheck_core::CheckStatus;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Connects to `target`, or says what stood in the way.
pub async fn connect(target: SocketAddr, clock: Clock, deadline: Time) -> Result<TcpStream, CheckStatus> {
    match by(clock, deadline, TcpStream::connect(target)).await {
        None => Err(CheckStatus::L4Timeout),
        Some(stream) => stream.map_err(|error| classify(&error)),
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

// The standard library has no `ErrorKind` for these; the numbers are Linux's on every architecture it builds for.
/// This process has no file descriptor left.
const EMFILE: i32 = 24;
/// The system has no file descriptor left.
const ENFILE: i32 = 23;
/// The system has no memory left for a socket.
const ENOBUFS: i32 = 105;
