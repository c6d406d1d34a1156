//! An HTTP/1.1 probe in plaintext: one request, the head of its answer, and the connection is closed.

use super::by;
use base::Clock;
use base_core::Time;
use healthcheck_core::http1::{self, Head};
use healthcheck_core::{CheckStatus, HttpCheck};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks what `check` says over `stream`; the status of the answer is given wherever one was read.
pub async fn exchange(
    mut stream: TcpStream,
    check: &HttpCheck,
    target: SocketAddr,
    clock: Clock,
    deadline: Time,
) -> (CheckStatus, Option<u16>) {
    let request = http1::request(check, target);
    let mut head = Head::default();
    let status = match by(clock, deadline, ask(&mut stream, &request, &mut head)).await {
        None => CheckStatus::L7Timeout,
        Some(Err(NoAnswer)) => CheckStatus::L7Response,
        Some(Ok(code)) => http1::judge(check, code),
    };
    discard(&stream);
    (status, head.status())
}

/// No answer, or none that is HTTP.
struct NoAnswer;

impl From<io::Error> for NoAnswer {
    fn from(_: io::Error) -> Self {
        Self
    }
}

async fn ask(stream: &mut TcpStream, request: &str, head: &mut Head) -> Result<u16, NoAnswer> {
    // A server may answer, and stop reading, before it has all of the request: what counts is its answer.
    let written = stream.write_all(request.as_bytes()).await;
    let mut buffer = [0; READ_SIZE];
    loop {
        let size = stream.read(&mut buffer).await?;
        let answer = head.push(buffer.get(..size).unwrap_or_default()).map_err(|_| NoAnswer)?;
        match answer {
            Some(code) => return Ok(code),
            None if size == 0 => return written.map_err(NoAnswer::from).and(Err(NoAnswer)),
            None => {}
        }
    }
}

/// Takes what has already arrived of the body: closing a socket with unread bytes resets the connection, which
/// many servers log as an error.
fn discard(stream: &TcpStream) {
    let mut buffer = [0; READ_SIZE];
    for _ in 0..MAX_DISCARDS {
        if !matches!(stream.try_read(&mut buffer), Ok(1..)) {
            return;
        }
    }
}

/// Bytes taken at once: more than most answers of a health check.
const READ_SIZE: usize = 2048;
/// Reads of a body's bytes at most: 64 KiB, what a socket buffer holds of an answer that came at once.
const MAX_DISCARDS: usize = 32;
