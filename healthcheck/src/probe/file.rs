//! A file as a probe: whether it is there says how things are, for scripts that know of nothing else.

use super::{by, finding};
use base::Clock;
use base_core::Time;
use healthcheck_core::{CheckStatus, Finding};
use std::path::PathBuf;

pub(super) async fn look(path: PathBuf, absent: bool, clock: Clock, deadline: Time) -> Finding {
    // On a thread of its own, because a file system may take its time.
    let looked = tokio::task::spawn_blocking(move || path.try_exists());
    match by(clock, deadline, looked).await {
        None => finding(CheckStatus::L7Timeout),
        Some(Ok(Ok(is_there))) if is_there != absent => finding(CheckStatus::L7Ok),
        Some(Ok(Ok(true))) => Finding { note: "file_there", ..finding(CheckStatus::L7Status) },
        Some(Ok(Ok(false))) => Finding { note: "file_missing", ..finding(CheckStatus::L7Status) },
        // What cannot be looked at says nothing.
        Some(Ok(Err(_)) | Err(_)) => finding(CheckStatus::SocketError),
    }
}
