//! What keeps other work and paging away from the thread, as far as the system allows.

use super::sys;
use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use std::io;

/// Puts the calling thread ahead of all ordinary ones.
pub(super) fn raise_priority() -> io::Result<()> {
    sys::schedule_fifo(PRIORITY)
}

/// Keeps every page in memory from the moment it is first touched. Logged where it is refused.
///
/// Never under a limit: each later request for memory would count against it, and the process would die of the
/// first that does not fit.
pub(super) fn lock_memory() {
    if let Err(error) = try_lock_memory() {
        let wanted = "CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK";
        tracing::warn!(%error, wanted, "BFD runs in memory that may be paged out");
    }
}

fn try_lock_memory() -> io::Result<()> {
    // Works with CAP_SYS_RESOURCE; without it the limit stays, and counts only without CAP_IPC_LOCK.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)?;
    // Does the limit count? A request for as much as it says would be refused, and is never touched.
    let room = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut probe = Vec::<u8>::new();
    let refused = limit != RLIM_INFINITY && probe.try_reserve_exact(room).is_err();
    drop(std::hint::black_box(probe));
    if refused {
        munlockall()?;
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("limited to {limit} bytes")));
    }
    Ok(())
}

/// Of 1 to 99: ahead of all ordinary work, not ahead of the kernel's interrupt threads, which have 50 too.
const PRIORITY: libc::c_int = 50;
