//! What runs on a server that ends when it is marked down (HAProxy manual, `on-marked-down shutdown-sessions`):
//! its connections are shut, whichever worker they are on, and the requests on them fail as with any server that
//! breaks off.

use nix::sys::socket::{Shutdown, shutdown};
use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that runs on one server.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// A descriptor of its own for each, so that it is never another connection's.
    connections: HashMap<u64, OwnedFd>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Sessions {
    /// One more, over the connection `fd`.
    pub(super) fn add(sessions: &Arc<Self>, fd: RawFd) -> Option<Session> {
        let own = crate::sys::duplicate(fd).ok()?;
        let mut open = sessions.lock();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, own);
        drop(open);
        Some(Session { sessions: Arc::clone(sessions), number })
    }

    /// Shuts all connections; who uses them is told by their end.
    pub(super) fn shut(&self) {
        for connection in self.lock().connections.values() {
            // One that has ended already has nothing to shut.
            let _ = shutdown(connection.as_raw_fd(), Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.lock().connections.remove(&self.number);
    }
}
