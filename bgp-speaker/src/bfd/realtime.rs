//! What keeps other work and paging away from the thread, as far as the system allows.

use super::sys;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use std::io;

/// Puts the calling thread ahead of all ordinary ones.
pub(super) fn raise_priority() -> io::Result<()> {
    sys::schedule_fifo(PRIORITY)
}

/// Keeps every page in memory from the moment it is first touched. Logged where it is refused.
///
/// Under a limit it is not even tried: every later request for memory would count against the limit, and
/// the process would die of the first that does not fit.
pub(super) fn lock_memory() {
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap_or((0, 0));
    if setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_err() && hard != RLIM_INFINITY {
        tracing::warn!(
            limit = hard,
            "BFD runs in memory that may be paged out: RLIMIT_MEMLOCK is not unlimited"
        );
        return;
    }
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault) {
        tracing::warn!(%error, "BFD runs in memory that may be paged out");
    }
}

/// The middle of 1 to 99: ahead of all ordinary work, behind what the kernel's own threads do at 50 and
/// above (interrupt threads have 50, and go first among equals by being there first).
const PRIORITY: libc::c_int = 50;
