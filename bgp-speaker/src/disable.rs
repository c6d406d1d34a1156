//! The disable file: while it is there, the node's VIPs are drained. For scripts that know nothing of sockets.

use bgp_core::gate::Event;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Is it there? What cannot be looked at is not.
pub(crate) async fn present(path: PathBuf) -> bool {
    // On a thread of its own, because a file system may take its time.
    tokio::task::spawn_blocking(move || path.try_exists().unwrap_or(false)).await.unwrap_or(false)
}

/// Tells the gate when it comes and goes, for ever. `disabled` is what the gate knows.
pub(crate) async fn watch(path: PathBuf, mut disabled: bool, gate: mpsc::Sender<Event>) {
    let mut turns = tokio::time::interval(LOOK_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let now = present(path.clone()).await;
        if std::mem::replace(&mut disabled, now) != now {
            tracing::info!(path = %path.display(), disabled, "disable file");
            let _ = gate.send(Event::Disabled(now)).await;
        }
    }
}

/// How often it is looked for: twice within the 100 ms that are promised.
const LOOK_EVERY: Duration = Duration::from_millis(50);
