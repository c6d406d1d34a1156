//! Carries bytes between a server and what is said to it.

use super::by;
use base::Clock;
use base_core::Time;
use healthcheck_core::talk::Talk;
use healthcheck_core::{CheckStatus, Finding};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Lets `talk` have its way until it has found what it wanted to know.
pub(super) async fn carry<S>(stream: &mut S, talk: &mut dyn Talk, clock: Clock, deadline: Time) -> Finding
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match by(clock, deadline, converse(stream, talk)).await {
        Some(finding) => finding,
        None => Finding { status: CheckStatus::L7Timeout, code: talk.code(), note: "" },
    }
}

async fn converse<S>(stream: &mut S, talk: &mut dyn Talk) -> Finding
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    talk.begin(&mut out);
    let mut buffer = [0; READ_SIZE];
    loop {
        // A server may answer, and stop reading, before it has all that is said: what counts is its answer.
        let _ = stream.write_all(&out).await;
        let _ = stream.flush().await;
        out.clear();
        let size = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return talk.end(),
            Ok(size) => size,
        };
        if let Some(finding) = talk.on(buffer.get(..size).unwrap_or_default(), &mut out) {
            // A goodbye fits into the socket's buffer, and nobody waits for its answer.
            let _ = stream.write_all(&out).await;
            return finding;
        }
    }
}

/// For MySQL's passwords.
pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().try_into().unwrap_or_default()
}

/// Bytes taken at once: more than most answers of a health check.
const READ_SIZE: usize = 2048;
