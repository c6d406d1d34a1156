//! The head of a request, read whole and checked before pingora sees any of it: from the first byte to
//! the last within one deadline, whatever the client dribbles.

use super::h2;
use crate::error_pages::Page;
use crate::scratch;
use base::Clock;
use base_core::Time;
use bytes::BytesMut;
use gateway_core::failure::NoRequest;
use gateway_core::strict::{self, chunks::Chunks};
use pingora::protocols::Stream;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// How long a client may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until the first byte.
    pub(super) first: Duration,
    /// From the first byte to the last.
    pub(super) whole: Duration,
    /// Whether `whole` counts from now: on a new connection, on which a request is due.
    pub(super) due: bool,
    /// Whether it may be HTTP/2.
    pub(super) h2c: bool,
    /// How large a head may be.
    pub(super) bounds: strict::Bounds,
}

/// What came.
pub(super) enum Arrival {
    /// A head, and perhaps the start of its body.
    Head(BytesMut, Body),
    /// The beginning of HTTP/2, and perhaps more.
    Preface(BytesMut),
    /// Not a byte, in time or before the client went: it was only open.
    Nothing,
    /// Something that did not become a request.
    NoRequest(NoRequest),
}

/// What there is behind a head.
pub(super) enum Body {
    /// Nothing, and the head says nothing of the connection but whether it stays. What came behind it is the beginning of the
    /// next request (RFC 9112 §9.3.2).
    Nothing { ahead: BytesMut },
    /// Chunks, and how far they have come.
    Chunked(Chunks),
    /// Whatever else the head says.
    Other,
}

/// Reads a head that begins with `ahead`. `began` is told when its first byte came.
pub(super) async fn read(
    stream: &mut Stream,
    ahead: BytesMut,
    patience: Patience,
    clock: &Clock,
    began: impl FnOnce(Time),
) -> Arrival {
    let mut deadline = patience.due.then(|| clock.now() + patience.whole);
    let mut bytes = ahead;
    if bytes.is_empty() {
        bytes = match timeout(patience.first, scratch::read(stream)).await {
            Ok(Ok(bytes)) if !bytes.is_empty() => bytes,
            Ok(Ok(_) | Err(_)) | Err(_) => return Arrival::Nothing,
        };
    }
    began(clock.now());
    let mut head = strict::Head::within(patience.bounds);
    loop {
        let told = match h2::is_preface(&bytes) {
            Some(true) if patience.h2c => return Arrival::Preface(bytes),
            None if patience.h2c => Ok(None),
            _ => head.advance(&bytes),
        };
        match told {
            Ok(Some(length)) => return with_body(bytes, length, &head),
            Ok(None) => {}
            Err(reason) => return Arrival::NoRequest(NoRequest::Refused(reason)),
        }
        // Most heads come in one piece and need no deadline.
        let deadline = *deadline.get_or_insert_with(|| clock.now() + patience.whole);
        bytes.reserve(BUFFER);
        match timeout(deadline - clock.now(), stream.read_buf(&mut bytes)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return Arrival::NoRequest(NoRequest::Gone),
            Err(_) => return Arrival::NoRequest(NoRequest::TimedOut),
        }
    }
}

fn with_body(mut bytes: BytesMut, length: usize, head: &strict::Head) -> Arrival {
    if head.is_plain() {
        // Most are alone, and stay in the one piece of memory that they came in.
        let ahead = if bytes.len() > length { bytes.split_off(length) } else { BytesMut::new() };
        return Arrival::Head(bytes, Body::Nothing { ahead });
    }
    if !head.is_chunked() {
        return Arrival::Head(bytes, Body::Other);
    }
    let rest = bytes.get(length..).unwrap_or_default();
    let mut chunks = Chunks::default();
    match chunks.advance(rest) {
        Ok(()) => Arrival::Head(bytes, Body::Chunked(chunks)),
        Err(reason) => Arrival::NoRequest(NoRequest::Refused(reason)),
    }
}

/// Answers what was no request; returns how many bytes of it went out.
pub(super) async fn refuse(stream: &mut Stream, status: http::StatusCode, page: Option<&Page>) -> u64 {
    let line = format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or(""));
    let plain = Page { content_type: "text/plain".to_owned(), body: format!("{line}\n").into() };
    let Page { content_type, body } = page.unwrap_or(&plain);
    let head = format!(
        "HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len(),
    );
    let answer = [head.as_bytes(), body].concat();
    let write = async {
        stream.write_all(&answer).await?;
        stream.flush().await
    };
    match timeout(LINGER, write).await {
        Ok(Ok(())) => answer.len() as u64,
        Ok(Err(_)) | Err(_) => 0,
    }
}

/// Closes. The client may still be sending: what it sends is taken for a moment, or the answer would be
/// lost in a reset.
pub(super) async fn close(mut stream: Stream) {
    let _ = timeout(LINGER, async {
        let _ = stream.shutdown().await;
        let mut rest = [0; 1024];
        let mut taken = 0;
        while taken < MOST_TAKEN {
            match stream.read(&mut rest).await {
                Ok(read @ 1..) => taken += read,
                Ok(0) | Err(_) => return,
            }
        }
    })
    .await;
}

/// What most heads fit in, and what pingora would take itself.
const BUFFER: usize = 4096;
/// A round trip on the slowest link.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are taken from a client that is refused: what it may have sent before it knew.
const MOST_TAKEN: usize = 64 * 1024;
