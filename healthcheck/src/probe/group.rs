//! Ends a command with all that it has started.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The process group of a command that has not been waited for. Dropped, it is killed.
pub(super) struct Group(Option<Pid>);

impl Group {
    /// That of a child that leads its own.
    pub(super) fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// The command has ended by itself: its number may be another's by now.
    pub(super) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended in this moment; it has not been waited for, so its number is still its own.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}
