//! A conversation: lines in, answers out.

use super::Request;
use bgp_core::text_api::{DONE, ERROR, MAX_LINE, Owner};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

/// Until the other side ends, or nobody keeps the table any more.
pub(super) async fn converse(
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin,
    owner: Owner,
    ask: &mpsc::Sender<Request>,
) {
    let (mut read, mut write) = (BufReader::new(read), Some(write));
    while let Ok(Some(line)) = next_line(&mut read).await {
        let (answer, answered) = oneshot::channel();
        if ask.send(Request::Line { owner, line, answer }).await.is_err() {
            return;
        }
        let Ok(done) = answered.await else { return };
        let answer = format!("{}\n", if done { DONE } else { ERROR });
        // Who never reads answers fills its pipe, and must not stop its own withdraws by it.
        let told = match &mut write {
            Some(write) => tokio::time::timeout(PATIENCE, write.write_all(answer.as_bytes())).await,
            None => continue,
        };
        if !matches!(told, Ok(Ok(()))) {
            tracing::warn!(?owner, "text API: answers are not read; no more are written");
            write = None;
        }
    }
}

/// The next line without its end; what is longer than [`MAX_LINE`] is cut one byte behind it, which is refused as too long.
/// `None`: there are no more.
async fn next_line(read: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let bytes = read.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (text, used) =
            end.map_or((bytes, bytes.len()), |end| (bytes.get(..end).unwrap_or_default(), end + 1));
        let room = (MAX_LINE + 1).saturating_sub(line.len());
        line.extend(text.iter().take(room));
        read.consume(used);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
        }
    }
}

/// How long an answer may wait to be taken.
const PATIENCE: Duration = Duration::from_secs(1);
