//! Connections that become tunnels (WebSocket): from the answer 101 on both sides may be silent for as long as
//! `tunnel_timeout` says (HAProxy manual, "timeout tunnel"). Before it the server has its own timeout, which pingora
//! can't have beside the tunnel's: a [`Switch`] watches over that part.

use crate::sys;
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Shuts the connection to a server that does not answer in time, unless it is dropped before.
#[derive(Debug)]
pub(crate) struct Switch {
    passed: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Switch {
    /// Over the connection `fd`, from now on.
    pub(crate) fn within(fd: RawFd, timeout: Duration) -> Option<Self> {
        let own = sys::duplicate(fd).ok()?;
        let passed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&passed);
        let task = tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            told.store(true, Ordering::Relaxed);
            // Who reads from it is told by its end.
            let _ = shutdown(own.as_raw_fd(), Shutdown::Both);
        });
        Some(Self { passed, task: task.abort_handle() })
    }

    /// Whether the time has passed.
    pub(crate) fn has_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
